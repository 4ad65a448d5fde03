"""Stream keys: made here, shown once, stored as a hash.

A key is 160 random bits, so nobody guesses one, however fast they try: SHA-256 is enough, and it lets the database find
a key by its hash with one look at an index. Argon2 is for what people choose themselves (`passwords`); here it would
cost 50 ms of processor for every connection of everybody who tries. Comparing hashes also tells an attacker
nothing by its timing, since they cannot choose the hash of what they send.
"""

import hashlib
import secrets
from base64 import b32encode
from dataclasses import dataclass, field

from ghostlive.db.streams import KeyRecord, NewKey, StreamRepository

PREFIX = "gl_"
_LENGTH = len(PREFIX) + 32


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key just made. Its secret exists only here; let the owner see it and forget it."""

    secret: str = field(repr=False)
    record: KeyRecord


def make_secret() -> str:
    """A new key: `gl_` and 32 small letters and digits, safe in URLs, file names and as an RTMP stream name."""
    return PREFIX + b32encode(secrets.token_bytes(20)).decode().lower()


def hash_secret(secret: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


def looks_like_key(text: str) -> bool:
    """Whether `text` has the form of a key, which a stream's name never has by accident."""
    return text.startswith(PREFIX) and len(text) == _LENGTH


def stored(secret: str, label: str = "") -> NewKey:
    """The part of a key that the database keeps."""
    return NewKey(key_hash=hash_secret(secret), hint=secret[-4:], label=label)


async def add_key(streams: StreamRepository, stream: str, *, label: str = "") -> IssuedKey:
    """Give a stream one more key. Raises `NotFoundError`."""
    secret = make_secret()
    return IssuedKey(secret, await streams.add_key(stream, stored(secret, label)))


async def rotate_key(streams: StreamRepository, stream: str, *, label: str = "") -> IssuedKey:
    """Give a stream a new key and revoke all its others. Raises `NotFoundError`."""
    secret = make_secret()
    return IssuedKey(secret, await streams.rotate_keys(stream, stored(secret, label)))
