"""A clock that moves when a test says so."""

import heapq
import itertools
from collections.abc import Callable


class FakeTimer:
    """A pending call of a `FakeClock`."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """`core.clock.Clock` for tests: time stands still until `advance`."""

    def __init__(self, now: float = 1000.0, wall: float = 1_800_000_000.0) -> None:
        self._now = now
        self._wall_ns = int(wall * 1e9)
        self._start = now
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._count = itertools.count()

    def now(self) -> float:
        return self._now

    def wall_ns(self) -> int:
        return self._wall_ns + round((self._now - self._start) * 1e9)

    def call_later(self, delay: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (self._now + delay, next(self._count), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass; timers fire at their own time, in order."""
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, due)
            if timer.callback is not None:
                callback, timer.callback = timer.callback, None
                callback()
        self._now = end
