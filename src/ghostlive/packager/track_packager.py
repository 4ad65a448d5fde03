"""One track: its frames to parts and segments, cut where it is told. No IO, no clock.

Decode times in the fragments are the frames' own and sample durations are the distances between them, exactly. A
frame is therefore put into a part when the next one has come. Holes in sound are filled (`silence`).
"""

import itertools
from collections import deque
from collections.abc import Iterable

from ghostlive.core.frame import Frame
from ghostlive.core.track import TrackKind
from ghostlive.formats.fmp4 import NON_SYNC, SYNC, empty_fragment, media_fragment
from ghostlive.packager.cadence import LATE_CUT, SHORTEST_PART
from ghostlive.packager.model import Epoch, PackagingEvent, Part, PartReady, Segment, SegmentReady
from ghostlive.packager.silence import Silence


class TrackPackager:
    """Packages one epoch of one track.

    "Time" is the decode time plus the constant by which the first frame's presentation is later: presentation time,
    but for the reordering within a group.
    """

    def __init__(self, epoch: Epoch, msn: int, *, start: int, usual: int, silence: Silence | None = None) -> None:
        """The first segment has the number `msn` and begins at `start`; `usual` is a frame's likely duration.

        `silence` fills holes; without it, frames last until the next one and segments without any are gaps.
        """
        self.epoch = epoch
        self.msn = msn
        """The number of the segment being made."""
        self.usual = usual
        """What a frame lasts, as measured last."""
        self._before = usual
        self._start = start
        self._boundaries: deque[int] = deque()
        self.delay = 0
        """What presentation times are later than decode times by, at the first frame."""
        self.started = False
        """Whether a frame has come."""
        self._video = epoch.track.kind is TrackKind.VIDEO
        self._silence = silence
        self._longest = epoch.part_target
        self._shortest = int(SHORTEST_PART * self._longest) + 1
        self._late = int(LATE_CUT * epoch.track.timescale)
        self._segment: Segment | None = None
        self._frames: list[Frame] = []
        self._sequence = 0

    def cut(self, time: int) -> None:
        """The segment after the last one known begins with the first frame at or after `time`."""
        self._boundaries.append(time)

    def push(self, frame: Frame) -> list[PackagingEvent] | None:
        """Take a frame, in decoding order; returns what it completed, None for nothing."""
        silence = self._silence
        # The usual case first, once for each packet: it follows the one before it.
        if silence is None or (self._frames and frame.dts - self._frames[-1].dts < 1.5 * silence.duration):
            return self._push(frame)
        hole = frame.pts - self.end
        # Sound seldom begins exactly with the picture, and need not.
        if hole < (silence.duration if self.started else self._late):
            return self._push(frame)
        out = self._push_all(silence.packets(self.end, round(hole / silence.duration)))
        out.extend(self._push(frame) or ())
        return out

    def fill(self, end: int) -> list[PackagingEvent]:
        """Nothing is to be waited for before `end`: have silence up to there."""
        silence = self._silence
        if silence is None or end - self.end < silence.duration:
            return []
        return self._push_all(silence.packets(self.end, (end - self.end) // silence.duration))

    def _push_all(self, frames: Iterable[Frame]) -> list[PackagingEvent]:
        out: list[PackagingEvent] = []
        for frame in frames:
            out.extend(self._push(frame) or ())
        return out

    def _push(self, frame: Frame) -> list[PackagingEvent] | None:
        frames = self._frames
        dts = frame.dts
        if not frames:
            return self._push_first(frame)
        last = frames[-1].dts
        if dts <= last:
            return None  # The hub promises order; a player could do nothing with such a frame.
        if self._boundaries and dts + self.delay >= self._boundaries[0]:
            out: list[PackagingEvent] = []
            self._end_segment(dts, out)
            self._frames.append(frame)
            return out
        length = dts - frames[0].dts
        usual = dts - last
        if usual <= self._longest:
            self._before, self.usual = self.usual, usual
        else:
            usual = self.usual  # A hole says nothing about the frames that follow.
        if length + usual <= self._longest:
            frames.append(frame)
            return None
        out = []
        if self._split_overlong(dts, out):
            length = dts - last
        if length + usual > self._longest and length >= self._shortest:
            self._end_part(dts, out)
        self._frames.append(frame)
        return out

    def behind(self, time: int) -> bool:
        """Whether a segment should have ended before `time`."""
        return bool(self._boundaries) and self._boundaries[0] < time

    def expire(self, time: int) -> list[PackagingEvent] | None:
        """End the segments that should have ended before `time`, although no frame came to end them."""
        out: list[PackagingEvent] = []
        while self._boundaries and self._boundaries[0] < time:
            end = self._boundaries.popleft()
            if self._frames:
                # The last frame may reach over the boundary.
                end = max(end, self.end)
                self._end_part(self.end - self.delay, out)
            self._close_segment(end, out)
        return out or None

    @property
    def busy(self) -> bool:
        """Whether the segment being made has frames."""
        return bool(self._frames) or self._segment is not None

    @property
    def start(self) -> int:
        """Where the segment being made begins."""
        return self._start

    @property
    def last(self) -> int:
        """When its last frame is shown; before the segment being made, when that has none."""
        return self._frames[-1].dts + self.delay if self._frames else self._start - 1

    @property
    def end(self) -> int:
        """Where its frames end. What the last one lasts is a guess, within what a segment may last.

        Too little is better than too much, which would reach into what another epoch begins with: of a picture that
        stutters, the shorter of the last two durations.
        """
        if not self._frames:
            return self._start
        last = self._frames[-1].dts + self.delay
        return max(last + 1, min(last + min(self.usual, self._before), self._start + self.epoch.segment_limit))

    def finish(self, end: int) -> list[PackagingEvent]:
        """No frame follows: end the segment being made, with its frames or, without any, at `end`."""
        out: list[PackagingEvent] = []
        if self._frames:
            end = self.end
            self._end_part(end - self.delay, out)
        self._close_segment(end, out)
        return out

    def _push_first(self, frame: Frame) -> list[PackagingEvent] | None:
        """Take a frame that no other one waits for."""
        if not self.started:
            if not frame.keyframe:
                return None
            self.delay = frame.pts - frame.dts
            # Renditions share their keyframes but for the rounding of timestamps; sound from before them is dropped.
            if frame.pts < self._start - (self.usual // 2 if self._video else 0):
                return None
        time = frame.dts + self.delay
        out = self._cross(time) if self._boundaries else None
        if not self.started:
            self.started = True
            self._start = max(self._start, time)
        self._frames.append(frame)
        return out

    def _split_overlong(self, end: int, out: list[PackagingEvent]) -> bool:
        """Where the waiting frames last too long for a part (until `end`), make one without the last of them.

        Unless that would be too short: then they stay together, in a part that is listed as long as parts may be.
        """
        frames = self._frames
        length = frames[-1].dts - frames[0].dts
        if end - frames[0].dts <= self._longest or length < self._shortest:
            return False
        kept = frames.pop()
        self._end_part(kept.dts, out)
        self._frames.append(kept)
        return True

    def _cross(self, time: int) -> list[PackagingEvent]:
        """Pass the boundaries up to `time` without a frame before them."""
        out: list[PackagingEvent] = []
        while self._boundaries and time >= self._boundaries[0]:
            self._close_segment(self._boundaries.popleft(), out)
        return out

    def _end_segment(self, dts: int, out: list[PackagingEvent]) -> None:
        """The frame at `dts` lies beyond the next boundary, perhaps beyond several."""
        delay = self.delay
        time = dts + delay
        boundary = self._boundaries.popleft()
        if time - boundary <= self._late and not (self._boundaries and time >= self._boundaries[0]):
            end = time
        else:
            # A hole: the last frame before it lasts to the boundary, the next segment begins there without media.
            end = max(boundary, self._frames[-1].dts + delay + 1)
        self._split_overlong(end - delay, out)
        self._end_part(end - delay, out)
        self._close_segment(end, out)
        out.extend(self._cross(time))

    def _end_part(self, end: int, out: list[PackagingEvent]) -> None:
        """Make a part of the waiting frames, the last of which lasts until `end` (decode time)."""
        frames = self._frames
        self._frames = []
        times = [frame.dts for frame in frames]
        times.append(end)
        durations = [after - before for before, after in itertools.pairwise(times)]
        segment = self._segment
        if segment is None:
            segment = self._segment = Segment(
                self.msn, self.epoch, self._start, independent=frames[0].keyframe, frame=self.usual
            )
        self._sequence += 1
        payloads = [frame.payload for frame in frames]
        if self._video:
            offsets = [frame.pts - frame.dts for frame in frames]
            data = media_fragment(
                self._sequence,
                times[0],
                durations,
                payloads,
                flags=[SYNC if frame.keyframe else NON_SYNC for frame in frames],
                offsets=offsets if any(offsets) else None,
            )
        else:
            data = media_fragment(self._sequence, times[0], durations, payloads)
        segment.parts.append(Part(min(end - times[0], self._longest), frames[0].keyframe, data))
        segment.size += len(data)
        out.append(PartReady(segment, len(segment.parts) - 1))

    def _close_segment(self, end: int, out: list[PackagingEvent]) -> None:
        end = max(end, self._start + 1)
        segment = self._segment
        if segment is None and self.started:
            segment = Segment(self.msn, self.epoch, self._start, gap=True)
        if segment is not None:
            segment.duration = end - segment.start
            if segment.gap:
                self._sequence += 1
                segment.filler = empty_fragment(self._sequence, segment.start - self.delay, segment.duration)
            segment.complete = True
            out.append(SegmentReady(segment))
        self._segment = None
        self._start = end
        self.msn += 1
