"""The whole server between pages and a real Synapse, either of which is killed in the middle of 200 messages."""

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.chat_client import ChatClient, chat_url, guest
from tests.support.program import Program, wait_for
from tests.support.synapse import Person, Synapse

MANY = 200
PATIENCE = 240.0
SETTINGS = {
    "GHOSTLIVE_CHAT__BURST": "0",
    "GHOSTLIVE_CHAT__ADDRESS_BURST": "0",
    "GHOSTLIVE_CHAT__GUESTS_PER_ADDRESS": "0",
    "GHOSTLIVE_TRANSCODE__ENABLED": "false",
    "GHOSTLIVE_RTMP__ENABLED": "false",
    "GHOSTLIVE_WEBRTC__ENABLED": "false",
}


@pytest.fixture(scope="module")
def program(synapse: Synapse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The server, at the port to which the homeserver sends."""
    data = tmp_path_factory.mktemp("bridge")
    program = Program(data, {**synapse.environment(), **SETTINGS}, http_port=synapse.as_port)
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
        self.name = name
        self.synapse = synapse
        self.here: list[ChatClient] = []
        """Pages that stay open: they say so while the room is waited for, else the server takes them for gone."""
        self.url = chat_url(program.url, name)
        self.reader: Person = synapse.person()
        self.room = str(wait_for("the room", self._join, PATIENCE))

    def _join(self) -> str | None:
        try:
            return self.synapse.join(self.reader, f"#live_{self.name}:{self.synapse.server_name}")
        except Exception:  # it is not there yet
            return None

    def said(self) -> list[dict[str, Any]]:
        """Everything that was said in the room, in its order."""
        events = self.synapse.timeline(self.reader, self.room)
        return [event for event in events if event["type"] == "m.room.message"]

    def bodies(self) -> list[str]:
        """The words of it; what the bot says for somebody begins with their name."""
        found = []
        for event in self.said():
            body = event["content"]["body"]
            profile = event["content"].get("com.beeper.per_message_profile")
            found.append(body if profile is None else body.removeprefix(f"{profile['displayname']}: "))
        return found

    def introduce(self, page: ChatClient) -> None:
        """Say hello until it is one's own ghost who says it: the bot speaks for who has none within a second."""
        bot = f"@_ghostlive:{self.synapse.server_name}"
        for number in range(30):
            before = len(self.said())
            page.post("hello", f"hello-{number}")
            self.wait_for(before + 1)
            if self.said()[-1]["sender"] != bot:
                return
        raise AssertionError("the bot speaks for everybody")

    def wait_for(self, count: int) -> None:
        """Until so many messages are in the room. Not asked too often: reading them is work for the homeserver."""
        end = time.monotonic() + PATIENCE
        while len(self.said()) < count:
            assert time.monotonic() < end, f"waited in vain for {count} messages"
            for page in self.here:
                page.send(type="ping")
            time.sleep(0.2 if count < 10 else 1.0)


def test_page_and_room_are_one_conversation(program: Program, synapse: Synapse) -> None:
    stream = Stream(program, synapse, "both-ways")
    with guest(stream.url, "Ada") as ada, guest(stream.url, "Bob") as bob:
        stream.here = [ada, bob]
        stream.introduce(ada)
        stream.introduce(bob)
        known = len(stream.said())
        first = ada.post("question", "a1")
        bob.post("answer", "b1", reply=first)
        stream.wait_for(known + 2)
        question, answer = stream.said()[known:]
        assert [question["content"]["body"], answer["content"]["body"]] == ["question", "answer"]
        assert answer["content"]["m.relates_to"]["m.in_reply_to"] == {"event_id": question["event_id"]}
        assert question["sender"] != answer["sender"]
        synapse.say(stream.reader, stream.room, "from outside")
        ada.wait(lambda: ada.texts[known:] == ["question", "answer", "from outside"], "the message from the room")
        ada.post("to outside", "a2")
        stream.wait_for(known + 4)
    assert stream.bodies()[known:] == ["question", "answer", "from outside", "to outside"]


def test_a_homeserver_that_is_killed_in_the_middle_of_200_messages_gets_all_of_them_once(
    program: Program, synapse: Synapse
) -> None:
    stream = Stream(program, synapse, "killed-homeserver")
    with guest(stream.url, "Ada") as ada, guest(stream.url, "Bob") as bob:
        stream.here = [ada, bob]
        for number in range(MANY):
            (ada if number % 3 else bob).post(f"message {number}", f"t{number}")
            if number == MANY // 2:
                stream.wait_for(1)
                synapse.kill()  # with some sent, one on its way, and the rest still to come
        synapse.start()
        stream.wait_for(MANY)
    assert stream.bodies() == [f"message {number}" for number in range(MANY)]


def test_a_server_that_is_killed_in_the_middle_loses_and_doubles_nothing_in_the_room(
    program: Program, synapse: Synapse
) -> None:
    stream = Stream(program, synapse, "killed-server")
    acknowledged = [f"message {number}" for number in range(MANY // 2)]
    with ChatClient(stream.url) as ada:
        ada.join("Ada")
        for number, text in enumerate(acknowledged):
            ada.send(type="post", txn=f"t{number}", text=text)
        # They are stored together in a moment, and sent one by one.
        ada.wait(lambda: len(ada.acks) == len(acknowledged), "all acknowledgements")
        stream.wait_for(2)
        program.stop(signal.SIGKILL)
        program.start()
        ada.open()
        ada.post("the last one", "last")
    stream.wait_for(MANY // 2 + 1)
    assert stream.bodies() == [*acknowledged, "the last one"]


def test_nothing_stands_in_the_logs_that_went_wrong(program: Program) -> None:
    assert "Traceback" not in program.log
