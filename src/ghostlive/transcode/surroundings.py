"""What the transcoders of all sources share, and what they ask of a worker process."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ghostlive.core.clock import Clock
from ghostlive.core.tasks import TaskScope
from ghostlive.transcode.budget import Budget, Claim
from ghostlive.transcode.config import RenditionSetting, TranscodeConfig
from ghostlive.transcode.wire import Message


class Worker(Protocol):
    """What is needed of a `WorkerProcess`."""

    def send(self, message: Message) -> None:
        """See `WorkerProcess.send`."""

    async def drain(self) -> None:
        """See `WorkerProcess.drain`."""

    async def receive(self) -> list[Message]:
        """See `WorkerProcess.receive`."""

    def kill(self) -> None:
        """See `WorkerProcess.kill`."""

    async def wait(self) -> str:
        """See `WorkerProcess.wait`."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sources share."""

    config: TranscodeConfig
    clock: Clock
    budget: Budget
    scope: TaskScope
    take_worker: Callable[[], Awaitable[Worker]]
    """Raises `OSError` when no process can be started."""
    encoders: Callable[[], Sequence[str]]
    settings_of: Callable[[str], Sequence[RenditionSetting] | None]
    give_way: Callable[[Claim], None]
    """Stop a rendition that was put out of the budget."""
    rested: Callable[[], None]
    """A source has no worker any more."""
