"""Many guests who all talk at once, and a room of many members, with a real Synapse."""

import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.between import Way, between
from tests.support.chat_client import ChatClient, chat_url, guest
from tests.support.program import Program, wait_for
from tests.support.synapse import Person, Synapse

PATIENCE = 240.0
LONG = 3600.0
MEMBERS = 1000
"""Each really joins, which is a tenth of a second of work for a homeserver that has nothing else to do."""
SETTINGS = {
    "GHOSTLIVE_HTTP__CONNECTIONS": "4000",
    "GHOSTLIVE_HTTP__CONNECTIONS_PER_ADDRESS": "0",
    "GHOSTLIVE_CHAT__CONNECTIONS_PER_ADDRESS": "0",
    "GHOSTLIVE_CHAT__GUESTS_PER_ADDRESS": "0",
    "GHOSTLIVE_CHAT__BURST": "0",
    "GHOSTLIVE_CHAT__ADDRESS_BURST": "0",
    "GHOSTLIVE_TRANSCODE__ENABLED": "false",
    "GHOSTLIVE_RTMP__ENABLED": "false",
    "GHOSTLIVE_WEBRTC__ENABLED": "false",
}
BOT = "@_ghostlive:chat.test"
STATE = re.compile(r"/rooms/[^/]+/(members|joined_members|state|messages)(/|\?|$)")
"""What is asked of a room's state or members, or of its past."""


@pytest.fixture(scope="module")
def there(synapse: Synapse) -> Iterator[Way]:
    """On the way to the homeserver; remembers what it was asked for."""
    with between(synapse.url) as way:
        yield way


