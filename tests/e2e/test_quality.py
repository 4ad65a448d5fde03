"""The quality menu in a real browser: what it offers, what choosing does, and that opening a page costs nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect
from playwright.async_api import TimeoutError as PlaywrightTimeoutError
from tests.e2e.conftest import ARTEFACTS
from tests.support.axe import expect_accessible
from tests.support.browser import Trouble, eventually, expect_moving_picture, until
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.program import Program, running

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WAIT = 60_000
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
PICTURE = Picture(width=640, height=360, rate=30)
SMALL = {
    # Renditions that any machine makes while it does something else.
    "GHOSTLIVE_TRANSCODE__RENDITION": "240p30,180p15",
    # An encoder that a busy machine starts late, or leaves alone for a while, is neither refused nor replaced.
    "GHOSTLIVE_PACKAGER__FIRST_WAIT": "25",
    "GHOSTLIVE_TRANSCODE__SILENT_AFTER": "20",
}
NAMES = ["Auto", "360p30 (source)", "240p30", "180p15", "Audio only"]

# Counts how often the picture stops for want of media.
COUNT_STOPS = """() => {
  document.querySelector("video").addEventListener("waiting", () => { window.stops += 1; });
}"""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server on which nothing else is watched, and whose encoders end soon after their last viewer."""
    with running(tmp_path_factory.mktemp("quality"), {**SMALL, "GHOSTLIVE_TRANSCODE__LINGER": "1"}) as program:
        yield program


@pytest.fixture(scope="module")
def show(quiet: Program) -> Iterator[Channel]:
    """A broadcast that is on as long as these tests run."""
    channel = Channel.add(quiet, "show")
    with publishing(channel.publish_url, PICTURE):
        channel.wait_until("live")
        channel.wait_for_segments(2)
        yield channel


