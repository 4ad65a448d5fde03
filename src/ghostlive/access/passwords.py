"""Passwords: Argon2id with the parameters of RFC 9106 §4 (second choice: 64 MiB, 3 passes, 4 lanes)."""

import asyncio
import secrets
import unicodedata
from base64 import b64encode

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ghostlive.access.limits import Turns
from ghostlive.core.errors import RefusedError

MIN_LENGTH = 10
MAX_LENGTH = 1024
_hasher = PasswordHasher()


def _unmatched_hash() -> str:
    """A hash as strong as any other, that no password is known to belong to; made without the work of making one."""
    salt, digest = (
        b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (_hasher.salt_len, _hasher.hash_len)
    )
    costs = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"


_NOBODY = _unmatched_hash()


def check_password_rules(password: str) -> None:
    """Raise `RefusedError` when `password` is too short or too long to be one."""
    if len(password) < MIN_LENGTH:
        raise RefusedError(f"a password needs at least {MIN_LENGTH} characters; a few words make a good one")
    if len(password) > MAX_LENGTH:
        raise RefusedError(f"a password may have at most {MAX_LENGTH} characters")
    if not _is_text(password):
        raise RefusedError("this password has characters that are no text; type it in UTF-8")


async def hash_password(password: str) -> str:
    """The hash to store. Keeps a thread busy for some 50 ms."""
    check_password_rules(password)
    return await asyncio.to_thread(_hash, password)


async def verify_password(password: str, stored: str | None) -> bool:
    """Whether `password` belongs to the hash; as slow for `None` (no such user), so that names cannot be probed."""
    return await asyncio.to_thread(_verify, password, stored)


class Passwords:
    """The same for a server, where strangers decide how often: at most two at once, since each takes 64 MiB."""

    def __init__(self, *, at_once: int = 2, waiting: int = 32) -> None:
        """See `Turns`."""
        self._turns = Turns(at_once=at_once, waiting=waiting)

    async def hash(self, password: str) -> str:
        """The hash to store. Raises `RefusedError` by the rules, `TooBusyError`."""
        check_password_rules(password)
        return await self._turns.run(lambda: _hash(password), first=True)

    async def verify(self, password: str, stored: str | None, *, first: bool) -> bool:
        """See `verify_password`; `first` is for those who are known. Raises `TooBusyError`."""
        return await self._turns.run(lambda: _verify(password, stored), first=first)


def _hash(password: str) -> str:
    return _hasher.hash(_normal(password))


def _verify(password: str, stored: str | None) -> bool:
    try:
        _hasher.verify(stored or _NOBODY, _normal(password))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def _normal(password: str) -> bytes:
    """The same bytes however a keyboard composes its letters (RFC 8265 §4.2 asks for NFC)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _is_text(password: str) -> bool:
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True
