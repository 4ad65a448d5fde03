"""What happens to messages after they were said: edits, reactions, deletions; and what pages learn that were away."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.chat import Chat, Json, Page, open_chat

from ghostlive.chat.message import Kind, Message, More
from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.moderation.verdict import NoRules, Shadow, Verdict
from ghostlive.chat.people import Author, Visitor
from ghostlive.chat.room import Post, Quiet, Reaction, Room
from ghostlive.db.chat import ChatTransaction, MediaRecord
from ghostlive.db.users import Role


async def edit(page: Page, message_id: int, text: str) -> None:
    """Change what was said."""
    page.send({"type": "edit", "id": message_id, "text": text})


async def react(page: Page, message_id: int, key: str, on: bool = True) -> list[str]:
    """React; what one has reacted with then."""
    page.send({"type": "react", "id": message_id, "key": key, "on": on})
    return list((await page.next("mine"))["keys"])


async def test_an_edit_is_told_to_everybody_and_to_replies(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    message_id = await ann.post("tpyo")
    reply = await bob.post("what?", reply=message_id)
    await edit(ann, message_id, "  typo\n")
    for page in (ann, bob):
        edited = await page.next("edited")
        assert edited["message"]["text"] == "typo"
        assert edited["message"]["id"] == message_id
        assert edited["seq"] > reply
    fresh = await chat.page().open()
    first, second = (await fresh.hello())["messages"]
    assert (first["text"], second["reply"]["text"]) == ("typo", "typo")
    assert first["edited"].endswith("Z")


async def test_only_the_author_edits_and_only_what_is_there(chat: Chat) -> None:
    owner = await chat.account("olga", Role.OWNER)
    ann, bob, olga = await chat.enter("Ann"), await chat.enter("Bob"), await chat.enter(user=owner)
    message_id = await ann.post("mine")
    for page in (bob, olga):
        await edit(page, message_id, "theirs")
        assert (await page.next("error"))["code"] == "not_allowed"
    for text, code in (("", "empty"), ("x" * 501, "too_long"), ("\u202e", "empty")):
        await edit(ann, message_id, text)
        assert (await ann.next("error"))["code"] == code
    await edit(ann, 5, "x")
    assert (await ann.next("error"))["code"] == "not_found"
    ann.send({"type": "delete", "id": message_id})
    await ann.next("deleted")
    await edit(ann, message_id, "back")
    assert (await ann.next("error"))["code"] == "not_found"
    nameless = await chat.enter()
    await edit(nameless, message_id, "x")
    assert (await nameless.next("error"))["code"] == "name_needed"


async def test_rules_and_bans_count_for_edits_too(chat: Chat) -> None:
    owner = await chat.account("olga", Role.OWNER)
    olga, ann = await chat.enter(user=owner), await chat.enter("Ann", address="192.0.2.9")
    message_id = await ann.post("harmless")
    olga.send({"type": "act", "act": "rules", "value": {"links": False}})
    await ann.next("rules")
    await edit(ann, message_id, "see https://spam.example/")
    assert (await ann.next("error"))["code"] not in ("bad_message", "not_found")
    olga.send({"type": "act", "act": "timeout", "id": message_id, "seconds": 60})
    await ann.next("banned")
    await edit(ann, message_id, "angry words")
    assert (await ann.next("error"))["code"] == "banned"
    ann.send({"type": "react", "id": message_id, "key": "😡", "on": True})
    assert (await ann.next("error"))["code"] == "banned"
    fresh = await chat.enter(address="192.0.2.10")
    assert fresh.texts() == ["harmless"]


async def test_reactions_are_counted_and_everybody_knows_their_own(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    second = chat.page()
    second.token = ann.token
    await second.open()
    await second.hello()
    message_id = await ann.post("joke")
    assert await react(ann, message_id, "😀") == ["😀"]
    await second.sees(lambda page: any(m["type"] == "mine" and m["keys"] == ["😀"] for m in page.got))
    assert await react(bob, message_id, "😀") == ["😀"]
    assert await react(bob, message_id, "🎉") == ["😀", "🎉"]
    assert await react(bob, message_id, "🎉") == ["😀", "🎉"]
    await ann.sees(lambda page: page.got[-1].get("reactions") == [_count("😀", 2), _count("🎉", 1)])
    assert not any(m["type"] == "mine" and "🎉" in m["keys"] for m in ann.got)
    seen = [message for message in ann.got if message["type"] == "reactions"]
    assert len(seen) == 3, "what changes nothing is told to nobody"
    assert "mine" not in await bob.back()  # nothing came, and the page knows its own
    fresh = chat.page()
    fresh.token = bob.token
    await fresh.open()
    welcome = await fresh.hello()
    assert welcome["mine"] == {str(message_id): ["😀", "🎉"]}
    assert await react(bob, message_id, "😀", on=False) == ["🎉"]
    assert await react(bob, message_id, "🎉", on=False) == []
    await ann.sees(lambda page: page.got[-1].get("reactions") == [_count("😀", 1)])


def _count(key: str, count: int) -> Json:
    return {"key": key, "count": count}


async def test_what_may_be_a_reaction(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    message_id = await ann.post("x")
    for key in ("", " ", "/api/v1/chat/media/AAAAAAAAAAAAAAAAAAAAAA", "spam", ":nothing:", "🇫🇺🇨🇰", "😀😀"):
        ann.send({"type": "react", "id": message_id, "key": key, "on": True})
        assert (await ann.next("error"))["code"] in ("empty", "not_allowed")
    for number in range(20):
        await react(ann, message_id, chr(0x1F600 + number))
    ann.send({"type": "react", "id": message_id, "key": "🎉", "on": True})
    assert (await ann.next("error"))["code"] == "not_allowed"
    bob = await chat.enter("Bob")
    assert await react(bob, message_id, "\U0001f603") == ["\U0001f603"]  # one that is there already


async def test_who_was_away_learns_of_edits_reactions_and_deletions_without_a_reset(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    ids = [await ann.post(f"m{number}") for number in range(5)]
    await bob.sees(lambda page: len(page.shown) == 5)
    bob.leave()
    await edit(ann, ids[0], "edited")
    await ann.next("edited")
    await react(ann, ids[1], "👍")
    ann.send({"type": "delete", "id": ids[2]})
    await ann.next("deleted")
    new = await ann.post("new")
    await edit(ann, new, "new and edited")
    await ann.next("edited")
    welcome = await bob.back()
    assert welcome["reset"] is False
    assert [message["id"] for message in welcome["changed"]] == ids[:2]
    assert welcome["changed"][1]["reactions"] == [_count("👍", 1)]
    assert welcome["deleted"] == [ids[2]]
    assert [message["text"] for message in welcome["messages"]] == ["new and edited"]
    again = await bob.back()
    assert "changed" not in again


async def test_an_edit_of_an_old_message_makes_those_who_were_away_begin_anew(tmp_path: Path) -> None:
    async with open_chat(tmp_path, history=2) as chat:
        ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
        old = await ann.post("old")
        for number in range(60):
            await ann.post(f"m{number}")
        await bob.sees(lambda page: len(page.shown) == 61)
        bob.leave()
        await edit(ann, old, "edited")
        assert (await ann.next("edited"))["message"]["text"] == "edited"
        assert (await bob.back())["reset"] is True
        await chat.restart()
        assert (await ann.back())["reset"] is False, "who was told needs no reset after a restart either"


async def test_everything_is_there_after_a_restart(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    first, second = await ann.post("one"), await ann.post("two")
    await edit(ann, first, "uno")
    await ann.next("edited")
    await react(ann, second, "👍")
    await ann.sees(lambda page: page.got[-1]["type"] in ("reactions", "mine"))
    before = (await (await chat.page().open()).hello())["messages"]
    await chat.restart()
    after = (await (await chat.page().open()).hello())["messages"]
    assert after == before
    third = await (await chat.enter("Bob")).post("three")
    assert third > second


async def test_reacting_and_editing_have_limits(tmp_path: Path) -> None:
    async with open_chat(tmp_path, burst=3, interval=10.0) as chat:
        ann = await chat.enter("Ann")
        message_id = await ann.post("x")
        chat.clock.advance(20)
        for number in range(4):
            await edit(ann, message_id, f"v{number}")
        await ann.sees(lambda page: "too_fast" in page.errors())
        for number in range(12):
            ann.send({"type": "react", "id": message_id, "key": chr(0x1F600 + number), "on": True})
        await ann.sees(lambda page: page.errors().count("too_fast") >= 3)


async def test_who_is_put_out_does_not_keep_what_was_taken_away(chat: Chat) -> None:
    owner = await chat.account("olga", Role.OWNER)
    olga, troll = await chat.enter(user=owner), await chat.enter("Troll", address="192.0.2.9")
    message_id = await troll.post("spam")
    await troll.post("more spam")
    olga.send({"type": "ban", "id": message_id, "messages": True})
    await troll.sees(lambda page: page.closed() is not None)
    assert troll.texts() == []
    assert troll.closed() == (4003, "banned")


class _ShadowsTrolls(NoRules):
    """Who says "troll" believes that it was said."""

    def review(
        self, room: Room, visitor: Visitor, text: str, kind: str, now: datetime, *, html: str | None = None
    ) -> Verdict:
        return Shadow() if "troll" in text else None


async def test_what_is_said_in_the_shadow_is_seen_by_its_author_also_after_a_reload(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat.moderation, "review", _ShadowsTrolls().review)
    ann, troll = await chat.enter("Ann"), await chat.enter("Timo")
    await ann.post("hello")
    first = await troll.post("troll 1")
    await troll.sees(lambda page: page.texts() == ["hello", "troll 1"])
    assert await troll.post("troll 1", txn="t1") == first  # sent again by a page that lost its connection
    await ann.post("nobody answers you")
    await troll.post("troll 2")
    welcome = await troll.back()
    assert welcome["reset"] is False
    fresh = chat.page()
    fresh.token = troll.token
    await fresh.open()
    await fresh.hello()
    for page in (troll, fresh):
        await page.sees(lambda page: page.texts() == ["hello", "troll 1", "nobody answers you", "troll 2"])
    assert ann.texts() == ["hello", "nobody answers you"]
    other = await chat.enter("Ben")
    assert other.texts() == ["hello", "nobody answers you"]
    assert (await ann.back())["reset"] is False
    await chat.restart()
    assert (await chat.enter("Eve")).texts() == ["hello", "nobody answers you"]


class _Notes(Quiet):
    """A listener and a journal that remember what they were told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.written: list[Any] = []
        self.fail = False

    def said(self, message: Message) -> None:
        self.told.append(("said", message.text))

    def edited(self, message: Message, seq: int, actor: Actor) -> None:
        self.told.append(("edited", message.text, actor.via))

    def reacted(self, reaction: Reaction) -> None:
        self.told.append(("reacted", reaction.key, reaction.on, reaction.reactions))


