"""Moderation as stored. What is written is written in transactions of the chat (`db.chat`), beside what it is about."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, and_, delete, func, insert, or_, select, update

from ghostlive.db.asyncengine import AsyncConnection
from ghostlive.db.chat import ChatTransaction, insert_into
from ghostlive.db.engine import Database
from ghostlive.db.moderationtables import chat_audit as audit
from ghostlive.db.moderationtables import chat_held as held
from ghostlive.db.moderationtables import chat_moderators as moderators
from ghostlive.db.moderationtables import chat_rules as rules
from ghostlive.db.moderationtables import chat_trusted as trusted
from ghostlive.db.moderationtables import chat_watched as watched
from ghostlive.db.tables import chat_guests as guests
from ghostlive.db.tables import chat_messages as messages
from ghostlive.db.tables import streams, users
from ghostlive.db.users import Role


@dataclass(frozen=True, slots=True)
class NewHeld:
    """A message that is to wait."""

    stream_id: int
    author: str
    txn: str
    post: str = field(repr=False)
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """A message that waits, or waited."""

    id: int
    author: str
    txn: str
    post: str = field(repr=False)
    """As `Post.to_json` made it; empty when it was decided."""
    reason: str
    at: datetime
    decided_at: datetime | None
    message_id: int | None
    """The message that it became."""


class NamedRecord(NamedTuple):
    """A moderator (a subject) or somebody trusted (an author), and who named them."""

    subject: str
    name: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One line of the audit log."""

    at: datetime
    kind: str
    via: str
    actor: str
    actor_name: str
    actor_role: str
    actor_mxid: str | None = None
    target: str | None = None
    target_name: str | None = None
    target_mxid: str | None = None
    seconds: float | None = None
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


class AuthorRecord(NamedTuple):
    """How somebody is called, and what they were when they spoke last."""

    id: str
    name: str
    role: str
    mxid: str | None


@dataclass(frozen=True, slots=True)
class StoredModeration:
    """All that a room begins with."""

    rules: Mapping[str, Any]
    pinned: int | None
    held: Sequence[HeldRecord]
    moderators: Sequence[NamedRecord]
    trusted: Sequence[NamedRecord]
    watched: Sequence[tuple[str, int]]
    approved: Sequence[str]
    """Authors of whom a message that waited was let through."""
    warnings: Sequence[tuple[str, int]]
    """How often people were warned."""


_HELD_COLUMNS = [
    held.c.id,
    held.c.author,
    held.c.txn,
    held.c.post,
    held.c.reason,
    held.c.at,
    held.c.decided_at,
    held.c.message_id,
]


