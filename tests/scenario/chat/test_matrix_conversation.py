"""One conversation on a page and in a Matrix client, with all of ours and a homeserver in memory between them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

import pytest
from tests.support.chat import PATIENCE, Chat, Json, Page, open_chat
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_matrix import FakeUser
from tests.support.fake_rooms import FakeRoom
from tests.support.pictures import fetched

from ghostlive.chat.matrix.bridge import Bridge
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.events import read_event
from ghostlive.chat.matrix.incoming import Incoming
from ghostlive.chat.matrix.journal import MatrixJournal
from ghostlive.chat.matrix.mediastore import MediaStore
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.people import Author
from ghostlive.chat.people import Role as Mark
from ghostlive.db.matrix import RoomRecord
from ghostlive.db.users import Role

PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 100


class House:
    """Everything between a page and Alice, who has a Matrix client."""

    def __init__(self, chat: Chat, homeserver: FakeHomeserver, folder: Path) -> None:
        self.chat = chat
        self.homeserver = homeserver
        self.client = MatrixClient(
            url=homeserver.url,
            token=homeserver.as_token,
            server_name=homeserver.server_name,
            transport=homeserver.transport,
            wall=lambda: chat.clock.wall_ns() / 1e9,
        )
        self.bridge = bridge = Bridge(
            client=self.client,
            config=MatrixConfig(mode="external", server_name="chat.test", hs_token=homeserver.hs_token),
            service=chat.service,
            database=chat.database,
            records=chat.streams,
            users=chat.users,
            hub=chat.hub,
            clock=chat.clock,
            page_url="http://live.test",
        )
        self.incoming = Incoming(
            service=chat.service,
            repository=chat.repository,
            people=bridge.repository,
            bot=self.client.bot,
            server_name="chat.test",
            message_length=500,
        )
        self.incoming.way, self.incoming.people.profile = bridge.way, bridge.profile
        self.incoming.skew = self.client.skew
        self.incoming.actions = chat.moderation.actions
        chat.service.observe(self.incoming.observe)
        bridge.incoming = self.incoming
        bridge.keeper.listeners.append(self._on_room)
        self.opened = 0
        self.media = MediaStore(repository=chat.repository, folder=folder / "media", clock=chat.clock)
        self.media.source = self.client
        homeserver.connect(bridge.receiver)
        self._tasks = [asyncio.create_task(bridge.run())]
        self.alice: FakeUser = homeserver.user("alice")

    def _on_room(self, stream: str, record: RoomRecord) -> None:
        assert record.room_id is not None
        self._tasks.append(asyncio.create_task(self._open(stream, record.room_id)))

    async def _open(self, stream: str, room_id: str) -> None:
        await self.incoming.open(stream, room_id, self.client)
        self.opened += 1

    @property
    def room(self) -> FakeRoom:
        return self.homeserver.room_at("#live_demo:chat.test")

    def events(self, kind: str) -> list[Json]:
        """The contents of the room's events of that kind."""
        return [dict(event.content) for event in self.room.timeline if event.type == kind]

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Let things happen on both sides."""
        async with asyncio.timeout(PATIENCE):
            try:
                while not condition():
                    self.chat.clock.advance(0.05)
                    self.chat.stay()
                    await self.homeserver.push()
                    await asyncio.sleep(0.001)
            except asyncio.CancelledError as error:
                raise AssertionError(f"waited in vain for {what}") from error

    async def wait(self, seconds: float) -> None:
        """So much time passes, and pages stay."""
        end = self.chat.clock.now() + seconds
        while (left := end - self.chat.clock.now()) > 0:
            self.chat.clock.advance(min(left, 10.0))
            self.chat.stay()
            await asyncio.sleep(0)

    async def start(self) -> None:
        await self.until(
            lambda: "#live_demo:chat.test" in self.homeserver.aliases and self.opened, "the room and its state"
        )
        await self.alice.join("#live_demo:chat.test")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.media.stop()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_chat(tmp_path) as chat:
        chat.service.journal = MatrixJournal()
        house = House(chat, FakeHomeserver(), tmp_path)
        try:
            await house.start()
            yield house
        finally:
            await house.stop()


async def test_words_replies_edits_reactions_and_deletions_in_both_directions(house: House) -> None:
    chat, alice, room = house.chat, house.alice, house.room
    page = await chat.enter("Ann")
    hello = await page.post("hello")
    await house.until(lambda: room.bodies() == ["hello"], "the message in the room")
    event = next(event for event in room.timeline if event.content.get("body") == "hello")
    answer = {
        "msgtype": "m.text",
        "body": "> <@ann> hello\n\nhi Ann",
        "m.relates_to": {"m.in_reply_to": {"event_id": event.event_id}},
    }
    answer_id = await alice.send(room.id, "m.room.message", answer)
    await house.until(lambda: page.texts() == ["hello", "hi Ann"], "the answer")
    shown = page.shown[page.order[-1]]
    assert shown["reply"]["id"] == hello
    assert shown["author"]["matrix"] == alice.mxid

    await page.post("how are you, @alice?", reply=shown["id"])
    await page.post("and me?", reply=hello)
    await house.until(lambda: room.bodies()[-1:] == ["and me?"], "the answers")
    *_, hers, mine = house.events("m.room.message")
    assert hers["m.relates_to"] == {"m.in_reply_to": {"event_id": answer_id}}
    assert hers["m.mentions"] == {"user_ids": [alice.mxid]}, "or her client says nothing of it"
    assert mine["m.mentions"] == {}, "nobody of the room"
    for text in ("and me?", "how are you, @alice?"):
        [number] = [number for number, one in page.shown.items() if one["text"] == text]
        page.send({"type": "delete", "id": number})
    await house.until(lambda: page.texts() == ["hello", "hi Ann"], "them gone")

    page.send({"type": "react", "id": shown["id"], "key": "👍", "on": True})
    await house.until(lambda: house.events("m.reaction"), "the reaction in the room")
    assert house.events("m.reaction")[0]["m.relates_to"] == {
        "rel_type": "m.annotation",
        "event_id": answer_id,
        "key": "👍",
    }
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event.event_id, "key": "🎉"}}
    await alice.send(room.id, "m.reaction", reaction)
    await house.until(
        lambda: page.texts() and page.shown[hello].get("reactions") == [{"key": "🎉", "count": 1}], "hers on the page"
    )

    page.send({"type": "edit", "id": hello, "text": "hello everybody"})
    await house.until(lambda: any("m.new_content" in one for one in house.events("m.room.message")), "the edit")
    new = {"msgtype": "m.text", "body": "hi all"}
    relation = {"rel_type": "m.replace", "event_id": answer_id}
    await alice.send(
        room.id, "m.room.message", {**new, "body": "* hi all", "m.new_content": new, "m.relates_to": relation}
    )
    await house.until(lambda: page.texts() == ["hello everybody", "hi all"], "her edit")

    await alice.redact(room.id, answer_id)
    await house.until(lambda: page.texts() == ["hello everybody"], "her deletion")
    page.send({"type": "delete", "id": hello})
    await house.until(lambda: "redacted_because" in event.unsigned, "the redaction in the room")
    await house.until(lambda: page.texts() == [], "nothing left")
    count = len(room.timeline)
    await alice.say(room.id, "end")
    await house.until(lambda: page.texts() == ["end"], "the end")
    assert len(room.timeline) == count + 1, "nothing was answered by an echo"


async def test_pictures_of_the_room_are_on_the_page_by_our_own_address(house: House) -> None:
    page = await house.chat.enter()
    url = house.homeserver.add_media("cat", PNG, "text/html")
    info = {"mimetype": "image/png", "w": 10, "h": 10, "size": len(PNG)}
    await house.alice.send(
        house.room.id, "m.room.message", {"msgtype": "m.image", "body": "cat.png", "url": url, "info": info}
    )
    await house.until(lambda: len(page.texts()) == 1, "the picture")
    path = page.shown[page.order[0]]["media"]["url"]
    stored = await fetched(house.media, path.rpartition("/")[2])
    assert (stored.content_type, stored.path.read_bytes()) == ("image/png", PNG)
    page.leave()
    olga = await house.chat.account("olga", Role.OWNER)
    owner = await house.chat.enter(user=olga)
    owner.send({"type": "act", "act": "delete", "id": owner.order[0]})
    await house.until(lambda: owner.texts() == [], "its deletion")
    with pytest.raises(Exception, match="no such file"):
        await fetched(house.media, path.rpartition("/")[2])


async def test_pictures_and_emotes_that_waited_are_in_the_room_again_as_they_were(house: House) -> None:
    """Who has to wait is taken out of the room; let through, the bot says it, and not with addresses of pages."""
    chat, alice, room = house.chat, house.alice, house.room
    olga = await chat.account("olga", Role.OWNER)
    owner = await chat.enter(user=olga)
    question = await owner.post("who is it?")
    await house.until(lambda: "who is it?" in room.bodies(), "the question")
    asked = next(event.event_id for event in room.timeline if event.content.get("body") == "who is it?")
    owner.send({"type": "act", "act": "rules", "value": {"approve": True}})
    await owner.next("rules")
    info = {"mimetype": "image/png", "w": 10, "h": 20, "size": 30}
    picture = {"msgtype": "m.image", "body": "cat.png", "url": house.homeserver.add_media("cat", PNG, "image/png")}
    reply = {"m.in_reply_to": {"event_id": asked}}
    await alice.send(room.id, "m.room.message", {**picture, "info": info, "m.relates_to": reply})
    caption = {"filename": "cat.png", "body": "my cat", "info": info}
    await alice.send(room.id, "m.room.message", {**picture, **caption})
    await alice.send(room.id, "m.sticker", {"body": "purr", "url": "mxc://chat.test/purr", "info": info})
    html = 'so <img data-mx-emoticon src="mxc://chat.test/wave" alt=":wave:"> <span data-mx-spoiler>it</span> is'
    formatted = {"format": "org.matrix.custom.html", "formatted_body": html}
    await alice.send(room.id, "m.room.message", {"msgtype": "m.text", "body": "so :wave: it is", **formatted})
    await house.until(lambda: len(_held(owner)) == 4, "four to wait")
    hers = [event for event in room.timeline if event.sender == alice.mxid and event.type != "m.room.member"]
    await house.until(lambda: all("redacted_because" in event.unsigned for event in hers), "them to be taken away")

    owner.send({"type": "decide", "ids": _held(owner), "allow": True})
    await house.until(lambda: len(owner.texts()) == 5, "them on the page")
    kinds = [owner.shown[number].get("kind") for number in owner.order]
    assert kinds == [None, "image", "image", "sticker", None]
    assert owner.shown[owner.order[1]]["reply"]["id"] == question

    await house.until(lambda: len(_by(house, "live.ghost.id")) == 5, "them in the room")
    _, first, second, sticker, text = _by(house, "live.ghost.id")
    assert (first["msgtype"], first["url"], first["info"]) == ("m.image", picture["url"], info)
    assert (first["filename"], first["body"]) == ("cat.png", "alice: cat.png")
    assert first["m.relates_to"] == reply
    assert (second["filename"], second["body"]) == ("cat.png", "alice: my cat")
    assert (sticker["msgtype"], sticker["url"]) == ("m.image", "mxc://chat.test/purr")
    emote = '<img data-mx-emoticon height="32" src="mxc://chat.test/wave" alt=":wave:" title=":wave:">'
    assert text["formatted_body"].endswith(f"so {emote} <span data-mx-spoiler>it</span> is")
    assert "/api/" not in str([first, second, sticker, text])


def _held(page: Page) -> list[int]:
    page.texts()  # reads what came
    return [held["id"] for message in page.got if message["type"] == "held" for held in message["add"]]


def _by(house: House, mark: str) -> list[Json]:
    return [one for one in house.events("m.room.message") if mark in one]


async def test_pages_know_where_the_chat_is_in_matrix_and_its_emotes(house: House) -> None:
    page = await house.chat.enter("Ann")
    welcome = page.got[0]
    assert welcome["matrix"]["alias"] == "#live_demo:chat.test"
    assert welcome["matrix"]["link"].startswith("https://matrix.to/#/")
    await house.alice.say(house.room.id, "!help")
    await house.until(lambda: any("m.mentions" in one and one["msgtype"] == "m.notice" for one in _said(house)))
    assert page.texts() == []


async def test_an_answer_of_many_lines_is_one_message_with_all_of_them(house: House) -> None:
    moderation = house.chat.moderation
    room = await house.chat.service.enter("demo")
    streamer = Actor(Author("u_1", "olga", Mark.STREAMER), "api")
    await moderation.actions.moderator(room, streamer, mxid=house.alice.mxid)
    asked = await house.alice.say(house.room.id, "!help")
    await house.until(lambda: _answers(house, asked), "the answer")
    await house.alice.say(house.room.id, "!rules")
    await house.until(lambda: house.events("m.room.message")[-1]["body"].startswith("There are no rules"), "the next")
    [body] = _answers(house, asked)
    listed = [line.partition(":")[0].split()[0] for line in body.splitlines()]
    assert listed == [f"!{command.names[0]}" for command in moderation.commands.table if command.right != "streamer"]


async def test_two_answers_to_one_message_are_two(house: House) -> None:
    asked = await house.alice.say(house.room.id, "hello?")
    await house.until(lambda: len(house.events("m.room.message")) == 1)
    event = read_event(house.room.timeline[-1].wire())
    assert event is not None
    for words in ("this one", "that one"):
        house.bridge.way.answer(event, words)
    await house.until(lambda: len(_answers(house, asked)) == 2, "both")


async def test_a_guest_has_no_private_rooms_and_says_so(house: House) -> None:
    page = await house.chat.enter("Ann")
    await page.post("hello")
    await house.until(lambda: house.room.bodies() == ["hello"], "the guest in the room")
    ghost = next(event.sender for event in house.room.timeline if event.content.get("body") == "hello")
    private = house.homeserver.make_room(house.alice.mxid, {"preset": "trusted_private_chat"})
    await house.alice.invite(private.id, ghost)
    assert private.membership(ghost) == "invite"
    await house.until(lambda: private.membership(ghost) == "leave", "the refusal")
    assert house.room.membership(ghost) == "join"


async def test_what_a_moderator_redacts_there_is_not_redacted_once_more_by_us(house: House) -> None:
    """Clients show the reason of the last redaction, which is to be theirs; the studio shows it, too."""
    mona, room = house.homeserver.user("mona"), house.room
    await mona.join(room.id)
    await house.homeserver.user("_ghostlive").set_power(room.id, mona.mxid, 50)
    page = await house.chat.enter("Ann")
    await page.post("spam")
    await house.until(lambda: room.bodies() == ["spam"], "the message in the room")
    [event] = [event for event in room.timeline if event.content.get("body") == "spam"]
    redaction = await mona.redact(room.id, event.event_id, "no spam here")
    await house.until(lambda: page.texts() == [], "the deletion on the page")
    await page.post("end")
    await house.until(lambda: room.bodies()[-1:] == ["end"], "what was said after it")
    assert [one.event_id for one in room.timeline if one.type == "m.room.redaction"] == [redaction]
    [line] = await house.chat.moderation._stored.audit(1, before=None, limit=10)
    assert (line.kind, line.actor_name, line.reason) == ("delete", "mona", "no spam here")


def _answers(house: House, event_id: str) -> list[str]:
    """What the bot said in answer to an event."""
    relation = {"m.in_reply_to": {"event_id": event_id}}
    return [one["body"] for one in house.events("m.room.message") if one.get("m.relates_to") == relation]


def _said(house: House) -> list[Json]:
    return [one for one in house.events("m.room.message") if "msgtype" in one]


def _age(house: House, page: Page, text: str) -> float:
    """How many seconds ago it was said, as the page shows it."""
    [message] = [message for message in page.shown.values() if message["text"] == text]
    return house.chat.clock.wall_ns() / 1e9 - datetime.fromisoformat(message["at"]).timestamp()


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_homeserver_whose_clock_is_an_hour_wrong_dates_nothing_wrong(house: House, hours: int) -> None:
    """Pages show a message when the picture gets there, so its time has to be of the same clock."""
    chat, homeserver, room = house.chat, house.homeserver, house.room
    homeserver.wall = lambda: chat.clock.wall_ns() / 1e9 + 3600 * hours
    page = await chat.enter("Ann")
    await page.post("hello")
    await house.until(lambda: room.bodies() == ["hello"] and house.client.skew.seconds, "the message in the room")
    [event] = room.messages()
    assert abs(event.ts / 1000 - (chat.clock.wall_ns() / 1e9 - _age(house, page, "hello"))) < 1.0, "it has our time"
    said_at = chat.clock.now()
    await house.alice.say(room.id, "hi")
    await house.until(lambda: "hi" in page.texts(), "hers on the page")
    assert 0.0 <= _age(house, page, "hi") <= chat.clock.now() - said_at + 2.0

    homeserver.dead = True  # what comes late is as old as it is, and the others' order stays
    said_at = chat.clock.now()
    await house.alice.say(room.id, "before the night")
    await house.wait(1800.0)
    homeserver.dead = False
    await house.until(lambda: "before the night" in page.texts(), "it on the page")
    assert _age(house, page, "before the night") == pytest.approx(chat.clock.now() - said_at, abs=2.0)
    await house.until(lambda: house.bridge.line.is_up, "the homeserver")
    state = await house.bridge.state("demo")
    assert [problem.code for problem in state.problems] == ["clock"]
    assert "60 minutes" in state.problems[0].text

    homeserver.wall = lambda: chat.clock.wall_ns() / 1e9  # somebody sets it right; that is noticed by itself
    await house.until(lambda: house.client.skew.seconds == 0.0, "the clocks to agree")
    said_at = chat.clock.now()
    await house.alice.say(room.id, "in time")
    await house.until(lambda: "in time" in page.texts(), "it on the page")
    assert 0.0 <= _age(house, page, "in time") <= chat.clock.now() - said_at + 0.1


@pytest.mark.parametrize("hours", [-1, 1])
async def test_what_is_for_a_time_ends_by_our_clock_whatever_the_homeserver_thinks(house: House, hours: int) -> None:
    chat, homeserver, room, alice = house.chat, house.homeserver, house.room, house.alice
    homeserver.wall = lambda: chat.clock.wall_ns() / 1e9 + 3600 * hours
    owner = await chat.enter(user=await chat.account("olga", Role.OWNER))
    bob = homeserver.user("bob")
    await bob.join("#live_demo:chat.test")
    await alice.say(room.id, "spam")
    await bob.say(room.id, "worse")
    await house.until(lambda: len(owner.texts()) == 2, "both on the page")
    by = {message["text"]: message["author"]["id"] for message in owner.shown.values()}
    owner.send({"type": "act", "act": "timeout", "author": by["spam"], "seconds": 600})
    owner.send({"type": "act", "act": "ban", "author": by["worse"], "seconds": 600})
    await house.until(lambda: room.power(alice.mxid) == -1 and room.membership(bob.mxid) == "ban", "both in the room")
    await house.wait(300.0)
    await homeserver.push()
    assert (room.power(alice.mxid), room.membership(bob.mxid)) == (-1, "ban")
    await house.until(lambda: room.power(alice.mxid) == 0 and room.membership(bob.mxid) == "leave", "the end of both")
    await alice.say(room.id, "sorry")
    await bob.join(room.id)
    await bob.say(room.id, "me too")
    await house.until(lambda: owner.texts()[-2:] == ["sorry", "me too"], "both again")
