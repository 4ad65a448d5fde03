"""A message as everybody sees it, encoded once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from json.encoder import encode_basestring as _text  # with its quotes; the one written in C where there is one
from typing import Any, Final, NamedTuple

from ghostlive.chat.people import Author, Role, to_json
from ghostlive.db.chat import MessageRecord

_QUOTED: Final = 140
"""Characters of a message that are shown above a reply to it."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What a reply answers. `text` is None when that message is gone."""

    id: int
    name: str
    text: str | None


class More(NamedTuple):
    """What messages may have that are not plain text."""

    kind: "Kind"
    html: str | None = None
    """Made safe already (`matrix.sanitize`)."""
    media: Mapping[str, Any] | None = None
    """As on the wire: `url`, `type`, `width`, `height`, `size`, `alt`, `thumb`."""
    edited: datetime | None = None

    def members(self) -> dict[str, Any]:
        """As on the wire."""
        members: dict[str, Any] = {}
        if self.kind is not Kind.TEXT:
            members["kind"] = self.kind.value
        if self.html is not None:
            members["html"] = self.html
        if self.media is not None:
            members["media"] = self.media
        if self.edited is not None:
            members["edited"] = self.edited.isoformat(timespec="milliseconds")[:23] + "Z"
        return members


class Reactions:
    """Who reacted to one message, and with what."""

    __slots__ = ("_authors",)

    def __init__(self) -> None:
        self._authors: dict[str, set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._authors)

    def __len__(self) -> int:
        return len(self._authors)

    def __contains__(self, key: str) -> bool:
        return key in self._authors

    def set(self, author_id: str, key: str, on: bool) -> bool:
        """`author_id` reacts with `key`, or not any more; whether that is a change."""
        authors = self._authors.get(key)
        if on:
            if authors is None:
                authors = self._authors[key] = set()
            elif author_id in authors:
                return False
            authors.add(author_id)
            return True
        if authors is None or author_id not in authors:
            return False
        authors.remove(author_id)
        if not authors:
            del self._authors[key]
        return True

    def of(self, author_id: str) -> list[str]:
        """With what `author_id` reacted."""
        return [key for key, authors in self._authors.items() if author_id in authors]

    def counts(self) -> tuple[tuple[str, int], ...]:
        """Keys in the order in which they came, and how many people each has."""
        return tuple([(key, len(authors)) for key, authors in self._authors.items()])

    def members(self) -> list[dict[str, Any]]:
        """As on the wire."""
        return [{"key": key, "count": len(authors)} for key, authors in self._authors.items()]


class Kind(StrEnum):
    """What a message is."""

    TEXT = "text"
    NOTICE = "notice"
    """Said by a program."""
    EMOTE = "emote"
    """What somebody does: shown after their name."""
    IMAGE = "image"
    STICKER = "sticker"
    UNREADABLE = "unreadable"
    """Encrypted, so that only Matrix clients can read it."""


