"""VP8 key frames and their size."""

import pytest
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs import vp8
from ghostlive.core.errors import MediaError


def test_key_frames_and_size() -> None:
    frames = samples.ivf_frames("vp8.ivf")
    assert [vp8.inspect(frame).keyframe for frame in frames] == [True, False, True, False]
    facts = vp8.describe(b"", frames[0])
    assert (facts.width, facts.height, facts.codec_string) == (320, 240, "vp8")
    assert vp8.describe(b"").width == 0


@pytest.mark.parametrize(
    "frame", [b"\x00" * 9, b"\x00" * 10, b"\x01" + bytes(9), b"\x10\x02\x00\x9d\x01\x2a" + bytes(4)]
)
def test_what_is_no_key_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(MediaError):
        vp8.parse_size(frame)


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(MediaError, match="empty"):
        vp8.is_keyframe(b"")
