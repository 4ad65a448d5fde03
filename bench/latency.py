"""Latency: from an RTMP picture to the part that holds it, and to the screen of a browser, against nginx-rtmp's HLS.

Pictures carry their number: in the bit stream for the first measurement, which reads it from the parts as a player
fetches them (preload hints and blocking reloads); as black and white cells for the second, which reads it from the
screen of a headless Chromium. There Ghost Live is seen through its own page, by WebRTC and, in a browser that lacks
it, by LL-HLS; nginx-rtmp (fragments of 2 s) through the same hls.js. A picture's time is when the sender handed it to
the kernel; an encoder's own delay is not in it.
"""

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from playwright.async_api import async_playwright

from bench.clip import BITS, CELL, Clip, Encoder, connect, make_clip
from bench.harness import Report, Row, arguments, free_port, ghostlive, in_memory, need, nginx, percentile, ratio
from ghostlive.protocols.rtmp.parser.message import Message, MessageType

HLS_JS: Final = Path("frontend/node_modules/hls.js/dist/hls.min.js")
WARM_UP: Final = 8.0
PART_ROOM: Final = 0.05
"""Seconds above the part's duration that are aimed at."""
SEEN_AIM: Final = 1.5
NEAR_AIM: Final = 0.2
"""By WebRTC."""
_WITHOUT_WEBRTC: Final = "delete window.RTCPeerConnection; delete window.webkitRTCPeerConnection;"
_MARK: Final = b"ghostlive-bench-picture:"

_WATCH: Final = """
async ([cells, cell]) => {
  const video = await new Promise((found) => {
    const look = () => {
      const video = document.querySelector("video");
      if (video && video.videoWidth && video.currentTime > 0) found(video);
      else setTimeout(look, 50);
    };
    look();
  });
  const canvas = document.createElement("canvas");
  canvas.width = cells;
  canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  window.seen = [];
  let last = -1;
  const read = () => {
    // The middle of each cell, in the picture's own pixels.
    for (let index = 0; index < cells; index++)
      context.drawImage(video, index * cell + cell / 4, cell / 4, cell / 2, cell / 2, index, 0, 1, 1);
    const now = Date.now();
    const pixels = context.getImageData(0, 0, cells, 1).data;
    let number = 0;
    for (let index = 0; index < cells; index++) if (pixels[4 * index] > 127) number |= 1 << index;
    if (number !== last) window.seen.push([now, number]);
    last = number;
    video.requestVideoFrameCallback(read);
  };
  video.requestVideoFrameCallback(read);
}
"""
_PAGE: Final = """<!doctype html><video muted autoplay playsinline></video><script src="/hls.min.js"></script>
<script>
const hls = new Hls({ lowLatencyMode: true });
hls.loadSource("/hls/bench.m3u8");
hls.attachMedia(document.querySelector("video"));
</script>
"""


class Sent:
    """When each picture was sent."""

    def __init__(self, loop: int) -> None:
        """`loop` is after how many pictures their numbers begin again."""
        self._loop = loop
        self.times: list[float] = []

    def __call__(self, number: int, _: Message) -> None:
        """Note that picture `number` leaves now."""
        self.times.append(time.time())

    def age(self, shown: int, now: float) -> float | None:
        """Seconds since the picture was sent that shows the number `shown`: the last such one before `now`."""
        count = len(self.times)
        newest = count - 1 - (count - 1 - shown) % self._loop
        while newest >= 0 and self.times[newest] > now:
            newest -= self._loop
        return now - self.times[newest] if newest >= 0 else None


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=30, runs=1)
    need("nginx", "ffmpeg", "chromium")
    if not HLS_JS.exists():
        raise SystemExit(f"this benchmark needs {HLS_JS}: run `make setup` first")
    report = Report("Latency of a picture, from the RTMP sender", "nginx-rtmp")
    with in_memory() as folder:
        clip = make_clip(folder, width=640, height=360, video=900_000, seconds=16, numbered=True)
        for run in range(options.runs):
            asyncio.run(_measure(report, folder / str(run), clip, options.seconds))
    report.notes.append(f"{options.seconds:g} s each; 640×360, 30 pictures a second, a key frame every 2 s.")
    report.show()


async def _measure(report: Report, folder: Path, clip: Clip, seconds: float) -> None:
    folder.mkdir()
    with ghostlive(folder / "data") as program:
        key = program.add_stream("bench")
        async with _publishing(_marked(clip), program.rtmp_port, key) as sent:
            part, ages = await _fetch_parts(program.url, sent, seconds)
            _add_parts(report, part, ages)
            near = await _see(f"{program.url}/bench", sent, seconds)
            ours = await _see(f"{program.url}/bench", sent, seconds, before=_WITHOUT_WEBRTC)
    port, rtmp_port = free_port(), free_port()
    site = folder / "site"
    (site / "hls").mkdir(parents=True, exist_ok=True)
    (site / "hls").chmod(0o777)
    shutil.copy(HLS_JS, site)
    (site / "index.html").write_text(_PAGE)
    rtmp = f"""rtmp {{ server {{ listen 127.0.0.1:{rtmp_port}; chunk_size 4096; application app {{
        live on; hls on; hls_path {site}/hls; hls_fragment 2s; hls_playlist_length 20s;
    }} }} }}"""
    http = f"server {{ listen 127.0.0.1:{port}; root {site}; add_header Cache-Control no-cache; }}"
    with nginx(folder / "nginx", http, rtmp):
        async with _publishing(_marked(clip), rtmp_port, "bench") as sent:
            theirs = await _see(f"http://127.0.0.1:{port}/", sent, seconds)
    for name, share in (("median", 0.5), ("95 %", 0.95)):
        peer = percentile(theirs, share)
        for way, ages, limit in (("WebRTC", near, NEAR_AIM), ("LL-HLS", ours, SEEN_AIM)):
            mine = percentile(ages, share)
            aim = (f"≤ {limit:g} s", mine <= limit) if share > 0.5 else ("", None)
            report.add(
                Row(f"on the screen by {way}, {name}", f"{mine:.2f} s", f"{peer:.2f} s", ratio(mine, peer), *aim)
            )


