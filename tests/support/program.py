"""Ghost Live as operators run it: the program in a process of its own, on free ports, with a data directory."""

import asyncio
import itertools
import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ghostlive.access.keys import make_secret, stored
from ghostlive.access.passwords import hash_password
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import Role, UserRepository

START_WITHIN = 60.0
OWNER = {"name": "olga", "password": "correct horse battery staple"}
"""The account that `Program.own` makes."""

_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def get(url: str, **options: Any) -> httpx.Response:
    """`httpx.get` of a server without TLS: without reading all certificates for it, which takes a tenth of a second.

    It waits longer than five seconds too, since a busy machine lets a server wait.
    """
    return httpx.get(url, verify=_NO_CERTIFICATES, **{"timeout": 30.0, **options})


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw3")[2:]) % 4
_PORTS = 5_000
_next_port = itertools.count(random.randrange(_PORTS))


def free_port() -> int:
    """A TCP port that nobody uses now.

    Nor will somebody else get it before its program listens, or while that starts again: it is below those that the
    system gives away itself (to clients, above all), and each worker has its own.
    """
    while True:
        port = 12_000 + _WORKER * _PORTS + next(_next_port) % _PORTS
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def free_media_port() -> int:
    """A port that nobody uses now, neither by UDP nor by TCP."""
    while True:
        port = free_port()
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port


@dataclass
class Program:
    """A `ghostlive serve` process."""

    data: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    """A command that runs the program as its arguments, in the same process."""
    http_port: int = field(default_factory=free_port)
    rtmp_port: int = field(default_factory=free_port)
    rtmps_port: int = field(default_factory=free_port)
    webrtc_port: int = field(default_factory=free_media_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def rtmp(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/app"

    @property
    def rtmps(self) -> str:
        return f"rtmps://127.0.0.1:{self.rtmps_port}/app"

    @property
    def log(self) -> str:
        """Everything the program logged so far, over all its runs."""
        path = self.data / "test.log"
        return path.read_text() if path.exists() else ""

    def environ(self) -> dict[str, str]:
        """The environment that its processes run in."""
        return {
            **os.environ,
            "GHOSTLIVE_HTTP__HOST": "127.0.0.1",
            "GHOSTLIVE_HTTP__PORT": str(self.http_port),
            "GHOSTLIVE_RTMP__HOST": "127.0.0.1",
            "GHOSTLIVE_RTMP__PORT": str(self.rtmp_port),
            "GHOSTLIVE_RTMPS__PORT": str(self.rtmps_port),
            "GHOSTLIVE_WEBRTC__PORT": str(self.webrtc_port),
            "GHOSTLIVE_LOG__FORMAT": "human",
            # Other tests and Chromium keep the machine busy; renditions are to stay all the same.
            "GHOSTLIVE_TRANSCODE__STEP_DOWN_AFTER": "600",
            # To try five kinds of cards that are not there is half the work of a start; `tests/unit/transcode` does it.
            "GHOSTLIVE_TRANSCODE__ENCODERS": "software",
            # A homeserver is half the work of a start; who needs one has it from `tests.support.synapse`.
            "GHOSTLIVE_MATRIX__MODE": "off",
            **self.environment,
        }

    def start(self) -> float:
        """Start it and wait until it is healthy; how many seconds that took."""
        self.data.mkdir(parents=True, exist_ok=True)
        begin = time.monotonic()
        with (self.data / "test.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, command(), "serve", "--data", str(self.data)],
                env=self.environ(),
                stdout=log,
                stderr=log,
            )
        while time.monotonic() - begin < START_WITHIN:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.log}")
            try:
                health = get(f"{self.url}/healthz")
                if health.status_code == 200:
                    return time.monotonic() - begin
                assert health.status_code == 503, f"while starting: {health.status_code}\n{self.log}"
            except httpx.TransportError:
                time.sleep(0.02)
        raise RuntimeError(f"the server is not healthy:\n{self.log}")

    def worked(self) -> float:
        """Seconds of a core that the running process has used: how busy the machine is makes no difference to them."""
        assert self.process is not None
        times = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, times[11:15])) / os.sysconf("SC_CLK_TCK")  # of itself and of children that have ended

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Signal it and wait for its end; how many seconds that took."""
        if self.process is None:
            return 0.0
        begin = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=60)
        self.process = None
        return time.monotonic() - begin

    def run(self, *arguments: str) -> Any:
        """Run another `ghostlive` command on the same data; its JSON output."""
        return json.loads(self.run_plain(*arguments, "--json"))

    def run_plain(self, *arguments: str) -> str:
        """Run another `ghostlive` command on the same data; what it prints."""
        done = subprocess.run(
            [command(), *arguments, "--data", str(self.data)],
            env=self.environ(),
            capture_output=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        return done.stdout.decode()

    def add_stream(self, name: str) -> str:
        """Make a stream; its key. As `ghostlive stream add` does, but for the start of a program: a second's work.

        Also from a coroutine, which waits for it meanwhile.
        """
        secret = make_secret()

        async def add(database: Database) -> None:
            await StreamRepository(database).add(name, key=stored(secret))

        self._store(add)
        return secret

    def add_user(self, name: str, password: str, role: Role) -> None:
        """Make an account, as `ghostlive user add` does, and as `add_stream` makes a stream."""

        async def add(database: Database) -> None:
            await UserRepository(database).add(name, role=role, password_hash=await hash_password(password))

        self._store(add)

    def _store(self, work: Callable[[Database], Coroutine[Any, Any, None]]) -> None:
        async def store() -> None:
            async with Database(DatabaseConfig(), self.data) as database:
                await work(database)

        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, store()).result()

    @contextmanager
    def own(self) -> Iterator[httpx.Client]:
        """Make the owner's account (`OWNER`) by the link that the server printed last; who has signed in with it."""
        links = re.findall(r"/setup#(\S+)", self.log)
        assert links, self.log
        with httpx.Client(base_url=self.url, timeout=60, verify=_NO_CERTIFICATES) as client:
            client.post("/api/v1/setup", json={"token": links[-1], **OWNER}).raise_for_status()
            yield client

    def stream(self, name: str) -> Any:
        """What the API says of a stream."""
        return get(f"{self.url}/api/v1/streams/{name}").json()


def command() -> str:
    """The installed `ghostlive` command of this environment."""
    return str(Path(sys.executable).with_name("ghostlive"))


@contextmanager
def running(data: Path, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()) -> Iterator[Program]:
    """A started program that is ended afterwards, whatever happens."""
    program = Program(data, environment or {}, prefix)
    try:
        program.start()
        yield program
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop(signal.SIGKILL)


def wait_for(what: str, condition: Any, timeout: float = 45.0) -> Any:
    """Ask `condition` until it answers something true; the answer."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except (OSError, httpx.TransportError, AssertionError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout:g} s in vain for {what}")
