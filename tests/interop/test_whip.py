"""Broadcasting by WHIP: Chromium on a page of another site, plainly and with OvenLiveKit."""

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from playwright.async_api import Browser, Page
from tests.support.browser import eventually, until
from tests.support.channel import Channel
from tests.support.site import Site
from tests.support.webrtc.pages import expect_playing, oven_live_kit, whep, whip

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


STRINGS = {"VP8": "vp8", "VP9": "vp09", "AV1": "av01"}


async def _live(channel: Channel) -> dict[str, dict[str, Any]]:
    """Wait until viewers know of picture and sound; what they are told of them."""

    async def both() -> dict[str, dict[str, Any]]:
        tracks = await asyncio.to_thread(channel.tracks)
        return tracks if tracks.keys() == {"audio", "video"} else {}

    await asyncio.to_thread(channel.wait_until, "live")
    return await eventually("picture and sound", both)


async def _publish(channel: Channel, tab: Page, **options: Any) -> Any:
    arguments = [channel.url("whip"), channel.key, options]
    return await tab.evaluate("([url, key, options]) => publish(url, key, options)", arguments)


async def test_chromium_broadcasts_and_another_watches(
    channel: Channel, tab: Page, browser: Browser, outside: Site
) -> None:
    await tab.goto(whip(outside))
    done = await tab.evaluate(
        "([url, key]) => publish(url, key, {codec: 'video/H264'})", [channel.url("whip"), channel.key]
    )
    assert done == {"status": 201}
    tracks = await _live(channel)
    assert (tracks["video"]["codec"][:4], tracks["audio"]["codec"]) == ("avc1", "opus")
    assert tracks["video"]["width"] / tracks["video"]["height"] == pytest.approx(16 / 9, abs=0.05)
    viewer = await browser.new_context()
    try:
        page = await viewer.new_page()
        await page.goto(whep(outside))
        assert (await page.evaluate("url => play(url)", channel.url("whep")))["status"] == 201
        await expect_playing(page, frames=60)
        # Players of segments get AAC, which is made here.
        playlist = await asyncio.to_thread(channel.wait_for_segments, 2)
        assert playlist.segments
        assert await tab.evaluate("finish()") == 200
        await asyncio.to_thread(channel.wait_until, "offline")
        await until(page, "the end", "['closed', 'failed', 'disconnected'].includes(pc.connectionState)")
    finally:
        await viewer.close()


@pytest.mark.parametrize("codec", ["VP8", "VP9", "AV1"])
async def test_other_codecs(channel: Channel, tab: Page, browser: Browser, outside: Site, codec: str) -> None:
    await tab.goto(whip(outside))
    assert await _publish(channel, tab, codec=f"video/{codec}", width=320, height=180, rate=15) == {"status": 201}
    tracks = await _live(channel)
    assert tracks["video"]["codec"].startswith(STRINGS[codec])
    viewer = await browser.new_context()
    try:
        page = await viewer.new_page()
        await page.goto(whep(outside))
        assert (await page.evaluate("url => play(url)", channel.url("whep")))["status"] == 201
        await expect_playing(page, frames=20)
    finally:
        await viewer.close()
    assert await tab.evaluate("finish()") == 200


async def test_simulcast_layers_are_renditions(channel: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(whip(outside))
    encodings = [{"rid": "l", "scaleResolutionDownBy": 2}, {"rid": "h"}]
    done = await _publish(channel, tab, codec="video/VP8", width=960, height=540, encodings=encodings)
    assert done == {"status": 201}
    await _live(channel)

    async def layers() -> bool:
        found = await asyncio.to_thread(channel.program.stream, channel.name)
        return sorted(track["height"] for track in found["tracks"] if track["kind"] == "video") == [270, 540]

    await eventually("two layers", layers)
    assert await tab.evaluate("finish()") == 200


@pytest.mark.parametrize("how", ["location.reload()", "pc.close()"])
async def test_a_page_that_goes_away_may_come_back(channel: Channel, tab: Page, outside: Site, how: str) -> None:
    await tab.goto(whip(outside))
    assert await _publish(channel, tab) == {"status": 201}
    await _live(channel)
    async with tab.expect_navigation() if "reload" in how else nullcontext():
        await tab.evaluate(how)
    await asyncio.to_thread(channel.wait_until, "interrupted")
    await tab.goto(whip(outside))
    assert await _publish(channel, tab) == {"status": 201}
    await asyncio.to_thread(channel.wait_until, "live")
    assert await tab.evaluate("finish()") == 200
    await asyncio.to_thread(channel.wait_until, "offline")


@pytest.mark.parametrize("key", ["", "wrong"])
async def test_a_page_learns_why_it_may_not_broadcast(channel: Channel, tab: Page, outside: Site, key: str) -> None:
    await tab.goto(whip(outside))
    done = await tab.evaluate("([url, key]) => publish(url, key)", [channel.url("whip"), key])
    assert done["status"] == 401
    assert "stream key" in done["text"]


@pytest.mark.parametrize("form", ["whip", "direction"])
async def test_oven_live_kit_broadcasts_by_whip(channel: Channel, tab: Page, outside: Site, form: str) -> None:
    await tab.goto(oven_live_kit(outside))
    base = channel.url("whip") if form == "whip" else f"{channel.url('').rstrip('/')}?direction=whip"
    options = {"httpHeaders": {"Authorization": f"Bearer {channel.key}"}, "maxVideoBitrate": 800}
    await tab.evaluate("([url, options]) => publish(url, options)", [base, options])
    tracks = await _live(channel)
    assert (tracks["video"]["codec"][:4], tracks["audio"]["codec"]) == ("avc1", "opus")
    await asyncio.to_thread(channel.wait_for_segments, 2)
    await tab.evaluate("kit.stopStreaming()")
    await asyncio.to_thread(channel.wait_until, "offline")
    assert await tab.evaluate("failures") == []
