"""How fast a viewer who joins is sent what it missed. Pure; times are seconds, sizes bytes."""

from collections.abc import Iterator, Sequence
from typing import Final

TICK: Final = 0.005
"""Seconds between two looks at who is to be sent more."""
SLICE: Final = 32
"""Packets that are sent to a viewer at once."""
_LEAST: Final = 20_000_000
_FACTOR: Final = 10
_KNOWN: Final = 2.0
"""Of what is known of the network to the viewer."""
_SLOWEST: Final = 1.5
"""Of the rendition's rate: slower than this the present is never reached."""
_BEGIN: Final = 10_000_000
_BEGIN_FACTOR: Final = 4
_DOUBLE_AFTER: Final = 0.05
_AT_FIRST: Final = 2.0
"""Ticks that may be spent at the first look."""
_MOST: Final = 4.0
_RISE: Final = 1.5
_RISE_FROM: Final = 0.25


class Budget:
    """Bytes of a group that may be sent now, to bring a viewer to the present.

    It ends up ten times as fast as the rendition plays, so that two seconds are there in a fifth of one. It begins
    slower, since a keyframe is all that is needed at first, and halves when packets are missed; but never below what
    would not come to the present any more.
    """

    __slots__ = ("_allowance", "_at", "_double_at", "_least", "_rate", "_top")

    def __init__(self, bitrate: int, now: float, estimate: int | None = None) -> None:
        """`bitrate` is the rendition's, `estimate` what is known of the network; both in bits per second."""
        self._least = _SLOWEST * bitrate
        top = float(max(_LEAST, _FACTOR * bitrate))
        self._top = top if estimate is None else max(min(top, _KNOWN * estimate), self._least)
        self._rate = min(max(_BEGIN, _BEGIN_FACTOR * bitrate), self._top)
        self._allowance = self._rate / 8 * TICK * _AT_FIRST
        self._at = self._double_at = now

    @property
    def rate(self) -> float:
        """Bits per second at the moment."""
        return self._rate

    @property
    def slowest(self) -> bool:
        """Whether it cannot be slower."""
        return self._rate <= self._least

    def refill(self, now: float) -> None:
        """Time has passed."""
        if now - self._double_at >= _DOUBLE_AFTER:
            self._double_at = now
            self._rate = min(2 * self._rate, self._top)
        self._allowance = min(self._allowance + (now - self._at) * self._rate / 8, self._rate / 8 * TICK * _MOST)
        self._at = now

    def left(self) -> bool:
        """Whether something may be sent; the last slice may exceed what is left."""
        return self._allowance > 0

    def spend(self, size: int) -> None:
        """So much was sent."""
        self._allowance -= size

    def slow_down(self) -> None:
        """The network does not take it."""
        self._rate = self._top = max(self._rate / 2, self._least)


class Flow:
    """Bytes that may be sent now, at a rate that rises for a while and is constant then."""

    __slots__ = ("_allowance", "_at", "_rate", "_since")

    def __init__(self, rate: int, now: float) -> None:
        """`rate` is in bits per second."""
        self._rate = rate / 8
        self._allowance = 0.0
        self._at = self._since = now

    def refill(self, now: float) -> None:
        """Time has passed."""
        rate = self._rate * min(_RISE_FROM + (1 - _RISE_FROM) * (now - self._since) / _RISE, 1.0)
        self._allowance = min(self._allowance + (now - self._at) * rate, rate * TICK * _MOST)
        self._at = now

    def left(self) -> bool:
        """Whether something may be sent."""
        return self._allowance > 0

    def spend(self, size: int) -> None:
        """So much was sent."""
        self._allowance -= size


class TokenBucket:
    """Limits what somebody else may cause: so much per second, so much at once."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """Full."""
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, amount: float, now: float, *, rate: float | None = None, spare: float = 0.0) -> bool:
        """Take `amount` if it is there, and `spare` stays. `rate` is another one from now on."""
        if rate is not None:
            self._rate = rate
        self._tokens = min(self._tokens + (now - self._at) * self._rate, self._burst)
        self._at = now
        if self._tokens < amount + spare:
            return False
        self._tokens -= amount
        return True


def slices(payloads: Sequence[bytes], begin: int) -> Iterator[tuple[int, int]]:
    """Ranges of payloads that are sent at once, beginning with number `begin`."""
    for start in range(begin, len(payloads), SLICE):
        yield start, min(start + SLICE, len(payloads))
