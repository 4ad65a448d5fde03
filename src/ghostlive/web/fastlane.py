"""The fast lane: media that is ready leaves from the protocol itself, without a task, a scope or an ASGI call.

Viewers of LL-HLS ask several times a second for a few hundred bytes that are the same for all of them. A plain `GET`
for a resource that is ready, on a connection that is idle, is answered where it is read; everything else (conditions,
ranges, waiting requests, other paths, requests that come in pieces) goes the ordinary way through uvicorn. What the
fast lane answers is what `web.media` would have answered, byte for byte but for the order of headers; a test holds
the two together.

Measured against the ASGI path in `bench/llhls_delivery`.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ghostlive.access.browser import cookie_in, viewer_key
from ghostlive.access.limits import network_of
from ghostlive.packager.resource import Resource
from ghostlive.web.clientaddress import ClientAddress, plain_address
from ghostlive.web.media import SEEN_EVERY, Seen, gzip_accepted, response_head
from ghostlive.web.upgrade import Upgrade
from ghostlive.web.websocket import Route, Sockets, WebSocket

_log = structlog.get_logger("http")

_MAX_HEAD: Final = 32 * 1024
"""Bytes of a request's target and headers."""
_MAX_KEPT_FIELDS: Final = 2048
_PREFIX: Final = b"GET /app/"
_MIN_SLASHES: Final = 4
"""`/app/{stream}/{session}/…`: what has fewer is where viewers come in, and that is for the Authorizer."""
_MOST_SEEN: Final = 16
"""Tracks that a connection remembers to have told of."""
_UPLOADS: Final = b"/_matrix/media/"
_UPLOAD_FACTOR: Final = 30
"""How much longer than other requests a picture may take that somebody uploads with a Matrix client."""
_SLOW_HEADERS: Final = (b"\r\nrange:", b"\r\nif-", b"\r\nconnection: close", b"\r\ncontent-length:", b"\r\ntransfer-")


class ConnectionLimits:
    """Counts connections, in all and for each address, and says how long a request may take to arrive."""

    def __init__(self, *, total: int, per_address: int, request_timeout: float) -> None:
        """`per_address` 0 means no limit; `request_timeout` is in seconds."""
        self.total = total
        self.per_address = per_address
        self.request_timeout = request_timeout
        self._open: Counter[str] = Counter()
        self._warned = 0.0

    def enter(self, network: str, now: float, *, proxy: bool = False) -> str:
        """Count a connection in; a non-empty answer says why it must not stay. It counts until `leave`.

        `network` is what counts as one address; a `proxy` brings many viewers from one.
        """
        self._open[network] += 1
        reason = ""
        if self._open.total() > self.total:
            reason = f"This server has its most connections ({self.total}, http.connections); try again in a minute."
        elif self.per_address and not proxy and self._open[network] > self.per_address:
            reason = f"Your address has its most connections ({self.per_address}, http.connections_per_address)."
        if reason and now - self._warned > 1.0:
            self._warned = now
            _log.warning("connection refused", reason=reason)
        return reason

    def leave(self, network: str) -> None:
        """Count a connection out."""
        self._open[network] -= 1
        if self._open[network] <= 0:
            del self._open[network]


class WatchBans(Protocol):
    """The part of `chat.watching` that is needed here."""

    def any_for(self, stream: str) -> bool:
        """Whether anybody is kept from watching this stream."""

    def refuses(self, stream: str, address: str, cookie: str | None) -> bool:
        """Whether somebody may not watch: by address, and by the cookie of `access.browser`."""


@dataclass(frozen=True, slots=True)
class FastLane:
    """What all connections of a listener share."""

    ready: Callable[[str], Resource | None]
    """The resource at a path (without query) if it can be answered at once."""
    limits: ConnectionLimits
    addresses: ClientAddress
    route: Route
    """The WebSocket endpoints."""
    seen: Seen | None
    """Told who reads which track of which stream."""
    bans: WatchBans | None = None
    """Who may not watch: to them the ordinary way answers."""


