"""Many guests who all talk at once, and a room of many members, with a real Synapse."""

import re
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.support.between import Way, between
from tests.support.chat_client import ChatClient, guest
from tests.support.matrix_house import CHAT_ALONE, PATIENCE, UNLIMITED, Stream, bot_of
from tests.support.program import Program, wait_for
from tests.support.synapse import Person, Synapse

LONG = 3600.0
MEMBERS = 10_000
ACCOUNT = {"name": "olga", "password": "correct horse battery staple"}
SETTINGS = {
    **CHAT_ALONE,
    **UNLIMITED,
    "GHOSTLIVE_HTTP__CONNECTIONS": "4000",
    "GHOSTLIVE_HTTP__CONNECTIONS_PER_ADDRESS": "0",
    "GHOSTLIVE_CHAT__CONNECTIONS_PER_ADDRESS": "0",
    # Who has all guests come and speak first reads what the first of them were sent only then.
    "GHOSTLIVE_HTTP__STALL_TIMEOUT": "600",
}
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


def spoken(stream: Stream) -> list[tuple[str, str, bool]]:
    """By whom, what, and whether the bot said it for them."""
    found = []
    for event in stream.said():
        body: str = event["content"]["body"]
        profile = event["content"].get("com.beeper.per_message_profile")
        if profile is None:
            found.append((event["sender"], body, False))
        else:
            assert event["sender"] == bot_of(stream.synapse)
            name: str = profile["displayname"]
            found.append((name, body.removeprefix(f"{name}: "), True))
    return found


def names(stream: Stream) -> dict[str, str]:
    """Under which names people are in the room, by Matrix ID."""
    path = f"/_matrix/client/v3/rooms/{quote(stream.room)}/joined_members"
    joined: dict[str, Any] = stream.synapse.call("GET", path, by=stream.reader)["joined"]
    return {mxid: str(member.get("display_name")) for mxid, member in joined.items()}


def members(stream: Stream) -> set[str]:
    """The local parts of who is in the room."""
    return {mxid[1:].partition(":")[0] for mxid in names(stream)}


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
    assert stream.wait_for(guests, patience=patience) == texts
    said, called = spoken(stream), names(stream)
    for (speaker, _, by_bot), number in zip(said, order, strict=True):
        assert (speaker if by_bot else called[speaker]) == f"Guest {number}"
    return sum(by_bot for _, _, by_bot in said)


def test_sixty_guests_who_talk_at_once_are_all_heard_in_their_order(program: Program, synapse: Synapse) -> None:
    flood(Stream(program, synapse, "sixty"), 60, PATIENCE)


@pytest.mark.campaign
@pytest.mark.limit(LONG)
def test_a_thousand_guests_who_talk_at_once_are_all_heard_in_their_order(program: Program, synapse: Synapse) -> None:
    by_bot = flood(Stream(program, synapse, "thousand"), 1000, LONG)
    assert by_bot > 500, "joins have held back what was said"


def post(page: ChatClient, what: str) -> list[float]:
    """Two messages of a guest; seconds until they were on the page."""
    took = []
    for number in range(2):
        began = time.monotonic()
        page.post(f"page {what} {number}", f"{what}-{number}")
        took.append(time.monotonic() - began)
    return took


def stay(*pages: ChatClient) -> None:
    """Say that one is there, as pages do twice a minute."""
    for page in pages:
        page.send(type="ping")
        page.until_any("pong")
    time.sleep(1.0)


def talk(stream: Stream, people: Sequence[Person], page: ChatClient, what: str) -> list[float]:
    """A conversation from both sides, each message waited for; seconds until the guest's were on the page."""
    took = []
    said_before, shown_before = len(stream.said()), len(page.shown)
    for number in range(10):
        began = time.monotonic()
        page.post(f"page {what} {number}", f"{what}-{number}")
        took.append(time.monotonic() - began)
        for person in people:
            stream.synapse.say(person, stream.room, f"room {what} {number}")
        expected = shown_before + (number + 1) * (1 + len(people))
        while len(page.shown) < expected:
            page.receive(PATIENCE)
    stream.wait_for(said_before + 10 * (1 + len(people)))
    return took


def memory(program: Program) -> int:
    """Megabytes that the program has."""
    assert program.process is not None
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{program.process.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) // 1024


def tell(capsys: pytest.CaptureFixture[str], what: str) -> None:
    with capsys.disabled():
        print(f"\n    {what}", end="", flush=True)


