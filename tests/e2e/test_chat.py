"""The chat as its people meet it: guests, the streamer, a phone, a keyboard, a restart, and those who play tricks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Literal

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, expect
from tests.e2e.conftest import ARTEFACTS, PASSWORD
from tests.support.axe import expect_accessible
from tests.support.browser import Trouble, eventually, expect_moving_picture, until
from tests.support.channel import Channel
from tests.support.chat_client import ChatClient, chat_url
from tests.support.encoder import Picture, publishing
from tests.support.program import Program, running
from tests.support.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WAIT = 60_000
Scheme = Literal["light", "dark"]
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
COMES_BACK_WITHIN = 30_000
"""Milliseconds after which the page of somebody who is banned has looked whether that is over."""


class Person:
    """Somebody with a browser of their own at a stream's page."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context = context
        self.page = page

    async def join(self, name: str, *, shown: str | None = None) -> None:
        """Take a name; `shown` is what becomes of it, when that is something else."""
        await self.page.get_by_test_id("chat-name-field").fill(name, timeout=WAIT)
        await self.page.get_by_test_id("chat-join").click()
        await expect(self.page.get_by_test_id("chat-you")).to_have_text(shown or name, timeout=WAIT)

    async def say(self, text: str) -> None:
        """Send a message and wait until it is really there."""
        await self.page.get_by_test_id("chat-field").fill(text, timeout=WAIT)
        await self.page.keyboard.press("Enter")
        await expect(self.said(text)).to_have_count(1, timeout=WAIT)

    def said(self, text: str) -> Locator:
        """The messages with this text."""
        return self.page.get_by_test_id("chat-message").filter(has=self.page.get_by_text(text, exact=True))

    async def texts(self) -> list[str]:
        """All that this person's page shows, in order."""
        return await self.page.get_by_test_id("chat-text").all_inner_texts()

    async def sign_in(self, program: Program) -> None:
        """Sign in to the owner's account, without leaving the page."""
        answer = await self.context.request.post(
            f"{program.url}/api/v1/session", data={"name": "boss", "password": PASSWORD}
        )
        assert answer.status == 200, await answer.text()


@asynccontextmanager
async def person(
    browser: Browser, channel: Channel, size: str = "desk", scheme: Scheme = "dark"
) -> AsyncIterator[Person]:
    """Open a stream's page in a fresh browser."""
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=size == "phone",
    )
    page = await context.new_page()
    trouble = Trouble(channel.program.url)
    trouble.expected += [
        "WebSocket connection",
        "ERR_CONNECTION_REFUSED",
        "ERR_CONNECTION_RESET",
        "ERR_INCOMPLETE_CHUNKED",
        "ERR_EMPTY_RESPONSE",
    ]
    trouble.watch(page)
    try:
        await page.goto(channel.page)
        yield Person(context, page)
    finally:
        await context.close()
    trouble.check()


@pytest_asyncio.fixture(loop_scope="session")
async def ann(browser: Browser, channel: Channel) -> AsyncIterator[Person]:
    """One guest."""
    async with person(browser, channel) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def bob(browser: Browser, channel: Channel) -> AsyncIterator[Person]:
    """Another guest, with a phone."""
    async with person(browser, channel, "phone") as found:
        yield found


async def test_two_guests_see_each_others_messages_in_the_same_order(ann: Person, bob: Person) -> None:
    await ann.join("Ann")
    await bob.join("Bob")
    for number in range(4):
        await asyncio.gather(ann.say(f"a{number}"), bob.say(f"b{number}"))
    for somebody in (ann, bob):
        await expect(somebody.page.get_by_test_id("chat-message")).to_have_count(8, timeout=WAIT)
    assert await ann.texts() == await bob.texts()
    assert [text for text in await ann.texts() if text[0] == "b"] == ["b0", "b1", "b2", "b3"]


async def test_a_reload_and_a_second_tab_are_the_same_guest(ann: Person, bob: Person) -> None:
    await ann.join("Ann")
    await ann.say("before")
    await ann.page.reload()
    await expect(ann.page.get_by_test_id("chat-you")).to_contain_text("Ann", timeout=WAIT)
    await ann.say("after")
    tab = Person(ann.context, await ann.context.new_page())
    await tab.page.goto(ann.page.url)
    await expect(tab.page.get_by_test_id("chat-you")).to_contain_text("Ann", timeout=WAIT)
    await tab.say("from the other tab")
    messages = bob.page.get_by_test_id("chat-message")
    await expect(messages).to_have_count(3, timeout=WAIT)
    authors = await messages.evaluate_all("found => found.map((message) => message.dataset.author)")
    assert len(set(authors)) == 1


