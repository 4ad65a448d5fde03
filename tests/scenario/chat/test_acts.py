"""What moderators do, in each way in which they can: on a page, by a command there, by a command in Matrix.

The same effect, one line in the audit log, told to pages and to whoever tells the Matrix room.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.chat import Chat, Page

from ghostlive.chat.errors import NotAllowedError, NotFoundError
from ghostlive.chat.message import Kind
from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.people import Author, matrix_author_id
from ghostlive.chat.people import Role as Mark
from ghostlive.chat.room import Quiet, Room
from ghostlive.db.users import Role

Do = Callable[..., Awaitable[None]]
MXID = "@mona:example.org"


class Listener(Quiet):
    """What a bridge hears."""

    def __init__(self) -> None:
        self.acts: list[Act] = []

    def acted(self, act: Act) -> None:
        self.acts.append(act)


@pytest.fixture
async def room(chat: Chat) -> AsyncIterator[Room]:
    """The room, held open."""
    room = await chat.service.enter("demo")
    yield room
    chat.service.leave(room)


@pytest.fixture
async def mod(chat: Chat) -> Page:
    """A moderator, from an address of their own."""
    return await chat.enter(user=await chat.account("mo", Role.MODERATOR), address="198.51.100.1")


@pytest.fixture
async def owner(chat: Chat) -> Actor:
    """Whose stream it is, in the studio."""
    user = await chat.account("olga", Role.OWNER)
    return Actor(Author(f"u_{user.id}", "olga", Mark.STREAMER), "api")


@pytest.fixture(params=["page", "command", "matrix"])
def do(request: pytest.FixtureRequest, chat: Chat, room: Room, mod: Page) -> Do:
    """Does something in one of the ways: `do("ban", ann, reason=…)`."""
    mona = Actor(Author(matrix_author_id(MXID), "Mona", Mark.MODERATOR, MXID), "matrix")

    async def run(act: str, target: Page | None = None, *, command: str = "", **members: Any) -> None:
        if request.param == "page":
            if target is not None:
                assert target.you is not None
                members["author"] = target.you["id"]
            heard = Listener()
            room.listeners.add(heard)
            mod.send({"type": "act", "act": act, **members})
            await chat.until(lambda: heard.acts, f"{act}; there was {mod.errors()}")
            room.listeners.discard(heard)
        elif request.param == "command":
            mod.send({"type": "command", "text": command})
            answer = await mod.next("notice")
            assert answer["level"] == "info", answer
        else:
            for notice in await chat.moderation.command(room, mona, command):
                assert notice.level == "info", notice

    return run


async def audit(chat: Chat, room: Room) -> list[Any]:
    """Lines of the audit log, oldest first."""
    return (await chat.moderation._stored.audit(room.stream_id, before=None, limit=100))[::-1]


async def test_ban_and_unban(chat: Chat, room: Room, mod: Page, do: Do) -> None:
    heard = Listener()
    room.listeners.add(heard)
    ann = await chat.enter("Ann Lee")
    await ann.post("spam")
    await do("ban", ann, command="ban Ann Lee 10m bad manners", seconds=600, reason="bad manners")
    await chat.until(lambda: not ann.texts() or any(one["type"] == "banned" for one in ann.got), "banned")
    banned = next(one for one in ann.got if one["type"] == "banned")
    assert banned["reason"] == "bad manners"
    assert banned["until"] is not None
    await chat.until(ann.closed)
    await do("unban", ann, command="unban ann lee")
    await ann.back()
    await ann.post("thank you")
    kinds = [line.kind for line in await audit(chat, room)]
    assert kinds == ["ban", "unban"]
    [ban, unban] = heard.acts
    assert (ban.kind, ban.target and ban.target.name, ban.seconds, ban.reason) == ("ban", "Ann Lee", 600, "bad manners")
    assert unban.kind == "unban"
    [line, _] = await audit(chat, room)
    assert (line.target_name, line.seconds, line.reason, line.actor_role) == (
        "Ann Lee",
        600,
        "bad manners",
        "moderator",
    )


async def test_timeout_kick_and_warn(chat: Chat, room: Room, do: Do) -> None:
    ann = await chat.enter("Ann")
    await ann.post("spam")
    await do("warn", ann, command='warn "Ann" please stop', reason="please stop")
    ann.texts()
    [notice] = [one for one in ann.got if one["type"] == "notice"]
    assert (notice["text"], notice["level"]) == ("please stop", "warn")
    await do("timeout", ann, command="timeout @Ann 30s", seconds=30)
    ann.say("more")
    assert (await ann.next("error"))["code"] == "banned"
    chat.clock.advance(31)
    await ann.post("sorry")
    await do("kick", ann, command="kick ann go away", reason="go away")
    await chat.until(ann.closed)
    assert ann.closed() == (4003, "kicked")
    ann.texts()
    assert [one["text"] for one in ann.got if one["type"] == "kicked"] == ["go away"]
    await ann.back()
    await ann.post("here I am again")
    assert [line.kind for line in await audit(chat, room)] == ["warn", "timeout", "kick"]


async def test_delete_purge_clear(chat: Chat, room: Room, do: Do) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    await ann.post("one")
    await bob.post("two")
    last = await ann.post("three")
    await do("delete", command="delete Ann", id=last)
    await bob.sees(lambda page: page.texts() == ["one", "two"])
    await ann.post("four")
    await do("delete_all", ann, command="purge Ann")
    await bob.sees(lambda page: page.texts() == ["two"])
    await do("clear", command="clear")
    await bob.sees(lambda page: page.texts() == [])
    await chat.restart()
    assert (await (await chat.page().open()).hello())["messages"] == []
    assert [line.kind for line in await audit(chat, room)] == ["delete", "delete", "clear"]


async def test_pin(chat: Chat, room: Room, mod: Page, do: Do) -> None:
    ann = await chat.enter("Ann")
    first = await ann.post("read this")
    await do("pin", command="pin Ann", id=first)
    await ann.sees(lambda page: any(one["type"] == "pinned" for one in page.got))
    assert [one["message"]["text"] for one in ann.got if one["type"] == "pinned"] == ["read this"]
    await chat.restart()
    assert (await ann.back())["pinned"]["text"] == "read this"
    await mod.back()
    ann.send({"type": "delete", "id": first})
    await ann.next("deleted")
    assert (await (await chat.page().open()).hello())["pinned"] is None


async def test_rules_shield_trust(chat: Chat, room: Room, do: Do) -> None:
    ann = await chat.enter("Ann")
    await ann.post("hello")
    await do("rules", command="slow 20", value={"slow": 20})
    await do("rules", command="links off", value={"links": False})
    await do("shield", command="shield on", value=True)
    await do("trust", ann, command="trust ann", value=True)
    state = room.moderation
    assert (state.rules.slow, state.rules.links, state.rules.shield) == (20, False, True)
    assert [one.name for one in state.trusted.values()] == ["Ann"]
    await do("shield", command="shield off", value=False)
    await do("trust", ann, command="untrust ann", value=False)
    assert (state.rules.slow, state.rules.links, state.rules.shield, state.trusted) == (20, False, False, {})
    lines = await audit(chat, room)
    assert [line.kind for line in lines] == ["rules", "rules", "shield", "trust", "shield", "trust"]
    assert lines[0].detail["changes"] == {"slow": 20}


async def test_two_moderators_change_rules_at_once(chat: Chat, room: Room, owner: Actor) -> None:
    actions = chat.moderation.actions
    await asyncio.gather(
        actions.set_rules(room, owner, {"slow": 5}),
        actions.set_rules(room, owner, {"links": False}),
        actions.shield(room, owner, True),
        actions.set_rules(room, owner, {"caps": 60}),
    )
    rules = room.moderation.rules
    assert (rules.slow, rules.links, rules.shield, rules.caps) == (5, False, True, 60)
    await chat.restart()
    assert (await chat.service.enter("demo")).moderation.rules == rules


async def test_held_by_command(chat: Chat, room: Room, mod: Page) -> None:
    mod.send({"type": "command", "text": "approve on"})
    assert "each message waits" in (await mod.next("notice"))["text"]
    ann = await chat.enter("Ann")
    for text in ("one", "two", "three"):
        ann.say(text)
        await ann.next("ack")
    mod.send({"type": "command", "text": "held"})
    await mod.next("notice")
    first = next(iter(room.moderation.held))
    for text in (f"deny {first}", "allow all"):
        mod.send({"type": "command", "text": text})
        await mod.next("notice")
    await ann.sees(lambda page: page.texts() == ["two", "three"])
    mod.send({"type": "command", "text": "allow 77"})
    assert (await mod.next("notice"))["level"] == "error"


async def test_who_may_not_is_told_so(chat: Chat, room: Room, mod: Page) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    assert bob.you is not None
    said = await bob.post("hello")
    for act in (
        {"act": "ban", "author": bob.you["id"]},
        {"act": "timeout", "id": said},
        {"act": "kick", "author": bob.you["id"]},
        {"act": "delete", "id": said},
        {"act": "delete_all", "author": bob.you["id"]},
        {"act": "clear"},
        {"act": "pin", "id": said},
        {"act": "shield", "value": True},
        {"act": "trust", "author": bob.you["id"]},
        {"act": "unban", "author": bob.you["id"]},
        {"act": "warn", "author": bob.you["id"]},
    ):
        ann.send({"type": "act", **act})
        assert (await ann.next("error"))["code"] == "not_allowed"
    for text in ("ban Bob", "slow 5", "clear", "mod ann", "allow all"):
        ann.send({"type": "command", "text": text})
        assert (await ann.next("notice"))["level"] == "error"
    actor = Actor(Author("g_x", "x"), "page")
    for call in (chat.moderation.actions.clear(room, actor), chat.moderation.decide(room, actor, [1], allow=True)):
        with pytest.raises(NotAllowedError):
            await call
    assert bob.texts() == ["hello"]
    assert await audit(chat, room) == []


async def test_who_moderates_is_spared_and_nobody_acts_on_themselves(chat: Chat, room: Room, mod: Page) -> None:
    other = await chat.enter(user=await chat.account("max", Role.MODERATOR), address="198.51.100.2")
    assert other.you is not None
    assert mod.you is not None
    for author in (other.you["id"], mod.you["id"]):
        for act in ("ban", "timeout", "kick", "warn"):
            mod.send({"type": "act", "act": act, "author": author})
            assert (await mod.next("error"))["code"] == "not_allowed"
    mod.send({"type": "act", "act": "ban", "author": "g_nobody"})
    assert (await mod.next("error"))["code"] == "not_found"
    assert await audit(chat, room) == []


async def test_who_moderated_once_is_nobody_special_any_more(chat: Chat, room: Room, mod: Page, owner: Actor) -> None:
    """What they said last bears the mark that they had then, and they may be away: neither keeps them from a ban."""
    actions = chat.moderation.actions
    mona = Author(matrix_author_id(MXID), "Mona", Mark.MODERATOR, MXID)
    await actions.moderator(room, owner, mxid=MXID)
    await chat.post_matrix(room, mona, event_id="$1", kind=Kind.TEXT, text="I keep order", at=chat.service.now())
    user = await chat.account("sam", Role.STREAMER)
    await actions.moderator(room, owner, account="sam")
    sam = await chat.enter(user=user, address="198.51.100.3")
    assert sam.you is not None
    await sam.post("I do, too")
    sam.leave()
    for target in (mona.id, sam.you["id"]):
        with pytest.raises(NotAllowedError):
            await actions.ban(room, owner, author_id=target)
    await actions.moderator(room, owner, mxid=MXID, on=False)
    await actions.moderator(room, owner, account="sam", on=False)
    for target in (mona.id, sam.you["id"]):
        mod.send({"type": "act", "act": "ban", "author": target})
    mod.send({"type": "ping"})
    assert await mod.next("pong")
    assert mod.errors() == []
    assert {ban.name for ban in await chat.service.bans("demo")} == {"Mona", "sam"}


async def test_moderators_are_named_by_account_and_by_matrix_id(
    chat: Chat, room: Room, mod: Page, owner: Actor
) -> None:
    actions = chat.moderation.actions
    sam = await chat.enter(user=await chat.account("sam", Role.STREAMER), address="198.51.100.3")
    assert await actions.moderator(room, owner, account="sam") is True
    assert await actions.moderator(room, owner, account="sam") is False
    assert await actions.moderator(room, owner, mxid=MXID) is True
    assert sam.texts() == []
    assert sam.you is not None
    assert sam.you["role"] == "moderator", "their page learns of it"
    ann = await chat.enter("Ann")
    said = await ann.post("spam")
    sam.send({"type": "act", "act": "delete", "id": said})
    await ann.sees(lambda page: page.texts() == [])
    mona = Actor(Author(matrix_author_id(MXID), "Mona", mxid=MXID), "matrix")
    [notice] = await chat.moderation.command(room, mona, "warn Ann stop")
    assert notice.level == "info"
    eve = Actor(Author(matrix_author_id("@eve:b"), "Eve", mxid="@eve:b"), "matrix")
    [notice] = await chat.moderation.command(room, eve, "warn Ann stop")
    assert notice.level == "error"
    await chat.restart()
    room = await chat.service.enter("demo")
    assert set(room.moderation.moderators) == {sam.you["id"], MXID}
    assert (await sam.back())["you"]["role"] == "moderator"
    assert await chat.moderation.actions.moderator(room, owner, account="sam", on=False)
    assert await chat.moderation.actions.moderator(room, owner, mxid=MXID, on=False)
    ann = await chat.enter("Bob")
    said = await ann.post("hello")
    sam.send({"type": "act", "act": "delete", "id": said})
    assert (await sam.next("error"))["code"] == "not_allowed"
    wrong: Any
    for wrong in ({"account": "nobody"}, {"mxid": "mona"}, {"author_id": "g_x"}):
        with pytest.raises((NotAllowedError, NotFoundError)):
            await chat.moderation.actions.moderator(room, owner, **wrong)
    with pytest.raises(NotAllowedError):
        await chat.moderation.actions.moderator(room, owner, account="mo")
    with pytest.raises(NotAllowedError):
        await chat.moderation.actions.moderator(room, Actor(Author("u_9", "x", Mark.MODERATOR), "api"), account="sam")


async def test_what_a_room_event_did_is_marked(chat: Chat, room: Room, mod: Page) -> None:
    heard = Listener()
    room.listeners.add(heard)
    mona = Actor(Author(matrix_author_id(MXID), "Mona", Mark.MODERATOR, MXID), "matrix")
    actions = chat.moderation.actions
    ban = await actions.ban(room, mona, mxid="@spam*:example.org", reason="spam", event="$1")
    assert ban.mxid == "@spam*:example.org"
    await actions.unban(room, mona, ban_id=ban.id, event="$2")
    ann = await chat.enter("Ann")
    said = await ann.post("hello")
    await actions.pin(room, mona, said, event="$3")
    await actions.pin(room, mona, said, event="$3")
    await actions.delete(room, mona, [said], event="$4")
    assert [act.detail.get("event") for act in heard.acts] == ["$1", "$2", "$3", None, "$4"]
    assert [act.kind for act in heard.acts] == ["ban", "unban", "pin", "pin", "delete"]
    assert heard.acts[3].detail["id"] is None
    with pytest.raises(NotFoundError):
        await actions.delete(room, mona, [said], event="$4")


async def test_help_lists_every_command_that_one_may_use(chat: Chat, room: Room, mod: Page, owner: Actor) -> None:
    commands = chat.moderation.commands
    lines = [notice.text for notice in await chat.moderation.command(room, owner, "help")]
    assert len(lines) == len(commands.table)
    for command, line in zip(commands.table, lines, strict=True):
        assert line.startswith("/" + command.names[0])
        [alone] = await chat.moderation.command(room, owner, f"help {command.names[-1]}")
        assert alone.text == line
    guest = Actor(Author(matrix_author_id("@eve:b"), "Eve", mxid="@eve:b"), "matrix")
    lines = [notice.text for notice in await chat.moderation.command(room, guest, "help")]
    assert [line.split(":")[0].split()[0] for line in lines] == ["!help", "!me", "!rules", "!mods"]
    assert commands.knows("Ban x")
    assert not commands.knows("!!")
    assert not commands.knows("")


async def test_what_is_wrong_is_answered_with_what_to_do(chat: Chat, room: Room, mod: Page) -> None:
    for number in range(2):
        room.people.arrive(Author(f"g_twin{number}", "Twin"))
    for text, say in (
        ("ban", "A name is missing"),
        ("ban Nobody", "nobody called"),
        ("nonsense", "/help"),
        ("slow fast", "no number"),
        ("links maybe", "neither on nor off"),
        ("word add", "missing"),
        ("word add regex (", "without its )"),
        ("word remove x", "no word"),
        ("guests never", "one of"),
        ("allow", "missing"),
        ("unban Nobody", "Nobody called"),
        ("timeout Twin 5m", "Several people"),
        ("pin", "has said nothing"),
    ):
        mod.send({"type": "command", "text": text})
        notice = await mod.next("notice")
        assert (notice["level"], say in notice["text"]) == ("error", True), notice


async def test_words_by_command(chat: Chat, room: Room, mod: Page) -> None:
    for text in ("word add bad", "word hold may*", "word add regex b[e3]+p", 'word add "two words"', "word remove bad"):
        mod.send({"type": "command", "text": text})
        notice = await mod.next("notice")
        assert notice["level"] == "info", notice
    words = [(word.text, word.kind, word.action) for word in room.moderation.rules.words]
    assert words == [
        ("may*", "glob", "hold"),
        ("b[e3]+p", "regex", "refuse"),
        ("two words", "exact", "refuse"),
    ]
    ann = await chat.enter("Ann")
    for text, answer in (("bad", "ack"), ("maybe", "ack"), ("b3ep", "error"), ("two  words!", "error")):
        ann.say(text)
        assert (await ann.next("ack", "error"))["type"] == answer, text
    assert ann.texts() == ["bad"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["", "ban", "timeout", "warn", "slow", "word", "pin", "followers", "allow", "help", "x"]),
    rest=st.text('Ann Twin"@:0123456789mhd*?(off ', max_size=20),
)
async def test_whatever_is_typed_is_answered(chat: Chat, room: Room, name: str, rest: str) -> None:
    if room.people.get("g_twin") is None:
        room.people.arrive(Author("g_twin", "Twin Ann"))
        room.people.arrive(Author("g_ann", "Ann"))
    actor = Actor(Author("u_77", "mo", Mark.MODERATOR), "page")
    for notice in await chat.moderation.command(room, actor, f"{name} {rest}"):
        assert notice.text


async def test_matrix_people_are_banned_by_the_name_they_are_shown_with(chat: Chat, room: Room, mod: Page) -> None:
    eve = Author(matrix_author_id("@eve:example.org"), "Eve", mxid="@eve:example.org")

    async def say(event_id: str) -> Any:
        return await chat.post_matrix(room, eve, event_id=event_id, kind=Kind.TEXT, text="spam", at=chat.service.now())

    assert (await say("$1")).error is None
    mod.send({"type": "command", "text": "ban Eve 1h"})
    assert (await mod.next("notice"))["level"] == "info"
    error = (await say("$2")).error
    assert error is not None
    assert error.code == "banned"
    mod.send({"type": "command", "text": "unban @eve:example.org"})
    assert (await mod.next("notice"))["level"] == "info"
    assert (await say("$3")).error is None


@pytest.mark.parametrize("act", ["ban", "timeout"])
async def test_who_left_nothing_behind_is_banned_all_the_same(chat: Chat, room: Room, mod: Page, act: str) -> None:
    """First what they said is taken away, then they are put out: people of Matrix and accounts are no guests."""
    eve = Author(matrix_author_id("@eve:example.org"), "Eve", mxid="@eve:example.org")
    said = await chat.post_matrix(room, eve, event_id="$1", kind=Kind.TEXT, text="spam", at=chat.service.now())
    vic = await chat.enter(user=await chat.account("vic", Role.STREAMER), address="198.51.100.2")
    assert vic.you is not None
    ids = [said.id, await vic.post("spam")]
    vic.leave()
    for gone in ids:
        mod.send({"type": "delete", "id": gone})
    await mod.sees(lambda page: page.texts() == [])
    for target in (eve.id, vic.you["id"]):
        mod.send({"type": "act", "act": act, "author": target, "seconds": 600})
    mod.send({"type": "ping"})
    assert await mod.next("pong")
    assert not [message for message in mod.got if message["type"] == "error"]
    bans = {ban.name: ban.mxid for ban in await chat.service.bans("demo")}
    assert bans == {"Eve": "@eve:example.org", "vic": None}
    error = (await chat.post_matrix(room, eve, event_id="$2", kind=Kind.TEXT, text="more", at=chat.service.now())).error
    assert error is not None
    assert error.code == "banned"


async def test_a_pattern_that_names_a_moderator_or_the_bot_is_refused_and_says_whom(chat: Chat) -> None:
    owner = await chat.account("olga", Role.OWNER)
    streamer = await chat.account("sam", Role.STREAMER)
    viewer = await chat.account("vic", Role.STREAMER)
    await chat.streams.add("mine", owner_id=streamer.id)
    banning = chat.service.banning
    banning.bot = "@_ghostlive:chat.test"
    banning.links = {
        f"u_{owner.id}": "@olga:chat.test",
        f"u_{streamer.id}": "@sam:elsewhere.test",
        f"u_{viewer.id}": "@vic:viewers.test",
    }
    actor = Actor(Author("u_999", "root", Mark.STREAMER), "api")
    room = await chat.service.enter("mine")
    await chat.moderation.actions.moderator(room, actor, mxid="@mona:mods.test")
    for pattern, named in (
        ("@*:*", "everybody"),
        ("*:*", "everybody"),
        ("@*", "everybody"),
        ("@?*:*.*", "everybody"),
        ("@_ghost*:*", "@_ghostlive:chat.test"),
        ("@_ghostlive:chat.test", "@_ghostlive:chat.test"),
        ("@o*:chat.test", "@olga:chat.test"),
        ("*:elsewhere.test", "@sam:elsewhere.test"),
        ("@sam:elsewhere.test", "@sam:elsewhere.test"),
        ("@m?na:mods.*", "@mona:mods.test"),
    ):
        with pytest.raises(NotAllowedError, match=re.escape(named)):
            await chat.moderation.actions.ban(room, actor, mxid=pattern)
    assert await chat.service.bans("mine") == []
    for pattern in ("*:viewers.test", "@spam*:chat.test"):
        await chat.moderation.actions.ban(room, actor, mxid=pattern)
    # Of another stream, its owner is somebody like others.
    await chat.moderation.actions.ban(await chat.service.enter("demo"), actor, mxid="*:elsewhere.test")
