"""`/api/v1/events` as a WebSocket: each text message holds the same events as the event stream does.

Our pages use it rather than the event stream, which takes one of the six connections that a browser has for each host
over HTTP/1.1: with six tabs open, nothing else would be loaded. WebSockets are counted apart.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

from ghostlive.access.browser import viewer_key
from ghostlive.core.tasks import TaskScope
from ghostlive.core.websocket import GOING_AWAY, POLICY_VIOLATION, Connection, Opening, Peer, text_frame
from ghostlive.web.audience import Audience
from ghostlive.web.livefeed import LiveFeed, follow_counted
from ghostlive.web.websocket import Endpoint, Route

PATH: Final = "/api/v1/events"
_MAX_WAITING: Final = 1024 * 1024
"""Bytes that may wait for a page that does not read."""


class FeedSockets:
    """Pages that listen to a `LiveFeed` by WebSocket."""

    def __init__(self, *, feed: LiveFeed, audience: Audience, scope: TaskScope) -> None:
        """`scope` owns a task for each page."""
        self._feed = feed
        self._audience = audience
        self._scope = scope

    @property
    def route(self) -> Route:
        """The endpoint of `PATH`."""

        def route(path: str) -> Endpoint | None:
            return self._open if path == PATH else None

        return route

    async def _open(self, opening: Opening, connection: Connection) -> Peer:
        self._feed.check_room()
        stream = parse_qs(opening.query).get("stream", [None])[0]
        viewer = viewer_key(opening.address, opening.agent.encode("latin-1", "replace"))
        task = self._scope.spawn(self._tell(connection, stream, viewer), name="events")
        return _Page(task.cancel)

    async def _tell(self, connection: Connection, stream: str | None, viewer: str) -> None:
        try:
            async with follow_counted(self._feed, self._audience, stream, viewer) as texts:
                async for text in texts:
                    if connection.waiting > _MAX_WAITING:
                        connection.close(POLICY_VIOLATION, "too slow to read")
                        return
                    connection.write(text_frame(text.encode()))
        finally:
            connection.close(GOING_AWAY, "the server stops")


class _Page:
    """The peer of one page, which has nothing to say."""

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop

    def text(self, message: str) -> None:
        """See `Peer.text`."""

    def gone(self) -> None:
        """See `Peer.gone`."""
        self._stop()
