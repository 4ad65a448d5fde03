"""Limits: how often something may be tried, and how much of a heavy thing is done at once."""

import asyncio
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeVar

from ghostlive.core.clock import Clock
from ghostlive.core.errors import RefusedError

_T = TypeVar("_T")

_IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address that a subscriber cannot choose (RFC 6177: a site gets a /64 or more)."""
_NICE: Final = 10


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address itself, of an IPv6 address the /64; other texts as they are."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> (128 - _IPV6_PREFIX) << (128 - _IPV6_PREFIX))}/{_IPV6_PREFIX}"
    return str(parsed)


class Throttle:
    """Attempts for each key: `burst` at once, and one more every `period` seconds.

    Of each key only the moment is kept at which all its attempts are there again (the generic cell rate algorithm).
    Keys that strangers choose do not pile up: when there are too many, those go that are least in debt.
    """

    def __init__(self, clock: Clock, *, burst: int, period: float, max_keys: int = 10_000) -> None:
        """`period` is in seconds."""
        self._clock = clock
        self._period = period
        self._slack = (burst - 1) * period
        self._max_keys = max_keys
        self._whole_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._whole_at)

    def wait(self, key: str) -> float:
        """Seconds until `key` may try; 0 when it may now."""
        return max(0.0, self._whole_at.get(key, 0.0) - self._slack - self._clock.now())

    def spend(self, key: str) -> None:
        """Count an attempt."""
        now = self._clock.now()
        if key not in self._whole_at and len(self._whole_at) >= self._max_keys:
            self._drop(now)
        self._whole_at[key] = max(self._whole_at.get(key, now), now) + self._period

    def refund(self, key: str) -> None:
        """Take an attempt back."""
        if key in self._whole_at:
            self._whole_at[key] -= self._period

    def _drop(self, now: float) -> None:
        kept = sorted((item for item in self._whole_at.items() if item[1] > now), key=lambda item: item[1])
        self._whole_at = dict(kept[max(0, len(kept) - self._max_keys // 2) :])


class Seldom:
    """Lets one of many equal log lines through, for things that cost a stranger nothing."""

    def __init__(self, clock: Clock, *, every: float) -> None:
        """`every` is in seconds."""
        self._clock = clock
        self._every = every
        self._due_at = 0.0
        self._unsaid = 0

    def due(self) -> int | None:
        """None when this line is not due, else how many were left out before it."""
        now = self._clock.now()
        if now < self._due_at:
            self._unsaid += 1
            return None
        unsaid, self._unsaid = self._unsaid, 0
        self._due_at = now + self._every
        return unsaid


class TooBusyError(RefusedError):
    """Too many wait already."""


class Turns:
    """Heavy work in threads: at most `at_once` at the same time, and a bounded queue before it.

    The threads give way to everything else: who signs in may wait, a picture may not.

    Work that comes `first` has a queue of its own that is served before the other, so that strangers in any number
    cannot keep out those who are known.
    """

    def __init__(self, *, at_once: int = 2, waiting: int = 32) -> None:
        """`waiting` bounds each of the two queues."""
        self._at_once = at_once
        self._waiting = waiting
        self._running = 0
        self._threads = ThreadPoolExecutor(at_once, "heavy", initializer=_give_way)
        self._queues: dict[bool, deque[asyncio.Future[None]]] = {True: deque(), False: deque()}

    async def run(self, work: Callable[[], _T], *, first: bool = False) -> _T:
        """Run `work` in a thread when its turn has come. Raises `TooBusyError` when the queue is full."""
        await self._enter(self._queues[first])
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        # A thread cannot be stopped: the turn lasts as long as the work, even when nobody waits for it any more.
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    async def _enter(self, queue: deque[asyncio.Future[None]]) -> None:
        if self._running < self._at_once:
            self._running += 1
            return
        if len(queue) >= self._waiting:
            raise TooBusyError("The server has too many sign-ins to check at the moment; try again in a few seconds.")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with contextlib.suppress(ValueError):
                    queue.remove(waiter)
            else:  # the turn came in the same moment
                self._leave()
            raise

    def _done(self, future: "asyncio.Future[_T]") -> None:
        if not future.cancelled():
            future.exception()  # who waits gets it too; when nobody does, it is of no interest
        self._leave()

    def _leave(self) -> None:
        for queue in (self._queues[True], self._queues[False]):
            while queue:
                waiter = queue.popleft()
                if not waiter.done():  # else it was cancelled in this moment
                    waiter.set_result(None)
                    return
        self._running -= 1


def _give_way() -> None:
    """On Linux each thread has a niceness of its own, and those that it starts inherit it (Argon2's lanes)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            # The server may have been started with `nice` itself; above 19 the system cuts.
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)
