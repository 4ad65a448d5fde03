"""Signing in with Matrix, with the real homeserver and the real page: a code from the page, sent with a Matrix client.

Whoever sees a code may send it, so the page asks whether it was the person in front of it. That others read no code in
the room, what a link is worth (a name, a ban, a moderator's power) and that it ends are looked at here; the limits are
in `tests/scenario/chat/test_matrix_signin.py`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect
from tests.support.axe import expect_accessible
from tests.support.browser import PATIENCE, Trouble, eventually
from tests.support.matrix_house import MatrixHouse, Stream
from tests.support.program import OWNER
from tests.support.synapse import START_WITHIN, Person

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]

ARTEFACTS = Path(__file__).parents[1] / "artefacts"
SIZES = {"desk": (1440, 900), "phone": (390, 844)}
ASKS_EVERY = 3000
"""Milliseconds after which a page asks again whether a code has arrived."""


@pytest.fixture(scope="module")
def account(house: MatrixHouse) -> Iterator[Mapping[str, str]]:
    """The account of a streamer, who is nobody on Matrix before and after."""
    owner = house.owner
    yield OWNER
    owner.delete("/api/v1/matrix/link")


@asynccontextmanager
async def browsing(browser: Browser, house: MatrixHouse, size: str) -> AsyncIterator[BrowserContext]:
    """A fresh browser whose pages say what goes wrong in them."""
    width, height = SIZES[size]
    context = await browser.new_context(viewport={"width": width, "height": height}, has_touch=size == "phone")
    context.set_default_timeout(PATIENCE * 1000)
    await context.clock.install()
    trouble = Trouble(house.url)
    trouble.expected += ["404 (Not Found)"]
    context.on("page", trouble.watch)
    yield context
    await context.close()
    trouble.check()


@pytest_asyncio.fixture(loop_scope="session")
async def desk(browser: Browser, house: MatrixHouse) -> AsyncIterator[BrowserContext]:
    """A browser on a desk."""
    async with browsing(browser, house, "desk") as context:
        yield context


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser, house: MatrixHouse) -> AsyncIterator[BrowserContext]:
    """A browser on a phone."""
    async with browsing(browser, house, "phone") as context:
        yield context


class Watcher:
    """Somebody at the stream's page, with its dialog about Matrix."""

    def __init__(self, page: Page, link: str) -> None:
        self.page = page
        self.link = link
        self.dialog = page.get_by_test_id("matrix-dialog")

    @classmethod
    async def open(cls, context: BrowserContext, house: MatrixHouse, stream: Stream) -> "Watcher":
        watcher = cls(await context.new_page(), f"{house.url}/api/v1/matrix/link")
        await watcher.page.goto(stream.page)
        await watcher.ask()
        return watcher

    async def ask(self) -> None:
        """Open the dialog."""
        await self.page.get_by_test_id("chat-matrix").click()
        await expect(self.dialog).to_be_visible()

    async def code(self) -> str:
        """Ask for a code, as a person does who reads it off the page."""
        await self.dialog.get_by_test_id("matrix-sign-in").click()
        code = await self.dialog.get_by_test_id("matrix-code").input_value()
        assert re.fullmatch(r"GHOST-\w{5}-\w{5}", code)
        return code

    async def is_asked_about(self, mxid: str) -> None:
        """The page asks whether that was the person."""
        await arrives(self.page, self.link, mxid)
        await expect(self.dialog.get_by_test_id("matrix-claim")).to_contain_text(mxid)

    async def says_yes_to(self, mxid: str) -> None:
        """The page asks whether that was the person; it was."""
        await self.is_asked_about(mxid)
        await self.dialog.get_by_test_id("matrix-yes").click()
        await expect(self.dialog.get_by_test_id("matrix-linked")).to_contain_text(mxid)

    async def matrix(self) -> str | None:
        """Who this browser is on Matrix, as far as the server goes."""
        answer = await self.page.request.get(self.link)
        found: str | None = (await answer.json())["matrix"]
        return found

    async def picture(self, name: str) -> None:
        ARTEFACTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=ARTEFACTS / f"matrix-signin-{name}.png")


async def happens(what: str, condition: Callable[..., Any], *given: Any) -> Any:
    """Wait for what a blocking question says."""

    async def ask() -> Any:
        return await asyncio.to_thread(condition, *given)

    return await eventually(what, ask, START_WITHIN)


async def arrives(page: Page, link: str, mxid: str) -> None:
    """Wait until a page's code is there, sent by that person, and let the page ask now, not a few seconds later."""

    async def claimed() -> bool:
        answer = await page.request.get(link)
        return bool((await answer.json())["claimed"] == mxid)

    await eventually("the code", claimed, START_WITHIN)
    await page.clock.fast_forward(ASKS_EVERY)


def bodies(house: MatrixHouse, person: Person, room: str) -> list[str]:
    """What can be read in a room, by who reads all of it."""
    events = house.synapse.timeline(person, room, "m.room.message")
    return [event["content"]["body"] for event in events if "body" in event["content"]]


