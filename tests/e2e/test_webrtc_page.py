"""The watch page with WebRTC: it comes first, has a way round every obstacle, and says how one is watching."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, WebSocketRoute, expect
from tests.e2e.conftest import ARTEFACTS
from tests.support.axe import expect_accessible
from tests.support.browser import Trouble, eventually, expect_moving_picture, until
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.program import Program, running

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WAIT = 60_000
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
SMALL = {"GHOSTLIVE_TRANSCODE__RENDITION": "240p30,180p15", "GHOSTLIVE_TRANSCODE__LINGER": "1"}
LOWER = ("240p30", "180p15", "Audio only")

# A firewall in the page: lets candidates of the server through that `window.firewall` names, such as "tcp".
FIREWALL = """(() => {
  const { setRemoteDescription, addIceCandidate } = RTCPeerConnection.prototype;
  const passes = (line) => {
    const { firewall } = sessionStorage;
    const names = (firewall ?? "").split(" ").filter(Boolean);
    return firewall === undefined || names.some((name) => line.toLowerCase().includes(` ${name} `));
  };
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    const lines = description.sdp.split("\\r\\n");
    const sdp = lines.filter((line) => !line.startsWith("a=candidate:") || passes(line)).join("\\r\\n");
    return setRemoteDescription.call(this, { type: description.type, sdp });
  };
  RTCPeerConnection.prototype.addIceCandidate = function (candidate) {
    return candidate && !passes(candidate.candidate) ? Promise.resolve() : addIceCandidate.call(this, candidate);
  };
})()"""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server of its own, with renditions that any machine makes."""
    with running(tmp_path_factory.mktemp("webrtc"), SMALL) as program:
        yield program


@pytest.fixture(scope="module")
def show(quiet: Program) -> Iterator[Channel]:
    """A broadcast that is on as long as these tests run."""
    channel = Channel.add(quiet, "show")
    with publishing(channel.publish_url, Picture(group=30)):
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


async def expect_player(page: Page, **state: str) -> None:
    """Wait until the player says this of itself: `source`, `state`, `stream_state`, `quality`."""
    player = page.get_by_test_id("player")
    for name, value in state.items():
        await expect(player).to_have_attribute(f"data-{name.replace('_', '-')}", value, timeout=WAIT)


async def show_controls(page: Page) -> None:
    """With the mouse, as the controls hide from who does not move it."""
    box = await page.get_by_test_id("player").bounding_box()
    assert box
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await page.mouse.move(box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2)


async def open_panel(page: Page) -> None:
    await show_controls(page)
    await page.get_by_test_id("watching").click(timeout=WAIT)


async def test_the_page_plays_by_webrtc_and_says_how(show: Channel, viewer: tuple[Page, Trouble]) -> None:
    page, trouble = viewer
    await page.goto(show.page)
    await expect_player(page, source="webrtc", state="playing", quality="360p30")
    await expect_moving_picture(page)
    await until(page, "a stream", "document.querySelector('video')?.srcObject instanceof MediaStream")
    await open_panel(page)
    await expect(page.get_by_test_id("watching-protocol")).to_have_text("WebRTC over UDP")
    await expect(page.get_by_test_id("watching-delay")).to_contain_text("ms", timeout=WAIT)
    await expect(page.get_by_test_id("watching-rendition")).to_have_text("360p30 (Auto)")
    await expect(page.get_by_test_id("watching-rate")).to_contain_text("fps", timeout=WAIT)
    await expect(page.get_by_test_id("watching-bitrate")).to_contain_text("b/s", timeout=WAIT)
    await expect(page.get_by_test_id("watching-loss")).to_contain_text("%", timeout=WAIT)
    await expect(page.get_by_test_id("watching-why")).to_have_count(0)
    assert trouble.loads == 1


@pytest.mark.parametrize("size", SIZES)
async def test_the_panel_fits_every_screen_and_is_for_everybody(
    show: Channel, viewer: tuple[Page, Trouble], size: str
) -> None:
    page, _ = viewer
    width, height = SIZES[size]
    await page.set_viewport_size({"width": width, "height": height})
    await page.goto(show.page)
    await expect_player(page, source="webrtc", state="playing")
    button = page.get_by_test_id("watching")
    await button.focus(timeout=WAIT)
    await page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="How am I watching?")
    await expect(panel).to_be_focused()
    await expect(page.get_by_test_id("watching-loss")).to_be_visible(timeout=WAIT)
    box = await panel.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= height
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await expect_accessible(page)
    ARTEFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTEFACTS / f"watching-{size}.png")
    # The space bar is the panel's, and not the player's.
    await page.keyboard.press("Space")
    await expect_player(page, state="playing")
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(button).to_be_focused()