async def test_a_latecomer_reads_what_was_said(ann: Person, browser: Browser, channel: Channel) -> None:
    await ann.join("Ann")
    for number in range(3):
        await ann.say(f"number {number}")
    async with person(browser, channel) as late:
        await expect(late.page.get_by_test_id("chat-message")).to_have_count(3, timeout=WAIT)
        assert await late.texts() == ["number 0", "number 1", "number 2"]


async def test_a_restart_of_the_server_loses_and_doubles_nothing(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> None:
    with running(tmp_path_factory.mktemp("chat")) as program:
        channel = await asyncio.to_thread(Channel.add, program)
        async with person(browser, channel) as ann, person(browser, channel) as bob:
            await ann.join("Ann")
            await bob.join("Bob")
            await ann.say("one")
            await expect(bob.said("one")).to_have_count(1, timeout=WAIT)
            await asyncio.to_thread(program.stop)
            await expect(ann.page.get_by_test_id("chat-status")).to_be_visible(timeout=WAIT)
            # Said into the dark: it goes out when the server is back.
            await ann.page.get_by_test_id("chat-field").fill("two")
            await ann.page.keyboard.press("Enter")
            await asyncio.to_thread(program.start)
            for somebody in (ann, bob):
                await expect(somebody.page.get_by_test_id("chat-message")).to_have_count(2, timeout=WAIT)
                assert await somebody.texts() == ["one", "two"]
            await bob.say("three")
            await expect(ann.page.get_by_test_id("chat-message")).to_have_count(3, timeout=WAIT)
            assert await ann.texts() == ["one", "two", "three"]


async def test_the_streamer_is_marked_and_takes_messages_away(
    owner: str, channel: Channel, ann: Person, bob: Person
) -> None:
    await bob.sign_in(channel.program)
    await bob.page.reload()
    await ann.join("Ann")
    await ann.say("something rude")
    await bob.say("hello, I am the streamer")
    mine = ann.said("hello, I am the streamer")
    await expect(mine).to_contain_text("Streamer", timeout=WAIT)
    await expect(mine).to_contain_text(owner)
    rude = bob.said("something rude")
    await rude.click()
    await rude.get_by_test_id("chat-delete").click(timeout=WAIT)
    await expect(ann.said("something rude")).to_have_count(0, timeout=WAIT)
    await ann.page.reload()
    await expect(ann.page.get_by_test_id("chat-message")).to_have_count(1, timeout=WAIT)


async def test_a_ban_holds_in_a_private_window(
    owner: str, channel: Channel, ann: Person, bob: Person, browser: Browser
) -> None:
    await bob.sign_in(channel.program)
    await bob.page.reload()
    await ann.join("Troll")
    await ann.say("rubbish")
    message = bob.said("rubbish")
    await message.click()
    await message.get_by_test_id("chat-ban").click(timeout=WAIT)
    await bob.page.get_by_test_id("ban-reason").fill("no rubbish here")
    await bob.page.get_by_test_id("ban-messages").check()
    await expect_accessible(bob.page)
    await bob.page.get_by_test_id("ban-confirm").click()
    await expect(ann.page.get_by_test_id("chat-banned")).to_contain_text("no rubbish here", timeout=WAIT)
    await expect(ann.page.get_by_test_id("chat-message")).to_have_count(0, timeout=WAIT)
    await ann.page.clock.install()
    await ann.page.reload()
    await expect(ann.page.get_by_test_id("chat-banned")).to_be_visible(timeout=WAIT)
    async with person(browser, channel) as again:
        await expect(again.page.get_by_test_id("chat-banned")).to_be_visible(timeout=WAIT)
    # Lifted in the studio, they may write again without a reload.
    studio = await bob.context.new_page()
    await studio.goto(f"{channel.program.url}/studio/{channel.name}/chat")
    ban = studio.get_by_test_id("bans").get_by_test_id("ban")
    await expect(ban).to_contain_text("Troll", timeout=WAIT)
    await ban.get_by_role("button", name="Lift").click()
    await expect(ban).to_have_count(0, timeout=WAIT)
    await ann.page.clock.fast_forward(COMES_BACK_WITHIN)
    await expect(ann.page.get_by_test_id("chat-banned")).to_have_count(0, timeout=WAIT)
    await ann.say("sorry")


async def test_tricks_in_names_and_messages_stay_text(ann: Person, bob: Person) -> None:
    await ann.join("A\u202enn\u200b", shown="Ann")
    await bob.join("Bob")
    script = "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>"
    await ann.say(script)
    await expect(bob.said(script)).to_have_count(1, timeout=WAIT)
    assert "caught" not in await bob.page.title()
    assert await bob.page.get_by_test_id("chat-message").locator("img, script").count() == 0
    name = bob.page.get_by_test_id("chat-message").get_by_test_id("chat-name").first
    assert "Ann" in await name.inner_text()
    await ann.page.get_by_test_id("chat-field").fill("look: https://example.org/a_(b)?c=d. javascript:alert(1)")
    await ann.page.keyboard.press("Enter")
    link = bob.page.get_by_test_id("chat-message").get_by_role("link")
    await expect(link).to_have_count(1, timeout=WAIT)
    assert await link.get_attribute("href") == "https://example.org/a_(b)?c=d"
    assert {"noopener", "noreferrer", "nofollow"} <= set((await link.get_attribute("rel") or "").split())
    assert await link.get_attribute("target") == "_blank"


# What was told stays for a second or two, each time.
REMEMBER_ERRORS = """() => {
  window.told = [];
  const look = () => window.told.push(document.querySelector("[data-testid=chat-error]")?.textContent ?? "");
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


async def test_writing_too_fast_is_told_and_nothing_is_lost(ann: Person) -> None:
    await ann.join("Ann")
    await ann.page.evaluate(REMEMBER_ERRORS)
    field = ann.page.get_by_test_id("chat-field")

    async def sent() -> bool:
        await field.press("Enter")  # while too much waits, the words stay in the field
        return await field.input_value() == ""

    said: list[str] = []
    while len(said) < 8 or not await ann.page.evaluate("told.some((text) => text.includes('too fast'))"):
        said.append(f"quick {len(said)}")
        await field.fill(said[-1])
        await eventually(f"{said[-1]} to be sent", sent)
    await expect(ann.page.get_by_test_id("chat-message")).to_have_count(len(said), timeout=WAIT)
    assert await ann.texts() == said


async def test_everything_by_keyboard(ann: Person, bob: Person) -> None:
    """Name, message, reply: no touch of the mouse."""
    await bob.join("Bob")
    await bob.say("who answers me?")
    await expect(ann.said("who answers me?")).to_have_count(1, timeout=WAIT)
    keyboard = ann.page.keyboard
    await _tab_to(ann.page, "chat-name-field")
    await keyboard.type("Ann")
    await keyboard.press("Enter")
    await expect(ann.page.get_by_test_id("chat-field")).to_be_focused(timeout=WAIT)
    await keyboard.type("me")
    await keyboard.press("Enter")
    await expect(ann.said("me")).to_have_count(1, timeout=WAIT)
    await _shift_tab_to_messages(ann.page)
    await keyboard.press("ArrowUp")
    await expect(ann.page.locator("[data-testid=chat-message]:focus")).to_contain_text("me")
    await keyboard.press("ArrowUp")
    await expect(ann.page.locator("[data-testid=chat-message]:focus")).to_contain_text("who answers me?")
    # Past the name, which has a card, to what can be done.
    await keyboard.press("Tab")
    await keyboard.press("Tab")
    await expect(ann.page.get_by_test_id("chat-reply")).to_be_focused(timeout=WAIT)
    await keyboard.press("Enter")
    await expect(ann.page.get_by_test_id("chat-field")).to_be_focused(timeout=WAIT)
    await keyboard.type("I do")
    await keyboard.press("Enter")
    await expect(bob.said("I do")).to_contain_text("who answers me?", timeout=WAIT)


async def test_the_emoji_picker_asks_nobody_else(ann: Person) -> None:
    await ann.join("Ann")
    await ann.page.get_by_test_id("chat-emoji").click()
    picker = ann.page.locator("emoji-picker")
    await until(ann.page, "the emoji", "!!document.querySelector('emoji-picker')?.shadowRoot?.querySelector('.emoji')")
    await picker.get_by_role("searchbox").or_(picker.get_by_role("combobox")).first.fill("ghost")
    await picker.get_by_role("option").first.click(timeout=WAIT)
    await expect(ann.page.get_by_test_id("chat-field")).to_have_value("👻", timeout=WAIT)


@pytest.fixture(scope="module")
def lively(server: Program) -> Iterator[Channel]:
    """A broadcast with a conversation."""
    channel = Channel.add(server, "lively")
    with publishing(channel.publish_url, Picture()):
        channel.wait_until("live")
        channel.wait_for_segments(2)
        _converse(channel)
        yield channel


CONVERSATION = [
    ("Mira", "good evening everyone"),
    ("Jörg", "Is this the new camera? Looks sharp!"),
    ("たろう", "こんばんは 👻"),
    ("Mira", "https://example.org/what-we-play has the list"),
    ("Layla", "مساء الخير"),
    ("Jörg", "The sound is fine here too, a second behind the clock on my desk, that is hard to believe"),
]


def _converse(channel: Channel) -> None:
    with ExitStack() as stack:
        guests: dict[str, ChatClient] = {}
        for number, (name, text) in enumerate(CONVERSATION):
            if name not in guests:
                url = chat_url(channel.program.url, channel.name)
                guests[name] = stack.enter_context(ChatClient(url))
                guests[name].join(name)
            guests[name].post(text, f"line-{number}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_page_with_picture_and_chat_on_every_screen(
    lively: Channel, browser: Browser, size: str, scheme: Scheme
) -> None:
    async with person(browser, lively, size, scheme) as viewer:
        page = viewer.page
        await expect_moving_picture(page)
        await expect(page.get_by_test_id("viewers")).to_contain_text("watching", timeout=WAIT)
        await viewer.join(f"Viewer {size} {scheme}")
        await expect(page.get_by_test_id("chat-message").nth(5)).to_be_attached(timeout=WAIT)
        await expect_accessible(page)
        ARTEFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTEFACTS / f"chat-{size}-{scheme}.png")
        width, height = SIZES[size]
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        for part in ("player", "chat", "chat-field"):
            box = await page.get_by_test_id(part).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height + 1, f"{part} is not wholly on the screen"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("where", ["/", "/login", "/embed/{}?chat=1"])
async def test_other_pages_are_accessible_on_every_screen(
    lively: Channel, browser: Browser, size: str, scheme: Scheme, where: str
) -> None:
    async with person(browser, lively, size, scheme) as viewer:
        await viewer.page.goto(lively.program.url + where.format(lively.name))
        await expect(viewer.page.get_by_role("main")).to_be_visible(timeout=WAIT)
        await viewer.page.wait_for_load_state()
        await expect_accessible(viewer.page)
        name = where.strip("/").partition("/")[0] or "list"
        await viewer.page.screenshot(path=ARTEFACTS / f"{name}-{size}-{scheme}.png")
        assert await viewer.page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


async def test_embedded_in_another_site_guests_chat_too(
    lively: Channel, page: Page, trouble: Trouble, outside: Site
) -> None:
    trouble.allowed.append(outside.url)
    embedded = f"{lively.program.url}/embed/{lively.name}?chat=1"
    await page.goto(outside.add("blog-with-chat", f'<iframe src="{embedded}" width="1000" height="500"></iframe>'))
    frame = page.frame_locator("iframe")
    await frame.get_by_test_id("chat-name-field").fill("Reader", timeout=WAIT)
    await frame.get_by_test_id("chat-join").click()
    await frame.get_by_test_id("chat-field").fill("hello from a blog", timeout=WAIT)
    await frame.get_by_test_id("chat-field").press("Enter")
    await expect(frame.get_by_text("hello from a blog")).to_be_visible(timeout=WAIT)


async def test_a_page_of_another_site_cannot_open_the_chat(channel: Channel, outside: Site) -> None:
    assert await asyncio.to_thread(_upgrade, channel, {"Origin": outside.url}) == 403
    assert await asyncio.to_thread(_upgrade, channel, {"Origin": channel.program.url}) == 101


async def test_share_tells_the_link_and_the_code_to_embed(lively: Channel, page: Page) -> None:
    await page.goto(lively.page)
    await page.get_by_test_id("share").click(timeout=WAIT)
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    await expect_accessible(page)
    code = await page.get_by_test_id("embed-code").input_value()
    assert f"{lively.program.url}/embed/{lively.name}" in code
    assert code.startswith("<iframe")
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_test_id("share")).to_be_focused()


async def _tab_to(page: Page, testid: str) -> None:
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement?.dataset?.testid") == testid:
            return
    raise AssertionError(f"sixty presses of Tab do not reach {testid}")


async def _shift_tab_to_messages(page: Page) -> None:
    for _ in range(20):
        await page.keyboard.press("Shift+Tab")
        if await page.evaluate("!!document.activeElement?.closest('[data-testid=chat-message], [role=log]')"):
            return
    raise AssertionError("Shift+Tab does not lead from the field to the messages")


def _upgrade(channel: Channel, headers: dict[str, str]) -> int:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    with (
        httpx.Client(verify=False, timeout=WAIT / 1000) as client,
        client.stream(
            "GET", f"{channel.program.url}/api/v1/streams/{channel.name}/chat", headers={**upgrade, **headers}
        ) as answer,
    ):
        return answer.status_code
