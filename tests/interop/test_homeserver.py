"""A real Synapse with our settings: what it does and what it refuses."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from tests.support.program import Program, command, free_port, get, running, wait_for
from tests.support.synapse import START_WITHIN, Synapse

from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.homeserver.files import load
from ghostlive.chat.matrix.homeserver.settings import Place, write_settings

GHOST = "@_ghostlive_g_1:chat.test"


def test_it_takes_our_ghosts_and_refuses_strangers(synapse: Synapse) -> None:
    login = {"type": "m.login.application_service", "username": "_ghostlive_g_1", "inhibit_login": True}
    made = synapse.call("POST", "/_matrix/client/v3/register", login, ghost="@_ghostlive:chat.test")
    assert made["user_id"] == GHOST
    for kind in ("user", "guest"):
        with pytest.raises(httpx.HTTPStatusError, match="403"):
            synapse.call("POST", "/_matrix/client/v3/register", {"username": "stranger", "password": "x"}, kind=kind)


def test_what_was_said_is_there_after_a_kill(synapse: Synapse) -> None:
    ann, bob = synapse.person(), synapse.person()
    room = synapse.call("POST", "/_matrix/client/v3/createRoom", {"preset": "public_chat"}, by=ann)["room_id"]
    synapse.join(bob, room)
    synapse.say(bob, room, "before")
    synapse.restart()
    synapse.say(bob, room, "after")
    said = [event["content"]["body"] for event in synapse.timeline(ann, room) if event["type"] == "m.room.message"]
    assert said == ["before", "after"]


def test_it_accepts_all_that_operators_can_choose(tmp_path: Path) -> None:
    config = MatrixConfig(
        mode="managed",
        federation=True,
        room_version="11",
        retention=30,
        database_url="postgresql://u:p@127.0.0.1:1/synapse",
    )
    place = Place("::1", 8008, "https://live.test/")
    file = write_settings(load(tmp_path, "live.test"), config, place, "http://[::1]:8080")
    script = (
        "import sys; from synapse.config.homeserver import HomeServerConfig as C; "
        "c = C.load_config('', ['-c', sys.argv[1]]); "
        "print(c.server.default_room_version.identifier, c.retention.retention_default_max_lifetime, "
        "len(c.appservice.app_service_config_files), c.server.listeners[0].bind_addresses[0])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["11", str(30 * 86400 * 1000), "1", "::1"], done.stderr


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server that runs its own homeserver."""
    environment = {
        "GHOSTLIVE_MATRIX__MODE": "managed",
        "GHOSTLIVE_MATRIX__HOMESERVER_URL": f"http://127.0.0.1:{free_port()}",
        "GHOSTLIVE_TRANSCODE__ENABLED": "false",
    }
    with running(tmp_path_factory.mktemp("managed"), environment) as program:
        yield program


def answers(program: Program) -> bool:
    """Whether Matrix clients get an answer."""
    return get(f"{program.url}/_matrix/client/versions").status_code == 200


def homeservers(program: Program) -> list[int]:
    """Processes that are the program's homeserver."""
    lock = str(program.data / "matrix" / "lock")
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if lock in path.read_text().split("\0"):
                found.append(int(path.parent.name))
    return found


def sign_in(program: Program, name: str) -> httpx.Response:
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": "a password"}
    return httpx.post(f"{program.url}/_matrix/client/v3/login", json=body, timeout=60, verify=False)


def test_the_server_brings_its_own(managed: Program) -> None:
    """It is there a while after the server, and an admin signs in through the server's own port."""
    wait_for("the homeserver", lambda: answers(managed), START_WITHIN)
    made = subprocess.run(
        [command(), "matrix", "admin", "ann", "--data", str(managed.data)],
        env=managed.environ(),
        input=b"a password\n",
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr.decode()
    assert "@ann:localhost is made" in made.stdout.decode()
    signed_in = sign_in(managed, "ann")
    assert signed_in.status_code == 200, signed_in.text
    token = signed_in.json()["access_token"]

    def last_seen() -> str | None:
        """Unknown for the moment in which the homeserver stores it."""
        url, headers = f"{managed.url}/_matrix/client/v3/devices", {"Authorization": f"Bearer {token}"}
        found: str | None = get(url, headers=headers, timeout=60).json()["devices"][0]["last_seen_ip"]
        return found

    assert wait_for("the address of the admin", last_seen) == "127.0.0.1"
    assert get(f"{managed.url}/_matrix/client/../../_synapse/admin/v1/register").status_code == 404


def test_a_homeserver_that_was_killed_comes_back(managed: Program) -> None:
    wait_for("the homeserver", lambda: answers(managed), START_WITHIN)
    [pid] = homeservers(managed)
    os.kill(pid, signal.SIGKILL)
    wait_for("another homeserver", lambda: homeservers(managed) not in ([], [pid]), START_WITHIN)
    wait_for("the homeserver", lambda: answers(managed), START_WITHIN)
    assert sign_in(managed, "ann").status_code == 200
    assert "was killed by SIGKILL" in managed.log


def test_a_server_that_was_killed_leaves_none_behind(managed: Program) -> None:
    wait_for("the homeserver", lambda: answers(managed), START_WITHIN)
    [pid] = homeservers(managed)
    managed.stop(signal.SIGKILL)
    managed.start()
    wait_for("the end of the earlier homeserver", lambda: pid not in homeservers(managed), START_WITHIN)
    wait_for("the homeserver", lambda: answers(managed), START_WITHIN)
    assert sign_in(managed, "ann").status_code == 200
    managed.stop()
    assert homeservers(managed) == []
    for secret in json.loads((managed.data / "matrix" / "secrets.json").read_text()).values():
        assert secret not in managed.log
