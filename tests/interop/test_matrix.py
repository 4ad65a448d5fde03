"""People in Matrix clients and on pages, with all of the server between them: moderation and pictures both ways."""

import struct
import zlib
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from tests.support.chat_client import ChatClient, chat_url, guest
from tests.support.program import Program, get, wait_for
from tests.support.synapse import START_WITHIN, Person, Synapse
from websockets.exceptions import ConnectionClosedError

BOT = "@_ghostlive:chat.test"


def png() -> bytes:
    """A picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")), chunk(b"IEND", b""))
    )


@pytest.fixture(scope="module")
def program(synapse: Synapse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server whose homeserver is `synapse`."""
    settings = {"GHOSTLIVE_TRANSCODE__ENABLED": "false", "GHOSTLIVE_WEBRTC__ENABLED": "false"}
    program = Program(
        tmp_path_factory.mktemp("matrix"), {**synapse.environment(), **settings}, http_port=synapse.as_port
    )
    try:
        program.start()
        yield program
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop()


class Chat:
    """A stream's chat on both sides."""

    def __init__(self, program: Program, synapse: Synapse, name: str) -> None:
        self.program, self.synapse = program, synapse
        program.add_stream(name)
        self.url = chat_url(program.url, name)
        self.room = str(wait_for("the room", lambda: _room(synapse, f"#live_{name}:chat.test"), START_WITHIN))

    def person(self) -> Person:
        """Somebody with a Matrix client, in the room."""
        person = self.synapse.person()
        self.synapse.join(person, self.room)
        return person

    def moderator(self) -> Person:
        """Somebody whose Matrix client may ban and take away."""
        person = self.person()
        path = f"/_matrix/client/v3/rooms/{quote(self.room)}/state/m.room.power_levels/"
        levels = self.synapse.call("GET", path, ghost=BOT)
        levels["users"][person.mxid] = 50
        self.synapse.call("PUT", path, levels, ghost=BOT)
        return person

    def event(self, person: Person, text: str) -> dict[str, object] | None:
        """The message with that text, in the room."""
        for event in self.synapse.timeline(person, self.room):
            if event["type"] == "m.room.message" and event["content"].get("body") == text:
                return event
        return None

    def act(self, person: Person, act: str, **body: str) -> None:
        self.synapse.call("POST", f"/_matrix/client/v3/rooms/{quote(self.room)}/{act}", body, by=person)


def _room(synapse: Synapse, alias: str) -> str | None:
    try:
        return synapse.room(alias)
    except Exception:  # not there yet
        return None


def test_a_ban_in_a_matrix_client_holds_on_the_page(program: Program, synapse: Synapse) -> None:
    chat = Chat(program, synapse, "banned")
    ann = chat.moderator()
    with guest(chat.url, "troll") as page:
        page.post("nonsense", "1")
        event = wait_for("the message in the room", lambda: chat.event(ann, "nonsense"))
        chat.act(ann, "ban", user_id=str(event["sender"]), reason="spam")
        code, _ = page.closed()
        assert code == 4003
    with pytest.raises(ConnectionClosedError) as refused:
        ChatClient(chat.url).open()  # another browser, the same address
    assert refused.value.rcvd is not None
    assert refused.value.rcvd.code == 4003


def test_what_a_moderator_takes_away_in_a_matrix_client_is_gone_on_the_page(program: Program, synapse: Synapse) -> None:
    chat = Chat(program, synapse, "redacted")
    ann = chat.moderator()
    with guest(chat.url, "bob") as page:
        page.post("take this away", "1")
        event = wait_for("the message in the room", lambda: chat.event(ann, "take this away"))
        path = f"/_matrix/client/v3/rooms/{quote(chat.room)}/redact/{quote(str(event['event_id']))}/1"
        synapse.call("PUT", path, {"reason": "no"}, by=ann)
        page.wait(lambda: page.messages == [], "the message to go")


def test_a_picture_from_a_matrix_client_is_shown_on_the_page(program: Program, synapse: Synapse) -> None:
    chat = Chat(program, synapse, "pictures")
    ann = chat.person()
    uploaded = synapse.upload(ann, png(), "image/png")
    with ChatClient(chat.url) as page:
        synapse.say(
            ann, chat.room, "a.png", msgtype="m.image", url=uploaded, info={"mimetype": "image/png", "w": 1, "h": 1}
        )
        page.wait(lambda: len(page.messages) == 1, "the picture")
        [message] = page.messages
        assert message["kind"] == "image"
        assert message["author"]["matrix"] == ann.mxid
        picture = get(f"{program.url}{message['media']['url']}", timeout=60)
        assert picture.status_code == 200, picture.text
        assert picture.content == png()
        assert picture.headers["content-type"] == "image/png"
