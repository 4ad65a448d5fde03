"""Bans as stored, the salts of the hashes in them, and policy lists.

What belongs to a change of the chat is written with the connection of its transaction; the repository reads, and
removes what may not be kept any longer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, RowMapping, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy import Integer as SqlInteger

from ghostlive.db.asyncengine import AsyncConnection
from ghostlive.db.bantables import chat_ban_marks as marks
from ghostlive.db.bantables import chat_bans as bans
from ghostlive.db.bantables import chat_identity_salts as salts
from ghostlive.db.bantables import chat_policies as policies
from ghostlive.db.bantables import chat_policy_rules as rules
from ghostlive.db.engine import Database
from ghostlive.db.tables import chat_guests as guests
from ghostlive.db.tables import streams

StoredMark = tuple[str, str]
"""Kind and text of a mark (`chat.identity.Mark`)."""


@dataclass(frozen=True, slots=True)
class NewBan:
    """A ban that is to be stored."""

    stream_id: int | None
    """None for the whole site."""
    name: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    guest_id: str = ""
    """The guest, account or Matrix user; empty when only `mxid` says who is meant."""
    mxid: str | None = None
    """A Matrix ID, or a pattern with `*` and `?`."""
    reason: str = ""
    tag: str = ""
    kind: str = "ban"
    """`ban` or `timeout`."""
    watch: bool = False
    newcomers: str = "hold"
    marks: tuple[StoredMark, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class BanRecord:
    """A ban as stored."""

    id: int
    stream_id: int | None
    guest_id: str
    mxid: str | None
    name: str
    reason: str
    tag: str
    kind: str
    watch: bool
    newcomers: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    marks: tuple[StoredMark, ...] = field(default=(), repr=False)


class WatchBan(NamedTuple):
    """A ban from watching, too."""

    stream: str | None
    """None for the whole site."""
    ban: BanRecord


class PolicyRecord(NamedTuple):
    """A policy list that counts somewhere."""

    stream: str | None
    """None: everywhere."""
    room: str
    """As it was written: an alias or a room's id."""
    room_id: str
    """Empty while the room could not be entered."""


class RuleRecord(NamedTuple):
    """A rule of a policy list."""

    room_id: str
    kind: str
    """`user` or `server`."""
    state_key: str
    entity: str
    reason: str


_COLUMNS = [bans.c[name] for name in BanRecord.__dataclass_fields__ if name != "marks"]


async def add_ban(connection: AsyncConnection, ban: NewBan) -> BanRecord:
    """Store a ban, inside a transaction."""
    values = {name: getattr(ban, name) for name in NewBan.__dataclass_fields__ if name != "marks"}
    row = (await connection.execute(insert(bans).values(values).returning(*_COLUMNS))).mappings().one()
    if ban.marks:
        rows = [{"ban_id": row["id"], "kind": kind, "mark": mark} for kind, mark in sorted(set(ban.marks))]
        await connection.execute(insert(marks), rows)
    return BanRecord(**row, marks=ban.marks)


async def lift_ban(
    connection: AsyncConnection, stream_id: int | None, ban_id: int, *, at: datetime
) -> BanRecord | None:
    """End a ban, inside a transaction; None when the stream (None: the site) has no such ban in force."""
    mine = and_(_of(stream_id), bans.c.id == ban_id, _in_force(at))
    row = (
        (await connection.execute(update(bans).where(mine).values(lifted_at=at).returning(*_COLUMNS)))
        .mappings()
        .first()
    )
    if row is None:
        return None
    found = await connection.execute(select(marks.c.kind, marks.c.mark).where(marks.c.ban_id == ban_id))
    return BanRecord(**row, marks=tuple((kind, mark) for kind, mark in found))


async def bans_of_person(
    connection: AsyncConnection, stream_id: int | None, person: str, *, now: datetime
) -> list[int]:
    """The numbers of the bans in force that name a guest, an account or a Matrix user."""
    mine = and_(_of(stream_id), or_(bans.c.guest_id == person, bans.c.mxid == person), _in_force(now))
    return list(await connection.scalars(select(bans.c.id).where(mine).order_by(bans.c.id)))


