"""A homeserver whose clock is wrong, or is set while it runs: the real Synapse, an hour behind, ahead, and back."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from tests.support.chat_client import ChatClient, chat_url, guest
from tests.support.matrix_house import CHAT_ALONE
from tests.support.program import Program, command, free_port, get, running, wait_for
from tests.support.synapse import START_WITHIN, Person, Synapse
from tests.support.wrong_clock import WrongClock

PATIENCE = 240.0
HOUR = 3600.0
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8ffff3f0005fe02fea7"
    "9a3e6f0000000049454e44ae426082"
)


@contextmanager
def _both(folder: Path, clock: WrongClock) -> Iterator[tuple[Synapse, Program]]:
    synapse = Synapse(folder / "synapse", environ=clock.environment())
    environment = {**synapse.environment(), **CHAT_ALONE}
    program = Program(folder / "data", environment, http_port=synapse.as_port)
    try:
        synapse.start()
        program.start()
        yield synapse, program
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop(signal.SIGKILL)
        synapse.kill()


def _memberships(synapse: Synapse, room: str, reader: Person, person: Person) -> list[str]:
    """What somebody was in a room, one after the other: a short ban may be over when one looks."""
    events = [event for event in synapse.timeline(reader, room) if event.get("state_key") == person.mxid]
    return [event["content"]["membership"] for event in events if event["type"] == "m.room.member"]


class _Talk:
    """A conversation from both sides, of which everything is shown in its order and at its time."""

    def __init__(self, synapse: Synapse, room: str, page: ChatClient) -> None:
        self.synapse = synapse
        self.room = room
        self.page = page
        self.texts: list[str] = []

    def go_on(self, what: str) -> None:
        """Two people who were not there before, and the page's guest; each waits for the other."""
        synapse, page = self.synapse, self.page
        people = [synapse.person(), synapse.person()]
        for number, person in enumerate(people):
            synapse.join(person, self.room)
            began = time.time()
            said, heard = f"page {what} {number}", f"room {what} {number}"
            page.post(said, said.replace(" ", "-"))
            wait_for("it in the room", lambda said=said: self._event(said), PATIENCE)
            synapse.say(person, self.room, heard)
            self.texts += [said, heard]
            page.wait(lambda: page.texts == self.texts, f"the messages, {what}")
            at = datetime.fromisoformat(page.messages[-1]["at"]).timestamp()
            # A date of the homeserver's is of whole seconds, and the way there took a part of this time.
            assert began - 2.0 - (time.time() - began) <= at <= time.time(), f"{at - time.time():.1f} s from now"
            # Matrix clients are told our time for what was said here.
            ours = datetime.fromisoformat(page.messages[-2]["at"]).timestamp()
            assert self._event(said)["origin_server_ts"] / 1000 == ours

    def picture(self) -> None:
        """Somebody sends a picture; the page gets it."""
        person = self.synapse.person()
        self.synapse.join(person, self.room)
        url = self.synapse.upload(person, PNG, "image/png")
        path = f"/_matrix/client/v3/rooms/{quote(self.room)}/send/m.room.message/{os.urandom(4).hex()}"
        content = {"msgtype": "m.image", "body": "dot.png", "url": url, "info": {"mimetype": "image/png", "size": 70}}
        self.synapse.call("PUT", path, content, by=person)
        self.texts.append("dot.png")
        self.page.wait(lambda: len(self.page.messages) == len(self.texts), "the picture")
        self.texts[-1] = self.page.texts[-1]

    def _event(self, text: str) -> Any:
        path = f"/_matrix/client/v3/rooms/{quote(self.room)}/messages"
        newest = self.synapse.call("GET", path, ghost=f"@_ghostlive:{self.synapse.server_name}", dir="b", limit="20")
        return next((event for event in newest["chunk"] if event["content"].get("body") == text), None)


def test_a_homeserver_whose_clock_is_an_hour_wrong_and_is_set_loses_and_dates_nothing_wrong(tmp_path: Path) -> None:
    clock = WrongClock(tmp_path / "clock", -HOUR)
    with _both(tmp_path, clock) as (synapse, program), program.own() as owner:
        owner.post("/api/v1/streams", json={"name": "clocks"}).raise_for_status()
        reader, rascal, listed, ann = (synapse.person(name) for name in ("reader", "rascal", "listed", "ann"))

        def join() -> str | None:
            try:
                return synapse.join(reader, f"#live_clocks:{synapse.server_name}")
            except httpx.HTTPStatusError:  # it is not there yet
                return None

        room = str(wait_for("the room", join, PATIENCE))
        for person in (rascal, listed, ann):
            synapse.join(person, room)
        with guest(chat_url(program.url, "clocks"), "Ada") as page:
            talk = _Talk(synapse, room, page)
            talk.go_on("behind")
            talk.picture()
            media = page.messages[-1]["media"]["url"]
            assert owner.get(media).content == PNG

            def problems() -> list[str]:
                found = owner.get("/api/v1/streams/clocks/chat/matrix").raise_for_status().json()
                return [problem["code"] for problem in found["broken"]]

            wait_for("the studio to know it", lambda: problems() == ["clock"], PATIENCE)
            # A ban for a short time begins here and has to end while the clock is ahead.
            until = {"matrix": rascal.mxid, "seconds": 3}
            assert owner.post("/api/v1/streams/clocks/chat/bans", json=until).status_code == 201
            code = owner.post("/api/v1/matrix/code").json()["code"]

            clock.set(HOUR)
            # Codes end after ten minutes, as we count them.
            synapse.say(ann, room, code)
            claimed = {"matrix": None, "claimed": ann.mxid}
            wait_for("the code", lambda: owner.get("/api/v1/matrix/link").json() == claimed, PATIENCE)
            talk.go_on("ahead")
            body = {"preset": "public_chat", "room_alias_name": "banlist"}
            bans = synapse.call("POST", "/_matrix/client/v3/createRoom", body, by=reader)["room_id"]
            rule = {"entity": listed.mxid, "recommendation": "m.ban", "reason": "spam"}
            path = f"/_matrix/client/v3/rooms/{quote(bans)}/state/m.policy.rule.user/1"
            synapse.call("PUT", path, rule, by=reader)
            lists = {"rooms": [f"#banlist:{synapse.server_name}"]}
            owner.put("/api/v1/streams/clocks/chat/policies", json=lists).raise_for_status()

            def banned() -> bool:
                return _memberships(synapse, room, reader, listed) == ["join", "ban"]

            def over() -> bool:
                return _memberships(synapse, room, reader, rascal) == ["join", "ban", "leave"]

            wait_for("the ban by the list", banned, PATIENCE)
            wait_for("the end of the ban", over, PATIENCE)

            clock.set(0.0)  # back, while it runs: what Synapse had planned is an hour away now
            talk.go_on("right again")
            bea = synapse.person("bea")  # who had spoken before is limited by Synapse until its clock is there again
            synapse.join(bea, room)
            program.stop()
            synapse.say(bea, room, "while you were away")
            program.start()
        with ChatClient(chat_url(program.url, "clocks")) as late:
            late.wait(lambda: late.texts == [*talk.texts, "while you were away"], "all of it, once and in order")
        assert "Traceback" not in program.log


