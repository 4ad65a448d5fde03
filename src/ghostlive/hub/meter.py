"""What one publication sends, measured as it comes: rates, keyframes, stalls, and its clock against ours.

Each frame of each stream passes here, so for each there are a few additions and comparisons; once a second the counters
are noted, and what somebody asks for is computed from those notes. Rates are over media time: they say what the encoder
makes, also when the network delivers it in bursts.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ghostlive.core.frame import Frame
from ghostlive.core.track import Track, TrackKind

_NOTE_EVERY = 1.0
_NOTES_KEPT = 31
_BITRATE_OVER = 4.0
_FRAMES_OVER = 10.0
_LATE_NOTES = 5
"""Lateness is the least of so many notes, so that a stall that was made up for does not count."""
_KEYFRAMES_KEPT = 8
_FOREVER = float("inf")
_DRIFT = 0.0005
"""Two honest clocks may run apart by so many seconds a second; what is more is an encoder that cannot keep up."""


@dataclass(frozen=True, slots=True)
class TrackMeasurement:
    """What was seen of one track. Durations are in seconds of media time."""

    bitrate: int
    """Bits per second over the last four seconds."""
    frame_rate: float | None
    """Frames per second over the last ten seconds; None before anything can be said."""
    span: float
    """Over how much of those ten seconds `frame_rate` and `uneven` were measured."""
    uneven: float
    """The share of frames that do not stand on a regular grid of times; left-out frames are no reason. Video only."""
    keyframe_interval: float | None
    """The last distance of two keyframes; None before the second one. Video only."""
    keyframe_longest: float | None
    """The longest of the last distances, the one that has not ended yet included. Video only."""
    keyframe_shortest: float | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was seen of a publication. Durations are in seconds."""

    tracks: dict[str, TrackMeasurement]
    """By track id."""
    longest_gap: float
    """The longest time in the last 30 s in which nothing arrived."""
    behind: float
    """How much later than at its best the publisher's media comes now: its clock is slow, or its sending is."""
    audio_late: float
    """How much later audio arrives than video of the same time (negative: earlier); 0 unless there are both."""


class _Note(NamedTuple):
    frames: int
    size: int
    dts: int
    uneven: int
    late: float
    """Arrival less media time; where its zero lies means nothing."""


class _TrackMeter:
    __slots__ = (
        "dts", "frames", "highest", "intervals", "keyframe", "lowest", "notes", "size", "step", "tick", "uneven",
        "video",
    )  # fmt: skip

    def __init__(self, track: Track) -> None:
        self.video = track.kind is TrackKind.VIDEO
        self.tick = 1 / track.timescale
        self.frames = 0
        self.size = 0
        self.dts = 0
        self.uneven = 0
        self.notes: deque[_Note] = deque(maxlen=_NOTES_KEPT)
        self.keyframe: int | None = None
        self.intervals: deque[int] = deque(maxlen=_KEYFRAMES_KEPT)
        self.expect(float(track.timescale / track.frame_rate) if track.frame_rate else 0.0)

    def expect(self, step: float) -> None:
        """Take `step` ticks for the usual distance of two frames; 0 when that is not known yet."""
        self.step = step
        self.lowest, self.highest = (0.75 * step, 1.25 * step) if step else (0.0, _FOREVER)

    def unusual(self, step: int) -> None:
        """Look at a distance that is not the usual one. A multiple of it is a frame that the encoder left out."""
        if self.frames == 1 or not self.step:
            return  # there is nothing to compare it with
        multiple = step / self.step
        if multiple < 0.75 or abs(multiple - round(multiple)) > 0.25:
            self.uneven += 1

    def note(self, now: float) -> None:
        """Note the counters."""
        if self.frames:
            if self.notes and not self.step and (frames := self.frames - self.notes[0].frames) > 10:
                self.expect((self.dts - self.notes[0].dts) / frames)
            self.notes.append(_Note(self.frames, self.size, self.dts, self.uneven, now - self.dts * self.tick))

    def late(self) -> float | None:
        """How late this track comes."""
        return min((note.late for note in list(self.notes)[-_LATE_NOTES:]), default=None)

    def bitrate(self) -> int:
        """See `TrackMeasurement.bitrate`."""
        start = self._since(_BITRATE_OVER)
        span = (self.dts - start.dts) * self.tick if start else 0.0
        return round((self.size - start.size) * 8 / span) if start and span > 0.1 else 0

    def measure(self) -> TrackMeasurement:
        """All that is known of this track."""
        start = self._since(_FRAMES_OVER)
        frames = self.frames - start.frames if start else 0
        span = (self.dts - start.dts) * self.tick if start else 0.0
        intervals = [ticks * self.tick for ticks in self.intervals]
        running = [(self.dts - self.keyframe) * self.tick] if self.keyframe is not None else []
        return TrackMeasurement(
            bitrate=self.bitrate(),
            frame_rate=frames / span if span > 0.5 else None,
            span=span,
            uneven=(self.uneven - start.uneven) / frames if start and frames else 0.0,
            keyframe_interval=intervals[-1] if intervals else None,
            keyframe_longest=max(intervals + running, default=None),
            keyframe_shortest=min(intervals, default=None),
        )

    def _since(self, seconds: float) -> _Note | None:
        """The note that lies about so many seconds of media time back."""
        start = self.dts - (seconds + 0.5 * _NOTE_EVERY) / self.tick
        return next((note for note in self.notes if note.dts >= start), None)


