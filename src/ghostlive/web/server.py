"""The HTTP listener: uvicorn with our fast lane, our limits, and a stop that is ours to call."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from ghostlive.packager.service import Packager
from ghostlive.web.clientaddress import ClientAddress
from ghostlive.web.config import HttpConfig
from ghostlive.web.fastlane import ConnectionLimits, FastLane, WatchBans, fast_lane_protocol
from ghostlive.web.media import Seen
from ghostlive.web.websocket import Route, WebSocket

_log = structlog.get_logger("http")

_BACKLOG = 2048
_OTHER_FILES = 500
"""Open files that are no viewers' connections: encoders, segments, the database."""


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: the composition root decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _no_endpoint(_path: str) -> None:
    return None


class HttpServer:
    """Serves the application until `stop`."""

    def __init__(
        self,
        *,
        config: HttpConfig,
        app: ASGIApp,
        packager: Packager,
        route: Route = _no_endpoint,
        seen: Seen | None = None,
        bans: WatchBans | None = None,
    ) -> None:
        """Nothing is bound yet. `route` knows the WebSockets; `seen` is told who watches which
        stream, `bans` says who may not.

        Raises `ConfigurationError` when `http.trusted_proxies` names something that is no network.
        """
        self._config = config
        self._app = app
        self._packager = packager
        self._route = route
        self._seen = seen
        self._bans = bans
        self._addresses = ClientAddress(config.trusted_proxies)
        self._server: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = config.port
        """The bound port; differs from the configured one when that is 0."""

    @property
    def listening(self) -> bool:
        """Whether connections are accepted."""
        return self._server is not None and self._server.started and not self._server.should_exit

    async def start(self) -> None:
        """Bind and serve. Raises OSError when the address cannot be bound."""
        listener = _bind(self._config.host, self._config.port, self._config.stall_timeout)
        self.port = listener.getsockname()[1]
        _allow_files(self._config.connections + _OTHER_FILES)
        limits = ConnectionLimits(
            total=self._config.connections,
            per_address=self._config.connections_per_address,
            request_timeout=self._config.request_timeout,
        )
        protocol: type[Any] = fast_lane_protocol(
            FastLane(self._packager.ready, limits, self._addresses, self._route, self._seen, self._bans)
        )
        self._server = _Uvicorn(
            uvicorn.Config(
                self._app,
                http=protocol,
                ws=WebSocket,  # made by the fast lane, which knows what belongs to it
                interface="asgi3",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=round(self._config.keep_alive),
                timeout_graceful_shutdown=2,
                backlog=_BACKLOG,
                proxy_headers=False,
            )
        )
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the HTTP server ended while starting")
            await asyncio.sleep(0.005)
        _log.info("listening", address=f"http://{self._config.host}:{self.port}")

    async def stop(self) -> None:
        """Stop accepting, let running answers finish for a moment, then close."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            _log.error("HTTP server failed", exc_info=error)


def _allow_files(wanted: int) -> None:
    """Each connection is an open file, of which a process may have 1,024 by custom, and more for the asking."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft not in (resource.RLIM_INFINITY, most) and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        _log.warning(
            "fewer open files are allowed than http.connections needs; raise the limit (LimitNOFILE= in systemd)",
            allowed=most,
            needed=wanted,
        )


def _bind(host: str, port: int, stall_timeout: float) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Accepted sockets inherit it: the kernel then drops a peer that acknowledges nothing or keeps its window
            # shut, which no user-space timer on a full send buffer would notice.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(stall_timeout * 1000))
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
