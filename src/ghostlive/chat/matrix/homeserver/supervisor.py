"""Keeps the managed homeserver running: starts it, waits until it answers, starts it again when it ends, and when the
clock that it plans by was set back (`setback`).

Nobody waits for it: the picture, pages and chat work while it is away. Each start after a failure comes later than the
one before, up to a minute; one that ran for a while begins anew.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

import structlog

from ghostlive.chat.matrix.homeserver.process import Child
from ghostlive.chat.matrix.homeserver.setback import ClockWatch, SetBack
from ghostlive.core.clock import Clock
from ghostlive.core.errors import GhostliveError

_log = structlog.get_logger("homeserver")

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds from an end to the next start; they double with each start that fails."""
STEADY_AFTER: Final = 60.0
"""Seconds of answering after which an end counts as the first again."""
PROBE_EVERY: Final = 0.25
"""Seconds between questions whether it answers yet."""
SLOW_START: Final = 120.0
"""Seconds of a start after which the log says that it takes long; a new version may change its whole database."""
WATCH_EVERY: Final = 2.0
"""Seconds between two looks at the wall clock."""
GOODBYE: Final = 3.0
"""Seconds that it has for an orderly end; its database survives any other."""


class HomeserverState(StrEnum):
    """What the homeserver does."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    """It ended and is started again in a moment."""
    STOPPED = "stopped"


class Homeserver:
    """One managed homeserver. `run` is its life; `terminate` and `stop` end it."""

    def __init__(
        self,
        *,
        launch: Callable[[], Awaitable[Child]],
        answers: Callable[[], Awaitable[bool]],
        clock: Clock,
    ) -> None:
        """`launch` starts a process (raises OSError or `GhostliveError`), `answers` asks whether it serves by now."""
        self._launch = launch
        self._answers = answers
        self._clock = clock
        self._child: Child | None = None
        self._ending = False
        self._ended = asyncio.Event()
        self._ended.set()
        self.state = HomeserverState.STOPPED
        self.starts = 0
        """How often it was started."""
        self.problem = ""
        """Why it is not running, in words; empty while it runs."""
        self.ready: Callable[[], None] = lambda: None
        """Called each time it begins to answer."""
        self.set_back: SetBack | None = None
        """Why it was started again, if that was since the clock was set back; the last time."""
        self.was_set_back: Callable[[SetBack], None] = lambda _: None
        """Called each time that is so."""

    async def run(self) -> None:
        """Keep it running until `stop`, or until this task is cancelled."""
        self._ended.clear()
        pause = FIRST_PAUSE
        try:
            while not self._over():
                self.state = HomeserverState.STARTING
                steady = await self._live()
                if self._over():
                    break
                self.state = HomeserverState.WAITING
                if steady:
                    pause = FIRST_PAUSE
                _log.warning("the homeserver is not running", reason=self.problem, again_in=pause)
                await sleep(self._clock, pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            self.state = HomeserverState.STOPPED
            if self._child is not None:  # cancelled: the process has no one else to end it
                self._child.kill()
            self._ended.set()

    def terminate(self) -> None:
        """Ask it to end, for good. Returns at once; `stop` waits."""
        again, self._ending = self._ending, True
        # A second signal while it ends is a complaint in its log.
        if self._child is not None and not again:
            self._child.terminate()

    async def stop(self) -> None:
        """End it, in an orderly way if that takes a moment only."""
        self.terminate()
        child = self._child
        if child is None:
            return
        timer = self._clock.call_later(GOODBYE, child.kill)
        try:
            await self._ended.wait()
        finally:
            timer.cancel()

    def _over(self) -> bool:
        """Whether it shall not run again."""
        return self._ending

    async def _live(self) -> bool:
        """One process from its start to its end; whether it answered for long enough to begin anew."""
        self.starts += 1
        watch = ClockWatch(self._clock)
        try:
            child = self._child = await self._launch()
        except (OSError, GhostliveError) as error:
            self.problem = str(error)
            return False
        if self._ending:  # while it was being started
            child.terminate()
        asking = asyncio.ensure_future(self._ask())
        watching = asyncio.ensure_future(self._watch(watch))
        ending = asyncio.ensure_future(child.wait())
        try:
            await asyncio.wait((ending, watching), return_when=asyncio.FIRST_COMPLETED)
            again = not ending.done() and not self._over()
            if again:
                asking.cancel()
                self._note(watching.result())
                await self._end(child, ending)
            reason = await ending
            answered = asking.result() if asking.done() and not asking.cancelled() else None
        finally:
            for task in (asking, watching, ending):
                task.cancel()
        self._child = None
        if again:
            return True
        self.problem = f"it {reason}"
        return answered is not None and self._clock.now() - answered >= STEADY_AFTER

    async def _watch(self, watch: ClockWatch) -> float:
        """Wait until the clock is set back; by how many seconds."""
        while not (back := watch.look()):
            await sleep(self._clock, WATCH_EVERY)
        return back

    def _note(self, back: float) -> None:
        self.set_back = SetBack(back, self._clock.wall_ns() / 1e9)
        self.state, self.problem = HomeserverState.WAITING, "it is started again, as the clock was set back"
        _log.warning("the clock was set back, so the homeserver is started again", by=round(back))
        self.was_set_back(self.set_back)

    async def _end(self, child: Child, ending: "asyncio.Future[str]") -> None:
        """End one that another follows."""
        child.terminate()
        timer = self._clock.call_later(GOODBYE, child.kill)
        try:
            await asyncio.wait([ending])
        finally:
            timer.cancel()

    async def _ask(self) -> float:
        """Ask until it answers; when it did."""
        began, told = self._clock.now(), False
        while not await self._answers():
            if not told and self._clock.now() - began >= SLOW_START:
                told = True
                _log.warning("the homeserver takes long to start; chat on the page goes on without it")
            await sleep(self._clock, PROBE_EVERY)
        self.state, self.problem = HomeserverState.RUNNING, ""
        took = self._clock.now() - began
        _log.info("the homeserver answers", seconds=round(took, 2), starts=self.starts)
        self.ready()
        return began + took


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait so long by `clock`."""
    over = asyncio.get_running_loop().create_future()
    timer = clock.call_later(seconds, lambda: None if over.done() else over.set_result(None))
    try:
        await over
    finally:
        timer.cancel()


async def answers_at(host: str, port: int, *, within: float = 10.0) -> bool:
    """Whether a homeserver says that it is healthy. (`/health` is Synapse's own, below no resource.)"""
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET /health HTTP/1.0\r\nHost: homeserver\r\n\r\n")
                status = await reader.readline()
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]
