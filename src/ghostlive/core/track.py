"""Tracks: what one elementary stream is, as read from its bit stream.

A track never changes. When a source changes its codec configuration (a new resolution, say) it announces new
tracks, and whoever packages them begins a new epoch.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class TrackKind(StrEnum):
    """The kinds of elementary stream."""

    VIDEO = "video"
    AUDIO = "audio"


class Codec(StrEnum):
    """Codecs by their common names. `codecs/` has one file for each family."""

    H264 = "h264"
    H265 = "h265"
    AV1 = "av1"
    VP8 = "vp8"
    VP9 = "vp9"
    AAC = "aac"
    OPUS = "opus"
    FLAC = "flac"
    AC3 = "ac3"
    EAC3 = "eac3"
    MP3 = "mp3"
    PCMA = "pcma"
    """G.711 A-law."""
    PCMU = "pcmu"
    """G.711 µ-law."""

    @property
    def kind(self) -> TrackKind:
        """Whether the codec carries video or audio."""
        return TrackKind.VIDEO if self in _VIDEO else TrackKind.AUDIO


_VIDEO = frozenset({Codec.H264, Codec.H265, Codec.AV1, Codec.VP8, Codec.VP9})


@dataclass(frozen=True, slots=True)
class Track:
    """One elementary stream of a publication.

    `config` is the codec's configuration as ISO base media files carry it, without the box header:
    H.264 AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3), H.265 HEVCDecoderConfigurationRecord (§8.3.3),
    AV1 AV1CodecConfigurationRecord (AV1-ISOBMFF §2.3.3), VP9 VPCodecConfigurationRecord, AAC AudioSpecificConfig
    (ISO/IEC 14496-3 §1.6.2.1), Opus the identification header with its magic (RFC 7845 §5.1), FLAC the STREAMINFO
    block (RFC 9639 §8.2), AC-3 and E-AC-3 the body of `dac3` / `dec3` (ETSI TS 102 366 annex F), G.711 the number of
    channels in one byte, MP3 empty.
    """

    id: str
    """Unique in its publication and safe in a URL: `v0`, `v1`, `a0`, …"""
    codec: Codec
    timescale: int
    """Ticks per second of this track's `dts` and `pts`."""
    config: bytes
    codec_string: str
    """RFC 6381 `codecs` parameter: `avc1.64001f`, `mp4a.40.2`, …"""
    width: int = 0
    """Video: visible width in luma samples."""
    height: int = 0
    frame_rate: Fraction | None = None
    """Video: frames per second; None when neither the bit stream nor its timestamps told."""
    has_b_frames: bool = False
    """Video: presentation order differs from decoding order."""
    sample_rate: int = 0
    """Audio: Hz as played."""
    channels: int = 0
    language: str = ""
    """BCP 47 tag, empty when unknown."""
    title: str = ""

    @property
    def kind(self) -> TrackKind:
        """Whether this is video or audio."""
        return self.codec.kind


def picture_name(width: int, height: int, frame_rate: Fraction | None) -> str:
    """What people call a picture: its shorter side and its frame rate, `1080p60`, in either orientation."""
    rate = "" if frame_rate is None else str(round(frame_rate))
    return f"{min(width, height)}p{rate}"
