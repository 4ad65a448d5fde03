"""What became of a message, for who waits for it."""

import asyncio
import base64
import hashlib
from dataclasses import dataclass

from ghostlive.chat.errors import BusyError, ChatError, RefusalError
from ghostlive.chat.message import Message


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message that came by Matrix."""

    id: int | None = None
    """Its number, if it is stored (or would be: its author believes so)."""
    error: RefusalError | None = None
    """Why it was not accepted."""
    held: str = ""
    """Why it waits for a moderator, if it does."""


class Waiter:
    """A `chat.room.Receipt` for which somebody waits."""

    def __init__(self) -> None:
        """To be made where an event loop runs."""
        self.future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def stored(self, txn: str, message_id: int) -> None:
        """See `Receipt.stored`."""
        self._tell(Outcome(message_id))

    def refused(self, txn: str, error: ChatError) -> None:
        """See `Receipt.refused`."""
        self._tell(Outcome(error=error if isinstance(error, RefusalError) else BusyError(str(error), 5.0)))

    def held(self, txn: str, text: str) -> None:
        """See `Receipt.held`."""
        self._tell(Outcome(held=text))

    def shadowed(self, txn: str, message: Message) -> None:
        """See `Receipt.shadowed`."""

    def _tell(self, outcome: Outcome) -> None:
        if not self.future.done():
            self.future.set_result(outcome)


def event_txn(event_id: str) -> str:
    """Under which name a message of Matrix is stored."""
    return "mx" + base64.urlsafe_b64encode(hashlib.sha256(event_id.encode()).digest()).decode()[:40]
