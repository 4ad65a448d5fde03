"""The WebSocket transport without a socket: hostile bytes, slow peers, endpoints that refuse, and every kind of end."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.support.chat import FakeConnection
from tests.support.clock import FakeClock
from tests.support.fake_transport import FakeTransport
from uvicorn.server import ServerState

from ghostlive.core.websocket import Connection, Opening, Peer, text_frame
from ghostlive.web import websocket
from ghostlive.web.clientaddress import ClientAddress
from ghostlive.web.problems import ProblemError
from ghostlive.web.upgrade import Upgrade
from ghostlive.web.websocket import CutOffs, Endpoint, Sockets, WebSocket

HANDSHAKE = [
    (b"host", b"live.example"),
    (b"connection", b"keep-alive, Upgrade"),
    (b"upgrade", b"WebSocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
    (b"user-agent", b"Tester/1"),
    (b"cookie", b"a=1"),
    (b"cookie", b"b=2; c=%3D"),
]
TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True, reserved: int = 0) -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    flag = 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    if size < 126:
        head += bytes([flag | size])
    elif size < 65536:
        head += bytes([flag | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([flag | 127]) + size.to_bytes(8, "big")
    if not mask:
        return head + payload
    key = b"\x01\x02\x03\x04"
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def text(message: str) -> bytes:
    return frame(TEXT, message.encode())


def close_of(data: bytes) -> tuple[int, str]:
    """Code and reason of the close frame that `data` ends with."""
    start = data.rindex(b"\x88")
    assert data[start + 1] == len(data) - start - 2
    return struct.unpack_from("!H", data, start + 2)[0], data[start + 4 :].decode()


class Listener(Peer):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.ends = 0
        self.on_text: Callable[[str], None] = lambda _: None

    def text(self, message: str) -> None:
        assert not self.ends
        self.heard.append(message)
        self.on_text(message)

    def gone(self) -> None:
        self.ends += 1


class Bench:
    """One WebSocket with all that surrounds it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.state = ServerState()
        self.transport = FakeTransport()
        self.peer = Listener()
        self.openings: list[Opening] = []
        self.connection: Connection | None = None
        self.left: list[str] = []
        self.decided = asyncio.Event()
        self.decided.set()
        self.error: Exception | None = None
        self.endpoint: Callable[[Opening, Connection], Awaitable[Peer]] = self.decide
        shared = Sockets(self.route, ClientAddress(("10.0.0.1",)), self.left.append, self.clock)
        self.socket = WebSocket(shared, self.state, self.transport, "10.0.0.1")

    def route(self, path: str) -> Endpoint | None:
        return self.endpoint if path.startswith("/chat") else None

    async def decide(self, opening: Opening, connection: Connection) -> Peer:
        self.openings.append(opening)
        self.connection = connection
        await self.decided.wait()
        if self.error is not None:
            raise self.error
        return self.peer

    def begin(
        self,
        target: bytes = b"/chat",
        fields: Iterable[tuple[bytes, bytes]] = HANDSHAKE,
        *,
        method: str = "GET",
        version: str = "1.1",
        rest: bytes = b"",
    ) -> None:
        self.socket.begin(Upgrade(method, version, target, list(fields), "10.0.0.1"), rest)

    async def settle(self) -> None:
        """Until the endpoint has decided."""
        await asyncio.gather(*self.state.tasks, return_exceptions=True)

    async def open(self, rest: bytes = b"") -> None:
        self.begin(rest=rest)
        await self.settle()
        assert self.transport.take().startswith(b"HTTP/1.1 101 ")

    def receive(self, data: bytes) -> bytes:
        """The peer sent `data`; what it gets."""
        self.socket.data_received(data)
        return self.transport.take()

    def reads(self) -> bool:
        """Whether the peer is read from at the moment."""
        return self.transport.reading

    def over(self) -> None:
        """Whatever happened: let the time for it pass, and check that nothing is left."""
        self.clock.advance(10)
        assert self.transport.closed
        assert self.left == ["10.0.0.1"]
        assert not self.state.connections
        assert not self.state.tasks
        assert self.peer.ends == (1 if self.peer_was_told else 0)

    peer_was_told = True


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def without(*names: bytes) -> list[tuple[bytes, bytes]]:
    return [pair for pair in HANDSHAKE if pair[0] not in names]


# -- opening


