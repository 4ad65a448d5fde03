"""Waiting for a change that many wait for at once."""

import asyncio


class Signal:
    """Wakes everybody who waits, each time it is fired. Says nothing about what changed: look, and wait again."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiters: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._waiters)

    def fire(self) -> None:
        """Wake all who wait now."""
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until it is fired the next time."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
