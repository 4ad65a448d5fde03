"""Chat on Matrix put together: the homeserver that we run (or one of yours), the bridge to it, and what goes by HTTP.

Nothing here delays the server: it is all made in a task, and what is imported for it is imported in a thread, once
pages and pictures are served. While it is away the chat of the pages works, and what is said waits in the outbox.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import structlog
from starlette.types import Receive, Scope, Send

from ghostlive.access.decision import AccessRequest, Decision
from ghostlive.app.config import Config
from ghostlive.app.matrixroles import LinkedRoles
from ghostlive.chat.errors import ChatError
from ghostlive.chat.matrix.codes import MatrixSignIn
from ghostlive.chat.matrix.homeserver.prepare import Managed, Prepared, Surroundings, check, prepare, wanted_name
from ghostlive.chat.matrix.homeserver.process import SynapseProcess
from ghostlive.chat.matrix.homeserver.setback import SetBack
from ghostlive.chat.matrix.homeserver.setback import write as write_set_back
from ghostlive.chat.matrix.homeserver.settings import write_settings
from ghostlive.chat.matrix.homeserver.supervisor import Homeserver, answers_at
from ghostlive.chat.matrix.journal import MatrixJournal
from ghostlive.chat.matrix.mediastore import MediaStore
from ghostlive.chat.moderation.moderation import Moderation
from ghostlive.chat.service import ChatService
from ghostlive.core.clock import Clock
from ghostlive.core.errors import GhostliveError
from ghostlive.core.tasks import TaskScope
from ghostlive.db.chat import ChatRepository
from ghostlive.db.engine import Database
from ghostlive.db.matrix import RoomRecord
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import UserRepository
from ghostlive.hub.hub import Hub
from ghostlive.web.matrixproxy import MatrixProxy, ProxyTarget
from ghostlive.web.metrics import Figure

if TYPE_CHECKING:
    from ghostlive.chat.matrix.bridge import Bridge, ChatMatrixState
    from ghostlive.chat.matrix.client import MatrixClient
    from ghostlive.chat.matrix.incoming import Incoming

_log = structlog.get_logger("matrix")

_AFTER: Final = 0.5
"""Seconds from the start of everything else to that of the homeserver, which costs two seconds of a core."""
_SERVICE: Final = ("/_matrix/app/", "/transactions/")
"""Paths that only the homeserver asks for."""


@dataclass(frozen=True, slots=True)
class MatrixParts:
    """What the bridge works with."""

    service: ChatService
    database: Database
    records: StreamRepository
    users: UserRepository
    hub: Hub
    authorize: Callable[[AccessRequest], Awaitable[Decision]]
    sign_in: MatrixSignIn


class Matrix:
    """Everything of chat on Matrix. `start` returns at once; `begin_stop` and `stop` end it."""

    def __init__(self, config: Config, *, data: Path, clock: Clock, parts: MatrixParts) -> None:
        """Raises `ConfigurationError` for settings that cannot be used."""
        self._config = config
        self._data = data
        self._clock = clock
        self.mode: Literal["managed", "external", "off"] = check(config.matrix) if config.chat.enabled else "off"
        self.proxy = MatrixProxy()
        self.homeserver: Homeserver | None = None
        """Of the managed kind, once it is prepared."""
        self.prepared: Prepared | None = None
        self.bridge: Bridge | None = None
        """Between chats and homeserver; None until it is loaded."""
        self.media: MediaStore | None = None
        """Pictures for pages, which come from the homeserver."""
        self._parts = parts
        self._scope = TaskScope("matrix")
        self._answering = asyncio.Event()
        """Set once the managed homeserver answered for the first time."""
        self._running: asyncio.Task[None] | None = None
        if self.mode != "off":
            # From the first message on, so that what is done before the bridge is loaded gets there too.
            parts.service.journal = MatrixJournal(self._clock)

    def start(self, http_port: int) -> None:
        """Begin, now that HTTP listens on `http_port`."""
        if self.mode != "off":
            self._running = self._scope.spawn(self._run(http_port), name="matrix")

    def begin_stop(self) -> None:
        """End the bridge, and let the homeserver begin to end; returns at once."""
        if self._running is not None:
            self._running.cancel()
        if self.homeserver is not None:
            self.homeserver.terminate()

    async def stop(self) -> None:
        """End what is left. What was not sent yet is sent after the next start."""
        if self.homeserver is not None:
            await self.homeserver.stop()
        await self._scope.close()
        await self.proxy.stop()

    def handles(self, path: str, query: bytes) -> bool:
        """Whether a request is for Matrix (see `web.application`)."""
        return path.startswith(_SERVICE) or self.proxy.handles(path, query)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one."""
        if not scope["path"].startswith(_SERVICE):
            await self.proxy(scope, receive, send)
        elif self.bridge is not None:
            await self.bridge.receiver(scope, receive, send)
        else:
            await _not_yet(send, off=self.mode == "off")

    async def room_state(self, stream: str) -> "ChatMatrixState | None":
        """See `web.parts.MatrixRooms`."""
        return None if self.bridge is None else self._explained(await self.bridge.state(stream))

    async def repair_room(self, stream: str) -> "ChatMatrixState | None":
        """See `web.parts.MatrixRooms`."""
        return None if self.bridge is None else self._explained(await self.bridge.repair(stream))

    def _explained(self, found: "ChatMatrixState") -> "ChatMatrixState":
        """How a room is, with why our homeserver does not run, which the bridge cannot know."""
        from ghostlive.chat.matrix.bridge import Problem  # noqa: PLC0415 - loaded by now

        homeserver = self.homeserver
        if homeserver is None:
            return found
        if homeserver.set_back is not None and (text := homeserver.set_back.text(self._clock.wall_ns() / 1e9)):
            found = replace(found, problems=(*found.problems, Problem("clock_set_back", text)))
        if not homeserver.problem:
            return found
        problem = Problem("homeserver", f"The homeserver does not run: {homeserver.problem}")
        return replace(found, state="away", problems=(problem, *found.problems))

    def _was_set_back(self, found: SetBack) -> None:
        self._scope.spawn(self._keep(found), name="set back")

    async def _keep(self, found: SetBack) -> None:
        """For `doctor`, which is a program of its own."""
        try:
            await asyncio.to_thread(write_set_back, self._data, found)
        except OSError as error:
            _log.warning("that the clock was set back could not be kept", error=str(error))

    def figures(self) -> Iterator[Figure]:
        """For `/metrics`."""
        if self.homeserver is not None:
            up = self.homeserver.state == "running"
            yield Figure("matrix_homeserver_up", "Whether the managed homeserver answers.", int(up))
            starts = self.homeserver.starts
            yield Figure("matrix_homeserver_starts", "Starts of the managed homeserver.", starts, kind="counter")
        if self.bridge is not None:
            found = self.bridge.figures()
            yield Figure("matrix_up", "Whether the homeserver answers us.", int(found.up))
            yield Figure("matrix_rooms", "Rooms that messages go to.", found.rooms)
            yield Figure("matrix_rooms_broken", "Rooms that need somebody.", found.broken)
            yield Figure("matrix_outbox_messages", "Messages that wait for the homeserver.", found.lag_messages)
            yield Figure("matrix_outbox_lag_seconds", "How long the oldest of them waits.", found.lag_seconds)
            for name, help_, value in (
                ("sent", "Events that the homeserver took.", found.sent),
                ("refused", "Events that it refused.", found.refused),
                ("relayed", "Messages that the bot said for a ghost that had not joined yet.", found.relayed),
                ("joins", "Ghosts that joined.", found.joins),
                ("received", "Events that it sent us.", found.received),
            ):
                yield Figure(f"matrix_{name}", help_, value, kind="counter")

    async def _run(self, http_port: int) -> None:
        await asyncio.sleep(_AFTER)
        config = self._config
        around = Surroundings(self._data, config.server.public_host, config.http.host, http_port)
        try:
            prepared = await asyncio.to_thread(prepare, config.matrix, around)
        except (GhostliveError, OSError) as error:
            _log.error("there is no chat on Matrix", reason=str(error))
            return
        assert prepared is not None
        self.prepared = prepared
        _log.info("chat on Matrix", mode=self.mode, server_name=prepared.config.server_name)
        if prepared.managed is not None:
            wanted = wanted_name(config.matrix, config.server.public_host)
            if wanted != prepared.config.server_name:
                _log.warning(
                    "the homeserver keeps the name of its first start; for another one, remove its data",
                    name=prepared.config.server_name,
                    wanted=wanted,
                    data=str(prepared.managed.identity.folder),
                )
            self.homeserver = self._supervise(prepared, prepared.managed)
            self.homeserver.ready = self._answering.set
            self.homeserver.was_set_back = self._was_set_back
            self._scope.spawn(self.homeserver.run(), name="homeserver")
            settings = prepared.config
            await self.proxy.start(
                ProxyTarget(settings.homeserver_url, settings.public_baseurl, federation=settings.federation)
            )
        await self._bridge(prepared, around)

    async def _bridge(self, prepared: Prepared, around: Surroundings) -> None:
        """Load the bridge, and let it run until this task is cancelled."""
        await asyncio.to_thread(_load)
        from ghostlive.chat.matrix.bridge import Bridge  # noqa: PLC0415 - loaded by now
        from ghostlive.chat.matrix.client import MatrixClient  # noqa: PLC0415

        settings, parts = prepared.config, self._parts
        client = MatrixClient(
            url=settings.homeserver_url,
            token=settings.as_token,
            server_name=settings.server_name,
            wall=lambda: self._clock.wall_ns() / 1e9,
        )
        # Widgets and links are for people, who come the public way.
        managed = prepared.managed is not None
        bridge = Bridge(
            client=client,
            config=settings,
            service=parts.service,
            database=parts.database,
            records=parts.records,
            users=parts.users,
            hub=parts.hub,
            clock=self._clock,
            page_url=settings.public_baseurl if managed else around.public_url,
        )
        self._listen(bridge, client)
        if self.media is not None:
            self.media.source = client
        self.bridge = bridge
        try:
            if self.homeserver is not None:
                # Who starts it knows better than who knocks when it is there for the first time.
                await self._answering.wait()
                self.homeserver.ready = bridge.wake
            await bridge.run()
        finally:
            if self.media is not None:
                self.media.source = None
            self.bridge = None
            await bridge.stop()

    def _listen(self, bridge: "Bridge", client: "MatrixClient") -> None:
        """Let what happens in the rooms happen in the chats."""
        from ghostlive.chat.matrix.incoming import Incoming  # noqa: PLC0415 - loaded by now

        parts, chat = self._parts, self._config.chat
        incoming = Incoming(
            service=parts.service,
            repository=ChatRepository(parts.database),
            people=bridge.repository,
            bot=client.bot,
            server_name=client.server_name,
            message_length=chat.message_length,
            name_length=chat.name_length,
        )
        incoming.way, incoming.skew = bridge.way, client.skew
        incoming.people.profile = bridge.profile
        incoming.role = LinkedRoles(links=bridge.repository, users=parts.users, authorize=parts.authorize).role
        incoming.linked = bridge.repository.linked
        if isinstance(parts.service.moderation, Moderation):
            incoming.actions = parts.service.moderation.actions
        parts.service.observe(incoming.observe)
        parts.sign_in.bot = parts.service.banning.bot = client.bot
        parts.sign_in.changed.append(lambda subject: self._linked(bridge, subject))
        incoming.heard = bridge.private.heard = parts.sign_in.heard
        bridge.policies = parts.service.banning.policies
        bridge.incoming = incoming

        def on_room(stream: str, record: RoomRecord) -> None:
            if record.room_id is not None:
                self._scope.spawn(self._open(incoming, bridge, stream, record.room_id), name=f"state {stream}")

        bridge.keeper.listeners.append(on_room)

    async def _open(self, incoming: "Incoming", bridge: "Bridge", stream: str, room_id: str) -> None:
        """Read what counts of a room's state, as soon as the homeserver is there for it."""
        from ghostlive.chat.matrix.errors import MatrixError  # noqa: PLC0415 - loaded by now
        from ghostlive.chat.matrix.pace import Backoff, pause  # noqa: PLC0415

        backoff = Backoff()
        while self.bridge is bridge:
            await bridge.line.up()
            try:
                await incoming.open(stream, room_id, bridge.client)
            except ChatError as error:
                if isinstance(error, MatrixError) and not error.retry:  # the keeper looks after it
                    _log.warning("the state of a room could not be read", stream=stream, error=str(error))
                    return
                await pause(self._clock, backoff.failed(getattr(error, "retry_after", None)))
            else:
                return

    def _linked(self, bridge: "Bridge", subject: str) -> None:
        """Whose account it is may moderate rooms from now on, or not any more."""
        if self.bridge is bridge and subject.startswith("u_"):
            self._scope.spawn(_touch(bridge, self._parts.records), name="moderators")

    def _supervise(self, prepared: Prepared, managed: Managed) -> Homeserver:
        async def launch() -> SynapseProcess:
            file = await asyncio.to_thread(
                write_settings, managed.identity, prepared.config, managed.place, prepared.config.as_url
            )
            return await SynapseProcess.start(file, self._clock)

        return Homeserver(
            launch=launch,
            answers=lambda: answers_at(managed.place.host, managed.place.port),
            clock=self._clock,
        )


async def _touch(bridge: "Bridge", records: StreamRepository) -> None:
    for record in await records.list():
        bridge.keeper.touch(record.name)


def _load() -> None:
    """Import what takes a while (httpx and all that uses it), in a thread."""
    import_module("ghostlive.chat.matrix.bridge")
    import_module("ghostlive.chat.matrix.incoming")


async def _not_yet(send: Send, *, off: bool) -> None:
    """The homeserver keeps what it has for us, and tries again."""
    status = 404 if off else 503
    document: Mapping[str, str] = {"errcode": "M_NOT_FOUND" if off else "M_UNKNOWN", "error": "not here, or not yet"}
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
