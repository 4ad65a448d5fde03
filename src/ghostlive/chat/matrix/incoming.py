"""What happens in a stream's room at the homeserver, carried out in the chat: messages, edits, reactions, moderation.

`Incoming.handle_all` takes events of a room that belongs to a stream. Each may come again, late, or before what it
speaks of: each leads to the same as if it had come once and in time, or to nothing. Messages and reactions that follow
each other are stored together (`matrix.batch`); everything else waits for what is before it. What our own bot and
ghosts do is known already and is passed over. Anybody on any homeserver may write anything into an event, so what is
wrong with one is logged and forgotten; only when the database cannot be written is that raised, so that the homeserver
sends it again.

What a homeserver lets somebody do in a room (ban, kick, take away, pin), it has looked at their power for; so that
counts here as it counts there.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.errors import (
    BannedError,
    BusyError,
    EmptyError,
    NotAllowedError,
    NotFoundError,
    OpeningError,
    RefusalError,
    UnavailableError,
)
from ghostlive.chat.matrix import events as types
from ghostlive.chat.matrix.acquaintances import Acquaintances, Profile
from ghostlive.chat.matrix.alias import alias_of, link_to
from ghostlive.chat.matrix.batch import Batch
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.codes import is_code
from ghostlive.chat.matrix.emotes import PACK, STABLE_PACK, Packs
from ghostlive.chat.matrix.events import RoomEvent, integer, mapping, text, texts
from ghostlive.chat.matrix.ghosts import ghost_author
from ghostlive.chat.matrix.media import AVATAR, path_of, record_of
from ghostlive.chat.matrix.power import MODERATOR, Levels
from ghostlive.chat.matrix.said import Said, read_said
from ghostlive.chat.matrix.skew import Skew
from ghostlive.chat.moderation.actions import LONGEST_TIMEOUT, Actions
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.people import Author, Role, matrix_author_id
from ghostlive.chat.room import Quiet, Room, RoomListener
from ghostlive.chat.service import ChatService
from ghostlive.core.text import clean_line, is_emoji
from ghostlive.db.chat import ChatRepository, EventRecord, MediaRecord
from ghostlive.db.matrix import MatrixRepository

_log = structlog.get_logger("matrix")

_KEY: Final = 64
_REMEMBERED: Final = 1000
"""Edits and commands that were let through a moment ago."""
_WORDS: Final = "Here, reactions are emoji. Write words as a message."
_NOT_FOR_ALL: Final = "A code by which somebody signs in"
_MARKS: Final = ("!", "/")
"""Before commands. Most Matrix clients keep a slash for themselves."""


class Way(Protocol):
    """The way back to the homeserver. None of it is waited for."""

    def refused(self, stream: str, event: RoomEvent, error: RefusalError) -> None:
        """The chat does not accept it: take it away there too, and tell its author why."""

    def unwelcome(self, stream: str, event: RoomEvent, error: BannedError) -> None:
        """The sender is banned here by what the homeserver does not know: ban them there too."""

    def hide(self, stream: str, event: RoomEvent, reason: str) -> None:
        """What was meant for us alone: take it away there."""

    def reply(self, stream: str, event: RoomEvent, text: str) -> None:
        """Tell the sender something."""


class Silence:
    """A `Way` on which nothing goes."""

    def refused(self, stream: str, event: RoomEvent, error: RefusalError) -> None:
        """See `Way.refused`."""

    def unwelcome(self, stream: str, event: RoomEvent, error: BannedError) -> None:
        """See `Way.unwelcome`."""

    def hide(self, stream: str, event: RoomEvent, reason: str) -> None:
        """See `Way.hide`."""

    def reply(self, stream: str, event: RoomEvent, text: str) -> None:
        """See `Way.reply`."""


FindRole = Callable[[str, str], Awaitable[Role]]
"""What the account to which a Matrix ID is linked may do in the chat of a stream."""
FindLinked = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Those of the Matrix IDs that are linked at all: only of those a role is asked."""
Heard = Callable[[str, str, datetime], Awaitable[str | None]]
"""Told what a user of Matrix wrote; an answer means that it was a code and no message."""


async def _no_role(_stream: str, _mxid: str) -> Role:
    return Role.GUEST


async def _all_linked(mxids: Collection[str]) -> Collection[str]:
    return mxids


async def _not_heard(_mxid: str, _text: str, _now: datetime) -> None:
    return None


