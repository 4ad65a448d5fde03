"""The chat as stored: guests and messages (bans: `db.bans`). `chat.service` is the only one that writes here.

`id` of a message and `deleted_seq` of one that is gone come from one counter, which the service keeps. Whatever belongs
together is written in one `ChatTransaction`, which may be tried again as a whole: nothing in it counts twice.
"""

import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Insert, RowMapping, Select, Table, delete, func, or_, select, update
from sqlalchemy.dialects import sqlite

from ghostlive.db.asyncengine import AsyncConnection
from ghostlive.db.bantables import chat_bans as bans
from ghostlive.db.engine import Database
from ghostlive.db.tables import chat_events as events
from ghostlive.db.tables import chat_guests as guests
from ghostlive.db.tables import chat_media as media
from ghostlive.db.tables import chat_messages as messages
from ghostlive.db.tables import chat_reactions as reactions
from ghostlive.db.tables import streams

T = TypeVar("T")
_PARAMETERS = 500
"""Values in one `IN (…)`."""
_reply = messages.alias("reply")
_FORGOTTEN: dict[str, Any] = {"text": "", "html": None, "extra": None}
"""What is left of a deleted message."""


class StreamKey(NamedTuple):
    """Which stream it is: the number of one that was removed is given again."""

    id: int
    created_at: datetime


class NewMessage(NamedTuple):
    """A message that is to be stored."""

    id: int
    stream_id: int
    author: str
    txn: str
    name: str
    role: str
    text: str
    reply_to: int | None
    sent_at: datetime
    kind: str = "text"
    mxid: str | None = None
    html: str | None = None
    extra: str | None = None
    """JSON: `avatar` of the author and `media`, where there are any."""


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message as stored, with what it answers."""

    id: int
    author: str
    txn: str
    name: str
    role: str
    text: str
    sent_at: datetime
    reply_to: int | None
    reply_name: str | None
    """None when there is no reply, or the message it answers is not stored any more."""
    reply_text: str | None
    """None also when the message it answers was deleted."""
    kind: str = "text"
    mxid: str | None = None
    html: str | None = None
    extra: str | None = None
    edited_at: datetime | None = None
    changed_seq: int | None = None
    """The number of the last edit or reaction."""


class ReactionRecord(NamedTuple):
    """Somebody reacted to a message."""

    message_id: int
    author: str
    key: str


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event of Matrix that belongs to a message."""

    event_id: str
    message_id: int
    kind: str
    """`message`, `edit` or `reaction`."""
    author: str
    """Whose reaction it is."""
    key: str
    """With what they reacted."""


@dataclass(frozen=True, slots=True)
class MediaRecord:
    """Something that pages may get from the homeserver through us."""

    id: str
    mxc: str
    type: str
    """What its sender said that it is; empty when they did not."""


@dataclass(frozen=True, slots=True)
class GuestRecord:
    """A guest as stored."""

    id: str
    token_hash: str = field(repr=False)
    name: str
    address_hash: str = field(repr=False)
    created_at: datetime
    last_seen_at: datetime


_MESSAGE_COLUMNS = [
    messages.c.id,
    messages.c.author,
    messages.c.txn,
    messages.c.name,
    messages.c.role,
    messages.c.text,
    messages.c.sent_at,
    messages.c.reply_to,
    messages.c.kind,
    messages.c.mxid,
    messages.c.html,
    messages.c.extra,
    messages.c.edited_at,
    messages.c.changed_seq,
    _reply.c.name.label("reply_name"),
    _reply.c.text.label("reply_text"),
    _reply.c.deleted_seq.label("reply_deleted"),
]
_EVENT_COLUMNS = (events.c.event_id, events.c.message_id, events.c.kind, events.c.author, events.c.key)