async def test_the_handshake_of_the_specification(bench: Bench) -> None:
    bench.begin(b"/chat%20room?since=7&x=%00")
    await bench.settle()
    head = bench.transport.take().decode()
    assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head  # RFC 6455 §1.3
    assert "extensions" not in head.lower()
    opening = bench.openings[0]
    assert (opening.path, opening.query) == ("/chat room", "since=7&x=%00")
    assert (opening.agent, opening.address) == ("Tester/1", "10.0.0.1")
    assert opening.cookies == {"a": "1", "b": "2", "c": "%3D"}
    assert "cookie" not in repr(opening).lower()


async def test_the_address_behind_a_trusted_proxy(bench: Bench) -> None:
    bench.begin(fields=[*HANDSHAKE, (b"x-forwarded-for", b"6.6.6.6, 192.0.2.7")])
    await bench.settle()
    assert bench.openings[0].address == "192.0.2.7"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"target": b"/elsewhere"}, 404),
        ({"target": b"*"}, 404),
        ({"target": b"http://[/"}, 400),
        ({"method": "POST"}, 405),
        ({"version": "1.0"}, 505),
        ({"fields": without(b"sec-websocket-key")}, 400),
        ({"fields": [*HANDSHAKE, (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")]}, 400),
        ({"fields": [*without(b"sec-websocket-key"), (b"sec-websocket-key", b"c2hvcnQ=")]}, 400),
        ({"fields": [*without(b"sec-websocket-key"), (b"sec-websocket-key", b"\xff\x00")]}, 400),
        ({"fields": [*without(b"sec-websocket-version"), (b"sec-websocket-version", b"8")]}, 400),
        ({"fields": without(b"connection")}, 400),
        ({"fields": [*HANDSHAKE, (b"upgrade", b"h2c")]}, 400),
        ({"fields": [*HANDSHAKE, (b"origin", b"https://evil.example")]}, 403),
        ({"fields": [*HANDSHAKE, (b"origin", b"null")]}, 403),
        ({"fields": [*HANDSHAKE, (b"sec-fetch-site", b"cross-site")]}, 403),
    ],
)
async def test_what_is_no_proper_request_gets_a_problem_document(
    bench: Bench, change: dict[str, object], status: int
) -> None:
    bench.begin(**change)  # type: ignore[arg-type]
    await bench.settle()
    answer = bench.transport.take()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"content-type: application/problem+json" in answer
    assert bench.transport.eof_written
    assert bench.receive(text("anything")) == b""
    assert not bench.openings
    bench.peer_was_told = False
    bench.over()


async def test_our_own_pages_may_open_it(bench: Bench) -> None:
    bench.begin(fields=[*HANDSHAKE, (b"origin", b"https://live.example")])
    await bench.settle()
    assert bench.transport.take().startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("error", "status"),
    [(ProblemError(503, "full", headers=((b"retry-after", b"9"),)), 503), (ValueError("a bug"), 500)],
)
async def test_an_endpoint_may_refuse_or_fail(bench: Bench, error: Exception, status: int) -> None:
    bench.error = error
    bench.begin()
    with capture_logs() as logs:
        await bench.settle()
    assert [entry["log_level"] for entry in logs] == (["error"] if status == 500 else [])
    answer = bench.transport.take()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"retry-after: 9\r\n" in answer) == (status == 503)
    assert b"a bug" not in answer
    bench.peer_was_told = False
    bench.over()


async def test_what_comes_before_the_answer_is_kept(bench: Bench) -> None:
    bench.decided.clear()
    bench.begin(rest=text("one"))
    bench.socket.data_received(text("two")[:3])
    bench.socket.data_received(text("two")[3:])
    await asyncio.sleep(0)
    assert bench.connection is not None
    bench.connection.write(b"early")
    bench.decided.set()
    await bench.settle()
    assert bench.transport.take().endswith(b"\r\n\r\nearly")
    assert bench.peer.heard == ["one", "two"]


async def test_only_so_much_is_kept(bench: Bench) -> None:
    bench.decided.clear()
    bench.begin()
    for _ in range(80):
        if bench.reads():
            bench.socket.data_received(text("x" * 1000))
    assert not bench.reads()
    bench.decided.set()
    await bench.settle()
    bench.clock.advance(10)
    assert bench.reads()
    assert len(bench.peer.heard) == 66
    assert bench.transport.take().startswith(b"HTTP/1.1 101 ")


