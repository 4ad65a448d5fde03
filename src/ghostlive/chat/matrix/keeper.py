"""Keeps all rooms as they should be: one task that makes them, follows the streams, repairs, and closes.

It works through what was touched, one stream after the other, those that somebody waits for first. Trouble with the
homeserver stops it until the line is up again (`pace.Line`); trouble with one room is kept for the studio and looked at
again when somebody touches it. An alias query does not wait in that queue: it has its stream's room made at once.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.matrix.alias import bot_id, stream_of_alias
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import (
    ApiError,
    ForbiddenError,
    MatrixError,
    MissingError,
    TokenError,
    UnreachableError,
)
from ghostlive.chat.matrix.events import CANONICAL_ALIAS, MEMBER, POWER, TOMBSTONE, RoomEvent
from ghostlive.chat.matrix.pace import Backoff, Line, pause
from ghostlive.chat.matrix.plan import Site, Wish
from ghostlive.chat.matrix.rooms import CLOSED, Checked, Rooms, RoomStore, Trouble
from ghostlive.core.clock import Clock, SystemClock
from ghostlive.db.matrix import STREAM, RoomRecord

_log = structlog.get_logger("matrix")

_BOT_NAME: Final = "Ghost Live"
_WATCHED: Final = frozenset({TOMBSTONE, POWER, CANONICAL_ALIAS, "m.room.guest_access"})
"""State whose change by others is a reason to look after a room."""
_FEW: Final = 20
_PACE: Final = 0.2
"""Seconds between looks at rooms when more than a few are to be looked at."""
_PATIENCE: Final = 20.0
"""Seconds that the homeserver's question for an alias may take. It waits 30 or more itself."""


class KeeperStore(RoomStore, Protocol):
    """Where rooms are noted (`db.matrix.MatrixRepository`)."""

    async def ensure_rooms(self, *, now: datetime, history_before: datetime) -> list[str]:
        """Make rows for streams that have none."""

    async def ensure_space(self, *, now: datetime) -> RoomRecord:
        """The row of the space."""

    async def room(self, stream: str) -> RoomRecord | None:
        """The room of a stream that exists; the space for an empty name."""


class Wishes(Protocol):
    """What rooms should show."""

    async def wish(self, stream: str) -> Wish | None:
        """Of a stream; None when there is none of that name."""


