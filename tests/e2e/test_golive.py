"""Going live from a browser tab: camera or screen in Chromium, by WHIP, to viewers by WebRTC and LL-HLS."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Dialog, Page, expect
from tests.e2e.conftest import ARTEFACTS
from tests.support.axe import expect_accessible
from tests.support.browser import LOOK, Trouble, chromium, eventually, expect_moving_picture, expect_source, until
from tests.support.program import Program, running

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WAIT = 60_000
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
Scheme = Literal["light", "dark"]
PASSWORD = "a horse in the rain"
# The numbers of the keys that pages of this browser broadcast with.
KEYS = """() => Object.keys(localStorage).filter((name) => name.startsWith("ghostlive.golive.key."))"""
CAPTURE = [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
# Small, since the machine encodes and decodes everything itself.
MODEST = '{"picture":"camera","size":360,"rate":15,"bitrate":800,"mirror":true,"voice":false}'
# However busy the machine is, Chromium makes the picture no smaller.
STEADY = """(() => {
  const { getParameters } = RTCRtpSender.prototype;
  RTCRtpSender.prototype.getParameters = function () {
    return { ...getParameters.call(this), degradationPreference: "maintain-resolution" };
  };
})()"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server of its own, whose viewers do not wait long for who does not return."""
    with running(tmp_path_factory.mktemp("golive")) as program:
        for name in ("friday", "saturday"):
            program.add_stream(name)
        yield program


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def capturing() -> AsyncIterator[Browser]:
    """Chromium with camera, microphone and screen that are made up."""
    async with chromium(extra=CAPTURE) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def studio(server: Program, capturing: Browser) -> AsyncIterator[BrowserContext]:
    """The browser of the owner, who has signed in."""
    found = re.search(r"http://\S+/setup#(\S+)", server.log)
    assert found, server.log
    context = await capturing.new_context(viewport={"width": 1440, "height": 900})
    await context.add_init_script(STEADY)
    page = await context.new_page()
    await page.goto(f"{server.url}/setup#{found[1]}")
    await page.get_by_label("Name").fill("boss")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Make the account").click()
    await expect(page.get_by_role("heading", name="Your streams")).to_be_visible(timeout=WAIT)
    await page.evaluate("settings => localStorage.setItem('ghostlive.golive', settings)", MODEST)
    await page.close()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def tab(server: Program, studio: BrowserContext) -> AsyncIterator[tuple[Page, Trouble]]:
    """A tab of that browser, in which nothing may go wrong unnoticed."""
    page = await studio.new_page()
    trouble = Trouble(server.url)
    trouble.watch(page)
    yield page, trouble
    await page.close()
    trouble.check()


async def preview(page: Page, server: Program, stream: str = "friday") -> None:
    await page.goto(f"{server.url}/studio/golive?stream={stream}")
    await page.get_by_test_id("golive-open").click(timeout=WAIT)
    await until(page, "the camera", "document.querySelector('video')?.videoWidth > 0")


async def go_live(page: Page, server: Program, stream: str = "friday") -> None:
    await preview(page, server, stream)
    await page.get_by_test_id("golive-start").click(timeout=WAIT)
    await expect_state(page, "on")
    await expect_stream(server, stream, "live")


async def expect_state(page: Page, state: str) -> None:
    await expect(page.get_by_test_id("golive-preview")).to_have_attribute("data-state", state, timeout=WAIT)


async def expect_stream(server: Program, stream: str, state: str) -> None:
    async def ask() -> bool:
        return bool((await asyncio.to_thread(server.stream, stream))["state"] == state)

    await eventually(f"{stream} to be {state}", ask)


async def stop(page: Page) -> None:
    await page.get_by_test_id("golive-stop").click()
    await expect_end(page)


async def expect_end(page: Page) -> None:
    """Wait until the page has given its key back, too: what it leaves, the next page has to clear away."""
    await expect_state(page, "off")
    await until(page, "the page's key to go", f"({KEYS})().length === 0")


