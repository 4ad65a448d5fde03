"""Rooms of `fake_homeserver`: events, state, membership and power as Synapse decides them, in memory.

Only what an application service and ordinary members can notice is here: authorization (spec "Room versions", 11 and
12), redaction, and the order of events. No signatures, no state resolution, no federation.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Content: TypeAlias = dict[str, Any]

_KEPT: Final[Mapping[str, frozenset[str]]] = {
    "m.room.member": frozenset({"membership"}),
    "m.room.create": frozenset(),
    "m.room.power_levels": frozenset(
        {"ban", "events", "events_default", "invite", "kick", "redact", "state_default", "users", "users_default"}
    ),
    "m.room.join_rules": frozenset({"join_rule"}),
    "m.room.history_visibility": frozenset({"history_visibility"}),
}
"""What a redaction leaves (spec, room version 11)."""
_MAX_EVENT: Final = 65_536


class RejectionError(Exception):
    """The homeserver says no, with Matrix's error code."""

    def __init__(self, status: int, errcode: str, text: str, /, **more: Any) -> None:
        super().__init__(f"{status} {errcode}: {text}")
        self.status = status
        self.errcode = errcode
        self.body: Content = {"errcode": errcode, "error": text, **more}


@dataclass(slots=True)
class FakeEvent:
    """One event of a room."""

    event_id: str
    room_id: str
    type: str
    sender: str
    content: Content
    ts: int
    """`origin_server_ts`, in milliseconds."""
    state_key: str | None = None
    redacts: str | None = None
    unsigned: Content = field(default_factory=dict)
    txn: str | None = None
    """The client's transaction id, as the sender gave it; for tests only."""

    def wire(self) -> Content:
        """As a client or application service gets it. A redaction names its target in both places, as Synapse does."""
        event: Content = {
            "event_id": self.event_id,
            "room_id": self.room_id,
            "type": self.type,
            "sender": self.sender,
            "content": self.content,
            "origin_server_ts": self.ts,
            "unsigned": self.unsigned,
        }
        if self.state_key is not None:
            event["state_key"] = self.state_key
        if self.redacts is not None:
            event["redacts"] = self.redacts
        return event


