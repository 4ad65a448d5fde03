"""VP9 payloads: of a real encoder, by the bits of RFC 9628, and broken ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.formats.payload import support

from ghostlive.formats.rtp.payload import PayloadError
from ghostlive.formats.rtp.payload.vp9 import Vp9Depacketizer, Vp9Packetizer

INTER, KEY = b"\x86\x00", b"\x82\x49"


@pytest.mark.parametrize("max_size", [64, 333, 1200])
def test_a_stream_comes_back_as_it_was(max_size: int) -> None:
    stream = support.vp9()
    assert support.there_and_back(stream, max_size) == stream.frames
    assert stream.frames[0].keyframe


@given(st.binary(max_size=2000), st.integers(64, 300), st.booleans())
def test_pieces_are_as_few_and_equal_as_can_be(rest: bytes, max_size: int, keyframe: bool) -> None:
    frame = (KEY if keyframe else INTER) + rest
    packets = Vp9Packetizer(max_size).packetize(frame, keyframe=keyframe)
    assert support.equal_sizes(packets)
    assert max(map(len, packets)) <= max_size
    assert len(packets) == -(-len(frame) // (max_size - 1))
    assert [packet[0] & 0x08 for packet in packets] == [8] + [0] * (len(packets) - 1)
    assert [packet[0] & 0x04 for packet in packets] == [0] * (len(packets) - 1) + [4]
    assert {packet[0] & ~0x0C for packet in packets} == {0 if keyframe else 0x40}
    found = Vp9Depacketizer().assemble(packets)
    assert found is not None
    assert (found.payload, found.keyframe) == (frame, keyframe)


@pytest.mark.parametrize(
    ("flags", "more"),
    [
        (0x00, b""),
        (0x40, b""),
        (0x80, b"\x7f"),  # PictureID of 7 bits
        (0x80, b"\xff\xff"),  # of 15 bits
        (0xA0, b"\x81\x02\x20\x05"),  # layers, with TL0PICIDX
        (0xF0, b"\x81\x02\x20\x02"),  # flexible, one reference
        (0xF0, b"\x81\x02\x20\x03\x03\x02"),  # three
        (0xB0, b"\x81\x02\x20"),  # flexible key frame
        (0x02, b"\x00"),  # a structure that says nothing
        (0x02, b"\x30" + bytes(8)),  # two layers with their sizes
        (0x02, b"\x08\x02\x00\x08\xff\xff"),  # a group of two pictures, the second with two references
        (0xA2, b"\x81\x02\x00\x05\x18\x05\x00\xb4\x01\x40\x00"[:9] + b"\x00"),
    ],
)
def test_descriptors(flags: int, more: bytes) -> None:
    depacketizer = Vp9Depacketizer()
    first, last = bytes((flags | 8,)) + more + INTER, bytes((flags | 4,)) + more + b"cd"
    assert depacketizer.begins_frame(first) is True
    assert depacketizer.begins_frame(last) is False
    found = depacketizer.assemble([first, last])
    assert found is not None
    assert (found.payload, found.keyframe) == (INTER + b"cd", False)


def test_of_spatial_layers_the_lowest_is_kept() -> None:
    depacketizer = Vp9Depacketizer()
    base = [b"\xa8\x81\x02\x00\x05" + KEY, b"\xa4\x81\x02\x00\x05ab"]
    high = [b"\xe8\x81\x02\x03\x05" + INTER, b"\xe4\x81\x02\x03\x05cd"]
    found = depacketizer.assemble([*base, *high])
    assert found is not None
    assert (found.payload, found.keyframe) == (KEY + b"ab", True)
    assert depacketizer.begins_frame(base[0]) is True
    assert depacketizer.begins_frame(high[0]) is None
    assert depacketizer.begins_frame(high[1]) is False
    # An encoder that saves bits leaves it out.
    assert depacketizer.assemble(high) is None


@pytest.mark.parametrize("payloads", [[], [b""]])
def test_nothing_to_show(payloads: list[bytes]) -> None:
    assert Vp9Depacketizer().assemble(payloads) is None
    assert Vp9Packetizer(1200).packetize(b"", keyframe=False) == []


@pytest.mark.parametrize(
    ("payloads", "says"),
    [
        ([b"\x04ab"], "no beginning"),
        ([b"\x08" + INTER], "no end"),
        ([b"\x0c" + INTER, b"\x04a"], "after its end"),
        ([b"\x0c" + INTER, b"\x0ca"], "two beginnings"),
        ([b"\x0c"], "inside its descriptor"),
        ([b"\x8c"], "inside its descriptor"),
        ([b"\x8c\x80"], "inside its descriptor"),
        ([b"\x8c\x80\x01"], "inside its descriptor"),
        ([b"\xac\x01"], "inside its descriptor"),
        ([b"\xfc\x01\x00\x03\x03\x03\x02ab"], "more than 3 references"),
        ([b"\xfc\x01\x00\x03"], "inside its descriptor"),
        ([b"\x0e\xf8"], "inside its descriptor"),
        ([b"\x0e\x08\xffabc"], "inside its descriptor"),
        ([b"\x0cab"], "marker"),
    ],
)
def test_broken_payloads(payloads: list[bytes], says: str) -> None:
    with pytest.raises(PayloadError, match=says):
        Vp9Depacketizer().assemble(payloads)


@pytest.mark.parametrize("payload", [b"", b"\x08", b"\x88\x80", b"\x00\x00"])
def test_what_begins_no_frame(payload: bytes) -> None:
    assert Vp9Depacketizer().begins_frame(payload) is False


@given(st.lists(st.binary(max_size=12), max_size=5))
def test_anything_is_answered(payloads: list[bytes]) -> None:
    depacketizer = Vp9Depacketizer()
    for payload in payloads:
        depacketizer.begins_frame(payload)
    try:
        frame = depacketizer.assemble(payloads)
    except PayloadError:
        return
    assert frame is None or frame.payload
