"""Streams and keys as stored."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import StatementError

from ghostlive.core.errors import InvalidStreamNameError
from ghostlive.db import tables
from ghostlive.db.engine import Database
from ghostlive.db.errors import AlreadyExistsError, NotFoundError
from ghostlive.db.streams import NewKey, StreamRepository
from ghostlive.db.users import Role, UserRepository


def _key(letter: str, label: str = "") -> NewKey:
    return NewKey(key_hash=letter * 64, hint=letter * 4, label=label)


@pytest.fixture
def streams(database: Database) -> StreamRepository:
    return StreamRepository(database)


async def test_a_stream_and_its_key_are_stored(streams: StreamRepository) -> None:
    before = datetime.now(UTC)
    added = await streams.add("demo", title="Demo", description="A test.", key=_key("a", "first"))
    assert before <= added.created_at <= datetime.now(UTC)
    assert await streams.get("demo") == added
    assert await streams.list() == [added]
    [key] = await streams.list_keys("demo")
    assert (key.stream, key.hint, key.label, key.active) == ("demo", "aaaa", "first", True)
    assert key.last_used_at is None


async def test_names_are_checked_and_unique(streams: StreamRepository) -> None:
    await streams.add("demo", key=_key("a"))
    with pytest.raises(AlreadyExistsError, match="'demo' exists already"):
        await streams.add("demo", key=_key("b"))
    assert await streams.find_key("b" * 64) is None
    with pytest.raises(InvalidStreamNameError):
        await streams.add("../demo")


async def test_streams_are_listed_by_name(streams: StreamRepository) -> None:
    for name in ("c", "a", "b"):
        await streams.add(name)
    assert [stream.name for stream in await streams.list()] == ["a", "b", "c"]
    assert await streams.get("d") is None


async def test_a_ladder_is_stored_and_taken_away(streams: StreamRepository) -> None:
    await streams.add("demo", title="Kept")
    assert (await streams.set_ladder("demo", "[]")).ladder == "[]"
    changed = await streams.edit("demo", title="New")
    assert (changed.title, changed.ladder) == ("New", "[]")
    assert (await streams.set_ladder("demo", None)).ladder is None
    with pytest.raises(NotFoundError, match="no stream named 'other'"):
        await streams.set_ladder("other", None)


async def test_editing_changes_what_is_given(streams: StreamRepository) -> None:
    await streams.add("demo", title="Old", description="Kept")
    edited = await streams.edit("demo", title="New")
    assert (edited.title, edited.description) == ("New", "Kept")
    assert await streams.edit("demo") == edited
    with pytest.raises(NotFoundError, match="no stream named 'other'"):
        await streams.edit("other", title="x")


async def test_removing_a_stream_removes_its_keys(streams: StreamRepository) -> None:
    await streams.add("demo", key=_key("a"))
    await streams.remove("demo")
    assert await streams.get("demo") is None
    assert await streams.find_key("a" * 64) is None
    with pytest.raises(NotFoundError):
        await streams.remove("demo")


async def test_keys_are_found_by_their_hash(streams: StreamRepository) -> None:
    await streams.add("demo", key=_key("a"))
    await streams.add("other", key=_key("b"))
    found = await streams.find_key("b" * 64)
    assert found is not None
    assert found.stream == "other"
    assert await streams.find_key("c" * 64) is None


async def test_rotation_revokes_the_other_keys_of_that_stream_only(streams: StreamRepository) -> None:
    await streams.add("demo", key=_key("a"))
    await streams.add_key("demo", _key("b"))
    await streams.add("other", key=_key("c"))
    new = await streams.rotate_keys("demo", _key("d"))
    assert [key.active for key in await streams.list_keys("demo")] == [False, False, True]
    assert [key.active for key in await streams.list_keys("other")] == [True]
    assert (await streams.list_keys("demo"))[-1] == new
    assert len(await streams.list_keys()) == 4


async def test_revoking_twice_keeps_the_first_date(streams: StreamRepository) -> None:
    await streams.add("demo", key=_key("a"))
    first = await streams.revoke_key(1)
    assert first.revoked_at is not None
    assert await streams.revoke_key(1) == first
    with pytest.raises(NotFoundError, match="number 7"):
        await streams.revoke_key(7)


async def test_using_a_key_is_noted(streams: StreamRepository) -> None:
    await streams.add("demo", key=_key("a"))
    await streams.touch_key(1)
    [key] = await streams.list_keys("demo")
    assert key.last_used_at is not None
    assert datetime.now(UTC) - key.last_used_at < timedelta(minutes=1)


async def test_keys_of_an_unknown_stream(streams: StreamRepository) -> None:
    for call in (
        streams.list_keys("none"),
        streams.add_key("none", _key("a")),
        streams.rotate_keys("none", _key("a")),
    ):
        with pytest.raises(NotFoundError):
            await call


async def test_moments_are_utc_in_the_file_too(database: Database, streams: StreamRepository) -> None:
    await streams.add("demo")
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).astimezone()
    async with database.write() as connection:
        await connection.execute(insert(tables.streams).values(name="at", created_at=moment))
    async with database.read() as connection:
        stored = await connection.scalar(text("SELECT created_at FROM streams WHERE name = 'at'"))
    assert stored == "2026-01-02 03:04:05.000000"
    record = await streams.get("at")
    assert record is not None
    assert record.created_at == moment
    assert record.created_at.tzinfo is UTC


async def test_a_moment_without_zone_is_refused(database: Database) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - what must be refused
    async with database.write() as connection:
        with pytest.raises(StatementError, match="without its time zone"):
            await connection.execute(insert(tables.streams).values(name="at", created_at=naive))


async def test_streams_are_listed_by_owner(streams: StreamRepository, database: Database) -> None:
    ann = await UserRepository(database).add("ann", role=Role.STREAMER, password_hash="x")
    bob = await UserRepository(database).add("bob", role=Role.STREAMER, password_hash="x")
    await streams.add("hers", owner_id=ann.id)
    await streams.add("nobodys")
    assert [record.name for record in await streams.list(owner_id=ann.id)] == ["hers"]
    assert await streams.list(owner_id=bob.id) == []
    assert [record.name for record in await streams.list()] == ["hers", "nobodys"]


async def test_a_key_is_revoked_as_one_of_its_stream_only(streams: StreamRepository) -> None:
    await streams.add("one", key=_key("a"))
    await streams.add("two")
    (key,) = await streams.list_keys("one")
    with pytest.raises(NotFoundError):
        await streams.revoke_key(key.id, stream="two")
    revoked = await streams.revoke_key(key.id, stream="one")
    assert not revoked.active
    assert await streams.revoke_key(key.id) == revoked


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 65, "../x", "\ud800"])
async def test_names_that_no_stream_can_have_are_not_asked_for(name: str) -> None:
    class Unasked:
        def read(self) -> None:
            raise AssertionError("asked")

    assert await StreamRepository(cast("Database", Unasked())).get(name) is None
