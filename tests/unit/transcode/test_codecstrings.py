"""Codec strings: the lowest level that holds, by the tables of the specifications."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.core.track import Codec
from ghostlive.transcode.codecstrings import (
    LevelExceededError,
    audio_codec_string,
    av1_level,
    h264_level,
    video_codec_string,
)


@pytest.mark.parametrize(
    ("picture", "level"),
    [
        ((640, 360, 30, 860_000), 30),
        ((720, 576, 25, 1_500_000), 30),
        ((854, 480, 30, 1_400_000), 31),  # 1620 blocks are 854x480, one too few for 30 frames of them in level 3
        ((1280, 720, 30, 2_600_000), 31),
        ((1280, 720, 60, 3_900_000), 32),
        ((1920, 1080, 30, 5_000_000), 40),
        ((1920, 1080, 30, 25_000_000), 40),  # 20 Mb/s by table A-1, 25 in High profile
        ((1920, 1080, 30, 25_000_001), 41),
        ((1920, 1080, 60, 7_500_000), 42),
        ((1080, 1920, 60, 7_500_000), 42),
        ((2560, 1440, 60, 12_000_000), 51),
        ((3840, 2160, 30, 15_000_000), 51),
        ((3840, 2160, 60, 23_000_000), 52),
        ((7680, 4320, 30, 50_000_000), 60),
        ((4112, 128, 30, 1_000_000), 42),  # longer than the root of 8 x 8192 blocks
    ],
)
def test_h264_levels(picture: tuple[int, int, int, int], level: int) -> None:
    width, height, rate, bitrate = picture
    assert h264_level(width, height, Fraction(rate), bitrate) == level
    assert video_codec_string(Codec.H264, width, height, Fraction(rate), bitrate) == f"avc1.6400{level:02x}"


@pytest.mark.parametrize(
    ("picture", "text"),
    [
        ((426, 240, 30, 200_000), "av01.0.00M.08"),
        ((640, 360, 30, 520_000), "av01.0.01M.08"),
        ((854, 480, 30, 850_000), "av01.0.04M.08"),
        ((1280, 720, 30, 1_600_000), "av01.0.05M.08"),
        ((1280, 720, 60, 2_400_000), "av01.0.08M.08"),
        ((1920, 1080, 30, 3_000_000), "av01.0.08M.08"),
        ((1920, 1080, 60, 4_500_000), "av01.0.09M.08"),
        ((3840, 2160, 60, 14_000_000), "av01.0.13M.08"),
        ((1920, 1080, 30, 25_000_000), "av01.0.12M.08"),  # a higher level before High tier
        ((7680, 4320, 120, 300_000_000), "av01.0.18H.08"),
    ],
)
def test_av1_levels_and_tiers(picture: tuple[int, int, int, int], text: str) -> None:
    width, height, rate, bitrate = picture
    assert video_codec_string(Codec.AV1, width, height, Fraction(rate), bitrate) == text


def test_what_no_level_allows() -> None:
    with pytest.raises(LevelExceededError, match=r"H\.264 has no level for 16384x8640 at 29\.97 frames per second"):
        h264_level(16384, 8640, Fraction(30000, 1001), 1)
    with pytest.raises(LevelExceededError, match="AV1 has no level"):
        av1_level(1920, 1080, Fraction(30), 900_000_000)
    with pytest.raises(LevelExceededError, match="VP8 has no pictures of 16384x2"):
        video_codec_string(Codec.VP8, 16384, 2, Fraction(30), 1)


def test_codecs_that_have_no_levels() -> None:
    assert video_codec_string(Codec.VP8, 1280, 720, Fraction(30), 1) == "vp8"
    assert (audio_codec_string(Codec.AAC), audio_codec_string(Codec.OPUS)) == ("mp4a.40.2", "opus")


@given(st.integers(2, 4096), st.integers(2, 2304), st.integers(1, 60), st.integers(1, 100_000_000))
def test_more_never_needs_a_lower_level(width: int, height: int, rate: int, bitrate: int) -> None:
    levels: list[Callable[..., Any]] = [h264_level, av1_level]
    for level in levels:
        here = level(width, height, Fraction(rate), bitrate)
        assert level(max(width - 2, 2), height, Fraction(rate), bitrate) <= here
        assert level(width, max(height - 2, 2), Fraction(rate), bitrate) <= here
        assert level(width, height, Fraction(rate, 2), bitrate) <= here
        assert level(width, height, Fraction(rate), bitrate // 2) <= here
