"""Power levels: who may do what in a room, before and since room version 12.

Since version 12 the creator stands above all levels, for ever, and must not be listed (Room Version 12, "Room
creators"); before, the creator is listed with 100 like anybody else. The bot makes all rooms, so it is the creator.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ghostlive.chat.matrix.events import MESSAGE, integer, mapping, text, texts

OWNER: Final = 90
"""The streamer: everything but what would lock the bot out. Not a creator: bot and owner could never part again."""
MODERATOR: Final = 50
BOT: Final = 100
"""Where creators have no power of their own."""
_CREATORS_SINCE: Final = 12
_WRITTEN: Final = re.compile(r"[+-]?[0-9]{1,15}")
_HYDRA: Final = "org.matrix.hydra.11"
"""The name of version 12 while it was tried out."""


def creators_rule(version: str) -> bool:
    """Whether creators of such rooms stand above all levels."""
    return version == _HYDRA or (version.isascii() and version.isdigit() and int(version) >= _CREATORS_SINCE)


@dataclass(frozen=True, slots=True)
class Levels:
    """The power levels of one room."""

    content: Mapping[str, Any]
    """Of `m.room.power_levels`."""
    creators: frozenset[str]
    """Who stands above all levels; nobody before version 12."""

    def of(self, user: str) -> float:
        """The level of somebody."""
        if user in self.creators:
            return float("inf")
        return _level(mapping(self.content, "users"), user, _level(self.content, "users_default", 0))

    def for_state(self, kind: str) -> int:
        """The level that it takes to put a state event."""
        return _level(mapping(self.content, "events"), kind, _level(self.content, "state_default", 50))

    def silence(self, user: str) -> bool:
        """Whether somebody may not send messages."""
        needed = _level(mapping(self.content, "events"), MESSAGE, _level(self.content, "events_default", 0))
        return self.of(user) < needed

    def for_act(self, act: str) -> int:
        """The level that it takes to `ban`, `kick`, `redact` or `invite`."""
        return _level(self.content, act, 0 if act == "invite" else 50)

    def people(self) -> Mapping[str, int]:
        """Everybody with a level of their own."""
        users = mapping(self.content, "users")
        return {user: level for user in users if (level := integer(users, user)) is not None}

    def lacking(self, user: str) -> list[str]:
        """What somebody cannot do of that which a bridge has to do."""
        mine = self.of(user)
        lacks = [act for act in ("ban", "kick", "redact") if mine < self.for_act(act)]
        return lacks + [kind for kind in ("m.room.power_levels", "m.room.topic") if mine < self.for_state(kind)]


def read_levels(create: Mapping[str, Any], creator: str, power: Mapping[str, Any] | None) -> Levels:
    """The levels by the contents of `m.room.create` (sent by `creator`) and `m.room.power_levels`."""
    ruling = creators_rule(text(create, "room_version") or "1")
    creators = frozenset({creator, *texts(create, "additional_creators")}) if ruling else frozenset[str]()
    # Without such an event the creator has 100 and everybody else nothing, before version 12.
    content: Mapping[str, Any] = {"users": {creator: BOT}, "state_default": 0} if power is None else power
    return Levels(content, creators)


def new_levels(bot: str, people: Mapping[str, int], *, version: str) -> dict[str, Any]:
    """The power levels of a new room of a stream, as `power_level_content_override`."""
    ruling = creators_rule(version)
    return {
        "users": {user: level for user, level in people.items() if user != bot} | ({} if ruling else {bot: BOT}),
        "users_default": 0,
        "events_default": 0,
        # State that nobody thought of is the bot's: calls, widgets of strangers, encryption.
        "state_default": BOT,
        "ban": MODERATOR,
        "kick": MODERATOR,
        "redact": MODERATOR,
        "invite": MODERATOR,
        "notifications": {"room": MODERATOR},
        "events": {
            "m.room.name": OWNER,
            "m.room.topic": OWNER,
            "m.room.avatar": OWNER,
            "m.room.join_rules": OWNER,
            "m.room.power_levels": OWNER,
            "m.room.pinned_events": MODERATOR,
            "im.ponies.room_emotes": MODERATOR,
            "m.room.image_pack": MODERATOR,
            "m.room.history_visibility": BOT,
            "m.room.server_acl": BOT,
            "m.room.encryption": 150 if ruling else BOT,
            "m.room.tombstone": 150 if ruling else BOT,
        },
    }


def changed_levels(
    content: Mapping[str, Any],
    before: Mapping[str, int],
    after: Mapping[str, int],
    creators: frozenset[str],
    *,
    unsure: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Any] | None:
    """The content in which those whose level we changed have it, and nobody else is touched; None for no change.

    `before` is what we gave the last time, `after` what we give now. Who was given something else meanwhile, in a
    Matrix client, keeps that unless ours changes; who is not in `after` any more loses what we gave. `unsure` is what
    may have been given since, or not.
    """
    users = dict(mapping(content, "users"))
    users |= {
        user: level
        for user, level in after.items()
        if user not in creators and (user in unsure or before.get(user) != level)
    }
    for user in before.keys() | unsure.keys():
        if user in users and user not in after and users[user] in (before.get(user), unsure.get(user)):
            del users[user]
    if users == dict(mapping(content, "users")):
        return None
    return {**content, "users": users}


def _level(content: Mapping[str, Any], key: str, default: int) -> int:
    value = integer(content, key)
    if value is None:
        # Room versions before 10 took texts for numbers.
        written = text(content, key).strip()
        return int(written) if _WRITTEN.fullmatch(written) else default
    return value