async def test_a_close_before_the_answer_follows_it(bench: Bench) -> None:
    bench.decided.clear()
    bench.begin()
    await asyncio.sleep(0)
    assert bench.connection is not None
    bench.connection.close(1013, "too many")
    bench.decided.set()
    await bench.settle()
    data = bench.transport.take()
    assert data.startswith(b"HTTP/1.1 101 ")
    assert close_of(data) == (1013, "too many")
    bench.over()


async def test_a_viewer_who_leaves_before_the_answer(bench: Bench) -> None:
    bench.decided.clear()
    bench.begin()
    await asyncio.sleep(0)
    bench.transport.lose()
    await bench.settle()
    assert bench.transport.take() == b""
    bench.peer_was_told = False
    bench.over()


async def test_an_endpoint_that_cannot_be_stopped_is_told_of_the_end(bench: Bench) -> None:
    async def stubborn(_opening: Opening, _connection: Connection) -> Peer:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return bench.peer
        raise AssertionError

    bench.endpoint = stubborn
    bench.begin()
    await asyncio.sleep(0)
    bench.transport.lose()
    await bench.settle()
    bench.over()


# -- messages


async def test_messages_go_both_ways(bench: Bench) -> None:
    await bench.open()
    assert bench.connection is not None
    bench.peer.on_text = lambda message: bench.connection.write(text_frame(message.upper().encode()))  # type: ignore[union-attr]
    assert bench.receive(text("hé")) == text_frame("HÉ".encode())
    assert bench.receive(text("a") + text("b")) == text_frame(b"A") + text_frame(b"B")
    assert bench.receive(text("")) == text_frame(b"")


async def test_bytes_may_come_one_by_one(bench: Bench) -> None:
    await bench.open()
    for byte in text("one") + frame(PING, b"p") + text("ü" * 100):
        bench.socket.data_received(bytes([byte]))
    assert bench.peer.heard == ["one", "ü" * 100]
    assert bench.transport.take() == b"\x8a\x01p"


async def test_fragments_are_joined_and_may_be_interrupted(bench: Bench) -> None:
    await bench.open()
    letter = "é".encode()
    answer = bench.receive(
        frame(TEXT, b"a" + letter[:1], fin=False) + frame(PING, b"!") + frame(CONT, fin=False) + frame(CONT, letter[1:])
    )
    assert bench.peer.heard == ["aé"]
    assert answer == b"\x8a\x01!"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(BINARY, b"x"), 1003),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),  # a surrogate
        (frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"("), 1007),
        (frame(TEXT, b"x", mask=False), 1002),
        (frame(TEXT, b"x", reserved=4), 1002),
        (frame(TEXT, b"x", reserved=1), 1002),
        (frame(3, b"x"), 1002),
        (frame(11, b"x"), 1002),
        (frame(CONT, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + text("y"), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(TEXT, b"x" * 8193), 1009),
        (frame(TEXT, b"x" * 5000, fin=False) + frame(CONT, b"x" * 5000), 1009),
        (b"\x81\xff" + b"\x7f" * 12, 1009),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, b"\x03\xed"), 1002),  # 1005 must not be sent
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
    ],
)
async def test_what_is_not_allowed_ends_with_its_code(bench: Bench, data: bytes, code: int) -> None:
    await bench.open()
    bench.socket.data_received(data + text("too late"))
    bench.clock.advance(0)
    assert close_of(bench.transport.take())[0] == code
    assert bench.transport.eof_written
    assert bench.peer.heard == []
    assert bench.peer.ends == 1
    bench.over()


async def test_the_largest_message_passes(bench: Bench) -> None:
    await bench.open()
    bench.socket.data_received(text("x" * 8192))
    bench.clock.advance(0)
    assert [len(message) for message in bench.peer.heard] == [8192]


async def test_endless_empty_fragments_cost_nothing(bench: Bench) -> None:
    await bench.open()
    bench.socket.data_received(frame(TEXT, fin=False))
    for _ in range(100):
        bench.socket.data_received(frame(CONT, fin=False))
    assert not bench.socket._message
    bench.socket.data_received(frame(CONT, b"end"))
    assert bench.peer.heard == ["end"]


