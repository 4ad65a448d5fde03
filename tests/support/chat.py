"""A chat in memory: the real service and gateway over a real SQLite file, pages with connections that are none.

Time is the fake clock's; only the database takes real time, so pages wait for what they expect (`until`).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.clock import FakeClock
from tests.support.database import prepare

from ghostlive.access.authorizer import Authorizer
from ghostlive.access.browser import COOKIE as BROWSER_COOKIE
from ghostlive.access.decision import Identity
from ghostlive.access.sessions import COOKIE
from ghostlive.chat.config import ChatConfig
from ghostlive.chat.errors import BusyError, RefusalError
from ghostlive.chat.gateway.gateway import Gateway
from ghostlive.chat.moderation.moderation import Moderation
from ghostlive.chat.outcome import Outcome
from ghostlive.chat.people import Author
from ghostlive.chat.room import Room
from ghostlive.chat.service import ChatService
from ghostlive.core.websocket import BANNED, Opening, Peer
from ghostlive.db.chat import ChatRepository
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.moderation import ModerationRepository
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import Role, UserRepository
from ghostlive.hub.hub import Hub

Json = dict[str, Any]
PATIENCE = 60.0
"""Real seconds to wait for anything."""


def unframe(data: bytes) -> list[str]:
    """The texts of whole unmasked text frames (RFC 6455 §5.2)."""
    texts, at = [], 0
    while at < len(data):
        assert data[at] == 0x81, "no final text frame"
        size, at = data[at + 1], at + 2
        if size == 126:
            size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        elif size == 127:
            size, at = int.from_bytes(data[at : at + 8], "big"), at + 8
        assert at + size <= len(data)
        texts.append(data[at : at + size].decode())
        at += size
    return texts


class FakeConnection:
    """A `core.websocket.Connection` that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.closed_with: int | None = None
        self.waiting = 0

    def write(self, frames: bytes) -> None:
        assert isinstance(frames, bytes)
        if self.closed is None:
            self.written.append(frames)

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)

    def texts(self) -> list[str]:
        """Everything that was written, taken out."""
        written, self.written = self.written, []
        return unframe(b"".join(written))


