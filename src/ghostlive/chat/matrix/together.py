"""Many requests at once, but not too many: for what has no order among itself, as bans of many people, or redactions.

A homeserver does one after the other in a room, but what it does around each (checks, the way there and back) need not
wait. When it says that it is too much (429), nothing more begins for as long as it asks for.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from ghostlive.chat.matrix.errors import LimitedError
from ghostlive.chat.matrix.pace import Backoff, pause
from ghostlive.core.clock import Clock

Job = Callable[[], Awaitable[object]]

MOST: Final = 8
"""At once. More make a homeserver no faster, and leave it no time for others."""
_REFUSALS: Final = 10
"""How often one job may be told that it is too much before that is the caller's trouble."""


async def together(jobs: Iterable[tuple[str, Job]], clock: Clock, *, most: int = MOST) -> None:
    """Do all jobs, at most `most` at once. Those with the same key are done one after the other, in their order.

    After a failure nothing more begins; what runs is waited for, and the first error raised.
    """
    crowd = _Crowd(jobs, clock)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(most, len(crowd.waiting))):
            group.create_task(crowd.work())
    if crowd.error is not None:
        raise crowd.error


class _Crowd:
    """What is to be done, and those who do it."""

    def __init__(self, jobs: Iterable[tuple[str, Job]], clock: Clock) -> None:
        self._clock = clock
        self._until = clock.now()
        self.error: Exception | None = None
        by_key: dict[str, list[Job]] = {}
        for key, job in jobs:
            by_key.setdefault(key, []).append(job)
        self.waiting = deque(by_key.values())

    async def work(self) -> None:
        """Do what nobody else does yet, until nothing is left."""
        while self.waiting and self.error is None:
            for job in self.waiting.popleft():
                if not await self._do(job):
                    return

    async def _do(self, job: Job) -> bool:
        backoff = Backoff()
        while self.error is None:
            while (wait := self._until - self._clock.now()) > 0:
                await pause(self._clock, wait)
            try:
                await job()
            except LimitedError as error:
                if backoff.failures >= _REFUSALS:
                    self._fail(error)
                    break
                self._until = max(self._until, self._clock.now() + backoff.failed(error.retry_after))
            except Exception as error:  # raised by `together`
                self._fail(error)
            else:
                return True
        return False

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
