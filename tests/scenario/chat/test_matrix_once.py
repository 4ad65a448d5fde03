"""Once, whatever dies and whoever takes it away meanwhile: nothing is said again that was redacted, nothing is lost."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.fake_matrix import FakeUser
from tests.support.fake_rooms import FakeEvent
from tests.support.matrix import World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        await world.say("ada", "one")
        await world.caught_up()
        yield world


async def _moderator(world: World) -> FakeUser:
    moderator = world.homeserver.user("mo")
    await moderator.join(world.room.id)
    levels = dict(world.room.content("m.room.power_levels"))
    levels["users"] = {**levels.get("users", {}), moderator.mxid: 50}
    world.homeserver.add(world.room, "m.room.power_levels", world.homeserver.bot, levels, state_key="")
    return moderator


def _sent(world: World, kind: str = "m.room.message") -> list[FakeEvent]:
    """All that was ever sent, redacted or not."""
    return [event for event in world.room.timeline if event.type == kind]


async def _die(world: World, step: str, kind: str = "m.room.message") -> None:
    """Be killed at that step of sending what waits, with the homeserver forgetting all transaction ids."""
    if step == "sending":
        world.homeserver.lose_answers(path="/send/", times=1_000_000)
    else:
        world.repository.fail = 1_000_000  # nothing can be noted
    count = len(_sent(world, kind))
    world.outbox.wake()
    await world.until(lambda: len(_sent(world, kind)) > count, "what was to be sent")
    await world.kill()
    world.homeserver.heal()
    world.homeserver.restart()


@pytest.mark.parametrize("step", ["sending", "noting"])
@pytest.mark.parametrize("by", ["matrix", "page", "both"])
async def test_a_message_that_was_taken_away_while_we_were_dead_is_not_sent_again(
    world: World, step: str, by: str
) -> None:
    moderator = await _moderator(world)
    world.homeserver.dead = True
    number = await world.say("ada", "a mistake")
    world.homeserver.dead = False
    await _die(world, step)
    event = _sent(world)[-1]
    if by != "page":
        await moderator.redact(world.room.id, event.event_id)
    if by != "matrix":
        (await world.page("ada")).send({"type": "delete", "id": number})
    for _ in range(2):  # and once more, between looking back and going on
        await world.revive()
        await world.caught_up()
        world.repository.dead = True
        await world.kill()
        world.homeserver.restart()
    await world.revive()
    await world.say("ada", "three")
    await world.caught_up()
    assert [one.event_id for one in _sent(world)][1] == event.event_id
    assert len(_sent(world)) == 3
    assert world.room.bodies() == ["one", "three"]
    assert len(_sent(world, "m.room.redaction")) == 1
    if by == "matrix":  # the page is told by whom
        assert {(one.sender, one.redacts) for one in world.redactions} == {(moderator.mxid, event.event_id)}
    else:
        assert world.redactions == [] or by == "both"


async def test_a_message_that_was_never_sent_and_is_deleted_while_we_are_dead_is_not_sent(world: World) -> None:
    world.homeserver.dead = True
    number = await world.say("ada", "a mistake")
    await world.kill()
    (await world.page("ada")).send({"type": "delete", "id": number})
    world.homeserver.dead = False
    await world.revive()
    await world.say("ada", "three")
    await world.caught_up()
    assert [event.content["body"] for event in _sent(world)] == ["one", "three"]


async def test_the_redaction_itself_is_not_sent_twice(world: World) -> None:
    number = await world.say("ada", "a mistake")
    await world.caught_up()
    world.repository.fail = 1_000_000
    (await world.page("ada")).send({"type": "delete", "id": number})
    await world.until(lambda: _sent(world, "m.room.redaction"), "the redaction")
    await world.kill()
    world.homeserver.restart()
    await world.revive()
    await world.caught_up()
    assert len(_sent(world, "m.room.redaction")) == 1


@pytest.mark.parametrize("step", ["sending", "noting"])
@pytest.mark.parametrize("kind", ["m.reaction", "m.room.message"])
async def test_nor_are_reactions_and_edits(world: World, step: str, kind: str) -> None:
    moderator = await _moderator(world)
    number = await world.say("ada", "two")
    await world.caught_up()
    page = await world.page("ada")
    if kind == "m.reaction":
        page.send({"type": "react", "id": number, "key": "👍", "on": True})
    else:
        page.send({"type": "edit", "id": number, "text": "2"})
    await _die(world, step, kind)
    event = _sent(world, kind)[-1]
    await moderator.redact(world.room.id, event.event_id)
    count = len(_sent(world, kind))
    await world.revive()
    await world.caught_up()
    assert len(_sent(world, kind)) == count
    assert [one.redacts for one in world.redactions] == [event.event_id]


async def test_a_reaction_that_was_taken_back_and_given_again_is_taken_back_again(world: World) -> None:
    number = await world.say("ada", "two")
    await world.caught_up()
    for on in (True, False, True, False):
        (await world.page("ada")).send({"type": "react", "id": number, "key": "👍", "on": on})
        kind = "m.reaction" if on else "m.room.redaction"
        count = len(_sent(world, kind))
        await world.until(lambda kind=kind, count=count: len(_sent(world, kind)) > count, kind)  # type: ignore[misc]
        await world.caught_up()
    assert world.room.messages("m.reaction") == []


async def test_who_reacts_before_they_could_join_is_not_lost_nor_confused_with_others(world: World) -> None:
    number = await world.say("ada", "two")
    await world.caught_up()
    world.ghosts.patience = world.patience = 0.05
    world.homeserver.hold("/state/m.room.member")  # nobody can join from now on
    for name in ("bob", "eve", "dan"):
        (await world.page(name)).send({"type": "react", "id": number, "key": "👍", "on": True})
    (await world.page("eve")).send({"type": "react", "id": number, "key": "👍", "on": False})
    await world.say("ada", "three")
    await world.until(lambda: world.room.bodies() == ["one", "two", "three"], "what comes after them")
    await world.caught_up()
    assert _sent(world, "m.reaction") == []
    await world.kill()
    world.homeserver.heal()
    await world.revive()

    def both() -> bool:
        world.outbox.wake()  # as the bridge does when something is due
        return len(_sent(world, "m.reaction")) == 2

    await world.until(both, "the reactions")
    await world.caught_up()
    senders = {event.sender for event in world.room.messages("m.reaction")}
    assert senders == {world.ghost("bob"), world.ghost("dan")}
    assert world.ghosts.relayed == 0


async def test_a_reaction_whose_author_can_never_join_is_given_up_after_an_hour(world: World) -> None:
    number = await world.say("ada", "two")
    await world.caught_up()
    rule = {"join_rule": "invite"}
    world.homeserver.add(world.room, "m.room.join_rules", world.homeserver.bot, rule, state_key="")
    (await world.page("bob")).send({"type": "react", "id": number, "key": "👍", "on": True})

    def given_up() -> bool:
        world.chat.clock.advance(120.0)
        world.outbox.wake()
        return world.outbox.refused == 1

    await world.until(given_up, "the end of it")
    await world.caught_up()
    outgoing = await world.matrix.outgoing(world.outbox.room.stream_id, after=0, limit=10, now_ms=2**52)
    assert outgoing.others == []