class ChatTransaction:
    """What may be written in one transaction; stored when its block ends well, and then for good."""

    def __init__(self, connection: AsyncConnection) -> None:
        """`connection` is in a transaction; who stores with it what belongs to a message has their own tables."""
        self.connection = connection

    async def add_messages(self, new: Sequence[NewMessage]) -> set[int]:
        """Store messages; the ids of those that were. One whose author used its txn before is left out."""
        rows = [message._asdict() for message in new]
        stored = await self.connection.execute(_adding_messages(self.connection.dialect.name), rows)
        return set(stored.scalars())

    async def messages(self, stream_id: int, ids: Collection[int]) -> dict[int, MessageRecord]:
        """Those of the messages that are stored and not deleted."""
        found: dict[int, MessageRecord] = {}
        for some in _chunks(ids):
            for record in await _messages(self.connection, _alive(stream_id) & messages.c.id.in_(some)):
                found[record.id] = record
        return found

    async def find_txn(self, stream_id: int, author: str, txn: str) -> int | None:
        """The id of the message that `author` stored under that name, deleted or not."""
        condition = (messages.c.stream_id == stream_id) & (messages.c.author == author) & (messages.c.txn == txn)
        found: int | None = await self.connection.scalar(select(messages.c.id).where(condition))
        return found

    async def messages_of(self, stream_id: int, author: str) -> list[int]:
        """Ids of all that `author` said and that is not deleted, oldest first."""
        query = select(messages.c.id).where(_alive(stream_id) & (messages.c.author == author)).order_by(messages.c.id)
        return list(await self.connection.scalars(query))

    async def delete_messages(self, ids: Collection[int], *, seq: int, by: str) -> None:
        """Take messages away: their words and pictures are gone, that they were there is kept."""
        for some in _chunks(ids):
            await self._forget_pictures(some)
            statement = update(messages).where(messages.c.id.in_(some), messages.c.deleted_seq.is_(None))
            await self.connection.execute(statement.values(deleted_seq=seq, deleted_by=by, **_FORGOTTEN))
            await self.connection.execute(delete(reactions).where(reactions.c.message_id.in_(some)))

    async def _forget_pictures(self, ids: Sequence[int]) -> None:
        """Pages cannot get them any more. Stickers stay: others use the same."""
        pictures = select(messages.c.extra).where(
            messages.c.id.in_(ids), messages.c.kind == "image", messages.c.deleted_seq.is_(None)
        )
        gone = []
        for extra in (await self.connection.scalars(pictures)).all():
            url = (json.loads(extra or "{}").get("media") or {}).get("url") or ""
            gone.append(url.partition("?")[0].rpartition("/")[2])
        if gone:
            await self.connection.execute(delete(media).where(media.c.id.in_(gone)))

    async def edit_message(
        self, message_id: int, *, seq: int, text: str, html: str | None, extra: str | None, at: datetime
    ) -> None:
        """It says something else now."""
        values = {"text": text, "html": html, "extra": extra, "edited_at": at, "changed_seq": seq}
        await self.connection.execute(update(messages).where(messages.c.id == message_id).values(values))

    async def add_reaction(self, reaction: ReactionRecord, *, seq: int) -> bool:
        """Somebody reacts; False when they did so already."""
        statement = insert_into(self.connection.dialect.name)(reactions).on_conflict_do_nothing()
        values = {**reaction._asdict(), "seq": seq}
        added = await self.connection.execute(statement.values(values).returning(reactions.c.message_id))
        if added.scalar() is None:
            return False
        await self._changed(reaction.message_id, seq)
        return True

    async def remove_reaction(self, reaction: ReactionRecord, *, seq: int) -> bool:
        """Somebody takes a reaction back; False when there is none."""
        mine = (
            (reactions.c.message_id == reaction.message_id)
            & (reactions.c.author == reaction.author)
            & (reactions.c.key == reaction.key)
        )
        if not (await self.connection.execute(delete(reactions).where(mine))).rowcount:
            return False
        await self._changed(reaction.message_id, seq)
        return True

    async def reaction_keys(self, message_id: int) -> list[str]:
        """With what people reacted to a message."""
        query = select(reactions.c.key).where(reactions.c.message_id == message_id).distinct()
        return list(await self.connection.scalars(query))

    async def _changed(self, message_id: int, seq: int) -> None:
        await self.connection.execute(update(messages).where(messages.c.id == message_id).values(changed_seq=seq))

    async def add_event(
        self, stream_id: int, event_id: str, message_id: int, kind: str, *, author: str = "", key: str = ""
    ) -> bool:
        """Note which event belongs to a message; False when it was noted before.

        `author` and `key` are those of a reaction.
        """
        statement = insert_into(self.connection.dialect.name)(events).on_conflict_do_nothing()
        values = {
            "event_id": event_id,
            "stream_id": stream_id,
            "message_id": message_id,
            "kind": kind,
            "author": author,
            "key": key,
        }
        return (
            await self.connection.execute(statement.values(values).returning(events.c.event_id))
        ).scalar() is not None

    async def add_message_events(self, some: Iterable[tuple[int, str, int]]) -> None:
        """Note by which events messages came: (stream, event, message) of each."""
        beside = {"kind": "message", "author": "", "key": ""}
        rows = [
            {"stream_id": stream, "event_id": event, "message_id": message, **beside} for stream, event, message in some
        ]
        if rows:
            await self.connection.execute(
                insert_into(self.connection.dialect.name)(events).on_conflict_do_nothing(), rows
            )

    async def remove_event(self, event_id: str) -> None:
        """An event that was taken back, as reactions are."""
        await self.connection.execute(delete(events).where(events.c.event_id == event_id))

    async def event(self, stream_id: int, event_id: str) -> EventRecord | None:
        """To what an event belongs."""
        return await _event(self.connection, stream_id, event_id)

    async def events_of(self, ids: Collection[int], kind: str = "message") -> dict[int, str]:
        """The events of that kind that belong to messages, by message."""
        return await _events_of(self.connection, ids, kind)

    async def reaction_event(self, reaction: ReactionRecord) -> str | None:
        """The last event with which somebody reacted so."""
        return await _reaction_event(self.connection, reaction)

    async def add_media(self, some: Iterable[MediaRecord], *, at: datetime) -> None:
        """From now on pages may get these."""
        await self.add_media_of((one, at) for one in some)

    async def add_media_of(self, some: Iterable[tuple[MediaRecord, datetime]]) -> None:
        """From now on pages may get these, each since its own moment."""
        rows = [{"id": one.id, "mxc": one.mxc, "type": one.type, "created_at": at} for one, at in some]
        if rows:
            await self.connection.execute(
                insert_into(self.connection.dialect.name)(media).on_conflict_do_nothing(), rows
            )

    async def guest(self, guest_id: str) -> GuestRecord | None:
        """The guest of that id."""
        return await _guest(self.connection, guests.c.id == guest_id)

    async def add_guest(self, guest: GuestRecord) -> None:
        """Store a new guest."""
        statement = insert_into(self.connection.dialect.name)(guests).on_conflict_do_nothing()
        await self.connection.execute(
            statement.values(
                id=guest.id,
                token_hash=guest.token_hash,
                name=guest.name,
                address_hash=guest.address_hash,
                created_at=guest.created_at,
                last_seen_at=guest.last_seen_at,
            )
        )

    async def see_guest(self, guest_id: str, *, name: str, address_hash: str, at: datetime) -> None:
        """Note how a guest is called, from where they come, and when."""
        statement = update(guests).where(guests.c.id == guest_id)
        await self.connection.execute(statement.values(name=name, address_hash=address_hash, last_seen_at=at))


