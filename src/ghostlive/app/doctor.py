"""`ghostlive doctor`: what keeps this server from working, each with what to do about it.

It changes nothing: no directory is made, no database migrated.
"""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from cryptography import x509

from ghostlive.app.config import Config
from ghostlive.app.findings import Check, State
from ghostlive.app.matrixcheck import examine_matrix
from ghostlive.app.ports import describe_port_owner
from ghostlive.core.errors import GhostliveError
from ghostlive.db.engine import Database, database_url
from ghostlive.db.migrate import HEAD, REVISIONS
from ghostlive.protocols.webrtc.addresses import PublicAddress, interface_addresses
from ghostlive.protocols.webrtc.fanout.choose import make_kernel
from ghostlive.protocols.webrtc.turn import TurnServers
from ghostlive.transcode.probe import ENCODERS, EncoderProbe, Prober, probe_encoders
from ghostlive.web import sending

__all__ = ["Check", "State", "examine"]

_LOW_DISK = 5 * 1024**3
_NO_DISK = 200 * 1024**2
_RENEW_DAYS = 14


async def examine(config: Config, data_dir: Path, *, probe: Prober = probe_encoders) -> list[Check]:
    """Every check, in the order in which one would repair things. `probe` tries encoders."""
    return [
        _python(),
        *await asyncio.to_thread(lambda: _files_and_sockets(config, data_dir)),
        await _database(config, data_dir),
        *await examine_matrix(config, data_dir),
        *await _encoders(config, probe),
    ]


def _files_and_sockets(config: Config, data_dir: Path) -> list[Check]:
    return [
        *_ports(config),
        _addresses(config),
        *_fanout(config),
        _directory(data_dir),
        _certificate(config),
        _pages(),
    ]


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check("python", State.OK, f"{version} at {sys.executable}")


def _ports(config: Config) -> Iterator[Check]:
    listeners = (
        ("http", config.http.port, True),
        ("rtmp", config.rtmp.port, config.rtmp.enabled),
        ("rtmps", config.rtmps.port, config.rtmps.enabled),
        ("webrtc", config.webrtc.port, config.webrtc.enabled),
    )
    for name, port, enabled in listeners:
        if not enabled:
            yield Check(f"port of {name}", State.NOTE, "switched off")
        elif not _in_use(port) and not (name == "webrtc" and _in_use(port, socket.SOCK_DGRAM)):
            yield Check(f"port of {name}", State.OK, f"{port} is free")
        elif (owner := describe_port_owner(port)).startswith("ghostlive "):
            yield Check(f"port of {name}", State.OK, f"{port} is in use by {owner}")
        else:
            advice = f"end it, or set {name}.port"
            yield Check(f"port of {name}", State.WRONG, f"{port} is in use by {owner}; {advice}")


def _in_use(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - the server listens on every address too
        except OSError:
            return True
    return False


def _addresses(config: Config) -> Check:
    """Whether viewers on the Internet learn of an address that they can reach."""
    name, webrtc = "WebRTC addresses", config.webrtc
    if not webrtc.enabled:
        return Check(name, State.NOTE, "WebRTC is switched off (webrtc.enabled)")
    try:
        configured = [PublicAddress.parse(text) for text in webrtc.public_addresses]
        TurnServers(webrtc.turn_urls, webrtc.turn_secret, webrtc.turn_ttl)
    except GhostliveError as error:
        return Check(name, State.WRONG, str(error))
    if configured:
        return Check(name, State.OK, ", ".join(str(one.address) for one in configured))
    if webrtc.stun_server:
        return Check(name, State.OK, f"those of this machine, and what {webrtc.stun_server} sees")
    found = interface_addresses()
    told = ", ".join(str(address) for address in found) or "none but this machine's own"
    if any(address.is_global for address in found):
        return Check(name, State.OK, told)
    return Check(
        name,
        State.NOTE,
        f"{told}: nobody on the Internet reaches those. Behind a NAT, forward port {webrtc.port} by UDP and TCP, "
        "and set webrtc.public_addresses (or webrtc.stun_server, which finds the address out)",
    )


def _fanout(config: Config) -> Iterator[Check]:
    """Whether what sends to many viewers was compiled."""
    if config.chat.enabled and sending.send_each is None:
        yield Check(
            "chat sending",
            State.NOTE,
            "in Python, which takes an eighth more; install again with a C compiler and the headers of Python",
        )
    if not config.webrtc.enabled:
        return
    if make_kernel(-1).native:
        yield Check("WebRTC sending", State.OK, "compiled")
    else:
        yield Check(
            "WebRTC sending",
            State.NOTE,
            "in Python, for a few dozen viewers; install again with a C compiler and the headers of Python and OpenSSL",
        )


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


async def _encoders(config: Config, probe: Prober) -> list[Check]:
    """What encodes here, and why the rest does not: each was tried with real pictures."""
    order = config.transcode.encoders
    if not config.transcode.enabled:
        return [Check("encoders", State.NOTE, "transcoding is switched off (transcode.enabled)")]
    found = await probe(order)
    checks = [_encoder(kind, [result for result in found if result.name == kind]) for kind in dict.fromkeys(order)]
    if not any(result.works and result.ffmpeg_name == ENCODERS[result.name][0] for result in found):
        advice = "" if "software" in order else "; add software to transcode.encoders"
        checks.append(
            Check("encoders", State.WRONG, f"none makes H.264, so there is the source's quality only{advice}")
        )
    return checks


def _encoder(kind: str, found: list[EncoderProbe]) -> Check:
    works = [result.ffmpeg_name for result in found if result.works]
    failed = [result for result in found if not result.works]
    # What is missing of software is a broken installation; hardware is not there most of the time.
    state = State.OK if not failed else State.WRONG if kind == "software" else State.OK if works else State.NOTE
    details = [f"{', '.join(works)}"] if works else []
    if works and failed:
        details += [f"{result.ffmpeg_name} does not work: {result.reason}" for result in failed]
    elif failed:
        details += dict.fromkeys(result.reason for result in failed)
    return Check(f"encoder {kind}", state, "; ".join(details))