@pytest_asyncio.fixture(loop_scope="session")
async def viewer(quiet: Program, browser: Browser) -> AsyncIterator[tuple[Page, Trouble]]:
    """A page in which nothing may go wrong unnoticed."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    trouble = Trouble(quiet.url)
    trouble.watch(page)
    yield page, trouble
    await context.close()
    trouble.check()


async def play(page: Page, url: str, quality: str = "360p30") -> None:
    """Open a page and wait for the picture in this quality."""
    await page.goto(url)
    await expect_quality(page, quality)
    await expect_moving_picture(page, frames=10)


async def expect_quality(page: Page, quality: str) -> None:
    player = page.get_by_test_id("player")
    await expect(player).to_have_attribute("data-quality", quality, timeout=WAIT)
    await expect(player).to_have_attribute("data-state", "playing", timeout=WAIT)


async def open_menu(page: Page) -> None:
    """With the mouse, as the controls hide from who does not move it for three seconds."""
    box = await page.get_by_test_id("player").bounding_box()
    assert box

    async def opened() -> bool:
        await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        await page.mouse.move(box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2)
        with suppress(PlaywrightTimeoutError):
            await page.get_by_test_id("quality").click(timeout=5_000)
        return bool(await page.get_by_test_id("quality-menu").evaluate("menu => menu.matches(':popover-open')"))

    await eventually("the open menu", opened)


async def choose(page: Page, name: str) -> None:
    await open_menu(page)
    await page.get_by_role("menuitemradio", name=name).click()


async def expect_height(page: Page, height: int) -> None:
    """Wait for a picture of so many lines. What the page says instead, as of a refusal, is in the failure."""

    async def ask() -> bool:
        return bool(await page.evaluate(f"document.querySelector('video')?.videoHeight === {height}"))

    try:
        await eventually(f"{height} lines", ask)
    except AssertionError as error:
        quality = await page.get_by_test_id("player").get_attribute("data-quality")
        notice = await page.get_by_test_id("quality-notice").text_content()
        raise AssertionError(f"{error}; it plays {quality}, and the page says {notice!r}") from None


@pytest.mark.parametrize("source", ["llhls", "dash"])
async def test_opening_a_page_starts_no_encoder(show: Channel, viewer: tuple[Page, Trouble], source: str) -> None:
    page, _ = viewer
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await play(page, f"{show.page}?source={source}")
    await expect_moving_picture(page, frames=150)
    # Only who asks for a rendition has it made.
    assert [url for url in asked if "/v0-" in url] == []


@pytest.mark.parametrize("source", ["llhls", "dash"])
async def test_a_choice_changes_the_picture_without_a_stop(
    show: Channel, viewer: tuple[Page, Trouble], source: str
) -> None:
    page, trouble = viewer
    await play(page, f"{show.page}?source={source}")
    await open_menu(page)
    items = page.get_by_role("menuitemradio")
    assert [text.strip("✓ \n") for text in await items.all_inner_texts()] == ["Auto (360p30)", *NAMES[1:]]
    await page.keyboard.press("Escape")
    await page.evaluate(COUNT_STOPS)

    async def stops() -> int:
        await page.evaluate("window.stops = 0")
        await choose(page, "240p30")
        await expect_height(page, 240)
        await expect_quality(page, "240p30")
        await expect_moving_picture(page)
        await choose(page, "360p30 (source)")
        await expect_height(page, 360)
        await expect_moving_picture(page)
        return int(await page.evaluate("window.stops"))

    # On a machine that cannot keep up any picture stops now and then. A change that stops it does so each time.
    found = [await stops()]
    while found[-1] and len(found) < 4:
        found.append(await stops())
    assert found[-1] == 0, found
    assert trouble.loads == 1


async def test_sound_alone_and_back_with_one_click(show: Channel, viewer: tuple[Page, Trouble]) -> None:
    page, trouble = viewer
    await play(page, show.page)
    await choose(page, "Audio only")
    await expect_quality(page, "audio")
    await expect(page.get_by_test_id("audio-only")).to_contain_text(show.name)
    await until(page, "sound", "document.querySelector('video')?.webkitAudioDecodedByteCount > 20000")
    assert await page.evaluate("document.querySelector('video').videoHeight") == 0
    await page.reload()
    await expect_quality(page, "audio")
    # Who comes with sound alone finds the rest in the menu all the same.
    await open_menu(page)
    await expect(page.get_by_role("menuitemradio")).to_have_count(len(NAMES), timeout=WAIT)
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Show the picture").click()
    await expect_quality(page, "360p30")
    await expect_moving_picture(page)
    await expect(page.get_by_test_id("audio-only")).to_have_count(0)
    assert trouble.loads == 2


async def test_the_menu_by_keyboard_alone(show: Channel, viewer: tuple[Page, Trouble]) -> None:
    page, _ = viewer
    await play(page, show.page)

    async def tab() -> bool:
        await page.keyboard.press("Tab")
        return bool(await page.evaluate("document.activeElement?.dataset.testid === 'quality'"))

    await eventually("the focus on the menu's button", tab)
    button = page.get_by_test_id("quality")
    await expect(button).to_be_visible()
    await expect(button).to_have_attribute("aria-label", "Quality: Auto")
    await page.keyboard.press("Space")
    await expect(button).to_have_attribute("aria-expanded", "true")
    await expect(page.get_by_role("menuitemradio", name="Auto")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_role("menuitemradio", name="Audio only")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(button).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("menuitemradio", name="Auto")).to_be_focused()
    await page.keyboard.press("End")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect_height(page, 180)
    await expect(button).to_be_focused()
    await expect(button).to_have_attribute("aria-label", "Quality: 180p15")
    # None of it was taken for the player's own keys.
    assert await page.evaluate("(v => [v.paused, v.volume])(document.querySelector('video'))") == [False, 1]


async def test_the_choice_is_remembered(show: Channel, viewer: tuple[Page, Trouble]) -> None:
    page, _ = viewer
    await play(page, show.page)
    await choose(page, "180p15")
    await expect_height(page, 180)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.reload()
    await expect_height(page, 180)
    await expect_quality(page, "180p15")
    assert not [url for url in asked if "/v0/" in url], "the source was loaded first"
    # Another page, the embedded player, another protocol.
    await play(page, f"{show.program.url}/embed/{show.name}?source=dash", "180p15")
    await open_menu(page)
    await expect(page.get_by_role("menuitemradio", name="180p15")).to_have_attribute("aria-checked", "true")


REFUSAL = "240p30 is not offered: all cores are taken."


async def refuse(route: Route) -> None:
    body = f'{{"status": 503, "detail": "{REFUSAL}"}}'
    await route.fulfill(status=503, body=body, content_type="application/problem+json")


async def test_what_is_refused_at_the_start_gives_the_source(show: Channel, viewer: tuple[Page, Trouble]) -> None:
    page, trouble = viewer
    trouble.expected += ["503 (Service Unavailable)"]
    await page.route("**/v0-240p30/**", refuse)
    await page.add_init_script("localStorage.setItem('ghostlive.quality', '240p30')")
    await page.goto(show.page)
    await expect(page.get_by_test_id("quality-notice")).to_have_text(REFUSAL, timeout=WAIT)
    await expect_quality(page, "360p30")
    await expect_moving_picture(page)
    assert trouble.loads == 1


@pytest.mark.parametrize("source", ["llhls", "dash"])
async def test_what_is_refused_leaves_the_picture_as_it_is(
    show: Channel, viewer: tuple[Page, Trouble], source: str
) -> None:
    page, trouble = viewer
    trouble.expected += ["503 (Service Unavailable)"]
    await page.route("**/v0-240p30/**", refuse)
    await play(page, f"{show.page}?source={source}")
    await choose(page, "240p30")
    await expect(page.get_by_test_id("quality-notice")).to_have_text(REFUSAL, timeout=WAIT)
    await expect_moving_picture(page)
    await expect_quality(page, "360p30")
    await expect(page.get_by_test_id("quality")).to_have_text("Auto")
    assert trouble.loads == 1


@pytest.mark.parametrize("source", ["llhls", "dash"])
async def test_a_source_that_the_browser_cannot_play_gives_what_it_can(
    show: Channel, viewer: tuple[Page, Trouble], source: str
) -> None:
    page, _ = viewer
    codec = show.tracks()["video"]["codec"]
    await page.add_init_script(f"""
        const known = MediaSource.isTypeSupported;
        MediaSource.isTypeSupported = (type) => !type.includes("{codec}") && known.call(MediaSource, type);
    """)
    await play(page, f"{show.page}?source={source}", "240p30")
    await open_menu(page)
    await expect(page.get_by_role("menuitemradio", name="source")).to_have_count(0)


@pytest.mark.parametrize("failures", [0, 2])
async def test_an_open_page_learns_of_other_renditions(
    quiet: Program, viewer: tuple[Page, Trouble], failures: int
) -> None:
    """Also where the server does not tell of them when it is asked first."""
    page, trouble = viewer
    trouble.expected += ["503 (Service Unavailable)"]
    refused: list[str] = []

    async def refuse(route: Route) -> None:
        if len(refused) == failures:
            await route.continue_()
            return
        refused.append(route.request.url)
        await route.fulfill(status=503)

    channel = Channel.add(quiet, "other")
    with publishing(channel.publish_url, PICTURE):
        await asyncio.to_thread(channel.wait_until, "live")
        await play(page, channel.page)
        await open_menu(page)
        menu = page.get_by_role("menuitemradio")
        await expect(menu).to_have_count(len(NAMES))
        await page.route("**/*.m3u8*", refuse)
        await asyncio.to_thread(quiet.run_plain, "stream", "edit", channel.name, "--renditions", "144p30")
        await expect(page.get_by_role("menuitemradio", name="144p30")).to_be_visible(timeout=WAIT)
        await expect(menu).to_have_count(4)
        await expect(page.get_by_role("menuitemradio", name="Auto")).to_be_focused()
        await page.get_by_role("menuitemradio", name="144p30").click()
        await expect_height(page, 144)
        await expect_moving_picture(page)
    assert len(refused) == failures
    assert trouble.loads == 1


async def test_the_menu_in_full_screen(show: Channel, viewer: tuple[Page, Trouble]) -> None:
    page, trouble = viewer
    trouble.expected += ["503 (Service Unavailable)"]
    await page.route("**/v0-240p30/**", refuse)
    await play(page, show.page)
    await open_menu(page)
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Full screen").click()
    await until(page, "full screen", "document.fullscreenElement !== null")
    await choose(page, "240p30")
    notice = page.get_by_test_id("quality-notice")
    await expect(notice).to_have_text(REFUSAL, timeout=WAIT)
    assert await notice.evaluate("notice => document.fullscreenElement.contains(notice)")
    await page.evaluate("document.exitFullscreen()")
    await until(page, "the page again", "document.fullscreenElement === null")
    await expect(notice).to_be_visible()
    await expect_quality(page, "360p30")


async def test_the_menu_ends_with_the_broadcast(quiet: Program, viewer: tuple[Page, Trouble]) -> None:
    page, trouble = viewer
    trouble.expected += ["404 (Not Found)"]
    channel = Channel.add(quiet, "over")
    with publishing(channel.publish_url, PICTURE):
        await asyncio.to_thread(channel.wait_until, "live")
        await play(page, channel.page)
        await open_menu(page)
        await expect(page.get_by_test_id("quality-menu")).to_be_visible()
        await asyncio.to_thread(quiet.run_plain, "stream", "remove", channel.name, "--yes")
        await expect(page.get_by_test_id("quality-menu")).to_have_count(0, timeout=WAIT)


async def test_two_broadcasts_in_turn_keep_the_choice(quiet: Program, viewer: tuple[Page, Trouble]) -> None:
    """The streamer's connection breaks, and comes back."""
    page, trouble = viewer
    trouble.expected += ["503 (Service Unavailable)", "404 (Not Found)"]
    channel = Channel.add(quiet, "twice")
    with publishing(channel.publish_url, PICTURE) as first:
        await asyncio.to_thread(channel.wait_until, "live")
        await play(page, channel.page)
        await choose(page, "180p15")
        await expect_height(page, 180)
        first.kill()
        await expect(page.get_by_test_id("player")).to_have_attribute("data-stream-state", "interrupted", timeout=WAIT)
    with publishing(channel.publish_url, PICTURE):
        await expect(page.get_by_test_id("player")).to_have_attribute("data-stream-state", "live", timeout=WAIT)
        await expect_moving_picture(page)
        await expect_quality(page, "180p15")
    assert trouble.loads == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_menu_on_every_screen(
    show: Channel, browser: Browser, size: str, scheme: Literal["light", "dark"]
) -> None:
    width, height = SIZES[size]
    options: dict[str, Any] = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
    context = await browser.new_context(**options, has_touch=size == "phone")
    ARTEFACTS.mkdir(exist_ok=True)
    try:
        page = await context.new_page()
        await play(page, show.page)
        await open_menu(page)
        await expect(page.get_by_test_id("quality-menu")).to_be_visible()
        await expect_accessible(page)
        await page.screenshot(path=ARTEFACTS / f"quality-{size}-{scheme}.png")
        box = await page.get_by_test_id("quality-menu").bounding_box()
        assert box
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width
        assert 0 <= box["y"] <= box["y"] + box["height"] <= height
        await page.get_by_role("menuitemradio", name="Audio only").click()
        await expect(page.get_by_test_id("audio-only")).to_be_visible(timeout=WAIT)
        await expect_quality(page, "audio")
        await expect_accessible(page)
        await page.screenshot(path=ARTEFACTS / f"audio-only-{size}-{scheme}.png")
    finally:
        await context.close()
