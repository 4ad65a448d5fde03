"""Users, and what the database says of itself."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.errors import AlreadyExistsError, DatabaseError, NotFoundError
from ghostlive.db.meta import MetaRepository
from ghostlive.db.migrate import HEAD
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import Credentials, Role, UserRepository


async def test_users_are_stored_without_showing_their_hash(database: Database) -> None:
    users = UserRepository(database)
    ann = await users.add("ann", role=Role.OWNER, password_hash="$argon2id$x")
    assert await users.list() == [ann]
    assert await users.get("ann") == ann
    assert "argon2" not in repr(ann)
    assert await users.credentials("ann") == Credentials(ann, "$argon2id$x")
    await users.set_password("ann", "$argon2id$y")
    found = await users.credentials("ann")
    assert found == Credentials(ann, "$argon2id$y")
    assert "argon2" not in repr(found)
    with pytest.raises(AlreadyExistsError, match="'ann' exists already"):
        await users.add("ann", role=Role.ADMIN, password_hash="z")
    await users.remove("ann")
    assert await users.get("ann") is None
    assert await users.credentials("ann") is None


async def test_the_first_user_is_made_once(database: Database) -> None:
    users = UserRepository(database)
    assert not await users.any()
    answers = await asyncio.gather(
        *(users.add_first(name, role=Role.OWNER, password_hash="x") for name in ("ann", "bob", "eve")),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, AlreadyExistsError) for answer in answers) == 2
    assert len(await users.list()) == 1
    assert await users.any()


@pytest.mark.parametrize("name", ["", "Ann", "a b", ".ann", "a" * 65, "änne"])
async def test_odd_names_are_refused(name: str, database: Database) -> None:
    with pytest.raises(DatabaseError, match="cannot name a user"):
        await UserRepository(database).add(name, role=Role.STREAMER, password_hash="x")


async def test_unknown_users(database: Database) -> None:
    users = UserRepository(database)
    with pytest.raises(NotFoundError):
        await users.remove("bob")
    with pytest.raises(NotFoundError):
        await users.set_password("bob", "x")


async def test_status(database: Database) -> None:
    await StreamRepository(database).add("demo")
    status = await MetaRepository(database).status()
    assert status.current
    assert status.revision == status.head == HEAD
    assert status.records["streams"] == 1
    assert set(status.records.values()) == {0, 1}
    assert status.size_bytes > 4096


async def test_status_before_the_first_start(tmp_path: Path) -> None:
    database = Database(DatabaseConfig(), tmp_path / "new")
    await database.start(upgrade=False)
    try:
        status = await MetaRepository(database).status()
    finally:
        await database.stop()
    assert (status.revision, status.current, status.records) == (None, False, {})


async def test_backup_is_a_whole_database(database: Database, tmp_path: Path) -> None:
    await StreamRepository(database).add("demo")
    target = tmp_path / "backup.db"
    await MetaRepository(database).backup(target)
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT name FROM streams").fetchall() == [("demo",)]
    with pytest.raises(DatabaseError, match="is there already"):
        await MetaRepository(database).backup(target)
    with pytest.raises(DatabaseError, match="no backup was written"):
        await MetaRepository(database).backup(tmp_path / "none" / "backup.db")


def test_the_password_of_the_database_is_in_no_representation() -> None:
    assert "hunter2" not in repr(DatabaseConfig("postgresql://ghost:hunter2@db.example/live"))
