"""Messages that wait: seen by moderators only, decided once, in order, and not lost by anything."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.support.chat import Chat, Page

from ghostlive.chat.errors import NotFoundError
from ghostlive.chat.matrix.media import PATH, path_of, record_of
from ghostlive.chat.message import Kind
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.pipeline import APPROVE
from ghostlive.chat.people import Author, matrix_author_id
from ghostlive.chat.people import Role as Mark
from ghostlive.db.chat import ChatTransaction
from ghostlive.db.moderation import ModerationTransaction
from ghostlive.db.users import Role

MO = Actor(Author("u_999", "mo", Mark.MODERATOR), "page")


@pytest.fixture
async def mod(chat: Chat) -> Page:
    """A moderator of a chat in which each message waits."""
    page = await chat.enter(user=await chat.account("mo", Role.MODERATOR), address="198.51.100.1")
    page.send({"type": "act", "act": "rules", "value": {"approve": True}})
    await page.next("rules")
    return page


async def hold(page: Page, text: str, **members: Any) -> str:
    """Say something that waits; its txn."""
    txn = page.say(text, **members)
    ack = await page.next("ack")
    assert (ack["txn"], ack["id"], ack["held"]) == (txn, None, True), ack
    assert ack["text"]
    return txn


async def test_what_waits_is_said_when_it_is_let_through(chat: Chat, mod: Page) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    txn = await hold(ann, "hello")
    [held] = (await mod.next("held"))["add"]
    assert (held["text"], held["author"]["name"]) == ("hello", "Ann")
    assert held["reason"]
    assert bob.texts() == []
    assert not [message for message in bob.got if message["type"] == "held"]
    chat.clock.advance(60)
    mod.send({"type": "decide", "ids": [held["id"]], "allow": True})
    ack = await ann.next("ack")
    assert ack["txn"] == txn
    assert ack["id"] is not None
    await bob.sees(lambda page: page.texts() == ["hello"])
    await mod.sees(lambda page: any(one.get("remove") == [held["id"]] for one in page.got))
    # It was said when it was let through, not before.
    said_at = bob.shown[ack["id"]]["at"]
    assert said_at > held["at"]
    mod.send({"type": "decide", "ids": [held["id"]], "allow": True})
    assert (await mod.next("error"))["code"] == "not_found"
    assert bob.texts() == ["hello"]


async def test_what_is_not_let_through_is_told_to_its_author_alone(chat: Chat, mod: Page) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    txn = await hold(ann, "nonsense")
    [held] = (await mod.back())["held"]
    mod.send({"type": "decide", "ids": [held["id"]], "allow": False})
    error = await ann.next("error")
    assert (error["code"], error["txn"]) == ("not_approved", txn)
    ann.say("nonsense", txn=txn)  # sent again, it does not wait again
    assert (await ann.next("error"))["code"] == "not_approved"
    assert bob.texts() == []
    assert (await mod.back())["held"] == []


async def test_many_are_said_in_the_order_in_which_they_came(chat: Chat, mod: Page) -> None:
    pages = [await chat.enter(name) for name in ("Ann", "Bob", "Cid")]
    for number in range(9):
        await hold(pages[number % 3], f"m{number}")
    held = (await mod.back())["held"]
    assert [one["text"] for one in held] == [f"m{number}" for number in range(9)]
    ids = [one["id"] for one in held]
    mod.send({"type": "decide", "ids": [*reversed(ids)], "allow": True})
    reader = pages[0]
    await reader.sees(lambda page: page.texts() == [f"m{number}" for number in range(9)])


async def test_what_waits_outlives_a_restart(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    answered = await mod.post("question")
    txn = await hold(ann, "answer", reply=answered)
    await chat.restart()
    welcome = await mod.back()
    [held] = welcome["held"]
    await ann.back()
    ann.say("answer", txn=txn)  # the page sends again what has no id yet
    assert (await ann.next("ack"))["held"] is True
    mod.send({"type": "decide", "ids": [held["id"]], "allow": True})
    ack = await ann.next("ack")
    assert ack["txn"] == txn
    assert ann.texts() == ["question", "answer"]
    assert ann.shown[ack["id"]]["reply"]["id"] == answered
    await chat.restart()
    await ann.back()
    ann.say("answer", txn=txn)
    assert (await ann.next("ack"))["id"] == ack["id"]
    assert (await mod.back())["held"] == []


async def test_killed_between_waiting_and_said(chat: Chat, mod: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Message and decision are one transaction: what fails in it leaves both undone, what is stored is both."""
    ann = await chat.enter("Ann")
    await hold(ann, "hello")
    [held] = (await mod.back())["held"]
    audit = ModerationTransaction.audit

    async def die(*_: object) -> None:
        raise asyncio.CancelledError  # as when the process ends after the message was written, before the commit

    monkeypatch.setattr(ModerationTransaction, "audit", die)
    room = await chat.service.enter("demo")
    deciding = asyncio.ensure_future(chat.moderation.decide(room, MO, [held["id"]], allow=True))
    writing = chat.service._writing
    assert writing is not None
    await chat.until(writing.done, "the writer dies")
    deciding.cancel()
    monkeypatch.setattr(ModerationTransaction, "audit", audit)
    chat.service._writing = None  # it is gone
    await chat.restart()
    assert (await ann.back())["messages"] == []
    [again] = (await mod.back())["held"]
    assert again["id"] == held["id"]
    mod.send({"type": "decide", "ids": [held["id"]], "allow": True})
    await ann.sees(lambda page: page.texts() == ["hello"])
    await chat.restart()
    assert [message["text"] for message in (await (await chat.page().open()).hello())["messages"]] == ["hello"]
    assert (await mod.back())["held"] == []


