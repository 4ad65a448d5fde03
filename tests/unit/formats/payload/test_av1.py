"""AV1 payloads: of a real encoder, by the bits of the specification, and broken ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.formats.payload import support

from ghostlive.codecs import av1
from ghostlive.codecs.av1 import write_leb128
from ghostlive.formats.rtp.payload import CodedFrame, PayloadError
from ghostlive.formats.rtp.payload.av1 import Av1Depacketizer, Av1Packetizer

FRAME = 0x30
"""Header of OBU_FRAME without size."""


def obu(kind: int, data: bytes, extension: bytes = b"") -> bytes:
    """An OBU with its size, as frames have it."""
    return bytes((kind << 3 | (4 if extension else 0) | 2,)) + extension + write_leb128(len(data)) + data


def packetizer(max_size: int = 100) -> Av1Packetizer:
    """One that knows the sequence header of an encoder."""
    return Av1Packetizer(support.av1().track.config, max_size)


def assemble(*payloads: bytes) -> CodedFrame:
    frame = Av1Depacketizer().assemble(payloads)
    assert frame is not None
    return frame


@pytest.mark.parametrize("max_size", [64, 333, 1200])
def test_a_stream_comes_back_as_it_was(max_size: int) -> None:
    stream = support.av1()
    assert support.there_and_back(stream, max_size) == stream.frames
    assert stream.frames[0].keyframe


def test_a_frame_that_fits_is_one_element() -> None:
    assert packetizer().packetize(obu(6, b"abc"), keyframe=False) == [b"\x10\x30abc"]


def test_lengths_are_left_out_at_the_end_of_a_packet() -> None:
    unit = obu(5, b"a") + obu(5, b"bb", b"\x20") + obu(6, b"ccc")
    assert packetizer().packetize(unit, keyframe=False) == [b"\x30" + b"\x02\x28a" + b"\x04\x2c\x20bb" + b"\x30ccc"]
    assert assemble(*packetizer().packetize(unit, keyframe=False)).payload == unit


def test_a_fourth_obu_goes_to_the_next_packet() -> None:
    unit = b"".join(obu(5, bytes((number,))) for number in range(4)) + obu(6, b"x")
    first, second = packetizer().packetize(unit, keyframe=False)
    assert (first[0], second[0]) == (0x30, 0x20)
    assert assemble(first, second).payload == unit


def test_fragments_say_that_they_go_on() -> None:
    packets = packetizer().packetize(obu(6, bytes(250)), keyframe=False)
    assert [packet[0] for packet in packets] == [0x50, 0xD0, 0x90]
    assert [len(packet) for packet in packets] == [85, 85, 84]


def test_a_keyframe_begins_a_sequence() -> None:
    header = av1.CodecConfiguration.parse(support.av1().track.config).obus
    keyframe = obu(6, b"\x10" + bytes(300))
    packets = packetizer().packetize(keyframe, keyframe=True)
    assert [packet[0] & 0x08 for packet in packets] == [0x08] + [0] * (len(packets) - 1)
    found = assemble(*packets)
    assert found.keyframe
    assert found.payload == header[: len(found.payload) - len(keyframe)] + keyframe
    assert len(found.parameter_sets) == 1
    # One that is there already is not put in again.
    assert packetizer().packetize(found.payload, keyframe=True) == packets


def test_delimiters_tile_lists_and_padding_do_not_travel() -> None:
    unit = obu(2, b"") + obu(6, b"abc") + obu(8, b"t") + obu(15, b"p")
    assert packetizer().packetize(unit, keyframe=False) == [b"\x10\x30abc"]
    assert assemble(b"\x00\x01\x10\x04\x30abc\x02\x40t\x02\x78p").payload == obu(6, b"abc")
    assert packetizer().packetize(obu(2, b""), keyframe=False) == []
    assert packetizer().packetize(b"", keyframe=False) == []


def test_senders_may_leave_sizes_in() -> None:
    assert assemble(b"\x10\x32\x03abc").payload == obu(6, b"abc")
    assert assemble(b"\x10\x36\x20\x03abc").payload == obu(6, b"abc", b"\x20")


def test_elements_may_all_have_lengths() -> None:
    unit = b"".join(obu(5, bytes((number,))) for number in range(5))
    assert assemble(b"\x00" + b"".join(b"\x02\x28" + bytes((number,)) for number in range(5))).payload == unit


def test_layers_are_all_kept() -> None:
    unit = obu(6, b"base", b"\x00") + obu(6, b"high", b"\x08")
    assert assemble(b"\x10\x34\x00base", b"\x10\x34\x08high").payload == unit


@given(st.lists(st.integers(0, 600), min_size=1, max_size=12), st.integers(64, 300), st.booleans())
def test_any_mix_of_sizes_comes_back(sizes: list[int], max_size: int, keyframe: bool) -> None:
    unit = b"".join(obu(6, bytes((0x10 if keyframe else 0x30,)) + bytes(size)) for size in sizes)
    packets = packetizer(max_size).packetize(unit, keyframe=keyframe)
    assert max(map(len, packets)) <= max_size
    if len(sizes) == 1 and not keyframe:
        assert support.equal_sizes(packets)
    found = assemble(*packets)
    assert found.payload.endswith(unit)
    assert found.keyframe is keyframe


@given(st.integers(0, 60), st.integers(100, 3000), st.integers(64, 300))
def test_packets_are_equal_also_when_the_first_begins_with_small_obus(small: int, big: int, max_size: int) -> None:
    packets = packetizer(max_size).packetize(obu(5, bytes(small)) + obu(6, bytes(big)), keyframe=False)
    # Where nothing more fits, a packet may lack a byte or two.
    assert max(map(len, packets)) - min(map(len, packets[:-1] or packets)) <= 2
    assert len(packets) <= 1 + (big + small + 4) // (max_size - 1)


@pytest.mark.parametrize("payloads", [[], [b""], [b"\x10\x10"], [b"\x10"], [b"\x00\x00"]])
def test_nothing_to_show(payloads: list[bytes]) -> None:
    assert Av1Depacketizer().assemble(payloads) is None


@pytest.mark.parametrize(
    ("payloads", "says"),
    [
        ([b"\x90abc"], "no beginning"),
        ([b"\x50\x30abc"], "no end"),
        ([b"\x50\x30abc", b"\x10\x30a"], "no end"),
        ([b"\x00"], "no OBU"),
        ([b"\x50\x30", b"\x80"], "no OBU"),
        ([b"\x20\x05ab"], "beyond its packet"),
        ([b"\x20\x80"], "inside a length"),
        ([b"\x00\x02a"], "beyond its packet"),
        ([b"\x10\x34"], "inside its header"),
        ([b"\x10\x32\x04abc"], "size of an AV1 OBU"),
        ([b"\x10\x32\x02abc"], "size of an AV1 OBU"),
        ([b"\x10\x32"], "ends early"),
        ([b"\x10\xb0ab"], "broken"),
        ([b"\x00" + b"\x01\x30" * 8193], "more than 8192"),
    ],
)
def test_broken_payloads(payloads: list[bytes], says: str) -> None:
    with pytest.raises(PayloadError, match=says):
        Av1Depacketizer().assemble(payloads)


def test_the_last_obu_of_a_frame_may_have_no_size() -> None:
    assert packetizer().packetize(b"\x30abc", keyframe=False) == [b"\x10\x30abc"]


@pytest.mark.parametrize("payload", [b"\x34", b"\x32\x05a", b"\xb2\x00"])
def test_broken_frames(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        packetizer().packetize(payload, keyframe=False)


@pytest.mark.parametrize(
    ("payload", "begins"),
    [
        (b"\x18\x30", True),
        (b"\x10\x08\x00", True),
        (b"\x10\x10", True),
        (b"\x10\x30", None),
        (b"\x90\x30", False),
        (b"\x20\x80", False),
        (b"\x10", False),
        (b"", False),
        (b"\x00\x00", None),
    ],
)
def test_what_the_first_payload_tells(payload: bytes, begins: bool | None) -> None:
    assert Av1Depacketizer().begins_frame(payload) is begins


def test_a_track_without_sequence_header_sends_what_comes() -> None:
    record = support.av1().track.config[:4]
    (packet,) = Av1Packetizer(record, 100).packetize(obu(6, b"\x10"), keyframe=True)
    assert packet == b"\x18\x30\x10"


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_anything_is_answered(payloads: list[bytes]) -> None:
    depacketizer = Av1Depacketizer()
    for payload in payloads:
        depacketizer.begins_frame(payload)
    try:
        frame = depacketizer.assemble(payloads)
    except PayloadError:
        return
    if frame is not None:
        again = depacketizer.assemble(packetizer().packetize(frame.payload, keyframe=False))
        assert again == frame