class Message:
    """A message that is stored."""

    __slots__ = (
        "author",
        "changed",
        "id",
        "json",
        "more",
        "origin",
        "quote",
        "reactions",
        "sent_at",
        "text",
        "txn",
    )

    def __init__(
        self,
        message_id: int,
        author: Author,
        *,
        txn: str,
        text: str,
        sent_at: datetime,
        quote: Quote | None,
        origin: str = "",
        more: "More | None" = None,
    ) -> None:
        """`sent_at` is in UTC; `origin` is the hash of the address from which it came, empty when it is forgotten.

        `more` is what plain text does not have.
        """
        self.id = message_id
        self.author = author
        self.txn = txn
        self.text = text
        self.sent_at = sent_at
        self.quote = quote
        self.origin = origin
        self.reactions: Reactions | None = None
        self.changed = 0
        """The number of the last edit or reaction."""
        self.more = more
        self.json = self._encode()

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind.TEXT if self.more is None else self.more.kind

    @property
    def html(self) -> str | None:
        """How it looks, where that is more than its text."""
        return None if self.more is None else self.more.html

    @property
    def media(self) -> Mapping[str, Any] | None:
        """Its picture."""
        return None if self.more is None else self.more.media

    @property
    def edited(self) -> datetime | None:
        """When it was changed last."""
        return None if self.more is None else self.more.edited

    def _encode(self) -> str:
        at = self.sent_at.isoformat(timespec="milliseconds")[:23]
        quote = self.quote
        if quote is None:
            reply = "null"
        else:
            words = "null" if quote.text is None else _text(quote.text)
            reply = f'{{"id":{quote.id},"name":{_text(quote.name)},"text":{words}}}'
        rest = "" if self.more is None and self.reactions is None else self._encode_rest()
        return (
            f'{{"id":{self.id},"at":"{at}Z","author":{self.author.json},"text":{_text(self.text)},"reply":{reply}'
            f"{rest}}}"
        )

    def _encode_rest(self) -> str:
        members = {} if self.more is None else self.more.members()
        if self.reactions:
            members["reactions"] = self.reactions.members()
        return "," + to_json(members)[1:-1] if members else ""

    def edit(self, text: str, html: str | None, edited: datetime, media: Mapping[str, Any] | None = None) -> None:
        """It says something else now; `edited` is in UTC. A picture stays as it is unless there is another one."""
        self.text = text
        self.more = More(self.kind, html, self.media if media is None else media, edited)
        self.json = self._encode()

    def react(self, author_id: str, key: str, on: bool) -> bool:
        """Somebody reacts, or takes that back; whether this changes anything."""
        if self.reactions is None:
            self.reactions = Reactions()
        changed = self.reactions.set(author_id, key, on)
        if not self.reactions:
            self.reactions = None
        if changed:
            self.json = self._encode()
        return changed

    def quoted(self) -> Quote:
        """This message above a reply to it."""
        return make_quote(self.id, self.author.name, self.text, self.kind)

    def quote_again(self, answered: "Message") -> None:
        """The message that this one answers says something else now."""
        self.quote = answered.quoted()
        self.json = self._encode()

    def forget_quoted(self) -> None:
        """The message that this one answers is gone."""
        if self.quote is not None and self.quote.text is not None:
            self.quote = Quote(self.quote.id, self.quote.name, None)
            self.json = self._encode()


def make_quote(message_id: int, name: str, text: str, kind: Kind = Kind.TEXT) -> Quote:
    """A message above a reply to it, shortened to one line."""
    if kind is Kind.EMOTE:
        text = f"{name} {text}"
    line = " ".join(text[: _QUOTED + 1].split())
    return Quote(message_id, name, line if len(line) <= _QUOTED else line[: _QUOTED - 1].rstrip() + "…")


def from_record(record: MessageRecord) -> Message:
    """A message as it was stored."""
    quote = None
    if record.reply_to is not None and record.reply_name is not None:
        quote = make_quote(record.reply_to, record.reply_name, record.reply_text or "")
        if record.reply_text is None:
            quote = Quote(quote.id, quote.name, None)
    avatar = media = None
    if record.extra is not None:
        extra = json.loads(record.extra)
        avatar, media = extra.get("avatar"), extra.get("media")
    author = Author(record.author, record.name, _ROLES.get(record.role, Role.GUEST), record.mxid, avatar)
    sent_at = record.sent_at.astimezone(UTC)
    more = None
    if record.kind != "text" or record.html is not None or record.edited_at is not None:
        edited = None if record.edited_at is None else record.edited_at.astimezone(UTC)
        more = More(Kind(record.kind), record.html, media, edited)
    message = Message(record.id, author, txn=record.txn, text=record.text, sent_at=sent_at, quote=quote, more=more)
    message.changed = record.changed_seq or 0
    return message


_ROLES: Final = {role.value: role for role in Role}
