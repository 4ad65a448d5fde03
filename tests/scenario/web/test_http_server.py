"""The HTTP listener over real sockets: the fast lane answers what the ordinary way answers, and limits bite."""

import asyncio
import resource
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import cast

import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from ghostlive.access.decision import AccessRequest, Decision, Verdict
from ghostlive.packager.errors import NotFoundError
from ghostlive.packager.resource import IMMUTABLE, Resource
from ghostlive.packager.service import Packager
from ghostlive.web import fastlane
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
            **{f"/app/second/s/{number}.m4s": Resource.of("video/mp4", IMMUTABLE, '"s"', b"c") for number in range(2)},
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
        self.schemes: list[str] = []
        self.sightings: list[tuple[str, str, str]] = []
        packager = cast("Packager", self.packager)
        self.media = MediaApp(packager=packager, decide=self.decide, seen=self.seen)
        self.server = HttpServer(config=config, app=self.app, packager=packager, seen=self.seen)

    async def decide(self, request: AccessRequest) -> Decision:
        self.decisions.append(request)
        return Decision(Verdict.ALLOWED)

    def seen(self, stream: str, viewer: str, track: str) -> None:
        self.sightings.append((stream, viewer, track))

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asgi_requests.append(scope["path"])
        self.schemes.append(scope["scheme"])
        if scope["path"].startswith("/_matrix/media/"):
            while (await receive()).get("more_body"):
                pass
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
    async with asyncio.timeout(60):
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
    async with site.connect() as (reader, writer), asyncio.timeout(60):
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
    async with site.connect() as (reader, writer), asyncio.timeout(60):
        writer.write(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")


async def test_endless_headers_are_cut_off(site: Site) -> None:
    async with site.connect() as (reader, writer), asyncio.timeout(60):
        writer.write(b"GET / HTTP/1.1\r\n" + b"x-filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 700)
        assert (await reader.read(40)).startswith(b"HTTP/1.1 431")


async def test_a_request_that_never_ends_is_cut_off() -> None:
    async for site in running(HttpConfig(host="127.0.0.1", port=0, request_timeout=0.1)):
        for beginning in (b"", b"GET /app", b"GET / HTTP/1.1\r\nHost: te"):
            async with site.connect() as (reader, writer), asyncio.timeout(60):
                writer.write(beginning)
                assert (await reader.read()).startswith(b"HTTP/1.1 408")


async def test_a_picture_that_somebody_uploads_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlane, "_UPLOAD_FACTOR", 10_000)
    async for site in running(HttpConfig(host="127.0.0.1", port=0, request_timeout=0.5)):
        async with site.connect() as (reader, writer), site.connect() as (others, other), asyncio.timeout(60):
            head = b" HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\n12"
            writer.write(b"POST /_matrix/media/v3/upload" + head)
            other.write(b"POST /_matrix/client/v3/login" + head)
            await other.drain()
            while b"408" not in await others.readline():
                pass
            writer.write(b"34")
            fields, _ = await answer(reader)
            assert "408" not in fields["status"]
            assert "/_matrix/media/v3/upload" in site.asgi_requests


async def test_one_address_cannot_take_every_connection() -> None:
    async for site in running(HttpConfig(host="127.0.0.1", port=0, connections_per_address=2)):
        async with AsyncExitStack() as held:
            for _ in range(2):
                await held.enter_async_context(site.connect())
            async with site.connect() as (reader, _), asyncio.timeout(60):
                refusal = await reader.read()
            assert refusal.startswith(b"HTTP/1.1 503")
            assert b"connections_per_address" in refusal
        async with asyncio.timeout(60):
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
        async with site.connect() as (reader, writer), asyncio.timeout(60):
            writer.write(get(SEGMENT))
            await answer(reader)
            assert await reader.read() == b""


def sighted(site: Site) -> list[tuple[str, str, str]]:
    found, site.sightings = site.sightings, []
    return found


@pytest.mark.parametrize("fast", [True, False])
async def test_who_watches_is_told_now_and_then(site: Site, fast: bool) -> None:
    site.packager.fast = fast
    async with site.connect() as (reader, writer):
        for _ in range(3):
            writer.write(get(PLAYLIST, "User-Agent:  Player/1 "))
            await answer(reader)
        assert sighted(site) == [("demo", "127.0.0.1 Player/1", "v0")]
        writer.write(get(SEGMENT, "user-agent: Other/2"))
        await answer(reader)
        assert sighted(site) == [("demo", "127.0.0.1 Other/2", "v0")]
        for number in range(2):
            writer.write(get(f"/app/second/s/{number}.m4s", "user-agent: Other/2"))
            await answer(reader)
        assert sighted(site) == [("second", "127.0.0.1 Other/2", "")]


@pytest.mark.parametrize("fast", [True, False])
async def test_each_track_that_a_viewer_reads_is_told_once(site: Site, fast: bool) -> None:
    site.packager.fast = fast
    tracks = ("v0-720p30", "a0", "v0-720p30", "v0", "a0", "v0-720p30")
    for track in set(tracks):
        site.packager.table[f"/app/demo/s/{track}/2.m4s"] = site.packager.table[SEGMENT]
    async with site.connect() as (reader, writer):
        for track in tracks:
            writer.write(get(f"/app/demo/s/{track}/2.m4s"))
            await answer(reader)
    assert sighted(site) == [("demo", "127.0.0.1 ", track) for track in ("v0-720p30", "a0", "v0")]


async def test_a_connection_that_reads_many_tracks_is_not_remembered_without_end(site: Site) -> None:
    for number in range(20):
        site.packager.table[f"/app/demo/s/v{number}/2.m4s"] = site.packager.table[SEGMENT]
    async with site.connect() as (reader, writer):
        for _ in range(2):
            for number in range(20):
                writer.write(get(f"/app/demo/s/v{number}/2.m4s"))
                await answer(reader)
    told = sighted(site)
    assert {track for _, _, track in told} == {f"v{number}" for number in range(20)}
    assert len(told) == 40  # more often than needed, which harms nobody


async def test_a_poster_is_no_viewer(site: Site) -> None:
    site.packager.table["/app/demo/thumb.jpg"] = site.packager.table[SEGMENT]
    for path in ("/app/demo/thumb.jpg", "/app/demo/master.m3u8", "/app/demo/s/missing.m4s"):
        await site.ask(get(path))
    assert sighted(site) == []


async def test_viewers_behind_a_trusted_proxy_are_told_apart() -> None:
    config = HttpConfig(host="127.0.0.1", port=0, connections_per_address=1, trusted_proxies=("127.0.0.1",))
    async for site in running(config):
        async with site.connect() as (reader, writer), site.connect() as (other_reader, other_writer):
            for number, path in enumerate((PLAYLIST, SEGMENT)):
                writer.write(get(path, f"x-forwarded-for: 6.6.6.6, 192.0.2.{number}", "x-forwarded-proto: https"))
                await answer(reader)
            other_writer.write(get("/app/demo/master.m3u8", "X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https"))
            await answer(other_reader)
        assert sighted(site) == [("demo", "192.0.2.0 ", "v0"), ("demo", "192.0.2.1 ", "v0")]
        assert [request.address for request in site.decisions] == ["192.0.2.9"]
        assert site.schemes == ["https"]


async def test_a_stranger_cannot_claim_an_address(site: Site) -> None:
    await site.ask(get("/app/demo/master.m3u8", "X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https"))
    assert [request.address for request in site.decisions] == ["127.0.0.1"]
    assert site.schemes == ["http"]


async def test_as_many_files_may_be_open_as_connections_need() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        async for site in running(HttpConfig(host="127.0.0.1", port=0, connections=300)):
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 800
            assert (await site.ask(get(PLAYLIST)))[0]["status"] == "HTTP/1.1 200 OK"
        with capture_logs() as logs:
            async for _ in running(HttpConfig(host="127.0.0.1", port=0, connections=10**9)):
                assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
        assert [entry["needed"] for entry in logs if entry["log_level"] == "warning"] == [10**9 + 500]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
