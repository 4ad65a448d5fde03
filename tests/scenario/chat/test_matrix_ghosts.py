"""Ghosts: who comes for the first time, floods, names, and bans and kicks that stand."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.fake_matrix import FakeUser
from tests.support.matrix import World, open_world

from ghostlive.chat.matrix.content import PROFILE
from ghostlive.chat.matrix.ghosts import JOINS, ghost_author, ghost_id
from ghostlive.db.chat import NewMessage

PEOPLE = 300


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


def test_ids_of_ghosts_and_authors_belong_together() -> None:
    assert ghost_id("g_abc123", "chat.test") == "@_ghostlive_abc123:chat.test"
    assert ghost_id("u_7", "chat.test") == "@_ghostlive_u_7:chat.test"
    for author in ("g_abc123", "u_7"):
        assert ghost_author(ghost_id(author, "chat.test"), "chat.test") == author
    for mxid in ("@_ghostlive:chat.test", "@_ghostlive_x:elsewhere.test", "@alice:chat.test"):
        assert ghost_author(mxid, "chat.test") is None


async def test_a_ghost_is_registered_and_joined_once(world: World) -> None:
    for number in range(4):
        await world.say("ada", f"message {number}")
    await world.caught_up()
    ghost = world.ghost("ada")
    joins = [event for event in world.room.timeline if event.type == "m.room.member" and event.state_key == ghost]
    assert [event.sender for event in joins] == [ghost]
    assert len(world.homeserver.requests("POST", "/register")) == 1


async def test_also_after_a_restart_of_ours(world: World) -> None:
    await world.say("ada", "one")
    await world.caught_up()
    await world.kill()
    await world.revive()
    before = len(world.homeserver.requests("PUT", "m.room.member"))
    await world.say("ada", "two")
    await world.caught_up()
    assert len(world.homeserver.requests("PUT", "m.room.member")) == before


async def test_whoever_lurks_is_nobody_in_matrix(world: World) -> None:
    for number in range(20):
        await world.page(f"lurker {number}")
    await world.say("ada", "hello")
    await world.caught_up()
    assert len([user for user in world.homeserver.registered if user.startswith("@_ghostlive_")]) == 1


async def test_somebody_with_a_new_name_has_it_in_the_room_too(world: World) -> None:
    await world.say("ada", "one")
    await (await world.page("ada")).join("Countess")
    await (await world.page("ada")).post("two")
    await world.caught_up()
    assert world.room.content("m.room.member", world.ghost("ada"))["displayname"] == "Countess"
    assert world.room.bodies() == ["one", "two"]


async def test_a_flood_of_new_people_does_not_keep_anybody_waiting(world: World) -> None:
    await world.say("regular", "one")
    await world.caught_up()
    world.ghosts.patience = 0.05
    world.homeserver.hold("/state/m.room.member")  # nobody can join from now on
    for number in range(30):
        await world.say(f"new {number}", f"hello from {number}")
    await world.say("regular", "two")
    await world.until(lambda: len(world.room.bodies()) == 32, "all messages")
    events = world.room.messages()
    assert events[-1].content["body"] == "two"
    assert events[-1].sender == world.ghost("regular")
    relayed = events[1:-1]
    assert {event.sender for event in relayed} == {world.homeserver.bot}
    for number, event in enumerate(relayed):
        assert event.content[PROFILE] == {
            "id": world.id_of(f"new {number}"),
            "displayname": f"new {number}",
            "has_fallback": True,
        }
        assert event.content["body"] == f"new {number}: hello from {number}"
    world.homeserver.heal()


async def test_who_was_spoken_for_joins_later_and_speaks_then(world: World) -> None:
    world.ghosts.patience = 0.05
    gate = world.homeserver.hold("/state/m.room.member", times=1)
    await world.say("ada", "one")
    await world.until(lambda: world.room.bodies() == ["ada: one"], "the message by the bot")
    gate.set()
    await world.until(lambda: world.ghosts.membership(world.outbox.room.number, world.id_of("ada")) == "join", "it")
    await world.say("ada", "two")
    await world.caught_up()
    assert world.room.messages()[-1].sender == world.ghost("ada")


async def test_hundreds_of_new_people_at_once_are_all_heard_in_order_and_few_join(world: World) -> None:
    await world.say("regular", "one")
    await world.caught_up()
    room, now = await world.chat.service.enter("demo"), world.chat.service.now()
    first = room.seq + 1
    async with world.repository.transaction() as transaction:
        await transaction.add_messages(
            [
                NewMessage(
                    first + number, room.stream_id, f"g_{number:010}", "t", f"new {number}", "guest", "hi", None, now
                )
                for number in range(PEOPLE)
            ]
        )
    joined = world.ghosts.joined
    world.outbox.wake()
    while len(world.room.messages()) <= PEOPLE:  # all in the same moment: the clock stands still
        await asyncio.sleep(0.001)
    numbers = [event.content["live.ghost.id"] for event in world.room.messages()[1:]]
    assert numbers == list(range(first, first + PEOPLE))
    assert world.ghosts.joined - joined <= JOINS


async def test_a_message_of_who_was_banned_in_the_room_is_not_said_by_anybody(world: World) -> None:
    await world.say("eve", "one")
    await world.caught_up()
    ghost = world.ghost("eve")
    owner = await _moderator(world)
    await owner.ban(world.room.id, ghost)
    await world.say("eve", "two")
    await world.say("ada", "three")
    await world.caught_up()
    assert world.room.bodies() == ["one", "three"]
    assert world.room.membership(ghost) == "ban"
    assert world.outbox.refused == 1


async def test_a_ban_is_remembered_over_a_restart_and_nobody_tries_to_undo_it(world: World) -> None:
    await world.say("eve", "one")
    await world.caught_up()
    owner = await _moderator(world)
    await owner.ban(world.room.id, world.ghost("eve"))
    await world.say("eve", "two")
    await world.caught_up()
    await world.kill()
    await world.revive()
    seen = len(world.homeserver.seen)
    await world.say("eve", "three")
    await world.caught_up()
    assert not [request for request in world.homeserver.seen[seen:] if request.user == world.ghost("eve")]
    assert not world.homeserver.requests("POST", "/unban|/invite")
    assert world.room.membership(world.ghost("eve")) == "ban"


async def test_who_was_kicked_comes_back_with_their_next_message(world: World) -> None:
    await world.say("eve", "one")
    await world.caught_up()
    owner = await _moderator(world)
    await owner.kick(world.room.id, world.ghost("eve"))
    await world.say("eve", "two")
    await world.caught_up()
    assert [body.removeprefix("eve: ") for body in world.room.bodies()] == ["one", "two"]
    assert world.room.membership(world.ghost("eve")) == "join"


async def test_who_was_muted_in_the_room_is_not_heard_there(world: World) -> None:
    await world.say("eve", "one")
    await world.caught_up()
    owner = await _moderator(world, level=90)
    await owner.set_power(world.room.id, world.ghost("eve"), -1)
    await world.say("eve", "two")
    await world.say("ada", "three")
    await world.caught_up()
    assert world.room.bodies() == ["one", "three"]


async def test_a_homeserver_that_lost_its_users_gets_them_again(world: World) -> None:
    await world.say("ada", "one")
    await world.caught_up()
    world.homeserver.registered.discard(world.ghost("ada"))
    del world.room.state["m.room.member", world.ghost("ada")]
    await world.say("ada", "two")
    await world.caught_up()
    assert [body.removeprefix("ada: ") for body in world.room.bodies()] == ["one", "two"]


async def test_also_those_that_are_not_in_the_room_at_that_moment(world: World) -> None:
    await world.say("eve", "one")
    await world.caught_up()
    owner = await _moderator(world)
    await owner.kick(world.room.id, world.ghost("eve"))
    world.homeserver.registered.discard(world.ghost("eve"))
    await world.say("eve", "two")
    await world.caught_up()
    assert [body.removeprefix("eve: ") for body in world.room.bodies()] == ["one", "two"]


async def test_a_bot_that_may_not_speak_lets_everything_wait_and_asks_for_repair(world: World) -> None:
    await world.say("ada", "one")
    await world.caught_up()
    # Nobody comes in again by themselves.
    public = world.room.state["m.room.join_rules", ""]
    rule = {"join_rule": "invite"}
    world.homeserver.add(world.room, "m.room.join_rules", world.homeserver.bot, rule, state_key="")
    world.homeserver.set_membership(world.room, world.homeserver.bot, world.homeserver.bot, "leave")
    del world.room.state["m.room.member", world.ghost("ada")]
    world.homeserver.registered.discard(world.ghost("ada"))
    await world.say("ada", "two")
    await world.until(lambda: world.repaired == ["demo"], "the call for repair")
    assert world.room.bodies() == ["one"]
    world.room.state["m.room.join_rules", ""] = public
    world.homeserver.set_membership(world.room, world.homeserver.bot, world.homeserver.bot, "join")
    await world.caught_up()
    assert [body.removeprefix("ada: ") for body in world.room.bodies()] == ["one", "two"]


async def _moderator(world: World, level: int = 50) -> FakeUser:
    owner = world.homeserver.user("owner")
    await owner.join(world.room.id)
    levels = dict(world.room.content("m.room.power_levels"))
    levels["users"] = {**levels.get("users", {}), owner.mxid: level}
    levels["events"] = {**levels.get("events", {}), "m.room.power_levels": 90}
    world.homeserver.add(world.room, "m.room.power_levels", world.homeserver.bot, levels, state_key="")
    return owner
