"""Bans of patterns of Matrix IDs in a room: who is in it goes, servers are shut out, and moderators stay."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.matrix import World, open_world

from ghostlive.chat.matrix.patterns import ACL, change_acl, server_of
from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.people import Author, Role

ADMIN = Actor(Author("u_1", "owner", Role.STREAMER), "page")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


def pattern(text: str) -> Author:
    """As `banning` names it."""
    return Author("", text, mxid=text)


async def native(world: World, name: str) -> str:
    person = world.homeserver.user(name)
    await person.join(world.room.id)
    return person.mxid


async def test_who_is_in_the_room_and_matches_is_banned(world: World) -> None:
    await world.say("spamela", "a guest of ours")
    await world.caught_up()
    spam, nice = await native(world, "spam1"), await native(world, "nice")
    boss = await native(world, "spamboss")
    levels = dict(world.room.content("m.room.power_levels"))
    levels["users"] = {**levels.get("users", {}), boss: 50}
    world.homeserver.add(world.room, "m.room.power_levels", world.homeserver.bot, levels, state_key="")
    await world.act(Act("ban", ADMIN, target=pattern("@*spam*:*"), reason="spam"))
    await world.caught_up()
    assert world.room.content("m.room.member", spam) == {"membership": "ban", "reason": "spam"}
    assert [world.room.membership(mxid) for mxid in (nice, boss, world.ghost("spamela"))] == ["join"] * 3
    await world.act(Act("unban", ADMIN, target=pattern("@*spam*:*")))
    await world.caught_up()
    assert world.room.membership(spam) == "leave"


async def test_a_whole_server_is_shut_out_and_ours_never(world: World) -> None:
    for text in ("@*:evil.example", "*:*.worse.example", "@*:chat.*"):
        await world.act(Act("ban", ADMIN, target=pattern(text)))
    await world.caught_up()
    rules = world.room.content(ACL)
    assert (rules["allow"], rules["deny"]) == (["*"], ["evil.example", "*.worse.example"])
    await world.act(Act("unban", ADMIN, target=pattern("@*:evil.example")))
    await world.caught_up()
    assert world.room.content(ACL)["deny"] == ["*.worse.example"]


async def test_who_is_linked_is_banned_under_both_names(world: World) -> None:
    await world.say("eve", "rubbish")
    await world.caught_up()
    mxid = await native(world, "mallory")
    await world.act(Act("ban", ADMIN, target=Author(world.id_of("eve"), "eve", mxid=mxid)))
    await world.caught_up()
    assert (world.room.membership(world.ghost("eve")), world.room.membership(mxid)) == ("ban", "ban")


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("@*:evil.example", "evil.example"),
        ("*:*.evil.example", "*.evil.example"),
        ("@*:evil.example:8448", "evil.example:8448"),
        ("@spam*:evil.example", None),
        ("@*spam:evil.example", None),
        ("*", None),
        ("@*:", None),
    ],
)
def test_of_which_patterns_whole_servers_are(text: str, server: str | None) -> None:
    assert server_of(text) == server


def test_server_rules_keep_what_others_wrote() -> None:
    assert change_acl(None, "evil", out=True) == {"allow": ["*"], "deny": ["evil"], "allow_ip_literals": True}
    theirs = {"allow": ["a", "b"], "deny": ["c"], "allow_ip_literals": False}
    assert change_acl(theirs, "evil", out=True) == {**theirs, "deny": ["c", "evil"]}
    assert change_acl(theirs, "c", out=True) is None
    assert change_acl(theirs, "c", out=False) == {**theirs, "deny": []}
    assert change_acl(theirs, "evil", out=False) is None
    assert change_acl({"deny": "nonsense", "allow": 5}, "evil", out=True) == {
        "allow": ["*"],
        "deny": ["evil"],
        "allow_ip_literals": True,
    }
