"""Which frames of a source a rendition shows. Pure."""

from fractions import Fraction
from typing import Final

_EARLY: Final = 4
"""A frame may come this part of a frame's duration before its time: timestamps of sources are rounded and jitter."""


class FrameGate:
    """Leaves frames out so that no more than `rate` of them pass in a second; keyframes always pass.

    It looks at timestamps alone: 60 become 30 by leaving out each second one, and what has fewer frames (a variable
    rate, one frame a second) passes whole.
    """

    def __init__(self, timescale: int, rate: Fraction, after: int | None = None) -> None:
        """Timestamps are in ticks of `timescale` per second; nothing up to and including `after` passes."""
        self.keep_one_in = 1
        """Let only each so manieth of the frames pass that would; keyframes begin the count again."""
        self._after = after
        # Times are counted in parts of a tick, so that no rate is rounded.
        self._parts = rate.numerator
        self._period = timescale * rate.denominator
        self._due = 0
        self._begun = False
        self._left_out = 0

    def admits(self, pts: int, *, keyframe: bool) -> bool:
        """Whether the frame passes. Call once for each frame, in order of presentation."""
        if self._after is not None and pts <= self._after:
            return False
        now = pts * self._parts
        if keyframe or not self._begun:
            self._begun = True
            self._due = now + self._period
            self._left_out = 0
            return True
        if now < self._due - self._period // _EARLY:
            return False
        # After a hole in the source time begins again here, else the grid goes on, however late this frame is.
        late = now - self._due
        self._due = now + self._period if late > self._period else self._due + self._period
        if self.keep_one_in > 1:
            self._left_out = (self._left_out + 1) % self.keep_one_in
            return self._left_out == 0
        return True


class Pace:
    """How far behind the source this worker is.

    The difference of the clock and the timestamps is smallest when nothing waits; what it is above that is lag. A
    source's clock may be a little slower than ours, so the smallest difference is forgotten slowly.
    """

    _FORGET: Final = 0.001
    """Seconds per second; clocks of computers differ by less than a tenth of that."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._media = 0.0
        self._least = 0.0
        self._seen: float | None = None

    def observe(self, media: float, now: float) -> None:
        """A packet of the media time `media` is about to be decoded; both in seconds."""
        offset = now - media
        if self._seen is None:
            self._least = offset
        else:
            self._least = min(offset, self._least + (now - self._seen) * self._FORGET)
        self._seen = now
        self._media = media

    def lag(self, now: float) -> float:
        """Seconds by which the packet observed last is later than it could be."""
        return 0.0 if self._seen is None else now - self._media - self._least
