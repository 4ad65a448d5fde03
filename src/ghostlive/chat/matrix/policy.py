"""Policy lists: rooms of Matrix whose state says whom others have banned (Matrix specification, "Moderation policy
lists"). A homeserver enforces none of it; we keep those users and servers out of our chats.

Rules are state events: of users and of servers, under the names of the specification and two older ones, with a
pattern, a recommendation and a reason. Those that recommend a ban count. They are stored as they were last seen, so
that they hold while the homeserver is away.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import structlog

from ghostlive.chat.errors import ListedError
from ghostlive.chat.glob import has_wildcards, matches
from ghostlive.db.bans import BanRepository, PolicyRecord, RuleRecord

_log = structlog.get_logger("matrix")

KINDS: Final = {
    "m.policy.rule.user": "user",
    "m.room.rule.user": "user.1",
    "org.matrix.mjolnir.rule.user": "user.2",
    "m.policy.rule.server": "server",
    "m.room.rule.server": "server.1",
    "org.matrix.mjolnir.rule.server": "server.2",
}
"""What the types of rules are stored as; the older names are (for the rest) the same."""
_BAN: Final = frozenset({"m.ban", "org.matrix.mjolnir.ban"})
_LONGEST: Final = 255
"""Of a Matrix ID, and so of what can match one; longer patterns are for nobody."""
_ALIAS: Final = re.compile(r"#[^\s:]+:[A-Za-z0-9.:\[\]-]+")
_ROOM_ID: Final = re.compile(r"![^\s]+")
_LONGEST_REASON: Final = 300
ON_LIST: Final = "You are on a list of banned people that counts in this chat."
_REMEMBERED: Final = 20_000
"""Answers that a list remembers."""


class PolicyRooms(Protocol):
    """What is needed of Matrix: the bot enters a list's room and reads its state."""

    async def open(self, room: str) -> tuple[str, Sequence[Mapping[str, Any]]]:
        """Enter a room, by alias or id; its id and its state events. Raises a `GhostliveError` when that fails."""


class Rule(NamedTuple):
    """A rule that keeps somebody out."""

    entity: str
    reason: str


def check_list(text: str) -> bool:
    """Whether that may be the room of a list: an alias, or a room's id."""
    form = _ALIAS if text.startswith("#") else _ROOM_ID
    return len(text) <= _LONGEST and text.isprintable() and form.fullmatch(text) is not None


def parse_rule(room_id: str, event: Mapping[str, Any]) -> RuleRecord | None:
    """The rule in a state event; None for an event that is none. A rule that was taken back has an empty `entity`.

    Whatever the event holds, nothing is raised.
    """
    kind = KINDS.get(str(event.get("type")))
    state_key, content = event.get("state_key"), event.get("content")
    if kind is None or not isinstance(state_key, str) or len(state_key) > _LONGEST or not _storable(state_key):
        return None
    members = content if isinstance(content, Mapping) else {}
    entity, reason, wanted = members.get("entity"), members.get("reason"), members.get("recommendation")
    usable = isinstance(entity, str) and len(entity) <= _LONGEST and _storable(entity)
    return RuleRecord(
        room_id,
        kind,
        state_key,
        entity if usable and isinstance(entity, str) and isinstance(wanted, str) and wanted in _BAN else "",
        reason[:_LONGEST_REASON] if isinstance(reason, str) and _storable(reason) else "",
    )


