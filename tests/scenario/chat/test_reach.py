"""How far and how fast moderation reaches: all chats of the server, and people who say nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.support.chat import Page
from tests.support.fake_matrix import FakeUser
from tests.support.house import OLGA, House, open_house

from ghostlive.chat.bans import Ban
from ghostlive.chat.errors import NotAllowedError, NotFoundError
from ghostlive.chat.matrix.reach import LISTED
from ghostlive.chat.room import Quiet
from ghostlive.core.websocket import BANNED
from ghostlive.db.moderation import AuditRecord, ModerationRepository
from ghostlive.db.users import Role

BOTH = ("demo", "other")
MALLORY, EVE, MONA = "@mallory:evil.test", "@eve:chat.test", "@mona:chat.test"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, streams=BOTH) as house:
        yield house


async def audit(house: House, stream: str) -> list[AuditRecord]:
    found = await house.chat.repository.stream(stream)
    assert found is not None
    lines = await ModerationRepository(house.chat.database).audit(found.id, before=None, limit=10)
    return list(reversed(lines))


async def ban(house: House, **whom: Any) -> Ban:
    room = await house.chat.service.enter("demo")
    try:
        return await house.chat.moderation.actions.ban(room, OLGA, **whom)
    finally:
        house.chat.service.leave(room)


async def unban(house: House, number: int) -> None:
    room = await house.chat.service.enter("demo")
    try:
        await house.chat.moderation.actions.unban(room, OLGA, ban_id=number)
    finally:
        house.chat.service.leave(room)


async def troll(house: House) -> tuple[Page, Page, str]:
    """A guest who has spoken in both chats and has them open, and the Matrix ID of their ghost."""
    here = await house.chat.enter("Troll", address="203.0.113.66")
    await here.post("spam")
    there = house.chat.page(stream="other", address="198.51.100.66")
    there.token = here.token
    await there.open()
    await there.hello()
    await there.post("spam")
    assert here.you is not None
    ghost = house.bridge.ghosts.mxid(here.you["id"])
    await house.memberships(ghost, "join", BOTH)
    return here, there, ghost


# -- the whole site


async def test_a_ban_of_the_site_reaches_every_chat_and_every_room_and_is_in_every_log(house: House) -> None:
    here, there, ghost = await troll(house)
    first = await ban(house, message_id=here.acks["t1"], reason="spam", watch=True)
    assert here.closed() == (BANNED, "banned")
    assert there.closed() is None
    site = await house.chat.moderation.site.ban("demo", first.id, OLGA)
    assert there.closed() == (BANNED, "banned")
    assert house.chat.service.banning.watching.refuses("other", "203.0.113.66", None)
    await house.memberships(ghost, "ban", BOTH)
    assert house.room("other").content("m.room.member", ghost)["reason"] == "spam"
    for stream in BOTH:
        line = (await audit(house, stream))[-1]
        assert (line.kind, line.actor_name, line.target_name, line.reason) == ("ban", "olga", "Troll", "spam")
        assert line.detail == {"ban": site.id, "site": True, "messages": False}
    assert await house.chat.moderation.site.ban("demo", first.id, OLGA) == site
    assert len(await audit(house, "other")) == 1
    # One of both ends; the other one still holds where it did.
    await unban(house, first.id)
    await house.memberships(ghost, "ban", BOTH)
    await house.chat.moderation.site.unban(site.id, OLGA)
    await house.memberships(ghost, "leave", BOTH)
    for stream in BOTH:
        assert (await audit(house, stream))[-1].kind == "unban"
        assert (await audit(house, stream))[-1].detail == {"ban": site.id, "site": True}
    with pytest.raises(NotFoundError):
        await house.chat.moderation.site.unban(site.id, OLGA)


async def test_a_ban_of_the_site_outlives_us_and_the_homeserver_and_ends_at_its_time(house: House) -> None:
    _here, there, ghost = await troll(house)
    house.homeserver.dead = True
    first = await ban(house, author_id=there.you["id"] if there.you else "", seconds=600.0)
    await house.chat.moderation.site.ban("demo", first.id, OLGA)
    await house.restart()
    assert house.room("other").membership(ghost) == "join"
    house.homeserver.dead = False
    await house.memberships(ghost, "ban", BOTH)
    house.chat.clock.advance(601.0)
    await house.memberships(ghost, "leave", BOTH)


async def test_a_ban_of_the_site_that_ends_earlier_or_later_than_that_of_a_chat(house: House) -> None:
    await house.native("mallory", server="evil.test")
    for_long = await ban(house, mxid=MALLORY, seconds=1200.0)
    await house.chat.moderation.site.ban("demo", for_long.id, OLGA)
    await ban(house, mxid=MALLORY, seconds=600.0)
    await house.memberships(MALLORY, "ban", BOTH)
    house.chat.clock.advance(700.0)
    await house.all_done(BOTH)
    assert [house.room(stream).membership(MALLORY) for stream in BOTH] == ["ban", "ban"]
    house.chat.clock.advance(600.0)
    await house.memberships(MALLORY, "leave", BOTH)


async def test_a_ban_of_the_site_spares_who_moderates_one_of_the_chats(house: House) -> None:
    await house.moderator(MONA, "other")
    first = await ban(house, mxid=MONA)
    await house.chat.moderation.site.ban("demo", first.id, OLGA)
    await house.memberships(MONA, "ban")
    await house.all_done(BOTH)
    assert house.room("other").membership(MONA) == "join"


async def test_a_time_out_is_for_one_chat(house: House) -> None:
    here, _, _ = await troll(house)
    room = await house.chat.service.enter("demo")
    timeout = await house.chat.moderation.actions.timeout(room, OLGA, message_id=here.acks["t1"])
    with pytest.raises(NotAllowedError):
        await house.chat.moderation.site.ban("demo", timeout.id, OLGA)
    with pytest.raises(NotFoundError):
        await house.chat.moderation.site.ban("demo", 999, OLGA)
    assert await house.chat.service.banning.bans(None) == []


# -- patterns and lists


async def test_a_pattern_reaches_people_who_say_nothing(house: House) -> None:
    await house.native("mallory", server="evil.test")
    page = await house.linked(MALLORY)
    one = await ban(house, mxid="@mal*:evil.test")
    assert page.closed() == (BANNED, "banned")
    await house.memberships(MALLORY, "ban")
    alone = await ban(house, mxid=MALLORY)
    await unban(house, one.id)
    await house.all_done()
    assert house.room().membership(MALLORY) == "ban", "they have a ban of their own"
    await unban(house, alone.id)
    await house.memberships(MALLORY, "leave")


class PolicyList:
    """A room of somebody else in which rules stand."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._lister = house.homeserver.user("lister", "lists.test")
        body = {"preset": "public_chat", "room_alias_name": "bans"}
        self.room = house.homeserver.make_room(self._lister.mxid, body)

    async def subscribe(self, stream: str = "demo") -> None:
        """It counts in a stream."""
        banning = self._house.chat.service.banning
        found = await self._house.chat.repository.stream(stream)
        assert found is not None
        await banning.policies.subscribe(stream, found.id, ["#bans:chat.test"])
        assert banning.policies.follows(self.room.id)

    async def put(self, entity: str, *, key: str = "1", kind: str = "user") -> None:
        """A rule is written, and we have been told when this returns."""
        content = {"entity": entity, "recommendation": "m.ban", "reason": "spam"} if entity else {}
        await self._lister.set_state(self.room.id, f"m.policy.rule.{kind}", content, key)
        await self._house.homeserver.push()


