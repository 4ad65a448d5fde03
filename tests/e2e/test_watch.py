"""The watch page in a real browser: it plays, changes its source when one fails, and follows the broadcast."""

import asyncio
from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Page, Route, expect
from tests.e2e.conftest import ARTEFACTS
from tests.support.browser import (
    CHROMIUM,
    LOOK,
    Trouble,
    chromium,
    eventually,
    expect_moving_picture,
    expect_sound,
    until,
)
from tests.support.channel import Channel, Channels
from tests.support.encoder import Picture, breaking_off, publishing
from tests.support.program import running

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

SMALL = Picture(width=320, height=180)
WAIT = 60_000
DASH_JUMPED = "getStreamId"
"""dash.js 4.7.4 jumps from one Period to the next and then writes into its log about a stream that it has no more."""


@pytest.fixture(scope="module", autouse=True)
def sent_all_the_time(channels: Channels) -> Iterator[Channel]:
    """What OBS sends by default, a keyframe each 250 frames. It begins with the file: two groups last 16 s."""
    channel = channels.take()
    with publishing(channel.publish_url, Picture(width=320, height=180, b_frames=2, group=250)):
        channel.wait_until("live")
        yield channel


async def expect_player(page: Page, **state: str) -> None:
    """Wait until the player says this of itself: `source`, `state`, `stream_state`."""
    player = page.get_by_test_id("player")
    for name, value in state.items():
        await expect(player).to_have_attribute(f"data-{name.replace('_', '-')}", value, timeout=WAIT)


@pytest.mark.parametrize(("query", "source"), [("", "webrtc"), ("?source=llhls", "llhls"), ("?source=dash", "dash")])
async def test_the_page_plays_through_ovenplayer(steady: Channel, page: Page, query: str, source: str) -> None:
    await page.goto(steady.page + query)
    await expect_player(page, source=source, state="playing")
    await expect_moving_picture(page)
    assert await page.evaluate("window.ghostlive.source") == source
    # It is OvenPlayer that plays, and it sees the picture that was sent.
    await until(page, "OvenPlayer to play", "window.ghostlive.player.getState() === 'playing'")
    assert await page.locator(".op-wrapper video").count() == 1
    look = await eventually("a picture", lambda: page.evaluate(LOOK))
    assert (look["width"], look["height"], look["muted"]) == (640, 360, False)
    await expect(page.get_by_test_id("state")).to_have_text("Live")
    await expect(page.get_by_test_id("facts")).to_contain_text("640×360")
    await expect(page.get_by_test_id("facts")).to_contain_text("30 fps")


@pytest.mark.parametrize("source", ["llhls", "dash"])
async def test_it_stays_close_to_the_broadcast(steady: Channel, page: Page, source: str) -> None:
    await page.goto(f"{steady.page}?source={source}")
    await expect_player(page, source=source, state="playing")
    # There is no library for a moment while a source is loaded anew.
    latency = "(() => { try { const m = window.ghostlive.player.getMseInstance();"
    latency += "return m.getCurrentLiveLatency ? m.getCurrentLiveLatency() : m.latency } catch { return null } })()"
    behind = await until(page, "a latency within five seconds", f"(l => l > 0 && l < 5 && l)({latency})", 60)
    assert behind > 0


@pytest.mark.parametrize(("asked", "instead"), [("llhls", "dash"), ("dash", "llhls")])
async def test_when_one_source_is_broken_the_other_plays(
    steady: Channel, page: Page, trouble: Trouble, asked: str, instead: str
) -> None:
    broken = {"llhls": "**/*.m3u8*", "dash": "**/*.mpd*"}[asked]
    trouble.expected += ["500 (Internal Server Error)", "DashJS", "[object Object]", "ErrorController"]
    tried: list[str] = []
    await page.add_init_script("delete window.RTCPeerConnection")

    async def refuse(route: Route) -> None:
        tried.append(route.request.url)
        await route.fulfill(status=500, body="broken by the test")

    await page.route(broken, refuse)
    await page.goto(f"{steady.page}?source={asked}")
    await expect_player(page, source=instead, state="playing")
    await expect_moving_picture(page)
    assert tried, "the first source was not even tried"
    assert trouble.loads == 1


