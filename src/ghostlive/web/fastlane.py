"""The fast lane: media that is ready leaves from the protocol itself, without a task, a scope or an ASGI call.

Viewers of LL-HLS ask several times a second for a few hundred bytes that are the same for all of them. A plain `GET`
for a resource that is ready, on a connection that is idle, is answered where it is read; everything else (conditions,
ranges, waiting requests, other paths, requests that come in pieces) goes the ordinary way through uvicorn. What the
fast lane answers is what `web.media` would have answered, byte for byte but for the order of headers; a test holds
the two together.

Measured against the ASGI path in `bench/llhls_delivery`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ghostlive.packager.resource import Resource
from ghostlive.web.media import gzip_accepted, response_head

_log = structlog.get_logger("http")

_MAX_HEAD: Final = 32 * 1024
"""Bytes of a request's target and headers."""
_MAX_KEPT_FIELDS: Final = 2048
_PREFIX: Final = b"GET /app/"
_MIN_SLASHES: Final = 4
"""`/app/{stream}/{session}/…`: what has fewer is where viewers come in, and that is for the Authorizer."""
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

    def enter(self, address: str, now: float) -> str:
        """Count a connection in; a non-empty answer says why it must not stay. It counts until `leave`."""
        self._open[address] += 1
        reason = ""
        if self._open.total() > self.total:
            reason = f"This server has its most connections ({self.total}, http.connections); try again in a minute."
        elif self.per_address and self._open[address] > self.per_address:
            reason = f"Your address has its most connections ({self.per_address}, http.connections_per_address)."
        if reason and now - self._warned > 1.0:
            self._warned = now
            _log.warning("connection refused", reason=reason)
        return reason

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]


def fast_lane_protocol(ready: Callable[[str], Resource | None], limits: ConnectionLimits) -> type[HttpToolsProtocol]:
    """A uvicorn protocol class that answers from `ready` (path without query → resource) and keeps `limits`."""

    class FastLaneProtocol(HttpToolsProtocol):
        """One HTTP/1.1 connection."""

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
            self._last_fields = b""
            self._gzip = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._address = self.client[0] if self.client else ""
            self._last_request = self.loop.time()
            reason = limits.enter(self._address, self._last_request)
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
            limits.leave(self._address)
            if self._request_timer is not None:
                self._request_timer.cancel()
            self._unset_keepalive_if_required()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if data.startswith(_PREFIX) and not self._in_message:
                cycle: Any = self.cycle  # None before the first
                if (cycle is None or cycle.response_complete) and self._answer(data):
                    return
            super().data_received(data)

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
            head, body = response_head(resource, gzip=self._gzip)
            if body is None:
                return False
            date = self.server_state.default_headers
            tail = b"date: %b\r\n\r\n" % date[0][1] if date else b"\r\n"
            self.transport.writelines((head + tail, *body))
            self._last_request = self.loop.time()
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
            self._last_fields = fields if len(fields) <= _MAX_KEPT_FIELDS else b""
            return True

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
