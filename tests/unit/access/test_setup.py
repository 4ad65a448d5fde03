"""The one-time link that makes the owner's account."""

import asyncio

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from tests.support.accounts import PASSWORD, add_user, cheap_passwords
from tests.support.clock import FakeClock

from ghostlive.access.limits import TooBusyError
from ghostlive.access.passwords import Passwords
from ghostlive.access.sessions import SessionsUnavailableError
from ghostlive.access.setup import SetupLink, SetupRefusedError, make_setup_link
from ghostlive.core.errors import RefusedError
from ghostlive.db.engine import Database
from ghostlive.db.errors import DatabaseError
from ghostlive.db.users import Role, UserRepository

HOME = "192.0.2.1"


@pytest.fixture
def users(database: Database) -> UserRepository:
    return UserRepository(database)


@pytest.fixture
async def link(users: UserRepository, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> SetupLink:
    cheap_passwords(monkeypatch)
    link = await make_setup_link(users, Passwords(), clock)
    assert link is not None
    return link


async def test_it_makes_the_owner(link: SetupLink, users: UserRepository) -> None:
    assert await link.needed()
    owner = await link.redeem(link.token, "ann", PASSWORD, address=HOME)
    assert (owner.name, owner.role) == ("ann", Role.OWNER)
    assert [user.name for user in await users.list()] == ["ann"]
    assert not await link.needed()


async def test_there_is_none_when_there_is_an_account(database: Database, users: UserRepository) -> None:
    await users.add("ann", role=Role.MODERATOR, password_hash="x")
    assert await make_setup_link(users, Passwords(), FakeClock()) is None


async def test_it_works_once(link: SetupLink, users: UserRepository) -> None:
    await link.redeem(link.token, "ann", PASSWORD, address=HOME)
    with pytest.raises(SetupRefusedError, match="has been used"):
        await link.redeem(link.token, "mallory", PASSWORD, address=HOME)
    await users.remove("ann")
    with pytest.raises(SetupRefusedError, match="has been used"):
        await link.redeem(link.token, "mallory", PASSWORD, address=HOME)
    assert await users.list() == []


async def test_it_expires_after_an_hour(link: SetupLink, clock: FakeClock, users: UserRepository) -> None:
    clock.advance(3600)
    with pytest.raises(SetupRefusedError, match=r"Restart the server.*`ghostlive user add NAME --role owner`"):
        await link.redeem(link.token, "ann", PASSWORD, address=HOME)
    assert await link.needed()
    assert await users.list() == []


async def test_it_works_until_then(link: SetupLink, clock: FakeClock) -> None:
    clock.advance(3599)
    await link.redeem(link.token, "ann", PASSWORD, address=HOME)


@pytest.mark.parametrize("token", ["", "x", "é", "\ud800", "x" * 100_000])
async def test_other_tokens_are_refused(link: SetupLink, users: UserRepository, token: str) -> None:
    for wrong in (token, link.token[:-1], link.token + "x"):
        with pytest.raises(SetupRefusedError, match="Copy it again"):
            await link.redeem(wrong, "ann", PASSWORD, address=HOME)
    assert await users.list() == []
    await link.redeem(link.token, "ann", PASSWORD, address=HOME)


async def test_of_several_at_once_one_wins(link: SetupLink, users: UserRepository) -> None:
    answers = await asyncio.gather(
        *(link.redeem(link.token, name, PASSWORD, address=HOME) for name in ("ann", "bob", "eve")),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, SetupRefusedError) for answer in answers) == 2
    assert len(await users.list()) == 1


async def test_an_account_that_the_command_made_meanwhile_counts(
    link: SetupLink, users: UserRepository, database: Database
) -> None:
    await add_user(database, "bob")
    assert not await link.needed()
    with pytest.raises(SetupRefusedError, match="Sign in"):
        await link.redeem(link.token, "ann", PASSWORD, address=HOME)


async def test_an_account_that_comes_in_the_last_moment_counts(
    link: SetupLink, users: UserRepository, database: Database
) -> None:
    await add_user(database, "bob")
    with pytest.raises(SetupRefusedError, match="There is an account already"):
        await link.redeem(link.token, "ann", PASSWORD, address=HOME)
    assert [user.name for user in await users.list()] == ["bob"]


async def test_a_name_or_password_that_cannot_be_one_does_not_use_it_up(link: SetupLink) -> None:
    with pytest.raises(DatabaseError, match="cannot name a user"):
        await link.redeem(link.token, "Ann Other", PASSWORD, address=HOME)
    with pytest.raises(RefusedError, match="at least 10"):
        await link.redeem(link.token, "ann", "short", address=HOME)
    await link.redeem(link.token, "ann", PASSWORD, address=HOME)


async def test_what_goes_wrong_does_not_use_it_up(link: SetupLink, monkeypatch: pytest.MonkeyPatch) -> None:
    async def locked(*_: object, **__: object) -> None:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    async def full(password: str) -> str:
        raise TooBusyError("Too many.")

    with monkeypatch.context() as patch:
        patch.setattr(UserRepository, "add_first", locked)
        patch.setattr(UserRepository, "any", locked)
        with pytest.raises(SessionsUnavailableError):
            await link.redeem(link.token, "ann", PASSWORD, address=HOME)
        with pytest.raises(SessionsUnavailableError):
            await link.needed()
    with monkeypatch.context() as patch:
        patch.setattr(link._passwords, "hash", full)
        with pytest.raises(TooBusyError):
            await link.redeem(link.token, "ann", PASSWORD, address=HOME)
    await link.redeem(link.token, "ann", PASSWORD, address=HOME)


async def test_wrong_tokens_cost_nothing_and_few_lines(link: SetupLink, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(password: str) -> str:
        raise AssertionError("a stranger had the server hash a password")

    monkeypatch.setattr(link._passwords, "hash", never)
    with capture_logs() as lines:
        for _ in range(1000):
            with pytest.raises(SetupRefusedError):
                await link.redeem("wrong", "ann", PASSWORD, address=HOME)
    assert len(lines) == 1


async def test_no_secret_is_shown(link: SetupLink) -> None:
    with capture_logs() as lines:
        with pytest.raises(SetupRefusedError) as refused:
            await link.redeem(link.token + "x", "ann", PASSWORD, address=HOME)
        await link.redeem(link.token, "ann", PASSWORD, address=HOME)
    assert [line["event"] for line in lines] == ["set-up refused", "the owner's account was made"]
    text = f"{lines} {link!r} {refused.value!r}"
    assert link.token not in text
    assert PASSWORD not in text
