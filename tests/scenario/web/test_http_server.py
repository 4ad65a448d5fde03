"""The HTTP listener over real sockets: the fast lane answers what the ordinary way answers, and limits bite."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import cast

import pytest
from starlette.types import Receive, Scope, Send

from ghostlive.access.decision import AccessRequest, Decision, Verdict
from ghostlive.packager.errors import NotFoundError
from ghostlive.packager.resource import IMMUTABLE, Resource
from ghostlive.packager.service import Packager
from ghostlive.web.config import HttpConfig
from ghostlive.web.media import MediaApp
from ghostlive.web.server import HttpServer

PLAYLIST = "/app/demo/s/v0/media.m3u8"
SEGMENT = "/app/demo/s/v0/1.m4s"


class FakePackager:
    """A table of resources, which may be ready at once or only by the ordinary way."""

    def __init__(self) -> None:
        self.table = {
            PLAYLIST: Resource.text("application/vnd.apple.mpegurl", "no-cache", '"p"', "#EXTM3U\n" * 50),
            SEGMENT: Resource.of("video/mp4", IMMUTABLE, '"s"', b"a" * 50_000, b"b" * 50_000),
            "/app/demo/master.m3u8": Resource.text("application/vnd.apple.mpegurl", "no-cache", '"m"', "#EXTM3U\n"),
        }
        self.fast = True

    def ready(self, path: str | bytes) -> Resource | None:
        return self.table.get(str(path)) if self.fast else None

    async def resource(self, stream: str, rest: str, query: Mapping[str, str]) -> Resource:
        try:
            return self.table[f"/app/{stream}/{rest}"]
        except KeyError:
            raise NotFoundError("nothing there") from None


class Site:
    """A running listener and what its application saw."""

    def __init__(self, config: HttpConfig) -> None:
        self.packager = FakePackager()
        self.asgi_requests: list[str] = []
        self.decisions: list[AccessRequest] = []
        self.media = MediaApp(packager=cast("Packager", self.packager), decide=self.decide)
        self.server = HttpServer(config=config, app=self.app, packager=cast("Packager", self.packager))

    async def decide(self, request: AccessRequest) -> Decision:
        self.decisions.append(request)
        return Decision(Verdict.ALLOWED)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asgi_requests.append(scope["path"])
        await self.media(scope, receive, send)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def ask(self, request: bytes) -> tuple[dict[str, str], bytes]:
        """One request on a connection of its own: status and headers, and the body."""
        async with self.connect() as (reader, writer):
            writer.write(request)
            return await answer(reader)


async def answer(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in head[1:] if line)
        fields["status"] = head[0]
        return fields, await reader.readexactly(int(fields.get("content-length", 0)))


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: test", *headers, "", ""]).encode()


async def running(config: HttpConfig) -> AsyncIterator[Site]:
    site = Site(config)
    await site.server.start()
    yield site
    await site.server.stop()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async for site in running(HttpConfig(host="127.0.0.1", port=0)):
        yield site


@pytest.mark.parametrize("path", [PLAYLIST, SEGMENT])
@pytest.mark.parametrize("headers", [(), ("Accept-Encoding: gzip, deflate, br",), ("ACCEPT-ENCODING: gzip;q=0",)])
async def test_both_ways_answer_the_same(site: Site, path: str, headers: tuple[str, ...]) -> None:
    quick_head, quick_body = await site.ask(get(path, *headers))
    assert site.asgi_requests == []
    site.packager.fast = False
    slow_head, slow_body = await site.ask(get(path, *headers))
    assert site.asgi_requests == [path]
    quick_head.pop("date"), slow_head.pop("date")
    assert quick_head == slow_head
    assert quick_body == slow_body


@pytest.mark.parametrize(
    "request_bytes",
    [
        get(SEGMENT, "Range: bytes=0-9"),
        get(SEGMENT, "If-None-Match: *"),
        get(PLAYLIST + "?_HLS_msn=3"),
        get(SEGMENT, version="1.0"),
        get(SEGMENT).replace(b"GET", b"HEAD"),
        get("/app/demo/master.m3u8"),
        get("/app/demo/s/v0/9.m4s"),
    ],
)
async def test_everything_special_goes_the_ordinary_way(site: Site, request_bytes: bytes) -> None:
    async with site.connect() as (reader, writer), asyncio.timeout(10):
        writer.write(request_bytes)
        await reader.readuntil(b"\r\n\r\n")
    assert len(site.asgi_requests) == 1


async def test_viewers_cannot_slip_past_the_authorizer(site: Site) -> None:
    await site.ask(get("/app/demo/master.m3u8"))
    assert [request.stream for request in site.decisions] == ["demo"]


async def test_one_connection_may_mix_both_ways_and_come_in_pieces(site: Site) -> None:
    async with site.connect() as (reader, writer):
        for part in (get(SEGMENT)[:20], get(SEGMENT)[20:]):
            writer.write(part)
            await asyncio.sleep(0.01)  # so that the parts arrive apart; together they would pass too
        assert len((await answer(reader))[1]) == 100_000
        for _ in range(3):
            writer.write(get(SEGMENT))
            assert len((await answer(reader))[1]) == 100_000
            writer.write(get(SEGMENT, "Range: bytes=1-2"))
            assert (await answer(reader))[1] == b"aa"


async def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    async with site.connect() as (reader, writer):
        writer.write(get("/app/demo/s/v0/9.m4s") + get(PLAYLIST) + get(SEGMENT, "Range: bytes=0-0"))
        writer.write(get(SEGMENT))
        assert [(await answer(reader))[0]["status"].split()[1] for _ in range(4)] == ["404", "200", "206", "200"]


async def test_garbage_gets_an_error_and_an_end(site: Site) -> None:
    async with site.connect() as (reader, writer), asyncio.timeout(10):
        writer.write(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")


async def test_endless_headers_are_cut_off(site: Site) -> None:
    async with site.connect() as (reader, writer), asyncio.timeout(10):
        writer.write(b"GET / HTTP/1.1\r\n" + b"x-filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 700)
        assert (await reader.read(40)).startswith(b"HTTP/1.1 431")


async def test_a_request_that_never_ends_is_cut_off() -> None:
    async for site in running(HttpConfig(host="127.0.0.1", port=0, request_timeout=0.1)):
        for beginning in (b"", b"GET /app", b"GET / HTTP/1.1\r\nHost: te"):
            async with site.connect() as (reader, writer), asyncio.timeout(10):
                writer.write(beginning)
                assert (await reader.read()).startswith(b"HTTP/1.1 408")


async def test_one_address_cannot_take_every_connection() -> None:
    async for site in running(HttpConfig(host="127.0.0.1", port=0, connections_per_address=2)):
        async with AsyncExitStack() as held:
            for _ in range(2):
                await held.enter_async_context(site.connect())
            async with site.connect() as (reader, _), asyncio.timeout(10):
                refusal = await reader.read()
            assert refusal.startswith(b"HTTP/1.1 503")
            assert b"connections_per_address" in refusal
        async with asyncio.timeout(10):
            while not (await site.ask(get(PLAYLIST)))[0]["status"].startswith("HTTP/1.1 200"):
                await asyncio.sleep(0)


async def test_a_client_that_does_not_read_costs_bounded_memory(site: Site) -> None:
    """It may ask a thousand times; what waits for it is one buffer, not a hundred megabytes."""
    async with site.connect() as (_, writer):
        for _ in range(1000):
            writer.write(get(SEGMENT))
            await asyncio.sleep(0)
        server = site.server._server
        assert server is not None
        (connection,) = server.server_state.connections
        assert connection.transport.get_write_buffer_size() < 1_000_000


async def test_idle_connections_are_closed() -> None:
    async for site in running(HttpConfig(host="127.0.0.1", port=0, keep_alive=1.0)):
        async with site.connect() as (reader, writer), asyncio.timeout(10):
            writer.write(get(SEGMENT))
            await answer(reader)
            assert await reader.read() == b""
