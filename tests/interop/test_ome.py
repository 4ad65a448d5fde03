"""OvenMediaEngine's signalling with its own programs, unmodified: OvenPlayer watches, OvenLiveKit broadcasts."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page
from tests.support.browser import eventually, expect_moving_picture, until
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.site import Site
from tests.support.webrtc.pages import oven_live_kit, oven_player

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


def _socket(channel: Channel, rest: str = "") -> str:
    return channel.url("").rstrip("/").replace("http://", "ws://") + rest


@pytest.mark.parametrize("rest", ["", "/master", "?transport=udp", "?transport=tcp", "?transport=udptcp"])
async def test_oven_player_plays(steady: Channel, tab: Page, outside: Site, rest: str) -> None:
    await tab.goto(oven_player(outside))
    assert await tab.evaluate("url => play(url)", _socket(steady, rest)) == "playing"
    await expect_moving_picture(tab, sound=False, frames=60)
    assert await tab.evaluate("failures") == []


async def test_oven_player_lists_qualities_and_changes_them(channel: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(oven_player(outside))
    with publishing(channel.publish_url, Picture(width=854, height=480, rate=15, group=15)):
        await asyncio.to_thread(channel.wait_until, "live")
        assert await tab.evaluate("url => play(url)", _socket(channel)) == "playing"
        levels: list[dict[str, Any]] = await until(tab, "qualities", "player.getQualityLevels()")
        assert [level["height"] for level in levels] == [480, 360]
        assert await tab.evaluate("player.isAutoQuality()")
        await tab.evaluate("player.setCurrentQuality(1)")
        await until(tab, "the smaller picture", "document.querySelector('video').videoHeight === 360")
        await expect_moving_picture(tab, sound=False)
        await tab.evaluate("player.setCurrentQuality(0)")
        await until(tab, "the larger picture", "document.querySelector('video').videoHeight === 480")
        await tab.evaluate("player.setAutoQuality(true)")
        await until(tab, "what plays, told", "changes.some((one) => one.currentQuality === 1)")
        assert await tab.evaluate("failures") == []


async def test_oven_player_is_told_why_there_is_nothing(channel: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(oven_player(outside))
    assert await tab.evaluate("url => play(url, {autoFallback: false})", _socket(channel)) == "error"
    (failure,) = await tab.evaluate("failures")
    assert failure.startswith("501 ")
    assert "not live" in failure


async def test_the_end_of_the_stream_reaches_oven_player(channel: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(oven_player(outside))
    with publishing(channel.publish_url, Picture(width=320, height=180)) as encoder:
        await asyncio.to_thread(channel.wait_until, "live")
        assert await tab.evaluate("url => play(url)", _socket(channel)) == "playing"
        await expect_moving_picture(tab, sound=False)
        encoder.stop()
        (failure,) = await until(tab, "the end", "failures.length === 1 && failures")
        assert failure.startswith("511 ")


async def test_a_player_that_leaves_is_no_viewer_any_more(channel: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(oven_player(outside))
    with publishing(channel.publish_url, Picture(width=320, height=180)):
        await asyncio.to_thread(channel.wait_until, "live")
        assert await tab.evaluate("url => play(url)", _socket(channel)) == "playing"

        async def viewers() -> int:
            found: int = (await asyncio.to_thread(channel.program.stream, channel.name))["viewers"]
            return found

        async def one() -> bool:
            return await viewers() == 1

        async def none() -> bool:
            return await viewers() == 0

        await eventually("one viewer", one)
        await tab.evaluate("player.remove()")
        await eventually("nobody", none)


@pytest.mark.parametrize("rest", ["?direction=send&key=KEY", "?transport=tcp&direction=send&key=KEY"])
async def test_oven_live_kit_broadcasts(channel: Channel, tab: Page, outside: Site, rest: str) -> None:
    await tab.goto(oven_live_kit(outside))
    await tab.evaluate("url => publish(url)", _socket(channel, rest.replace("KEY", channel.key)))
    await asyncio.to_thread(channel.wait_until, "live")

    async def sound() -> str:
        found: str = (await asyncio.to_thread(channel.tracks)).get("audio", {}).get("codec", "")
        return found

    assert await eventually("sound", sound) == "opus"
    await until(tab, "the connection", "window.connected === true")
    publisher = await asyncio.to_thread(channel.program.stream, channel.name)
    assert publisher["state"] == "live"
    await tab.evaluate("kit.stopStreaming()")
    await asyncio.to_thread(channel.wait_until, "offline")
    assert await tab.evaluate("failures") == []


async def test_oven_live_kit_with_the_key_in_place_of_the_name(channel: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(oven_live_kit(outside))
    url = _socket(channel).replace(f"/app/{channel.name}", f"/app/{channel.key}")
    await tab.evaluate("url => publish(url)", f"{url}?direction=send")
    await asyncio.to_thread(channel.wait_until, "live")
    await tab.evaluate("kit.remove()")
    await asyncio.to_thread(channel.wait_until, "offline")


async def test_oven_live_kit_is_told_why_it_may_not(channel: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(oven_live_kit(outside))
    await tab.evaluate("url => publish(url)", _socket(channel, "?direction=send&key=wrong"))
    (failure,) = await until(tab, "the reason", "failures.length === 1 && failures")
    assert "stream key" in failure
