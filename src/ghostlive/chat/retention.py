"""Deletes what is older than it may be kept: messages, guests who did not come again, bans that are over."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.room import Room
from ghostlive.db.chat import ChatRepository

_log = structlog.get_logger("chat")

_EVERY: Final = 3600.0
_CHUNK: Final = 1000
_PAUSE: Final = 0.05
"""Seconds between two chunks, in which messages are stored."""


class Retention:
    """Keeps the tables small."""

    def __init__(
        self,
        *,
        repository: ChatRepository,
        rooms: Callable[[], Iterable[Room]],
        now: Callable[[], datetime],
        keep_days: int,
    ) -> None:
        """`rooms` are those in memory; `keep_days` of 0 keeps everything."""
        self._repository = repository
        self._rooms = rooms
        self._now = now
        self._keep_days = keep_days
        self.also: list[Callable[[datetime], Awaitable[int]]] = []
        """Who else deletes what is older than a moment."""

    async def run(self) -> None:
        """Delete once an hour, until cancelled."""
        while True:
            try:
                if removed := await self.purge():
                    _log.info("old messages and guests were deleted", removed=removed)
            except (OSError, SQLAlchemyError) as error:
                _log.warning("old messages could not be deleted", error=str(error))
            await asyncio.sleep(_EVERY)

    async def purge(self) -> int:
        """Delete now; how many messages and guests went."""
        if not self._keep_days:
            return 0
        before = self._now() - timedelta(days=self._keep_days)
        removed = await self._repository.purge_people(before=before)
        await self._repository.purge_media(before=before)
        while some := await self._repository.purge_messages(before=before, limit=_CHUNK):
            removed += some
            await asyncio.sleep(_PAUSE)
        for purge in self.also:
            await purge(before)
        for room in self._rooms():
            room.forget(before)
        return removed
