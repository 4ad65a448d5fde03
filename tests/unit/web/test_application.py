"""Pages, API, events and health as a browser sees them, without a socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.types import Receive, Scope, Send
from tests.support.clock import FakeClock

from ghostlive.core.events import StreamRecordChanged
from ghostlive.core.track import Codec, Track
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import Source
from ghostlive.web.application import WebApplication
from ghostlive.web.audience import Audience
from ghostlive.web.config import HttpConfig
from ghostlive.web.directory import StreamDirectory
from ghostlive.web.livefeed import LiveFeed
from ghostlive.web.media import MediaApp
from ghostlive.web.parts import IngestAddresses, RestParts
from ghostlive.web.watcher import RecordWatcher

VIDEO = Track("v0", Codec.H264, 90_000, b"", "avc1.64001f", width=1280, height=720)
AUDIO = Track("a0", Codec.AAC, 48_000, b"", "mp4a.40.2", sample_rate=48_000, channels=2)


@dataclass
class Record:
    name: str
    title: str = ""
    description: str = ""
    created_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    ladder: str | None = None


class Records:
    """Stored streams, in a dictionary."""

    def __init__(self) -> None:
        self.all = {"demo": Record("demo", "The Demo", "A test"), "quiet": Record("quiet")}

    async def list(self) -> Sequence[Record]:
        return [self.all[name] for name in sorted(self.all)]

    async def get(self, name: str) -> Record | None:
        return self.all.get(name)


class Site:
    """The application in front of a hub, with a client. Nobody can sign in here."""

    def __init__(self, static: Path) -> None:
        self.records = Records()
        self.clock = FakeClock()
        self.hub = Hub(clock=self.clock)
        self.listeners = {"http": True, "rtmp": True}
        self.media: list[str] = []
        self.audience = Audience(self.clock, self.hub.emit)
        directory = StreamDirectory(self.records, self.hub, self.audience, thumbnails=True)
        self.feed = LiveFeed(directory=directory, hub=self.hub, clock=self.clock, max_listeners=2)
        nothing = cast("Any", None)
        self.app = WebApplication(
            media=cast("MediaApp", self.serve_media),
            parts=RestParts(
                config=HttpConfig(frame_ancestors="https://friends.example"),
                hub=self.hub,
                records=nothing,
                directory=directory,
                audience=self.audience,
                feed=self.feed,
                sessions=nothing,
                guard=nothing,
                setup=None,
                addresses=IngestAddresses("localhost", ()),
                health=lambda: self.listeners,
                static=static,
            ),
        )
        transport = httpx.ASGITransport(cast("Any", self.app))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")

    async def serve_media(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.media.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def go_live(self) -> None:
        self.hub.publish("demo", Source("rtmp", "192.0.2.1"), print).announce((VIDEO, AUDIO))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    (tmp_path / "assets").mkdir()
    for name in ("index", "watch", "embed"):
        (tmp_path / f"{name}.html").write_text(f"<!doctype html><title>{name}</title>")
    (tmp_path / "assets" / "app-abc123.js").write_text("console.log(1);" * 100)
    site = Site(tmp_path)
    feed = asyncio.create_task(site.feed.run())
    yield site
    site.hub.close()
    await feed


async def test_streams_are_listed_live_ones_first(site: Site) -> None:
    site.go_live()
    streams = (await site.client.get("/api/v1/streams")).json()["streams"]
    assert [(stream["name"], stream["state"]) for stream in streams] == [("demo", "live"), ("quiet", "offline")]
    assert streams[1]["sources"] == []
    assert streams[1]["title"] == "quiet"


async def test_an_interrupted_stream_stands_behind_those_that_have_a_picture(site: Site) -> None:
    site.go_live()
    live = site.hub.streams()[0]
    assert live.publication is not None
    live.publication.lose("reset")
    site.hub.publish("quiet", Source("rtmp", "192.0.2.2"), print).announce((VIDEO,))
    streams = (await site.client.get("/api/v1/streams")).json()["streams"]
    assert [(stream["name"], stream["state"]) for stream in streams] == [("quiet", "live"), ("demo", "interrupted")]


async def test_a_live_stream_says_what_it_is_made_of_and_where_to_play_it(site: Site) -> None:
    site.go_live()
    stream = (await site.client.get("/api/v1/streams/demo")).json()
    assert (stream["title"], stream["description"]) == ("The Demo", "A test")
    video, audio = stream["tracks"]
    assert (video["codec"], video["width"], video["height"]) == ("avc1.64001f", 1280, 720)
    assert (audio["codec"], audio["sample_rate"], audio["channels"]) == ("mp4a.40.2", 48_000, 2)
    assert [(source["type"], source["url"]) for source in stream["sources"]] == [
        ("llhls", "/app/demo/master.m3u8"),
        ("dash", "/app/demo/manifest.mpd"),
    ]
    assert stream["since"].endswith("Z")
    assert stream["thumbnail"] == "/app/demo/thumb.webp"


async def test_webrtc_is_offered_of_streams_that_it_can_carry_whole(site: Site) -> None:
    site.go_live()
    whole: list[str] = []
    directory = StreamDirectory(site.records, site.hub, site.audience, webrtc=lambda live: live.name in whole)

    async def ways() -> list[str]:
        info = await directory.get("demo")
        assert info is not None
        return [f"{source.type} {source.url}" for source in info.sources]

    assert await ways() == ["llhls /app/demo/master.m3u8", "dash /app/demo/manifest.mpd"]
    whole.append("demo")
    assert (await ways())[0] == "webrtc /app/demo"
    assert len(await ways()) == 3


async def test_only_what_is_live_and_has_video_has_a_thumbnail(site: Site) -> None:
    async def thumbnails() -> list[str | None]:
        return [stream["thumbnail"] for stream in (await site.client.get("/api/v1/streams")).json()["streams"]]

    assert await thumbnails() == [None, None]
    site.hub.publish("demo", Source("rtmp", "192.0.2.1"), print).announce((AUDIO,))
    assert await thumbnails() == [None, None]
    site.hub.close()
    site.go_live()
    live = site.hub.streams()[0]
    assert live.publication is not None
    live.publication.lose("reset")
    assert await thumbnails() == ["/app/demo/thumb.webp", None]  # it shows the last picture


async def test_a_publisher_without_tracks_is_not_live_for_viewers(site: Site) -> None:
    site.hub.publish("demo", Source("rtmp", "192.0.2.1"), print)
    assert (await site.client.get("/api/v1/streams/demo")).json()["state"] == "offline"


@pytest.mark.parametrize("path", ["/api/v1/streams/none", "/api/nothing", "/api/v1/streams/a%2Fb", "/assets/none.js"])
async def test_what_is_not_there_is_a_problem_document(site: Site, path: str) -> None:
    answer = await site.client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 404


async def test_the_api_describes_itself(site: Site) -> None:
    description = (await site.client.get("/api/openapi.json")).json()
    assert "/api/v1/streams/{name}" in description["paths"]


@pytest.mark.parametrize(
    ("path", "title", "status"),
    [
        ("/", "index", 200),
        ("/demo", "watch", 200),
        ("/none", "watch", 404),
        ("/embed/demo", "embed", 200),
        ("/embed/none", "embed", 404),
        ("/..%2fsecret", "watch", 404),
    ],
)
async def test_pages_have_a_strict_policy_and_an_honest_status(site: Site, path: str, title: str, status: int) -> None:
    answer = await site.client.get(path)
    assert answer.status_code == status
    if path.startswith("/.."):
        return
    assert f"<title>{title}</title>" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    ancestors = "https://friends.example" if title == "embed" else "'self'"
    assert policy.endswith(f"frame-ancestors {ancestors}")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_assets_are_cached_for_ever_and_compressed(site: Site) -> None:
    answer = await site.client.get("/assets/app-abc123.js", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == "console.log(1);" * 100
    assert "immutable" in answer.headers["cache-control"]
    again = await site.client.get("/assets/app-abc123.js", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    plain = await site.client.get("/assets/app-abc123.js", headers={"accept-encoding": "identity"})
    assert plain.content == b"console.log(1);" * 100


@pytest.mark.parametrize("path", ["/assets/../index.html", "/assets/..%2f..%2fetc%2fpasswd", "/assets/"])
async def test_no_file_outside_of_the_assets_is_served(site: Site, path: str) -> None:
    assert (await site.client.get(path)).status_code == 404


async def test_media_goes_to_the_media_endpoints(site: Site) -> None:
    await site.client.get("/app/demo/master.m3u8")
    assert site.media == ["/app/demo/master.m3u8"]


async def test_health_is_that_of_every_listener(site: Site) -> None:
    assert (await site.client.get("/healthz")).status_code == 200
    site.listeners["rtmp"] = False
    answer = await site.client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["listeners"] == {"http": True, "rtmp": False}


async def test_health_is_told_before_the_pages_are_there_and_in_the_same_words(site: Site) -> None:
    early = await site.client.get("/healthz")
    await site.app.prepare()
    late = await site.client.get("/healthz")
    assert (early.status_code, early.json()) == (late.status_code, late.json())
    assert early.headers == late.headers


async def test_the_time_is_told_to_players(site: Site) -> None:
    answer = await site.client.get("/api/v1/time")
    assert answer.text.endswith("Z")
    assert answer.headers["access-control-allow-origin"] == "*"


async def follow(site: Site, query: str = "", *, agent: str = "test") -> AsyncIterator[tuple[str, Any]]:
    """Server-sent events as they come, straight from the application: httpx's transport would wait for the end."""
    sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await sent.put(message["body"])

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {
        "type": "http", "method": "GET", "path": "/api/v1/events", "raw_path": b"", "query_string": query.encode(),
        "headers": [(b"user-agent", agent.encode())], "client": ("192.0.2.9", 5),
        "http_version": "1.1", "scheme": "http", "server": ("test", 80), "root_path": "",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }  # fmt: skip
    task = asyncio.create_task(site.app(scope, receive, send))
    try:
        while True:
            async with asyncio.timeout(60):
                text = (await sent.get()).decode()
            for event in text.split("\n\n")[:-1]:
                name, _, data = event.partition("\n")
                yield name.removeprefix("event: "), json.loads(data.removeprefix("data: "))
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_pages_are_told_what_changes(site: Site) -> None:
    events = follow(site)
    name, data = await anext(events)
    assert name == "streams"
    assert [stream["state"] for stream in data["streams"]] == ["offline", "offline"]
    site.go_live()
    name, data = await anext(events)
    assert (name, data["name"], data["state"]) == ("stream", "demo", "live")
    site.hub.streams()[0].end("over")
    name, data = await anext(events)
    assert (name, data["state"]) == ("stream", "offline")
    del site.records.all["quiet"]
    site.hub.emit(StreamRecordChanged("quiet"))
    assert await anext(events) == ("removed", {"name": "quiet"})
    await events.aclose()  # type: ignore[attr-defined]


