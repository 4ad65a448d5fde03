"""A PostgreSQL server of the tests' own: in a temporary folder, on a socket there, as a user who is not root.

    with running_postgres() as postgres:
        url = postgres.database()  # a new, empty one

It keeps nothing on disk that has to last, so it does not wait for the disk.
"""

import getpass
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_WITHIN = 120.0
_DEBIAN = Path("/usr/lib/postgresql")
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "autovacuum": "off",
    "jit": "off",
}


class Postgres:
    """A running server."""

    def __init__(self, folder: Path, user: str) -> None:
        self.folder = folder
        self.user = user
        self._numbers = itertools.count(1)

    def database(self, *options: str) -> str:
        """A new database, made with these options of `createdb`; its address."""
        name = f"test{next(self._numbers)}"
        self.run("createdb", "-h", str(self.folder), *options, name)
        return f"postgresql://{self.user}@/{name}?host={self.folder}"

    def run(self, *command: str) -> str:
        """One of the server's programs, as the server's user; what it prints."""
        program, *arguments = command
        done = subprocess.run(
            [str(_program(program)), *arguments], capture_output=True, check=False, user=self._other(), cwd="/"
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode()}")
        return done.stdout.decode()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it and wait until it answers."""
        log = self.folder / "log"
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(_program("postgres")), "-D", str(self.folder / "data"), "-k", str(self.folder), *settings],
                stdout=output,
                stderr=output,
                user=self._other(),
                cwd="/",
            )
        end = time.monotonic() + START_WITHIN
        ask = [str(_program("pg_isready")), "-q", "-h", str(self.folder)]
        while subprocess.run(ask, check=False).returncode:
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                process.wait()
                raise RuntimeError(f"PostgreSQL does not answer:\n{log.read_text()}")
            time.sleep(0.05)
        return process

    def _other(self) -> str | None:
        return None if os.getuid() else self.user


def _program(name: str) -> Path:
    """Debian keeps the server's programs out of the search path, by version."""
    versions = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(versions[-1]) if versions else shutil.which(name)
    assert found, f"PostgreSQL's {name} is missing: scripts/packages test"
    return Path(found)


def _user() -> str:
    """Who runs it: root may not."""
    if os.getuid():
        return getpass.getuser()
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A started server that is ended afterwards, whatever happens."""
    # Not in pytest's folder, which its user may not enter; and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="ghostlive-pg-", dir="/tmp"))
    postgres = Postgres(folder, _user())
    try:
        if not os.getuid():
            shutil.chown(folder, postgres.user)
        postgres.run(
            *("initdb", "-D", str(folder / "data"), "-U", postgres.user, "-A", "trust"),
            *("-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"),
        )
        process = postgres.start()
        try:
            yield postgres
        finally:
            process.send_signal(signal.SIGINT)  # at once, whoever is connected
            process.wait(timeout=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
