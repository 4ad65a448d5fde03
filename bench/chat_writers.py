"""Guests who write as fast as they are acknowledged, in one process: the load of `bench.chat_post`.

Each has a few messages on their way, and sends the next when one is acknowledged.
"""

import json
import os
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Final

from bench.chat_load import connect, frame, read_until

_ACK: Final = b'"type":"ack"'
_ERROR: Final = b'"type":"error"'
_LONGEST: Final = max(len(_ACK), len(_ERROR)) - 1


@dataclass(frozen=True)
class Plan:
    """What to do."""

    port: int
    paths: list[str]
    """A guest for each."""
    seconds: float
    window: int
    """Messages of one guest that are on their way."""


@dataclass(frozen=True)
class Outcome:
    """What was seen."""

    acknowledged: int
    seconds: float
    p50: float
    p99: float
    """Milliseconds from sending to the acknowledgement."""
    busy: float
    """Share of the time that this process used: near 1, the figures are its own."""


class Guest:
    """One of them."""

    def __init__(self, number: int, opened: socket.socket) -> None:
        self.opened = opened
        self.fd = opened.fileno()
        self.sent: deque[float] = deque()
        self._number = number
        self._count = 0
        self._tail = b""

    def post(self, times: int) -> None:
        """Send the next messages."""
        data = b""
        for _ in range(times):
            self._count += 1
            data += frame(
                f'{{"type":"post","txn":"t{self._number}-{self._count}","text":"message {self._count} of many"}}'
            )
            self.sent.append(time.monotonic())
        os.write(self.fd, data)

    def read(self) -> int:
        """How many acknowledgements came."""
        data = self._tail + os.read(self.fd, 262144)
        if _ERROR in data or not data:
            raise RuntimeError(f"a message was refused: {data[-500:]!r}")
        acks = data.count(_ACK)
        self._tail = data[-_LONGEST:].rpartition(_ACK)[2]
        return acks


def main() -> None:
    """Do what the argument says."""
    plan = Plan(**json.loads(sys.argv[1]))
    guests = [Guest(number, connect(plan.port, path)) for number, path in enumerate(plan.paths)]
    for guest in guests:
        read_until(guest.opened, b"\r\n\r\n")
        guest.opened.sendall(frame('{"type":"hello"}'))
        read_until(guest.opened, b'"welcome"')
    for number, guest in enumerate(guests):
        guest.opened.sendall(frame(f'{{"type":"join","name":"writer {number}"}}'))
        read_until(guest.opened, b'"joined"')
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(run(plan, guests))), flush=True)


def run(plan: Plan, guests: list[Guest]) -> Outcome:
    """Write for the time of the plan."""
    poll = select.epoll()
    by_fd = {guest.fd: guest for guest in guests}
    begin = now = time.monotonic()
    cpu = time.process_time()
    for guest in guests:
        poll.register(guest.fd, select.EPOLLIN)
        guest.post(plan.window)
    late: list[float] = []
    while now - begin < plan.seconds:
        for fd, _ in poll.poll(0.1):
            guest = by_fd[fd]
            acks = guest.read()
            now = time.monotonic()
            late += [now - guest.sent.popleft() for _ in range(acks)]
            if acks:
                guest.post(acks)
        now = time.monotonic()
    late.sort()
    return Outcome(
        acknowledged=len(late),
        seconds=now - begin,
        p50=late[len(late) // 2] * 1000,
        p99=late[len(late) * 99 // 100] * 1000,
        busy=(time.process_time() - cpu) / (now - begin),
    )


if __name__ == "__main__":
    main()
