"""Sessions: new at each sign-in, gone when they are ended, and alive as long as they are used."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from tests.support.accounts import PASSWORD, add_user, cheap_passwords
from tests.support.clock import FakeClock

from ghostlive.access.decision import Identity
from ghostlive.access.sessions import NewSession, Sessions, SessionsUnavailableError, hash_token
from ghostlive.access.signin import SignInRefusedError
from ghostlive.core.errors import RefusedError
from ghostlive.db.engine import Database
from ghostlive.db.errors import NotFoundError
from ghostlive.db.sessions import NewSessionRecord, SessionRepository
from ghostlive.db.users import Role, UserRepository

HOME = "192.0.2.1"
DAY = 86_400.0


@pytest.fixture
async def sessions(database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    cheap_passwords(monkeypatch)
    await add_user(database)
    return Sessions(database, clock)


async def _sign_in(sessions: Sessions, name: str = "ann") -> NewSession:
    return await sessions.sign_in(name, PASSWORD, address=HOME, agent="Browser")


async def test_a_token_is_its_user(sessions: Sessions, clock: FakeClock) -> None:
    new = await _sign_in(sessions)
    assert new.user.name == "ann"
    assert await sessions.identify(new.token) == new.user
    assert (new.expires_at.timestamp() - clock.wall_ns() / 1e9) == 30 * DAY


async def test_anything_else_is_nobody(sessions: Sessions) -> None:
    token = (await _sign_in(sessions)).token
    for text in (
        None,
        "",
        token[:-1],
        token + "A",
        token.swapcase(),
        "é" * 43,
        "\ud800" * 43,
        "\0" * 43,
        "' OR 1=1 --",
    ):
        assert await sessions.identify(text) is None
    assert await sessions.identify(hash_token(token)) is None


async def test_tokens_are_random_and_only_their_hash_is_stored(
    sessions: Sessions, database: Database, tmp_path: Path
) -> None:
    tokens = {(await _sign_in(sessions)).token for _ in range(20)}
    assert len(tokens) == 20
    assert {len(token) for token in tokens} == {43}
    await database.stop()
    with closing(sqlite3.connect(tmp_path / "ghostlive.db")) as stored:
        dump = "\n".join(stored.iterdump())
    assert not any(token in dump for token in tokens)
    assert all(hash_token(token) in dump for token in tokens)


async def test_a_wrong_password_begins_nothing(sessions: Sessions, database: Database) -> None:
    with pytest.raises(SignInRefusedError):
        await sessions.sign_in("ann", "wrong", address=HOME, agent="")
    async with database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM sessions")).scalar() == 0


async def test_a_session_lasts_thirty_days_from_its_last_use(sessions: Sessions, clock: FakeClock) -> None:
    token = (await _sign_in(sessions)).token
    for _ in range(10):
        clock.advance(29 * DAY)
        assert await sessions.identify(token)
    clock.advance(30 * DAY - 1)
    assert await sessions.identify(token)
    clock.advance(30 * DAY + 1)
    assert await sessions.identify(token) is None


async def test_it_is_not_remembered_beyond_its_end(sessions: Sessions, clock: FakeClock, database: Database) -> None:
    token = (await _sign_in(sessions)).token
    clock.advance(30 * DAY - 1)
    record = await SessionRepository(database).find(hash_token(token))
    assert record is not None
    sessions._extend_at = clock.now() + DAY  # as when the database was locked
    assert await sessions.identify(token)
    clock.advance(1)
    assert await sessions.identify(token) is None


async def test_use_is_written_down_once_an_hour(
    sessions: Sessions, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = 0
    extend = SessionRepository.extend

    async def count(self: SessionRepository, *arguments: object, **more: object) -> None:
        nonlocal writes
        writes += 1
        await extend(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(SessionRepository, "extend", count)
    token = (await _sign_in(sessions)).token
    for _ in range(24 * 6):
        clock.advance(600)
        await sessions.identify(token)
    assert writes == 24


async def test_answers_are_remembered_for_a_few_seconds(
    sessions: Sessions, clock: FakeClock, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    find = SessionRepository.find

    async def count(self: SessionRepository, token_hash: str) -> object:
        nonlocal reads
        reads += 1
        return await find(self, token_hash)

    monkeypatch.setattr(SessionRepository, "find", count)
    token = (await _sign_in(sessions)).token
    for _ in range(100):
        await sessions.identify(token)
    assert reads == 1
    # What another process does is seen soon.
    await UserRepository(database).remove("ann")
    clock.advance(3)
    assert await sessions.identify(token) is None


async def test_a_closed_session_is_over_at_once(sessions: Sessions) -> None:
    one, other = (await _sign_in(sessions)).token, (await _sign_in(sessions)).token
    assert await sessions.identify(one)
    await sessions.close(one)
    assert await sessions.identify(one) is None
    assert await sessions.identify(other)
    for text in (one, None, "", "x" * 43):
        await sessions.close(text)


async def test_a_session_that_ends_while_it_is_looked_up_is_not_remembered(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await _sign_in(sessions)).token
    find = SessionRepository.find

    async def slow(self: SessionRepository, token_hash: str) -> object:
        found = await find(self, token_hash)
        await sessions.close(token)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(SessionRepository, "find", slow)
        await sessions.identify(token)
    assert await sessions.identify(token) is None


async def test_closing_the_others(sessions: Sessions, database: Database) -> None:
    await add_user(database, "bob", Role.MODERATOR)
    ann = [await _sign_in(sessions) for _ in range(3)]
    bob = await _sign_in(sessions, "bob")
    for session in (*ann, bob):
        await sessions.identify(session.token)
    assert await sessions.close_others(ann[0].user.id, ann[0].token) == 2
    assert [await sessions.identify(session.token) for session in (*ann, bob)] == [ann[0].user, None, None, bob.user]
    assert await sessions.close_others(ann[0].user.id, None) == 1
    assert await sessions.identify(ann[0].token) is None


async def test_another_password_ends_the_other_sessions(sessions: Sessions) -> None:
    mine, stolen = await _sign_in(sessions), await _sign_in(sessions)
    await sessions.identify(stolen.token)
    await sessions.change_password(mine.user, PASSWORD, "another fine password", token=mine.token, address=HOME)
    assert await sessions.identify(mine.token) == mine.user
    assert await sessions.identify(stolen.token) is None
    with pytest.raises(SignInRefusedError):
        await _sign_in(sessions)
    await sessions.sign_in("ann", "another fine password", address=HOME, agent="")


async def test_changing_the_password_needs_the_one_so_far(sessions: Sessions) -> None:
    mine = await _sign_in(sessions)
    for _ in range(10):
        with pytest.raises(SignInRefusedError, match="current password is wrong") as refused:
            await sessions.change_password(mine.user, "wrong", "another fine password", token=mine.token, address=HOME)
        assert refused.value.retry_after is None
    with pytest.raises(SignInRefusedError) as refused:
        await sessions.change_password(mine.user, PASSWORD, "another fine password", token=mine.token, address=HOME)
    assert refused.value.retry_after == pytest.approx(60)
    # Guessing with a stolen session does not keep its owner from anything.
    again = await _sign_in(sessions)
    with pytest.raises(RefusedError, match="at least 10"):
        await sessions.change_password(again.user, PASSWORD, "short", token=again.token, address=HOME)
    await sessions.change_password(again.user, PASSWORD, "another fine password", token=again.token, address=HOME)
    assert await sessions.identify(mine.token) is None


async def test_a_sign_in_that_was_checked_before_the_password_changed_begins_nothing(
    sessions: Sessions, database: Database, clock: FakeClock
) -> None:
    users = UserRepository(database)
    before = await users.credentials("ann")
    assert before is not None
    await users.set_password("ann", "$argon2id$another")
    now = sessions._wall()
    late = NewSessionRecord(before.user.id, "a" * 64, "", now, now + timedelta(days=1), before.password_hash)
    with pytest.raises(NotFoundError):
        await SessionRepository(database).add(late, keep=5)


async def test_opening_without_a_password(sessions: Sessions, database: Database) -> None:
    user = await UserRepository(database).get("ann")
    assert user is not None
    new = await sessions.open(Identity(user.id, user.name, user.role), "Browser")
    assert await sessions.identify(new.token) == new.user
    with pytest.raises(NotFoundError):
        await sessions.open(Identity(999, "gone", Role.OWNER), "")


async def test_expired_and_too_many_sessions_are_removed(
    sessions: Sessions, database: Database, clock: FakeClock
) -> None:
    await add_user(database, "bob")
    old = await _sign_in(sessions, "bob")
    clock.advance(31 * DAY)
    first = await _sign_in(sessions)
    for _ in range(60):
        clock.advance(1)
        last = await _sign_in(sessions)
    async with database.read() as connection:
        rows = (await connection.exec_driver_sql("SELECT token_hash FROM sessions")).scalars().all()
    assert len(rows) == 50
    assert hash_token(old.token) not in rows
    assert hash_token(first.token) not in rows
    assert hash_token(last.token) in rows


async def test_tokens_of_many_do_not_pile_up(sessions: Sessions, clock: FakeClock) -> None:
    for number in range(5000):
        sessions._remember(str(number), clock.now() + 3, Identity(1, "ann", Role.OWNER))
    assert len(sessions._remembered) <= 4096


async def test_a_role_that_changes_counts_soon(sessions: Sessions, database: Database, clock: FakeClock) -> None:
    token = (await _sign_in(sessions)).token
    await sessions.identify(token)
    async with database.write() as connection:
        await connection.exec_driver_sql("UPDATE users SET role = 'moderator'")
    clock.advance(3)
    user = await sessions.identify(token)
    assert user is not None
    assert user.role is Role.MODERATOR


def _break(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    async def locked(*_: object, **__: object) -> None:
        raise OperationalError("SECRET STATEMENT", {"password_hash": "x"}, Exception("database is locked"))

    monkeypatch.setattr(SessionRepository, name, locked)


async def test_a_database_that_does_not_answer_is_said_so(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    new = await _sign_in(sessions)
    with capture_logs() as lines:
        for name, call in (
            ("find", lambda: sessions.identify(new.token)),
            ("remove", lambda: sessions.close(new.token)),
            ("remove_of", lambda: sessions.close_others(1, None)),
            ("add", lambda: _sign_in(sessions)),
            ("add", lambda: sessions.open(new.user, "")),
        ):
            with monkeypatch.context() as patch:
                _break(patch, name)
                with pytest.raises(SessionsUnavailableError, match="try again in a few seconds"):
                    await call()
    assert "STATEMENT" not in str(lines)
    assert await sessions.identify(new.token) == new.user


async def test_use_that_cannot_be_noted_sends_nobody_away(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    token = (await _sign_in(sessions)).token
    clock.advance(2 * 3600)
    with monkeypatch.context() as patch, capture_logs() as lines:
        _break(patch, "extend")
        for _ in range(10):
            assert await sessions.identify(token)
            clock.advance(4)
    assert len(lines) == 1
    clock.advance(60)
    await sessions.identify(token)
    clock.advance(30 * DAY - 10)
    assert await sessions.identify(token)


async def test_no_secret_is_shown(sessions: Sessions) -> None:
    with capture_logs() as lines:
        new = await _sign_in(sessions)
        await sessions.identify(new.token)
        await sessions.change_password(new.user, PASSWORD, "another fine password", token=new.token, address=HOME)
        await sessions.close(new.token)
    text = f"{lines} {new!r} {sessions!r}"
    for secret in (PASSWORD, "another fine password", new.token, new.mark, hash_token(new.token)):
        assert secret not in text
