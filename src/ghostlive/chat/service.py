"""The chat's one door: rooms, and all that changes them. Nothing else writes chat into the database.

A message is checked, stored, acknowledged and then shown, in this order. The rules are here and not in the gateway, so
that every way into the chat has the same. Rates use the monotonic clock, what people read (dates, bans) the wall clock.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.banning import Banning, Order
from ghostlive.chat.bans import Ban
from ghostlive.chat.config import ChatConfig
from ghostlive.chat.errors import (
    NotAllowedError,
    NotFoundError,
    OpeningError,
    UnavailableError,
    UnknownStreamError,
)
from ghostlive.chat.guests import Guests
from ghostlive.chat.identity import Origin, tag_of
from ghostlive.chat.journal import Journal
from ghostlive.chat.limits import Rate, take_all
from ghostlive.chat.message import Kind, Message, More, from_record
from ghostlive.chat.moderation.acts import Actor, Via
from ghostlive.chat.moderation.verdict import Hold, Moderator, NoModeration, Refusal, Shadow
from ghostlive.chat.outcome import Outcome, Waiter, event_txn
from ghostlive.chat.people import Author, Visitor
from ghostlive.chat.retention import Retention
from ghostlive.chat.room import DELETIONS, Post, Reaction, Receipt, Room, RoomListener, kept
from ghostlive.chat.writer import Writer, extra_of, find_quotes, make_message
from ghostlive.core.clock import Clock
from ghostlive.core.events import StreamRecordChanged
from ghostlive.core.tasks import TaskScope
from ghostlive.core.text import is_emoji
from ghostlive.db.chat import ChatRepository, ChatTransaction, MediaRecord, ReactionRecord, StreamKey
from ghostlive.db.users import UserRepository
from ghostlive.hub.hub import Hub

_log = structlog.get_logger("chat")
T = TypeVar("T")

MAX_REACTIONS: Final = 20
"""How many different reactions one message may have."""
_REACTIONS, _REACTION_INTERVAL = 10, 1.0
_LATE, _CAUGHT_UP = 20, 4.0
"""By how much more may come at once, and faster, what was sent over time and comes late."""
_OLDEST: Final = timedelta(days=7)
"""What a homeserver says to be older is that old: clocks are wrong, and people lie."""
_EMPTY_ROOM: Final = 60.0
"""Seconds that a room is kept when nobody is in it."""
_STOP: Final = 10.0
"""Seconds for storing what waits when the server stops."""
_READING = (OSError, SQLAlchemyError)


class ChatService:
    """All chats of this server. `start` before use, `stop` after the last page is gone."""

    def __init__(
        self,
        *,
        repository: ChatRepository,
        users: UserRepository,
        hub: Hub,
        clock: Clock,
        config: ChatConfig,
        secret: bytes,
    ) -> None:
        """`secret` keys the hashes of addresses (`access.secret`); the hub tells when a stream may be gone."""
        self._repository = repository
        self._hub = hub
        self._clock = clock
        self._config = config
        self._rooms: dict[str, Room] = {}
        self._loading: dict[str, asyncio.Task[Room | OpeningError]] = {}
        self._scope = TaskScope("chat")
        self.check_text: Callable[[str], None] = lambda _text: None
        """Asked about what is typed on pages; raises a `RefusalError` for what others are not to read."""
        self._observers: list[Callable[[Room], RoomListener]] = []
        self._writer = Writer(repository, clock, self._on_broken)
        self._writing: asyncio.Task[None] | None = None
        self._by_person = Rate(config.burst, config.interval)
        self._by_address = Rate(config.address_burst, config.address_interval)
        self._deletions = Rate(config.address_burst, config.address_interval)
        self._reactions = Rate(_REACTIONS if config.burst else 0, _REACTION_INTERVAL)
        self._matrix_sent = Rate(config.burst, config.interval)
        self._matrix_came = Rate(_LATE * config.burst, config.interval / _CAUGHT_UP)
        self.moderation: Moderator = NoModeration()
        self.banning = Banning(
            repository=repository, writer=self._writer, rooms=self._rooms, clock=clock, now=self.now, secret=secret
        )
        self.banning.guest_rule = lambda room: str(self.moderation.rules_json(room).get("guests", "open"))
        self.retention = Retention(
            repository=repository, rooms=self._rooms.values, now=self.now, keep_days=config.keep_days
        )
        self.guests = Guests(
            repository=repository,
            users=users,
            writer=self._writer,
            clock=clock,
            config=config,
            rates=(self._by_person, self._by_address),
        )

    async def start(self) -> None:
        """Begin to write and to listen."""
        await self._writer.start()
        await self.banning.start()
        self._writing = self._scope.spawn(self._writer.run(), name="writer")
        self._scope.spawn(self._listen(), name="streams")
        self._scope.spawn(self.retention.run(), name="retention")
        self._scope.spawn(self.banning.run(), name="banning")

    async def stop(self) -> None:
        """Store what waits, and end."""
        self._writer.close()
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=_STOP)
        await self._scope.close()

    @property
    def stored(self) -> Mapping[str, int]:
        """Messages since the start, by where they came from (`page`, `matrix`)."""
        return self._writer.stored

    # -- rooms

    async def enter(self, stream: str) -> Room:
        """The chat of a stream; give it back with `leave`. Raises an `OpeningError`."""
        room = self._rooms.get(stream)
        if room is None:
            loading = self._loading.get(stream)
            if loading is None:
                loading = self._loading[stream] = self._scope.spawn(self._load(stream), name=f"room {stream}")
                loading.add_done_callback(lambda _: self._loading.pop(stream, None))
            found = await asyncio.shield(loading)
            if isinstance(found, OpeningError):
                raise found
            room = found
            if not room.open:
                raise _no_stream()
        room.users += 1
        return room

    def leave(self, room: Room) -> None:
        """The opposite of `enter`."""
        room.users -= 1
        if not room.users:
            self._clock.call_later(_EMPTY_ROOM, lambda: self._forget(room))

    def open_rooms(self) -> list[Room]:
        """The chats that are in memory."""
        return list(self._rooms.values())

    def observe(self, observer: Callable[[Room], RoomListener]) -> None:
        """Let somebody listen to every room, also those that are loaded later."""
        self._observers.append(observer)
        for room in self._rooms.values():
            room.listeners.add(observer(room))

    async def close_room(self, stream: str) -> None:
        """End a chat whose stream is gone."""
        if (room := self._rooms.pop(stream, None)) is not None:
            room.open = False
            for listener in list(room.listeners):
                listener.closed("the stream was removed")

    def origin(self, address: str, cookie: str | None = None) -> Origin:
        """See `Banning.origin`."""
        return self.banning.origin(address, cookie)

    def now(self) -> datetime:
        """The time that people read."""
        return datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC)

    # -- what people do

    def post(
        self,
        room: Room,
        visitor: Visitor,
        *,
        txn: str,
        text: str,
        reply_to: int | None,
        receipt: Receipt,
        kind: Kind = Kind.TEXT,
    ) -> None:
        """Say something that was cleaned; `receipt` is told. Sent again under the same `txn`, it is stored once.

        `kind` is `TEXT` or `EMOTE`. Raises a `RefusalError`.
        """
        author = visitor.author
        assert author is not None
        self.check_ban(room, visitor)
        post = Post(
            room,
            author,
            txn=txn,
            text=text,
            at=self.now(),
            reply_to=reply_to,
            origin=visitor.origin.hash,
            receipt=receipt,
            more=None if kind is Kind.TEXT else More(kind),
        )
        self._admit(post, visitor, receipt)

    def submit_matrix(
        self,
        room: Room,
        author: Author,
        *,
        event_id: str,
        kind: Kind,
        text: str,
        html: str | None = None,
        media: Mapping[str, Any] | None = None,
        files: Sequence[MediaRecord] = (),
        reply_to: int | None = None,
        at: datetime,
    ) -> "asyncio.Future[Outcome]":
        """A message that came by Matrix, whose event is not stored; its place is after what was submitted before it.

        `at` is when its homeserver says that it was sent; `files` are what `media`, `html` and the avatar need.
        `text` and `html` are clean. Raises a `RefusalError` at once; the database's comes with the outcome.
        """
        now = self.now()
        at = min(max(at, now - _OLDEST), now)
        plain = kind is Kind.TEXT and html is None and media is None
        waiter = Waiter()
        post = Post(
            room,
            author,
            txn=event_txn(event_id),
            text=text,
            at=at,
            reply_to=reply_to,
            origin="",
            receipt=waiter,
            more=None if plain else More(kind, html, media),
            event_id=event_id,
            media=files,
        )
        visitor = Visitor(self.banning.nowhere(), author=author, moderates=author.moderates)
        self.check_ban(room, visitor)
        self._admit(post, visitor, waiter)
        return waiter.future

    def _admit(self, post: Post, visitor: Visitor, receipt: Receipt) -> None:
        """What everything goes through that somebody wants to say. Raises a `RefusalError`."""
        room, key = post.room, (post.author.id, post.txn)
        if (known := room.known(*key)) is not None:
            receipt.stored(post.txn, known)
            return
        if (pending := room.pending.get(key)) is not None:
            pending.receipts.append(receipt)
            return
        if self.moderation.is_held(room, *key):
            self.moderation.held_again(room, *key, receipt)
            return
        self._writer.check()
        if post.event_id is None:
            rates = ((self._by_person, post.author.id), (self._by_address, visitor.origin.address))
            take_all(self._clock.now(), *rates)
            self.check_text(post.text)
        else:
            # After an outage, a night's messages come at once: what counts is when they were sent. Since who sends them
            # says when that was, there is a limit on those that come too.
            take_all(post.at.timestamp(), (self._matrix_sent, post.author.id))
            take_all(self._clock.now(), (self._matrix_came, post.author.id))
        kind = "text" if post.more is None else post.more.kind.value
        html = None if post.more is None else post.more.html
        verdict = self.moderation.review(room, visitor, post.text, kind, post.at, html=html)
        if verdict is None:
            verdict = self.banning.verdict(room, visitor)
        match verdict:
            case None:
                self.publish(post)
            case Refusal(error):
                raise error
            case Hold(reason):
                self.moderation.hold(room, visitor, post, reason)
            case Shadow():
                self._shadow(post)

    def publish(self, post: Post) -> None:
        """Store a message of which everything else was decided. Raises `BusyError`."""
        self._writer.submit(post)
        post.room.pending[post.author.id, post.txn] = post

    def _shadow(self, post: Post) -> None:
        """Tell its author, and nobody else, that it was said."""

        async def store(transaction: ChatTransaction, _seq: int) -> None:
            await find_quotes(transaction, [post])

        def apply(_result: None, seq: int) -> None:
            post.seq = seq
            message = make_message(post)
            room = post.room
            room.shadow(message)
            for receipt in post.receipts:
                receipt.stored(post.txn, seq)
                receipt.shadowed(post.txn, message)

        self._writer.later(store, apply)

    async def edit(
        self,
        room: Room,
        actor: Actor,
        message_id: int,
        text: str,
        html: str | None = None,
        *,
        media: Mapping[str, Any] | None = None,
        files: Sequence[MediaRecord] = (),
        event_id: str | None = None,
        visitor: Visitor | None = None,
    ) -> None:
        """Let one's own message say something else. Raises a `RefusalError`.

        `visitor` is who does it on a page. `event_id` is the event in Matrix, which was looked at (`check_edit`) and
        whose second coming changes nothing.
        """
        author = actor.author
        if event_id is None:
            visitor = visitor or Visitor(self.banning.nowhere(), author=author, moderates=author.moderates)
            self.check_ban(room, visitor)
            take_all(self._clock.now(), (self._by_person, author.id), (self._by_address, visitor.origin.address))
            self.check_text(text)
            self._review_edit(room, visitor, text, Kind.TEXT, html)

        async def store(transaction: ChatTransaction, seq: int) -> Message | None:
            if event_id is not None and not await transaction.add_event(
                room.stream_id, event_id, message_id, "edit", author=author.id
            ):
                return None
            record = (await transaction.messages(room.stream_id, [message_id])).get(message_id)
            if record is None:
                raise NotFoundError("That message is gone already.")
            if record.author != author.id:
                raise NotAllowedError("You can only edit what you wrote yourself.")
            message = from_record(record)
            message.edit(text, html, self.now(), media)
            message.changed = seq
            assert message.edited is not None
            await transaction.add_media(files, at=message.edited)
            await transaction.edit_message(
                message_id,
                seq=seq,
                text=text,
                html=html,
                extra=extra_of(message.author, message.media),
                at=message.edited,
            )
            await self.journal.edited(transaction, room, seq, message_id, text=text, html=html, actor=actor)
            return message

        def apply(message: Message | None, seq: int) -> None:
            if message is None:
                return
            room.edit(seq, message)
            shown = room.get(message_id) or message
            for listener in room.listeners:
                listener.edited(shown, seq, actor)

        await self._writer.change(store, apply)

    def check_edit(self, room: Room, author: Author, text: str, *, kind: Kind, html: str | None = None) -> None:
        """What an edit that came by Matrix goes through, also one of a message that is not known here.

        In the room, people see it as they see a message. Raises a `RefusalError`.
        """
        self._review_edit(room, self._from_matrix(room, author), text, kind, html)

    def check_aside(self, room: Room, author: Author, text: str, *, kind: Kind, html: str | None = None) -> None:
        """What a command that came by Matrix goes through: no page shows it, people in the room do see it.

        Raises a `RefusalError`, also where a message would wait.
        """
        self._review_now(
            room,
            self._from_matrix(room, author),
            text,
            kind,
            html,
            otherwise="Your messages wait for a moderator, so commands are not taken.",
        )

    def _from_matrix(self, room: Room, author: Author) -> Visitor:
        """Who does something by Matrix that is no message. Raises a `RefusalError` when they may not, or too often."""
        visitor = Visitor(self.banning.nowhere(), author=author, moderates=author.moderates)
        self.check_ban(room, visitor)
        take_all(self._clock.now(), (self._matrix_came, author.id))
        return visitor

    def _review_edit(self, room: Room, visitor: Visitor, text: str, kind: Kind, html: str | None) -> None:
        otherwise = "Your messages wait for a moderator, so they cannot be edited."
        self._review_now(room, visitor, text, kind, html, otherwise=otherwise)

    def _review_now(
        self, room: Room, visitor: Visitor, text: str, kind: Kind, html: str | None, *, otherwise: str
    ) -> None:
        """What cannot wait: a verdict that says so is a refusal with `otherwise` as its reason."""
        verdict = self.moderation.review(room, visitor, text, kind.value, self.now(), html=html)
        if verdict is None:
            verdict = self.banning.verdict(room, visitor)
        if isinstance(verdict, Refusal):
            raise verdict.error
        if verdict is not None:
            raise NotAllowedError(otherwise)

    async def react(
        self,
        room: Room,
        author: Author,
        message_id: int,
        key: str,
        on: bool,
        *,
        event_id: str | None = None,
        files: Sequence[MediaRecord] = (),
        via: Via | None = None,
        visitor: Visitor | None = None,
    ) -> None:
        """React to a message with `key` (an emoji, or the path of a picture on this server), or take that back.

        `event_id` is the event in Matrix by which somebody reacted; to take that back there is to redact it.

        Raises a `RefusalError`.
        """
        visitor = visitor or Visitor(self.banning.nowhere(), author=author, moderates=author.moderates)
        if via is None:
            via = "matrix" if author.id.startswith("m_") else "page"
        if on:
            self.check_ban(room, visitor)
            if isinstance(refusal := self.moderation.review_reaction(room, visitor), Refusal):
                raise refusal.error
            if self.banning.verdict(room, visitor) is not None:  # a reaction may have words
                raise NotAllowedError("You can react when a moderator has let your messages through.")
        if event_id is None:
            take_all(self._clock.now(), (self._reactions, author.id))
        elif on:
            take_all(self._clock.now(), (self._matrix_came, author.id))
        row = ReactionRecord(message_id, author.id, key)

        async def store(transaction: ChatTransaction, seq: int) -> bool:
            record = (await transaction.messages(room.stream_id, [message_id])).get(message_id)
            if record is None:
                raise NotFoundError("That message is gone already.")
            if not on:
                changed = await transaction.remove_reaction(row, seq=seq)
                if event_id is not None:
                    await transaction.remove_event(event_id)
            else:
                keys = await transaction.reaction_keys(message_id)
                if key not in keys and len(keys) >= MAX_REACTIONS:
                    raise NotAllowedError("That message has as many different reactions as it can have.")
                changed = await transaction.add_reaction(row, seq=seq)
                await transaction.add_media(files, at=self.now())
                if event_id is not None:
                    await transaction.add_event(
                        room.stream_id, event_id, message_id, "reaction", author=author.id, key=key
                    )
            if changed:
                reaction = Reaction(seq, message_id, author, key, on, (), via, event_id)
                await self.journal.reacted(transaction, room, reaction)
            return changed

        def apply(changed: bool, seq: int) -> None:
            if not changed:
                return
            reactions = room.react(seq, row, on)
            reaction = Reaction(seq, message_id, author, key, on, reactions, via, event_id)
            for listener in room.listeners:
                listener.reacted(reaction)

        await self._writer.change(store, apply)

    async def delete(
        self, room: Room, actor: Actor, ids: Sequence[int], *, address: str = "", event_id: str | None = None
    ) -> list[int]:
        """Take messages away: one's own, or any for who moderates; the ids of those that are gone by this.

        `address` is where who does it comes from; `event_id` the event of the message in Matrix, when it is redacted
        there already. Raises a `RefusalError`.
        """
        author = actor.author
        if not author.moderates and event_id is None:
            # Each is a question to the database in the transaction in which everybody's messages are stored.
            take_all(self._clock.now(), (self._deletions, address or author.id))

        async def store(transaction: ChatTransaction, seq: int) -> list[int]:
            records = await transaction.messages(room.stream_id, ids)
            if not records:
                raise NotFoundError("That message is gone already.")
            if not author.moderates and any(record.author != author.id for record in records.values()):
                raise _not_yours()
            gone = sorted(records)
            await transaction.delete_messages(gone, seq=seq, by=author.name)
            if event_id is not None:
                await transaction.remove_event(event_id)
            await self.journal.deleted(transaction, room, seq, gone, actor)
            return gone

        return await self._writer.change(store, lambda gone, seq: room.tell_deleted(seq, gone, actor))

    async def change(self, store: Callable[[ChatTransaction, int], Awaitable[T]], apply: Callable[[T, int], None]) -> T:
        """See `Writer.change`: for what belongs to the chat and is stored by others."""
        return await self._writer.change(store, apply)

    def later(self, store: Callable[[ChatTransaction, int], Awaitable[None]]) -> None:
        """See `Writer.later`: what is stored, and nobody waits for it. Raises `BusyError`."""
        self._writer.later(store, lambda _result, _seq: None)

    def author(self, room: Room, author_id: str) -> Author | None:
        """Who has that id, as far as they are here or what they said is kept."""
        return room.people.get(author_id) or room.author(author_id)

    async def find_author(self, room: Room, author_id: str) -> Author | None:
        """Who has that id, if they ever said something here."""
        if (found := self.author(room, author_id)) is not None:
            return found
        record = await self._repository.last_of(room.stream_id, author_id)
        return None if record is None else from_record(record).author

    @property
    def journal(self) -> Journal:
        """What else is written with the chat's changes; set it before the service starts."""
        return self._writer.journal

    @journal.setter
    def journal(self, journal: Journal) -> None:
        self._writer.journal = journal

    async def ban(
        self,
        room: Room,
        by: Actor,
        message_id: int,
        *,
        seconds: float | None,
        reason: str,
        messages: bool,
        watching: bool = False,
    ) -> None:
        """Ban the author of a message, as `act` does. Raises a `RefusalError`."""
        if isinstance(self.moderation, NoModeration):
            order = Order(by, message_id=message_id, seconds=seconds, reason=reason, messages=messages)
            await self.banning.ban(room, order)
            return
        value = {"messages": messages, "watching": watching}
        await self.moderation.act(room, by, "ban", message_id=message_id, seconds=seconds, reason=reason, value=value)

    async def who(self, room: Room, author_id: str) -> dict[str, Any] | None:
        """What moderators are told of somebody; None when nobody is known under that id."""
        author = await self.find_author(room, author_id)
        if author is None:
            return None
        known = self.moderation.who_json(room, author)
        guest = await self._repository.guest(author_id)
        if guest is not None:
            known = {**known, "since": guest.created_at.isoformat(timespec="milliseconds")[:23] + "Z"}
        if tag := tag_of(room.origin_of(author_id) or ("" if guest is None else guest.address_hash)):
            known = {**known, "tag": tag}
        return known

    def reaction_key(self, room: Room, message_id: int, key: str) -> str:
        """What a page may react with: an emoji, an emote of the room, or what others reacted with already.

        Words would be a message that no rule looks at. Raises `NotAllowedError`.
        """
        message = room.get(message_id)
        if message is not None and message.reactions is not None and key in message.reactions:
            return key
        if is_emoji(key) or any(key == f":{emote.code}:" for emote in room.emotes):
            return key
        raise NotAllowedError("React with an emoji, or with an emote of this chat.")

    def check_join(self, room: Room, visitor: Visitor, name: str) -> None:
        """Somebody wants a name. Raises a `RefusalError`, among them `WorkNeededError`."""
        self.check_ban(room, visitor)
        self.moderation.check_join(room, visitor, name)
        self.banning.admit(room, visitor)

    def check_ban(self, room: Room, visitor: Visitor) -> None:
        """See `Banning.check`."""
        self.banning.check(room, visitor)

    def find_ban(self, room: Room, visitor: Visitor) -> Ban | None:
        """See `Banning.find`."""
        return self.banning.find(room, visitor)

    # -- what the studio does

    async def bans(self, stream: str) -> list[Ban]:
        """See `Banning.bans`."""
        return await self.banning.bans(stream)

    async def lift(self, stream: str, ban_id: int, by: str) -> None:
        """See `Banning.lift`."""
        await self.banning.lift(stream, ban_id, by)

    # -- tasks

    async def _load(self, stream: str) -> Room | OpeningError:
        """The room, or why there is none: several may wait for it, or nobody any more."""
        try:
            room = Room(stream, await self._stream(stream), history=self._config.history)
            records = await self._repository.recent(room.stream_id, kept(self._config.history))
            deletions = await self._repository.deletions(room.stream_id, after=0, limit=DELETIONS)
            messages = [from_record(record) for record in records]
            reactions = await self._repository.reactions([message.id for message in messages if message.changed])
            older = 0
            if len(messages) >= kept(self._config.history):
                older = await self._repository.newest_change(room.stream_id, before=messages[0].id)
            stored = await self.banning.load(room)
            await self.moderation.load(room)
        except _READING as error:
            _log.warning("a chat could not be loaded", stream=stream, error=str(error))
            return UnavailableError("The chat cannot be opened at the moment. Try again in a minute.")
        except UnknownStreamError as error:
            return error
        room.load(messages, deletions, stored, reactions=reactions, older_change=older)
        room.listeners.update([observe(room) for observe in self._observers])
        self._rooms[stream] = room
        await self._check(room)  # that the stream was removed is told to rooms that are known
        self._clock.call_later(_EMPTY_ROOM, lambda: self._forget(room))  # if who asked for it has gone
        return room

    async def _stream(self, stream: str) -> StreamKey:
        found = await self._repository.stream(stream)
        if found is None:
            raise _no_stream()
        return found

    def _forget(self, room: Room) -> None:
        if not room.users and not room.pending and self._rooms.get(room.stream) is room:
            del self._rooms[room.stream]

    def _on_broken(self, room: Room) -> None:
        self._scope.spawn(self._check(room), name=f"check {room.stream}")

    async def _listen(self) -> None:
        events = self._hub.listen()
        missed = 0
        try:
            async for event in events:
                if isinstance(event, StreamRecordChanged) and (room := self._rooms.get(event.stream)) is not None:
                    await self._check(room)
                if events.dropped != missed:
                    missed = events.dropped
                    for room in list(self._rooms.values()):
                        await self._check(room)
        finally:
            self._hub.unlisten(events)

    async def _check(self, room: Room) -> None:
        """Close `room` when its stream is gone, or is another one of the same name."""
        while True:
            try:
                found = await self._repository.stream(room.stream)
            except _READING as error:
                _log.warning("a stream could not be looked up", stream=room.stream, error=str(error))
                await asyncio.sleep(1.0)
                continue
            if found != room.key and self._rooms.get(room.stream) is room:
                await self.close_room(room.stream)
            return


def _not_yours() -> NotAllowedError:
    return NotAllowedError("You can only delete what you wrote yourself.")


def _no_stream() -> UnknownStreamError:
    return UnknownStreamError("There is no stream of that name.")
