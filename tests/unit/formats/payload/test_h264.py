"""H.264 payloads: of real encoders, by the bits of RFC 6184, and broken ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.formats.payload import support

from ghostlive.codecs.nal import join_length_prefixed, split_length_prefixed
from ghostlive.formats.rtp.payload import PayloadError, make_packetizer
from ghostlive.formats.rtp.payload.h264 import H264Depacketizer, H264Packetizer

IDR, SLICE = b"\x65\x88", b"\x41\x9a"
FILES = ["h264_baseline.h264", "h264_high422.h264", "h264_interlaced.h264", "h264_open_gop.h264"]


def packetizer(max_size: int = 100) -> H264Packetizer:
    """One that knows parameter sets of an encoder."""
    return H264Packetizer(support.h264().track.config, max_size)


def assemble(*payloads: bytes) -> tuple[bytes, bool]:
    frame = H264Depacketizer().assemble(payloads)
    assert frame is not None
    return frame.payload, frame.keyframe


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("max_size", [64, 333, 1200])
def test_streams_come_back_as_they_were(name: str, max_size: int) -> None:
    stream = support.h264(name)
    found = support.there_and_back(stream, max_size)
    assert [(frame.payload, frame.keyframe) for frame in found] == [
        (frame.payload, frame.keyframe) for frame in stream.frames
    ]


def test_parameter_sets_come_with_each_keyframe_and_no_other() -> None:
    stream = support.h264()
    sets = stream.frames[0].parameter_sets
    assert len(sets) == 2
    for frame in support.there_and_back(stream):
        assert frame.parameter_sets == (sets if frame.keyframe else ())


def test_a_frame_that_fits_is_its_nal_unit() -> None:
    assert packetizer().packetize(join_length_prefixed([SLICE]), keyframe=False) == [SLICE]


def test_small_nal_units_share_a_packet() -> None:
    sei, idr = b"\x06\x05\x01\x00\x80", b"\x65\x88\x00"
    (packet,) = H264Packetizer(support.h264().track.config, 1200).packetize(
        join_length_prefixed([sei, idr]), keyframe=True
    )
    # F 0, NRI of the most important, type 24; then the SPS with its length.
    assert packet[0] == 0x78
    assert packet[3] == 0x67
    assert packet.endswith(b"\x00\x05" + sei + b"\x00\x03" + idr)
    frame = H264Depacketizer().assemble([packet])
    assert frame is not None
    assert frame.payload == join_length_prefixed([sei, idr])
    assert frame.keyframe


def test_fragments_say_where_they_begin_and_end() -> None:
    nal = b"\x41" + bytes(range(1, 251))
    packets = packetizer().packetize(join_length_prefixed([nal]), keyframe=False)
    assert [packet[:2] for packet in packets] == [b"\x5c\x81", b"\x5c\x01", b"\x5c\x41"]
    assert [len(packet) for packet in packets] == [86, 86, 84]
    assert b"".join(packet[2:] for packet in packets) == nal[1:]


@given(st.integers(1, 2000), st.integers(64, 300))
def test_fragments_are_as_few_and_equal_as_can_be(size: int, max_size: int) -> None:
    nal = b"\x41" + bytes(size)
    packets = packetizer(max_size).packetize(join_length_prefixed([nal]), keyframe=False)
    assert support.equal_sizes(packets)
    assert len(packets) == (1 if len(nal) <= max_size else -(-size // (max_size - 2)))
    assert assemble(*packets) == (join_length_prefixed([nal]), False)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20), st.booleans())
def test_any_mix_of_sizes_comes_back(sizes: list[int], keyframe: bool) -> None:
    nals = [bytes((0x65 if keyframe else 0x41,)) + bytes(size) for size in sizes]
    packets = packetizer().packetize(join_length_prefixed(nals), keyframe=keyframe)
    assert max(map(len, packets)) <= 100
    frame = H264Depacketizer().assemble(packets)
    assert frame is not None
    assert [bytes(nal) for nal in split_length_prefixed(frame.payload)] == nals
    assert frame.keyframe is keyframe


def test_delimiters_and_filler_do_not_get_through() -> None:
    assert assemble(b"\x09\x10", SLICE, b"\x0c\xff\x80") == (join_length_prefixed([SLICE]), False)
    assert assemble(b"\x78\x00\x00\x00\x02" + SLICE) == (join_length_prefixed([SLICE]), False)
    assert assemble(SLICE, b"\x0a") == (join_length_prefixed([SLICE, b"\x0a"]), False)  # end of sequence: header only


@pytest.mark.parametrize("first", [0x00, 0x18, 0x1C, 0x7F])
def test_types_that_rtp_took_for_itself_are_not_sent(first: int) -> None:
    unit = join_length_prefixed([bytes((first, 1)), SLICE, b"", bytes((first,)) + bytes(200)])
    assert packetizer().packetize(unit, keyframe=False) == [SLICE]


def test_parameter_sets_alone_are_no_picture() -> None:
    sps, pps = support.h264().frames[0].parameter_sets
    frame = H264Depacketizer().assemble([sps, pps])
    assert frame is not None
    assert (frame.payload, frame.keyframe, frame.parameter_sets) == (b"", False, (sps, pps))


@pytest.mark.parametrize("payloads", [[], [b""], [b"\x09\x10"], [b"\x18"]])
def test_nothing_to_show(payloads: list[bytes]) -> None:
    assert H264Depacketizer().assemble(payloads) is None


@pytest.mark.parametrize(
    ("payloads", "says"),
    [
        ([b"\x5c"], "inside its header"),
        ([b"\x5c\x01abc"], "no beginning"),
        ([b"\x5c\x41abc"], "no beginning"),
        ([b"\x5c\x81abc"], "no end"),
        ([b"\x5c\x81abc", SLICE], "no end before another"),
        ([b"\x5c\x81abc", b"\x5c\x81abc"], "no end before others"),
        ([b"\x5c\x98\x00\x01a", b"\x5c\x58"], "no NAL unit"),
        ([b"\x78\x00"], "beyond its aggregation packet"),
        ([b"\x78\x00\x03ab"], "beyond its aggregation packet"),
        ([b"\x78\x00\x03\x78\x00\x01"], "no NAL unit"),
        ([b"\x79\x00\x00\x00\x01a"], "byte 121"),  # STAP-B
        ([b"\x00abc"], "byte 0"),
        ([b"\x1d\x81\x00\x00abc"], "byte 29"),  # FU-B
        ([b"\x78" + b"\x00\x01\x41" * 9000], "more than 8192"),
        ([b"\x78" + b"\x00\x01\x41" * 2731] * 3, "more than 8192"),
        ([SLICE] * 8193, "8193 packets"),
    ],
)
def test_broken_payloads(payloads: list[bytes], says: str) -> None:
    with pytest.raises(PayloadError, match=says):
        H264Depacketizer().assemble(payloads)


@pytest.mark.parametrize(
    ("payload", "begins"),
    [
        (b"\x09\x10", True),
        (b"\x67\x42\x00\x1f", True),
        (b"\x78\x00\x04\x67\x42\x00\x1f", True),
        (b"\x41\x9a\x00", True),  # first_mb_in_slice is 0
        (b"\x41\x4a\x00", False),
        (b"\x65\x88\x00", None),
        (b"\x65\x48\x00", False),
        (b"\x68\xce", None),
        (b"\x06\x05", None),
        (b"\x5c\x81\x9a", True),
        (b"\x5c\x81\x4a", False),
        (b"\x5c\x01\x9a", False),
        (b"\x5c\x41\x9a", False),
        (b"\x7c\x85\x88", None),
        (b"\x5c\x81", False),
        (b"\x5c", False),
        (b"\x78\x00\x01", False),
        (b"\x00\x00", False),
        (b"", False),
    ],
)
def test_what_the_first_payload_tells(payload: bytes, begins: bool | None) -> None:
    assert H264Depacketizer().begins_frame(payload) is begins


@pytest.mark.parametrize("payload", [b"\x00", b"\x00\x00\x00\x05abc", b"\x00\x00\x00\x03abcd", b"\xff\xff\xff\xff"])
def test_frames_whose_lengths_do_not_add_up(payload: bytes) -> None:
    with pytest.raises(PayloadError, match="do not add up"):
        packetizer().packetize(payload, keyframe=False)


def test_payloads_have_a_least_size() -> None:
    with pytest.raises(PayloadError, match="too small"):
        make_packetizer(support.h264().track, 63)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_anything_is_answered(payloads: list[bytes]) -> None:
    depacketizer = H264Depacketizer()
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
