"""The bridge to Matrix as stored: rooms, what waits for the homeserver, ghosts, people, links.

Messages wait in `chat_messages` itself: a room's `cursor` is the newest number of the chat's counter that the
homeserver has, and everything above it is still to be sent. Which event is which message is in `chat_events`
(`db.chat`). What else waits (edits, deletions, reactions, acts) is written by `add_pending` in the transaction that
stores it, so that nothing is lost between the two.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects import sqlite

from ghostlive.db.asyncengine import AsyncConnection
from ghostlive.db.engine import Database
from ghostlive.db.matrixtables import matrix_codes as codes
from ghostlive.db.matrixtables import matrix_ghosts as ghosts
from ghostlive.db.matrixtables import matrix_links as links
from ghostlive.db.matrixtables import matrix_pending as pending
from ghostlive.db.matrixtables import matrix_people as people
from ghostlive.db.matrixtables import matrix_rooms as rooms
from ghostlive.db.matrixtables import matrix_transactions as transactions
from ghostlive.db.moderationtables import chat_moderators as moderators
from ghostlive.db.tables import chat_events as events
from ghostlive.db.tables import chat_guests as guests
from ghostlive.db.tables import chat_messages as messages
from ghostlive.db.tables import streams

_GHOST = (ghosts.c.author, ghosts.c.membership, ghosts.c.name)
STREAM, SPACE = "stream", "space"
"""Kinds of rooms."""
LATER = "later"
BACK = "back"
"""A kind of what waits: until its `seq`, which is a time in milliseconds, has come."""


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """A room as stored."""

    id: int
    stream_id: int | None
    """None for the space, and for the room of a stream that was removed and that is still to be closed."""
    stream: str
    """The name of the stream; empty for the space."""
    kind: str
    room_id: str | None
    """At the homeserver; None while it has not been made."""
    version: str
    state: Mapping[str, Any]
    """What was put there, so that only what differs is put again."""
    cursor: int
    created_at: datetime


class OutgoingRecord(NamedTuple):
    """A message of the chat, as far as the homeserver is to get it."""

    id: int
    author: str
    name: str
    role: str
    kind: str
    text: str
    html: str | None
    reply_to: int | None
    sent_at: datetime
    deleted: bool
    known: bool
    """It came from the homeserver, or is there already."""
    extra: str | None = None
    """See `db.chat.MessageRecord`."""


class DeletionRecord(NamedTuple):
    """A message that the homeserver has and that was taken away."""

    seq: int
    message_id: int
    event_id: str
    by: str | None


class Outgoing(NamedTuple):
    """What the homeserver has not got yet."""

    messages: "list[OutgoingRecord]"
    deletions: list[DeletionRecord]
    others: "list[PendingRecord]"


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits for the homeserver."""

    messages: int
    others: int
    oldest: datetime | None
    """When the first of the messages was said."""


@dataclass(frozen=True, slots=True)
class PendingRecord:
    """Something that waits for the homeserver and is not a message."""

    id: int
    seq: int
    kind: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GhostRecord:
    """What is known of a ghost in one room."""

    author: str
    membership: str
    """`join`, `leave` or `ban`."""
    name: str


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """Somebody who came by Matrix."""

    id: str
    mxid: str
    name: str
    avatar: str | None
    """An `mxc:` address."""
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """An account or guest that belongs to a Matrix ID."""

    author: str
    mxid: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CodeRecord:
    """A one-time code, of which only the hash is stored."""

    code_hash: str = field(repr=False)
    author: str
    expires_at: datetime


async def add_pending(
    connection: AsyncConnection, stream_id: int, *, seq: int, kind: str, payload: Mapping[str, Any]
) -> None:
    """Let something wait for the homeserver, in the transaction of `connection`."""
    values = {"stream_id": stream_id, "seq": seq, "kind": kind, "payload": json.dumps(payload, ensure_ascii=False)}
    await connection.execute(insert(pending).values(values))


async def pass_cursor(connection: AsyncConnection, room: int, cursor: int, done: Collection[int] = ()) -> None:
    """The homeserver has everything up to `cursor`, and the pending things `done`."""
    await connection.execute(update(rooms).where(rooms.c.id == room, rooms.c.cursor < cursor).values(cursor=cursor))
    for some in _chunks(done):
        await connection.execute(delete(pending).where(pending.c.id.in_(some)))