class Incoming:
    """Events of all streams' rooms."""

    def __init__(
        self,
        *,
        service: ChatService,
        repository: ChatRepository,
        people: MatrixRepository,
        bot: str,
        server_name: str,
        message_length: int,
        name_length: int = 32,
    ) -> None:
        """`bot` is the Matrix ID of ours. What else there is to ask is set before the first event comes."""
        self._service = service
        self._repository = repository
        self.people = Acquaintances(people, service.now)
        self._bot = bot
        self._server = server_name
        self._length = message_length
        self._name_length = name_length
        self.actions: Actions | None = None
        """What moderators in Matrix clients do is done by it; without it they only moderate there."""
        self.way: Way = Silence()
        self.skew = Skew()
        """How wrong our homeserver's clock is."""
        self.role: FindRole = _no_role
        self.linked: FindLinked = _all_linked
        self.heard: Heard = _not_heard
        self._levels: dict[str, Mapping[str, Any]] = {}
        self._packs: dict[str, Packs] = {}
        """By stream."""
        self._accepts: OrderedDict[str, None] = OrderedDict()
        """Edits and commands that were let through and may come again: they are no duplicates then."""
        self._where: dict[str, Mapping[str, str]] = {}
        """Where each stream's chat is in Matrix, as pages are told."""

    async def open(self, stream: str, room_id: str, client: MatrixClient) -> None:
        """A room is there: read of its state what counts here. Raises a `MatrixError`, and like `handle`."""
        alias = alias_of(stream, self._server)
        self._where[stream] = {"alias": alias, "room": room_id, "link": link_to(alias)}
        self._packs.pop(stream, None)
        self._levels[room_id] = mapping(await client.state(room_id, types.POWER) or types.NONE, "users")
        newest = await client.messages(room_id, kinds=(PACK, STABLE_PACK))
        for event in reversed(newest.events):
            if event.type in (PACK, STABLE_PACK) and event.state_key is not None:
                await self._guarded(event, self._learn(stream, event))
        try:
            room = await self._service.enter(stream)
        except OpeningError:
            return
        room.matrix = self._where[stream]
        self._service.leave(room)

    def observe(self, room: Room) -> RoomListener:
        """A chat is loaded (`ChatService.observe`): say what it has in Matrix."""
        room.matrix = self._where.get(room.stream)
        if (packs := self._packs.get(room.stream)) is not None:
            room.emotes = packs.emotes()
        return Quiet()

    async def handle(self, stream: str, event: RoomEvent) -> None:
        """Something happened in the room of a stream. Raises `BusyError` when it has to come again."""
        await self.handle_all(stream, [event])

    async def handle_all(self, stream: str, events: Sequence[RoomEvent]) -> None:
        """What happened in the room of a stream, in this order. Raises `BusyError` when it has to come again."""
        together: list[RoomEvent] = []
        for event in events:
            passed_over = self.ours(event.sender) or event.redacted
            if event.type in _TOGETHER and event.state_key is None:
                if not passed_over:
                    together.append(event)
                continue
            await self._handle_together(stream, together)
            together = []
            if event.type in _LEARNED and event.state_key is not None:
                await self._guarded(event, self._learn(stream, event))
            if not passed_over:
                await self._guarded(event, self._carry_out(stream, event))
        await self._handle_together(stream, together)

    async def _handle_together(self, stream: str, events: Sequence[RoomEvent]) -> None:
        if not events:
            return
        try:
            room = await self._service.enter(stream)
        except UnavailableError as error:
            raise BusyError(str(error), 5.0) from error
        except OpeningError:
            _log.debug("events are for a stream that is gone", stream=stream)
            return
        try:
            batch = await self._batch(room, events)
            try:
                for event in events:
                    await self._guarded(event, _TOGETHER[event.type](self, room, event, batch))
            finally:
                await batch.settle()
        finally:
            self._service.leave(room)

    async def _batch(self, room: Room, events: Sequence[RoomEvent]) -> Batch:
        """What has to be known of events is read in one go. Raises `BusyError`."""
        mentioned = {event.event_id for event in events}.union(*(event.mentions for event in events))
        try:
            known = await self._repository.events(room.stream_id, mentioned)
            new = [event for event in events if event.event_id not in known]
            linked = await self.linked({event.sender for event in new}) if new else ()
            speakers = {
                event.sender: event.room_id
                for event in new
                if event.type != types.REACTION or not known.keys().isdisjoint(event.mentions)
            }
            await self.people.meet(speakers)
        except (OSError, SQLAlchemyError) as error:
            raise BusyError("The database cannot be used at the moment.", 5.0) from error
        return Batch(known, linked, self._guarded)

    def ours(self, mxid: str) -> bool:
        """Whether that is our bot, or one of our ghosts."""
        return mxid == self._bot or ghost_author(mxid, self._server) is not None

    async def _guarded(self, event: RoomEvent, work: Awaitable[None]) -> None:
        try:
            await work
        except UnavailableError as error:
            raise BusyError(str(error), 5.0) from error
        except (OSError, SQLAlchemyError) as error:
            raise BusyError("The database cannot be used at the moment.", 5.0) from error
        except BusyError:
            raise
        except OpeningError:
            _log.debug("an event is for a stream that is gone", room=event.room_id)
        except RefusalError as error:
            # What was to be moderated may have been done already, or be gone.
            _log.debug("an event changed nothing", room=event.room_id, type=event.type, reason=str(error))
        except Exception as error:
            # It must not stop all that comes after it.
            _log.error("an event could not be dealt with", event=event.event_id, type=event.type, exc_info=error)

    # -- what is remembered

    async def _learn(self, stream: str, event: RoomEvent) -> None:
        if event.type == types.MEMBER:
            if event.membership == "join" and event.state_key and not self.ours(event.state_key):
                await self.people.met(event.state_key, Profile(event.content))
        elif event.type == types.POWER:
            self._levels[event.room_id] = mapping(event.content, "users")
        else:
            packs = self._packs.setdefault(stream, Packs())
            packs.put(event.state_key or "", event.content)
            await self._set_emotes(stream, packs)

    async def _set_emotes(self, stream: str, packs: Packs) -> None:
        emotes, files = packs.emotes(), packs.files()
        now = self._service.now()
        room = await self._service.enter(stream)
        try:
            if emotes == room.emotes:
                return
            async with self._repository.transaction() as transaction:
                await transaction.add_media(files, at=now)
            room.emotes = emotes
            for listener in list(room.listeners):
                listener.emotes()
        finally:
            self._service.leave(room)

    # -- who it is

    async def _author(
        self, room: Room, event: RoomEvent, batch: Batch | None = None
    ) -> tuple[Author, list[MediaRecord]]:
        """The sender as an author, and what pages may get for them."""
        mxid = event.sender
        person = await self.people.person(event.room_id, mxid)
        avatar = None if person.avatar is None else record_of(person.avatar)
        name = clean_line(person.name, self._name_length) or mxid[1:].partition(":")[0]
        author_id = matrix_author_id(mxid)
        if not await self._service.guests.may_be_called(room, author_id, name):
            name = clean_line(mxid[1:], 2 * self._name_length)
        author = Author(
            author_id,
            name,
            await self._role(room, event.room_id, mxid, batch),
            mxid,
            None if avatar is None else path_of(avatar, AVATAR),
        )
        return author, [] if avatar is None else [avatar]

    async def _role(self, room: Room, room_id: str, mxid: str, batch: Batch | None = None) -> Role:
        if batch is None or batch.may_be_linked(mxid):
            linked = await self.role(room.stream, mxid)
            if linked is not Role.GUEST:
                return linked
        level = integer(self._levels.get(room_id, types.NONE), mxid) or 0
        named = self._service.moderation.moderates(room, Author(matrix_author_id(mxid), mxid, mxid=mxid))
        return Role.MODERATOR if named or level >= MODERATOR else Role.GUEST

    async def _moderator(self, room: Room, event: RoomEvent) -> Actor:
        """The sender of something that the homeserver let them do by their power."""
        author, _ = await self._author(room, event)
        return Actor(replace(author, role=Role.STREAMER), "matrix")

    # -- what is done

    async def _carry_out(self, stream: str, event: RoomEvent) -> None:
        handler = _HANDLERS.get(event.type)
        if handler is None or (event.state_key is not None) != (event.type in _STATE):
            return
        room = await self._service.enter(stream)
        try:
            await handler(self, room, event)
        finally:
            self._service.leave(room)

    async def _message(self, room: Room, event: RoomEvent, batch: Batch) -> None:
        relation = event.relates_to
        if text(relation, "rel_type") == "m.replace":
            await self._edit(room, event, text(relation, "event_id"), batch)
            return
        said = read_said(event, event.content, self._length)
        if said is None or await self._command(room, event, said, batch):
            return
        if await batch.find(event.event_id) is not None:
            return
        answered = await batch.find(_answered(relation) or "")
        author, files = await self._author(room, event, batch)
        try:
            submitted = self._service.submit_matrix(
                room,
                author,
                event_id=event.event_id,
                kind=said.kind,
                text=said.text,
                html=said.html,
                media=said.media,
                files=[*files, *said.files],
                reply_to=None if answered is None else answered.message_id,
                at=self._at(event),
            )
        except BusyError:
            raise
        except RefusalError as error:
            self._refused(room, event, error)
            return

        async def rest() -> None:
            outcome = await submitted
            if isinstance(outcome.error, BusyError):
                raise outcome.error
            if outcome.error is not None:
                self._refused(room, event, outcome.error)
            elif outcome.held:
                self._refused(room, event, EmptyError(outcome.held))
            elif outcome.id is not None:
                batch.stored(event.event_id, outcome.id)

        batch.later(event, rest)

    def _at(self, event: RoomEvent) -> datetime:
        """When it was said, as far as clocks of others tell."""
        at = _seconds(event.ts)
        if event.sender.partition(":")[2] == self._server:
            at = self.skew.corrected(at)
        return datetime.fromtimestamp(max(at, 0.0), UTC)

    async def _edit(self, room: Room, event: RoomEvent, original: str, batch: Batch) -> None:
        """An edit goes through what a message goes through, whatever it edits.

        Of a message that never came to the page (it was refused, or waits), or is not kept any more, the page shows
        nothing; other people in the room see the edit.
        """
        if await batch.find(event.event_id) is not None:
            return
        found = await batch.find(original)
        new = read_said(event, mapping(event.content, "m.new_content"), self._length)
        old = read_said(event, event.content, self._length)  # for clients that know no edits, and in notifications
        said = new or old
        if said is None:
            return
        author, files = await self._author(room, event, batch)
        words = "\n".join(dict.fromkeys(one.text.removeprefix("* ") for one in (new, old) if one is not None))
        html = "\n".join(one.html for one in (new, old) if one is not None and one.html is not None) or None
        if not self._accepted(
            room, event, lambda: self._service.check_edit(room, author, words, kind=said.kind, html=html)
        ):
            return
        if found is None or found.kind != "message" or new is None:
            return

        async def work() -> None:
            try:
                await self._service.edit(
                    room,
                    Actor(author, "matrix"),
                    found.message_id,
                    said.text,
                    said.html,
                    media=said.media,
                    files=[*files, *said.files],
                    event_id=event.event_id,
                )
            except BusyError:
                raise
            except RefusalError as error:  # also when that message was deleted: it is not to come back like this
                self._refused(room, event, error)

        batch.begin(event, work())

    def _accepted(self, room: Room, event: RoomEvent, check: Callable[[], None]) -> bool:
        """Whether `check` has nothing against what is no message of its own; what it refuses is taken away."""
        if event.event_id in self._accepts:
            return True
        try:
            check()
        except BusyError:
            raise
        except RefusalError as error:
            self._refused(room, event, error)
            return False
        self._accepts[event.event_id] = None
        if len(self._accepts) > _REMEMBERED:
            self._accepts.popitem(last=False)
        return True

    async def _reaction(self, room: Room, event: RoomEvent, batch: Batch) -> None:
        relation = event.relates_to
        if text(relation, "rel_type") != "m.annotation":
            return
        found = await batch.find(text(relation, "event_id"))
        key, record = text(relation, "key"), None
        if key.startswith("mxc:"):
            record = record_of(key)
        else:
            key = clean_line(key, _KEY)
        if record is None and not is_emoji(key):
            # Words would be a message that no rule looks at, and that no page shows.
            author, _ = await self._author(room, event, batch)
            if not (author.moderates or self._service.moderation.moderates(room, author)):
                self._refused(room, event, NotAllowedError(_WORDS))
            return
        if found is None or found.kind != "message":
            return
        author, files = await self._author(room, event, batch)
        if record is not None:
            files.append(record)
            key = next((f":{emote.code}:" for emote in room.emotes if emote.mxc == key), None) or path_of(record)

        async def work() -> None:
            try:
                await self._service.react(
                    room, author, found.message_id, key, True, event_id=event.event_id, files=files
                )
            except (BusyError, NotFoundError):
                raise
            except RefusalError as error:
                self._refused(room, event, error)

        batch.begin(event, work())

    async def _redaction(self, room: Room, event: RoomEvent) -> None:
        found = None if event.redacts is None else await self._repository.event(room.stream_id, event.redacts)
        if found is None:
            return
        if found.kind == "reaction":
            await self._take_back(room, event, found)
        elif found.kind == "message":
            await self._delete(room, event, found)

    async def _take_back(self, room: Room, event: RoomEvent, found: EventRecord) -> None:
        """A reaction goes, by its author or by who moderates."""
        reacted = self._service.author(room, found.author) or Author(found.author, found.author)
        await self._service.react(
            room, reacted, found.message_id, found.key, False, event_id=found.event_id, via="matrix"
        )

    async def _delete(self, room: Room, event: RoomEvent, found: EventRecord) -> None:
        messages = await self._repository.messages(room.stream_id, [found.message_id])
        if found.message_id not in messages:
            return
        author, _ = await self._author(room, event)
        if messages[found.message_id].author == author.id or self.actions is None:
            deleting = Actor(author, "matrix")
            if messages[found.message_id].author != author.id:
                deleting = await self._moderator(room, event)
            await self._service.delete(room, deleting, [found.message_id], event_id=found.event_id)
            return
        moderator = await self._moderator(room, event)
        reason = clean_line(text(event.content, "reason"), 200)
        await self.actions.delete(
            room, moderator, [found.message_id], reason=reason, event=event.event_id, redacted=found.event_id
        )

    async def _member(self, room: Room, event: RoomEvent) -> None:
        mxid = event.state_key or ""
        if event.membership == "join" and event.prev_membership != "join":
            await self._joined(room, event)
            return
        if self.actions is None or mxid == event.sender:
            return
        author_id = ghost_author(mxid, self._server)
        reason = clean_line(text(event.content, "reason"), 200)
        if event.membership == "ban":
            if self._is_banned(room, mxid, author_id, timeouts=False):
                return
            moderator = await self._moderator(room, event)
            if mxid in room.moderation.moderators:  # somebody above them did it, so it takes that from them, too
                await self.actions.moderator(room, moderator, mxid=mxid, on=False, event=event.event_id)
            await self.actions.ban(
                room,
                moderator,
                author_id=author_id,
                mxid=mxid if author_id is None else None,
                reason=reason,
                event=event.event_id,
            )
        elif event.membership == "leave" and event.prev_membership == "ban":
            moderator = await self._moderator(room, event)
            await self.actions.unban(
                room,
                moderator,
                author_id=author_id,
                mxid=mxid if author_id is None else None,
                event=event.event_id,
            )
        elif event.membership == "leave" and event.prev_membership == "join":
            moderator = await self._moderator(room, event)
            await self.actions.kick(
                room,
                moderator,
                author_id or matrix_author_id(mxid),
                mxid=mxid if author_id is None else None,
                reason=reason,
                event=event.event_id,
            )

    async def _joined(self, room: Room, event: RoomEvent) -> None:
        if await self._role(room, event.room_id, event.sender) is not Role.GUEST:
            return  # neither a pattern nor a list keeps out who moderates
        try:
            self._service.banning.check_mxid(room, event.sender)
        except BannedError as error:
            self.way.unwelcome(room.stream, event, error)

    def _is_banned(self, room: Room, mxid: str, author_id: str | None, *, timeouts: bool = True) -> bool:
        """Whether there is a ban of somebody by that name; with `timeouts`, or a time-out."""
        person, now = author_id or matrix_author_id(mxid), self._service.now()
        return room.bans.find(person, None, None if author_id else mxid, now, timeouts=timeouts) is not None

    async def _power(self, room: Room, event: RoomEvent) -> None:
        if self.actions is None or event.state_key != "" or not event.prev_content:
            return
        before, after = (Levels(content, frozenset()) for content in (event.prev_content, event.content))
        if before.silence("") != after.silence(""):
            moderator = await self._moderator(room, event)
            await self.actions.set_rules(room, moderator, {"readonly": after.silence("")})
        for mxid in sorted({*before.people(), *after.people()}):
            if mxid == self._bot or before.of(mxid) == after.of(mxid):
                continue
            try:
                await self._level(room, event, mxid, before, after)
            except BusyError:
                raise
            except RefusalError as error:  # it must not keep what is done to others from counting
                _log.debug("a level changed nothing", room=event.room_id, reason=str(error))

    async def _level(self, room: Room, event: RoomEvent, mxid: str, before: Levels, after: Levels) -> None:
        """Somebody moderates from now on, or not any more; or speaks no more, or again."""
        assert self.actions is not None
        author_id = ghost_author(mxid, self._server)
        was, now = (levels.of(mxid) >= MODERATOR for levels in (before, after))
        if author_id is None and was != now and await self.role(room.stream, mxid) is Role.GUEST:
            moderator = await self._moderator(room, event)
            await self.actions.moderator(room, moderator, mxid=mxid, on=now, event=event.event_id)
        if before.silence(mxid) != after.silence(mxid):
            moderator = await self._moderator(room, event)
            person = author_id or matrix_author_id(mxid)
            if not after.silence(mxid):
                await self.actions.end_timeouts(room, moderator, author_id=person, event=event.event_id)
            elif not self._is_banned(room, mxid, author_id):
                await self.actions.timeout(
                    room,
                    moderator,
                    author_id=author_id,
                    mxid=mxid if author_id is None else None,
                    seconds=LONGEST_TIMEOUT,
                    event=event.event_id,
                )

    async def _pinned(self, room: Room, event: RoomEvent) -> None:
        if self.actions is None or event.state_key != "":
            return
        pinned = texts(event.content, "pinned")
        message_id = None
        for event_id in reversed(pinned[-10:]):  # the last one that we know
            message_id = await self._repository.message_of(room.stream_id, event_id)
            if message_id is not None:
                break
        if pinned and message_id is None:
            return
        moderator = await self._moderator(room, event)
        await self.actions.pin(room, moderator, message_id, event=event.event_id)

    async def _command(self, room: Room, event: RoomEvent, said: Said, batch: Batch) -> bool:
        """Whether it was a command, or a code by which somebody signs in, and no message.

        Others in the room read a command as they read a message, so what a rule refuses is no command either.
        """
        words = said.text
        answer = await self.heard(event.sender, words, self._service.now())
        if answer is not None:
            batch.links_changed()
            if is_code(words):
                self.way.hide(room.stream, event, _NOT_FOR_ALL)
            self.way.reply(room.stream, event, answer)
            return True
        moderation = self._service.moderation
        if not words.startswith(_MARKS) or not moderation.is_command(words[1:]):
            return False
        await batch.settle()  # it may be about what was said before it
        author, _ = await self._author(room, event, batch)
        if not self._accepted(
            room, event, lambda: self._service.check_aside(room, author, words, kind=said.kind, html=said.html)
        ):
            return True
        notices = await moderation.command(room, Actor(author, "matrix"), words[1:])
        if notices:  # however many lines: each message would be a notification, and a homeserver takes few a second
            self.way.reply(room.stream, event, "\n".join(notice.text for notice in notices))
        return True

    def _refused(self, room: Room, event: RoomEvent, error: RefusalError) -> None:
        self.way.refused(room.stream, event, error)
        if isinstance(error, BannedError):
            self.way.unwelcome(room.stream, event, error)


