"""Chat fan-out with Matrix on: ten messages a second for 10,000 pages, half of them from a Matrix client, half
on their way into the room; beside it 50 clients that sync with the same homeserver, which is the way without us.

Page messages are measured like in `bench.chat_fanout`, from the writer's `send` to each viewer's `recv`. Messages from
Matrix are measured from their request to the homeserver until one page has them, and until the clients' `/sync` has.
The homeserver has no core of its own and runs at a lower priority, as `ghostlive serve` has it.
"""

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from tests.support.chat_client import ChatClient, chat_url
from tests.support.program import Program, wait_for
from tests.support.synapse import Person, Synapse, running_synapse
from websockets.exceptions import ConnectionClosed

from bench.chat_fanout import AIM_MS, FILLER, LIMITS, RATE
from bench.chat_load import Outcome, Plan
from bench.harness import (
    LOAD_CORE,
    SERVER_CORE,
    Report,
    Row,
    cpu_seconds,
    in_memory,
    loading,
    percentile,
    pid_of,
    pinned,
    ratio,
)

VIEWERS = 10_000
CLIENTS = 50
HALF = RATE / 2
SETTINGS = {
    **LIMITS,
    "GHOSTLIVE_LOG__LEVEL": "warning",
    "GHOSTLIVE_TRANSCODE__ENABLED": "false",
    "GHOSTLIVE_WEBRTC__ENABLED": "false",
}
PATIENCE = 120.0


@dataclass
class Heard:
    """When messages from Matrix arrived."""

    delays: list[float] = field(default_factory=list)
    """Milliseconds."""
    sent: int = 0

    def take(self, text: str) -> None:
        """A text that may have the moment in it at which it was sent."""
        stamp, _, rest = text.partition(" ")
        if rest and stamp.isdigit():
            self.delays.append((time.monotonic_ns() - int(stamp)) / 1e6)

    def show(self) -> str:
        """The 99th percentile, and the median."""
        if not self.delays:
            return "none arrived"
        return f"{percentile(self.delays, 0.99):.0f} ms ({percentile(self.delays, 0.5):.0f})"


@dataclass(frozen=True)
class Room:
    """A stream's room, and somebody in it who talks."""

    synapse: Synapse
    id: str
    speaker: Person

    def worked(self) -> float:
        """Seconds of a core that the homeserver used so far."""
        assert self.synapse.process is not None
        return cpu_seconds(self.synapse.process.pid)


@dataclass(frozen=True)
class Measured:
    """One of the two ways."""

    heard: Heard
    homeserver: float
    """Share of a core that it used."""
    outcome: Outcome | None = None
    cpu: float = 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=20, help="length of each part (default %(default)g)")
    parser.add_argument("--viewers", type=int, default=VIEWERS, help="open pages (default %(default)d)")
    options = parser.parse_args()
    with in_memory() as folder, running_synapse(folder / "synapse") as synapse:
        program = Program(folder / "data", {**synapse.environment(), **SETTINGS}, http_port=synapse.as_port)
        try:
            with pinned(SERVER_CORE):
                program.start()
            room = _room(program, synapse)
            ours = _pages(program, room, options.viewers, options.seconds)
            naive = asyncio.run(_clients(room, options.seconds))
        except BaseException:
            print(program.log[-4000:])
            raise
        finally:
            if program.process is not None:
                program.process.kill()
                program.process.wait()
    _show(ours, naive, options.viewers)


def _show(ours: Measured, naive: Measured, viewers: int) -> None:
    assert ours.outcome is not None
    report = Report(f"Chat with Matrix on: {RATE:g} messages a second, half from Matrix", f"{CLIENTS} syncing clients")
    outcome = ours.outcome
    whole = outcome.received == outcome.sent * viewers and not outcome.lost
    report.add(
        Row(
            f"{viewers} pages, page messages, p99 (p50)",
            f"{outcome.p99:.1f} ms ({outcome.p50:.1f})",
            aim=f"≤ {AIM_MS:g} ms",
            met=outcome.p99 <= AIM_MS and whole,
        )
    )
    late = [percentile(one.heard.delays, 0.99) if one.heard.delays else float("nan") for one in (ours, naive)]
    report.add(Row("messages from Matrix, p99 (p50)", ours.heard.show(), naive.heard.show(), ratio(late[0], late[1])))
    for_each = [ours.homeserver / viewers, naive.homeserver / CLIENTS]
    report.add(
        Row(
            "  homeserver's CPU",
            f"{ours.homeserver:.0%}",
            f"{naive.homeserver:.0%}",
            ratio(ours.homeserver, naive.homeserver),
        )
    )
    report.add(
        Row(
            "  of it for each who watches",
            f"{for_each[0] * 1000:.3f} ‰",
            f"{for_each[1] * 1000:.3f} ‰",
            ratio(for_each[0], for_each[1]),
        )
    )
    report.add(Row("  this server's CPU", f"{ours.cpu:.0%}"))
    report.notes.append(
        f"from Matrix: {len(ours.heard.delays)} of {ours.heard.sent} on the page that was looked at; "
        f"{len(naive.heard.delays)} of {naive.heard.sent * CLIENTS} in the clients before the end"
    )
    if not whole:
        report.notes.append("some page messages did not arrive within 3 s, or sockets were closed")
    report.notes.append(f"the load generator used {outcome.busy:.0%} of its core; the homeserver has none of its own")
    report.show()


