"""The composition root: builds every part from the configuration, starts them in order, stops them in reverse.

Parts take what they need as constructor arguments; nothing reaches for this module.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from ghostlive.access.authorizer import Authorizer
from ghostlive.access.browser import viewer_key
from ghostlive.access.secret import load_secret
from ghostlive.access.sessions import Sessions
from ghostlive.access.setup import make_setup_link
from ghostlive.app.config import Config
from ghostlive.app.matrix import Matrix, MatrixParts
from ghostlive.app.metrics import Metrics
from ghostlive.app.ports import describe_port_owner
from ghostlive.app.webrtc import WebRtc, carries
from ghostlive.chat.gateway.gateway import Gateway
from ghostlive.chat.matrix.codes import MatrixSignIn
from ghostlive.chat.matrix.mediastore import MediaStore
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.chat.moderation.moderation import Moderation
from ghostlive.chat.service import ChatService
from ghostlive.core.clock import SystemClock
from ghostlive.core.errors import ConfigurationError
from ghostlive.core.tasks import TaskScope
from ghostlive.db.chat import ChatRepository
from ghostlive.db.engine import Database
from ghostlive.db.matrix import MatrixRepository
from ghostlive.db.moderation import ModerationRepository
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import UserRepository
from ghostlive.hub.hub import Hub
from ghostlive.packager.service import Packager
from ghostlive.protocols.rtmp.server import RtmpServer
from ghostlive.protocols.webrtc.off import NoWebRtc
from ghostlive.transcode.ladders import StreamLadders
from ghostlive.transcode.pool import TranscodePool
from ghostlive.transcode.probe import WorkingEncoders
from ghostlive.transcode.thumbnails import Thumbnails
from ghostlive.web.application import WebApplication
from ghostlive.web.audience import Audience
from ghostlive.web.chatmedia import ChatMedia
from ghostlive.web.chatroute import chat_route
from ghostlive.web.directory import StreamDirectory
from ghostlive.web.feedsocket import FeedSockets
from ghostlive.web.guard import Guard
from ghostlive.web.livefeed import LiveFeed
from ghostlive.web.media import MediaApp
from ghostlive.web.metrics import MetricsApp
from ghostlive.web.omeroute import ome_route
from ghostlive.web.parts import IngestAddresses, RestParts, TranscodeParts
from ghostlive.web.server import HttpServer
from ghostlive.web.watcher import RecordWatcher
from ghostlive.web.websocket import any_of, write_each

_log = structlog.get_logger("app")

_PROBE_AFTER = 1.0
"""Seconds from the start to the search for encoders, which software stands in for until then."""


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
        config, clock = self.config, self.clock
        database = Database(config.database, self.data)
        await database.start()
        self._stack.push_async_callback(database.stop)
        self.records = StreamRepository(database)
        authorizer = Authorizer(self.records, clock)
        secret = await load_secret(self.data)
        users = UserRepository(database)
        sessions = Sessions(database, clock, secret=secret)
        self.setup = await make_setup_link(users, sessions.passwords, clock)
        """The right to make the first account; None when there is one."""

        ladders = StreamLadders(self.records, self.hub)
        await ladders.load()
        encoders = WorkingEncoders(config.transcode.encoders)
        # Before anything publishes: what is live already gets no renditions.
        self.transcode = TranscodePool(
            self.hub,
            config.transcode,
            clock=clock,
            encoders=encoders,
            settings_of=ladders.settings_of,
        )
        await self.transcode.start()
        self._stack.push_async_callback(self.transcode.stop)
        self.hub.deriver = self.transcode
        packager = Packager(self.hub, config.packager, self.data, clock)
        await packager.start()
        self._stack.push_async_callback(packager.stop)

        audience = Audience(clock, self.hub.emit)
        self._stack.callback(audience.close)
        thumbnails = Thumbnails(self.hub, config.transcode, clock=clock)
        self._stack.push_async_callback(thumbnails.stop)
        directory = StreamDirectory(
            self.records,
            self.hub,
            audience,
            chat=config.chat.enabled,
            thumbnails=thumbnails.enabled,
            webrtc=carries if config.webrtc.enabled else None,
        )
        feed = LiveFeed(directory=directory, hub=self.hub, clock=clock, max_listeners=config.http.event_listeners)
        chat = ChatService(
            repository=ChatRepository(database),
            users=users,
            hub=self.hub,
            clock=clock,
            config=config.chat,
            secret=secret,
        )
        stored = ModerationRepository(database)
        chat.moderation = moderation = Moderation(
            chat, chat=ChatRepository(database), stored=stored, users=users, clock=clock
        )
        sign_in = MatrixSignIn(repository=MatrixRepository(database), clock=clock, now=chat.now, secret=secret)
        chat.banning.links = sign_in.links
        chat.check_text = sign_in.check_text
        watching = chat.banning.watching
        authorizer.banned = watching.refuses
        gateway = Gateway(
            service=chat,
            identify=sessions.identify,
            authorize=authorizer.decide,
            config=config.chat,
            clock=clock,
            write_each=write_each,
        )

        def seen(stream: str, viewer: str, track: str) -> None:
            audience.seen(stream, viewer, track)
            gateway.attendance.seen(stream, viewer)

        pages = FeedSockets(
            feed=feed, audience=audience, scope=await self._stack.enter_async_context(TaskScope("events"))
        )
        self.webrtc: WebRtc | None = None
        if config.webrtc.enabled:
            webrtc = self.webrtc = WebRtc(
                config.webrtc,
                hub=self.hub,
                authorize=authorizer.decide,
                clock=clock,
                watched=lambda stream, address, agent, track: seen(
                    stream, viewer_key(address, agent.encode("latin-1", "replace")), track
                ),
            )
            await self._listen(webrtc.start, ("webrtc.port", config.webrtc.port))
            self._stack.push_async_callback(webrtc.stop)
            watching.changed.append(lambda _stream: webrtc.put_out(watching.refuses))
        self.matrix = Matrix(
            config,
            data=self.data,
            clock=clock,
            parts=MatrixParts(chat, database, self.records, users, self.hub, authorizer.decide, sign_in),
        )
        pictures = MediaStore(repository=ChatRepository(database), folder=self.data / "chat-media", clock=clock)
        self.matrix.media = pictures
        signalling = [NoWebRtc()] if self.webrtc is None else [self.webrtc.whip, self.webrtc.whep]
        metrics = Metrics(hub=self.hub, audience=audience, chat=chat, gateway=gateway, matrix=self.matrix)
        web = WebApplication(
            signalling=signalling,
            beside=[self.matrix, ChatMedia(pictures), MetricsApp(metrics.read, config.http)],
            media=MediaApp(
                packager=packager,
                decide=authorizer.decide,
                thumbnails=thumbnails,
                seen=seen,
                banned=watching.refuses,
            ),
            parts=RestParts(
                config=config.http,
                hub=self.hub,
                records=self.records,
                directory=directory,
                audience=audience,
                feed=feed,
                sessions=sessions,
                guard=Guard(sessions, authorizer.decide),
                setup=self.setup,
                addresses=IngestAddresses(config.server.public_host, _ingest_ports(config)),
                desk=ModerationDesk(chat, moderation, stored) if config.chat.enabled else None,
                pictures=pictures if config.chat.enabled else None,
                transcode=TranscodeParts(self.transcode, ladders, config.transcode),
                health=self.health,
                matrix=self.matrix if config.chat.enabled else None,
                sign_in=sign_in if config.chat.enabled else None,
                secret=secret,
            ),
        )
        self.http = HttpServer(
            config=config.http,
            app=web,
            packager=packager,
            route=any_of(
                chat_route(gateway),
                pages.route,
                *([ome_route(self.webrtc.gateway)] if self.webrtc is not None else []),
            ),
            seen=seen,
            bans=watching,
        )
        # Made before HTTP listens: whoever asks for the health from the first moment on asks this one too.
        self.rtmp = RtmpServer(
            config=config.rtmp,
            tls=config.rtmps,
            data=self.data,
            authorize=authorizer.decide,
            hub=self.hub,
            clock=clock,
        )
        await sign_in.start()
        await pictures.start()
        self._stack.push_async_callback(pictures.stop)
        await chat.start()
        self._stack.push_async_callback(chat.stop)
        await self._listen(self.http.start, ("http.port", config.http.port))
        self._stack.push_async_callback(self.http.stop)
        # Stopped before HTTP, so that the homeserver's last words are taken; it begins to end with everything else.
        self._stack.push_async_callback(self.matrix.stop)

        await self._listen(self.rtmp.start, ("rtmp.port", config.rtmp.port), ("rtmps.port", config.rtmps.port))
        self._stack.push_async_callback(self.rtmp.stop)
        self._stack.push_async_callback(gateway.stop)

        scope = await self._stack.enter_async_context(TaskScope("app"))
        scope.spawn(feed.run(), name="live feed")
        watcher = RecordWatcher(self.records, self.hub, ladders)
        scope.spawn(watcher.run(), name="record watcher")
        self._stack.push_async_callback(watcher.stop)
        scope.spawn(web.prepare(), name="pages")
        if config.transcode.enabled:
            scope.spawn(self._find_encoders(encoders), name="encoders")
        self.matrix.start(self.http.port)
        self._stack.callback(self.matrix.begin_stop)
        # Streams end first, so that viewers and publishers are told before their connections close.
        self._stack.callback(self.hub.close)

    async def stop(self) -> None:
        """End streams, tell peers, close listeners, flush what is on its way to disk."""
        await self._stack.aclose()

    async def _find_encoders(self, encoders: WorkingEncoders) -> None:
        """Try them once everything serves; what is live by then gets what they make possible."""
        await asyncio.sleep(_PROBE_AFTER)
        if await encoders.find():
            for live in self.hub.streams():
                live.reoffer()

    def health(self) -> Mapping[str, bool]:
        """Which listeners are up, by name."""
        listeners = {"http": self.http.listening}
        if self.config.rtmp.enabled or self.config.rtmps.enabled:
            listeners["rtmp"] = self.rtmp.listening
        if self.webrtc is not None:
            listeners["webrtc"] = self.webrtc.server.listening
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


def _ingest_ports(config: Config) -> tuple[tuple[str, int], ...]:
    ways = (("rtmp", config.rtmp.enabled, config.rtmp.port), ("rtmps", config.rtmps.enabled, config.rtmps.port))
    return tuple((protocol, port) for protocol, enabled, port in ways if enabled)