async def test_a_bug_in_the_room_ends_this_connection_only(bench: Bench) -> None:
    await bench.open()

    def broken(_message: str) -> None:
        raise KeyError("secret")

    bench.peer.on_text = broken
    with capture_logs():
        code, reason = close_of(bench.receive(text("x")))
    assert code == 1011
    assert "secret" not in reason
    bench.over()


# -- floods


async def test_much_at_once_is_parsed_over_many_turns(bench: Bench) -> None:
    await bench.open()
    flood = text("x") * 300
    bench.socket.data_received(flood)
    assert 0 < len(bench.peer.heard) < 300
    assert not bench.reads()
    bench.clock.advance(0)
    assert len(bench.peer.heard) == 300
    assert bench.reads()


async def test_a_flood_is_read_more_slowly(bench: Bench) -> None:
    await bench.open()
    begin = bench.clock.now()
    for _ in range(20_000):
        if not bench.reads():
            bench.clock.advance(0.05)
        else:
            bench.socket.data_received(text("x"))
    seconds = bench.clock.now() - begin
    assert len(bench.peer.heard) < 500 + 200 * (seconds + 1)
    assert len(bench.peer.heard) > 200 * seconds


async def test_frames_that_carry_nothing_count_too(bench: Bench) -> None:
    await bench.open()
    for opcode in (PING, PONG):
        for _ in range(300):
            if bench.reads():
                bench.socket.data_received(frame(opcode))
    assert not bench.reads()


async def test_who_does_not_read_is_not_read(bench: Bench) -> None:
    await bench.open()
    bench.socket.pause_writing()
    assert not bench.reads()
    bench.socket.resume_writing()
    assert bench.reads()


async def test_both_reasons_not_to_read_have_to_end(bench: Bench) -> None:
    await bench.open()
    bench.socket.data_received(text("x") * 600)
    bench.socket.pause_writing()
    bench.clock.advance(60)
    assert not bench.reads()
    bench.socket.resume_writing()
    assert bench.reads()


# -- ends


async def test_the_peer_closes(bench: Bench) -> None:
    await bench.open()
    answer = bench.receive(text("last") + frame(CLOSE, b"\x03\xe8bye") + text("late"))
    assert close_of(answer) == (1000, "bye")
    assert bench.transport.eof_written
    assert bench.peer.heard == ["last"]
    assert bench.peer.ends == 1
    assert bench.connection is not None
    bench.connection.write(b"x")
    bench.connection.close(1000, "")
    assert bench.transport.take() == b""
    bench.over()


async def test_we_close_and_the_peer_agrees(bench: Bench) -> None:
    await bench.open()
    assert bench.connection is not None
    bench.connection.close(1001, "the stream was removed")
    assert close_of(bench.transport.take()) == (1001, "the stream was removed")
    assert bench.receive(text("still talking") + frame(CLOSE, b"\x03\xe9")) == b""
    assert bench.transport.eof_written
    bench.socket.eof_received()
    assert bench.peer.heard == []
    bench.over()


async def test_we_close_and_the_peer_never_answers(bench: Bench) -> None:
    await bench.open()
    bench.transport.stuck = True
    assert bench.connection is not None
    bench.connection.write(b"x" * 1000)
    assert bench.connection.waiting == 1000
    bench.connection.close(1008, "too slow to read")
    bench.clock.advance(3)
    assert not bench.transport.closed
    with capture_logs() as logs:
        bench.over()
    assert bench.transport.aborted
    assert [(entry["count"], entry["reason"]) for entry in logs] == [(1, "too slow to read")]


def test_many_that_are_cut_off_are_one_line_a_second() -> None:
    cut_offs = CutOffs()
    with capture_logs() as logs:
        for number in range(100):
            cut_offs.note("too slow to read", number / 40)
    assert [entry["count"] for entry in logs] == [1, 40, 40]


async def test_a_reason_is_cut_between_letters(bench: Bench) -> None:
    await bench.open()
    assert bench.connection is not None
    bench.connection.close(1008, "a" + "é" * 100)
    assert close_of(bench.transport.take()) == (1008, "a" + "é" * 61)


async def test_a_room_may_close_while_it_is_told_something(bench: Bench) -> None:
    await bench.open()
    assert bench.connection is not None
    bench.peer.on_text = lambda _: bench.connection.close(1008, "ten bad messages")  # type: ignore[union-attr]
    assert close_of(bench.receive(text("a") + text("b"))) == (1008, "ten bad messages")
    assert bench.peer.heard == ["a"]
    bench.over()


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_the_connection_breaks(bench: Bench, error: Exception | None) -> None:
    await bench.open()
    bench.transport.lose(error)
    assert bench.connection is not None
    bench.connection.write(b"x")
    bench.connection.close(1000, "")
    assert bench.transport.take() == b""
    bench.over()


