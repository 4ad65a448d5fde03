"""Events of a Matrix room, given to the chat as the bridge gives them: what pages see of them."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.chat import Chat, Json, Page, open_chat

from ghostlive.chat.errors import BannedError, BusyError, RefusalError
from ghostlive.chat.matrix.events import RoomEvent, read_event
from ghostlive.chat.matrix.incoming import Incoming
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.chat.people import Author
from ghostlive.chat.people import Role as Mark
from ghostlive.db.chat import ChatRepository, ChatTransaction, EventRecord
from ghostlive.db.matrix import MatrixRepository
from ghostlive.db.moderation import ModerationRepository
from ghostlive.db.users import Role

BOT = "@_ghostlive:chat.test"
ROOM = "!room:chat.test"
ALICE, MALLORY = "@alice:chat.test", "@mallory:evil.test"


class Way:
    """What is to go back into the room."""

    def __init__(self) -> None:
        self.refusals: list[tuple[str, str]] = []
        self.bans: list[str] = []
        self.replies: list[str] = []
        self.hidden: list[str] = []

    def refused(self, stream: str, event: RoomEvent, error: RefusalError) -> None:
        self.refusals.append((event.event_id, error.code))

    def unwelcome(self, stream: str, event: RoomEvent, error: BannedError) -> None:
        self.bans.append(event.sender)

    def hide(self, stream: str, event: RoomEvent, reason: str) -> None:
        self.hidden.append(event.event_id)

    def reply(self, stream: str, event: RoomEvent, text: str) -> None:
        self.replies.append(text)


class Matrix:
    """Somebody else's homeserver, as far as its events go."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.count = 0
        self.way = Way()
        self.asked: list[str] = []
        self.build()

    def build(self) -> None:
        """As after a restart: nothing is remembered."""
        self.incoming = Incoming(
            service=self.chat.service,
            repository=ChatRepository(self.chat.database),
            people=MatrixRepository(self.chat.database),
            bot=BOT,
            server_name="chat.test",
            message_length=self.chat.config.message_length,
        )
        self.incoming.way = self.way
        self.incoming.actions = self.chat.moderation.actions

        async def profile(_room: str, mxid: str) -> Json:
            self.asked.append(mxid)
            return {"displayname": mxid[1:].partition(":")[0].title()}

        self.incoming.people.profile = profile

    def event(self, kind: str, content: Json, *, sender: str = ALICE, **more: Any) -> RoomEvent:
        """An event with the next id, at the clock's time."""
        self.count += 1
        raw = {
            "event_id": f"$e{self.count}",
            "room_id": ROOM,
            "type": kind,
            "sender": sender,
            "content": content,
            "origin_server_ts": self.chat.clock.wall_ns() // 1_000_000,
            **more,
        }
        event = read_event(raw)
        assert event is not None
        return event

    async def send(self, kind: str, content: Json, **more: Any) -> RoomEvent:
        """It happens."""
        event = self.event(kind, content, **more)
        await self.incoming.handle("demo", event)
        return event

    async def say(self, body: str, more: Json | None = None, *, sender: str = ALICE) -> RoomEvent:
        """Somebody says something."""
        return await self.send("m.room.message", {"msgtype": "m.text", "body": body, **(more or {})}, sender=sender)

    async def member(self, mxid: str, membership: str, before: str = "leave", **more: Any) -> RoomEvent:
        """A membership changes."""
        sender = more.pop("sender", mxid)
        unsigned = {"prev_content": {"membership": before}}
        content = {"membership": membership, **more}
        return await self.send("m.room.member", content, sender=sender, state_key=mxid, unsigned=unsigned)


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    async with open_chat(tmp_path) as chat:
        yield chat


@pytest.fixture
def matrix(chat: Chat) -> Matrix:
    return Matrix(chat)


async def shown(page: Page, count: int) -> list[Json]:
    """The page's messages, once there are so many."""
    await page.sees(lambda page: len(page.shown) == count)
    return [page.shown[message_id] for message_id in page.order if message_id in page.shown]


