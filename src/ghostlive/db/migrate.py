"""Bringing a database to the schema of this version.

A database that is up to date costs one query and no import of Alembic, which takes 0.4 s. An empty one is made
from `tables` (a test holds that against the migrations). Everything else runs through Alembic in one transaction, in a
thread with its own event loop. Two processes that come at once wait for each other.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, text

from ghostlive.db import bantables, matrixtables, moderationtables  # noqa: F401 - so that its tables are in `metadata`
from ghostlive.db.asyncengine import AsyncConnection, AsyncEngine
from ghostlive.db.errors import DatabaseUnusableError, NewerDatabaseError
from ghostlive.db.tables import metadata

_SCRIPTS = Path(__file__).parent / "migrations"
REVISIONS = tuple(sorted(file.name.partition("_")[0] for file in (_SCRIPTS / "versions").glob("[0-9]*.py")))
"""Every revision this version knows, oldest first."""
HEAD = REVISIONS[-1]
_ADVISORY_LOCK = 0x67686F7374  # "ghost"


async def migrate(engine: AsyncEngine, make_engine: Callable[[], AsyncEngine]) -> bool:
    """Upgrade the database of `engine` when that is due, and return whether it was.

    `make_engine` gives an engine of its own to the thread that migrates, since an engine belongs to one event loop.
    """
    async with engine.connect() as connection:
        revision = await read_revision(connection)
    if revision == HEAD:
        return False
    _check_known(revision)
    await asyncio.to_thread(lambda: asyncio.run(_upgrade(make_engine())))
    return True


async def read_revision(connection: AsyncConnection) -> str | None:
    """The schema revision of the database, None when it has no schema yet."""
    if not await connection.run_sync(lambda sync: sync.dialect.has_table(sync, "alembic_version")):
        return None
    revision: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _check_known(revision: str | None) -> None:
    if revision is not None and revision not in REVISIONS:
        raise NewerDatabaseError(
            f"the database has schema revision {revision}, and this version of Ghost Live knows none after {HEAD}: "
            "a newer version has used it. Start that version again, or restore the backup from before the upgrade; "
            "nothing was changed."
        )


async def _upgrade(engine: AsyncEngine) -> None:
    try:
        async with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            revision = await read_revision(connection)
            _check_known(revision)
            if revision == HEAD:
                return
            if revision is None:
                await connection.run_sync(_create)
            else:
                await connection.run_sync(run_migrations)
            if connection.dialect.name == "sqlite":
                await _check_references(connection)
    finally:
        await engine.dispose()


def _create(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})


def run_migrations(connection: Connection, target: str = "head") -> None:
    """Run Alembic's `upgrade` inside the transaction of `connection`."""
    from alembic import command  # noqa: PLC0415 - 0.4 s that only an old database costs
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, target)


async def _check_references(connection: AsyncConnection) -> None:
    broken = (await connection.execute(text("PRAGMA foreign_key_check"))).all()
    if broken:
        raise DatabaseUnusableError(f"the upgrade would break {len(broken)} references; nothing was changed")
