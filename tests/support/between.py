"""What stands between this server and its homeserver, in either direction, and makes trouble.

    with between(synapse.url) as way:       # listens at `way.url`
        way.delay = 5.0                     # each answer comes so much later
        way.answers = [502, 504]            # the next requests get these, and reach nobody
        way.cuts = 3                        # the next answers break off in the middle; what was asked for is done

`way.also` may send requests once more, later or in another order: it is given each request whose path fits
`way.path`, and a function that forwards any of them; what it returns is the answer. Only requests whose path fits
meet any of this. A request is a whole one, with its length in the head; answers end with their connection.
"""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.support.program import free_port

_CUT = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    data: bytes = field(repr=False)


Forward = Callable[[Request], Awaitable[bytes]]
Also = Callable[[Request, Forward], Coroutine[Any, Any, bytes]]


class Way:
    """See the top of this file. Its members may be set from any thread."""

    def __init__(self, target: str, port: int) -> None:
        """`target` is the URL of who answers, `port` where this listens."""
        split = urlsplit(target)
        assert split.hostname is not None
        self._target = (split.hostname, split.port)
        self.port = port
        self.delay = 0.0
        self.answers: list[int] = []
        self.cuts = 0
        self.path = re.compile("")
        self.also: Also | None = None
        self.answered: list[str] = []
        """Paths of requests whose answers were passed on, whole."""
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def heal(self) -> None:
        """No trouble any more."""
        self.delay, self.answers, self.cuts, self.also = 0.0, [], 0, None

    def open(self) -> None:
        """Listen."""
        self._thread.start()
        assert self._ready.wait(60)

    def close(self) -> None:
        """End, with all connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                request = await _read(reader)
                writer.write(await self._answer(request))
                await writer.drain()
        finally:
            writer.close()

    async def _answer(self, request: Request) -> bytes:
        if not self.path.search(request.path):
            return await self._forward(request)
        if self.answers:
            return f"HTTP/1.1 {self.answers.pop(0)} Trouble\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        answer = await (self._forward(request) if self.also is None else self.also(request, self._forward))
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.cuts:
            self.cuts -= 1
            return _CUT.encode()
        self.answered.append(request.path)
        return answer

    async def _forward(self, request: Request) -> bytes:
        reader, writer = await asyncio.open_connection(*self._target)
        try:
            writer.write(request.data)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    length, kept = 0, []
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
        if name.lower() not in ("connection", "keep-alive"):
            kept.append(line)
    body = await reader.readexactly(length)
    return Request(method, path, "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1") + body)


@contextmanager
def between(target: str, port: int = 0) -> Iterator[Way]:
    """Something in the way to `target`, at a port of its own or the given one."""
    way = Way(target, port or free_port())
    way.open()
    try:
        yield way
    finally:
        way.close()
