"""MP3 frame headers of LAME."""

import pytest
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs import mp3
from ghostlive.core.errors import MediaError


@pytest.mark.parametrize(
    ("name", "rate", "channels", "count", "codec_string"),
    [("mp3_44100.mp3", 44100, 2, 1152, "mp4a.6B"), ("mp3_22050.mp3", 22050, 1, 576, "mp4a.69")],
)
def test_frames_fill_the_file(name: str, rate: int, channels: int, count: int, codec_string: str) -> None:
    stream = samples.read(name)
    facts = mp3.describe(b"", stream)
    assert (facts.sample_rate, facts.channels, facts.frame_samples) == (rate, channels, count)
    assert (facts.codec_string, facts.config) == (codec_string, b"")
    position = 0
    while position < len(stream):
        position += mp3.parse_header(stream[position:]).size
    assert position == len(stream)


def test_quarter_rates() -> None:
    header = mp3.parse_header(b"\xff\xe3\x88\xc0")
    assert (header.sample_rate, header.samples, header.channels, header.bit_rate) == (8000, 576, 1, 64000)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfb\x90",
        b"\xfe\xfb\x90\x00",
        b"\xff\xeb\x90\x00",  # version
        b"\xff\xfd\x90\x00",  # layer II
        b"\xff\xfb\x00\x00",  # free format
        b"\xff\xfb\xf0\x00",
        b"\xff\xfb\x9c\x00",
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        mp3.parse_header(data)