async def test_two_moderators_decide_at_once(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    await hold(ann, "hello")
    [held] = (await mod.back())["held"]
    room = await chat.service.enter("demo")
    outcomes = await asyncio.gather(
        chat.moderation.decide(room, MO, [held["id"]], allow=True),
        chat.moderation.decide(room, MO, [held["id"]], allow=False),
        return_exceptions=True,
    )
    assert outcomes[0] is None
    assert isinstance(outcomes[1], NotFoundError)
    await ann.sees(lambda page: page.texts() == ["hello"])


async def test_who_is_banned_has_nothing_that_waits(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    await hold(ann, "one")
    await hold(ann, "two")
    assert ann.you is not None
    mod.send({"type": "act", "act": "ban", "author": ann.you["id"], "reason": "spam"})
    await ann.next("banned")
    await mod.sees(lambda page: len([one for one in page.got if one.get("remove")]) == 1)
    assert (await mod.back())["held"] == []
    await chat.restart()
    assert (await mod.back())["held"] == []


async def test_there_is_an_end_to_what_one_person_lets_wait(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    for number in range(10):
        await hold(ann, f"m{number}")
    ann.say("one more")
    assert (await ann.next("error"))["code"] == "held_full"
    await hold(await chat.enter("Bob"), "mine")


async def test_what_comes_by_matrix_waits_too(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    room = await chat.service.enter("demo")
    eve = Author(matrix_author_id("@eve:example.org"), "Eve", mxid="@eve:example.org")

    async def come(event_id: str) -> Any:
        return await chat.post_matrix(
            room, eve, event_id=event_id, kind=Kind.EMOTE, text="waves", html="<b>waves</b>", at=chat.service.now()
        )

    assert (await come("$1")).held == APPROVE
    assert (await come("$1")).held == APPROVE  # the transaction comes twice
    [held] = (await mod.back())["held"]
    assert held["author"]["matrix"] == "@eve:example.org"
    mod.send({"type": "decide", "ids": [held["id"]], "allow": True})
    await ann.sees(lambda page: page.texts() == ["waves"])
    [message] = ann.shown.values()
    assert (message["kind"], message["html"]) == ("emote", "<b>waves</b>")
    assert await chat.repository.events_of([message["id"]]) == {}, "the room has to get it from us"
    outcome = await come("$1")
    assert outcome.id == message["id"]


async def test_pictures_of_what_waits_are_where_moderators_get_them(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    room = await chat.service.enter("demo")
    face, cat, wave = (record_of(f"mxc://example.org/{name}", "image/png") for name in ("face", "cat", "wave"))
    assert face is not None
    assert cat is not None
    assert wave is not None
    mxid = "@eve:example.org"
    eve = Author(matrix_author_id(mxid), "Eve", mxid=mxid, avatar=path_of(face, 96))
    html = f'<b>hi</b> src="{PATH}x" <img class="emote" src="{path_of(wave)}" alt=":wave:">'
    picture = {"url": path_of(cat), "type": "image/png", "width": 3, "height": 2, "alt": "cat.png"}
    picture["thumb"] = path_of(cat, 640)
    for kind, what in ((Kind.IMAGE, {"media": picture}), (Kind.TEXT, {"html": html})):
        outcome = await chat.post_matrix(
            room, eve, event_id=f"${kind}", kind=kind, text=kind.value, files=[face, cat, wave],
            at=chat.service.now(), **what,
        )  # fmt: skip
        assert outcome.held
    for welcome in (await mod.back(), await _after_restart(chat, mod)):
        image, text = welcome["held"]
        here = [f"/api/v1/streams/demo/chat/held/{one['id']}/media/" for one in (image, text)]
        waiting = {**picture, "url": f"{here[0]}{cat.id}", "thumb": f"{here[0]}{cat.id}?w=640"}
        assert (image["kind"], image["text"], image["media"]) == ("image", "image", waiting)
        assert image["author"]["avatar"] == f"{here[0]}{face.id}?w=96"
        emote = f'<img class="emote" src="{here[1]}{wave.id}" alt=":wave:">'
        assert (text["text"], text["html"]) == ("text", f'<b>hi</b> src="{PATH}x" {emote}')
    await ann.back()
    mod.send({"type": "decide", "ids": [image["id"], text["id"]], "allow": True})
    await ann.sees(lambda page: page.texts() == ["image", "text"])
    shown, said = (ann.shown[number] for number in ann.order)
    assert (shown["kind"], shown["media"], shown["author"]["avatar"]) == ("image", picture, path_of(face, 96))
    assert said["html"] == html


async def _after_restart(chat: Chat, page: Page) -> Any:
    await chat.restart()
    return await page.back()


async def test_the_first_message_of_a_guest_waits_then_they_are_known(chat: Chat, mod: Page) -> None:
    mod.send({"type": "act", "act": "rules", "value": {"approve": False, "guests": "hold"}})
    await mod.next("rules")
    ann = await chat.enter("Ann")
    await hold(ann, "first")
    mod.send({"type": "decide", "ids": [(await mod.back())["held"][0]["id"]], "allow": True})
    await ann.sees(lambda page: page.texts() == ["first"])
    assert await ann.post("second") is not None
    await chat.restart()
    await ann.back()
    assert await ann.post("third") is not None


async def test_old_decisions_are_forgotten(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    await hold(ann, "hello")
    [held] = (await mod.back())["held"]
    mod.send({"type": "decide", "ids": [held["id"]], "allow": False})
    await ann.next("error")
    assert chat.moderation.purge in chat.service.retention.also
    assert await chat.moderation.purge(chat.service.now() - timedelta(days=1)) == 0
    assert await chat.moderation.purge(chat.service.now() + timedelta(seconds=1)) >= 2

    async def texts(transaction: ChatTransaction, _seq: int) -> int:
        return len(await ModerationTransaction(transaction).alive(1, 10))

    assert await chat.service.change(texts, lambda _result, _seq: None) == 0
