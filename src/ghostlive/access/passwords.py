"""Passwords: Argon2id with the parameters of RFC 9106 §4 (second choice: 64 MiB, 3 passes, 4 lanes)."""

import asyncio
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ghostlive.core.errors import RefusedError

MIN_LENGTH = 10
MAX_LENGTH = 1024
_hasher = PasswordHasher()


@cache
def _nobody() -> str:
    return _hasher.hash("nobody has this password")


def check_password_rules(password: str) -> None:
    """Raise `RefusedError` when `password` is too short or too long to be one."""
    if len(password) < MIN_LENGTH:
        raise RefusedError(f"a password needs at least {MIN_LENGTH} characters; a few words make a good one")
    if len(password) > MAX_LENGTH:
        raise RefusedError(f"a password may have at most {MAX_LENGTH} characters")


async def hash_password(password: str) -> str:
    """The hash to store. Keeps a thread busy for some 50 ms."""
    check_password_rules(password)
    return await asyncio.to_thread(_hasher.hash, password)


async def verify_password(password: str, stored: str | None) -> bool:
    """Whether `password` belongs to the hash; as slow for `None` (no such user), so that names cannot be probed."""
    try:
        await asyncio.to_thread(lambda: _hasher.verify(stored or _nobody(), password))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
