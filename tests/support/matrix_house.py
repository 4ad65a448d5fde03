"""A whole server with a real homeserver: its owner, and streams with both their sides, the page and the room.

    def test_…(house: MatrixHouse): ...          # the fixture of tests/interop/conftest.py, for all its files
        stream = house.add_stream("demo")
        with guest(stream.url, "Ada") as ada: ...
        ann = stream.moderator()                 # somebody with a Matrix client

Files share the server, so a test adds streams of its own and undoes what holds for the whole site: bans everywhere, the
owner's link with a Matrix ID. A file that needs another server on the same homeserver uses the fixture `synapse`.
"""

import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from tests.support.chat_client import ChatClient, chat_url
from tests.support.program import Program, wait_for
from tests.support.synapse import Person, Synapse

PATIENCE = 240.0
CHAT_ALONE = {
    "GHOSTLIVE_TRANSCODE__ENABLED": "false",
    "GHOSTLIVE_RTMP__ENABLED": "false",
    "GHOSTLIVE_WEBRTC__ENABLED": "false",
}
"""Settings of a server whose picture nobody looks at."""
UNLIMITED = {
    "GHOSTLIVE_CHAT__BURST": "0",
    "GHOSTLIVE_CHAT__ADDRESS_BURST": "0",
    "GHOSTLIVE_CHAT__GUESTS_PER_ADDRESS": "0",
}
"""Settings of a chat in which one address may do what many people would."""


class Stream:
    """A new stream of a server, once its room is there."""

    def __init__(self, program: Program, synapse: Synapse, name: str) -> None:
        program.add_stream(name)
        self.synapse = synapse
        self.name = name
        self.alias = f"#live_{name}:{synapse.server_name}"
        self.page = f"{program.url}/{name}"
        self.url = chat_url(program.url, name)
        """Of its chat."""
        self.room = str(wait_for("the room", self._room, PATIENCE))
        self.reader = self.person()
        """Somebody in the room who reads all of it."""

    def _room(self) -> str | None:
        try:
            return self.synapse.room(self.alias)
        except httpx.HTTPStatusError:  # not there yet
            return None

    def person(self, name: str = "") -> Person:
        """Somebody with a Matrix client, in the room."""
        person = self.synapse.person(name)
        self.synapse.join(person, self.room)
        return person

    def moderator(self) -> Person:
        """Somebody whose Matrix client may ban and take away."""
        person = self.person()
        levels = self._state("m.room.power_levels", "")
        levels["users"][person.mxid] = 50
        self.synapse.call("PUT", self._path("state/m.room.power_levels/"), levels, ghost=bot_of(self.synapse))
        return person

    def say(self, person: Person, text: str, **content: Any) -> str:
        """Say something in a Matrix client; the event's ID."""
        return self.synapse.say(person, self.room, text, **content)

    def act(self, person: Person, act: str, **body: str) -> None:
        """`ban`, `kick`, … in a Matrix client."""
        self.synapse.call("POST", self._path(act), body, by=person)

    def redact(self, person: Person, event_id: str, reason: str) -> None:
        """Take a message away in a Matrix client."""
        self.synapse.call("PUT", self._path(f"redact/{quote(event_id)}/1"), {"reason": reason}, by=person)

    def membership(self, mxid: str) -> str | None:
        """What somebody is in the room; None if it knows nothing of them."""
        try:
            found: str = self._state("m.room.member", mxid)["membership"]
        except httpx.HTTPStatusError:
            return None
        return found

    def is_banned(self, person: Person) -> bool:
        """Whether somebody is banned in the room."""
        return self.membership(person.mxid) == "ban"

    def power(self, mxid: str) -> int:
        """The power of somebody in the room."""
        return int(self._state("m.room.power_levels", "")["users"].get(mxid, 0))

    def event(self, event_id: str) -> dict[str, Any]:
        """An event of the room, as its reader sees it now."""
        found: dict[str, Any] = self.synapse.call("GET", self._path(f"event/{quote(event_id)}"), by=self.reader)
        return found

    def said(self, text: str | None = None) -> list[dict[str, Any]]:
        """Every message of the room in its order, or those with that text."""
        events = self.synapse.timeline(self.reader, self.room, "m.room.message")
        return [event for event in events if text is None or event["content"].get("body") == text]

    def bodies(self) -> list[str]:
        """The words of it; what the bot says for somebody begins with their name."""
        found = []
        for event in self.said():
            body: str = event["content"]["body"]
            profile = event["content"].get("com.beeper.per_message_profile")
            found.append(body if profile is None else body.removeprefix(f"{profile['displayname']}: "))
        return found

    def wait_for(self, count: int, pages: Sequence[ChatClient] = (), *, patience: float = PATIENCE) -> list[str]:
        """`bodies`, once there are so many. Not asked too often: reading them is work for the homeserver.

        Pages that stay open meanwhile say so, else the server takes them for gone.
        """
        end = time.monotonic() + patience
        while len(bodies := self.bodies()) < count:
            assert time.monotonic() < end, f"waited in vain for {count} messages, there are {len(bodies)}"
            for page in pages:
                page.send(type="ping")
            time.sleep(0.2 if count < 50 else 1.0)
        return bodies

    def _path(self, rest: str) -> str:
        return f"/_matrix/client/v3/rooms/{quote(self.room)}/{rest}"

    def _state(self, kind: str, key: str) -> Any:
        return self.synapse.call("GET", self._path(f"state/{kind}/{quote(key)}"), ghost=bot_of(self.synapse))


