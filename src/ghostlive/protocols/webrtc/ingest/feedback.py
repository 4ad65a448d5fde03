"""What tells a sender how much it may send.

With transport-wide feedback the sender estimates by itself, from the arrival times of all its packets: it finds a good
line's rate within seconds. Where a peer knows only REMB, it gets a generous figure that goes down with loss.

Specifications: draft-holmer-rmcat-transport-wide-cc-extensions-01, draft-alvestrand-rmcat-remb-03, and for the figures
of the latter draft-ietf-rmcat-gcc-02 §6.
"""

from dataclasses import replace
from typing import Final

from ghostlive.formats.rtcp import TransportFeedback, make_feedback
from ghostlive.formats.rtp.sequence import Unwrapper

_INTERVAL: Final = 0.05
_REMEMBERED: Final = 0.5
"""Seconds that arrivals are kept, to be told again beside one that came late."""
_MOST_ARRIVALS: Final = 4000
_MOST_MISSING: Final = 400
_MAX_AHEAD: Final = 5000

_LEAST_RATE: Final = 150_000
_LITTLE_LOSS: Final = 0.02
_MUCH_LOSS: Final = 0.1
_GROWTH: Final = 1.08


class ArrivalReporter:
    """Keeps when packets of the transport arrived, and makes feedback of it."""

    def __init__(self, sender_ssrc: int) -> None:
        """`sender_ssrc` is ours."""
        self._sender_ssrc = sender_ssrc
        self._unwrap = Unwrapper()
        self._arrived: dict[int, int] = {}
        self._new: list[int] = []
        self._next: int | None = None
        """Behind the last packet that was told of."""
        self._count = 0
        self._told = 0.0

    def add(self, sequence_number: int, now: float) -> None:
        """A packet with this transport-wide number (16 bits) arrived."""
        number = self._unwrap.unwrap(sequence_number)
        if number in self._arrived or len(self._new) >= _MOST_ARRIVALS:
            return
        if self._next is not None and not -_MAX_AHEAD < number - self._next < _MAX_AHEAD:
            self._arrived.clear()
            self._new.clear()
            self._next = None
        self._arrived[number] = int(now * 1_000_000)
        self._new.append(number)

    def due(self, now: float, media_ssrc: int) -> list[TransportFeedback]:
        """What to tell now, if anything; `media_ssrc` is one of the sender's streams."""
        if not self._new or now - self._told < _INTERVAL:
            return []
        self._told = now
        first = min(self._new)
        self._new.clear()
        arrivals = sorted(item for item in self._arrived.items() if item[0] >= first)
        found = make_feedback(self._sender_ssrc, media_ssrc, self._count, arrivals)
        if found and self._next is not None and self._next < first <= self._next + _MOST_MISSING:
            # Those lost between two reports belong to the later one.
            missing = tuple((number & 0xFFFF, None) for number in range(self._next, first))
            found[0] = replace(
                found[0], base_sequence_number=self._next & 0xFFFF, arrivals=(*missing, *found[0].arrivals)
            )
        self._count = (self._count + len(found)) & 0xFF
        self._next = max(arrivals[-1][0] + 1, self._next or 0)
        old = int((now - _REMEMBERED) * 1_000_000)
        self._arrived = {number: at for number, at in self._arrived.items() if at >= old}
        return found


class RateLimit:
    """The figure for REMB: all that is allowed, less where packets are lost."""

    def __init__(self, most: int) -> None:
        """`most` is bits per second."""
        self._most = most
        self.rate = most
        """Bits per second that the sender may send."""

    def update(self, received: int, expected: int, octets: int, elapsed: float) -> int:
        """Packets received of those expected, and their bytes, over the last `elapsed` seconds; returns the rate."""
        if expected <= 0 or elapsed <= 0:
            return self.rate
        loss = max(expected - received, 0) / expected
        if loss > _MUCH_LOSS:
            bitrate = octets * 8 / elapsed
            self.rate = max(int(min(self.rate, bitrate * 1.2) * (1 - 0.5 * loss)), _LEAST_RATE)
        elif loss < _LITTLE_LOSS:
            self.rate = min(int(self.rate * _GROWTH**elapsed) + 1000, self._most)
        return self.rate