def _add_parts(report: Report, part: float, ages: Sequence[tuple[float, bool]]) -> None:
    every, first = [age for age, _ in ages], [age for age, leads in ages if leads]
    limit = part + PART_ROOM
    for name, values in (("any picture", every), ("the first of its part", first)):
        for label, share in (("median", 0.5), ("95 %", 0.95)):
            value = percentile(values, share)
            aim = (f"≤ {limit * 1000:.0f} ms", value <= limit) if share > 0.5 else ("", None)
            report.add(Row(f"part fetched, {name}, {label}", f"{value * 1000:.0f} ms", "", "", *aim))
    report.notes.append(f"Parts last {part * 1000:.0f} ms; {len(every)} pictures in {len(first)} parts.")


@asynccontextmanager
async def _publishing(clip: Clip, port: int, key: str) -> AsyncIterator[Sent]:
    sent = Sent(sum(message.type == MessageType.VIDEO for message in clip.messages))
    encoder: Encoder = await connect(clip, port, key, on_sent=sent)
    run = asyncio.ensure_future(encoder.run())
    try:
        await asyncio.sleep(WARM_UP)
        yield sent
    finally:
        encoder.abort()
        await run


def _marked(clip: Clip) -> Clip:
    """The clip with the number of each picture in an SEI message (user data, H.264 §D.1.7) before it."""
    messages, number = [], 0
    for message in clip.messages:
        payload = message.payload
        if message.type == MessageType.VIDEO:
            body = bytes(16) + _MARK + b"%06d" % number
            nal = b"\x06\x05" + bytes([len(body)]) + body.replace(b"\x00", b"\x01") + b"\x80"
            payload = payload[:5] + len(nal).to_bytes(4, "big") + nal + payload[5:]
            number += 1
        messages.append(Message(message.type, message.stream, message.timestamp, payload))
    return Clip(clip.headers, tuple(messages), clip.duration_ms)


async def _fetch_parts(url: str, sent: Sent, seconds: float) -> tuple[float, list[tuple[float, bool]]]:
    """Follow the video's playlist; the part target, and of each picture its age and whether it led its part."""
    ages: list[tuple[float, bool]] = []
    async with httpx.AsyncClient(timeout=30) as client:
        entry = (await client.get(f"{url}/app/bench/master.m3u8")).raise_for_status().text
        name = next(line for line in entry.splitlines() if line and not line.startswith("#"))
        playlist = f"{url}/app/bench/{name}"
        folder = playlist.rpartition("/")[0]

        async def take(hint: str) -> None:
            answer = await client.get(f"{folder}/{hint}")
            now = time.time()
            if answer.status_code != 200:
                return  # The segment ended with the part before: the hint was for nothing, as it may be.
            for index, found in enumerate(re.findall(_MARK + rb"(\d{6})", answer.content)):
                age = sent.age(int(found), now)
                if age is not None:
                    ages.append((age, index == 0))

        text = (await client.get(playlist)).raise_for_status().text
        target = float(re.findall(r"PART-TARGET=([\d.]+)", text)[0])
        end = time.time() + seconds
        while time.time() < end:
            hint, msn, part = re.findall(r'PRELOAD-HINT:TYPE=PART,URI="((\d+)\.(\d+)\.m4s)"', text)[0]
            reload = client.get(f"{playlist}?_HLS_msn={msn}&_HLS_part={part}")
            answer, _ = await asyncio.gather(reload, take(hint))
            text = answer.raise_for_status().text
    return target, ages


async def _see(url: str, sent: Sent, seconds: float, *, before: str = "") -> list[float]:
    """Open a page in Chromium, in which `before` runs first; the age of each picture that it shows once settled."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio"],
        )
        try:
            page = await browser.new_page(viewport={"width": 800, "height": 600})
            await page.add_init_script(before)
            await page.goto(url)
            await asyncio.wait_for(page.evaluate(_WATCH, [BITS, CELL]), 30)
            await asyncio.sleep(WARM_UP)
            await page.evaluate("window.seen.length = 0")
            await asyncio.sleep(seconds)
            seen: Any = await page.evaluate("window.seen")
        finally:
            await browser.close()
    ages = [sent.age(number, now / 1000) for now, number in seen]
    found = [age for age in ages if age is not None]
    if len(found) < seconds:
        raise RuntimeError(f"only {len(found)} pictures were seen at {url}")
    return found


if __name__ == "__main__":
    main()