async def test_a_rule_of_a_list_reaches_people_who_say_nothing(house: House) -> None:
    for stream in BOTH:
        await house.native("mallory", stream, "evil.test")
    nice = await house.native("nice")
    await house.moderator(MONA)
    mallory, other = await house.linked(MALLORY), await house.linked(MALLORY, "other")
    await house.homeserver.push()
    one = PolicyList(house)
    await one.subscribe()
    await one.put("@m*:*")
    assert mallory.closed() == (BANNED, "banned")
    assert (await mallory.kept_out())["reason"] == "spam"
    await house.memberships(MALLORY, "ban")
    assert house.room().content("m.room.member", MALLORY) == {"membership": "ban", "reason": "spam", **LISTED}
    assert [house.room().membership(who) for who in (nice.mxid, MONA)] == ["join", "join"]
    # Where the list does not count, nothing happens.
    assert other.closed() is None
    assert house.room("other").membership(MALLORY) == "join"
    await one.put("")
    await house.memberships(MALLORY, "leave")
    await mallory.open()
    await mallory.hello()


async def test_the_end_of_a_rule_lifts_what_it_made_and_nothing_else(house: House) -> None:
    people = [await house.native(f"spam{number}", server="evil.test") for number in range(4)]
    mona = await house.moderator(MONA)
    await house.homeserver.push()
    one = PolicyList(house)
    await one.subscribe()
    await mona.ban(house.room().id, people[0].mxid)  # by a moderator in the room
    await house.homeserver.push()
    await one.put("evil.test", kind="server")
    for person in people:
        await house.memberships(person.mxid, "ban")
    await ban(house, mxid=people[1].mxid)  # here
    await one.put("@spam2:*", key="2")  # by another rule, too
    await house.restart()  # nothing of it is kept in memory
    await house.until(lambda: house.bridge.line.is_up and "demo" in house.bridge._outboxes, "the room")
    await one.put("", kind="server")
    await house.memberships(people[3].mxid, "leave")
    await house.until(house.bridge.reach.settled.is_set, "all rooms to be looked at")
    assert [house.room().membership(person.mxid) for person in people] == ["ban", "ban", "ban", "leave"]
    # What ends on a page while a rule stands leaves them out.
    [own] = [one for one in await house.chat.service.bans("demo") if one.mxid == people[1].mxid]
    await unban(house, own.id)
    await house.memberships(people[1].mxid, "leave")
    await one.put("", key="2")
    await house.memberships(people[2].mxid, "leave")


