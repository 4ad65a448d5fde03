"""What one chat is at this moment: its last messages, what was deleted, who is here, who is banned.

Only the service changes a room, and only with what is stored already; that happens where nothing awaits, so whoever
looks sees a whole state. Numbers (`seq`) only grow, and what has a number is told in its order.
"""

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final, Protocol

from ghostlive.chat.bans import Ban, Bans
from ghostlive.chat.errors import ChatError
from ghostlive.chat.message import Kind, Message, More, Quote
from ghostlive.chat.moderation.acts import Act, Actor, Via
from ghostlive.chat.moderation.state import Held, RoomState
from ghostlive.chat.people import Author, People, Role, to_json
from ghostlive.db.chat import MediaRecord, ReactionRecord, StreamKey

DELETIONS: Final = 1000
"""How many deletions a room remembers for pages that come back."""
_SHADOWS, _SHADOWED = 50, 500
"""Messages of one author that only they see, and authors of such."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """Somebody reacted to a message, or took that back."""

    seq: int
    message_id: int
    author: Author
    key: str
    on: bool
    reactions: tuple[tuple[str, int], ...]
    """What the message has now: keys and how many people each has; empty when the room does not keep it any more."""
    via: Via
    event_id: str | None = None
    """The event that it was in Matrix, if it came from there."""


@dataclass(frozen=True, slots=True)
class Emote:
    """A picture that is written as `:code:`."""

    code: str
    url: str
    """Its path on this server."""
    mxc: str


class RoomListener(Protocol):
    """Who tells the viewers. Called where nothing may await or fail."""

    def said(self, message: Message) -> None:
        """A message is stored."""

    def edited(self, message: Message, seq: int, actor: Actor) -> None:
        """A message says something else now; it may be one that the room does not keep any more."""

    def deleted(self, seq: int, ids: Sequence[int], actor: Actor) -> None:
        """Messages are gone."""

    def reacted(self, reaction: Reaction) -> None:
        """Somebody reacted to a message, or took that back."""

    def acted(self, act: Act) -> None:
        """Something was done by who moderates."""

    def held(self, added: Sequence[Held], removed: Sequence[int]) -> None:
        """What waits for a moderator is more, or less."""

    def emotes(self) -> None:
        """The room has other emotes."""

    def banned(self, ban: Ban) -> None:
        """A ban begins."""

    def lifted(self, ban: Ban) -> None:
        """A ban is over before its time."""

    def listed(self) -> None:
        """Policy lists that count here name other people now."""

    def closed(self, reason: str) -> None:
        """The room is no more."""


class Quiet:
    """A `RoomListener` to whom nothing matters; for those to whom something does."""

    def said(self, message: Message) -> None:
        """See `RoomListener.said`."""

    def edited(self, message: Message, seq: int, actor: Actor) -> None:
        """See `RoomListener.edited`."""

    def deleted(self, seq: int, ids: Sequence[int], actor: Actor) -> None:
        """See `RoomListener.deleted`."""

    def reacted(self, reaction: Reaction) -> None:
        """See `RoomListener.reacted`."""

    def acted(self, act: Act) -> None:
        """See `RoomListener.acted`."""

    def held(self, added: Sequence[Held], removed: Sequence[int]) -> None:
        """See `RoomListener.held`."""

    def emotes(self) -> None:
        """See `RoomListener.emotes`."""

    def banned(self, ban: Ban) -> None:
        """See `RoomListener.banned`."""

    def lifted(self, ban: Ban) -> None:
        """See `RoomListener.lifted`."""

    def listed(self) -> None:
        """See `RoomListener.listed`."""

    def closed(self, reason: str) -> None:
        """See `RoomListener.closed`."""


class Receipt(Protocol):
    """Who is told what became of a message."""

    def stored(self, txn: str, message_id: int) -> None:
        """It is stored, and nobody has seen it yet."""

    def refused(self, txn: str, error: ChatError) -> None:
        """It is not stored."""

    def held(self, txn: str, text: str) -> None:
        """It waits for a moderator; `text` says why."""

    def shadowed(self, txn: str, message: Message) -> None:
        """Only its author is to see it, and to believe that it was said."""


class Post:
    """A message on its way into the database."""

    __slots__ = (
        "at",
        "author",
        "event_id",
        "media",
        "more",
        "origin",
        "quote",
        "receipts",
        "reply_to",
        "room",
        "seq",
        "text",
        "txn",
    )

    def __init__(
        self,
        room: "Room",
        author: Author,
        *,
        txn: str,
        text: str,
        at: datetime,
        reply_to: int | None,
        origin: str,
        receipt: Receipt,
        more: More | None = None,
        event_id: str | None = None,
        media: Sequence[MediaRecord] = (),
    ) -> None:
        """`at` is when it came, in UTC; `origin` from which address, as a hash.

        `more` is what plain text does not have, `event_id` the event that it was in Matrix, `media` what pages may get
        from the homeserver for it.
        """
        self.room = room
        self.author = author
        self.txn = txn
        self.text = text
        self.at = at
        self.reply_to = reply_to
        self.origin = origin
        self.receipts = [receipt]
        self.seq = 0
        """Its id, once it has one."""
        self.quote: Quote | None = None
        self.more = more
        self.event_id = event_id
        self.media = media

    def to_json(self) -> str:
        """All that is needed to make it again (`from_json`) when it waited for a moderator."""
        author = self.author
        members: dict[str, Any] = {
            "author": [author.id, author.name, author.role.value, author.mxid, author.avatar],
            "txn": self.txn,
            "text": self.text,
            "at": self.at.isoformat(),
            "reply_to": self.reply_to,
            "origin": self.origin,
        }
        if self.more is not None:
            members["more"] = [self.more.kind.value, self.more.html, self.more.media]
        if self.event_id is not None:
            members["event_id"] = self.event_id
        if self.media:
            members["media"] = [[one.id, one.mxc, one.type] for one in self.media]
        return to_json(members)

    @classmethod
    def from_json(cls, room: "Room", text: str) -> "Post":
        """What `to_json` gave, without receipts. Raises ValueError, KeyError or TypeError for what it did not give."""
        members = json.loads(text)
        author_id, name, role, mxid, avatar = members["author"]
        more = None
        if "more" in members:
            kind, html, media = members["more"]
            more = More(Kind(kind), html, media)
        post = cls(
            room,
            Author(author_id, name, Role(role), mxid, avatar),
            txn=members["txn"],
            text=members["text"],
            at=datetime.fromisoformat(members["at"]),
            reply_to=members["reply_to"],
            origin=members["origin"],
            receipt=_NOBODY,
            more=more,
            event_id=members.get("event_id"),
            media=[MediaRecord(*one) for one in members.get("media", ())],
        )
        post.receipts.clear()
        return post


class _Nobody:
    """A receipt that nobody waits for."""

    def stored(self, txn: str, message_id: int) -> None:
        """See `Receipt.stored`."""

    def refused(self, txn: str, error: ChatError) -> None:
        """See `Receipt.refused`."""

    def held(self, txn: str, text: str) -> None:
        """See `Receipt.held`."""

    def shadowed(self, txn: str, message: Message) -> None:
        """See `Receipt.shadowed`."""


_NOBODY: Final = _Nobody()


class Room:
    """One stream's chat. Twice the history and more is kept, so that deleting leaves enough to show."""

    def __init__(self, stream: str, key: StreamKey, *, history: int) -> None:
        """`history` is how many messages somebody sees who comes in."""
        self.stream = stream
        self.key = key
        self.stream_id = key.id
        self.people = People()
        self.bans = Bans()
        self.moderation = RoomState()
        self.emotes: tuple[Emote, ...] = ()
        """Pictures that are written as `:code:` here, from the room's packs in Matrix."""
        self.matrix: Mapping[str, str] | None = None
        """Where this chat is in Matrix: `alias`, `room`, `link`."""
        self.listeners: set[RoomListener] = set()
        self.open = True
        self.seq = 0
        """The newest number."""
        self.users = 0
        """How many hold the room; it is forgotten when nobody does."""
        self.pending: dict[tuple[str, str], Post] = {}
        """What is on its way to the database, by author and txn."""
        self._history = history
        self._kept = kept(history)
        self._floor = 0
        self._messages: dict[int, Message] = {}
        self._txns: dict[tuple[str, str], int] = {}
        self._shadows: dict[str, deque[Message]] = {}
        self._deletions: deque[tuple[int, Sequence[int]]] = deque()
        self._deleted = 0

    def load(
        self,
        messages: Sequence[Message],
        deletions: Iterable[tuple[int, int]],
        bans: Iterable[Ban],
        *,
        reactions: Iterable[ReactionRecord] = (),
        older_change: int = 0,
    ) -> None:
        """Begin with what is stored: the last `kept` messages and `DELETIONS` deletions.

        `older_change` is the number of the last edit of a message that is not among them.
        """
        of: dict[int, list[ReactionRecord]] = {}
        for reaction in reactions:
            of.setdefault(reaction.message_id, []).append(reaction)
        newest = older_change
        for message in messages:
            for reaction in of.get(message.id, ()):
                message.react(reaction.author, reaction.key, True)
            self.add(message)
            newest = max(newest, message.changed)
        self.seq = max(self.seq, newest)
        if len(messages) >= self._kept:  # there may be older ones
            self._floor = messages[0].id
        self._floor = max(self._floor, older_change)
        groups: dict[int, list[int]] = {}
        for seq, message_id in deletions:
            groups.setdefault(seq, []).append(message_id)
            self._deleted += 1
        for seq, ids in groups.items():
            self._deletions.append((seq, ids))
            self.seq = max(self.seq, seq)
        if self._deleted >= DELETIONS:
            self._floor = max(self._floor, self._deletions[0][0])
        self.bans = Bans(bans)

    def get(self, message_id: int) -> Message | None:
        """One of the messages that are kept here; older ones are stored only."""
        return self._messages.get(message_id)

    def known(self, author_id: str, txn: str) -> int | None:
        """The id of the message that the author sent under that name, when it is kept here."""
        known = self._txns.get((author_id, txn))
        if known is None and self._shadows:
            known = next((one.id for one in self._shadows.get(author_id, ()) if one.txn == txn), None)
        return known

    def author(self, author_id: str) -> Author | None:
        """Who has that id, by what they said last of what is kept here."""
        for message in reversed(self._messages.values()):
            if message.author.id == author_id:
                return message.author
        return None

    def origin_of(self, author_id: str) -> str:
        """The trace of where they spoke from last, as far as what they said is kept here; else empty."""
        for message in reversed(self._messages.values()):
            if message.author.id == author_id and message.origin:
                return message.origin
        return ""

    def guest_of(self, mxid: str) -> str:
        """The guest's id of who has signed in with this Matrix ID and is here, or has spoken lately; else empty."""
        said = (message.author for message in reversed(self._messages.values()))
        found = (author.id for author in chain(self.people, said) if author.mxid == mxid and author.id[:2] == "g_")
        return next(found, "")

    def shadow(self, message: Message) -> None:
        """A message that only its author sees, for as long as the room is in memory."""
        self.seq = message.id
        mine = self._shadows.setdefault(message.author.id, deque(maxlen=_SHADOWS))
        mine.append(message)
        if len(self._shadows) > _SHADOWED:
            del self._shadows[next(iter(self._shadows))]

    def shadows(self, author_id: str | None, after: int) -> list[Message]:
        """What only `author_id` sees, with a number above `after`."""
        if author_id is None or not self._shadows:
            return []
        return [message for message in self._shadows.get(author_id, ()) if message.id > after]

    def last(self) -> list[Message]:
        """What somebody sees who comes in."""
        return list(self._messages.values())[-self._history :] if self._history else []

    def changed(self, seq: int) -> list[Message]:
        """Messages up to the number `seq` that were edited or reacted to after it."""
        return [message for message in self._messages.values() if message.changed > seq >= message.id]

    def edit(self, seq: int, edited: Message) -> None:
        """A message says something else now."""
        self.seq = seq
        message = self._messages.get(edited.id)
        if message is None:
            self._floor = max(self._floor, seq)  # pages that come back would not be told
            return
        assert edited.edited is not None
        message.changed = seq
        message.edit(edited.text, edited.html, edited.edited, edited.media)
        for other in self._messages.values():
            if other.quote is not None and other.quote.id == edited.id:
                other.quote_again(message)

    def react(self, seq: int, reaction: ReactionRecord, on: bool) -> tuple[tuple[str, int], ...]:
        """Somebody reacted or took that back; what the message has now."""
        self.seq = seq
        message = self._messages.get(reaction.message_id)
        if message is None:
            return ()
        message.changed = seq
        message.react(reaction.author, reaction.key, on)
        return () if message.reactions is None else message.reactions.counts()

    def since(self, seq: int) -> tuple[list[Message], list[int]] | None:
        """What came after `seq`: messages, and ids that went. None when the room does not reach back so far.

        What was changed meanwhile is told by `changed`.
        """
        if seq < self._floor or seq > self.seq:
            return None
        messages = []
        for message in reversed(self._messages.values()):
            if message.id <= seq:
                break
            messages.append(message)
        gone = [message_id for number, ids in self._deletions if number > seq for message_id in ids]
        return messages[::-1], [message_id for message_id in gone if message_id <= seq]

    def add(self, message: Message) -> None:
        """A message was stored."""
        self._messages[message.id] = message
        self._txns[message.author.id, message.txn] = message.id
        self.seq = message.id
        if len(self._messages) > self._kept:
            oldest = self._messages[next(iter(self._messages))]
            self._drop(oldest)
            self._floor = oldest.id

    def delete(self, seq: int, ids: Sequence[int]) -> None:
        """Messages were taken away."""
        gone = set(ids)
        for message_id in gone & self._messages.keys():
            self._drop(self._messages[message_id])
        for message in self._messages.values():
            if message.quote is not None and message.quote.id in gone:
                message.forget_quoted()
        self._deletions.append((seq, ids))
        self._deleted += len(ids)
        self.seq = seq
        while self._deleted > DELETIONS:
            oldest, some = self._deletions.popleft()
            self._deleted -= len(some)
            self._floor = max(self._floor, oldest)

    def tell_deleted(self, seq: int, ids: Sequence[int], actor: Actor) -> None:
        """Messages were taken away: keep that, and tell the listeners."""
        if not ids:
            return
        self.delete(seq, ids)
        for listener in self.listeners:
            listener.deleted(seq, ids[-DELETIONS:], actor)  # no page shows more

    def forget(self, before: datetime) -> None:
        """Messages sent before that moment are not stored any more."""
        for message in list(self._messages.values()):
            if message.sent_at < before:
                self._drop(message)

    def _drop(self, message: Message) -> None:
        del self._messages[message.id]
        del self._txns[message.author.id, message.txn]


def kept(history: int) -> int:
    """How many messages a room keeps when it shows `history`."""
    return 3 * history + 50
