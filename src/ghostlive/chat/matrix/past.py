"""What a room's timeline says about what we had sent and could not note any more. No homeserver here, no database.

Each event of ours has a mark (`content`). A redaction takes it away, so there are two more things to go by. Who sent an
event, of which type it is and its time stay, and the time is one that we gave (`ts`; Application Service API,
"Timestamp massaging"). And messages are sent one after the other, each when it is known what became of the one before:
so whatever stands before a message that is in the room was dealt with, even if nothing of it can be recognised.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ghostlive.chat.matrix.alias import bot_id, is_ours
from ghostlive.chat.matrix.content import ID, PENDING, mark
from ghostlive.chat.matrix.events import MESSAGE, REACTION, REDACTION, RoomEvent
from ghostlive.chat.matrix.ghosts import ghost_id
from ghostlive.db.matrix import Outgoing, OutgoingRecord, PendingRecord


@dataclass(slots=True)
class Found:
    """What is in the room already."""

    messages: dict[int, RoomEvent] = field(default_factory=dict)
    """By their numbers."""
    others: list[tuple[PendingRecord, RoomEvent]] = field(default_factory=list)
    """Edits and reactions."""
    redacted: set[str] = field(default_factory=set)
    """Events that need not be redacted any more."""
    passed: int = 0
    """Messages up to this number were dealt with."""


class Past:
    """Reads a timeline backwards (`read`), then says what it found (`found`)."""

    def __init__(self, outgoing: Outgoing, *, cursor: int, server_name: str) -> None:
        """`outgoing` is what is not noted as sent: more cannot have been. Other marks are of another database."""
        self._messages = {message.id: message for message in outgoing.messages}
        self._others = {other.id: other for other in outgoing.others}
        self._cursor = cursor
        self._server = server_name
        self._events: list[RoomEvent] = []

    def read(self, events: Sequence[RoomEvent]) -> bool:
        """Some events, the newest first; whether older ones do not matter."""
        ours = [event for event in events if is_ours(event.sender, self._server)]
        self._events += ours
        numbers = [number for event in ours if (number := mark(event.content, ID)) is not None]
        return any(number <= self._cursor for number in numbers)

    def found(self) -> Found:
        """What of it is in the room."""
        found = Found()
        nameless: list[RoomEvent] = []
        done: set[int] = set()
        for event in reversed(self._events):
            number, other = mark(event.content, ID), mark(event.content, PENDING)
            if event.type == REDACTION:
                found.redacted.add(event.redacts or "")
            elif event.redacted:
                found.redacted.add(event.event_id)
                nameless.append(event)
            elif number in self._messages:
                found.messages[number] = event
            elif other in self._others:
                done.add(other)
                found.others.append((self._others[other], event))
        for event in nameless:
            self._recognise(event, found, done)
        found.passed = max(found.messages, default=0)
        return found

    def _recognise(self, event: RoomEvent, found: Found, done: set[int]) -> None:
        """One that was redacted, so that nothing but its frame is left."""
        for number, message in self._messages.items():
            if number not in found.messages and self._is(event, message):
                found.messages[number] = event
                return
        for other in self._others.values():
            if other.id not in done and self._belongs(event, other):
                done.add(other.id)
                found.others.append((other, event))
                return

    def _is(self, event: RoomEvent, message: OutgoingRecord) -> bool:
        speakers = (bot_id(self._server), ghost_id(message.author, self._server))
        return event.type == MESSAGE and event.ts == milliseconds(message) and event.sender in speakers

    def _belongs(self, event: RoomEvent, other: PendingRecord) -> bool:
        payload = other.payload
        if payload.get("at") != event.ts:
            return False
        if "key" in payload:
            return event.type == REACTION and event.sender == ghost_id(str(payload["author"]), self._server)
        return "text" in payload and event.type == MESSAGE


def milliseconds(message: OutgoingRecord) -> int:
    """When a message was said, since 1970: the time that it has in the room."""
    return int(message.sent_at.timestamp() * 1000)
