"""The outbox: everything that is said on the page is in the room, in order, once, whoever dies and when."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.matrix import World, open_world

from ghostlive.chat.message import Kind
from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.people import Author, Role
from ghostlive.db.chat import NewMessage

ADMIN = Actor(Author("u_1", "owner", Role.STREAMER), "page")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def test_messages_are_in_the_room_in_their_order_by_the_ghosts_of_their_authors(world: World) -> None:
    for number in range(6):
        await world.say("ada" if number % 2 else "bob", f"message {number}")
    await world.caught_up()
    events = world.room.messages()
    assert [event.content["body"] for event in events] == [f"message {number}" for number in range(6)]
    assert [event.sender for event in events] == [world.ghost("bob"), world.ghost("ada")] * 3
    assert world.room.content("m.room.member", world.ghost("ada"))["displayname"] == "ada"


async def test_a_message_keeps_its_time_and_its_number(world: World) -> None:
    number = await world.say("ada", "hello")
    await world.caught_up()
    [event] = world.room.messages()
    assert event.ts == world.chat.clock.wall_ns() // 1_000_000 or abs(event.ts - 1_800_000_000_000) < 60_000
    assert event.content["live.ghost.id"] == number
    assert (await world.repository.events_of([number])) == {number: event.event_id}


async def test_a_reply_points_to_the_event_that_it_answers(world: World) -> None:
    first = await world.say("ada", "question")
    await (await world.page("bob")).post("answer", reply=first)
    await world.caught_up()
    question, answer = world.room.messages()
    assert answer.content["m.relates_to"] == {"m.in_reply_to": {"event_id": question.event_id}}


async def test_what_somebody_does_is_an_emote_there_also_when_it_is_edited_or_said_by_the_bot(world: World) -> None:
    page = await world.page("ada")
    number = await page.post("waves", emote=True)
    await world.caught_up()
    page.send({"type": "edit", "id": number, "text": "bows"})
    await world.until(lambda: len(world.room.bodies()) == 2, "the edit")
    waves, bows = world.room.messages()
    assert (waves.content["msgtype"], waves.content["body"]) == ("m.emote", "waves")
    assert (bows.content["m.new_content"]["msgtype"], bows.content["m.new_content"]["body"]) == ("m.emote", "bows")


async def test_nobody_on_the_page_waits_while_the_homeserver_is_away(world: World) -> None:
    world.homeserver.dead = True
    for number in range(20):
        await world.say("ada", f"message {number}")
    assert world.room.bodies() == []
    waiting = await world.matrix.waiting(world.outbox.room.stream_id, after=world.outbox.room.cursor)
    assert waiting.messages == 20
    world.homeserver.dead = False
    await world.caught_up()
    assert world.room.bodies() == [f"message {number}" for number in range(20)]
    waiting = await world.matrix.waiting(world.outbox.room.stream_id, after=world.outbox.room.cursor)
    assert waiting.messages == 0


async def test_what_was_sent_and_never_answered_is_not_sent_again(world: World) -> None:
    await world.say("ada", "one")
    await world.caught_up()
    world.homeserver.lose_answers(path="/send/m.room.message")
    await world.say("ada", "two")
    await world.say("ada", "three")
    await world.caught_up()
    assert world.room.bodies() == ["one", "two", "three"]


async def test_also_when_the_homeserver_was_killed_and_forgot_the_transaction(world: World) -> None:
    await world.say("ada", "one")
    await world.caught_up()
    world.homeserver.lose_answers(path="/send/m.room.message")
    await world.say("ada", "two")
    await world.until(lambda: not world.line.is_up or world.outbox.sent == 2, "the lost answer")
    world.homeserver.restart()
    await world.say("ada", "three")
    await world.caught_up()
    assert world.room.bodies() == ["one", "two", "three"]


async def test_also_when_we_were_killed_before_we_noted_it(world: World) -> None:
    await world.say("ada", "one")
    await world.caught_up()
    world.repository.fail = 1_000_000  # nothing can be noted from now on
    await world.say("ada", "two")
    await world.until(lambda: len(world.room.bodies()) == 2, "the second message")
    await world.kill()
    world.homeserver.restart()
    await world.revive()
    await world.say("ada", "three")
    await world.caught_up()
    assert world.room.bodies() == ["one", "two", "three"]


async def test_marks_of_a_database_that_is_no_more_are_nothing(world: World) -> None:
    content = {"msgtype": "m.text", "body": "long ago", "live.ghost.id": 1_899_999_999_999}
    world.homeserver.add(world.room, "m.room.message", world.homeserver.bot, content)
    await world.say("ada", "one")
    await world.caught_up()
    assert world.room.bodies() == ["long ago", "one"]


async def test_an_answer_that_takes_long_stops_nobody_but_that_room(world: World) -> None:
    await world.say("ada", "one")
    await world.caught_up()
    gate = world.homeserver.hold("/send/m.room.message", times=1)
    await world.say("ada", "two")
    await world.say("bob", "three")  # acknowledged on the page although the homeserver does not answer
    gate.set()
    await world.caught_up()
    assert world.room.bodies() == ["one", "two", "three"]


async def test_limits_and_errors_of_the_homeserver_are_waited_for(world: World) -> None:
    await world.say("ada", "one")
    await world.caught_up()
    world.homeserver.limit(retry_after_ms=500, times=2, path="/send/")
    world.homeserver.fail(500, times=3, path="/send/", text="database is locked")
    await world.say("ada", "two")
    await world.caught_up()
    assert world.room.bodies() == ["one", "two"]


async def test_what_the_homeserver_will_never_take_does_not_stop_the_rest(world: World) -> None:
    await world.say("ada", "one")
    await world.caught_up()
    world.homeserver.fail(413, errcode="M_TOO_LARGE", path="/send/")
    await world.say("ada", "two")
    await world.say("ada", "three")
    await world.caught_up()
    assert world.room.bodies() == ["one", "three"]
    assert world.outbox.refused == 1


async def test_a_message_that_is_deleted_before_it_was_sent_is_not_sent(world: World) -> None:
    world.homeserver.dead = True
    await world.say("ada", "one")
    number = await world.say("ada", "a mistake")
    (await world.page("ada")).send({"type": "delete", "id": number})
    await world.page("ada")
    await world.say("ada", "three")
    world.homeserver.dead = False
    await world.caught_up()
    assert world.room.bodies() == ["one", "three"]


async def test_a_message_that_is_deleted_afterwards_is_redacted(world: World) -> None:
    number = await world.say("ada", "a mistake")
    await world.caught_up()
    [event] = world.room.messages()
    (await world.page("ada")).send({"type": "delete", "id": number})
    await world.until(lambda: "redacted_because" in world.room.events[event.event_id].unsigned, "the redaction")
    await world.caught_up()
    assert len(world.room.messages("m.room.redaction")) == 1


async def test_nobody_is_told_again_what_came_from_the_room(world: World) -> None:
    alice = world.homeserver.user("alice")
    await alice.join(world.room.id)
    event = await alice.say(world.room.id, "from outside")
    room = await world.chat.service.enter("demo")
    author = Author("m_abcdefghijklmn", "alice", mxid=alice.mxid)
    outcome = await world.chat.post_matrix(
        room, author, event_id=event, kind=Kind.TEXT, text="from outside", at=world.chat.service.now()
    )
    assert outcome.id is not None
    await world.say("ada", "from the page")
    await world.caught_up()
    assert world.room.bodies() == ["from outside", "from the page"]


async def test_what_waited_for_a_moderator_and_was_let_through_is_said_by_the_bot(world: World) -> None:
    room = await world.chat.service.enter("demo")
    async with world.repository.transaction() as transaction:  # as it is stored then: without the event of before
        message = NewMessage(
            world.chat.clock.wall_ns() // 1_000_000 + 1,
            room.stream_id, "m_abcdefghijklmn", "mx1", "alice", "guest", "may I?", None, world.chat.service.now(),
        )  # fmt: skip
        await transaction.add_messages([message])
    world.outbox.wake()
    await world.caught_up()
    [event] = world.room.messages()
    assert (event.sender, event.content["body"]) == (world.homeserver.bot, "alice: may I?")


@pytest.mark.parametrize("seed", range(6))
async def test_whoever_dies_and_when_nothing_is_lost_doubled_or_out_of_order(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with open_world(tmp_path) as world:
        said = []
        for number in range(30):
            match chance.randrange(6):
                case 0:
                    world.homeserver.lose_answers(path="/send/", times=chance.randrange(1, 3))
                case 1:
                    world.homeserver.dead = not world.homeserver.dead
                case 2:
                    world.repository.fail = chance.randrange(4)
                case 3:
                    path = chance.choice(["/send/", "/state/", "/messages"])
                    world.homeserver.fail(chance.choice([500, 502, 503]), path=path)
            text = f"message {number}"
            await world.say(chance.choice(["ada", "bob", "eve"]), text)
            said.append(text)
            await world.some_time(chance.randrange(8))
            if chance.random() < 0.3:
                await world.kill()
                await world.revive()
            if chance.random() < 0.5:
                world.homeserver.restart()
        world.homeserver.dead = False
        await world.caught_up()
        assert [_without_name(body) for body in world.room.bodies()] == said


def _without_name(body: str) -> str:
    """What the bot says for somebody begins with their name."""
    return body.partition(": ")[2] or body


async def test_act_kinds_are_done_in_the_room_by_the_bot(world: World) -> None:
    await world.say("eve", "rubbish")
    await world.caught_up()
    eve = Author(world.id_of("eve"), "eve")
    await world.act(Act("ban", ADMIN, target=eve, reason="spam"))
    await world.until(lambda: world.room.membership(world.ghost("eve")) == "ban", "the ban")
    await world.act(Act("unban", ADMIN, target=eve))
    await world.until(lambda: world.room.membership(world.ghost("eve")) == "leave", "the end of the ban")
