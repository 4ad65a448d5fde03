"""Acts of moderation on the page, done in the room: by the bot, since owners and moderators are rate limited there.

Everything here can be done twice without harm, since nobody knows after a crash whether it was done. What was done in
the room already, by an event, does not come here (`matrix.journal`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import structlog

from ghostlive.chat.bans import Ban
from ghostlive.chat.glob import has_wildcards
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import ApiError, ForbiddenError, MissingError
from ghostlive.chat.matrix.events import MEMBER, PINNED, POWER, integer, mapping, text, texts
from ghostlive.chat.matrix.ghosts import Ghosts
from ghostlive.chat.matrix.outbox import OutboxRoom
from ghostlive.chat.matrix.patterns import Patterns
from ghostlive.chat.matrix.power import MODERATOR
from ghostlive.chat.matrix.reach import MakeGate
from ghostlive.core.clock import Clock
from ghostlive.db.chat import ChatRepository
from ghostlive.db.matrix import LATER, MatrixRepository, PendingRecord

_log = structlog.get_logger("matrix")

MUTED: Final = -1
"""The power level of who may not speak for a while."""


class Mirror:
    """Carries acts into rooms."""

    def __init__(
        self,
        *,
        client: MatrixClient,
        ghosts: Ghosts,
        repository: MatrixRepository,
        chat: ChatRepository,
        clock: Clock,
        gate: MakeGate | None = None,
    ) -> None:
        """`clock` says until when somebody is muted, `gate` whether somebody who is let in is kept out by more."""
        self._client = client
        self._ghosts = ghosts
        self._repository = repository
        self._chat = chat
        self._clock = clock
        self._patterns = Patterns(client, clock)
        self._gate = gate
        self._leveling = asyncio.Lock()
        """Power levels are read, changed and written as a whole."""

    async def perform(self, room: OutboxRoom, item: PendingRecord) -> None:
        """Do it. Raises a `MatrixError` when it is to be tried again, or the bot is not allowed."""
        payload, act = item.payload, item.payload["act"]
        try:
            if act == "pin":
                if not payload["done"]:
                    await self._pin(room, payload.get("message"))
                return
            for mxid in await self._people(payload):
                if item.kind != LATER:
                    await self._arrange(room, act, mxid, payload.get("seconds"))
                if payload.get("done") or (payload.get("site") and await self._spares(room, act, mxid)):
                    continue
                await self._do(room, act, mxid, str(payload.get("reason", "")))
        except ApiError as error:
            # Whoever moderates in the room may stand above the bot in rooms of version 11 and older.
            if error.retry or (isinstance(error, ForbiddenError | MissingError) and not await self._may(room)):
                raise
            _log.warning("an act is not possible in the room", act=act, stream=room.stream, error=str(error))

    async def _arrange(self, room: OutboxRoom, act: str, mxid: str, seconds: object) -> None:
        """When it ends by itself. This first, then the act: who dies in between leaves nobody out for ever."""
        at = None
        if isinstance(seconds, int | float):
            at = self._clock.wall_ns() // 1_000_000 + int(seconds * 1000)
        match act:
            case "ban":
                ban = await self._ban_of(room, mxid)
                if ban is not None:  # when it ends, however late this is done
                    at = None if ban.expires_at is None else _after(ban.expires_at)
                await self._repository.do_later(room.stream_id, mxid, "unban", at_ms=at)
            case "timeout":
                await self._repository.do_later(room.stream_id, mxid, "unmute", at_ms=at)
            case "unban":
                await self._repository.do_later(room.stream_id, mxid, "unban", at_ms=None)
                await self._repository.do_later(room.stream_id, mxid, "unmute", at_ms=None)

    async def _people(self, payload: Mapping[str, Any]) -> Sequence[str]:
        """Whom it is about, as the room knows them: the ghost, and the Matrix ID that belongs to them."""
        target = payload.get("target")
        mxid = payload.get("mxid")
        if isinstance(target, str) and target.startswith(("g_", "u_")):
            link = await self._repository.link_of(target)
            known = mxid if isinstance(mxid, str) else None if link is None else link.mxid
            return [self._ghosts.mxid(target), *([] if known is None else [known])]
        if isinstance(mxid, str):
            return [mxid]
        if isinstance(target, str) and target.startswith("m_"):
            person = (await self._repository.people([target])).get(target)
            return [] if person is None else [person.mxid]
        return []

    async def _spares(self, room: OutboxRoom, act: str, mxid: str) -> bool:
        """Whether a ban of the site is not for somebody, since they moderate this one of its rooms."""
        if act != "ban" or has_wildcards(mxid):
            return False
        levels = await self._client.state(room.room_id, POWER) or {}
        return (integer(mapping(levels, "users"), mxid) or 0) >= MODERATOR

    async def _ban_of(self, room: OutboxRoom, mxid: str) -> Ban | None:
        """The ban of somebody, or of a pattern, that ends last."""
        if self._gate is None:
            return None
        author = self._ghosts.author(mxid)
        return (await self._gate(room.stream)).ban_of(author_id=author, mxid=None if author is not None else mxid)

    async def _shut(self, room: OutboxRoom, mxid: str) -> bool:
        """Whether another ban, or a list, still keeps somebody out; then the end of that one is arranged."""
        if self._gate is None:
            return False
        ban = await self._ban_of(room, mxid)
        if ban is None:
            ours = self._ghosts.author(mxid) is not None
            return not ours and (await self._gate(room.stream)).listed(mxid) is not None
        if ban.expires_at is not None:
            await self._repository.do_later(room.stream_id, mxid, "unban", at_ms=_after(ban.expires_at))
        return True

    async def _do(self, room: OutboxRoom, act: str, mxid: str, reason: str) -> None:
        if has_wildcards(mxid):
            if act == "ban":
                await self._patterns.ban(room.room_id, mxid, reason)
            elif act == "unban":
                gate = None if self._gate is None else await self._gate(room.stream)
                await self._patterns.unban(room.room_id, mxid, gate)
            return
        ours = mxid == self._ghosts.bot or self._ghosts.author(mxid) is not None
        content = await self._client.state(room.room_id, MEMBER, mxid)
        now = "" if content is None else text(content, "membership")
        after = "leave"
        match act:
            case "ban":
                after = "ban"
                if now != "ban":
                    await self._client.ban(room.room_id, mxid, reason)
            case "unban":
                if await self._shut(room, mxid):
                    return
                if now == "ban":
                    await self._client.unban(room.room_id, mxid)
                await self._set_level(room, mxid, None)
                after = "leave" if now in ("ban", "") else now
            case "kick":
                if now in ("join", "invite", "knock"):
                    await self._client.kick(room.room_id, mxid, reason)
            case "timeout":
                if not ours:  # ghosts speak through us only, so there is nothing to do in the room for them
                    await self._set_level(room, mxid, MUTED)
                return
            case "unmute":  # ghosts too: they may have been muted in a Matrix client
                await self._set_level(room, mxid, None)
                return
        await self._ghosts.observed(room.room_id, mxid, {"membership": after})

    async def _set_level(self, room: OutboxRoom, mxid: str, level: int | None) -> None:
        """Mute, or with None give back what everybody has; who has power of their own keeps it."""
        async with self._leveling:
            levels = await self._client.state(room.room_id, POWER) or {}
            users = dict(mapping(levels, "users"))
            now = integer(users, mxid)
            if level == now or (now is not None and now > 0) or (level is None and now != MUTED):
                return
            if level is None:
                del users[mxid]
            else:
                users[mxid] = level
            await self._client.set_state(room.room_id, POWER, {**levels, "users": users})

    async def _pin(self, room: OutboxRoom, message: object) -> None:
        pinned: list[str] = []
        if isinstance(message, int):
            event = (await self._chat.events_of([message])).get(message)
            if event is None:
                return
            pinned = [event]
        now = await self._client.state(room.room_id, PINNED)
        if list(texts(now or {}, "pinned")) != pinned:
            await self._client.set_state(room.room_id, PINNED, {"pinned": pinned})

    async def _may(self, room: OutboxRoom) -> bool:
        """Whether the bot is in the room at all."""
        try:
            content = await self._client.state(room.room_id, MEMBER, self._ghosts.bot)
        except (ForbiddenError, MissingError):
            return False
        return content is not None and text(content, "membership") == "join"


def _after(moment: datetime) -> int:
    """The first millisecond in which that is over."""
    return int(moment.timestamp() * 1000) + 1
