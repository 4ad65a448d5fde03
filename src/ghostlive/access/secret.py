"""The server's secret: 32 random bytes in the data directory, made at the first start and never shown.

What strangers must not be able to compute or check (hashes of addresses, marks of browsers that we know) is a keyed
hash with it. A copy of the data directory takes it along; without it those hashes mean nothing any more.
"""

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Final

import structlog

from ghostlive.core.errors import ConfigurationError

_log = structlog.get_logger("access")

FILE_NAME: Final = "secret"
LENGTH: Final = 32


async def load_secret(data: Path) -> bytes:
    """The secret of this data directory, made when there is none. Raises `ConfigurationError`."""
    return await asyncio.to_thread(_load, data / FILE_NAME)


def keyed_hash(secret: bytes, purpose: str, text: str) -> str:
    """HMAC-SHA256 of `text` in hexadecimal. Hashes for one `purpose` say nothing about those for another."""
    # Texts of strangers may hold half of a surrogate pair; each still has its own hash.
    message = f"{purpose}\0{text}".encode("utf-8", "surrogatepass")
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


def _load(path: Path) -> bytes:
    try:
        if not path.exists():
            _make(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            _log.warning("others could read the server's secret; that is over", file=str(path))
            path.chmod(0o600)
        secret = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the server's secret {path} cannot be read or made: {error.strerror}") from error
    if len(secret) != LENGTH:
        raise ConfigurationError(
            f"the server's secret {path} is damaged: put back a backup of it, or remove the file, which makes banned "
            "addresses unknown"
        )
    return secret


def _make(path: Path) -> None:
    """Make the file whole or not at all; when another process is faster, theirs counts."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(LENGTH))
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never replaces what is there.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
