"""What a lane sent lately, once for all viewers and in clear: for packets that get lost, and for who joins late.

Pure. Times are seconds of a monotonic clock, timestamps ticks of the lane's RTP clock.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

_MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_FRAMES: Final = 4096
_COMPACT_AT: Final = 256


class LaneFrame:
    """One frame in packets. The packets of a lane are counted on and on: payload i is packet `index + i`."""

    __slots__ = ("at", "end", "index", "keyframe", "payloads", "size", "timestamp")

    def __init__(self, index: int, timestamp: int, payloads: Sequence[bytes], *, keyframe: bool, at: float) -> None:
        """`timestamp` is not wrapped; `at` is when it was sent."""
        self.index = index
        self.end = index + len(payloads)
        self.timestamp = timestamp
        self.payloads = payloads
        self.keyframe = keyframe
        self.size = sum(map(len, payloads))
        self.at = at


class History:
    """The newest frames: those of the last `keep` seconds, and the whole group that has begun last if it is small.

    A group may be used from its keyframe on while it has at most `group_bytes` and lasts at most `group_ticks`.
    """

    def __init__(self, *, keep: float, group_bytes: int, group_ticks: int) -> None:
        """Empty."""
        self._keep = keep
        self._group_bytes = group_bytes
        self._group_ticks = group_ticks
        self._frames: list[LaneFrame] = []
        self._indexes: list[int] = []
        self._head = 0
        self._bytes = 0
        self._keyframe: LaneFrame | None = None
        self._group_size = 0

    def add(self, frame: LaneFrame) -> None:
        """Append the next frame."""
        if frame.keyframe:
            self._keyframe = frame
            self._group_size = 0
        self._group_size += frame.size
        key = self._keyframe
        if key is not None and (
            self._group_size > self._group_bytes or frame.timestamp - key.timestamp > self._group_ticks
        ):
            key = self._keyframe = None
        self._frames.append(frame)
        self._indexes.append(frame.index)
        self._bytes += frame.size
        self._trim(frame.at - self._keep, frame.index if key is None else key.index)

    @property
    def newest(self) -> LaneFrame | None:
        """The frame that was added last."""
        return self._frames[-1] if self._frames else None

    @property
    def keyframe(self) -> LaneFrame | None:
        """The first frame of the group that may be used; None while there is none."""
        return self._keyframe

    @property
    def group_size(self) -> int:
        """Payload bytes of that group; 0 without one."""
        return self._group_size if self._keyframe is not None else 0

    def find(self, index: int) -> tuple[LaneFrame, int] | None:
        """The frame that packet `index` is of, and which of its payloads; None when it is not kept."""
        place = bisect_right(self._indexes, index, self._head) - 1
        if place < self._head:
            return None
        frame = self._frames[place]
        return (frame, index - frame.index) if index < frame.end else None

    def since(self, index: int) -> list[LaneFrame]:
        """The frames from the one with packet `index` on; empty when that packet is not kept, or not there yet."""
        found = self.find(index)
        if found is None:
            return []
        return self._frames[bisect_right(self._indexes, index, self._head) - 1 :]

    def bitrate(self, rate: int) -> int:
        """Bits per second over what is kept, at a clock of `rate` ticks; 0 when that cannot be said."""
        frames = self._frames
        if len(frames) - self._head < 2:
            return 0
        span = frames[-1].timestamp - frames[self._head].timestamp
        return 0 if span <= 0 else self._bytes * 8 * rate // span

    def break_off(self) -> None:
        """What follows does not belong to what came: no group may be used until the next keyframe."""
        self._keyframe = None

    def clear(self) -> None:
        """Forget everything."""
        self._frames.clear()
        self._indexes.clear()
        self._head = self._bytes = self._group_size = 0
        self._keyframe = None

    def _trim(self, horizon: float, group: int) -> None:
        frames = self._frames
        while self._head < len(frames) - 1:
            frame = frames[self._head]
            too_many = self._bytes > _MOST_BYTES or len(frames) - self._head > _MOST_FRAMES
            if not too_many and (frame.at >= horizon or frame.index >= group):
                break
            if frame is self._keyframe:
                self._keyframe = None
            self._bytes -= frame.size
            self._head += 1
        if self._head >= _COMPACT_AT:
            del frames[: self._head], self._indexes[: self._head]
            self._head = 0
