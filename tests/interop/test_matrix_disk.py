"""The disk under the data directory is full for a while: chat's messages, its pictures, and what comes from Matrix."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.support.chat_client import ChatClient, chat_url, guest
from tests.support.program import Program, wait_for
from tests.support.small_disk import small_disk
from tests.support.synapse import Person, Synapse

PATIENCE = 240.0
SETTINGS = {
    "GHOSTLIVE_CHAT__BURST": "0",
    "GHOSTLIVE_CHAT__ADDRESS_BURST": "0",
    "GHOSTLIVE_TRANSCODE__ENABLED": "false",
    "GHOSTLIVE_RTMP__ENABLED": "false",
    "GHOSTLIVE_WEBRTC__ENABLED": "false",
}
PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 200_000


_NO_LOG = """
import sqlite3, sys
sqlite3.connect(sys.argv[1], timeout=60).execute("PRAGMA wal_checkpoint(TRUNCATE)")
"""


@contextmanager
def _full(program: int, disk: Path) -> Iterator[None]:
    """Nothing more fits onto that disk of a process meanwhile."""
    # SQLite would have room left in its log. It asks for real paths, so it has to be where the disk is.
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    within = ["nsenter", f"--target={program}", "--mount", *user]
    subprocess.run([*within, sys.executable, "-c", _NO_LOG, str(disk / "ghostlive.db")], check=True)
    data = _seen(program, disk)
    filler = data / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 1024 * 1024
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2
    try:
        yield
    finally:
        filler.unlink()


def _seen(program: int, disk: Path) -> Path:
    """Where others find a mount that a process alone sees."""
    return Path(f"/proc/{program}/root{disk}")


def _picture(synapse: Synapse, person: Person, room: str, name: str) -> None:
    url = synapse.upload(person, PNG, "image/png")
    info = {"mimetype": "image/png", "size": len(PNG)}
    synapse.say(person, room, name, msgtype="m.image", url=url, info=info)


def _send_what_was_refused(page: ChatClient, texts: dict[str, str]) -> None:
    """As pages do: after half a minute on a full disk they are told that the server is busy."""
    while texts.keys() - page.acks.keys():
        refused = [event["txn"] for event in page.events if event["type"] == "error"]
        page.events.clear()
        for txn in refused:
            page.send(type="post", txn=txn, text=texts[txn])
        page.receive(PATIENCE)


def test_a_full_disk_acknowledges_nothing_that_it_has_not_and_all_comes_when_there_is_room(
    synapse: Synapse, tmp_path: Path
) -> None:
    disk = tmp_path / "data"
    disk.mkdir()
    environment = {**synapse.environment(), **SETTINGS}
    program = Program(disk, environment, small_disk(disk, megabytes=24), http_port=synapse.as_port)
    try:
        program.start()
        assert program.process is not None
        cache = _seen(program.process.pid, disk) / "chat-media"
        with program.own() as owner:
            owner.post("/api/v1/streams", json={"name": "full-disk"}).raise_for_status()
            person = synapse.person()

            def join() -> str | None:
                try:
                    return synapse.join(person, f"#live_full-disk:{synapse.server_name}")
                except httpx.HTTPStatusError:  # it is not there yet
                    return None

            room = str(wait_for("the room", join, PATIENCE))
            url = chat_url(program.url, "full-disk")
            with guest(url, "Ada") as ada:
                ada.post("before", "before")
                for number in range(2):
                    _picture(synapse, person, room, f"{number}.png")
                ada.wait(lambda: len(ada.messages) == 3, "the pictures")
                first, second = (message["media"]["url"] for message in ada.messages[1:])
                texts = {f"t{number}": f"message {number}" for number in range(12)}
                with _full(program.process.pid, disk):
                    for txn, text in texts.items():
                        ada.send(type="post", txn=txn, text=text)
                    refused = owner.get(first)
                    assert refused.status_code == 503
                    assert "cannot be stored" in refused.json()["detail"]
                    assert "retry-after" in refused.headers
                    assert list(cache.iterdir()) == []
                    with ChatClient(url) as reader:  # who comes now can read
                        assert reader.texts[0] == "before"
                    synapse.say(person, room, "from Matrix")
                    ada.send(type="ping")
                    ada.until_any("pong")  # the server has all of them, and is alive
                    assert not texts.keys() & ada.acks.keys()
                    assert not {*texts.values(), "from Matrix"} & set(ada.texts)
                _send_what_was_refused(ada, texts)
                ada.wait(lambda: len(ada.messages) == 3 + len(texts) + 1, "all messages, once")
                assert {*texts.values(), "from Matrix"} < set(ada.texts)
                assert owner.get(second).content == PNG
                assert [path.suffix for path in cache.iterdir()] == [".png"]
            with ChatClient(url) as late:
                assert sorted(late.texts) == sorted(ada.texts)
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop(signal.SIGKILL)
    assert os.listdir(disk) == ["test.log"]
