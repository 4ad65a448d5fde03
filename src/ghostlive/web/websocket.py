"""WebSockets (RFC 6455) beside uvicorn: a request becomes an `Opening`, an open socket a `Connection` with its `Peer`.

`websockets`' sans-IO protocol checks the handshake and parses frames; what it does not do is here: waiting for the
endpoint's decision, refusing with a problem document, joining fragments, an end of the closing handshake, and bounds on
what one peer may cost. Rooms write frames that are encoded already, straight into the transport, or
into the sockets of many viewers at once (`write_each`).

A peer that floods is read more slowly, and one that does not read is not read from, so that answers to it do not pile
up. Who uses a `Connection` relies on this: `Peer.gone` comes once, and last.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, cast

import structlog
from uvicorn.server import ServerState
from websockets.frames import BINARY, CONT, TEXT, Frame
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ghostlive.access.limits import Seldom
from ghostlive.core.clock import Clock, SystemClock, Timer
from ghostlive.core.websocket import GOING_AWAY, UNSUPPORTED_DATA, Connection, Opening, Peer
from ghostlive.web.clientaddress import ClientAddress
from ghostlive.web.problems import ProblemError
from ghostlive.web.sending import send_each
from ghostlive.web.upgrade import Upgrade, accept_key, acceptance, check_site, opening_of, refusal

_log = structlog.get_logger("websocket")
_parser_log = logging.getLogger("ghostlive.websocket")
_parser_log.setLevel(logging.ERROR)

Endpoint = Callable[[Opening, Connection], Awaitable[Peer]]
"""Decides about a request. Raises `ProblemError` to refuse it; what it returns receives the messages."""
Route = Callable[[str], Endpoint | None]
"""The endpoint at a path, if there is one."""


@dataclass(frozen=True, slots=True)
class OpenEndpoint:
    """An `Endpoint` for the pages of any site. It must not heed cookies, which browsers send along for those, too."""

    endpoint: Endpoint
    max_message: int
    """Bytes of the longest message."""

    async def __call__(self, opening: Opening, connection: Connection) -> Peer:
        """See `Endpoint`."""
        return await self.endpoint(opening, connection)


def any_of(*routes: Route) -> Route:
    """The first of `routes` that has an endpoint."""

    def route(path: str) -> Endpoint | None:
        return next((endpoint for one in routes if (endpoint := one(path)) is not None), None)

    return route


_INVALID_DATA: Final = 1007
_INTERNAL_ERROR: Final = 1011
"""Close codes that only a transport uses (§7.4.1)."""
MAX_MESSAGE: Final = 8 * 1024
_RECEIVED: Final = 16 * 1024
"""Bytes that may wait in the kernel (which takes twice as much, for its own needs)."""
_MAX_AHEAD: Final = 64 * 1024
"""Bytes that are read before the endpoint has decided."""
_SLICE: Final = 1024
"""Bytes that are parsed in one turn of the event loop: at most 170 frames, about a millisecond."""
_FRAMES_PER_SECOND: Final = 200.0
_BURST: Final = 2.5
"""Seconds of frames that may come at once; who sends more is read more slowly."""
_OPENING_TIME: Final = 10.0
_CLOSING_TIME: Final = 4.0
_STOPPING_TIME: Final = 1.0
_MAX_REASON: Final = 123
"""Bytes of a close frame's reason (§5.5)."""
_AHEAD: Final = 1
_UNREAD: Final = 2
"""Why nothing is read at the moment: enough was read ahead, or the peer does not read itself."""


class _Phase(IntEnum):
    OPENING = 0
    OPEN = 1
    CLOSING = 2
    GONE = 3


_OPEN = _Phase.OPEN


class CutOffs:
    """Says in the log who was cut off, together for each second: there may be thousands."""

    def __init__(self) -> None:
        """Nobody was yet."""
        self._count = 0
        self._said = float("-inf")

    def note(self, reason: str, now: float) -> None:
        """One more was cut off, after a close for this reason."""
        self._count += 1
        if now - self._said >= 1.0:
            _log.warning(
                "viewers were cut off who did not read what was sent to them", count=self._count, reason=reason
            )
            self._count, self._said = 0, now


