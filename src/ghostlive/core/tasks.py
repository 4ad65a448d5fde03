"""Task scopes: every task has an owner that waits for it, and no failure goes unseen."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

_log = structlog.get_logger("tasks")
T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Do `work` to its end, also when who waits for it is cancelled meanwhile; then that goes on.

    For what leaves something behind when it breaks off: a transaction of SQLite whose statement was cancelled before
    its rows were read keeps the database locked until the garbage collector comes by.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # it was seen: who waited is gone
        raise


class TaskScope:
    """Owns tasks that live and fail independently of each other (connections, readers, timers).

    Unlike `asyncio.TaskGroup`, one task's failure does not end the others: it is logged with its traceback. Leaving
    the scope, or `close`, cancels what still runs and waits for it.
    """

    def __init__(self, name: str) -> None:
        """`name` says in the log whose tasks these are."""
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `coroutine` as a task of this scope."""
        if self._closing:
            coroutine.close()
            raise RuntimeError(f"{self._name} is closing, {name} was not started")
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancel every task and wait until all have ended."""
        self._closing = True
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task failed", scope=self._name, task=task.get_name(), exc_info=error)
