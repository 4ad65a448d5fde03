"""Somebody who was banned comes back, in every way that costs nothing: nothing that they say is seen by anybody but a
moderator.

Each way is tried against the same chat: a troll at 203.0.113.66 was banned, Bob at another address reads, and what the
troll says next contains `again`. It may be refused, held, or shown to the troll alone; Bob never sees it.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.chat import Chat, FakeConnection, Page, open_chat

from ghostlive.access.browser import browser_cookie, make_browser
from ghostlive.chat.banning import KEPT, Banning, Order
from ghostlive.chat.errors import BannedError, NotAllowedError
from ghostlive.chat.message import Kind
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.moderation import Moderation
from ghostlive.chat.people import Author, Visitor, matrix_author_id
from ghostlive.chat.people import Role as Mark
from ghostlive.chat.room import Room
from ghostlive.chat.work import Challenge, solve, solves
from ghostlive.core.websocket import BANNED
from ghostlive.db.moderation import ModerationRepository
from ghostlive.db.users import Role
from ghostlive.web.clientaddress import ClientAddress
from ghostlive.web.upgrade import Upgrade, opening_of

TROLL, NEIGHBOUR, ELSEWHERE = "203.0.113.66", "203.0.113.67", "198.51.100.66"
MO = Actor(Author("u_999", "mo", Mark.MODERATOR), "page")


def with_moderation(chat: Chat) -> Moderation:
    """The rules and the queue of what waits, as composition makes them."""
    moderation = Moderation(
        chat.service,
        chat=chat.repository,
        stored=ModerationRepository(chat.database),
        users=chat.users,
        clock=chat.clock,
    )
    chat.service.moderation = moderation
    return moderation


@dataclass
class Case:
    """A chat from which somebody was banned."""

    chat: Chat
    moderation: Moderation
    room: Room
    troll: Page
    """Their page, as it was."""
    bob: Page
    """Who must not see anything."""
    mod: Page

    @property
    def banning(self) -> Banning:
        return self.chat.service.banning

    async def ban(self, **order: Any) -> None:
        """Ban the troll, by what they said."""
        await self.banning.ban(self.room, Order(MO, message_id=self.troll.acks["t1"], **order))
        assert (await self.troll.next("banned"))["reason"] == order.get("reason", "")
        assert self.troll.closed() == (BANNED, "banned")

    def browser(self, address: str = TROLL, *, token: str | None = None, cookie: str | None = None) -> Page:
        """A browser of theirs, with what it kept."""
        page = self.chat.page(address=address)
        page.token, page.cookie = token, cookie
        return page

    async def says(self, page: Page, name: str = "Innocent") -> str:
        """Come, take a name and say something; what came of it: `out`, an error's code, `held` or `seen`."""
        await page.open()
        page.send({"type": "hello", **({} if page.token is None else {"token": page.token})})
        first = await page.next("welcome", "banned")
        if first["type"] == "banned":
            assert page.closed() == (BANNED, "banned")
            return "out"
        if first["you"] is None:
            joined = await page.join(name)
            if joined["type"] == "error":
                return str(joined["code"])
        txn = page.say("me again")
        answer = await page.next("ack", "error")
        assert "ban" not in answer.get("text", "").split()  # nobody is told that they are suspected
        assert "near" not in answer.get("text", "")
        if answer["type"] == "error":
            return str(answer["code"])
        assert answer["txn"] == txn
        return "held" if answer.get("held") else "seen"

    async def nobody_saw(self) -> None:
        """What Bob sees now is what was said before the ban, and what he says himself."""
        await self.bob.post("is it quiet?")
        await self.bob.sees(lambda page: "is it quiet?" in page.texts())
        assert not [text for text in self.bob.texts() if "again" in text]
        late = await self.chat.enter(address="192.0.2.200")
        assert not [text for text in late.texts() if "again" in text]


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    async with open_chat(tmp_path) as chat:
        moderation = with_moderation(chat)
        room = await chat.service.enter("demo")
        bob = await chat.enter("Bob", address="192.0.2.9")
        mod = await chat.enter(user=await chat.account("mo", Role.MODERATOR), address="192.0.2.1")
        troll = await chat.enter("Troll", address=TROLL)
        await troll.post("spam")
        chat.clock.jump(timedelta(days=1).total_seconds())
        yield Case(chat, moderation, room, troll, bob, mod)


