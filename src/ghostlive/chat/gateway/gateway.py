"""Opens viewers' sockets: who they are, whether they may, how many there are; and closes those that fall silent."""

import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.access.browser import COOKIE as BROWSER_COOKIE
from ghostlive.access.browser import viewer_key
from ghostlive.access.decision import AccessRequest, Action, Decision, Identity
from ghostlive.access.sessions import COOKIE, SessionsUnavailableError
from ghostlive.chat.attendance import Attendance
from ghostlive.chat.config import ChatConfig
from ghostlive.chat.errors import BusyError, TooManyConnectionsError, UnavailableError, UnknownStreamError
from ghostlive.chat.gateway.room import Fanout
from ghostlive.chat.gateway.viewer import Viewer
from ghostlive.chat.identity import Origin
from ghostlive.chat.people import Author, Role, Visitor
from ghostlive.chat.room import Room
from ghostlive.chat.service import ChatService
from ghostlive.core.clock import Clock, Timer
from ghostlive.core.tasks import TaskScope
from ghostlive.core.websocket import (
    GOING_AWAY,
    POLICY_VIOLATION,
    TRY_AGAIN_LATER,
    Connection,
    Opening,
    Peer,
    WriteEach,
    write_each,
)

_log = structlog.get_logger("chat")

Identify = Callable[[str | None], Awaitable[Identity | None]]
Authorize = Callable[[AccessRequest], Awaitable[Decision]]

PATH: Final = re.compile(r"/api/v1/streams/([A-Za-z0-9][A-Za-z0-9_-]{0,63})/chat", re.ASCII)
"""Where the chat of a stream is."""
_UNAVAILABLE: Final = (OSError, SQLAlchemyError, SessionsUnavailableError)
_HELLO: Final = 10.0
_SILENCE: Final = 75.0
_SWEEP: Final = 1.0
_SWEPT: Final = 2000
"""Viewers that are looked at in one turn of the event loop."""


class Gateway:
    """The sockets of all chats. `stop` before the service is stopped."""

    def __init__(
        self,
        *,
        service: ChatService,
        identify: Identify,
        authorize: Authorize,
        config: ChatConfig,
        clock: Clock,
        write_each: WriteEach = write_each,
    ) -> None:
        """`identify` says whose session a cookie names, `authorize` who may chat and moderate."""
        self.service = service
        self.config = config
        self.clock = clock
        self._identify = identify
        self._authorize = authorize
        self._write_each = write_each
        self._scope = TaskScope("chat gateway")
        self.attendance = Attendance(clock.now)
        """Who of those who have a chat open gets the stream; whoever sends it tells that."""
        self._viewers: dict[Viewer, tuple[Room, str, str]] = {}
        self._fanouts: dict[Room, Fanout] = {}
        self._addresses: dict[str, int] = {}
        self._count = 0
        """Sockets that are open or being opened."""
        self._sweeping: Timer | None = None
        self._stopping = False

    def __len__(self) -> int:
        return len(self._viewers)

    async def open(self, opening: Opening, connection: Connection) -> Peer:
        """Take a viewer in. Raises an `OpeningError` before the socket is accepted."""
        path = PATH.fullmatch(opening.path)
        if path is None or not self.config.enabled:
            raise UnknownStreamError("There is no chat at this address.")
        if self._stopping or self._count >= self.config.connections:
            raise TooManyConnectionsError("Too many people have a chat open on this server. Try again later.")
        origin = self.service.origin(opening.address, opening.cookies.get(BROWSER_COOKIE))
        opening.answer.extend(self.service.banning.cookie_for(origin, secure=opening.secure))
        if 0 < self.config.connections_per_address <= self._addresses.get(origin.address, 0):
            # A browser does not show a page why a socket was refused, so it is opened and closed again.
            connection.close(TRY_AGAIN_LATER, "too many connections from this address")
            return _Nobody()
        self._addresses[origin.address] = self._addresses.get(origin.address, 0) + 1
        self._count += 1
        try:
            return await self._enter(opening, connection, stream=path[1], origin=origin)
        except BaseException:
            self._leave_address(origin.address)
            raise

    async def _enter(self, opening: Opening, connection: Connection, *, stream: str, origin: Origin) -> Peer:
        try:
            user = await self._identify(opening.cookies.get(COOKIE))
            decision = await self._authorize(_request(Action.CHAT, opening, stream, user))
            if not decision.allowed:
                raise UnknownStreamError(decision.reason)
            visitor = Visitor(origin) if user is None else await self._account(opening, stream, origin, user)
        except _UNAVAILABLE as error:
            _log.warning("a chat could not be opened", stream=stream, error=str(error))
            raise UnavailableError("The chat cannot be opened at the moment. Try again in a minute.") from error
        room = await self.service.enter(stream)
        visitor.mxid = self.service.banning.linked(visitor)
        author = visitor.author
        if author is not None and not visitor.moderates and _named(self.service, room, author):
            visitor.author = replace(author, role=Role.MODERATOR)
            visitor.moderates = True
        if self._stopping:
            self.service.leave(room)
            raise UnavailableError("The server is stopping.")
        viewer = Viewer(
            self,
            connection,
            room=room,
            fanout=self._fanout(room),
            visitor=visitor,
            rights=_Rights(self._identify, self._authorize, opening, room, self.service),
        )
        key = viewer_key(opening.address, opening.agent.encode("latin-1", "replace"))
        self.attendance.enter(stream, key)
        visitor.media_since = partial(self.attendance.since, stream, key)
        self._viewers[viewer] = (room, origin.address, key)
        if self._sweeping is None:
            self._sweeping = self.clock.call_later(_SWEEP, self._sweep)
        return viewer

    async def stop(self) -> None:
        """Tell everybody that the server stops, and end."""
        self._stopping = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for viewer in list(self._viewers):
            viewer.close(GOING_AWAY, "the server stops")
        await self._scope.close()
        for fanout in self._fanouts.values():
            fanout.stop()

    # -- for viewers

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """See `Surroundings.spawn`."""
        if self._stopping:
            work.close()
        else:
            self._scope.spawn(work, name=name)

    def left(self, viewer: Viewer) -> None:
        """See `Surroundings.left`."""
        room, address, key = self._viewers.pop(viewer)
        self.attendance.leave(room.stream, key)
        self._leave_address(address)
        self.service.leave(room)
        if not room.users and (fanout := self._fanouts.pop(room, None)) is not None:
            fanout.stop()
            room.listeners.discard(fanout)

    def _leave_address(self, address: str) -> None:
        self._count -= 1
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def _fanout(self, room: Room) -> Fanout:
        fanout = self._fanouts.get(room)
        if fanout is None:
            fanout = self._fanouts[room] = Fanout(
                self.clock,
                waiting_bytes=self.config.waiting_bytes,
                people=room.people.__len__,
                pinned=lambda: self.service.moderation.pinned(room),
                emotes=lambda: room.emotes,
                write_each=self._write_each,
            )
            room.listeners.add(fanout)
        return fanout

    async def _account(self, opening: Opening, stream: str, origin: Origin, user: Identity) -> Visitor:
        """Who has signed in speaks under the name of the account, and is marked by what they may do."""
        role = Role.GUEST
        if (await self._authorize(_request(Action.MANAGE, opening, stream, user))).allowed:
            role = Role.STREAMER
        elif (await self._authorize(_request(Action.MODERATE, opening, stream, user))).allowed:
            role = Role.MODERATOR
        author = Author(f"u_{user.id}", user.name, role)
        return Visitor(origin, author=author, account=True, moderates=role is not Role.GUEST)

    def _sweep(self, viewers: list[Viewer] | None = None) -> None:
        """Close who does not speak, a part of them in each turn."""
        if viewers is None:
            viewers = list(self._viewers)
        now = self.clock.now()
        some, rest = viewers[:_SWEPT], viewers[_SWEPT:]
        for viewer in some:
            silence = now - viewer.heard
            if silence > _HELLO and not viewer.greeted:
                viewer.close(POLICY_VIOLATION, "no hello")
            elif silence > _SILENCE:
                viewer.close(POLICY_VIOLATION, "silence")
        if rest:
            self._sweeping = self.clock.call_later(0, lambda: self._sweep(rest))
        else:
            self._sweeping = self.clock.call_later(_SWEEP, self._sweep) if self._viewers else None


