"""Players that people put on their own pages play our addresses as they are: Shaka, dash.js, hls.js."""

import asyncio

import pytest
from playwright.async_api import Page
from tests.support.browser import eventually, expect_moving_picture, until
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.players import PLAYERS, page_with
from tests.support.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

SMALL = Picture(width=320, height=180)


@pytest.mark.parametrize("low", [False, True], ids=["usual", "low latency"])
@pytest.mark.parametrize("player", list(PLAYERS))
async def test_players_of_others_play(steady: Channel, plain_page: Page, outside: Site, player: str, low: bool) -> None:
    file = "llhls.m3u8" if player == "hls.js" else "manifest.mpd"
    await plain_page.goto(page_with(outside, player, steady.url(file), low=low))
    await expect_moving_picture(plain_page, frames=60)
    if low:
        await until(plain_page, "less than four seconds behind", "window.latency() > 0 && window.latency() < 4")
    assert await plain_page.evaluate("window.failures") == []


@pytest.mark.parametrize(
    ("player", "file"), [("shaka", "manifest.mpd"), ("shaka", "master.m3u8"), ("dash.js", "manifest.mpd")]
)
async def test_players_of_others_get_over_a_break(
    channel: Channel, plain_page: Page, outside: Site, player: str, file: str
) -> None:
    with publishing(channel.publish_url, SMALL) as first:
        await asyncio.to_thread(channel.wait_until, "live")
        await plain_page.goto(page_with(outside, player, channel.url(file), low=False))
        await expect_moving_picture(plain_page, frames=20)
        first.kill()
        await asyncio.to_thread(channel.wait_until, "interrupted")
        with publishing(channel.publish_url, Picture(width=480, height=270)):
            await until(plain_page, "the new size", "document.querySelector('video').videoWidth === 480", 60)
            await expect_moving_picture(plain_page, frames=20)
    assert await plain_page.evaluate("window.failures") == []


async def test_a_player_of_another_site_may_read_the_time(steady: Channel, plain_page: Page, outside: Site) -> None:
    await plain_page.goto(outside.add("time", "<!doctype html><title>time</title>"))
    ask = f"fetch('{steady.program.url}/api/v1/time').then((answer) => answer.text())"
    time = await eventually("the time", lambda: plain_page.evaluate(ask))
    assert time.endswith("Z")