@pytest.fixture(scope="module")
def program(synapse: Synapse, there: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The server, at the port to which the homeserver sends."""
    environment = {**synapse.environment(), **SETTINGS, "GHOSTLIVE_MATRIX__HOMESERVER_URL": there.url}
    program = Program(tmp_path_factory.mktemp("flood"), environment, http_port=synapse.as_port)
    program.start()
    try:
        yield program
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop(signal.SIGKILL)


class Stream:
    """One stream, its page and its room."""

    def __init__(self, program: Program, synapse: Synapse, name: str) -> None:
        program.add_stream(name)
        self.synapse = synapse
        self.url = chat_url(program.url, name)
        self.reader: Person = synapse.person()
        self.room = str(wait_for("the room", lambda: self._join(name), PATIENCE))

    def _join(self, name: str) -> str | None:
        try:
            return self.synapse.join(self.reader, f"#live_{name}:{self.synapse.server_name}")
        except Exception:  # it is not there yet
            return None

    def said(self) -> list[tuple[str, str, bool]]:
        """By whom, what, and whether the bot said it for them."""
        found = []
        for event in self.synapse.timeline(self.reader, self.room):
            if event["type"] != "m.room.message":
                continue
            body: str = event["content"]["body"]
            profile = event["content"].get("com.beeper.per_message_profile")
            if profile is None:
                found.append((event["sender"], body, False))
            else:
                assert event["sender"] == BOT
                name: str = profile["displayname"]
                found.append((name, body.removeprefix(f"{name}: "), True))
        return found

    def wait_for(self, count: int, patience: float) -> list[tuple[str, str, bool]]:
        end = time.monotonic() + patience
        while len(said := self.said()) < count:
            assert time.monotonic() < end, f"waited in vain for {count} messages, there are {len(said)}"
            time.sleep(1.0)
        return said

    def names(self) -> dict[str, str]:
        """Under which names ghosts are in the room, by Matrix ID."""
        path = f"/_matrix/client/v3/rooms/{quote(self.room)}/joined_members"
        joined: dict[str, Any] = self.synapse.call("GET", path, by=self.reader)["joined"]
        return {mxid: str(member.get("display_name")) for mxid, member in joined.items()}


def flood(stream: Stream, guests: int, patience: float) -> int:
    """So many guests join the page and all say something at once; how many the bot had to speak for."""
    with ExitStack() as stack:
        # Who watches only counts; what everybody sees is proven by the benchmark of the fan-out.
        watcher = stack.enter_context(ChatClient(stream.url))
        pages = [stack.enter_context(guest(stream.url, f"Guest {number}")) for number in range(guests)]
        for number, page in enumerate(pages):
            page.send(type="post", txn="first", text=f"hello from {number}")
        end = time.monotonic() + patience
        for page in pages:  # each gets what all say, which is much for one process to read
            while "first" not in page.acks:
                page.receive(end - time.monotonic())
        while len(watcher.shown) < guests:
            watcher.receive(end - time.monotonic())
        order = [number for _, number in sorted((page.acks["first"], number) for number, page in enumerate(pages))]
    texts = [f"hello from {number}" for number in order]
    assert watcher.texts == texts
    said = stream.wait_for(guests, patience)
    assert [text for _, text, _ in said] == texts
    names = stream.names()
    for (speaker, _, by_bot), number in zip(said, order, strict=True):
        assert (speaker if by_bot else names[speaker]) == f"Guest {number}"
    return sum(by_bot for _, _, by_bot in said)


def test_sixty_guests_who_talk_at_once_are_all_heard_in_their_order(program: Program, synapse: Synapse) -> None:
    flood(Stream(program, synapse, "sixty"), 60, PATIENCE)


@pytest.mark.campaign
@pytest.mark.limit(LONG)
def test_a_thousand_guests_who_talk_at_once_are_all_heard_in_their_order(program: Program, synapse: Synapse) -> None:
    by_bot = flood(Stream(program, synapse, "thousand"), 1000, LONG)
    assert by_bot > 500, "joins have held back what was said"


def populate(stream: Stream, members: int) -> None:
    """Let people join who are no guests of ours."""

    def join(number: int) -> None:
        mxid = f"@_ghostlive_member{number}:{stream.synapse.server_name}"
        body = {"type": "m.login.application_service", "username": mxid[1:].partition(":")[0], "inhibit_login": True}
        stream.synapse.call("POST", "/_matrix/client/v3/register", body, ghost=BOT)
        stream.synapse.call("POST", f"/_matrix/client/v3/join/{quote(stream.room)}", {}, ghost=mxid)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(join, range(members)))


@pytest.mark.campaign
@pytest.mark.limit(LONG)
def test_a_room_of_a_thousand_members_costs_no_more_for_each_message(
    program: Program, synapse: Synapse, there: Way
) -> None:
    few, many = Stream(program, synapse, "few"), Stream(program, synapse, "many")
    populate(many, MEMBERS)

    def talk(stream: Stream, name: str) -> list[str]:
        """A conversation from both sides; what the homeserver was asked for because of it."""
        people = [synapse.person() for _ in range(3)]
        for person in people:
            synapse.join(person, stream.room)
        said_before = len(stream.said())
        with guest(stream.url, name) as page:
            shown_before = len(page.shown)
            page.post("warm", "warm")
            stream.wait_for(said_before + 1, PATIENCE)
            there.answered.clear()
            for number in range(10):
                page.post(f"page {number}", f"t{number}")
                for person in people:
                    synapse.say(person, stream.room, f"room {number}")
            page.wait_shown(shown_before + 1 + 40)
            stream.wait_for(said_before + 1 + 40, PATIENCE)
            return [path.partition("?")[0].rpartition("/rooms/")[2] for path in there.answered if STATE.search(path)]

    def memory() -> int:
        assert program.process is not None
        found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{program.process.pid}/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    talk(few, "Ann")
    before = memory()
    asked_few, asked_many = talk(few, "Bob"), talk(many, "Cem")
    # Who was never seen before may be asked for, one by one; nobody reads the members, or all of the state.
    for asked in (asked_few, asked_many):
        assert len(asked) <= 3, asked
        assert all("/state/m.room.member/" in path for path in asked), asked
    assert memory() - before < 20_000, "kilobytes"
    # After a start, the room is looked after and its ghosts are known, without reading who is in it page by page.
    program.stop()
    there.answered.clear()
    program.start()
    with guest(many.url, "Dan") as page:
        page.post("after the start", "start")
        many.wait_for(1 + 40 + 1, PATIENCE)
    # Who is banned is asked for, room by room: lists may have ended what they did.
    members = [
        path
        for path in there.answered
        if re.search(r"/(members|joined_members)", path) and not path.endswith("membership=ban")
    ]
    whole = [path for path in there.answered if re.search(r"/rooms/[^/]+/state(\?|$)", path)]
    assert len(members) <= 2, members
    assert len(whole) <= 4, whole
