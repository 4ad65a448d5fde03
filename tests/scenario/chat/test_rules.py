"""Rules on the wire: each is told to every page, and its reason to whom it stops, on a page and in Matrix."""

from typing import Any

import pytest
from tests.support.chat import Chat, Page

from ghostlive.access.browser import viewer_key
from ghostlive.chat.message import Kind
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.people import Author, matrix_author_id
from ghostlive.chat.people import Role as Mark
from ghostlive.db.users import Role

Json = dict[str, Any]


@pytest.fixture
async def mod(chat: Chat) -> Page:
    """A moderator, from an address of their own."""
    return await chat.enter(user=await chat.account("mo", Role.MODERATOR), address="198.51.100.1")


async def set_rules(mod: Page, **rules: Any) -> Json:
    """As the page of a moderator does."""
    mod.send({"type": "act", "act": "rules", "value": rules})
    told = await mod.next("rules", "error")
    assert told["type"] == "rules", told
    rules_told: Json = told["rules"]
    return rules_told


@pytest.mark.parametrize(
    ("rules", "text", "code"),
    [
        ({"readonly": True}, "hello", "read_only"),
        ({"followers": 5}, "hello", "watch_longer"),
        ({"links": False}, "see https://example.com", "links"),
        ({"emotes": True}, "hello", "emotes_only"),
        ({"caps": 50}, "WHY IS THIS SO LOUD", "caps"),
        ({"words": [{"text": "bad"}]}, "a bad word", "word"),
        ({"words": [{"text": r"b[a4]+d", "kind": "regex"}]}, "a b4aad word", "word"),
    ],
)
async def test_each_rule_says_why(chat: Chat, mod: Page, rules: Json, text: str, code: str) -> None:
    ann = await chat.enter("Ann")
    mod.send({"type": "act", "act": "rules", "value": rules})
    told = await ann.next("rules")
    shown = {name: value for name, value in rules.items() if name not in ("caps", "words")}
    assert shown.items() <= told["rules"].items()
    assert "words" not in told["rules"], "who knows the words gets around them"
    for emote in (False, True):
        txn = ann.say(text, emote=emote)
        error = await ann.next("error")
        assert (error["code"], error["txn"]) == (code, txn)
    assert error["text"]
    # The same by Matrix, the same for who comes later and after a restart.
    room = await chat.service.enter("demo")
    author = Author(matrix_author_id("@eve:example.org"), "Eve", mxid="@eve:example.org")
    outcome = await chat.post_matrix(room, author, event_id="$1", kind=Kind.TEXT, text=text, at=chat.service.now())
    assert outcome.error is not None
    assert outcome.error.code == code
    chat.service.leave(room)
    await mod.post(text)  # who moderates is exempt
    await chat.restart()
    page = chat.page(address="203.0.113.9")
    await page.open()
    assert shown.items() <= (await page.hello())["rules"].items()
    await page.join("Bob")
    page.say(text)
    assert (await page.next("error"))["code"] == code


