"""The chunk stream: every header type, in any split, within limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.rtmp.errors import ChunkError, LimitError, ProtocolError
from ghostlive.protocols.rtmp.parser.chunk import ChunkReader, ChunkWriter
from ghostlive.protocols.rtmp.parser.message import Message, set_chunk_size

Plain = tuple[int, int, int, bytes]


def reader(max_message: int = 1 << 20, max_streams: int = 8) -> ChunkReader:
    return ChunkReader(max_message=max_message, max_streams=max_streams)


def plain(messages: list[Message]) -> list[Plain]:
    return [(message.type, message.stream, message.timestamp, message.payload) for message in messages]


def header(kind: int, csid: int, time: int = 0, length: int = 0, type_: int = 9, *, stream: int = 1) -> bytes:
    """A chunk header with a one-byte basic header."""
    return (
        bytes([kind << 6 | csid])
        + (time.to_bytes(3, "big") if kind < 3 else b"")
        + (length.to_bytes(3, "big") + bytes([type_]) if kind < 2 else b"")
        + (stream.to_bytes(4, "little") if kind == 0 else b"")
    )


messages_strategy = st.lists(
    st.tuples(
        st.sampled_from([2, 3, 4, 63, 64, 319, 320, 65599]),
        st.builds(
            Message,
            st.sampled_from([8, 9, 18, 20]),
            st.integers(0, 3),
            st.one_of(st.integers(0, 5000), st.integers(0xFFFFF0, 0x100000F), st.just(0xFFFFFFFF)),
            st.one_of(
                st.binary(max_size=40), st.integers(100, 2000).map(lambda size: bytes(i & 255 for i in range(size)))
            ),
        ),
    ),
    max_size=8,
)


@given(messages=messages_strategy, size=st.sampled_from([1, 128, 200, 4096]), data=st.data())
def test_what_is_written_is_read_in_any_split(
    messages: list[tuple[int, Message]], size: int, data: st.DataObject
) -> None:
    writer = ChunkWriter()
    wire = writer.write(set_chunk_size(size), 2)
    writer.chunk_size = size
    wire += b"".join(writer.write(message, csid) for csid, message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    incoming = reader()
    found: list[Message] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += incoming.receive(wire[start:end])
    assert plain(found) == plain([message for _, message in messages])


def test_byte_by_byte() -> None:
    writer = ChunkWriter()
    message = Message(9, 1, 0x1234567, bytes(range(256)) * 2)
    wire = writer.write(message, 6) * 2
    incoming = reader()
    found = [found for byte in wire for found in incoming.receive(bytes([byte]))]
    assert plain(found) == plain([message, message])


def test_all_header_types() -> None:
    wire = (
        header(0, 4, 1000, 2) + b"ab"
        + header(1, 4, 20, 3, 8) + b"cde"
        + header(2, 4, 30) + b"fgh"
        + header(3, 4) + b"ijk"
    )  # fmt: skip
    assert plain(reader().receive(wire)) == [
        (9, 1, 1000, b"ab"),
        (8, 1, 1020, b"cde"),
        (8, 1, 1050, b"fgh"),
        (8, 1, 1080, b"ijk"),
    ]


def test_type_3_behind_type_0_repeats_its_timestamp() -> None:
    wire = header(0, 4, 33, 1) + b"a" + header(3, 4) + b"b"
    assert [message.timestamp for message in reader().receive(wire)] == [33, 66]


def test_type_1_may_open_a_chunk_stream() -> None:
    assert plain(reader().receive(header(1, 4, 5, 1) + b"a")) == [(9, 0, 5, b"a")]


@pytest.mark.parametrize("kind", [2, 3])
def test_types_2_and_3_need_one_before(kind: int) -> None:
    with pytest.raises(ChunkError, match="needs one before"):
        reader().receive(header(kind, 4))


def test_extended_timestamps_on_continuations() -> None:
    body = bytes(300)
    first = header(0, 4, 0xFFFFFF, 300) + (0x1000000).to_bytes(4, "big") + body[:128]
    with_repeat = first + (b"\xc4" + (0x1000000).to_bytes(4, "big") + body[:128]) * 2
    without = first + b"\xc4" + body[:128] + b"\xc4" + body[:44]
    assert plain(reader().receive(with_repeat[: len(with_repeat) - 84])) == [(9, 1, 0x1000000, body)]
    assert plain(reader().receive(without)) == [(9, 1, 0x1000000, body)]


def test_extended_timestamp_of_a_repeated_header() -> None:
    extended = (0x1000000).to_bytes(4, "big")
    wire = header(0, 4, 0xFFFFFF, 1) + extended + b"a" + b"\xc4" + extended + b"b"
    assert [message.timestamp for message in reader().receive(wire)] == [0x1000000, 0x2000000]


def test_timestamps_wrap() -> None:
    wire = header(0, 4, 0xFFFFFF, 1) + b"\xff\xff\xff\xff" + b"a" + header(2, 4, 2) + b"b"
    assert [message.timestamp for message in reader().receive(wire)] == [0xFFFFFFFF, 1]


def test_interleaved_messages() -> None:
    video, audio = bytes([1]) * 500, bytes([2]) * 20
    wire = header(0, 6, 0, 500) + video[:128] + header(3, 6) + video[:128]
    wire += header(0, 4, 0, 20, 8) + audio
    wire += header(3, 6) + video[:128] + header(3, 6) + video[:116]
    assert plain(reader().receive(wire)) == [(8, 1, 0, audio), (9, 1, 0, video)]


def test_runs_of_chunks_stop_at_another_chunk_stream() -> None:
    video = bytes(range(256)) * 40
    pieces = [video[at : at + 128] for at in range(0, len(video), 128)]
    wire = header(0, 6, 0, len(video)) + pieces[0]
    for index, piece in enumerate(pieces[1:], 1):
        if index % 7 == 0:
            wire += header(0, 4, 0, 1, 8) + b"x"
        wire += b"\xc6" + piece
    found = plain(reader().receive(wire))
    assert found[-1] == (9, 1, 0, video)
    assert len(found) == 12


def test_abort_drops_an_unfinished_message() -> None:
    wire = header(0, 6, 0, 200) + bytes(128)
    wire += header(0, 2, 0, 4, 2, stream=0) + (6).to_bytes(4, "big")
    wire += header(0, 2, 0, 4, 2, stream=0) + (99).to_bytes(4, "big")
    wire += header(0, 6, 0, 1) + b"a"
    assert plain(reader().receive(wire)) == [(9, 1, 0, b"a")]


def test_a_message_inside_another_is_refused() -> None:
    with pytest.raises(ChunkError, match="before the last one ended"):
        reader().receive(header(0, 6, 0, 200) + bytes(128) + header(0, 6, 0, 1) + b"a")


@pytest.mark.parametrize("size", [0, 0x80000000])
def test_impossible_chunk_sizes(size: int) -> None:
    with pytest.raises(ChunkError, match="chunk size"):
        reader().receive(header(0, 2, 0, 4, 1, stream=0) + size.to_bytes(4, "big"))


def test_short_control_message() -> None:
    with pytest.raises(ProtocolError, match="too short"):
        reader().receive(header(0, 2, 0, 1, 1, stream=0) + b"a")


def test_large_messages_are_refused_by_their_header() -> None:
    with pytest.raises(LimitError, match="a message of 1025 bytes"):
        reader(max_message=1024).receive(header(0, 6, 0, 1025))


def test_many_chunk_streams_are_refused() -> None:
    wire = b"".join(header(0, csid, 0, 1) + b"a" for csid in range(3, 12))
    with pytest.raises(LimitError, match="8 chunk streams"):
        reader().receive(wire)


def test_many_unfinished_messages_are_refused() -> None:
    incoming = reader(max_message=1000)
    incoming.receive(header(0, 2, 0, 4, 1, stream=0) + (999).to_bytes(4, "big"))
    with pytest.raises(LimitError, match="unfinished"):
        incoming.receive(b"".join(header(0, csid, 0, 1000) + bytes(999) for csid in range(3, 7)))


@given(st.binary(max_size=400))
def test_noise_raises_documented_errors_only(noise: bytes) -> None:
    incoming = reader(max_message=10_000)
    try:
        for at in range(0, len(noise), 7):
            incoming.receive(noise[at : at + 7])
    except (ProtocolError, LimitError):
        pass