class Page:
    """A viewer's page: remembers what it was sent, and may come back."""

    def __init__(self, chat: "Chat", *, stream: str, address: str, user: Identity | None) -> None:
        self._chat = chat
        self._stream = stream
        self._address = address
        self._user = user
        self.connection = FakeConnection()
        self.peer: Peer | None = None
        self.token: str | None = None
        self.cookie: str | None = None
        """What the browser keeps for `access.browser.COOKIE`."""
        self.you: Json | None = None
        self.seq: int | None = None
        self.shown: dict[int, Json] = {}
        """Messages on the page, by id."""
        self.order: list[int] = []
        """Ids as they were put on the page."""
        self.acks: dict[str, int] = {}
        self.got: list[Json] = []
        """Everything that arrived."""
        self.sent = 0
        """How many messages were posted."""

    async def open(self) -> "Page":
        """Open the socket."""
        self.connection = FakeConnection()
        cookies = {} if self._user is None else {COOKIE: self._user.name}
        if self.cookie is not None:
            cookies[BROWSER_COOKIE] = self.cookie
        opening = Opening(f"/api/v1/streams/{self._stream}/chat", "", self._address, "test", cookies)
        self.peer = await self._chat.gateway.open(opening, self.connection)
        for name, value in opening.answer:
            assert name == b"set-cookie"
            self.cookie = value.decode().partition(";")[0].partition("=")[2]
        return self

    async def kept_out(self) -> Json:
        """Come (back), and be told of a ban before the socket closes."""
        self.leave()
        await self.open()
        self.send({"type": "hello", **({} if self.token is None else {"token": self.token})})
        banned = await self.next("banned")
        assert self.closed() == (BANNED, "banned")
        return banned

    async def hello(self, **members: Any) -> Json:
        """Say hello as a page does, and wait for the welcome."""
        hello: Json = {"type": "hello"}
        if self.token is not None:
            hello["token"] = self.token
        if self.seq is not None:
            hello["since"] = self.seq
        self.send({**hello, **members})
        return await self.next("welcome")

    async def hello_refused(self) -> str:
        """Say hello where none belongs; the code of the answer."""
        self.send({"type": "hello"})
        return str((await self.next("error"))["code"])

    async def join(self, name: str) -> Json:
        """Take a name."""
        self.send({"type": "join", "name": name})
        return await self.next("joined", "error")

    def send(self, message: Json | str) -> None:
        """Send a message."""
        assert self.peer is not None
        self.peer.text(message if isinstance(message, str) else json.dumps(message))

    def say(self, text: str, *, txn: str | None = None, **members: Any) -> str:
        """Post; the txn."""
        self.sent += 1
        txn = txn or f"t{self.sent}"
        self.send({"type": "post", "txn": txn, "text": text, **members})
        return txn

    async def post(self, text: str, **members: Any) -> int:
        """Post and wait until it is stored; the message's id."""
        txn = self.say(text, **members)
        await self._chat.until(lambda: self._read() or txn in self.acks, f"ack of {text!r}")
        return self.acks[txn]

    def leave(self) -> None:
        """Close the socket."""
        if self.peer is not None:
            self._read()
            peer, self.peer = self.peer, None
            peer.gone()

    async def back(self) -> Json:
        """Open the socket again and say hello."""
        self.leave()
        await self.open()
        return await self.hello()

    async def next(self, *types: str) -> Json:
        """The next message of one of these types after those that were waited for."""
        start = len(self.got)
        found: list[Json] = []

        def arrived() -> bool:
            self._read()
            found[:] = [message for message in self.got[start:] if message["type"] in types]
            return bool(found)

        await self._chat.until(arrived, f"{types}; there was {self.got[start:]}")
        return found[0]

    async def sees(self, condition: Callable[["Page"], bool]) -> None:
        """Wait until the page is as it should be."""
        await self._chat.until(lambda: self._read() or condition(self), f"the page has {self.texts()}")

    def texts(self) -> list[str]:
        """What the page shows."""
        self._read()
        return [self.shown[message_id]["text"] for message_id in sorted(self.shown)]

    def counts(self) -> list[int]:
        """What was told of the number of people."""
        self._chat.clock.advance(0)
        self._read()
        return [message["people"] for message in self.got if message["type"] == "count"]

    def closed(self) -> tuple[int, str] | None:
        """Code and reason, once the server has closed the socket."""
        return self.connection.closed

    def errors(self) -> list[str]:
        """Codes of the errors so far."""
        self._read()
        return [message["code"] for message in self.got if message["type"] == "error"]

    def _read(self) -> bool:
        for text in self.connection.texts():
            self._take(json.loads(text))
        return False

    def _take(self, message: Json) -> None:
        self.got.append(message)
        seq = message.get("seq")
        if message["type"] in ("message", "deleted", "edited", "reactions"):
            assert seq is not None
            assert seq > (self.seq or 0), "a number went back"
            self.seq = seq
        match message["type"]:
            case "welcome":
                if message["reset"]:
                    self.shown.clear()
                    self.order.clear()
                self.seq = seq
                self.you = message["you"]
                for said in message["messages"]:
                    self._show(said)
                for changed in message.get("changed", ()):
                    self._change(changed)
                self._hide(message["deleted"])
            case "edited":
                self._change(message["message"])
            case "reactions":
                if (shown := self.shown.get(message["id"])) is not None:
                    shown["reactions"] = message["reactions"]
            case "message":
                self._show(message["message"])
            case "deleted":
                self._hide(message["ids"])
            case "ack":
                self.acks[message["txn"]] = message["id"]
            case "joined":
                self.you = message["you"]
                self.token = message.get("token", self.token)

    def _show(self, message: Json) -> None:
        assert message["id"] not in self.shown, "shown twice"
        assert not self.order or message["id"] > self.order[-1], "out of order"
        self.shown[message["id"]] = message
        self.order.append(message["id"])

    def _change(self, message: Json) -> None:
        if message["id"] in self.shown:
            self.shown[message["id"]] = message

    def _hide(self, ids: list[int]) -> None:
        for message_id in ids:
            self.shown.pop(message_id, None)


