"""A source whose sound, or picture, goes away for four of each eight seconds: players go on."""

import asyncio

import pytest
from playwright.async_api import Browser, Page
from tests.support.browser import expect_moving_picture, expect_source, until
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.players import page_with
from tests.support.site import Site
from tests.support.whip_page import PAGE, broadcasting_chromium, publish

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WITHOUT_SOUND = Picture(width=320, height=180, away="audio")
WITHOUT_PICTURE = Picture(width=320, height=180, away="video")
LONGEST = 4.0
"""Seconds that the picture may stand still, on a machine that other tests keep busy: not as long as sound is away."""

# For how long the picture stood still at most, in seconds, and how many were played.
METER = """() => {
  const video = document.querySelector("video");
  const meter = window.meter = {longest: 0, played: 0};
  let time = video.currentTime, moved = performance.now();
  setInterval(() => {
    const now = performance.now(), current = document.querySelector("video")?.currentTime ?? time;
    if (current !== time) {
      meter.played += Math.max(0, Math.min(current - time, 0.5));
      time = current;
      moved = now;
    }
    meter.longest = Math.max(meter.longest, (now - moved) / 1000);
  }, 20);
}"""


async def play(page: Page, seconds: float) -> float:
    """Play so many seconds; for how long the picture stood still at most."""
    await page.evaluate(METER)
    await until(page, f"{seconds:g} s to be played", f"window.meter.played > {seconds}")
    return float(await page.evaluate("window.meter.longest"))


@pytest.mark.parametrize(("player", "file"), [("hls.js", "llhls.m3u8"), ("dash.js", "manifest.mpd")])
async def test_the_picture_goes_on_without_sound(
    channel: Channel, plain_page: Page, outside: Site, player: str, file: str
) -> None:
    with publishing(channel.publish_url, WITHOUT_SOUND):
        await asyncio.to_thread(channel.wait_for_segments, 3)
        await plain_page.goto(page_with(outside, player, channel.url(file), low=True))
        await expect_moving_picture(plain_page)
        assert await play(plain_page, 12) < LONGEST
        assert await plain_page.evaluate("window.failures") == []


async def test_the_page_goes_on_without_sound(channel: Channel, page: Page) -> None:
    with publishing(channel.publish_url, WITHOUT_SOUND):
        await asyncio.to_thread(channel.wait_for_segments, 3)
        await page.goto(f"{channel.page}?source=llhls")
        await expect_source(page, "llhls")
        await expect_moving_picture(page)
        assert await play(page, 12) < LONGEST


@pytest.mark.parametrize(("player", "file"), [("hls.js", "llhls.m3u8"), ("dash.js", "manifest.mpd")])
async def test_players_get_over_a_picture_that_is_away(
    channel: Channel, plain_page: Page, outside: Site, player: str, file: str
) -> None:
    with publishing(channel.publish_url, WITHOUT_PICTURE):
        await asyncio.to_thread(channel.wait_for_segments, 3)
        await plain_page.goto(page_with(outside, player, channel.url(file), low=True))
        await expect_moving_picture(plain_page)
        await play(plain_page, 12)
        await expect_moving_picture(plain_page)
        assert await plain_page.evaluate("window.failures") == []


async def test_a_browser_without_its_microphone_is_watched_by_ll_hls(
    browser: Browser, channel: Channel, plain_page: Page, outside: Site
) -> None:
    """The AAC of LL-HLS is made of the browser's Opus: of none, there is none."""
    async with broadcasting_chromium() as broadcaster:
        studio = await broadcaster.new_page()
        await studio.goto(outside.add("whip.html", PAGE))
        await publish(studio, channel.url("whip"), channel.key, codec="h264", width=320, height=180)
        await asyncio.to_thread(channel.wait_until, "live")
        await asyncio.to_thread(channel.wait_for_segments, 3)
        await plain_page.goto(page_with(outside, "hls.js", channel.url("llhls.m3u8"), low=True))
        await expect_moving_picture(plain_page)
        await studio.evaluate(
            "window.microphone = pc.getSenders().find((one) => one.track?.kind === 'audio');"
            "window.track = microphone.track; microphone.replaceTrack(null)"
        )
        # As long as what is buffered, and what is waited for, and then some.
        assert await play(plain_page, 8) < LONGEST
        await studio.evaluate("microphone.replaceTrack(track)")
        assert await play(plain_page, 5) < LONGEST
        await expect_moving_picture(plain_page, sound=True)
        assert await plain_page.evaluate("window.failures") == []
