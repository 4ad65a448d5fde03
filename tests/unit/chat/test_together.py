"""Many requests at once: how many, in which order, and that one that is refused slows all of them down."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.clock import FakeClock

from ghostlive.chat.matrix.errors import ForbiddenError, LimitedError
from ghostlive.chat.matrix.runs import LONGEST, Item, runs
from ghostlive.chat.matrix.together import MOST, together
from ghostlive.db.matrix import DeletionRecord, PendingRecord


async def turns(condition: Callable[[], object]) -> None:
    """Let others go on until `condition` holds."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("waited in vain")


async def test_so_many_at_once_and_those_of_one_person_in_their_order() -> None:
    running, most = 0, 0
    done: list[tuple[str, int]] = []
    gate = asyncio.Event()

    def job(key: str, number: int) -> Any:
        async def run() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1
            done.append((key, number))

        return run

    jobs = [(f"p{number % 20}", job(f"p{number % 20}", number)) for number in range(60)]
    task = asyncio.create_task(together(jobs, FakeClock()))
    await turns(lambda: running == MOST)
    assert done == []
    gate.set()
    await task
    assert most == MOST
    assert len(done) == 60
    for person in range(20):
        assert [number for key, number in done if key == f"p{person}"] == [person, person + 20, person + 40]


async def test_a_homeserver_that_says_too_much_is_left_alone_for_as_long_as_it_says() -> None:
    clock, begun = FakeClock(), []
    refused = [False]

    def job(number: int) -> Any:
        async def run() -> None:
            begun.append((number, clock.now()))
            if number == 0 and not refused[0]:
                refused[0] = True
                raise LimitedError(429, "M_LIMIT_EXCEEDED", "slower", retry_after=7.0)

        return run

    start = clock.now()
    task = asyncio.create_task(together([(str(number), job(number)) for number in range(30)], clock))
    await turns(lambda: len(begun) >= 1)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(begun) <= MOST
    clock.advance(6.9)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(begun) <= MOST
    clock.advance(0.2)
    await task
    late = [at for _, at in begun[MOST:]]
    assert len(begun) == 31
    assert all(at >= start + 7.0 for at in late)


async def test_it_gives_up_when_it_is_always_too_much() -> None:
    clock, tries = FakeClock(), []

    async def job() -> None:
        tries.append(1)
        raise LimitedError(429, "M_LIMIT_EXCEEDED", "never", retry_after=1.0)

    task = asyncio.create_task(together([("a", job)], clock))
    while not task.done():
        clock.advance(1.0)
        await asyncio.sleep(0)
    with pytest.raises(LimitedError):
        await task
    assert 5 < len(tries) < 20


async def test_after_a_failure_nothing_more_begins_and_the_first_is_told() -> None:
    begun, ended = [], []

    def job(number: int) -> Any:
        async def run() -> None:
            begun.append(number)
            await asyncio.sleep(0)
            if number == 2:
                raise ForbiddenError(403, "M_FORBIDDEN", "no")
            await asyncio.sleep(0)
            ended.append(number)

        return run

    with pytest.raises(ForbiddenError):
        await together([(str(number), job(number)) for number in range(100)], FakeClock())
    assert len(begun) <= 2 * MOST
    assert sorted([*ended, 2]) == sorted(begun)
    await together([], FakeClock())


def act(number: int, name: str = "ban", *, kind: str = "act", **who: Any) -> PendingRecord:
    return PendingRecord(number, number, kind, {"act": name, **who})


def cut(items: list[Item]) -> list[list[int]]:
    return [[item.seq if not hasattr(item, "sent_at") else 0 for _, item in run] for run in runs(items)]


def test_what_is_done_at_once_and_what_alone() -> None:
    gone = [DeletionRecord(number, number, f"${number}", "mo") for number in range(1, 4)]
    assert cut([*gone, act(4, target="g_a"), act(5, "kick", target="g_b"), act(6, "unban", mxid="@c:x")]) == [
        [1, 2, 3],
        [4, 5, 6],
    ]
    alone = [act(7, mxid="@*:x"), act(8, "timeout", target="g_a"), act(9, "pin"), act(10, kind="later", mxid="@c:x")]
    assert cut([act(4, target="g_a"), *alone, act(11, target="g_b")]) == [[4], [7], [8], [9], [10], [11]]
    many = [act(number, target=f"g_{number}") for number in range(70)]
    assert [len(run) for run in runs(many)] == [LONGEST, LONGEST, 70 - 2 * LONGEST]
    assert list(runs([])) == []


def test_one_person_by_several_names_is_one() -> None:
    first, second, third = act(1, target="g_a", mxid="@a:x"), act(2, "unban", mxid="@a:x"), act(3, target="g_b")
    [run] = runs([first, second, third])
    assert [key for key, _ in run] == ["g_a", "g_a", "g_b"]