async def test_a_code_in_a_direct_chat_links_the_browser_and_a_ban_of_the_matrix_id_holds_for_it(
    house: MatrixHouse, desk: BrowserContext
) -> None:
    stream, synapse = await asyncio.to_thread(house.add_stream, "vault"), house.synapse
    ann, mallory = await asyncio.to_thread(synapse.person), await asyncio.to_thread(synapse.person)
    watcher = await Watcher.open(desk, house, stream)
    code = await watcher.code()
    await watcher.picture("code")
    await expect_accessible(watcher.page)
    bot = await watcher.dialog.get_by_test_id("matrix-bot").input_value()
    assert bot == house.bot
    private = await asyncio.to_thread(house.private_room, ann)

    # Somebody else has seen the code, and is faster: nothing happens that the person did not want.
    stolen = await asyncio.to_thread(house.private_room, mallory)
    await asyncio.to_thread(synapse.say, mallory, stolen, code)
    await watcher.is_asked_about(mallory.mxid)
    assert await watcher.matrix() is None
    await watcher.picture("claim")
    await watcher.dialog.get_by_test_id("matrix-no").click()
    await expect(watcher.dialog.get_by_role("alert")).to_contain_text("void")
    assert await watcher.matrix() is None
    await asyncio.to_thread(synapse.say, ann, private, code)
    await happens("the answer", lambda: any("not valid" in body for body in bodies(house, ann, private)))

    await asyncio.to_thread(synapse.say, ann, private, await watcher.code())
    await watcher.says_yes_to(ann.mxid)
    await watcher.picture("linked")
    await watcher.page.keyboard.press("Escape")
    await watcher.page.get_by_test_id("chat-name-field").fill("Annie")
    await watcher.page.get_by_test_id("chat-join").click()
    await watcher.page.get_by_test_id("chat-field").fill("it is me")
    await watcher.page.keyboard.press("Enter")
    said = watcher.page.get_by_test_id("chat-message")
    await expect(said).to_have_count(1)
    await said.get_by_role("button", name="Annie").click()
    await expect(watcher.page.get_by_test_id("chat-card")).to_contain_text(ann.mxid)
    await watcher.picture("card")
    await watcher.page.keyboard.press("Escape")

    # A ban of the Matrix ID, made in a Matrix client, is one of this browser; signing out does not end it.
    moderator = await asyncio.to_thread(stream.moderator)
    await asyncio.to_thread(stream.act, moderator, "ban", user_id=ann.mxid, reason="spam")
    await expect(watcher.page.get_by_test_id("chat-banned")).to_be_visible()
    await watcher.picture("banned")
    await watcher.page.request.delete(watcher.link)
    assert await watcher.matrix() is None
    await watcher.page.reload()
    await expect(watcher.page.get_by_test_id("chat-banned")).to_be_visible()


async def test_a_code_in_the_room_is_read_by_nobody_else_and_a_streamer_moderates_by_it(
    house: MatrixHouse, account: Mapping[str, str], phone: BrowserContext
) -> None:
    stream = await asyncio.to_thread(house.add_stream, "cellar")
    bea = await asyncio.to_thread(stream.person)
    watcher = await Watcher.open(phone, house, stream)
    await watcher.picture("phone")
    code = await watcher.code()
    await watcher.picture("phone-code")
    event_id = await asyncio.to_thread(stream.say, bea, code)
    await watcher.says_yes_to(bea.mxid)
    await watcher.picture("phone-linked")
    await happens("the code to go", lambda: stream.event(event_id)["content"] == {})
    assert code not in str(await asyncio.to_thread(house.synapse.timeline, stream.reader, stream.room))
    assert code not in await watcher.page.get_by_test_id("chat").inner_text()

    # What one's browser shows, one's own Matrix client can end, and so can the browser.
    await asyncio.to_thread(stream.say, bea, "!unlink")
    await happens("the answer", lambda: any("1 link was undone" in body for body in bodies(house, bea, stream.room)))
    assert await watcher.matrix() is None
    await watcher.page.reload()
    await watcher.ask()
    await asyncio.to_thread(stream.say, bea, await watcher.code())
    await watcher.says_yes_to(bea.mxid)
    await watcher.dialog.get_by_text("Sign out of Matrix here").click()
    await expect(watcher.dialog.get_by_test_id("matrix-sign-in")).to_be_visible()
    assert await watcher.matrix() is None

    # The streamer's account, in the studio: power in the room comes and goes with the link.
    answer = await phone.request.post(f"{house.url}/api/v1/session", data=dict(account))
    assert answer.status == 200, await answer.text()
    studio = await phone.new_page()
    await studio.goto(f"{house.url}/studio/{stream.name}/chat")
    await studio.get_by_test_id("link-make").click()
    code = await studio.get_by_test_id("link-code").input_value()
    await studio.get_by_test_id("matrix-link").scroll_into_view_if_needed()
    await studio.screenshot(path=ARTEFACTS / "matrix-signin-studio-code.png")
    await asyncio.to_thread(stream.say, bea, code)
    await arrives(studio, watcher.link, bea.mxid)
    claim = studio.get_by_test_id("link-claim")
    await expect(claim).to_contain_text(bea.mxid)
    assert await asyncio.to_thread(stream.power, bea.mxid) == 0
    await claim.scroll_into_view_if_needed()
    await studio.screenshot(path=ARTEFACTS / "matrix-signin-studio-claim.png")
    await expect_accessible(studio)
    await studio.get_by_test_id("link-yes").click()
    await expect(studio.get_by_test_id("matrix-link")).to_contain_text(f"Linked with {bea.mxid}")
    await happens("the power", lambda: stream.power(bea.mxid) >= 50)
    await studio.screenshot(path=ARTEFACTS / "matrix-signin-studio-linked.png")
    await studio.get_by_role("button", name="Unlink").click()
    await happens("the power to go", lambda: stream.power(bea.mxid) == 0)
