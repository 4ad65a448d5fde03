"""Who was banned from watching gets no more of the stream, on a connection that is open already, by either way."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from starlette.types import Receive, Scope, Send

from ghostlive.access.browser import COOKIE, browser_cookie, make_browser
from ghostlive.access.decision import AccessRequest, Decision, Verdict
from ghostlive.chat.bans import Ban
from ghostlive.chat.identity import Keys, Origin, marks_of
from ghostlive.chat.watching import Watching
from ghostlive.packager.resource import Resource
from ghostlive.packager.service import Packager
from ghostlive.web.config import HttpConfig
from ghostlive.web.media import MediaApp
from ghostlive.web.server import HttpServer

SECRET = b"s" * 32
NOW = datetime(2027, 1, 1, tzinfo=UTC)
PLAYLIST = "/app/demo/s/v0/media.m3u8"
OTHER = "/app/other/s/v0/media.m3u8"


class FakePackager:
    """Has two playlists, and a segment that is being made."""

    def ready(self, path: str | bytes) -> Resource | None:
        if path[-4:] in (".m4s", b".m4s"):
            return None
        return Resource.text("application/vnd.apple.mpegurl", "no-cache", '"p"', "#EXTM3U\n")

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        """Of a segment that is being made."""

    async def _made(self) -> AsyncIterator[bytes]:
        while piece := await self.pieces.get():
            yield piece

    async def resource(self, stream: str, rest: str, query: Mapping[str, str]) -> Resource:
        if rest.endswith(".m4s"):
            return Resource("video/mp4", "no-cache", "", growing=self._made)
        found = self.ready(rest)
        assert found is not None
        return found


class Site:
    """A running listener with bans."""

    def __init__(self, trusted: tuple[str, ...] = ("127.0.0.1",)) -> None:
        self.keys = Keys(SECRET, {1: b"salt"})
        self.now = NOW
        self.watching = Watching(self.keys, lambda: self.now)
        self.slow = 0
        self.packager = FakePackager()
        packager = cast("Packager", self.packager)
        self.media = MediaApp(packager=packager, decide=self.decide, banned=self.watching.refuses)
        config = HttpConfig(host="127.0.0.1", port=0, trusted_proxies=trusted)
        self.server = HttpServer(config=config, app=self.app, packager=packager, bans=self.watching)

    async def decide(self, request: AccessRequest) -> Decision:
        return Decision(Verdict.ALLOWED)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.slow += 1
        await self.media(scope, receive, send)

    def ban(self, address: str, browser: str = "", *, stream: str | None = "demo", seconds: float | None = None) -> Ban:
        """Ban whoever that is from watching."""
        until = None if seconds is None else self.now + timedelta(seconds=seconds)
        ban = Ban(1, "g_1", "x", "", "mo", NOW, until, watch=True)
        ban = replace(ban, marks=frozenset(marks_of(Origin(self.keys, address, browser).hash)))
        self.watching.add(stream, ban)
        return ban


class Client:
    """A player with one connection that it keeps."""

    def __init__(self, site: Site, *headers: str) -> None:
        self._site = site
        self._headers = headers

    async def get(self, path: str = PLAYLIST) -> int:
        """Ask; the status."""
        if not hasattr(self, "_reader"):
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._site.server.port)
        self._writer.write("\r\n".join([f"GET {path} HTTP/1.1", "Host: test", *self._headers, "", ""]).encode())
        async with asyncio.timeout(60):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            await self._reader.readexactly(int(fields["content-length"]))
        return int(head.split()[1])

    async def close(self) -> None:
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.server.start()
    yield site
    await site.server.stop()


async def test_a_ban_ends_what_is_being_watched(site: Site) -> None:
    browser = make_browser()
    troll = Client(site, "X-Forwarded-For: 203.0.113.66")
    same = Client(site, f"Cookie: a=b; {COOKIE}={browser_cookie(SECRET, browser)}", "X-Forwarded-For: 198.51.100.1")
    forged = Client(site, f"Cookie: {COOKIE}={browser}.{browser}", "X-Forwarded-For: 198.51.100.2")
    neighbour = Client(site, "X-Forwarded-For: 203.0.113.67")
    everybody = [troll, same, forged, neighbour]
    assert [await one.get() for one in everybody] == [200] * 4
    assert site.slow == 0
    ban = site.ban("203.0.113.66", browser, seconds=60)
    for _ in range(2):
        assert [await one.get() for one in everybody] == [403, 403, 200, 200]
    assert site.slow == 4  # only they leave the fast lane
    assert await troll.get(OTHER) == 200
    assert await troll.get("/app/demo/master.m3u8") == 403
    assert await troll.get("/app/demo/thumb.jpg") == 403
    site.now += timedelta(seconds=61)
    assert await troll.get() == 200
    site.now -= timedelta(seconds=61)
    assert await troll.get() == 403
    site.watching.remove(ban.id)
    assert [await one.get() for one in everybody] == [200] * 4
    assert not site.watching.any_for("demo")
    for one in everybody:
        await one.close()


async def test_a_ban_ends_a_segment_that_is_being_sent(site: Site) -> None:
    """It grows until the next key frame, which may be ten seconds away."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    writer.write(b"GET /app/demo/s/v0/7.m4s HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 203.0.113.66\r\n\r\n")
    async with asyncio.timeout(60):
        site.packager.pieces.put_nowait(b"seen")
        assert b"chunked" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readuntil(b"seen\r\n") == b"4\r\nseen\r\n"
        site.ban("203.0.113.66")
        site.packager.pieces.put_nowait(b"unseen")
        assert await reader.readuntil(b"\r\n\r\n") == b"0\r\n\r\n"
    writer.close()
    await writer.wait_closed()


async def test_a_ban_of_the_site_counts_for_every_stream(site: Site) -> None:
    told: list[str | None] = []
    site.watching.changed.append(told.append)
    site.ban("203.0.113.66", stream=None)
    troll, other = Client(site, "X-Forwarded-For: 203.0.113.66"), Client(site, "X-Forwarded-For: 203.0.113.67")
    assert [await troll.get(), await troll.get(OTHER), await other.get()] == [403, 403, 200]
    assert told == [None]
    await troll.close()
    await other.close()


async def test_a_header_that_nobody_trusted_wrote_changes_nothing() -> None:
    site = Site(trusted=())
    await site.server.start()
    try:
        site.ban("127.0.0.1")
        liar = Client(site, "X-Forwarded-For: 198.51.100.1")
        assert await liar.get() == 403
        await liar.close()
    finally:
        await site.server.stop()
