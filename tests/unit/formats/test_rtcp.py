"""RTCP: bytes as their specifications have them, round trips, and noise."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.formats.rtcp import (
    FullIntraRequest,
    Goodbye,
    Nack,
    Packet,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpError,
    SenderReport,
    SourceDescription,
    TransportFeedback,
    UnknownPacket,
    make_feedback,
    middle,
    ntp_from_unix_ns,
    parse_compound,
    round_trip_time,
    unix_ns_from_ntp,
    write_compound,
)

BLOCK = ReportBlock(0x11223344, 0x40, -2, 0x0001FFFF, 77, 0x55667788, 0x10000)
BLOCK_HEX = "11223344 40fffffe 0001ffff 0000004d 55667788 00010000"

SAMPLES: list[tuple[Packet, str]] = [
    (
        SenderReport(1, 0x0102030405060708, 9, 10, 11, (BLOCK,)),
        f"81c8000c 00000001 0102030405060708 00000009 0000000a 0000000b {BLOCK_HEX}",
    ),
    (ReceiverReport(1), "80c90001 00000001"),
    (ReceiverReport(1, (BLOCK, BLOCK)), f"82c9000d 00000001 {BLOCK_HEX} {BLOCK_HEX}"),
    (SourceDescription(5, "ab"), "81ca0003 00000005 01026162 00000000"),
    (SourceDescription(5, "abc"), "81ca0003 00000005 0103616263 000000"),
    (SourceDescription(5, ""), "81ca0002 00000005 00000000"),
    (Goodbye((1, 2)), "82cb0002 00000001 00000002"),
    (Goodbye((1,), "bye"), "81cb0002 00000001 03627965"),
    (Nack(1, 2, (10, 11, 26, 27)), "81cd0004 00000001 00000002 000a8001 001b0000"),
    (Nack(1, 2, (0xFFFF, 0, 15)), "81cd0003 00000001 00000002 ffff8001"),
    (PictureLossIndication(1, 2), "81ce0002 00000001 00000002"),
    (FullIntraRequest(1, ((2, 200),)), "84ce0004 00000001 00000000 00000002 c8000000"),
    (Remb(1, 2_500_000 // 16 * 16, (2, 3)), "8fce0006 00000001 00000000 52454d42 021262 5a 00000002 00000003"),
    (UnknownPacket(207, 3, b"ABCD"), "83cf0001 41424344"),
    (UnknownPacket(206, 2, bytes(12)), "82ce0003 00000000 00000000 00000000"),
    (UnknownPacket(205, 3, bytes(8)), "83cd0002 00000000 00000000"),
    (UnknownPacket(206, 15, bytes(8) + b"ABCD"), "8fce0003 00000000 00000000 41424344"),
]


@pytest.mark.parametrize(("packet", "data"), SAMPLES)
def test_one_packet(packet: Packet, data: str) -> None:
    if not isinstance(packet, Remb):
        assert write_compound([packet]).hex() == bytes.fromhex(data).hex()
        assert parse_compound(bytes.fromhex(data)) == [packet]
    assert parse_compound(write_compound([packet])) == [packet]


def test_a_compound() -> None:
    packets = [packet for packet, _ in SAMPLES]
    assert parse_compound(memoryview(write_compound(packets))) == packets


def test_remb() -> None:
    # Exponent 4, mantissa 0x26259: what 2,500,000 b/s are in 18 bits.
    data = bytes.fromhex("8fce0005 00000001 00000000 52454d42 01 12625a 00000007")
    assert parse_compound(data) == [Remb(1, 0x2625A << 4, (7,))]
    (found,) = parse_compound(write_compound([Remb(1, 123_456_789, (7,))]))
    assert isinstance(found, Remb)
    assert 0 <= 123_456_789 - found.bitrate < 123_456_789 / (1 << 17)
    with pytest.raises(RtcpError):
        parse_compound(bytes.fromhex("8fce0004 00000001 00000000 52454d42 00 ffffff"))


def test_several_chunks_and_other_items_of_a_source_description() -> None:
    data = bytes.fromhex("82ca0006 00000001 0201780103616263 00000000 00000002 01017a00")
    assert parse_compound(data) == [SourceDescription(1, "abc"), SourceDescription(2, "z")]


def test_extensions_of_reports_are_left_out() -> None:
    assert parse_compound(bytes.fromhex("80c90002 00000001 12345678")) == [ReceiverReport(1)]


def test_padding() -> None:
    assert parse_compound(bytes.fromhex("a0c90002 00000001 00000004")) == [ReceiverReport(1)]
    for broken in ("a0c90002 00000001 00000000", "a0c90002 00000001 000000ff", "a0c90000"):
        with pytest.raises(RtcpError):
            parse_compound(bytes.fromhex(broken))


def test_transport_feedback_with_each_kind_of_chunk() -> None:
    data = (
        "8fcd0008 00000001 00000002 0001 000e fffffe 05"
        "2003"  # three small deltas
        "0002"  # two missing
        "d840"  # two bits each: small, large, missing, small, three missing
        "a000"  # one bit each: small, missing, and nothing more
        "04 08 0c 10 ff00 14 18"
    )
    (found,) = parse_compound(bytes.fromhex(data))
    assert isinstance(found, TransportFeedback)
    assert (found.base_sequence_number, found.feedback_count, found.reference_time) == (1, 5, -2)
    times = [None if time is None else (time + 2 * 64_000) // 250 for _, time in found.arrivals]
    assert times == [4, 12, 24, None, None, 40, -216, None, -196, None, None, None, -172, None]
    assert [number for number, _ in found.arrivals] == [*range(1, 15)]
    assert parse_compound(write_compound([found])) == [found]


def test_feedback_is_made_from_arrivals() -> None:
    arrivals = [(65534, 1_000_000), (65535, 1_000_250), (65537, 1_064_250), (65540, 1_000_000)]
    (feedback,) = make_feedback(1, 2, 255, arrivals)
    assert feedback.base_sequence_number == 65534
    assert feedback.reference_time == 1_000_000 // 64_000
    assert feedback.arrivals == (
        (65534, 1_000_000), (65535, 1_000_250), (0, None), (1, 1_064_250), (2, None), (3, None), (4, 1_000_000),
    )  # fmt: skip
    assert parse_compound(write_compound([feedback])) == [feedback]


def test_feedback_is_split_where_one_cannot_hold_it() -> None:
    arrivals = [(number, number * 250) for number in range(5)]
    arrivals += [(10, 60_000_000), (2000, 60_000_250)]
    found = make_feedback(1, 2, 254, arrivals, limit=100)
    assert [feedback.feedback_count for feedback in found] == [254, 255, 0]
    assert [feedback.base_sequence_number for feedback in found] == [0, 10, 2000]
    assert [len(feedback.arrivals) for feedback in found] == [5, 1, 1]
    assert make_feedback(1, 2, 0, []) == []


@given(
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 50),
    st.lists(st.tuples(st.integers(1, 40), st.integers(-5000, 9_000_000)), min_size=1, max_size=60),
)
def test_feedback_tells_what_arrived(base: int, start: int, steps: list[tuple[int, int]]) -> None:
    arrivals = []
    for gap, later in steps:
        base, start = base + gap, start + later
        arrivals.append((base, start))
    found = make_feedback(1, 2, 3, arrivals)
    assert parse_compound(write_compound(found)) == found
    told = [
        (number, time, feedback.reference_time)
        for feedback in found
        for number, time in feedback.arrivals
        if time is not None
    ]
    assert [number for number, _, _ in told] == [number & 0xFFFF for number, _ in arrivals]
    wrap = 64_000 << 24
    for (_, told_us, _), (_, received_us) in zip(told, arrivals, strict=True):
        assert (received_us - told_us) % wrap < 250


def test_sizes_are_limited() -> None:
    with pytest.raises(RtcpError):
        parse_compound(write_compound([UnknownPacket(204, 0, bytes(4096))]))
    with pytest.raises(RtcpError):
        parse_compound(bytes.fromhex("80cb0000") * 65)
    assert len(parse_compound(bytes.fromhex("80cb0000") * 64)) == 64
    with pytest.raises(RtcpError):  # 65,535 packets in two bytes
        parse_compound(bytes.fromhex("8fcd0005 00000001 00000002 0001ffff 00000000 1fff1fff"))


@pytest.mark.parametrize(
    "data",
    [
        "",
        "80c900",
        "40c90001 00000001",
        "80c90001",
        "81c90001 00000001",
        "80c80001 00000001",
        "81ca0001 00000001",
        "81ca0002 00000001 01050000",
        "81ca0002 00000001 01026161",  # no end
        "82cb0001 00000001",
        "81cb0002 00000001 09627965",
        "81cd0002 00000001 00000002",
        "8fcd0002 00000001 00000002",
        "8fcd0004 00000001 00000002 00010004 00000000",  # no states
        "8fcd0005 00000001 00000002 00010004 00000000 20040000",  # too few times
        "8fcd0005 00000001 00000002 00010001 00000000 60010000",  # a reserved state
        "81ce0001 00000001",
        "84ce0002 00000001 00000002",
        "84ce0003 00000001 00000002 00000003",
        "8fce0004 00000001 00000002 52454d42 02000000",
        "80c90001 00000001 00",
    ],
)
def test_broken_packets(data: str) -> None:
    with pytest.raises(RtcpError):
        parse_compound(bytes.fromhex(data))


@pytest.mark.parametrize(
    "packet",
    [
        ReceiverReport(1 << 32),
        ReceiverReport(1, (BLOCK,) * 32),
        ReceiverReport(1, (ReportBlock(1, 256, 0, 0, 0),)),
        SenderReport(1, -1, 0, 0, 0),
        Goodbye((1,) * 32),
        Goodbye((1,), "x" * 256),
        SourceDescription(1, "x" * 256),
        Nack(1, 2, ()),
        Nack(1, 2, (1 << 16,)),
        FullIntraRequest(1, ((1, 256),)),
        Remb(1, 1, (1,) * 256),
        Remb(1, -1, ()),
        TransportFeedback(1, 2, 0, 0, 0, ((0, 10_000_000),)),
    ],
)
def test_what_does_not_fit_the_wire(packet: Packet) -> None:
    with pytest.raises(RtcpError):
        write_compound([packet])


@given(st.sets(st.integers(0, 2000), min_size=1, max_size=500), st.integers(0, 65535))
def test_nacks_name_exactly_the_packets(missing: set[int], base: int) -> None:
    numbers = tuple((base + number) & 0xFFFF for number in sorted(missing))
    assert parse_compound(write_compound([Nack(1, 2, numbers)])) == [Nack(1, 2, numbers)]


@given(st.binary(max_size=120), st.sampled_from([200, 201, 202, 203, 204, 205, 206, 207]), st.integers(0, 31))
def test_noise(data: bytes, kind: int, count: int) -> None:
    body = data + bytes(-len(data) % 4)
    framed = bytes((0x80 | count, kind)) + (len(body) // 4).to_bytes(2, "big") + body
    for noise in (data, framed):
        with contextlib.suppress(RtcpError):
            packets = parse_compound(noise)
            with contextlib.suppress(RtcpError):
                assert parse_compound(write_compound(packets)) == packets


def test_ntp() -> None:
    # 2001-09-09 01:46:40.5 UTC
    ntp = ntp_from_unix_ns(1_000_000_000_500_000_000)
    assert ntp == (1_000_000_000 + 2_208_988_800) << 32 | 1 << 31
    assert unix_ns_from_ntp(ntp) == 1_000_000_000_500_000_000
    assert middle(0x0123456789ABCDEF) == 0x456789AB
    # After the turn of the era in 2036.
    assert unix_ns_from_ntp(ntp_from_unix_ns(2_200_000_000_000_000_000)) == 2_200_000_000_000_000_000


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_ntp_keeps_nanoseconds(unix_ns: int) -> None:
    assert abs(unix_ns_from_ntp(ntp_from_unix_ns(unix_ns)) - unix_ns) <= 1


def test_round_trip_time() -> None:
    sent = ntp_from_unix_ns(1_700_000_000_000_000_000)
    now = ntp_from_unix_ns(1_700_000_000_350_000_000)
    block = ReportBlock(1, 0, 0, 0, 0, middle(sent), 65536 // 4)
    assert round_trip_time(block, now) == pytest.approx(0.1, abs=1e-4)
    assert round_trip_time(ReportBlock(1, 0, 0, 0, 0), now) is None
    # A few milliseconds less than none are a matter of clocks; more of it is nonsense.
    assert round_trip_time(ReportBlock(1, 0, 0, 0, 0, middle(now), 300), now) == 0.0
    assert round_trip_time(ReportBlock(1, 0, 0, 0, 0, middle(now), 65536), now) is None
    assert round_trip_time(ReportBlock(1, 0, 0, 0, 0, middle(now) - (61 << 16), 0), now) is None
