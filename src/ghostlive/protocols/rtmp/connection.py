"""The driver of one session: bytes from a transport in, bytes out, one timer, and the way to the hub."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import structlog

from ghostlive.access.decision import AccessRequest, Action, Decision
from ghostlive.core.clock import Clock, Timer
from ghostlive.core.errors import GhostliveError, InvalidStreamNameError, MediaError, StreamBusyError
from ghostlive.core.tasks import TaskScope
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import Source
from ghostlive.protocols.rtmp.config import RtmpConfig
from ghostlive.protocols.rtmp.errors import PublishError, RtmpError, UnusableMediaError
from ghostlive.protocols.rtmp.events import Event, PublishEnded, PublishRequested
from ghostlive.protocols.rtmp.ingest import Ingest
from ghostlive.protocols.rtmp.session import Session, State

_log = structlog.get_logger("rtmp")

_MAX_UNSENT = 64 * 1024
"""Bytes that may wait for a peer that does not read; we have little to say."""
_LINGER = 2.0
"""Seconds that a peer has to read our last words."""

Authorize = Callable[[AccessRequest], Awaitable[Decision]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is connected, and how."""

    id: int
    protocol: str
    address: str


@dataclass(frozen=True, slots=True)
class Services:
    """What a connection needs of the rest of the house."""

    config: RtmpConfig
    authorize: Authorize
    hub: Hub
    clock: Clock
    tasks: TaskScope
    random: Callable[[int], bytes]


class Connection(asyncio.Protocol):
    """One encoder's connection, from accept to close."""

    def __init__(
        self, peer: Peer, services: Services, *, on_closed: Callable[["Connection"], None], refusal: str = ""
    ) -> None:
        """`on_closed` is called once; with a `refusal` the encoder is told so and let go."""
        self.peer = peer
        self._services = services
        self._clock = services.clock
        self._on_closed = on_closed
        self._session = Session(services.config, random=services.random, now=services.clock.now(), refusal=refusal)
        self._transport: asyncio.Transport | None = None
        self._timer: Timer | None = None
        self._ingest: Ingest | None = None
        self._decision: asyncio.Task[None] | None = None
        self._closing = False
        self._log = _log.bind(connection=peer.id, protocol=peer.protocol, address=peer.address)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_MAX_UNSENT)
        self._log.debug("connected")
        self._arm()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._closing:
            return
        now = self._clock.now()
        self._handle(self._session.receive_data(data, now), now)

    def pause_writing(self) -> None:
        """The peer does not read what it is told."""
        if self._transport is not None:
            self._log.warning("the encoder does not read")
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._timer is not None:
            self._timer.cancel()
        if self._decision is not None:
            self._decision.cancel()
        self._lose(f"the connection broke ({exc})" if exc else "the encoder closed the connection without a goodbye")
        self._log.debug("disconnected")
        self._on_closed(self)

    # What the server calls.

    def shut_down(self, reason: str) -> None:
        """Say goodbye to the encoder and close."""
        if self._ingest is not None:
            self._ingest.end(reason)
            self._ingest = None
        self._session.close(RtmpError(reason))
        self._after()

    def abort(self) -> None:
        """Close without ceremony."""
        if self._transport is not None:
            self._transport.abort()

    # The session's driver.

    def _handle(self, events: list[Event], now: float) -> None:
        for event in events:
            if isinstance(event, PublishRequested):
                self._decision = self._services.tasks.spawn(self._decide(event), name=f"rtmp {self.peer.id} decide")
            elif isinstance(event, PublishEnded):
                if self._ingest is not None:
                    self._ingest.end(event.reason)
                    self._ingest = None
            elif self._ingest is not None:
                try:
                    self._ingest.receive(event, now)
                except (RtmpError, MediaError) as error:
                    self._session.close(error if isinstance(error, RtmpError) else UnusableMediaError(str(error)))
                    break
        self._after()

    def _after(self) -> None:
        """What follows every call of the session."""
        transport = self._transport
        if transport is None or self._closing:
            return
        output = self._session.data_to_send()
        if output:
            transport.write(output)
        if self._session.state is State.CLOSED:
            self._close(transport)
        elif self._timer is None:
            self._arm()

    def _arm(self) -> None:
        timeout = self._session.next_timeout()
        if timeout is not None:
            self._timer = self._clock.call_later(max(timeout - self._clock.now(), 0), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._clock.now()
        self._handle(self._session.handle_timeout(now), now)

    def _close(self, transport: asyncio.Transport) -> None:
        """Let the encoder read our last words: closing with its bytes unread would reset the connection."""
        self._closing = True
        error = self._session.error
        self._log.info("closing", reason=str(error), kind=type(error).__name__, agent=self._session.agent)
        self._lose(str(error))
        if self._timer is not None:
            self._timer.cancel()
        if transport.can_write_eof() and not transport.is_closing():
            transport.write_eof()
            self._timer = self._clock.call_later(_LINGER, transport.abort)
        else:
            transport.close()
            self._timer = self._clock.call_later(_LINGER, transport.abort)

    def _lose(self, reason: str) -> None:
        if self._ingest is not None:
            self._ingest.lose(reason)
            self._ingest = None

    # Publishing.

    async def _decide(self, request: PublishRequested) -> None:
        """Ask whether the encoder may publish, and tell it."""
        access = AccessRequest(
            Action.PUBLISH, self.peer.protocol, self.peer.address, stream=request.stream, key=request.key
        )
        try:
            decision = await self._services.authorize(access)
        except GhostliveError as error:
            self._reject(str(error))
        except Exception:
            self._reject("the server could not check the stream key; its log says why")
            raise
        else:
            self._apply(decision, request)
        finally:
            self._decision = None

    def _apply(self, decision: Decision, request: PublishRequested) -> None:
        if self._session.state is not State.DECIDING:
            return
        if not decision.allowed or decision.stream is None:
            self._reject(decision.reason)
            return
        source = Source(self.peer.protocol, self.peer.address, request.agent)
        try:
            publication = self._services.hub.publish(decision.stream, source, self._on_taken)
        except (StreamBusyError, InvalidStreamNameError) as error:
            self._reject(str(error))
            return
        self._ingest = Ingest(publication, max_tracks=self._services.config.max_tracks)
        self._session.accept_publish(self._clock.now())
        self._after()

    def _reject(self, reason: str) -> None:
        self._session.reject_publish(reason)
        self._after()

    def _on_taken(self, reason: str) -> None:
        self._ingest = None
        self._session.close(PublishError(reason))
        self._after()
