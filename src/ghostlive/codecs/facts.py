"""Facts: the answers that are the same for every codec.

Values only; who computes them is in the file of the codec, and `describe` finds that file.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Colour:
    """How samples map to light: code points of ISO/IEC 23091-2 (ITU-T H.273); 2 means unspecified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool = False

    @property
    def hdr(self) -> bool:
        """The transfer characteristics are PQ (16) or HLG (18)."""
        return self.transfer in (16, 18)


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a video configuration says, in the units that `core.track.Track` wants."""

    config: bytes
    """The configuration as `Track.config` carries it: NAL lengths of 4 bytes, no wrapping."""
    codec_string: str
    """RFC 6381."""
    width: int
    """Visible luma samples; 0 when neither configuration nor frame told (VP8 and VP9 without a key frame)."""
    height: int
    frame_rate: Fraction | None = None
    """Pictures per second; None when the bit stream does not tell."""
    has_b_frames: bool | None = None
    """Whether presentation order may differ from decoding order; None when the bit stream does not tell."""
    bit_depth: int = 8
    """Bits of a luma sample."""
    colour: Colour | None = None
    interlaced: bool = False
    length_size: int = 4
    """H.264 and H.265: bytes of a NAL length in frames that come with the configuration as it was given."""


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What an audio configuration says, in the units that `core.track.Track` wants."""

    config: bytes
    """The configuration as `Track.config` carries it."""
    codec_string: str
    """RFC 6381."""
    sample_rate: int
    """Hz as played; also the best timescale. For HE-AAC this is twice the rate of the coded core."""
    channels: int
    """As played; 0 when neither configuration nor packet told."""
    frame_samples: int | None = None
    """Samples of each packet in `sample_rate`; None when packets differ (Opus, some FLAC, E-AC-3, G.711)."""
    pre_skip: int = 0
    """Samples in `sample_rate` to drop when decoding begins (Opus)."""
    sample_bytes: int = 0
    """Bytes of one sample of all channels where packets are nothing but samples (G.711), else 0."""


class AccessUnit(NamedTuple):
    """One picture as `core.frame.Frame` carries it. A tuple, because one is made for each frame of each stream."""

    payload: bytes
    """The very object that was given when nothing had to change; empty when only parameter sets came."""
    keyframe: bool
    """Decoding may begin here."""
    parameter_sets: tuple[bytes, ...] = ()
    """VPS, SPS and PPS NAL units, or AV1 sequence header OBUs, in the order found."""
