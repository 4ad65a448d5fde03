"""The packager: one task for each live stream, and the answers to requests for its media.

Paths are those of DESIGN §11: `/app/{stream}/{rest}`. Nothing here knows HTTP beyond the facts in `Resource`.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from ghostlive.core.clock import Clock, SystemClock
from ghostlive.core.errors import StreamUnknownError
from ghostlive.core.events import StreamEvent, StreamStarted
from ghostlive.core.queues import Mailbox
from ghostlive.core.tasks import TaskScope
from ghostlive.hub.hub import Hub
from ghostlive.hub.subscription import Subscription
from ghostlive.packager.answers import Answers, Waiting
from ghostlive.packager.config import PackagerConfig
from ghostlive.packager.dvr import DvrStore
from ghostlive.packager.errors import NotFoundError
from ghostlive.packager.resource import Resource
from ghostlive.packager.signal import Signal
from ghostlive.packager.stream import PackagedStream

_log = structlog.get_logger("packager")

PREFIX = "/app/"
"""What the path of every resource begins with."""


class Packager:
    """Packages every live stream of a hub."""

    def __init__(self, hub: Hub, config: PackagerConfig, data_dir: Path, clock: Clock | None = None) -> None:
        """`data_dir` is the program's data directory; the DVR window lies in its `dvr` folder."""
        self._hub = hub
        self._config = config
        self._clock = clock or SystemClock()
        self._store = DvrStore(data_dir / "dvr") if config.dvr_storage == "disk" else None
        self._ready: dict[str, Resource] = {}
        self._answers: dict[str, Answers] = {}
        self._current: dict[str, Answers] = {}
        self._streams: dict[str, PackagedStream] = {}
        self._came = Signal()
        self._waiting = Waiting(self._clock)
        self._scope = TaskScope("packager")
        self._events: Mailbox[StreamEvent] | None = None

    async def start(self) -> None:
        """Remove what an earlier run left, and package streams from now on."""
        if self._store is not None:
            await asyncio.to_thread(self._store.start)
        self._events = self._hub.listen()
        for live in self._hub.streams():
            if live.announced:
                self._begin(live.name)
        self._scope.spawn(self._follow(self._events), name="packager")

    async def stop(self) -> None:
        """End all tasks, wake all waiting requests, remove the DVR files."""
        if self._events is not None:
            self._hub.unlisten(self._events)
        await self._scope.close()
        for session in list(self._streams):
            self._remove(session)
        self._waiting.close()
        if self._store is not None:
            await asyncio.to_thread(self._store.stop)

    def ready(self, path: str | bytes) -> Resource | None:
        """The resource at this full path (`/app/…`, no query), if it can be sent at once. A dictionary look-up.

        It counts as a use of the rendition.
        """
        resource = self._ready.get(path if isinstance(path, str) else path.decode("latin-1"))
        if resource is not None and resource.use is not None:
            resource.use.seen = True
        return resource

    async def resource(self, stream: str, rest: str, query: Mapping[str, str]) -> Resource:
        """The resource at `/app/{stream}/{rest}?{query}`; waits where HLS says so, and for a stream's first segment.

        Raises `PackagerError` with the HTTP status and a text. Cancelling is safe.
        """
        parts = rest.split("/")
        if len(parts) == 1:
            answers = self._current.get(stream)
            if self._hub.get(stream) is not None and (answers is None or answers.ended):
                # It was just published: its tracks are not known yet.
                answers = await self._waiting.until(self._came, lambda: self._newest(stream), self._config.first_wait)
            if answers is None:
                raise NotFoundError(f"{stream} is not live")
            return await answers.entry(parts[0], query)
        if len(parts) == 3:
            session, track, file = parts
            answers = self._answers.get(session)
            if answers is not None and answers.name == stream:
                return await answers.media(track, file, query)
            raise NotFoundError(f"{stream} has no live session {session[:20]}; it may have ended")
        raise NotFoundError(f"{stream} has no {rest[:80]}")

    def _newest(self, stream: str) -> Answers | None:
        answers = self._current.get(stream)
        if self._hub.get(stream) is None:
            return answers
        return answers if answers is not None and not answers.ended else None

    async def _follow(self, events: Mailbox[StreamEvent]) -> None:
        dropped = 0
        while batch := await events.batch():
            for event in batch:
                if isinstance(event, StreamStarted):
                    self._begin(event.stream)
            if events.dropped != dropped:
                dropped = events.dropped
                for live in self._hub.streams():
                    if live.announced:
                        self._begin(live.name)

    def _begin(self, name: str) -> None:
        live = self._hub.get(name)
        if live is None or live.session in self._streams:
            return
        try:
            subscription = self._hub.subscribe(name)
        except StreamUnknownError:
            return
        stream = PackagedStream(
            name,
            live.session,
            config=self._config,
            clock=self._clock,
            store=self._store,
            ready=self._ready,
            lease=live.lease,
        )
        answers = Answers(stream, clock=self._clock, ready=self._ready)
        self._streams[live.session] = stream
        self._answers[live.session] = self._current[name] = answers
        self._came.fire()
        self._scope.spawn(self._package(stream, subscription), name=f"packager {name}")

    async def _package(self, stream: PackagedStream, subscription: Subscription) -> None:
        try:
            while items := await subscription.batch():
                stream.feed(items)
        except Exception:
            _log.exception("packaging failed, the stream's playlists end", stream=stream.name)
        finally:
            subscription.close()
            self._clock.call_later(self._config.keep_ended, lambda: self._remove(stream.session))
            stream.end()

    def _remove(self, session: str) -> None:
        stream = self._streams.pop(session, None)
        if stream is None:
            return
        stream.remove()
        answers = self._answers.pop(session)
        if self._current.get(stream.name) is answers:
            del self._current[stream.name]
        answers.close()