class MatrixHouse:
    """See the top of this file. It starts with the first file that asks for it, and may be stopped between files."""

    def __init__(self, data: Path, synapse: Synapse) -> None:
        environment = {**synapse.environment(), **CHAT_ALONE, **UNLIMITED}
        self.synapse = synapse
        self.program = Program(data, environment, http_port=synapse.as_port)
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        return self.program.url

    @property
    def bot(self) -> str:
        """The Matrix ID of our bot."""
        return bot_of(self.synapse)

    @cached_property
    def owner(self) -> httpx.Client:
        """The owner of the server (`tests.support.program.OWNER`), signed in."""
        return self._stack.enter_context(self.program.own())

    def add_stream(self, name: str) -> Stream:
        """A new stream."""
        return Stream(self.program, self.synapse, name)

    def private_room(self, person: Person) -> str:
        """A direct chat with the bot, as clients make one; its ID once the bot is there."""
        body = {"invite": [self.bot], "is_direct": True, "preset": "trusted_private_chat"}
        room: str = self.synapse.call("POST", "/_matrix/client/v3/createRoom", body, by=person)["room_id"]
        path = f"/_matrix/client/v3/rooms/{quote(room)}/state/m.room.member/{quote(self.bot)}"
        joined = "join"
        wait_for("the bot", lambda: self.synapse.call("GET", path, by=person)["membership"] == joined, timeout=PATIENCE)
        return room

    def start(self) -> None:
        """Have both run, whatever an earlier file did to them."""
        revive(self.synapse)
        if not _runs(self.program):
            self.program.start()

    def stop(self) -> None:
        """End the server, with all it has stored, so that its port is free."""
        if _runs(self.program):
            self.program.stop()

    def close(self) -> None:
        """End it for good."""
        self._stack.close()
        if _runs(self.program):
            self.program.stop(signal.SIGKILL)


def bot_of(synapse: Synapse) -> str:
    """The Matrix ID of our bot there."""
    return f"@_ghostlive:{synapse.server_name}"


def revive(synapse: Synapse) -> None:
    """Start a homeserver that a failed test left killed or paused."""
    if synapse.process is None or synapse.process.poll() is not None:
        synapse.restart()
    else:
        synapse.resume()


def _runs(program: Program) -> bool:
    return program.process is not None and program.process.poll() is None
