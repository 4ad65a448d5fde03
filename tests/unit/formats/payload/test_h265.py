"""H.265 payloads: of a real encoder, by the bits of RFC 7798, and broken ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.formats.payload import support

from ghostlive.codecs.nal import join_length_prefixed, split_length_prefixed
from ghostlive.formats.rtp.payload import PayloadError
from ghostlive.formats.rtp.payload.h265 import H265Depacketizer, H265Packetizer

TRAIL = b"\x02\x01\xd0"


def packetizer(max_size: int = 100) -> H265Packetizer:
    """One that knows parameter sets of an encoder."""
    return H265Packetizer(support.h265().track.config, max_size)


@pytest.mark.parametrize("name", ["h265_main.hevc", "h265_open_gop.hevc"])
@pytest.mark.parametrize("max_size", [64, 333, 1200])
def test_streams_come_back_as_they_were(name: str, max_size: int) -> None:
    stream = support.h265(name)
    found = support.there_and_back(stream, max_size)
    assert [(frame.payload, frame.keyframe) for frame in found] == [
        (frame.payload, frame.keyframe) for frame in stream.frames
    ]
    assert all(len(frame.parameter_sets) == (3 if frame.keyframe else 0) for frame in found)


def test_small_nal_units_share_a_packet() -> None:
    first, second = b"\x02\x0a\xd0", b"\x82\x01\x00"  # layer 1, temporal id 2; F set, layer 0, temporal id 1
    (packet,) = packetizer().packetize(join_length_prefixed([first, second]), keyframe=False)
    assert packet == b"\xe0\x01" + b"\x00\x03" + first + b"\x00\x03" + second
    high = b"\x03\x09\xd0"
    (packet,) = packetizer().packetize(join_length_prefixed([high, high]), keyframe=False)
    assert packet[:2] == b"\x61\x09"


def test_what_is_no_nal_unit_is_left_out() -> None:
    unit = join_length_prefixed([b"\x02", TRAIL, b"\x60\x01\x00", b"\x7e\x01" + bytes(200)])
    assert packetizer().packetize(unit, keyframe=False) == [TRAIL]


def test_parameter_sets_alone_are_no_picture() -> None:
    sets = support.h265().frames[0].parameter_sets
    frame = H265Depacketizer().assemble(sets)
    assert frame is not None
    assert (frame.payload, frame.keyframe, frame.parameter_sets) == (b"", False, sets)


def test_fragments_say_where_they_begin_and_end() -> None:
    nal = b"\x02\x01" + bytes(range(250))
    packets = packetizer().packetize(join_length_prefixed([nal]), keyframe=False)
    assert [packet[:3] for packet in packets] == [b"\x62\x01\x81", b"\x62\x01\x01", b"\x62\x01\x41"]
    assert [len(packet) for packet in packets] == [87, 87, 85]
    assert b"".join(packet[3:] for packet in packets) == nal[2:]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20), st.booleans())
def test_any_mix_of_sizes_comes_back(sizes: list[int], keyframe: bool) -> None:
    nals = [bytes((0x26 if keyframe else 0x02, 0x01)) + bytes(size) for size in sizes]
    packets = packetizer().packetize(join_length_prefixed(nals), keyframe=keyframe)
    assert max(map(len, packets)) <= 100
    assert support.equal_sizes(packets) or len(sizes) > 1 or keyframe
    frame = H265Depacketizer().assemble(packets)
    assert frame is not None
    assert [bytes(nal) for nal in split_length_prefixed(frame.payload)] == nals
    assert frame.keyframe is keyframe


@pytest.mark.parametrize(
    ("payloads", "says"),
    [
        ([b"\x02"], "inside its header"),
        ([b"\x62\x01"], "inside its header"),
        ([b"\x62\x01\x01abc"], "no beginning"),
        ([b"\x62\x01\x81abc"], "no end"),
        ([b"\x62\x01\x81abc", TRAIL], "no end before another"),
        ([b"\x62\x01\xb0\x00\x01a", b"\x62\x01\x70"], "no NAL unit"),
        ([b"\x60\x01\x00\x04abc"], "beyond its aggregation packet"),
        ([b"\x60\x01\x00\x03\x62\x01\x81"], "no NAL unit"),
        ([b"\x60\x01\x00\x01\x02"], "no NAL unit"),
        ([b"\x64\x01abc"], "byte 100"),  # PACI
    ],
)
def test_broken_payloads(payloads: list[bytes], says: str) -> None:
    with pytest.raises(PayloadError, match=says):
        H265Depacketizer().assemble(payloads)


@pytest.mark.parametrize(
    ("payload", "begins"),
    [
        (b"\x46\x01\x10", True),  # AUD
        (b"\x40\x01\x0c", True),  # VPS
        (b"\x60\x01\x00\x03\x40\x01\x0c", True),
        (b"\x42\x01\x01", None),
        (b"\x4e\x01\x05", None),
        (TRAIL, True),
        (b"\x02\x01\x50", False),
        (b"\x26\x01\xaf", None),
        (b"\x26\x01\x2f", False),
        (b"\x62\x01\x81\xd0", True),
        (b"\x62\x01\x81\x50", False),
        (b"\x62\x01\x93\xaf", None),
        (b"\x62\x01\x01\xd0", False),
        (b"\x62\x01\x81", False),
        (b"\x50\x01\x05", False),  # a suffix SEI
        (b"\x02\x01", False),
        (b"", False),
    ],
)
def test_what_the_first_payload_tells(payload: bytes, begins: bool | None) -> None:
    assert H265Depacketizer().begins_frame(payload) is begins


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_anything_is_answered(payloads: list[bytes]) -> None:
    depacketizer = H265Depacketizer()
    for payload in payloads:
        depacketizer.begins_frame(payload)
    try:
        frame = depacketizer.assemble(payloads)
    except PayloadError:
        return
    if frame is not None and frame.payload:
        again = depacketizer.assemble(packetizer().packetize(frame.payload, keyframe=False))
        assert again is not None
        assert again.payload == frame.payload
