"""The studio as a newcomer meets it: the printed link, an account, a stream, a key, a picture, and advice about it."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect
from tests.e2e.conftest import ARTEFACTS
from tests.support.axe import expect_accessible
from tests.support.browser import Trouble, eventually, expect_moving_picture
from tests.support.encoder import Encoder, Picture, publishing
from tests.support.program import Program, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WAIT = 60_000
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
Scheme = Literal["light", "dark"]
PASSWORD = "a horse in the rain"
GOOD = Picture(width=320, height=180)
OBS_DEFAULTS = Picture(width=320, height=180, b_frames=2, group=250)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server that nobody has an account on."""
    with running(tmp_path_factory.mktemp("studio")) as program:
        yield program


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def studio(fresh: Program, browser: Browser) -> AsyncIterator[BrowserContext]:
    """The browser of the person who started the server; the tests here go through it one after the other."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, permissions=["clipboard-read"])
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def tab(fresh: Program, studio: BrowserContext) -> AsyncIterator[tuple[Page, Trouble]]:
    """A tab of that browser, in which nothing may go wrong unnoticed."""
    page = await studio.new_page()
    trouble = Trouble(fresh.url)
    trouble.watch(page)
    yield page, trouble
    await page.close()
    trouble.check()


def setup_link(program: Program) -> str:
    """The link that the start printed."""
    found = wait_for("the printed link", lambda: re.search(r"http://\S+/setup#(\S+)", program.log))
    return f"{program.url}/setup#{found[1]}"


async def test_the_printed_link_makes_the_owner(fresh: Program, tab: tuple[Page, Trouble]) -> None:
    page, _ = tab
    await page.goto(setup_link(fresh))
    await expect(page.get_by_test_id("setup-form")).to_be_visible(timeout=WAIT)
    # The secret does not stay where a look over the shoulder finds it.
    assert page.url == f"{fresh.url}/setup"
    await expect_accessible(page)
    await page.get_by_label("Name").fill("boss")
    await page.get_by_label("Password", exact=True).fill("short")
    await page.get_by_role("button", name="Make the account").click()
    await expect(page.get_by_test_id("error-summary")).to_contain_text("Too short")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Make the account").click()
    await expect(page.get_by_role("heading", name="Your streams")).to_be_visible(timeout=WAIT)


async def test_the_link_works_once(fresh: Program, browser: Browser) -> None:
    context = await browser.new_context()
    try:
        page = await context.new_page()
        await page.goto(setup_link(fresh))
        await expect(page.get_by_test_id("setup-form")).to_have_count(0)
        await expect(page.get_by_role("link", name="Sign in")).to_be_visible(timeout=WAIT)
    finally:
        await context.close()


async def test_a_new_stream_goes_on_the_air_with_the_key_that_is_shown_once(
    fresh: Program, tab: tuple[Page, Trouble]
) -> None:
    page, trouble = tab
    await page.goto(f"{fresh.url}/studio")
    await page.get_by_test_id("new-stream").click(timeout=WAIT)
    await page.get_by_label("Name", exact=True).fill("with space")
    await expect(page.get_by_test_id("new-stream-form")).to_contain_text("with-space")
    await page.get_by_label("Name", exact=True).fill("friday")
    await page.get_by_label("Title").fill("Friday night")
    await page.get_by_test_id("create").click()
    key = page.get_by_test_id("encoder-key")
    await expect(key).to_have_value(re.compile("^gl_"), timeout=WAIT)
    secret = await key.input_value()
    await expect(page.get_by_test_id("encoder-server").first).to_have_value(fresh.rtmp, timeout=WAIT)
    await expect_accessible(page)
    with publishing(f"{fresh.rtmp}/{secret}", GOOD):
        preview = page.get_by_test_id("preview").get_by_test_id("player")
        await expect(preview).to_have_attribute("data-state", "playing", timeout=WAIT)
        await expect_moving_picture(page, sound=False)
        await expect(page.get_by_test_id("incoming")).to_contain_text("320×180", timeout=WAIT)
        await expect(page.get_by_test_id("advice").get_by_role("status")).to_contain_text("All is well", timeout=WAIT)
        await expect(page.get_by_test_id("advice-item")).to_have_count(0)
        await expect_accessible(page)
    assert trouble.loads == 1
    await page.reload()
    await expect(key).to_be_visible(timeout=WAIT)
    await expect(key).to_have_value(re.compile(f"{secret[-4:]}$"), timeout=WAIT)
    assert await key.input_value() != secret
    assert secret not in await page.content()


async def test_what_obs_sends_by_default_is_explained(fresh: Program, tab: tuple[Page, Trouble]) -> None:
    page, _ = tab
    key = fresh.run("key", "add", "friday")["key"]
    await page.goto(f"{fresh.url}/studio/friday")
    with publishing(f"{fresh.rtmp}/{key}", OBS_DEFAULTS):
        advice = page.get_by_test_id("advice")
        await expect(advice).to_contain_text("Keyframe Interval: 2 s", timeout=60_000)
        await expect(advice).to_contain_text("B-frames", timeout=WAIT)
        await expect(page.locator("[data-code=keyframes_rare]")).to_contain_text("every 8", timeout=WAIT)


async def test_a_new_key_replaces_the_old_ones(fresh: Program, tab: tuple[Page, Trouble]) -> None:
    page, _ = tab
    old = fresh.run("key", "add", "friday")["key"]
    await page.goto(f"{fresh.url}/studio/friday")
    await page.get_by_test_id("make-key").click(timeout=WAIT)
    await page.get_by_test_id("revoke-others").check()
    await page.get_by_role("dialog").get_by_role("button", name="Make a new key").click()
    await expect(page.get_by_test_id("encoder")).to_contain_text("Copy the key now", timeout=WAIT)
    new = await page.get_by_test_id("encoder-key").input_value()
    await expect(page.get_by_test_id("key")).to_have_count(1, timeout=WAIT)
    refused = Encoder(f"{fresh.rtmp}/{old}", GOOD)
    assert "revoked" in refused.wait()
    refused.kill()
    with publishing(f"{fresh.rtmp}/{new}", GOOD):
        await expect(page.get_by_test_id("state").first).to_have_text("Live", timeout=WAIT)
        await page.get_by_test_id("end").click()
        await page.get_by_test_id("confirm").click()
        await expect(page.get_by_test_id("state").first).not_to_have_text("Live", timeout=WAIT)


async def test_title_and_description_change_while_somebody_watches(
    fresh: Program, tab: tuple[Page, Trouble], browser: Browser
) -> None:
    page, _ = tab
    context = await browser.new_context()
    try:
        viewer = await context.new_page()
        await viewer.goto(f"{fresh.url}/friday")
        await expect(viewer.get_by_role("heading", level=1)).to_have_text("Friday night", timeout=WAIT)
        await page.goto(f"{fresh.url}/studio/friday")
        details = page.get_by_test_id("details")
        trick = "Sat\u202eyadru\u200b <b onmouseover=alert(1)>x</b>"
        await details.get_by_label("Title").fill(trick, timeout=WAIT)
        await details.get_by_role("button", name="Save").click()
        shown = viewer.get_by_role("heading", level=1)
        await expect(shown).to_have_text("Satyadru <b onmouseover=alert(1)>x</b>", timeout=WAIT)
        assert await viewer.locator("h1 b").count() == 0
    finally:
        await context.close()


async def test_a_stream_gets_qualities_of_its_own_and_shows_how_they_run(
    fresh: Program, tab: tuple[Page, Trouble]
) -> None:
    page, trouble = tab
    key = fresh.run("key", "add", "friday")["key"]
    await page.goto(f"{fresh.url}/studio/friday")
    ladder, renditions = page.get_by_test_id("ladder"), page.get_by_test_id("renditions")
    await expect(renditions).to_contain_text("Nothing is on the air", timeout=WAIT)
    with publishing(f"{fresh.rtmp}/{key}", GOOD):
        source = renditions.locator("[data-id=v0]")
        await expect(source).to_contain_text("180p30 (source)", timeout=WAIT)
        await expect(source).to_contain_text("as you send it")
        await ladder.get_by_test_id("ladder-edit").click()
        while await ladder.get_by_test_id("ladder-row").count():
            await ladder.get_by_role("button", name="Remove").first.click()
        await ladder.get_by_test_id("ladder-add").click()
        await expect(ladder.get_by_label("Lines")).to_be_focused()
        await page.keyboard.type("0")
        await ladder.get_by_label("Lines").fill("5")
        await ladder.get_by_role("button", name="Save").click()
        await expect(ladder.get_by_test_id("error-summary")).to_contain_text("a whole number from 16")
        await ladder.get_by_role("link", name="Quality 1").click()
        await expect(ladder.get_by_label("Lines")).to_be_focused()
        await ladder.get_by_label("Lines").fill("120")
        await ladder.get_by_label("Frames per second").fill("15")
        await ladder.get_by_label("Encoded").select_option("always")
        await ladder.get_by_role("button", name="Save").click()
        await expect(ladder).to_contain_text("Saved.", timeout=WAIT)
        running = renditions.get_by_test_id("rendition").filter(has_text="120p15")
        await expect(running).to_have_attribute("data-state", "running", timeout=WAIT)
        await expect(running).to_contain_text("x264, in software", timeout=WAIT)
        await expect(running).to_contain_text("always encoded")
        await expect(running).to_contain_text("× real time", timeout=WAIT)
        ARTEFACTS.mkdir(exist_ok=True)
        for size, (width, height) in SIZES.items():
            await page.set_viewport_size({"width": width, "height": height})
            await expect_accessible(page)
            await page.screenshot(path=ARTEFACTS / f"renditions-{size}.png", full_page=True)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.reload()
    await expect(ladder.get_by_label("Lines")).to_have_value("120", timeout=WAIT)
    await ladder.get_by_test_id("ladder-reset").click()
    await expect(ladder.get_by_test_id("ladder-edit")).to_be_visible(timeout=WAIT)
    await expect(ladder.get_by_role("heading")).to_be_focused()
    assert trouble.loads == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_studio_on_every_screen(
    fresh: Program, studio: BrowserContext, browser: Browser, size: str, scheme: Scheme
) -> None:
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, storage_state=await studio.storage_state()
    )
    try:
        page = await context.new_page()
        for name, path, ready in (
            ("studio", "/studio", "studio-stream"),
            ("studio-stream", "/studio/friday", "encoder"),
        ):
            await page.goto(fresh.url + path)
            await expect(page.get_by_test_id(ready).first).to_be_visible(timeout=WAIT)
            await expect_accessible(page)
            ARTEFACTS.mkdir(exist_ok=True)
            await page.screenshot(path=ARTEFACTS / f"{name}-{size}-{scheme}.png", full_page=True)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        await context.close()


async def test_signing_out_and_in_again(fresh: Program, tab: tuple[Page, Trouble]) -> None:
    page, trouble = tab
    trouble.expected += ["401 (Unauthorized)"]
    await page.goto(f"{fresh.url}/studio")
    await page.get_by_test_id("sign-out").click(timeout=WAIT)
    await expect(page.get_by_test_id("sign-in-form")).to_be_visible(timeout=WAIT)
    await expect_accessible(page)
    await page.get_by_label("Name").fill("boss")
    await page.get_by_label("Password", exact=True).fill("not the password")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_test_id("error-summary")).to_contain_text("wrong", timeout=WAIT)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Your streams")).to_be_visible(timeout=WAIT)


async def test_guessing_passwords_is_stopped(fresh: Program, browser: Browser) -> None:
    context = await browser.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"{fresh.url}/login")
        await page.get_by_label("Name").fill("boss", timeout=WAIT)

        async def told_to_wait() -> bool:
            await page.get_by_label("Password", exact=True).fill("guess number one")
            await page.keyboard.press("Enter")
            await expect(page.get_by_test_id("error-summary")).to_be_visible(timeout=WAIT)
            return "Wait" in await page.get_by_test_id("error-summary").inner_text()

        await eventually("the limit", told_to_wait)
    finally:
        await context.close()


async def test_a_deleted_stream_is_gone_for_its_viewers(fresh: Program, tab: tuple[Page, Trouble]) -> None:
    page, trouble = tab
    trouble.expected += ["404 (Not Found)"]
    await page.goto(f"{fresh.url}/studio/friday")
    await page.get_by_test_id("delete").get_by_role("button").click(timeout=WAIT)
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("textbox").fill("friday")
    await dialog.get_by_test_id("confirm").click()
    await expect(page.get_by_role("heading", name="Your streams")).to_be_visible(timeout=WAIT)
    answer = await page.goto(f"{fresh.url}/friday")
    assert answer is not None
    assert answer.status == 404
