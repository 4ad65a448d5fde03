"""Rooms at the homeserver: made, kept like `plan` says, looked after, replaced, closed.

Everything is in steps that can be done again: a room that was made and not noted is found by its mark, an alias that is
taken is looked at and moved, state is put only where it differs. A failure in the middle raises a `MatrixError`; to
begin anew is always right.

The bot joins a room again that it was made to leave, if that is open to it. It un-bans nobody and joins nobody else.
"""

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

import structlog

from ghostlive.chat.matrix import picture, plan
from ghostlive.chat.matrix.alias import alias_of
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import ApiError, ForbiddenError, MatrixError, MissingError, TakenError, TokenError
from ghostlive.chat.matrix.events import CANONICAL_ALIAS, CREATE, MEMBER, POWER, TOMBSTONE, mapping, text
from ghostlive.chat.matrix.plan import Site, Wish
from ghostlive.chat.matrix.power import Levels, changed_levels, read_levels
from ghostlive.db.matrix import RoomRecord

_log = structlog.get_logger("matrix")
_T = TypeVar("_T")

_CLOSED: Final = "This stream was removed."
_REPLACED: Final = "The chat of this stream goes on in another room."
_GUESTS: Final = "m.room.guest_access"
_CHILD: Final = "m.space.child"
_PARENT: Final = "m.space.parent"
# Keys of `RoomRecord.state`; all others are of state events (`_key`).
_ALIAS: Final = "alias"
_POWER: Final = "power"
_GIVING: Final = "giving"
"""Levels that are on their way, or were when this server ended."""
_LISTED: Final = "space"
_AVATAR: Final = "avatar"
_UNSURE: Final = "?"
"""In place of a state event's note: it is on its way, or was when this server ended."""
CLOSED: Final = "closed"
"""A room that was closed or replaced, and from which ghosts are still leaving (`leaving`)."""