def _storable(text: str) -> bool:
    """Whether a database takes it: halves of characters (surrogates) and NUL are taken by none."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


@dataclass(slots=True)
class _List:
    """The rules of one room."""

    rules: dict[tuple[str, str], RuleRecord] = field(default_factory=dict)
    """By kind and state key."""
    exact: dict[str, Rule] = field(default_factory=dict)
    """Of users, and of servers behind a colon."""
    patterns: list[tuple[bool, Rule]] = field(default_factory=list)
    """Whether it is of a server, and the rule."""
    answers: "OrderedDict[str, Rule | None]" = field(default_factory=OrderedDict)
    stale: bool = True

    def find(self, mxid: str) -> Rule | None:
        """The rule that keeps `mxid` out."""
        if self.stale:
            self._index()
        if mxid in self.answers:
            return self.answers[mxid]
        server = mxid.partition(":")[2]
        found = self.exact.get(mxid) or self.exact.get(f":{server}")
        if found is None:
            found = next(
                (rule for of_server, rule in self.patterns if matches(rule.entity, server if of_server else mxid)), None
            )
        if len(self.answers) >= _REMEMBERED:
            self.answers.popitem(last=False)
        self.answers[mxid] = found
        return found

    def _index(self) -> None:
        self.exact.clear()
        self.patterns.clear()
        self.answers.clear()
        for record in self.rules.values():
            of_server, rule = record.kind.startswith("server"), Rule(record.entity, record.reason)
            if has_wildcards(record.entity):
                self.patterns.append((of_server, rule))
            else:
                self.exact[f":{record.entity}" if of_server else record.entity] = rule
        self.stale = False


class Policies:
    """The lists that count in our chats. `load` before use."""

    def __init__(self, stored: BanRepository, now: Callable[[], datetime]) -> None:
        """`now` is the time that is stored."""
        self._stored = stored
        self._now = now
        self._lists: dict[str, _List] = {}
        """By room id."""
        self._subscribed: list[PolicyRecord] = []
        self._failed: dict[str, str] = {}
        """Why a list could not be read, by its room as it was written."""
        self._of: dict[str | None, list[_List]] = {}
        """By stream; None are those that count everywhere."""
        self.rooms: PolicyRooms | None = None
        """Set by the bridge to Matrix; without it, what is stored counts."""
        self.changed: Callable[[], None] = lambda: None
        """Told when somebody may be kept out who was not before, or not any more."""

    async def load(self) -> None:
        """Read what is stored. Raises like the database."""
        self._subscribed = await self._stored.policies()
        self._lists = {}
        for rule in await self._stored.rules():
            self._lists.setdefault(rule.room_id, _List()).rules[rule.kind, rule.state_key] = rule
        self._arrange()

    def find(self, stream: str, mxid: str) -> Rule | None:
        """The rule that keeps a user of Matrix out of a stream's chat."""
        if not self._of:
            return None
        for lists in (self._of.get(stream, ()), self._of.get(None, ())):
            for one in lists:
                if (rule := one.find(mxid)) is not None:
                    return rule
        return None

    def any_for(self, stream: str) -> bool:
        """Whether a list with rules counts in a stream's chat."""
        return bool(self._of) and (stream in self._of or None in self._of)

    def check(self, stream: str, mxid: str) -> None:
        """Raises `ListedError` when a list keeps `mxid` out."""
        if self.find(stream, mxid) is not None:
            raise ListedError(ON_LIST)

    def subscribed(self, stream: str | None) -> list[tuple[PolicyRecord, int]]:
        """The lists that count in a stream (None: everywhere), and how many rules each has now."""
        return [
            (record, len(one.rules) if (one := self._lists.get(record.room_id)) is not None else 0)
            for record in self._subscribed
            if record.stream == stream
        ]

    def trouble(self, record: PolicyRecord) -> str:
        """Why a list does not count, or not as it is now; empty when it does."""
        if (error := self._failed.get(record.room)) is not None:
            return error
        return "" if record.room_id else "The room of this list was not read yet."

    async def subscribe(self, stream: str | None, stream_id: int | None, rooms: Sequence[str]) -> None:
        """These lists count in a stream (None: everywhere), and no others. Raises like the database."""
        await self._stored.set_policies(stream_id, rooms, at=self._now())
        await self.load()
        if self.rooms is None:  # what is stored of them counts
            self.changed()
        await self.refresh([record.room for record in self._subscribed if record.stream == stream])

    async def refresh(self, rooms: Iterable[str] | None = None) -> list[str]:
        """Enter the rooms of lists (without `rooms`, of all) and read them anew; those that could not be read."""
        if self.rooms is None:
            return []
        failed = []
        for room in dict.fromkeys(record.room for record in self._subscribed) if rooms is None else rooms:
            try:
                room_id, events = await self.rooms.open(room)
            except Exception as error:
                _log.warning("a policy list cannot be read", room=room, error=str(error))
                failed.append(room)
                self._failed[room] = str(error)
                continue
            self._failed.pop(room, None)
            await self._stored.set_policy_room(room, room_id)
            rules = [rule for event in events if (rule := parse_rule(room_id, event)) is not None and rule.entity]
            await self._replace(room_id, rules)
        self._subscribed = await self._stored.policies()
        self._arrange()
        self.changed()
        return failed

    def follows(self, room_id: str) -> bool:
        """Whether a room is that of a list which counts somewhere."""
        return any(record.room_id == room_id for record in self._subscribed)

    async def receive(self, room_id: str, event: Mapping[str, Any]) -> bool:
        """A state event came in a room; whether it was a rule of a list that counts. Raises like the database."""
        if not self.follows(room_id) or (rule := parse_rule(room_id, event)) is None:
            return False
        one = self._lists.setdefault(room_id, _List())
        key = (rule.kind, rule.state_key)
        if rule.entity:
            one.rules[key] = rule
            await self._stored.set_rules([rule])
        else:
            one.rules.pop(key, None)
            await self._stored.set_rules([], [rule])
        one.stale = True
        self._arrange()
        self.changed()
        return True

    async def _replace(self, room_id: str, rules: Sequence[RuleRecord]) -> None:
        one = self._lists.setdefault(room_id, _List())
        new = {(rule.kind, rule.state_key): rule for rule in rules}
        gone = [rule for key, rule in one.rules.items() if key not in new]
        changed = [rule for key, rule in new.items() if one.rules.get(key) != rule]
        await self._stored.set_rules(changed, gone)
        one.rules, one.stale = new, True

    def _arrange(self) -> None:
        self._of = {}
        for record in self._subscribed:
            if (one := self._lists.get(record.room_id)) is not None and one.rules:
                self._of.setdefault(record.stream, []).append(one)
