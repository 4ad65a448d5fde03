"""Pauses, budgets, and whether the homeserver is there."""

import asyncio

import pytest
from tests.support.clock import FakeClock

from ghostlive.chat.matrix.pace import Backoff, Budget, Line, pause


def test_pauses_double_up_to_a_limit_and_begin_anew() -> None:
    backoff = Backoff(first=0.5, longest=4.0)
    assert [backoff.failed() for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]
    backoff.succeeded()
    assert backoff.failed() == 0.5


def test_the_homeserver_may_say_for_how_long() -> None:
    backoff = Backoff()
    assert backoff.failed(7.5) == 7.5
    assert backoff.failed(-1.0) == 0.0


def test_pauses_stay_finite_however_often_it_fails() -> None:
    backoff = Backoff()
    assert {backoff.failed() for _ in range(5000)} <= {0.5 * 2**power for power in range(20)} | {30.0}


def test_a_budget_saves_up_a_few_and_no_more() -> None:
    budget = Budget(rate=10.0, burst=3.0)
    assert [budget.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert budget.take(0.1)
    assert not budget.take(0.1)
    assert [budget.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_goes_back_gives_nothing() -> None:
    budget = Budget(rate=10.0, burst=1.0)
    assert budget.take(5.0)
    assert not budget.take(1.0)


async def test_everybody_waits_for_the_same_line() -> None:
    line = Line()
    waiting = [asyncio.create_task(line.up()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not line.is_up
    assert line.breaks == 0
    line.mend()
    await asyncio.gather(*waiting)
    line.broke("gone")
    line.broke("gone again")
    assert (line.breaks, line.trouble, line.is_up) == (1, "gone again", False)
    await line.down()


async def test_a_pause_is_of_the_clock_and_can_be_ended() -> None:
    clock = FakeClock()
    task = asyncio.create_task(pause(clock, 5.0))
    await asyncio.sleep(0)
    clock.advance(4.9)
    await asyncio.sleep(0)
    assert not task.done()
    clock.advance(0.2)
    await task
    other = asyncio.create_task(pause(clock, 5.0))
    await asyncio.sleep(0)
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other
