"""Rooms of streams: made, kept like the stream, found again, repaired, closed, whatever the homeserver answers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.clock import FakeClock
from tests.support.database import prepare
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_rooms import FakeRoom, RejectionError

from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import MatrixError
from ghostlive.chat.matrix.events import RoomEvent
from ghostlive.chat.matrix.keeper import RoomKeeper
from ghostlive.chat.matrix.pace import Line
from ghostlive.chat.matrix.plan import Site, Wish
from ghostlive.chat.matrix.receiver import Receiver
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.matrix import MatrixRepository, RoomRecord
from ghostlive.db.streams import StreamRepository

ALIAS = "#live_demo:chat.test"
SPACE = "#live_:chat.test"
ALICE = "@alice:chat.test"
BOB = "@bob:chat.test"
PATIENCE = 200.0
"""Real seconds to wait for anything."""


class World:
    """A server with a database, a homeserver, and the keeper between them."""

    def __init__(self, database: Database, homeserver: FakeHomeserver) -> None:
        self.homeserver = homeserver
        self.records = StreamRepository(database)
        self.store = MatrixRepository(database)
        self.wishes: dict[str, Wish] = {}
        self.made: list[tuple[str, str]] = []
        self.begin()

    def begin(
        self, *, line: Line | None = None, clock: FakeClock | None = None, pages: str = "https://live.test/"
    ) -> None:
        """Start this server (again)."""
        hs = self.homeserver
        client = MatrixClient(url=hs.url, token=hs.as_token, server_name=hs.server_name, transport=hs.transport)
        site = Site(hs.server_name, client.bot, pages)
        self.keeper = RoomKeeper(client=client, store=self.store, wishes=self, site=site, line=line, clock=clock)
        self.keeper.listeners.append(lambda stream, record: self.made.append((stream, record.room_id or "")))
        self.receiver = Receiver(hs_token=hs.hs_token, transactions=self, lazy=self.keeper)
        hs.connect(self.receiver)

    async def wish(self, stream: str) -> Wish | None:
        """See `keeper.Wishes`."""
        return self.wishes.get(stream)

    async def transaction(self, txn_id: str, events: Sequence[RoomEvent]) -> None:
        """See `receiver.Transactions`."""
        for event in events:
            self.keeper.heard(event)

    async def add(self, stream: str = "demo", **wish: object) -> None:
        """Make a stream."""
        await self.records.add(stream)
        self.wishes[stream] = replace(Wish(stream, title="Demo"), **wish)  # type: ignore[arg-type]

    async def change(self, stream: str = "demo", **wish: object) -> None:
        """Change a stream, and let the keeper follow."""
        self.wishes[stream] = replace(self.wishes[stream], **wish)  # type: ignore[arg-type]
        self.keeper.touch(stream)
        await self.keeper.settle()

    async def remove(self, stream: str = "demo") -> None:
        """Remove a stream."""
        await self.records.remove(stream)
        del self.wishes[stream]
        self.keeper.touch(stream)

    async def keep(self) -> None:
        """Let the keeper hear what happened, and do what is to be done."""
        await self.homeserver.push()
        await self.keeper.settle()

    async def persist(self) -> None:
        """Let the keeper try until it is done, as its task does."""
        for _ in range(40):
            try:
                return await self.keeper.settle()
            except MatrixError:
                continue
        raise AssertionError("it never ended")

    @property
    def room(self) -> FakeRoom:
        return self.homeserver.room_at(ALIAS)

    async def record(self, stream: str = "demo") -> RoomRecord:
        record = await self.store.room(stream)
        assert record is not None
        return record


@pytest.fixture(params=["11", "12"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def world(tmp_path: Path, version: str) -> AsyncIterator[World]:
    prepare(tmp_path)
    database = Database(DatabaseConfig(), tmp_path)
    await database.start()
    yield World(database, FakeHomeserver(room_version=version))
    await database.stop()


async def test_a_room_is_made_for_each_stream(world: World, version: str) -> None:
    await world.add(owner=ALICE, moderators=frozenset({BOB}), description="About\nnothing", live=True)
    await world.keep()
    room = world.room
    assert room.version == version
    assert room.content("m.room.name") == {"name": "Demo"}
    assert room.content("m.room.topic") == {"topic": "Live now · watch at https://live.test/demo · About nothing"}
    assert room.content("m.room.join_rules") == {"join_rule": "public"}
    assert room.content("m.room.history_visibility") == {"history_visibility": "world_readable"}
    assert room.content("m.room.guest_access") == {"guest_access": "forbidden"}
    assert room.content("m.room.canonical_alias") == {"alias": ALIAS}
    assert room.content("m.room.avatar")["url"].startswith("mxc://chat.test/")
    assert [room.power(user) for user in (ALICE, BOB, "@carol:chat.test")] == [90, 50, 0]
    assert room.power(world.homeserver.bot) == (float("inf") if version == "12" else 100)
    assert room.membership(ALICE) == "invite"
    record = await world.record()
    assert (record.room_id, record.version) == (room.id, version)
    assert world.keeper.record("demo") is not None
    assert world.keeper.stream_of(room.id) == "demo"
    assert world.made == [("demo", room.id)]


async def test_the_player_is_a_widget_of_the_room(world: World) -> None:
    await world.add()
    await world.keep()
    # One event: some clients list those of both types that there are, and would show two players.
    [(kind, key)] = [
        name for name in world.room.state if "widget" in name[0] and name[0] != "io.element.widgets.layout"
    ]
    assert (kind, key) == ("im.vector.modular.widgets", "ghostlive")
    widget = world.room.content(kind, key)
    assert (widget["id"], widget["type"], widget["url"]) == (key, "m.custom", "https://live.test/embed/demo")
    assert world.room.content("io.element.widgets.layout")["widgets"]["ghostlive"]["container"] == "top"


async def test_what_a_room_is_not_to_show_any_more_is_emptied_once(world: World) -> None:
    await world.add()
    await world.keep()
    world.begin(pages="")  # nobody can say any more where people open the pages
    await world.keep()
    assert world.room.content("im.vector.modular.widgets", "ghostlive") == {}
    assert world.room.content("io.element.widgets.layout") == {}
    assert world.room.content("m.room.topic") == {"topic": "Offline"}
    before = len(world.homeserver.requests("PUT"))
    world.begin(pages="")
    await world.keep()
    assert len(world.homeserver.requests("PUT")) == before + 1  # the bot's name
    world.begin()
    await world.keep()
    assert world.room.content("im.vector.modular.widgets", "ghostlive")["url"] == "https://live.test/embed/demo"


async def test_all_rooms_are_in_a_space(world: World) -> None:
    await world.add()
    await world.add("other")
    await world.keep()
    space = world.homeserver.room_at(SPACE)
    assert space.content("m.room.create")["type"] == "m.space"
    children = {key for (kind, key), event in space.state.items() if kind == "m.space.child" and event.content}
    assert children == {room_id for _, room_id in world.made}
    assert world.room.content("m.space.parent", space.id)["canonical"] is True


async def test_nothing_is_asked_twice(world: World) -> None:
    await world.add()
    await world.keep()
    before = len(world.homeserver.requests("PUT"))
    world.keeper.touch("demo")
    await world.keeper.settle()
    assert len(world.homeserver.requests("PUT")) == before
    world.begin()
    await world.keep()
    assert len(world.homeserver.requests("PUT")) == before + 1  # the bot's name
    assert len(world.homeserver.requests("POST", "createRoom")) == 2


async def test_the_room_follows_the_stream(world: World) -> None:
    await world.add()
    await world.keep()
    before = len(world.homeserver.requests("PUT"))
    await world.change(live=True)
    assert len(world.homeserver.requests("PUT")) == before + 1
    assert world.room.content("m.room.topic")["topic"].startswith("Live now")
    await world.change(live=False, title="Another")
    assert world.room.content("m.room.topic")["topic"].startswith("Offline")
    assert world.room.content("m.room.name")["name"] == "Another"


async def test_a_stream_that_is_live_again_after_a_restart_is_shown_so(world: World) -> None:
    """As this server stops, the stream ends: that arrives in the room, and is not noted any more."""
    await world.add(live=True)
    await world.keep()
    world.homeserver.lose_answers(path="m.room.topic")
    with pytest.raises(MatrixError):
        await world.change(live=False)
    assert world.room.content("m.room.topic")["topic"].startswith("Offline")
    world.wishes["demo"] = replace(world.wishes["demo"], live=True)
    world.begin()
    await world.keep()
    assert world.room.content("m.room.topic")["topic"].startswith("Live now")


async def test_what_people_set_stays_until_ours_changes(world: World) -> None:
    await world.add(owner=ALICE)
    await world.keep()
    alice = world.homeserver.user("alice")
    await alice.join(ALIAS)
    await alice.set_state(world.room.id, "m.room.name", {"name": "By Alice"})
    await alice.set_power(world.room.id, BOB, 42)
    await world.keep()
    await world.change(live=True, moderators=frozenset({"@carol:chat.test"}))
    assert world.room.content("m.room.name") == {"name": "By Alice"}
    assert world.room.content("m.room.power_levels")["users"] | {world.homeserver.bot: 0} == {
        ALICE: 90, BOB: 42, "@carol:chat.test": 50, world.homeserver.bot: 0
    }  # fmt: skip


async def test_owner_and_moderators_come_and_go(world: World) -> None:
    await world.add()
    await world.keep()
    await world.change(owner=ALICE, moderators=frozenset({BOB}))
    assert [world.room.power(user) for user in (ALICE, BOB)] == [90, 50]
    await world.change(owner=BOB, moderators=frozenset())
    assert [world.room.power(user) for user in (ALICE, BOB)] == [0, 90]
    assert world.keeper.trouble("demo") is None


async def test_a_moderator_who_was_dismissed_while_this_server_was_down_has_no_power(world: World) -> None:
    """The level arrives in the room, and that is not noted any more."""
    await world.add(owner=ALICE)
    await world.keep()
    world.homeserver.skip(1, path="m.room.power_levels")  # they are read first
    world.homeserver.lose_answers(path="m.room.power_levels")
    with pytest.raises(MatrixError):
        await world.change(moderators=frozenset({BOB}))
    assert world.room.power(BOB) == 50
    world.wishes["demo"] = replace(world.wishes["demo"], moderators=frozenset())
    world.begin()
    await world.keep()
    assert [world.room.power(user) for user in (ALICE, BOB)] == [90, 0]


async def test_a_moderator_whose_level_was_on_its_way_is_invited_after_the_next_start(world: World) -> None:
    await world.add(owner=ALICE)
    await world.keep()
    world.homeserver.skip(1, path="m.room.power_levels")  # they are read first
    world.homeserver.lose_answers(path="m.room.power_levels")
    with pytest.raises(MatrixError):
        await world.change(moderators=frozenset({BOB}))
    world.begin()
    await world.keep()
    assert world.room.power(BOB) == 50
    assert world.room.membership(BOB) == "invite"


async def test_who_is_in_the_room_is_not_invited_when_they_are_made_a_moderator(world: World) -> None:
    await world.add(owner=ALICE)
    await world.keep()
    await world.homeserver.user("bob").join(ALIAS)
    await world.change(moderators=frozenset({BOB, "@carol:chat.test"}))
    assert world.room.power(BOB) == 50
    assert world.room.membership(BOB) == "join"
    assert [seen.body["user_id"] for seen in world.homeserver.requests("POST", "/invite")] == ["@carol:chat.test"]


async def test_who_joins_an_alias_has_the_room_made(world: World) -> None:
    await world.add()
    alice = world.homeserver.user("alice")
    room_id = await alice.join(ALIAS)
    assert world.homeserver.room(room_id).content("m.room.name") == {"name": "Demo"}
    with pytest.raises(RejectionError, match="not found"):
        await alice.join("#live_nobody:chat.test")
    space_id = await alice.join(SPACE)
    assert world.homeserver.room(space_id).content("m.room.create")["type"] == "m.space"


async def test_only_the_bot_is_a_user_that_can_be_asked_for(world: World) -> None:
    assert await world.keeper.user_wanted(world.homeserver.bot)
    assert not await world.keeper.user_wanted("@_ghostlive_one:chat.test")


@pytest.mark.parametrize("version", ["12"])
async def test_a_failure_at_each_step_leaves_one_room_in_the_end(world: World) -> None:
    """Whatever request of all fails or whose answer is lost, there is one room and one space afterwards."""
    await world.add(owner=ALICE)
    await world.keep()
    methods = [seen.method for seen in world.homeserver.seen]
    wanted = _without_ids(world.room)
    for broken in range(len(methods)):
        # To lose the answer to a question is the same as not to have asked.
        for how in ("fails", "loses") if methods[broken] != "GET" else ("fails",):
            fresh = await _again(world, FakeHomeserver(room_version=world.homeserver.room_version))
            fresh.homeserver.skip(broken)
            if how == "fails":
                fresh.homeserver.fail(502)
            else:
                fresh.homeserver.lose_answers()
            await fresh.persist()
            rooms = [
                room for room in fresh.homeserver.rooms.values() if room.membership(fresh.homeserver.bot) == "join"
            ]
            assert len(rooms) == 2, f"request {broken} {how}"
            assert _without_ids(fresh.room) == wanted


async def test_a_room_that_was_not_noted_is_found(world: World) -> None:
    await world.add()
    await world.keep()
    room_id = world.room.id
    await world.store.replace_room((await world.record()).id, None)
    world.begin()
    await world.keep()
    assert (await world.record()).room_id == room_id
    assert len(world.homeserver.rooms) == 2


async def test_the_mark_of_a_stranger_is_none(world: World) -> None:
    await world.add()
    mallory = world.homeserver.make_room(
        "@mallory:chat.test", {"preset": "public_chat", "creation_content": {"live.ghost.stream": "demo"}}
    )
    world.homeserver.set_membership(mallory, world.homeserver.bot, world.homeserver.bot, "join")
    await world.keep()
    assert (await world.record()).room_id != mallory.id


async def test_an_alias_that_a_failed_call_left_is_taken_over(world: World) -> None:
    await world.add()
    world.homeserver.aliases[ALIAS] = "!nowhere"
    await world.keep()
    assert world.homeserver.aliases[ALIAS] == (await world.record()).room_id


async def test_an_owner_who_cannot_be_invited_keeps_no_room_from_being_made(world: World) -> None:
    await world.add(owner="@alice:unreachable.test")
    world.homeserver.skip(1, path="createRoom")  # the space's
    world.homeserver.fail(403, path="createRoom", errcode="M_FORBIDDEN", text="cannot invite")
    await world.keep()
    assert world.room.membership("@alice:unreachable.test") == "leave"
    assert world.room.power("@alice:unreachable.test") == 90


async def test_rooms_need_no_space_and_are_in_it_when_it_is_there(world: World) -> None:
    await world.add()
    world.homeserver.fail(403, path="createRoom", errcode="M_FORBIDDEN", text="no spaces here")
    world.homeserver.fail(403, path="createRoom", errcode="M_FORBIDDEN", text="no spaces here")
    await world.keep()
    assert SPACE not in world.homeserver.aliases
    assert world.keeper.record("demo") is not None
    world.keeper.touch("")
    await world.keep()
    space = world.homeserver.room_at(SPACE)
    assert space.content("m.space.child", world.room.id)["via"] == ["chat.test"]


async def test_a_bot_that_left_comes_back(world: World) -> None:
    await world.add()
    await world.keep()
    room, bot = world.room, world.homeserver.bot
    world.homeserver.set_membership(room, bot, bot, "leave")
    await world.keep()
    assert room.membership(bot) == "join"
    assert world.keeper.trouble("demo") is None


async def test_a_bot_that_was_banned_says_so_until_it_is_not(world: World) -> None:
    await world.add()
    await world.keep()
    room, bot = world.room, world.homeserver.bot
    _force(world, room, "m.room.member", {"membership": "ban"}, key=bot)
    await world.keep()
    trouble = world.keeper.trouble("demo")
    assert trouble is not None
    assert trouble.code == "banned"
    assert room.membership(bot) == "ban"
    _force(world, room, "m.room.member", {"membership": "leave"}, key=bot)
    assert await world.keeper.repair("demo") is None
    assert room.membership(bot) == "join"
    assert (await world.record()).room_id == room.id


async def test_a_room_that_cannot_be_repaired_is_replaced_when_somebody_says_so(world: World) -> None:
    await world.add()
    await world.keep()
    room, bot = world.room, world.homeserver.bot
    _force(world, room, "m.room.member", {"membership": "ban"}, key=bot)
    await world.keep()
    assert await world.keeper.repair("demo", replace=True) is None
    new = world.room
    assert new.id != room.id
    assert new.content("m.room.create")["predecessor"]["room_id"] == room.id
    assert world.made == [("demo", room.id), ("demo", new.id)]
    assert world.keeper.stream_of(room.id) is None
    space = world.homeserver.room_at(SPACE)
    assert space.content("m.space.child", room.id) == {}
    assert space.content("m.space.child", new.id)["via"] == ["chat.test"]


async def test_a_room_that_the_homeserver_lost_is_made_anew(world: World) -> None:
    await world.add()
    await world.keep()
    old = world.room.id
    world.homeserver.rooms.pop(old)
    world.homeserver.aliases.pop(ALIAS)
    world.begin()
    with capture_logs():
        await world.keep()
    assert (await world.record()).room_id == world.room.id != old


async def test_power_that_is_taken_away_is_reported_and_given_back(world: World) -> None:
    await world.add(owner=ALICE)
    await world.keep()
    room, bot = world.room, world.homeserver.bot
    if room.creators_rule:
        # Nobody takes a creator's power; only a room that is not ours has a bot without it.
        _force(world, room, "m.room.create", dict(room.content("m.room.create")), sender="@mallory:chat.test")
        users = {ALICE: 90}
    else:
        users = {ALICE: 90, bot: 0}
    _force(world, room, "m.room.power_levels", room.content("m.room.power_levels") | {"users": users})
    await world.keep()
    trouble = world.keeper.trouble("demo")
    assert trouble is not None
    assert trouble.code == "powerless"
    assert ALICE in trouble.text
    levels = room.content("m.room.power_levels") | {"users": users | {bot: 100}}
    _force(world, room, "m.room.power_levels", levels, sender=ALICE)
    await world.keep()
    assert world.keeper.trouble("demo") is None


async def test_an_upgraded_room_is_followed(world: World) -> None:
    await world.add(owner=ALICE)
    await world.keep()
    old, bot = world.room, world.homeserver.bot
    alice = world.homeserver.user("alice")
    await alice.join(ALIAS)
    _force(world, old, "m.room.power_levels", old.content("m.room.power_levels") | {"events": {"m.room.tombstone": 0}})
    new_id = await alice.upgrade(old.id)
    new = world.homeserver.room(new_id)
    await alice.set_power(new_id, bot, 100)
    await world.keep()
    assert (await world.record()).room_id == new_id
    assert (await world.record()).version == "12"
    assert new.membership(bot) == "join"
    assert world.homeserver.aliases[ALIAS] == new_id
    assert new.content("m.room.canonical_alias") == {"alias": ALIAS}
    assert new.content("m.room.guest_access") == {"guest_access": "forbidden"}
    assert world.made[-1] == ("demo", new_id)
    assert world.keeper.trouble("demo") is None


async def test_a_tombstone_that_points_to_a_strangers_room_is_not_followed(world: World) -> None:
    await world.add()
    await world.keep()
    old = world.room
    stranger = world.homeserver.make_room("@mallory:chat.test", {"preset": "public_chat"})
    _force(world, old, "m.room.tombstone", {"body": "x", "replacement_room": stranger.id}, sender=ALICE)
    await world.keep()
    trouble = world.keeper.trouble("demo")
    assert trouble is not None
    assert trouble.code == "foreign"
    assert stranger.membership(world.homeserver.bot) == "leave"
    assert (await world.record()).room_id == old.id


async def test_a_tombstone_that_leads_nowhere_is_reported(world: World) -> None:
    await world.add()
    await world.keep()
    _force(world, world.room, "m.room.tombstone", {"body": "x"}, sender=ALICE)
    await world.keep()
    trouble = world.keeper.trouble("demo")
    assert trouble is not None
    assert trouble.code == "closed"
    assert await world.keeper.repair("demo", replace=True) is None


async def test_guests_are_shut_out_again(world: World) -> None:
    await world.add()
    await world.keep()
    _force(world, world.room, "m.room.guest_access", {"guest_access": "can_join"}, sender=ALICE)
    await world.keep()
    assert world.room.content("m.room.guest_access") == {"guest_access": "forbidden"}


async def test_a_room_without_its_alias_gets_it_back(world: World) -> None:
    await world.add()
    await world.keep()
    room = world.room
    world.homeserver.aliases.pop(ALIAS)
    _force(world, room, "m.room.canonical_alias", {}, sender=ALICE)
    await world.keep()
    assert world.room is room
    assert room.content("m.room.canonical_alias") == {"alias": ALIAS}


async def test_a_removed_stream_has_its_room_closed(world: World) -> None:
    await world.add()
    await world.keep()
    room, space = world.room, world.homeserver.room_at(SPACE)
    await world.remove()
    await world.keep()
    assert room.content("m.room.tombstone") == {"body": "This stream was removed.", "replacement_room": space.id}
    assert room.content("m.room.power_levels")["events_default"] == 100
    assert room.membership(world.homeserver.bot) == "leave"
    assert ALIAS not in world.homeserver.aliases
    assert space.content("m.space.child", room.id) == {}
    assert world.keeper.record("demo") is None
    assert world.keeper.stream_of(room.id) is None
    assert await world.store.room("demo") is None
    with pytest.raises(RejectionError, match="not found"):
        await world.homeserver.user("alice").join(ALIAS)


async def test_closing_goes_on_after_an_outage(world: World) -> None:
    await world.add()
    await world.keep()
    room = world.room
    await world.remove()
    world.homeserver.fail(503, path="tombstone", times=2)
    await world.persist()
    assert "m.room.tombstone" in {kind for kind, _ in room.state}
    assert [record.kind for record in await world.store.rooms()] == ["space"]


async def test_a_stream_of_the_same_name_has_a_room_of_its_own(world: World) -> None:
    await world.add()
    await world.keep()
    old = world.room
    await world.remove()
    await world.add(title="Another")
    await world.keep()
    assert world.room is not old
    assert world.room.content("m.room.name") == {"name": "Another"}
    assert "m.room.tombstone" in {kind for kind, _ in old.state}


async def test_a_space_that_the_bot_lost_is_made_anew(world: World) -> None:
    await world.add()
    await world.keep()
    old = world.homeserver.room_at(SPACE)
    _force(world, old, "m.room.member", {"membership": "ban"}, key=world.homeserver.bot)
    await world.keep()
    world.keeper.touch("demo")
    await world.keep()
    space = world.homeserver.room_at(SPACE)
    assert space is not old
    assert space.content("m.space.child", world.room.id)["via"] == ["chat.test"]


async def test_one_room_with_trouble_does_not_stop_the_others(world: World) -> None:
    await world.add("alpha")
    await world.add("beta")
    world.homeserver.fail(400, path="live_alpha", times=1_000, errcode="M_INVALID_PARAM")
    await world.keep()
    assert world.keeper.record("beta") is not None
    trouble = world.keeper.trouble("alpha")
    assert trouble is not None
    assert trouble.code == "refused"
    world.homeserver.heal()
    assert await world.keeper.repair("alpha") is None


async def test_a_bot_that_may_not_come_back_says_so(world: World) -> None:
    await world.add()
    await world.keep()
    room, bot = world.room, world.homeserver.bot
    _force(world, room, "m.room.join_rules", {"join_rule": "invite"})
    _force(world, room, "m.room.member", {"membership": "leave"}, key=bot)
    await world.keep()
    trouble = world.keeper.trouble("demo")
    assert trouble is not None
    assert trouble.code == "left"


async def test_a_replacement_that_the_bot_cannot_join_is_reported(world: World) -> None:
    await world.add()
    await world.keep()
    private = world.homeserver.make_room(ALICE, {"preset": "private_chat"}, predecessor=world.room.id)
    _force(world, world.room, "m.room.tombstone", {"body": "x", "replacement_room": private.id}, sender=ALICE)
    await world.keep()
    trouble = world.keeper.trouble("demo")
    assert trouble is not None
    assert (trouble.code, world.homeserver.bot in trouble.text) == ("foreign", True)


async def test_a_room_that_cannot_be_kept_up_to_date_is_looked_at_in_full(world: World) -> None:
    """The title changes while the bot is out of the room: it finds out by itself, and comes back."""
    await world.add()
    await world.keep()
    room, bot = world.room, world.homeserver.bot
    _force(world, room, "m.room.member", {"membership": "leave"}, key=bot)
    await world.change(title="Another")
    assert room.membership(bot) == "join"
    assert room.content("m.room.name") == {"name": "Another"}


async def test_an_alias_that_cannot_be_made_now_is_not_there(world: World) -> None:
    await world.add()
    world.homeserver.fail(503, path="createRoom", times=100)
    with pytest.raises(RejectionError, match="not found"):
        await world.homeserver.user("alice").join(ALIAS)
    world.homeserver.heal()
    await world.homeserver.user("alice").join(ALIAS)
    assert not await world.keeper.alias_wanted("#other:chat.test")


async def test_two_people_who_join_at_once_are_in_one_room(world: World) -> None:
    await world.add()
    joins = [world.homeserver.user(f"person{number}").join(ALIAS) for number in range(5)]
    assert len(set(await asyncio.gather(*joins))) == 1
    assert len(world.homeserver.requests("POST", "createRoom")) == 2


async def test_a_room_of_many_is_looked_at_with_few_questions(world: World) -> None:
    await world.add()
    await world.keep()
    world.homeserver.crowd(world.room.id, 500)
    before = len(world.homeserver.seen)
    world.begin()
    await world.keeper.settle()
    assert len(world.homeserver.seen) - before < 40
    assert not world.homeserver.requests(path="/members|/state$")


@pytest.mark.parametrize("version", ["12"])
async def test_after_a_start_many_rooms_are_looked_at_slowly(world: World) -> None:
    clock = FakeClock()
    for number in range(25):
        await world.add(f"stream{number}")
    await world.keep()
    world.begin(clock=clock)
    looked = len(world.homeserver.requests("GET", "m.room.tombstone"))
    # Whoever waits for something does not wait for those.
    world.wishes["stream9"] = replace(world.wishes["stream9"], live=True)
    world.keeper.touch("stream9")
    task = asyncio.create_task(world.keeper.run())
    topic = world.homeserver.room_at("#live_stream9:chat.test")
    async with asyncio.timeout(PATIENCE):
        while "Live" not in topic.content("m.room.topic")["topic"]:
            await asyncio.sleep(0.01)
        assert len(world.homeserver.requests("GET", "m.room.tombstone")) <= looked + 1
        while len(world.homeserver.requests("GET", "m.room.tombstone")) < looked + 25:
            await asyncio.sleep(0.01)
            clock.advance(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_database_that_fails_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    await world.add()
    world.begin(clock=clock)
    with capture_logs() as logs, monkeypatch.context() as patch:

        async def locked(**_: object) -> list[str]:
            raise OSError("database is locked")

        patch.setattr(world.store, "ensure_rooms", locked)
        task = asyncio.create_task(world.keeper.run())
        async with asyncio.timeout(PATIENCE):
            while not logs:
                await asyncio.sleep(0.01)
    async with asyncio.timeout(PATIENCE):
        while not world.made:
            await asyncio.sleep(0.01)
            clock.advance(1.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_task_waits_for_the_line_and_goes_on(world: World) -> None:
    """No answer: it says so and waits until somebody finds the homeserver again. Trouble of its own: a pause."""
    clock, line = FakeClock(), Line()
    world.begin(line=line, clock=clock)
    await world.add()
    line.mend()
    world.homeserver.dead = True
    task = asyncio.create_task(world.keeper.run())
    await line.down()
    world.homeserver.dead = False
    world.homeserver.fail(500, times=3)
    world.homeserver.limit(retry_after_ms=2000)
    line.mend()
    async with asyncio.timeout(PATIENCE):
        while not world.made:
            await asyncio.sleep(0.01)
            clock.advance(1.0)
    before = len(world.homeserver.seen)
    world.wishes["demo"] = replace(world.wishes["demo"], live=True)
    world.keeper.touch("demo")
    async with asyncio.timeout(PATIENCE):
        while "Live" not in world.room.content("m.room.topic")["topic"]:
            await asyncio.sleep(0.01)
    assert len(world.homeserver.seen) > before
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _force(
    world: World,
    room: FakeRoom,
    kind: str,
    content: dict[str, object],
    *,
    key: str = "",
    sender: str = "@admin:chat.test",
) -> None:
    """State that an administrator of the homeserver made, against all rules."""
    world.homeserver.force(room, kind, sender, dict(content), state_key=key)


async def _again(world: World, homeserver: FakeHomeserver) -> World:
    """The same streams with a new homeserver, and nothing noted."""
    for record in await world.store.rooms():
        await world.store.forget_room(record.id)
    world.homeserver = homeserver
    world.begin()
    return world


def _without_ids(room: FakeRoom) -> dict[tuple[str, str], object]:
    skipped = {"m.room.create", "m.space.parent", "m.room.avatar"}
    return {name: event.content for name, event in room.state.items() if name[0] not in skipped}
