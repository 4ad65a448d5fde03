"""Bans, marks, salts and policy lists as stored, and how the bans of earlier versions come along."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from ghostlive.chat.bans import from_record
from ghostlive.chat.identity import Mark
from ghostlive.db.bans import (
    BanRecord,
    BanRepository,
    NewBan,
    PolicyRecord,
    RuleRecord,
    add_ban,
    bans_of_person,
    lift_ban,
)
from ghostlive.db.chat import ChatRepository, GuestRecord
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import FILE_NAME, Database
from ghostlive.db.migrate import run_migrations
from ghostlive.db.streams import StreamRepository

NOW = datetime(2026, 9, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
async def bans(database: Database) -> BanRepository:
    for name in ("one", "two"):
        await StreamRepository(database).add(name)
    return BanRepository(database)


async def test_bans_of_streams_and_of_the_site(bans: BanRepository, database: Database) -> None:
    async with database.write() as connection:
        good = await add_ban(
            connection,
            NewBan(1, "Ann", "mo", NOW, guest_id="g_1", marks=(("network", "1.n"), ("address", "1.a")), watch=True),
        )
        short = await add_ban(connection, NewBan(1, "Bob", "mo", NOW, NOW + DAY, guest_id="g_2"))
        await add_ban(connection, NewBan(2, "Cat", "mo", NOW, guest_id="g_3"))
        site = await add_ban(connection, NewBan(None, "*", "olga", NOW, mxid="@a*:b", watch=True))
    assert await bans.bans(1, now=NOW) == [short, _sorted(good)]
    assert await bans.bans(1, now=NOW + DAY) == [_sorted(good)]
    assert await bans.bans(None, now=NOW) == [site]
    assert [(one.stream, one.ban.id) for one in await bans.from_watching(now=NOW)] == [
        (None, site.id),
        ("one", good.id),
    ]
    assert "1.a" not in repr(good)
    async with database.write() as connection:
        assert await bans_of_person(connection, 1, "g_1", now=NOW) == [good.id]
        assert await bans_of_person(connection, None, "@a*:b", now=NOW) == [site.id]
        assert await bans_of_person(connection, 2, "g_1", now=NOW) == []
        assert await lift_ban(connection, 2, good.id, at=NOW) is None
        assert await lift_ban(connection, None, good.id, at=NOW) is None
        lifted = await lift_ban(connection, 1, good.id, at=NOW)
        assert lifted is not None
        assert set(lifted.marks) == set(good.marks)
        assert await lift_ban(connection, 1, good.id, at=NOW) is None
        assert await lift_ban(connection, 1, short.id, at=NOW + DAY) is None  # it is over by itself
    assert await bans.bans(1, now=NOW) == [short]
    await StreamRepository(database).remove("one")
    assert [one.ban.id for one in await bans.from_watching(now=NOW)] == [site.id]


def _sorted(ban: BanRecord) -> BanRecord:
    return replace(ban, marks=tuple(sorted(ban.marks)))


async def test_salts_begin_anew_and_go_with_what_they_made(bans: BanRepository, database: Database) -> None:
    assert await bans.renew_salt("aa", at=NOW, older_than=NOW - 30 * DAY)
    assert not await bans.renew_salt("bb", at=NOW + 29 * DAY, older_than=NOW - DAY)
    assert await bans.renew_salt("cc", at=NOW + 31 * DAY, older_than=NOW + DAY)
    assert await bans.salts() == {1: "aa", 2: "cc"}
    async with ChatRepository(database).transaction() as transaction:
        for number, trace in enumerate(("1.a.n.b", "2.a.n.b", "x" * 64, "")):
            await transaction.add_guest(GuestRecord(f"g_{number}", f"t{number}", "Ann", trace, NOW, NOW))
        await add_ban(transaction.connection, NewBan(1, "Ann", "mo", NOW, NOW + DAY, marks=(("address", "1.a"),)))
        await add_ban(transaction.connection, NewBan(1, "Old", "mo", NOW, marks=(("address", "0.a"),)))
    assert await bans.purge(before=NOW + DAY) == 0
    assert await bans.salts() == {1: "aa", 2: "cc"}  # a mark needs it
    assert await bans.purge(before=NOW + 2 * DAY) == 1
    assert await bans.salts() == {2: "cc"}
    assert await bans.purge(before=NOW + 100 * DAY) == 0
    assert await bans.salts() == {2: "cc"}
    async with database.read() as connection:
        traces = (await connection.execute(sa.text("SELECT address_hash FROM chat_guests ORDER BY id"))).scalars().all()
    assert traces == ["", "2.a.n.b", "x" * 64, ""]
    assert len(await bans.bans(1, now=NOW + 100 * DAY)) == 1


async def test_policy_lists_and_their_rules(bans: BanRepository) -> None:
    await bans.set_policies(1, ["#a:x", "#b:x", "#a:x"], at=NOW)
    await bans.set_policies(None, ["#a:x"], at=NOW)
    assert await bans.policies() == [
        PolicyRecord("one", "#a:x", ""),
        PolicyRecord("one", "#b:x", ""),
        PolicyRecord(None, "#a:x", ""),
    ]
    await bans.set_policy_room("#a:x", "!a")
    rule, other = RuleRecord("!a", "user", "1", "@a:b", "spam"), RuleRecord("!a", "server", "1", "evil", "")
    await bans.set_rules([rule, other])
    await bans.set_rules([rule._replace(reason="more")], [other])
    assert await bans.rules() == [rule._replace(reason="more")]
    await bans.set_policies(1, ["#a:x"], at=NOW)
    assert await bans.policies() == [PolicyRecord(None, "#a:x", "!a"), PolicyRecord("one", "#a:x", "!a")]
    await bans.set_policies(1, [], at=NOW)
    assert len(await bans.rules()) == 1
    await bans.set_policies(None, [], at=NOW)
    assert await bans.rules() == []


def _with_a_ban(file: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        run_migrations(connection, "0006")
    engine.dispose()
    with closing(sqlite3.connect(file)) as old:
        old.execute("INSERT INTO streams (id, name, created_at) VALUES (1, 'one', '2026-01-01')")
        old.executemany(
            "INSERT INTO chat_bans (id, stream_id, guest_id, address_hash, name, created_by, created_at) "
            "VALUES (?, 1, ?, ?, 'Troll', 'mo', '2026-01-01')",
            [(5, "g_1", "f" * 64), (6, "u_2", "")],
        )
        old.commit()


async def test_the_bans_of_earlier_versions_come_along(tmp_path: Path) -> None:
    await asyncio.to_thread(_with_a_ban, tmp_path / FILE_NAME)
    async with Database(DatabaseConfig(), tmp_path) as database:
        second, first = [from_record(record) for record in await BanRepository(database).bans(1, now=NOW)]
    assert (first.id, first.author_id, first.marks) == (5, "g_1", frozenset({Mark("address", 0, "f" * 64)}))
    assert (second.author_id, second.marks, second.newcomers, second.watch) == ("u_2", frozenset(), "hold", False)
