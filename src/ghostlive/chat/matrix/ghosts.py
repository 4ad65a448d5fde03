"""Ghosts: under which Matrix ID each guest and account of the page speaks in a room.

A ghost is registered and joined with the first message of its guest. A join costs a homeserver fifty times what a
message costs, and the joins of one room wait for each other; so they have a queue of their own and a budget. Who is not
in the room yet when their message is due is spoken for by the bot, under a profile for that message (MSC4144), so that
neither they nor those after them wait.

Invariant: what a room's moderators did to a ghost stands. A ghost that is banned is never joined again by us before
somebody lifts the ban.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.matrix.alias import bot_id
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import ApiError, ForbiddenError, MatrixError, TokenError
from ghostlive.chat.matrix.events import POWER
from ghostlive.chat.matrix.pace import Budget
from ghostlive.chat.matrix.power import Levels
from ghostlive.chat.matrix.registration import GHOSTS
from ghostlive.core.clock import Clock
from ghostlive.core.tasks import TaskScope, finish
from ghostlive.db.matrix import GhostRecord, MatrixRepository

_log = structlog.get_logger("matrix")

JOINS: Final = 10.0
"""Joins a second that a homeserver manages (measured: 9.3 to 12)."""
_QUEUE: Final = 50
"""Most joins that wait in one room; who comes then joins with a later message."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How something is said in a room: by a ghost, or by the bot for somebody."""

    user: str | None
    """The ghost's Matrix ID; None is the bot."""


BY_BOT: Final = Voice(None)


def localpart(author: str) -> str:
    """The local part of a ghost's Matrix ID."""
    return GHOSTS + author.removeprefix("g_")


def ghost_id(author: str, server_name: str) -> str:
    """The ghost of a guest (`g_…`) or an account (`u_…`)."""
    return f"@{localpart(author)}:{server_name}"


def ghost_author(mxid: str, server_name: str) -> str | None:
    """The opposite of `ghost_id`; None for everybody who is no ghost of ours."""
    start, end = f"@{GHOSTS}", f":{server_name}"
    if not (mxid.startswith(start) and mxid.endswith(end)):
        return None
    name = mxid[len(start) : -len(end)]
    return name if name.startswith("u_") else f"g_{name}"