async def test_when_the_source_breaks_in_the_middle_the_other_takes_over(
    steady: Channel, page: Page, trouble: Trouble
) -> None:
    trouble.expected += ["500 (Internal Server Error)"]
    await page.add_init_script("delete window.RTCPeerConnection")
    await page.goto(steady.page)
    await expect_player(page, source="llhls", state="playing")
    await expect_moving_picture(page, frames=10)
    await page.route("**/*.m3u8*", lambda route: route.fulfill(status=500))
    await expect_player(page, source="dash", state="playing")
    await expect_moving_picture(page)
    assert trouble.loads == 1


@pytest.mark.parametrize("source", ["llhls", "dash"])
async def test_the_page_follows_a_publisher_that_breaks_down_and_returns(
    channel: Channel, page: Page, trouble: Trouble, source: str
) -> None:
    trouble.expected += ["503 (Service Unavailable)", DASH_JUMPED]
    with publishing(channel.publish_url, SMALL) as first:
        await _live(channel)
        await page.goto(f"{channel.page}?source={source}")
        await expect_player(page, source=source, state="playing")
        await expect_moving_picture(page, frames=10)
        first.kill()
        await expect_player(page, stream_state="interrupted")
        await expect(page.get_by_text("The broadcast is interrupted")).to_be_visible()
    # It returns with another size, as when the streamer switches to the phone.
    with publishing(channel.publish_url, Picture(width=480, height=270)) as second:
        await expect_player(page, stream_state="live", state="playing")
        await expect_moving_picture(page)
        await until(page, "the new size", "document.querySelector('video')?.videoWidth === 480")
        await expect(page.get_by_text("The broadcast is interrupted")).not_to_be_visible()
        second.stop()
        await expect_player(page, stream_state="offline", state="offline")
        await expect(page.get_by_test_id("offline-panel")).to_be_visible(timeout=WAIT)
        await expect(page.get_by_test_id("state")).to_have_text("Offline")
    with publishing(channel.publish_url, SMALL):
        await expect_player(page, stream_state="live", state="playing")
        await expect_moving_picture(page)
        await expect(page.get_by_test_id("offline-panel")).to_have_count(0)
    assert trouble.loads == 1


async def test_dash_goes_on_after_a_broadcast_that_broke_off_between_picture_and_sound(
    channel: Channel, page: Page, trouble: Trouble
) -> None:
    """The last segment has no sound; the page's console tells whether one was asked for in vain."""
    trouble.expected += ["503 (Service Unavailable)", DASH_JUMPED]
    # The page is there first: it has to have begun to play before the few seconds are over.
    await page.goto(f"{channel.page}?source=dash")
    await expect(page.get_by_test_id("offline-panel")).to_be_visible(timeout=WAIT)
    with breaking_off(channel.publish_url, SMALL, 6.0) as first:
        await _live(channel)
        await expect_player(page, source="dash", state="playing")
        await expect_moving_picture(page, frames=10)
        await until(page, "what was sent", "document.querySelector('video')?.currentTime > 5.5")
        first.kill()
        await expect_player(page, stream_state="interrupted")
    with publishing(channel.publish_url, Picture(width=480, height=270)):
        await expect_player(page, stream_state="live", state="playing")
        await until(page, "the new size", "document.querySelector('video')?.videoWidth === 480")
        await expect_moving_picture(page)
    assert trouble.loads == 1


async def test_audio_only_plays_and_says_so(channel: Channel, page: Page) -> None:
    with publishing(channel.publish_url, Picture(video=False)):
        await _live(channel)
        await page.goto(channel.page)
        await expect_player(page, state="playing")
        await expect_sound(page)


async def test_video_only_plays(channel: Channel, page: Page) -> None:
    with publishing(channel.publish_url, Picture(width=320, height=180, audio=False)):
        await _live(channel)
        await page.goto(channel.page)
        await expect_player(page, state="playing")
        await expect_moving_picture(page, sound=False)


async def test_a_viewer_who_is_there_first_sees_the_broadcast_begin(
    channel: Channel, page: Page, trouble: Trouble
) -> None:
    await page.goto(channel.page)
    await expect(page.get_by_test_id("offline-panel")).to_be_visible(timeout=WAIT)
    with publishing(channel.publish_url, Picture(width=320, height=180, b_frames=2, group=250)):
        await expect_player(page, stream_state="live", state="playing")
        await expect_moving_picture(page)
    assert trouble.loads == 1


@pytest.fixture(scope="module")
def rare(sent_all_the_time: Channel) -> Channel:
    """That, once it has been on for some groups."""
    sent_all_the_time.wait_for_segments(2)
    return sent_all_the_time


