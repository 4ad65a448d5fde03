"""The composition root: builds every part from the configuration, starts them in order, stops them in reverse.

Parts take what they need as constructor arguments; nothing reaches for this module.
"""

import errno
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from ghostlive.access.authorizer import Authorizer
from ghostlive.app.config import Config
from ghostlive.app.ports import describe_port_owner
from ghostlive.core.clock import SystemClock
from ghostlive.core.errors import ConfigurationError
from ghostlive.core.tasks import TaskScope
from ghostlive.db.engine import Database
from ghostlive.db.streams import StreamRepository
from ghostlive.hub.hub import Hub
from ghostlive.packager.service import Packager
from ghostlive.protocols.rtmp.server import RtmpServer
from ghostlive.web.application import WebApplication
from ghostlive.web.directory import StreamDirectory
from ghostlive.web.media import MediaApp
from ghostlive.web.server import HttpServer
from ghostlive.web.watcher import RecordWatcher

_log = structlog.get_logger("app")


class Application:
    """A running Ghost Live."""

    def __init__(self, config: Config, data: Path) -> None:
        """`data` is the one directory with all state; it is made when missing."""
        self.config = config
        self.data = data
        self.clock = SystemClock()
        self.hub = Hub(config.hub, self.clock)
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Start every part. On failure what was started is stopped again and the error raised."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        config = self.config
        database = Database(config.database, self.data)
        await database.start()
        self._stack.push_async_callback(database.stop)
        self.records = StreamRepository(database)
        authorizer = Authorizer(self.records, self.clock)

        packager = Packager(self.hub, config.packager, self.data, self.clock)
        await packager.start()
        self._stack.push_async_callback(packager.stop)

        directory = StreamDirectory(self.records, self.hub)
        web = WebApplication(
            config=config.http,
            hub=self.hub,
            directory=directory,
            media=MediaApp(packager=packager, decide=authorizer.decide),
            health=self.health,
        )
        self.http = HttpServer(config=config.http, app=web, packager=packager)
        # Made before HTTP listens: whoever asks for the health from the first moment on asks this one too.
        self.rtmp = RtmpServer(
            config=config.rtmp,
            tls=config.rtmps,
            data=self.data,
            authorize=authorizer.decide,
            hub=self.hub,
            clock=self.clock,
        )
        await self._listen(self.http.start, ("http.port", config.http.port))
        self._stack.push_async_callback(self.http.stop)

        await self._listen(self.rtmp.start, ("rtmp.port", config.rtmp.port), ("rtmps.port", config.rtmps.port))
        self._stack.push_async_callback(self.rtmp.stop)

        scope = await self._stack.enter_async_context(TaskScope("app"))
        scope.spawn(RecordWatcher(self.records, self.hub).run(), name="record watcher")
        scope.spawn(web.prepare(), name="pages")
        # Streams end first, so that viewers and publishers are told before their connections close.
        self._stack.callback(self.hub.close)

    async def stop(self) -> None:
        """End streams, tell peers, close listeners, flush what is on its way to disk."""
        await self._stack.aclose()

    def health(self) -> Mapping[str, bool]:
        """Which listeners are up, by name."""
        listeners = {"http": self.http.listening}
        if self.config.rtmp.enabled or self.config.rtmps.enabled:
            listeners["rtmp"] = self.rtmp.listening
        return listeners

    async def _listen(self, start: Callable[[], Awaitable[None]], *ports: tuple[str, int]) -> None:
        """Start a listener; an address that cannot be had becomes an error that says what to do."""
        try:
            await start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                busy = [(key, port) for key, port in ports if str(port) in str(error)] or list(ports)
                said = "; ".join(f"port {port} ({key}) is in use by {describe_port_owner(port)}" for key, port in busy)
                raise ConfigurationError(f"{said}. Stop that program, or set another port.") from error
            if error.errno == errno.EACCES:
                raise ConfigurationError(
                    f"this user may not listen on {', '.join(f'port {port} ({key})' for key, port in ports)}; "
                    "ports below 1024 need root or CAP_NET_BIND_SERVICE"
                ) from error
            raise ConfigurationError(f"cannot listen ({ports[0][0]}): {error}") from error
