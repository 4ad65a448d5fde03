"""Events of rooms as the homeserver sends them: hostile JSON in, frozen values out.

Anybody on any homeserver writes events, so nothing is taken for granted but JSON itself: a field of another type than
the specification says (Client-Server API, "Room Event Format") is as good as missing, and what has no id, room, type
and sender is no event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

NONE: Final[Mapping[str, Any]] = {}

# Types of events (`m.…`) and keys that more than one module names.
MESSAGE: Final = "m.room.message"
MEMBER: Final = "m.room.member"
POWER: Final = "m.room.power_levels"
CREATE: Final = "m.room.create"
REDACTION: Final = "m.room.redaction"
REACTION: Final = "m.reaction"
STICKER: Final = "m.sticker"
POLL: Final = "m.poll.start"
UNSTABLE_POLL: Final = "org.matrix.msc3381.poll.start"
"""What clients send (MSC3381)."""
ENCRYPTED: Final = "m.room.encrypted"
TOMBSTONE: Final = "m.room.tombstone"
PINNED: Final = "m.room.pinned_events"
CANONICAL_ALIAS: Final = "m.room.canonical_alias"

_ID: Final = 255
"""Bytes that an identifier may have."""
_MOST: Final = 1000
"""Events of a transaction that are looked at; homeservers send a hundred."""


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """One event."""

    event_id: str
    room_id: str
    type: str
    sender: str
    content: Mapping[str, Any]
    ts: int
    """When the sender's homeserver says that it was made: milliseconds since 1970. It may say anything."""
    state_key: str | None = None
    """None for what is no state."""
    redacts: str | None = None
    """The event that this one redacts. Room version 11 moved it into the content; either place counts."""
    prev_content: Mapping[str, Any] = field(default_factory=dict)
    """What was there before this state event, when the homeserver says so."""
    redacted: bool = False
    """It was redacted before it came here."""
    redaction: "RoomEvent | None" = None
    """The event by which it was, when the homeserver says so."""

    @property
    def membership(self) -> str:
        """Of a member event: `join`, `leave`, `ban`, `invite`, `knock`, empty for anything else."""
        return text(self.content, "membership") if self.type == MEMBER else ""

    @property
    def prev_membership(self) -> str:
        """What the membership was before; `leave` when nothing is known."""
        return text(self.prev_content, "membership") or "leave"

    @property
    def relates_to(self) -> Mapping[str, Any]:
        """`m.relates_to` of the content."""
        return mapping(self.content, "m.relates_to")

    @property
    def mentions(self) -> "list[str]":
        """The events of which it speaks: that it edits, reacts to, answers or redacts."""
        relation = self.relates_to
        answered = text(mapping(relation, "m.in_reply_to"), "event_id")
        return [target for target in (text(relation, "event_id"), answered, self.redacts) if target]


def read_event(raw: object, room_id: str = "") -> RoomEvent | None:
    """An event, or None for what is none. `room_id` is for answers that leave it out."""
    if not isinstance(raw, dict):
        return None
    event_id, kind, sender = text(raw, "event_id"), text(raw, "type"), text(raw, "sender")
    room_id = text(raw, "room_id") or room_id
    if not (_fits(event_id, "$") and _fits(room_id, "!") and _fits(sender, "@") and kind and len(kind) <= _ID):
        return None
    content = mapping(raw, "content")
    state_key = raw.get("state_key")
    ts = raw.get("origin_server_ts")
    unsigned = mapping(raw, "unsigned")
    redacts = None
    if kind == REDACTION:
        redacts = text(raw, "redacts") or text(content, "redacts") or None
    because = unsigned.get("redacted_because")
    return RoomEvent(
        event_id=event_id,
        room_id=room_id,
        type=kind,
        sender=sender,
        content=content,
        ts=ts if isinstance(ts, int) and not isinstance(ts, bool) else 0,
        state_key=state_key if isinstance(state_key, str) else None,
        redacts=redacts,
        prev_content=mapping(unsigned, "prev_content") or mapping(raw, "prev_content"),
        redacted="redacted_because" in unsigned,
        # Without what is in there again: nobody knows how deep that is.
        redaction=read_event({**because, "unsigned": {}}, room_id) if isinstance(because, dict) else None,
    )


def read_events(raw: object, room_id: str = "") -> list[RoomEvent]:
    """The events of a list, in order; what is no event is left out."""
    if not isinstance(raw, list):
        return []
    return [event for one in raw[:_MOST] if (event := read_event(one, room_id)) is not None]


def text(content: Mapping[str, Any], key: str) -> str:
    """A text, empty when it is missing or something else."""
    value = content.get(key)
    return value if isinstance(value, str) else ""


def integer(content: Mapping[str, Any], key: str) -> int | None:
    """A whole number, None when it is missing or something else (`true` is no number)."""
    value = content.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object, empty when it is missing or something else."""
    value = content.get(key)
    return value if isinstance(value, dict) else NONE


def texts(content: Mapping[str, Any], key: str) -> Sequence[str]:
    """The texts of a list, empty when it is missing or something else."""
    value = content.get(key)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _fits(value: str, sigil: str) -> bool:
    return value.startswith(sigil) and 1 < len(value) <= _ID and value.isprintable()