async def note_transaction(connection: AsyncConnection, txn: str, *, at: datetime) -> bool:
    """Note a transaction of the homeserver, in that of `connection`; False when it was noted before."""
    values = {"id": txn, "seen_at": at}
    statement = _insert_into(connection)(transactions).on_conflict_do_nothing().returning(transactions.c.id)
    return (await connection.execute(statement.values(values))).scalar() is not None


class MatrixRepository:
    """The tables `matrix_…`."""

    def __init__(self, database: Database) -> None:
        """`database` is open while the repository is used."""
        self.database = database

    # -- rooms

    async def rooms(self) -> list[RoomRecord]:
        """All rooms, also those that are still to be made or closed, and the space."""
        async with self.database.read() as connection:
            return [_room(row) for row in (await connection.execute(select(rooms).order_by(rooms.c.id))).mappings()]

    async def room(self, stream: str) -> RoomRecord | None:
        """The room of a stream that exists; the space for an empty name."""
        mine = (rooms.c.stream == stream) & or_(rooms.c.stream_id.is_not(None), rooms.c.kind == SPACE)
        async with self.database.read() as connection:
            row = (await connection.execute(select(rooms).where(mine))).mappings().first()
        return None if row is None else _room(row)

    async def stream_of(self, room_id: str) -> str | None:
        """The stream whose room that is; empty for the space and for a room that is closed, None for none of ours."""
        query = select(rooms.c.stream, rooms.c.stream_id).where(rooms.c.room_id == room_id)
        async with self.database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return "" if row.stream_id is None else str(row.stream)

    async def ensure_rooms(self, *, now: datetime, history_before: datetime) -> list[str]:
        """Make rows for streams that have none; the names of those.

        What was said before `history_before` is not sent: it was before there was a bridge.
        """
        missing = select(streams.c.id, streams.c.name).where(
            streams.c.id.not_in(select(rooms.c.stream_id).where(rooms.c.stream_id.is_not(None)))
        )
        added = []
        async with self.database.write() as connection:
            for stream_id, name in (await connection.execute(missing)).all():
                old = (messages.c.stream_id == stream_id) & (messages.c.sent_at < history_before)
                cursor = await connection.scalar(select(func.max(messages.c.id)).where(old)) or 0
                values = {"stream_id": stream_id, "stream": name, "kind": STREAM, "cursor": cursor, "created_at": now}
                await connection.execute(insert(rooms).values(values))
                added.append(name)
        return added

    async def ensure_space(self, *, now: datetime) -> RoomRecord:
        """The row of the space, made when there is none."""
        found = await self.room("")
        if found is None:
            async with self.database.write() as connection:
                await connection.execute(insert(rooms).values(stream="", kind=SPACE, created_at=now))
            found = await self.room("")
        assert found is not None
        return found

    async def set_room(
        self,
        room: int,
        *,
        room_id: str | None = None,
        version: str | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what a room is at the homeserver; what is None stays."""
        values: dict[str, Any] = {"room_id": room_id, "version": version}
        values["state"] = None if state is None else json.dumps(state, ensure_ascii=False)
        values = {name: value for name, value in values.items() if value is not None}
        if values:
            async with self.database.write() as connection:
                await connection.execute(update(rooms).where(rooms.c.id == room).values(values))

    async def replace_room(
        self, room: int, room_id: str | None, *, version: str = "", left: Mapping[str, Any] | None = None
    ) -> None:
        """Another room takes the place of this one (None: it is to be made again); its ghosts are not in there.

        With `left`, the one before stays noted in that state, as no stream's any more, with the ghosts that are in it.
        """
        async with self.database.write() as connection:
            found = (await connection.execute(select(rooms).where(rooms.c.id == room))).mappings().first()
            values = {"room_id": room_id, "version": version, "state": "{}"}
            await connection.execute(update(rooms).where(rooms.c.id == room).values(values))
            if left is not None and found is not None and found["room_id"] is not None:
                before = {name: found[name] for name in ("room_id", "kind", "version", "created_at")}
                old = insert(rooms).values(**before, stream="", state=json.dumps(left)).returning(rooms.c.id)
                number = (await connection.execute(old)).scalar_one()
                theirs = (ghosts.c.room == room) & (ghosts.c.membership == "join")
                await connection.execute(update(ghosts).where(theirs).values(room=number))
            await connection.execute(delete(ghosts).where(ghosts.c.room == room))

    async def forget_room(self, room: int) -> None:
        """A room that was closed."""
        async with self.database.write() as connection:
            await connection.execute(delete(rooms).where(rooms.c.id == room))

    # -- what waits

    async def outgoing(self, stream_id: int, *, after: int, limit: int, now_ms: int) -> Outgoing:
        """What the homeserver has not got yet, as numbers above `after`; messages and others are at most `limit` each.

        What may be about a message is read before messages are: then that message is among them, or was before.
        """
        now = or_(pending.c.kind != LATER, pending.c.seq <= now_ms)
        due = (pending.c.stream_id == stream_id) & (pending.c.kind != BACK) & now
        waiting = select(pending).where(due).order_by(pending.c.seq, pending.c.id)
        gone = (
            select(messages.c.deleted_seq, messages.c.id, events.c.event_id, messages.c.deleted_by)
            .join(events, (events.c.message_id == messages.c.id) & (events.c.kind == "message"))
            .where(messages.c.stream_id == stream_id, messages.c.deleted_seq > after)
            .order_by(messages.c.deleted_seq, messages.c.id)
        )
        columns = (
            messages.c.id,
            messages.c.author,
            messages.c.name,
            messages.c.role,
            messages.c.kind,
            messages.c.text,
            messages.c.html,
            messages.c.reply_to,
            messages.c.sent_at,
            messages.c.deleted_seq.is_not(None),
            exists().where(events.c.message_id == messages.c.id, events.c.kind == "message"),
            messages.c.extra,
        )
        said = select(*columns).where(messages.c.stream_id == stream_id, messages.c.id > after).order_by(messages.c.id)
        async with self.database.read() as connection:
            others = [
                PendingRecord(row["id"], row["seq"], row["kind"], json.loads(row["payload"]))
                for row in (await connection.execute(waiting.limit(limit))).mappings()
            ]
            deletions = [DeletionRecord(*row) for row in await connection.execute(gone)]
            rows = await connection.execute(said.limit(limit))
            return Outgoing([OutgoingRecord(*row) for row in rows], deletions, others)

    async def waiting(self, stream_id: int, *, after: int) -> Waiting:
        """How much there is that `outgoing` would give."""
        theirs = exists().where(events.c.message_id == messages.c.id, events.c.kind == "message")
        mine = (
            (messages.c.stream_id == stream_id) & (messages.c.id > after) & messages.c.deleted_seq.is_(None) & ~theirs
        )
        async with self.database.read() as connection:
            count, oldest = (
                await connection.execute(select(func.count(), func.min(messages.c.sent_at)).where(mine))
            ).one()
            beside = (pending.c.stream_id == stream_id) & pending.c.kind.not_in((LATER, BACK))
            others = await connection.scalar(select(func.count()).select_from(pending).where(beside))
        return Waiting(count, others or 0, oldest)

    async def keep_errands(self, errands: Sequence[tuple[int, Mapping[str, Any]]]) -> list[int]:
        """Note what is to be done in rooms of streams (by their ids) at once, in nobody's order; their numbers."""
        numbers: list[int] = []
        if not errands:
            return numbers
        async with self.database.write() as connection:
            for stream_id, payload in errands:
                values = {"stream_id": stream_id, "seq": 0, "kind": BACK, "payload": json.dumps(payload)}
                numbers.append(
                    (await connection.execute(insert(pending).values(values).returning(pending.c.id))).scalar_one()
                )
        return numbers

    async def errands(self) -> list[PendingRecord]:
        """What was noted by `keep_errands` and not forgotten, oldest first."""
        query = select(pending).where(pending.c.kind == BACK).order_by(pending.c.id)
        async with self.database.read() as connection:
            return [
                PendingRecord(row["id"], row["seq"], row["kind"], json.loads(row["payload"]))
                for row in (await connection.execute(query)).mappings()
            ]

    async def forget_errand(self, number: int) -> None:
        """It is done."""
        async with self.database.write() as connection:
            await connection.execute(delete(pending).where(pending.c.id == number))

    async def do_later(self, stream_id: int, mxid: str, act: str, *, at_ms: int | None) -> None:
        """Do something with somebody at that time instead of any earlier arranged one; with None, never."""
        payload = json.dumps({"act": act, "mxid": mxid}, ensure_ascii=False)
        theirs = (pending.c.stream_id == stream_id) & (pending.c.kind == LATER) & (pending.c.payload == payload)
        async with self.database.write() as connection:
            await connection.execute(delete(pending).where(theirs))
            if at_ms is not None:
                values = {"stream_id": stream_id, "seq": at_ms, "kind": LATER, "payload": payload}
                await connection.execute(insert(pending).values(values))

    async def postpone(self, number: int, payload: Mapping[str, Any], *, until_ms: int) -> None:
        """Let one of those that wait be done at that time, and be no hindrance to others before."""
        values = {"kind": LATER, "seq": until_ms, "payload": json.dumps(payload, ensure_ascii=False)}
        async with self.database.write() as connection:
            await connection.execute(update(pending).where(pending.c.id == number).values(values))

    async def due(self, now_ms: int) -> list[int]:
        """Streams in which something is to be done now."""
        query = select(pending.c.stream_id).where(pending.c.kind == LATER, pending.c.seq <= now_ms).distinct()
        async with self.database.read() as connection:
            return list(await connection.scalars(query))

    # -- ghosts

    async def ghosts(self, room: int) -> list[GhostRecord]:
        """All that were ever in that room."""
        query = select(ghosts.c.author, ghosts.c.membership, ghosts.c.name).where(ghosts.c.room == room)
        async with self.database.read() as connection:
            return [GhostRecord(**row) for row in (await connection.execute(query)).mappings()]

    async def has_ghosts(self, room: int) -> bool:
        """Whether any are in that room, as far as we know."""
        return bool(await self.present(room, limit=1))

    async def present(self, room: int, *, limit: int) -> list[GhostRecord]:
        """Some of those that are in that room."""
        query = select(*_GHOST).where(ghosts.c.room == room, ghosts.c.membership == "join")
        async with self.database.read() as connection:
            return [GhostRecord(*row) for row in await connection.execute(query.limit(limit))]

    async def away(self, room: int, stream_id: int, *, before: datetime, limit: int) -> list[GhostRecord]:
        """Some of those in that room who were not seen, and said nothing there, since that moment."""
        seen = exists().where(guests.c.id == ghosts.c.author, guests.c.last_seen_at >= before)
        spoke = exists().where(
            messages.c.stream_id == stream_id, messages.c.author == ghosts.c.author, messages.c.sent_at >= before
        )
        mine = (ghosts.c.room == room) & (ghosts.c.membership == "join")
        query = select(*_GHOST).where(mine, ~seen, ~spoke).limit(limit)
        async with self.database.read() as connection:
            return [GhostRecord(*row) for row in await connection.execute(query)]

    async def set_ghosts(self, room: int, some: Sequence[GhostRecord]) -> None:
        """Note memberships and names."""
        if not some:
            return
        async with self.database.write() as connection:
            statement = _insert_into(connection)(ghosts)
            statement = statement.on_conflict_do_update(
                index_elements=[ghosts.c.room, ghosts.c.author],
                set_={"membership": statement.excluded.membership, "name": statement.excluded.name},
            )
            rows = [{"room": room, "author": g.author, "membership": g.membership, "name": g.name} for g in some]
            await connection.execute(statement, rows)

    # -- transactions of the homeserver

    async def seen_transaction(self, txn: str) -> bool:
        """Whether it was dealt with before."""
        query = select(transactions.c.id).where(transactions.c.id == txn)
        async with self.database.read() as connection:
            return await connection.scalar(query) is not None

    async def note_transaction(self, txn: str, *, at: datetime) -> bool:
        """It is dealt with; False when it was before."""
        async with self.database.write() as connection:
            return await note_transaction(connection, txn, at=at)

    async def forget_transactions(self, *, before: datetime) -> int:
        """Forget those that were seen before that moment: the homeserver sends them no more."""
        async with self.database.write() as connection:
            return (await connection.execute(delete(transactions).where(transactions.c.seen_at < before))).rowcount

    # -- people

    async def person(self, mxid: str) -> PersonRecord | None:
        """Who has that Matrix ID."""
        async with self.database.read() as connection:
            row = (await connection.execute(select(people).where(people.c.mxid == mxid))).mappings().first()
        return None if row is None else PersonRecord(**row)

    async def people(self, ids: Collection[str]) -> dict[str, PersonRecord]:
        """Those of the people (`m_…`) that are known."""
        found = {}
        async with self.database.read() as connection:
            for some in _chunks(ids):
                rows = await connection.execute(select(people).where(people.c.id.in_(some)))
                found.update({row["id"]: PersonRecord(**row) for row in rows.mappings()})
        return found

    async def set_person(self, person: PersonRecord) -> None:
        """Note who somebody is now."""
        await self.set_people([person])

    async def set_people(self, some: Sequence[PersonRecord]) -> None:
        """Note who they are now."""
        rows = [{name: getattr(person, name) for name in PersonRecord.__dataclass_fields__} for person in some]
        if not rows:
            return
        async with self.database.write() as connection:
            statement = _insert_into(connection)(people)
            new = statement.excluded
            changed = {"name": new.name, "avatar": new.avatar, "seen_at": new.seen_at}
            await connection.execute(statement.on_conflict_do_update(index_elements=[people.c.id], set_=changed), rows)

    async def moderators(self, stream_id: int) -> list[str]:
        """Who was made a moderator of a stream's chat: accounts (`u_…`) and Matrix IDs."""
        query = select(moderators.c.subject).where(moderators.c.stream_id == stream_id)
        async with self.database.read() as connection:
            return list(await connection.scalars(query))

    # -- links and codes

    async def links(self) -> list[LinkRecord]:
        """All of them."""
        async with self.database.read() as connection:
            return [LinkRecord(**row) for row in (await connection.execute(select(links))).mappings()]

    async def link_of(self, author: str) -> LinkRecord | None:
        """To which Matrix ID an account or guest belongs."""
        async with self.database.read() as connection:
            row = (await connection.execute(select(links).where(links.c.author == author))).mappings().first()
        return None if row is None else LinkRecord(**row)

    async def linked_to(self, mxid: str) -> list[LinkRecord]:
        """Which accounts and guests belong to a Matrix ID, oldest first."""
        query = select(links).where(links.c.mxid == mxid).order_by(links.c.created_at, links.c.author)
        async with self.database.read() as connection:
            return [LinkRecord(**row) for row in (await connection.execute(query)).mappings()]

    async def linked(self, mxids: Collection[str]) -> set[str]:
        """Those of the Matrix IDs to which any account or guest belongs."""
        found: set[str] = set()
        async with self.database.read() as connection:
            for some in _chunks(mxids):
                found.update(await connection.scalars(select(links.c.mxid).where(links.c.mxid.in_(some))))
        return found

    async def link(self, author: str, mxid: str, *, at: datetime) -> None:
        """From now on `author` belongs to `mxid`."""
        async with self.database.write() as connection:
            await link(connection, author, mxid, at=at)

    async def unlink(self, author: str) -> bool:
        """The opposite of `link`; False when there was no link."""
        async with self.database.write() as connection:
            return (await connection.execute(delete(links).where(links.c.author == author))).rowcount > 0

    async def add_code(self, code: CodeRecord) -> None:
        """Store a code; an older one of the same author is void."""
        async with self.database.write() as connection:
            await connection.execute(delete(codes).where(codes.c.author == code.author))
            values = {"code_hash": code.code_hash, "author": code.author, "expires_at": code.expires_at}
            await connection.execute(insert(codes).values(values))

    async def codes(self, *, now: datetime) -> list[CodeRecord]:
        """All codes that are still good."""
        query = select(codes.c.code_hash, codes.c.author, codes.c.expires_at).where(codes.c.expires_at > now)
        async with self.database.read() as connection:
            return [CodeRecord(*row) for row in await connection.execute(query)]

    async def forget_codes(self, *, before: datetime) -> None:
        """Remove codes that were good until then."""
        async with self.database.write() as connection:
            await connection.execute(delete(codes).where(codes.c.expires_at <= before))

    async def forget_code_of(self, author: str) -> None:
        """Remove the code of an account or browser."""
        async with self.database.write() as connection:
            await connection.execute(delete(codes).where(codes.c.author == author))

    async def redeem_code(self, code_hash: str, *, now: datetime) -> str | None:
        """The author of a code that is still good, which it is once; None when it is not."""
        async with self.database.write() as connection:
            await connection.execute(delete(codes).where(codes.c.expires_at <= now))
            statement = delete(codes).where(codes.c.code_hash == code_hash).returning(codes.c.author)
            author: str | None = (await connection.execute(statement)).scalar()
        return author


async def link(connection: AsyncConnection, author: str, mxid: str, *, at: datetime) -> None:
    """From now on `author` belongs to `mxid`, in the transaction of `connection`."""
    statement = _insert_into(connection)(links).values(author=author, mxid=mxid, created_at=at)
    changed = {"mxid": mxid, "created_at": at}
    await connection.execute(statement.on_conflict_do_update(index_elements=[links.c.author], set_=changed))


def _insert_into(connection: AsyncConnection) -> Any:
    """`INSERT` with `ON CONFLICT`, which each database has for itself."""
    if connection.dialect.name == "postgresql":
        # A tenth of a second, which only its users shall pay.
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        return postgresql.insert
    return sqlite.insert


def _chunks(values: Collection[Any]) -> list[list[Any]]:
    every = list(values)
    return [every[at : at + 500] for at in range(0, len(every), 500)]


def _room(row: RowMapping) -> RoomRecord:
    values = dict(row)
    values["state"] = json.loads(values["state"])
    return RoomRecord(**values)