@pytest.mark.parametrize("source", ["llhls", "dash"])
async def test_a_viewer_joins_between_rare_keyframes_without_a_stall(rare: Channel, page: Page, source: str) -> None:
    """Joining must not depend on where in eight seconds of pictures one comes in."""
    await page.goto(f"{rare.page}?source={source}")
    await expect_player(page, source=source, state="playing")
    await expect_moving_picture(page, frames=90)
    assert await page.evaluate("window.ghostlive.source") == source


async def test_a_browser_that_refuses_sound_plays_without_and_offers_it(steady: Channel) -> None:
    async with chromium(autoplay=False, command=CHROMIUM) as strict:
        page = await strict.new_page()
        # Whatever Playwright evaluates counts as a touch of the page. So the page itself has to tell how it plays.
        plays: list[str] = []
        page.on("console", lambda message: plays.append(message.text) if message.text in ("silent", "loud") else None)
        await page.add_init_script("""setInterval(() => {
            const video = document.querySelector("video");
            if (video && video.currentTime > 1 && !video.paused) console.log(video.muted ? "silent" : "loud");
        }, 100)""")
        await page.goto(steady.page)
        await eventually("moving picture", lambda: _first(plays))
        assert plays[0] == "silent"
        await expect_player(page, state="playing")
        await page.get_by_role("button", name="Tap for sound").click(timeout=WAIT)
        await until(page, "sound after the tap", "!document.querySelector('video').muted")
        await expect(page.get_by_role("button", name="Tap for sound")).to_have_count(0)
        await expect_moving_picture(page)


async def test_a_page_of_no_stream_says_so(page: Page, channel: Channel, trouble: Trouble) -> None:
    trouble.expected += ["404 (Not Found)"]
    answer = await page.goto(f"{channel.program.url}/nobody-knows-me")
    assert answer is not None
    assert answer.status == 404
    await expect(page.get_by_test_id("no-such-stream")).to_be_visible(timeout=WAIT)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
async def test_the_player_fits_every_screen(steady: Channel, browser: Browser, width: int, height: int) -> None:
    context = await browser.new_context(viewport={"width": width, "height": height})
    try:
        page = await context.new_page()
        await page.goto(steady.page)
        await expect_player(page, state="playing")
        await expect_moving_picture(page)
        ARTEFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTEFACTS / f"watch-{width}x{height}.png")
        box = await page.get_by_test_id("player").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
        assert box["width"] >= 0.6 * width
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        # The chat has all the height that the picture leaves, and the page itself nothing to scroll.
        chat = page.get_by_test_id("chat")
        await expect(chat).to_be_in_viewport(ratio=1, timeout=WAIT)
        assert await page.evaluate("document.documentElement.scrollHeight") <= height
        box = await chat.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] == pytest.approx(height, abs=1)
    finally:
        await context.close()


async def _live(channel: Channel) -> None:
    await asyncio.to_thread(channel.wait_until, "live")


async def test_a_restarted_server_is_found_again_by_the_page(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> None:
    with running(tmp_path_factory.mktemp("restarted")) as program:
        channel = Channel.add(program)
        page = await browser.new_page()
        try:
            with publishing(channel.publish_url, SMALL):
                await _live(channel)
                await page.goto(channel.page)
                await expect_player(page, state="playing")
                await expect_moving_picture(page, frames=10)
                program.stop()
            await eventually("the page to notice", page.get_by_text("Reconnecting").first.is_visible)
            await asyncio.to_thread(program.start)
            with publishing(channel.publish_url, SMALL):
                await expect_player(page, stream_state="live", state="playing")
                await expect_moving_picture(page)
        finally:
            await page.close()


async def _first(found: list[str]) -> str | None:
    return found[0] if found else None


@pytest.mark.parametrize("source", ["webrtc", "llhls"])
async def test_on_a_phone_the_controls_have_no_words_that_are_cut_off(steady: Channel, page: Page, source: str) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(f"{steady.page}?source={source}")
    await expect_player(page, source=source, state="playing")
    badge = page.locator(".op-live-badge")
    await expect(badge).to_have_count(1)
    await expect(badge).to_have_text("", use_inner_text=True)
    await page.set_viewport_size({"width": 1440, "height": 900})
    await expect(badge).to_contain_text("Latency" if source == "webrtc" else "Live", use_inner_text=True)
