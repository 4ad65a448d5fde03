"""What a room should be like."""

import json
import zlib

import pytest

from ghostlive.chat.matrix import picture, plan
from ghostlive.chat.matrix.plan import Site, Wish

SITE = Site("chat.test", "@_ghostlive:chat.test", "https://live.test/")


def test_who_gets_which_level() -> None:
    wish = Wish("demo", owner="@a:b", moderators=frozenset({"@c:d", "@a:b"}))
    assert wish.power() == {"@a:b": 90, "@c:d": 50}


def test_the_topic_says_what_is_so() -> None:
    assert plan.topic(Wish("demo", live=True), SITE) == "Live now · watch at https://live.test/demo"
    assert plan.topic(Wish("demo", description=" a\n b "), SITE) == "Offline · https://live.test/demo · a b"
    assert len(plan.topic(Wish("demo", description="x" * 5000), SITE)) == 1000


def test_a_name_is_never_empty() -> None:
    assert plan.showing(Wish("demo"), SITE)["m.room.name", ""] == {"name": "demo"}


def test_without_a_page_there_is_no_player() -> None:
    shown = plan.showing(Wish("demo"), Site("chat.test", SITE.bot, ""))
    assert set(shown) == {("m.room.name", ""), ("m.room.topic", "")}
    assert shown["m.room.topic", ""] == {"topic": "Offline"}


@pytest.mark.parametrize("version", ["11", "12"])
def test_a_room_is_made_without_an_alias_and_with_whole_numbers(version: str) -> None:
    body = plan.creation(Wish("demo", owner="@a:b"), SITE, version=version, space="!space", predecessor="!old")
    assert "room_alias_name" not in body
    assert body["invite"] == ["@a:b"]
    assert body["creation_content"] == {plan.MARK: "demo", "predecessor": {"room_id": "!old"}}
    assert (SITE.bot in body["power_level_content_override"]["users"]) is (version == "11")
    assert "." not in json.dumps(body["power_level_content_override"]["users_default"])
    types = {(one["type"], one["state_key"]) for one in body["initial_state"]}
    assert ("m.space.parent", "!space") in types
    assert "room_version" not in body
    asked = plan.creation(Wish("demo"), Site("c", SITE.bot, "", "11"), version="11", space=None)
    assert asked["room_version"] == "11"


def test_a_note_changes_with_the_content_only() -> None:
    assert plan.note({"a": 1, "b": 2}) == plan.note({"b": 2, "a": 1}) != plan.note({"a": 1, "b": 3})


def test_the_order_in_the_space_fits() -> None:
    assert plan.child(SITE, "x" * 64)["order"] == "x" * 50


def test_the_picture_is_a_picture() -> None:
    data = picture.draw("demo")
    assert data == picture.draw("demo") != picture.draw("other")
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, kinds, pixels = 8, [], b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert int.from_bytes(data[at + 8 + size : at + 12 + size], "big") == zlib.crc32(kind + body)
        kinds.append(kind)
        pixels += body if kind == b"IDAT" else b""
        at += 12 + size
    assert kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert len(zlib.decompress(pixels)) == 96 * (1 + 96 // 8)