async def test_a_choice_of_quality_changes_the_picture_and_auto_gives_it_back(
    show: Channel, viewer: tuple[Page, Trouble]
) -> None:
    page, trouble = viewer
    await page.goto(show.page)
    await expect_player(page, source="webrtc", state="playing", quality="360p30")
    await show_controls(page)
    await page.get_by_test_id("quality").click(timeout=WAIT)
    items = page.get_by_role("menuitemradio")
    await expect(items).to_have_text(
        [re.compile(rf"^\W*{re.escape(name)}\W*$") for name in ("Auto (360p30)", "360p30 (source)", *LOWER)]
    )
    await items.filter(has_text=re.compile(r"^\W*240p30")).click()
    await until(page, "the smaller picture", "document.querySelector('video')?.videoHeight === 240")
    await expect_player(page, source="webrtc", state="playing", quality="240p30")
    await expect_moving_picture(page)
    await show_controls(page)
    await page.get_by_test_id("quality").click(timeout=WAIT)
    await items.filter(has_text="Auto").click()
    await until(page, "the source again", "document.querySelector('video')?.videoHeight === 360")
    await expect_player(page, source="webrtc", state="playing", quality="360p30")
    # What is chosen at one visit is so at the next.
    await show_controls(page)
    await page.get_by_test_id("quality").click(timeout=WAIT)
    await items.filter(has_text=re.compile(r"^\W*180p15")).click()
    await until(page, "the smallest picture", "document.querySelector('video')?.videoHeight === 180")
    await page.reload()
    await expect_player(page, source="webrtc", state="playing", quality="180p15")
    assert trouble.loads == 2


async def test_where_udp_is_blocked_it_plays_over_tcp(show: Channel, viewer: tuple[Page, Trouble]) -> None:
    page, _ = viewer
    await page.add_init_script(FIREWALL)
    await page.add_init_script("sessionStorage.firewall = 'tcp'")
    await page.goto(show.page)
    await expect_player(page, source="webrtc", state="playing")
    await expect_moving_picture(page)
    await open_panel(page)
    await expect(page.get_by_test_id("watching-protocol")).to_have_text("WebRTC over TCP", timeout=WAIT)


async def test_where_nothing_gets_through_it_goes_on_with_llhls_and_comes_back_with_the_network(
    show: Channel, viewer: tuple[Page, Trouble]
) -> None:
    page, trouble = viewer
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url) if "/app/" in socket.url else None)
    await page.add_init_script(FIREWALL)
    await page.goto(show.program.url)
    await page.evaluate("sessionStorage.firewall = ''")
    await page.goto(show.page)
    await expect_player(page, source="llhls", state="playing")
    await expect_moving_picture(page)
    assert len(sockets) == 1
    await open_panel(page)
    await expect(page.get_by_test_id("watching-protocol")).to_have_text("LL-HLS")
    await expect(page.get_by_test_id("watching-why")).to_contain_text("neither over UDP nor over TCP")
    await expect(page.get_by_test_id("watching-why")).to_contain_text("tried again")
    # It is remembered: the next visit does not wait for it.
    await page.reload()
    await expect_player(page, source="llhls", state="playing")
    assert len(sockets) == 1
    # Another network, in which it does not work either: the picture goes on meanwhile.
    stops = "window.stops = 0; document.querySelector('video').addEventListener('emptied', () => { window.stops += 1 })"
    await page.evaluate(stops)
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await eventually("another try", lambda: _length(sockets, 2))
    await open_panel(page)
    await expect(page.get_by_test_id("watching-why")).to_contain_text("neither over UDP nor over TCP", timeout=WAIT)
    assert await page.evaluate("window.stops") == 0
    # And one in which it does.
    await page.evaluate("delete sessionStorage.firewall")
    await page.get_by_test_id("watching-retry").click()
    await expect_player(page, source="webrtc", state="playing")
    await expect_moving_picture(page)
    assert trouble.loads == 3


