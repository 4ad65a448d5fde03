"""The other pages: the list of streams, the embedded player, and what the command changes while pages are open."""

import asyncio

import pytest
from playwright.async_api import Browser, Page, expect
from tests.e2e.conftest import ARTEFACTS
from tests.support.browser import Trouble, eventually, expect_moving_picture
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.program import Program
from tests.support.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

SMALL = Picture(width=320, height=180)
WAIT = 60_000


async def test_the_list_shows_what_is_live_and_changes_without_a_reload(
    channel: Channel, page: Page, trouble: Trouble
) -> None:
    await page.goto(channel.program.url)
    card = page.locator(f"[data-testid=stream-card][data-stream={channel.name}]")
    await expect(page.get_by_role("link", name=channel.name)).to_be_visible(timeout=WAIT)
    await expect(card).to_have_count(0)
    with publishing(channel.publish_url, SMALL) as encoder:
        await expect(card).to_be_visible(timeout=WAIT)
        await expect(card).to_contain_text("320×180", timeout=WAIT)
        await card.get_by_role("link").click()
        await expect_moving_picture(page)
        assert page.url == channel.page
        await page.go_back()
        await expect(card).to_be_visible(timeout=WAIT)
        loads = trouble.loads
        encoder.kill()
        await expect(card.get_by_test_id("state")).to_have_text("Interrupted", timeout=WAIT)
    with publishing(channel.publish_url, SMALL) as encoder:
        await expect(card.get_by_test_id("state")).to_have_text("Live", timeout=WAIT)
        encoder.stop()
        await expect(card).to_have_count(0, timeout=WAIT)
    assert trouble.loads == loads


async def test_a_stream_that_the_command_adds_appears_by_itself(server: Program, page: Page, trouble: Trouble) -> None:
    await page.goto(server.url)
    added = await asyncio.to_thread(Channel.add, server, "brand-new")
    await expect(page.get_by_role("link", name=added.name)).to_be_visible(timeout=WAIT)
    await asyncio.to_thread(server.run_plain, "stream", "remove", added.name, "--yes")
    await expect(page.get_by_role("link", name=added.name)).to_have_count(0, timeout=WAIT)
    assert trouble.loads == 1


async def test_the_embedded_player_plays_in_a_frame_of_another_site(
    steady: Channel, page: Page, trouble: Trouble, outside: Site
) -> None:
    trouble.allowed.append(outside.url)
    embedded = f"{steady.program.url}/embed/{steady.name}"
    await page.goto(outside.add("blog", f'<iframe src="{embedded}" width="640" height="360"></iframe>'))
    frame = page.frame_locator("iframe")
    await expect(frame.get_by_test_id("player")).to_have_attribute("data-state", "playing", timeout=WAIT)
    frames = "video => video.getVideoPlaybackQuality().totalVideoFrames > 20"
    await eventually("moving picture in the frame", lambda: frame.locator("video").evaluate(frames))


async def test_the_embed_page_plays_by_itself(steady: Channel, page: Page) -> None:
    await page.goto(f"{steady.program.url}/embed/{steady.name}")
    await expect_moving_picture(page)
    assert await page.get_by_test_id("player").bounding_box() == {"x": 0, "y": 0, "width": 1440, "height": 900}


async def test_another_site_may_not_frame_the_watch_page(
    steady: Channel, page: Page, trouble: Trouble, outside: Site
) -> None:
    trouble.allowed.append(outside.url)
    trouble.expected.append("frame-ancestors")
    await page.goto(outside.add("thief", f'<iframe src="{steady.page}"></iframe>'))
    await eventually("the refusal", lambda: _said(trouble, "frame-ancestors"))
    assert await page.frame_locator("iframe").get_by_test_id("player").count() == 0


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
async def test_the_list_fits_every_screen(steady: Channel, browser: Browser, width: int, height: int) -> None:
    context = await browser.new_context(viewport={"width": width, "height": height})
    try:
        page = await context.new_page()
        await page.goto(steady.program.url)
        await expect(page.locator(f"[data-stream={steady.name}]")).to_be_visible(timeout=WAIT)
        ARTEFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTEFACTS / f"list-{width}x{height}.png")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        await context.close()


async def test_the_api_page_works_without_help_from_outside(server: Program, page: Page) -> None:
    await page.goto(f"{server.url}/api/docs")
    await expect(page.get_by_text("/api/v1/streams").first).to_be_visible(timeout=WAIT)


async def _said(trouble: Trouble, part: str) -> bool:
    return any(part in message for message in trouble.messages)
