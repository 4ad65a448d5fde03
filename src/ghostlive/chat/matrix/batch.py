"""Messages and reactions that came from a room together: what is known of them, and what is on its way into the chat.

Each is handed to the chat before the one in front of it is stored, so that the database stores them in one go. Who
needs to know what became of those before (an answer to one of them, a command) settles the batch first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any

from ghostlive.chat.errors import BusyError
from ghostlive.chat.matrix.events import RoomEvent
from ghostlive.db.chat import EventRecord

Rest = Callable[[], Awaitable[None]]
"""What is to be done for an event when the chat has taken it."""
Guard = Callable[[RoomEvent, Awaitable[None]], Awaitable[None]]
"""Awaits that; raises nothing but `BusyError`."""


class Batch:
    """`settle` it in the end, whatever happens."""

    def __init__(self, known: Mapping[str, EventRecord], linked: Collection[str], guard: Guard) -> None:
        """`known` are events that are stored, among those that are mentioned; `linked` people who have an account."""
        self._known = dict(known)
        self._linked: Collection[str] | None = linked
        self._guard = guard
        self._waiting: list[tuple[RoomEvent, Rest]] = []
        self._submitted: set[str] = set()

    def may_be_linked(self, mxid: str) -> bool:
        """Whether an account may belong to that Matrix ID."""
        return self._linked is None or mxid in self._linked

    def links_changed(self) -> None:
        """One of the messages was a code: what is known of links counts no more."""
        self._linked = None

    async def find(self, event_id: str) -> EventRecord | None:
        """To what an event belongs, also one of this batch. Raises `BusyError`."""
        if event_id in self._submitted:
            await self.settle()
        return self._known.get(event_id)

    def stored(self, event_id: str, message_id: int) -> None:
        """One of these became a message."""
        self._known[event_id] = EventRecord(event_id, message_id, "message", "", "")

    def later(self, event: RoomEvent, rest: Rest) -> None:
        """The chat has the event; `rest` waits for what becomes of it."""
        self._submitted.add(event.event_id)
        self._waiting.append((event, rest))

    def begin(self, event: RoomEvent, work: Coroutine[Any, Any, None]) -> None:
        """Have the event done by `work`, which hands it to the chat before it waits for anything."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # if nobody waits any more

        async def rest() -> None:
            await task

        self.later(event, rest)

    async def settle(self) -> None:
        """Wait until everything is stored, or refused. Raises `BusyError` when something has to come again."""
        waiting, self._waiting = self._waiting, []
        busy: BusyError | None = None
        for event, rest in waiting:
            try:
                await self._guard(event, rest())
            except BusyError as error:
                busy = busy or error
        self._submitted.clear()
        if busy is not None:
            raise busy
