"""What a viewer asks for again: packets that it misses (RFC 4585 §6.2.1), and whole groups.

Bounded by what is sent anyway: more would only fill the network, or serve somebody who asks without end.
"""

from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING, Final

from ghostlive.protocols.webrtc.egress.pacing import TokenBucket

if TYPE_CHECKING:
    from ghostlive.protocols.webrtc.egress.lane import Lane
    from ghostlive.protocols.webrtc.egress.outlet import Outlet

_SHARE: Final = 0.75
"""Bytes that are sent again at most, of those that are sent anyway."""
_LEAST: Final = 30_000.0
"""Bytes per second that may be sent again in any case."""
_AT_ONCE: Final = 48 * 1024
_FOR_THE_LOST: Final = 16 * 1024
"""Of them, what is left for packets that are asked for repeatedly: one that is asked for once may be under way."""
_AGAIN: Final = 0.02
"""Seconds within which no packet is looked at twice, whoever asks."""
_KEPT: Final = 256
_KEPT_FOR: Final = 1.0
_UNDER_WAY: Final = 0.8
"""Of the time there and back: what is asked for again sooner may have been sent again already. Browsers that only
receive do not know how long that is, and ask each 100 ms."""
_PROBE_CROWDS: Final = 0.08
"""Share of packets that are asked for beyond what is usual from which on a probe is too much."""
_GROUP_CROWDS: Final = 0.25
"""Share of packets that do not come when they are sent again from which on a group would not come either."""
_CROWDED_LEAST: Final = 5.0
_FORGET: Final = 1.0
"""Seconds after which about two thirds of what was missed are forgotten."""
_PACKET: Final = 1100
"""Bytes that packets of a picture have about."""
_GROUPS_PER_SECOND: Final = 0.25
_GROUPS_AT_ONCE: Final = 3.0


class _Lately:
    """Counts what fades away."""

    __slots__ = ("_at", "_count")

    def __init__(self, now: float) -> None:
        self._count = 0.0
        self._at = now

    def add(self, count: int, now: float) -> None:
        self._count = self.count(now) + count
        self._at = now

    def count(self, now: float) -> float:
        return self._count * exp((self._at - now) / _FORGET)


class Resender:
    """One viewer's."""

    __slots__ = ("_allowance", "_asked", "_groups", "_missed", "_refused", "_usual", "_wished", "answered", "asked")

    def __init__(self, now: float) -> None:
        """Nothing was asked for."""
        self.asked = 0
        """Packets that were asked for."""
        self.answered = 0
        """Packets that were sent again."""
        self._allowance = TokenBucket(_LEAST, _AT_ONCE, now)
        self._groups = TokenBucket(_GROUPS_PER_SECOND, _GROUPS_AT_ONCE, now)
        self._asked: dict[int, float] = {}
        self._refused: set[int] = set()
        self._wished = _Lately(now)
        self._missed = _Lately(now)
        self._usual = 0.0

    def begin_probe(self, now: float) -> None:
        """What is asked for already is not because of the probe."""
        self._usual = self._wished.count(now)

    def probe_crowds(self, lane: "Lane | None", now: float) -> bool:
        """Whether so much more is asked for since the probe began that it should end."""
        return self._wished.count(now) - self._usual > _crowd(lane, _PROBE_CROWDS)

    def group_crowds(self, lane: "Lane | None", now: float) -> bool:
        """Whether so much does not come when it is sent again that a whole group would make it worse."""
        return self._missed.count(now) > _crowd(lane, _GROUP_CROWDS)

    def resend(self, outlet: "Outlet", sequence_numbers: Sequence[int], rtt: float, now: float) -> None:
        """Send packets again, as far as they are kept and the allowance goes; `rtt` is in seconds.

        Only what is asked for although it was sent again counts as missed: where packets overtake each other, browsers
        ask for a third of them at once.
        """
        self.asked += len(sequence_numbers)
        self._wished.add(len(sequence_numbers), now)
        rate = max(_LEAST, _SHARE * (outlet.lane.bitrate() if outlet.lane is not None else 0) / 8)
        for sequence in sequence_numbers:
            found = outlet.find(sequence)
            if found is None:
                continue
            extended, payload = found[0], found[2]
            wait = _AGAIN if extended in self._refused else max(_AGAIN, _UNDER_WAY * rtt)
            if now - self._asked.get(extended, 0.0) < wait:
                continue
            again = extended in self._asked
            missed = again and extended not in self._refused
            self._missed.add(int(missed), now)
            self._asked[extended] = now
            if not self._allowance.take(len(payload), now, rate=rate, spare=0 if again else _FOR_THE_LOST):
                self._refused.add(extended)
                continue
            self._refused.discard(extended)
            self.answered += 1
            outlet.resend(*found)
            outlet.missed(int(missed), len(payload), now)
        if len(self._asked) > _KEPT:
            self._asked = {number: at for number, at in self._asked.items() if now - at < _KEPT_FOR}
            self._refused &= self._asked.keys()

    def may_send_group(self, now: float) -> bool:
        """Whether a whole group may be sent again; it counts as sent."""
        return self._groups.take(1, now)


def _crowd(lane: "Lane | None", share: float) -> float:
    """So many packets are that share of those that are sent within `_FORGET`."""
    packets = (lane.bitrate() if lane is not None else 0) / 8 / _PACKET * _FORGET
    return max(share * packets, _CROWDED_LEAST)