async def test_the_peer_only_ends_its_half(bench: Bench) -> None:
    await bench.open()
    bench.transport.stuck = True
    bench.socket.eof_received()
    assert bench.peer.ends == 1
    bench.clock.advance(10)
    assert bench.transport.aborted
    bench.over()


async def test_the_server_stops(bench: Bench) -> None:
    await bench.open()
    bench.socket.shutdown()
    assert close_of(bench.transport.take()) == (1001, "the server stops")
    bench.clock.advance(1.5)
    assert bench.transport.aborted
    bench.over()


async def test_the_server_stops_while_somebody_comes(bench: Bench) -> None:
    bench.decided.clear()
    bench.begin()
    await asyncio.sleep(0)
    bench.socket.shutdown()
    assert bench.transport.take().startswith(b"HTTP/1.1 503 ")
    await bench.settle()
    bench.peer_was_told = False
    bench.over()


async def test_the_peer_going_does_not_depend_on_the_garbage_collector(bench: Bench) -> None:
    import gc
    import weakref

    await bench.open()
    bench.receive(text("x"))
    parser = weakref.ref(bench.socket._protocol)
    gc.disable()
    try:
        bench.transport.lose()
        assert parser() is None
    finally:
        gc.enable()


# -- noise


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_noise_never_raises(pieces: list[bytes]) -> None:
    async def play() -> None:
        bench = Bench()
        await bench.open()
        for piece in pieces:
            bench.socket.data_received(piece)
            bench.clock.advance(0)
        bench.transport.lose()
        bench.over()

    asyncio.run(play())


FRAMES = st.builds(
    frame,
    st.sampled_from([TEXT, BINARY, CONT, CLOSE, PING, PONG, 3]),
    st.binary(max_size=150),
    fin=st.booleans(),
    mask=st.sampled_from([True] * 9 + [False]),
    reserved=st.sampled_from([0] * 9 + [1]),
)


@given(st.lists(FRAMES, max_size=20), st.integers(1, 40))
def test_any_order_of_frames_in_any_pieces(frames: list[bytes], size: int) -> None:
    """What is heard does not depend on how the bytes come."""

    async def play(pieces: list[bytes]) -> tuple[list[str], bool]:
        bench = Bench()
        await bench.open()
        for piece in pieces:
            bench.socket.data_received(piece)
        closed = bench.transport.eof_written
        bench.transport.lose()
        bench.over()
        return bench.peer.heard, closed

    data = b"".join(frames)[:1000]
    whole = asyncio.run(play([data]))
    assert asyncio.run(play([data[at : at + size] for at in range(0, len(data), size)])) == whole


# -- many at once


async def test_only_sockets_for_which_nothing_waits_are_written_to_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor of a connection that ends may be somebody else's already; what waits goes out first."""
    handed: list[list[int]] = []

    def send_each(fds: list[int], data: bytes) -> list[tuple[int, int]]:
        handed.append(fds)
        return [(len(fds) - 1, 2)]

    monkeypatch.setattr(websocket, "send_each", send_each)
    benches = [Bench() for _ in range(6)]
    for number, bench in enumerate(benches):
        bench.socket._fd = 100 + number
        if number != 4:
            await bench.open()
    benches[0].transport.buffered = 1
    benches[1].transport.closed = True
    benches[2].socket.close(1000, "")
    benches[2].transport.take()
    benches[5].socket._fd = -1  # TLS
    data = text_frame(b"hello")
    another = FakeConnection()
    plain = [Bench(), Bench()]
    for number, bench in enumerate(plain):
        await bench.open()
        bench.socket._fd = 200 + number
    websocket.write_each([*(one.socket for one in (*benches, *plain)), another], data)
    assert handed == [[103, 200, 201]]
    got = [bench.transport.take() for bench in (*benches, *plain)]
    assert got == [data, data, b"", b"", b"", data, b"", data[2:]]
    assert another.written == [data]
    benches[4].begin()
    await benches[4].settle()
    assert benches[4].transport.take().endswith(b"\r\n\r\n" + data)  # written while it was being opened
