"""What the database says of itself: its schema, its size, a copy of it."""

import asyncio
import errno
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, text

from ghostlive.db.engine import Database
from ghostlive.db.errors import DatabaseError
from ghostlive.db.migrate import HEAD, read_revision
from ghostlive.db.tables import metadata


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """The state of an open database."""

    url: str
    """Without the password."""
    revision: str | None
    head: str
    """The revision this version of Ghost Live works with."""
    size_bytes: int
    records: dict[str, int]
    """Rows of each table; empty unless the schema is current."""

    @property
    def current(self) -> bool:
        """Whether no migration is due."""
        return self.revision == self.head


class MetaRepository:
    """Questions about the database as a whole."""

    def __init__(self, database: Database) -> None:
        """`database` is open while the repository is used."""
        self._database = database

    async def status(self) -> DatabaseStatus:
        """Schema, size and rows."""
        async with self._database.read() as connection:
            revision = await read_revision(connection)
            size = _SIZE[connection.dialect.name]
            return DatabaseStatus(
                url=self._database.url.render_as_string(),
                revision=revision,
                head=HEAD,
                size_bytes=int(await connection.scalar(text(size)) or 0),
                records={
                    table.name: await connection.scalar(select(func.count()).select_from(table)) or 0
                    for table in metadata.sorted_tables
                }
                if revision == HEAD
                else {},
            )

    async def backup(self, target: Path) -> None:
        """Write a consistent copy to the new file `target`, also while a server runs. SQLite only."""
        if self._database.url.get_backend_name() != "sqlite":
            raise DatabaseError("PostgreSQL makes its own backups: use pg_dump")
        database = self._database.url.database
        assert database is not None
        try:
            await asyncio.to_thread(_vacuum_into, database, target)
        except (sqlite3.Error, OSError) as error:
            raise DatabaseError(f"no backup was written to {target}: {error}") from error


def _vacuum_into(database: str, target: Path) -> None:
    if target.exists():
        raise FileExistsError(errno.EEXIST, "the file is there already")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}
