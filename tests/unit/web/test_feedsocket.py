"""Events by WebSocket: the same text as the event stream's, viewers counted, and ends that are told."""

import asyncio
from contextlib import aclosing

import pytest
from tests.unit.web.test_livefeed import Stage

from ghostlive.core.events import StreamRecordChanged
from ghostlive.core.tasks import TaskScope
from ghostlive.core.websocket import Opening, Peer, text_frame
from ghostlive.web.feedsocket import PATH, FeedSockets
from ghostlive.web.problems import ProblemError
from ghostlive.web.websocket import any_of


class FakeConnection:
    """Records what is written."""

    def __init__(self) -> None:
        self.waiting = 0
        self.written: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.closed_with: int | None = None

    def write(self, frames: bytes) -> None:
        self.written.append(frames)

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)


async def join(stage: Stage, scope: TaskScope, query: str = "", agent: str = "Firefox") -> tuple[Peer, FakeConnection]:
    sockets = FeedSockets(feed=stage.feed, audience=stage.audience, scope=scope)
    endpoint = sockets.route(PATH)
    assert endpoint is not None
    connection = FakeConnection()
    peer = await endpoint(Opening(PATH, query, "192.0.2.7", agent), connection)
    await stage.settle()
    return peer, connection


async def test_a_page_gets_the_events_of_the_event_stream() -> None:
    async with Stage() as stage, TaskScope("test") as scope:
        peer, connection = await join(stage, scope, "stream=demo")
        stage.records.all["demo"].title = "New"
        stage.hub.emit(StreamRecordChanged("demo"))
        stage.hub.emit(StreamRecordChanged("quiet"))
        await stage.settle()
        # Between the two, the page's own coming is told.
        snapshot, change = connection.written[0], connection.written[-1]
        assert b"event: streams\n" in snapshot
        assert b"event: stream\n" in change
        assert b'"title":"New"' in change
        # Who follows all streams changes nothing by coming, so the two can be compared.
        async with aclosing(stage.feed.follow(None)) as texts:
            text = await anext(texts)
        again, other = await join(stage, scope)
        assert other.written == [text_frame(text.encode())]
        for one in (peer, again):
            one.gone()
        await stage.settle()
        assert len(scope) == 0


async def test_who_follows_a_stream_is_counted_while_they_do() -> None:
    async with Stage() as stage, TaskScope("test") as scope:
        peer, _ = await join(stage, scope, "stream=demo")
        other, _ = await join(stage, scope, "stream=demo", agent="Chromium")
        await join(stage, scope, agent="a page of all streams")
        assert stage.audience.count("demo") == 2
        for one in (peer, other):
            one.gone()
        await stage.settle()
        assert stage.audience.count("demo") == 0


async def test_a_page_that_does_not_read_is_dropped() -> None:
    async with Stage() as stage, TaskScope("test") as scope:
        _, connection = await join(stage, scope)
        connection.waiting = 2 * 1024 * 1024
        stage.records.all["demo"].title = "New"
        stage.hub.emit(StreamRecordChanged("demo"))
        await stage.settle()
        assert connection.closed == (1008, "too slow to read")
        assert len(connection.written) == 1


async def test_when_the_server_stops_pages_are_told() -> None:
    async with TaskScope("test") as scope:
        async with Stage() as stage:
            _, connection = await join(stage, scope)
        async with asyncio.timeout(60):
            while scope:
                await asyncio.sleep(0)
        assert connection.closed == (1001, "the server stops")


async def test_more_pages_than_may_listen_are_refused() -> None:
    async with Stage(max_listeners=1) as stage, TaskScope("test") as scope:
        await join(stage, scope)
        with pytest.raises(ProblemError, match="Too many pages"):
            await join(stage, scope)


async def test_other_paths_are_others() -> None:
    async with Stage() as stage, TaskScope("test") as scope:
        sockets = FeedSockets(feed=stage.feed, audience=stage.audience, scope=scope)
        route = any_of(lambda path: None, sockets.route)
        assert route("/api/v1/streams/demo/chat") is None
        assert route(PATH) is not None
