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


def frames(*sizes: int) -> list[bytes]:
    """Packets of one frame each, CELT of 20 ms in stereo."""
    return [b"\xfc" + bytes((number,)) * size for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "head"),
    [
        ((5,), b"\xfc"),
        ((0,), b"\xfc"),
        ((5, 5), b"\xfd"),
        ((5, 6), b"\xfe\x05"),
        ((252, 1), b"\xfe\xfc\x00"),
        ((1275, 1), b"\xfe\xff\xff"),
        ((5, 5, 5), b"\xff\x03"),
        ((0, 7, 300), b"\xff\x83\x00\x07"),
        ((300, 255, 254, 1, 0, 0), b"\xff\x86\xfc\x0c\xff\x00\xfe\x00\x01\x00"),
    ],
)
def test_packets_are_merged_and_split(sizes: tuple[int, ...], head: bytes) -> None:
    packets = frames(*sizes)
    merged = opus.merge_packets(packets)
    assert merged == head + b"".join(packet[1:] for packet in packets)
    assert opus.packet_samples(merged) == 960 * len(sizes)
    assert opus.split_packet(merged) == packets


@given(st.lists(st.integers(0, 1275), min_size=1, max_size=6), st.integers(1, 6))
def test_merged_packets_merge_again(sizes: list[int], cut: int) -> None:
    packets = frames(*sizes)
    parts = [opus.merge_packets(part) for part in (packets[:cut], packets[cut:]) if part]
    merged = opus.merge_packets([part for part in parts if part is not None])
    assert merged is not None
    assert opus.split_packet(merged) == packets


def test_what_does_not_go_together() -> None:
    assert opus.merge_packets([]) is None
    assert opus.merge_packets([b"\xfc\x01", b"\xf8\x01"]) is None  # stereo and mono
    assert opus.merge_packets([b"\xfc\x01", b"\xf4\x01"]) is None  # 20 ms and 10 ms
    assert opus.merge_packets(frames(*range(7))) is None  # 140 ms


def test_padding_is_left_out() -> None:
    padded = b"\xff\x42\x03ab" + bytes(3)
    assert opus.split_packet(padded) == [b"\xfca", b"\xfcb"]
    long = b"\xff\xc2\xff\x01\x01ab" + bytes(255)
    assert opus.split_packet(long) == [b"\xfca", b"\xfcb"]


def test_a_packet_of_libopus_comes_back() -> None:
    packets = samples.ogg_packets("opus_20ms.ogg")[2:5]
    merged = opus.merge_packets(packets)
    assert merged is not None
    assert opus.split_packet(merged) == packets


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xfdabc",  # two of equal size in three bytes
        b"\xfe",
        b"\xfe\xfc",
        b"\xfe\x05abc",
        b"\xff\x03ab",
        b"\xff\x82",
        b"\xff\x82\x05abc",
        b"\xff\x42",
        b"\xff\x42\xff",
        b"\xff\x42\x09abc",
        b"\xfc" + bytes(1276),
    ],
)
def test_packets_that_break_the_rules(packet: bytes) -> None:
    with pytest.raises(MediaError):
        opus.split_packet(packet)


@given(st.binary(max_size=30))
def test_any_packet_is_split_or_refused(packet: bytes) -> None:
    try:
        parts = opus.split_packet(packet)
    except MediaError:
        return
    assert sum(opus.packet_samples(part) for part in parts) == opus.packet_samples(packet)
    merged = opus.merge_packets(parts)
    assert merged is not None
    assert opus.split_packet(merged) == parts


def test_silent_packets() -> None:
    mono, stereo = opus.silent_packet(OpusHead(1)), opus.silent_packet(OpusHead(2))
    assert (mono, stereo) == (b"\xf8\xff\xfe", b"\xfc\xff\xfe")
    assert opus.packet_samples(stereo) == opus.SILENT_SAMPLES
    # Two coupled streams and two others, all but the last delimited by themselves (RFC 6716 appendix B).
    surround = OpusHead(6, mapping_family=1, mapping=bytes((4, 2, 0, 4, 1, 2, 3, 5)))
    assert opus.silent_packet(surround) == b"\xfc\x02\xff\xfe" * 2 + b"\xf8\x02\xff\xfe" + b"\xf8\xff\xfe"
