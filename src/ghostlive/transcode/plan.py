"""Plans: what is to be made of a source's track. Pure facts, shared by the ladder, the pool and the workers."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from ghostlive.core.track import Codec, TrackKind


class Mode(StrEnum):
    """When a rendition is made."""

    DEMAND = "demand"
    """While somebody watches."""
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """One video rendition."""

    id: str
    """The derived track's id: `v0-720p30`."""
    name: str
    """As people see it: `720p30`."""
    source: str
    """Id of the track that it is made of."""
    codec: Codec
    codec_string: str
    """What its stream will say (RFC 6381); the encoder is set up so that it holds."""
    width: int
    """Even, as the height."""
    height: int
    frame_rate: Fraction
    """Frames per second at most; frames of the source are left out to come below it, none is ever added."""
    bitrate: int
    """Bits per second; peaks are held down to this within a second."""
    mode: Mode = Mode.DEMAND
    realtime: bool = False
    """See `hub.derived.Offer.realtime`."""

    @property
    def kind(self) -> TrackKind:
        """Video."""
        return TrackKind.VIDEO


@dataclass(frozen=True, slots=True)
class AudioPlan:
    """One audio rendition."""

    id: str
    """`a0-aac`, `a0-opus`."""
    name: str
    source: str
    codec: Codec
    codec_string: str
    channels: int
    bitrate: int
    sample_rate: int = 48000
    mode: Mode = Mode.DEMAND

    @property
    def kind(self) -> TrackKind:
        """Audio."""
        return TrackKind.AUDIO


Plan = VideoPlan | AudioPlan
