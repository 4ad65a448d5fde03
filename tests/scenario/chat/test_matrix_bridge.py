"""The bridge as a whole, between a chat in memory and a homeserver in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.chat import PATIENCE, Chat, JumpingClock, open_chat
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_rooms import FakeRoom

from ghostlive.chat.errors import BannedError, BusyError
from ghostlive.chat.matrix.bridge import Bridge
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.emotes import PACK
from ghostlive.chat.matrix.events import RoomEvent
from ghostlive.chat.matrix.journal import MatrixJournal
from ghostlive.core.events import StreamRecordChanged
from ghostlive.db.chat import ChatRepository


class _Incoming:
    """Takes note of what it is given."""

    def __init__(self) -> None:
        self.events: list[tuple[str, RoomEvent]] = []
        self.busy = 0

    async def handle_all(self, stream: str, events: Sequence[RoomEvent]) -> None:
        if self.busy:
            self.busy -= 1
            raise BusyError("not now", 1.0)
        self.events += [(stream, event) for event in events]

    def texts(self) -> list[str]:
        """What was said."""
        return [event.content["body"] for _, event in self.events if event.type == "m.room.message"]


class _House:
    def __init__(self, chat: Chat, homeserver: FakeHomeserver) -> None:
        self.chat = chat
        self.homeserver = homeserver
        self.incoming = _Incoming()
        self.client = MatrixClient(
            url=homeserver.url,
            token=homeserver.as_token,
            server_name=homeserver.server_name,
            transport=homeserver.transport,
        )
        self.bridge = Bridge(
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
        self.bridge.incoming = self.incoming
        self.bridge.ghosts.patience = PATIENCE
        homeserver.connect(self.bridge.receiver)
        self._task = asyncio.create_task(self.bridge.run())

    def room(self, stream: str = "demo") -> FakeRoom:
        return self.homeserver.room_at(f"#live_{stream}:chat.test")

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        async with asyncio.timeout(PATIENCE):
            try:
                while not condition():
                    self.chat.clock.advance(0.05)
                    await asyncio.sleep(0.001)
            except asyncio.CancelledError as error:
                raise AssertionError(f"waited in vain for {what}") from error

    async def ready(self, streams: Sequence[str] = ("demo",)) -> None:
        """Until the rooms are there and what waited is sent."""
        aliases = [f"#live_{stream}:chat.test" for stream in streams]
        await self.until(lambda: all(alias in self.homeserver.aliases for alias in aliases), "the rooms")

    async def caught_up(self) -> None:
        """Until nothing waits for the homeserver."""
        while (await self.bridge.state("demo")).waiting:
            self.chat.clock.advance(0.05)
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def _house(folder: Path, *, dead: bool = False, clock: JumpingClock | None = None) -> AsyncIterator[_House]:
    homeserver = FakeHomeserver()
    homeserver.dead = dead
    async with open_chat(folder, clock) as chat:
        chat.service.journal = MatrixJournal()
        house = _House(chat, homeserver)
        try:
            yield house
        finally:
            await house.stop()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[_House]:
    async with _house(tmp_path) as house:
        await house.ready()
        yield house


async def test_a_stream_gets_a_room_and_what_is_said_on_its_page_is_in_it(house: _House) -> None:
    page = await house.chat.enter("ada")
    await page.post("hello")
    await house.until(lambda: house.room().bodies() == ["hello"], "the message")
    await house.caught_up()
    state = await house.bridge.state("demo")
    assert (state.state, state.problems) == ("ok", ())
    assert state.room_id == house.room().id


async def test_emotes_of_the_room_go_out_as_pictures_whoever_has_the_chat_open(house: _House) -> None:
    images = {"wave": {"url": "mxc://chat.test/wave"}, "cat": {"url": "mxc://chat.test/cat"}}
    house.homeserver.add(house.room(), PACK, house.homeserver.bot, {"images": images}, state_key="")
    page = await house.chat.enter("ada")
    number = await page.post("hello :wave: <b>")
    await page.post(":cat:", reply=number)
    await house.until(lambda: len(house.room().bodies()) == 2, "the messages")
    wave, cat = house.room().messages()
    picture = '<img data-mx-emoticon height="32" src="mxc://chat.test/{0}" alt=":{0}:" title=":{0}:">'
    assert wave.content["body"] == "hello :wave: <b>"
    assert wave.content["formatted_body"] == f"hello {picture.format('wave')} &lt;b&gt;"
    assert cat.content["formatted_body"] == picture.format("cat")
    assert cat.content["m.relates_to"] == {"m.in_reply_to": {"event_id": wave.event_id}}

    del images["cat"]
    house.homeserver.add(house.room(), PACK, house.homeserver.bot, {"images": images}, state_key="")
    await house.homeserver.push()
    page.send({"type": "edit", "id": number, "text": ":cat: :wave:"})
    await house.until(lambda: len(house.room().bodies()) == 3, "the edit")
    new = house.room().messages()[-1].content["m.new_content"]
    assert (new["body"], new["formatted_body"]) == (":cat: :wave:", f":cat: {picture.format('wave')}")


async def test_a_reaction_with_an_emote_is_that_picture_in_the_room(house: _House) -> None:
    content = {"images": {"wave": {"url": "mxc://chat.test/wave"}}}
    house.homeserver.add(house.room(), PACK, house.homeserver.bot, content, state_key="")
    page = await house.chat.enter("ada")
    number = await page.post("hello")
    room = await house.chat.service.enter("demo")
    assert page.you is not None
    ada = house.chat.service.author(room, (page.you.get("author") or page.you)["id"])
    assert ada is not None
    await house.chat.service.react(room, ada, number, ":wave:", True)
    await house.until(lambda: bool(house.room().messages("m.reaction")), "the reaction")
    [event] = house.room().messages("m.reaction")
    assert event.content["m.relates_to"]["key"] == "mxc://chat.test/wave"
    assert event.content["shortcode"] == ":wave:"


async def test_a_homeserver_that_comes_late_gets_everything(tmp_path: Path) -> None:
    async with _house(tmp_path, dead=True) as house:
        page = await house.chat.enter("ada")
        for number in range(5):
            await page.post(f"message {number}")
        house.chat.clock.advance(1.0)
        state = await house.bridge.state("demo")
        assert state.state == "starting"
        assert state.room_id is None
        house.homeserver.dead = False
        await house.until(lambda: "#live_demo:chat.test" in house.homeserver.aliases, "the room")
        await house.until(lambda: len(house.room().bodies()) == 5, "the messages")
        assert house.room().bodies() == [f"message {number}" for number in range(5)]


async def test_what_was_said_before_there_was_a_bridge_stays_here(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with open_chat(tmp_path, clock) as chat:
        await (await chat.enter("ada")).post("long ago")
    clock.advance(5.0)
    async with _house(tmp_path, clock=clock) as house:
        await house.ready()
        await (await house.chat.enter("ada", address="192.0.2.7")).post("now")
        await house.until(lambda: bool(house.room().bodies()), "the message")
        assert house.room().bodies() == ["now"]


async def test_the_homeserver_is_pinged_and_sends_what_it_has(tmp_path: Path) -> None:
    async with _house(tmp_path) as house:
        await house.ready()
        alice = house.homeserver.user("alice")
        async with house.homeserver.pushing():
            await alice.join(house.room().id)
            await alice.say(house.room().id, "hello")
            await house.until(lambda: house.incoming.texts() == ["hello"], "the message from the room")
        assert house.homeserver.requests("POST", "/ping")


async def test_a_transaction_that_comes_again_changes_nothing(house: _House) -> None:
    event = RoomEvent("$x", house.room().id, "m.room.message", "@alice:chat.test", {"body": "hello"}, 0)
    await house.bridge.transaction("7", [event])
    await house.bridge.transaction("7", [event])
    assert house.incoming.texts() == ["hello"]


async def test_a_transaction_that_cannot_be_stored_comes_again(house: _House) -> None:
    await house.homeserver.push()
    alice = house.homeserver.user("alice")
    await alice.join(house.room().id)
    house.incoming.busy = 1
    await alice.say(house.room().id, "hello")
    await house.homeserver.push()
    await house.homeserver.push()
    assert house.incoming.texts() == ["hello"]


async def test_while_the_homeserver_is_away_the_state_says_so(house: _House) -> None:
    page = await house.chat.enter("ada")
    await page.post("one")
    await house.caught_up()
    house.homeserver.dead = True
    await page.post("two")
    await house.until(lambda: not house.bridge.line.is_up, "that it is missed")
    state = await house.bridge.state("demo")
    assert state.state == "away"
    assert state.waiting == 1
    assert [problem.code for problem in state.problems] == ["away"]
    house.homeserver.dead = False
    house.bridge.wake()
    await house.until(lambda: house.room().bodies() == ["one", "two"], "the message")


async def test_a_new_stream_has_a_room_soon(house: _House) -> None:
    await house.chat.streams.add("second", title="Second")
    house.chat.hub.emit(StreamRecordChanged("second"))
    await house.ready(["second"])
    await (await house.chat.enter("bob", stream="second")).post("hi")
    await house.until(lambda: house.room("second").bodies() == ["hi"], "the message")


async def _removed(house: _House) -> None:
    await house.chat.streams.remove("demo")
    house.chat.hub.emit(StreamRecordChanged("demo"))


async def _upgraded(house: _House) -> None:
    """Somebody with the power to do so upgrades the room in their client."""
    room, bot = house.room(), house.homeserver.bot
    owner = house.homeserver.user("owner")
    await owner.join(room.id)
    levels = dict(room.content("m.room.power_levels"))
    levels |= {"users": {**levels.get("users", {}), owner.mxid: 100}, "events": {"m.room.tombstone": 0}}
    house.homeserver.add(room, "m.room.power_levels", bot, levels, state_key="")
    await owner.set_power(await owner.upgrade(room.id), bot, 100)


@pytest.mark.parametrize("how", [_removed, _upgraded])
async def test_ghosts_leave_as_soon_as_their_room_is_not_used_any_more(
    house: _House, how: Callable[[_House], Awaitable[None]]
) -> None:
    old, ghosts = house.room(), set[str]()
    for number, name in enumerate(("ada", "bob")):
        await (await house.chat.enter(name, address=f"192.0.2.{number + 1}")).post(f"hello from {name}")
    await house.until(lambda: len(old.bodies()) == 2, "the messages")
    ghosts = {event.sender for event in old.messages()}
    assert {old.membership(ghost) for ghost in ghosts} == {"join"}
    began = house.chat.clock.now()
    await how(house)
    async with house.homeserver.pushing(), asyncio.timeout(PATIENCE):
        while any(old.membership(ghost) == "join" for ghost in ghosts):
            house.chat.clock.advance(0.01)
            await asyncio.sleep(0.001)
    assert house.chat.clock.now() - began < 500, "not with the next look at who was away for long"


async def test_the_bot_that_was_thrown_out_comes_back_and_goes_on(house: _House) -> None:
    page = await house.chat.enter("ada")
    await page.post("one")
    await house.until(lambda: house.room().bodies() == ["one"], "the message")
    house.homeserver.set_membership(house.room(), house.homeserver.bot, house.homeserver.bot, "leave")
    other = await house.chat.enter("bob", address="192.0.2.9")
    await other.post("two")
    async with house.homeserver.pushing():
        await house.until(lambda: len(house.room().bodies()) == 2, "the message")


async def test_a_ban_in_the_room_is_known_before_the_ghost_speaks_again(house: _House) -> None:
    page = await house.chat.enter("eve")
    await page.post("one")
    await house.until(lambda: house.room().bodies() == ["one"], "the message")
    [event] = house.room().messages()
    owner = house.homeserver.user("owner")
    await owner.join(house.room().id)
    levels = house.room().content("m.room.power_levels")
    users = {**levels["users"], owner.mxid: 50}
    house.homeserver.add(
        house.room(), "m.room.power_levels", house.homeserver.bot, {**levels, "users": users}, state_key=""
    )
    await owner.ban(house.room().id, event.sender)
    await house.homeserver.push()
    requests = len(house.homeserver.seen)
    await page.post("two")
    await house.until(lambda: house.bridge.figures().refused == 1, "the refusal")
    assert house.room().bodies() == ["one"]
    assert house.room().membership(event.sender) == "ban"
    assert not [seen for seen in house.homeserver.seen[requests:] if seen.user == event.sender]


async def test_what_was_sent_a_moment_ago_is_known_when_somebody_speaks_of_it(house: _House) -> None:
    page = await house.chat.enter("ada")
    house.homeserver.lose_answers(path="/send/m.room.message")  # so that we cannot know by its answer
    number = await page.post("hello")
    async with asyncio.timeout(PATIENCE):
        while house.room().bodies() != ["hello"]:  # the clock stands still, so nothing is tried again
            await asyncio.sleep(0.001)
    [event] = house.room().messages()
    alice = house.homeserver.user("alice")
    await alice.join(house.room().id)
    relation = {"rel_type": "m.annotation", "event_id": event.event_id, "key": "👍"}
    await alice.send(house.room().id, "m.reaction", {"m.relates_to": relation})
    await house.homeserver.push()
    assert await ChatRepository(house.chat.database).events_of([number]) == {number: event.event_id}


async def test_another_name_of_the_homeserver_is_said_so(tmp_path: Path) -> None:
    async with _house(tmp_path, dead=True) as house:
        house.client.bot = "@_ghostlive:example.org"
        house.homeserver.dead = False
        await house.until(lambda: "server_name" in house.bridge.line.trouble, "the explanation")
        assert "has to be chat.test" in house.bridge.line.trouble


async def test_another_token_is_said_so(tmp_path: Path) -> None:
    async with _house(tmp_path, dead=True) as house:
        house.homeserver.as_token = "another"
        house.homeserver.dead = False
        await house.until(lambda: "registration file" in house.bridge.line.trouble, "the explanation")


async def test_the_bot_enters_private_rooms_and_answers_there(house: _House) -> None:
    heard: list[tuple[str, str]] = []

    async def hear(mxid: str, text: str, _now: object) -> str | None:
        heard.append((mxid, text))
        return "Welcome."

    house.bridge.private.heard = hear
    alice = house.homeserver.user("alice")
    private = house.homeserver.make_room(alice.mxid, {"preset": "trusted_private_chat"})
    house.homeserver.set_membership(private, alice.mxid, house.homeserver.bot, "invite", is_direct=True)
    async with house.homeserver.pushing():
        await house.until(lambda: private.membership(house.homeserver.bot) == "join", "the bot")
        await alice.say(private.id, " ABCD-1234 ")
        await house.until(lambda: private.bodies()[-1:] == ["Welcome."], "the answer")
    assert heard == [(alice.mxid, "ABCD-1234")]


async def test_what_the_chat_refuses_is_taken_away_in_the_room(house: _House) -> None:
    alice = house.homeserver.user("alice")
    await alice.join(house.room().id)
    event_id = await alice.say(house.room().id, "buy this")
    event = RoomEvent(event_id, house.room().id, "m.room.message", alice.mxid, {}, 0)
    house.homeserver.fail(502, path="/redact/")
    house.bridge.way.refused("demo", event, BannedError("You were banned."))
    house.bridge.way.unwelcome("demo", event, BannedError("You were banned."))
    await house.until(lambda: house.room().membership(alice.mxid) == "ban", "the ban")
    assert house.room().bodies() == []
    assert house.room().messages("m.room.redaction")[0].content["reason"] == "You were banned."
