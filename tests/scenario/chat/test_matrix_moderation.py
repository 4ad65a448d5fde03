"""What moderators do in their Matrix clients."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.chat import Page
from tests.support.fake_homeserver import FakeUser
from tests.support.house import OLGA, House, open_house

from ghostlive.db.moderation import AuditRecord, ModerationRepository

MONA, EVE = "@mona:chat.test", "@eve:chat.test"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        yield house


@pytest.fixture
async def mona(house: House) -> FakeUser:
    """Who may do everything in the room but what is the bot's."""
    mona = await house.native("mona")
    content = dict(house.room().content("m.room.power_levels"))
    content["users"] = {**content.get("users", {}), MONA: 90}
    house.homeserver.add(house.room(), "m.room.power_levels", house.homeserver.bot, content, state_key="")
    await house.homeserver.push()
    return mona


async def audit(house: House) -> list[AuditRecord]:
    """The log of the chat, oldest first."""
    found = await house.chat.repository.stream("demo")
    assert found is not None
    return list(reversed(await ModerationRepository(house.chat.database).audit(found.id, before=None, limit=10)))


async def guest(house: House, name: str = "Troll") -> tuple[Page, str]:
    """A guest who has spoken, and their ghost, who is in the room."""
    page = await house.chat.enter(name, address="203.0.113.66")
    await page.post("hello")
    assert page.you is not None
    ghost = house.bridge.ghosts.mxid(page.you["id"])
    await house.memberships(ghost, "join")
    await house.all_done()
    return page, ghost


async def test_who_is_muted_in_a_matrix_client_only_reads_until_they_are_not(house: House, mona: FakeUser) -> None:
    page, ghost = await guest(house)
    await mona.set_power(house.room().id, ghost, -1)
    await house.homeserver.push()
    assert (await page.next("banned"))["until"] is not None
    assert page.closed() is None
    page.say("can you hear me?")
    assert (await page.next("error"))["code"] == "banned"
    muted = (await audit(house))[-1]
    assert (muted.kind, muted.actor_name, muted.target_name, muted.via) == ("timeout", "mona", "Troll", "matrix")
    await mona.set_power(house.room().id, ghost, None)
    await house.homeserver.push()
    await page.next("unbanned")
    await page.post("here I am again")
    await house.until(lambda: "here I am again" in house.room().bodies(), "what they say in the room")


async def test_a_mute_of_a_matrix_client_ends_on_the_page_too_and_by_itself(house: House, mona: FakeUser) -> None:
    page, ghost = await guest(house)
    for end in ("by a moderator", "by itself"):
        await mona.set_power(house.room().id, ghost, -1)
        await house.homeserver.push()
        await page.next("banned")
        await house.all_done()
        if end == "by itself":
            house.chat.clock.advance(15 * 86400.0)
        else:
            [ban] = await house.chat.service.bans("demo")
            room = await house.chat.service.enter("demo")
            await house.chat.moderation.actions.unban(room, OLGA, ban_id=ban.id)
            house.chat.service.leave(room)
        await house.until(lambda: house.room().power(ghost) == 0, f"the power to speak, {end}")
        await house.homeserver.push()
        assert await house.chat.service.bans("demo") == []


async def test_a_mute_of_a_matrix_user_is_in_the_log_and_an_end_of_it_ends_no_ban(house: House, mona: FakeUser) -> None:
    eve = await house.native("eve")
    for level in (-1, 0):
        await mona.set_power(house.room().id, EVE, level)
        await house.homeserver.push()
    lines = [(line.kind, line.target_mxid, line.via) for line in await audit(house)]
    assert lines == [("timeout", EVE, "matrix"), ("unban", EVE, "matrix")]
    await mona.ban(house.room().id, EVE)
    await mona.set_power(house.room().id, EVE, -1)
    await mona.set_power(house.room().id, EVE, 0)
    await house.homeserver.push()
    [ban] = await house.chat.service.bans("demo")
    assert (ban.mxid, ban.timeout) == (eve.mxid, False)


async def test_a_room_in_which_only_moderators_send_is_read_only_on_the_page(house: House, mona: FakeUser) -> None:
    page, _ = await guest(house)
    levels = house.room().content("m.room.power_levels")
    for least, code in ((50, "read_only"), (0, None)):
        await mona.set_state(house.room().id, "m.room.power_levels", {**levels, "events_default": least})
        await house.homeserver.push()
        assert (await page.next("rules"))["rules"]["readonly"] is (code is not None)
        page.say("hello?")
        assert (await page.next("error", "ack")).get("code") == code


async def test_a_kick_of_a_matrix_user_is_in_the_log(house: House, mona: FakeUser) -> None:
    await house.native("eve")
    await mona.kick(house.room().id, EVE, "shoo")
    await house.homeserver.push()
    [line] = await audit(house)
    assert (line.kind, line.actor_name, line.target_mxid, line.reason, line.via) == (
        "kick", "mona", EVE, "shoo", "matrix",
    )  # fmt: skip
    await house.all_done()
    assert house.room().membership(EVE) == "leave"
