"""What the pool says of itself to the studio and to metrics."""

from dataclasses import dataclass
from enum import StrEnum

from ghostlive.transcode.plan import Mode


class RenditionState(StrEnum):
    """How a rendition stands."""

    SOURCE = "source"
    """It is the source's own track, passed through."""
    IDLE = "idle"
    """Nobody watches it."""
    STARTING = "starting"
    RUNNING = "running"
    LINGERING = "lingering"
    """Its last viewer left; it runs a little longer, should one come back."""
    REFUSED = "refused"
    """It was asked for and cannot be made now; `reason` says why."""


@dataclass(frozen=True, slots=True)
class RenditionReport:
    """One rendition of a live stream."""

    id: str
    name: str
    kind: str
    """`video` or `audio`."""
    codec: str
    width: int
    height: int
    frame_rate: float | None
    """As encoded now, when it was thinned."""
    bitrate: int
    mode: Mode | None
    """None for the source's own tracks."""
    state: RenditionState
    encoder: str = ""
    """FFmpeg's name, while it runs."""
    hardware: bool = False
    speed: float | None = None
    """Seconds of media that its encoding could make in a second; below 1 the machine cannot keep up."""
    cpu: float | None = None
    """Cores, as measured, its share of the decoding included."""
    frames_dropped: int = 0
    reason: str = ""
    """Why it is refused or thinned, in plain words."""
    realtime: bool = False
    """It is for WebRTC alone; see `hub.derived.Offer.realtime`."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A rendition that the ladder has and this source or this machine has not."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class TranscodeWarning:
    """Something that whoever manages the stream should know. Pages have the sentence for each code."""

    code: str
    """`too_slow`, `budget_spent`, `worker_crashed`, `source_broken`, `encoder_fell_back`, `decoder_too_slow`."""
    values: dict[str, str | float]


@dataclass(frozen=True, slots=True)
class StreamReport:
    """All renditions of a live stream, the source's first."""

    renditions: tuple[RenditionReport, ...]
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[TranscodeWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class MachineReport:
    """What may be spent, and is."""

    cores: float
    cores_used: float
    """Promised to what runs."""
    memory: int
    """Bytes."""
    memory_used: int
    workers: int
