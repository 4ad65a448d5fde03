"""One stream: which of its tracks are packaged, and where all of them are cut. No IO, no clock.

The leading track (the first video track, else the first audio track) decides; the others are cut at their first
frame at or after each of its boundaries, so that media sequence numbers mean the same time in every playlist. Their
frames wait until the leading track has come as far, since a boundary may still be decided before that.

The target duration is chosen from the first group, which is over before anything can be listed. An encoder that puts
keyframes where scenes change (x264's default) may send a short group first and long ones later. Then the target
duration is raised, once, before the first longer segment is listed, although it should never change (RFC 8216bis
§6.2.1): the alternatives are a segment that is longer than the playlist says, or one that begins without a keyframe, at
which hls.js, dash.js and Shaka stall.

Derived tracks (`derived_lane`) come and go within an epoch and decide nothing.
"""

import itertools
import math
from collections import deque
from collections.abc import Sequence
from statistics import median

from ghostlive.core.frame import Frame
from ghostlive.core.timeline import NS, Timeline
from ghostlive.core.track import Track, TrackKind
from ghostlive.formats.fmp4 import init_segment
from ghostlive.packager.boundary import BoundaryClock
from ghostlive.packager.cadence import LATE_CUT, LONGEST_SEGMENT, fits, part_target, segment_limit, target_duration
from ghostlive.packager.config import PackagerConfig
from ghostlive.packager.derived_lane import Boundary, DerivedLane
from ghostlive.packager.model import Epoch, PackagingEvent, RunReady
from ghostlive.packager.silence import Silence, silence_for
from ghostlive.packager.track_packager import TrackPackager

_PATIENCE = 2.0
"""Seconds that one track may stay behind the others before it is taken for silent, if nothing can stand in for it."""

_SOUND_PATIENCE = 0.5
"""Seconds that sound in time with the picture may stay behind before silence stands in for it; players hold about as
much of what they have not played yet."""

_LATE_SOUND = 6.0
"""Seconds that sound may stay behind that was late before."""

_HOLE = 1.0
"""Seconds without a frame of the leading track that are not waited through for its next keyframe."""

_LEAST_PRELUDE = 0.5
"""Seconds of the leading track that the choice of part and segment durations is made from, at the least."""

_MOST_PRELUDE = 32 * 1024 * 1024
"""Bytes of all tracks that the choice is made from, at the most."""

_BOUNDARIES = 64
"""Boundaries remembered, for derived tracks that begin in the past."""


class _Lane:
    """One track of the current epoch: its packager and the frames that wait."""

    __slots__ = ("packager", "silence", "timescale", "track", "waiting")

    def __init__(self, track: Track, packager: TrackPackager, silence: Silence | None) -> None:
        self.track = track
        self.timescale = track.timescale
        self.packager = packager
        self.silence = silence
        self.waiting: deque[Frame] = deque()


