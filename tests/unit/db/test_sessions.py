"""Sessions as stored."""

from datetime import UTC, datetime, timedelta

import pytest

from ghostlive.db.engine import Database
from ghostlive.db.errors import NotFoundError
from ghostlive.db.sessions import NewSessionRecord, SessionRecord, SessionRepository
from ghostlive.db.users import Role, UserRecord, UserRepository

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
async def ann(database: Database) -> UserRecord:
    return await UserRepository(database).add("ann", role=Role.ADMIN, password_hash="$argon2id$x")


@pytest.fixture
def sessions(database: Database) -> SessionRepository:
    return SessionRepository(database)


def _new(user: UserRecord, letter: str, *, at: datetime = NOW, password_hash: str | None = None) -> NewSessionRecord:
    return NewSessionRecord(user.id, letter * 64, "Browser", at, at + DAY, password_hash)


async def test_a_session_is_found_with_its_user(sessions: SessionRepository, ann: UserRecord) -> None:
    await sessions.add(_new(ann, "a", password_hash="$argon2id$x"), keep=5)
    found = await sessions.find("a" * 64)
    assert found == SessionRecord(1, ann.id, "ann", Role.ADMIN, NOW, NOW + DAY)
    assert await sessions.find("b" * 64) is None
    assert await sessions.find("") is None


async def test_expired_ones_and_those_beyond_the_limit_go(sessions: SessionRepository, ann: UserRecord) -> None:
    for number, letter in enumerate("abcd"):
        await sessions.add(_new(ann, letter, at=NOW + number * timedelta(hours=1)), keep=3)
    assert [bool(await sessions.find(letter * 64)) for letter in "abcd"] == [False, True, True, True]
    await sessions.extend(2, now=NOW + timedelta(hours=9), expires_at=NOW + 3 * DAY)
    await sessions.add(_new(ann, "e", at=NOW + timedelta(hours=10)), keep=3)
    assert [bool(await sessions.find(letter * 64)) for letter in "bcde"] == [True, False, True, True]
    await sessions.add(_new(ann, "f", at=NOW + 2 * DAY), keep=3)
    assert [bool(await sessions.find(letter * 64)) for letter in "bcdef"] == [True, False, False, False, True]


async def test_they_end_with_their_user(database: Database, sessions: SessionRepository, ann: UserRecord) -> None:
    await sessions.add(_new(ann, "a"), keep=5)
    await UserRepository(database).remove("ann")
    assert await sessions.find("a" * 64) is None
    with pytest.raises(NotFoundError):
        await sessions.add(_new(ann, "b"), keep=5)


async def test_they_end_with_another_password(database: Database, sessions: SessionRepository, ann: UserRecord) -> None:
    bob = await UserRepository(database).add("bob", role=Role.STREAMER, password_hash="$argon2id$b")
    for user, letter in ((ann, "a"), (ann, "b"), (bob, "c")):
        await sessions.add(_new(user, letter), keep=5)
    await UserRepository(database).set_password("ann", "$argon2id$y", keep_session="b" * 64)
    assert [bool(await sessions.find(letter * 64)) for letter in "abc"] == [False, True, True]
    await UserRepository(database).set_password("ann", "$argon2id$z")
    assert [bool(await sessions.find(letter * 64)) for letter in "abc"] == [False, False, True]


async def test_none_begins_with_a_password_that_is_no_more(sessions: SessionRepository, ann: UserRecord) -> None:
    late = _new(ann, "a", password_hash="$argon2id$old")
    with pytest.raises(NotFoundError):
        await sessions.add(late, keep=5)
    assert await sessions.find("a" * 64) is None
    assert "argon2" not in repr(late)


async def test_removing(sessions: SessionRepository, ann: UserRecord) -> None:
    for letter in "abc":
        await sessions.add(_new(ann, letter), keep=5)
    await sessions.remove("a" * 64)
    await sessions.remove("a" * 64)
    assert await sessions.remove_of(ann.id, keep="b" * 64) == 1
    assert await sessions.remove_of(ann.id) == 1
    await sessions.extend(1, now=NOW, expires_at=NOW)