class ModerationTransaction:
    """What moderation writes in one transaction of the chat."""

    def __init__(self, transaction: ChatTransaction) -> None:
        """`transaction` is open."""
        self._connection = transaction.connection

    async def set_rules(self, stream_id: int, members: Mapping[str, Any]) -> None:
        """Store the rules of a stream."""
        await self._upsert_rules(stream_id, {"rules": json.dumps(members, ensure_ascii=False)})

    async def rules(self, stream_id: int) -> dict[str, Any]:
        """The rules of a stream, as they were stored."""
        found: str | None = await self._connection.scalar(select(rules.c.rules).where(rules.c.stream_id == stream_id))
        return {} if found is None else dict(json.loads(found))

    async def pin(self, stream_id: int, message_id: int | None) -> None:
        """Store which message is pinned."""
        await self._upsert_rules(stream_id, {"pinned": message_id})

    async def pinned(self, stream_id: int) -> int | None:
        """The message that is pinned."""
        found: int | None = await self._connection.scalar(select(rules.c.pinned).where(rules.c.stream_id == stream_id))
        return found

    async def hold(self, new: NewHeld) -> HeldRecord:
        """Let a message wait; what waits or waited under the same author and txn is returned as it is."""
        statement = insert_into(self._connection.dialect.name)(held).on_conflict_do_nothing()
        await self._connection.execute(
            statement.values(
                stream_id=new.stream_id,
                author=new.author,
                txn=new.txn,
                post=new.post,
                reason=new.reason,
                at=new.at,
            )
        )
        mine = (held.c.stream_id == new.stream_id) & (held.c.author == new.author) & (held.c.txn == new.txn)
        row = (await self._connection.execute(select(*_HELD_COLUMNS).where(mine))).mappings().one()
        return HeldRecord(**row)

    async def decide(self, stream_id: int, held_id: int, *, by: str, at: datetime, message_id: int | None) -> bool:
        """Store what became of a message that waited; False when that was decided already."""
        mine = (held.c.stream_id == stream_id) & (held.c.id == held_id) & held.c.decided_at.is_(None)
        statement = update(held).where(mine).values(decided_at=at, decided_by=by, message_id=message_id, post="")
        return (await self._connection.execute(statement)).rowcount > 0

    async def deny_all(self, stream_id: int, author: str, *, by: str, at: datetime) -> list[int]:
        """Nothing of what waits of `author` is ever said; the ids."""
        mine = (held.c.stream_id == stream_id) & (held.c.author == author) & held.c.decided_at.is_(None)
        statement = update(held).where(mine).values(decided_at=at, decided_by=by, post="").returning(held.c.id)
        return sorted(await self._connection.scalars(statement))

    async def name_moderator(self, stream_id: int, record: NamedRecord) -> bool:
        """Make somebody a moderator; False when they are one."""
        return await self._add(moderators, "subject", stream_id, record)

    async def remove_moderator(self, stream_id: int, subject: str) -> bool:
        """The opposite; False when they are none."""
        mine = (moderators.c.stream_id == stream_id) & (moderators.c.subject == subject)
        return (await self._connection.execute(delete(moderators).where(mine))).rowcount > 0

    async def trust(self, stream_id: int, record: NamedRecord) -> bool:
        """Trust somebody; False when they are trusted."""
        return await self._add(trusted, "author", stream_id, record)

    async def distrust(self, stream_id: int, author: str) -> bool:
        """The opposite; False when they are not trusted."""
        mine = (trusted.c.stream_id == stream_id) & (trusted.c.author == author)
        return (await self._connection.execute(delete(trusted).where(mine))).rowcount > 0

    async def watched(self, stream_id: int, seconds: Iterable[tuple[str, int]], *, at: datetime) -> None:
        """Store for how long people have watched."""
        rows = [
            {"stream_id": stream_id, "author": author, "seconds": number, "updated_at": at}
            for author, number in seconds
        ]
        if not rows:
            return
        statement = insert_into(self._connection.dialect.name)(watched)
        changes = {"seconds": statement.excluded.seconds, "updated_at": statement.excluded.updated_at}
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["stream_id", "author"], set_=changes), rows
        )

    async def audit(self, stream_id: int, record: AuditRecord) -> None:
        """One more line of the audit log."""
        await self.audit_all([stream_id], record)

    async def audit_all(self, stream_ids: Sequence[int], record: AuditRecord) -> None:
        """The same line in the logs of all those streams."""
        values: dict[str, Any] = {
            "at": record.at,
            "kind": record.kind,
            "via": record.via,
            "actor": record.actor,
            "actor_name": record.actor_name,
            "actor_role": record.actor_role,
            "actor_mxid": record.actor_mxid,
            "target": record.target,
            "target_name": record.target_name,
            "target_mxid": record.target_mxid,
            "seconds": record.seconds,
            "reason": record.reason,
            "detail": json.dumps(dict(record.detail), ensure_ascii=False),
        }
        if stream_ids:
            await self._connection.execute(insert(audit), [{"stream_id": one, **values} for one in stream_ids])

    async def streams(self) -> list[int]:
        """All streams."""
        return list(await self._connection.scalars(select(streams.c.id).order_by(streams.c.id)))

    async def moderating(self, stream_id: int) -> list[str]:
        """Who moderates a stream's chat: accounts, by author id (`u_…`), and Matrix IDs."""
        owner = select(streams.c.owner_id).where(streams.c.id == stream_id).scalar_subquery()
        everywhere = users.c.role.in_([Role.OWNER.value, Role.ADMIN.value, Role.MODERATOR.value])
        accounts = await self._connection.scalars(select(users.c.id).where(or_(everywhere, users.c.id == owner)))
        named = select(moderators.c.subject).where(moderators.c.stream_id == stream_id)
        return [*(f"u_{number}" for number in accounts), *await self._connection.scalars(named)]

    async def author(self, stream_id: int, author: str) -> AuthorRecord | None:
        """Who has that id: as they spoke last in this stream, else as the guest or account is called."""
        return await _author(self._connection, stream_id, author)

    async def alive(self, stream_id: int, limit: int) -> list[int]:
        """The newest messages that are not deleted, oldest first."""
        mine = (messages.c.stream_id == stream_id) & messages.c.deleted_seq.is_(None)
        query = select(messages.c.id).where(mine).order_by(messages.c.id.desc()).limit(limit)
        return sorted(await self._connection.scalars(query))

    async def _upsert_rules(self, stream_id: int, values: dict[str, Any]) -> None:
        statement = insert_into(self._connection.dialect.name)(rules).values(stream_id=stream_id, **values)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["stream_id"], set_=values))

    async def _add(self, table: Any, key: str, stream_id: int, record: NamedRecord) -> bool:
        statement = insert_into(self._connection.dialect.name)(table).on_conflict_do_nothing()
        values = {
            "stream_id": stream_id,
            key: record.subject,
            "name": record.name,
            "added_by": record.by,
            "added_at": record.at,
        }
        return (await self._connection.execute(statement.values(values))).rowcount > 0


