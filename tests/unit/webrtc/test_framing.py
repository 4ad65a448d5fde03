"""RFC 4571 framing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.webrtc.framing import MAX_FRAME, FrameReader, FramingError, frame


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.lists(st.integers(1, 400), max_size=40))
def test_packets_come_out_as_they_went_in_however_the_bytes_are_cut(packets: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(frame, packets))
    reader, found, position = FrameReader(), [], 0
    for cut in [*cuts, len(stream)]:
        found += reader.receive(stream[position : position + cut])
        position += cut
    assert found == packets


@given(st.binary(max_size=5000))
def test_whatever_comes_raises_nothing_else(data: bytes) -> None:
    reader = FrameReader()
    try:
        packets = reader.receive(data)
    except FramingError:
        return
    assert all(0 < len(packet) <= MAX_FRAME for packet in packets)
    assert len(reader._rest) <= MAX_FRAME + 2


def test_a_packet_that_is_too_long_is_refused_before_it_is_there() -> None:
    assert FrameReader().receive(frame(bytes(MAX_FRAME))) == [bytes(MAX_FRAME)]
    with pytest.raises(FramingError, match="2049 bytes"):
        FrameReader().receive((MAX_FRAME + 1).to_bytes(2))


def test_a_length_of_nothing_is_passed_over() -> None:
    assert FrameReader().receive(b"\0\0\0\0" + frame(b"x")) == [b"x"]
