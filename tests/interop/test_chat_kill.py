"""A server that is killed at any moment: what it acknowledged is stored, nobody misses anything or sees it twice."""

import asyncio
import json
import random
import sqlite3
from itertools import count
from pathlib import Path

import pytest
from tests.support.chat_client import ChatPage, chat_url
from tests.support.forked_program import ForkedProgram, forked
from tests.support.program import Program
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

KILLS = 50
PATIENCE = 60.0
WINDOW = 24
"""Messages of the writer that are on their way: when the server dies, some are stored and not acknowledged."""
UNLIMITED = {"GHOSTLIVE_CHAT__BURST": "0", "GHOSTLIVE_CHAT__ADDRESS_BURST": "0", "GHOSTLIVE_LOG__LEVEL": "warning"}


class Reader(ChatPage):
    """A page that is open all the time and comes back whenever the server does."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.open = asyncio.Event()

    async def live(self) -> None:
        """Come back once, and stay until the server is gone."""
        try:
            async with connect(self._url, compression=None, proxy=None) as socket:
                await socket.send(json.dumps(self.hello()))
                await self.talk(socket)
        except (ConnectionClosed, OSError, InvalidHandshake):
            pass
        finally:
            self.open.clear()

    async def talk(self, socket: ClientConnection) -> None:
        """Read."""
        async for data in socket:
            message = json.loads(data)
            assert message["type"] != "error", message
            self.take_in(message)
            if message["type"] == "welcome":
                self.open.set()


class Writer(Reader):
    """One that posts as fast as it may, and sends again what was not acknowledged."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._numbers = count(1)
        self.waiting: dict[str, str] = {}
        self.again = 0
        """Messages that were sent a second time."""
        self.more = True

    async def talk(self, socket: ClientConnection) -> None:
        async for data in socket:
            message = json.loads(data)
            assert message["type"] != "error", message
            self.take_in(message)
            if message["type"] == "ack":
                del self.waiting[message["txn"]]
            elif message["type"] == "welcome":
                if self.you is None:
                    await socket.send('{"type":"join","name":"writer"}')
                else:
                    await self._begin(socket)
            elif message["type"] == "joined":
                await self._begin(socket)
            if self.open.is_set():
                await self._fill(socket)

    async def _begin(self, socket: ClientConnection) -> None:
        self.open.set()
        self.again += len(self.waiting)
        for txn, text in list(self.waiting.items()):
            await self._post(socket, txn, text)

    async def _fill(self, socket: ClientConnection) -> None:
        while self.more and len(self.waiting) < WINDOW:
            number = next(self._numbers)
            txn = f"t{number}"
            self.waiting[txn] = f"message {number}"
            await self._post(socket, txn, self.waiting[txn])

    async def _post(self, socket: ClientConnection, txn: str, text: str) -> None:
        await socket.send(json.dumps({"type": "post", "txn": txn, "text": text}))


async def one_life(servers: ForkedProgram, writer: Writer, reader: Reader, more: int, seconds: float) -> None:
    """Until the server has acknowledged so many more messages, and so many seconds longer."""
    await asyncio.to_thread(servers.start)
    tasks = [asyncio.create_task(page.live()) for page in (reader, writer)]
    async with asyncio.timeout(PATIENCE):
        await reader.open.wait()
        await writer.open.wait()
        enough = len(writer.acks) + more
        while len(writer.acks) < enough:
            await asyncio.sleep(0.001)
    await asyncio.sleep(seconds)  # the moment of its death is the point of the test
    await asyncio.to_thread(servers.kill)
    await asyncio.gather(*tasks)


async def last_life(servers: ForkedProgram, writer: Writer, reader: Reader) -> None:
    """Everything that waits is sent again and seen."""
    await asyncio.to_thread(servers.start)
    writer.more = False
    tasks = [asyncio.create_task(page.live()) for page in (reader, writer)]
    async with asyncio.timeout(PATIENCE):
        while writer.waiting or reader.seq != writer.seq or not reader.seq:
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def stored(data: Path) -> dict[str, int]:
    """Message ids by transaction, from the database; each transaction is there once."""
    database = sqlite3.connect(data / "ghostlive.db")
    try:
        rows = database.execute("SELECT txn, id FROM chat_messages ORDER BY id").fetchall()
    finally:
        database.close()
    found = dict(rows)
    assert len(found) == len(rows)
    return found


@pytest.mark.interop
async def test_fifty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    program = Program(tmp_path / "data", UNLIMITED)
    await asyncio.to_thread(program.start)
    await asyncio.to_thread(program.add_stream, "chat")
    await asyncio.to_thread(program.stop)
    url = chat_url(program.url, "chat")
    writer, reader = Writer(url), Reader(url)
    moments = random.Random(1)
    with forked(program) as servers:
        for _ in range(KILLS):
            before = len(writer.acks)
            await one_life(servers, writer, reader, moments.randint(0, 30), moments.uniform(0, 0.05))
            database = await asyncio.to_thread(stored, program.data)
            assert writer.acks.items() <= database.items(), "something acknowledged is gone"
            assert len(writer.acks) >= before
        await last_life(servers, writer, reader)
    database = stored(program.data)
    assert database == writer.acks
    assert writer.again > 0
    assert len(database) > 10 * KILLS
    for page in (writer, reader):
        assert page.resets <= 1, "a page had to forget what it had"
        assert page.shown == list(database.values())
