"""PostgreSQL as the database: its schema by both ways, and what the chat stores there, with the scenarios of the chat.

Those scenarios run on SQLite in `tests/scenario/chat`; here are the ones about storing, once more.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from tests.scenario.chat import test_acts, test_changes, test_matrix_outbox, test_storage
from tests.support.chat import Chat, open_chat
from tests.support.matrix import World, open_world
from tests.support.postgres import Postgres, running_postgres
from tests.support.synapse import Synapse
from tests.unit.db import test_bans, test_matrix, test_moderation

from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.migrate import HEAD, run_migrations
from ghostlive.db.streams import StreamRepository
from ghostlive.db.tables import metadata

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server."""
    with running_postgres() as found:
        yield found


@pytest.fixture
async def chat(tmp_path: Path, postgres: Postgres) -> AsyncIterator[Chat]:
    """A chat over a new database."""
    async with open_chat(tmp_path, url=postgres.database()) as chat:
        yield chat


@pytest.fixture
async def database(tmp_path: Path, postgres: Postgres) -> AsyncIterator[Database]:
    """A new database."""
    async with Database(DatabaseConfig(postgres.database()), tmp_path) as database:
        yield database


@pytest.fixture
async def world(tmp_path: Path, postgres: Postgres) -> AsyncIterator[World]:
    """The outbox between a chat over a new database and a homeserver in memory."""
    async with open_world(tmp_path, url=postgres.database()) as world:
        yield world


def differences(connection: Connection) -> list[Any]:
    """Between the schema there and the one that this version wants."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_a_new_database_has_the_schema(tmp_path: Path, postgres: Postgres) -> None:
    async with Database(DatabaseConfig(postgres.database()), tmp_path) as database:
        assert await database.revision() == HEAD
        async with database.read() as connection:
            assert await connection.run_sync(differences) == []


async def test_an_old_database_is_upgraded_with_what_is_in_it(tmp_path: Path, postgres: Postgres) -> None:
    config = DatabaseConfig(postgres.database())
    old = Database(config, tmp_path)
    async with old.engine.begin() as connection:
        await connection.run_sync(run_migrations, "0003")
        now = datetime(2026, 1, 2, tzinfo=UTC)
        await connection.execute(
            text("INSERT INTO streams (name, title, created_at) VALUES ('demo', 'Demo', :now)"), {"now": now}
        )
        await connection.execute(
            text(
                "INSERT INTO chat_messages (id, stream_id, author, txn, name, role, text, sent_at)"
                " SELECT n, s.id, 'g_ann', 't' || n, 'Ann', 'guest', 'number ' || n, :now"
                " FROM generate_series(1, 1000) AS n, streams AS s"
            ),
            {"now": now},
        )
    await old.stop()
    async with Database(config, tmp_path) as database:
        assert await database.revision() == HEAD
        assert [record.name for record in await StreamRepository(database).list()] == ["demo"]
        async with database.read() as connection:
            assert await connection.run_sync(differences) == []
            kinds = (await connection.execute(text("SELECT kind, count(*) FROM chat_messages GROUP BY kind"))).all()
            assert [tuple(row) for row in kinds] == [("text", 1000)]


async def test_queries_that_belong_together_see_the_same(database: Database) -> None:
    streams = StreamRepository(database)
    await streams.add("before")
    count = text("SELECT count(*) FROM streams")
    async with database.read() as connection:
        assert await connection.scalar(count) == 1
        await streams.add("meanwhile")
        assert await connection.scalar(count) == 1
    async with database.read() as connection:
        assert await connection.scalar(count) == 2


def test_a_managed_homeserver_keeps_its_data_there(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.database("--template=template0", "--locale=C", "--encoding=UTF8")
    synapse = Synapse(tmp_path / "synapse", database_url=url)
    try:
        synapse.start()
        ann = synapse.person()
        room = synapse.call("POST", "/_matrix/client/v3/createRoom", {}, by=ann)["room_id"]
        event = synapse.say(ann, room, "kept")
    finally:
        synapse.kill()
    assert not list(synapse.data.rglob("homeserver.db"))
    assert postgres.run("psql", "-tA", "-d", url, "-c", f"SELECT sender FROM events WHERE event_id = '{event}'") == (
        f"{ann.mxid}\n"
    )


# Messages and their numbers.
test_txn = test_storage.test_the_same_txn_is_stored_once
test_numbers = test_storage.test_numbers_go_on_after_a_restart_and_after_everything_is_gone
test_others = test_storage.test_another_process_that_writes_messages_does_not_lose_any
test_restart = test_changes.test_everything_is_there_after_a_restart
test_journal = test_changes.test_the_journal_is_written_with_what_it_is_about_or_not_at_all
# Moderation, with its audit log, and bans.
room, mod, do, owner = test_acts.room, test_acts.mod, test_acts.do, test_acts.owner
test_bans_of_people = test_acts.test_ban_and_unban
test_deleting = test_acts.test_delete_purge_clear
bans, streams, stored = test_bans.bans, test_moderation.streams, test_moderation.stored
test_bans_of_the_site = test_bans.test_bans_of_streams_and_of_the_site
test_salts = test_bans.test_salts_begin_anew_and_go_with_what_they_made
test_held = test_moderation.test_what_waits_is_known_again_and_decided_once
test_log = test_moderation.test_the_log_is_read_in_parts
test_old = test_moderation.test_old_things_and_those_of_removed_streams_go
# What is sent to Matrix, and who is who there.
test_order = test_matrix_outbox.test_messages_are_in_the_room_in_their_order_by_the_ghosts_of_their_authors
test_answers = test_matrix_outbox.test_what_was_sent_and_never_answered_is_not_sent_again
test_killed = test_matrix_outbox.test_also_when_we_were_killed_before_we_noted_it
matrix = test_matrix.matrix
test_cursor = test_matrix.test_outgoing_is_what_stands_above_the_cursor_in_order
test_codes = test_matrix.test_a_code_is_good_once_and_not_when_it_is_old
test_links = test_matrix.test_links
