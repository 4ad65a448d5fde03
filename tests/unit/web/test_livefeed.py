"""The live feed: what pages are told, and how little it costs."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from tests.support.clock import FakeClock

from ghostlive.core.events import StreamRecordChanged
from ghostlive.core.track import Codec, Track
from ghostlive.hub.derived import Offer
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream, Source
from ghostlive.web.audience import Audience
from ghostlive.web.directory import StreamDirectory, StreamInfo, StreamRecord
from ghostlive.web.livefeed import LiveFeed
from ghostlive.web.problems import ProblemError

VIDEO = Track("v0", Codec.H264, 90_000, b"", "avc1.64001f", width=1280, height=720)


@dataclass
class Record:
    name: str
    title: str = ""
    description: str = ""
    created_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    ladder: str | None = None


class Records:
    """Stored streams that count how often they are read."""

    def __init__(self) -> None:
        self.all = {name: Record(name) for name in ("demo", "quiet")}
        self.reads = 0
        self.fails = False

    async def list(self) -> Sequence[Record]:
        self._read()
        return [self.all[name] for name in sorted(self.all)]

    async def get(self, name: str) -> Record | None:
        self._read()
        return self.all.get(name)

    def _read(self) -> None:
        self.reads += 1
        if self.fails:
            raise OperationalError("select", {}, Exception("database is locked"))


class Ladder:
    """Offers tracks that nobody makes."""

    def __init__(self, *tracks: Track) -> None:
        self.tracks = tracks

    def plan(self, live: LiveStream) -> Sequence[Offer]:
        return [Offer(track, 700_000) for track in self.tracks]

    def demand(self, live: LiveStream, track: str) -> None:
        raise AssertionError(f"{track} was asked for")

    def rest(self, live: LiveStream, track: str) -> None:
        raise AssertionError(f"{track} was let go")

    def want_keyframe(self, live: LiveStream, track: str) -> bool:
        raise AssertionError(f"a keyframe of {track} was wanted")


class CountingDirectory(StreamDirectory):
    """Counts renderings."""

    rendered = 0

    def describe(self, record: StreamRecord) -> StreamInfo:
        self.rendered += 1
        return super().describe(record)


class Stage:
    """A feed that runs."""

    def __init__(self, *, max_listeners: int = 1000) -> None:
        self.clock = FakeClock()
        self.records = Records()
        self.hub = Hub(clock=self.clock)
        self.audience = Audience(self.clock, self.hub.emit)
        self.directory = CountingDirectory(self.records, self.hub, self.audience)
        self.feed = LiveFeed(directory=self.directory, hub=self.hub, clock=self.clock, max_listeners=max_listeners)
        self.task = asyncio.create_task(self.feed.run())

    async def __aenter__(self) -> "Stage":
        await self.feed.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hub.close()
        await self.task

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def next_event(events: AsyncGenerator[str, None]) -> tuple[str, Any]:
    async with asyncio.timeout(60):
        text = await anext(events)
    name, _, data = text.strip().partition("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def test_a_stream_that_another_process_has_just_added_is_there_for_who_asks_for_it() -> None:
    async with Stage() as stage:
        stage.records.all["new"] = Record("new")
        async with aclosing(stage.feed.follow("new")) as texts:
            first = await anext(texts)
        assert [info["name"] for info in json.loads(first.split("data: ")[1])["streams"]] == ["new"]
        async with aclosing(stage.feed.follow("nowhere")) as texts:
            assert json.loads((await anext(texts)).split("data: ")[1]) == {"streams": []}


async def test_a_change_is_rendered_once_for_five_hundred_listeners() -> None:
    async with Stage() as stage:
        listeners = [stage.feed.follow(None if n % 2 else "demo") for n in range(500)]
        for events in listeners:
            await anext(events)
        rendered, reads = stage.directory.rendered, stage.records.reads
        stage.hub.publish("demo", Source("rtmp", "192.0.2.1"), print).announce((VIDEO,))
        texts = {id(text): text for text in [await anext(events) for events in listeners]}
        assert len(texts) == 1  # the very same text
        assert '"state":"live"' in next(iter(texts.values()))
        assert stage.directory.rendered == rendered + 1
        assert stage.records.reads == reads
        for events in listeners:
            await events.aclose()


async def test_pages_are_told_of_other_renditions() -> None:
    async with Stage() as stage, aclosing(stage.feed.follow("demo")) as events:
        stage.hub.deriver = ladder = Ladder(replace(VIDEO, id="v0-360p30", title="360p30"))
        await anext(events)
        stage.hub.publish("demo", Source("rtmp", "192.0.2.1"), print).announce((VIDEO,))
        live = stage.hub.get("demo")
        assert live is not None
        assert (await next_event(events))[1]["renditions"] == ["360p30"]
        ladder.tracks = ()
        live.reoffer()
        assert (await next_event(events))[1]["renditions"] == []


async def test_many_pages_that_come_at_once_share_a_snapshot() -> None:
    async with Stage() as stage:
        listeners = [stage.feed.follow(None) for _ in range(100)]
        texts = {await anext(events) for events in listeners}
        assert len(texts) == 1
        assert (stage.directory.rendered, stage.records.reads) == (2, 1)
        stage.audience.enter("demo", "a")
        await stage.settle()
        late = stage.feed.follow(None)
        _, data = await next_event(late)
        assert [info["viewers"] for info in data["streams"]] == [1, 0]
        for events in [*listeners, late]:
            await events.aclose()


async def test_only_a_changed_record_is_read_again() -> None:
    async with Stage() as stage, aclosing(stage.feed.follow(None)) as events:
        await anext(events)
        stage.records.all["demo"] = Record("demo", "Another title")
        stage.audience.enter("demo", "a")
        assert (await next_event(events))[1]["title"] == "demo"
        stage.hub.emit(StreamRecordChanged("demo"))
        assert (await next_event(events))[1]["title"] == "Another title"
        assert stage.records.reads == 2


async def test_what_is_no_news_is_not_told() -> None:
    async with Stage() as stage, aclosing(stage.feed.follow(None)) as events:
        await anext(events)
        for _ in range(3):
            stage.hub.emit(StreamRecordChanged("demo"))
            await stage.settle()
        stage.records.all.pop("quiet")
        stage.hub.emit(StreamRecordChanged("quiet"))
        assert (await next_event(events))[0] == "stream"
        assert await next_event(events) == ("removed", {"name": "quiet"})


async def test_a_stream_that_comes_back_is_told_of() -> None:
    async with Stage() as stage, aclosing(stage.feed.follow("demo")) as events:
        await anext(events)
        kept = stage.records.all.pop("demo")
        stage.hub.emit(StreamRecordChanged("demo"))
        assert (await next_event(events))[0] == "removed"
        assert not stage.feed.knows("demo")
        stage.records.all["demo"] = kept
        stage.hub.emit(StreamRecordChanged("demo"))
        assert (await next_event(events))[1]["name"] == "demo"


async def test_a_page_that_reads_slowly_is_told_everything_anew() -> None:
    async with Stage() as stage, aclosing(stage.feed.follow("demo")) as events:
        await anext(events)
        for n in range(300):
            stage.records.all["demo"] = Record("demo", f"title {n}")
            stage.hub.emit(StreamRecordChanged("demo"))
            await stage.settle()
        name, data = await next_event(events)
        assert (name, data["streams"][0]["title"]) == ("streams", "title 299")


async def test_events_that_the_feed_itself_missed_are_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ghostlive.hub.hub._EVENTS_WAITING", 4)
    async with Stage() as stage, aclosing(stage.feed.follow(None)) as events:
        await anext(events)
        del stage.records.all["quiet"]
        stage.hub.emit(StreamRecordChanged("quiet"))
        for _ in range(6):
            stage.hub.emit(StreamRecordChanged("demo"))
        name, data = await next_event(events)
        assert (name, [info["name"] for info in data["streams"]]) == ("streams", ["demo"])


async def test_a_database_that_is_locked_keeps_nobody_from_the_rest() -> None:
    async with Stage() as stage, aclosing(stage.feed.follow(None)) as events:
        await anext(events)
        stage.records.fails = True
        stage.hub.emit(StreamRecordChanged("quiet"))
        stage.audience.enter("demo", "a")
        text = await anext(events)
        assert text.count("event: stream") == 2
        assert '"viewers":1' in text


async def test_a_stream_that_cannot_be_shown_silences_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Stage() as stage, aclosing(stage.feed.follow(None)) as events:
        await anext(events)
        whole = stage.directory.describe

        def broken(record: StreamRecord) -> StreamInfo:
            if record.name == "quiet":
                raise ValueError("a fault")
            return whole(record)

        monkeypatch.setattr(stage.directory, "describe", broken)
        with capture_logs() as logs:
            stage.audience.enter("quiet", "a")
            stage.audience.enter("demo", "a")
            assert (await next_event(events))[1]["name"] == "demo"
        assert [line["stream"] for line in logs if line["log_level"] == "error"] == ["quiet"]


async def test_the_end_of_the_server_is_the_end_of_the_events() -> None:
    async with Stage() as stage:
        events = stage.feed.follow(None)
        await anext(events)
        stage.hub.close()
        async with asyncio.timeout(60):
            assert [text async for text in events] == []
            assert [text async for text in stage.feed.follow(None)] == []


async def test_there_is_room_for_so_many_pages() -> None:
    async with Stage(max_listeners=1) as stage:
        stage.feed.check_room()
        events = stage.feed.follow(None)
        await anext(events)
        with pytest.raises(ProblemError, match="Too many pages"):
            stage.feed.check_room()
        await events.aclose()
        stage.feed.check_room()