class JumpingClock(FakeClock):
    """A fake clock whose wall clock may be set."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0.0

    def wall_ns(self) -> int:
        return super().wall_ns() + round(self.offset * 1e9)

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.offset += seconds


class Chat:
    """The service, the gateway, and what they stand on."""

    def __init__(self, database: Database, config: ChatConfig, clock: JumpingClock) -> None:
        self.database = database
        self.config = config
        self.clock = clock
        self.hub = Hub(clock=clock)
        self.streams = StreamRepository(database)
        self.users = UserRepository(database)
        self.repository = ChatRepository(database)
        self.accounts: dict[str, Identity] = {}
        self.build()

    async def post_matrix(
        self, room: Room, author: Author, *, event_id: str, reply_event: str | None = None, **said: Any
    ) -> Outcome:
        """Have a message that comes by Matrix stored, once, as `chat.matrix.incoming` does. See `submit_matrix`."""
        if (known := await self.repository.event(room.stream_id, event_id)) is not None:
            return Outcome(known.message_id)
        reply_to = None if reply_event is None else await self.repository.message_of(room.stream_id, reply_event)
        try:
            return await self.service.submit_matrix(room, author, event_id=event_id, reply_to=reply_to, **said)
        except BusyError:
            raise
        except RefusalError as error:
            return Outcome(error=error)

    def build(self) -> None:
        """New parts over the same database."""
        self.service = ChatService(
            repository=self.repository,
            users=self.users,
            hub=self.hub,
            clock=self.clock,
            config=self.config,
            secret=b"s" * 32,
        )
        self.moderation = Moderation(
            self.service,
            chat=self.repository,
            stored=ModerationRepository(self.database),
            users=self.users,
            clock=self.clock,
        )
        self.service.moderation = self.moderation
        self.gateway = Gateway(
            service=self.service,
            identify=self._identify,
            authorize=Authorizer(self.streams, self.clock).decide,
            config=self.config,
            clock=self.clock,
        )

    async def _identify(self, cookie: str | None) -> Identity | None:
        return self.accounts.get(cookie or "")

    async def start(self) -> None:
        await self.service.start()

    async def stop(self) -> None:
        await self.gateway.stop()
        await self.service.stop()

    async def restart(self) -> None:
        """As the server does: everybody is put out, what waits is stored, and all begins anew."""
        await self.stop()
        self.build()
        await self.start()

    async def account(self, name: str, role: Role) -> Identity:
        """Somebody with an account, signed in."""
        record = await self.users.add(name, role=role, password_hash="x")
        self.accounts[name] = Identity(record.id, name, role)
        return self.accounts[name]

    def page(self, *, stream: str = "demo", address: str = "192.0.2.1", user: Identity | None = None) -> Page:
        """A page that is not open yet."""
        return Page(self, stream=stream, address=address, user=user)

    async def enter(self, name: str | None = None, **where: Any) -> Page:
        """A page that has said hello, and has a name if one is given."""
        page = await self.page(**where).open()
        await page.hello()
        if name is not None:
            joined = await page.join(name)
            assert joined["type"] == "joined", joined
        return page

    def stay(self) -> None:
        """All pages say that they are there, as they do twice a minute; for who lets fake time pass."""
        for viewer in list(self.gateway._viewers):
            # Not each time that this is called: one whose command is being carried out may not send more than a few.
            if self.clock.now() - viewer.heard >= 25.0:
                viewer.text('{"type":"ping"}')

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Let things happen, at this fake moment, until `condition` holds."""
        async with asyncio.timeout(PATIENCE):
            try:
                while True:
                    self.clock.advance(0)
                    if condition():
                        return
                    await asyncio.sleep(0.0005)
            except asyncio.CancelledError as error:
                raise AssertionError(f"waited in vain for {what}") from error


@asynccontextmanager
async def open_chat(
    folder: Path,
    clock: JumpingClock | None = None,
    repository: Callable[[Database], ChatRepository] | None = None,
    *,
    url: str = "",
    **settings: Any,
) -> AsyncIterator[Chat]:
    """A running chat beside the stream `demo`, without limits on the rate unless they are given.

    `url` is of its database (`db.config`); without one it is SQLite in `folder`.
    """
    free = ChatConfig(burst=0, address_burst=0, guests_per_address=0, connections_per_address=0)
    if not url:
        prepare(folder)
    async with Database(DatabaseConfig(url), folder) as database:
        chat = Chat(database, replace(free, **settings), clock or JumpingClock())
        if repository is not None:
            chat.repository = repository(database)
            chat.build()
        if await chat.streams.get("demo") is None:
            await chat.streams.add("demo", title="Demo")
        await chat.start()
        try:
            yield chat
        finally:
            await chat.stop()


class Accounts:
    """Whose session a cookie names: that of the account of this name."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def identify(self, token: str | None) -> Identity | None:
        return self._chat.accounts.get(token or "")
