"""Opus headers and packets of libopus."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs import opus
from ghostlive.codecs.opus import OpusHead
from ghostlive.core.errors import MediaError

heads = st.builds(
    OpusHead,
    channels=st.integers(1, 2),
    pre_skip=st.integers(0, 0xFFFF),
    input_sample_rate=st.integers(0, (1 << 32) - 1),
    output_gain=st.integers(-0x8000, 0x7FFF),
) | st.integers(1, 255).flatmap(
    lambda count: st.builds(
        OpusHead,
        channels=st.just(count),
        mapping_family=st.sampled_from([1, 255]),
        mapping=st.just(bytes((1, 1)) + bytes(count)),
    )
)


@given(heads)
def test_headers_come_back_in_either_form(head: OpusHead) -> None:
    assert OpusHead.parse(head.to_bytes()) == head
    assert OpusHead.parse_dops(head.to_dops()) == head


def test_header_of_an_ogg_file() -> None:
    packets = samples.ogg_packets("opus_20ms.ogg")
    facts = opus.describe(packets[0])
    assert (facts.sample_rate, facts.channels, facts.pre_skip, facts.frame_samples) == (48000, 2, 312, None)
    assert facts.codec_string == "opus"
    assert facts.config == packets[0]


def test_dops_of_ffmpeg_with_a_channel_mapping() -> None:
    dops = samples.box("opus_51.mp4", b"dOps")
    facts = opus.describe(dops)
    assert facts.channels == 6
    assert OpusHead.parse(facts.config).to_dops() == dops
    assert {opus.packet_samples(packet) for packet in samples.mp4_samples("opus_51.mp4")} == {960}


@pytest.mark.parametrize(("name", "expected"), [("opus_20ms.ogg", 960), ("opus_60ms.ogg", 2880)])
def test_packet_durations_as_ffprobe_says(name: str, expected: int) -> None:
    assert {opus.packet_samples(packet) for packet in samples.ogg_packets(name)[2:]} == {expected}


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b"\x00", 480),  # SILK, 10 ms
        (b"\x19", 5760),  # SILK, two of 60 ms
        (b"\x78", 960),  # hybrid, 20 ms
        (b"\x82", 240),  # CELT, two of 2.5 ms
        (b"\xfb\x06", 5760),  # CELT, six of 20 ms, constant bit rate
        (b"\xfb\xc3", 2880),  # three, variable bit rate, with padding
    ],
)
def test_durations_by_the_first_bytes(packet: bytes, expected: int) -> None:
    assert opus.packet_samples(packet) == expected


@pytest.mark.parametrize("packet", [b"", b"\x03", b"\x03\x00", b"\xfb\x07"])
def test_packets_without_a_possible_duration_are_refused(packet: bytes) -> None:
    with pytest.raises(MediaError):
        opus.packet_samples(packet)


@pytest.mark.parametrize(
    "head",
    [
        b"OpusHead\x01",
        b"OpusHead\x11\x02" + bytes(9),
        b"OpusHead\x01\x00" + bytes(9),
        b"OpusHead\x01\x03" + bytes(9),
        b"OpusHead\x01\x03" + bytes(8) + b"\x01\x01\x00",
        b"\x01\x02" + bytes(9),
        b"\x00\x02",
    ],
)
def test_what_is_no_header_is_refused(head: bytes) -> None:
    with pytest.raises(MediaError):
        opus.describe(head)