class Ghosts:
    """The ghosts of all rooms. `load` a room before its ghosts speak."""

    def __init__(self, *, client: MatrixClient, repository: MatrixRepository, server_name: str, clock: Clock) -> None:
        """`client` has the application service's token."""
        self._client = client
        self._repository = repository
        self.server_name = server_name
        self.bot = bot_id(server_name)
        self._clock = clock
        self._rooms: dict[int, dict[str, GhostRecord]] = {}
        self._ids: dict[str, int] = {}
        """Rooms by their id at the homeserver."""
        self._registered: set[str] = set()
        self._joining: dict[int, dict[str, asyncio.Task[MatrixError | None]]] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._budget = Budget(JOINS, JOINS)
        self._scope = TaskScope("ghosts")
        self.patience = 1.0
        """Seconds for which a message waits for the join of its author, when nobody else joins."""
        self.relayed = 0
        """Messages that the bot said for somebody."""
        self.joined = 0
        """Joins since the start."""

    async def close(self) -> None:
        """Joins that wait are not made."""
        await self._scope.close()

    async def load(self, room: int, room_id: str) -> None:
        """Learn who is in a room, as far as we know. Raises what the database raises."""
        self._rooms[room] = {ghost.author: ghost for ghost in await self._repository.ghosts(room)}
        self._ids = {known: number for known, number in self._ids.items() if number != room}
        self._ids[room_id] = room

    def forget(self, room: int) -> None:
        """The room is no more."""
        self._rooms.pop(room, None)
        self._ids = {known: number for known, number in self._ids.items() if number != room}

    def mxid(self, author: str) -> str:
        """The Matrix ID of an author's ghost."""
        return ghost_id(author, self.server_name)

    def author(self, mxid: str) -> str | None:
        """Whose ghost that is; None for everybody else."""
        return ghost_author(mxid, self.server_name)

    def membership(self, room: int, author: str) -> str:
        """`join`, `leave`, `ban`, as far as we know."""
        known = self._rooms.get(room, {}).get(author)
        return "leave" if known is None else known.membership

    async def voice(self, room: int, room_id: str, author: str, name: str, *, hurried: bool = False) -> Voice | None:
        """How `author` says something now; None when they are banned from the room.

        When that is `hurried`, because much waits behind it, nobody's join is waited for. Raises a `MatrixError` when
        the homeserver does not answer.
        """
        voice = await self.own_voice(room, room_id, author, name, hurried=hurried)
        if voice == BY_BOT:
            self.relayed += 1
        return voice

    async def own_voice(
        self, room: int, room_id: str, author: str, name: str, *, hurried: bool = False
    ) -> Voice | None:
        """See `voice`; for what the bot cannot do for anybody, so that `BY_BOT` means to ask again later."""
        if not author.startswith(("g_", "u_")):
            return BY_BOT  # a user of Matrix, whose message waited for a moderator
        known = self._rooms.setdefault(room, {}).get(author)
        if known is not None and known.membership == "ban":
            return None
        if known is not None and known.membership == "join":
            if known.name != name:
                await self._rename(room, room_id, author, name)
            return self._settled(room, author)
        joining = self._joining.setdefault(room, {})
        task = joining.get(author)
        if task is None:
            if len(joining) >= _QUEUE or not self._budget.take(self._clock.now()):
                return BY_BOT
            first = not joining
            task = joining[author] = self._scope.spawn(self._join(room, room_id, author, name), name=f"join {author}")
            task.add_done_callback(lambda _: joining.pop(author, None))
            if first and not hurried:
                await asyncio.wait([task], timeout=self.patience)
        if task.done() and not task.cancelled() and (error := task.result()) is not None:
            raise error
        return self._settled(room, author)

    def _settled(self, room: int, author: str) -> Voice | None:
        membership = self.membership(room, author)
        if membership == "ban":
            return None
        return Voice(self.mxid(author)) if membership == "join" else BY_BOT

    async def no_more_joins(self, room: int) -> None:
        """Wait for those who are joining just now; for when nobody speaks there any more."""
        if joining := list(self._joining.get(room, {}).values()):
            await asyncio.wait(joining)

    async def leave(self, room: int, room_id: str, ghost: GhostRecord) -> None:
        """Let a ghost leave a room. One that is not in there, or banned, stays so.

        Raises a `MatrixError` when that is worth another try.
        """
        try:
            await self._client.leave(room_id, user=self.mxid(ghost.author))
        except ApiError as error:
            if error.retry:
                raise
            membership = "leave"
            if isinstance(error, ForbiddenError):
                membership = "ban" if error.banned else await self._still(room_id, ghost.author)
            await self._know(room, GhostRecord(ghost.author, membership, ghost.name))
            return
        await self._know(room, GhostRecord(ghost.author, "leave", ghost.name))

    async def others_in(self, room_id: str, noted: Collection[str]) -> list[GhostRecord]:
        """Ghosts that are in a room and not among those, as far as the homeserver tells the bot.

        Raises a `MatrixError` when that is worth another try.
        """
        try:
            members = await self._client.members(room_id, "join")
        except ApiError as error:
            if error.retry:
                raise
            return []
        authors = [self.author(member.state_key or "") for member in members]
        return [GhostRecord(author, "join", "") for author in authors if author is not None and author not in noted]

    async def bot_leaves(self, room_id: str) -> None:
        """Nothing is left to do in a room. Raises a `MatrixError` when that is worth another try."""
        try:
            await self._client.leave(room_id)
        except ApiError as error:
            if error.retry:
                raise
            _log.info("the bot was in a room no more", room=room_id, error=str(error))

    async def _still(self, room_id: str, author: str) -> str:
        """What a ghost is that may not leave: not in there any more, or banned."""
        try:
            content = await self._client.state(room_id, "m.room.member", self.mxid(author))
        except ApiError as error:
            if error.retry:
                raise
            return "leave"  # nobody can tell any more
        return "ban" if content is not None and content.get("membership") == "ban" else "leave"

    async def refused(self, room: int, room_id: str, author: str, name: str) -> Voice | None:
        """The homeserver did not let a ghost speak: find out why, and how it is said instead; None when it is not.

        Raises a `MatrixError`: `ForbiddenError` when the bot may not look, because it has been thrown out itself.
        """
        membership = await self._ask(room, room_id, author, name)
        if membership == "ban":
            return None
        if membership == "join":
            # It is here and may not speak: muted, or the room is for moderators only; so is the page then, and who
            # may write there has no power here.
            levels = Levels(await self._client.state(room_id, POWER) or {}, frozenset())
            return BY_BOT if levels.silence("") and levels.of(self.mxid(author)) >= levels.of("") else None
        self._registered.discard(author)  # the homeserver may have forgotten it
        return await self.voice(room, room_id, author, name)

    async def observed(self, room_id: str, mxid: str, content: Mapping[str, Any]) -> None:
        """A membership in a room changed, by whomever."""
        room, author = self._ids.get(room_id), self.author(mxid)
        if room is None or author is None:
            return
        membership, name = str(content.get("membership", "leave")), content.get("displayname")
        known = self._rooms.setdefault(room, {}).get(author)
        if known is not None and known.membership == membership:
            return
        if known is None:
            known = GhostRecord(author, membership, name if isinstance(name, str) else "")
        if membership == "join" and isinstance(name, str):
            await self._know(room, GhostRecord(author, membership, name))
        else:
            await self._know(room, GhostRecord(author, membership, known.name))

    async def _join(self, room: int, room_id: str, author: str, name: str) -> MatrixError | None:
        """One after the other: the homeserver takes them so anyway. What went wrong but for a refusal is returned."""
        lock = self._locks.setdefault(room, asyncio.Lock())
        async with lock:
            if self.membership(room, author) == "ban":  # meanwhile
                return None
            try:
                await self._register_and_enter(room_id, author, name)
            except ForbiddenError:
                try:
                    membership = await self._ask(room, room_id, author, name)
                except MatrixError as error:
                    return error
                _log.info("a ghost may not join", room=room_id, author=author, membership=membership)
                return None
            except MatrixError as error:
                return error
            self.joined += 1
            await self._know(room, GhostRecord(author, "join", name))
            return None

    async def _register_and_enter(self, room_id: str, author: str, name: str) -> None:
        if author in self._registered:
            with contextlib.suppress(TokenError):  # the homeserver may have lost its users
                await self._enter(room_id, author, name)
                return
        await self._client.register(localpart(author))
        self._registered.add(author)
        await self._enter(room_id, author, name)

    async def _enter(self, room_id: str, author: str, name: str) -> None:
        """Join under a name, in one request."""
        await self._client.join_as(room_id, user=self.mxid(author), name=name)

    async def _rename(self, room: int, room_id: str, author: str, name: str) -> None:
        try:
            await self._enter(room_id, author, name)
        except ForbiddenError:
            await self._ask(room, room_id, author, name)
            return
        await self._know(room, GhostRecord(author, "join", name))

    async def _ask(self, room: int, room_id: str, author: str, name: str) -> str:
        """What the homeserver says of a ghost's membership."""
        content = await self._client.state(room_id, "m.room.member", self.mxid(author))
        membership = "leave" if content is None else str(content.get("membership", "leave"))
        await self._know(room, GhostRecord(author, membership, name))
        return membership

    async def _know(self, room: int, ghost: GhostRecord) -> None:
        self._rooms.setdefault(room, {})[ghost.author] = ghost
        try:
            await finish(self._repository.set_ghosts(room, [ghost]))
        except (OSError, SQLAlchemyError) as error:
            # It is found out again at the homeserver.
            _log.warning("a ghost could not be noted", author=ghost.author, error=str(error))
