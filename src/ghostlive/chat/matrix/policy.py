"""Policy lists: rooms of Matrix whose state says whom others have banned (Matrix specification, "Moderation policy
lists"). A homeserver enforces none of it; we keep those users and servers out of our chats.

Rules are state events: of users and of servers, under the names of the specification and two older ones, with a
pattern, a recommendation and a reason. Those that recommend a ban count, as many as there may be (`rulebook`). They are
stored as they were last seen, so that they hold while the homeserver is away.

Whoever keeps a list may fill it as they like, so long ones are read in pieces: others have their turn in between.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import structlog

from ghostlive.chat.errors import ListedError
from ghostlive.chat.matrix.rulebook import MOST_PATTERNS, MOST_RULES, MOST_WILDCARDS, RuleBook
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
MOST_IN_ALL: Final = 50_000
"""Rules of all lists of a server together, whoever chose them: they are all in memory, about 40 MB."""
_AT_ONCE: Final = 100
"""Rules that are read, or stored, before others have their turn."""
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


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
    return _UNSTORABLE.search(text) is None


class Policies:
    """The lists that count in our chats. `load` before use."""

    def __init__(self, stored: BanRepository, now: Callable[[], datetime]) -> None:
        """`now` is the time that is stored."""
        self._stored = stored
        self._now = now
        self._lists: dict[str, RuleBook] = {}
        """By room id."""
        self._subscribed: list[PolicyRecord] = []
        self._failed: dict[str, str] = {}
        """Why a list could not be read, by its room as it was written."""
        self._of: dict[str | None, list[RuleBook]] = {}
        """By stream; None are those that count everywhere."""
        self._late: list[list[tuple[str, Mapping[str, Any]]]] = []
        """What came since the homeserver was asked for a list, with its room; one of these for each that is read."""
        self._one_reader = asyncio.Lock()
        self.rooms: PolicyRooms | None = None
        """Set by the bridge to Matrix; without it, what is stored counts."""
        self.changed: Callable[[], None] = lambda: None
        """Told when somebody may be kept out who was not before, or not any more."""

    async def load(self) -> None:
        """Read what is stored. Raises like the database."""
        self._subscribed = await self._stored.policies()
        self._lists = {}
        for rule in await self._stored.rules():
            self._book(rule.room_id).put(rule)
        self._arrange()

    def find(self, stream: str, mxid: str) -> Rule | None:
        """The rule that keeps a user of Matrix out of a stream's chat."""
        if not self._of:
            return None
        for lists in (self._of.get(stream, ()), self._of.get(None, ())):
            for one in lists:
                if (rule := one.find(mxid)) is not None:
                    return Rule(rule.entity, rule.reason)
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
            (record, len(one) if (one := self._lists.get(record.room_id)) is not None else 0)
            for record in self._subscribed
            if record.stream == stream
        ]

    def trouble(self, record: PolicyRecord) -> str:
        """Why a list does not count, or not as it is now, or not all of it; empty when it does."""
        if (error := self._failed.get(record.room)) is not None:
            return error
        one = self._lists.get(record.room_id)
        if one is not None and one.left_out:
            return _too_much(one)
        return "" if record.room_id else "The room of this list was not read yet."

    async def subscribe(self, stream: str | None, stream_id: int | None, rooms: Sequence[str]) -> None:
        """These lists count in a stream (None: everywhere), and no others. Raises like the database."""
        await self._stored.set_policies(stream_id, rooms, at=self._now())
        self._subscribed = await self._stored.policies()
        used = {record.room_id for record in self._subscribed}
        self._lists = {room_id: one for room_id, one in self._lists.items() if room_id in used}
        self._arrange()
        if self.rooms is None:  # what is stored of them counts
            self.changed()
        await self.refresh([record.room for record in self._subscribed if record.stream == stream])

    async def refresh(self, rooms: Iterable[str] | None = None) -> list[str]:
        """Enter the rooms of lists (without `rooms`, of all) and read them anew; those that could not be read."""
        if self.rooms is None:
            return []
        failed = []
        for room in dict.fromkeys(record.room for record in self._subscribed) if rooms is None else rooms:
            late: list[tuple[str, Mapping[str, Any]]] = []
            self._late.append(late)
            try:
                room_id, events = await self.rooms.open(room)
            except Exception as error:
                _log.warning("a policy list cannot be read", room=room, error=str(error))
                failed.append(room)
                self._failed[room] = str(error)
            else:
                self._failed.pop(room, None)
                await self._stored.set_policy_room(room, room_id)
                async with self._one_reader:
                    await self._read(room_id, events)
                await self._catch_up(room_id, late)
            finally:
                self._late = [one for one in self._late if one is not late]
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
        for late in self._late:
            late.append((room_id, event))
        await self._put(rule)
        self._arrange()
        self.changed()
        return True

    async def _put(self, rule: RuleRecord) -> None:
        room_id = rule.room_id
        one = self._book(room_id)
        if rule.entity and one.put(rule):
            await self._stored.set_rules([rule])
        else:
            one.remove((rule.kind, rule.state_key))
            await self._stored.set_rules([], [rule])
            if rule.entity and one.left_out == 1:
                _log.warning("a policy list has more rules than count", room=room_id, rules=len(one))

    async def _catch_up(self, room_id: str, late: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """What came meanwhile counts, in its order, and not what was read; more may come while that is stored."""
        done = 0
        while done < len(late):
            where, event = late[done]
            done += 1
            if where == room_id and (rule := parse_rule(room_id, event)) is not None:
                await self._put(rule)

    async def _read(self, room_id: str, events: Iterable[Mapping[str, Any]]) -> None:
        """A list is like this now."""
        before = self._lists.get(room_id, RuleBook())
        new = RuleBook(self._room_for(room_id))
        for number, event in enumerate(events):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if (rule := parse_rule(room_id, event)) is not None and rule.entity:
                new.put(rule)
        gone = [rule for key, rule in before.rules.items() if key not in new.rules]
        changed = [rule for key, rule in new.rules.items() if before.rules.get(key) != rule]
        for at in range(0, len(gone), _AT_ONCE):
            await self._stored.set_rules([], gone[at : at + _AT_ONCE])
        for at in range(0, len(changed), _AT_ONCE):
            await self._stored.set_rules(changed[at : at + _AT_ONCE])
        # Not before: what could not be stored is found to be different the next time, too.
        self._lists[room_id] = new
        self._arrange()
        if new.left_out:
            _log.warning("a policy list has more rules than count", room=room_id, rules=len(new))

    def _book(self, room_id: str) -> RuleBook:
        """The rules of a list; one that is new gets what the others have left."""
        if (one := self._lists.get(room_id)) is None:
            one = self._lists[room_id] = RuleBook()
        one.most = self._room_for(room_id)
        return one

    def _room_for(self, room_id: str) -> int:
        others = sum(len(one) for other, one in self._lists.items() if other != room_id)
        return max(0, min(MOST_RULES, MOST_IN_ALL - others))

    def _arrange(self) -> None:
        self._of = {}
        for record in self._subscribed:
            if (one := self._lists.get(record.room_id)) is not None and len(one):
                self._of.setdefault(record.stream, []).append(one)


def _too_much(one: RuleBook) -> str:
    reason = f"a list may have {MOST_RULES:,} rules, of which {MOST_PATTERNS:,} have wildcards, {MOST_WILDCARDS} each"
    if one.most < MOST_RULES and len(one) >= one.most:
        reason = f"all lists of this server together may have {MOST_IN_ALL:,} rules"
    return f"Only {len(one):,} rules of this list count: {reason}."
