"""How fast we may go with the homeserver: pauses after failures, a budget for joins, and whether it is there at all.

No clock of its own: who uses it says what time it is (monotonic seconds).
"""

import asyncio
from typing import Final

from ghostlive.core.clock import Clock

_FIRST: Final = 0.5
_LONGEST: Final = 30.0


class Backoff:
    """How long to wait after failures in a row: twice as long each time, up to `longest` seconds."""

    def __init__(self, first: float = _FIRST, longest: float = _LONGEST) -> None:
        """`first` is the pause after the first failure, in seconds."""
        self._first = first
        self._longest = longest
        self.failures = 0
        """In a row."""

    def failed(self, wanted: float | None = None) -> float:
        """One more failure; the seconds to wait. `wanted` is what the homeserver asks for (`retry_after_ms`)."""
        pause = min(self._longest, self._first * 2.0 ** min(self.failures, 16))
        self.failures += 1
        return pause if wanted is None else max(wanted, 0.0)

    def succeeded(self) -> None:
        """Begin anew."""
        self.failures = 0


async def pause(clock: Clock, seconds: float) -> None:
    """Wait for so many seconds of `clock`."""
    over = asyncio.Event()
    timer = clock.call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        timer.cancel()


async def pause_unless(clock: Clock, seconds: float, news: asyncio.Event) -> None:
    """The same, or until there are news; `news` stays as it is."""
    timer = clock.call_later(seconds, (over := asyncio.Event()).set)
    waiting = [asyncio.ensure_future(event.wait()) for event in (over, news)]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
        for one in waiting:
            one.cancel()


class Budget:
    """So many a second, with a few saved up."""

    def __init__(self, rate: float, burst: float) -> None:
        """`rate` a second; at most `burst` at once."""
        self.rate = rate
        self._burst = burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Whether one more may be had now."""
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Line:
    """The way to the homeserver: whether it is there, as the last call found it. Everybody who calls it shares one.

    Who finds it gone says `broke` and waits for `up`; one task (of the bridge) asks until it is back and says `mend`.
    """

    def __init__(self) -> None:
        self.trouble = "not asked yet"
        """Why it is not there; empty when it is."""
        self.breaks = 0
        """How often it went away."""
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._down.set()

    @property
    def is_up(self) -> bool:
        """Whether it is there."""
        return self._up.is_set()

    async def up(self) -> None:
        """Wait until it is there."""
        await self._up.wait()

    async def down(self) -> None:
        """Wait until it is gone."""
        await self._down.wait()

    def broke(self, trouble: str) -> None:
        """A call did not get through."""
        if self._up.is_set():
            self.breaks += 1
        self.trouble = trouble or "it does not answer"
        self._up.clear()
        self._down.set()

    def mend(self) -> None:
        """It answers."""
        self.trouble = ""
        self._down.clear()
        self._up.set()