class StreamSegmenter:
    """Cuts all tracks of one live session."""

    def __init__(self, config: PackagerConfig) -> None:
        """Settings are those of the section `packager`."""
        self._config = config
        self.target_duration = 0
        """EXT-X-TARGETDURATION, the same for all tracks; 0 until enough frames were seen. May be raised once."""
        self._part_target = 0.0
        self._part_targets: dict[str, float] = {}
        self._boundary: BoundaryClock | None = None
        self._boundary_timescale = 0
        self._epochs = 0
        self._msn = 0
        self._tracks: tuple[Track, ...] = ()
        self._inits: dict[str, bytes] = {}
        self._timeline = Timeline(0)
        self._leading: Track | None = None
        self._lead: _Lane | None = None
        self._lanes: dict[str, _Lane] = {}
        self._others: tuple[_Lane, ...] = ()
        self._prelude: list[Frame] | None = []
        self._prelude_size = 0
        self._hidden = ""
        self._derived: dict[str, DerivedLane] = {}
        self._boundaries: deque[Boundary] = deque(maxlen=_BOUNDARIES)
        self._free: dict[str, int] = {}
        """Of derived tracks: the first number that no segment of an earlier run has."""
        self._runs: dict[str, list[bytes]] = {}
        """Of derived tracks: the different configurations of this epoch."""

    @property
    def epoch(self) -> int:
        """The number of the current epoch, or of the one that begins with the next frames."""
        return self._epochs if self._lead is None else self._epochs - 1

    def part_target(self, track: str) -> float:
        """EXT-X-PART-INF's PART-TARGET of a track, in seconds; 0 until it is known."""
        return self._part_targets.get(track, 0.0)

    def begin(self, tracks: Sequence[Track], timeline: Timeline, hidden: Track | None = None) -> None:
        """Frames of these tracks follow; the epoch before was finished. The tracks can all be packaged.

        `hidden` is one that cannot, and leads all the same: its segments have nothing in them but their times.
        """
        self._tracks = tuple(tracks)
        self._timeline = timeline
        self._leading = hidden or next(
            (track for track in tracks if track.kind is TrackKind.VIDEO), tracks[0] if tracks else None
        )
        self._inits = {track.id: init_segment(track) for track in tracks}
        self._hidden = ""
        if hidden is not None:
            self._hidden = hidden.id
            self._tracks = (hidden, *self._tracks)
            self._inits[hidden.id] = b""
        self._derived = {}
        self._runs = {}
        self._lead = None
        self._lanes = {}
        self._others = ()
        self._prelude = []
        self._prelude_size = 0

    def open(self, track: Track) -> list[PackagingEvent]:
        """Frames of a derived track follow, from a keyframe on. Raises `MediaError` when it cannot be packaged."""
        init = init_segment(track)
        out = self.close(track.id)
        lane = self._derived[track.id] = DerivedLane(track, init)
        if self._lead is not None:
            out.append(self._join(lane))
        return out

    def close(self, track: str) -> list[PackagingEvent]:
        """No more frames of a derived track follow, for now."""
        lane = self._derived.pop(track, None)
        if lane is None:
            return []
        out = lane.flush()
        packager = lane.packager
        if packager is not None:
            if packager.busy:
                out.extend(packager.finish(packager.end))
            self._free[track] = packager.msn
        return out

    def push(self, frame: Frame) -> list[PackagingEvent] | None:
        """Take a frame; returns what it completed, None for nothing."""
        lane = self._lanes.get(frame.track)
        if lane is None:
            derived = self._derived.get(frame.track)
            if derived is not None:
                return self._push_derived(derived, frame)
            return self._push_prelude(frame) if self._prelude is not None else None
        if lane is self._lead:
            return self._push_leading(lane, frame)
        if lane.silence is not None:
            lead = self._lead
            assert lead is not None
            lane.silence.came(frame.pts, lead.packager.last * lane.timescale // lead.timescale)
        lane.waiting.append(frame)
        return self._overtake(frame.dts / lane.timescale)

    def finish(self) -> list[PackagingEvent]:
        """No frame of this epoch follows: complete what there is."""
        out: list[PackagingEvent] = []
        if self._prelude:
            out.extend(self._decide())
        self._prelude = None
        lead = self._lead
        boundary = self._boundary
        if lead is None or boundary is None:
            return out
        for lane in self._others:
            # Sound may be ahead of the picture's last frame, by more than fits into the segment.
            if lane.waiting:
                self._bridge(lane.waiting[-1].pts * lead.timescale // lane.timescale)
        for lane in self._others:
            while lane.waiting:
                out.extend(lane.packager.push(lane.waiting.popleft()) or ())
        end = max(lane.packager.end / lane.timescale for lane in self._lanes.values())
        self._stretch(boundary.length(int(end * lead.timescale)), lead.timescale)
        packagers = [lane.packager for lane in self._lanes.values()]
        for derived in self._derived.values():
            # What is under way of them still belongs to this epoch and will not be asked for.
            out.extend(derived.flush())
            if derived.packager is not None:
                packagers.append(derived.packager)
        for packager in packagers:
            scale = packager.epoch.track.timescale
            # A little less sound than picture is usual, but not a segment without any.
            if packager.behind(int(end * scale) + 1) or (end - _SOUND_PATIENCE) * scale > packager.end:
                out.extend(packager.fill(int(end * scale)))
            out.extend(packager.expire(int(end * packager.epoch.track.timescale) + 1) or ())
        if any(packager.busy for packager in packagers):
            for packager in packagers:
                out.extend(packager.finish(int(end * packager.epoch.track.timescale)))
        self._msn = lead.packager.msn
        self._lead = None
        self._lanes = {}
        self._others = ()
        self._derived = {}
        return out

    def _push_prelude(self, frame: Frame) -> list[PackagingEvent] | None:
        """Keep the first frames until they tell how they come: nothing can be listed before that anyway."""
        leading = self._leading
        prelude = self._prelude
        if leading is None or prelude is None:
            return None
        if not prelude and not (frame.track == leading.id and frame.keyframe):
            return None
        prelude.append(frame)
        self._prelude_size += len(frame.payload)
        if self.target_duration or self._prelude_size > _MOST_PRELUDE:
            return self._decide()
        if frame.track != leading.id or len(prelude) == 1:
            return None
        elapsed = (frame.dts - prelude[0].dts) / leading.timescale
        if elapsed < _LEAST_PRELUDE:
            return None
        known = any(other.keyframe and other.track == leading.id for other in prelude[1:])
        return self._decide() if known or elapsed >= LONGEST_SEGMENT else None

    def _decide(self) -> list[PackagingEvent]:
        """Begin to package, with the frames kept so far."""
        prelude, self._prelude = self._prelude or [], None
        leading = self._leading
        assert leading is not None
        if not self.target_duration:
            self._choose(leading, [frame for frame in prelude if frame.track == leading.id])
        self._open(leading, prelude[0].pts, prelude)
        out: list[PackagingEvent] = [self._join(lane) for lane in self._derived.values()]
        for frame in prelude:
            out.extend(self.push(frame) or ())
        return out

    def _choose(self, leading: Track, frames: list[Frame]) -> None:
        """Choose what the playlists declare."""
        scale = leading.timescale
        durations = _durations(frames, scale)
        if not durations and leading.frame_rate:
            durations = [float(1 / leading.frame_rate)]
        self._part_target = part_target(durations, self._config.part)
        groups = _durations([frame for frame in frames if frame.keyframe], scale)
        group = max(groups) if groups else None
        if group is None and sum(durations) < LONGEST_SEGMENT:
            group = sum(durations)  # The stream ended before its second keyframe.
        self.target_duration = target_duration(group, self._config.segment)

    def _open(self, leading: Track, start: int, prelude: Sequence[Frame]) -> None:
        """Set up the lanes of a new epoch that begins at `start` (presentation, ticks of the leading track)."""
        number = self._epochs
        self._epochs += 1
        scale = leading.timescale
        if self._boundary is None or self._boundary_timescale != scale:
            self._boundary = BoundaryClock(
                target=int(self._config.segment * scale), limit=int(segment_limit(math.ceil(LONGEST_SEGMENT)) * scale)
            )
            self._boundary_timescale = scale
        self._boundary.begin(start)
        for track in self._tracks:
            measured = _durations([frame for frame in prelude if frame.track == track.id], track.timescale)
            usual = median(measured) if measured else _expected(track)
            if track.id not in self._part_targets:
                self._part_targets[track.id] = (
                    self._part_target
                    if track is leading or fits(usual, self._part_target)
                    else part_target([usual], self._config.part)
                )
            epoch = Epoch(
                number, track, self._timeline, self._inits[track.id], start * NS // scale,
                int((segment_limit(math.ceil(LONGEST_SEGMENT)) + LATE_CUT) * track.timescale),
                int(self._part_targets[track.id] * track.timescale + 1e-6),
            )  # fmt: skip
            silence = None
            if track is not leading:
                silence = silence_for(track, least=_SOUND_PATIENCE, most=_LATE_SOUND)
            packager = TrackPackager(
                epoch, self._msn, start=-(-start * track.timescale // scale), usual=int(usual * track.timescale),
                silence=silence,
            )  # fmt: skip
            self._lanes[track.id] = _Lane(track, packager, silence)
        self._lead = self._lanes[leading.id]
        self._others = tuple(lane for lane in self._lanes.values() if lane is not self._lead)
        self._learn(prelude)
        self._boundaries.clear()
        self._boundaries.append(Boundary(self._msn, start))

    def _learn(self, prelude: Sequence[Frame]) -> None:
        """Learn how late sound comes from the first frames, before any of it is taken for silent."""
        lead = self._lead
        assert lead is not None
        now = 0
        for frame in prelude:
            lane = self._lanes.get(frame.track)
            if lane is lead:
                now = frame.pts
            elif lane is not None and lane.silence is not None:
                lane.silence.came(frame.pts, now * lane.timescale // lead.timescale)

    def _join(self, lane: DerivedLane) -> RunReady:
        """Give a derived track its place in the epoch."""
        lead = self._lead
        assert lead is not None
        track = lane.track
        usual = _expected(track)
        if track.id not in self._part_targets:
            self._part_targets[track.id] = (
                self._part_target if fits(usual, self._part_target) else part_target([usual], self._config.part)
            )
        configs = self._runs.setdefault(track.id, [])
        if track.config not in configs:
            configs.append(track.config)
        scale = track.timescale
        epoch = Epoch(
            lead.packager.epoch.number, track, self._timeline, lane.init, lead.packager.epoch.start_ns,
            int((segment_limit(math.ceil(LONGEST_SEGMENT)) + LATE_CUT) * scale),
            int(self._part_targets[track.id] * scale + 1e-6), configs.index(track.config),
        )  # fmt: skip
        lane.begin(
            epoch,
            self._boundaries,
            scale=lead.timescale,
            now=lead.packager.last,
            usual=int(usual * scale),
            first_msn=self._free.get(track.id, 0),
            first_config=configs[0],
        )
        return RunReady(epoch)

    def _push_derived(self, lane: DerivedLane, frame: Frame) -> list[PackagingEvent] | None:
        lead = self._lead
        lane.push(frame, lead.packager.last if lead is not None else None)
        if lead is None:
            self._prelude_size += len(frame.payload)
            return None
        out = lane.release(lead.packager.last)
        if lane.track.kind is TrackKind.AUDIO:
            events = self._overtake(frame.dts / lane.track.timescale)
            if events:
                out = [*(out or ()), *events]
        return out

    def _push_leading(self, lane: _Lane, frame: Frame) -> list[PackagingEvent] | None:
        if self._hidden:
            frame = Frame(frame.track, frame.dts, frame.pts, frame.keyframe, b"")
        packager = lane.packager
        boundary = self._boundary
        assert boundary is not None
        time = frame.dts + packager.delay
        if packager.started:
            self._bridge(time)
            self._stretch(boundary.length(time), lane.timescale)
            begins = boundary.keyframe(time) if frame.keyframe else boundary.split(time, packager.usual)
            if begins:
                boundary.cut(time)
                self._announce(time)
        out = packager.push(frame)
        for other in self._others:
            released = self._release(other, frame.dts * other.timescale // lane.timescale)
            if released:
                out = [*(out or ()), *released]
        away = bool(self._derived) and self._silent(time)
        for derived in self._derived.values():
            released = derived.release(time) or derived.fill(time, away=away) or derived.expire(time)
            if released:
                out = [*(out or ()), *released]
        return out

    def _silent(self, time: int) -> bool:
        """Whether the source has no sound at the moment, as far as is known; the leading track has come to `time`."""
        lead = self._lead
        assert lead is not None
        heard = [
            (lane.silence, time * lane.timescale // lead.timescale)
            for lane in self._others
            if lane.track.kind is TrackKind.AUDIO
        ]
        return bool(heard) and all(silence is not None and silence.away(now) for silence, now in heard)

    def _release(self, lane: _Lane, horizon: int) -> list[PackagingEvent] | None:
        """Package the waiting frames of a lane that no boundary can come before any more."""
        waiting = lane.waiting
        out: list[PackagingEvent] | None = None
        while waiting and waiting[0].pts <= horizon:
            events = lane.packager.push(waiting.popleft())
            if events:
                out = [*(out or ()), *events]
        patience = int(_PATIENCE * lane.timescale)
        if lane.silence is not None:
            events = lane.packager.fill(horizon - lane.silence.patience)
            if events:
                out = [*(out or ()), *events]
            patience = max(patience, lane.silence.patience)
        if lane.packager.behind(horizon - patience):
            events = lane.packager.expire(horizon - patience)
            if events:
                out = [*(out or ()), *events]
        return out

    def _overtake(self, time: float) -> list[PackagingEvent] | None:
        """Another track has come to `time` (seconds): go on without the leading one if it stays far behind."""
        lead = self._lead
        boundary = self._boundary
        assert lead is not None
        assert boundary is not None
        now = int((time - _PATIENCE) * lead.timescale)
        if now <= lead.packager.end:
            return None
        self._bridge(now, silent=True)
        self._stretch(boundary.length(now), lead.timescale)
        out = lead.packager.expire(now) or []
        for other in self._others:
            out.extend(self._release(other, int((time - _PATIENCE) * other.timescale)) or ())
        for derived in self._derived.values():
            out.extend(derived.release(now) or ())
        return out

    def _bridge(self, time: int, *, silent: bool = False) -> None:
        """Cut where the leading track has no frames up to `time`: a hole lets the other tracks go on as usual.

        `silent`: it was waited for long enough, and what has come of the others is about to be packaged.
        """
        lead = self._lead
        boundary = self._boundary
        assert lead is not None
        assert boundary is not None
        hole = silent or time - lead.packager.end > _HOLE * lead.timescale
        limit = int(segment_limit(self.target_duration if hole else math.ceil(LONGEST_SEGMENT)) * lead.timescale)
        while boundary.overdue(time, limit):
            # Not before the last frame, nor, since how long that one lasts is a guess, later than a segment may end.
            end = min(lead.packager.end, time - boundary.length(time) + limit)
            end = max(end, lead.packager.last + 1)
            self._stretch(boundary.length(end), lead.timescale)
            self._announce(boundary.force(end))

    def _stretch(self, length: int, timescale: int) -> None:
        """Raise the target duration when the current segment has become longer than it allows."""
        if length > segment_limit(self.target_duration) * timescale:
            self.target_duration = math.ceil(LONGEST_SEGMENT)

    def _announce(self, time: int) -> None:
        """Tell every track of a boundary."""
        scale = self._boundary_timescale
        for lane in self._lanes.values():
            own = time if lane.timescale == scale else -(-time * lane.timescale // scale)
            if lane is not self._lead and lane.track.kind is TrackKind.VIDEO:
                # Renditions share their keyframes, but for the rounding of timestamps.
                own -= lane.packager.usual // 2
            lane.packager.cut(own)
        boundary = Boundary(self._boundaries[-1].msn + 1, time)
        self._boundaries.append(boundary)
        for derived in self._derived.values():
            derived.cut(boundary)


def _durations(frames: Sequence[Frame], timescale: int) -> list[float]:
    return [(after.dts - before.dts) / timescale for before, after in itertools.pairwise(frames)]


def _expected(track: Track) -> float:
    """How long a frame of this track lasts, in seconds, before any was measured."""
    if track.kind is TrackKind.AUDIO:
        return 1024 / track.sample_rate if track.sample_rate else 0.02
    return float(1 / track.frame_rate) if track.frame_rate else 1 / 30
