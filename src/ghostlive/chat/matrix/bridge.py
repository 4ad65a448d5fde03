"""The bridge: everything between the chats of this server and its homeserver, put together.

    page ─▶ chat.service ─▶ database ─▶ Outbox (one for each room) ─▶ homeserver
    page ◀─ chat.service ◀─────────── Incoming ◀─ Bridge.transaction ◀─ homeserver

It begins whether or not the homeserver is there, and goes on when it comes. Nobody in the chat waits for any of this.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, Literal, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.errors import BusyError
from ghostlive.chat.matrix.alias import alias_of, is_ours, link_to
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.emotes import RoomEmotes
from ghostlive.chat.matrix.errors import ApiError, ForbiddenError, MatrixError, TokenError, UnreachableError
from ghostlive.chat.matrix.events import MEMBER, RoomEvent
from ghostlive.chat.matrix.ghosts import Ghosts
from ghostlive.chat.matrix.keeper import RoomKeeper
from ghostlive.chat.matrix.leaving import Leaving
from ghostlive.chat.matrix.mirror import Mirror
from ghostlive.chat.matrix.outbox import Outbox, OutboxRoom
from ghostlive.chat.matrix.pace import Backoff, Line, pause, pause_unless
from ghostlive.chat.matrix.plan import Site
from ghostlive.chat.matrix.reach import Reach
from ghostlive.chat.matrix.receiver import Receiver
from ghostlive.chat.matrix.registration import BOT
from ghostlive.chat.matrix.way import PrivateRooms, WayBack
from ghostlive.chat.matrix.wishes import StreamWishes
from ghostlive.chat.message import Message
from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.room import Quiet, Reaction, Room
from ghostlive.chat.service import ChatService
from ghostlive.core.clock import Clock
from ghostlive.core.events import StreamEnded, StreamEvent, StreamRecordChanged, StreamStarted
from ghostlive.core.tasks import TaskScope, finish
from ghostlive.db.chat import ChatRepository
from ghostlive.db.engine import Database
from ghostlive.db.matrix import MatrixRepository, RoomRecord
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import UserRepository
from ghostlive.hub.hub import Hub

_log = structlog.get_logger("matrix")

_TICK: Final = 5.0
"""Seconds between two looks at what is to be done at a certain time."""
_TRANSACTIONS_FOR: Final = timedelta(days=7)
"""For how long ids of transactions are kept; the homeserver tries for less."""
_FORGET_EVERY: Final = 3600.0
_LONGEST_PROBE: Final = 10.0
"""Most seconds between two questions whether the homeserver is there."""
_LOOK: Final = 60.0
"""Seconds between two questions that nobody needs an answer to: its clock may have been set, or it may be gone."""


class Incoming(Protocol):
    """What becomes of events of rooms (`matrix.incoming`)."""

    async def handle_all(self, stream: str, events: Sequence[RoomEvent]) -> None:
        """Events of a stream's room. Safe to do twice. Raises `BusyError` when they have to come again."""


class NoIncoming:
    """Nothing becomes of them."""

    async def handle_all(self, stream: str, events: Sequence[RoomEvent]) -> None:
        """See `Incoming.handle_all`."""


async def _not_heard(_mxid: str, _text: str, _now: datetime) -> None:
    return None


class PolicyLists(Protocol):
    """Lists of banned people (`matrix.policy`)."""

    rooms: Any

    def follows(self, room_id: str) -> bool:
        """Whether a room is that of a list."""

    async def receive(self, room_id: str, event: Mapping[str, Any]) -> bool:
        """A state event of such a room."""

    async def refresh(self) -> object:
        """Read all lists anew."""


class ListRooms:
    """See `policy.PolicyRooms`."""

    def __init__(self, client: MatrixClient) -> None:
        self._client = client

    async def open(self, room: str) -> tuple[str, list[dict[str, Any]]]:
        """Enter the room of a list, by alias or id; its id and its state. Raises a `MatrixError`."""
        room_id = await self._client.join(room)
        state = await self._client.whole_state(room_id)
        return room_id, [_plain(event) for event in state if event.type != MEMBER]