def _answered(relation: Mapping[str, Any]) -> str | None:
    """The event that is answered. What a thread names for older clients is no answer ("Threading")."""
    if text(relation, "rel_type") == "m.thread" and relation.get("is_falling_back") is not False:
        return None
    return text(mapping(relation, "m.in_reply_to"), "event_id") or None


def _seconds(ts: int) -> float:
    """A time of a homeserver in seconds, at most the year 3000; 0 for what is none."""
    return min(ts, 32503680000000) / 1000 if ts > 0 else 0.0


_STATE: Final = frozenset((types.MEMBER, types.POWER, types.PINNED))
_LEARNED: Final = frozenset((types.POWER, PACK, STABLE_PACK, types.MEMBER))
_HANDLERS: Final[Mapping[str, Callable[[Incoming, Room, RoomEvent], Awaitable[None]]]] = {
    types.REDACTION: Incoming._redaction,
    types.MEMBER: Incoming._member,
    types.POWER: Incoming._power,
    types.PINNED: Incoming._pinned,
}
_TOGETHER: Final[Mapping[str, Callable[[Incoming, Room, RoomEvent, Batch], Awaitable[None]]]] = {
    types.MESSAGE: Incoming._message,
    types.STICKER: Incoming._message,
    types.ENCRYPTED: Incoming._message,
    types.POLL: Incoming._message,
    types.UNSTABLE_POLL: Incoming._message,
    types.REACTION: Incoming._reaction,
}
