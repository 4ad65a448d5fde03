"""Deleting and banning: who may, whom it keeps out, and how it ends."""

import pytest
from tests.support.chat import Chat, Page

from ghostlive.chat.banning import Order
from ghostlive.chat.errors import NotFoundError, UnknownStreamError
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.people import Author
from ghostlive.chat.people import Role as Mark
from ghostlive.db.users import Role

_MO = Actor(Author("u_9", "mo", Mark.MODERATOR), "page")


@pytest.fixture
async def mod(chat: Chat) -> Page:
    """A moderator, from an address of their own."""
    return await chat.enter(user=await chat.account("mo", Role.MODERATOR), address="198.51.100.1")


async def test_people_delete_what_they_wrote(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    first, second = await ann.post("mine"), await bob.post("yours")
    ann.send({"type": "delete", "id": second})
    assert (await ann.next("error"))["code"] == "not_allowed"
    ann.send({"type": "delete", "id": first})
    deleted = await bob.next("deleted")
    assert deleted["ids"] == [first]
    assert deleted["seq"] > second
    ann.send({"type": "delete", "id": first})
    assert (await ann.next("error"))["code"] == "not_found"
    stranger = await chat.enter()
    stranger.send({"type": "delete", "id": second})
    assert (await stranger.next("error"))["code"] == "not_allowed"
    assert stranger.texts() == ["yours"]


async def test_who_was_away_learns_what_was_deleted(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    first = await ann.post("one")
    await bob.sees(lambda page: page.texts() == ["one"])
    bob.leave()
    second = await ann.post("two")
    ann.send({"type": "delete", "id": first})
    ann.send({"type": "delete", "id": second})
    await ann.sees(lambda page: not page.texts())
    await ann.post("three")
    welcome = await bob.back()
    assert welcome["reset"] is False
    assert welcome["deleted"] == [first]  # of the other Bob knows nothing
    assert bob.texts() == ["three"]
    bob.leave()
    await ann.post("four")
    await chat.restart()
    welcome = await bob.back()
    assert (welcome["reset"], welcome["deleted"]) == (False, [])
    assert bob.texts() == ["three", "four"]


async def test_who_was_away_for_long_begins_anew(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    await ann.post("old")
    await bob.sees(lambda page: page.texts() == ["old"])
    bob.leave()
    for number in range(400):
        ann.say(f"m{number}")
        chat.clock.advance(0.01)
    await ann.sees(lambda page: len(page.acks) == 401)
    for _ in range(2):
        welcome = await bob.back()
        assert welcome["reset"] is True
        assert bob.texts() == [f"m{number}" for number in range(300, 400)]
        bob.leave()
        bob.seq = 1
        await chat.restart()
    bob.seq = 2**53  # of another server
    assert (await bob.back())["reset"] is True


async def test_after_many_deletions_there_is_still_something_to_show(chat: Chat, mod: Page) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    for number in range(100):
        ann.say(f"good {number}")
    await ann.sees(lambda page: len(page.acks) == 100)
    for number in range(200):
        bob.say(f"spam {number}")
    await bob.sees(lambda page: len(page.acks) == 200)
    mod.send({"type": "ban", "id": bob.acks["t1"], "messages": True})
    await mod.next("deleted")
    page = await chat.enter(address="198.51.100.7")
    assert page.texts() == [f"good {number}" for number in range(100)]


async def test_a_ban_holds_for_the_guest_the_address_and_new_guests(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann", address="203.0.113.5")
    neighbour = await chat.enter("Bob", address="203.0.113.6")
    chat.clock.jump(7200)
    first = await ann.post("spam")
    mod.send({"type": "ban", "id": first, "reason": "spam\u202e", "seconds": 3600})
    banned = await ann.next("banned")
    assert banned["reason"] == "spam"
    assert banned["until"].endswith("Z")
    assert ann.closed() == (4003, "banned")
    await neighbour.post("peace")  # who was here before the ban is nobody new
    for restart in (False, True):
        if restart:
            await chat.restart()
        fresh = await chat.page(address="203.0.113.5").kept_out()
        assert (fresh["reason"], fresh["until"]) == ("spam", banned["until"])
        moved = chat.page(address="203.0.113.99")
        moved.token = ann.token
        assert (await moved.kept_out())["reason"] == "spam"
        browser = chat.page(address="198.51.100.99")
        browser.cookie = ann.cookie
        await browser.kept_out()
        other = await chat.enter("Other" + str(restart), address="198.51.100.7")
        await other.post("fine")


async def test_ipv6_neighbours_in_one_network_are_one(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann", address="2001:db8:1:2::5")
    mod.send({"type": "ban", "id": await ann.post("spam")})
    assert (await ann.next("banned"))["until"] is None
    await chat.page(address="2001:db8:1:2:ffff::9").kept_out()
    assert (await (await chat.enter(address="2001:db8:1:3::5")).join("New"))["type"] == "joined"


async def test_a_ban_ends_by_itself_whatever_the_clock_does(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann", address="203.0.113.5")
    mod.send({"type": "ban", "id": await ann.post("spam"), "seconds": 600})
    await ann.next("banned")
    chat.clock.jump(-7200)
    await ann.kept_out()
    chat.clock.jump(7200 + 599)
    await ann.kept_out()
    chat.clock.jump(2)
    await ann.back()
    await ann.post("free")
    assert await chat.service.bans("demo") == []


async def test_lifting_a_ban_lets_them_in_again(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann", address="203.0.113.5")
    for _ in range(2):
        mod.send({"type": "ban", "id": await ann.post("spam"), "reason": "one"})
        await ann.next("banned")
        [ban] = await chat.service.bans("demo")
        assert (ban.name, ban.reason, ban.by, ban.expires_at) == ("Ann", "one", "mo", None)
        await chat.service.lift("demo", ban.id, "olga")
        await ann.back()
        with pytest.raises(NotFoundError):
            await chat.service.lift("demo", ban.id, "olga")
    first = await ann.post("again")
    room = await chat.service.enter("demo")
    orders = [Order(_MO, message_id=first, seconds=seconds) for seconds in (None, 1e6)]
    one, two = [await chat.service.banning.ban(room, order) for order in orders]
    chat.service.leave(room)
    await chat.service.lift("demo", one.id, "olga")
    await ann.kept_out()
    ann.leave()
    mod.leave()
    chat.clock.advance(120)  # nobody has the room open
    await chat.service.lift("demo", two.id, "olga")
    await ann.back()
    await ann.post("hello")


async def test_a_timeout_leaves_them_reading(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann", address="203.0.113.5")
    first = await ann.post("spam")
    room = await chat.service.enter("demo")
    ban = await chat.service.banning.ban(room, Order(_MO, message_id=first, seconds=600, timeout=True))
    assert (await ann.next("banned"))["until"] is not None
    assert ann.closed() is None
    ann.say("more")
    assert (await ann.next("error"))["code"] == "banned"
    await mod.post("calm down")
    await ann.sees(lambda page: page.texts() == ["spam", "calm down"])
    assert (await ann.back())["banned"]["until"] is not None
    await chat.service.lift("demo", ban.id, "mo")
    await ann.next("unbanned")
    await ann.post("sorry")
    chat.service.leave(room)


async def test_bans_of_streams_that_are_not_there(chat: Chat) -> None:
    with pytest.raises(UnknownStreamError):
        await chat.service.bans("none")
    with pytest.raises(UnknownStreamError):
        await chat.service.lift("none", 1, "olga")
    with pytest.raises(NotFoundError):
        await chat.service.lift("demo", 1, "olga")
    await chat.service.close_room("none")


async def test_only_who_moderates_bans(chat: Chat, mod: Page) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    first = await ann.post("hello")
    for page in (bob, await chat.enter(), await chat.enter(user=await chat.account("sam", Role.STREAMER))):
        page.send({"type": "ban", "id": first})
        assert (await page.next("error"))["code"] == "not_allowed"
    mod.send({"type": "ban", "id": first + 1000})
    assert (await mod.next("error"))["code"] == "not_found"
    mod.send({"type": "ban", "id": await mod.post("I")})
    assert (await mod.next("error"))["code"] == "not_allowed"
    owner = await chat.enter(user=await chat.account("olga", Role.OWNER))
    mod.send({"type": "ban", "id": await owner.post("my house")})
    assert (await mod.next("error"))["code"] == "not_allowed"
    assert await chat.service.bans("demo") == []


async def test_a_ban_of_ones_own_address_does_not_keep_the_streamer_out(chat: Chat, mod: Page) -> None:
    guest = await chat.enter("Ann", address="198.51.100.1")
    mod.send({"type": "ban", "id": await guest.post("spam")})
    await guest.next("banned")
    await mod.post("I am here")
    assert not [message for message in mod.got if message["type"] == "banned"]
    assert "banned" not in await mod.back()


async def test_an_account_without_rights_can_be_banned(chat: Chat, mod: Page) -> None:
    sam = await chat.enter(user=await chat.account("sam", Role.STREAMER))
    mod.send({"type": "ban", "id": await sam.post("spam")})
    await sam.next("banned")
    assert (await sam.kept_out())["until"] is None


async def test_rights_are_asked_for_again(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann")
    first = await ann.post("hello")
    del chat.accounts["mo"]  # signed out in another tab
    mod.send({"type": "ban", "id": first})
    assert (await mod.next("error"))["code"] == "not_allowed"
    mod.send({"type": "delete", "id": first})
    assert (await mod.next("error"))["code"] == "not_allowed"
    assert ann.texts() == ["hello"]


async def test_who_signs_out_is_that_account_no_more(chat: Chat, mod: Page) -> None:
    mod.send({"type": "ping"})
    del chat.accounts["mo"]
    chat.clock.advance(50)
    mod.send({"type": "ping"})
    chat.clock.advance(11)
    mod.send({"type": "ping"})
    await chat.until(mod.closed)
    assert mod.closed() == (1008, "signed out")
    assert (await mod.back())["you"] is None


async def test_a_ban_in_another_stream_is_none_here(chat: Chat, mod: Page) -> None:
    await chat.streams.add("other")
    ann = await chat.enter("Ann")
    mod.send({"type": "ban", "id": await ann.post("spam")})
    await ann.next("banned")
    there = chat.page(stream="other")
    there.token = ann.token
    await there.open()
    assert "banned" not in await there.hello()
    await there.post("hello")


async def test_a_ban_may_take_away_all_that_somebody_said(chat: Chat, mod: Page) -> None:
    ann, bob = await chat.enter("Ann", address="203.0.113.5"), await chat.enter("Bob")
    mine = [await ann.post(f"spam {number}") for number in range(3)]
    await bob.post("hello")
    mod.send({"type": "ban", "id": mine[1], "messages": True, "seconds": 0.5})
    deleted = await bob.next("deleted")
    assert deleted["ids"] == mine
    await bob.sees(lambda page: page.texts() == ["hello"])
    assert (await chat.enter()).texts() == ["hello"]
    chat.clock.advance(1)
    await ann.back()
    await ann.post("sorry")


async def test_a_ban_names_the_address_of_the_message_not_that_of_another_page(chat: Chat, mod: Page) -> None:
    troll = await chat.enter("Troll", address="192.0.2.66")
    said = await troll.post("nonsense")
    decoy = chat.page(address="203.0.113.9")
    decoy.token = troll.token
    await decoy.open()
    assert (await decoy.hello())["you"] is not None
    await decoy.post("so that it is stored from where they came last")
    mod.send({"type": "ban", "id": said})
    await troll.next("banned")
    await decoy.next("banned")
    await chat.page(address="192.0.2.66").kept_out()
    await (await chat.page(address="203.0.113.9").open()).hello()


async def test_a_database_that_cannot_be_read_takes_no_rights_away(
    chat: Chat, mod: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await chat.enter("Ann")
    said = await ann.post("spam")

    async def fail(*_: object, **__: object) -> None:
        raise OSError("no disk")

    for message in ({"type": "delete", "id": said}, {"type": "ban", "id": said}):
        monkeypatch.setattr(chat.streams, "get", fail)
        mod.send(message)
        assert (await mod.next("error"))["code"] == "busy"
        monkeypatch.undo()
    mod.send({"type": "delete", "id": said})
    await ann.next("deleted")


async def test_moderators_see_a_tag_and_no_address(chat: Chat, mod: Page) -> None:
    ann = await chat.enter("Ann", address="203.0.113.5")
    await ann.post("hello")
    twin = await chat.enter("Twin", address="203.0.113.5")
    await twin.post("me too")
    other = await chat.enter("Other", address="203.0.113.6")
    await other.post("and I")
    known = []
    for page in (ann, twin, other):
        assert page.you is not None
        mod.send({"type": "who", "author": page.you["id"]})
        known.append(await mod.next("who"))
    tags = [who["tag"] for who in known]
    assert tags[0] == tags[1] != tags[2]
    assert {len(tag) for tag in tags} == {5}
    assert all(who["since"].endswith("Z") for who in known)
    assert "203.0" not in str(known)
    ann.send({"type": "who", "author": known[1]["author"]})
    assert (await ann.next("error"))["code"] == "not_allowed"
