"""The managed homeserver's life with a process that does as a test says, and a clock that a test moves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.chat import JumpingClock
from tests.support.clock import FakeClock

from ghostlive.chat.matrix.homeserver.setback import ClockWatch, SetBack, read, write
from ghostlive.chat.matrix.homeserver.supervisor import (
    GOODBYE,
    LONGEST_PAUSE,
    PROBE_EVERY,
    STEADY_AFTER,
    WATCH_EVERY,
    Homeserver,
    HomeserverState,
)


class FakeChild:
    """A process that ends when a test says so, or when it is killed."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.signals: list[str] = []
        self._stubborn = stubborn
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(self, how: str) -> None:
        if not self._ended.done():
            self._ended.set_result(how)

    def terminate(self) -> None:
        self.signals.append("term")
        if not self._stubborn:
            self.end("exited with 0")

    def kill(self) -> None:
        self.signals.append("kill")
        self.end("was killed by SIGKILL")

    async def wait(self) -> str:
        return await asyncio.shield(self._ended)


class World:
    """A supervisor and all that it sees."""

    def __init__(self) -> None:
        self.clock = JumpingClock()
        self.children: list[FakeChild] = []
        self.failure: OSError | None = None
        self.answering = False
        self.readied = 0
        self.homeserver = Homeserver(launch=self._launch, answers=self._answers, clock=self.clock)
        self.homeserver.ready = self._ready
        self.stubborn = False
        self.task = asyncio.ensure_future(self.homeserver.run())

    async def _launch(self) -> FakeChild:
        if self.failure is not None:
            raise self.failure
        child = FakeChild(stubborn=self.stubborn)
        self.children.append(child)
        return child

    async def _answers(self) -> bool:
        return self.answering

    def _ready(self) -> None:
        self.readied += 1

    async def settle(self, seconds: float = 0.0) -> None:
        """Let so much time pass, and everything happen that can."""
        for _ in range(20):
            await asyncio.sleep(0)
        if seconds:
            self.clock.advance(seconds)
            await self.settle()

    async def answer(self) -> None:
        """The homeserver begins to answer."""
        self.answering = True
        await self.settle(PROBE_EVERY)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    await found.settle()
    yield found
    found.task.cancel()
    await asyncio.wait([found.task])


async def test_it_runs_once_it_answers(world: World) -> None:
    assert (len(world.children), world.homeserver.state) == (1, HomeserverState.STARTING)
    await world.settle(10 * PROBE_EVERY)
    assert (world.readied, world.homeserver.state) == (0, HomeserverState.STARTING)
    await world.answer()
    assert (world.readied, world.homeserver.state, world.homeserver.problem) == (1, HomeserverState.RUNNING, "")


async def test_each_failure_waits_longer_than_the_one_before(world: World) -> None:
    pauses = []
    for _ in range(8):
        starts = len(world.children)
        world.children[-1].end("exited with 1: no database")
        await world.settle()
        assert world.homeserver.state is HomeserverState.WAITING
        assert world.homeserver.problem == "it exited with 1: no database"
        before = world.clock.now()
        while len(world.children) == starts:
            await world.settle(0.5)
        pauses.append(world.clock.now() - before)
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE]


async def test_one_that_ran_for_a_while_is_started_again_at_once(world: World) -> None:
    for _ in range(4):
        world.children[-1].end("exited with 1")
        await world.settle(LONGEST_PAUSE)
    await world.answer()
    await world.settle(STEADY_AFTER)
    starts = len(world.children)
    world.children[-1].end("was killed by SIGKILL")
    await world.settle(1.0)
    assert len(world.children) == starts + 1
    assert world.homeserver.problem == "it was killed by SIGKILL" or world.homeserver.state is HomeserverState.RUNNING


async def test_one_that_never_answered_did_not_run_for_a_while(world: World) -> None:
    world.children[-1].end("exited with 1")
    await world.settle(1.0)
    await world.settle(10 * STEADY_AFTER)
    world.children[-1].end("exited with 1")
    await world.settle(1.0)
    assert len(world.children) == 2
    await world.settle(1.0)
    assert len(world.children) == 3


async def test_a_program_that_cannot_be_started_is_tried_again(world: World) -> None:
    world.failure = OSError("no memory")
    world.children[-1].end("exited with 1")
    await world.settle(1.0)
    assert (world.homeserver.state, world.homeserver.problem) == (HomeserverState.WAITING, "no memory")
    world.failure = None
    await world.settle(2.0)
    assert world.homeserver.state is HomeserverState.STARTING


