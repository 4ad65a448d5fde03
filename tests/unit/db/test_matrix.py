"""The bridge to Matrix as stored."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete

from ghostlive.db.chat import ChatRepository, NewMessage
from ghostlive.db.engine import Database
from ghostlive.db.matrix import (
    SPACE,
    CodeRecord,
    GhostRecord,
    MatrixRepository,
    PersonRecord,
    add_pending,
    pass_cursor,
)
from ghostlive.db.streams import StreamRepository
from ghostlive.db.tables import streams

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def matrix(database: Database) -> MatrixRepository:
    return MatrixRepository(database)


async def _room(matrix: MatrixRepository, name: str = "demo") -> int:
    await StreamRepository(matrix.database).add(name, title=name)
    await matrix.ensure_rooms(now=NOW, history_before=NOW)
    record = await matrix.room(name)
    assert record is not None
    return record.id


async def _say(matrix: MatrixRepository, number: int, author: str = "g_a", at: datetime = NOW) -> None:
    message = NewMessage(number, 1, author, f"t{number}", "ada", "guest", f"text {number}", None, at)
    async with ChatRepository(matrix.database).transaction() as transaction:
        await transaction.add_messages([message])


async def test_each_stream_has_one_row_and_the_space_has_one(matrix: MatrixRepository) -> None:
    await _room(matrix)
    await _room(matrix, "second")
    assert await matrix.ensure_rooms(now=NOW, history_before=NOW) == []
    space = await matrix.ensure_space(now=NOW)
    assert (await matrix.ensure_space(now=NOW)).id == space.id
    assert [(record.stream, record.room_id) for record in await matrix.rooms()] == [
        ("demo", None),
        ("second", None),
        ("", None),
    ]
    assert space.kind == SPACE


async def test_a_row_outlives_its_stream_until_the_room_is_closed(matrix: MatrixRepository) -> None:
    number = await _room(matrix)
    await matrix.set_room(number, room_id="!a", version="12", state={"topic": "x"})
    async with matrix.database.write() as connection:
        await connection.execute(delete(streams))
    assert await matrix.room("demo") is None
    [record] = await matrix.rooms()
    assert (record.stream_id, record.stream, record.room_id) == (None, "demo", "!a")
    await matrix.forget_room(number)
    assert await matrix.rooms() == []


async def test_what_was_said_before_there_was_a_bridge_is_passed_over(matrix: MatrixRepository) -> None:
    await StreamRepository(matrix.database).add("demo", title="Demo")
    await _say(matrix, 10, at=NOW - timedelta(days=1))
    await _say(matrix, 20, at=NOW + timedelta(seconds=1))
    await matrix.ensure_rooms(now=NOW, history_before=NOW)
    record = await matrix.room("demo")
    assert record is not None
    assert record.cursor == 10


async def test_a_room_is_found_by_its_id_and_another_can_take_its_place(matrix: MatrixRepository) -> None:
    number = await _room(matrix)
    await matrix.set_room(number, room_id="!a", state={"topic": "x"})
    await matrix.set_ghosts(number, [GhostRecord("g_a", "join", "ada")])
    assert await matrix.stream_of("!a") == "demo"
    await matrix.replace_room(number, "!b", version="13")
    record = await matrix.room("demo")
    assert record is not None
    assert (record.room_id, record.version, record.state) == ("!b", "13", {})
    assert await matrix.ghosts(number) == []
    assert await matrix.stream_of("!a") is None


async def test_outgoing_is_what_stands_above_the_cursor_in_order(matrix: MatrixRepository) -> None:
    number = await _room(matrix)
    chat = ChatRepository(matrix.database)
    for message in (10, 20, 30, 40):
        await _say(matrix, message)
    async with chat.transaction() as transaction:
        await transaction.add_event(1, "$10", 10, "message")
        await transaction.add_event(1, "$30", 30, "message")
        await transaction.delete_messages([10, 40], seq=50, by="owner")
        await add_pending(transaction.connection, 1, seq=45, kind="edit", payload={"message": 20})
    found = await matrix.outgoing(1, after=10, limit=10, now_ms=0)
    assert [(message.id, message.deleted, message.known) for message in found.messages] == [
        (20, False, False),
        (30, False, True),
        (40, True, False),
    ]
    assert [tuple(deletion) for deletion in found.deletions] == [(50, 10, "$10", "owner")]
    assert [(other.seq, other.kind, other.payload) for other in found.others] == [(45, "edit", {"message": 20})]
    waiting = await matrix.waiting(1, after=10)
    assert (waiting.messages, waiting.others, waiting.oldest) == (1, 1, NOW)
    async with matrix.database.write() as connection:
        await pass_cursor(connection, number, 50, [found.others[0].id])
        await pass_cursor(connection, number, 30)  # late, and it never goes back
    found = await matrix.outgoing(1, after=50, limit=10, now_ms=0)
    assert found == ([], [], [])
    record = await matrix.room("demo")
    assert record is not None
    assert record.cursor == 50


async def test_what_is_for_later_waits_for_its_time_and_can_be_called_off(matrix: MatrixRepository) -> None:
    await _room(matrix)
    await matrix.do_later(1, "@a:b", "unban", at_ms=5000)
    assert (await matrix.outgoing(1, after=0, limit=10, now_ms=4999)).others == []
    assert await matrix.due(4999) == []
    assert await matrix.due(5000) == [1]
    [later] = (await matrix.outgoing(1, after=0, limit=10, now_ms=5000)).others
    assert later.payload == {"act": "unban", "mxid": "@a:b"}
    await matrix.do_later(1, "@a:b", "unban", at_ms=9000)
    assert await matrix.due(5000) == []
    await matrix.do_later(1, "@a:b", "unban", at_ms=None)
    assert await matrix.due(10_000) == []


async def test_ghosts_are_noted_and_noted_anew(matrix: MatrixRepository) -> None:
    number = await _room(matrix)
    await matrix.set_ghosts(number, [GhostRecord("g_a", "join", "ada"), GhostRecord("g_b", "join", "bob")])
    await matrix.set_ghosts(number, [GhostRecord("g_a", "ban", "ada")])
    await matrix.set_ghosts(number, [])
    found = sorted(await matrix.ghosts(number), key=lambda ghost: ghost.author)
    assert found == [GhostRecord("g_a", "ban", "ada"), GhostRecord("g_b", "join", "bob")]


async def test_a_transaction_is_noted_once_and_forgotten_when_it_is_old(matrix: MatrixRepository) -> None:
    assert await matrix.note_transaction("1", at=NOW)
    assert not await matrix.note_transaction("1", at=NOW)
    assert await matrix.seen_transaction("1")
    assert not await matrix.seen_transaction("2")
    assert await matrix.forget_transactions(before=NOW) == 0
    assert await matrix.forget_transactions(before=NOW + timedelta(seconds=1)) == 1


async def test_people_are_known_by_both_ids(matrix: MatrixRepository) -> None:
    alice = PersonRecord("m_a", "@alice:b", "Alice", None, NOW)
    await matrix.set_person(alice)
    renamed = PersonRecord("m_a", "@alice:b", "Alice B.", "mxc://b/1", NOW + timedelta(days=1))
    await matrix.set_person(renamed)
    assert await matrix.person("@alice:b") == renamed
    assert await matrix.people(["m_a", "m_b"]) == {"m_a": renamed}
    assert await matrix.person("@bob:b") is None


async def test_a_code_is_good_once_and_not_when_it_is_old(matrix: MatrixRepository) -> None:
    await matrix.add_code(CodeRecord("h1", "u_1", NOW + timedelta(minutes=5)))
    await matrix.add_code(CodeRecord("h2", "u_1", NOW + timedelta(minutes=5)))
    assert await matrix.redeem_code("h1", now=NOW) is None, "a newer code makes older ones void"
    assert await matrix.redeem_code("h2", now=NOW) == "u_1"
    assert await matrix.redeem_code("h2", now=NOW) is None
    await matrix.add_code(CodeRecord("h3", "g_1", NOW))
    assert await matrix.redeem_code("h3", now=NOW) is None
    await matrix.add_code(CodeRecord("h4", "g_1", NOW + timedelta(minutes=5)))
    await matrix.forget_code_of("g_1")
    assert await matrix.redeem_code("h4", now=NOW) is None
    assert await matrix.link_of("u_1") is None


async def test_links(matrix: MatrixRepository) -> None:
    await matrix.link("u_1", "@a:b", at=NOW)
    await matrix.link("g_1", "@a:b", at=NOW + timedelta(days=1))
    assert [link.author for link in await matrix.linked_to("@a:b")] == ["u_1", "g_1"]
    await matrix.link("u_1", "@c:d", at=NOW)
    assert {(link.author, link.mxid) for link in await matrix.links()} == {("u_1", "@c:d"), ("g_1", "@a:b")}
    assert await matrix.unlink("u_1")
    assert not await matrix.unlink("u_1")
    assert await matrix.link_of("u_1") is None
