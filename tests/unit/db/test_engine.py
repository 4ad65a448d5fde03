"""Opening and migrating: new, old, newer, broken databases, and two processes at once."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from ghostlive.core.errors import ConfigurationError
from ghostlive.db import migrate
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import FILE_NAME, Database, database_url
from ghostlive.db.errors import DatabaseUnusableError, NewerDatabaseError
from ghostlive.db.migrate import HEAD, REVISIONS, run_migrations
from ghostlive.db.streams import StreamRepository
from ghostlive.db.tables import metadata
from ghostlive.db.users import Role, UserRepository

HASH = "ab" * 32


async def test_a_new_database_is_made_with_its_directory(tmp_path: Path) -> None:
    async with Database(DatabaseConfig(), tmp_path / "a" / "b") as database:
        assert await database.revision() == HEAD
        async with database.read() as connection:
            assert await connection.scalar(text("PRAGMA journal_mode")) == "wal"
            assert await connection.scalar(text("PRAGMA foreign_keys")) == 1
            assert await connection.scalar(text("PRAGMA synchronous")) == 2
            assert await connection.scalar(text("PRAGMA busy_timeout")) == 5000
        readable = {path.name for path in (tmp_path / "a" / "b").iterdir() if path.stat().st_mode & 0o007}
        assert not readable  # there are password hashes in it
    assert (tmp_path / "a" / "b" / FILE_NAME).is_file()


async def test_records_outlive_the_process(tmp_path: Path) -> None:
    async with Database(DatabaseConfig(), tmp_path) as database:
        await StreamRepository(database).add("demo")
    async with Database(DatabaseConfig(), tmp_path) as database:
        assert [stream.name for stream in await StreamRepository(database).list()] == ["demo"]


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with Database(DatabaseConfig(), tmp_path) as database, database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    content = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(NewerDatabaseError, match=f"revision 9999.*none after {HEAD}.*newer version"):
        await Database(DatabaseConfig(), tmp_path).start()
    assert (tmp_path / FILE_NAME).read_bytes() == content


async def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    async with Database(DatabaseConfig(), tmp_path) as database:
        assert await database.revision() == HEAD


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database, " * 100)
    with pytest.raises(DatabaseUnusableError, match=r"not a database.*backup"):
        await Database(DatabaseConfig(), tmp_path).start()
    database = Database(DatabaseConfig(), tmp_path)
    await database.start(upgrade=False)
    with pytest.raises(DatabaseUnusableError, match="not a database"):
        await database.revision()
    await database.stop()


async def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(DatabaseUnusableError, match="File exists"):
        await Database(DatabaseConfig(), tmp_path / "data").start()


async def test_a_directory_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(DatabaseUnusableError, match=r"unable to open.*may this user write"):
        await Database(DatabaseConfig(), tmp_path).start()


def _schema(file: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {(name, " ".join(sql.replace("\t", " ").split())) for name, sql in rows}


def _migrated(file: Path, target: str = "head") -> None:
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        run_migrations(connection, target)
    engine.dispose()


async def test_migrations_lead_to_the_same_schema_as_the_tables(tmp_path: Path) -> None:
    await asyncio.to_thread(_migrated, tmp_path / "migrated.db")
    async with Database(DatabaseConfig(), tmp_path):
        pass
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")

    def differences(connection: Connection) -> list[object]:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    with engine.connect() as connection:
        assert await asyncio.to_thread(differences, connection) == []
    engine.dispose()
    names = {name for name, _ in _schema(tmp_path / "migrated.db")}
    assert names == {name for name, _ in _schema(tmp_path / FILE_NAME)}
    constraints = {
        part
        for file in ("migrated.db", FILE_NAME)
        for _, sql in _schema(tmp_path / file)
        for part in sql.replace(",", " ").split()
        if part.startswith(("uq_", "ck_", "fk_", "pk_"))
    }
    assert {"uq_streams_name", "uq_stream_keys_key_hash", "ck_users_role", "fk_stream_keys_stream_id"} <= constraints


def test_alembic_agrees_on_the_revisions() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [HEAD]
    assert tuple(sorted(item.revision for item in script.walk_revisions())) == REVISIONS


async def test_an_old_database_is_upgraded_and_keeps_its_records(tmp_path: Path) -> None:
    await asyncio.to_thread(_migrated, tmp_path / FILE_NAME, REVISIONS[0])
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(
            "INSERT INTO streams (name, title, created_at) VALUES ('demo', 'Old', '2026-01-01 00:00:00')"
        )
        connection.execute(
            "INSERT INTO stream_keys (stream_id, key_hash, hint, created_at) VALUES (1, ?, 'abcd', ?)",
            (HASH, "2026-01-01 00:00:00"),
        )
        connection.execute(
            "INSERT INTO users (name, role, password_hash, created_at) VALUES ('ann', 'owner', 'x', ?)",
            ("2026-01-01 00:00:00",),
        )
        connection.commit()
    async with Database(DatabaseConfig(), tmp_path) as database:
        assert await database.revision() == HEAD
        streams = StreamRepository(database)
        assert [(stream.name, stream.title, stream.owner_id) for stream in await streams.list()] == [
            ("demo", "Old", None)
        ]
        assert (key := await streams.find_key(HASH)) is not None
        assert key.stream == "demo"
        users = UserRepository(database)
        assert [user.name for user in await users.list()] == ["ann"]
        gone = await users.add("bob", role=Role.STREAMER, password_hash="x")
        await users.remove("bob")
        # The chat still has what bob said under his number.
        assert (await users.add("eve", role=Role.STREAMER, password_hash="x")).id != gone.id


async def test_the_version_before_is_upgraded_and_keeps_its_records(tmp_path: Path) -> None:
    await asyncio.to_thread(_migrated, tmp_path / FILE_NAME, "0002")
    now = "2026-01-01 00:00:00"
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(
            "INSERT INTO users (name, role, password_hash, created_at) VALUES ('ann', 'owner', 'x', ?)", (now,)
        )
        connection.execute("INSERT INTO streams (name, created_at, owner_id) VALUES ('demo', ?, 1)", (now,))
        connection.execute(
            "INSERT INTO chat_messages (id, stream_id, author, txn, name, role, text, sent_at) "
            "VALUES (1, 1, 'u1', 't', 'ann', 'owner', 'hello', ?)",
            (now,),
        )
        connection.commit()
    async with Database(DatabaseConfig(), tmp_path) as database:
        assert await database.revision() == HEAD
        [stream] = await StreamRepository(database).list()
        assert (stream.name, stream.owner_id, stream.ladder) == ("demo", 1, None)
        async with database.read() as connection_after:
            assert await connection_after.scalar(text("SELECT text FROM chat_messages")) == "hello"


async def test_no_user_gets_the_number_of_one_who_is_gone(tmp_path: Path) -> None:
    async with Database(DatabaseConfig(), tmp_path) as database:
        users = UserRepository(database)
        gone = await users.add("bob", role=Role.STREAMER, password_hash="x")
        await users.remove("bob")
        assert (await users.add("eve", role=Role.STREAMER, password_hash="x")).id != gone.id


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half (id INTEGER)"))
        connection.execute(text("no SQL at all"))

    monkeypatch.setattr(migrate, "_create", fails)
    with pytest.raises(DatabaseUnusableError, match="syntax error"):
        await Database(DatabaseConfig(), tmp_path).start()
    monkeypatch.undo()
    async with Database(DatabaseConfig(), tmp_path) as database, database.read() as connection:
        tables = (await connection.execute(text("SELECT name FROM sqlite_master"))).scalars().all()
        assert "half" not in tables
        assert "streams" in tables


def test_processes_that_come_at_once_migrate_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ghostlive.cli.main", "db", "upgrade", "--json", "--data", str(tmp_path / "data")]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    for process in processes:
        output, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
        assert '"current": true' in output


async def test_two_open_databases_write_side_by_side(tmp_path: Path) -> None:
    async with Database(DatabaseConfig(), tmp_path) as one, Database(DatabaseConfig(), tmp_path) as other:
        first, second = StreamRepository(one), StreamRepository(other)
        await asyncio.gather(*(repository.add(f"s{i}") for i in range(10) for repository in [(first, second)[i % 2]]))
        assert len(await first.list()) == len(await second.list()) == 10


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite://", "sqlite:///:memory:", "nonsense", "http://x/y"])
def test_other_databases_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"database\.url"):
        database_url(DatabaseConfig(url=url), tmp_path)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_postgresql_uses_its_asyncio_driver(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    url = database_url(DatabaseConfig(url=f"{scheme}://ann:secret@host:5432/ghost"), tmp_path)
    assert (url.drivername, url.username, url.host, url.database) == ("postgresql+asyncpg", "ann", "host", "ghost")
    assert "secret" not in url.render_as_string()


def test_postgresql_without_its_driver_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'ghostlive\[postgresql\]'"):
        database_url(DatabaseConfig(url="postgresql://host/name"), tmp_path)


def test_sqlite_may_lie_elsewhere(tmp_path: Path) -> None:
    url = database_url(DatabaseConfig(url=f"sqlite:///{tmp_path}/other.db"), tmp_path)
    assert (url.drivername, url.database) == ("sqlite+aiosqlite", f"{tmp_path}/other.db")


def test_the_orm_is_not_imported() -> None:
    """It costs 0.3 s of every start; `db.asyncengine` says how that is avoided."""
    code = "import sys, ghostlive.cli.main; sys.exit(any(m in sys.modules for m in ('sqlalchemy.orm', 'alembic')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_whole_package_can_be_imported_afterwards() -> None:
    code = (
        "from ghostlive.db.asyncengine import AsyncEngine; import sqlalchemy.ext.asyncio as whole; "
        "assert whole.AsyncEngine is AsyncEngine and whole.AsyncSession"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