class BanRepository:
    """Reads bans, salts and policy lists, and forgets them."""

    def __init__(self, database: Database) -> None:
        """`database` is open while the repository is used."""
        self._database = database

    async def bans(self, stream_id: int | None, *, now: datetime) -> list[BanRecord]:
        """The bans in force of a stream, or of the site; newest first."""
        return [record for _, record in await self._find(and_(_of(stream_id), _in_force(now)))]

    async def from_watching(self, *, now: datetime) -> list[WatchBan]:
        """All bans in force that keep somebody from watching, too."""
        return [WatchBan(stream, record) for stream, record in await self._find(and_(bans.c.watch, _in_force(now)))]

    async def purge(self, *, before: datetime) -> int:
        """Forget the marks of bans that ended before that moment, and salts that nothing needs; how many marks went.

        The newest salt stays.
        """
        ended = select(bans.c.id).where(or_(bans.c.expires_at < before, bans.c.lifted_at < before))
        newest = select(func.max(salts.c.epoch)).scalar_subquery()
        async with self._database.write() as connection:
            gone = (await connection.execute(delete(marks).where(marks.c.ban_id.in_(ended)))).rowcount
            used = {_epoch(mark) for mark in await connection.scalars(select(marks.c.mark).distinct())}
            old = delete(salts).where(salts.c.created_at < before, salts.c.epoch < newest)
            await connection.execute(old.where(salts.c.epoch.not_in(used)))
            left = [str(epoch) for epoch in await connection.scalars(select(salts.c.epoch))]
            # What was said of guests under a salt that is forgotten says nothing any more.
            traced = guests.c.address_hash.like("%.%")
            head = func.substr(guests.c.address_hash, 1, _position(connection) - 1)
            await connection.execute(update(guests).where(traced, head.not_in(left)).values(address_hash=""))
        return gone

    async def salts(self) -> dict[int, str]:
        """The salts in hexadecimal, by epoch."""
        async with self._database.read() as connection:
            return {row[0]: row[1] for row in await connection.execute(select(salts.c.epoch, salts.c.salt))}

    async def renew_salt(self, salt: str, *, at: datetime, older_than: datetime) -> bool:
        """Begin a new epoch with `salt` when the newest began before `older_than`; whether that was so."""
        async with self._database.write() as connection:
            newest = (
                await connection.execute(
                    select(salts.c.epoch, salts.c.created_at).order_by(salts.c.epoch.desc()).limit(1)
                )
            ).first()
            if newest is not None and newest[1] >= older_than:
                return False
            epoch = 1 if newest is None else newest[0] + 1
            await connection.execute(insert(salts).values(epoch=epoch, salt=salt, created_at=at))
        return True

    # -- policy lists

    async def policies(self) -> list[PolicyRecord]:
        """All lists that count somewhere."""
        query = (
            select(streams.c.name, policies.c.room, policies.c.room_id)
            .select_from(policies.outerjoin(streams, streams.c.id == policies.c.stream_id))
            .order_by(policies.c.id)
        )
        async with self._database.read() as connection:
            return [PolicyRecord(row[0], row[1], row[2]) for row in await connection.execute(query)]

    async def set_policies(self, stream_id: int | None, rooms: Sequence[str], *, at: datetime) -> None:
        """These lists count in a stream (None: everywhere), and no others."""
        mine = policies.c.stream_id.is_(None) if stream_id is None else policies.c.stream_id == stream_id
        async with self._database.write() as connection:
            stored = await connection.execute(select(policies.c.room, policies.c.room_id))
            known = {row[0]: row[1] for row in stored}
            await connection.execute(delete(policies).where(mine))
            for room in dict.fromkeys(rooms):
                await connection.execute(
                    insert(policies).values(stream_id=stream_id, room=room, room_id=known.get(room, ""), created_at=at)
                )
            used = select(policies.c.room_id)
            await connection.execute(delete(rules).where(rules.c.room_id.not_in(used)))

    async def set_policy_room(self, room: str, room_id: str) -> None:
        """A list was found under that id."""
        async with self._database.write() as connection:
            await connection.execute(update(policies).where(policies.c.room == room).values(room_id=room_id))

    async def rules(self) -> list[RuleRecord]:
        """All rules of all lists."""
        async with self._database.read() as connection:
            return [RuleRecord(*row) for row in await connection.execute(select(rules))]

    async def set_rules(self, changed: Iterable[RuleRecord], gone: Iterable[RuleRecord] = ()) -> None:
        """Store rules that are new or different, and remove those that are `gone`."""
        async with self._database.write() as connection:
            changed = list(changed)
            keys = [{"of_room": rule.room_id, "of_kind": rule.kind, "of_key": rule.state_key} for rule in gone]
            keys += [{"of_room": rule.room_id, "of_kind": rule.kind, "of_key": rule.state_key} for rule in changed]
            if keys:
                await connection.execute(delete(rules).where(*_KEY), keys)
            if changed:
                await connection.execute(insert(rules), [rule._asdict() for rule in changed])

    async def _find(self, condition: ColumnElement[bool]) -> list[tuple[str | None, BanRecord]]:
        """Newest first, with the stream's name."""
        table = bans.outerjoin(streams, streams.c.id == bans.c.stream_id).outerjoin(marks, marks.c.ban_id == bans.c.id)
        query = (
            select(*_COLUMNS, streams.c.name.label("stream"), marks.c.kind.label("mark_kind"), marks.c.mark)
            .select_from(table)
            .where(condition)
            .order_by(bans.c.id.desc(), marks.c.kind, marks.c.mark)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        found: dict[int, list[RowMapping]] = {}
        for row in rows:
            found.setdefault(row["id"], []).append(row)
        return [(some[0]["stream"], _record(some)) for some in found.values()]


def _record(rows: Sequence[RowMapping]) -> BanRecord:
    values: Mapping[str, Any] = {column.name: rows[0][column.name] for column in _COLUMNS}
    return BanRecord(**values, marks=tuple((row["mark_kind"], row["mark"]) for row in rows if row["mark"] is not None))


def _of(stream_id: int | None) -> ColumnElement[bool]:
    return bans.c.stream_id.is_(None) if stream_id is None else bans.c.stream_id == stream_id


def _in_force(now: datetime) -> ColumnElement[bool]:
    return and_(bans.c.lifted_at.is_(None), or_(bans.c.expires_at.is_(None), bans.c.expires_at > now))


_KEY = (
    rules.c.room_id == bindparam("of_room"),
    rules.c.kind == bindparam("of_kind"),
    rules.c.state_key == bindparam("of_key"),
)


def _epoch(mark: str) -> int:
    head = mark.partition(".")[0]
    return int(head) if head.isdigit() else 0


def _position(connection: AsyncConnection) -> ColumnElement[int]:
    """Where the first point is in a guest's trace."""
    if connection.dialect.name == "postgresql":
        return func.strpos(guests.c.address_hash, ".", type_=SqlInteger())
    return func.instr(guests.c.address_hash, ".", type_=SqlInteger())
