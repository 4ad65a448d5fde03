"""Who is who: authors, guests and their tokens, and who is present in one chat."""

import hashlib
import re
import secrets
import string
from base64 import b32encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from json.encoder import JSONEncoder

from ghostlive.chat.identity import Origin
from ghostlive.chat.names import skeleton

to_json = JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
"""JSON as it goes on the wire."""

_ALPHABET = string.ascii_lowercase + string.digits
_TOKEN = re.compile(r"[a-z2-7]{32}", re.ASCII)


class Role(StrEnum):
    """How a page marks an author."""

    GUEST = "guest"
    MODERATOR = "moderator"
    STREAMER = "streamer"


@dataclass(frozen=True, slots=True)
class Author:
    """Somebody with a name, as everybody sees them."""

    id: str
    """`g_…` for guests, `u_…` for accounts, `m_…` for users of Matrix (`matrix_author_id`)."""
    name: str
    role: Role = Role.GUEST
    mxid: str | None = None
    """The Matrix ID of who comes from there."""
    avatar: str | None = None
    """The path of their picture on this server."""
    json: str = field(init=False, repr=False, compare=False)
    """Encoded once: it is in each of their messages."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "json", to_json(self.members()))

    def members(self) -> dict[str, object]:
        """As pages get it."""
        members: dict[str, object] = {"id": self.id, "name": self.name, "hue": hue(self.id), "role": self.role.value}
        if self.mxid is not None:
            members["matrix"] = self.mxid
        if self.avatar is not None:
            members["avatar"] = self.avatar
        return members

    @property
    def moderates(self) -> bool:
        """Whether they may moderate, as far as their mark says so."""
        return self.role is not Role.GUEST


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody without an account whom a token makes the same again."""

    id: str
    name: str
    address_hash: str = field(repr=False)
    """From where they came last."""
    seen_at: datetime
    created_at: datetime
    """When they came for the first time."""


class Visitor:
    """Somebody who has a page open, as the rules see them."""

    __slots__ = (
        "account", "alive_at", "author", "guest", "media_since", "moderates", "mxid", "origin", "watched", "worked",
    )  # fmt: skip

    def __init__(
        self, origin: Origin, *, author: Author | None = None, account: bool = False, moderates: bool = False
    ) -> None:
        """`account`: they have signed in, and speak under that name."""
        self.origin = origin
        self.author = author
        self.account = account
        self.moderates = moderates
        self.guest: Guest | None = None
        """Whom their token names; they may still be without a name."""
        self.mxid: str | None = None
        """The Matrix ID that this browser or account has proven to be theirs (`chat.matrix.codes`)."""
        self.worked = False
        """Their browser has solved what new guests are given here (`chat.work`)."""
        self.watched = 0.0
        """Seconds that this page has played, as far as it is known."""
        self.alive_at: float | None = None
        """When it said last that it does, by the monotonic clock."""
        self.media_since: Callable[[], float | None] = _never
        """Since when their player really gets the stream, by the monotonic clock (`chat.attendance`)."""

    @property
    def id(self) -> str | None:
        """The author that they are, or would be."""
        if self.author is not None:
            return self.author.id
        return None if self.guest is None else self.guest.id

    @property
    def matrix_id(self) -> str | None:
        """The Matrix ID that they have, by whatever way they came."""
        if self.mxid is not None or self.author is None:
            return self.mxid
        return self.author.mxid


def _never() -> None:
    return None


def hue(author_id: str) -> int:
    """The colour of an author, in degrees: the same at every time and on every server."""
    return int.from_bytes(hashlib.sha256(author_id.encode()).digest()[:4], "big") % 360


@lru_cache(4096)
def matrix_author_id(mxid: str) -> str:
    """The id of a user of Matrix: nobody can choose one, and it fits where guests' ids do."""
    return "m_" + b32encode(hashlib.sha256(mxid.encode()).digest()).decode().lower()[:14]


def make_guest_id() -> str:
    """A new guest's id; nobody has it but them."""
    return "g_" + "".join(secrets.choice(_ALPHABET) for _ in range(10))


def make_token() -> str:
    """160 random bits that make a reload the same guest."""
    return b32encode(secrets.token_bytes(20)).decode().lower()


def hash_token(token: str) -> str | None:
    """What is stored of a token; None when it cannot be one."""
    return hashlib.sha256(token.encode()).hexdigest() if _TOKEN.fullmatch(token) else None


class People:
    """Who has one chat open. Somebody with several pages counts once; who has no name counts for each page."""

    def __init__(self) -> None:
        self._nameless = 0
        self._pages: dict[str, int] = {}
        self._authors: dict[str, Author] = {}
        self._names: dict[str, str] = {}

    def __len__(self) -> int:
        return self._nameless + len(self._authors)

    def __iter__(self) -> Iterator[Author]:
        return iter(self._authors.values())

    def get(self, author_id: str) -> Author | None:
        """Who is present under that id."""
        return self._authors.get(author_id)

    def holder(self, name: str) -> str | None:
        """The id of who is present under this name or one that looks like it."""
        return self._names.get(skeleton(name))

    def pages(self, author_id: str) -> int:
        """How many pages somebody has open."""
        return self._pages.get(author_id, 0)

    def arrive(self, author: Author | None) -> None:
        """One more page, of `author` or of somebody without a name."""
        if author is None:
            self._nameless += 1
            return
        self._pages[author.id] = self._pages.get(author.id, 0) + 1
        self._authors.setdefault(author.id, author)
        self.rename(author)

    def depart(self, author: Author | None) -> None:
        """One page less; the opposite of `arrive`."""
        if author is None:
            self._nameless -= 1
            return
        self._pages[author.id] -= 1
        if not self._pages[author.id]:
            del self._pages[author.id]
            self._release(self._authors.pop(author.id))

    def rename(self, author: Author) -> None:
        """Who is present under that id has this name now."""
        if (before := self._authors.get(author.id)) is not None:
            self._release(before)
            self._authors[author.id] = author
            self._names.setdefault(skeleton(author.name), author.id)

    def _release(self, author: Author) -> None:
        name = skeleton(author.name)
        if self._names.get(name) == author.id:
            del self._names[name]
