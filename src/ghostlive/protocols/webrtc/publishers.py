"""Broadcasters by WebRTC, whatever they were signalled by: from a description that was agreed on to a publication.

A stream is taken when the broadcaster is connected, not when it asks: a request whose media never arrives takes nobody
off the air.
"""

from collections.abc import Callable
from typing import Final

from ghostlive.core.clock import Clock
from ghostlive.core.errors import GhostliveError
from ghostlive.core.track import Codec
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import Publication, Source
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.protocols.webrtc.ingest.config import IngestConfig
from ghostlive.protocols.webrtc.ingest.publisher import Publisher
from ghostlive.protocols.webrtc.link import PeerLink
from ghostlive.protocols.webrtc.negotiation import Negotiation
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.server import WebRtcServer
from ghostlive.protocols.webrtc.session import Session

CODECS: Final = (Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1, Codec.H265, Codec.OPUS)
"""What may be published."""


class Broadcast:
    """One broadcaster. A `PeerHandler` in front of the `Publisher` that it becomes once it is connected."""

    def __init__(
        self, stream: str, source: Source, negotiation: Negotiation, *, hub: Hub, clock: Clock, config: IngestConfig
    ) -> None:
        """Access was checked before."""
        self._hub = hub
        self._stream = stream
        self._source = source
        self._negotiation = negotiation
        self._clock = clock
        self._config = config
        self._publisher: Publisher | None = None
        self._publication: Publication | None = None

    def secured(self, link: PeerLink) -> None:
        """See `PeerHandler.secured`."""
        try:
            self._publication = publication = self._hub.publish(self._stream, self._source, self._taken)
        except GhostliveError as error:
            link.close(str(error))
            return
        self._publisher = Publisher(self._negotiation, publication, self._clock, self._config)
        self._publisher.secured(link)

    def rtp(self, data: bytes, now: float) -> None:
        """See `PeerHandler.rtp`."""
        if self._publisher is not None:
            self._publisher.rtp(data, now)

    def rtcp(self, data: bytes, now: float) -> None:
        """See `PeerHandler.rtcp`."""
        if self._publisher is not None:
            self._publisher.rtcp(data, now)

    def moved(self, path: Path) -> None:
        """See `PeerHandler.moved`."""
        if self._publisher is not None:
            self._publisher.moved(path)

    def closed(self, reason: str) -> None:
        """See `PeerHandler.closed`."""
        # They hold each other by way of the session.
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.closed(reason)
        elif self._publication is not None:
            self._publication.lose(reason)  # the stream was taken, and then something failed

    def end(self, reason: str) -> None:
        """The broadcaster said goodbye: the stream ends with it, also where the connection has ended before."""
        if self._publisher is not None:
            self._publisher.end(reason)
        if self._publication is not None:
            self._publication.end(reason)

    def farewell(self, reason: str) -> Callable[[], None] | None:
        """A goodbye to be said after the end, which holds nothing else; None where there was no broadcast."""
        publication = self._publication
        return None if publication is None else lambda: publication.end(reason)

    def _taken(self, reason: str) -> None:
        if self._publisher is not None:
            self._publisher.taken(reason)


class Publishers:
    """Begins sessions of broadcasters."""

    def __init__(self, *, server: WebRtcServer, hub: Hub, clock: Clock, config: WebRtcConfig) -> None:
        """`config` is the server's."""
        self._server = server
        self._hub = hub
        self._clock = clock
        self._ingest = IngestConfig(keyframe_interval=config.keyframe_interval, max_bitrate=config.max_bitrate)

    def check_free(self, stream: str) -> None:
        """Raises `StreamBusyError` when a broadcaster would be refused now."""
        self._hub.check_free(stream)

    def begin(self, stream: str, negotiation: Negotiation, source: Source) -> Session:
        """A session for what was agreed on. Raises as `WebRtcServer.add`."""
        broadcast = Broadcast(stream, source, negotiation, hub=self._hub, clock=self._clock, config=self._ingest)
        return self._server.add(negotiation, broadcast, address=source.address, publishing=True)

    @staticmethod
    def end(session: Session, reason: str) -> None:
        """The broadcaster of a session said goodbye."""
        if isinstance(session.handler, Broadcast):
            session.handler.end(reason)
        session.close(reason)

    @staticmethod
    def farewell(session: Session, reason: str) -> Callable[[], None] | None:
        """What a goodbye means that comes after the session's end."""
        return session.handler.farewell(reason) if isinstance(session.handler, Broadcast) else None
