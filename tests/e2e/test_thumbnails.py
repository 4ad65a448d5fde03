"""The front page's pictures of what is live, in a browser."""

import asyncio
import re

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect
from tests.e2e.conftest import ARTEFACTS
from tests.support.browser import Trouble, eventually
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WAIT = 60_000
NEW_EVERY = 12_000
"""Milliseconds after which the page shows what is on now, as it promises."""
COLOURS = """image => {
  const canvas = new OffscreenCanvas(16, 9).getContext("2d");
  canvas.drawImage(image, 0, 0, 16, 9);
  const { data } = canvas.getImageData(0, 0, 16, 9);
  return new Set(Array.from({ length: 144 }, (_, i) => data.slice(i * 4, i * 4 + 3).join())).size;
}"""


def card(page: Page, channel: Channel) -> Locator:
    return page.locator(f"[data-testid=stream-card][data-stream={channel.name}]")


async def opacity(picture: Locator) -> float:
    return float(await picture.evaluate("image => getComputedStyle(image).opacity"))


async def _seen(picture: Locator) -> bool:
    return await opacity(picture) == 1


async def test_the_list_shows_what_is_on_and_goes_with_it(steady: Channel, page: Page) -> None:
    await page.clock.install()
    await page.goto(steady.program.url)
    picture = card(page, steady).get_by_test_id("thumbnail")
    await eventually("the picture", lambda: _seen(picture))
    assert await picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [640, 360]
    assert await picture.evaluate(COLOURS) > 10
    assert await picture.get_attribute("alt") == f"What {steady.name} shows now"
    first = await picture.get_attribute("src")
    await page.clock.fast_forward(NEW_EVERY)
    await expect(picture).not_to_have_attribute("src", first or "", timeout=WAIT)
    assert await _seen(picture)
    assert await picture.evaluate(COLOURS) > 10


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
async def test_a_picture_that_comes_late_moves_nothing(
    steady: Channel, browser: Browser, width: int, height: int, scheme: str
) -> None:
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    try:
        page = await context.new_page()
        go = asyncio.Event()

        async def late(route: Route) -> None:
            await go.wait()
            await route.continue_()

        await page.route("**/thumb.webp*", late)
        await page.goto(steady.program.url)
        shown = card(page, steady)
        await expect(shown).to_be_visible(timeout=WAIT)
        picture = shown.get_by_test_id("thumbnail")
        before = await shown.bounding_box()
        assert await opacity(picture) == 0
        go.set()
        await eventually("the picture", lambda: _seen(picture))
        after = await shown.bounding_box()
        assert before is not None
        assert after is not None
        # Chromium may round to another 64th of a pixel.
        assert list(after.values()) == pytest.approx(list(before.values()), abs=0.1)
        art = await shown.locator(".art").bounding_box()
        assert await picture.bounding_box() == art
        assert art is not None
        assert art["width"] / art["height"] == pytest.approx(16 / 9, abs=0.02)
        ARTEFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTEFACTS / f"pictures-{width}x{height}-{scheme}.png")
    finally:
        await context.close()


async def test_the_drawn_picture_stays_when_there_is_no_other(steady: Channel, page: Page, trouble: Trouble) -> None:
    trouble.expected.append("503")
    await page.route("**/thumb.webp*", lambda route: route.fulfill(status=503))
    await page.goto(steady.program.url)
    shown = card(page, steady)
    await expect(shown.locator(".art > svg")).to_be_visible(timeout=WAIT)
    await eventually("the refusal", lambda: _told(trouble))
    assert await opacity(shown.get_by_test_id("thumbnail")) == 0


async def test_an_interrupted_stream_keeps_its_last_picture_and_sound_alone_has_none(
    channel: Channel, page: Page
) -> None:
    with publishing(channel.publish_url, Picture(width=320, height=180)) as encoder:
        await page.goto(channel.program.url)
        picture = card(page, channel).get_by_test_id("thumbnail")
        await expect(picture).to_have_class(re.compile(r"\bloaded\b"), timeout=WAIT)
        encoder.kill()
        await expect(card(page, channel).get_by_test_id("state")).to_have_text("Interrupted", timeout=WAIT)
        assert await picture.evaluate("image => image.naturalWidth") == 320
    with publishing(channel.publish_url, Picture(video=False)):
        await expect(card(page, channel)).to_contain_text("Audio only", timeout=WAIT)
        await expect(card(page, channel).get_by_test_id("thumbnail")).to_have_count(0)


async def _told(trouble: Trouble) -> bool:
    return any("503" in message for message in trouble.messages)
