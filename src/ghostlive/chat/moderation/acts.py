"""What a moderator did, as everybody who listens to a room is told it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ghostlive.chat.people import Author, Role

Via = Literal["page", "matrix", "api", "rule"]
"""By which way: a page, a Matrix client, the REST API (the studio), or by a rule and nobody."""
ActKind = Literal[
    "ban",
    "unban",
    "timeout",
    "kick",
    "warn",
    "trust",
    "pin",
    "clear",
    "rules",
    "shield",
    "moderator",
    "delete",
]
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. That they may is checked by what is done."""

    author: Author
    via: Via


RULE = Actor(Author("rule", "Ghost Live", Role.STREAMER), "rule")
"""Does what nobody asked for at that moment: a rule was broken."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that was done, and is stored. `detail` is for one kind each:

    - `delete`: `ids` (of messages), `all` (whether everything of `target`)
    - `ban`, `timeout`: `ban` (its number), `messages` (whether all that they said goes; that is told as `delete` too)
    - `unban`: `ban`
    - `trust`, `moderator`: `on`; `moderator` also `mxid` where it was named by a Matrix ID
    - `pin`: `id` (of a message, None when nothing is pinned any more)
    - `rules`, `shield`: `rules` (`Rules.json()`), `shield` also `on`
    - `clear`: `ids`
    """

    kind: ActKind
    actor: Actor
    target: Author | None = None
    seconds: float | None = None
    """For how long; None for good."""
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
