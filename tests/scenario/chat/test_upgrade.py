"""A server that had a chat before there was Matrix, with all that was ever said in it, is upgraded and goes on."""

import asyncio
import sqlite3
import tracemalloc
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import create_engine
from tests.support.chat import open_chat

from ghostlive.db.engine import FILE_NAME
from ghostlive.db.matrix import MatrixRepository
from ghostlive.db.migrate import HEAD, run_migrations

MESSAGES = 200_000
BEFORE_MATRIX = "0003"
BEGUN = datetime(2027, 1, 15, tzinfo=UTC)
"""When there is a bridge for the first time."""
MOST_BYTES = 16 * 2**20
"""Of memory, for the upgrade and the first visitor: a hundred messages and Alembic, not all that was ever said."""


def fill(file: Path) -> None:
    """Make a database of that time, in which one stream has had many messages in the last days."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        run_migrations(connection, BEFORE_MATRIX)
    engine.dispose()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("INSERT INTO streams (name, title, created_at) VALUES ('demo', 'Demo', '2026-01-01')")
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO chat_messages (id, stream_id, author, txn, name, role, text, sent_at)"
            " SELECT i, 1, 'g_' || (i % 500), 't' || i, 'Guest ' || (i % 500), 'guest', 'message number ' || i, ?"
            " FROM n",
            (MESSAGES, "2027-01-14 12:00:00.000000"),
        )


async def test_a_chat_of_many_messages_is_upgraded_and_serves(tmp_path: Path) -> None:
    await asyncio.to_thread(fill, tmp_path / FILE_NAME)
    tracemalloc.start()
    try:
        async with open_chat(tmp_path) as chat:
            assert await chat.database.revision() == HEAD
            page = await chat.enter("Ann")
            assert page.texts() == [f"message number {number}" for number in range(MESSAGES - 99, MESSAGES + 1)]
            assert await page.post("still here") > MESSAGES
            # What was said before there was a bridge is not sent to Matrix.
            matrix = MatrixRepository(chat.database)
            assert await matrix.ensure_rooms(now=BEGUN, history_before=BEGUN) == ["demo"]
            record = await matrix.room("demo")
            assert record is not None
            assert record.cursor == MESSAGES
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES, f"{peak / 2**20:.1f} MiB"
    print(f"peak of Python's memory: {peak / 2**20:.1f} MiB")
