"""Opening the database: SQLite in the data directory by default, PostgreSQL by URL.

Invariant: a started `Database` has the schema of this version. SQLite runs in WAL mode, so that readers,
one writer and other processes (`ghostlive stream add` beside a running server) do not wait for each other.
"""

import asyncio
import contextlib
import importlib.util
import sqlite3
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiosqlite
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from ghostlive.core.errors import ConfigurationError
from ghostlive.db.asyncengine import AsyncConnection, AsyncEngine, create_async_engine
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.errors import DatabaseUnusableError
from ghostlive.db.migrate import migrate, read_revision

FILE_NAME = "ghostlive.db"
_BUSY_TIMEOUT_MS = 5_000
_PATIENCE_MS = 60_000  # for migrations, which wait for those of another process


class Database:
    """An open database. Repositories take one and keep no connection of their own.

    `async with Database(...)` or `start` and `stop`; nothing is opened before.
    """

    def __init__(self, config: DatabaseConfig, data_dir: Path) -> None:
        """Raises `ConfigurationError` when the URL names no database that can be used."""
        self.url = database_url(config, data_dir)
        self.engine = create_engine(self.url)
        self._writing = self.engine.execution_options(sqlite_begin="IMMEDIATE")
        self._reading = self.engine
        if self.url.get_backend_name() != "sqlite":
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ")

    async def start(self, *, upgrade: bool = True) -> None:
        """Open it, made and migrated when that is due; without `upgrade` its schema is taken as it is.

        Raises `DatabaseUnusableError` when it cannot be opened, `NewerDatabaseError` when a newer version changed it.
        """
        try:
            if self.url.get_backend_name() == "sqlite":
                await asyncio.to_thread(_make_directory, self.url)
            if upgrade:
                await migrate(self.engine, lambda: create_engine(self.url, migrating=True))
        except (DBAPIError, OSError, sqlite3.Error) as error:
            await self.stop()
            raise DatabaseUnusableError(_explain(self.url, error)) from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    async def revision(self) -> str | None:
        """The schema revision, None before there is a schema. Raises `DatabaseUnusableError`."""
        try:
            async with self.read() as connection:
                return await read_revision(connection)
        except (DBAPIError, OSError, sqlite3.Error) as error:
            raise DatabaseUnusableError(_explain(self.url, error)) from error

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for queries, all of which see what there was at the first one."""
        return self._reading.connect()

    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that waits for other writers at its begin, and commits when its block ends well."""
        return self._writing.begin()


def database_url(config: DatabaseConfig, data_dir: Path) -> URL:
    """The configured URL with the asyncio driver that Ghost Live uses for it."""
    if not config.url:
        return URL.create("sqlite+aiosqlite", database=str(data_dir / FILE_NAME))
    try:
        url = make_url(config.url)
    except ArgumentError:
        url = None
    match url and url.drivername.partition("+")[0]:
        case "sqlite" if url is not None and url.database and url.database != ":memory:":
            return url.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres" if url is not None:
            if importlib.util.find_spec("asyncpg") is None:
                raise ConfigurationError(
                    "database.url names PostgreSQL, whose driver is missing: pip install 'ghostlive[postgresql]'"
                )
            return url.set(drivername="postgresql+asyncpg")
    raise ConfigurationError(
        "database.url: accepted are an empty text (SQLite in the data directory), sqlite:///FILE and "
        "postgresql://USER:PASSWORD@HOST/NAME"
    )


def create_engine(url: URL, *, migrating: bool = False) -> AsyncEngine:
    """An engine for `url`; nothing is opened before its first use.

    Migrations copy and drop tables, so they run without foreign keys (a dropped table would take its children along).
    Parameters stay out of the texts of errors: there are hashes of keys, tokens and passwords among them.
    """
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_size=5, pool_pre_ping=True, hide_parameters=True)
    engine = create_async_engine(url, pool_size=3, hide_parameters=True, async_creator=partial(_open, url))
    pragmas = [
        f"busy_timeout = {_PATIENCE_MS if migrating else _BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        # NORMAL would survive a kill, but lose at a power failure what was acknowledged.
        "synchronous = FULL",
        f"foreign_keys = {'OFF' if migrating else 'ON'}",
    ]

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where SQLAlchemy begins them, below
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that becomes a writer fails at once when another writer came between; a writer from the start waits.
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")

    return engine


async def _open(url: URL) -> aiosqlite.Connection:
    """A connection to SQLite. Who is cancelled meanwhile leaves none open behind them."""
    arguments, options = url.get_dialect()().create_connect_args(url)
    connection = aiosqlite.connect(*arguments, **options)
    connection._thread.daemon = True  # as SQLAlchemy does: one that is not closed shall not keep the process
    opening = asyncio.ensure_future(connection)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait([opening])
        if not opening.cancelled() and opening.exception() is None:
            await connection.close()
        raise


def _make_directory(url: URL) -> None:
    """The directory, and in it a file that is not for everybody's eyes: SQLite makes its others like it."""
    assert url.database is not None
    file = Path(url.database)
    file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # of which SQLite says more
        if not file.exists():
            file.touch(mode=0o640)


def _explain(url: URL, error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    text = f"the database {url.render_as_string()} cannot be used: {cause}"
    if isinstance(error, OperationalError) and "unable to open" in str(cause):
        text += f"; may this user write to {Path(url.database or '').parent}?"
    elif "file is not a database" in str(cause):
        text += "; move the file away, or restore a backup"
    return text
