"""Events and names of strangers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.chat.matrix.alias import (
    alias_of,
    is_mxid,
    is_ours,
    link_to,
    stream_of_alias,
)  # fmt: skip
from ghostlive.chat.matrix.events import RoomEvent, integer, read_event, read_events, texts

GOOD: dict[str, Any] = {
    "event_id": "$1", "room_id": "!r", "type": "m.room.message", "sender": "@a:b", "content": {"body": "hi"},
    "origin_server_ts": 5,
}  # fmt: skip


def test_an_event_is_read() -> None:
    assert read_event(GOOD) == RoomEvent("$1", "!r", "m.room.message", "@a:b", {"body": "hi"}, 5)


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": None}, {"event_id": "1"}, {"event_id": "$"}, {"room_id": 5}, {"sender": "a"}, {"type": ""},
        {"event_id": "$" + "x" * 255}, {"type": "x" * 256}, {"sender": "@a\0:b"},
    ],
)  # fmt: skip
def test_what_lacks_something_is_no_event(change: dict[str, Any]) -> None:
    assert read_event(GOOD | change) is None


def test_fields_of_another_type_are_missing() -> None:
    event = read_event(GOOD | {"content": [], "origin_server_ts": True, "state_key": 5, "unsigned": "x"})
    assert event == RoomEvent("$1", "!r", "m.room.message", "@a:b", {}, 0)


def test_a_redaction_names_its_target_in_either_place() -> None:
    old = read_event(GOOD | {"type": "m.room.redaction", "redacts": "$2", "content": {}})
    new = read_event(GOOD | {"type": "m.room.redaction", "content": {"redacts": "$2"}})
    assert old is not None
    assert new is not None
    assert old.redacts == new.redacts == "$2"


def test_a_member_event_says_what_was_before() -> None:
    raw = GOOD | {
        "type": "m.room.member", "state_key": "@c:d", "content": {"membership": "leave"},
        "unsigned": {"prev_content": {"membership": "ban"}},
    }  # fmt: skip
    event = read_event(raw)
    assert event is not None
    assert (event.membership, event.prev_membership) == ("leave", "ban")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.sampled_from([*GOOD, "unsigned", "redacts"]), c),
        max_leaves=12,
    )
)
def test_nothing_breaks_it(raw: object) -> None:
    assert isinstance(read_events(raw), list)
    assert isinstance(read_events([raw, GOOD]), list)


def test_numbers_and_lists() -> None:
    assert [integer({"a": value}, "a") for value in (1, True, "1", 1.0, None)] == [1, None, None, None, None]
    assert texts({"a": ["x", 1, "y"]}, "a") == ["x", "y"]


def test_aliases_name_streams() -> None:
    assert alias_of("demo", "chat.test") == "#live_demo:chat.test"
    assert stream_of_alias("#live_demo:chat.test", "chat.test") == "demo"
    assert stream_of_alias("#live_:chat.test", "chat.test") == ""
    for other in ("#live_demo:evil.test", "#other:chat.test", "#live_a/b:chat.test", "#live_:x:chat.test", "live_demo"):
        assert stream_of_alias(other, "chat.test") is None


def test_ours_are_the_bot_and_the_ghosts() -> None:
    assert is_ours("@_ghostlive:chat.test", "chat.test")
    assert is_ours("@_ghostlive_one:chat.test", "chat.test")
    assert not is_ours("@_ghostlive_one:evil.test", "chat.test")
    assert not is_ours("@_ghostliveone:chat.test", "chat.test")


def test_links_and_ids() -> None:
    assert link_to("#live_demo:chat.test") == "https://matrix.to/#/%23live_demo%3Achat.test"
    assert is_mxid("@a:b")
    for other in ("a:b", "@a", "@:b", "@a b:c", "@a:" + "x" * 255, "@a:b/c"):
        assert not is_mxid(other)