class _Journal:
    """Writes into the transaction; fails when it is told to."""

    def __init__(self) -> None:
        self.fail = 0
        self.written: list[Any] = []

    async def _write(self, transaction: ChatTransaction, *what: Any) -> None:
        if self.fail:
            self.fail -= 1
            raise OSError("the disk is full")
        self.written.append(what)

    async def said(self, transaction: ChatTransaction, posts: list[Post]) -> None:
        await self._write(transaction, "said", *[post.text for post in posts])

    async def edited(self, transaction: ChatTransaction, room: Room, seq: int, message_id: int, **rest: Any) -> None:
        await self._write(transaction, "edited", rest["text"])

    async def deleted(self, transaction: ChatTransaction, room: Room, seq: int, ids: list[int], actor: Actor) -> None:
        await self._write(transaction, "deleted", len(ids))

    async def reacted(self, transaction: ChatTransaction, room: Room, reaction: Reaction) -> None:
        await self._write(transaction, "reacted", reaction.key, reaction.on)

    async def acted(self, transaction: ChatTransaction, room: Room, seq: int, act: Act) -> None:
        await self._write(transaction, "acted", act.kind)


async def test_the_journal_is_written_with_what_it_is_about_or_not_at_all(chat: Chat) -> None:
    journal, notes = _Journal(), _Notes()
    chat.service.journal = journal  # type: ignore[assignment]
    ann = await chat.enter("Ann")
    room = await chat.service.enter("demo")
    room.listeners.add(notes)
    journal.fail = 1
    message_id = await ann.post("one")  # tried again
    await edit(ann, message_id, "two")
    await ann.next("edited")
    await react(ann, message_id, "👍")
    await react(ann, message_id, "👍")
    await react(ann, message_id, "👍", on=False)
    ann.send({"type": "delete", "id": message_id})
    await ann.next("deleted")
    assert [what for what in journal.written if len(what) > 1] == [
        ("said", "one"),
        ("edited", "two"),
        ("reacted", "👍", True),
        ("reacted", "👍", False),
        ("deleted", 1),
    ]
    assert notes.told == [
        ("said", "one"),
        ("edited", "two", "page"),
        ("reacted", "👍", True, (("👍", 1),)),
        ("reacted", "👍", False, ()),
    ]


