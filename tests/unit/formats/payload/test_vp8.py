"""VP8 payloads: of a real encoder, by the bits of RFC 7741, and broken ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.formats.payload import support

from ghostlive.formats.rtp.payload import PayloadError
from ghostlive.formats.rtp.payload.vp8 import Vp8Depacketizer, Vp8Packetizer


@pytest.mark.parametrize("max_size", [64, 333, 1200])
def test_a_stream_comes_back_as_it_was(max_size: int) -> None:
    stream = support.vp8()
    assert support.there_and_back(stream, max_size) == stream.frames
    assert stream.frames[0].keyframe


@given(st.binary(min_size=1, max_size=2000), st.integers(64, 300))
def test_pieces_are_as_few_and_equal_as_can_be(frame: bytes, max_size: int) -> None:
    packets = Vp8Packetizer(max_size).packetize(frame, keyframe=False)
    assert support.equal_sizes(packets)
    assert max(map(len, packets)) <= max_size
    assert len(packets) == -(-len(frame) // (max_size - 1))
    assert [packet[0] for packet in packets] == [0x10] + [0] * (len(packets) - 1)
    found = Vp8Depacketizer().assemble(packets)
    assert found is not None
    assert found.payload == frame


@pytest.mark.parametrize(
    "descriptor",
    [
        b"\x10",
        b"\x30",  # N: a frame that no other needs
        b"\x90\x00",
        b"\x90\x80\x7f",  # PictureID of 7 bits
        b"\x90\x80\x81\x02",  # of 15 bits
        b"\x90\xc0\x81\x02\x05",  # and TL0PICIDX
        b"\x90\xf0\x81\x02\x05\x41",  # and TID, KEYIDX
        b"\x90\x20\x40",
        b"\x90\x10\x01",
        b"\x90\x30\x41",
    ],
)
def test_descriptors(descriptor: bytes) -> None:
    depacketizer = Vp8Depacketizer()
    first = descriptor + b"\x01ab"
    assert depacketizer.begins_frame(first) is True
    second = bytes((descriptor[0] & ~0x10 | 1,)) + descriptor[1:] + b"cd"
    assert depacketizer.begins_frame(second) is False
    found = depacketizer.assemble([first, second])
    assert found is not None
    assert (found.payload, found.keyframe) == (b"\x01abcd", False)


def test_later_partitions_may_begin_in_a_packet() -> None:
    found = Vp8Depacketizer().assemble([b"\x10\x00a", b"\x11b", b"\x12c"])
    assert found is not None
    assert (found.payload, found.keyframe) == (b"\x00abc", True)


@pytest.mark.parametrize("payloads", [[], [b""], [b"", b""]])
def test_nothing_to_show(payloads: list[bytes]) -> None:
    assert Vp8Depacketizer().assemble(payloads) is None


@pytest.mark.parametrize(
    ("payloads", "says"),
    [
        ([b"\x00a"], "no beginning"),
        ([b"\x11a"], "no beginning"),
        ([b"\x10a", b"\x10a"], "two beginnings"),
        ([b"\x10"], "inside its descriptor"),
        ([b"\x90"], "inside its descriptor"),
        ([b"\x90\x80"], "inside its descriptor"),
        ([b"\x90\x80\x80\x00"], "inside its descriptor"),
        ([b"\x90\xf0\x81\x02\x05\x41"], "inside its descriptor"),
        ([b"\x10a"] + [b"\x00a"] * 8192, "8193 packets"),
    ],
)
def test_broken_payloads(payloads: list[bytes], says: str) -> None:
    with pytest.raises(PayloadError, match=says):
        Vp8Depacketizer().assemble(payloads)


def test_an_empty_frame_is_no_payload() -> None:
    assert Vp8Packetizer(1200).packetize(b"", keyframe=False) == []


@given(st.lists(st.binary(max_size=10), max_size=5))
def test_anything_is_answered(payloads: list[bytes]) -> None:
    depacketizer = Vp8Depacketizer()
    begins = [depacketizer.begins_frame(payload) for payload in payloads if payload]
    try:
        frame = depacketizer.assemble(payloads)
    except PayloadError:
        return
    assert frame is None or begins == [True] + [False] * (len(begins) - 1)
