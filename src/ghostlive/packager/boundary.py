"""Where segments begin: decided from the leading track alone, applied to every track.

At keyframes, near the target where they come often enough. Players of browsers cannot go on with a segment that does
not begin with a keyframe, so only a group longer than any segment may be is split, into equal pieces. Times are ticks
of the leading track.
"""

from collections import deque

_GROUPS = 6
"""Groups remembered: the longest of them says when the next keyframe is to be expected."""


class BoundaryClock:
    """Asks of each frame of the leading track: does a segment begin here?"""

    def __init__(self, *, target: int, limit: int) -> None:
        """`target` is what a segment should last, `limit` what none may exceed."""
        self._target = target
        self._limit = limit
        self._start: int | None = None
        self._group_start = 0
        self._groups: deque[int] = deque(maxlen=_GROUPS)

    def length(self, time: int) -> int:
        """How long the current segment is at `time`."""
        return 0 if self._start is None else time - self._start

    def overdue(self, time: int, limit: int) -> bool:
        """Whether a segment that lasts until `time` would be longer than `limit`: frames failed to come."""
        return self.length(time) > limit

    def force(self, end: int) -> int:
        """Cut although no frame says where, but not before `end`, where the last frame ends; returns where."""
        assert self._start is not None
        self._start = max(self._start + self._target, end)
        return self._start

    def begin(self, time: int) -> None:
        """A new epoch begins at `time`; what was learnt about groups is kept."""
        self._start = self._group_start = time

    def cut(self, time: int) -> None:
        """A segment begins at `time`."""
        self._start = time

    def keyframe(self, time: int) -> bool:
        """A keyframe at `time`: whether a segment begins with it."""
        assert self._start is not None
        self._groups.append(time - self._group_start)
        self._group_start = time
        longest = max(self._groups)
        length = time - self._start
        if longest > self._limit:
            # Groups are split: a keyframe is always worth a cut, unless one was just made.
            return length >= self._target // 8
        # Whichever is closer to the target: this keyframe or the next one.
        near = length + longest // 2 >= self._target and length >= self._target // 2
        return near or length + longest > self._limit

    def split(self, time: int, frame: int) -> bool:
        """A frame at `time` that is no keyframe and lasts about `frame`: whether a segment begins here."""
        assert self._start is not None
        length = time - self._start
        if length + frame > self._limit:
            return True
        longest = max(self._groups, default=0)
        if longest <= self._limit and time - self._group_start <= self._limit:
            return False
        # A group longer than a segment may be: equal pieces, none just before the keyframe that is expected.
        piece = longest // max(1, round(longest / self._target)) if longest > self._limit else self._target
        remaining = self._group_start + longest - time
        return length >= piece and not 0 < remaining < self._target // 4