async def test_a_post_is_the_same_after_it_waited(chat: Chat) -> None:
    room = await chat.service.enter("demo")
    author = Author("m_" + "a" * 14, "Älice", mxid="@a:b", avatar="/api/v1/chat/media/x?w=96")
    post = Post(
        room,
        author,
        txn="mx1",
        text="hi",
        at=chat.service.now(),
        reply_to=5,
        origin="1.a.b.c",
        receipt=_Nothing(),
        more=More(Kind.IMAGE, "<b>hi</b>", {"url": "/x"}),
        event_id="$e",
        media=[MediaRecord("id", "mxc://a/b", "image/png")],
    )
    again = Post.from_json(room, post.to_json())
    for name in ("author", "txn", "text", "at", "reply_to", "origin", "more", "event_id", "media"):
        assert getattr(again, name) == getattr(post, name), name
    assert again.receipts == []
    plain = Post(room, author, txn="t", text="x", at=post.at, reply_to=None, origin="", receipt=_Nothing())
    assert Post.from_json(room, plain.to_json()).more is None
    assert json.loads(plain.to_json()).keys() == {"author", "txn", "text", "at", "reply_to", "origin"}


class _Nothing:
    """A receipt for nobody."""

    def stored(self, txn: str, message_id: int) -> None: ...
    def refused(self, txn: str, error: object) -> None: ...
    def held(self, txn: str, text: str) -> None: ...
    def shadowed(self, txn: str, message: object) -> None: ...
