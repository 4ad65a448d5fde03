"""A real Chromium, and what a viewer notices in it: moving picture, sound, trouble."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

T = TypeVar("T")

CHROMIUM = "/usr/bin/chromium"
"""The browser as people have it."""
ENGINE = "/usr/bin/chromium-headless-shell"
"""The same without the windows and menus around its pages, at half the work."""

PATIENCE = 60.0
"""Seconds until something is not going to happen: other tests keep the machine busy."""
expect.set_options(timeout=PATIENCE * 1000)

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_AUTOPLAY = "--autoplay-policy=no-user-gesture-required"
_NO_AUTOPLAY = "--autoplay-policy=document-user-activation-required"

# How much sound there was, in no particular unit; null where the browser does not say. A peer connection's sound is
# decoded elsewhere than a video's: of that, how much of it was not silence.
SOUND = """async () => {
  const video = document.querySelector("video");
  if (!video?.srcObject) return video?.webkitAudioDecodedByteCount ?? null;
  const stats = [...await window.ghostlive?.connection?.getStats() ?? []].map(([, entry]) => entry);
  return stats.find((entry) => entry.type === "inbound-rtp" && entry.kind === "audio")?.totalAudioEnergy ?? null;
}"""

# Draws the current frame small, so that two of them can be compared; silent while there is no picture.
LOOK = f"""async () => {{
  const sound = await ({SOUND})();
  const video = document.querySelector("video");
  if (!video || video.readyState < 2 || !video.videoWidth) return null;
  const canvas = document.createElement("canvas");
  canvas.width = 32; canvas.height = 18;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 32, 18);
  const quality = video.getVideoPlaybackQuality();
  return {{
    time: video.currentTime,
    paused: video.paused,
    muted: video.muted,
    width: video.videoWidth,
    height: video.videoHeight,
    frames: quality.totalVideoFrames - quality.droppedVideoFrames,
    sound,
    pixels: Array.from(context.getImageData(0, 0, 32, 18).data),
  }};
}}"""


@dataclass
class Trouble:
    """What went wrong in a page without anybody looking."""

    origin: str
    expected: list[str] = field(default_factory=list)
    """Parts of console messages that a test has provoked itself."""
    allowed: list[str] = field(default_factory=list)
    """Other origins that the test itself brought in."""
    messages: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    loads: int = 0
    """How often a document was loaded into the page itself."""

    def watch(self, page: Page) -> None:
        """Listen to everything the page says and asks for."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.messages.append(f"exception: {error}"))
        page.on("request", lambda request: self._request(page, request))

    def check(self) -> None:
        """Fail the test on anything that it did not provoke."""
        left = [message for message in self.messages if not any(part in message for part in self.expected)]
        assert not left, "\n".join(left)
        assert not self.foreign, f"requests to others: {self.foreign}"

    def _console(self, message: ConsoleMessage) -> None:
        violation = "Content Security Policy" in message.text or "Content-Security-Policy" in message.text
        if message.type == "error" or violation:
            self.messages.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _request(self, page: Page, request: Request) -> None:
        known = request.url.startswith((self.origin, *self.allowed))
        if urlsplit(request.url).scheme in ("http", "https", "ws", "wss") and not known:
            self.foreign.append(request.url)
        if request.is_navigation_request() and request.frame == page.main_frame:
            self.loads += 1


@asynccontextmanager
async def chromium(
    *, autoplay: bool = True, extra: Sequence[str] = (), command: str = ENGINE
) -> AsyncIterator[Browser]:
    """A headless Chromium; without `autoplay` it refuses sound until the page is touched, as at a viewer's."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=command, args=[*_FLAGS, _AUTOPLAY if autoplay else _NO_AUTOPLAY, *extra]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def eventually(what: str, condition: Callable[[], Awaitable[T]], timeout: float = PATIENCE) -> T:
    """Ask until the answer is true; the answer. Says what the last one was."""
    end = time.monotonic() + timeout
    while True:
        found = await condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}; at last: {found!r}")
        await asyncio.sleep(0.1)


async def until(page: Page, what: str, expression: str, timeout: float = PATIENCE) -> Any:
    """Wait until JavaScript says so; its answer."""

    async def ask() -> Any:
        return await page.evaluate(expression)

    return await eventually(what, ask, timeout)


async def expect_source(page: Page, source: str) -> None:
    """Wait until the player takes this way. One that a busy machine kept waiting has taken another: it tries again."""
    found = expect(page.get_by_test_id("player"))
    for _ in range(4):
        try:
            await found.to_have_attribute("data-source", source, timeout=PATIENCE * 1000 / 4)
        except AssertionError:
            await page.evaluate("window.dispatchEvent(new Event('online'))")
        else:
            return
    await found.to_have_attribute("data-source", source)


async def expect_moving_picture(page: Page, *, sound: bool = True, frames: int = 30, timeout: float = PATIENCE) -> None:
    """Wait until so many more frames were shown, the picture has changed, and sound was decoded."""
    first = await eventually("a picture", lambda: page.evaluate(LOOK), timeout)

    async def moved() -> bool:
        now = await page.evaluate(LOOK)
        if now is None or now["paused"] or now["frames"] < first["frames"]:
            # Another source took over; its counters begin anew.
            first.update(now or {})
            return False
        return bool(
            now["frames"] >= first["frames"] + frames
            and now["time"] > first["time"] + 0.5
            and difference(first["pixels"], now["pixels"]) > 1.0
            and (not sound or now["sound"] is None or now["sound"] > (first["sound"] or 0))
        )

    await eventually("moving picture and sound", moved, timeout)


async def expect_sound(page: Page) -> None:
    """Wait until more sound than at first was decoded, as where there is nothing to be seen."""
    first = await eventually("sound", lambda: page.evaluate(SOUND))

    async def more() -> bool:
        return bool((await page.evaluate(SOUND) or 0) > first)

    await eventually("more sound", more)


def difference(one: list[int], other: list[int]) -> float:
    """Mean difference of two pictures' values."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)
