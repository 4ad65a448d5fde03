"""The chat protocol's messages (docs/reference/chat.md): those of the viewer are parsed, those of the server encoded.

Invariant: parsing raises `BadMessageError` and nothing else, whatever the text is. What it returns is checked in form
(types, ranges), not in sense; texts are as they came.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from ghostlive.chat.bans import Ban
from ghostlive.chat.errors import BadMessageError, RefusalError
from ghostlive.chat.message import Message
from ghostlive.chat.moderation.state import Held
from ghostlive.chat.people import Author, to_json
from ghostlive.chat.room import Emote, Reaction

_TXN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_HIGHEST: Final = 2**53
"""Numbers above it are not exact in a browser."""
_LONGEST_BAN: Final = 100 * 366 * 86400.0
_MOST_DECIDED: Final = 200
_AUTHOR: Final = re.compile(r"[gum]_[A-Za-z0-9]{1,14}|@[^\s\x00-\x1f]{1,254}")
ACTS: Final = frozenset(
    (
        *("delete", "delete_all", "clear", "pin", "timeout", "kick", "ban", "unban", "warn", "trust"),
        *("moderator", "rules", "shield"),
    )
)
"""What `act` may be."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message."""

    token: str | None
    since: int | None


@dataclass(frozen=True, slots=True)
class Join:
    """Take a name."""

    name: str


@dataclass(slots=True)
class Post:
    """Say something. Not frozen: one is made for each message of everybody."""

    txn: str
    text: str
    reply: int | None
    emote: bool = False
    """It is what they do: shown after their name."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Take a message away."""

    id: int


@dataclass(frozen=True, slots=True)
class BanAuthor:
    """Ban the author of a message."""

    id: int
    seconds: float | None
    reason: str
    messages: bool
    watching: bool = False
    """They may not watch either."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Let one's own message say something else."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class React:
    """React to a message, or take that back."""

    id: int
    key: str
    on: bool


@dataclass(frozen=True, slots=True)
class Moderate:
    """Something that only who moderates may do."""

    act: str
    id: int | None
    author: str | None
    seconds: float | None
    reason: str
    value: Any
    """What is JSON, of a size that a message can have."""


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """A command as it is written, without its slash."""

    text: str


@dataclass(frozen=True, slots=True)
class Decide:
    """Say what waited, or do away with it."""

    ids: tuple[int, ...]
    allow: bool


@dataclass(frozen=True, slots=True)
class WorkDone:
    """The answer to a challenge."""

    nonce: str
    answer: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The page is open, and the picture plays or not."""

    playing: bool


@dataclass(frozen=True, slots=True)
class Who:
    """Ask what is known of somebody."""

    author: str


@dataclass(frozen=True, slots=True)
class AskPeople:
    """Ask who is there."""


@dataclass(frozen=True, slots=True)
class Ping:
    """A sign of life."""


Command = (
    Hello
    | Join
    | Post
    | Delete
    | BanAuthor
    | Edit
    | React
    | Moderate
    | SlashCommand
    | Decide
    | WorkDone
    | Alive
    | Who
    | AskPeople
    | Ping
)


def parse(text: str) -> Command:
    """A viewer's message. Raises `BadMessageError`."""
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessageError("That is not JSON.") from None
    if type(members) is not dict:
        raise BadMessageError("A message is a JSON object.")
    kind = members.get("type")
    parser = _PARSERS.get(kind) if type(kind) is str else None
    if parser is None:
        raise BadMessageError("There is no message of that type.")
    return parser(members)


def _post(members: dict[str, Any]) -> Post:
    txn, text = members.get("txn"), members.get("text")
    if type(txn) is not str or not _TXN.fullmatch(txn):
        raise BadMessageError("txn has to be 1 to 64 letters, digits, '-' or '_'.")
    if type(text) is not str:
        raise BadMessageError("text has to be a text.")
    reply = None if members.get("reply") is None else _number(members, "reply")
    return Post(txn, text, reply, "emote" in members and _flag(members, "emote", default=False))


def _hello(members: dict[str, Any]) -> Hello:
    token = None if members.get("token") is None else _text(members, "token")
    return Hello(token, None if members.get("since") is None else _number(members, "since"))


