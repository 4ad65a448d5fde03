"""The studio's page for the chat of a stream: what a streamer does when a chat needs them, on a desk and on a phone."""

import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, expect
from tests.e2e.conftest import ARTEFACTS
from tests.support.axe import expect_accessible
from tests.support.browser import Trouble
from tests.support.chat_client import ChatClient, chat_url, guest
from tests.support.program import Program, running

from ghostlive.db.users import Role

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WAIT = 60_000
PASSWORD = "a horse in the rain"
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
STREAM = "friday"
LOOKS_EVERY = 10_000
"""Milliseconds after which the page asks again who is banned, and before that, what waits."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server with an owner, somebody else with an account, and a stream."""
    with running(tmp_path_factory.mktemp("moderation")) as program:
        for name, role in (("boss", Role.OWNER), ("carol", Role.STREAMER)):
            program.add_user(name, PASSWORD, role)
        program.add_stream(STREAM)
        yield program


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def boss(house: Program, browser: Browser) -> AsyncIterator[BrowserContext]:
    """The owner's browser."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    answer = await context.request.post(f"{house.url}/api/v1/session", data={"name": "boss", "password": PASSWORD})
    assert answer.status == 200, await answer.text()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(house: Program, boss: BrowserContext) -> AsyncIterator[Page]:
    """The page, in which nothing may go wrong unnoticed."""
    page = await boss.new_page()
    trouble = Trouble(house.url)
    trouble.expected += ["403 (Forbidden)", "404 (Not Found)", "422 (Unprocessable"]
    trouble.watch(page)
    await page.clock.install()
    await page.goto(f"{house.url}/studio/{STREAM}/chat")
    await expect(page.get_by_test_id("rules")).to_be_visible(timeout=WAIT)
    yield page
    await page.close()
    trouble.check()


@pytest.fixture
def ann(house: Program) -> Iterator[ChatClient]:
    """A guest in the chat."""
    with guest(chat_url(house.url, STREAM), "Ann") as client:
        yield client


def told(page: Page, panel: str) -> Locator:
    """What a panel says of what was done last."""
    return page.get_by_test_id(panel).get_by_test_id("told")


async def test_the_page_is_a_tab_of_its_stream(house: Program, page: Page) -> None:
    await page.goto(f"{house.url}/studio/{STREAM}")
    await page.get_by_test_id("tab-chat").click(timeout=WAIT)
    await expect(page.get_by_test_id("rules")).to_be_visible(timeout=WAIT)
    assert page.url == f"{house.url}/studio/{STREAM}/chat"
    await page.go_back()
    await expect(page.get_by_test_id("encoder")).to_be_visible(timeout=WAIT)


async def test_a_message_that_waits_is_shown_when_it_is_allowed(page: Page, ann: ChatClient) -> None:
    await page.get_by_test_id("rule-approve").check()
    await expect(told(page, "rules")).to_contain_text("Saved", timeout=WAIT)
    for text in ("please", "rubbish"):
        ann.send(type="post", txn=text, text=text)
    ann.wait(lambda: len(ann.acks) == 2, "the server to hold both")
    assert ann.texts == []
    await page.clock.fast_forward(LOOKS_EVERY)
    held = page.get_by_test_id("held-message")
    await expect(held).to_have_count(2, timeout=WAIT)
    await held.filter(has_text="please").get_by_test_id("held-allow").click()
    await expect(held).to_have_count(1, timeout=WAIT)
    await held.get_by_test_id("held-reject").click()
    await expect(page.get_by_test_id("held")).to_contain_text("Nothing waits", timeout=WAIT)
    ann.wait(lambda: ann.texts == ["please"], "the message that was allowed")
    await page.get_by_test_id("rule-approve").uncheck()
    await expect(told(page, "rules")).to_contain_text("Saved", timeout=WAIT)


async def test_a_word_of_the_list_is_refused_and_a_bad_pattern_explained(page: Page, ann: ChatClient) -> None:
    words = page.get_by_test_id("words")
    await words.get_by_test_id("word-text").fill("rubbish")
    await words.get_by_test_id("word-add").click()
    await expect(words.get_by_test_id("word")).to_contain_text("rubbish", timeout=WAIT)
    ann.send(type="post", txn="w1", text="what a RUBBISH game")
    assert ann.error()["code"] == "word"
    await words.get_by_test_id("word-text").fill("(open")
    await words.get_by_test_id("word-kind").select_option("regex")
    await words.get_by_test_id("word-add").click()
    await expect(told(page, "words")).to_contain_text("(open", timeout=WAIT)
    await words.get_by_role("button", name="Remove").click()
    await expect(words.get_by_test_id("word")).to_have_count(0, timeout=WAIT)
    ann.post("what a rubbish game", "w2")


async def test_the_shield_lets_nobody_new_in(house: Program, page: Page) -> None:
    await page.get_by_test_id("shield-toggle").click()
    await expect(told(page, "shield")).to_contain_text("up", timeout=WAIT)
    with ChatClient(chat_url(house.url, STREAM)) as stranger:
        stranger.send(type="join", name="Stranger")
        assert stranger.error()["code"] == "no_new_names"
        await page.get_by_test_id("shield-toggle").click()
        await expect(told(page, "shield")).to_contain_text("down", timeout=WAIT)
        stranger.join("Stranger")


async def test_moderators_are_named_and_what_they_did_is_in_the_log(page: Page) -> None:
    moderators = page.get_by_test_id("moderators")
    field = moderators.get_by_label("Account or Matrix ID")
    for name, why in (("nobody-here", "no account"), ("boss", "already")):
        await field.fill(name)
        await moderators.get_by_test_id("moderator-add").click()
        await expect(told(page, "moderators")).to_contain_text(why, timeout=WAIT)
    await field.fill("carol")
    await moderators.get_by_test_id("moderator-add").click()
    await expect(moderators.get_by_test_id("moderator")).to_contain_text("carol", timeout=WAIT)
    newest = page.get_by_test_id("audit-entry").first
    await expect(newest).to_contain_text("boss made carol a moderator", timeout=WAIT)
    await moderators.get_by_role("button", name="Remove carol").click()
    await expect(moderators.get_by_test_id("moderator")).to_have_count(0, timeout=WAIT)
    await expect(newest).to_contain_text("ended carol", timeout=WAIT)
    await expect(moderators.get_by_role("heading", name="Moderators")).to_be_focused()


async def test_a_ban_is_seen_and_lifted(house: Program, boss: BrowserContext, page: Page) -> None:
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in await boss.cookies(house.url))
    url = chat_url(house.url, STREAM)
    with guest(url, "Troll") as troll, ChatClient(url, headers={"Cookie": cookies, "Origin": house.url}) as owner:
        said = troll.post("I was here", "t1")
        owner.send(type="ban", id=said, seconds=3600, reason="no trolling")
        assert troll.until("banned")["reason"] == "no trolling"
    await page.clock.fast_forward(LOOKS_EVERY)
    ban = page.get_by_test_id("ban")
    await expect(ban).to_contain_text("Troll", timeout=WAIT)
    await expect(ban).to_contain_text("no trolling")
    await expect(ban).to_contain_text(re.compile("until .*20"))
    ARTEFACTS.mkdir(exist_ok=True)
    for size, (width, height) in SIZES.items():
        await page.set_viewport_size({"width": width, "height": height})
        await expect_accessible(page)
        await page.screenshot(path=ARTEFACTS / f"moderation-{size}.png", full_page=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await ban.get_by_role("button", name="Lift the ban of Troll").click()
    await expect(ban).to_have_count(0, timeout=WAIT)
    with guest(url, "Better") as better:
        better.post("sorry", "t2")


async def test_without_matrix_the_page_says_so(page: Page) -> None:
    await expect(page.get_by_test_id("matrix")).to_contain_text("Matrix is off", timeout=WAIT)
    await expect(page.get_by_test_id("matrix-link")).to_have_count(0)
    await expect(page.get_by_test_id("policies")).to_have_count(0)


async def test_who_moderates_a_chat_finds_it_in_the_studio(
    house: Program, boss: BrowserContext, browser: Browser
) -> None:
    chat = f"{house.url}/api/v1/streams/{STREAM}/chat"
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        answer = await context.request.post(f"{house.url}/api/v1/session", data={"name": "carol", "password": PASSWORD})
        assert answer.status == 200
        page = await context.new_page()
        await page.goto(f"{house.url}/studio/{STREAM}/chat")
        await expect(page.get_by_test_id("moderation")).to_contain_text("may", timeout=WAIT)
        await expect(page.get_by_test_id("rules")).to_have_count(0)
        answer = await boss.request.put(f"{chat}/moderators", data={"account": "carol"})
        assert answer.status == 200, await answer.text()
        await page.reload()
        await page.get_by_test_id("rule-slow").select_option("5", timeout=WAIT)
        await expect(told(page, "rules")).to_contain_text("Saved", timeout=WAIT)
        # What is the streamer's is not offered, or refused.
        await expect(page.get_by_test_id("golive-link")).to_have_count(0)
        await expect(page.get_by_test_id("tab-stream")).to_have_count(0)
    finally:
        await context.close()
        await boss.request.delete(f"{chat}/moderators?account=carol", headers={"content-type": "application/json"})