class RoomStore(Protocol):
    """Where rooms are noted (`db.matrix.MatrixRepository`)."""

    async def rooms(self) -> list[RoomRecord]:
        """All of them."""

    async def set_room(
        self,
        room: int,
        *,
        room_id: str | None = None,
        version: str | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what is not None."""

    async def replace_room(
        self, room: int, room_id: str | None, *, version: str = "", left: Mapping[str, Any] | None = None
    ) -> None:
        """Another room takes its place; with `left`, the one before stays noted in that state, with its ghosts."""

    async def forget_room(self, room: int) -> None:
        """It was closed."""

    async def has_ghosts(self, room: int) -> bool:
        """Whether any are in there."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a room and could not be repaired. The text is for the streamer."""

    code: str
    """`banned`, `left`, `closed`, `powerless`, `foreign`."""
    text: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of looking after a room."""

    record: RoomRecord
    trouble: Trouble | None = None


class Rooms:
    """The rooms of one homeserver. Two calls for the same stream must not run at once; `keeper` sees to that."""

    def __init__(self, *, client: MatrixClient, store: RoomStore, site: Site) -> None:
        """The client's homeserver is that of the site."""
        self._client = client
        self._store = store
        self._site = site
        self._version = ""
        self._marks: dict[str, str | None] = {}
        """Whose the rooms are that the bot is in and that are noted nowhere; None for nobody's."""

    async def ensure(self, record: RoomRecord, wish: Wish, *, space: str | None) -> RoomRecord:
        """Have the stream's room there, under its alias and in the space, like the wish. Does what is missing only."""
        if record.room_id is None:
            record = await self._find_or_make(record, wish, space=space)
        record = await self._settle_alias(record, wish.stream)
        record = await self._show(record, wish)
        record = await self._picture(record, wish.stream)
        return await self._list(record, wish.stream, space)

    async def ensure_space(self, record: RoomRecord) -> RoomRecord:
        """Have the space of all streams there, under its alias."""
        if record.room_id is None:
            found = await self._find("")
            if found is None:
                found = await self._make(plan.space_creation(self._site, version=await self._new_version()))
            record = await self._note(record, found)
        record = await self._settle_alias(record, "")
        return await self._picture(record, "")

    async def check(self, record: RoomRecord, wish: Wish, *, space: str | None) -> Checked:
        """Look after a room: is the bot in it, has it its power, is it still the stream's? Repair what can be."""
        if record.room_id is None:
            return Checked(await self.ensure(record, wish, space=space))
        room = record.room_id
        if not await self._is_in(room):
            trouble = await self._come_back(room)
            if trouble is not None:
                if trouble.code != "gone":
                    return Checked(record, trouble)
                _log.warning("the homeserver has lost a room; a new one is made", stream=wish.stream, room=room)
                return Checked(await self.replace(record, wish, space=space))
        tombstone = await self._client.state(room, TOMBSTONE)
        if tombstone is not None:
            return await self._follow(record, wish, tombstone, space=space)
        levels = await self._levels(room)
        record = await self._mend(record, wish)
        lacks = levels.lacking(self._client.bot)
        trouble = self._powerless(levels, lacks) if lacks else None
        try:
            record = await self.ensure(record, wish, space=space)
        except ForbiddenError as error:
            trouble = trouble or Trouble("powerless", f"The bot may not keep the room up to date: {error.text}")
        return Checked(record, trouble)

    async def check_space(self, record: RoomRecord) -> RoomRecord:
        """Look after the space; one in which the bot is not any more is made anew."""
        room = record.room_id
        if room is not None and not await self._is_in(room) and await self._come_back(room) is not None:
            record = await self._replaced(record, None)
        return await self.ensure_space(record)

    async def replace(self, record: RoomRecord, wish: Wish, *, space: str | None) -> RoomRecord:
        """Put a new room in the place of one that is no use any more. Who is in the old one is shown the way."""
        old = record.room_id
        body = plan.creation(wish, self._site, version=await self._new_version(), space=space, predecessor=old)
        room = await self._make(body)
        if old is not None:
            content = {"body": _REPLACED, "replacement_room": room}
            await self._if_allowed(self._client.set_state(old, TOMBSTONE, content))
            if space is not None and record.state.get(_LISTED):
                await self._if_allowed(self._client.set_state(space, _CHILD, {}, old))
        record = await self._remember(await self._replaced(record, room), self._made_like(wish))
        _log.info("a new room takes the place of another", stream=wish.stream, room=room, before=old)
        return await self.ensure(record, wish, space=space)

    async def close(self, record: RoomRecord, *, space: str | None) -> None:
        """Close the room of a stream that was removed: a tombstone, no alias, nobody may write; and forget it.

        While ghosts are in there it is not forgotten, but noted as closed (`leaving`).
        """
        room = record.room_id
        if record.state.get(CLOSED):
            return
        if room is not None:
            for alias in await self._aliases(room):
                await self._if_allowed(self._client.remove_alias(alias))
            if space is not None:
                await self._if_allowed(self._client.set_state(space, _CHILD, {}, room))
            await self._if_allowed(self._client.set_state(room, CANONICAL_ALIAS, {}))
            power = await self._if_allowed(self._client.state(room, POWER))
            if power is not None:
                await self._if_allowed(self._client.set_state(room, POWER, {**power, "events_default": 100}))
            # People who ask where the chat went on are led to the space: the key must be there (Room Upgrades).
            await self._if_allowed(
                self._client.set_state(room, TOMBSTONE, {"body": _CLOSED, "replacement_room": space or room})
            )
            await self._if_allowed(self._client.leave(room))
        if room is not None and await self._store.has_ghosts(record.id):
            await self._remember(record, {CLOSED: True})
        else:
            await self._store.forget_room(record.id)
        if room is not None:
            _log.info("a room was closed", stream=record.stream, room=room)

    # -- being there

    async def _find_or_make(self, record: RoomRecord, wish: Wish, *, space: str | None) -> RoomRecord:
        room = await self._find(wish.stream)
        if room is not None:
            return await self._note(record, room)
        version = await self._new_version()
        room = await self._make(plan.creation(wish, self._site, version=version, space=space))
        _log.info("a room was made", stream=wish.stream, room=room)
        return await self._remember(await self._note(record, room), self._made_like(wish))

    def _made_like(self, wish: Wish) -> dict[str, Any]:
        """What need not be put into a room that was just made for this wish."""
        notes = {_key(*name): plan.note(content) for name, content in plan.showing(wish, self._site).items()}
        return {**notes, _POWER: wish.power()}

    async def _make(self, body: Mapping[str, Any]) -> str:
        try:
            return await self._client.create_room(body)
        except ApiError as error:
            # The homeserver does not know who is not to be invited before it has asked for them.
            if "invite" not in body or error.retry or isinstance(error, TokenError):
                raise
            _log.warning("a room was refused and is tried without an invitation", error=error.text)
            return await self._client.create_room({key: value for key, value in body.items() if key != "invite"})

    async def _find(self, stream: str) -> str | None:
        """A room that was made for the stream and not noted: this server ended between the two, or lost its data."""
        known = {record.room_id for record in await self._store.rooms()}
        for room in await self._client.joined_rooms():
            if room in known:
                continue
            if room not in self._marks:
                self._marks[room] = await self._mark_of(room)
            if self._marks[room] == stream and await self._is_open(room):
                _log.info("a room was found again", stream=stream, room=room)
                return room
        return None

    async def _mark_of(self, room: str) -> str | None:
        """Whose room it is by our mark. Anybody may write that into a room of theirs, and get the bot in there."""
        try:
            create = await self._client.state_event(room, CREATE)
        except ForbiddenError:
            return None
        if create is None or create.sender != self._client.bot or plan.MARK not in create.content:
            return None
        return text(create.content, plan.MARK)

    async def _is_open(self, room: str) -> bool:
        """Whether nobody has closed a room."""
        return await self._client.state(room, TOMBSTONE) is None

    async def _note(self, record: RoomRecord, room: str) -> RoomRecord:
        version = await self._version_of(room)
        await self._store.set_room(record.id, room_id=room, version=version, state={})
        return replace(record, room_id=room, version=version, state={})

    async def _replaced(self, record: RoomRecord, room: str | None) -> RoomRecord:
        version = "" if room is None else await self._version_of(room)
        left = {CLOSED: True} if room is not None else None
        await self._store.replace_room(record.id, room, version=version, left=left)
        return replace(record, room_id=room, version=version, state={})

    async def _version_of(self, room: str) -> str:
        create = await self._client.state(room, CREATE)
        return text(create or {}, "room_version") or "1"

    async def _new_version(self) -> str:
        """The version of rooms that are made now: it decides whether creators are listed."""
        if self._site.room_version:
            return self._site.room_version
        if not self._version:
            self._version = await self._client.room_version()
        return self._version

    async def _is_in(self, room: str) -> bool:
        """Whether the bot is in a room that the homeserver has.

        Who was in a room may read its state as it was when they left ("Getting events for a room"), so that it can be
        read says nothing; what it says of the bot does.
        """
        try:
            mine = await self._client.state(room, MEMBER, self._client.bot)
        except ForbiddenError:
            return False
        return mine is not None and text(mine, "membership") == "join"

    async def _come_back(self, room: str) -> Trouble | None:
        """Join a room again that the bot is not in any more; what is in the way (code `gone`: there is no room)."""
        try:
            await self._client.join(room)
        except ForbiddenError as error:
            if error.banned:
                return Trouble("banned", "The bot was banned from the room. Unban it, or let a new room be made.")
            return Trouble("left", "The bot is not in the room any more. Invite it, or let a new room be made.")
        except ApiError as error:
            if error.retry or isinstance(error, TokenError):
                raise
            return Trouble("gone", error.text)
        _log.info("the bot joined a room again", room=room)
        return None

    # -- alias and space

    async def _settle_alias(self, record: RoomRecord, stream: str) -> RoomRecord:
        alias, room = alias_of(stream, self._site.server_name), record.room_id
        if room is None or record.state.get(_ALIAS) == alias:
            return record
        try:
            await self._client.set_alias(alias, room)
        except TakenError:
            if alias not in await self._client.aliases(room):
                # Of a call to make a room that failed, of a room that was replaced, or of a life before this one.
                await self._client.remove_alias(alias)
                await self._client.set_alias(alias, room)
        await self._client.set_state(room, CANONICAL_ALIAS, {"alias": alias})
        return await self._remember(record, {_ALIAS: alias})

    async def _aliases(self, room: str) -> Collection[str]:
        try:
            return await self._client.aliases(room)
        except (ForbiddenError, MissingError):
            return ()

    async def _list(self, record: RoomRecord, stream: str, space: str | None) -> RoomRecord:
        if space is None or record.state.get(_LISTED) == space or record.room_id is None:
            return record
        await self._client.set_state(space, _CHILD, plan.child(self._site, stream), record.room_id)
        parent = {"via": [self._site.server_name], "canonical": True}
        await self._if_allowed(self._client.set_state(record.room_id, _PARENT, parent, space))
        return await self._remember(record, {_LISTED: space})

    # -- what it shows

    async def _show(self, record: RoomRecord, wish: Wish) -> RoomRecord:
        room = record.room_id
        assert room is not None
        showing = {_key(*name): (*name, content) for name, content in plan.showing(wish, self._site).items()}
        for name, note in record.state.items():
            if "|" in name and note and name not in showing:  # state cannot be taken out of a room, but emptied
                kind, _, key = name.partition("|")
                showing[name] = (kind, key, {})
        done = {name: plan.note(content) if content else "" for name, (_, _, content) in showing.items()}
        done = {name: note for name, note in done.items() if record.state.get(name) != note}
        if done:
            # Nobody knows what the room shows until the homeserver has answered and that is noted. Should this server
            # end in between and find the stream as it was before, then an old note would say that all is well.
            record = await self._remember(record, dict.fromkeys(done, _UNSURE))
        for name in done:
            kind, key, content = showing[name]
            await self._client.set_state(room, kind, content, key)
        wanted = wish.power()
        if wanted != _noted(record, _POWER) or _noted(record, _GIVING):
            record = await self._give(record, room, wanted)
            return await self._remember(record, {**done, _POWER: wanted, _GIVING: {}})
        return await self._remember(record, done) if done else record

    async def _picture(self, record: RoomRecord, stream: str) -> RoomRecord:
        """Give a room its picture once; whoever wants another sets it in their client."""
        if record.room_id is None or record.state.get(_AVATAR):
            return record
        mxc = await self._if_allowed(self._client.upload(picture.draw(stream), picture.TYPE, "room.png"))
        if mxc is not None:
            await self._if_allowed(self._client.set_state(record.room_id, "m.room.avatar", {"url": mxc}))
        return await self._remember(record, {_AVATAR: mxc or "none"})

    async def _give(self, record: RoomRecord, room: str, after: Mapping[str, int]) -> RoomRecord:
        before, unsure = _noted(record, _POWER), _noted(record, _GIVING)
        levels = await self._levels(room)
        content = changed_levels(levels.content, before, after, levels.creators, unsure=unsure)
        if content is not None:
            # Whoever is given something now and is no moderator any more at the next start has to lose it then.
            record = await self._remember(record, {_GIVING: {**unsure, **after}})
            await self._client.set_state(room, POWER, content)
        for mxid in sorted(after.keys() - before.keys()):
            member = await self._client.state(room, MEMBER, mxid) or {}
            if text(member, "membership") not in ("join", "invite", "ban"):  # else the homeserver warns its operator
                # Whom the homeserver does not find is no reason to stop.
                await self._if_allowed(self._client.invite(room, mxid))
        return record

    async def _levels(self, room: str) -> Levels:
        create = await self._client.state_event(room, CREATE)
        power = await self._client.state(room, POWER)
        return read_levels({} if create is None else create.content, "" if create is None else create.sender, power)

    def _powerless(self, levels: Levels, lacks: list[str]) -> Trouble:
        bot, mine, lost = self._client.bot, levels.of(self._client.bot), ", ".join(lacks)
        who = sorted(user for user, level in levels.people().items() if level > mine and user != bot)
        who += sorted(levels.creators - {bot})
        helpers = f" {', '.join(who[:3])} can give it back" if who else " Nobody can give it back"
        return Trouble(
            "powerless",
            f"The bot {bot} has no power any more over: {lost}.{helpers} (level 100). Or let a new room be made.",
        )

    async def _mend(self, record: RoomRecord, wish: Wish) -> RoomRecord:
        """Forget having put what is not there any more, so that `ensure` puts it again, and shut out guests."""
        assert record.room_id is not None
        room, state = record.room_id, dict(record.state)
        guests = await self._client.state(room, _GUESTS)
        if guests is None or guests.get("guest_access") != "forbidden":
            await self._if_allowed(self._client.set_state(room, _GUESTS, {"guest_access": "forbidden"}))
        alias = alias_of(wish.stream, self._site.server_name)
        canonical = await self._client.state(room, CANONICAL_ALIAS)
        if canonical is None or canonical.get("alias") != alias or alias not in await self._aliases(room):
            state.pop(_ALIAS, None)
        for kind, key in plan.showing(wish, self._site):
            if _key(kind, key) in state and not await self._client.state(room, kind, key):
                state.pop(_key(kind, key))
        return replace(record, state=state)

    # -- another room in its place

    async def _follow(
        self, record: RoomRecord, wish: Wish, tombstone: Mapping[str, Any], *, space: str | None
    ) -> Checked:
        """Somebody upgraded the room: go along to the new one, if it says itself that it comes from this one."""
        old, new = record.room_id, text(tombstone, "replacement_room")
        if not new or new == old:
            return Checked(record, Trouble("closed", "The room was closed in a Matrix client. A new one can be made."))
        try:
            await self._client.join(new, via=self._site.server_name)
            create = await self._client.state(new, CREATE)
        except (ForbiddenError, MissingError) as error:
            what = f"The room was replaced by another one that the bot cannot join ({error.text})."
            help_ = f"Invite {self._client.bot} there, or let a new room be made."
            return Checked(record, Trouble("foreign", f"{what} {help_}"))
        if text(mapping(create or {}, "predecessor"), "room_id") != old:
            await self._if_allowed(self._client.leave(new))
            return Checked(record, Trouble("foreign", "The room points to another one that has nothing to do with it."))
        if space is not None and old is not None:
            await self._if_allowed(self._client.set_state(space, _CHILD, {}, old))
        record = await self._replaced(record, new)
        _log.info("a room was upgraded", stream=wish.stream, room=new, before=old)
        return await self.check(record, wish, space=space)

    # -- small things

    async def _remember(self, record: RoomRecord, done: Mapping[str, Any]) -> RoomRecord:
        state = {**record.state, **done}
        await self._store.set_room(record.id, state=state)
        return replace(record, state=state)

    async def _if_allowed(self, call: Awaitable[_T]) -> _T | None:
        """What is good to have and no reason to stop; trouble of the homeserver is one."""
        try:
            return await call
        except MatrixError as error:
            if error.retry or isinstance(error, TokenError):
                raise
            _log.info("the homeserver refused something that can be done without", error=str(error))
            return None


def _key(kind: str, key: str) -> str:
    return f"{kind}|{key}"


def _noted(record: RoomRecord, name: str) -> dict[str, int]:
    """Levels that we gave in that room (`_POWER`), or may have given (`_GIVING`)."""
    given = record.state.get(name)
    return {str(user): int(level) for user, level in given.items()} if isinstance(given, Mapping) else {}
