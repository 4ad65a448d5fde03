"""Viewers of a chat in one process, as lean as Python allows: sockets, epoll, and a search for time stamps.

`python -m bench.chat_load '{"port": …, "path": …, "viewers": …, …}'` opens the sockets, has some of them write at an
even rate, and prints as JSON when the viewers had the messages. Frames are not parsed: a message carries the moment at
which it was sent, and whoever receives those bytes looks at the clock.
"""

import json
import os
import resource
import select
import socket
import sys
import time
from array import array
from dataclasses import asdict, dataclass
from itertools import count
from typing import Final

MARK: Final = b"@@"
_DIGITS: Final = 16
_STAMP: Final = len(MARK) + _DIGITS
_BUCKET_US: Final = 100
_BUCKETS: Final = 100_000
"""Ten seconds; what is later is counted as that."""
_READ: Final = 256 * 1024
"""More than can wait for one viewer: each is read once when it becomes ready."""
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


class Load:
    """The run itself."""

    def __init__(self, plan: Plan, viewers: list[socket.socket]) -> None:
        self._plan = plan
        self._viewers = viewers
        self._writers = [viewer.fileno() for viewer in viewers[: plan.writers]]
        self._late = array("Q", bytes(8 * (_BUCKETS + 1)))
        self._rest: dict[int, bytes] = {}
        self._sent = 0
        self._received = 0
        self._lost = 0

    def run(self, opening: float) -> Outcome:
        """Write for the time of the plan, read until everything arrived or three seconds more have passed."""
        poll = select.epoll()
        for viewer in self._viewers:
            poll.register(viewer.fileno(), select.EPOLLIN | select.EPOLLET)
        begin = now = time.monotonic()
        cpu = time.process_time()
        end = begin + self._plan.seconds
        turn = count()
        due = begin
        while now < end or (self._received < self._sent * len(self._viewers) and now < end + 3):
            while due <= now and due < end:
                self._post(next(turn))
                due += 1 / self._plan.rate
            for fd, _ in poll.poll(max(0.0, min(due - now, 0.05)), 256):
                self._read(fd, poll)
            now = time.monotonic()
        return Outcome(
            sent=self._sent,
            received=self._received,
            p50=self._percentile(0.5),
            p99=self._percentile(0.99),
            worst=self._percentile(1.0),
            lost=self._lost,
            opening=opening,
            seconds=now - begin,
            busy=(time.process_time() - cpu) / (now - begin),
        )

    def _post(self, number: int) -> None:
        stamp = f"{MARK.decode()}{time.monotonic_ns() // 1000:0{_DIGITS}d}"
        os.write(self._writers[number % len(self._writers)], frame(self._plan.post % (number, stamp)))
        self._sent += 1

    def _read(self, fd: int, poll: select.epoll) -> None:
        try:
            data = os.read(fd, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now = time.monotonic_ns() // 1000
        if not data:
            poll.unregister(fd)
            self._lost += 1
            return
        if fd in self._rest:
            data = self._rest.pop(fd) + data
        at = data.find(MARK)
        while at >= 0:
            end = at + _STAMP
            if end > len(data):
                self._rest[fd] = data[at:]
                return
            late = (now - int(data[at + 2 : end])) // _BUCKET_US
            self._late[late if late < _BUCKETS else _BUCKETS] += 1
            self._received += 1
            at = data.find(MARK, end)
        if data.endswith(b"@"):
            self._rest[fd] = b"@"

    def _percentile(self, share: float) -> float:
        """Milliseconds."""
        wanted = share * self._received
        total = 0
        for bucket, times in enumerate(self._late):
            total += times
            if times and total >= wanted:
                return (bucket + 1) * _BUCKET_US / 1000
        return float("nan")


if __name__ == "__main__":
    main()
