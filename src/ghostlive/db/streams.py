"""Streams and their keys. A key is stored as its hash only; `access.keys` makes and hashes them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ghostlive.core.stream import can_name_stream, check_stream_name
from ghostlive.db.asyncengine import AsyncConnection
from ghostlive.db.engine import Database
from ghostlive.db.errors import AlreadyExistsError, NotFoundError
from ghostlive.db.tables import stream_keys, streams


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A stream as stored; whether it is live is the hub's knowledge."""

    id: int
    name: str
    title: str
    description: str
    created_at: datetime
    owner_id: int | None = None
    """The user whose stream it is; None for one that the command made."""
    ladder: str | None = None
    """Its own renditions, as `transcode.ladders` writes them; None when it has the server's."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """What is stored of a key when it is made."""

    key_hash: str
    """Hexadecimal SHA-256."""
    hint: str
    """Its last four characters, by which a person knows it again."""
    label: str = ""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as stored, with the name of its stream."""

    id: int
    stream: str
    hint: str
    label: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def active(self) -> bool:
        """Whether the key still opens its stream."""
        return self.revoked_at is None


_KEY_COLUMNS = [
    stream_keys.c.id,
    streams.c.name.label("stream"),
    stream_keys.c.hint,
    stream_keys.c.label,
    stream_keys.c.created_at,
    stream_keys.c.last_used_at,
    stream_keys.c.revoked_at,
]