class FakeRoom:
    """One room."""

    def __init__(self, room_id: str, version: str) -> None:
        self.id = room_id
        self.version = version
        self.timeline: list[FakeEvent] = []
        self.state: dict[tuple[str, str], FakeEvent] = {}
        self.events: dict[str, FakeEvent] = {}

    # What is so

    def content(self, kind: str, key: str = "") -> Content:
        """Content of a state event; empty when there is none."""
        event = self.state.get((kind, key))
        return {} if event is None else event.content

    def membership(self, user: str) -> str:
        """`join`, `leave`, `ban`, `invite`, or `leave` for who never came."""
        membership: str = self.content("m.room.member", user).get("membership", "leave")
        return membership

    def members(self, membership: str = "join") -> list[str]:
        """Who is in the room, or banned from it, or invited."""
        return [
            key for (kind, key), event in self.state.items()
            if kind == "m.room.member" and event.content.get("membership") == membership
        ]  # fmt: skip

    @property
    def creators_rule(self) -> bool:
        """Whether creators stand above all levels (room version 12)."""
        return not self.version.isdecimal() or int(self.version) >= 12

    def power(self, user: str) -> float:
        """The level of a user; infinite for creators of room version 12."""
        create = self.state.get(("m.room.create", ""))
        if create is None:
            return 100.0
        if self.creators_rule and (user == create.sender or user in create.content.get("additional_creators", [])):
            return float("inf")
        levels = self.state.get(("m.room.power_levels", ""))
        if levels is None:
            return 100.0 if user == create.sender else 0.0
        return float(levels.content.get("users", {}).get(user, levels.content.get("users_default", 0)))

    def level(self, name: str, default: int) -> int:
        """A level of the room itself: `ban`, `kick`, `redact`, `invite`, …"""
        return int(self.content("m.room.power_levels").get(name, default))

    def messages(self, kind: str = "m.room.message") -> list[FakeEvent]:
        """Events of a type in their order, redacted ones left out."""
        return [one for one in self.timeline if one.type == kind and "redacted_because" not in one.unsigned]

    def bodies(self) -> list[str]:
        """The texts of all messages in their order."""
        return [str(one.content.get("body", "")) for one in self.messages()]

    # What may be

    def authorize(self, event: FakeEvent) -> None:
        """Raise `RejectionError` when the sender may not do this now."""
        if len(json.dumps(event.wire())) > _MAX_EVENT:
            raise RejectionError(413, "M_TOO_LARGE", "event too large")
        for value in _values(event.content):
            if isinstance(value, float):
                raise RejectionError(400, "M_BAD_JSON", "Bad JSON value: float")
        if event.type == "m.room.create":
            return
        if event.type == "m.room.member":
            self._authorize_member(event)
            return
        if self.membership(event.sender) != "join":
            raise RejectionError(403, "M_FORBIDDEN", f"User {event.sender} not in room {self.id}")
        self._need(event.sender, self._needed(event), f"send {event.type}")
        if event.type == "m.room.redaction":
            target = self.events.get(event.redacts or "")
            if target is None or target.sender != event.sender:
                self._need(event.sender, self.level("redact", 50), "redact events")
        if event.type == "m.room.power_levels":
            self._authorize_levels(event)
        if event.state_key is not None and event.state_key.startswith("@") and event.state_key != event.sender:
            raise RejectionError(403, "M_FORBIDDEN", "You are not allowed to set others state")

    def _needed(self, event: FakeEvent) -> int:
        levels = self.content("m.room.power_levels")
        named = levels.get("events", {}).get(event.type)
        if named is not None:
            return int(named)
        if event.state_key is not None:
            return int(levels.get("state_default", 50 if levels else 0))
        return int(levels.get("events_default", 0))

    def _need(self, user: str, level: float, what: str) -> None:
        if self.power(user) < level:
            raise RejectionError(
                403, "M_FORBIDDEN", f"You don't have permission to {what} ({self.power(user)} < {level})"
            )

    def _authorize_member(self, event: FakeEvent) -> None:
        target, sender = str(event.state_key), event.sender
        wanted, now = event.content.get("membership"), self.membership(str(event.state_key))
        if wanted == "join":
            if target != sender:
                raise RejectionError(403, "M_FORBIDDEN", "Cannot force another user to join.")
            if now == "ban":
                raise RejectionError(403, "M_BAD_STATE", "Cannot join user who was banned")
            rule = self.content("m.room.join_rules").get("join_rule", "invite")
            creator = self.state[("m.room.create", "")].sender
            if now not in ("join", "invite") and rule != "public" and not (target == creator and len(self.state) == 1):
                raise RejectionError(403, "M_FORBIDDEN", "You are not invited to this room.")
        elif wanted == "invite":
            self._need_joined(sender)
            if now in ("join", "ban"):
                raise RejectionError(403, "M_FORBIDDEN", f"{target} is already in the room or banned.")
            self._need(sender, self.level("invite", 0), "invite")
        elif wanted == "leave" and target == sender:
            if now == "ban":
                raise RejectionError(403, "M_BAD_STATE", "Cannot leave user who was banned")
            if now not in ("join", "invite", "knock"):
                raise RejectionError(403, "M_FORBIDDEN", "User not in room")
        elif wanted in ("leave", "ban"):
            self._need_joined(sender)
            self._need(sender, self.level("ban" if "ban" in (wanted, now) else "kick", 50), f"{wanted} {target}")
            if self.power(target) >= self.power(sender) and target != sender:
                raise RejectionError(403, "M_FORBIDDEN", f"You cannot {wanted} user {target}.")
        else:
            raise RejectionError(400, "M_BAD_JSON", f"unknown membership {wanted!r}")

    def _need_joined(self, sender: str) -> None:
        if self.membership(sender) != "join":
            raise RejectionError(403, "M_FORBIDDEN", f"{sender} not in room {self.id}.")

    def _authorize_levels(self, event: FakeEvent) -> None:
        new, old = event.content, self.content("m.room.power_levels")
        create = self.state[("m.room.create", "")]
        if self.creators_rule:
            for creator in (create.sender, *create.content.get("additional_creators", [])):
                if creator in new.get("users", {}):
                    raise RejectionError(400, "M_UNKNOWN", f"Creator user {creator} must not appear in content.users")
        if not old:
            return
        mine = self.power(event.sender)
        for before, after, user in _changes(old, new):
            if (before is not None and before > mine) or (after is not None and after > mine):
                raise RejectionError(
                    403, "M_FORBIDDEN", "You don't have permission to add ops level greater than your own"
                )
            if user not in (None, event.sender) and before is not None and before >= mine:
                raise RejectionError(
                    403, "M_FORBIDDEN", "You don't have permission to remove ops level equal to your own"
                )

    # What happens

    def append(self, event: FakeEvent) -> None:
        """Take an event that was authorized: it is in the timeline, and state when it has a state key."""
        if event.state_key is not None:
            before = self.state.get((event.type, event.state_key))
            if before is not None:
                event.unsigned = {
                    "prev_content": before.content, "prev_sender": before.sender, "replaces_state": before.event_id
                }  # fmt: skip
            self.state[event.type, event.state_key] = event
        if event.redacts is not None:
            target = self.events.get(event.redacts)
            if target is not None:
                kept = _KEPT.get(target.type, frozenset[str]())
                if target.type != "m.room.create":
                    target.content = {key: value for key, value in target.content.items() if key in kept}
                target.unsigned = {**target.unsigned, "redacted_because": event.wire()}
        self.timeline.append(event)
        self.events[event.event_id] = event