class RoomKeeper:
    """The rooms of all streams. `run` is its one task; everything else may be called from anywhere on the loop."""

    def __init__(
        self,
        *,
        client: MatrixClient,
        store: KeeperStore,
        wishes: Wishes,
        site: Site,
        line: Line | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`line` is shared by all who speak with the homeserver; without one this keeper tries again by itself."""
        self._client = client
        self._store = store
        self._wishes = wishes
        self._site = site
        self._line = line
        self._clock = clock or SystemClock()
        self._rooms = Rooms(client=client, store=store, site=site)
        self._records: dict[str, RoomRecord] = {}
        """By stream; the space by the empty name."""
        self._streams: dict[str, str] = {}
        """By room id."""
        self._troubles: dict[str, Trouble] = {}
        self._quick: dict[str, None] = {}
        """Streams to bring up to date, in this order."""
        self._deep: dict[str, None] = {}
        """Streams to look at in full, when there is nothing quick to do."""
        self._news = asyncio.Event()
        self._locks: dict[str, asyncio.Lock] = {}
        self._backoff = Backoff()
        self._begun = self._now()
        self._loaded = False
        self.listeners: list[Callable[[str, RoomRecord], None]] = []
        """Called when a stream's room is there, or another has taken its place."""
        self.closed: list[Callable[[RoomRecord], None]] = []
        """Called when the room of a stream that is no more was closed."""

    # -- for others

    def record(self, stream: str) -> RoomRecord | None:
        """The room of a stream, if there is one at the homeserver."""
        record = self._records.get(stream)
        return None if record is None or record.room_id is None else record

    def stream_of(self, room_id: str) -> str | None:
        """Whose room it is; empty for the space, None for a room that is no stream's."""
        return self._streams.get(room_id)

    def trouble(self, stream: str) -> Trouble | None:
        """What is wrong with a stream's room and needs a person."""
        return self._troubles.get(stream)

    def touch(self, stream: str, *, thoroughly: bool = False) -> None:
        """Something of a stream changed (title, live or not, owner, moderators, whether it exists at all)."""
        (self._deep if thoroughly else self._quick)[stream] = None
        self._news.set()

    def heard(self, event: RoomEvent) -> None:
        """An event of any room: what others do with a room of ours is a reason to look after it. Cheap."""
        if event.type == MEMBER:
            if event.state_key != self._client.bot or event.membership not in ("leave", "ban"):
                return
        elif event.type not in _WATCHED or event.sender == self._client.bot or event.state_key is None:
            return
        stream = self._streams.get(event.room_id)
        if stream is not None:
            self.touch(stream, thoroughly=True)

    async def alias_wanted(self, alias: str) -> bool:
        """See `receiver.Lazy`: the homeserver's question, when somebody joins a room that is not there yet."""
        stream = stream_of_alias(alias, self._site.server_name)
        if stream is None:
            return False
        try:
            # A homeserver that asks in the middle of our own call about the same room would wait for itself.
            async with asyncio.timeout(_PATIENCE):
                if stream == "":
                    return (await self._settle_space(thoroughly=True)).room_id is not None
                return await self._settle(stream, thoroughly=True) is not None
        except (MatrixError, TimeoutError) as error:
            _log.warning("a room was asked for and could not be made", stream=stream, error=str(error))
            return False

    async def user_wanted(self, mxid: str) -> bool:
        """See `receiver.Lazy`. Ghosts are made when they say something, so nobody is there who has not."""
        return mxid == bot_id(self._site.server_name)

    async def repair(self, stream: str, *, replace: bool = False) -> Trouble | None:
        """Look after a room now; with `replace` let a new one take its place if it cannot be repaired.

        What is still wrong, None for nothing. Raises `MatrixError` when the homeserver cannot be asked.
        """
        await self._settle(stream, thoroughly=True, replace=replace)
        return self.trouble(stream)

    # -- the task

    async def run(self) -> None:
        """Keep the rooms until cancelled."""
        while True:
            try:
                if not self._loaded:
                    await self._begin()
                await self._work()
                self._backoff.succeeded()
            except MatrixError as error:
                await self._wait_after(error)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # rooms must be kept when it is over, whatever it was
                if isinstance(error, OSError | SQLAlchemyError):
                    _log.warning("rooms could not be kept", error=str(error))
                else:
                    _log.error("rooms could not be kept", exc_info=error)
                await pause(self._clock, self._backoff.failed())

    async def settle(self) -> None:
        """Do what is to be done now, and no more; for who has no task."""
        if not self._loaded:
            await self._begin()
        while self._quick or self._deep:
            await self._next()

    async def _work(self) -> None:
        while True:
            self._news.clear()
            while self._quick or self._deep:
                await self._next()
                self._backoff.succeeded()
                if not self._quick and len(self._deep) > _FEW:
                    # After a start all rooms are looked at, which need not take all of the homeserver.
                    await pause(self._clock, _PACE)
            await self._news.wait()

    async def _next(self) -> None:
        queue = self._quick or self._deep
        stream = next(iter(queue))
        del queue[stream]
        try:
            if stream == "":
                await self._settle_space(thoroughly=queue is self._deep)
            else:
                await self._settle(stream, thoroughly=queue is self._deep)
        except MatrixError as error:
            if not error.retry and not isinstance(error, TokenError):
                # It is this one room; others need not wait for it. It is looked at again when it is touched.
                self._troubled(stream, Trouble("refused", f"The homeserver refused something: {error}"))
                return
            queue[stream] = None
            raise
        except BaseException:
            queue[stream] = None
            raise

    async def _begin(self) -> None:
        """Look at everything once: while this server was not there, anything may have happened."""
        await self._load()
        await self._name_bot()
        # The space comes first, by its empty name.
        for stream in sorted(self._records):
            self.touch(stream, thoroughly=True)
        self._loaded = True

    async def _name_bot(self) -> None:
        """The bot's name; a homeserver that does not want it named is no reason to stop."""
        try:
            await self._client.set_name(_BOT_NAME)
        except ForbiddenError as error:
            _log.info("the bot could not be named", error=error.text)

    async def _load(self) -> None:
        """Make rows for streams that are new, and close the rooms of streams that are no more."""
        now = self._now()
        await self._store.ensure_space(now=now)
        await self._store.ensure_rooms(now=now, history_before=self._begun)
        for record in await self._store.rooms():
            if record.kind == STREAM and record.stream_id is None:
                async with self._lock(record.stream):
                    await self._close(record)
        for record in await self._store.rooms():
            if record.stream_id is not None or record.kind != STREAM:
                self._keep(record)

    async def _close(self, record: RoomRecord) -> None:
        space = self._records.get("")
        await self._rooms.close(record, space=None if space is None else space.room_id)
        if record.room_id is not None:
            self._streams.pop(record.room_id, None)
        known = self._records.get(record.stream)
        if known is not None and known.id == record.id:
            self._records.pop(record.stream)
            self._troubles.pop(record.stream, None)
        if not record.state.get(CLOSED):
            for listener in self.closed:
                listener(record)

    async def _settle(self, stream: str, *, thoroughly: bool, replace: bool = False) -> RoomRecord | None:
        """Have one stream's room as it should be; None when there is no such stream."""
        wish, noted, known = await self._wishes.wish(stream), await self._store.room(stream), self._records.get(stream)
        if wish is None or noted is None or (known is not None and known.id != noted.id):
            await self._load()
        if wish is None:
            return None
        async with self._lock(stream):
            record = await self._store.room(stream)
            if record is None:
                return None
            space = await self._space_id()
            checked = await self._look(record, wish, space, thoroughly=thoroughly)
            if checked.trouble is not None and replace:
                checked = Checked(await self._rooms.replace(checked.record, wish, space=space))
            self._tell(stream, checked)
            return checked.record

    async def _look(self, record: RoomRecord, wish: Wish, space: str | None, *, thoroughly: bool) -> Checked:
        if not thoroughly:
            try:
                return Checked(await self._rooms.ensure(record, wish, space=space), self.trouble(wish.stream))
            except (ForbiddenError, MissingError):
                # Something is wrong with the room itself, so it is looked at in full.
                record = await self._store.room(wish.stream) or record
        return await self._rooms.check(record, wish, space=space)

    def _tell(self, stream: str, checked: Checked) -> None:
        if checked.trouble is None:
            self._troubles.pop(stream, None)
        else:
            self._troubled(stream, checked.trouble)
        self._keep(checked.record)

    def _troubled(self, stream: str, trouble: Trouble) -> None:
        if self._troubles.get(stream) != trouble:
            self._troubles[stream] = trouble
            _log.warning("a room needs somebody", stream=stream, code=trouble.code, text=trouble.text)

    def _keep(self, record: RoomRecord) -> None:
        """Remember a room as it is now, and tell who waits for it."""
        before = self._records.get(record.stream)
        self._records[record.stream] = record
        if before is not None and before.room_id == record.room_id:
            return
        if before is not None and before.room_id is not None:
            self._streams.pop(before.room_id, None)
        if record.room_id is not None:
            self._streams[record.room_id] = record.stream
            if record.stream:
                for listener in self.listeners:
                    listener(record.stream, record)

    async def _settle_space(self, *, thoroughly: bool = False) -> RoomRecord:
        async with self._lock(""):
            record = await self._store.ensure_space(now=self._now())
            look = self._rooms.check_space if thoroughly else self._rooms.ensure_space
            after = await look(record)
            if after.room_id != record.room_id:
                for stream in self._records:
                    if stream:
                        self.touch(stream)
            self._keep(after)
            return after

    async def _space_id(self) -> str | None:
        """The space, made when it is not there; streams have their rooms without one too."""
        space = self._records.get("")
        if space is not None and space.room_id is not None:
            return space.room_id
        try:
            return (await self._settle_space()).room_id
        except ApiError as error:
            if error.retry or isinstance(error, TokenError):
                raise
            _log.warning("the space of all streams could not be made", error=error.text)
            return None

    def _lock(self, stream: str) -> asyncio.Lock:
        """One at a time for each stream."""
        return self._locks.setdefault(stream, asyncio.Lock())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC)

    # -- trouble

    async def _wait_after(self, error: MatrixError) -> None:
        """The homeserver did not do it."""
        if isinstance(error, UnreachableError) and self._line is not None:
            self._line.broke(str(error))
            await self._line.up()
            return
        _log.warning("rooms wait for the homeserver", error=str(error))
        await pause(self._clock, self._backoff.failed(error.retry_after))
