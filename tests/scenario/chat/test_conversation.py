"""People talk: who sees what, in which order, under which name, and after coming back."""

import asyncio

import pytest
from tests.support.chat import Chat

from ghostlive.chat.errors import UnknownStreamError
from ghostlive.chat.moderation.rules import Rules
from ghostlive.core.events import StreamRecordChanged
from ghostlive.db.chat import MessageRecord
from ghostlive.db.users import Role


async def test_two_viewers_see_each_other_in_the_same_order(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    for turn in range(20):
        ann.say(f"a{turn}")
        bob.say(f"b{turn}")
    await ann.sees(lambda page: len(page.shown) == 40)
    await bob.sees(lambda page: len(page.shown) == 40)
    assert ann.texts() == bob.texts()
    assert ann.order == bob.order
    assert [text for text in ann.texts() if text[0] == "a"] == [f"a{turn}" for turn in range(20)]
    message = ann.shown[ann.order[0]]
    assert message["author"] == {"id": ann.you["id"], "name": "Ann", "hue": ann.you["hue"], "role": "guest"}  # type: ignore[index]
    assert message["reply"] is None
    assert message["at"] == "2027-01-15T08:00:00.000Z"


async def test_what_somebody_does_is_shown_as_that_also_to_who_comes_later(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    number = await ann.post("waves :wave:", emote=True)
    ann.send({"type": "command", "text": "me waves again"})  # a page that knows no more than commands
    await bob.sees(lambda page: page.texts() == ["waves :wave:", "waves again"])
    assert [bob.shown[one].get("kind") for one in bob.order] == ["emote", "emote"]
    await bob.post("hello", reply=number)
    page = await chat.page().open()
    welcome = await page.hello()
    assert [one.get("kind") for one in welcome["messages"]] == ["emote", "emote", None]
    assert welcome["messages"][2]["reply"]["text"] == "Ann waves :wave:"


async def test_doing_nothing_or_what_a_rule_refuses_is_refused(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    ann.send({"type": "command", "text": "me  "})
    assert (await ann.next("error"))["code"] == "empty"
    ann.send({"type": "post", "txn": "x", "text": "waves", "emote": "yes"})
    assert (await ann.next("error"))["code"] == "bad_message"
    assert ann.texts() == []


async def test_what_a_newcomer_is_welcomed_with(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    ids = [await ann.post(f"m{number}") for number in range(3)]
    page = await chat.page().open()
    welcome = await page.hello()
    assert welcome == {
        "type": "welcome",
        "you": None,
        "seq": ids[-1],
        "reset": True,
        "messages": list(ann.shown.values()),
        "deleted": [],
        "people": 2,
        "rules": Rules().json(),
        "pinned": None,
        "matrix": None,
        "limits": {"text": 500, "name": 32},
    }


async def test_a_reload_and_a_second_page_are_the_same_guest(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    second = chat.page()
    second.token = ann.token
    await second.open()
    welcome = await second.hello()
    assert welcome["you"] == ann.you
    assert welcome["people"] == 1
    await second.post("from the second page")
    await ann.sees(lambda page: page.texts() == ["from the second page"])
    ann.leave()
    second.leave()
    await chat.restart()
    assert (await ann.back())["you"] == second.you
    assert ann.texts() == ["from the second page"]


async def test_a_new_name_is_told_to_all_pages_of_a_guest(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    second = chat.page()
    second.token = ann.token
    await second.open()
    await second.hello()
    ann.send({"type": "join", "name": "Anna"})
    joined = await second.next("joined")
    assert joined["you"]["name"] == "Anna"
    assert joined["you"]["id"] == ann.you["id"]  # type: ignore[index]
    assert "token" not in joined
    await second.post("hi")
    await ann.sees(lambda page: len(page.shown) == 1 and page.shown[page.order[0]]["author"]["name"] == "Anna")
    bob = await chat.enter("Ann")  # free again
    bob.send({"type": "people"})
    people = await bob.next("people")
    assert people["people"] == 2
    assert sorted(author["name"] for author in people["names"]) == ["Ann", "Anna"]


async def test_names_that_look_like_somebody_present_are_taken(chat: Chat) -> None:
    await chat.account("streamer-jo", Role.STREAMER)
    await chat.enter("Bob")
    page = await chat.enter()
    for name in ("Bob", "bob", "B0b", "Воb", "b\u200bob", "b.o.b", "Streamer Jo", "streamer-j0"):
        assert (await page.join(name))["code"] == "name_taken", name
    for name in ("", "   ", "\u202e", "🐱", "Moderator", "АDMIN"):
        assert (await page.join(name))["code"] == "name_refused", name
    assert (await page.join("x" * 33))["code"] == "too_long"
    joined = await page.join("  Bo\u202eb  by ")
    assert joined["you"]["name"] == "Bob by"
    page.leave()
    assert (await (await chat.enter()).join("Bob by"))["type"] == "joined"


async def test_of_two_who_want_a_name_at_the_same_time_one_gets_it(chat: Chat) -> None:
    first, second = await chat.enter(), await chat.enter()
    first.send({"type": "join", "name": "Bob"})
    second.send({"type": "join", "name": "bob"})
    answers = [await page.next("joined", "error") for page in (first, second)]
    assert sorted(answer["type"] for answer in answers) == ["error", "joined"]


async def test_a_guest_whose_name_is_taken_meanwhile_chooses_another(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    own = ann.you["id"] if ann.you else None
    ann.leave()
    await chat.enter("Ann")
    assert (await ann.back())["you"] is None
    assert ann.say("hello?")
    assert (await ann.next("error"))["code"] == "name_needed"
    assert (await ann.join("Ann B"))["you"]["id"] == own


async def test_replies_quote_what_they_answer(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    first = await ann.post("the first\nof   many " + "x" * 300)
    second = await bob.post("yes", reply=first)
    await ann.sees(lambda page: second in page.shown)
    quote = ann.shown[second]["reply"]
    assert quote["id"] == first
    assert quote["name"] == "Ann"
    assert quote["text"].startswith("the first of many xxx")
    assert len(quote["text"]) == 140
    third = await bob.post("no such message", reply=5)
    await ann.sees(lambda page: third in page.shown)
    assert ann.shown[third]["reply"] is None
    bob.leave()
    await chat.restart()
    cat = await chat.enter("Cat")
    assert cat.shown[second]["reply"] == quote
    fourth = await cat.post("still", reply=first)
    cat.leave()
    await ann.back()
    ann.send({"type": "delete", "id": first})
    await ann.sees(lambda page: first not in page.shown)
    dan = await chat.enter("Dan")
    assert dan.shown[second]["reply"] == {"id": first, "name": "Ann", "text": None}
    assert dan.shown[fourth]["reply"] == {"id": first, "name": "Ann", "text": None}
    await chat.restart()
    eve = await chat.enter("Eve")
    assert eve.shown[second]["reply"] == {"id": first, "name": "Ann", "text": None}


async def test_a_reply_may_answer_what_is_only_stored(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    first = await ann.post("old")
    for number in range(400):
        ann.say(f"m{number}")
        chat.clock.advance(0.01)
    await ann.sees(lambda page: len(page.acks) == 401)
    reply = await ann.post("remember?", reply=first)
    await ann.sees(lambda page: reply in page.shown)
    assert ann.shown[reply]["reply"] == {"id": first, "name": "Ann", "text": "old"}


async def test_accounts_speak_under_their_names_and_are_marked(chat: Chat) -> None:
    owner = await chat.account("olga", Role.OWNER)
    streamer = await chat.account("sam", Role.STREAMER)
    await chat.account("mo", Role.MODERATOR)
    await chat.streams.add("sams", owner_id=streamer.id)
    for stream, marks in (
        ("demo", {"olga": "streamer", "sam": "guest", "mo": "moderator"}),
        ("sams", {"olga": "streamer", "sam": "streamer", "mo": "moderator"}),
    ):
        for name, role in marks.items():
            page = await chat.enter(stream=stream, user=chat.accounts[name])
            assert page.you is not None
            assert page.you["id"] == f"u_{chat.accounts[name].id}"
            assert (page.you["name"], page.you["role"]) == (name, role)
            assert page.you["can"] == ["post", "react", "edit", *(["moderate"] if role != "guest" else [])]
            posted = await page.post("hello")
            await page.sees(lambda page, posted=posted: posted in page.shown)  # type: ignore[misc]
            assert page.shown[posted]["author"]["role"] == role
            assert (await page.join("other"))["code"] == "not_allowed"
    assert owner.id


async def test_how_many_people_there_are_is_told_every_two_seconds(chat: Chat) -> None:
    page = await chat.enter()
    assert page.counts() == [1]
    others = [await chat.enter() for _ in range(5)]
    chat.clock.advance(1.9)
    assert page.counts() == [1]
    chat.clock.advance(0.2)
    assert page.counts() == [1, 6]
    for other in others:
        other.leave()
    await chat.enter("Ann")
    chat.clock.advance(2.1)
    assert page.counts() == [1, 6, 2]
    chat.clock.advance(60)
    assert page.counts() == [1, 6, 2]


async def test_streams_have_a_chat_of_their_own(chat: Chat) -> None:
    await chat.streams.add("other")
    ann, bob = await chat.enter("Ann"), await chat.enter("Ann", stream="other")
    await ann.post("here")
    await bob.post("there")
    await ann.sees(lambda page: page.texts() == ["here"])
    await bob.sees(lambda page: page.texts() == ["there"])
    # A message of another room is no message of this one.
    bob.send({"type": "delete", "id": ann.order[0]})
    assert (await bob.next("error"))["code"] == "not_found"
    assert (await ann.hello_refused()) == "bad_message"


async def test_a_removed_stream_closes_its_room(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    other = await chat.enter()
    early = await chat.page().open()
    await chat.streams.edit("demo", title="Another title")
    chat.hub.emit(StreamRecordChanged("demo"))
    await asyncio.sleep(0.05)
    assert not ann.closed()
    await chat.streams.remove("demo")
    chat.hub.emit(StreamRecordChanged("demo"))
    await chat.until(ann.closed)
    assert ann.closed() == other.closed() == (1001, "the stream was removed")
    ann.leave()
    other.leave()
    early.send({"type": "hello"})
    await chat.until(early.closed)
    assert early.closed() == (1001, "the stream was removed")
    chat.clock.advance(1)
    with pytest.raises(UnknownStreamError):
        await ann.open()


async def test_a_stream_that_is_removed_while_its_room_is_loaded(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    recent = chat.repository.recent

    async def meanwhile(stream_id: int, limit: int) -> list[MessageRecord]:
        await chat.streams.remove("demo")
        await chat.streams.add("demo")
        chat.hub.emit(StreamRecordChanged("demo"))
        await asyncio.sleep(0.05)
        return await recent(stream_id, limit)

    monkeypatch.setattr(chat.repository, "recent", meanwhile)
    with pytest.raises(UnknownStreamError):
        await chat.page().open()
    monkeypatch.undo()
    await (await chat.enter("Ann")).post("in the new one")
    await chat.restart()
    assert (await chat.enter()).texts() == ["in the new one"]


async def test_a_stream_removed_by_another_process_is_noticed_when_somebody_speaks(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    await chat.streams.remove("demo")
    ann.say("to whom?")
    await chat.until(ann.closed)
    assert ann.errors() == ["busy"]


async def test_another_stream_of_the_same_name_is_another_room(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    await ann.post("in the old one")
    await chat.streams.remove("demo")
    await chat.streams.add("demo")  # under the same number
    chat.hub.emit(StreamRecordChanged("demo"))
    await chat.until(ann.closed)
    await ann.back()
    assert ann.texts() == []
    await ann.post("in the new one")


async def test_the_server_stops(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    txn = ann.say("last words")
    await chat.stop()
    assert ann.closed() == (1001, "the server stops")
    ann.leave()
    chat.build()
    await chat.start()
    await ann.back()
    assert ann.texts() == ["last words"]
    ann.say("last words", txn=txn)
    await ann.sees(lambda page: txn in page.acks)
    assert ann.texts() == ["last words"]