async def test_slow_mode_and_duplicates_end(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    await set_rules(mod, slow=10, duplicates=60)
    await ann.post("one")
    chat.clock.advance(3)
    ann.say("two")
    error = await ann.next("error")
    assert error["code"] == "slow_mode"
    chat.clock.advance(error["retry_after"])
    await ann.post("two")
    chat.clock.advance(11)
    ann.say("Two")
    assert (await ann.next("error"))["code"] == "duplicate"
    await ann.post("three")


async def test_who_has_watched_writes(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    await set_rules(mod, followers=1)
    ann.say("hello")
    assert (await ann.next("error"))["code"] == "watch_longer"
    for _ in range(3):  # her page says so, and nothing was ever sent to it
        ann.send({"type": "alive", "playing": True})
        chat.clock.advance(30)
    ann.say("hello")
    assert (await ann.next("error"))["code"] == "watch_longer"
    for _ in range(9):
        chat.gateway.attendance.seen("demo", viewer_key("192.0.2.1", b"test"))
        ann.send({"type": "alive", "playing": True})
        chat.clock.advance(10)
    await ann.post("hello")
    chat.clock.advance(60)
    await ann.post("again")  # what was stored meanwhile is stored before it
    await chat.restart()
    await mod.back()
    await ann.back()
    await ann.post("and after a restart")


async def test_rules_that_cannot_be(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    for value, code in (
        ({"slow": -1}, "bad_rules"),
        ({"guests": "never"}, "bad_rules"),
        ({"words": [{"text": "(", "kind": "regex"}]}, "bad_rules"),
        ({"unheard": True}, "bad_rules"),
        (None, "bad_message"),
    ):
        mod.send({"type": "act", "act": "rules", "value": value})
        error = await mod.next("error")
        assert error["code"] == code, error
    ann.send({"type": "act", "act": "rules", "value": {"slow": 5}})
    assert (await ann.next("error"))["code"] == "not_allowed"
    await ann.post("nothing has changed")
    # What is so already is told to nobody.
    await set_rules(mod, slow=1)
    before = len(mod.got)
    mod.send({"type": "act", "act": "rules", "value": {"slow": 1}})
    await set_rules(mod, slow=2)
    assert len([message for message in mod.got[before:] if message["type"] == "rules"]) == 1


async def test_the_shield_goes_up_and_down_with_one_switch(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    await set_rules(mod, slow=3, links=False)
    ann.texts()
    mod.send({"type": "act", "act": "shield", "value": True})
    assert (await ann.next("rules"))["rules"]["shield"] is True
    stranger = await chat.enter(address="203.0.113.7")
    assert (await stranger.join("New"))["code"] == "no_new_names"
    ann.say("hello")
    ack = await ann.next("ack")
    assert (ack["id"], ack["held"]) == (None, True)
    mod.send({"type": "act", "act": "shield", "value": False})
    rules = (await ann.next("rules"))["rules"]
    assert (rules["shield"], rules["slow"], rules["links"], rules["approve"]) == (False, 3, False, False)
    assert (await stranger.join("New"))["type"] == "joined"
    chat.clock.advance(10)
    await ann.post("hello again")


async def test_names_go_through_the_word_filter(chat: Chat, mod: Page) -> None:
    await set_rules(mod, words=[{"text": "bad*", "kind": "glob"}], links=False)
    page = await chat.enter()
    for name in ("Badger", "see example.com"):
        assert (await page.join(name))["code"] == "name_refused"
    assert (await page.join("Good"))["type"] == "joined"


async def test_trusted_people_are_exempt(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    await ann.post("hello")
    assert ann.you is not None
    await set_rules(mod, emotes=True, approve=True)
    mod.send({"type": "act", "act": "trust", "author": ann.you["id"], "value": True})
    await chat.until(lambda: chat.service._rooms["demo"].moderation.trusted)
    assert await ann.post("as before") is not None
    await chat.restart()
    await ann.back()
    await mod.back()
    assert await ann.post("and after a restart") is not None
    await set_rules(mod, readonly=True)
    ann.say("not even they")
    assert (await ann.next("error"))["code"] == "read_only"


@pytest.mark.parametrize(
    ("rules", "code"),
    [({"readonly": True}, "read_only"), ({"emotes": True}, "emotes_only"), ({"approve": True}, "not_allowed")],
)
async def test_an_edit_goes_by_the_rules_of_messages(chat: Chat, mod: Page, rules: Json, code: str) -> None:
    ann = await chat.enter("Ann")
    number = await ann.post("hello")
    await set_rules(mod, **rules)
    ann.send({"type": "edit", "id": number, "text": "something else"})
    assert (await ann.next("error"))["code"] == code
    mine = await mod.post("the rules are mine")
    mod.send({"type": "edit", "id": mine, "text": "and so are edits"})
    await mod.sees(lambda page: page.texts() == ["hello", "and so are edits"])


async def test_nobody_reacts_while_only_moderators_write(chat: Chat, mod: Page) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob", address="192.0.2.9")
    number = await ann.post("hello")
    for page in (ann, bob):
        page.send({"type": "react", "id": number, "key": "👍", "on": True})
        await page.next("mine")
    assert bob.you is not None
    room = await chat.service.enter("demo")
    await chat.moderation.actions.trust(room, Actor(Author("u_1", "mo", Mark.STREAMER), "api"), bob.you["id"])
    await set_rules(mod, readonly=True)
    for page in (ann, bob):
        page.send({"type": "react", "id": number, "key": "🎉", "on": True})
        assert (await page.next("error"))["code"] == "read_only"
    ann.send({"type": "react", "id": number, "key": "👍", "on": False})  # which takes something away
    assert (await ann.next("mine"))["keys"] == []
    mod.send({"type": "react", "id": number, "key": "🎉", "on": True})
    assert (await mod.next("mine"))["keys"] == ["🎉"]
    await mod.sees(
        lambda page: page.shown[number]["reactions"] == [{"key": "👍", "count": 1}, {"key": "🎉", "count": 1}]
    )