def test_a_clock_that_is_set_back_under_our_own_homeserver_keeps_nobody_waiting(tmp_path: Path) -> None:
    clock = WrongClock(tmp_path / "clock")
    environment = {**CHAT_ALONE, "GHOSTLIVE_MATRIX__MODE": "managed", **clock.environment()}
    environment["GHOSTLIVE_MATRIX__HOMESERVER_URL"] = f"http://127.0.0.1:{free_port()}"
    with running(tmp_path / "data", environment) as program, program.own() as owner:
        owner.post("/api/v1/streams", json={"name": "clocks"}).raise_for_status()

        def answers() -> bool:
            return get(f"{program.url}/_matrix/client/versions").status_code == 200

        def problems() -> list[str]:
            found = owner.get("/api/v1/streams/clocks/chat/matrix").raise_for_status().json()
            return [problem["code"] for problem in found["broken"]]

        wait_for("the homeserver", answers, START_WITHIN)
        with _Client(program, "ann") as ann, guest(chat_url(program.url, "clocks"), "Ada") as page:
            room = wait_for("the room", lambda: ann.join("#live_clocks:localhost"), PATIENCE)
            before, after = ([f"{when} {number}" for number in range(3)] for when in ("before", "after"))
            for text in before:
                ann.say(room, text)
            page.wait(lambda: page.texts == before, "what Ann said")
            assert problems() == []

            clock.set(-HOUR)
            wait_for("the studio to know it", lambda: problems() == ["clock_set_back"], PATIENCE)
            wait_for("the homeserver", answers, START_WITHIN)
            since = ann.sync()["next_batch"]
            began = time.monotonic()
            ann.sync(since, timeout=1000)
            assert time.monotonic() - began < 60.0, "a long poll ends"
            for text in after:
                ann.say(room, text)
            page.wait(lambda: page.texts == before + after, "what Ann said then")
            page.post("still here", "still")
            wait_for("it in the room", lambda: "still here" in ann.said(room), PATIENCE)
        assert program.log.count("the clock was set back, so the homeserver is started again") == 1
        notes = [check for check in program.run("doctor") if check["name"] == "Matrix, clock set back"]
        assert [(note["state"], "set back by 60 minutes" in note["detail"]) for note in notes] == [("note", True)]
        assert "Traceback" not in program.log


class _Client:
    """Somebody with an account of the managed homeserver, through the server's own port."""

    def __init__(self, program: Program, name: str) -> None:
        subprocess.run(
            [command(), "matrix", "admin", name, "--data", str(program.data)],
            env=program.environ(),
            input=b"a password\n",
            capture_output=True,
            check=True,
        )
        identifier = {"type": "m.id.user", "user": name}
        body = {"type": "m.login.password", "identifier": identifier, "password": "a password"}
        self._client = httpx.Client(base_url=f"{program.url}/_matrix/client/v3/", timeout=90, verify=False)
        token = self._call("POST", "login", json=body)["access_token"]
        self._client.headers["authorization"] = f"Bearer {token}"

    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def join(self, room: str) -> str | None:
        try:
            joined: str = self._call("POST", f"join/{quote(room)}", json={})["room_id"]
        except httpx.HTTPStatusError:  # it is not there yet
            return None
        return joined

    def say(self, room: str, text: str) -> None:
        """At once: a homeserver that says that it is too fast fails the test."""
        content = {"msgtype": "m.text", "body": text}
        self._call("PUT", f"rooms/{quote(room)}/send/m.room.message/{os.urandom(4).hex()}", json=content)

    def said(self, room: str) -> list[str]:
        """What stands in the room, newest first."""
        newest = self._call("GET", f"rooms/{quote(room)}/messages", params={"dir": "b", "limit": "50"})
        return [event["content"].get("body", "") for event in newest["chunk"]]

    def sync(self, since: str | None = None, timeout: int = 0) -> Any:
        """`timeout` is in milliseconds."""
        params = {"timeout": str(timeout), **({} if since is None else {"since": since})}
        return self._call("GET", "sync", params=params)

    def _call(self, method: str, path: str, **more: Any) -> Any:
        return self._client.request(method, path, **more).raise_for_status().json()