Way = Callable[[Case], Page]
WAYS: dict[str, tuple[Way, str]] = {
    "the same page again": (lambda case: case.browser(token=case.troll.token, cookie=case.troll.cookie), "out"),
    "a new name (the token is gone, the cookie is not)": (lambda case: case.browser(cookie=case.troll.cookie), "out"),
    "a private window": (lambda case: case.browser(), "out"),
    "the token at another address": (lambda case: case.browser(ELSEWHERE, token=case.troll.token), "out"),
    "the cookie at another address": (lambda case: case.browser(ELSEWHERE, cookie=case.troll.cookie), "out"),
    "a forged token": (lambda case: case.browser(token="a" * 32), "out"),
    "a forged cookie": (lambda case: case.browser(cookie=f"{make_browser()}.{make_browser()}"), "out"),
    "a cookie signed with another secret": (
        lambda case: case.browser(cookie=browser_cookie(b"x" * 32, make_browser())),
        "out",
    ),
    "senseless cookies": (lambda case: case.browser(cookie="\x00;é."), "out"),
    "an address of the same network": (lambda case: case.browser(NEIGHBOUR), "held"),
    "a forged token in the same network": (lambda case: case.browser(NEIGHBOUR, token="b" * 32), "held"),
    "an IPv4 address written as IPv6": (lambda case: case.browser(f"::ffff:{TROLL}"), "out"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_who_was_banned_is_not_seen_again(case: Case, way: str) -> None:
    await case.ban(reason="spam")
    make, expected = WAYS[way]
    assert await case.says(make(case)) == expected
    await case.nobody_saw()
    await case.chat.restart()
    with_moderation(case.chat)
    case.bob = await case.chat.enter(address="192.0.2.9")
    assert await case.says(make(case), "Other") == expected
    if expected == "held":
        [*_, held] = case.chat.service.moderation.held_json(await case.chat.service.enter("demo"))
        assert held["text"] == "me again"
        assert "203.0" not in str(held)


@pytest.mark.parametrize(
    ("trusted", "peer", "field"),
    [
        ((), TROLL, "198.51.100.1"),
        ((), TROLL, "198.51.100.1, 127.0.0.1"),
        (("127.0.0.1",), TROLL, "198.51.100.1"),
        (("127.0.0.1",), "127.0.0.1", f"198.51.100.1, {TROLL}"),  # the proxy appends what it saw
    ],
)
async def test_a_forged_header_is_nobodys_address(case: Case, trusted: tuple[str, ...], peer: str, field: str) -> None:
    await case.ban()
    fields = [(b"host", b"live.example"), (b"x-forwarded-for", field.encode()), (b"x-real-ip", b"198.51.100.1")]
    request = Upgrade("GET", "1.1", b"/api/v1/streams/demo/chat", fields, peer)
    opening = opening_of(request, ClientAddress(trusted))
    assert opening.address == TROLL
    connection = FakeConnection()
    viewer = await case.chat.gateway.open(opening, connection)
    viewer.text('{"type":"hello"}')
    await case.chat.until(lambda: connection.closed)
    assert connection.closed == (BANNED, "banned")
    viewer.gone()


async def test_neighbours_of_ipv6(case: Case) -> None:
    troll = await case.chat.enter("Troll6", address="2001:db8:7:1::66")
    said = await troll.post("spam")
    await case.banning.ban(case.room, Order(MO, message_id=said))
    await troll.next("banned")
    assert await case.says(case.browser("2001:db8:7:1:ffff::1"), "One") == "out"
    assert await case.says(case.browser("2001:db8:7:2::1"), "Two") == "held"
    assert await case.says(case.browser("2001:db8:8:1::1"), "Three") == "seen"


async def test_who_was_there_before_is_no_newcomer(case: Case) -> None:
    old = await case.chat.enter("Neighbour", address=NEIGHBOUR)
    await old.post("hello")
    case.chat.clock.jump(7200)
    sleeper = await case.chat.enter("Sleeper", address="203.0.113.68")  # made just before, for this
    await sleeper.post("zzz")
    case.chat.clock.jump(60)
    await case.ban()
    await old.post("still me")
    sleeper.say("again")
    assert (await sleeper.next("ack"))["held"] is True
    await case.nobody_saw()


async def test_shadow_mode_shows_it_to_them_alone(case: Case) -> None:
    await case.ban(newcomers="shadow")
    page = case.browser(NEIGHBOUR)
    assert await case.says(page) == "seen"
    await page.sees(lambda page: "me again" in page.texts())
    await case.nobody_saw()
    assert case.chat.service.moderation.held_json(case.room) == []


async def test_moderators_let_newcomers_through_and_trust_them(case: Case) -> None:
    await case.ban()
    page = case.browser(NEIGHBOUR)
    assert await case.says(page) == "held"
    [held] = case.moderation.held_json(case.room)
    [ban] = await case.chat.service.bans("demo")
    assert ban.tag in held["reason"]
    await case.moderation.actions.decide(case.room, MO, [held["id"]], allow=True)
    await case.bob.sees(lambda bob: "me again" in bob.texts())
    await page.sees(lambda page: "me again" in page.texts())
    page.say("and again")
    assert (await page.next("ack"))["held"] is True  # one message let through is no trust
    assert page.you is not None
    await case.moderation.actions.trust(case.room, MO, page.you["id"])
    await page.post("thank you")


async def test_a_newcomer_who_is_held_says_nothing_by_other_means(case: Case) -> None:
    said = await case.bob.post("react to this")
    await case.ban()
    page = case.browser(NEIGHBOUR)
    assert await case.says(page) == "held"
    page.send({"type": "react", "id": said, "key": "again", "on": True})
    assert (await page.next("error"))["code"] == "not_allowed"
    page.send({"type": "edit", "id": said, "text": "again"})
    assert (await page.next("error"))["code"] == "not_allowed"
    assert not [message for message in case.bob.got if message["type"] == "reactions"]
    await case.nobody_saw()


async def test_the_ban_ends_and_so_does_the_suspicion(case: Case) -> None:
    await case.ban(seconds=3600)
    case.chat.clock.jump(3601)
    assert await case.says(case.browser(NEIGHBOUR), "One") == "seen"
    assert await case.says(case.browser(token=case.troll.token), "Troll") == "seen"


async def test_a_new_address_and_a_new_browser_are_somebody_new(case: Case) -> None:
    """The honest limit; what is left is the room's rule for new guests."""
    await case.ban()
    assert await case.says(case.browser(ELSEWHERE), "Open") == "seen"
    await case.moderation.actions.set_rules(case.room, MO, {"guests": "hold"})
    assert await case.says(case.browser(ELSEWHERE), "Held") == "held"
    await case.moderation.actions.set_rules(case.room, MO, {"guests": "signin"})
    assert await case.says(case.browser(ELSEWHERE), "Nobody") == "sign_in_needed"
    await case.moderation.actions.set_rules(case.room, MO, {"guests": "open"})
    await case.moderation.actions.shield(case.room, MO, True)
    assert await case.says(case.browser(ELSEWHERE), "Shielded") == "no_new_names"


async def test_new_guests_work_for_their_name(case: Case) -> None:
    await case.moderation.actions.set_rules(case.room, MO, {"guests": "work"})
    case.banning.work = type(case.banning.work)(b"s" * 32, bits=6)
    page = case.browser(ELSEWHERE)
    await page.open()
    await page.hello()
    page.send({"type": "join", "name": "Worker"})
    challenge = await page.next("challenge")
    wrong = next(text for text in "abcdefghij" if not solves(challenge["nonce"], text, challenge["bits"]))
    page.send({"type": "work", "nonce": challenge["nonce"], "answer": wrong})
    challenge = await page.next("challenge")
    answer = solve(Challenge(challenge["nonce"], challenge["bits"]))
    page.send({"type": "work", "nonce": challenge["nonce"], "answer": answer})
    assert (await page.next("joined"))["you"]["name"] == "Worker"
    other = case.browser(ELSEWHERE)
    await other.open()
    await other.hello()
    other.send({"type": "join", "name": "Copy"})
    await other.next("challenge")
    other.send({"type": "work", "nonce": challenge["nonce"], "answer": answer})
    await other.next("challenge")  # the work of another browser
    assert other.you is None


async def test_matrix_users_matched_by_a_pattern(case: Case) -> None:
    await case.banning.ban(case.room, Order(MO, mxid="@spam*:evil.example", reason="no"))
    for mxid, seen in (("@spammer1:evil.example", False), ("@spam:evil.example", False), ("@ann:evil.example", True)):
        author = Author(matrix_author_id(mxid), "Innocent", mxid=mxid)
        outcome = await case.chat.post_matrix(
            case.room, author, event_id=f"${mxid}", kind=Kind.TEXT, text="me again" if not seen else "hi", at=AT(case)
        )
        assert (outcome.error is None) is seen
        assert isinstance(outcome.error, BannedError) is not seen
    await case.nobody_saw()


async def test_a_matrix_user_who_was_banned_by_a_message(case: Case) -> None:
    mxid = "@troll:evil.example"
    author = Author(matrix_author_id(mxid), "Troll", mxid=mxid)
    said = await case.chat.post_matrix(case.room, author, event_id="$1", kind=Kind.TEXT, text="spam", at=AT(case))
    await case.banning.ban(case.room, Order(MO, message_id=said.id))
    with pytest.raises(BannedError):
        case.banning.check_mxid(case.room, mxid)
    renamed = Author(matrix_author_id(mxid), "Innocent", mxid=mxid)
    again = await case.chat.post_matrix(case.room, renamed, event_id="$2", kind=Kind.TEXT, text="me again", at=AT(case))
    assert isinstance(again.error, BannedError)
    # On the page, as the browser that has proven to be theirs.
    page = case.browser(ELSEWHERE, cookie=browser_cookie(b"s" * 32, "x" * 22))
    visitor = Visitor(case.banning.origin(ELSEWHERE))
    visitor.mxid = mxid
    with pytest.raises(BannedError):
        case.banning.check(case.room, visitor)
    assert await case.says(page) == "seen"  # for it is not linked


async def test_patterns_for_everybody_are_refused(case: Case) -> None:
    for text in ("", "*", "@*:*", "@*", "**:*", "ann", "#room:x", "@a\n:b", "@" + "a" * 300):
        with pytest.raises(NotAllowedError):
            await case.banning.ban(case.room, Order(MO, mxid=text))
    assert await case.chat.service.bans("demo") == []


async def test_a_ban_of_the_site_holds_in_every_chat(case: Case) -> None:
    await case.chat.streams.add("other")
    there = case.chat.page(stream="other", address=ELSEWHERE)
    there.token = case.troll.token
    await there.open()
    await there.hello()
    await case.ban(site=True)
    await there.next("banned")
    assert there.closed() == (BANNED, "banned")
    await case.chat.restart()
    with_moderation(case.chat)
    await case.chat.page(stream="other", address=TROLL).kept_out()
    [ban] = await case.banning.bans(None)
    assert ban.site
    assert await case.banning.bans("demo") == []
    await case.banning.lift(None, ban.id, "olga")
    await (await case.chat.page(stream="other", address=TROLL).open()).hello()


async def test_hashes_are_gone_a_month_after_the_ban_and_keys_change(case: Case) -> None:
    await case.ban(seconds=3600)
    old = case.banning.keys.current
    case.chat.clock.jump(40 * 86400)
    await case.banning.tidy()
    assert case.banning.keys.current == old + 1
    # Nothing is left by which anybody could be known: neither marks, nor the salt, nor the traces of guests.
    async with case.chat.database.read() as connection:
        marks = (await connection.exec_driver_sql("SELECT count(*) FROM chat_ban_marks")).scalar_one()
        epochs = (await connection.exec_driver_sql("SELECT epoch FROM chat_identity_salts")).scalars().all()
        traces = (await connection.exec_driver_sql("SELECT address_hash FROM chat_guests")).scalars().all()
    assert (marks, epochs) == (0, [old + 1])
    assert not [trace for trace in traces if trace.startswith(f"{old}.")]
    assert timedelta(days=30) == KEPT


async def test_a_ban_under_an_old_key_still_holds(case: Case) -> None:
    await case.ban()
    for _ in range(3):
        case.chat.clock.jump(31 * 86400)
        await case.banning.tidy()
    assert await case.says(case.browser(), "One") == "out"
    assert await case.says(case.browser(ELSEWHERE, cookie=case.troll.cookie), "Two") == "out"
    assert await case.says(case.browser(NEIGHBOUR), "Three") == "held"
    await case.nobody_saw()


def AT(case: Case) -> Any:  # noqa: N802 - reads as the constant of other tests
    return case.chat.service.now()