def _room(program: Program, synapse: Synapse) -> Room:
    """The room of a new stream."""
    program.add_stream("bench")
    speaker = synapse.person()

    def join() -> str | None:
        try:
            return synapse.join(speaker, f"#live_bench:{synapse.server_name}")
        except httpx.HTTPStatusError:  # not there yet
            return None

    return Room(synapse, str(wait_for("the room", join, PATIENCE)), speaker)


def _pages(program: Program, room: Room, viewers: int, seconds: float) -> Measured:
    plan = Plan(
        port=program.http_port,
        path="/api/v1/streams/bench/chat",
        viewers=viewers,
        rate=HALF,
        seconds=seconds,
        hello='{"type":"hello"}',
        join='{"type":"join","name":"writer %d"}',
        post='{"type":"post","txn":"t%d","text":"' + FILLER + '%s"}',
    )
    heard = Heard()
    pid = pid_of(program)
    with loading("bench.chat_load", plan) as go, _listening(chat_url(program.url, "bench"), heard):
        before = room.worked()
        with pinned(LOAD_CORE), _talking(room, heard, seconds):
            told, cpu = go(pid)
        used = room.worked() - before
    outcome = Outcome(**told)
    return Measured(heard, used / outcome.seconds, outcome, cpu / outcome.seconds)


async def _clients(room: Room, seconds: float) -> Measured:
    """The same messages, for clients that ask the homeserver themselves."""
    synapse = room.synapse
    people = [synapse.person() for _ in range(CLIENTS)]
    for person in people:
        synapse.join(person, room.id)
    heard = Heard()
    async with httpx.AsyncClient(
        base_url=synapse.url, timeout=PATIENCE, verify=False, limits=httpx.Limits(max_connections=CLIENTS)
    ) as client:
        begun = [asyncio.Event() for _ in people]
        syncing = [
            asyncio.create_task(_sync(client, person, room.id, heard, ready))
            for person, ready in zip(people, begun, strict=True)
        ]
        await asyncio.gather(*(ready.wait() for ready in begun))
        before, began = room.worked(), time.monotonic()
        with _talking(room, heard, seconds):
            await asyncio.sleep(seconds + 3)  # as long as pages have for what comes late
        used = (room.worked() - before) / (time.monotonic() - began)
        for task in syncing:
            task.cancel()
        await asyncio.gather(*syncing, return_exceptions=True)
    return Measured(heard, used)


async def _sync(client: httpx.AsyncClient, person: Person, room: str, heard: Heard, ready: asyncio.Event) -> None:
    wanted = {
        "room": {"rooms": [room], "timeline": {"limit": 100}, "state": {"lazy_load_members": True}},
        "presence": {"types": []},
        "account_data": {"types": []},
    }
    query = {"filter": json.dumps(wanted), "timeout": "0"}
    headers = {"Authorization": f"Bearer {person.token}"}
    while True:
        answer = await client.get("/_matrix/client/v3/sync", params=query, headers=headers)
        page: dict[str, Any] = answer.raise_for_status().json()
        if ready.is_set():
            for event in page.get("rooms", {}).get("join", {}).get(room, {}).get("timeline", {}).get("events", []):
                if event["type"] == "m.room.message":
                    heard.take(event["content"].get("body", ""))
        query |= {"since": page["next_batch"], "timeout": "10000"}
        ready.set()


@contextmanager
def _talking(room: Room, heard: Heard, seconds: float) -> Iterator[None]:
    """Somebody says something at an even rate, whether or not the homeserver keeps up; waited for at the end."""
    over = threading.Event()

    def say(number: int) -> None:
        path = f"/_matrix/client/v3/rooms/{quote(room.id)}/send/m.room.message/{id(over)}.{number}"
        text = f"{time.monotonic_ns()} {FILLER}"
        room.synapse.call("PUT", path, {"msgtype": "m.text", "body": text}, by=room.speaker)

    def talk() -> None:
        begin = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            while time.monotonic() - begin < seconds and not over.is_set():
                pool.submit(say, heard.sent)
                heard.sent += 1
                over.wait(max(0.0, begin + heard.sent / HALF - time.monotonic()))

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _listening(url: str, heard: Heard) -> Iterator[None]:
    """One page that looks at what comes from Matrix."""
    page = ChatClient(url)
    page.open()
    seen = len(page.messages)

    def listen() -> None:
        nonlocal seen
        while True:
            try:
                page.receive(PATIENCE)
            except (ConnectionClosed, TimeoutError, OSError):
                return
            for message in page.messages[seen:]:
                heard.take(message["text"])
            seen = len(page.messages)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield
    finally:
        page.close()
        thread.join()


if __name__ == "__main__":
    main()