def _pairs(fields: bytes) -> list[tuple[bytes, bytes]]:
    """Header fields, with names in lower case."""
    return [
        (name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in fields.split(b"\r\n"))
    ]


def fast_lane_protocol(shared: FastLane) -> type[HttpToolsProtocol]:
    """A uvicorn protocol class that answers from `shared.ready` what it can, and keeps the limits."""
    ready, limits, addresses, seen = shared.ready, shared.limits, shared.addresses, shared.seen
    bans = shared.bans
    sockets = Sockets(shared.route, addresses, limits.leave)

    class FastLaneProtocol(HttpToolsProtocol):
        """One HTTP/1.1 connection."""

        __slots__ = (
            "_address", "_chunk", "_gzip", "_head_size", "_in_message", "_last_fields", "_last_request", "_network",
            "_request_timer", "_seen_again", "_viewer", "_who",
        )  # fmt: skip

        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(config, server_state, app_state, _loop)
            self._in_message = False
            self._head_size = 0
            self._request_timer: asyncio.TimerHandle | None = None
            self._last_request = 0.0
            self._address = ""
            self._network = ""
            self._last_fields = b""
            self._gzip = False
            self._chunk = b""
            self._viewer = ""
            self._who: tuple[str, str | None] | None = None
            self._seen_again: dict[bytes, float] = {}

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.client is not None:
                self._address = plain_address(self.client[0])
                self.client = (self._address, self.client[1])
                self._network = network_of(self._address)
            self._last_request = self.loop.time()
            reason = limits.enter(self._network, self._last_request, proxy=addresses.trusts(self._address))
            if reason:
                body = reason.encode()
                transport.write(
                    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n"
                    b"retry-after: 60\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
                )
                transport.close()
                return
            self._request_timer = self.loop.call_later(limits.request_timeout, self._request_late)

        def connection_lost(self, exc: Exception | None) -> None:
            limits.leave(self._network)
            if self._request_timer is not None:
                self._request_timer.cancel()
            self._unset_keepalive_if_required()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if data.startswith(_PREFIX) and not self._in_message:
                cycle: Any = self.cycle  # None before the first
                if (cycle is None or cycle.response_complete) and self._answer(data):
                    return
            self._chunk = data
            super().data_received(data)
            self._chunk = b""

        def _answer(self, data: bytes) -> bool:
            """Answer a whole, plain request for a ready resource; False leaves it to the ordinary way."""
            line_end = data.find(b"\r\n")
            if data[line_end - 9 : line_end] != b" HTTP/1.1" or data.find(b"\r\n\r\n") != len(data) - 4:
                return False
            path = data[4 : line_end - 9]
            if path.count(b"/") < _MIN_SLASHES or self.flow.write_paused:
                return False
            resource = ready(path.decode("latin-1"))
            if resource is None:
                return False
            if not self._read_fields(data[line_end:]):
                return False
            if bans is not None and bans.any_for(stream := path.split(b"/", 3)[2].decode("latin-1")):
                if self._who is None:
                    self._who = self._person(data[line_end:])
                if bans.refuses(stream, *self._who):
                    return False
            head, body = response_head(resource, gzip=self._gzip)
            if body is None:
                return False
            date = self.server_state.default_headers
            tail = b"date: %b\r\n\r\n" % date[0][1] if date else b"\r\n"
            self.transport.writelines((head + tail, *body))
            self._last_request = now = self.loop.time()
            folder = path[: path.rfind(b"/")]
            if now >= self._seen_again.get(folder, 0.0):
                self._note(folder, now)
            if self._request_timer is not None:
                self._request_timer.cancel()
                self._request_timer = None
            if self.timeout_keep_alive_task is None:
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
            self.server_state.total_requests += 1
            return True

        def _read_fields(self, fields: bytes) -> bool:
            """Look at the header fields; False for the ordinary way. Clients repeat theirs, so the last are kept."""
            if fields == self._last_fields:
                return True
            lower = fields.lower()
            for name in _SLOW_HEADERS:
                if name in lower:
                    return False
            self._gzip = gzip_accepted(lower)
            self._who = None
            if seen is not None:
                self._viewer = self._viewer_of(fields)
                self._seen_again.clear()
            self._last_fields = fields if len(fields) <= _MAX_KEPT_FIELDS else b""
            return True

        def _note(self, folder: bytes, now: float) -> None:
            """Say who reads this track; not again for a while as long as the connection's viewer stays the same."""
            if len(self._seen_again) >= _MOST_SEEN:
                self._seen_again.clear()
            self._seen_again[folder] = now + SEEN_EVERY
            if seen is not None:
                _, _, stream, _, *track = folder.decode("latin-1").split("/")
                seen(stream, self._viewer, track[0] if track else "")

        def _person(self, fields: bytes) -> tuple[str, str | None]:
            """The address and the browser's cookie that a request brings."""
            pairs = _pairs(fields)
            cookies = b"; ".join(value for name, value in pairs if name == b"cookie")
            return addresses.resolve(self._address, pairs).address, cookie_in(cookies.decode("latin-1"))

        def _viewer_of(self, fields: bytes) -> str:
            pairs = _pairs(fields)
            agent = next((value for name, value in pairs if name == b"user-agent"), b"")
            return viewer_key(addresses.resolve(self._address, pairs).address, agent)

        def timeout_keep_alive_handler(self) -> None:
            """Close an idle connection. The fast lane only notes its time, which is cheaper than a timer each time."""
            idle = self.loop.time() - self._last_request
            if not self.transport.is_closing() and idle < self.timeout_keep_alive:
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive - idle, self.timeout_keep_alive_handler
                )
                return
            super().timeout_keep_alive_handler()

        def on_message_begin(self) -> None:
            self._in_message = True
            self._head_size = 0
            if self._request_timer is None:
                self._request_timer = self.loop.call_later(limits.request_timeout, self._request_late)
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self._grow_head(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._grow_head(len(name) + len(value) + 4)
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            if self.url.startswith(_UPLOADS) and self._request_timer is not None:
                self._request_timer.cancel()
                patience = limits.request_timeout * _UPLOAD_FACTOR
                self._request_timer = self.loop.call_later(patience, self._request_late)
            if addresses.in_use and self.client is not None:
                client = addresses.resolve(self._address, self.headers, self.scheme or "http")
                self.scope["client"] = (client.address, self.client[1])
                self.scope["scheme"] = client.scheme
            super().on_headers_complete()

        def handle_websocket_upgrade(self) -> None:
            """Hand the connection over; uvicorn's own way forgets what arrived behind the request."""
            error = sys.exception()
            rest = self._chunk[error.args[0] :] if error is not None else b""
            if self._request_timer is not None:
                self._request_timer.cancel()
            cycle: Any = self.cycle
            if self.transport.is_closing() or (cycle is not None and not cycle.response_complete):
                self.transport.close()  # an answer is on its way, and nothing may come in between
                return
            self.connections.discard(self)
            request = Upgrade(self.scope["method"], self.scope["http_version"], self.url, self.headers, self._address)
            WebSocket(sockets, self.server_state, self.transport, self._network).begin(request, rest)

        def on_message_complete(self) -> None:
            self._in_message = False
            self._last_request = self.loop.time()
            if self._request_timer is not None:
                self._request_timer.cancel()
                self._request_timer = None
            super().on_message_complete()

        def _grow_head(self, size: int) -> None:
            self._head_size += size
            if self._head_size > _MAX_HEAD and not self.transport.is_closing():
                self._refuse(b"431 Request Header Fields Too Large", b"The request's headers are too large.")

        def _request_late(self) -> None:
            self._request_timer = None
            if not self.transport.is_closing():
                self._refuse(b"408 Request Timeout", b"The request did not arrive in time.")

        def _refuse(self, status: bytes, text: bytes) -> None:
            self.transport.write(
                b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%b" % (status, len(text), text)
            )
            self.transport.close()

    return FastLaneProtocol
