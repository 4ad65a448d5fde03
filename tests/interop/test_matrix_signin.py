"""Signing in with Matrix, with the real homeserver and the real page: a code from the page, sent with a Matrix client.

Whoever sees a code may send it, so the page asks whether it was the person in front of it. That others read no code in
the room, what a link is worth (a name, a ban, a moderator's power) and that it ends are looked at here; the limits are
in `tests/scenario/chat/test_matrix_signin.py`.
"""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect
from tests.support.axe import expect_accessible
from tests.support.browser import PATIENCE, Trouble, eventually
from tests.support.program import Program, wait_for
from tests.support.synapse import START_WITHIN, Person, Synapse

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]

ARTEFACTS = Path(__file__).parents[1] / "artefacts"
ACCOUNT = {"name": "olga", "password": "correct horse battery staple"}
FIRST, SECOND = "vault", "cellar"
"""Streams; a ban in one holds for everybody at the address of this machine."""
SIZES = {"desk": (1440, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def program(synapse: Synapse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server whose homeserver is `synapse`, with an owner and two streams."""
    settings = {
        "GHOSTLIVE_TRANSCODE__ENABLED": "false",
        "GHOSTLIVE_WEBRTC__ENABLED": "false",
        "GHOSTLIVE_RTMP__ENABLED": "false",
    }
    program = Program(
        tmp_path_factory.mktemp("signin"), {**synapse.environment(), **settings}, http_port=synapse.as_port
    )
    program.start()
    try:
        link = re.search(r"/setup#(\S+)", program.log)
        assert link is not None
        with httpx.Client(base_url=program.url, timeout=60) as client:
            client.post("/api/v1/setup", json={"token": link[1], **ACCOUNT}).raise_for_status()
            for stream in (FIRST, SECOND):
                client.post("/api/v1/streams", json={"name": stream}).raise_for_status()
        yield program
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop(signal.SIGKILL)


@asynccontextmanager
async def browsing(browser: Browser, program: Program, size: str) -> AsyncIterator[BrowserContext]:
    """A fresh browser whose pages say what goes wrong in them."""
    width, height = SIZES[size]
    context = await browser.new_context(viewport={"width": width, "height": height}, has_touch=size == "phone")
    context.set_default_timeout(PATIENCE * 1000)
    trouble = Trouble(program.url)
    trouble.expected += ["404 (Not Found)"]
    context.on("page", trouble.watch)
    yield context
    await context.close()
    trouble.check()


@pytest_asyncio.fixture(loop_scope="session")
async def desk(browser: Browser, program: Program) -> AsyncIterator[BrowserContext]:
    """A browser on a desk."""
    async with browsing(browser, program, "desk") as context:
        yield context


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser, program: Program) -> AsyncIterator[BrowserContext]:
    """A browser on a phone."""
    async with browsing(browser, program, "phone") as context:
        yield context


class Watcher:
    """Somebody at the stream's page, with its dialog about Matrix."""

    def __init__(self, page: Page, link: str) -> None:
        self.page = page
        self.link = link
        self.dialog = page.get_by_test_id("matrix-dialog")

    @classmethod
    async def open(cls, context: BrowserContext, program: Program, stream: str) -> "Watcher":
        watcher = cls(await context.new_page(), f"{program.url}/api/v1/matrix/link")
        await watcher.page.goto(f"{program.url}/{stream}")
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

    async def says_yes_to(self, mxid: str) -> None:
        """The page asks whether that was the person; it was."""
        claim = self.dialog.get_by_test_id("matrix-claim")
        await expect(claim).to_contain_text(mxid)
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


def room_of(synapse: Synapse, stream: str) -> str | None:
    """The room of a stream, once it has been made."""
    try:
        return synapse.room(f"#live_{stream}:{synapse.server_name}")
    except httpx.HTTPStatusError:
        return None


def private_room(synapse: Synapse, person: Person, bot: str) -> str:
    """A direct chat with the bot, as clients make one."""
    body = {"invite": [bot], "is_direct": True, "preset": "trusted_private_chat"}
    made: str = synapse.call("POST", "/_matrix/client/v3/createRoom", body, by=person)["room_id"]
    path = f"/_matrix/client/v3/rooms/{quote(made)}/state/m.room.member/{quote(bot)}"
    wait_for("the bot", lambda: synapse.call("GET", path, by=person)["membership"] == "join", START_WITHIN)
    return made


def bodies(synapse: Synapse, person: Person, room: str) -> list[str]:
    """What can be read in a room, by who reads all of it."""
    return [
        event["content"]["body"]
        for event in synapse.timeline(person, room)
        if event["type"] == "m.room.message" and "body" in event["content"]
    ]


def level(synapse: Synapse, room: str, mxid: str) -> int:
    """The power of somebody in a room."""
    path = f"/_matrix/client/v3/rooms/{quote(room)}/state/m.room.power_levels/"
    levels = synapse.call("GET", path, ghost=f"@_ghostlive:{synapse.server_name}")
    return int(levels["users"].get(mxid, 0))


async def test_a_code_in_a_direct_chat_links_the_browser_and_a_ban_of_the_matrix_id_holds_for_it(
    program: Program, synapse: Synapse, desk: BrowserContext
) -> None:
    room = await happens("the room", room_of, synapse, FIRST)
    ann, mallory = await asyncio.to_thread(synapse.person), await asyncio.to_thread(synapse.person)
    watcher = await Watcher.open(desk, program, FIRST)
    code = await watcher.code()
    await watcher.picture("code")
    await expect_accessible(watcher.page)
    bot = await watcher.dialog.get_by_test_id("matrix-bot").input_value()
    assert bot == f"@_ghostlive:{synapse.server_name}"
    private = await asyncio.to_thread(private_room, synapse, ann, bot)

    # Somebody else has seen the code, and is faster: nothing happens that the person did not want.
    stolen = await asyncio.to_thread(private_room, synapse, mallory, bot)
    await asyncio.to_thread(synapse.say, mallory, stolen, code)
    await expect(watcher.dialog.get_by_test_id("matrix-claim")).to_contain_text(mallory.mxid)
    assert await watcher.matrix() is None
    await watcher.picture("claim")
    await watcher.dialog.get_by_test_id("matrix-no").click()
    await expect(watcher.dialog.get_by_role("alert")).to_contain_text("void")
    assert await watcher.matrix() is None
    await asyncio.to_thread(synapse.say, ann, private, code)
    await happens("the answer", lambda: any("not valid" in body for body in bodies(synapse, ann, private)))

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
    await asyncio.to_thread(
        synapse.call,
        "POST",
        f"/_matrix/client/v3/rooms/{quote(room)}/ban",
        {"user_id": ann.mxid, "reason": "spam"},
        by=await asyncio.to_thread(moderator, synapse, room),
    )
    await expect(watcher.page.get_by_test_id("chat-banned")).to_be_visible()
    await watcher.picture("banned")
    await watcher.page.request.delete(watcher.link)
    assert await watcher.matrix() is None
    await watcher.page.reload()
    await expect(watcher.page.get_by_test_id("chat-banned")).to_be_visible()


def moderator(synapse: Synapse, room: str) -> Person:
    """Somebody whose Matrix client may ban."""
    person = synapse.person()
    synapse.join(person, room)
    path = f"/_matrix/client/v3/rooms/{quote(room)}/state/m.room.power_levels/"
    levels = synapse.call("GET", path, ghost=f"@_ghostlive:{synapse.server_name}")
    levels["users"][person.mxid] = 50
    synapse.call("PUT", path, levels, ghost=f"@_ghostlive:{synapse.server_name}")
    return person


async def test_a_code_in_the_room_is_read_by_nobody_else_and_a_streamer_moderates_by_it(
    program: Program, synapse: Synapse, phone: BrowserContext
) -> None:
    room = await happens("the room", room_of, synapse, SECOND)
    bea, reader = await asyncio.to_thread(synapse.person), await asyncio.to_thread(synapse.person)
    for person in (bea, reader):
        await asyncio.to_thread(synapse.join, person, room)
    watcher = await Watcher.open(phone, program, SECOND)
    await watcher.picture("phone")
    code = await watcher.code()
    await watcher.picture("phone-code")
    event_id = await asyncio.to_thread(synapse.say, bea, room, code)
    await watcher.says_yes_to(bea.mxid)
    await watcher.picture("phone-linked")
    path = f"/_matrix/client/v3/rooms/{quote(room)}/event/{quote(event_id)}"
    await happens("the code to go", lambda: synapse.call("GET", path, by=reader)["content"] == {})
    assert code not in str(await asyncio.to_thread(synapse.timeline, reader, room))
    assert code not in await watcher.page.get_by_test_id("chat").inner_text()

    # What one's browser shows, one's own Matrix client can end, and so can the browser.
    await asyncio.to_thread(synapse.say, bea, room, "!unlink")
    await happens("the answer", lambda: any("1 link was undone" in body for body in bodies(synapse, bea, room)))
    assert await watcher.matrix() is None
    await watcher.page.reload()
    await watcher.ask()
    await asyncio.to_thread(synapse.say, bea, room, await watcher.code())
    await watcher.says_yes_to(bea.mxid)
    await watcher.dialog.get_by_text("Sign out of Matrix here").click()
    await expect(watcher.dialog.get_by_test_id("matrix-sign-in")).to_be_visible()
    assert await watcher.matrix() is None

    # The streamer's account, in the studio: power in the room comes and goes with the link.
    answer = await phone.request.post(f"{program.url}/api/v1/session", data=ACCOUNT)
    assert answer.status == 200, await answer.text()
    studio = await phone.new_page()
    await studio.goto(f"{program.url}/studio/{SECOND}/chat")
    await studio.get_by_test_id("link-make").click()
    code = await studio.get_by_test_id("link-code").input_value()
    await studio.get_by_test_id("matrix-link").scroll_into_view_if_needed()
    await studio.screenshot(path=ARTEFACTS / "matrix-signin-studio-code.png")
    await asyncio.to_thread(synapse.say, bea, room, code)
    claim = studio.get_by_test_id("link-claim")
    await expect(claim).to_contain_text(bea.mxid)
    assert await asyncio.to_thread(level, synapse, room, bea.mxid) == 0
    await claim.scroll_into_view_if_needed()
    await studio.screenshot(path=ARTEFACTS / "matrix-signin-studio-claim.png")
    await expect_accessible(studio)
    await studio.get_by_test_id("link-yes").click()
    await expect(studio.get_by_test_id("matrix-link")).to_contain_text(f"Linked with {bea.mxid}")
    await happens("the power", lambda: level(synapse, room, bea.mxid) >= 50)
    await studio.screenshot(path=ARTEFACTS / "matrix-signin-studio-linked.png")
    await studio.get_by_role("button", name="Unlink").click()
    await happens("the power to go", lambda: level(synapse, room, bea.mxid) == 0)
