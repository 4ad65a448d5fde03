"""`ghostlive doctor`: what keeps this server from working, each with what to do about it.

It changes nothing: no directory is made, no database migrated.
"""

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from pathlib import Path

from cryptography import x509

from ghostlive.app.config import Config
from ghostlive.app.ports import describe_port_owner
from ghostlive.core.errors import GhostliveError
from ghostlive.db.engine import Database, database_url
from ghostlive.db.migrate import HEAD, REVISIONS

_LOW_DISK = 5 * 1024**3
_NO_DISK = 200 * 1024**2
_RENEW_DAYS = 14
_ENCODERS = ("libx264", "aac", "libopus")
_ASK_ENCODERS = (
    "import av, json; from av.codec import codecs_available as names; "
    f"print(json.dumps({{'av': av.__version__, 'names': sorted(n for n in names if n in {_ENCODERS!r})}}))"
)


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """It works, and somebody may want to know."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    name: str
    state: State
    detail: str


async def examine(config: Config, data_dir: Path) -> list[Check]:
    """Every check, in the order in which one would repair things."""
    return [
        _python(),
        *await asyncio.to_thread(lambda: [*_ports(config), _directory(data_dir), _certificate(config), _pages()]),
        await _database(config, data_dir),
        await _encoders(),
    ]


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check("python", State.OK, f"{version} at {sys.executable}")


def _ports(config: Config) -> Iterator[Check]:
    listeners = [("http", config.http.port, True), ("rtmp", config.rtmp.port, config.rtmp.enabled)]
    for name, port, enabled in [*listeners, ("rtmps", config.rtmps.port, config.rtmps.enabled)]:
        if not enabled:
            yield Check(f"port of {name}", State.NOTE, "switched off")
        elif not _in_use(port):
            yield Check(f"port of {name}", State.OK, f"{port} is free")
        elif (owner := describe_port_owner(port)).startswith("ghostlive "):
            yield Check(f"port of {name}", State.OK, f"{port} is in use by {owner}")
        else:
            advice = f"end it, or set {name}.port"
            yield Check(f"port of {name}", State.WRONG, f"{port} is in use by {owner}; {advice}")


def _in_use(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - the server listens on every address too
        except OSError:
            return True
    return False


def _directory(data_dir: Path) -> Check:
    name = "data directory"
    if data_dir.exists() and not data_dir.is_dir():
        return Check(name, State.WRONG, f"{data_dir} is not a directory")
    existing = next(path for path in [data_dir.absolute(), *data_dir.absolute().parents] if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Check(name, State.WRONG, f"this user may not write to {existing}")
    free = shutil.disk_usage(existing).free
    text = f"{data_dir}{'' if data_dir.exists() else ' (made at first start)'}, {free / 1024**3:.1f} GiB free"
    if free < _NO_DISK:
        return Check(name, State.WRONG, f"{text}: too little for streams")
    return Check(name, State.NOTE if free < _LOW_DISK else State.OK, text)


def _certificate(config: Config) -> Check:
    name, file = "certificate", config.rtmps.certificate
    if not config.rtmps.enabled:
        return Check(name, State.NOTE, "RTMPS is switched off")
    if not file:
        return Check(
            name, State.NOTE, "self-signed for RTMPS; encoders that check need one of yours: rtmps.certificate"
        )
    try:
        pem = Path(file).read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        key_file = config.rtmps.key or file
        has_key = b"PRIVATE KEY-----" in Path(key_file).read_bytes()
    except (OSError, ValueError) as error:
        return Check(name, State.WRONG, f"rtmps.certificate cannot be used: {error}")
    if not has_key:
        return Check(name, State.WRONG, f"{key_file} has no private key; set rtmps.key to the file that has it")
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    if left.total_seconds() <= 0:
        return Check(name, State.WRONG, f"{file} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; renew it")
    state = State.NOTE if left.days < _RENEW_DAYS else State.OK
    return Check(name, state, f"{file} is valid for {left.days} more days")


def _pages() -> Check:
    pages = resources.files("ghostlive").joinpath("web", "static", "index.html")
    if pages.is_file():
        return Check("pages", State.OK, "built")
    return Check("pages", State.WRONG, "not built; run `make setup`, or install a wheel, which has them")


async def _database(config: Config, data_dir: Path) -> Check:
    name = "database"
    try:
        url = database_url(config.database, data_dir)
        if url.get_backend_name() == "sqlite" and not await asyncio.to_thread(Path(url.database or "").exists):
            return Check(name, State.OK, "made at first start")
        database = Database(config.database, data_dir)
        try:
            await database.start(upgrade=False)
            revision = await database.revision()
        finally:
            await database.stop()
    except GhostliveError as error:
        return Check(name, State.WRONG, str(error))
    if revision == HEAD:
        return Check(name, State.OK, f"schema revision {revision}")
    if revision is None or revision in REVISIONS:
        return Check(name, State.NOTE, f"schema revision {revision or 'none'}, upgraded to {HEAD} at next start")
    return Check(name, State.WRONG, f"schema revision {revision} is newer than this version, which knows {HEAD}")


async def _encoders() -> Check:
    """Asks a process of its own: nothing but workers loads FFmpeg into itself."""
    name = "encoders"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _ASK_ENCODERS,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaint = await process.communicate()
    if process.returncode:
        last = (complaint.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        return Check(name, State.WRONG, f"PyAV cannot be used: {last}")
    answer = json.loads(output)
    missing = [encoder for encoder in _ENCODERS if encoder not in answer["names"]]
    if missing:
        return Check(name, State.WRONG, f"PyAV {answer['av']} lacks {', '.join(missing)}; reinstall it from its wheel")
    return Check(name, State.OK, f"PyAV {answer['av']} with {', '.join(_ENCODERS)}")