async def test_a_browser_without_webrtc_plays_llhls_at_once(show: Channel, viewer: tuple[Page, Trouble]) -> None:
    page, _ = viewer
    await page.add_init_script("delete window.RTCPeerConnection")
    await page.goto(show.page)
    await expect_player(page, source="llhls", state="playing")
    await open_panel(page)
    await expect(page.get_by_test_id("watching-why")).to_contain_text("This browser has no WebRTC")


async def test_a_proxy_without_websockets_is_gone_round(show: Channel, viewer: tuple[Page, Trouble]) -> None:
    page, _ = viewer
    await page.route_web_socket("**/app/**", lambda socket: socket.close())
    await page.goto(show.page)
    await expect_player(page, source="llhls", state="playing")
    await open_panel(page)
    await expect(page.get_by_test_id("watching-why")).to_contain_text("WebSockets")


async def test_volume_and_silence_are_kept_when_webrtc_breaks_off(show: Channel, viewer: tuple[Page, Trouble]) -> None:
    page, trouble = viewer
    lines: list[WebSocketRoute] = []
    closed = False

    async def through(socket: WebSocketRoute) -> None:
        if closed:
            await socket.close()
            return
        lines.append(socket)
        socket.connect_to_server()

    await page.route_web_socket("**/app/**", through)
    await page.goto(show.page)
    await expect_player(page, source="webrtc", state="playing")
    await page.evaluate("window.ghostlive.player.setVolume(30); window.ghostlive.player.setMute(true)")
    # The signalling breaks: it is connected anew by itself.
    await lines[0].close()
    await eventually("another connection", lambda: _length(lines, 2))
    await expect_player(page, source="webrtc", state="playing")
    await expect_moving_picture(page, sound=False)
    state = "(v => v && v.muted && Math.abs(v.volume - 0.3) < 0.01)(document.querySelector('video'))"
    await until(page, "the same volume, and silence", state)
    # And breaks for good.
    closed = True
    await lines[-1].close()
    await expect_player(page, source="llhls", state="playing")
    await until(page, "the same volume, and silence", state)
    assert trouble.loads == 1


async def test_the_page_follows_a_publisher_that_breaks_down_and_returns(
    quiet: Program, viewer: tuple[Page, Trouble]
) -> None:
    page, trouble = viewer
    channel = Channel.add(quiet, "break")
    with publishing(channel.publish_url, Picture(width=320, height=180)) as first:
        await asyncio.to_thread(channel.wait_until, "live")
        await page.goto(channel.page)
        await expect_player(page, source="webrtc", state="playing")
        first.kill()
        await expect_player(page, stream_state="interrupted")
        await expect(page.get_by_text("The broadcast is interrupted")).to_be_visible()
    with publishing(channel.publish_url, Picture(width=480, height=270)) as second:
        await expect_player(page, source="webrtc", stream_state="live", state="playing")
        await until(page, "the new size", "document.querySelector('video')?.videoWidth === 480")
        await expect_moving_picture(page)
        second.stop()
        await expect_player(page, stream_state="offline", state="offline")
        await expect(page.get_by_test_id("offline-panel")).to_be_visible(timeout=WAIT)
    assert trouble.loads == 1


async def test_b_frames_and_rare_keyframes_play_too(quiet: Program, viewer: tuple[Page, Trouble]) -> None:
    page, _ = viewer
    channel = Channel.add(quiet, "obs")
    with publishing(channel.publish_url, Picture(width=320, height=180, b_frames=2, group=250)):
        await asyncio.to_thread(channel.wait_until, "live")
        await page.goto(channel.page)
        await expect_player(page, state="playing")
        await expect_moving_picture(page)
        await expect_player(page, source="webrtc", state="playing")


async def test_a_restarted_server_is_found_again_and_played_by_webrtc(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> None:
    with running(tmp_path_factory.mktemp("restarted-webrtc")) as program:
        channel = Channel.add(program)
        page = await browser.new_page()
        try:
            with publishing(channel.publish_url, Picture(width=320, height=180)):
                await asyncio.to_thread(channel.wait_until, "live")
                await page.goto(channel.page)
                await expect_player(page, source="webrtc", state="playing")
                program.stop()
            await eventually("the page to notice", page.get_by_text("Reconnecting").first.is_visible)
            await asyncio.to_thread(program.start)
            with publishing(channel.publish_url, Picture(width=320, height=180)):
                await expect_player(page, source="webrtc", stream_state="live", state="playing")
                await expect_moving_picture(page)
        finally:
            await page.close()


async def _length(found: list[str] | list[WebSocketRoute], count: int) -> bool:
    return len(found) >= count