async def test_the_camera_goes_on_the_air_and_viewers_see_it(
    server: Program, tab: tuple[Page, Trouble], browser: Browser
) -> None:
    page, trouble = tab
    await page.goto(f"{server.url}/studio/friday")
    await page.get_by_test_id("golive-link").click(timeout=WAIT)
    await expect(page.get_by_role("heading", name="Go live from this browser")).to_be_focused(timeout=WAIT)
    assert page.url == f"{server.url}/studio/golive?stream=friday"
    await expect(page.get_by_test_id("golive-start")).to_have_attribute("aria-disabled", "true")
    await page.get_by_test_id("golive-open").click()
    await expect_moving_picture(page, sound=False, frames=5)
    # The preview is a mirror.
    assert "matrix(-1" in await page.evaluate("getComputedStyle(document.querySelector('video')).transform")
    await until(page, "the microphone", "Number(document.querySelector('[data-testid=level]').ariaValueNow) > 20")
    await page.get_by_test_id("golive-start").click(timeout=WAIT)
    await expect_state(page, "on")
    await expect(page.get_by_test_id("golive-badge")).to_contain_text(re.compile(r"On air\s*\d:\d\d"))
    await expect(page.get_by_test_id("golive-bitrate").last).to_contain_text("b/s", timeout=WAIT)
    await expect(page.get_by_test_id("golive-roundTrip")).to_contain_text("ms", timeout=WAIT)
    await expect(page.get_by_test_id("golive-dropped")).to_have_text(re.compile(r"^\d+$"))
    await expect(page.get_by_test_id("golive-transport")).to_have_text("UDP")

    async def both() -> dict[str, str]:
        found = (await asyncio.to_thread(server.stream, "friday"))["tracks"]
        codecs = {track["kind"]: track["codec"] for track in found}
        return codecs if codecs.keys() == {"audio", "video"} else {}

    assert (await eventually("picture and sound", both))["video"].startswith("avc1")

    for source in ("webrtc", "llhls"):
        viewer = await browser.new_page()
        try:
            await viewer.goto(f"{server.url}/friday?source={source}")
            await expect_source(viewer, source)
            await expect_moving_picture(viewer, frames=10)
            size = "(v => v && `${v.videoWidth}x${v.videoHeight}` === '640x360')(document.querySelector('video'))"
            await until(viewer, "a picture of 640x360", size)
        finally:
            await viewer.close()

    await stop(page)
    # The goodbye was heard: nobody waits for a return.
    await expect_stream(server, "friday", "offline")
    await eventually("the key that was made for it to go", lambda: _no_key(page))
    assert trouble.loads == 1


async def test_a_smaller_picture_goes_out_too_when_it_is_asked_for(server: Program, tab: tuple[Page, Trouble]) -> None:
    page, _ = tab
    await preview(page, server)
    await page.get_by_test_id("golive-size").select_option("720")
    await page.get_by_test_id("golive-simulcast").check()
    await page.get_by_test_id("golive-start").click(timeout=WAIT)
    await expect_state(page, "on")
    await expect(page.get_by_test_id("golive-simulcast")).to_be_disabled()

    async def sizes() -> bool:
        tracks = (await asyncio.to_thread(server.stream, "friday"))["tracks"]
        return {track["height"] for track in tracks if track["kind"] == "video"} == {720, 360}

    try:
        await eventually("both pictures", sizes)
        await stop(page)
    finally:
        await page.evaluate("settings => localStorage.setItem('ghostlive.golive', settings)", MODEST)


async def test_a_break_is_gone_over_by_itself(
    server: Program, tab: tuple[Page, Trouble], studio: BrowserContext
) -> None:
    page, trouble = tab
    trouble.expected += ["Failed to load resource", "ERR_FAILED"]
    await page.add_init_script(
        """(() => {
          const Real = RTCPeerConnection;
          window.peers = [];
          window.RTCPeerConnection = class extends Real {
            constructor(...options) { super(...options); window.peers.push(this); }
          };
        })()"""
    )
    await go_live(page, server, "saturday")
    # The server is out of reach for a while, and the connection dies.
    await page.route("**/whip", lambda route: route.abort())
    await page.evaluate(
        """() => { const peer = window.peers.at(-1); const state = peer.onconnectionstatechange; peer.close();
        Object.defineProperty(peer, 'connectionState', { value: 'failed' }); state(); }"""
    )
    await expect_state(page, "again")
    await expect(page.get_by_text("The connection broke")).to_be_visible(timeout=WAIT)
    await page.unroute("**/whip")
    await expect_state(page, "on")
    await expect_stream(server, "saturday", "live")
    assert await page.evaluate("window.peers.length") >= 2
    await stop(page)
    await expect_stream(server, "saturday", "offline")


async def test_a_second_broadcast_is_refused_in_words(
    server: Program, tab: tuple[Page, Trouble], studio: BrowserContext
) -> None:
    page, trouble = tab
    trouble.expected += ["409 (Conflict)"]
    other = await studio.new_page()
    try:
        await go_live(other, server)
        keys = await other.evaluate(KEYS)
        await preview(page, server)
        await page.get_by_test_id("golive-start").click()
        await expect(page.get_by_test_id("golive-failure")).to_contain_text("already", timeout=WAIT)
        await expect_state(page, "failed")
        # It gives back its own key and leaves the other one alone, with which the broadcast comes back from a break.
        await until(page, "the second page's key to go", f"({KEYS})().join() === {keys[0]!r}")
        listed = await other.evaluate("fetch('/api/v1/streams/friday/keys').then((answer) => answer.json())")
        assert int(keys[0].rpartition(".")[2]) in [key["id"] for key in listed["keys"]]
        await expect_state(other, "on")
        await stop(other)
    finally:
        await other.close()


