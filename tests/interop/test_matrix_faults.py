"""The whole server and a real Synapse, with trouble between them: slow, broken, repeated, locked, of another time."""

import re
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.between import Forward, Request, Way, between
from tests.support.chat_client import ChatClient, guest
from tests.support.matrix_house import CHAT_ALONE, PATIENCE, UNLIMITED, Stream
from tests.support.program import Program, free_port, wait_for
from tests.support.synapse import Synapse
from tests.support.wrong_clock import WrongClock

SEND = re.compile(r"/send/m\.room\.message/")
TRANSACTION = re.compile(r"/transactions/")


@dataclass
class House:
    """Everything."""

    synapse: Synapse
    program: Program
    there: Way
    """On the way to the homeserver."""
    back: Way
    """On the way of its transactions to us."""


@pytest.fixture(scope="module")
def house(synapse: Synapse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The server; nothing it and the homeserver say to each other goes past what is between them."""
    port = free_port()
    with between(synapse.url) as there, between(f"http://127.0.0.1:{port}", synapse.as_port) as back:
        environment = {
            **synapse.environment(),
            **CHAT_ALONE,
            **UNLIMITED,
            "GHOSTLIVE_MATRIX__HOMESERVER_URL": there.url,
        }
        program = Program(tmp_path_factory.mktemp("faults"), environment, http_port=port)
        program.start()
        try:
            yield House(synapse, program, there, back)
        finally:
            if program.process is not None and program.process.poll() is None:
                program.stop(signal.SIGKILL)


def post(page: ChatClient, texts: Sequence[str]) -> None:
    """Say all of it without waiting in between."""
    for text in texts:
        page.send(type="post", txn=text.replace(" ", "-"), text=text)


def acknowledged(page: ChatClient, texts: Sequence[str]) -> None:
    """Wait until all of it is stored and shown."""
    page.wait(lambda: all(text.replace(" ", "-") in page.acks for text in texts), "all acknowledgements")
    page.wait(lambda: set(page.acks.values()) <= set(page.shown), "the messages on the page")


def numbered(what: str, count: int) -> list[str]:
    return [f"{what} {number}" for number in range(count)]


def test_a_homeserver_that_takes_five_seconds_for_each_answer_is_waited_for_by_nobody(house: House) -> None:
    stream = Stream(house.program, house.synapse, "slow")
    texts = numbered("slow", 20)
    house.there.answered.clear()
    house.there.delay = 5.0
    try:
        with guest(stream.url, "Ada") as ada, guest(stream.url, "Bob") as bob:
            for text in texts:
                post(ada, [text])
                acknowledged(ada, [text])
            bob.wait(lambda: bob.texts == texts, "all messages on another page")
            # In that time the homeserver would have answered to all of them only if each had waited for it.
            assert len([path for path in house.there.answered if SEND.search(path)]) < len(texts)
            stream.wait_for(1)
            ada.send(type="ping")  # as pages do, so that their sockets stay
            house.there.heal()
            assert stream.wait_for(len(texts)) == texts
            post(ada, ["fast again"])
            assert stream.wait_for(len(texts) + 1) == [*texts, "fast again"]
    finally:
        house.there.heal()


def test_errors_and_broken_connections_lose_and_double_nothing(house: House) -> None:
    stream = Stream(house.program, house.synapse, "broken")
    texts = numbered("broken", 24)
    house.there.path = SEND
    try:
        with guest(stream.url, "Ada") as ada:
            house.there.answers, house.there.cuts = [502, 504], 2
            post(ada, texts[:12])
            acknowledged(ada, texts[:12])
            stream.wait_for(4)
            house.there.answers, house.there.cuts = [503], 1
            post(ada, texts[12:])
            acknowledged(ada, texts[12:])
            assert stream.wait_for(len(texts)) == texts
        assert house.there.answers == []
        assert house.there.cuts == 0
    finally:
        house.there.heal()
        house.there.path = re.compile("")


def test_transactions_that_come_again_and_in_another_order_are_shown_once(house: House) -> None:
    stream = Stream(house.program, house.synapse, "repeated")
    texts = numbered("again", 12)
    held = texts[::3]
    kept: list[Request] = []
    sent: list[bytes] = []

    def says(request: Request, text: str) -> bool:
        return f'"{text}"'.encode() in request.data

    async def also(request: Request, forward: Forward) -> bytes:
        """Each at once and once more; of every three, the first comes after the second."""
        first_time = request.data not in sent
        sent.append(request.data)
        if first_time and any(says(request, text) for text in held):
            kept.append(request)
            return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        answer = await forward(request)
        before = kept.copy() if any(says(request, text) for text in texts) else []
        for one in [*before, *before, request]:
            again = await forward(one)
            assert again.startswith(b"HTTP/1.1 200"), again
            if one in kept:
                kept.remove(one)
        return answer

    house.back.path, house.back.also = TRANSACTION, also
    try:
        with guest(stream.url, "Ada") as ada:
            for text in texts:
                stream.synapse.say(stream.reader, stream.room, text)
                quoted = f'"{text}"'.encode()
                wait_for("its transaction", lambda quoted=quoted: any(quoted in data for data in sent), PATIENCE)
            ada.wait(lambda: len(ada.shown) >= len(texts), "all messages")
            house.back.heal()
            stream.synapse.say(stream.reader, stream.room, "in order")
            ada.wait(lambda: "in order" in ada.texts, "the last message")
            assert ada.texts[-1] == "in order"
            assert sorted(ada.texts) == sorted([*texts, "in order"])
            assert len(set(ada.shown)) == len(ada.shown)
        with ChatClient(stream.url) as late:
            assert sorted(late.texts) == sorted([*texts, "in order"])
    finally:
        house.back.heal()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Nobody else writes into that database meanwhile."""
    connection = sqlite3.connect(file, timeout=60, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def test_a_homeserver_whose_database_is_locked_gets_everything_once(house: House) -> None:
    stream = Stream(house.program, house.synapse, "their-lock")
    with guest(stream.url, "Ada") as ada:
        ada.post("before", "before")
        assert stream.wait_for(1) == ["before"]
        texts = numbered("locked", 20)
        asked = len(house.there.answered)
        with locked(house.synapse.identity.folder / "homeserver.db"):
            post(ada, texts)
            acknowledged(ada, texts)
            # It has given up at least once: its own patience has an end.
            wait_for("its answer", lambda: len(house.there.answered) > asked, PATIENCE)
        assert stream.wait_for(len(texts) + 1) == ["before", *texts]


def test_our_own_database_is_locked_and_nothing_is_said_that_is_not_stored(house: House) -> None:
    stream = Stream(house.program, house.synapse, "our-lock")
    with guest(stream.url, "Ada") as ada, guest(stream.url, "Bob") as bob:
        bob.post("before", "before")
        texts = numbered("stored", 10)
        with locked(house.program.data / "ghostlive.db"):
            post(ada, texts)
            ada.send(type="ping")
            ada.until("pong")  # the server has all of them, and is alive
            stream.synapse.say(stream.reader, stream.room, "from Matrix")
            assert not any(text.replace(" ", "-") in ada.acks for text in texts)
            assert ada.texts in ([], ["before"])
        acknowledged(ada, texts)
        everything = {"before", *texts, "from Matrix"}
        bob.wait(lambda: len(bob.shown) >= len(everything), "everything on the other page")
        assert set(bob.texts) == everything
        assert [text for text in bob.texts if text in texts] == texts
        said = stream.wait_for(len(everything))
        assert [text for text in said if text != "from Matrix"] == ["before", *texts]
        assert len(said) == len(everything)
    with ChatClient(stream.url) as late:
        assert len(late.texts) == len(everything)


def test_clocks_that_disagree_lose_nothing_and_nothing_is_of_tomorrow(house: House, tmp_path: Path) -> None:
    stream = Stream(house.program, house.synapse, "clocks")
    program = house.program
    usual: Any = program.environment
    clock = WrongClock(tmp_path / "clock")
    texts: list[str] = []
    try:
        for offset in (3600, -7200):  # first it is set to an hour later, then back by three
            program.stop()
            clock.set(offset)
            program.environment = {**usual, **clock.environment()}
            program.start()
            with guest(stream.url, f"Ada{offset}") as ada:
                ada.wait(lambda: ada.texts == texts, "what was said before")
                for number in range(3):
                    said, heard = f"page {offset} {number}", f"room {offset} {number}"
                    ada.post(said, said.replace(" ", "-"))
                    texts.append(said)
                    assert stream.wait_for(len(texts)) == texts
                    stream.synapse.say(stream.reader, stream.room, heard)
                    texts.append(heard)
                    ada.wait(lambda: ada.texts == texts, "the message from the room")
                theirs = [datetime.fromisoformat(message["at"]) for message in ada.messages[-6:]]
                ours = datetime.now(UTC) + timedelta(seconds=offset)
                assert all(at <= ours for at in theirs)
    finally:
        program.environment = usual
        if program.process is not None:
            program.stop()
        program.start()
    with ChatClient(stream.url) as late:
        assert late.texts == texts
    assert stream.bodies() == texts


def test_nothing_stands_in_the_log_that_went_wrong(house: House) -> None:
    unexpected = [line for line in house.program.log.splitlines() if "Traceback" in line]
    assert unexpected == []