async def test_what_is_said_in_the_room_is_on_the_page_under_its_name(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    await matrix.say("hello  from\u202e Element")
    await matrix.send("m.room.message", {"msgtype": "m.notice", "body": "beep"})
    await matrix.send("m.room.message", {"msgtype": "m.emote", "body": "waves"})
    said, notice, emote = await shown(page, 3)
    assert said["text"] == "hello from Element"
    assert said["author"]["name"] == "Alice"
    assert said["author"]["matrix"] == ALICE
    assert said["author"]["id"].startswith("m_")
    assert len(said["author"]["id"]) == 16
    assert "kind" not in said
    assert (notice["kind"], emote["kind"]) == ("notice", "emote")
    assert matrix.asked == [ALICE]


async def test_the_same_event_again_is_the_same_message_also_after_a_restart(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    event = await matrix.say("once")
    await matrix.incoming.handle("demo", event)
    await asyncio.gather(*[matrix.incoming.handle("demo", event) for _ in range(5)])
    await page.sees(lambda page: page.texts() == ["once"])
    await chat.restart()
    matrix.build()
    await matrix.incoming.handle("demo", event)
    await matrix.say("twice")
    await page.back()
    await page.sees(lambda page: page.texts() == ["once", "twice"])


async def test_what_we_sent_ourselves_is_no_news(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter("Ann")
    await page.post("mine")
    await matrix.say("mine", sender=f"@_ghostlive_{page.you['id'][2:]}:chat.test")  # type: ignore[index]
    await matrix.say("from the bot", sender=BOT)
    await matrix.say("another server's ghost", sender="@_ghostlive_x:evil.test")
    await page.sees(lambda page: page.texts() == ["mine", "another server's ghost"])


async def test_replies_in_both_directions(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter("Ann")
    event = await matrix.say("question")
    await matrix.say(
        "> <@alice:chat.test> question\n\nanswer",
        {"m.relates_to": {"m.in_reply_to": {"event_id": event.event_id}}},
    )
    question, answer = await shown(page, 2)
    assert answer["text"] == "answer"
    assert answer["reply"] == {"id": question["id"], "name": "Alice", "text": "question"}
    mine = await page.post("from the page", reply=answer["id"])
    await page.sees(lambda page: mine in page.shown)
    assert page.shown[mine]["reply"]["text"] == "answer"
    await matrix.say("to nobody", {"m.relates_to": {"m.in_reply_to": {"event_id": "$gone"}}})
    in_thread = {"rel_type": "m.thread", "event_id": event.event_id, "is_falling_back": True}
    await matrix.say("in a thread", {"m.relates_to": {**in_thread, "m.in_reply_to": {"event_id": event.event_id}}})
    *_, nobody, thread = await shown(page, 5)
    assert nobody["reply"] is None
    assert thread["reply"] is None


async def test_edits_reach_pages_that_are_there_and_that_come_back(chat: Chat, matrix: Matrix) -> None:
    page, away = await chat.enter(), await chat.enter()
    event = await matrix.say("tpyo")
    await shown(away, 1)
    away.leave()
    new = {"msgtype": "m.text", "body": "typo <b>", "format": "org.matrix.custom.html", "formatted_body": "<b>typo</b>"}
    relation = {"rel_type": "m.replace", "event_id": event.event_id}
    edit = await matrix.say("* typo", {"m.new_content": new, "m.relates_to": relation})
    edited = await page.next("edited")
    assert (edited["message"]["text"], edited["message"]["html"]) == ("typo <b>", "<b>typo</b>")
    assert edited["message"]["edited"]
    await matrix.incoming.handle("demo", edit)
    welcome = await away.back()
    assert [message["text"] for message in welcome["changed"]] == ["typo <b>"]
    assert welcome["reset"] is False
    # Nobody edits what somebody else said, whatever their homeserver lets through.
    await matrix.say("* forged", {"m.new_content": {"body": "forged"}, "m.relates_to": relation}, sender=MALLORY)
    await matrix.say("later")
    await page.sees(lambda page: "later" in page.texts())
    assert [message["type"] for message in page.got].count("edited") == 1
    await chat.restart()
    fresh = await chat.enter()
    assert fresh.texts() == ["typo <b>", "later"]


async def test_reactions_are_counted_once_for_each_person(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter("Ann")
    message_id = await page.post("joke")
    async with chat.repository.transaction() as transaction:  # as the outbox does when it is sent
        await transaction.add_event(1, "$joke", message_id, "message")
    page.send({"type": "react", "id": message_id, "key": "😀", "on": True})
    assert (await page.next("mine"))["keys"] == ["😀"]
    relation = {"rel_type": "m.annotation", "event_id": "$joke", "key": "😀"}
    reaction = await matrix.send("m.reaction", {"m.relates_to": relation})
    await matrix.incoming.handle("demo", reaction)
    await matrix.send("m.reaction", {"m.relates_to": relation})  # a client that forgot that it had
    await matrix.send("m.reaction", {"m.relates_to": {**relation, "key": "🎉"}}, sender=MALLORY)
    await page.sees(lambda page: any(m.get("reactions", [])[1:] for m in page.got))
    last = [message for message in page.got if message["type"] == "reactions"][-1]
    assert last["reactions"] == [{"key": "😀", "count": 2}, {"key": "🎉", "count": 1}]
    page.send({"type": "react", "id": message_id, "key": "😀", "on": False})
    assert (await page.next("mine"))["keys"] == []
    await matrix.send("m.room.redaction", {}, redacts=reaction.event_id)
    await page.sees(lambda page: page.got[-1].get("reactions") == [{"key": "🎉", "count": 1}])
    await chat.restart()
    assert (await page.back())["messages"] == []
    fresh = await chat.page().open()
    [message] = (await fresh.hello())["messages"]
    assert message["reactions"] == [{"key": "🎉", "count": 1}]


async def test_redactions_take_messages_away(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter("Ann")
    first, second = await matrix.say("mine"), await matrix.say("other", sender=MALLORY)
    await shown(page, 2)
    redaction = await matrix.send("m.room.redaction", {"redacts": first.event_id})
    await matrix.incoming.handle("demo", redaction)
    await page.sees(lambda page: page.texts() == ["other"])
    await matrix.send("m.room.redaction", {}, redacts=second.event_id)  # a moderator: the homeserver let it through
    await page.sees(lambda page: page.texts() == [])
    await matrix.incoming.handle("demo", first)  # an old transaction again
    await matrix.say("end")
    await page.sees(lambda page: page.texts() == ["end"])


async def test_pictures_stickers_and_what_cannot_be_shown(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    info = {"mimetype": "image/png", "w": 640, "h": 480, "size": 12345}
    image = {"msgtype": "m.image", "body": "cat.png", "url": "mxc://chat.test/cat", "info": info}
    await matrix.send("m.room.message", image)
    await matrix.send("m.sticker", {"body": "purr", "url": "mxc://chat.test/purr", "info": {"mimetype": "image/webp"}})
    await matrix.send("m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"})
    await matrix.send("m.room.message", {**image, "info": {**info, "mimetype": "image/svg+xml"}})
    await matrix.send("m.room.message", {**image, "url": "https://evil.test/track.png"})
    await matrix.send("m.room.message", {"msgtype": "m.file", "body": "notes.pdf", "url": "mxc://chat.test/pdf"})
    picture, sticker, secret, svg, foreign, file = await shown(page, 6)
    assert picture["kind"] == "image"
    media = picture["media"]
    assert media["url"].startswith("/api/v1/chat/media/")
    assert media["thumb"] == media["url"] + "?w=640"
    assert (media["width"], media["height"], media["size"], media["type"]) == (640, 480, 12345, "image/png")
    assert media["alt"] == "cat.png"
    stored = await chat.repository.media(media["url"].rpartition("/")[2])
    assert stored is not None
    assert stored.mxc == "mxc://chat.test/cat"
    assert sticker["kind"] == "sticker"
    assert sticker["media"]["width"] is None
    assert secret["kind"] == "unreadable"
    assert "Matrix client" in secret["text"]
    assert "media" not in svg
    assert "media" not in foreign
    assert file["text"] == "📎 notes.pdf"


async def test_html_is_shown_safe_and_names_are_those_of_nobody_else(chat: Chat, matrix: Matrix) -> None:
    await chat.account("olga", Role.OWNER)
    page = await chat.enter("Ann")
    html = '<b>bold</b><script>alert(1)</script><img src="mxc://chat.test/e" alt=":e:"><img src="https://evil.test/x">'
    await matrix.say("bold", {"format": "org.matrix.custom.html", "formatted_body": html})
    [message] = await shown(page, 1)
    assert message["html"].startswith('<b>bold</b><img class="emote" src="/api/v1/chat/media/')
    assert "script" not in message["html"]
    assert "evil" not in message["html"]
    for name in ("Olga", "0lga", "admin", "Ann", " \u202e "):
        await matrix.member(MALLORY, "join", displayname=name)
        await matrix.say("trust me", sender=MALLORY)
    await page.sees(lambda page: len(page.shown) == 6)
    names = [said["author"]["name"] for said in page.shown.values()][1:]
    assert names == ["mallory:evil.test"] * 4 + ["mallory"]


async def test_what_somebody_does_is_shown_so_also_from_a_client_that_knows_no_slashes(
    chat: Chat, matrix: Matrix
) -> None:
    page = await chat.enter("Ann")
    await matrix.say("/me waves")
    await matrix.say("!ME  jumps", {"format": "org.matrix.custom.html", "formatted_body": "<p>!ME  <em>jumps</em></p>"})
    await matrix.say("/me *nods*", {"format": "org.matrix.custom.html", "formatted_body": "well, /me <em>nods</em>"})
    await matrix.say("/men at work")
    await matrix.say("/me")
    messages = await shown(page, 4)
    assert [(one.get("kind"), one["text"], one.get("html")) for one in messages] == [
        ("emote", "waves", None),
        ("emote", "jumps", "<p><em>jumps</em></p>"),
        ("emote", "*nods*", None),
        (None, "/men at work", None),
    ]
    assert matrix.way.replies == ["What you do is missing. Write: !me words"]


async def test_a_new_name_or_picture_counts_from_the_next_message_on(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    await matrix.member(ALICE, "join", displayname="Alice", avatar_url="mxc://chat.test/face")
    await matrix.say("one")
    await matrix.member(ALICE, "join", "join", displayname="Alicia", avatar_url="https://evil.test/face")
    await matrix.say("two")
    one, two = await shown(page, 2)
    assert one["author"]["avatar"].endswith("?w=96")
    assert (two["author"]["name"], "avatar" in two["author"]) == ("Alicia", False)
    assert matrix.asked == []
    await chat.restart()
    matrix.build()
    await matrix.say("three")
    await page.back()
    await page.sees(lambda page: len(page.shown) == 3)
    assert page.shown[page.order[-1]]["author"]["name"] == "Alicia"


async def test_moderation_in_a_matrix_client_counts_on_the_page(chat: Chat, matrix: Matrix) -> None:
    await chat.enter("Ann")
    troll = await chat.enter("Troll", address="192.0.2.66")
    await troll.post("spam")
    ghost = f"@_ghostlive_{troll.you['id'][2:]}:chat.test"  # type: ignore[index]
    ban = await matrix.member(ghost, "ban", "join", sender=ALICE, reason="spam")
    assert (await troll.next("banned"))["reason"] == "spam"
    await matrix.incoming.handle("demo", ban)
    assert len(await chat.service.bans("demo")) == 1
    await matrix.member(ghost, "leave", "ban", sender=ALICE)
    assert await chat.service.bans("demo") == []
    kicked = await chat.enter("Kicked", address="192.0.2.67")
    await kicked.post("hi")
    await matrix.member(f"@_ghostlive_{kicked.you['id'][2:]}:chat.test", "leave", "join", sender=ALICE)  # type: ignore[index]
    assert (await kicked.next("kicked"))["type"] == "kicked"
    # A ban of our own bot is the mirror of one that is here already.
    await matrix.member(ghost, "ban", "join", sender=BOT)
    assert await chat.service.bans("demo") == []


async def test_who_is_banned_here_is_sent_out_there(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    await matrix.member(MALLORY, "ban", "join", sender=ALICE)
    event = await matrix.say("let me in", sender=MALLORY)
    await matrix.say("end")
    await page.sees(lambda page: page.texts() == ["end"])
    assert matrix.way.refusals == [(event.event_id, "banned")]
    assert matrix.way.bans == [MALLORY]


async def test_pins_and_power_levels(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    event = await matrix.say("read this")
    [message] = await shown(page, 1)
    await matrix.send("m.room.pinned_events", {"pinned": ["$unknown", event.event_id]}, state_key="")
    assert (await page.next("pinned"))["message"]["id"] == message["id"]
    await matrix.send("m.room.pinned_events", {"pinned": []}, state_key="")
    assert (await page.next("pinned"))["message"] is None
    before = {"users": {ALICE: 0}}
    await matrix.send(
        "m.room.power_levels", {"users": {ALICE: 50}}, sender=MALLORY, state_key="", unsigned={"prev_content": before}
    )
    await matrix.say("I may")
    *_, said = await shown(page, 2)
    assert said["author"]["role"] == "moderator"


async def test_a_moderator_who_is_banned_in_a_matrix_client_is_none_any_more(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    given = {"users": {MALLORY: 50, ALICE: 90}}
    await matrix.send("m.room.power_levels", given, state_key="", unsigned={"prev_content": {"users": {ALICE: 90}}})
    await matrix.say("I keep order", sender=MALLORY)
    [said] = await shown(page, 1)
    assert said["author"]["role"] == "moderator"
    await matrix.member(MALLORY, "ban", "join", sender=ALICE, reason="not like this")
    assert [(ban.mxid, ban.reason) for ban in await chat.service.bans("demo")] == [(MALLORY, "not like this")]
    room = await chat.service.enter("demo")
    assert not room.moderation.moderators


async def test_commands_and_codes_are_no_messages(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()

    async def heard(mxid: str, text: str, _now: object) -> str | None:
        return f"linked {mxid}" if text in ("GHOST-12345-67890", "!unlink") else None

    matrix.incoming.heard = heard
    await matrix.say("!help")
    code = await matrix.say("GHOST-12345-67890")
    assert matrix.way.hidden == [code.event_id], "nobody else has to read it"
    await matrix.say("!unlink")
    await matrix.say("!unknownthing is no command")
    await page.sees(lambda page: page.texts() == ["!unknownthing is no command"])
    assert matrix.way.hidden == [code.event_id]
    assert len(matrix.way.replies) >= 2
    assert matrix.way.replies[-1] == f"linked {ALICE}"


async def test_emotes_of_the_room(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter("Ann")
    pack = {"images": {"cat": {"url": "mxc://chat.test/cat"}, "bad code": {"url": "mxc://chat.test/x"}, "no": {}}}
    await matrix.send("im.ponies.room_emotes", pack, state_key="pack")
    [emote] = (await page.next("emotes"))["emotes"]
    assert emote["code"] == "cat"
    event = await matrix.say("look")
    relation = {"rel_type": "m.annotation", "event_id": event.event_id, "key": "mxc://chat.test/cat"}
    await matrix.send("m.reaction", {"m.relates_to": relation})
    assert (await page.next("reactions"))["reactions"] == [{"key": ":cat:", "count": 1}]
    await matrix.send("im.ponies.room_emotes", {}, state_key="pack")
    assert (await page.next("emotes"))["emotes"] == []


@pytest.mark.parametrize(
    ("skew", "shown"),
    [
        (3600.0, 0.0),
        (-3600.0, -3600.0),  # it may also have come late, so it is as old as it says
        (10 * 365 * 86400.0, 0.0),
        (5000 * 365 * 86400.0, 0.0),
        (-10 * 365 * 86400.0, -7 * 86400.0),
    ],
)
async def test_no_clock_of_a_homeserver_dates_a_message_into_the_future(
    chat: Chat, matrix: Matrix, skew: float, shown: float
) -> None:
    """Pages show a message when the picture reaches its time: one from the future would never be seen."""
    page = await chat.enter()
    now = chat.clock.wall_ns() // 1_000_000
    content = {"msgtype": "m.text", "body": "hello"}
    await matrix.send("m.room.message", content, origin_server_ts=now + int(skew * 1000))
    await page.sees(lambda page: page.texts() == ["hello"])
    [message] = page.shown.values()
    at = datetime.fromisoformat(message["at"]).timestamp()
    assert at == pytest.approx(now / 1000 + shown, abs=0.002)


async def test_a_night_of_messages_comes_at_once_and_a_flood_does_not(tmp_path: Path) -> None:
    async with open_chat(tmp_path, burst=3, interval=1.0, history=200) as chat:
        matrix = Matrix(chat)
        page = await chat.enter()
        now = chat.clock.wall_ns() // 1_000_000
        for number in range(40):
            content = {"msgtype": "m.text", "body": f"night {number}"}
            await matrix.send("m.room.message", content, origin_server_ts=now - 100_000 + number * 2000)
        await page.sees(lambda page: len(page.shown) == 40)
        assert matrix.way.refusals == []
        for number in range(10):
            await matrix.say(f"flood {number}", sender=MALLORY)
        await matrix.say("end")
        await page.sees(lambda page: "end" in page.texts())
        assert len([text for text in page.texts() if text.startswith("flood")]) == 3
        assert [code for _, code in matrix.way.refusals] == ["too_fast"] * 7
        # Who says of everything that it was said long ago does not get further.
        for number in range(200):
            content = {"msgtype": "m.text", "body": f"lie {number}"}
            await matrix.send(
                "m.room.message", content, sender="@liar:evil.test", origin_server_ts=now - 10**8 + number * 5000
            )
        await matrix.say("end of lies")
        await page.sees(lambda page: "end of lies" in page.texts())
        assert len([text for text in page.texts() if text.startswith("lie")]) <= 60


class _Counting(ChatRepository):
    """Counts what is asked of the database."""

    transactions = 0
    questions = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ChatTransaction]:
        self.transactions += 1
        async with super().transaction() as transaction:
            yield transaction

    async def events(self, stream_id: int, ids: Collection[str]) -> dict[str, EventRecord]:
        self.questions += 1
        return await super().events(stream_id, ids)


async def test_what_comes_together_is_stored_together(tmp_path: Path) -> None:
    async with open_chat(tmp_path, repository=_Counting) as chat:
        counting = chat.repository
        assert isinstance(counting, _Counting)
        matrix = Matrix(chat)
        matrix.incoming._repository = counting
        page = await chat.enter()
        people = [f"@person{number}:evil.test" for number in range(10)]
        says = [{"msgtype": "m.text", "body": f"message {number}"} for number in range(100)]
        events = [matrix.event("m.room.message", says[at], sender=people[at % 10]) for at in range(100)]
        before = counting.transactions
        await matrix.incoming.handle_all("demo", events)
        await page.sees(lambda page: len(page.shown) == 100)
        assert page.texts() == [f"message {number}" for number in range(100)]
        # The writer begins with what is there, and takes all that came meanwhile with the next.
        assert counting.transactions - before <= 5
        assert counting.questions == 1
        assert sorted(matrix.asked) == people
        heart = {"rel_type": "m.annotation", "key": "👍"}
        reactions = [
            matrix.event("m.reaction", {"m.relates_to": {**heart, "event_id": event.event_id}}, sender=people[3])
            for event in events
        ]
        before = counting.transactions
        await matrix.incoming.handle_all("demo", reactions)
        await page.sees(lambda page: all(shown.get("reactions") for shown in page.shown.values()))
        assert counting.transactions - before <= 5
        # Both come again.
        await matrix.incoming.handle_all("demo", [*events, *reactions])
        await matrix.say("end")
        await page.sees(lambda page: "end" in page.texts())
        assert len(page.shown) == 101


async def test_in_a_transaction_each_finds_what_was_before_it(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()

    def say(body: str, more: Json | None = None, sender: str = ALICE) -> RoomEvent:
        return matrix.event("m.room.message", {"msgtype": "m.text", "body": body, **(more or {})}, sender=sender)

    first, second, third = say("first"), say("second"), say("third", sender=MALLORY)
    answer = say("answer", {"m.relates_to": {"m.in_reply_to": {"event_id": first.event_id}}}, MALLORY)
    relation = {"rel_type": "m.annotation", "event_id": answer.event_id, "key": "👍"}
    reaction = matrix.event("m.reaction", {"m.relates_to": relation})
    new = {"m.new_content": {"msgtype": "m.text", "body": "better"}}
    edit = say("* better", {**new, "m.relates_to": {"rel_type": "m.replace", "event_id": second.event_id}})
    stranger = say("* mine", {**new, "m.relates_to": {"rel_type": "m.replace", "event_id": third.event_id}})
    redaction = matrix.event("m.room.redaction", {"redacts": first.event_id})
    events = [first, second, third, first, answer, reaction, edit, stranger, redaction, say("last")]
    await matrix.incoming.handle_all("demo", events)
    await page.sees(lambda page: page.texts() == ["better", "third", "answer", "last"])
    replied = page.shown[page.order[3]]
    assert replied["reactions"] == [{"key": "👍", "count": 1}]
    assert [code for _, code in matrix.way.refusals] == ["not_allowed"]
    await matrix.incoming.handle_all("demo", events)  # all of it comes again
    await matrix.say("end")
    await page.sees(lambda page: "end" in page.texts())
    assert page.texts() == ["better", "third", "answer", "last", "end"]


async def test_a_transaction_of_which_a_part_cannot_be_stored_comes_again_and_doubles_nothing(
    chat: Chat, matrix: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = await chat.enter()
    submit, left = chat.service.submit_matrix, [3]

    def some(*arguments: Any, **named: Any) -> Any:
        if not left[0]:
            raise BusyError("The server cannot store messages at the moment.", 5.0)
        left[0] -= 1
        return submit(*arguments, **named)

    events = [matrix.event("m.room.message", {"msgtype": "m.text", "body": f"m{number}"}) for number in range(8)]
    with monkeypatch.context() as patched:
        patched.setattr(chat.service, "submit_matrix", some)
        with pytest.raises(BusyError):
            await matrix.incoming.handle_all("demo", events)
    await page.sees(lambda page: page.texts() == ["m0", "m1", "m2"])
    await matrix.incoming.handle_all("demo", events)
    await page.sees(lambda page: page.texts() == [f"m{number}" for number in range(8)])


async def test_times_of_a_homeserver_are_not_believed_blindly(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    for ts in (2**53, -5, 0, "now", 10**30):
        await matrix.send("m.room.message", {"msgtype": "m.text", "body": "x"}, origin_server_ts=ts)
    for message in await shown(page, 5):
        assert "2027-01-08T08:00:00.000Z" <= message["at"] <= "2027-01-15T08:00:00.000Z"


@pytest.mark.parametrize(
    "content",
    [
        {}, {"body": ["x"]}, {"msgtype": "m.text"}, {"msgtype": 3, "body": ""}, {"msgtype": "m.image", "url": {}},
        {"msgtype": "m.text", "body": "\u202e\u200b"}, {"m.relates_to": "x", "msgtype": "m.text"},
        {"msgtype": "m.text", "body": "", "m.relates_to": {"rel_type": "m.replace", "event_id": 5}},
        {"msgtype": "m.text", "body": "", "m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}},
    ],
)  # fmt: skip
async def test_events_with_nothing_to_show(chat: Chat, matrix: Matrix, content: Json) -> None:
    page = await chat.enter()
    await matrix.send("m.room.message", content)
    await matrix.send("m.reaction", content)
    await matrix.send("m.room.redaction", content)
    await matrix.send("m.room.member", content, state_key="@x:y")
    await matrix.send("m.room.power_levels", content, state_key="")
    await matrix.send("m.room.pinned_events", content, state_key="")
    await matrix.send("im.ponies.room_emotes", content, state_key="")
    await matrix.say("end")
    await page.sees(lambda page: "end" in page.texts())
    assert page.texts()[-1] == "end"


async def test_characters_that_are_none_stop_nothing(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    half = "\ud83d"
    html = {"format": "org.matrix.custom.html", "formatted_body": f"<b>{half}x</b>"}
    event = await matrix.say(f"x{half}", html)
    await matrix.member(ALICE, "join", displayname=f"A{half}lice", avatar_url=f"mxc://chat.test/{half}")
    await matrix.send("im.ponies.room_emotes", {"images": {half: {"url": "mxc://a/b"}}}, state_key=half)
    relation = {"rel_type": "m.annotation", "event_id": event.event_id, "key": f"{half}👍"}
    await matrix.send("m.reaction", {"m.relates_to": relation})
    image = {"msgtype": "m.image", "body": half, "url": "mxc://chat.test/c", "info": {"mimetype": half}}
    await matrix.send("m.room.message", image)
    await matrix.say("end")
    await page.sees(lambda page: "end" in page.texts())
    assert page.texts()[0] == "x"
    assert page.shown[page.order[0]]["html"] == "<b>x</b>"
    assert page.shown[page.order[0]]["reactions"] == [{"key": "👍", "count": 1}]
    assert read_event({"event_id": f"${half}", "room_id": ROOM, "type": "x", "sender": ALICE, "content": {}}) is None


async def _rules(chat: Chat, **rules: Any) -> None:
    async with ModerationDesk(chat.service, chat.moderation, ModerationRepository(chat.database)).room("demo") as room:
        await chat.moderation.actions.set_rules(room, Actor(Author("u_1", "olga", Mark.STREAMER), "api"), rules)


def _edit(matrix: Matrix, original: str, new: str, fallback: str = "", *, sender: str = ALICE) -> RoomEvent:
    content = {
        "msgtype": "m.text",
        "body": fallback or f"* {new}",
        "m.new_content": {"msgtype": "m.text", "body": new},
        "m.relates_to": {"rel_type": "m.replace", "event_id": original},
    }
    return matrix.event("m.room.message", content, sender=sender)


_RULES: list[tuple[Json, str, str]] = [
    ({"readonly": True}, "anything", "read_only"),
    ({"approve": True}, "anything", "not_allowed"),
    ({"links": False}, "see evil.example.com", "links"),
    ({"words": [{"text": "spam"}]}, "spam", "word"),
    ({"words": [{"text": "spam", "action": "hold"}]}, "spam", "not_allowed"),
]


@pytest.mark.parametrize(("rules", "words", "code"), _RULES, ids=[f"{code}-{text}" for _, text, code in _RULES])
async def test_no_rule_is_got_round_by_an_edit_whatever_it_edits(
    chat: Chat, matrix: Matrix, rules: Json, words: str, code: str
) -> None:
    """In a Matrix client, an edit of a message that the page never had is as good as a message."""
    page = await chat.enter()
    kept = await matrix.say("kept")
    deleted = await matrix.say("deleted")
    await matrix.send("m.room.redaction", {"redacts": deleted.event_id})
    await page.sees(lambda page: page.texts() == ["kept"])
    await _rules(chat, **rules)
    refused = await matrix.say(words)
    assert [event_id for event_id, _ in matrix.way.refusals] == [refused.event_id]
    matrix.way.refusals.clear()
    edits = [
        _edit(matrix, original, words)
        for original in (kept.event_id, deleted.event_id, refused.event_id, "$before-our-time")
    ]
    edits += [
        _edit(matrix, "$before-our-time", "harmless", f"* {words}"),  # for clients that know no edits
        _edit(matrix, kept.event_id, "harmless", words),
        matrix.event("m.room.message", {"body": words, "m.relates_to": edits[0].relates_to}),
    ]
    await matrix.incoming.handle_all("demo", edits)
    assert matrix.way.refusals == [(edit.event_id, code) for edit in edits]
    matrix.way.refusals.clear()
    matrix.build()  # the homeserver sends all of it again
    await matrix.incoming.handle_all("demo", edits)
    assert [event_id for event_id, _ in matrix.way.refusals] == [edit.event_id for edit in edits]
    assert page.texts() == ["kept"]


async def test_an_edit_that_breaks_no_rule_stays_also_when_it_comes_again(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    await _rules(chat, duplicates=60)
    said = await matrix.say("tpyo")
    edits = [_edit(matrix, said.event_id, "typo"), _edit(matrix, "$before-our-time", "older")]
    for _ in range(2):
        await matrix.incoming.handle_all("demo", edits)
    assert matrix.way.refusals == []
    await page.sees(lambda page: page.texts() == ["typo"])
    # What is deleted does not come back by an edit, and nobody edits for somebody else.
    stranger = _edit(matrix, said.event_id, "forged", sender=MALLORY)
    await matrix.incoming.handle("demo", stranger)
    room = await chat.service.enter("demo")
    await chat.service.delete(room, Actor(Author("u_1", "olga", Mark.STREAMER), "page"), page.order)
    again = _edit(matrix, said.event_id, "back")
    await matrix.incoming.handle("demo", again)
    assert matrix.way.refusals == [(stranger.event_id, "not_allowed"), (again.event_id, "not_found")]
    await page.sees(lambda page: page.texts() == [])


async def test_a_picture_stays_one_when_it_is_edited(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    picture = {"msgtype": "m.image", "body": "cat.png", "url": "mxc://chat.test/cat"}
    said = await matrix.send("m.room.message", picture)
    await _rules(chat, emotes=True)
    relation = {"rel_type": "m.replace", "event_id": said.event_id}
    content = {**picture, "m.new_content": {**picture, "body": "🐈"}, "m.relates_to": relation}
    edit = await matrix.send("m.room.message", content)
    assert matrix.way.refusals == [(edit.event_id, "emotes_only")], "a picture is no emote"
    await page.sees(lambda page: page.texts() == ["cat.png"])


async def test_a_reaction_and_an_edit_are_taken_away_while_only_moderators_write(chat: Chat, matrix: Matrix) -> None:
    page = await chat.enter()
    said = await matrix.say("hello")
    [shown_before] = await shown(page, 1)
    async with ModerationDesk(chat.service, chat.moderation, ModerationRepository(chat.database)).room("demo") as room:
        await chat.moderation.actions.set_rules(
            room, Actor(Author("u_1", "olga", Mark.STREAMER), "api"), {"readonly": True}
        )
    annotation = {"rel_type": "m.annotation", "event_id": said.event_id, "key": "👍"}
    reaction = await matrix.send("m.reaction", {"m.relates_to": annotation})
    replacement = {"rel_type": "m.replace", "event_id": said.event_id}
    edit = await matrix.say(
        "* bye", {"m.new_content": {"msgtype": "m.text", "body": "bye"}, "m.relates_to": replacement}
    )
    assert matrix.way.refusals == [(reaction.event_id, "read_only"), (edit.event_id, "read_only")]
    moderator = "@mona:chat.test"
    await matrix.send("m.room.power_levels", {"users": {moderator: 50}}, sender=moderator, state_key="")
    await matrix.send("m.reaction", {"m.relates_to": annotation}, sender=moderator)
    assert (await page.next("reactions"))["reactions"] == [{"key": "👍", "count": 1}]
    await page.sees(lambda page: page.texts() == [shown_before["text"]])
    assert len(matrix.way.refusals) == 2
