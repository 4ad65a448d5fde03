"""Time as an argument: rooms that need a clock take one, so that tests can give them theirs."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A pending call."""

    def cancel(self) -> None:
        """Forget the call; calling twice is harmless."""


class Clock(Protocol):
    """What a room may know about time."""

    def now(self) -> float:
        """Monotonic seconds."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` once, `delay` seconds from now."""


class SystemClock:
    """The running event loop's clock."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.monotonic()

    def wall_ns(self) -> int:
        """See `Clock.wall_ns`."""
        return time.time_ns()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """See `Clock.call_later`."""
        return asyncio.get_running_loop().call_later(delay, callback)
