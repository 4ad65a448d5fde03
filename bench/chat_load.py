"""Viewers of a chat in one process: sockets that are opened here, and read in C (`chat_count.c`).

`python -m bench.chat_load '{"port": …, "path": …, "viewers": …, …}'` opens the sockets, has some of them write at an
even rate, and prints as JSON when the viewers had the messages. A message carries the moment at which it was sent, and
whoever receives those bytes looks at the clock.
"""

import ctypes
import json
import os
import resource
import select
import socket
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Final

from bench.harness import compiled

MARK: Final = b"@@"
_DIGITS: Final = 16
_BUCKET_US: Final = 100
_BUCKETS: Final = 100_000
"""Ten seconds; what is later is counted as that."""
_AT_ONCE: Final = 100
"""Sockets that are opened at the same time."""


@dataclass(frozen=True)
class Plan:
    """What to do."""

    port: int
    path: str
    viewers: int
    rate: float
    seconds: float
    hello: str = ""
    """What each viewer says first; it then waits for an answer that contains `welcome`."""
    join: str = ""
    """What each writer says before it writes; `%d` becomes its number."""
    post: str = "%s"
    """A message around its text; `%d` becomes its number."""
    writers: int = 10


@dataclass(frozen=True)
class Outcome:
    """What was seen."""

    sent: int
    received: int
    p50: float
    p99: float
    worst: float
    """Milliseconds from sending to receiving, over all viewers and messages."""
    lost: int
    """Sockets that the server closed."""
    opening: float
    """Seconds that it took to open all sockets."""
    seconds: float
    """How long the run took."""
    busy: float
    """Share of that time that this process used: near 1, the figures are its own."""


def main() -> None:
    """Do what the argument says."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = Plan(**json.loads(sys.argv[1]))
    begin = time.monotonic()
    viewers = open_viewers(plan)
    opening = time.monotonic() - begin
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(Load(plan, viewers).run(opening))), flush=True)


def open_viewers(plan: Plan) -> list[socket.socket]:
    """Open all sockets; those that write come first."""
    viewers: list[socket.socket] = []
    while len(viewers) < plan.viewers:
        batch = [connect(plan.port, plan.path) for _ in range(min(_AT_ONCE, plan.viewers - len(viewers)))]
        for viewer in batch:
            read_until(viewer, b"\r\n\r\n")
            if plan.hello:
                viewer.sendall(frame(plan.hello))
        if plan.hello:
            for viewer in batch:
                read_until(viewer, b'"welcome"')
        viewers += batch
    if plan.join:
        for number, writer in enumerate(viewers[: plan.writers]):
            writer.sendall(frame(plan.join % number))
            read_until(writer, b'"joined"')
    for viewer in viewers:
        viewer.setblocking(False)
    return viewers


def connect(port: int, path: str) -> socket.socket:
    """A socket that has asked to become a WebSocket; the answer is not read yet."""
    opened = socket.socket()
    opened.settimeout(30)
    opened.connect(("127.0.0.1", port))
    opened.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    return opened


def read_until(viewer: socket.socket, mark: bytes) -> None:
    """Read, and forget, up to something that contains `mark`."""
    found = b""
    while mark not in found:
        data = viewer.recv(65536)
        if not data:
            raise RuntimeError(f"the server closed a connection: {found[-300:]!r}")
        found += data


def frame(text: str) -> bytes:
    """A text message as clients send it; the mask is zero, which leaves the payload readable."""
    payload = text.encode()
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class _Viewer(ctypes.Structure):
    _fields_ = [("kept", ctypes.c_int32), ("rest", ctypes.c_char * 20)]


class _Counts(ctypes.Structure):
    _fields_ = [
        ("received", ctypes.c_int64), ("lost", ctypes.c_int64),
        ("buckets", ctypes.c_int64), ("bucket_us", ctypes.c_int64), ("late", ctypes.POINTER(ctypes.c_uint64)),
    ]  # fmt: skip


class Load:
    """The run itself."""

    def __init__(self, plan: Plan, viewers: list[socket.socket]) -> None:
        self._plan = plan
        self._sockets = viewers
        self._writers = [viewer.fileno() for viewer in viewers[: plan.writers]]
        self._viewers = (_Viewer * (max(viewer.fileno() for viewer in viewers) + 1))()
        self._late = (ctypes.c_uint64 * (_BUCKETS + 1))()
        self._counts = _Counts(0, 0, _BUCKETS, _BUCKET_US, self._late)
        self._sent = 0
        with tempfile.TemporaryDirectory() as folder:
            self._drain = compiled("chat_count.c", Path(folder)).drain
        self._drain.restype = ctypes.c_int64
        self._drain.argtypes = [
            ctypes.c_int32, ctypes.c_void_p, ctypes.POINTER(_Counts), ctypes.c_int64, ctypes.c_int64,
        ]  # fmt: skip

    def run(self, opening: float) -> Outcome:
        """Write for the time of the plan, read until everything arrived or three seconds more have passed."""
        poll = select.epoll()
        for viewer in self._sockets:
            poll.register(viewer.fileno(), select.EPOLLIN | select.EPOLLET)
        begin = due = time.monotonic()
        cpu = time.process_time()
        end = begin + self._plan.seconds
        for number in count():
            if due >= end:
                break
            self._read(poll, due)
            self._post(number)
            due += 1 / self._plan.rate
        self._read(poll, end)
        self._read(poll, end + 3, wanted=self._sent * len(self._sockets))
        seconds = time.monotonic() - begin
        return Outcome(
            sent=self._sent,
            received=self._counts.received,
            p50=self._percentile(0.5),
            p99=self._percentile(0.99),
            worst=self._percentile(1.0),
            lost=self._counts.lost,
            opening=opening,
            seconds=seconds,
            busy=(time.process_time() - cpu) / seconds,
        )

    def _read(self, poll: select.epoll, until: float, *, wanted: int = 0) -> None:
        failed = self._drain(poll.fileno(), self._viewers, self._counts, int(until * 1e6), wanted)
        if failed:
            raise OSError(-failed, os.strerror(-failed))

    def _post(self, number: int) -> None:
        stamp = f"{MARK.decode()}{time.monotonic_ns() // 1000:0{_DIGITS}d}"
        os.write(self._writers[number % len(self._writers)], frame(self._plan.post % (number, stamp)))
        self._sent += 1

    def _percentile(self, share: float) -> float:
        """Milliseconds."""
        wanted = share * self._counts.received
        total = 0
        for bucket, times in enumerate(self._late):
            total += times
            if times and total >= wanted:
                return (bucket + 1) * _BUCKET_US / 1000
        return float("nan")


if __name__ == "__main__":
    main()
