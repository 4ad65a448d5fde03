"""The outbox between a chat in memory and a homeserver in memory; both sides, and the line, can be killed.

    async with open_world(tmp_path) as world:
        await world.say("ada", "hello")
        await world.caught_up()
        assert world.room.bodies() == ["hello"]

`world.kill()` ends the outbox as `kill -9` would: what was not committed is gone. `world.revive()` starts another one
over the same database. Time is the chat's fake clock; `caught_up` moves it, so that no pause takes real time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.support.chat import PATIENCE, Chat, Page, open_chat
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_rooms import FakeRoom

from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import MatrixError
from ghostlive.chat.matrix.events import RoomEvent
from ghostlive.chat.matrix.ghosts import Ghosts
from ghostlive.chat.matrix.journal import MatrixJournal
from ghostlive.chat.matrix.mirror import Mirror
from ghostlive.chat.matrix.outbox import Outbox, OutboxRoom
from ghostlive.chat.matrix.pace import Line
from ghostlive.chat.moderation.acts import Act
from ghostlive.chat.room import Quiet, Room
from ghostlive.core.websocket import POLICY_VIOLATION
from ghostlive.db.chat import ChatRepository, ChatTransaction
from ghostlive.db.engine import Database
from ghostlive.db.matrix import MatrixRepository

START = datetime(2020, 1, 1, tzinfo=UTC)


class DyingRepository(ChatRepository):
    """Commits nothing any more once it is dead; `fail` lets so many transactions fail before."""

    dead = False
    fail = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ChatTransaction]:
        async with super().transaction() as transaction:
            yield transaction
            if self.dead:
                raise OSError("this process is dead")
            if self.fail:
                self.fail -= 1
                raise OSError("the disk is full")


class _Waker(Quiet):
    def __init__(self, wake: Callable[[], None]) -> None:
        self.said = self.edited = self.deleted = self.reacted = self.acted = lambda *_: wake()  # type: ignore[method-assign,assignment]


class World:
    """See the top of this file."""

    def __init__(self, chat: Chat, homeserver: FakeHomeserver, room: FakeRoom) -> None:
        self.chat = chat
        self.homeserver = homeserver
        self.room = room
        self.matrix = MatrixRepository(chat.database)
        self.pages: dict[str, Page] = {}
        self.repaired: list[str] = []
        self.redactions: list[RoomEvent] = []
        self.patience = PATIENCE
        """See `Ghosts.patience`: a machine that is busy is no reason to speak for somebody."""
        self._task: asyncio.Task[None] | None = None
        chat.service.observe(lambda _room: _Waker(self._wake))

    async def revive(self) -> None:
        """Start our side."""
        chat, clock = self.chat, self.chat.clock
        self.client = MatrixClient(
            url=self.homeserver.url,
            token=self.homeserver.as_token,
            server_name=self.homeserver.server_name,
            transport=self.homeserver.transport,
        )
        self.line = Line()
        self.repository = DyingRepository(chat.database)
        self.ghosts = Ghosts(
            client=self.client,
            repository=self.matrix,
            server_name=self.homeserver.server_name,
            clock=clock,
        )
        self.ghosts.patience = self.patience
        record = await self.matrix.room("demo")
        assert record is not None
        assert record.room_id is not None
        assert record.stream_id is not None
        await self.ghosts.load(record.id, record.room_id)
        self.outbox = Outbox(
            OutboxRoom(record.id, "demo", record.stream_id, record.room_id, record.cursor),
            client=self.client,
            ghosts=self.ghosts,
            repository=self.matrix,
            chat=self.repository,
            line=self.line,
            clock=clock,
            mirror=Mirror(
                client=self.client,
                ghosts=self.ghosts,
                repository=self.matrix,
                chat=self.repository,
                clock=clock,
                gate=chat.service.banning.gate,
            ),
            repair=self._repair,
            redacted=self._hear,
        )
        self._task = asyncio.create_task(self.outbox.run())

    async def kill(self) -> None:
        """End our side, with nothing tidied up."""
        self.repository.dead = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.ghosts.close()
        await self.client.close()

    async def page(self, name: str) -> Page:
        """The page of a guest, which is opened when it is wanted first."""
        if name not in self.pages:
            self.pages[name] = await self.chat.enter(name, address=f"192.0.2.{len(self.pages) % 250 + 1}")
        page = self.pages[name]
        if page.closed() == (POLICY_VIOLATION, "silence"):
            # How much fake time passes while something is awaited depends on how busy the machine is.
            await page.back()
        return page

    async def say(self, name: str, text: str) -> int:
        """A guest says something on their page; the message's id."""
        return await (await self.page(name)).post(text)

    async def act(self, act: Act) -> None:
        """An act of moderation is stored."""
        room = await self.chat.service.enter("demo")

        async def store(transaction: ChatTransaction, seq: int) -> None:
            await self.chat.service.journal.acted(transaction, room, seq, act)

        def apply(_result: None, _seq: int) -> None:
            for listener in room.listeners:
                listener.acted(act)

        await self.chat.service.change(store, apply)

    def id_of(self, name: str) -> str:
        """The author's id of a guest."""
        you = self.pages[name].you
        assert you is not None
        found: str = (you.get("author") or you)["id"]
        return found

    def ghost(self, name: str) -> str:
        """The Matrix ID of a guest's ghost."""
        return self.ghosts.mxid(self.id_of(name))

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Let things happen, and fake time pass, until `condition` holds."""
        async with asyncio.timeout(PATIENCE):
            try:
                while not condition():
                    await self._reach()
                    self.chat.clock.advance(0.5)
                    self.chat.stay()
                    await asyncio.sleep(0.0005)
            except asyncio.CancelledError as error:
                raise AssertionError(f"waited in vain for {what}; {self.outbox.trouble}") from error

    async def some_time(self, rounds: int) -> None:
        """Let things happen for a while."""
        for _ in range(rounds):
            await self._reach()
            self.chat.clock.advance(0.3)
            await asyncio.sleep(0.002)

    async def caught_up(self) -> None:
        """Until the homeserver has everything."""
        await self.until(self.outbox.caught_up.is_set, "the outbox to be empty")

    async def _reach(self) -> None:
        """What the bridge does: find out whether the homeserver is there."""
        if not self.line.is_up:
            try:
                await self.client.versions()
            except MatrixError:
                return
            self.line.mend()

    async def _hear(self, redaction: RoomEvent) -> None:
        self.redactions.append(redaction)

    async def _repair(self, stream: str) -> None:
        self.repaired.append(stream)

    def _wake(self) -> None:
        self.outbox.wake()


@asynccontextmanager
async def open_world(folder: Path, *, version: str = "12", url: str = "") -> AsyncIterator[World]:
    """A chat (see `open_chat`), a homeserver with a room for it, and an outbox between them."""
    homeserver = FakeHomeserver(room_version=version)
    async with open_chat(folder, url=url) as chat:
        chat.service.journal = MatrixJournal(chat.clock)
        room = homeserver.make_room(homeserver.bot, {"preset": "public_chat"})
        matrix = MatrixRepository(chat.database)
        await matrix.ensure_rooms(now=START, history_before=START)
        record = await matrix.room("demo")
        assert record is not None
        await matrix.set_room(record.id, room_id=room.id, version=version)
        world = World(chat, homeserver, room)
        await world.revive()
        try:
            yield world
        finally:
            homeserver.heal()
            await world.kill()


__all__ = ["Database", "DyingRepository", "Room", "World", "open_world", "replace"]
