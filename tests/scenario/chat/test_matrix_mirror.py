"""What is done on the page to what was said, and to people, is done in the room."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.matrix import World, open_world

from ghostlive.chat.message import Kind
from ghostlive.chat.moderation.acts import RULE, Act, Actor
from ghostlive.chat.people import Author, Role, matrix_author_id

ADMIN = Actor(Author("u_1", "owner", Role.STREAMER), "page")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def _eve(world: World) -> Author:
    await world.say("eve", "rubbish")
    await world.caught_up()
    return Author(world.id_of("eve"), "eve")


async def _native(world: World, name: str = "mallory") -> tuple[Author, str]:
    person = world.homeserver.user(name)
    await person.join(world.room.id)
    await person.say(world.room.id, "hello")
    return Author(matrix_author_id(person.mxid), name, mxid=person.mxid), person.mxid


async def test_a_ban_and_its_end(world: World) -> None:
    eve = await _eve(world)
    await world.act(Act("ban", ADMIN, target=eve, reason="spam"))
    await world.caught_up()
    member = world.room.content("m.room.member", world.ghost("eve"))
    assert (member["membership"], member["reason"]) == ("ban", "spam")
    await world.act(Act("unban", ADMIN, target=eve))
    await world.caught_up()
    assert world.room.membership(world.ghost("eve")) == "leave"
    await world.say("eve", "sorry")
    await world.caught_up()
    assert [body.removeprefix("eve: ") for body in world.room.bodies()] == ["rubbish", "sorry"]


async def test_a_ban_of_somebody_who_never_joined_keeps_their_ghost_out(world: World) -> None:
    await world.page("lurker")
    await world.act(Act("ban", ADMIN, target=Author(world.id_of("lurker"), "lurker")))
    await world.caught_up()
    assert world.room.membership(world.ghost("lurker")) == "ban"
    await world.say("lurker", "hello")
    await world.caught_up()
    assert world.room.bodies() == []


async def test_a_user_of_matrix_is_banned_by_their_own_id(world: World) -> None:
    mallory, mxid = await _native(world)
    await world.act(Act("ban", ADMIN, target=mallory))
    await world.caught_up()
    assert world.room.membership(mxid) == "ban"


async def test_who_has_linked_a_matrix_id_is_banned_under_both(world: World) -> None:
    eve = await _eve(world)
    _, mxid = await _native(world)
    await world.matrix.link(eve.id, mxid, at=world.chat.service.now())
    await world.act(Act("ban", ADMIN, target=eve))
    await world.caught_up()
    assert (world.room.membership(world.ghost("eve")), world.room.membership(mxid)) == ("ban", "ban")


async def test_a_ban_for_a_time_ends_by_itself(world: World) -> None:
    eve = await _eve(world)
    await world.act(Act("ban", ADMIN, target=eve, seconds=600.0))
    await world.caught_up()
    assert world.room.membership(world.ghost("eve")) == "ban"
    world.outbox.wake()
    await world.caught_up()
    assert world.room.membership(world.ghost("eve")) == "ban"
    world.chat.clock.advance(601.0)
    assert await world.matrix.due(world.chat.clock.wall_ns() // 1_000_000) == [world.outbox.room.stream_id]
    world.outbox.wake()
    await world.caught_up()
    assert world.room.membership(world.ghost("eve")) == "leave"


async def test_a_longer_ban_takes_the_place_of_a_shorter_one(world: World) -> None:
    eve = await _eve(world)
    await world.act(Act("ban", ADMIN, target=eve, seconds=600.0))
    await world.act(Act("ban", ADMIN, target=eve))
    await world.caught_up()
    world.chat.clock.advance(601.0)
    world.outbox.wake()
    await world.caught_up()
    assert world.room.membership(world.ghost("eve")) == "ban"


async def test_what_was_done_in_the_room_already_is_not_done_again(world: World) -> None:
    mallory, mxid = await _native(world)
    for kind in ("ban", "kick"):
        await world.act(Act(kind, ADMIN, target=mallory, detail={"event": "$somewhere"}))
    await world.caught_up()
    assert world.room.membership(mxid) == "join"
    assert not world.homeserver.requests("POST", "/ban|/kick")


async def test_a_kick(world: World) -> None:
    eve = await _eve(world)
    await world.act(Act("kick", ADMIN, target=eve, reason="calm down"))
    await world.caught_up()
    assert world.room.membership(world.ghost("eve")) == "leave"


async def test_a_time_out_mutes_a_user_of_matrix_for_that_time(world: World) -> None:
    mallory, mxid = await _native(world)
    await world.act(Act("timeout", RULE, target=mallory, seconds=60.0))
    await world.caught_up()
    assert world.room.power(mxid) == -1
    world.chat.clock.advance(61.0)
    world.outbox.wake()
    await world.caught_up()
    assert world.room.power(mxid) == 0


async def test_a_time_out_of_a_guest_changes_nothing_in_the_room(world: World) -> None:
    eve = await _eve(world)
    before = len(world.room.timeline)
    await world.act(Act("timeout", RULE, target=eve, seconds=60.0))
    await world.caught_up()
    assert len(world.room.timeline) == before


async def test_somebody_with_power_keeps_it_when_they_are_timed_out(world: World) -> None:
    mallory, mxid = await _native(world)
    levels = dict(world.room.content("m.room.power_levels"))
    levels["users"] = {**levels.get("users", {}), mxid: 50}
    world.homeserver.add(world.room, "m.room.power_levels", world.homeserver.bot, levels, state_key="")
    await world.act(Act("timeout", ADMIN, target=mallory, seconds=60.0))
    await world.caught_up()
    assert world.room.power(mxid) == 50


async def test_a_pinned_message_is_pinned_in_the_room_and_taken_down(world: World) -> None:
    number = await world.say("ada", "welcome, all")
    await world.act(Act("pin", ADMIN, detail={"id": number}))
    await world.caught_up()
    [event] = world.room.messages()
    assert world.room.content("m.room.pinned_events") == {"pinned": [event.event_id]}
    await world.act(Act("pin", ADMIN, detail={"id": None}))
    await world.caught_up()
    assert world.room.content("m.room.pinned_events") == {"pinned": []}


async def test_an_act_that_is_not_possible_does_not_stop_the_rest(tmp_path: Path) -> None:
    async with open_world(tmp_path, version="11") as world:
        mallory, mxid = await _native(world)
        levels = dict(world.room.content("m.room.power_levels"))
        levels["users"] = {**levels["users"], mxid: 100}
        world.homeserver.add(world.room, "m.room.power_levels", world.homeserver.bot, levels, state_key="")
        await world.act(Act("ban", ADMIN, target=mallory))
        await world.say("ada", "hello")
        await world.caught_up()
        assert world.room.membership(mxid) == "join"
        assert world.room.bodies()[-1] == "hello"
        assert world.repaired == []


async def test_many_bans_are_all_done_while_the_homeserver_slows_us_down(world: World) -> None:
    people = [await _native(world, f"bot{number}") for number in range(30)]
    world.homeserver.limit(retry_after_ms=50, times=7, path="/ban")
    for author, _ in people:
        await world.act(Act("ban", ADMIN, target=author))
    await world.caught_up()
    assert all(world.room.membership(mxid) == "ban" for _, mxid in people)


async def test_acts_survive_our_death(world: World) -> None:
    eve = await _eve(world)
    world.homeserver.dead = True
    await world.act(Act("ban", ADMIN, target=eve))
    await world.kill()
    world.homeserver.dead = False
    await world.revive()
    await world.caught_up()
    assert world.room.membership(world.ghost("eve")) == "ban"


async def test_an_act_is_after_what_was_said_before_it(world: World) -> None:
    await _eve(world)
    world.homeserver.dead = True
    await world.say("eve", "more rubbish")
    await world.act(Act("ban", ADMIN, target=Author(world.id_of("eve"), "eve")))
    world.homeserver.dead = False
    await world.caught_up()
    assert world.room.bodies() == ["rubbish", "more rubbish"]
    assert world.room.membership(world.ghost("eve")) == "ban"


async def test_an_edit_is_a_replacement_by_the_same_ghost(world: World) -> None:
    page = await world.page("ada")
    number = await world.say("ada", "helo")
    await world.caught_up()
    page.send({"type": "edit", "id": number, "text": "hello"})
    await world.until(lambda: len(world.room.messages()) == 2, "the replacement")
    original, edit = world.room.messages()
    assert edit.sender == original.sender
    assert edit.content["m.relates_to"] == {"rel_type": "m.replace", "event_id": original.event_id}
    assert edit.content["m.new_content"]["body"] == "hello"
    assert edit.content["body"] == "* hello"


async def test_an_edit_while_the_homeserver_is_away_comes_after_its_message(world: World) -> None:
    await world.say("ada", "first")
    await world.caught_up()
    world.homeserver.dead = True
    page = await world.page("ada")
    number = await world.say("ada", "helo")
    page.send({"type": "edit", "id": number, "text": "hello"})
    await world.say("bob", "last")
    await world.kill()
    world.homeserver.dead = False
    await world.revive()
    await world.caught_up()
    assert world.room.bodies() == ["first", "hello", "last"]  # as it is by now, so there is nothing to replace


async def test_a_reaction_and_its_end(world: World) -> None:
    number = await world.say("ada", "hello")
    page = await world.page("ada")
    page.send({"type": "react", "id": number, "key": "👍", "on": True})
    await world.until(lambda: bool(world.room.messages("m.reaction")), "the reaction")
    [message] = world.room.messages()
    [reaction] = world.room.messages("m.reaction")
    assert reaction.sender == world.ghost("ada")
    relation = {"rel_type": "m.annotation", "event_id": message.event_id, "key": "👍"}
    assert reaction.content["m.relates_to"] == relation
    page.send({"type": "react", "id": number, "key": "👍", "on": False})
    await world.until(lambda: not world.room.messages("m.reaction"), "the end of the reaction")
    await world.caught_up()


async def test_a_message_from_the_room_that_is_deleted_on_the_page_is_redacted(world: World) -> None:
    mallory, _ = await _native(world)
    [event] = world.room.messages()
    room = await world.chat.service.enter("demo")
    outcome = await world.chat.post_matrix(
        room, mallory, event_id=event.event_id, kind=Kind.TEXT, text="hello", at=world.chat.service.now()
    )
    assert outcome.id is not None
    await world.chat.service.delete(room, ADMIN, [outcome.id])
    await world.until(lambda: not world.room.messages(), "the redaction")
    [redaction] = world.room.messages("m.room.redaction")
    assert redaction.content["reason"] == "Deleted by owner"


async def test_one_slow_ban_holds_up_no_other_and_order_is_kept_for_each_person(world: World) -> None:
    people = [await _native(world, f"bot{number}") for number in range(12)]
    world.homeserver.dead = True
    for author, _ in people:
        await world.act(Act("ban", ADMIN, target=author))
    await world.act(Act("unban", ADMIN, target=people[0][0]))
    slow = world.homeserver.hold("/ban", times=1)
    world.homeserver.dead = False
    mxids = [mxid for _, mxid in people]

    def all_but_one() -> bool:
        return sum(world.room.membership(mxid) == "join" for mxid in mxids) == 1

    await world.until(all_but_one, "all bans but one")
    slow.set()
    await world.caught_up()
    assert [world.room.membership(mxid) for mxid in mxids] == ["leave", *["ban"] * (len(mxids) - 1)]
    assert len(world.homeserver.requests("POST", "/unban")) == 1


async def test_all_that_somebody_said_goes_at_once_and_a_death_in_the_middle_leaves_nothing(world: World) -> None:
    page = await world.page("eve")
    for number in range(20):
        await page.post(f"rubbish {number}")
    await world.caught_up()
    room = await world.chat.service.enter("demo")
    slow = world.homeserver.hold("/redact/", times=1)
    await world.chat.moderation.actions.delete_all(room, ADMIN, world.id_of("eve"))
    await world.until(lambda: len(world.room.messages()) == 1, "all redactions but one")
    await world.kill()
    slow.set()
    await world.revive()
    await world.caught_up()
    assert world.room.messages() == []
