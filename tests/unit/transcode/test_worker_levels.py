"""What encoders are told of a promised codec string."""

import pytest

from ghostlive.core.errors import MediaError
from ghostlive.transcode.worker.levels import av1_level, h264_profile


@pytest.mark.parametrize(
    ("string", "profile", "level"),
    [
        ("avc1.64001f", "high", "3.1"),
        ("avc1.4d4028", "main", "4.0"),
        ("avc1.42c01e", "baseline", "3.0"),
        ("avc1.640033", "high", "5.1"),
        ("avc1.64003E", "high", "6.2"),
    ],
)
def test_h264(string: str, profile: str, level: str) -> None:
    found = h264_profile(string)
    assert (found.profile, found.level) == (profile, level)


@pytest.mark.parametrize("string", ["", "avc1", "avc1.6400", "avc1.f4001f", "avc1.zz001f", "hvc1.1.6.L93.B0", "vp8"])
def test_what_no_encoder_makes_is_named(string: str) -> None:
    with pytest.raises(MediaError, match=repr(string)):
        h264_profile(string)


@pytest.mark.parametrize(
    ("string", "level"), [("av01.0.00M.08", "20"), ("av01.0.05M.08", "31"), ("av01.0.13H.10.0.110", "51")]
)
def test_av1(string: str, level: str) -> None:
    assert av1_level(string) == level


@pytest.mark.parametrize("string", ["", "av01", "av01.0.xxM.08", "avc1.64001f"])
def test_what_is_no_av1_is_named(string: str) -> None:
    with pytest.raises(MediaError, match="AV1"):
        av1_level(string)