class StreamRepository:
    """The tables `streams` and `stream_keys`."""

    def __init__(self, database: Database) -> None:
        """`database` is open while the repository is used."""
        self._database = database

    async def list(self, *, owner_id: int | None = None) -> list[StreamRecord]:
        """All streams, or those of one owner, by name."""
        query = select(streams).order_by(streams.c.name)
        if owner_id is not None:
            query = query.where(streams.c.owner_id == owner_id)
        async with self._database.read() as connection:
            return [_stream(row) for row in (await connection.execute(query)).mappings()]

    async def get(self, name: str) -> StreamRecord | None:
        """The stream of that name. Strangers ask for any text, also such as no database takes (PostgreSQL: NUL)."""
        if not can_name_stream(name):
            return None
        async with self._database.read() as connection:
            row = (await connection.execute(select(streams).where(streams.c.name == name))).mappings().first()
        return None if row is None else _stream(row)

    async def add(
        self,
        name: str,
        *,
        title: str = "",
        description: str = "",
        key: NewKey | None = None,
        owner_id: int | None = None,
    ) -> StreamRecord:
        """Store a stream and its first key, both or neither. Raises `AlreadyExistsError`."""
        check_stream_name(name)
        values = {
            "name": name,
            "title": title,
            "description": description,
            "created_at": datetime.now(UTC),
            "owner_id": owner_id,
        }
        try:
            async with self._database.write() as connection:
                row = (await connection.execute(insert(streams).values(values).returning(*streams.c))).mappings().one()
                if key is not None:
                    await _insert_key(connection, row["id"], key)
        except IntegrityError as error:
            raise AlreadyExistsError(f"a stream named {name!r} exists already") from error
        return _stream(row)

    async def edit(self, name: str, *, title: str | None = None, description: str | None = None) -> StreamRecord:
        """Change what is not None. Raises `NotFoundError`."""
        changes = {
            key: value for key, value in {"title": title, "description": description}.items() if value is not None
        }
        async with self._database.write() as connection:
            if changes:
                await connection.execute(update(streams).where(streams.c.name == name).values(changes))
            row = (await connection.execute(select(streams).where(streams.c.name == name))).mappings().first()
        if row is None:
            raise _no_stream(name)
        return _stream(row)

    async def set_ladder(self, name: str, ladder: str | None) -> StreamRecord:
        """Give a stream its own renditions, or with None the server's. Raises `NotFoundError`."""
        async with self._database.write() as connection:
            await connection.execute(update(streams).where(streams.c.name == name).values(ladder=ladder))
            row = (await connection.execute(select(streams).where(streams.c.name == name))).mappings().first()
        if row is None:
            raise _no_stream(name)
        return _stream(row)

    async def remove(self, name: str) -> None:
        """Delete a stream and its keys. Raises `NotFoundError`."""
        async with self._database.write() as connection:
            if (await connection.execute(delete(streams).where(streams.c.name == name))).rowcount == 0:
                raise _no_stream(name)

    async def list_keys(self, stream: str | None = None) -> Sequence[KeyRecord]:
        """The keys of one stream, or of all, oldest first; revoked ones too. Raises `NotFoundError`."""
        query = select(*_KEY_COLUMNS).join(streams).order_by(streams.c.name, stream_keys.c.id)
        if stream is not None:
            query = query.where(streams.c.name == stream)
        async with self._database.read() as connection:
            if stream is not None:
                await _stream_id(connection, stream)
            return [KeyRecord(**row) for row in (await connection.execute(query)).mappings()]

    async def add_key(self, stream: str, key: NewKey) -> KeyRecord:
        """Give a stream one more key. Raises `NotFoundError`."""
        async with self._database.write() as connection:
            return await _insert_key(connection, await _stream_id(connection, stream), key)

    async def rotate_keys(self, stream: str, key: NewKey) -> KeyRecord:
        """Give a stream a new key and revoke all its others at the same moment. Raises `NotFoundError`."""
        async with self._database.write() as connection:
            stream_id = await _stream_id(connection, stream)
            active = (stream_keys.c.stream_id == stream_id) & stream_keys.c.revoked_at.is_(None)
            await connection.execute(update(stream_keys).where(active).values(revoked_at=datetime.now(UTC)))
            return await _insert_key(connection, stream_id, key)

    async def revoke_key(self, key_id: int, *, stream: str | None = None) -> KeyRecord:
        """Make a key useless from now on; revoking twice keeps the first date.

        Raises `NotFoundError` when there is no such key, or it is not one of `stream`.
        """
        async with self._database.write() as connection:
            row = await _key(connection, stream_keys.c.id == key_id)
            if row is None or stream not in (None, row.stream):
                raise NotFoundError(f"there is no key number {key_id}; `ghostlive key list` shows all")
            if row.active:
                row = replace(row, revoked_at=datetime.now(UTC))
                this = stream_keys.c.id == key_id
                await connection.execute(update(stream_keys).where(this).values(revoked_at=row.revoked_at))
        return row

    async def find_key(self, key_hash: str) -> KeyRecord | None:
        """The key with that hash, revoked or not."""
        async with self._database.read() as connection:
            return await _key(connection, stream_keys.c.key_hash == key_hash)

    async def touch_key(self, key_id: int) -> None:
        """Note that a key was used just now."""
        async with self._database.write() as connection:
            statement = update(stream_keys).where(stream_keys.c.id == key_id).values(last_used_at=datetime.now(UTC))
            await connection.execute(statement)


async def _stream_id(connection: AsyncConnection, name: str) -> int:
    found: int | None = await connection.scalar(select(streams.c.id).where(streams.c.name == name))
    if found is None:
        raise _no_stream(name)
    return found


async def _insert_key(connection: AsyncConnection, stream_id: int, key: NewKey) -> KeyRecord:
    values = {
        "stream_id": stream_id,
        "key_hash": key.key_hash,
        "hint": key.hint,
        "label": key.label,
        "created_at": datetime.now(UTC),
    }
    key_id = await connection.scalar(insert(stream_keys).values(values).returning(stream_keys.c.id))
    row = await _key(connection, stream_keys.c.id == key_id)
    assert row is not None
    return row


async def _key(connection: AsyncConnection, condition: ColumnElement[bool]) -> KeyRecord | None:
    row = (await connection.execute(select(*_KEY_COLUMNS).join(streams).where(condition))).mappings().first()
    return None if row is None else KeyRecord(**row)


def _stream(row: RowMapping) -> StreamRecord:
    return StreamRecord(**row)


def _no_stream(name: str) -> NotFoundError:
    return NotFoundError(f"there is no stream named {name[:80]!r}; `ghostlive stream list` shows all")
