"""The tables of moderation."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from ghostlive.db.chat import ChatRepository, NewMessage
from ghostlive.db.engine import Database
from ghostlive.db.moderation import (
    AuditRecord,
    HeldRecord,
    ModerationRepository,
    ModerationTransaction,
    NamedRecord,
    NewHeld,
)
from ghostlive.db.streams import StreamRepository

NOW = datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)
T = TypeVar("T")


@pytest.fixture
async def streams(database: Database) -> StreamRepository:
    streams = StreamRepository(database)
    for name in ("one", "two"):
        await streams.add(name)
    return streams


@pytest.fixture
def stored(database: Database, streams: StreamRepository) -> ModerationRepository:
    return ModerationRepository(database)


async def _do(database: Database, work: Callable[[ModerationTransaction], Awaitable[T]]) -> T:
    async with ChatRepository(database).transaction() as transaction:
        return await work(ModerationTransaction(transaction))


def _held(txn: str, *, author: str = "g_ann", stream_id: int = 1) -> NewHeld:
    return NewHeld(stream_id, author, txn, '{"text":"hello"}', "why", NOW)


async def test_rules_and_the_pin_are_one_row(database: Database, stored: ModerationRepository) -> None:
    async def work(moderation: ModerationTransaction) -> tuple[dict[str, object], int | None]:
        assert await moderation.rules(1) == {}
        assert await moderation.pinned(1) is None
        await moderation.pin(1, 2**53)
        await moderation.set_rules(1, {"slow": 5, "words": ["ä"]})
        await moderation.pin(2, 7)
        await moderation.set_rules(1, {"slow": 6})
        return await moderation.rules(1), await moderation.pinned(1)

    assert await _do(database, work) == ({"slow": 6}, 2**53)
    loaded = await stored.load(1, people=10)
    assert (loaded.rules, loaded.pinned) == ({"slow": 6}, 2**53)
    assert (await stored.load(2, people=10)).pinned == 7


async def test_what_waits_is_known_again_and_decided_once(database: Database, stored: ModerationRepository) -> None:
    async def hold(moderation: ModerationTransaction) -> list[HeldRecord]:
        return [await moderation.hold(_held(txn)) for txn in ("a", "b", "a")]

    first, second, again = await _do(database, hold)
    assert first == again
    assert first.id < second.id
    assert [one.id for one in (await stored.load(1, people=10)).held] == [first.id, second.id]

    async def decide(moderation: ModerationTransaction) -> list[bool]:
        return [
            await moderation.decide(stream_id, first.id, by="mo", at=NOW, message_id=message_id)
            for stream_id, message_id in ((2, 1), (1, 70), (1, None))
        ]

    assert await _do(database, decide) == [False, True, False]
    again = (await _do(database, hold))[2]
    assert (again.id, again.message_id, again.post, again.decided_at) == (first.id, 70, "", NOW)
    loaded = await stored.load(1, people=10)
    assert ([one.id for one in loaded.held], loaded.approved) == ([second.id], ["g_ann"])

    async def deny(moderation: ModerationTransaction) -> list[int]:
        return await moderation.deny_all(1, "g_ann", by="mo", at=NOW)

    assert await _do(database, deny) == [second.id]
    assert await _do(database, deny) == []
    assert (await stored.load(1, people=10)).held == []


async def test_who_was_named(database: Database, stored: ModerationRepository) -> None:
    async def work(moderation: ModerationTransaction) -> list[bool]:
        mona = NamedRecord("@mona:example.org", "Mona", "olga", NOW)
        ann = NamedRecord("g_ann", "Ann", "mo", NOW)
        return [
            await moderation.name_moderator(1, mona),
            await moderation.name_moderator(1, mona),
            await moderation.trust(1, ann),
            await moderation.trust(2, ann),
            await moderation.distrust(2, "g_ann"),
            await moderation.distrust(2, "g_ann"),
            await moderation.remove_moderator(1, "u_1"),
        ]

    assert await _do(database, work) == [True, False, True, True, True, False, False]
    loaded = await stored.load(1, people=10)
    assert [one.subject for one in loaded.moderators] == ["@mona:example.org"]
    assert [(one.subject, one.by, one.at) for one in loaded.trusted] == [("g_ann", "mo", NOW)]
    assert (await stored.load(2, people=10)).trusted == []


async def test_watched_and_warned(database: Database, stored: ModerationRepository) -> None:
    async def work(moderation: ModerationTransaction) -> None:
        await moderation.watched(1, [], at=NOW)
        await moderation.watched(1, [("g_ann", 30), ("g_bob", 10)], at=NOW)
        await moderation.watched(1, [("g_ann", 60)], at=NOW + timedelta(seconds=60))
        for kind in ("warn", "warn", "kick"):
            await moderation.audit(1, AuditRecord(NOW, kind, "page", "u_1", "mo", "moderator", target="g_ann"))

    await _do(database, work)
    loaded = await stored.load(1, people=10)
    assert dict(loaded.watched) == {"g_ann": 60, "g_bob": 10}
    assert loaded.warnings == [("g_ann", 2)]
    assert (await stored.load(1, people=1)).watched == [("g_ann", 60)]


async def test_the_log_is_read_in_parts(database: Database, stored: ModerationRepository) -> None:
    async def work(moderation: ModerationTransaction) -> None:
        for number in range(5):
            detail = {"number": number, "text": "ä"}
            record = AuditRecord(NOW, "ban", "api", "u_1", "mo", "moderator", reason="r", seconds=0.5, detail=detail)
            await moderation.audit(1, record)

    await _do(database, work)
    parts, before = [], None
    while lines := await stored.audit(1, before=before, limit=2):
        parts.append([line.detail["number"] for line in lines])
        before = lines[-1].id
    assert parts == [[4, 3], [2, 1], [0]]
    assert await stored.audit(2, before=None, limit=2) == []


async def test_who_somebody_is(database: Database, stored: ModerationRepository) -> None:
    async with ChatRepository(database).transaction() as transaction:
        await transaction.add_messages([NewMessage(9, 1, "m_x", "t", "Eve", "guest", "hi", None, NOW, "text", "@e:x")])
        moderation = ModerationTransaction(transaction)
        found = await moderation.author(1, "m_x")
        assert found is not None
        assert (found.name, found.mxid) == ("Eve", "@e:x")
        for unknown in ("g_nobody", "u_77", "u_x", "", "m_x2"):
            assert await moderation.author(1, unknown) is None


async def test_old_things_and_those_of_removed_streams_go(
    database: Database, streams: StreamRepository, stored: ModerationRepository
) -> None:
    async def work(moderation: ModerationTransaction) -> None:
        await moderation.audit(1, AuditRecord(NOW, "ban", "api", "u_1", "mo", "moderator"))
        await moderation.watched(1, [("g_ann", 1)], at=NOW)
        await moderation.hold(_held("a"))
        await moderation.hold(_held("a", stream_id=2))
        await moderation.set_rules(2, {"slow": 1})

    await _do(database, work)
    assert await stored.purge(before=NOW) == 0
    await streams.remove("two")
    assert (await stored.load(2, people=1)).rules == {}
    assert (await stored.load(2, people=1)).held == []
    assert await stored.purge(before=NOW + timedelta(seconds=1)) == 3
