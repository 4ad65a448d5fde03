"""A real homeserver for tests: Synapse as the managed one is configured, in a process that a test may kill.

One for all tests of a package; each test uses streams (rooms) of its own:

    async def test_…(synapse: Synapse): ...

The fixtures `synapse` are made in the package's `conftest.py` by `running_synapse`. What calls the homeserver has the
registration `synapse.registration` (`as_token`, `hs_token`); the homeserver sends transactions to `synapse.as_url`,
whose port is free for one listener at a time: `Program(…, http_port=synapse.as_port,
environment=synapse.environment())` is a whole Ghost Live on it, `tests.support.matrix_house` has one for all. After an
outage of the listener Synapse waits longer and longer before it tries again: ping it
(`/_matrix/client/v1/appservice/ghostlive/ping`), as the bridge does.
"""

import hashlib
import hmac
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from tests.support.program import free_port, get

from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.homeserver.files import Identity, load
from ghostlive.chat.matrix.homeserver.settings import CONFIG, Place, synapse_settings, write_settings
from ghostlive.chat.matrix.registration import Registration

SERVER_NAME = "chat.test"
START_WITHIN = 120.0
_LOCKED_FOR = 1.0
"""Seconds that it waits for a database that somebody else has locked, instead of five; it does that five times."""
_NUMBERS = itertools.count(1)
_FAST = {
    "modules": [{"module": "tests.support.crowd.Crowd", "config": {}}],
    # Tests make many people in no time, and their passwords are worth nothing.
    "bcrypt_rounds": 4,
    **{
        name: {"per_second": 10_000, "burst_count": 10_000}
        for name in ("rc_message", "rc_registration", "rc_joins_per_room", "rc_admin_redaction")
    },
    "rc_login": {
        name: {"per_second": 10_000, "burst_count": 10_000} for name in ("address", "account", "failed_attempts")
    },
    "rc_joins": {name: {"per_second": 10_000, "burst_count": 10_000} for name in ("local", "remote")},
    "rc_invites": {
        name: {"per_second": 10_000, "burst_count": 10_000} for name in ("per_room", "per_user", "per_issuer")
    },
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account on the homeserver."""

    mxid: str
    token: str = field(repr=False)


@dataclass
class Synapse:
    """A homeserver in a process of its own. `start` and `stop`, or `running_synapse`."""

    data: Path
    name: str = SERVER_NAME
    port: int = field(default_factory=free_port)
    as_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    database_url: str = field(default="", repr=False)
    environ: Mapping[str, str] = field(default_factory=dict)
    """What its process has in its environment beside what ours has."""

    def __post_init__(self) -> None:
        self.identity: Identity = load(self.data, self.name)
        config = MatrixConfig(mode="managed", database_url=self.database_url)
        place = Place("127.0.0.1", self.port, f"{self.url}/")
        write_settings(self.identity, config, place, self.as_url)
        self.file = self.identity.folder / CONFIG
        """Its configuration, in JSON."""
        settings = synapse_settings(self.identity, config, place)
        if not self.database_url:
            settings["database"]["args"]["timeout"] = _LOCKED_FOR
        self.file.write_text(json.dumps({**settings, **_FAST}))

    def change(self, settings: Mapping[str, Any]) -> None:
        """Change its configuration, before the next start; None takes a setting out."""
        changed = {**json.loads(self.file.read_text()), **settings}
        self.file.write_text(json.dumps({name: value for name, value in changed.items() if value is not None}))

    @property
    def server_name(self) -> str:
        return self.identity.server_name

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def as_url(self) -> str:
        """Where it sends transactions to."""
        return f"http://127.0.0.1:{self.as_port}"

    @property
    def registration(self) -> Registration:
        """Of our application service with it."""
        secrets = self.identity.secrets
        return Registration(self.server_name, self.as_url, secrets.as_token, secrets.hs_token)

    @property
    def config(self) -> MatrixConfig:
        """What parts of `chat.matrix` take to work with it."""
        return MatrixConfig(
            mode="external",
            server_name=self.server_name,
            homeserver_url=self.url,
            as_url=self.as_url,
            as_token=self.identity.secrets.as_token,
            hs_token=self.identity.secrets.hs_token,
        )

    def environment(self) -> dict[str, str]:
        """Makes a `Program` with `http_port=synapse.as_port` use it."""
        config = self.config
        names = ("mode", "server_name", "homeserver_url", "as_url", "as_token", "hs_token")
        return {f"GHOSTLIVE_MATRIX__{name.upper()}": getattr(config, name) for name in names}

    @property
    def log(self) -> str:
        """What it wrote (warnings and worse)."""
        return (self.data / "synapse.log").read_text(errors="replace")

    def start(self) -> float:
        """Start it and wait until it answers; how many seconds that took."""
        begin = time.monotonic()
        with (self.data / "synapse.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ghostlive.chat.matrix.homeserver.child"),
                    *(str(self.identity.folder / "lock"), "--config-path", str(self.file)),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONWARNINGS": "ignore", **self.environ},
            )
        while time.monotonic() - begin < START_WITHIN:
            if self.process.poll() is not None:
                raise RuntimeError(f"the homeserver ended with {self.process.returncode}:\n{self.log}")
            try:
                if get(f"{self.url}/health", timeout=START_WITHIN).status_code == 200:
                    return time.monotonic() - begin
            except httpx.TransportError:
                time.sleep(0.05)
        raise RuntimeError(f"the homeserver does not answer:\n{self.log}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal it and wait for its end; stopping one that does not run is harmless."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
        try:
            process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.stop(signal.SIGKILL)

    def restart(self) -> float:
        """Kill it and start it again, with all it has stored."""
        self.kill()
        return self.start()

    def pause(self) -> None:
        """From now on it answers nobody, though its connections stay open; `resume` ends that."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """See `pause`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def person(self, name: str = "", *, admin: bool = False) -> Person:
        """A new account with this local part (a new one each time when it is empty), signed in."""
        name = name or f"person{os.getpid()}-{next(_NUMBERS)}"
        return register(self.url, self.identity, name, admin=admin)

    def call(
        self, method: str, path: str, body: Any = None, *, by: Person | None = None, ghost: str = "", **query: str
    ) -> Any:
        """A request by a person, or by our application service as `ghost` (`@_ghostlive…`); the answer's JSON.

        Raises `httpx.HTTPStatusError` for a refusal. Blocks; call it in a thread from a coroutine.
        """
        headers = {}
        if by is not None:
            headers["Authorization"] = f"Bearer {by.token}"
        elif ghost:
            headers["Authorization"] = f"Bearer {self.identity.secrets.as_token}"
            query["user_id"] = ghost
        return _asked(method, f"{self.url}{path}", json=body, headers=headers, params=query)

    def room(self, alias: str) -> str:
        """The room's ID, by its alias."""
        return str(self.call("GET", f"/_matrix/client/v3/directory/room/{quote(alias)}")["room_id"])

    def join(self, person: Person, room: str) -> str:
        """Join a room by its ID or alias; its ID."""
        return str(self.call("POST", f"/_matrix/client/v3/join/{quote(room)}", {}, by=person)["room_id"])

    def gather(self, room: str, names: Sequence[str]) -> None:
        """Make accounts with these local parts and let them join: see `tests.support.crowd`."""
        for at in range(0, len(names), 100):
            self.call("POST", "/_test/gather", {"room": room, "names": names[at : at + 100]})

    def say(self, person: Person, room: str, text: str, **content: Any) -> str:
        """Send a text message; the event's ID."""
        body = {"msgtype": "m.text", "body": text, **content}
        path = f"/_matrix/client/v3/rooms/{quote(room)}/send/m.room.message/{os.urandom(8).hex()}"
        return str(self.call("PUT", path, body, by=person)["event_id"])

    def upload(self, person: Person, data: bytes, media_type: str) -> str:
        """Upload a file; its `mxc:` address."""
        answer = _client().post(
            f"{self.url}/_matrix/media/v3/upload",
            content=data,
            headers={"Authorization": f"Bearer {person.token}", "Content-Type": media_type},
            timeout=START_WITHIN,
        )
        return str(answer.raise_for_status().json()["content_uri"])

    def timeline(self, person: Person, room: str, *kinds: str) -> list[dict[str, Any]]:
        """All events of a room that the person may read (only of some types, if any are given), in their order."""
        events: list[dict[str, Any]] = []
        since: dict[str, str] = {"filter": json.dumps({"types": kinds})} if kinds else {}
        while True:
            path = f"/_matrix/client/v3/rooms/{quote(room)}/messages"
            page = self.call("GET", path, by=person, dir="f", limit="500", **since)
            events += page["chunk"]
            if "end" not in page:
                return events
            since["from"] = page["end"]


def register(url: str, identity: Identity, name: str, *, password: str = "password", admin: bool = False) -> Person:
    """Make an account on a homeserver that runs at that address."""
    nonce = _asked("GET", f"{url}/_synapse/admin/v1/register")["nonce"]
    text = "\0".join((nonce, name, password, "admin" if admin else "notadmin"))
    key = identity.secrets.registration_shared_secret
    mac = hmac.new(key.encode(), text.encode(), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": password, "admin": admin, "mac": mac}
    made = _asked("POST", f"{url}/_synapse/admin/v1/register", json=body)
    return Person(made["user_id"], made["access_token"])


def _asked(method: str, url: str, **request: Any) -> Any:
    answer = _client().request(method, url, timeout=START_WITHIN, **request)
    if answer.is_error:
        raise httpx.HTTPStatusError(f"{answer.status_code}: {answer.text}", request=answer.request, response=answer)
    return answer.json()


def _client() -> httpx.Client:
    global _shared  # noqa: PLW0603 - making one reads all certificates
    if _shared is None:
        _shared = httpx.Client(verify=False)
    return _shared


_shared: httpx.Client | None = None


@contextmanager
def running_synapse(data: Path) -> Iterator[Synapse]:
    """A started homeserver that is ended afterwards, whatever happens."""
    data.mkdir(parents=True, exist_ok=True)
    synapse = Synapse(data)
    try:
        synapse.start()
        yield synapse
    finally:
        synapse.kill()