def _plain(event: RoomEvent) -> dict[str, Any]:
    return {
        "type": event.type,
        "state_key": event.state_key,
        "content": event.content,
        "sender": event.sender,
        "event_id": event.event_id,
    }


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs somebody."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class ChatMatrixState:
    """How one stream's room is."""

    state: Literal["ok", "starting", "away", "broken"]
    """`ok`, `starting`, `away` (the homeserver), `broken` (the room)."""
    alias: str
    room_id: str | None
    link: str
    """For people without a client of their own."""
    waiting: int
    """Messages that the homeserver has not got yet."""
    lag: float
    """Seconds since the oldest of them was said."""
    problems: Sequence[Problem] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Figures:
    """For metrics, over all rooms."""

    up: bool
    rooms: int
    broken: int
    sent: int
    refused: int
    relayed: int
    joins: int
    received: int
    lag_messages: int
    lag_seconds: float


@dataclass(slots=True)
class _Running:
    record: RoomRecord
    outbox: Outbox
    task: "asyncio.Task[None]"


class Bridge:
    """One for each homeserver. `run` until cancelled, then `stop`."""

    def __init__(
        self,
        *,
        client: MatrixClient,
        config: MatrixConfig,
        service: ChatService,
        database: Database,
        records: StreamRepository,
        users: UserRepository,
        hub: Hub,
        clock: Clock,
        page_url: str = "",
    ) -> None:
        """`config` has the homeserver's name and tokens; `page_url` is where people open this server's pages."""
        self.config = config
        self.client = client
        self.repository = MatrixRepository(database)
        self.line = Line()
        self._service = service
        self._chat = ChatRepository(database)
        self._hub = hub
        self._clock = clock
        self.ghosts = Ghosts(client=client, repository=self.repository, server_name=config.server_name, clock=clock)
        self._emotes = RoomEmotes(client)
        self._mirror = Mirror(
            client=client,
            ghosts=self.ghosts,
            repository=self.repository,
            chat=self._chat,
            clock=clock,
            gate=service.banning.gate,
        )
        self._leaving = Leaving(
            ghosts=self.ghosts, repository=self.repository, line=self.line, clock=clock, days=config.ghost_days
        )
        self.reach = Reach(client=client, gate=service.banning.gate, line=self.line, clock=clock)
        self.keeper = RoomKeeper(
            client=client,
            store=self.repository,
            wishes=StreamWishes(records=records, users=users, matrix=self.repository, hub=hub),
            site=Site(config.server_name, client.bot, page_url, config.room_version),
            line=self.line,
            clock=clock,
        )
        self.keeper.listeners.append(self._on_room)
        self.keeper.closed.append(self._on_closed)
        self.receiver = Receiver(hs_token=config.hs_token, transactions=self, lazy=self.keeper)
        self.way = WayBack(client=client, line=self.line, clock=clock, repository=self.repository, chat=self._chat)
        """For `Incoming.way`."""
        self.private = PrivateRooms(way=self.way, bot=client.bot, clock=clock, heard=_not_heard)
        """The bot's private rooms; set its `heard` before `run`."""
        self.incoming: Incoming = NoIncoming()
        """What becomes of events; set before `run`."""
        self.policies: PolicyLists | None = None
        self.received = 0
        """Events that the homeserver sent."""
        self._outboxes: dict[str, _Running] = {}
        self._places: dict[str, str] = {}
        """The room of each stream, as the keeper said it last."""
        self._scope = TaskScope("bridge")
        self._woken = asyncio.Event()
        self._lag: tuple[int, float] = (0, 0.0)
        self._broken = 0
        self._pings = 0
        service.observe(self._observe)
        service.banning.site_changed.append(self._woken_all)
        service.banning.lists_changed.append(self.reach.touch)

    async def run(self) -> None:
        """Keep the connection, the rooms and the outboxes until cancelled."""
        if self.policies is not None:
            self.policies.rooms = ListRooms(self.client)
        self._scope.spawn(self._reach(), name="homeserver")
        self._scope.spawn(self._look(), name="homeserver's clock")
        self._scope.spawn(self._keep(), name="rooms")
        self._scope.spawn(self._listen(), name="streams")
        self._scope.spawn(self._tick(), name="tick")
        self._scope.spawn(self._leaving.run(), name="leaving")
        self._scope.spawn(self.way.run(), name="way back")
        self._scope.spawn(self.reach.run(), name="policy lists in rooms")
        try:
            await asyncio.Event().wait()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End. What was not sent yet is sent after the next start."""
        await self._scope.close()
        await self.ghosts.close()
        await self.client.close()

    def wake(self) -> None:
        """The homeserver may be there again: ask it now."""
        self._woken.set()

    # -- the homeserver

    async def _reach(self) -> None:
        """Find out whether the homeserver is there whenever somebody missed it."""
        backoff = Backoff(0.25, _LONGEST_PROBE)
        while True:
            try:
                await self._greet()
            except MatrixError as error:
                if backoff.failures == 0:
                    _log.warning("the homeserver is away; messages wait for it", error=str(error))
                self.line.broke(_explain(error))
                await self._wait(backoff.failed(error.retry_after))
                continue
            backoff.succeeded()
            _log.info("the homeserver is there", server_name=self.config.server_name)
            self.line.mend()
            if self.policies is not None:
                self._scope.spawn(self._read_lists(self.policies), name="policy lists")
            await self.line.down()

    async def _look(self) -> None:
        """Ask once in a while, also when nobody here says anything: what tells its time are its answers."""
        while True:
            await pause(self._clock, _LOOK)
            await self.line.up()
            try:
                await self.client.versions()
            except UnreachableError as error:
                self.line.broke(str(error))
            except MatrixError as error:
                _log.debug("the homeserver was asked in vain", error=str(error))

    async def _read_lists(self, policies: "PolicyLists") -> None:
        """What changed in policy lists while the homeserver was away."""
        try:
            await policies.refresh()
        except Exception as error:  # what is stored of them counts
            _log.warning("policy lists could not be read anew", error=str(error))

    async def _greet(self) -> None:
        await self.client.versions()
        with contextlib.suppress(ForbiddenError, TokenError):  # whether it is there, and we are it, is asked next
            await self.client.register(BOT)
        user = await self.client.whoami()
        if user != self.client.bot:
            raise MatrixError(f"for it this server is {user}, so matrix.server_name has to be {user.partition(':')[2]}")
        self._pings += 1
        try:
            # After an outage it would wait for minutes before it tries us again.
            await self.client.ping(f"{self._clock.wall_ns()}-{self._pings}")
        except ApiError as error:
            _log.warning("the homeserver does not reach this server", error=str(error), as_url=self.config.as_url)

    async def _wait(self, seconds: float) -> None:
        """A while, or until somebody says that it is there."""
        self._woken.clear()
        await pause_unless(self._clock, seconds, self._woken)

    # -- rooms and outboxes

    async def _keep(self) -> None:
        """Rooms are made when the homeserver is there for the first time."""
        await self.line.up()
        await self.keeper.run()

    def _on_room(self, stream: str, record: RoomRecord) -> None:
        room_id, before = record.room_id or "", self._places.get(stream)
        self._places[stream] = room_id
        self._scope.spawn(self._open(stream, record, moved=before not in (None, room_id)), name=f"open {stream}")

    def _on_closed(self, record: RoomRecord) -> None:
        self._scope.spawn(self._leave(record), name=f"leave {record.stream}")

    async def _leave(self, record: RoomRecord) -> None:
        """A room was closed: nobody speaks there, so that who leaves does not come back."""
        running = self._outboxes.get(record.stream)
        if running is not None and running.record.id == record.id:
            await self._close(record.stream)
        await self._let_leave(record)

    async def _let_leave(self, record: RoomRecord) -> None:
        await self.ghosts.no_more_joins(record.id)
        self._leaving.wake()

    async def _open(self, stream: str, record: RoomRecord, *, moved: bool = False) -> None:
        """Begin to send to a room, instead of the one that was there before (`moved`)."""
        await self._close(stream)
        if moved:
            self._scope.spawn(self._let_leave(record), name=f"leave the old {stream}")
        if record.room_id is None or record.stream_id is None:
            return
        backoff = Backoff()
        while True:
            try:
                fresh = await self.repository.room(stream) or record
                await self.ghosts.load(record.id, record.room_id)
                break
            except Exception as error:
                _log.warning("an outbox cannot begin yet", stream=stream, error=str(error))
                await pause(self._clock, backoff.failed())
        room_id = record.room_id
        outbox = Outbox(
            OutboxRoom(record.id, stream, record.stream_id, room_id, fresh.cursor),
            client=self.client,
            ghosts=self.ghosts,
            repository=self.repository,
            chat=self._chat,
            line=self.line,
            clock=self._clock,
            mirror=self._mirror,
            repair=self._repair,
            emotes=lambda: self._emotes.codes(room_id),
            redacted=lambda event: self._take(event.room_id, [event]),
        )
        await self._close(stream)
        self.reach.follow(stream, record.room_id)
        self._outboxes[stream] = _Running(record, outbox, self._scope.spawn(outbox.run(), name=f"outbox {stream}"))

    async def profile(self, room_id: str, mxid: str) -> Mapping[str, Any] | None:
        """The content of somebody's member event (see `acquaintances.FindProfile`). Raises a `MatrixError`."""
        return await self.client.state(room_id, MEMBER, mxid)

    async def _close(self, stream: str) -> None:
        running = self._outboxes.pop(stream, None)
        if running is not None:
            self.reach.forget(stream)
            running.task.cancel()
            await asyncio.wait([running.task])
            if running.record.id not in [other.record.id for other in self._outboxes.values()]:
                self.ghosts.forget(running.record.id)

    async def _repair(self, stream: str) -> None:
        self.keeper.touch(stream, thoroughly=True)

    async def _listen(self) -> None:
        """Follow what happens to streams."""
        events = self._hub.listen()
        missed = 0
        try:
            async for event in events:
                if isinstance(event, StreamStarted | StreamEnded | StreamRecordChanged):
                    await self._on_stream(event)
                if events.dropped != missed:
                    missed = events.dropped
                    for stream in list(self._outboxes):
                        self.keeper.touch(stream)
        finally:
            self._hub.unlisten(events)

    async def _on_stream(self, event: StreamEvent) -> None:
        if isinstance(event, StreamRecordChanged):
            running = self._outboxes.get(event.stream)
            if running is not None and await self._chat.stream(event.stream) is None:
                await self._close(event.stream)
        self.keeper.touch(event.stream)

    async def _tick(self) -> None:
        """What is to be done at its time, and how much waits."""
        forgotten_at: float | None = None
        while True:
            try:
                now_ms = self._clock.wall_ns() // 1_000_000
                due = set(await self.repository.due(now_ms))
                for running in self._outboxes.values():
                    if running.record.stream_id in due:
                        running.outbox.wake()
                self._lag = await self._measure()
                if forgotten_at is None or self._clock.now() - forgotten_at > _FORGET_EVERY:
                    forgotten_at = self._clock.now()
                    await self.repository.forget_transactions(before=self._now() - _TRANSACTIONS_FOR)
            except Exception as error:
                _log.warning("the bridge cannot use the database", error=str(error))
            await pause(self._clock, _TICK)

    # -- from the homeserver

    async def transaction(self, txn_id: str, events: Sequence[RoomEvent]) -> None:
        """See `receiver.Transactions`. Each event may have been dealt with before, when we died in the middle."""
        # What we sent ourselves changes nothing when it comes again; while we catch up there is nothing else.
        ours = all(is_ours(event.sender, self.config.server_name) for event in events)
        if not ours and await self.repository.seen_transaction(txn_id):
            return
        for room_id, group in groupby(events, key=lambda event: event.room_id):
            some = list(group)
            for event in some:
                self.keeper.heard(event)
                self._emotes.heard(event)
                if event.type == MEMBER and event.state_key is not None:
                    await self.ghosts.observed(room_id, event.state_key, event.content)
            await self._take(room_id, some)
        self.received += len(events)
        if not ours:
            await finish(self.repository.note_transaction(txn_id, at=self._now()))

    async def _take(self, room_id: str, events: Sequence[RoomEvent]) -> None:
        """Events of one room, which follow each other."""
        stream = self.keeper.stream_of(room_id)
        if stream is None:  # it may be noted already and not complete: people can join it as soon as it has its alias
            stream = await self.repository.stream_of(room_id)
        if stream:
            for event in events:
                await self._acquaint(stream, event)
            await self.incoming.handle_all(stream, events)
            await self.way.keep()
            return
        for event in events:
            await self._take_aside(stream, event)

    async def _take_aside(self, stream: str | None, event: RoomEvent) -> None:
        """An event of a room that is no stream's."""
        try:
            if self.policies is not None and event.state_key is not None and self.policies.follows(event.room_id):
                await self.policies.receive(event.room_id, _plain(event))
            elif stream is None:
                await self.private.handle(event, self._now())
        except (BusyError, OSError, SQLAlchemyError):
            raise
        except MatrixError as error:
            if error.retry:
                raise
            _log.warning("an event could not be dealt with", event=event.event_id, type=event.type, error=str(error))
        except Exception as error:
            # It must not stop all that comes after it.
            _log.error("an event could not be dealt with", event=event.event_id, type=event.type, exc_info=error)

    async def _acquaint(self, stream: str, event: RoomEvent) -> None:
        """Have it stored which message an event speaks of, also when we sent that only a moment ago."""
        running = self._outboxes.get(stream)
        if running is None:
            return
        if is_ours(event.sender, self.config.server_name):
            running.outbox.echo(event)
            return
        for target in event.mentions:
            await running.outbox.know(target)

    # -- how it is

    async def state(self, stream: str) -> ChatMatrixState:
        """How a stream's room is. Raises what the database raises."""
        running, trouble = self._outboxes.get(stream), self.keeper.trouble(stream)
        problems = []
        record = await self.repository.room(stream)
        messages, lag = 0, 0.0
        if record is not None and record.stream_id is not None:
            waiting = await self.repository.waiting(record.stream_id, after=record.cursor)
            messages = waiting.messages
            if waiting.oldest is not None:
                lag = max(0.0, (self._now() - waiting.oldest).total_seconds())
        if not self.line.is_up:
            problems.append(Problem("away", f"The homeserver does not answer: {self.line.trouble}"))
        if trouble is not None:
            problems.append(Problem(trouble.code, trouble.text))
        elif running is not None and running.outbox.trouble and self.line.is_up:
            problems.append(Problem("sending", running.outbox.trouble))
        if self.client.skew.advice:
            problems.append(Problem("clock", self.client.skew.advice))
        room_id = None if record is None else record.room_id
        name: Literal["ok", "starting", "away", "broken"]
        if trouble is not None:
            name = "broken"
        elif not self.line.is_up:
            name = "away" if self.line.breaks or self._pings else "starting"
        else:
            name = "starting" if running is None else "ok"
        alias = alias_of(stream, self.config.server_name)
        return ChatMatrixState(name, alias, room_id, link_to(alias), messages, lag, tuple(problems))

    async def repair(self, stream: str) -> ChatMatrixState:
        """Look after a room now, also if a new one has to take its place. Raises a `MatrixError`."""
        await self.keeper.repair(stream, replace=True)
        if (running := self._outboxes.get(stream)) is not None:
            running.outbox.wake()
        return await self.state(stream)

    def figures(self) -> Figures:
        """For metrics; how much waits is as old as the last look at it."""
        outboxes = [running.outbox for running in self._outboxes.values()]
        return Figures(
            up=self.line.is_up,
            rooms=len(outboxes),
            broken=self._broken,
            sent=sum(outbox.sent for outbox in outboxes),
            refused=sum(outbox.refused for outbox in outboxes),
            relayed=self.ghosts.relayed,
            joins=self.ghosts.joined,
            received=self.received,
            lag_messages=self._lag[0],
            lag_seconds=self._lag[1],
        )

    async def _measure(self) -> tuple[int, float]:
        messages, lag = 0, 0.0
        rooms = await self.repository.rooms()
        self._broken = sum(self.keeper.trouble(stream) is not None for stream in {record.stream for record in rooms})
        for record in rooms:
            running = self._outboxes.get(record.stream)
            if record.stream_id is None or (running is not None and running.outbox.caught_up.is_set()):
                continue
            waiting = await self.repository.waiting(record.stream_id, after=record.cursor)
            messages += waiting.messages
            if waiting.oldest is not None:
                lag = max(lag, (self._now() - waiting.oldest).total_seconds())
        return messages, lag

    def _observe(self, room: Room) -> "_Waker":
        return _Waker(self, room.stream)

    def woken(self, stream: str, gone: Sequence[int] = ()) -> None:
        """Something was said or done in a chat, or messages are gone."""
        if (running := self._outboxes.get(stream)) is not None:
            running.outbox.deleted(gone)
            running.outbox.wake()

    def _woken_all(self) -> None:
        for running in self._outboxes.values():
            running.outbox.wake()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC)


class _Waker(Quiet):
    """Wakes the outbox of a chat."""

    def __init__(self, bridge: Bridge, stream: str) -> None:
        self._bridge = bridge
        self._stream = stream

    def said(self, message: Message) -> None:
        self._bridge.woken(self._stream)

    def edited(self, message: Message, seq: int, actor: Actor) -> None:
        self._bridge.woken(self._stream)

    def deleted(self, seq: int, ids: Sequence[int], actor: Actor) -> None:
        self._bridge.woken(self._stream, ids)

    def reacted(self, reaction: Reaction) -> None:
        if reaction.via != "matrix":
            self._bridge.woken(self._stream)

    def acted(self, act: Act) -> None:
        if act.kind == "moderator":
            self._bridge.keeper.touch(self._stream)
        self._bridge.woken(self._stream)


def _explain(error: MatrixError) -> str:
    if isinstance(error, TokenError):
        return f"it does not know this server's token; its registration file may be another one ({error})"
    return str(error)