def _ban(members: dict[str, Any]) -> BanAuthor:
    return BanAuthor(
        _number(members, "id"),
        _seconds(members),
        "" if members.get("reason") is None else _text(members, "reason"),
        _flag(members, "messages", False),
        _flag(members, "watching", False),
    )


def _act(members: dict[str, Any]) -> Moderate:
    act = _text(members, "act")
    if act not in ACTS:
        raise BadMessageError("There is no act of that name.")
    value = members.get("value")
    if members.get("messages") is True or members.get("watching") is True:  # what a ban may have beside its reason
        value = {name: members.get(name) is True for name in ("messages", "watching")}
    return Moderate(
        act,
        None if members.get("id") is None else _number(members, "id"),
        None if members.get("author") is None else _author(members),
        _seconds(members),
        "" if members.get("reason") is None else _text(members, "reason"),
        value,
    )


def _decide(members: dict[str, Any]) -> Decide:
    ids = members.get("ids")
    if type(ids) is not list or not 0 < len(ids) <= _MOST_DECIDED:
        raise BadMessageError(f"ids has to be a list of 1 to {_MOST_DECIDED} numbers.")
    return Decide(tuple([_number({"ids": number}, "ids") for number in ids]), _flag(members, "allow"))


def _seconds(members: dict[str, Any]) -> float | None:
    seconds = members.get("seconds")
    if seconds is not None and not (type(seconds) in (int, float) and 0 < seconds <= _LONGEST_BAN):
        raise BadMessageError("seconds has to be a number above 0, or absent for good.")
    return cast("float | None", seconds)


def _flag(members: dict[str, Any], name: str, default: bool | None = None) -> bool:
    value = members.get(name, default)
    if value is None:
        value = default
    if type(value) is not bool:
        raise BadMessageError(f"{name} has to be true or false.")
    return value


def _author(members: dict[str, Any]) -> str:
    author = _text(members, "author")
    if not _AUTHOR.fullmatch(author):
        raise BadMessageError("author has to be the id of an author, or a Matrix ID.")
    return author


_PARSERS: Final[dict[str, Callable[[dict[str, Any]], Command]]] = {
    "post": _post,
    "ping": lambda members: Ping(),
    "hello": _hello,
    "join": lambda members: Join(_text(members, "name")),
    "delete": lambda members: Delete(_number(members, "id")),
    "ban": _ban,
    "edit": lambda members: Edit(_number(members, "id"), _text(members, "text")),
    "react": lambda members: React(_number(members, "id"), _text(members, "key"), _flag(members, "on")),
    "act": _act,
    "command": lambda members: SlashCommand(_text(members, "text")),
    "decide": _decide,
    "work": lambda members: WorkDone(_text(members, "nonce"), _text(members, "answer")),
    "alive": lambda members: Alive(_flag(members, "playing")),
    "who": lambda members: Who(_author(members)),
    "people": lambda members: AskPeople(),
}


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if type(value) is not str:
        raise BadMessageError(f"{name} has to be a text.")
    return value


def _number(members: dict[str, Any], name: str) -> int:
    value = members.get(name)
    if type(value) is not int or not 0 <= value <= _HIGHEST:
        raise BadMessageError(f"{name} has to be a whole number, not negative.")
    return value


PONG: Final = '{"type":"pong"}'
UNBANNED: Final = '{"type":"unbanned"}'


def welcome(
    you: str,
    *,
    seq: int,
    reset: bool,
    messages: Iterable[Message],
    changed: Iterable[Message] = (),
    deleted: Sequence[int],
    pinned: Message | None = None,
    rest: dict[str, Any],
) -> str:
    """The answer to `hello`. `you` is encoded already, `rest` are the members that are not about messages."""
    listed = ",".join([message.json for message in messages])
    others = ",".join([message.json for message in changed])
    others = f'"changed":[{others}],' if others else ""
    pin = "null" if pinned is None else pinned.json
    return (
        f'{{"type":"welcome","you":{you},"seq":{seq},"reset":{to_json(reset)},"messages":[{listed}],{others}'
        f'"deleted":{to_json(deleted)},"pinned":{pin},{to_json(rest)[1:]}'
    )