async def test_one_whose_clock_was_set_back_is_started_again_once(world: World) -> None:
    told: list[SetBack] = []
    world.homeserver.was_set_back = told.append
    await world.answer()
    await world.settle(2 * WATCH_EVERY)
    assert world.children[0].signals == []
    world.answering = False
    world.clock.jump(-3600.0)
    await world.settle(WATCH_EVERY)
    assert (world.children[0].signals, world.homeserver.state) == (["term"], HomeserverState.WAITING)
    assert "clock was set back" in world.homeserver.problem
    assert told == [world.homeserver.set_back] == [SetBack(3600.0, world.clock.wall_ns() / 1e9)]
    await world.settle(1.0)
    assert (len(world.children), world.homeserver.state) == (2, HomeserverState.STARTING)
    await world.answer()
    assert (world.readied, world.homeserver.problem) == (2, "")
    await world.settle(10 * WATCH_EVERY)
    assert (len(world.children), world.children[1].signals, len(told)) == (2, [], 1)
    # Again it is planned by a clock that goes back, and so it is again for another process.
    world.clock.jump(-60.0)
    await world.settle(WATCH_EVERY)
    await world.settle(1.0)
    assert (len(world.children), len(told)) == (3, 2)


async def test_one_that_does_not_end_for_the_clock_is_killed(world: World) -> None:
    world.stubborn = True
    world.children[-1].end("exited with 1")
    await world.settle(1.0)
    world.clock.jump(-3600.0)
    await world.settle(WATCH_EVERY)
    await world.settle(GOODBYE)
    assert world.children[-1].signals == ["term", "kill"]
    await world.settle(1.0)
    assert len(world.children) == 3


@pytest.mark.parametrize("jumps", [[3600.0], [-4.0, -4.0, -4.0], [-3600.0, 3600.0]])
async def test_other_changes_of_the_clock_are_none_of_its_business(world: World, jumps: list[float]) -> None:
    await world.answer()
    if len(jumps) == 2:  # before anybody looked it was right again
        for jump in jumps:
            world.clock.jump(jump)
    else:
        for jump in jumps:
            world.clock.jump(jump)
            await world.settle(WATCH_EVERY)
    await world.settle(10 * WATCH_EVERY)
    assert (len(world.children), world.children[0].signals) == (1, [])


async def test_a_clock_that_is_set_back_while_it_ends_starts_nothing(world: World) -> None:
    world.stubborn = True
    world.children[-1].end("exited with 1")
    await world.settle(1.0)
    stopping = asyncio.ensure_future(world.homeserver.stop())
    await world.settle()
    world.clock.jump(-3600.0)
    await world.settle(WATCH_EVERY)
    assert world.children[-1].signals == ["term"], "a second signal is a complaint in its log"
    assert world.homeserver.set_back is None
    await world.settle(GOODBYE)
    await stopping
    await world.settle(LONGEST_PAUSE)
    assert len(world.children) == 2


def test_a_process_that_stood_still_between_two_clocks_saw_none_set_back() -> None:
    class Stopped(FakeClock):
        """Time passes between a look at one clock and a look at the other, sometimes."""

        def wall_ns(self) -> int:
            wait, self.wait = self.wait, 0.0
            self.advance(wait)
            return super().wall_ns()

        wait = 30.0

    clock = Stopped()
    watch = ClockWatch(clock)
    assert watch.look() == 0.0
    clock.wait = 30.0
    assert watch.look() == 0.0
    assert watch.look() == 0.0


def test_people_are_told_of_it_for_a_day(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    (tmp_path / "matrix").mkdir()
    write(tmp_path, SetBack(3600.0, 1_800_000_000.0))
    found = read(tmp_path)
    assert found is not None
    assert "set back by 60 minutes (just now)" in found.text(found.at)
    assert "(90 min ago)" in found.text(found.at + 5400.0)
    assert "(23 h ago)" in found.text(found.at + 23.5 * 3600.0)
    assert (found.text(found.at + 25 * 3600.0), found.text(found.at - 1.0)) == ("", "")
    (tmp_path / "matrix" / "set_back.json").write_text("[]")
    assert read(tmp_path) is None


async def test_a_stop_is_orderly(world: World) -> None:
    await world.answer()
    world.homeserver.terminate()
    await world.homeserver.stop()
    assert (world.children[0].signals, world.homeserver.state) == (["term"], HomeserverState.STOPPED)
    await world.settle(LONGEST_PAUSE)
    assert len(world.children) == 1


async def test_one_that_does_not_end_is_killed(world: World) -> None:
    world.stubborn = True
    world.children[-1].end("exited with 1")
    await world.settle(1.0)
    stopping = asyncio.ensure_future(world.homeserver.stop())
    await world.settle(GOODBYE - 0.1)
    assert (world.children[-1].signals, stopping.done()) == (["term"], False)
    await world.settle(0.2)
    assert (world.children[-1].signals, stopping.done()) == (["term", "kill"], True)


async def test_a_stop_between_two_starts_starts_nothing(world: World) -> None:
    world.children[-1].end("exited with 1")
    await world.settle()
    await world.homeserver.stop()
    await world.settle(LONGEST_PAUSE)
    assert len(world.children) == 1
    assert world.task.done()


async def test_a_cancelled_one_takes_its_process_along(world: World) -> None:
    world.task.cancel()
    await world.settle()
    assert world.children[0].signals == ["kill"]
