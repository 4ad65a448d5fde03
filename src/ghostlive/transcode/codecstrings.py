"""Codec strings that renditions promise before an encoder runs: profile and level from size, rate and bit rate. Pure.

The encoder is then set up with the very profile and level, so that the promise holds. Levels are upper bounds: one that
is too low makes players refuse what they could play, one that is too high makes weak devices refuse it.

Specification: ITU-T H.264 (08/2021) table A-1 and §A.3; AV1 Bitstream & Decoding Process annex A.3; RFC 6381;
AV1 Codec ISO Media File Format Binding §5.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

from ghostlive.core.track import Codec


class LevelExceededError(ValueError):
    """No level of the codec allows a picture of that size, rate and bit rate; the text says so to people."""


class _AvcLevel(NamedTuple):
    idc: int
    blocks_per_second: int
    blocks: int
    kilobits: int
    """MaxBR, in units of 1000 bits/s at cpbBrVclFactor 1000."""


# Table A-1 from level 3 on: no decoder of today gains anything by a lower one.
_AVC_LEVELS = (
    _AvcLevel(30, 40_500, 1_620, 10_000),
    _AvcLevel(31, 108_000, 3_600, 14_000),
    _AvcLevel(32, 216_000, 5_120, 20_000),
    _AvcLevel(40, 245_760, 8_192, 20_000),
    _AvcLevel(41, 245_760, 8_192, 50_000),
    _AvcLevel(42, 522_240, 8_704, 50_000),
    _AvcLevel(50, 589_824, 22_080, 135_000),
    _AvcLevel(51, 983_040, 36_864, 240_000),
    _AvcLevel(52, 2_073_600, 36_864, 240_000),
    _AvcLevel(60, 4_177_920, 139_264, 240_000),
    _AvcLevel(61, 8_355_840, 139_264, 480_000),
    _AvcLevel(62, 16_711_680, 139_264, 800_000),
)


class _Av1Level(NamedTuple):
    seq_level_idx: int
    samples: int
    width: int
    height: int
    display_rate: int
    main_megabits: float
    high_megabits: float
    """0 where there is no High tier."""


# Annex A.3. Levels without an entry (2.2, 2.3, …) are reserved; 5.3 and 6.3 differ only in what is decoded unseen.
_AV1_LEVELS = (
    _Av1Level(0, 147_456, 2_048, 1_152, 4_423_680, 1.5, 0),
    _Av1Level(1, 278_784, 2_816, 1_584, 8_363_520, 3, 0),
    _Av1Level(4, 665_856, 4_352, 2_448, 19_975_680, 6, 0),
    _Av1Level(5, 1_065_024, 5_504, 3_096, 31_950_720, 10, 0),
    _Av1Level(8, 2_359_296, 6_144, 3_456, 70_778_880, 12, 30),
    _Av1Level(9, 2_359_296, 6_144, 3_456, 141_557_760, 20, 50),
    _Av1Level(12, 8_912_896, 8_192, 4_352, 267_386_880, 30, 100),
    _Av1Level(13, 8_912_896, 8_192, 4_352, 534_773_760, 40, 160),
    _Av1Level(14, 8_912_896, 8_192, 4_352, 1_069_547_520, 60, 240),
    _Av1Level(16, 35_651_584, 16_384, 8_704, 1_069_547_520, 60, 240),
    _Av1Level(17, 35_651_584, 16_384, 8_704, 2_139_095_040, 100, 480),
    _Av1Level(18, 35_651_584, 16_384, 8_704, 4_278_190_080, 160, 800),
)


def h264_level(width: int, height: int, frame_rate: Fraction, bitrate: int) -> int:
    """level_idc (31 is 3.1) of progressive High profile. Raises `LevelExceededError`."""
    across, down = -(-width // 16), -(-height // 16)
    blocks = across * down
    for level in _AVC_LEVELS:
        # §A.3.1 d, e: neither side may be longer than the root of eight times the blocks of a picture.
        fits = blocks <= level.blocks and max(across, down) ** 2 <= 8 * level.blocks
        # High profile has cpbBrVclFactor 1250 (table A-2).
        if fits and blocks * frame_rate <= level.blocks_per_second and bitrate <= level.kilobits * 1250:
            return level.idc
    raise LevelExceededError(f"H.264 has no level for {width}x{height} at {float(frame_rate):.4g} frames per second")


def av1_level(width: int, height: int, frame_rate: Fraction, bitrate: int) -> tuple[int, int]:
    """seq_level_idx (8 is 4.0) and tier (0 Main, 1 High) of Main profile. Raises `LevelExceededError`.

    A higher level of Main tier goes before High tier, which few decoders know.
    """
    samples = width * height
    for high in (False, True):
        for level in _AV1_LEVELS:
            fits = samples <= level.samples and width <= level.width and height <= level.height
            megabits = level.high_megabits if high else level.main_megabits
            if fits and samples * frame_rate <= level.display_rate and bitrate <= megabits * 1_000_000:
                return level.seq_level_idx, int(high)
    raise LevelExceededError(f"AV1 has no level for {width}x{height} at {float(frame_rate):.4g} frames per second")


def _h264(width: int, height: int, frame_rate: Fraction, bitrate: int) -> str:
    """High profile, which everything made since 2010 decodes; no constraint flag set."""
    return f"avc1.6400{h264_level(width, height, frame_rate, bitrate):02x}"


def _av1(width: int, height: int, frame_rate: Fraction, bitrate: int) -> str:
    level, tier = av1_level(width, height, frame_rate, bitrate)
    return f"av01.0.{level:02}{'MH'[tier]}.08"


def _vp8(width: int, height: int, frame_rate: Fraction, bitrate: int) -> str:
    """VP8 has neither profiles to choose from nor levels; sizes have 14 bits (RFC 6386 §9.1)."""
    if max(width, height) > 0x3FFF:
        raise LevelExceededError(f"VP8 has no pictures of {width}x{height}")
    return "vp8"


_VIDEO: Mapping[Codec, Callable[[int, int, Fraction, int], str]] = {
    Codec.H264: _h264,
    Codec.AV1: _av1,
    Codec.VP8: _vp8,
}
_AUDIO: Mapping[Codec, str] = {Codec.AAC: "mp4a.40.2", Codec.OPUS: "opus"}


def video_codec_string(codec: Codec, width: int, height: int, frame_rate: Fraction, bitrate: int) -> str:
    """The codec string (RFC 6381) of a rendition in 8 bits 4:2:0; `bitrate` in bits per second.

    Raises `LevelExceededError` when the codec has no such picture, `KeyError` for codecs that nothing encodes here.
    """
    return _VIDEO[codec](width, height, frame_rate, bitrate)


def audio_codec_string(codec: Codec) -> str:
    """The codec string of an audio rendition; `KeyError` for codecs that nothing encodes here."""
    return _AUDIO[codec]
