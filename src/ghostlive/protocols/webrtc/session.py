"""One peer between the sockets and its handler: what arrives goes through ICE, DTLS and SRTP to the handler, and back.

What does not live here: sockets, timers and limits (`server`); the transport itself (`peer`).

Invariant: the handler is told of the end exactly once, whatever ends the session, and hears nothing after it. What a
handler raises ends its own session only.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from ghostlive.protocols.webrtc.events import (
    Closed,
    Connected,
    PathAdded,
    PathChanged,
    PathRemoved,
    PeerEvent,
    RtcpReceived,
    RtpReceived,
    Secured,
)
from ghostlive.protocols.webrtc.fanout.types import Address
from ghostlive.protocols.webrtc.link import PeerHandler
from ghostlive.protocols.webrtc.negotiation import Negotiation
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.peer import Peer
from ghostlive.protocols.webrtc.srtp import SrtpKeys

_log = structlog.get_logger("webrtc")

_CLOSING_NOW = "the server made an error; it is in its log"


class Carrier(Protocol):
    """What sessions need of the server."""

    def now(self) -> float:
        """Monotonic seconds."""

    def send(self, path: Path, packets: Iterable[bytes]) -> None:
        """Send packets the given way, or drop them when that cannot be done at once."""

    def backlog(self, path: Path) -> int:
        """Bytes that wait for a TCP connection; 0 by UDP."""

    def wire_address(self, path: Path) -> Address | None:
        """The same for the UDP socket; None by TCP."""

    def path_added(self, session: "Session", path: Path) -> None:
        """What arrives by `path` is this session's from here on."""

    def path_removed(self, session: "Session", path: Path) -> None:
        """`path` is not this session's any more."""

    def due(self, session: "Session", when: float) -> None:
        """The session's `tick` is to be called then, at the latest."""

    def ended(self, session: "Session") -> None:
        """The session is over and its handler told."""


class Session:
    """One peer. A `PeerLink` for its handler."""

    def __init__(
        self,
        session_id: str,
        negotiation: Negotiation,
        handler: PeerHandler,
        *,
        peer: Peer,
        carrier: Carrier,
    ) -> None:
        """Use `WebRtcServer.add`."""
        self.id = session_id
        """Unguessable; names the session in URLs."""
        self.negotiation = negotiation
        self.handler = handler
        self.peer = peer
        self.remote_ufrag = negotiation.transport.remote_ufrag
        """The peer's, of the ICE session that is on."""
        self.on_over: Callable[[str], None] | None = None
        """Told of the end, after the handler."""
        self.over = ""
        """Why it is over; empty while it is not."""
        self._carrier = carrier
        self._keys: SrtpKeys | None = None
        self._path: Path | None = None
        self._busy = False
        self._told = False
        self.scheduled = float("inf")
        """When its next tick is."""

    # -- what handlers use

    @property
    def path(self) -> Path:
        """See `PeerLink.path`."""
        assert self._path is not None
        return self._path

    @property
    def address(self) -> Address | None:
        """See `PeerLink.address`."""
        return self._carrier.wire_address(self.path)

    @property
    def local(self) -> SrtpKeys:
        """See `PeerLink.local`."""
        assert self._keys is not None
        return self._keys

    @property
    def backlog(self) -> int:
        """See `PeerLink.backlog`."""
        return 0 if self._path is None else self._carrier.backlog(self._path)

    def now(self) -> float:
        """See `PeerLink.now`."""
        return self._carrier.now()

    def send_rtcp(self, data: bytes) -> None:
        """See `PeerLink.send_rtcp`."""
        if not self.over:
            self.peer.send_rtcp(data)
            self._go_on()

    def send_rtp(self, data: bytes) -> None:
        """See `PeerLink.send_rtp`."""
        if not self.over:
            self.peer.send_rtp(data)
            self._go_on()

    def send_protected(self, packets: Sequence[bytes]) -> None:
        """See `PeerLink.send_protected`."""
        if not self.over and self._path is not None:
            self._carrier.send(self._path, packets)

    def close(self, reason: str) -> None:
        """See `PeerLink.close`."""
        if not self.over:
            self.over = reason or "closed"
            self.peer.close(self.over)
            self._go_on()

    # -- what the server calls

    @property
    def secured(self) -> bool:
        """Whether the handler has got its keys."""
        return self._keys is not None

    def begin(self) -> None:
        """Schedule the first tick."""
        self._schedule()

    def receive(self, data: bytes, path: Path, now: float) -> None:
        """A datagram, or a packet of a TCP connection."""
        self.peer.receive(data, path, now)
        self._go_on()

    def tick(self, now: float) -> None:
        """Time has passed."""
        self.scheduled = float("inf")
        self.peer.tick(now)
        self._go_on()

    def path_lost(self, path: Path) -> None:
        """The TCP connection of `path` is closed."""
        self.peer.path_lost(path)
        self._go_on()

    def restart(self, *, local_ufrag: str, local_pwd: str, remote_ufrag: str, remote_pwd: str) -> None:
        """Restart ICE; see `Peer.restart`."""
        self.remote_ufrag = remote_ufrag
        self.peer.restart(
            local_ufrag=local_ufrag, local_pwd=local_pwd, remote_ufrag=remote_ufrag, remote_pwd=remote_pwd
        )
        self._go_on()

    # -- inside

    def _go_on(self) -> None:
        """Hand on what the peer says until it is silent. Calls from inside a handler are served by the outer one."""
        if self._busy:
            return
        self._busy = True
        try:
            while events := self.peer.events():
                for event in events:
                    self._take(event)
        finally:
            self._busy = False
        self._send()
        if self.peer.closed:
            self._end()
        else:
            self._schedule()

    def _send(self) -> None:
        waiting = self.peer.outgoing()
        if len(waiting) == 1:
            path, data = waiting[0]
            self._carrier.send(path, (data,))
        else:
            for path, data in waiting:
                self._carrier.send(path, (data,))

    def _take(self, event: PeerEvent) -> None:
        if self._told:
            return
        try:
            match event:
                case RtpReceived(data):
                    self.handler.rtp(data, self._carrier.now())
                case RtcpReceived(data):
                    self.handler.rtcp(data, self._carrier.now())
                case PathAdded(path):
                    self._carrier.path_added(self, path)
                case PathRemoved(path):
                    self._carrier.path_removed(self, path)
                case Connected(path):
                    self._path = path
                case PathChanged(path):
                    self._path = path
                    if self._keys is not None:
                        self.handler.moved(path)
                case Secured(local, _):
                    self._keys = local
                    self._path = self._path or self.peer.path
                    # The peer has its keys with our last flight: what the handler sends at once has to come after it.
                    self._send()
                    self.handler.secured(self)
                case Closed(reason):
                    self.over = self.over or reason
                    self._tell()
        except Exception as error:
            _log.error("a WebRTC handler failed", session=self.id, exc_info=error)
            self.over = self.over or _CLOSING_NOW
            self.peer.close(self.over)

    def _end(self) -> None:
        self.over = self.over or "closed"
        self._tell()
        self._carrier.ended(self)

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            for told in (self.handler.closed, self.on_over):
                try:
                    if told is not None:
                        told(self.over)
                except Exception as error:
                    _log.error("a WebRTC handler failed at its end", session=self.id, exc_info=error)
            # It knows the session, which would be kept until the collector finds the circle.
            self.on_over = None

    def _schedule(self) -> None:
        when = self.peer.next_timeout()
        if when < self.scheduled:
            self.scheduled = when
            self._carrier.due(self, when)
