"""The hub: which streams are live, who publishes and who reads them."""

from collections.abc import Callable

import structlog

from ghostlive.core.clock import Clock, SystemClock
from ghostlive.core.errors import StreamBusyError, StreamUnknownError
from ghostlive.core.events import StreamEnded, StreamEvent
from ghostlive.core.queues import Mailbox
from ghostlive.core.stream import check_stream_name
from ghostlive.hub.config import HubConfig
from ghostlive.hub.derived import Deriver
from ghostlive.hub.live import LiveStream, Publication, Source
from ghostlive.hub.subscription import Subscription

_log = structlog.get_logger("hub")

_EVENTS_WAITING = 4096


class Hub:
    """All live streams of this process."""

    def __init__(self, config: HubConfig | None = None, clock: Clock | None = None) -> None:
        """`clock` is the event loop's unless a test gives its own."""
        self._config = config or HubConfig()
        self._clock = clock or SystemClock()
        self.deriver: Deriver | None = None
        """Makes derived tracks of the streams that begin from now on."""
        self._live: dict[str, LiveStream] = {}
        self._listeners: set[Mailbox[StreamEvent]] = set()

    def streams(self) -> list[LiveStream]:
        """The streams that are live or interrupted, by name."""
        return [self._live[name] for name in sorted(self._live)]

    def get(self, name: str) -> LiveStream | None:
        """The live stream of that name, if it is live or interrupted."""
        return self._live.get(name)

    def publish(self, name: str, source: Source, on_taken: Callable[[str], None]) -> Publication:
        """Begin to publish. Access was checked before.

        `on_taken(reason)` is called when another publisher takes the stream over or the server ends it: close the
        connection then. Raises `StreamBusyError` when the stream has a publisher that is to stay.
        """
        check_stream_name(name)
        live = self._live.get(name)
        if live is None:
            live = self._live[name] = LiveStream(
                name, config=self._config, clock=self._clock, emit=self._emit, deriver=self.deriver
            )
        self.check_free(name)
        if live.publication is not None:
            live.publication.take_over("another publisher took the stream over")
        _log.info("publishing", stream=name, protocol=source.protocol, address=source.address, agent=source.agent)
        return live.attach(source, on_taken)

    def check_free(self, name: str) -> None:
        """Raise what `publish` would raise now, for who can tell a publisher of it before there is media."""
        live = self._live.get(name)
        current = None if live is None else live.publication
        if current is None or self._config.second_publisher != "refuse":
            return
        if self._clock.now() - current.last_frame < self._config.silent_after:
            raise StreamBusyError(
                f"{name} is live already, published from {current.source.address} by {current.source.protocol}; "
                "stop that encoder first"
            )

    def subscribe(self, name: str, *, tracks: frozenset[str] | None = None) -> Subscription:
        """Read a stream. Raises `StreamUnknownError` when nothing of that name is live."""
        live = self._live.get(name)
        if live is None:
            raise StreamUnknownError(f"{name} is not live")
        return live.subscribe(tracks=tracks)

    def listen(self) -> Mailbox[StreamEvent]:
        """Events of all streams from now on; give the mailbox back with `unlisten`."""
        mailbox: Mailbox[StreamEvent] = Mailbox(_EVENTS_WAITING)
        self._listeners.add(mailbox)
        return mailbox

    def unlisten(self, mailbox: Mailbox[StreamEvent]) -> None:
        """Stop sending events to `mailbox`."""
        self._listeners.discard(mailbox)
        mailbox.close()

    def emit(self, event: StreamEvent) -> None:
        """Tell listeners something about a stream that the hub itself cannot see (its record changed)."""
        self._emit(event)

    def close(self, reason: str = "the server is stopping") -> None:
        """End every stream."""
        for live in list(self._live.values()):
            live.end(reason)
        for mailbox in list(self._listeners):
            self.unlisten(mailbox)

    def _emit(self, event: StreamEvent) -> None:
        if isinstance(event, StreamEnded):
            self._live.pop(event.stream, None)
        for mailbox in self._listeners:
            mailbox.put(event)