async def test_a_screen_with_its_sound_takes_the_camera_s_place_on_the_air(
    server: Program, tab: tuple[Page, Trouble], browser: Browser
) -> None:
    page, _ = tab
    await go_live(page, server)
    viewer = await browser.new_page()
    try:
        await viewer.goto(f"{server.url}/friday?source=webrtc")
        await expect_source(viewer, "webrtc")
        await expect(viewer.get_by_test_id("player")).to_have_attribute("data-state", "playing", timeout=WAIT)
        await page.get_by_role("radio", name="Screen").check()
        # Until something is chosen, the camera stays on.
        await expect_state(page, "on")
        await page.get_by_test_id("golive-share").click()
        surface = "document.querySelector('video')?.srcObject.getVideoTracks()[0].getSettings().displaySurface"
        await until(page, "the screen", f"{surface} === 'monitor'")
        assert await page.evaluate("getComputedStyle(document.querySelector('video')).transform") == "none"
        await expect(page.get_by_text("What is shared has no sound")).to_have_count(0)
        await expect_state(page, "on")
        await expect_moving_picture(viewer, frames=10)
        # Whoever ends the sharing is still on the air.
        await page.evaluate(
            """() => { const [track] = document.querySelector('video').srcObject.getVideoTracks();
            track.stop(); track.onended(); }"""
        )
        await expect(page.get_by_text("Viewers see a dark picture")).to_be_visible(timeout=WAIT)
        dark = "look && Math.max(...look.pixels.filter((_, at) => at % 4 < 3)) < 60"
        await until(viewer, "a dark picture", f"({LOOK})().then((look) => {dark})")
        await expect_state(page, "on")
        await page.get_by_role("button", name="Share something else").first.click()
        await until(page, "the screen again", f"{surface} === 'monitor'")
        await expect(viewer.get_by_test_id("player")).to_have_attribute("data-source", "webrtc")
        await stop(page)
    finally:
        await viewer.close()
        await page.evaluate("settings => localStorage.setItem('ghostlive.golive', settings)", MODEST)


async def test_leaving_while_on_the_air_asks(server: Program, tab: tuple[Page, Trouble]) -> None:
    page, _ = tab
    await page.goto(f"{server.url}/studio/friday")
    await page.get_by_test_id("golive-link").click(timeout=WAIT)
    await page.get_by_test_id("golive-open").click(timeout=WAIT)
    await page.get_by_test_id("golive-start").click(timeout=WAIT)
    await expect_state(page, "on")
    await page.get_by_role("link", name="Manage this stream").click()
    dialog = page.get_by_role("dialog", name="You are on air")
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_be_hidden()
    await expect_state(page, "on")
    await page.evaluate("history.back()")
    await expect(dialog).to_be_visible()
    await expect(page).to_have_url(re.compile("/studio/golive"))
    await page.keyboard.press("Escape")
    # The browser itself asks before it loads another page.
    asked: list[str] = []

    async def answer(question: Dialog) -> None:
        asked.append(question.type)
        await question.dismiss()

    page.once("dialog", answer)
    await page.close(run_before_unload=True)
    await eventually("the browser's question", lambda: _asked(asked))
    await expect_state(page, "on")
    await page.get_by_role("link", name="Manage this stream").click()
    await page.get_by_role("button", name="End it and leave").click()
    await expect(page.get_by_role("heading", name="friday")).to_be_visible(timeout=WAIT)
    await expect_stream(server, "friday", "offline")


async def test_without_https_it_says_what_is_missing(server: Program, tab: tuple[Page, Trouble]) -> None:
    page, _ = tab
    await page.add_init_script("Object.defineProperty(Navigator.prototype, 'mediaDevices', { value: undefined })")
    await page.add_init_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
    await page.goto(f"{server.url}/studio/golive?stream=friday")
    await expect(page.get_by_test_id("golive-unusable")).to_contain_text("HTTPS", timeout=WAIT)
    await expect(page.get_by_test_id("golive-open")).to_be_disabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_page_fits_every_screen_and_is_for_everybody(
    server: Program, tab: tuple[Page, Trouble], size: str, scheme: Scheme
) -> None:
    page, _ = tab
    width, height = SIZES[size]
    await page.set_viewport_size({"width": width, "height": height})
    await page.emulate_media(color_scheme=scheme)
    await page.goto(f"{server.url}/studio/golive?stream=friday")
    await expect(page.get_by_test_id("golive-open")).to_be_visible(timeout=WAIT)
    await expect_accessible(page)
    # By the keyboard alone.
    await page.get_by_test_id("golive-open").focus()
    await page.keyboard.press("Enter")
    await until(page, "the camera", "document.querySelector('video')?.videoWidth > 0")
    await expect(page.get_by_test_id("golive-start")).to_have_attribute("aria-disabled", "false")
    await page.get_by_test_id("golive-start").focus()
    await page.keyboard.press("Enter")
    await expect_state(page, "on")
    await expect(page.get_by_test_id("golive-roundTrip")).to_be_visible(timeout=WAIT)
    await expect_accessible(page)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    ARTEFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTEFACTS / f"golive-{size}-{scheme}.png", full_page=True)
    await page.get_by_test_id("golive-stop").focus()
    await page.keyboard.press("Enter")
    await expect_end(page)
    await expect_stream(server, "friday", "offline")


async def _asked(found: list[str]) -> bool:
    return found == ["beforeunload"]


async def _no_key(page: Page) -> bool:
    keys = await page.evaluate("fetch('/api/v1/streams/friday/keys').then((answer) => answer.json())")
    return all(key["label"] != "This browser" for key in keys["keys"])
