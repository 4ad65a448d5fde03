"""Worker processes: started, talked to, killed, and their end put in words.

A worker is a Python program of its own that decodes untrusted media (`transcode/worker`). It talks through one end of a
socket pair; whatever it says is judged by whoever reads it. Starting one never blocks the event loop.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from dataclasses import dataclass

import structlog

from ghostlive.transcode.wire import Decoder, Message, encode

_log = structlog.get_logger("transcode")

_READ = 256 * 1024
_WRITE_HIGH = 2 * 1024 * 1024
"""Bytes that may wait for a worker before `drain` waits."""
_GOODBYE = 1.0
"""Seconds that a worker has to end by itself once its connection is closed."""
_STDERR_LINES = 20
_STDERR_BYTES = 1024 * 1024
"""A worker that prints more than this is not listened to any more."""
_OUT_OF_MEMORY = ("MemoryError", "Cannot allocate memory", "bad_alloc", "out of memory")


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What a worker may use; it sets these limits on itself before it loads any decoder."""

    memory: int
    """Bytes of address space, what the program itself needs included."""


class WorkerProcess:
    """A running worker. Made by `start`; `kill` and `wait` for it when done, whatever happened."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        printed: "_Printed",
        limits: WorkerLimits,
    ) -> None:
        """Use `start`."""
        self._process = process
        self._reader = reader
        self._writer = writer
        self._printed = printed
        self._limits = limits
        self._decoder = Decoder()
        self._reaping: asyncio.Task[str] | None = None

    @classmethod
    async def start(cls, *, limits: WorkerLimits, name: str) -> "WorkerProcess":
        """Start a worker; `name` stands in the process list. Raises `OSError` when the system has no room for one.

        It may be cancelled: then no process is left.
        """
        ours, theirs = socket.socketpair()
        out, err = os.pipe()
        command = [
            sys.executable, "-P", "-m", "ghostlive.transcode.worker", str(theirs.fileno()), str(limits.memory), name,
        ]  # fmt: skip
        process: subprocess.Popen[bytes] | None = None
        writer: asyncio.StreamWriter | None = None
        try:
            ours.setblocking(False)
            spawning = asyncio.ensure_future(asyncio.to_thread(_spawn, command, theirs.fileno(), err))
            try:
                process = await asyncio.shield(spawning)
            except asyncio.CancelledError:
                process = await spawning
                raise
            theirs.close()
            os.close(err)
            err = -1
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=4 * _READ)
            writer.transport.set_write_buffer_limits(high=_WRITE_HIGH)
            pipe = os.fdopen(out, "rb", buffering=0)
            out = -1
            _, printed = await asyncio.get_running_loop().connect_read_pipe(_Printed, pipe)
        except BaseException:
            theirs.close()
            if writer is not None:
                writer.transport.abort()
            else:
                ours.close()
            for descriptor in (out, err):
                if descriptor >= 0:
                    os.close(descriptor)
            if process is not None:
                process.kill()
                await _reaped(process)
            raise
        return cls(process, reader, writer, printed, limits)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """It has ended, or will hear nothing more."""
        return self._reaping is not None or self._writer.transport.is_closing() or self._reader.at_eof()

    def send(self, message: Message) -> None:
        """Queue a message; what is sent to a worker that has ended is dropped. `drain` before sending much."""
        if not self.ended:
            self._writer.write(encode(message))

    async def drain(self) -> None:
        """Wait until the worker has taken most of what was sent; returns at once when it has ended."""
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def receive(self) -> list[Message]:
        """Wait for messages; an empty list means that the worker ended. Raises `WireError` for nonsense."""
        while True:
            try:
                data = await self._reader.read(_READ)
            except ConnectionError:
                return []
            if not data:
                return []
            if messages := self._decoder.feed(data):
                return messages

    def kill(self) -> None:
        """End it now. `wait` for it afterwards."""
        if self._process.returncode is None:
            self._process.kill()

    async def wait(self) -> str:
        """Close the connection and wait for the end of the process, which is killed when it does not come.

        The answer says how it ended: `was killed by SIGSEGV`, `exited with 1: ...`.
        """
        if self._reaping is None:
            self._reaping = asyncio.ensure_future(self._reap())
        return await asyncio.shield(self._reaping)

    async def _reap(self) -> str:
        self._writer.transport.abort()
        try:
            async with asyncio.timeout(_GOODBYE):
                code = await _reaped(self._process)
        except TimeoutError:
            self._process.kill()
            code = await _reaped(self._process)
        await self._printed.finish()
        return _explain(code, self._printed.lines, self._limits)


class _Printed(asyncio.Protocol):
    """The last lines that a worker printed on its standard error."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_STDERR_LINES)
        self._rest = b""
        self._size = 0
        self._transport: asyncio.BaseTransport | None = None
        self._closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-1000:]
        self.lines.extend(clean(line.decode(errors="replace")) for line in lines if line.strip())
        self._size += len(data)
        if self._size > _STDERR_BYTES and self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest.strip():
            self.lines.append(clean(self._rest.decode(errors="replace")))
        self._closed.set()

    async def finish(self) -> None:
        """Wait for the last words of a process that has ended; what it left running may keep the pipe open."""
        try:
            async with asyncio.timeout(0.2):
                await self._closed.wait()
        except TimeoutError:
            if self._transport is not None:
                self._transport.close()


def clean(text: str, limit: int = 300) -> str:
    """A worker's words, fit for a log and a page."""
    return "".join(char if char.isprintable() else " " for char in text[: 2 * limit]).strip()[:limit]


def _spawn(command: list[str], channel: int, err: int) -> "subprocess.Popen[bytes]":
    # What only the server needs (its settings may hold passwords) is nothing for a program that reads strangers' media.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GHOSTLIVE_")}
    return subprocess.Popen(  # noqa: S603 - our own program
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=err,
        pass_fds=(channel,),
        cwd="/",
        env=environment,
        # Signals of a terminal are for the server, which ends its workers itself.
        start_new_session=True,
    )


async def _reaped(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the end of a process without a thread: it is about to come."""
    pause = 0.002
    while (code := process.poll()) is None:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return code


def _explain(code: int, lines: deque[str], limits: WorkerLimits) -> str:
    if any(sign in line for line in lines for sign in _OUT_OF_MEMORY):
        return f"ran out of memory (it may use {limits.memory // 2**20} MiB)"
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"exited with {code}" + (f": {lines[-1]}" if code and lines else "")
