"""Ghost Live as operators run it: the program in a process of its own, on free ports, with a data directory."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

START_WITHIN = 30.0

_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def get(url: str, **options: Any) -> httpx.Response:
    """`httpx.get` of a server without TLS: without reading all certificates for it, which takes a tenth of a second."""
    return httpx.get(url, verify=_NO_CERTIFICATES, **options)


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
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
            "GHOSTLIVE_LOG__FORMAT": "human",
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

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Signal it and wait for its end; how many seconds that took."""
        if self.process is None:
            return 0.0
        begin = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=15)
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
        """Make a stream; its key."""
        record = self.run("stream", "add", name)
        assert record["stream"] == name
        key: str = record["key"]
        return key

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


def wait_for(what: str, condition: Any, timeout: float = 20.0) -> Any:
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
