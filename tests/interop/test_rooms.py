"""Rooms at a real Synapse: what the homeserver in memory pretends in `tests/scenario` is so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tests.support.synapse import Person, Synapse

from ghostlive.chat.matrix.alias import alias_of
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import ForbiddenError, MissingError, TakenError, TokenError
from ghostlive.chat.matrix.events import RoomEvent
from ghostlive.chat.matrix.keeper import RoomKeeper
from ghostlive.chat.matrix.plan import Site, Wish
from ghostlive.chat.matrix.receiver import Receiver
from ghostlive.chat.matrix.registration import BOT
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.matrix import MatrixRepository
from ghostlive.db.streams import StreamRepository

PATIENCE = 240.0
GHOST = "@_ghostlive_rooms:chat.test"


class House:
    """Our side: a database, a keeper, and a receiver at the port that Synapse sends to."""

    def __init__(self, synapse: Synapse, database: Database) -> None:
        self.synapse = synapse
        config = synapse.config
        self.client = MatrixClient(
            url=config.homeserver_url, token=config.as_token, server_name=config.server_name, timeout=PATIENCE
        )
        self.records = StreamRepository(database)
        self.store = MatrixRepository(database)
        self.wishes: dict[str, Wish] = {}
        self.heard: list[RoomEvent] = []
        self._news = asyncio.Event()
        self.keeper = self._keeper("")
        receiver = Receiver(hs_token=config.hs_token, transactions=self, lazy=self)
        settings = uvicorn.Config(receiver, port=synapse.as_port, log_level="error", lifespan="off")
        self._server = uvicorn.Server(settings)
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]

    def _keeper(self, version: str) -> RoomKeeper:
        site = Site(self.synapse.server_name, self.client.bot, "https://live.test", version)
        return RoomKeeper(client=self.client, store=self.store, wishes=self, site=site)

    async def wish(self, stream: str) -> Wish | None:
        return self.wishes.get(stream)

    async def transaction(self, txn_id: str, events: Sequence[RoomEvent]) -> None:
        self.heard += events
        self._news.set()

    async def alias_wanted(self, alias: str) -> bool:
        return await self.keeper.alias_wanted(alias)

    async def user_wanted(self, mxid: str) -> bool:
        return await self.keeper.user_wanted(mxid)

    async def start(self) -> asyncio.Task[None]:
        """Listen, and have Synapse send what it kept from earlier tests' listeners."""
        task = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)
        await self.client.register(BOT)
        await self.client.ping("rooms")
        return task

    async def stop(self, task: asyncio.Task[None]) -> None:
        self._server.should_exit = True
        await task
        await self.client.close()

    async def add(self, stream: str, *, version: str = "", **wish: Any) -> None:
        """Make a stream whose room is of that version, when it is made."""
        if version:
            self.keeper = self._keeper(version)
        await self.records.add(stream)
        self.wishes[stream] = replace(Wish(stream, title="Demo"), **wish)

    async def room(self, stream: str) -> str:
        self.keeper.touch(stream)
        await self.keeper.settle()
        record = self.keeper.record(stream)
        assert record is not None
        assert record.room_id is not None
        return record.room_id

    async def hears(self, wanted: Callable[[RoomEvent], bool]) -> RoomEvent:
        """Wait until such an event has come."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in self.heard:
                    if wanted(event):
                        return event
                self._news.clear()
                await self._news.wait()

    async def call(self, method: str, path: str, body: Any = None, *, by: Person) -> Any:
        return await asyncio.to_thread(self.synapse.call, method, f"/_matrix/client/v3/{path}", body, by=by)


@pytest.fixture
async def house(synapse: Synapse, tmp_path: Path) -> AsyncIterator[House]:
    database = Database(DatabaseConfig(), tmp_path)
    await database.start()
    house = House(synapse, database)
    task = await house.start()
    yield house
    await house.stop(task)
    await database.stop()


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_room_is_made_and_its_powers_hold(house: House, version: str) -> None:
    alice = await asyncio.to_thread(house.synapse.person)
    stream = f"powers{version}"
    await house.add(stream, version=version, owner=alice.mxid, live=True)
    room = await house.room(stream)
    record, space = await house.store.room(stream), await house.store.room("")
    assert record is not None
    assert record.version == version
    assert await house.client.find_alias(alias_of(stream, "chat.test")) == room
    state = {event.type: event.content for event in await house.client.whole_state(room) if not event.state_key}
    assert state["m.room.topic"]["topic"] == f"Live now · watch at https://live.test/{stream}"
    assert state["m.room.guest_access"] == {"guest_access": "forbidden"}
    assert state["m.room.canonical_alias"]["alias"] == alias_of(stream, "chat.test")
    assert state["m.room.avatar"]["url"].startswith("mxc://")
    assert (house.client.bot in state["m.room.power_levels"]["users"]) is (version == "11")
    assert space is not None
    assert room in await house.client.hierarchy(space.room_id or "")

    await house.call("POST", f"join/{room}", {}, by=alice)
    for forbidden in (
        house.call("POST", f"rooms/{room}/ban", {"user_id": house.client.bot}, by=alice),
        house.call("PUT", f"rooms/{room}/state/m.room.tombstone/", {"replacement_room": "!x"}, by=alice),
        house.call("PUT", f"rooms/{room}/state/m.room.encryption/", {"algorithm": "m.megolm.v1.aes-sha2"}, by=alice),
    ):
        with pytest.raises(httpx.HTTPStatusError, match="403"):
            await forbidden
    await house.call("PUT", f"rooms/{room}/state/m.room.name/", {"name": "By Alice"}, by=alice)
    # What the stream shows follows it, and the rest stays.
    house.wishes[stream] = replace(house.wishes[stream], live=False, owner=None)
    await house.room(stream)
    assert await house.client.state(room, "m.room.name") == {"name": "By Alice"}
    levels = await house.client.state(room, "m.room.power_levels")
    assert levels is not None
    assert alice.mxid not in levels["users"]


async def test_a_room_is_made_for_who_joins_its_alias(house: House) -> None:
    alice = await asyncio.to_thread(house.synapse.person)
    await house.add("lazy")
    joined = await asyncio.to_thread(house.synapse.join, alice, "#live_lazy:chat.test")
    assert house.keeper.stream_of(joined) == "lazy"
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await asyncio.to_thread(house.synapse.join, alice, "#live_nobody:chat.test")
    event_id = await asyncio.to_thread(house.synapse.say, alice, joined, "hello")
    event = await house.hears(lambda event: event.event_id == event_id)
    assert (event.sender, event.content["body"], event.room_id) == (alice.mxid, "hello", joined)


async def test_a_ban_from_an_ordinary_client_reaches_us_and_holds(house: House) -> None:
    alice = await asyncio.to_thread(house.synapse.person)
    await house.add("bans", owner=alice.mxid)
    room = await house.room("bans")
    await house.call("POST", f"join/{room}", {}, by=alice)
    await house.client.register(GHOST[1:].partition(":")[0])
    await house.client.join_as(room, user=GHOST, name="Ghost of Rooms")
    said = await house.client.send(
        room, "m.room.message", {"msgtype": "m.text", "body": "x"}, txn="1", user=GHOST, ts=5
    )
    heard = await house.hears(lambda event: event.event_id == said)
    assert (heard.sender, heard.ts) == (GHOST, 5)
    await house.call("POST", f"rooms/{room}/ban", {"user_id": GHOST, "reason": "spam"}, by=alice)
    ban = await house.hears(lambda event: event.membership == "ban" and event.state_key == GHOST)
    assert (ban.sender, ban.content["reason"], ban.prev_membership) == (alice.mxid, "spam", "join")
    with pytest.raises(ForbiddenError) as caught:
        await house.client.join_as(room, user=GHOST, name="Ghost of Rooms")
    assert caught.value.banned
    with pytest.raises(ForbiddenError):
        await house.client.send(room, "m.room.message", {"body": "y"}, txn="2", user=GHOST)
    assert [event.state_key for event in await house.client.members(room, "ban")] == [GHOST]
    assert await house.client.unban(room, GHOST) is True
    assert await house.client.unban(room, GHOST) is False


async def test_a_room_that_its_owner_upgraded_is_followed(house: House) -> None:
    alice = await asyncio.to_thread(house.synapse.person)
    await house.add("upgraded", version="11", owner=alice.mxid)
    old = await house.room("upgraded")
    await house.call("POST", f"join/{old}", {}, by=alice)
    levels = await house.client.state(old, "m.room.power_levels")
    assert levels is not None
    users = {**levels["users"], alice.mxid: 100}
    await house.client.set_state(old, "m.room.power_levels", {**levels, "users": users})
    new = (await house.call("POST", f"rooms/{old}/upgrade", {"new_version": "12"}, by=alice))["replacement_room"]
    house.keeper.heard(await house.hears(lambda event: event.type == "m.room.tombstone" and event.room_id == old))
    await house.keeper.settle()
    record = await house.store.room("upgraded")
    assert record is not None
    assert (record.room_id, record.version) == (new, "12")
    assert await house.client.find_alias("#live_upgraded:chat.test") == new
    assert house.keeper.trouble("upgraded") is None
    await house.client.ban(new, "@mallory:chat.test", "to see that it can")


async def test_a_bot_that_was_sent_out_comes_back_and_one_that_was_banned_says_so(house: House) -> None:
    """Only in a room of an older version: from version 12 on, nobody sends out its creator."""
    alice, bot = await asyncio.to_thread(house.synapse.person), house.client.bot
    await house.add("sent-out", version="11", owner=alice.mxid)
    room = await house.room("sent-out")
    await house.call("POST", f"join/{room}", {}, by=alice)
    levels = await house.client.state(room, "m.room.power_levels")
    assert levels is not None
    # The bot has power enough for all that it does, and somebody has more.
    await house.client.set_state(
        room, "m.room.power_levels", {**levels, "users": {bot: 100, alice.mxid: 100}, "events": {}}
    )
    await asyncio.to_thread(house.synapse.call, "POST", f"/_matrix/client/v3/rooms/{room}/leave", {}, ghost=bot)
    left = await house.hears(lambda event: event.membership == "leave" and event.state_key == bot)
    assert left.room_id == room
    house.keeper.heard(left)
    await house.keeper.settle()
    assert house.keeper.trouble("sent-out") is None
    assert bot in (await house.call("GET", f"rooms/{room}/joined_members", by=alice))["joined"]

    users = {bot: 50, alice.mxid: 100}
    await house.client.set_state(room, "m.room.power_levels", {**levels, "users": users, "events": {}})
    house.keeper.touch("sent-out", thoroughly=True)
    await house.keeper.settle()
    trouble = house.keeper.trouble("sent-out")
    assert trouble is not None
    assert trouble.code == "powerless"
    assert alice.mxid in trouble.text

    await house.call("POST", f"rooms/{room}/ban", {"user_id": bot}, by=alice)
    house.keeper.heard(await house.hears(lambda event: event.membership == "ban" and event.state_key == bot))
    await house.keeper.settle()
    trouble = house.keeper.trouble("sent-out")
    assert trouble is not None
    assert trouble.code == "banned"

    await house.call("POST", f"rooms/{room}/unban", {"user_id": bot}, by=alice)
    body = {**levels, "users": {bot: 100, alice.mxid: 100}}
    await house.call("PUT", f"rooms/{room}/state/m.room.power_levels/", body, by=alice)
    assert await house.keeper.repair("sent-out") is None
    assert house.keeper.trouble("sent-out") is None
    assert bot in (await house.call("GET", f"rooms/{room}/joined_members", by=alice))["joined"]
    record = await house.store.room("sent-out")
    assert record is not None
    assert record.room_id == room


async def test_errors_are_what_we_take_them_for(house: House) -> None:
    await house.add("errors")
    room = await house.room("errors")
    with pytest.raises(TokenError):
        await house.client.join(room, user="@_ghostlive_never_made:chat.test")
    with pytest.raises(TokenError):
        await house.client.whoami(user="@somebody:chat.test")
    with pytest.raises(TakenError):
        await house.client.set_alias(alias_of("errors", "chat.test"), room)
    with pytest.raises(MissingError):
        async with house.client.download("chat.test", "nothing"):
            pytest.fail("there is no such file")
    assert await house.client.state(room, "m.room.tombstone") is None
    with pytest.raises(ForbiddenError):
        await house.client.state("!nowhere:chat.test", "m.room.create")
    stranger = MatrixClient(url=house.synapse.url, token="wrong", server_name="chat.test")
    with pytest.raises(TokenError):
        await stranger.whoami()
    await stranger.close()


async def test_with_a_device_a_message_is_sent_once_over_a_restart(house: House) -> None:
    """Synapse keeps transaction ids in memory, but those of a device in its database."""
    await house.add("restart")
    room = await house.room("restart")
    await house.client.register("_ghostlive_device", device="GHOSTLIVE")
    ghost = "@_ghostlive_device:chat.test"
    await house.client.join_as(room, user=ghost, name="Device")
    content = {"msgtype": "m.text", "body": "once"}
    sent = await house.client.send(room, "m.room.message", content, txn="1", user=ghost, device="GHOSTLIVE")
    await asyncio.to_thread(house.synapse.restart)
    assert await house.client.send(room, "m.room.message", content, txn="1", user=ghost, device="GHOSTLIVE") == sent


async def test_a_removed_stream_has_its_room_closed(house: House) -> None:
    alice = await asyncio.to_thread(house.synapse.person)
    await house.add("removed")
    room = await house.room("removed")
    await house.call("POST", f"join/{room}", {}, by=alice)
    await house.records.remove("removed")
    del house.wishes["removed"]
    house.keeper.touch("removed")
    await house.keeper.settle()
    tombstone = await house.call("GET", f"rooms/{room}/state/m.room.tombstone/", by=alice)
    assert tombstone["body"] == "This stream was removed."
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        await asyncio.to_thread(house.synapse.say, alice, room, "is anybody here?")
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await asyncio.to_thread(house.synapse.join, alice, "#live_removed:chat.test")
