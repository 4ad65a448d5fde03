"""Lets policy lists reach people who say nothing: who is in a room, and named by a list that counts there, is banned
from it as soon as the list says so, and let in again when it does so no more.

Nothing is stored for it. A ban that a list made bears a mark in the room (`LISTED`), so what is in the room and what
the lists say now is all there is to compare, whatever happened in between: we may have died, or the homeserver been
away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.gate import Gate
from ghostlive.chat.matrix.alias import is_ours
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import ForbiddenError, MatrixError, UnreachableError
from ghostlive.chat.matrix.events import POWER, integer, mapping
from ghostlive.chat.matrix.pace import Backoff, Line, pause
from ghostlive.chat.matrix.power import MODERATOR
from ghostlive.chat.matrix.together import Job, together
from ghostlive.core.clock import Clock

_log = structlog.get_logger("matrix")

LISTED: Final[Mapping[str, Any]] = {"live.ghost.listed": True}
"""In the content of a ban: a policy list is why."""
_GAP: Final = 1.0
"""Seconds between two looks at all rooms: rules come by the hundred."""
_BREATH: Final = 8
"""Members that are compared with all rules before others have their turn."""
_IN: Final = ("join", "invite", "knock")

MakeGate = Callable[[str], Awaitable[Gate]]
"""Who may not be in a stream's chat. Raises like the database."""


class _Place(NamedTuple):
    """A room that is kept."""

    stream: str
    room_id: str


class Reach:
    """For all rooms. `run` until cancelled."""

    def __init__(self, *, client: MatrixClient, gate: MakeGate, line: Line, clock: Clock) -> None:
        """`client` is the bot's; `line` is shared with everybody who speaks with the homeserver."""
        self._client = client
        self._gate = gate
        self._line = line
        self._clock = clock
        self._rooms: dict[str, _Place] = {}
        self._due: dict[str, None] = {}
        """Streams whose rooms are to be looked at, in this order."""
        self._news = asyncio.Event()
        self.settled = asyncio.Event()
        """Set while no room is to be looked at."""
        self.settled.set()

    def follow(self, stream: str, room_id: str) -> None:
        """A stream has this room."""
        self._rooms[stream] = _Place(stream, room_id)
        self._look_at(stream)

    def forget(self, stream: str) -> None:
        """It has none any more."""
        self._rooms.pop(stream, None)
        self._due.pop(stream, None)

    def touch(self) -> None:
        """Lists say something else now."""
        for stream in self._rooms:
            self._look_at(stream)

    async def run(self) -> None:
        """Look at rooms when there is a reason to."""
        backoff = Backoff()
        while True:
            await self._news.wait()
            self._news.clear()
            await self._line.up()
            wait = _GAP
            while self._due:
                stream = next(iter(self._due))
                del self._due[stream]
                try:
                    await self._look(self._rooms[stream])
                except (MatrixError, OSError, SQLAlchemyError) as error:
                    wait = self._failed(stream, error, backoff)
                    break
                backoff.succeeded()
            if not self._due:
                self.settled.set()
            await pause(self._clock, wait)

    def _look_at(self, stream: str) -> None:
        self._due[stream] = None
        self.settled.clear()
        self._news.set()

    def _failed(self, stream: str, error: Exception, backoff: Backoff) -> float:
        """Seconds to wait before the next room, or the same again."""
        _log.info("a room could not be compared with policy lists", stream=stream, error=str(error))
        if self._due:
            self._news.set()
        if isinstance(error, MatrixError) and not error.retry:  # who keeps the room looks after that
            return _GAP
        if stream in self._rooms:
            self._look_at(stream)
        if isinstance(error, UnreachableError):
            self._line.broke(str(error))
        return backoff.failed(error.retry_after if isinstance(error, MatrixError) else None)

    async def _look(self, place: _Place) -> None:
        gate = await self._gate(place.stream)
        await together([job async for job in self._jobs(place, gate)], self._clock)

    async def _jobs(self, place: _Place, gate: Gate) -> AsyncIterator[tuple[str, Job]]:
        """What the lists change in a room: everything that is to be done, by the Matrix ID it is about."""
        client, room = self._client, place.room_id
        for member in await client.members(room, "ban"):
            mxid = member.state_key or ""
            by_list = member.sender == client.bot and LISTED.items() <= member.content.items()
            if by_list and not gate.shut(mxid=mxid):
                yield mxid, partial(self._calmly, partial(client.unban, room, mxid))
        if not gate.has_lists:
            return
        levels = mapping(await client.state(room, POWER) or {}, "users")
        for membership in _IN:
            for number, member in enumerate(await client.members(room, membership)):
                mxid = member.state_key or ""
                if number % _BREATH == 0:
                    await asyncio.sleep(0)
                if is_ours(mxid, client.server_name) or (integer(levels, mxid) or 0) >= MODERATOR:
                    continue
                if (reason := gate.listed(mxid)) is not None:
                    yield mxid, partial(self._calmly, partial(client.ban, room, mxid, reason, more=LISTED))

    async def _calmly(self, job: Job) -> None:
        """One who stands above the bot is no reason to let the others in."""
        try:
            await job()
        except ForbiddenError as error:
            _log.info("a policy list cannot be followed for somebody", error=str(error))
