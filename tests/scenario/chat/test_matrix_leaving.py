"""Ghosts leave closed rooms, and rooms of people who are away; in no hurry, over restarts, and nobody is un-banned."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.support.chat import PATIENCE
from tests.support.fake_matrix import FakeUser
from tests.support.matrix import World, open_world

from ghostlive.chat.matrix.leaving import Leaving
from ghostlive.chat.matrix.plan import Site, Wish
from ghostlive.chat.matrix.rooms import Rooms
from ghostlive.core.tasks import TaskScope
from ghostlive.db.tables import chat_guests, chat_messages

DAYS = 30


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        for name in ("ada", "bob", "eve"):
            await world.say(name, f"hello from {name}")
        await world.caught_up()
        yield world


def _leaving(world: World, days: int = DAYS) -> Leaving:
    return Leaving(ghosts=world.ghosts, repository=world.matrix, line=world.line, clock=world.chat.clock, days=days)


async def _look(world: World, leaving: Leaving) -> None:
    """Until a look is over, in virtual time."""
    task = asyncio.create_task(leaving.look())
    async with asyncio.timeout(PATIENCE):
        while not task.done():
            world.chat.clock.advance(0.05)
            await asyncio.sleep(0.001)
    await task


async def _away(world: World, days: int, *names: str) -> None:
    """So long ago these people were here last."""
    at = world.chat.service.now() - timedelta(days=days)
    async with world.chat.database.write() as connection:
        for name in names:
            author = world.id_of(name)
            await connection.execute(update(chat_guests).where(chat_guests.c.id == author).values(last_seen_at=at))
            await connection.execute(update(chat_messages).where(chat_messages.c.author == author).values(sent_at=at))


def _rooms(world: World) -> Rooms:
    return Rooms(client=world.client, store=world.matrix, site=Site("chat.test", world.client.bot, ""))


async def _close(world: World) -> None:
    """What the keeper does with the room of a stream that was removed."""
    record = await world.matrix.room("demo")
    assert record is not None
    await world.chat.streams.remove("demo")
    rooms = _rooms(world)
    for _ in range(2):  # the second time it is closed already
        [closed] = [one for one in await world.matrix.rooms() if one.id == record.id]
        await rooms.close(closed, space=None)


async def test_who_was_away_for_long_leaves_and_is_back_with_their_next_message(world: World) -> None:
    leaving = _leaving(world)
    await _away(world, DAYS + 1, "ada", "bob", "eve")
    await world.say("bob", "still here")
    await world.caught_up()
    await _look(world, leaving)
    assert [world.room.membership(world.ghost(name)) for name in ("ada", "bob", "eve")] == ["leave", "join", "leave"]
    await world.say("ada", "back")
    await world.caught_up()
    assert world.room.membership(world.ghost("ada")) == "join"
    assert world.room.messages()[-1].sender == world.ghost("ada")


async def test_nobody_leaves_before_or_where_that_is_switched_off(world: World) -> None:
    await _away(world, DAYS - 1, "ada", "bob", "eve")
    await _look(world, _leaving(world))
    await _away(world, 10 * DAYS, "ada", "bob", "eve")
    await _look(world, _leaving(world, days=0))
    assert world.homeserver.requests("POST", "/leave") == []


async def test_who_is_banned_is_left_alone(world: World) -> None:
    owner = await _moderator(world)
    await owner.ban(world.room.id, world.ghost("eve"))  # and we have not heard of it yet
    await owner.kick(world.room.id, world.ghost("bob"))
    await _away(world, DAYS + 1, "ada", "bob", "eve")
    await _look(world, _leaving(world))
    memberships = {name: world.room.membership(world.ghost(name)) for name in ("ada", "bob", "eve")}
    assert memberships == {"ada": "leave", "bob": "leave", "eve": "ban"}
    number = world.outbox.room.number
    assert {ghost.membership for ghost in await world.matrix.ghosts(number) if ghost.author == world.id_of("eve")} == {
        "ban"
    }
    assert not world.homeserver.requests("POST", "/unban")


async def test_a_closed_room_is_left_by_all_at_a_pace_over_a_restart_and_an_outage(world: World) -> None:
    owner = await _moderator(world)
    await owner.ban(world.room.id, world.ghost("eve"))
    ghosts = [world.ghost(name) for name in ("ada", "bob")]
    await _close(world)
    assert world.room.membership(world.homeserver.bot) == "leave"
    assert [world.room.membership(ghost) for ghost in ghosts] == ["join", "join"]
    assert await world.matrix.stream_of(world.room.id) == ""

    world.homeserver.skip(1, path="/leave")
    world.homeserver.fail(503, path="/leave")
    leaving = _leaving(world)
    began = world.chat.clock.now()
    with pytest.raises(Exception, match="503"):
        await _look(world, leaving)
    number = world.outbox.room.number
    assert len(await world.matrix.present(number, limit=10)) == 2  # the first has left, or turned out to be banned
    assert world.chat.clock.now() - began >= 0.5

    await _look(world, _leaving(world))  # as after a restart: it knows only what is stored
    assert [world.room.membership(ghost) for ghost in ghosts] == ["leave", "leave"]
    assert world.room.membership(world.ghost("eve")) == "ban"
    assert [record for record in await world.matrix.rooms() if record.room_id == world.room.id] == []


async def _upgraded(world: World) -> None:
    """Somebody with the power to do so upgraded the room in their client."""
    owner = await _moderator(world)
    levels = world.room.content("m.room.power_levels") | {"events": {"m.room.tombstone": 0}}
    world.homeserver.add(world.room, "m.room.power_levels", world.homeserver.bot, levels, state_key="")
    new = await owner.upgrade(world.room.id)
    await owner.set_power(new, world.homeserver.bot, 100)
    record = await world.matrix.room("demo")
    assert record is not None
    checked = await _rooms(world).check(record, Wish("demo", title="Demo"), space=None)
    assert checked.record.room_id == new


async def _given_up(world: World) -> None:
    """The bot was banned from the room, and somebody pressed the button."""
    world.homeserver.force(
        world.room, "m.room.member", "@mallory:chat.test", {"membership": "ban"}, state_key=world.homeserver.bot
    )
    record = await world.matrix.room("demo")
    assert record is not None
    await _rooms(world).replace(record, Wish("demo", title="Demo"), space=None)


@pytest.mark.parametrize("how", [_upgraded, _given_up])
async def test_a_room_that_was_replaced_is_left_by_all_and_the_new_one_is_not(
    world: World, how: Callable[[World], Awaitable[None]]
) -> None:
    old, bot = world.room, world.homeserver.bot
    await (await _moderator(world)).ban(old.id, world.ghost("eve"))
    late = world.ghosts.mxid("g_late")  # was joining just then, so that it is noted nowhere for this room
    await world.client.register(late[1:].partition(":")[0])
    world.homeserver.set_membership(old, late, late, "join")
    await how(world)
    record = await world.matrix.room("demo")
    assert record is not None
    assert record.room_id is not None
    assert await world.matrix.stream_of(old.id) == "", "what happens in there is nobody's"
    await world.kill()
    await world.revive()  # as the bridge begins anew with another room
    world.room = world.homeserver.room(record.room_id)
    await world.say("ada", "here we are")
    await world.caught_up()
    assert world.room.membership(world.ghost("ada")) == "join"

    began = world.chat.clock.now()
    leaving = _leaving(world, days=0)  # this has nothing to do with who was away
    await _look(world, leaving)
    assert [old.membership(ghost) for ghost in (world.ghost("ada"), world.ghost("bob"))] == ["leave", "leave"]
    assert old.membership(world.ghost("eve")) == "ban"
    assert world.room.membership(world.ghost("ada")) == "join"
    assert world.chat.clock.now() - began >= 0.5 * (leaving.left - 1), "at a pace that a homeserver does not feel"
    if how is _upgraded:  # else the homeserver does not tell the bot who is in there
        assert old.membership(late) == "leave"
        assert old.membership(bot) == "leave"
    assert [one.room_id for one in await world.matrix.rooms()] == [record.room_id]
    before = len(world.homeserver.requests("POST", "/leave"))
    await _look(world, leaving)
    assert len(world.homeserver.requests("POST", "/leave")) == before


async def test_the_task_goes_on_after_trouble(world: World) -> None:
    await _away(world, DAYS + 1, "ada", "bob", "eve")
    world.homeserver.fail(503, path="/leave")
    async with TaskScope("leaving") as scope:
        scope.spawn(_leaving(world).run(), name="leaving")
        ghosts = [world.ghost(name) for name in ("ada", "bob", "eve")]
        await world.until(lambda: all(world.room.membership(ghost) == "leave" for ghost in ghosts), "them to leave")


async def test_the_task_looks_when_it_is_told_and_when_the_homeserver_is_back(world: World) -> None:
    leaving = _leaving(world)
    await _close(world)
    ghosts = [world.ghost(name) for name in ("ada", "bob", "eve")]
    async with TaskScope("leaving") as scope:
        world.homeserver.dead = True
        world.line.mend()
        scope.spawn(leaving.run(), name="leaving")
        await world.until(lambda: not world.line.is_up, "it to find the homeserver gone")
        leaving.wake()
        world.homeserver.dead = False
        began = world.chat.clock.now()
        async with asyncio.timeout(PATIENCE):
            world.line.mend()
            while any(world.room.membership(ghost) == "join" for ghost in ghosts):
                world.chat.clock.advance(0.01)
                await asyncio.sleep(0.001)
    assert world.chat.clock.now() - began < 500


async def _moderator(world: World) -> FakeUser:
    owner = world.homeserver.user("owner")
    await owner.join(world.room.id)
    levels = dict(world.room.content("m.room.power_levels"))
    levels["users"] = {**levels.get("users", {}), owner.mxid: 50}
    world.homeserver.add(world.room, "m.room.power_levels", world.homeserver.bot, levels, state_key="")
    return owner
