"""Where audio belongs on the timeline. Pure.

Sources stamp packets by another clock than the one that made the samples, round, and jitter; each of it must not be
heard, and a packet that was lost must not move what follows. So samples are counted, the count is drawn slowly towards
the timestamps (drift), and only what stays away from it, or is far away at once, is a hole.
"""

from collections import deque
from typing import Final, NamedTuple

_FOLLOW: Final = 1.0
"""Seconds in which the count takes over most of a lasting difference."""
_HOLE: Final = 0.012
"""Seconds of difference that are a hole when they last; jitter is rarely more."""
_LASTING: Final = 4
"""Packets in a row that must agree."""
_JUMP: Final = 0.1
"""Seconds of difference that are a hole at once."""
_RESTART: Final = 1.0
"""Seconds of difference beyond which silence is not put in, but time jumps."""


class Place(NamedTuple):
    """Where a packet's first sample belongs."""

    sample: int
    """On the timeline, in samples of the source."""
    restart: bool
    """Time jumped: what was put together before ends here."""


class AudioClock:
    """Places packets of one sample rate."""

    def __init__(self, rate: int) -> None:
        """`rate` is in samples per second."""
        self._rate = rate
        self._next: float | None = None
        self._recent: deque[float] = deque(maxlen=_LASTING)

    def place(self, stamp: float, count: int) -> Place:
        """Place a packet of `count` samples that says to begin at the sample `stamp`."""
        if self._next is None:
            return self._jump(stamp, count, restart=True)
        error = stamp - self._next
        self._recent.append(error)
        hole = _HOLE * self._rate
        if abs(error) > _RESTART * self._rate:
            return self._jump(stamp, count, restart=True)
        lasting = len(self._recent) == _LASTING and (min(self._recent) > hole or max(self._recent) < -hole)
        if lasting or abs(error) > _JUMP * self._rate:
            return self._jump(stamp, count, restart=False)
        self._next += error * min(1.0, count / (self._rate * _FOLLOW))
        sample = round(self._next)
        self._next += count
        return Place(sample, restart=False)

    def _jump(self, stamp: float, count: int, *, restart: bool) -> Place:
        self._recent.clear()
        self._next = stamp + count
        return Place(round(stamp), restart)
