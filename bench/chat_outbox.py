"""Chat outbox: how fast a room catches up when its homeserver was away for 10,000 messages, and whether all is there.

The homeserver is killed, guests say as much on the page as they may, and it is started again. What is in the room
afterwards is read back (by matrix-nio where that is installed) and compared with what was acknowledged: the same, in
the same order, once each. The peer is the homeserver's own pace: one ghost that has joined sends messages over one
connection, each when the one before was answered, with nothing else to do. A homeserver keeps no order of what comes
at the same time, so who wants one cannot be faster.
"""

import argparse
import asyncio
import importlib.util
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from tests.support.chat_client import ChatClient, chat_url
from tests.support.program import Program, get, wait_for
from tests.support.synapse import Person, Synapse, running_synapse

from bench.chat_fanout import LIMITS
from bench.harness import LOAD_CORE, SERVER_CORE, Report, Row, cpu_seconds, in_memory, pid_of, pinned, ratio

WRITERS = 40
AT_ONCE = 100
"""Messages of one writer that are on their way."""
AIM = 0.7
"""Share of the homeserver's own pace."""
PEER_MESSAGES = 1000
PATIENCE = 3600.0
SETTINGS = {
    **LIMITS,
    "GHOSTLIVE_LOG__LEVEL": "warning",
    "GHOSTLIVE_TRANSCODE__ENABLED": "false",
    "GHOSTLIVE_WEBRTC__ENABLED": "false",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--messages", type=int, default=10_000, help="said during the outage (default %(default)d)")
    options = parser.parse_args()
    with in_memory() as folder, pinned(LOAD_CORE), running_synapse(folder / "synapse") as synapse:
        program = Program(folder / "data", {**synapse.environment(), **SETTINGS}, http_port=synapse.as_port)
        try:
            with pinned(SERVER_CORE):
                program.start()
            _measure(program, synapse, options.messages)
        except BaseException:
            print(program.log[-4000:])
            raise
        finally:
            if program.process is not None:
                program.process.kill()
                program.process.wait()


def _measure(program: Program, synapse: Synapse, messages: int) -> None:
    program.add_stream("bench")
    reader = synapse.person()
    room = str(wait_for("the room", _until(lambda: synapse.join(reader, f"#live_bench:{synapse.server_name}")), 60))
    synapse.kill()
    began = time.perf_counter()
    _talk(chat_url(program.url, "bench"), messages)
    talked = time.perf_counter() - began
    cpu = cpu_seconds(pid_of(program))
    synapse.start()
    began = time.perf_counter()
    wait_for("the room to catch up", lambda: _figure(program, "matrix_sent") >= messages, PATIENCE)
    seconds = time.perf_counter() - began
    cpu = cpu_seconds(pid_of(program)) - cpu
    found, how = _read_back(synapse, reader, room)
    acknowledged = _stored(program.data)
    own = _own_pace(synapse)

    report = Report(f"Chat outbox: {messages} messages after an outage", "the homeserver alone")
    rate = messages / seconds
    report.add(
        Row("messages a second", f"{rate:.1f}", f"{own:.1f}", ratio(rate, own), f"≥ {AIM:g} ×", rate >= AIM * own)
    )
    report.add(Row("  caught up after", f"{seconds:.0f} s"))
    report.add(Row("  CPU of this server", f"{cpu / messages * 1000:.2f} ms a message"))
    whole = found == acknowledged and len(found) == messages
    report.add(Row("all there, in order, once", "yes" if whole else f"no: {len(found)} of {messages}", met=whole))
    report.notes.append(f"said in {talked:.0f} s by {WRITERS} guests while the homeserver was away; read back {how}")
    relayed, joins = (_figure(program, f"matrix_{name}") for name in ("relayed", "joins"))
    report.notes.append(
        f"{joins:.0f} ghosts joined meanwhile; the bot said {relayed:.0f} messages for those who had not yet"
    )
    report.show()


def _until(attempt: Callable[[], Any]) -> Callable[[], Any]:
    def again() -> Any:
        try:
            return attempt()
        except httpx.HTTPStatusError:
            return None

    return again


def _talk(url: str, messages: int) -> None:
    """All of them say something until there are so many."""
    clients = [ChatClient(url) for _ in range(WRITERS)]
    for number, client in enumerate(clients):
        client.open()
        client.join(f"guest {number}")
    said = 0
    while said < messages:
        for client in clients:
            some = range(said, min(messages, said + AT_ONCE))
            for number in some:
                client.send(type="post", txn=f"t{number}", text=f"message {number}")
            said += len(some)
            if some:
                client.wait(lambda client=client, some=some: f"t{some[-1]}" in client.acks, "the acknowledgement")  # type: ignore[misc]
    for client in clients:
        client.close()


def _stored(data: Path) -> list[str]:
    """What the server acknowledged, in its order."""
    with sqlite3.connect(f"file:{data / 'ghostlive.db'}?mode=ro", uri=True) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM chat_messages ORDER BY id")]


def _figure(program: Program, name: str) -> float:
    for line in get(f"{program.url}/metrics").text.splitlines():
        if line.startswith((f"ghostlive_{name} ", f"ghostlive_{name}_total ")):
            return float(line.rpartition(" ")[2])
    return 0.0


def _read_back(synapse: Synapse, reader: Person, room: str) -> tuple[list[str], str]:
    """What people in the room read, oldest first; and how it was read."""
    if importlib.util.find_spec("nio") is not None:
        return asyncio.run(_with_nio(synapse, reader, room)), "by matrix-nio"
    events = [event for event in synapse.timeline(reader, room) if event["type"] == "m.room.message"]
    return [_words(event["content"]) for event in events], "without a library (matrix-nio is not installed)"


async def _with_nio(synapse: Synapse, reader: Person, room: str) -> list[str]:
    from nio import AsyncClient, MessageDirection, RoomMessagesResponse  # noqa: PLC0415 - nobody else needs it

    client = AsyncClient(synapse.url, reader.mxid)
    client.access_token = reader.token
    found: list[str] = []
    start = ""
    try:
        while True:
            page = await client.room_messages(room, start, direction=MessageDirection.front, limit=500)
            assert isinstance(page, RoomMessagesResponse), page
            found += [
                _words(event.source["content"]) for event in page.chunk if event.source["type"] == "m.room.message"
            ]
            if page.end is None:
                return found
            start = page.end
    finally:
        await client.close()


def _words(content: dict[str, Any]) -> str:
    profile = content.get("com.beeper.per_message_profile")
    body = str(content["body"])
    return body if profile is None else body.removeprefix(f"{profile['displayname']}: ")


def _own_pace(synapse: Synapse) -> float:
    """Messages a second that it takes from somebody who does nothing else."""
    headers = {"authorization": f"Bearer {synapse.registration.as_token}"}
    ghost = f"@_ghostlive_bench:{synapse.server_name}"
    with httpx.Client(base_url=synapse.url, headers=headers, timeout=60.0) as client:
        body = {"type": "m.login.application_service", "username": "_ghostlive_bench", "inhibit_login": True}
        client.post("/_matrix/client/v3/register", json=body)
        as_ghost = {"user_id": ghost}
        made = client.post("/_matrix/client/v3/createRoom", json={"preset": "public_chat"}, params=as_ghost)
        room = quote(made.raise_for_status().json()["room_id"])
        began = time.perf_counter()
        for number in range(PEER_MESSAGES):
            path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/t{number}"
            content = {"msgtype": "m.text", "body": f"message {number}"}
            client.put(path, json=content, params=as_ghost).raise_for_status()
        return PEER_MESSAGES / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