async def test_a_page_may_follow_one_stream(site: Site) -> None:
    events = follow(site, "stream=quiet")
    _, data = await anext(events)
    assert [stream["name"] for stream in data["streams"]] == ["quiet"]
    site.go_live()
    site.hub.emit(StreamRecordChanged("quiet"))
    _, data = await anext(events)
    assert data["name"] == "quiet"
    await events.aclose()  # type: ignore[attr-defined]


async def test_too_many_listening_pages_are_told_to_come_back(site: Site) -> None:
    first, second = follow(site), follow(site)
    await anext(first)
    await anext(second)
    answer = await site.client.get("/api/v1/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    await first.aclose()  # type: ignore[attr-defined]
    third = follow(site)
    assert (await anext(third))[0] == "streams"
    for events in (second, third):
        await events.aclose()  # type: ignore[attr-defined]


async def test_a_page_that_follows_one_stream_is_a_viewer_of_it(site: Site) -> None:
    pages = [follow(site, "stream=demo", agent="a"), follow(site, "stream=demo", agent="b")]
    _, data = await anext(pages[0])
    assert data["streams"][0]["viewers"] == 1
    _, data = await anext(pages[1])
    assert data["streams"][0]["viewers"] == 2
    assert (await site.client.get("/api/v1/streams/demo/viewers")).json() == {"viewers": 2}
    for events in pages:
        await events.aclose()  # type: ignore[attr-defined]
    assert (await site.client.get("/api/v1/streams/demo/viewers")).json() == {"viewers": 0}


async def test_a_page_and_its_player_are_one_viewer(site: Site) -> None:
    site.audience.seen("demo", "192.0.2.9 test")
    events = follow(site, "stream=demo")
    _, data = await anext(events)
    assert data["streams"][0]["viewers"] == 1
    await events.aclose()  # type: ignore[attr-defined]


async def test_who_follows_all_streams_or_none_that_exists_watches_nothing(site: Site) -> None:
    pages = [follow(site), follow(site, "stream=made-up")]
    for events in pages:
        await anext(events)
    assert site.audience.count("demo") == 0
    assert site.audience.count("made-up") == 0
    for events in pages:
        await events.aclose()  # type: ignore[attr-defined]


async def test_a_stream_that_another_process_removes_ends(site: Site) -> None:
    site.go_live()
    watcher = RecordWatcher(site.records, site.hub)
    await watcher.look()
    del site.records.all["demo"]
    await watcher.look()
    assert site.hub.get("demo") is None


async def test_another_stream_of_the_same_name_is_noticed(site: Site) -> None:
    site.go_live()
    watcher = RecordWatcher(site.records, site.hub)
    await watcher.look()
    site.records.all["demo"].title = "Another title"
    await watcher.look()
    assert site.hub.get("demo") is not None
    events = site.hub.listen()
    site.records.all["demo"].created_at += timedelta(seconds=1)
    await watcher.look()
    await watcher.look()
    assert site.hub.get("demo") is None
    site.hub.unlisten(events)
    assert StreamRecordChanged("demo") in [event async for event in events]


async def test_records_that_another_process_changes_are_noticed(site: Site) -> None:
    watcher = RecordWatcher(site.records, site.hub)
    events = site.hub.listen()
    await watcher.look()
    site.records.all["new"] = Record("new")
    site.records.all["demo"].title = "Another title"
    del site.records.all["quiet"]
    await watcher.look()
    await watcher.look()
    site.hub.unlisten(events)
    assert [event.stream async for event in events] == ["demo", "new", "quiet"]