def you(author: Author | None, can: Sequence[str]) -> str:
    """An author as they see themselves."""
    return "null" if author is None else f'{author.json[:-1]},"can":{to_json(can)}}}'


def joined(you: str, token: str | None) -> str:
    """The name is taken."""
    return f'{{"type":"joined","you":{you}}}' if token is None else f'{{"type":"joined","you":{you},"token":"{token}"}}'


def ack(txn: str, message_id: int) -> str:
    """The message is stored."""
    return f'{{"type":"ack","txn":"{txn}","id":{message_id},"seq":{message_id}}}'


def said(message: Message) -> str:
    """Somebody said something."""
    return f'{{"type":"message","seq":{message.id},"message":{message.json}}}'


def deleted(seq: int, ids: Sequence[int]) -> str:
    """Messages are gone."""
    return to_json({"type": "deleted", "seq": seq, "ids": ids})


def edited(message: Message, seq: int) -> str:
    """A message says something else now."""
    return f'{{"type":"edited","seq":{seq},"message":{message.json}}}'


def reactions(reaction: Reaction) -> str:
    """What a message has now; whose they are is told to each of them by `mine`."""
    counts = [{"key": key, "count": number} for key, number in reaction.reactions]
    return to_json({"type": "reactions", "seq": reaction.seq, "id": reaction.message_id, "reactions": counts})


def mine(message_id: int, keys: Sequence[str]) -> str:
    """With what the viewer reacted to a message."""
    return to_json({"type": "mine", "id": message_id, "keys": keys})


def held(txn: str, text: str) -> str:
    """Their message waits for a moderator."""
    return to_json({"type": "ack", "txn": txn, "id": None, "held": True, "text": text})


def rules(rules: Mapping[str, Any]) -> str:
    """Other rules count from now on."""
    return to_json({"type": "rules", "rules": rules})


def pinned(message: Message | None) -> str:
    """Another message is pinned, or none any more."""
    return f'{{"type":"pinned","message":{"null" if message is None else message.json}}}'


def waiting(added: Sequence[Held], removed: Sequence[int]) -> str:
    """What waits for a moderator is more, or less."""
    return to_json({"type": "held", "add": [held.json() for held in added], "remove": removed})


def notice(text: str, level: str = "info") -> str:
    """A line for one person alone."""
    return to_json({"type": "notice", "text": text, "level": level})


def challenge(nonce: str, bits: int) -> str:
    """Prove that you are in no hurry."""
    return to_json({"type": "challenge", "nonce": nonce, "bits": bits})


def kicked(text: str) -> str:
    """You are sent away, and may come back."""
    return to_json({"type": "kicked", "text": text})


def who(author: str, members: Mapping[str, Any]) -> str:
    """What is known of somebody, for who moderates."""
    return to_json({"type": "who", "author": author, **members})


def emotes(emotes: Iterable[Emote]) -> str:
    """The room has other emotes."""
    return to_json({"type": "emotes", "emotes": emote_members(emotes)})


def emote_members(emotes: Iterable[Emote]) -> list[dict[str, str]]:
    """Emotes as pages get them."""
    return [{"code": emote.code, "url": emote.url} for emote in emotes]


def count(people: int) -> str:
    """How many people have the chat open."""
    return f'{{"type":"count","people":{people}}}'


def people(number: int, authors: Iterable[Author]) -> str:
    """Who is there."""
    return f'{{"type":"people","people":{number},"names":[{",".join([author.json for author in authors])}]}}'


def ban_members(ban: Ban) -> dict[str, Any]:
    """A ban as the banned see it."""
    return {"reason": ban.reason, "until": None if ban.expires_at is None else _time(ban.expires_at)}


def banned(ban: Ban) -> str:
    """You were banned."""
    watching = {"watching": True} if ban.watch else {}
    return to_json({"type": "banned", **ban_members(ban), **watching})


def error(refusal: RefusalError, txn: str | None) -> str:
    """A message was not accepted."""
    members: dict[str, Any] = {"type": "error", "code": refusal.code, "text": str(refusal)}
    if refusal.retry_after is not None and math.isfinite(refusal.retry_after):
        members["retry_after"] = refusal.retry_after
    if txn is not None:
        members["txn"] = txn
    return to_json(members)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
