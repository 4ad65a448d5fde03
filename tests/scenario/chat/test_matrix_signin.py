"""Signing in with Matrix: a code counts once, for a while, for who sends it, and is no use to who finds it stored."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.chat import Chat, Page, open_chat

from ghostlive.access.browser import read_browser
from ghostlive.chat.banning import Order
from ghostlive.chat.errors import TooFastError
from ghostlive.chat.identity import browser_subject
from ghostlive.chat.matrix.codes import LIFETIME, MatrixSignIn
from ghostlive.chat.moderation.acts import RULE
from ghostlive.core.websocket import BANNED
from ghostlive.db.matrix import MatrixRepository

ANN, BOB = "@ann:matrix.example", "@bob:matrix.example"
SECRET = b"s" * 32


def make(chat: Chat) -> MatrixSignIn:
    sign_in = MatrixSignIn(
        repository=MatrixRepository(chat.database), clock=chat.clock, now=chat.service.now, secret=SECRET
    )
    chat.service.banning.links = sign_in.links
    return sign_in


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    async with open_chat(tmp_path) as chat:
        yield chat


@pytest.fixture
def sign_in(chat: Chat) -> MatrixSignIn:
    return make(chat)


async def hear(chat: Chat, sign_in: MatrixSignIn, mxid: str, text: str) -> str | None:
    """Somebody sends a code, and the page that showed it says yes to whoever that was."""
    answer = await sign_in.heard(mxid, text, chat.service.now())
    for subject in ("b_1", "b_2", "u_1"):
        await sign_in.confirm(subject, mxid)
    return answer


def subject_of(page: Page) -> str:
    return browser_subject(read_browser(SECRET, page.cookie))


async def test_a_code_that_is_typed_on_the_page_is_shown_to_nobody(chat: Chat, sign_in: MatrixSignIn) -> None:
    chat.service.check_text = sign_in.check_text
    sign_in.bot = "@_ghostlive:chat.test"
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    said = await ann.post("before")
    code = (await sign_in.issue("b_1", "192.0.2.1")).text
    bare = code.removeprefix("GHOST-")
    again = make(chat)  # what is stored is known after a restart
    await again.start()
    again.bot = sign_in.bot
    for known in (sign_in, again):
        chat.service.check_text = known.check_text
        for text in (
            code,
            f" {code.lower()} ",
            code.replace("-", " "),
            f"is it {code}?",
            bare,
            f"hello {bare} there",
            "GHOST" + bare.replace("-", ""),
        ):
            for page in (ann, bob):  # whosever it is
                page.say(text)
                error = await page.next("error")
                assert error["code"] == "sign_in_code", text
                assert "@_ghostlive:chat.test" in error["text"]
                assert code not in error["text"]
        ann.send({"type": "edit", "id": said, "text": code})
        assert (await ann.next("error"))["code"] == "sign_in_code"
        ann.say(code, emote=True)
        assert (await ann.next("error"))["code"] == "sign_in_code"
    # Nothing else is kept back, whatever it looks like; nor is a code that is void.
    other = "GHOST-00000-00000"
    ordinary = ["GHOST", other, bare[:5], code[:-1], f"{code}X", "ghost hello world", "hello-world"]
    for text in ordinary:
        await ann.post(text)
    assert bob.texts() == ["before", *ordinary]
    answer = await again.heard(ANN, code, chat.service.now())
    assert answer is not None
    assert "say yes" in answer, "it counts all the same"
    await ann.post(code)
    late = (await again.issue("b_2", "192.0.2.1")).text
    chat.clock.advance(LIFETIME.total_seconds() + 1)
    again.check_text(late)
    withdrawn = (await again.issue("b_2", "192.0.2.1")).text
    await again.withdraw("b_2")
    again.check_text(withdrawn)


async def test_a_code_counts_once(chat: Chat, sign_in: MatrixSignIn) -> None:
    told: list[str] = []
    sign_in.changed.append(told.append)
    code = (await sign_in.issue("b_1", "192.0.2.1")).text
    assert code.startswith("GHOST-")
    answer = await hear(chat, sign_in, ANN, f"  {code.lower()} ")
    assert answer is not None
    assert ANN in answer
    assert sign_in.links == {"b_1": ANN}
    assert told == ["b_1"]
    for mxid in (BOB, ANN):
        answer = await hear(chat, sign_in, mxid, code)
        assert answer is not None
        assert "not valid" in answer
    assert sign_in.links == {"b_1": ANN}
    again = make(chat)
    await again.start()
    assert again.links == {"b_1": ANN}


async def test_who_sends_a_code_is_not_linked_before_the_page_says_yes(chat: Chat, sign_in: MatrixSignIn) -> None:
    code = (await sign_in.issue("u_1", "192.0.2.1")).text
    assert sign_in.claim("u_1") is None
    answer = await sign_in.heard(BOB, code, chat.service.now())
    assert answer is not None
    assert BOB in answer
    assert sign_in.links == {}
    assert sign_in.claim("u_1") == BOB
    assert not await sign_in.confirm("u_1", ANN), "not who has sent it"
    assert not await sign_in.confirm("b_1", BOB), "not who asked for it"
    assert sign_in.links == {}
    await sign_in.withdraw("u_1")
    assert sign_in.claim("u_1") is None
    assert not await sign_in.confirm("u_1", BOB)
    assert "not valid" in str(await sign_in.heard(ANN, code, chat.service.now()))
    assert await MatrixRepository(chat.database).links() == []
    code = (await sign_in.issue("u_1", "192.0.2.1")).text
    await sign_in.heard(ANN, code, chat.service.now())
    assert await sign_in.confirm("u_1", ANN)
    assert sign_in.links == {"u_1": ANN}
    assert not await sign_in.confirm("u_1", ANN), "once"


async def test_a_code_that_was_sent_waits_for_ten_minutes(chat: Chat, sign_in: MatrixSignIn) -> None:
    await sign_in.heard(ANN, (await sign_in.issue("b_1", "192.0.2.1")).text, chat.service.now())
    chat.clock.jump(LIFETIME.total_seconds() - 1)
    assert sign_in.claim("b_1") == ANN
    chat.clock.jump(1)
    assert not await sign_in.confirm("b_1", ANN)
    assert sign_in.links == {}


async def test_another_code_and_unlink_end_what_waits(chat: Chat, sign_in: MatrixSignIn) -> None:
    await sign_in.heard(ANN, (await sign_in.issue("b_1", "192.0.2.1")).text, chat.service.now())
    code = (await sign_in.issue("b_1", "192.0.2.1")).text
    assert sign_in.claim("b_1") is None
    await sign_in.heard(ANN, code, chat.service.now())
    assert str(await sign_in.heard(ANN, "!unlink", chat.service.now())).startswith("1 link was")
    assert not await sign_in.confirm("b_1", ANN), "she was talked into sending a stranger's code"
    assert sign_in.links == {}


async def test_what_people_type_wrongly_is_forgiven(
    chat: Chat, sign_in: MatrixSignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ghostlive.chat.matrix.codes.secrets.choice", lambda alphabet: "0")
    code = (await sign_in.issue("b_1", "192.0.2.1")).text
    assert code == "GHOST-00000-00000"
    assert await hear(chat, sign_in, ANN, "ghost oooooooOOO") is not None
    assert sign_in.links == {"b_1": ANN}


async def test_a_code_is_valid_for_ten_minutes_and_until_the_next(chat: Chat, sign_in: MatrixSignIn) -> None:
    first = (await sign_in.issue("b_1", "192.0.2.1")).text
    second = (await sign_in.issue("b_1", "192.0.2.1")).text
    await hear(chat, sign_in, ANN, first)
    assert sign_in.links == {}
    chat.clock.jump(LIFETIME.total_seconds() - 1)
    await hear(chat, sign_in, ANN, second)
    assert sign_in.links == {"b_1": ANN}
    third = (await sign_in.issue("b_2", "192.0.2.1")).text
    chat.clock.jump(timedelta(minutes=10).total_seconds())
    await hear(chat, sign_in, BOB, third)
    assert sign_in.links == {"b_1": ANN}


async def test_what_is_stored_is_no_code(chat: Chat, sign_in: MatrixSignIn) -> None:
    code = await sign_in.issue("b_1", "192.0.2.1")
    async with chat.database.read() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM matrix_codes")).all()
    assert len(rows) == 1
    for part in code.text.split("-"):
        assert part not in str(rows)
    assert code.text not in repr(code)


async def test_other_messages_are_no_codes(chat: Chat, sign_in: MatrixSignIn) -> None:
    code = (await sign_in.issue("b_1", "192.0.2.1")).text
    for text in (
        "hello",
        "",
        "GHOST",
        "GHOST-AAAA-AAAA",
        f"my code is {code}",
        f"{code} " + "x" * 60,
        code + "A",
        "ghost\n",
    ):
        assert await hear(chat, sign_in, ANN, text) is None, text
    assert sign_in.links == {}


async def test_guessing_is_slow(chat: Chat, sign_in: MatrixSignIn) -> None:
    code = (await sign_in.issue("b_1", "192.0.2.1")).text
    for number in range(5):
        assert "not valid" in str(await hear(chat, sign_in, BOB, f"GHOST-AAAAA-AAA{number:02}"))
    assert "too many" in str(await hear(chat, sign_in, BOB, code))
    assert sign_in.links == {}
    await hear(chat, sign_in, ANN, code)  # others are not slowed down
    assert sign_in.links == {"b_1": ANN}


async def test_asking_is_limited_for_each_browser_and_each_address(chat: Chat, sign_in: MatrixSignIn) -> None:
    for _ in range(5):
        await sign_in.issue("b_1", "192.0.2.1")
    with pytest.raises(TooFastError):
        await sign_in.issue("b_1", "198.51.100.1")
    for number in range(15):
        await sign_in.issue(f"b_x{number}", "192.0.2.1")
    with pytest.raises(TooFastError) as refused:
        await sign_in.issue("b_y", "192.0.2.1")
    assert refused.value.retry_after is not None
    await sign_in.issue("b_y", "192.0.2.2")


async def test_links_are_undone_by_either_side(chat: Chat, sign_in: MatrixSignIn) -> None:
    for subject in ("b_1", "u_1", "b_2"):
        await hear(chat, sign_in, BOB if subject == "b_2" else ANN, (await sign_in.issue(subject, "192.0.2.1")).text)
    assert str(await hear(chat, sign_in, ANN, "!unlink")).startswith("2 links")
    assert sign_in.links == {"b_2": BOB}
    assert str(await hear(chat, sign_in, ANN, "!UNLINK")).startswith("Nothing")
    assert await sign_in.unlink("b_2")
    assert not await sign_in.unlink("b_2")
    assert sign_in.links == {}


async def test_who_was_banned_by_their_matrix_id_does_not_come_back_by_signing_out(
    chat: Chat, sign_in: MatrixSignIn
) -> None:
    page = await chat.enter(address="203.0.113.5")
    await sign_in.heard(ANN, (await sign_in.issue(subject_of(page), "203.0.113.5")).text, chat.service.now())
    assert await sign_in.confirm(subject_of(page), ANN)
    await page.back()
    await page.join("Ann")
    room = await chat.service.enter("demo")
    await chat.service.banning.ban(room, Order(RULE, mxid=ANN))
    await page.next("banned")
    assert await sign_in.unlink(subject_of(page))
    await page.kept_out()
    moved = chat.page(address="198.51.100.5")
    moved.cookie = page.cookie
    await moved.kept_out()
    cleared = chat.page(address="203.0.113.5")
    await cleared.kept_out()
    await chat.page(address="198.51.100.7").open()
    chat.service.leave(room)


async def test_a_guest_who_signed_in_shows_it_and_is_banned_by_it(chat: Chat, sign_in: MatrixSignIn) -> None:
    page = await chat.enter(address="203.0.113.5")
    code = (await sign_in.issue(subject_of(page), "203.0.113.5")).text
    await sign_in.heard(ANN, code, chat.service.now())
    assert await sign_in.confirm(subject_of(page), ANN)
    await page.back()
    assert (await page.join("Ann"))["you"]["matrix"] == ANN
    assert (await page.back())["you"]["matrix"] == ANN
    await page.post("hello")
    room = await chat.service.enter("demo")
    await chat.service.banning.ban(room, Order(RULE, mxid="@ann:*"))
    await page.next("banned")
    assert page.closed() == (BANNED, "banned")
    moved = chat.page(address="198.51.100.5")
    moved.cookie = page.cookie
    await moved.kept_out()
    chat.service.leave(room)
