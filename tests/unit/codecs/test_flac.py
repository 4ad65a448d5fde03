"""FLAC stream information and frames of ffmpeg."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs import flac
from ghostlive.codecs.flac import StreamInfo
from ghostlive.core.errors import MediaError

infos = st.builds(
    StreamInfo,
    min_block=st.integers(16, 4096),
    max_block=st.integers(4096, 65535),
    min_frame=st.integers(0, (1 << 24) - 1),
    max_frame=st.integers(0, (1 << 24) - 1),
    sample_rate=st.integers(1, (1 << 20) - 1),
    channels=st.integers(1, 8),
    bits_per_sample=st.integers(4, 32),
    total_samples=st.integers(0, (1 << 36) - 1),
    md5=st.binary(min_size=16, max_size=16),
)


@given(infos)
def test_blocks_come_back_in_any_wrapping(info: StreamInfo) -> None:
    block = info.to_bytes()
    assert len(block) == flac.STREAMINFO_SIZE
    for wrapping in (b"", b"\x00\x00\x00\x22", b"\x80\x00\x00\x22", b"fLaC\x80\x00\x00\x22"):
        assert StreamInfo.parse(wrapping + block) == info


def test_facts_of_a_file() -> None:
    stream = samples.read("flac.flac")
    facts = flac.describe(stream[:42])
    assert (facts.sample_rate, facts.channels, facts.frame_samples) == (44100, 2, 4608)
    assert facts.codec_string == "flac"
    assert flac.describe(facts.config) == facts


def test_block_sizes_of_frames() -> None:
    stream = samples.read("flac.flac")
    first = stream.index(b"\xff\xf8")
    assert flac.frame_samples(stream[first:]) == 4608
    # The last packet is 1133 bytes long (ffprobe) and has 4014 samples, in 16 bits at the end of its header.
    assert flac.frame_samples(stream[-1133:]) == 4014


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (b"\xff\xf8\x19", 192),
        (b"\xff\xf8\x29", 576),
        (b"\xff\xf8\x89", 256),
        (b"\xff\xf9\xf9", 32768),
        (b"\xff\xf8\x69\x18\x05\x0f", 16),
        (b"\xff\xf8\x79\x18\xc2\x80\x12\x33", 0x1234),
        (b"\xff\xf9\x79\x18\xfe\x80\x80\x80\x80\x80\x80\xff\xff", 65536),
    ],
)
def test_block_sizes_by_code(frame: bytes, expected: int) -> None:
    assert flac.frame_samples(frame) == expected


@pytest.mark.parametrize(
    "frame", [b"", b"\xff\xf0\x19", b"\xff\xf8\x09", b"\xff\xf8\x69\x18\x80\x0f", b"\xff\xf8\x69\x18\xff\x0f"]
)
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(MediaError):
        flac.frame_samples(frame)


@pytest.mark.parametrize("block", [b"", b"fLaC", bytes(33), bytes(34), b"\x10\x00\x10\x00" + bytes(30)])
def test_what_is_no_stream_information_is_refused(block: bytes) -> None:
    with pytest.raises(MediaError):
        StreamInfo.parse(block)
