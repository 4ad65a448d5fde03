"""WebSockets over real sockets, against the client of the `websockets` library and against plain bytes."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from typing import cast

import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from ghostlive.core.websocket import Connection, Opening, Peer, text_frame
from ghostlive.packager.resource import Resource
from ghostlive.packager.service import Packager
from ghostlive.web import websocket
from ghostlive.web.config import HttpConfig
from ghostlive.web.problems import ProblemError
from ghostlive.web.sending import reason, send_each
from ghostlive.web.server import HttpServer
from ghostlive.web.websocket import Endpoint, OpenEndpoint, WebSocket

HANDSHAKE = (
    b"GET /room HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HI = b"\x81\x82\0\0\0\0hi"


class Member(Peer):
    """Says to everybody what somebody says."""

    def __init__(self, room: "Room", connection: Connection) -> None:
        self.room = room
        self.connection = connection

    def text(self, message: str) -> None:
        self.room.say(message)

    def gone(self) -> None:
        self.room.members.remove(self)
        self.room.codes.append(self.connection.closed_with)


class Room:
    """A running listener with one WebSocket endpoint, `/room`, and no pages."""

    def __init__(self, config: HttpConfig) -> None:
        self.members: list[Member] = []
        self.openings: list[Opening] = []
        self.codes: list[int | None] = []
        self.requests: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.server = HttpServer(config=config, app=self.app, packager=cast("Packager", self), route=self.route)

    def ready(self, _path: str) -> Resource | None:
        return None

    async def app(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.requests.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def route(self, path: str) -> Endpoint | None:
        endpoints: dict[str, Endpoint] = {"/room": self.open, "/open": OpenEndpoint(self.open, max_message=64 * 1024)}
        return endpoints.get(path)

    async def open(self, opening: Opening, connection: Connection) -> Peer:
        self.openings.append(opening)
        await self.gate.wait()
        if opening.query == "full":
            raise ProblemError(503, "The room is full.")
        self.members.append(Member(self, connection))
        return self.members[-1]

    def say(self, message: str) -> None:
        websocket.write_each([member.connection for member in self.members], text_frame(message.encode()))

    def connect(self, target: str = "/room") -> connect:
        return connect(f"ws://127.0.0.1:{self.server.port}{target}", open_timeout=10, proxy=None)

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            async with asyncio.timeout(60):
                yield reader, writer
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def until_members(self, number: int) -> None:
        async with asyncio.timeout(60):
            while len(self.members) != number:
                await asyncio.sleep(0.01)


async def running(config: HttpConfig) -> AsyncIterator[Room]:
    room = Room(config)
    await room.server.start()
    yield room
    await room.server.stop()


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async for room in running(HttpConfig(host="127.0.0.1", port=0)):
        yield room


async def close_of(client: ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.recv()
            except ConnectionClosed as error:
                return (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")


async def test_two_clients_talk(room: Room) -> None:
    async with room.connect("/room?a=1") as one, room.connect() as two:
        for number in range(100):
            await (one if number % 2 else two).send(f"message {number}")
        heard = [[await client.recv() for _ in range(100)] for client in (one, two)]
        assert heard[0] == heard[1]
        assert len(set(heard[0])) == 100
        pong = await one.ping()
        async with asyncio.timeout(60):
            await pong
    assert room.openings[0].query == "a=1"
    await room.until_members(0)


async def test_pages_of_other_sites_open_what_is_open_to_them(room: Room) -> None:
    for path, host in (("/open", "https://other.example"), ("/room", f"http://127.0.0.1:{room.server.port}")):
        async with connect(f"ws://127.0.0.1:{room.server.port}{path}", origin=cast("Origin", host), proxy=None):
            await room.until_members(1)
        await room.until_members(0)
    with pytest.raises(InvalidStatus) as refused:
        async with connect(
            f"ws://127.0.0.1:{room.server.port}/room", origin=cast("Origin", "https://other.example"), proxy=None
        ):
            pass
    assert refused.value.response.status_code == 403
    assert room.openings[0].host == f"127.0.0.1:{room.server.port}"


@pytest.mark.parametrize(("path", "most"), [("/room", 8 * 1024), ("/open", 64 * 1024)])
async def test_each_endpoint_has_its_longest_message(room: Room, path: str, most: int) -> None:
    async with room.connect(path) as client:
        await client.send("x" * most)
        assert await client.recv() == "x" * most
        await client.send("x" * (most + 1))
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert client.close_code == 1009


@pytest.mark.parametrize("code", [1000, 1001, None])
async def test_rooms_learn_with_which_code_a_peer_closed(room: Room, code: int | None) -> None:
    client = await room.connect()
    await room.until_members(1)
    if code is None:
        client.transport.abort()
    else:
        await client.close(code)
    await room.until_members(0)
    assert room.codes == [code]


async def test_a_message_in_pieces(room: Room) -> None:
    async with room.connect() as client:
        await client.send(["hé", "", "llo"])
        assert await client.recv() == "héllo"


async def test_refusals_are_problem_documents(room: Room) -> None:
    for target, status, detail in (("/room?full", 503, "The room is full."), ("/nowhere", 404, "no WebSocket")):
        with pytest.raises(InvalidStatus) as caught:
            await room.connect(target)
        response = caught.value.response
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert detail in json.loads(response.body)["detail"]


async def test_bytes_that_come_with_the_request_and_before_the_answer(room: Room) -> None:
    room.gate.clear()
    async with room.raw() as (reader, writer):
        writer.write(HANDSHAKE + HI + HI[:3])
        async with asyncio.timeout(60):
            while not room.openings:
                await asyncio.sleep(0)
        writer.write(HI[3:])
        room.gate.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(8) == b"\x81\x02hi" * 2


async def test_a_request_in_pieces_after_another_one(room: Room) -> None:
    async with room.raw() as (reader, writer):
        writer.write(b"GET /page HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        for piece in (HANDSHAKE[:30], HANDSHAKE[30:100], HANDSHAKE[100:]):
            writer.write(piece)
            await asyncio.sleep(0.01)  # so that the pieces arrive apart; together they would pass too
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(HI)
        assert await reader.readexactly(4) == b"\x81\x02hi"
    assert room.requests == ["/page"]


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\x82\x81\0\0\0\0x", 1003), (b"\x81\xfe\x40\x00\0\0\0\0" + b"x" * 5000, 1009), (b"\x16\x03\x01\x02\x00", 1002)],
)
async def test_the_last_word_arrives_even_while_the_peer_goes_on_sending(room: Room, data: bytes, code: int) -> None:
    async with room.raw() as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data + HI * 15_000)
        last = await reader.read()
        assert last[0] == 0x88
        assert int.from_bytes(last[2:4], "big") == code
    await room.until_members(0)


async def test_a_peer_that_never_reads_is_cut_off_after_its_close(room: Room) -> None:
    async with room.raw() as (reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        await room.until_members(1)
        connection = room.members[0].connection
        cast("asyncio.Transport", writer.transport).pause_reading()
        while connection.waiting < 500_000:
            connection.write(text_frame(b"x" * 50_000))
            await asyncio.sleep(0)
        connection.close(1008, "too slow to read")
        await room.until_members(0)


async def test_a_peer_that_asks_without_reading_is_not_answered_without_bound(room: Room) -> None:
    async with room.raw() as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        await room.until_members(1)
        connection = room.members[0].connection
        cast("asyncio.Transport", writer.transport).pause_reading()
        for _ in range(300):
            writer.write((b"\x89\xfd\0\0\0\0" + b"p" * 125) * 100)
            await asyncio.sleep(0)
        assert connection.waiting < 200_000


async def test_everybody_hears_that_the_server_stops() -> None:
    async for room in running(HttpConfig(host="127.0.0.1", port=0)):
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(room.connect()) for _ in range(20)]
            silent = await stack.enter_async_context(room.raw())
            silent[1].write(HANDSHAKE)
            await silent[0].readuntil(b"\r\n\r\n")
            closes = [asyncio.create_task(close_of(client)) for client in clients]
            async with asyncio.timeout(10):
                await room.server.stop()
            assert {await close for close in closes} == {(1001, "the server stops")}
            assert room.members == []


async def test_sockets_count_as_connections() -> None:
    async for room in running(HttpConfig(host="127.0.0.1", port=0, connections_per_address=2)):
        async with room.connect(), room.connect():
            with pytest.raises(InvalidStatus) as caught:
                await room.connect()
            assert caught.value.response.status_code == 503
        await room.until_members(0)
        async with asyncio.timeout(60):
            while True:
                with suppress(InvalidStatus):
                    async with room.connect():
                        break


async def test_a_trusted_proxy_may_open_more_and_names_its_viewers() -> None:
    config = HttpConfig(host="127.0.0.1", port=0, connections_per_address=1, trusted_proxies=("127.0.0.0/8",))
    async for room in running(config):
        async with AsyncExitStack() as stack:
            for number in range(3):
                headers = {"X-Forwarded-For": f"192.0.2.{number}"}
                await stack.enter_async_context(
                    connect(f"ws://127.0.0.1:{room.server.port}/room", additional_headers=headers, proxy=None)
                )
            assert [opening.address for opening in room.openings] == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]


async def test_rubbish_does_not_disturb_the_others(room: Room) -> None:
    async with room.connect() as client:
        for rubbish in (
            b"\0" * 1000,
            b"\xff" * 100,
            b"GET / SMTP\r\n\r\n",
            HANDSHAKE.replace(b"13", b"99"),
            b"\r\n" * 50,
        ):
            async with room.raw() as (reader, writer):
                writer.write(rubbish)
                writer.write_eof()
                await reader.read()
        await client.send("still here")
        assert await client.recv() == "still here"


async def test_a_request_that_does_not_wait_for_the_answer_before_it(room: Room) -> None:
    async with room.raw() as (reader, writer):
        writer.write(b"GET /page HTTP/1.1\r\nHost: test\r\n\r\n" + HANDSHAKE)
        assert b"101" not in await reader.read()
    assert room.openings == []


async def test_a_head_without_end_opens_nothing(room: Room) -> None:
    async with room.raw() as (reader, writer):
        writer.write(HANDSHAKE[:-2] + b"x-filler: " + b"a" * 40_000 + b"\r\n\r\n")
        assert b"101" not in await reader.read()
    assert room.openings == []


async def test_what_a_flooding_peer_sends_does_not_pile_up(room: Room) -> None:
    async with room.raw() as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        await room.until_members(1)
        connection = room.members[0].connection
        assert isinstance(connection, WebSocket)
        for _ in range(300):
            writer.write(b"\x8a\x80\0\0\0\0" * 1000)  # pongs, which nobody answers
            await asyncio.sleep(0)
        assert 0 < len(connection._ahead or b"") < 64 * 1024


@pytest.mark.parametrize("compiled", [True, False])
async def test_what_all_are_sent_at_once_comes_whole_and_in_order_however_they_read(
    room: Room, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(websocket, "send_each", None)
    async with AsyncExitStack() as stack:
        readers = []
        for number in range(8):
            reader, writer = await stack.enter_async_context(room.raw())
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            await room.until_members(number + 1)
            readers.append((reader, cast("asyncio.Transport", writer.transport)))
        connections = [member.connection for member in room.members]
        for connection in connections:  # so that little is enough to fill it
            accepted = cast("WebSocket", connection)._transport.get_extra_info("socket")
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        for _, slow in readers[::2]:
            slow.pause_reading()
        expected = [bytearray() for _ in readers]
        number = 0
        while number < 50 or min(connection.waiting for connection in connections[::2]) < 200_000:
            assert number < 5_000
            frame = text_frame(b"%08d" % number * (1 + number * 37 % 400))
            websocket.write_each(connections, frame)
            for place, all_of in enumerate(expected):
                all_of.extend(frame)
                if (number + place) % 7 == 0:  # an answer to one of them, in between
                    connections[place].write(text_frame(b"only %d" % number))
                    all_of.extend(text_frame(b"only %d" % number))
            number += 1
            await asyncio.sleep(0)
        for _, slow in readers[::2]:
            slow.resume_reading()
        got = await asyncio.gather(
            *(reader.readexactly(len(all_of)) for (reader, _), all_of in zip(readers, expected, strict=True))
        )
        assert got == expected


def test_a_socket_that_takes_nothing_or_a_part_or_is_broken_is_told() -> None:
    assert send_each is not None, f"on machines of developers and CI there is a compiler: {reason}"
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(600)]
        for pair in pairs:
            for end in pair:
                stack.enter_context(end)
        fds = [near.fileno() for near, _ in pairs]
        pairs[3][1].close()  # the peer is gone: no signal, no exception
        data = b"x" * 1000
        with suppress(BlockingIOError):
            pairs[7][0].setblocking(False)
            while True:
                pairs[7][0].send(data)
        big = pairs[590][0]
        big.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        fds[300] = 2**30  # no socket at all
        assert send_each(fds, data) == [(3, 0), (7, 0), (300, 0)]
        for place in (0, 255, 256, 599):
            assert pairs[place][1].recv(2000) == data
        left = send_each([fds[590], fds[591]], b"y" * 300_000)
        assert left[0][0] == 0
        far = pairs[590][1]
        far.setblocking(False)
        assert far.recv(1000) == data
        got = 0
        with suppress(BlockingIOError):
            while True:
                got += len(far.recv(100_000))
        assert 0 < got == left[0][1] < 300_000
        assert send_each([], data) == []