class ModerationRepository:
    """The tables `chat_rules`, `chat_held`, `chat_moderators`, `chat_trusted`, `chat_watched` and `chat_audit`."""

    def __init__(self, database: Database) -> None:
        """`database` is open while the repository is used."""
        self._database = database

    async def load(self, stream_id: int, *, people: int) -> StoredModeration:
        """All that a room begins with; for how long people watched only of the `people` who came last."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(rules).where(rules.c.stream_id == stream_id))).mappings().first()
            waiting = (held.c.stream_id == stream_id) & held.c.decided_at.is_(None)
            waits = await connection.execute(select(*_HELD_COLUMNS).where(waiting).order_by(held.c.id))
            let_through = (held.c.stream_id == stream_id) & held.c.message_id.is_not(None)
            warned = (
                select(audit.c.target, func.count())
                .where(audit.c.stream_id == stream_id, audit.c.kind == "warn", audit.c.target.is_not(None))
                .group_by(audit.c.target)
            )
            of_watched = select(watched.c.author, watched.c.seconds).where(watched.c.stream_id == stream_id)
            seconds = await connection.execute(of_watched.order_by(watched.c.updated_at.desc()).limit(people))
            return StoredModeration(
                rules={} if row is None else json.loads(row["rules"]),
                pinned=None if row is None else row["pinned"],
                held=[HeldRecord(**each) for each in waits.mappings()],
                moderators=await _named(connection, moderators, "subject", stream_id),
                trusted=await _named(connection, trusted, "author", stream_id),
                watched=[(each[0], each[1]) for each in seconds][::-1],
                warnings=[(each[0], each[1]) for each in await connection.execute(warned)],
                approved=list(await connection.scalars(select(held.c.author).where(let_through).distinct())),
            )

    async def audit(self, stream_id: int, *, before: int | None, limit: int) -> list[AuditRecord]:
        """Lines of the audit log, newest first; those older than the line `before`."""
        mine = audit.c.stream_id == stream_id
        if before is not None:
            mine = and_(mine, audit.c.id < before)
        async with self._database.read() as connection:
            found = await connection.execute(select(audit).where(mine).order_by(audit.c.id.desc()).limit(limit))
            return [_audit(row) for row in found.mappings()]

    async def purge(self, *, before: datetime) -> int:
        """Forget what was decided and done before that moment; how many rows went."""
        gone = 0
        async with self._database.write() as connection:
            for statement in (
                delete(audit).where(audit.c.at < before),
                delete(watched).where(watched.c.updated_at < before),
                delete(held).where(or_(held.c.decided_at < before, held.c.at < before)),
            ):
                gone += (await connection.execute(statement)).rowcount
        return gone


async def _named(connection: AsyncConnection, table: Any, key: str, stream_id: int) -> list[NamedRecord]:
    query = select(table.c[key], table.c.name, table.c.added_by, table.c.added_at)
    rows = await connection.execute(query.where(table.c.stream_id == stream_id).order_by(table.c.added_at))
    return [NamedRecord(*row) for row in rows]


async def _author(connection: AsyncConnection, stream_id: int, author: str) -> AuthorRecord | None:
    said = (messages.c.stream_id == stream_id) & (messages.c.author == author)
    columns = (messages.c.name, messages.c.role, messages.c.mxid)
    row = (await connection.execute(select(*columns).where(said).order_by(messages.c.id.desc()).limit(1))).first()
    if row is not None:
        return AuthorRecord(author, row[0], row[1], row[2])
    name: str | None = None
    if author.startswith("g_"):
        name = await connection.scalar(select(guests.c.name).where(guests.c.id == author))
    elif author.startswith("u_") and author[2:].isdecimal():
        name = await connection.scalar(select(users.c.name).where(users.c.id == int(author[2:])))
    return None if name is None else AuthorRecord(author, name, "guest", None)


def _audit(row: RowMapping) -> AuditRecord:
    values = dict(row)
    del values["stream_id"]
    values["detail"] = json.loads(values["detail"])
    return AuditRecord(**values)