@pytest.mark.campaign
@pytest.mark.limit(LONG)
def test_a_room_of_ten_thousand_members_costs_no_more_for_each_message(
    program: Program, synapse: Synapse, there: Way, capsys: pytest.CaptureFixture[str]
) -> None:
    few, many = Stream(program, synapse, "few"), Stream(program, synapse, "many")
    people = [synapse.person() for _ in range(3)]
    for person in people:
        synapse.join(person, few.room)
        synapse.join(person, many.room)
    crowd = [f"member{number}" for number in range(MEMBERS)]
    with ExitStack() as stack:
        quiet, busy = (stack.enter_context(guest(stream.url, "Ann")) for stream in (few, many))
        for stream, page in ((few, quiet), (many, busy)):
            talk(stream, people, page, "warm")
        before, worked = memory(program), program.worked()
        # -- while they join, everybody goes on
        began, rounds = time.monotonic(), list[float]()
        with ThreadPoolExecutor(1) as pool:
            for at in range(0, MEMBERS, 500):
                joining = pool.submit(synapse.gather, many.room, crowd[at : at + 500])
                rounds += post(busy, f"joining-{at}")
                while not joining.done():
                    stay(busy, quiet)
                joining.result()
                synapse.say(people[0], many.room, f"room joining {at}")
        shown = {f"room joining {at}" for at in range(0, MEMBERS, 500)}
        while not shown <= {message["text"] for message in busy.messages}:
            stay(busy, quiet)
        wait_for("all of it in the room", lambda: len(many.said()) == 40 + 3 * MEMBERS // 500, PATIENCE)
        tell(capsys, f"{MEMBERS} joined in {time.monotonic() - began:.0f} s, {program.worked() - worked:.1f} s of ours")
        tell(capsys, f"posting meanwhile: {1000 * median(rounds):.0f} ms, at worst {1000 * max(rounds):.0f} ms")
        # What came of them has reached us when what was said after them has.
        there.answered.clear()
        asked: dict[str, list[str]] = {}
        spent: dict[str, float] = {}
        posting: dict[str, list[float]] = {"few": [], "many": []}
        for turn in range(3):
            for name, stream, page in (("few", few, quiet), ("many", many, busy)):
                stay(quiet, busy)
                worked = program.worked()
                posting[name] += talk(stream, people, page, f"{name}-{turn}")
                spent[name] = spent.get(name, 0.0) + program.worked() - worked
                asked[name] = [path.partition("?")[0] for path in there.answered if STATE.search(path)]
                there.answered.clear()
                # Who was never seen before may be asked for, one by one; nobody reads the members, or all of the state.
                assert len(asked[name]) <= 3, asked
                assert all("/state/m.room.member/" in path for path in asked[name]), asked
        tell(
            capsys, f"posting: {1000 * median(posting['few']):.1f} ms with few, {1000 * median(posting['many']):.1f} ms"
        )
        tell(capsys, f"of ours for 120 messages: {spent['few']:.2f} s with few, {spent['many']:.2f} s")
        assert spent["many"] < 2 * spent["few"] + 0.5
        assert median(posting["many"]) < 3 * median(posting["few"]) + 0.02
        tell(capsys, f"memory: {before} MB, then {memory(program)} MB")
        assert memory(program) < 1.3 * before
        # -- one of them is banned, by hand and by a list that names one more
        owner = stack.enter_context(httpx.Client(base_url=program.url, timeout=PATIENCE))
        link = re.search(r"/setup#(\S+)", program.log)
        assert link is not None
        owner.post("/api/v1/setup", json={"token": link[1], **ACCOUNT}).raise_for_status()
        ban = {"matrix": f"@member1:{synapse.server_name}"}
        owner.post("/api/v1/streams/many/chat/bans", json=ban).raise_for_status()
        wait_for("the ban", lambda: "member1" not in members(many), PATIENCE)
        body = {"preset": "public_chat", "room_alias_name": "crowdlist"}
        bans = synapse.call("POST", "/_matrix/client/v3/createRoom", body, by=people[0])["room_id"]
        rule = {"entity": f"@member2:{synapse.server_name}", "recommendation": "m.ban", "reason": "spam"}
        path = f"/_matrix/client/v3/rooms/{quote(bans)}/state/m.policy.rule.user/1"
        synapse.call("PUT", path, rule, by=people[0])
        began = time.monotonic()
        lists = {"rooms": [f"#crowdlist:{synapse.server_name}"]}
        owner.put("/api/v1/streams/many/chat/policies", json=lists).raise_for_status()
        wait_for("the ban by the list", lambda: "member2" not in members(many), PATIENCE)
        tell(capsys, f"a list reached them in {time.monotonic() - began:.1f} s, memory {memory(program)} MB")
        assert memory(program) < 1.6 * before, "a look at all members is one answer of the homeserver, and then gone"
    # -- after a start, the room is looked after and its ghosts are known, without reading who is in it page by page
    program.stop()
    there.answered.clear()
    began = time.monotonic()
    program.start()
    with guest(many.url, "Dan") as page:
        page.post("after the start", "start")
        wait_for("it in the room", lambda: "after the start" in many.bodies()[-10:], PATIENCE)
        tell(capsys, f"from a start to a guest's message in the room: {time.monotonic() - began:.1f} s")
        tell(capsys, f"memory after it: {memory(program)} MB")
    # Who is banned is asked for, room by room; who is in a room, where a list counts: once each.
    listed = [path for path in there.answered if re.search(r"/(members|joined_members)", path)]
    whole = [path for path in there.answered if re.search(r"/rooms/[^/]+/state(\?|$)", path)]
    assert len([path for path in listed if not path.endswith("membership=ban")]) <= 3 + 2, listed
    assert len(whole) <= 4 + 1, whole  # and that of the list
    # -- the stream is gone: our guests' ghosts leave, and nobody else is touched
    with httpx.Client(base_url=program.url, timeout=PATIENCE) as owner:
        owner.post("/api/v1/session", json=ACCOUNT).raise_for_status()
        owner.delete("/api/v1/streams/many").raise_for_status()

    def ghosts() -> list[str]:
        return [name for name in members(many) if name.startswith("_ghostlive_")]

    wait_for("the ghosts to leave", lambda: not ghosts(), PATIENCE)
    assert len(members(many)) >= MEMBERS - 2