class Proxies:
    """Says in the log, once in an hour, that a proxy is not trusted."""

    def __init__(self) -> None:
        """None was seen yet."""
        self._seldom = Seldom(SystemClock(), every=3600.0)

    def note(self, address: str) -> None:
        """A request came by one."""
        if self._seldom.due() is not None:
            _log.warning(
                "a proxy is not trusted, so that everybody behind it counts as one address: a ban of one viewer would "
                "keep all of them out; name it in http.trusted_proxies",
                address=address,
            )


@dataclass(frozen=True, slots=True)
class Sockets:
    """What all WebSockets of a listener share."""

    route: Route
    addresses: ClientAddress
    leave: Callable[[str], None]
    """Told when a connection has ended, with the network that it was counted for."""
    clock: Clock = field(default_factory=SystemClock)
    cut_offs: CutOffs = field(default_factory=CutOffs)
    proxies: Proxies = field(default_factory=Proxies)


class WebSocket(asyncio.Protocol):
    """One connection, from the request on. A `core.websocket.Connection`."""

    __slots__ = (
        "_ahead", "_closing", "_due", "_fd", "_message", "_network", "_next", "_peer", "_phase", "_protocol", "_shared",
        "_state", "_stopped", "_task", "_timer", "_transport", "_written",
    )  # fmt: skip

    def __init__(self, shared: Sockets, state: ServerState, transport: asyncio.Transport, network: str) -> None:
        """Takes the transport over. `state` is uvicorn's, which tells its connections when the server stops."""
        self._shared = shared
        self._state = state
        self._transport = transport
        self._network = network
        self._phase = _Phase.OPENING
        self._protocol: ServerProtocol | None = None
        self._peer: Peer | None = None
        self._ahead: bytearray | None = None
        self._message: bytearray | None = None
        self._written: list[bytes] | None = None
        self._closing: tuple[int, str] | None = None
        self._stopped = 0
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._next: Timer | None = None
        state.connections.add(self)  # type: ignore[arg-type]  # it asks its members for `shutdown` only
        transport.set_protocol(self)
        self._fd = -1
        """The socket that takes what is written as it is; -1 with TLS."""
        if (connected := transport.get_extra_info("socket")) is not None:
            if transport.get_extra_info("sslcontext") is None:
                self._fd = connected.fileno()
            # What the kernel takes from a peer before we read is read at once, and kept here while the peer is slowed.
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)

    # -- opening

    def begin(self, request: Upgrade, rest: bytes = b"") -> None:
        """Answer the request. `rest` are bytes that came behind it."""
        protocol = ServerProtocol(state=OPEN, max_size=MAX_MESSAGE, logger=_parser_log)
        try:
            key = accept_key(request, protocol)
            opening = opening_of(request, self._shared.addresses)
            if self._shared.addresses.overlooked(request.peer, request.fields):
                self._shared.proxies.note(request.peer)
            endpoint = self._shared.route(opening.path)
            if isinstance(endpoint, OpenEndpoint):
                protocol.max_message_size = endpoint.max_message
            else:
                check_site(request)
            if endpoint is None:
                raise ProblemError(404, "There is no WebSocket at this address.")
        except ProblemError as error:
            self._refuse(error)
            return
        self._protocol = protocol
        if rest:
            self.data_received(rest)
        self._task = asyncio.get_running_loop().create_task(
            self._open(endpoint, opening, key), name="websocket opening"
        )
        self._state.tasks.add(self._task)
        self._task.add_done_callback(self._state.tasks.discard)

    async def _open(self, endpoint: Endpoint, opening: Opening, key: str) -> None:
        try:
            async with asyncio.timeout(_OPENING_TIME):
                peer = await endpoint(opening, self)
        except ProblemError as error:
            self._refuse(error)
        except TimeoutError:
            self._refuse(ProblemError(503, "The server is too busy; try again in a minute."))
        except Exception as error:
            # What follows the first word of a path may be a stream key.
            _log.error("websocket endpoint failed", path=f"/{opening.path.split('/')[1]}", exc_info=error)
            self._refuse(ProblemError(500, "The server made an error; it is in its log."))
        else:
            self._task = None
            self._accept(peer, key, opening)

    def _accept(self, peer: Peer, key: str, opening: Opening) -> None:
        self._peer = peer
        if self._phase is not _Phase.OPENING:
            self._say_gone()
            return
        self._phase = _OPEN
        written, self._written = self._written or (), None
        self._transport.writelines((acceptance(key, opening.answer), *written))
        if self._closing is not None:
            self.close(*self._closing)
        self._go_on()

    def _refuse(self, error: ProblemError) -> None:
        self._task = None
        if self._phase is _Phase.OPENING:
            self._phase = _Phase.CLOSING
            self._transport.write(refusal(error))
            self._finish()

    # -- what rooms use

    @property
    def waiting(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    @property
    def closed_with(self) -> int | None:
        """The code with which the peer closed; None while it has not, or when the connection broke."""
        protocol = self._protocol
        return None if protocol is None or protocol.close_rcvd is None else protocol.close_rcvd.code

    def write(self, frames: bytes) -> None:
        """Send whole frames that are encoded already. Never blocks; does nothing once closing."""
        if self._phase is _OPEN:
            self._transport.write(frames)
        elif self._phase is _Phase.OPENING:
            if self._written is None:
                self._written = []
            self._written.append(frames)

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after what waits, then end; a peer that does not read is cut off after a few seconds."""
        if self._phase is _Phase.OPENING:
            self._closing = (code, reason)
        elif self._phase is _OPEN:
            assert self._protocol is not None
            self._phase = _Phase.CLOSING
            self._closing = (code, reason)
            if self._protocol.state is OPEN:
                self._protocol.send_close(code, reason.encode()[:_MAX_REASON].decode(errors="ignore"))
            self._flush(self._protocol)
            self._end_within(_CLOSING_TIME)

    # -- what uvicorn calls

    def shutdown(self) -> None:
        """The server stops."""
        if self._task is not None:
            self._task.cancel()
        self._refuse(ProblemError(503, "The server stops; try again in a minute."))
        self.close(GOING_AWAY, "the server stops")
        self._end_within(_STOPPING_TIME)

    # -- what the transport calls

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._phase = _Phase.GONE
        for pending in (self._timer, self._next, self._task):
            if pending is not None:
                pending.cancel()
        self._state.connections.discard(self)
        self._shared.leave(self._network)
        self._say_gone()
        if self._protocol is not None:
            # The parser is a generator that refers to its owner: without it, the two go at once.
            del self._protocol.parser
        self._protocol = self._ahead = self._message = None

    def eof_received(self) -> None:
        """The peer sends nothing more. It gets what waits for it, if it takes that soon."""
        self._phase = max(self._phase, _Phase.CLOSING)
        self._say_gone()
        self._end_within(_CLOSING_TIME)

    def pause_writing(self) -> None:
        """Who does not read must not ask for more."""
        self._stop_reading(_UNREAD)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._read_again(_UNREAD)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._phase is not _Phase.OPENING and self._ahead is None and self._next is None and len(data) <= _SLICE:
            self._parse(data)
            self._pace()
            return
        if self._ahead is None:
            self._ahead = bytearray()
        self._ahead += data
        if self._phase is _Phase.OPENING:
            if len(self._ahead) > _MAX_AHEAD:
                self._stop_reading(_AHEAD)
        elif self._next is None:
            self._go_on()

    # -- reading

    def _go_on(self) -> None:
        """Parse a slice of what was read ahead; the next follows in another turn of the event loop."""
        self._next = None
        if self._ahead is not None:
            piece = bytes(self._ahead[:_SLICE])
            del self._ahead[:_SLICE]
            if not self._ahead:
                self._ahead = None
            self._parse(piece)
        self._pace()

    def _pace(self) -> None:
        """Read on, or wait for the next slice's turn."""
        if self._phase is _Phase.GONE:
            return
        late = self._due - self._shared.clock.now() - _BURST
        if self._ahead is not None or late > 0:
            self._stop_reading(_AHEAD)
            self._next = self._shared.clock.call_later(max(late, 0.0), self._go_on)
        elif self._stopped:
            self._read_again(_AHEAD)

    def _parse(self, data: bytes) -> None:
        protocol = self._protocol
        if protocol is None:  # refused, or gone
            return
        protocol.receive_data(data)
        frames = protocol.events_received()
        self._due = max(self._due, self._shared.clock.now()) + len(frames) / _FRAMES_PER_SECOND
        for frame in frames:
            if self._phase is _OPEN:
                self._receive(cast("Frame", frame), protocol)
        if self._phase is not _Phase.GONE:
            self._flush(protocol)

    def _receive(self, frame: Frame, protocol: ServerProtocol) -> None:
        if frame.opcode is TEXT and frame.fin:
            self._deliver(frame.data, protocol)
        elif frame.opcode is TEXT:
            self._message = bytearray(frame.data)
        elif frame.opcode is CONT and self._message is not None:
            self._message += frame.data
            if frame.fin:
                message, self._message = self._message, None
                self._deliver(message, protocol)
        elif frame.opcode is BINARY:
            self._fail(protocol, UNSUPPORTED_DATA, "only text is understood here")

    def _deliver(self, data: bytes | bytearray | memoryview, protocol: ServerProtocol) -> None:
        assert self._peer is not None
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            self._fail(protocol, _INVALID_DATA, "the text is not UTF-8")
            return
        try:
            self._peer.text(text)
        except Exception as error:
            _log.error("websocket message failed", exc_info=error)
            self._fail(protocol, _INTERNAL_ERROR, "the server made an error; it is in its log")

    def _fail(self, protocol: ServerProtocol, code: int, reason: str) -> None:
        """End without a closing handshake (§7.1.7); what else arrived already is not looked at."""
        if protocol.state is OPEN:
            protocol.fail(code, reason)
        self._over()

    # -- ending

    def _flush(self, protocol: ServerProtocol) -> None:
        """Write what the protocol answers, and follow it into the closing handshake."""
        for data in protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:  # the mark for the end
                self._finish()
        if protocol.state is not OPEN and self._phase is _OPEN:
            self._over()

    def _over(self) -> None:
        """The peer is done, or made itself impossible: nobody above hears of it again."""
        self._phase = _Phase.CLOSING
        self._end_within(_CLOSING_TIME)
        self._say_gone()

    def _finish(self) -> None:
        """Half-close, and wait for the peer to do the same: a full close could take the last words from it (RST)."""
        if not self._transport.is_closing():
            self._transport.write_eof()
        self._end_within(_CLOSING_TIME)

    def _end_within(self, seconds: float) -> None:
        if self._phase is not _Phase.GONE:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._shared.clock.call_later(seconds, self._cut_off)

    def _cut_off(self) -> None:
        if self._closing is not None and self.waiting:
            self._shared.cut_offs.note(self._closing[1], self._shared.clock.now())
        self._transport.abort()

    def _say_gone(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            try:
                peer.gone()
            except Exception as error:
                _log.error("websocket peer failed at its end", exc_info=error)

    def _stop_reading(self, reason: int) -> None:
        if not self._stopped and not self._transport.is_closing():
            self._transport.pause_reading()
        self._stopped |= reason

    def _read_again(self, reason: int) -> None:
        before, self._stopped = self._stopped, self._stopped & ~reason
        if before and not self._stopped and not self._transport.is_closing():
            self._transport.resume_reading()


def write_each(connections: Sequence[Connection], frames: bytes) -> None:
    """A `core.websocket.WriteEach`.

    What goes to a plain socket for which nothing waits needs no transport: the kernel takes it at once. The rest of
    what it does not take, and everything for the others, goes the ordinary way.
    """
    if send_each is None:
        for connection in connections:
            connection.write(frames)
        return
    fds: list[int] = []
    direct: list[WebSocket] = []
    for connection in connections:
        if (
            isinstance(connection, WebSocket)
            and connection._phase is _OPEN
            and connection._fd >= 0
            # A transport that closes may have given its descriptor back, and somebody else may have it.
            and not connection._transport.is_closing()
            and not connection._transport.get_write_buffer_size()
        ):
            fds.append(connection._fd)
            direct.append(connection)
        else:
            connection.write(frames)
    for place, taken in send_each(fds, frames):
        direct[place].write(frames[taken:])
