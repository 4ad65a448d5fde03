"""Guessing passwords: limited for each address and each account, and no way to keep an owner out."""

import asyncio
from collections.abc import Callable
from typing import Literal

import pytest
from argon2 import PasswordHasher
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from tests.support.accounts import PASSWORD, add_user, cheap_passwords
from tests.support.clock import FakeClock

from ghostlive.access import passwords
from ghostlive.access.limits import TooBusyError
from ghostlive.access.passwords import Passwords
from ghostlive.access.signin import Attempt, SignIn, SignInRefusedError
from ghostlive.db.engine import Database
from ghostlive.db.users import UserRepository

HOME = "192.0.2.1"
ELSEWHERE = "198.51.100.7"


class Door:
    """`SignIn` as a stranger sees it."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.users = UserRepository(database)
        self.passwords = Passwords()
        self.sign_in = SignIn(users=self.users, passwords=self.passwords, clock=clock, secret=bytes(32))

    async def attempt(self, name: str, password: str, address: str, mark: str | None = None) -> float | str:
        """The name that was signed in, or the wait; 0 when only the password was wrong."""
        try:
            return (await self.sign_in.check(Attempt(name, address, mark), password)).user.name
        except SignInRefusedError as error:
            return error.retry_after or 0

    async def storm(self, name: str = "ann", addresses: int = 100, each: int = 10) -> int:
        """Wrong passwords from many addresses; how many of them were looked at."""
        answers = [
            await self.attempt(name, "wrong", f"203.0.{number // 250}.{number % 250}")
            for number in range(addresses)
            for _ in range(each)
        ]
        return answers.count(0)


@pytest.fixture
async def door(database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Door:
    cheap_passwords(monkeypatch)
    await add_user(database)
    return Door(database, clock)


async def test_the_right_password_opens(door: Door) -> None:
    assert await door.attempt("ann", PASSWORD, HOME) == "ann"
    assert await door.attempt("ann", PASSWORD + " ", HOME) == 0
    assert await door.attempt("ann", "", HOME) == 0


@pytest.mark.parametrize("name", ["bob", "", "Ann", "a\0b", "\ud800", "' OR 1=1 --", "a" * 10_000])
async def test_other_names_are_answered_alike(door: Door, name: str) -> None:
    for password in (PASSWORD, "\ud800", "a\0b"):
        with pytest.raises(SignInRefusedError) as refused:
            await door.sign_in.check(Attempt(name, HOME), password)
        assert (str(refused.value), refused.value.retry_after) == ("The name or the password is wrong.", None)


async def test_an_address_may_try_ten_times_and_then_once_a_minute(door: Door, clock: FakeClock) -> None:
    for number in range(10):
        assert await door.attempt(f"name{number}", "wrong", HOME) == 0
    assert await door.attempt("ann", PASSWORD, HOME) == pytest.approx(60)
    with pytest.raises(SignInRefusedError, match=r"Too many attempts\. Try again in 60 seconds"):
        await door.sign_in.check(Attempt("ann", HOME), PASSWORD)
    assert await door.attempt("ann", PASSWORD, ELSEWHERE) == "ann"
    clock.advance(60)
    assert await door.attempt("ann", PASSWORD, HOME) == "ann"


async def test_an_ipv6_subscriber_is_one_address(door: Door) -> None:
    for number in range(10):
        await door.attempt(f"name{number}", "wrong", f"2001:db8::{number}")
    assert await door.attempt("ann", PASSWORD, "2001:db8::ffff:1") == pytest.approx(60)
    assert await door.attempt("ann", PASSWORD, "2001:db8:0:1::1") == "ann"


async def test_an_account_may_be_tried_twenty_times_by_all_and_then_rarely(door: Door, clock: FakeClock) -> None:
    assert await door.storm() == 20
    assert await door.attempt("ann", PASSWORD, ELSEWHERE) == pytest.approx(180)
    clock.advance(86_400)
    assert await door.storm(addresses=1000, each=3) == 20
    # Nobody learns by the limit whether there is such an account.
    assert await door.storm("bob", addresses=30) == 20


async def test_a_day_of_guessing_from_everywhere_is_five_hundred_guesses(door: Door, clock: FakeClock) -> None:
    guesses = 0
    for hour in range(24):
        for minute in range(0, 60, 3):
            guesses += (await door.attempt("ann", "wrong", f"2001:db8:{hour:x}:{minute}::1")) == 0
            clock.advance(180)
    assert guesses <= 500


async def test_strangers_cannot_keep_out_an_address_that_was_here_before(door: Door) -> None:
    assert await door.attempt("ann", PASSWORD, HOME) == "ann"
    await door.storm()
    assert await door.attempt("ann", PASSWORD, ELSEWHERE) != "ann"
    assert await door.attempt("ann", PASSWORD, HOME) == "ann"


async def test_a_known_address_is_known_to_its_own_account_only(door: Door, database: Database) -> None:
    await add_user(database, "bob")
    assert await door.attempt("bob", PASSWORD, ELSEWHERE) == "bob"
    await door.storm()
    assert await door.attempt("ann", PASSWORD, ELSEWHERE) == pytest.approx(180)


async def test_a_known_address_may_not_guess_for_ever(door: Door) -> None:
    await door.attempt("ann", PASSWORD, HOME)
    for _ in range(10):
        assert await door.attempt("ann", "wrong", HOME) == 0
    assert await door.attempt("ann", PASSWORD, HOME) == pytest.approx(60)


async def test_a_browser_that_was_here_before_comes_in_after_a_restart_and_from_an_attackers_address(
    door: Door, database: Database, clock: FakeClock
) -> None:
    mark = door.sign_in.mark("ann")
    again = Door(database, clock)
    await again.storm()
    for _ in range(11):
        await again.attempt("ann", "wrong", ELSEWHERE)
    assert await again.attempt("ann", PASSWORD, ELSEWHERE) != "ann"
    assert await again.attempt("ann", PASSWORD, ELSEWHERE, mark) == "ann"


async def test_a_browser_may_not_guess_for_ever_from_anywhere(door: Door) -> None:
    mark = door.sign_in.mark("ann")
    answers = [await door.attempt("ann", "wrong", f"203.0.113.{number}", mark) for number in range(50)]
    assert answers.count(0) == 10


@pytest.mark.parametrize(
    "forge",
    [
        lambda door: door.sign_in.mark("bob"),
        lambda door: door.sign_in.mark("ann")[:-1],
        lambda door: door.sign_in.mark("ann") + "0",
        lambda door: "f" * 32 + door.sign_in.mark("ann")[32:],
        lambda _: "",
        lambda _: ".",
        lambda _: "ü.\ud800",
        lambda _: "x" * 10_000,
    ],
)
async def test_marks_cannot_be_forged(door: Door, forge: Callable[[Door], str]) -> None:
    await door.storm()
    assert await door.attempt("ann", PASSWORD, ELSEWHERE, forge(door)) == pytest.approx(180)


async def test_a_thousand_at_once_are_not_better_than_one_after_another(door: Door) -> None:
    answers = await asyncio.gather(*(door.attempt("ann", "wrong", HOME) for _ in range(1000)))
    assert answers.count(0) == 10


async def test_signing_in_to_ones_own_account_does_not_renew_the_attempts(door: Door, database: Database) -> None:
    await add_user(database, "mallory")
    looked_at = 0
    for _ in range(50):
        looked_at += (await door.attempt("ann", "wrong", ELSEWHERE)) == 0
        await door.attempt("mallory", PASSWORD, ELSEWHERE)
    assert looked_at == 10


async def test_the_clock_on_the_wall_plays_no_part(door: Door, clock: FakeClock) -> None:
    await door.storm()
    clock._wall_ns += 10**18
    assert await door.attempt("ann", PASSWORD, ELSEWHERE) == pytest.approx(180)


async def test_a_full_queue_costs_no_attempt(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(password: str, stored: str | None, *, first: bool) -> bool:
        raise TooBusyError("Too many.")

    with monkeypatch.context() as patch:
        patch.setattr(door.passwords, "verify", full)
        for _ in range(100):
            assert await door.attempt("ann", PASSWORD, HOME) == 5
    assert await door.attempt("ann", PASSWORD, HOME) == "ann"


async def test_a_database_that_does_not_answer_costs_no_attempt(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def locked(name: str) -> None:
        raise OperationalError("SELECT", {}, Exception("locked"))

    with monkeypatch.context() as patch:
        patch.setattr(door.users, "credentials", locked)
        for _ in range(100):
            with pytest.raises(OperationalError):
                await door.attempt("ann", PASSWORD, HOME)
    assert await door.attempt("ann", PASSWORD, HOME) == "ann"


async def test_strangers_in_the_queue_do_not_keep_out_the_known(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap_passwords(monkeypatch)
    await add_user(database)
    door = Door(database, clock)
    mark = door.sign_in.mark("ann")
    storm = [asyncio.ensure_future(door.attempt(f"n{number}", "wrong", f"203.0.{number}.1")) for number in range(200)]
    assert await door.attempt("ann", PASSWORD, HOME, mark) == "ann"
    await asyncio.gather(*storm)


async def test_names_that_nobody_has_cost_the_same_work(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    class Hasher(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            checked.append(str(hash).rsplit("$", 2)[0])
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "_hasher", Hasher(time_cost=1, memory_cost=8, parallelism=1))
    for name in ("ann", "bob", "Not A Name", ""):
        assert await door.attempt(name, "wrong", HOME) == 0
    assert checked == ["$argon2id$v=19$m=8,t=1,p=1"] * 4


def test_the_hash_for_nobody_costs_as_much_as_any() -> None:
    made = passwords._hasher.hash("x").rsplit("$", 2)[0]
    assert passwords._NOBODY.rsplit("$", 2)[0] == made
    assert not passwords._hasher.check_needs_rehash(passwords._NOBODY)


async def test_each_attempt_is_a_line_without_secrets(door: Door) -> None:
    mark = door.sign_in.mark("ann")
    with capture_logs() as lines:
        await door.attempt("ann", PASSWORD, HOME, mark)
        await door.attempt("ann", "hunter2hunter2", HOME)
        await door.attempt("hunter2hunter2", "ann", HOME)
        for _ in range(20):
            await door.attempt("ann", "hunter2hunter2", HOME, mark)
    assert [(line["event"], line.get("user"), line["address"], line["log_level"]) for line in lines[:3]] == [
        ("signed in", "ann", HOME, "info"),
        ("wrong password", "ann", HOME, "warning"),
        ("wrong password", "(nobody of that name)", HOME, "warning"),
    ]
    assert [line["event"] for line in lines].count("sign-in refused") == 1
    text = str(lines)
    assert not any(secret in text for secret in (PASSWORD, "hunter2hunter2", mark, mark[:32]))
    attempt = Attempt("ann", HOME, mark)
    assert mark not in repr(attempt)
    found = await door.users.credentials("ann")
    assert found is not None
    assert "argon2" not in repr(found)