class PublicationMeter:
    """Measures one publication, beginning when it is made. `follow` the tracks before frames of them are added."""

    def __init__(self, now: float) -> None:
        """`now` is the clock's, here as in `add` and `measure`."""
        self._tracks: dict[str, _TrackMeter] = {}
        self._last = now
        self._due = now
        self._gap = _FOREVER
        """The longest gap since the last note; for ever before the first frame, since nothing is missing before it."""
        self._gaps: deque[tuple[float, float]] = deque(maxlen=_NOTES_KEPT)
        self._best: float | None = None
        self._best_since = now

    def follow(self, tracks: Iterable[Track]) -> None:
        """Measure these tracks from now on."""
        self._tracks = {track.id: _TrackMeter(track) for track in tracks}
        self._due = self._last
        self._gap = _FOREVER

    def add(self, frame: Frame, now: float) -> None:
        """Count a frame of a followed track that arrived just now."""
        meter = self._tracks[frame.track]
        dts = frame.dts
        meter.frames += 1
        meter.size += len(frame.payload)
        if meter.video:
            if not meter.lowest < dts - meter.dts < meter.highest:
                meter.unusual(dts - meter.dts)
            if frame.keyframe:
                if meter.keyframe is not None:
                    meter.intervals.append(dts - meter.keyframe)
                meter.keyframe = dts
        meter.dts = dts
        if now - self._last > self._gap:  # noqa: PLR1730 - a call for each frame costs more
            self._gap = now - self._last
        self._last = now
        if now >= self._due:
            self._note(now)

    def bitrate(self, track: str) -> int:
        """Bits per second of a track; 0 when that is not known."""
        meter = self._tracks.get(track)
        return meter.bitrate() if meter else 0

    def measure(self, now: float) -> Measurement:
        """Everything, as it stands now."""
        gaps = [gap for noted, gap in self._gaps if now - noted < _NOTES_KEPT * _NOTE_EVERY]
        if self._gap < _FOREVER:
            gaps += [self._gap, now - self._last]
        late = self._late()
        video = [late for meter in self._tracks.values() if meter.video and (late := meter.late()) is not None]
        audio = [late for meter in self._tracks.values() if not meter.video and (late := meter.late()) is not None]
        return Measurement(
            tracks={name: meter.measure() for name, meter in self._tracks.items()},
            longest_gap=max(gaps, default=0.0),
            behind=max(late - self._best, 0.0) if late is not None and self._best is not None else 0.0,
            audio_late=audio[0] - video[0] if audio and video else 0.0,
        )

    def _note(self, now: float) -> None:
        self._due = now + _NOTE_EVERY
        if self._gap < _FOREVER:
            self._gaps.append((now, self._gap))
        self._gap = 0.0
        for meter in self._tracks.values():
            meter.note(now)
        late = self._late()
        if late is not None:
            allowed = late if self._best is None else self._best + (now - self._best_since) * _DRIFT
            self._best = min(allowed, late)
            self._best_since = now

    def _late(self) -> float | None:
        """How late the leading track comes."""
        found = [late for meter in self._tracks.values() if (late := meter.late()) is not None]
        return found[0] if found else None
