"""Bounded queues: a slow reader costs bounded memory and is told what it lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items for one reader, taken in batches: the reader wakes once for all that came since it last looked.

    At most `limit` items wait. One more drops the oldest and counts in `dropped`; readers that must not lose a
    state (rather than an event) look at `dropped` and read the state anew.
    """

    def __init__(self, limit: int) -> None:
        """`limit` is the number of items that may wait."""
        self._limit = limit
        self._items: list[T] = []
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def closed(self) -> bool:
        """No further item will come."""
        return self._closed

    def put(self, item: T) -> None:
        """Add an item and wake the reader; items for a closed mailbox are ignored."""
        if self._closed:
            return
        if len(self._items) >= self._limit:
            del self._items[0]
            self.dropped += 1
        self._items.append(item)
        self._wake()

    def close(self) -> None:
        """Let the reader finish what waits, then end."""
        self._closed = True
        self._wake()

    async def batch(self) -> list[T]:
        """Wait for items and take them all; an empty list means the end."""
        while not self._items and not self._closed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        items, self._items = self._items, []
        return items

    async def __aiter__(self) -> AsyncIterator[T]:
        while batch := await self.batch():
            for item in batch:
                yield item

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