def create_power(version_has_creators: bool, creator: str, override: Content | None) -> Content:
    """The power levels of a new public room, as Synapse makes them (`handlers/room.py`)."""
    levels: Content = {
        "users": {} if version_has_creators else {creator: 100},
        "users_default": 0,
        "events": {
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.history_visibility": 100,
            "m.room.canonical_alias": 50,
            "m.room.avatar": 50,
            "m.room.tombstone": 150 if version_has_creators else 100,
            "m.room.server_acl": 100,
            "m.room.encryption": 100,
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": 50,
        "historical": 100,
    }
    if override:
        users = override.get("users")
        if users is not None and not version_has_creators and creator not in users:
            raise RejectionError(
                400, "M_BAD_JSON", f"Not a valid power_level_content_override: 'users' did not contain {creator}"
            )
        levels.update(override)
    return levels


def hashed_id(sigil: str, *parts: object) -> str:
    """An id as room versions since 4 (events) and 12 (rooms) have it: a hash, no server name."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return sigil + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _values(content: Any) -> Iterator[Any]:
    if isinstance(content, dict):
        for value in content.values():
            yield from _values(value)
    elif isinstance(content, list):
        for value in content:
            yield from _values(value)
    else:
        yield content


def _changes(old: Content, new: Content) -> Iterator[tuple[int | None, int | None, str | None]]:
    """What differs between two power level contents: before, after, and whose it is (None for the room's own)."""
    for name in ("users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"):
        if old.get(name) != new.get(name):
            yield old.get(name), new.get(name), None
    whose: Callable[[str], str | None]
    for group, whose in (("users", lambda key: key), ("events", lambda _key: None)):
        before, after = old.get(group, {}), new.get(group, {})
        for key in {*before, *after}:
            if before.get(key) != after.get(key):
                yield before.get(key), after.get(key), whose(key)
