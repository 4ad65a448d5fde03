"""What changes, as server-sent events (HTML Living Standard §9.2): made once, handed to everybody who listens.

First comes `streams` with a snapshot, then `stream` with one changed stream, or `removed` with its name. Records are
kept here and read from the database only when they changed, so that a change of the live state or the audience costs
one rendering, however many pages listen.

A listener takes its place and its snapshot in one turn of the event loop: no change falls between the two.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.core.clock import Clock
from ghostlive.core.events import StreamRecordChanged
from ghostlive.core.queues import Mailbox
from ghostlive.core.stream import can_name_stream
from ghostlive.hub.hub import Hub
from ghostlive.web.audience import Audience
from ghostlive.web.directory import StreamDirectory, StreamInfo, StreamRecord
from ghostlive.web.problems import ProblemError

_log = structlog.get_logger("events")

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the connection."""
_WAITING: Final = 256
"""Events that may wait for one page. A page that misses one is told everything anew."""
_SNAPSHOT_AGE: Final = 1.0
_RETRY: Final = 2.0


class _Listener:
    def __init__(self, only: str | None) -> None:
        self.only = only
        self.mailbox: Mailbox[str] = Mailbox(_WAITING)


class LiveFeed:
    """Follows the hub and tells pages. `run` has to run as long as anybody listens."""

    def __init__(self, *, directory: StreamDirectory, hub: Hub, clock: Clock, max_listeners: int) -> None:
        """At most `max_listeners` pages at once."""
        self._directory = directory
        self._hub = hub
        self._clock = clock
        self._max_listeners = max_listeners
        self._events = hub.listen()
        self._lost = 0
        self._records: dict[str, StreamRecord] = {}
        self._ready = asyncio.Event()
        self._over = False
        self._listeners: dict[str | None, set[_Listener]] = {}
        self._count = 0
        self._last: dict[str, str] = {}
        """What was told of each stream last: what says nothing new is not told again."""
        self._snapshot: tuple[float, str] = (float("-inf"), "")

    async def run(self) -> None:
        """Follow until cancelled or the hub closes. A database that cannot be read now is tried again."""
        try:
            await self._load()
            self._ready.set()
            while batch := await self._events.batch():
                if self._events.dropped != self._lost:
                    self._lost = self._events.dropped
                    await self._load()
                    self._tell_all()
                    continue
                changed = dict.fromkeys(event.stream for event in batch)
                stale = {event.stream for event in batch if isinstance(event, StreamRecordChanged)}
                for name in changed:
                    if name in stale or name not in self._records:
                        await self._refresh(name)
                    try:
                        self._tell(name)
                    except Exception:
                        # A stream that cannot be shown must not keep pages from hearing of the others.
                        _log.exception("a stream could not be described", stream=name)
        finally:
            self._over = True
            self._ready.set()
            self._hub.unlisten(self._events)
            for listener in [listener for group in self._listeners.values() for listener in group]:
                listener.mailbox.close()

    def check_room(self) -> None:
        """Raise `ProblemError` when as many pages listen as may."""
        if self._count >= self._max_listeners:
            raise ProblemError(
                503, "Too many pages are listening; try again in a minute.", headers=((b"retry-after", b"60"),)
            )

    async def follow(self, only: str | None) -> AsyncGenerator[str, None]:
        """The events of all streams, or of one, ready to be sent. Close the iterator when the page has gone."""
        listener = _Listener(only)
        self._count += 1
        try:
            await self.ready(only)
            if self._over:
                return
            self._listeners.setdefault(only, set()).add(listener)
            yield self._snapshot_for(only)
            lost = 0
            while not listener.mailbox.closed:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        batch = await listener.mailbox.batch()
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if listener.mailbox.dropped != lost:
                    lost = listener.mailbox.dropped
                    yield self._snapshot_for(only)
                elif batch:
                    yield "".join(batch)
        finally:
            self._count -= 1
            group = self._listeners.get(only, set())
            group.discard(listener)
            if not group:
                self._listeners.pop(only, None)

    async def ready(self, name: str | None = None) -> None:
        """Wait until the records are known, and that of stream `name`, if there is one, for certain.

        A page that has its stream already must not hear that there is none: another process may have added it, which
        is not noticed at once.
        """
        await self._ready.wait()
        if name is not None and name not in self._records and can_name_stream(name) and not self._over:
            await self._refresh(name)

    def knows(self, name: str) -> bool:
        """Whether there is a stream of that name, as far as is known; ask when `ready` for it."""
        return name in self._records

    async def _load(self) -> None:
        while True:
            try:
                self._records = {record.name: record for record in await self._directory.records()}
                return
            except (OSError, SQLAlchemyError) as error:
                _log.warning("stream records could not be read", error=_cause(error))
                await asyncio.sleep(_RETRY)

    async def _refresh(self, name: str) -> None:
        try:
            record = await self._directory.record(name)
        except (OSError, SQLAlchemyError) as error:
            # What is known is told; the record itself is compared again by whoever watches the records.
            _log.warning("a stream record could not be read", stream=name, error=_cause(error))
            return
        if record is None:
            self._records.pop(name, None)
        else:
            self._records[name] = record

    def _tell(self, name: str) -> None:
        record = self._records.get(name)
        if record is None:
            text = event_text("removed", {"name": name})
        else:
            text = event_text("stream", self._directory.describe(record).model_dump(mode="json"))
        if self._last.get(name) == text:
            return
        self._snapshot = (float("-inf"), "")
        if record is None:
            self._last.pop(name, None)
        else:
            self._last[name] = text
        for only in (None, name):
            for listener in self._listeners.get(only, ()):
                listener.mailbox.put(text)

    def _tell_all(self) -> None:
        self._last.clear()
        self._snapshot = (float("-inf"), "")
        for only, listeners in self._listeners.items():
            text = self._snapshot_for(only)
            for listener in listeners:
                listener.mailbox.put(text)

    def _snapshot_for(self, only: str | None) -> str:
        if only is not None:
            record = self._records.get(only)
            return _snapshot([] if record is None else [self._directory.describe(record)])
        made, text = self._snapshot
        now = self._clock.now()
        if now - made > _SNAPSHOT_AGE:
            text = _snapshot(self._directory.describe_all(self._records.values()))
            self._snapshot = (now, text)
        return text


@asynccontextmanager
async def follow_counted(
    feed: LiveFeed, audience: Audience, stream: str | None, viewer: str
) -> AsyncIterator[AsyncIterator[str]]:
    """The events of all streams, or of one, whose viewer is then counted in `audience` for as long as they follow."""
    await feed.ready(stream)
    counted = stream if stream is not None and feed.knows(stream) else None
    if counted is not None:
        audience.enter(counted, viewer)
    try:
        async with aclosing(feed.follow(stream)) as texts:
            yield texts
    finally:
        if counted is not None:
            audience.leave(counted, viewer)


def _snapshot(infos: Iterable[StreamInfo]) -> str:
    return event_text("streams", {"streams": [info.model_dump(mode="json") for info in infos]})


def _cause(error: Exception) -> str:
    """What the database said, without the statement."""
    return str(getattr(error, "orig", None) or error)


def event_text(name: str, data: object) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
