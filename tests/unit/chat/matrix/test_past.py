"""What a timeline says about what was sent and not noted."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ghostlive.chat.matrix.content import ID
from ghostlive.chat.matrix.events import RoomEvent
from ghostlive.chat.matrix.past import Past, milliseconds
from ghostlive.db.matrix import Outgoing, OutgoingRecord

START = datetime(2026, 1, 1, tzinfo=UTC)
GHOST, BOT = "@_ghostlive_abc:chat.test", "@_ghostlive:chat.test"


def _message(number: int, author: str = "g_abc", *, second: int | None = None) -> OutgoingRecord:
    at = START + timedelta(seconds=number if second is None else second)
    return OutgoingRecord(number, author, "Ada", "guest", "text", "hi", None, None, at, False, False)


def _event(number: int, sender: str = GHOST, **more: Any) -> RoomEvent:
    ts = milliseconds(_message(number))
    known: dict[str, Any] = {"content": {ID: number}, "ts": ts, **more}
    return RoomEvent(f"${number}", "!r", known.pop("type", "m.room.message"), sender, **known)


def _found(past: Past) -> dict[int, str]:
    return {number: event.event_id for number, event in past.found().messages.items()}


def test_marks_of_ours_count_and_of_nobody_else() -> None:
    past = Past(Outgoing([_message(5), _message(6)], [], []), cursor=4, server_name="chat.test")
    assert not past.read([_event(6, "@eve:chat.test"), _event(5), _event(7)])
    assert past.read([_event(4)])
    assert _found(past) == {5: "$5"}


def test_what_was_redacted_is_known_by_its_sender_and_time() -> None:
    past = Past(Outgoing([_message(5), _message(6), _message(7)], [], []), cursor=4, server_name="chat.test")
    past.read(
        [_event(7, BOT, content={}, redacted=True), _event(5, "@_ghostlive_x:chat.test", content={}, redacted=True)]
    )
    assert _found(past) == {7: "$7"}
    assert past.found().redacted == {"$7", "$5"}


def test_what_stands_before_a_message_that_is_there_was_dealt_with() -> None:
    past = Past(Outgoing([_message(5), _message(6), _message(7)], [], []), cursor=4, server_name="chat.test")
    # A homeserver that gives events its own time.
    past.read([_event(6), _event(5, content={}, redacted=True, ts=1)])
    assert past.found().passed == 6
    assert _found(past) == {6: "$6"}


def test_several_that_the_bot_said_in_one_moment_are_told_apart_by_their_order() -> None:
    some = [_message(5, "g_a", second=9), _message(6, "g_b", second=9), _message(7, "g_c", second=9)]
    past = Past(Outgoing(some, [], []), cursor=4, server_name="chat.test")
    ts = milliseconds(some[0])
    redacted = [
        RoomEvent(f"${name}", "!r", "m.room.message", BOT, {}, ts, redacted=True) for name in ("second", "first")
    ]
    past.read(redacted)
    assert _found(past) == {5: "$first", 6: "$second"}
