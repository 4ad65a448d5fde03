"""RTP packets: header, sources, extensions, padding."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.formats.rtp.packet import RtpError, RtpPacket, is_rtcp

U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
PACKETS = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence_number=U16,
    timestamp=U32,
    ssrc=U32,
    payload=st.binary(max_size=100),
    marker=st.booleans(),
    csrcs=st.lists(U32, max_size=15).map(tuple),
    extensions=st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=40)), max_size=5).map(tuple),
    padding=st.integers(0, 255),
)


def test_a_plain_packet() -> None:
    packet = RtpPacket.parse(bytes.fromhex("80e01234 01020304 deadbeef") + b"payload")
    assert packet == RtpPacket(96, 0x1234, 0x01020304, 0xDEADBEEF, b"payload", marker=True)
    assert packet.to_bytes() == bytes.fromhex("80e01234 01020304 deadbeef") + b"payload"


def test_sources_extensions_and_padding() -> None:
    data = bytes.fromhex(
        "b2600001 00000002 00000003"  # version 2, padding, extension, two sources
        "0000000a 0000000b"
        "bede0003 10aa 00 2301020304 00 00 3055"  # ids 1 and 2, with padding between, then 3
    )
    packet = RtpPacket.parse(data + b"xy" + bytes.fromhex("000003"))
    assert packet.csrcs == (10, 11)
    assert packet.extensions == ((1, b"\xaa"), (2, b"\1\2\3\4"), (3, b"\x55"))
    assert (packet.payload, packet.padding) == (b"xy", 3)
    assert packet.extension(2) == b"\1\2\3\4"
    assert packet.extension(9) is None
    assert packet.extension(None) is None


def test_a_packet_of_padding_only() -> None:
    packet = RtpPacket.parse(bytes.fromhex("a0600001 00000002 00000003 000003"))
    assert (packet.payload, packet.padding) == (b"", 3)


def test_the_two_byte_form() -> None:
    head = bytes.fromhex("90600001 00000002 00000003")
    packet = RtpPacket.parse(head + bytes.fromhex("1005 0003 01 00 00 10 02 aabb 00 00 00 00 00"))
    assert packet.extensions == ((1, b""), (16, b"\xaa\xbb"))
    written = RtpPacket(0, 1, 2, 3, b"", extensions=((15, b"a"), (1, b""))).to_bytes()
    assert written[12:] == bytes.fromhex("1000 0002 0f 01 61 01 00 000000")


def test_the_one_byte_form_is_written_where_it_fits() -> None:
    written = RtpPacket(0, 1, 2, 3, b"", extensions=((14, bytes(16)), (1, b"a"))).to_bytes()
    assert written[12:17] == bytes.fromhex("bede 0005 ef")
    assert RtpPacket(0, 1, 2, 3, b"", extensions=((1, bytes(17)),)).to_bytes()[12:14] == b"\x10\x00"
    assert RtpPacket(0, 1, 2, 3, b"", extensions=((15, b"a"),)).to_bytes()[12:14] == b"\x10\x00"


def test_reserved_identifiers_end_the_extensions() -> None:
    head = bytes.fromhex("90600001 00000002 00000003")
    for reserved in ("f0", "02"):
        packet = RtpPacket.parse(head + bytes.fromhex(f"bede 0002 10 aa {reserved} 00 20 bb 00 00"))
        assert packet.extensions == ((1, b"\xaa"),)


def test_an_unknown_profile_is_left_out() -> None:
    packet = RtpPacket.parse(bytes.fromhex("90600001 00000002 00000003 beef 0001 10aa0000") + b"p")
    assert (packet.extensions, packet.payload) == ((), b"p")


@pytest.mark.parametrize(
    "data",
    [
        "",
        "80600001000000020000",
        "40600001 00000002 00000003",  # version 1
        "81600001 00000002 00000003",  # one source, which is not there
        "90600001 00000002 00000003",  # extension without a head
        "90600001 00000002 00000003 bede0001",
        "90600001 00000002 00000003 bede0001 1faa0000",  # an element longer than all of them
        "90600001 00000002 00000003 10000001 01040000",
        "90600001 00000002 00000003 10000001 00000001",  # no length
        "a0600001 00000002 00000003",  # padding of what there is not
        "a0600001 00000002 00000003 00",  # of nothing
        "a0600001 00000002 00000003 0002 04",
    ],
)
def test_broken_packets(data: str) -> None:
    with pytest.raises(RtpError):
        RtpPacket.parse(bytes.fromhex(data))


@pytest.mark.parametrize(
    "packet",
    [
        RtpPacket(128, 0, 0, 0, b""),
        RtpPacket(0, 0x10000, 0, 0, b""),
        RtpPacket(0, 0, -1, 0, b""),
        RtpPacket(0, 0, 0, 1 << 32, b""),
        RtpPacket(0, 0, 0, 0, b"", csrcs=(0,) * 16),
        RtpPacket(0, 0, 0, 0, b"", csrcs=(-1,)),
        RtpPacket(0, 0, 0, 0, b"", extensions=((0, b""),)),
        RtpPacket(0, 0, 0, 0, b"", extensions=((1, bytes(256)),)),
        RtpPacket(0, 0, 0, 0, b"", padding=256),
        RtpPacket(0, 0, 0, 0, b"", padding=-1),
    ],
)
def test_what_does_not_fit_the_wire(packet: RtpPacket) -> None:
    with pytest.raises(RtpError):
        packet.to_bytes()


@given(PACKETS)
def test_what_is_written_is_read(packet: RtpPacket) -> None:
    data = packet.to_bytes()
    assert RtpPacket.parse(data) == packet
    assert RtpPacket.parse(memoryview(data)) == packet


@given(st.binary(max_size=80), st.integers(0, 0x3F))
def test_noise(data: bytes, flags: int) -> None:
    for noise in (data, bytes((0x80 | flags,)) + data):
        with contextlib.suppress(RtpError):
            packet = RtpPacket.parse(noise)
            assert RtpPacket.parse(packet.to_bytes()) == packet


@given(PACKETS, st.data())
def test_cut_and_bent_packets(packet: RtpPacket, draw: st.DataObject) -> None:
    data = bytearray(packet.to_bytes())
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] = draw.draw(st.integers(0, 255))
    del data[draw.draw(st.integers(0, len(data))) :]
    with contextlib.suppress(RtpError):
        RtpPacket.parse(bytes(data))


def test_rtcp_is_told_from_rtp() -> None:
    assert is_rtcp(b"\x80\xc8")
    assert is_rtcp(b"\x81\xcf\0\0")
    assert not is_rtcp(RtpPacket(127, 0, 0, 0, b"", marker=True).to_bytes())
    assert not is_rtcp(RtpPacket(63, 0, 0, 0, b"", marker=True).to_bytes())
    assert not is_rtcp(b"\x80")
