"""WebRTC over bad networks: real packets between the server and Chromium get lost, overtake each other, or are blocked.

Chromium is in a network namespace of its own, where one can be made. The relay that takes its place elsewhere is tried
everywhere (`tests/support/line.py`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from tests.support.browser import Trouble, chromium, eventually, expect_moving_picture, expect_source, until
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.line import FIRST, Kind, Line, namespaces, open_line
from tests.support.program import Program, free_media_port, running

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

KINDS: list[Kind] = ["tunnel", "relay"] if namespaces() else ["relay"]
RATE = 30
CLOCK = 90_000
ROUND_TRIP = 0.04

best = pytest.mark.parametrize("far", KINDS[:1], indirect=True)

PLAYER = "document.querySelector('[data-testid=player]').dataset"

# The frames that were decoded, the RTP timestamp of the last one that was shown, and the way it came.
STATS = """async () => {
  const {connection} = window.ghostlive ?? {};
  if (!connection) return null;
  const all = new Map([...await connection.getStats()]);
  const stats = [...all.values()];
  const picture = stats.find((one) => one.type === "inbound-rtp" && one.kind === "video");
  const transport = stats.find((one) => one.type === "transport");
  const pair = all.get(transport?.selectedCandidatePairId);
  const receiver = connection.getReceivers().find(({track}) => track.kind === "video");
  const [source] = receiver?.getSynchronizationSources() ?? [];
  return picture && pair && source ? {
    decoded: picture.framesDecoded, nacks: picture.nackCount, keyframes: picture.keyFramesDecoded,
    frozen: picture.totalFreezesDuration, lost: picture.packetsLost, again: picture.retransmittedPacketsReceived,
    timestamp: source.rtpTimestamp, protocol: all.get(pair.remoteCandidateId).protocol,
  } : null;
}"""


@dataclass
class Far:
    """A server, and Chromium at the other end of a line to it."""

    line: Line
    program: Program
    channel: Channel
    browser: Browser

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """The page of the stream, in which nothing may go wrong unnoticed, and which is loaded once."""
        url = f"http://{self.line.host}:{self.program.http_port}"
        trouble = Trouble(url)
        context = await self.browser.new_context()
        page = await context.new_page()
        trouble.watch(page)
        try:
            await page.goto(f"{url}/{self.channel.name}")
            yield page
            assert trouble.loads == 1
            trouble.check()
        finally:
            await context.close()
            self.line.loss = self.line.delay = self.line.jitter = 0.0
            self.line.blocked = frozenset()


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=KINDS)
async def far(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Far]:
    folder = tmp_path_factory.mktemp("far")
    with open_line(request.param, free_media_port(), folder) as line:
        # What is measured is what WebRTC makes of the network; another rendition would have another number of frames.
        settings = {**line.environment, "GHOSTLIVE_TRANSCODE__RENDITION": f"180p{RATE}"}
        with running(folder / "data", settings, FIRST) as program:
            channel = Channel.add(program)
            with publishing(channel.publish_url, Picture(width=480, height=270, rate=RATE)):
                await asyncio.to_thread(channel.wait_until, "live")
                async with chromium(command=line.chromium, extra=line.flags) as browser:
                    yield Far(line, program, channel, browser)


async def expect_way(page: Page, protocol: str) -> None:
    """Wait until the picture comes by WebRTC, that way, and moves."""

    async def there() -> bool:
        found = await page.evaluate(STATS)
        return bool(found and found["protocol"] == protocol)

    await eventually(f"WebRTC by {protocol}", there)
    await until(page, "WebRTC", f"{PLAYER}.source === 'webrtc' && {PLAYER}.state === 'playing'")
    await expect_moving_picture(page)


async def expect_http(page: Page) -> None:
    """Wait until the picture comes over HTTP and moves: by LL-HLS, or by DASH on a machine too busy at first."""
    await until(page, "HTTP", f"['llhls', 'dash'].includes({PLAYER}.source) && {PLAYER}.state === 'playing'")
    await expect_moving_picture(page)


async def test_five_in_a_hundred_lost_and_50_ms_of_jitter_cost_few_frames(far: Far) -> None:
    line = far.line
    line.delay, line.jitter, line.loss = ROUND_TRIP / 2 + 0.05, 0.05, 0.05
    async with far.page() as page:
        await expect_source(page, "webrtc")
        await expect_way(page, "udp")
        before, lost = await until(page, "figures", STATS), line.lost

        def sent(now: dict[str, Any]) -> float:
            return float(((now["timestamp"] - before["timestamp"]) % 2**32) / (CLOCK / RATE))

        def share(now: dict[str, Any]) -> float:
            return float((now["decoded"] - before["decoded"]) / sent(now))

        # Eight seconds; or a minute and a half, where the machine took some of them for something else.
        async def enough() -> Any:
            now = await page.evaluate(STATS)
            return now if now and sent(now) >= 240 and (share(now) >= 0.95 or sent(now) >= 2700) else None

        after = await eventually("240 frames", enough, 150)
        assert share(after) >= 0.95, (before, after)
        assert line.lost - lost > 20
        assert after["again"] > before["again"], "nothing was sent again: nothing was lost"
        assert after["keyframes"] - before["keyframes"] <= sent(after) / RATE, "loss is answered with keyframes"


async def test_where_udp_is_dropped_the_page_plays_by_tcp(far: Far) -> None:
    far.line.blocked = frozenset({"udp"})
    async with far.page() as page:
        await expect_way(page, "tcp")
        assert far.line.stopped


@best
async def test_where_the_port_is_dropped_altogether_the_page_plays_over_http(far: Far) -> None:
    far.line.blocked = frozenset({"udp", "tcp"})
    async with far.page() as page:
        await expect_http(page)
        assert far.line.stopped


@best
async def test_a_network_that_gets_ever_worse_is_followed_without_a_reload(far: Far) -> None:
    async with far.page() as page:
        await expect_source(page, "webrtc")
        await expect_way(page, "udp")
        far.line.blocked = frozenset({"udp"})
        await expect_way(page, "tcp")
        far.line.blocked = frozenset({"udp", "tcp"})
        await expect_http(page)