async def test_a_thousand_rules_at_once_are_no_thousand_looks_at_all_pages(house: House) -> None:
    eve, mallory = await house.linked(EVE), await house.linked(MALLORY)
    one = PolicyList(house)
    await one.subscribe()
    looks = _Looks()
    room = await house.chat.service.enter("demo")
    room.listeners.add(looks)
    policies = house.chat.service.banning.policies

    async def rules(entities: Iterable[str]) -> None:
        """What `PolicyList.put` leads to, without a homeserver that sends it."""
        for number, entity in enumerate(entities):
            content = {"entity": entity, "recommendation": "m.ban", "reason": "spam"}
            event = {"type": "m.policy.rule.user", "state_key": f"{number}", "content": content}
            assert await policies.receive(one.room.id, event)

    await rules([EVE])
    assert eve.closed() == (BANNED, "banned"), "one rule is carried out at once"
    await rules([*(f"@spam{number}:evil.test" for number in range(1000)), MALLORY])
    assert looks.count < 10
    house.chat.clock.advance(1.0)
    assert mallory.closed() == (BANNED, "banned"), "the last of them counts too"
    before = looks.count
    house.chat.clock.advance(10.0)
    assert looks.count == before
    house.chat.service.leave(room)


class _Looks(Quiet):
    """Counts how often all pages of a room are looked through for people whom lists name."""

    count = 0

    def listed(self) -> None:
        self.count += 1


async def test_hundreds_whom_a_list_names_are_banned_while_the_homeserver_slows_us_down(house: House) -> None:
    house.homeserver.crowd(house.room().id, 300, "evil.test")
    house.homeserver.limit(retry_after_ms=2000, times=20, path="/state/m.room.member/")
    one = PolicyList(house)
    await one.subscribe()
    await one.put("*.test", kind="server")
    crowd = [f"@person{number}:evil.test" for number in range(300)]
    await house.until(lambda: all(house.room().membership(mxid) == "ban" for mxid in crowd), "the bans")


# -- at once: nothing but the storing of it is waited for, and no (fake) time passes

Way = Callable[[House, Page, FakeUser], Awaitable[None]]


async def _on_the_page(house: House, page: Page, _mona: FakeUser) -> None:
    mod = await house.chat.enter(user=house.chat.accounts["mo"], address="192.0.2.1")
    mod.send({"type": "ban", "id": page.acks["t1"]})
    await house.chat.until(lambda: page.closed() is not None, "the socket to be closed")


async def _in_matrix(house: House, page: Page, mona: FakeUser) -> None:
    assert page.you is not None
    await mona.ban(house.room().id, house.bridge.ghosts.mxid(page.you["id"]))
    await house.homeserver.push()


async def _by_the_api(house: House, page: Page, _mona: FakeUser) -> None:
    await ban(house, message_id=page.acks["t1"], watch=True)
    assert house.chat.service.banning.watching.refuses("demo", "198.51.100.7", None)


async def _by_a_list(house: House, _page: Page, _mona: FakeUser) -> None:
    one = PolicyList(house)
    await one.subscribe()
    await one.put(EVE)


@pytest.mark.parametrize("way", [_on_the_page, _in_matrix, _by_the_api, _by_a_list])
async def test_a_ban_closes_the_socket_before_any_time_has_passed(house: House, way: Way) -> None:
    await house.chat.account("mo", Role.MODERATOR)
    mona = await house.moderator(MONA)
    page = await house.linked(EVE)
    assert (await page.join("Eve"))["type"] == "joined"
    await page.post("hello")
    assert page.you is not None
    ghost = house.bridge.ghosts.mxid(page.you["id"])
    await house.memberships(ghost, "join")
    await house.homeserver.push()
    before = house.chat.clock.now()
    await way(house, page, mona)
    assert page.closed() == (BANNED, "banned")
    assert house.chat.clock.now() == before
