"""What moderators have set in one room, in memory: loaded with the room, changed only with what is stored."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from ghostlive.chat.limits import Rate
from ghostlive.chat.message import Message, More
from ghostlive.chat.moderation.rules import Rules
from ghostlive.chat.moderation.words import WordFilter
from ghostlive.chat.people import Author, Role

REMEMBERED: Final = 20_000
"""People of whom is known what they said last, and how long they have watched."""


@dataclass(frozen=True, slots=True)
class Held:
    """A message that waits for a moderator."""

    id: int
    author: Author
    txn: str = field(repr=False)
    text: str
    at: datetime
    """When it came, in UTC."""
    reason: str
    """Why it waits, as moderators read it."""
    post: str = field(repr=False)
    """All of it, as `Post.to_json` made it."""
    avatar: str | None = None
    """The path under which moderators get its author's picture."""
    more: More | None = None
    """What it has that is not plain text, with pictures where moderators get them."""

    def json(self) -> dict[str, Any]:
        """As moderators' pages get it."""
        at = self.at.isoformat(timespec="milliseconds")[:23] + "Z"
        return {
            "id": self.id,
            "at": at,
            "author": replace(self.author, avatar=self.avatar).members(),
            "text": self.text,
            "reason": " · ".join(self.reason.split("\n")),
            **({} if self.more is None else self.more.members()),
        }


@dataclass(frozen=True, slots=True)
class Moderator:
    """Somebody who was made a moderator of this chat alone."""

    subject: str
    """The author id of an account (`u_…`), or a Matrix ID."""
    name: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Trusted:
    """Somebody for whom most rules do not count."""

    author: str
    name: str
    by: str
    at: datetime


class RoomState:
    """The moderation of one room."""

    __slots__ = (
        "approved",
        "effective",
        "held",
        "held_keys",
        "held_of",
        "idle",
        "moderators",
        "pinned",
        "pinned_message",
        "rules",
        "said",
        "slow",
        "slow_for",
        "trusted",
        "warnings",
        "watched",
        "watched_news",
        "watching",
        "words",
    )

    def __init__(self) -> None:
        self.pinned: int | None = None
        """Id of the message that is pinned."""
        self.pinned_message: Message | None = None
        """The same, as far as it is known here."""
        self.warnings: dict[str, int] = {}
        """How often people were warned."""
        self.trusted: dict[str, Trusted] = {}
        """By author."""
        self.moderators: dict[str, Moderator] = {}
        """By account (author id) or Matrix ID."""
        self.held: dict[int, Held] = {}
        """What waits, in the order in which it came."""
        self.held_keys: dict[tuple[str, str], int] = {}
        """By author and txn: its id, 0 while it is being stored."""
        self.held_of: dict[str, int] = {}
        """How much waits of each author."""
        self.watched: dict[str, float] = {}
        """Seconds that people have watched."""
        self.watching: dict[str, float] = {}
        """When they said last that they do, by the monotonic clock."""
        self.watched_news: set[str] = set()
        """Whose seconds are not stored yet."""
        self.approved: set[str] = set()
        """Of whom a moderator has let a message through."""
        self.said: dict[tuple[str, str], float] = {}
        """What people said, and when by the monotonic clock; kept while duplicates are refused."""
        self.slow_for = 0.0
        self.slow = Rate(0, 0.0)
        self.rules = Rules()
        self.words: WordFilter | None = None
        self.set(self.rules, None)

    def filter_of(self, rules: Rules) -> WordFilter | None:
        """The filter of these rules. Raises `PatternError` when it has too much in it."""
        if rules.words == self.rules.words:
            return self.words
        return WordFilter(rules.words) if rules.words else None

    def set(self, rules: Rules, words: WordFilter | None) -> None:
        """These rules, with their filter, count from now on."""
        self.rules = rules
        self.effective = rules.effective()
        self.words = words
        if self.slow_for != self.effective.slow:
            self.slow_for = self.effective.slow
            self.slow = Rate(1 if self.slow_for else 0, self.slow_for, keys=REMEMBERED)
        self.idle = self.effective.plain
        """No rule needs a look at messages."""

    def named(self, author: Author) -> bool:
        """Whether they were made a moderator of this room."""
        moderators = self.moderators
        return bool(moderators) and (author.id in moderators or author.mxid in moderators)

    def moderates(self, author: Author) -> bool:
        """Whether they moderate this room, by their role or since they were named."""
        return author.role is not Role.GUEST or self.named(author)

    def add_held(self, held: Held) -> None:
        """One more message waits."""
        self.held[held.id] = held
        self.held_keys[held.author.id, held.txn] = held.id
        self.held_of[held.author.id] = self.held_of.get(held.author.id, 0) + 1

    def remove_held(self, held_id: int) -> Held | None:
        """It was decided."""
        held = self.held.pop(held_id, None)
        if held is not None:
            self.held_keys.pop((held.author.id, held.txn), None)
            left = self.held_of.get(held.author.id, 0) - 1
            if left > 0:
                self.held_of[held.author.id] = left
            else:
                self.held_of.pop(held.author.id, None)
        return held

    def held_by(self, author_id: str) -> list[int]:
        """What waits of one author, in order."""
        return [held.id for held in self.held.values() if held.author.id == author_id]

    def remember_watched(self, seconds: Iterable[tuple[str, float]]) -> None:
        """As it was stored."""
        self.watched.update(seconds)
