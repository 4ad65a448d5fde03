"""A whole server's chat on Matrix, but for the processes: chats in memory, the bridge with all that belongs to it, and
a homeserver in memory that pushes what happens there.

    async with open_house(tmp_path, streams=("demo", "other")) as house:
        mallory = await house.native("mallory")        # somebody in an ordinary client, in the room of `demo`
        page = await house.linked("@eve:chat.test")    # a page whose browser belongs to a Matrix ID
        await house.homeserver.push()                  # what happened is told, and dealt with when this returns
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.chat import PATIENCE, Chat, JumpingClock, Page, open_chat
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_matrix import FakeUser
from tests.support.fake_rooms import FakeRoom

from ghostlive.access.browser import read_browser
from ghostlive.chat.identity import browser_subject
from ghostlive.chat.matrix.bridge import Bridge
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.incoming import Incoming
from ghostlive.chat.matrix.journal import MatrixJournal
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.people import Author, Role
from ghostlive.db.chat import ChatRepository

OLGA = Actor(Author("u_999", "olga", Role.STREAMER), "api")
"""The owner of the server."""


class House:
    """See the top of this file."""

    def __init__(self, chat: Chat, homeserver: FakeHomeserver) -> None:
        self.chat = chat
        self.homeserver = homeserver
        self.links: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self.build()

    def build(self) -> None:
        """New parts of the bridge over the same database."""
        chat, homeserver = self.chat, self.homeserver
        chat.service.journal = MatrixJournal()
        chat.service.banning.links = self.links
        self.client = MatrixClient(
            url=homeserver.url,
            token=homeserver.as_token,
            server_name=homeserver.server_name,
            transport=homeserver.transport,
        )
        self.bridge = Bridge(
            client=self.client,
            config=MatrixConfig(mode="external", server_name="chat.test", hs_token=homeserver.hs_token),
            service=chat.service,
            database=chat.database,
            records=chat.streams,
            users=chat.users,
            hub=chat.hub,
            clock=chat.clock,
            page_url="http://live.test",
        )
        self.bridge.ghosts.patience = PATIENCE
        incoming = Incoming(
            service=chat.service,
            repository=ChatRepository(chat.database),
            people=self.bridge.repository,
            bot=self.client.bot,
            server_name=self.client.server_name,
            message_length=500,
        )
        incoming.actions = chat.moderation.actions
        incoming.way = self.bridge.way
        incoming.people.profile = self.bridge.profile
        chat.service.banning.bot = self.client.bot
        self.bridge.policies = chat.service.banning.policies
        self.bridge.incoming = incoming
        homeserver.connect(self.bridge.receiver)
        self._task = asyncio.create_task(self.bridge.run())

    async def restart(self) -> None:
        """Chats and bridge end, and begin anew."""
        await self.stop()
        await self.chat.restart()
        self.build()

    async def stop(self) -> None:
        """End the bridge."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def room(self, stream: str = "demo") -> FakeRoom:
        """The room of a stream."""
        return self.homeserver.room_at(f"#live_{stream}:chat.test")

    async def native(self, name: str, stream: str = "demo", server: str = "") -> FakeUser:
        """Somebody who is in the room and says nothing."""
        person = self.homeserver.user(name, server)
        await person.join(self.room(stream).id)
        return person

    async def linked(self, mxid: str, stream: str = "demo", address: str = "198.51.100.7") -> Page:
        """A page without a name, whose browser belongs to a Matrix ID."""
        page = self.chat.page(stream=stream, address=address)
        await page.open()
        page.leave()
        browser = read_browser(b"s" * 32, page.cookie)
        assert browser
        self.links[browser_subject(browser)] = mxid
        await page.open()
        await page.hello()
        return page

    async def moderator(self, mxid: str, stream: str = "demo") -> FakeUser:
        """Somebody in the room who may ban there."""
        person = self.homeserver.user(mxid[1:].partition(":")[0])
        await person.join(self.room(stream).id)
        content = dict(self.room(stream).content("m.room.power_levels"))
        content["users"] = {**content.get("users", {}), mxid: 50}
        self.homeserver.add(self.room(stream), "m.room.power_levels", self.homeserver.bot, content, state_key="")
        return person

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Let things happen, and fake time pass, until `condition` holds."""
        async with asyncio.timeout(PATIENCE):
            try:
                while not condition():
                    self.chat.clock.advance(0.25)
                    self.chat.stay()
                    await asyncio.sleep(0.001)
            except asyncio.CancelledError as error:
                raise AssertionError(f"waited in vain for {what}") from error

    async def all_done(self, streams: Sequence[str] = ("demo",)) -> None:
        """Until nothing waits for the homeserver, and nothing is to be done by now."""
        async with asyncio.timeout(PATIENCE):
            while await self.bridge.repository.due(self.chat.clock.wall_ns() // 1_000_000):
                self.chat.clock.advance(0.25)
                self.chat.stay()
                await asyncio.sleep(0.001)
        running = self.bridge._outboxes
        await self.until(lambda: all(stream in running for stream in streams), "the outboxes to begin")
        outboxes = [running[stream].outbox for stream in streams]
        await self.until(lambda: all(outbox.caught_up.is_set() for outbox in outboxes), "the outboxes")

    async def memberships(self, mxid: str, wanted: str, streams: Sequence[str] = ("demo",)) -> None:
        """Until somebody is that in the rooms."""
        await self.until(
            lambda: all(self.room(stream).membership(mxid) == wanted for stream in streams),
            f"{mxid} to be {wanted}; it is {[self.room(stream).membership(mxid) for stream in streams]}",
        )


@asynccontextmanager
async def open_house(folder: Path, *, streams: Sequence[str] = ("demo",), **settings: Any) -> AsyncIterator[House]:
    """A house whose rooms are there."""
    homeserver = FakeHomeserver()
    async with open_chat(folder, JumpingClock(), **settings) as chat:
        for stream in streams:
            if await chat.streams.get(stream) is None:
                await chat.streams.add(stream)
        house = House(chat, homeserver)
        try:
            aliases = [f"#live_{stream}:chat.test" for stream in streams]
            await house.until(lambda: all(alias in homeserver.aliases for alias in aliases), "the rooms")
            await homeserver.push()
            yield house
        finally:
            homeserver.heal()
            await house.stop()
