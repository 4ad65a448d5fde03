"""What moderators do in their Matrix clients, and what others try there that no page shows."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.chat import PATIENCE, Page
from tests.support.fake_matrix import FakeUser
from tests.support.house import OLGA, House, open_house

from ghostlive.chat.moderation.pipeline import NEWCOMER, READ_ONLY, WORDS
from ghostlive.core.websocket import BANNED
from ghostlive.db.moderation import AuditRecord, ModerationRepository
from ghostlive.db.users import Role

MONA, EVE = "@mona:chat.test", "@eve:chat.test"
UNSTABLE = "org.matrix.msc3381.poll.start"


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


async def rules(house: House, **changes: Any) -> None:
    """Other rules count from now on."""
    room = await house.chat.service.enter("demo")
    await house.chat.moderation.actions.set_rules(room, OLGA, changes)
    house.chat.service.leave(room)


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


async def test_help_lists_in_the_room_what_it_lists_on_the_page(house: House, mona: FakeUser) -> None:
    await mona.say(house.room().id, "!help")
    await house.homeserver.push()
    page = await house.chat.enter(user=await house.chat.account("mo", Role.MODERATOR))
    page.send({"type": "command", "text": "help"})
    page.send({"type": "ping"})
    await page.next("pong")
    listed = [f"!{message['text'].removeprefix('/')}" for message in page.got if message["type"] == "notice"]
    assert len(listed) > 20
    await house.until(lambda: len(house.room().bodies()) > 1, "the answer")
    asked, answer = house.room().bodies()
    assert (asked, answer.splitlines()) == ("!help", listed)


def _any_said(house: House, texts: set[str]) -> bool:
    return not texts.isdisjoint(house.room().bodies())


def _poll(question: str, *answers: str) -> dict[str, Any]:
    """As Element sends one."""
    text = "org.matrix.msc1767.text"
    options = [{"id": str(number), text: answer} for number, answer in enumerate(answers)]
    return {text: question, UNSTABLE: {"question": {text: question, "body": question}, "answers": options}}


def _stable_poll(question: str, *answers: str) -> dict[str, Any]:
    options = [{"m.id": str(number), "m.text": [{"body": answer}]} for number, answer in enumerate(answers)]
    return {"m.poll": {"question": {"m.text": [{"body": question}]}, "answers": options}}


def _reaction(event_id: str, key: str) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": key}}


async def _asides(house: House, words: str) -> list[tuple[str, str]]:
    """Eve sends those words in every way that is no plain message; each event with the code of what it is."""
    eve, room = house.homeserver.user("eve"), house.room().id
    target = house.room().messages()[0].event_id
    file = {"msgtype": "m.file", "body": "look", "filename": words, "url": "mxc://chat.test/file"}
    return [
        ("a command", await eve.say(room, f"!help {words}")),
        ("a poll", await eve.send(room, UNSTABLE, _poll(words, "yes"))),
        ("an answer of a poll", await eve.send(room, UNSTABLE, _poll("Well?", "yes", words))),
        ("a stable poll", await eve.send(room, "m.poll.start", _stable_poll("Well?", words))),
        ("a reaction", await eve.send(room, "m.reaction", _reaction(target, words))),
        (
            "a reaction that looks like a picture",
            await eve.send(room, "m.reaction", _reaction(target, f"mxc: {words}")),
        ),
        ("a reaction to what nobody knows", await eve.send(room, "m.reaction", _reaction("$nothing", words))),
        ("a file name", await eve.send(room, "m.room.message", file)),
    ]


@pytest.mark.parametrize(
    "rule", [{"words": [{"text": "badword", "kind": "exact", "action": "refuse"}]}, {"readonly": True}]
)
async def test_no_rule_is_got_round_by_what_no_page_shows(house: House, rule: dict[str, Any]) -> None:
    page, _ = await guest(house)
    await house.native("eve")
    await rules(house, **rule)
    sent = await _asides(house, "badword")
    await house.homeserver.push()

    def left() -> list[str]:
        redacted = {
            event.redacts or event.content.get("redacts") for event in house.room().messages("m.room.redaction")
        }
        return [what for what, event_id in sent if event_id not in redacted]

    await house.until(lambda: not left(), f"the end of {left()}")
    assert all(event.content["reason"] for event in house.room().messages("m.room.redaction"))
    assert house.room().bodies() == ["hello"], "a command that is refused has no answer"
    assert page.texts() == ["hello"]


async def test_without_rules_polls_and_file_names_are_on_the_page_and_moderators_react_with_words(
    house: House, mona: FakeUser
) -> None:
    page, _ = await guest(house)
    room = house.room().id
    await house.native("eve")
    await _asides(house, "fine")
    await mona.send(room, "m.reaction", _reaction(house.room().messages()[0].event_id, "well said"))
    await house.homeserver.push()
    await page.sees(lambda page: len(page.texts()) == 5)
    assert page.texts() == ["hello", "📊 fine\nyes", "📊 Well?\nyes\nfine", "📊 Well?\nfine", "📎 fine\nlook"]
    await house.until(lambda: len(house.room().messages("m.room.redaction")) == 3, "the reactions of eve")
    assert [event.sender for event in house.room().messages("m.reaction")] == [MONA]


async def test_what_is_refused_is_taken_away_also_when_we_die_before(house: House) -> None:
    eve = await house.native("eve")
    await rules(house, readonly=True)
    house.homeserver.fail(503, path="/redact/", times=1000)
    for number in range(5):
        await eve.say(house.room().id, f"nonsense {number}")
    await house.homeserver.push()  # the homeserver knows that we have it
    await house.restart()
    assert len(house.room().bodies()) == 5
    house.homeserver.heal()
    await house.until(lambda: not house.room().bodies(), "all of it to go")
    assert {event.content["reason"] for event in house.room().messages("m.room.redaction")} == {READ_ONLY}
    async with asyncio.timeout(PATIENCE):
        while await house.bridge.repository.errands():  # nothing is done again after the next start
            await asyncio.sleep(0.001)


async def test_whose_message_waits_is_told_by_which_rule(house: House) -> None:
    eve = await house.native("eve")
    word = {"text": "maybe", "kind": "exact", "action": "hold"}
    for changes, told in (({"words": [word]}, WORDS), ({"guests": "hold", "words": []}, NEWCOMER)):
        await rules(house, **changes)
        await eve.say(house.room().id, f"maybe {told}")
        await house.homeserver.push()
        await house.until(lambda: not house.room().bodies(), "the message to go")
        assert house.room().messages("m.room.redaction")[-1].content["reason"] == told


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


async def test_a_ban_of_who_is_timed_out_or_muted_is_a_ban(house: House, mona: FakeUser) -> None:
    page, ghost = await guest(house)
    await mona.say(house.room().id, "!timeout Troll 1h calm down")
    await house.homeserver.push()
    assert (await page.next("banned"))["reason"] == "calm down"
    await mona.set_power(house.room().id, ghost, -1)
    await mona.ban(house.room().id, ghost, "spam")
    await house.homeserver.push()
    assert (await page.next("banned"))["reason"] == "spam"
    assert page.closed() == (BANNED, "banned")


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


async def test_a_moderator_who_is_muted_is_none_any_more(house: House, mona: FakeUser) -> None:
    await house.native("eve")
    for level in (50, -1):
        await mona.set_power(house.room().id, EVE, level)
        await house.homeserver.push()
    lines = [(line.kind, line.detail.get("on")) for line in await audit(house)]
    assert lines == [("moderator", True), ("moderator", False), ("timeout", None)]


async def test_a_room_in_which_only_moderators_send_is_read_only_on_the_page(house: House, mona: FakeUser) -> None:
    page, _ = await guest(house)
    moderator = await house.chat.enter(user=await house.chat.account("mo", Role.MODERATOR))
    await moderator.post("I am here")
    assert moderator.you is not None
    await house.memberships(house.bridge.ghosts.mxid(moderator.you["id"]), "join")
    await house.all_done()
    levels = house.room().content("m.room.power_levels")
    for least, code in ((50, "read_only"), (0, None)):
        await mona.set_state(house.room().id, "m.room.power_levels", {**levels, "events_default": least})
        await house.homeserver.push()
        assert (await page.next("rules"))["rules"]["readonly"] is (code is not None)
        page.say("hello?")
        assert (await page.next("error", "ack")).get("code") == code
        await moderator.post(f"quiet, {code}")
        said = {f"quiet, {code}", f"mo: quiet, {code}"}  # by a ghost that has no power there, or for it by the bot
        await house.until(partial(_any_said, house, said), "what the moderator says")


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
