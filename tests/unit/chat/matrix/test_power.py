"""Power levels before and since room version 12."""

import pytest

from ghostlive.chat.matrix.power import BOT, changed_levels, creators_rule, new_levels, read_levels

SELF = "@_ghostlive:chat.test"
ALICE = "@alice:chat.test"
BOB = "@bob:chat.test"


@pytest.mark.parametrize(
    ("version", "ruling"),
    [("1", False), ("11", False), ("12", True), ("13", True), ("org.matrix.hydra.11", True), ("x", False)],
)
def test_creators_rule_since_version_12(version: str, ruling: bool) -> None:
    assert creators_rule(version) is ruling


def test_the_creator_is_listed_before_and_not_since() -> None:
    assert new_levels(SELF, {ALICE: 90}, version="11")["users"] == {ALICE: 90, SELF: BOT}
    assert new_levels(SELF, {ALICE: 90, SELF: 50}, version="12")["users"] == {ALICE: 90}


def test_levels_are_read() -> None:
    content = {"users": {ALICE: 90}, "users_default": 1, "state_default": 60, "events": {"m.room.name": 90}, "ban": 70}
    levels = read_levels({"room_version": "11"}, SELF, content)
    assert [levels.of(user) for user in (ALICE, BOB, SELF)] == [90, 1, 1]
    assert (levels.for_state("m.room.name"), levels.for_state("x"), levels.for_act("ban")) == (90, 60, 70)
    assert (levels.for_act("kick"), levels.for_act("invite")) == (50, 0)
    assert levels.lacking(SELF) == ["ban", "kick", "redact", "m.room.power_levels", "m.room.topic"]
    assert levels.lacking(ALICE) == []


def test_creators_lack_nothing() -> None:
    create = {"room_version": "12", "additional_creators": [ALICE, 5]}
    levels = read_levels(create, SELF, {"users": {}, "ban": 10_000})
    assert levels.of(ALICE) == levels.of(SELF) == float("inf")
    assert levels.lacking(SELF) == []
    assert levels.of(BOB) == 0


def test_without_levels_the_creator_has_all() -> None:
    levels = read_levels({"room_version": "11"}, SELF, None)
    assert (levels.of(SELF), levels.of(ALICE)) == (100, 0)


def test_texts_of_old_rooms_and_nonsense_are_levels_too() -> None:
    levels = read_levels({}, SELF, {"users": {ALICE: " 50", BOB: "+-5"}, "ban": None, "users_default": True})
    assert (levels.of(ALICE), levels.of(BOB), levels.for_act("ban")) == (50, 0, 50)


def test_only_what_we_gave_is_taken_back() -> None:
    content = {"users": {ALICE: 90, BOB: 50, "@carol:chat.test": 40}, "ban": 50}
    changed = changed_levels(content, {ALICE: 90, BOB: 50}, {ALICE: 90, "@dan:chat.test": 50}, frozenset())
    assert changed == {"users": {ALICE: 90, "@carol:chat.test": 40, "@dan:chat.test": 50}, "ban": 50}


def test_what_was_changed_in_a_client_stays() -> None:
    assert changed_levels({"users": {BOB: -1}}, {BOB: 50}, {BOB: 50}, frozenset()) is None
    assert changed_levels({"users": {BOB: -1}}, {BOB: 50}, {}, frozenset()) is None


def test_a_creator_is_never_listed() -> None:
    assert changed_levels({"users": {}}, {}, {ALICE: 90}, frozenset({ALICE})) is None
