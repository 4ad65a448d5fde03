"""Ghosts leave: all of them when the room of a stream was closed or replaced, and whoever was away for long.

One after the other, at a pace that a homeserver does not feel. Who is still in a room is in the database, so a restart
loses nothing. Who comes back joins with their next message, as everybody does (`ghosts`); who is banned stays banned.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.matrix.errors import MatrixError, UnreachableError
from ghostlive.chat.matrix.ghosts import Ghosts
from ghostlive.chat.matrix.pace import Line, pause, pause_unless
from ghostlive.chat.matrix.rooms import CLOSED
from ghostlive.core.clock import Clock
from ghostlive.db.matrix import STREAM, GhostRecord, MatrixRepository, RoomRecord

_log = structlog.get_logger("matrix")

_EVERY: Final = 600.0
"""Seconds between two looks at who may go."""
_PACE: Final = 0.5
"""Seconds between two who go: a leave costs a homeserver as much as a join, of which it manages ten a second."""
_SOME: Final = 500
"""Most who go from one room at a look, so that other rooms have their turn."""


class Leaving:
    """The one task that lets ghosts leave, for all rooms. `run` until cancelled."""

    def __init__(self, *, ghosts: Ghosts, repository: MatrixRepository, line: Line, clock: Clock, days: int) -> None:
        """`days` is how long somebody is away before their ghost leaves; 0 is for ever."""
        self._ghosts = ghosts
        self._repository = repository
        self._line = line
        self._clock = clock
        self._days = days
        self.left = 0
        """Since the start."""
        self._news = asyncio.Event()

    def wake(self) -> None:
        """A room was closed or replaced, and nobody joins it any more: look now."""
        self._news.set()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await self._line.up()
            self._news.clear()
            try:
                await self.look()
            except UnreachableError as error:
                self._line.broke(str(error))
                continue
            except (MatrixError, OSError, SQLAlchemyError) as error:
                _log.info("ghosts could not leave yet", error=str(error))
            await pause_unless(self._clock, _EVERY, self._news)

    async def look(self) -> None:
        """Let all leave who are to. Raises a `MatrixError` that is worth another try, and what the database raises."""
        for room in await self._repository.rooms():
            if room.kind != STREAM or room.room_id is None:
                continue
            if room.stream_id is None:
                if room.state.get(CLOSED):
                    await self._empty(room)
            elif self._days:
                before = datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC) - timedelta(days=self._days)
                away = await self._repository.away(room.id, room.stream_id, before=before, limit=_SOME)
                await self._let_leave(room, away)

    async def _empty(self, room: RoomRecord) -> None:
        while some := await self._repository.present(room.id, limit=_SOME):
            await self._let_leave(room, some)
        assert room.room_id is not None
        # Who was joining while the room was replaced was noted for the new one.
        noted = {ghost.author for ghost in await self._repository.ghosts(room.id)}
        await self._let_leave(room, await self._ghosts.others_in(room.room_id, noted))
        await self._ghosts.bot_leaves(room.room_id)
        self._ghosts.forget(room.id)
        await self._repository.forget_room(room.id)
        _log.info("everybody has left a room that is not used any more", room=room.room_id)

    async def _let_leave(self, room: RoomRecord, some: list[GhostRecord]) -> None:
        assert room.room_id is not None
        for ghost in some:
            await self._ghosts.leave(room.id, room.room_id, ghost)
            self.left += 1
            await pause(self._clock, _PACE)
