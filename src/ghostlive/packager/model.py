"""The nouns of packaging: epochs, parts, segments.

Times are integers in the timescale of their epoch. `start` and `duration` are presentation times on the stream's
timeline; a segment begins where the one before it ended, so that segments tile the timeline without gaps.
"""

from dataclasses import dataclass, field
from pathlib import Path

from ghostlive.core.timeline import Timeline
from ghostlive.core.track import Track


@dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """A run of one track with one initialization segment. Between two of them lies a discontinuity."""

    number: int
    """Counts the runs of a live session from 0, the same for all tracks."""
    track: Track
    timeline: Timeline
    init: bytes
    start_ns: int
    """Where it begins on the stream's timeline, in nanoseconds, the same for all tracks."""
    segment_limit: int
    """Ticks that a segment may last at most, to be within the target duration when rounded."""
    part_target: int
    """Ticks that a part may last at most; the same for all epochs of a rendition, in seconds."""
    run: int = 0
    """Counts, within the epoch, the runs of a derived track whose initialization segments differ."""

    @property
    def init_file(self) -> str:
        """The name of its initialization segment. The first one's can be told before there is one."""
        return f"init-{self.number}.{self.run}.mp4" if self.run else f"init-{self.number}.mp4"


@dataclass(slots=True, eq=False)
class Part:
    """A few frames: one CMAF chunk."""

    duration: int
    """Ticks as listed: what it lasts, but never more than the part target (a single frame may last longer)."""
    independent: bool
    """It begins with a frame that can be decoded by itself."""
    data: bytes


@dataclass(slots=True, eq=False)
class Segment:
    """The parts from one cut to the next. Without parts when complete, it is a gap: the track had no frame."""

    msn: int
    epoch: Epoch
    start: int
    duration: int = 0
    """0 until it is complete."""
    parts: list[Part] = field(default_factory=list)
    """Emptied when it leaves memory."""
    complete: bool = False
    independent: bool = False
    gap: bool = False
    filler: bytes = b""
    """Of a gap: the fragment that says so."""
    size: int = 0
    frame: int = 0
    """What a frame of it lasts."""
    file: Path | None = None
    text: str = ""
    """Its lines in a playlist, kept once it is complete."""
    part_lines: list[str] | None = field(default_factory=list)
    """The lines of its parts in a low-latency playlist, kept as they are made; None when parts are served no longer."""

    @property
    def timescale(self) -> int:
        """Ticks per second of its times."""
        return self.epoch.track.timescale

    @property
    def seconds(self) -> float:
        """Its duration."""
        return self.duration / self.epoch.track.timescale

    @property
    def start_seconds(self) -> float:
        """Where it begins on the stream's timeline."""
        return self.start / self.epoch.track.timescale

    @property
    def end_seconds(self) -> float:
        """Where it ends on the stream's timeline; its beginning, until it is complete."""
        return (self.start + self.duration) / self.epoch.track.timescale


@dataclass(frozen=True, slots=True, eq=False)
class PartReady:
    """A part was added to its segment."""

    segment: Segment
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class SegmentReady:
    """A segment is complete."""

    segment: Segment


@dataclass(frozen=True, slots=True, eq=False)
class RunReady:
    """A derived track takes part in the current epoch from now on."""

    epoch: Epoch


PackagingEvent = PartReady | SegmentReady | RunReady