class ChatRepository:
    """The tables of guests and messages."""

    def __init__(self, database: Database) -> None:
        """`database` is open while the repository is used."""
        self._database = database

    @property
    def database(self) -> Database:
        """For what else is stored beside it."""
        return self._database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ChatTransaction]:
        """Write several things, all or none."""
        async with self._database.write() as connection:
            yield ChatTransaction(connection)

    async def stream(self, name: str) -> StreamKey | None:
        """The stream of that name; None when there is none."""
        query = select(streams.c.id, streams.c.created_at).where(streams.c.name == name)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else StreamKey(row[0], row[1])

    async def newest(self) -> int:
        """The highest number that the counter has given, as far as it is stored."""
        async with self._database.read() as connection:
            ids = await connection.scalar(select(func.max(messages.c.id)))
            deletions = await connection.scalar(select(func.max(messages.c.deleted_seq)))
            changes = await connection.scalar(select(func.max(messages.c.changed_seq)))
        return max(ids or 0, deletions or 0, changes or 0)

    async def recent(self, stream_id: int, limit: int) -> list[MessageRecord]:
        """The last messages that are not deleted, oldest first."""
        async with self._database.read() as connection:
            return (await _messages(connection, _alive(stream_id), limit))[::-1]

    async def deletions(self, stream_id: int, *, after: int, limit: int) -> list[tuple[int, int]]:
        """The last deletions whose number is above `after`, as (number, message), in order."""
        query = (
            select(messages.c.deleted_seq, messages.c.id)
            .where(messages.c.stream_id == stream_id, messages.c.deleted_seq > after)
            .order_by(messages.c.deleted_seq.desc(), messages.c.id.desc())
            .limit(limit)
        )
        async with self._database.read() as connection:
            return [(row[0], row[1]) for row in await connection.execute(query)][::-1]

    async def reactions(self, ids: Collection[int]) -> list[ReactionRecord]:
        """What people reacted to messages with, in the order in which they did."""
        found: list[ReactionRecord] = []
        columns = (reactions.c.message_id, reactions.c.author, reactions.c.key)
        async with self._database.read() as connection:
            for some in _chunks(ids):
                query = select(*columns).where(reactions.c.message_id.in_(some)).order_by(reactions.c.seq)
                found += [ReactionRecord(*row) for row in await connection.execute(query)]
        return found

    async def newest_change(self, stream_id: int, *, before: int) -> int:
        """The highest number of an edit of, or reaction to, messages whose id is below `before`; 0 without any."""
        older = (messages.c.stream_id == stream_id) & (messages.c.id < before)
        async with self._database.read() as connection:
            return await connection.scalar(select(func.max(messages.c.changed_seq)).where(older)) or 0

    async def event(self, stream_id: int, event_id: str) -> EventRecord | None:
        """To what an event of Matrix belongs."""
        async with self._database.read() as connection:
            return await _event(connection, stream_id, event_id)

    async def events(self, stream_id: int, ids: Collection[str]) -> dict[str, EventRecord]:
        """To what events of Matrix belong, as far as they belong to anything."""
        found: dict[str, EventRecord] = {}
        async with self._database.read() as connection:
            for some in _chunks(ids):
                query = select(*_EVENT_COLUMNS).where(events.c.event_id.in_(some), events.c.stream_id == stream_id)
                found.update([(row[0], EventRecord(*row)) for row in await connection.execute(query)])
        return found

    async def message_of(self, stream_id: int, event_id: str) -> int | None:
        """The message to which an event of Matrix belongs, of whatever kind it is."""
        found = await self.event(stream_id, event_id)
        return None if found is None else found.message_id

    async def events_of(self, ids: Collection[int], kind: str = "message") -> dict[int, str]:
        """The events of that kind that belong to messages, by message."""
        async with self._database.read() as connection:
            return await _events_of(connection, ids, kind)

    async def reaction_event(self, reaction: ReactionRecord) -> str | None:
        """The last event with which somebody reacted so."""
        async with self._database.read() as connection:
            return await _reaction_event(connection, reaction)

    async def reaction_seq(self, reaction: ReactionRecord) -> int | None:
        """The number with which somebody reacted so; None when they do not any more."""
        mine = (
            (reactions.c.message_id == reaction.message_id)
            & (reactions.c.author == reaction.author)
            & (reactions.c.key == reaction.key)
        )
        async with self._database.read() as connection:
            seq: int | None = await connection.scalar(select(reactions.c.seq).where(mine))
        return seq

    async def messages(self, stream_id: int, ids: Collection[int]) -> dict[int, MessageRecord]:
        """Those of the messages that are stored and not deleted."""
        found: dict[int, MessageRecord] = {}
        async with self._database.read() as connection:
            for some in _chunks(ids):
                for record in await _messages(connection, _alive(stream_id) & messages.c.id.in_(some)):
                    found[record.id] = record
        return found

    async def last_of(self, stream_id: int, author: str) -> MessageRecord | None:
        """The last message of an author that is not deleted."""
        async with self._database.read() as connection:
            found = await _messages(connection, _alive(stream_id) & (messages.c.author == author), 1)
        return found[0] if found else None

    async def media(self, media_id: str) -> MediaRecord | None:
        """What pages may get under that id."""
        query = select(media.c.id, media.c.mxc, media.c.type).where(media.c.id == media_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else MediaRecord(**row)

    async def guest(self, guest_id: str) -> GuestRecord | None:
        """The guest of that id."""
        async with self._database.read() as connection:
            return await _guest(connection, guests.c.id == guest_id)

    async def guest_by_token(self, token_hash: str) -> GuestRecord | None:
        """The guest whose token has that hash."""
        async with self._database.read() as connection:
            return await _guest(connection, guests.c.token_hash == token_hash)

    async def purge_messages(self, *, before: datetime, limit: int) -> int:
        """Look at the `limit` oldest messages and remove those sent before that moment; how many went.

        The message with the highest number stays, so that no number is given twice after a restart.
        """
        oldest = select(messages.c.id, messages.c.sent_at).order_by(messages.c.id).limit(limit).subquery()
        highest = select(func.max(messages.c.id)).scalar_subquery()
        chosen = select(oldest.c.id).where(oldest.c.sent_at < before, oldest.c.id < highest)
        async with self._database.write() as connection:
            return (await connection.execute(delete(messages).where(messages.c.id.in_(chosen)))).rowcount

    async def purge_media(self, *, before: datetime) -> int:
        """Forget pictures of messages of before that moment; what has no type is a profile's or an emote."""
        async with self._database.write() as connection:
            old = (media.c.created_at < before) & (media.c.type != "")
            return (await connection.execute(delete(media).where(old))).rowcount

    async def purge_people(self, *, before: datetime) -> int:
        """Forget guests who were not seen since that moment, and bans that ended before it; how many guests went."""
        async with self._database.write() as connection:
            await connection.execute(delete(bans).where(or_(bans.c.expires_at < before, bans.c.lifted_at < before)))
            return (await connection.execute(delete(guests).where(guests.c.last_seen_at < before))).rowcount


@cache
def insert_into(dialect: str) -> Callable[[Table], Any]:
    """`INSERT` with `ON CONFLICT`, which each database has for itself."""
    if dialect == "postgresql":
        # A tenth of a second, which only its users shall pay.
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        return postgresql.insert
    return sqlite.insert


@cache
def _adding_messages(dialect: str) -> Insert:
    statement: Insert = insert_into(dialect)(messages).on_conflict_do_nothing().returning(messages.c.id)
    return statement


def _alive(stream_id: int) -> ColumnElement[bool]:
    return (messages.c.stream_id == stream_id) & messages.c.deleted_seq.is_(None)


def _chunks(ids: Iterable[T]) -> list[list[T]]:
    every = list(ids)
    return [every[at : at + _PARAMETERS] for at in range(0, len(every), _PARAMETERS)]


async def _messages(
    connection: AsyncConnection, condition: ColumnElement[bool], limit: int | None = None
) -> list[MessageRecord]:
    """Newest first."""
    joined = messages.outerjoin(
        _reply, (_reply.c.id == messages.c.reply_to) & (_reply.c.stream_id == messages.c.stream_id)
    )
    query: Select[Any] = select(*_MESSAGE_COLUMNS).select_from(joined).where(condition).order_by(messages.c.id.desc())
    rows = await connection.execute(query.limit(limit) if limit is not None else query)
    return [_message(row) for row in rows.mappings()]


def _message(row: RowMapping) -> MessageRecord:
    values = dict(row)
    if values.pop("reply_deleted") is not None:
        values["reply_text"] = None
    return MessageRecord(**values)


async def _event(connection: AsyncConnection, stream_id: int, event_id: str) -> EventRecord | None:
    query = select(*_EVENT_COLUMNS).where(events.c.event_id == event_id, events.c.stream_id == stream_id)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else EventRecord(**row)


async def _events_of(connection: AsyncConnection, ids: Collection[int], kind: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for some in _chunks(ids):
        query = select(events.c.message_id, events.c.event_id).where(
            events.c.message_id.in_(some), events.c.kind == kind
        )
        found.update([(row[0], row[1]) for row in await connection.execute(query)])
    return found


async def _reaction_event(connection: AsyncConnection, reaction: ReactionRecord) -> str | None:
    mine = (
        (events.c.message_id == reaction.message_id)
        & (events.c.author == reaction.author)
        & (events.c.key == reaction.key)
        & (events.c.kind == "reaction")
    )
    found: str | None = await connection.scalar(select(events.c.event_id).where(mine))
    return found


async def _guest(connection: AsyncConnection, condition: ColumnElement[bool]) -> GuestRecord | None:
    row = (await connection.execute(select(guests).where(condition))).mappings().first()
    return None if row is None else GuestRecord(**row)
