"""Players of others go down to a rendition that is made on demand, and back, with moving picture and sound."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from playwright.async_api import Page
from tests.support.browser import expect_moving_picture, until
from tests.support.channel import Channel, Channels
from tests.support.encoder import Picture, publishing
from tests.support.players import page_with
from tests.support.program import Program, running
from tests.support.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

SOURCE = Picture(width=640, height=360)
SMALL = {
    # Renditions that any machine makes while it does something else.
    "GHOSTLIVE_TRANSCODE__RENDITION": "240p30,180p30",
    # An encoder that a busy machine leaves alone for a while is not replaced.
    "GHOSTLIVE_TRANSCODE__SILENT_AFTER": "20",
}

SWITCHING = {
    "hls.js": (
        """
        window.pick = (height) => {
          player.nextLevel = player.levels.findIndex((level) => level.height === height);
        };
        """
    ),
    "dash.js": (
        """
        player.updateSettings({streaming: {abr: {
          autoSwitchBitrate: {video: false}, initialBitrate: {video: 100000},
        }}});
        window.pick = (height) => {
          const list = player.getBitrateInfoListFor("video");
          player.setQualityFor("video", list.find((info) => info.height === height).qualityIndex, true);
        };
        """
    ),
    "shaka": (
        """
        player.configure({abr: {enabled: false}});
        window.pick = (height) => {
          const tracks = player.getVariantTracks().filter((track) => track.height === height);
          const audio = player.getVariantTracks().find((track) => track.active).audioCodec;
          player.selectVariantTrack(tracks.find((track) => track.audioCodec === audio), true);
        };
        """
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server of its own."""
    with running(tmp_path_factory.mktemp("renditions"), SMALL) as program:
        yield program


@pytest.fixture(scope="module")
def channels(server: Program) -> Channels:
    """New streams of it."""
    return Channels(server)


@pytest.fixture(scope="module")
def tall(channels: Channels) -> Iterator[Channel]:
    """A stream of 360p30, whose ladder has 240p30 and 180p30."""
    channel = channels.take()
    # Its rate is above that of the ladder, as usual: who chooses by rate has reason to go down.
    with publishing(channel.publish_url, SOURCE, ["-b:v", "3M"]):
        channel.wait_until("live")
        channel.wait_for_segments(2)
        yield channel


async def test_the_source_is_what_players_begin_with(tall: Channel, plain_page: Page, outside: Site) -> None:
    """hls.js begins with the first variant. It goes down by itself, at any time, on a slow line or machine."""
    rates = [int(rate) for rate in re.findall(r",BANDWIDTH=(\d+)", tall.get("master.m3u8").text.replace(":", ","))]
    assert rates[0] == max(rates)
    await plain_page.goto(page_with(outside, "hls.js", tall.url(), low=True))
    await until(plain_page, "the levels", "player.levels.length")
    assert await plain_page.evaluate("player.levels[player.firstLevel].name") == "360p30"
    await expect_moving_picture(plain_page, frames=60)
    assert await plain_page.evaluate("window.failures") == []


@pytest.mark.parametrize(
    ("what", "low"),
    [
        ("hls.js master.m3u8", False),
        ("hls.js master.m3u8", True),
        ("dash.js manifest.mpd", False),
        ("dash.js manifest.mpd", True),
        ("shaka manifest.mpd", False),
        ("shaka manifest.mpd", True),
        # In its low-latency mode Shaka 5.2 asks for an address that it does not have, with any stream of ours.
        ("shaka master.m3u8", False),
    ],
)
async def test_a_player_goes_down_and_back(
    tall: Channel, plain_page: Page, outside: Site, what: str, low: bool
) -> None:
    player, file = what.split()
    await plain_page.goto(page_with(outside, player, tall.url(file), low=low, more=SWITCHING[player]))
    await until(plain_page, "a picture", "document.querySelector('video').videoHeight > 0")
    for height in (240, 360, 180, 360):
        await plain_page.evaluate(f"pick({height})")
        await until(plain_page, f"{height} lines", f"document.querySelector('video').videoHeight === {height}")
        await expect_moving_picture(plain_page, frames=45)
    assert await plain_page.evaluate("window.failures") == []


async def test_the_sound_alone_plays(tall: Channel, plain_page: Page, outside: Site) -> None:
    await plain_page.goto(page_with(outside, "hls.js", tall.url("audio.m3u8"), low=True))
    await until(plain_page, "sound", "document.querySelector('video').currentTime > 0")
    before = await plain_page.evaluate("document.querySelector('video').webkitAudioDecodedByteCount")
    await until(plain_page, "more", f"document.querySelector('video').webkitAudioDecodedByteCount > {before} + 20000")
    assert await plain_page.evaluate("document.querySelector('video').videoHeight") == 0
    assert await plain_page.evaluate("window.failures") == []


async def test_a_rendition_goes_on_after_the_source_broke_off(
    channel: Channel, plain_page: Page, outside: Site
) -> None:
    with publishing(channel.publish_url, SOURCE) as first:
        await asyncio.to_thread(channel.wait_until, "live")
        await asyncio.to_thread(channel.wait_for_segments, 2)
        address = page_with(outside, "hls.js", channel.url(), low=True, more=SWITCHING["hls.js"])
        await plain_page.goto(address)
        await until(plain_page, "a picture", "document.querySelector('video').videoHeight > 0")
        await plain_page.evaluate("pick(240)")
        await until(plain_page, "240 lines", "document.querySelector('video').videoHeight === 240")
        first.kill()
        await asyncio.to_thread(channel.wait_until, "interrupted")
        with publishing(channel.publish_url, SOURCE):
            await asyncio.to_thread(channel.wait_until, "live")
            await expect_moving_picture(plain_page, frames=60)
            assert await plain_page.evaluate("document.querySelector('video').videoHeight") == 240
    assert await plain_page.evaluate("window.failures") == []