class _Rights:
    """What the account of one viewer may do now. See `viewer.Rights`."""

    def __init__(
        self, identify: Identify, authorize: Authorize, opening: Opening, room: Room, service: ChatService
    ) -> None:
        self._identify = identify
        self._authorize = authorize
        self._opening = opening
        self._room = room
        self._service = service

    async def signed_in(self, author_id: str) -> bool:
        """See `Rights.signed_in`. A database that does not answer signs nobody out."""
        try:
            user = await self._identify(self._opening.cookies.get(COOKIE))
        except _UNAVAILABLE as error:
            _log.warning("a session could not be looked up", error=str(error))
            return True
        return user is not None and f"u_{user.id}" == author_id

    async def moderates(self) -> bool:
        """See `Rights.moderates`."""
        try:
            user = await self._identify(self._opening.cookies.get(COOKIE))
            request = _request(Action.MODERATE, self._opening, self._room.stream, user)
            if user is None or (await self._authorize(request)).allowed:
                return user is not None
            return _named(self._service, self._room, Author(f"u_{user.id}", user.name))
        except _UNAVAILABLE as error:
            _log.warning("rights could not be looked up", stream=self._room.stream, error=str(error))
            raise BusyError("The server cannot look up your rights at the moment. Try again.", 5.0) from error


def _named(service: ChatService, room: Room, account: Author) -> bool:
    """Whether an account was made a moderator of a room: as such, or by the Matrix ID that it is linked to."""
    mxid = service.banning.links.get(account.id)
    return service.moderation.moderates(room, replace(account, mxid=mxid))


class _Nobody:
    """The peer of a socket that closes already."""

    def text(self, message: str) -> None:
        """See `Peer.text`."""

    def gone(self) -> None:
        """See `Peer.gone`."""


def _request(action: Action, opening: Opening, stream: str, user: Identity | None) -> AccessRequest:
    return AccessRequest(action, protocol="chat", address=opening.address, stream=stream, user=user)
