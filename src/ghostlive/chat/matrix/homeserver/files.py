"""What a homeserver needs to be the same again after a restart: its name, secrets and signing key.

All of it is in the data directory's `matrix/`, which nobody else may enter; each file is written whole or not at all.
Losing it means new identities: rooms and users of the old name are then out of reach for ever.
"""

import base64
import json
import os
import secrets
import stat
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

import structlog

from ghostlive.core.errors import ConfigurationError

_log = structlog.get_logger("matrix")

FOLDER: Final = "matrix"
_SECRETS: Final = "secrets.json"
_NAME: Final = "server_name"
_KEY: Final = "signing.key"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Random texts that were made at the first start."""

    as_token: str = field(repr=False)
    hs_token: str = field(repr=False)
    macaroon_secret_key: str = field(repr=False)
    form_secret: str = field(repr=False)
    registration_shared_secret: str = field(repr=False)
    """Who knows it can make users, also admins."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What is kept of one homeserver. `load` reads it, and makes what is missing."""

    folder: Path
    server_name: str
    secrets: Secrets

    @property
    def signing_key(self) -> Path:
        """The file with the key by which other homeservers know ours."""
        return self.folder / _KEY


def load(data: Path, server_name: str) -> Identity:
    """The identity of the homeserver in the data directory, made for `server_name` when there is none.

    Its name is that of its first start, whatever `server_name` says now. Blocks on files. Raises `ConfigurationError`.
    """
    folder = data / FOLDER
    try:
        private_folder(folder)
        name = folder / _NAME
        if not name.exists():
            write_private(name, f"{server_name}\n")
        kept = name.read_text().strip()
        key = folder / _KEY
        if not key.exists():
            # As `signedjson` writes it: algorithm, version, the seed in base64 without padding.
            seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
            write_private(key, f"ed25519 a_{secrets.token_hex(2)} {seed}\n")
        return Identity(folder, kept, load_secrets(data))
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be used for the homeserver: {error.strerror}") from error


def kept_secrets(data: Path) -> Secrets | None:
    """The secrets; None when none were made. Blocks on files. Raises `ConfigurationError`."""
    return load_secrets(data) if (data / FOLDER / _SECRETS).exists() else None


def load_secrets(data: Path) -> Secrets:
    """The secrets, made when there are none; with an external homeserver only the tokens count.

    Blocks on files. Raises `ConfigurationError`.
    """
    path = data / FOLDER / _SECRETS
    names = [item.name for item in fields(Secrets)]
    try:
        private_folder(path.parent)
        if not path.exists():
            made = Secrets(**{name: secrets.token_urlsafe(32) for name in names})
            write_private(path, json.dumps(asdict(made), indent=2) + "\n", replace=False)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            _log.warning("others could read the homeserver's secrets; that is over", file=str(path))
            path.chmod(0o600)
        content = json.loads(path.read_text())
        return Secrets(**{name: str(content[name]) for name in names})
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read or made: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} is damaged: put back a backup of it") from error


def private_folder(path: Path) -> None:
    """Make a folder that only this user may enter, also when others could until now. Raises OSError."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o700)


def write_private(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a file that only this user may read, whole or not at all. Without `replace`, one that is there stays."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                return
    finally:
        draft.unlink(missing_ok=True)
