"""The watch page: bytes, requests and time until the first frame, on a slowed processor, against a bare page.

The peer is the least that shows a live picture: hls.js on an empty page from nginx, which plays nginx-rtmp's HLS. Both
play the same broadcast in the same headless Chromium with an empty cache, its processor slowed down as on a cheap
phone. Our page begins with WebRTC. Script sizes are as they came over the wire; the player libraries (OvenPlayer,
hls.js, dash.js) count apart.
"""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from playwright.async_api import Browser, CDPSession, async_playwright

from bench.clip import Clip, broadcasting, make_clip
from bench.harness import Report, Row, arguments, free_port, ghostlive, in_memory, need, nginx, percentile, ratio

HLS_JS: Final = Path("frontend/node_modules/hls.js/dist/hls.min.js")
WARM_UP: Final = 8.0
SLOWED: Final = 4
"""How many times slower the processor is made, as Lighthouse does for phones."""
LESS_SLOWED: Final = 2
AT_SPEED: Final = 1
LOADS: Final = 20
"""Visits at full speed, from which the time after the load event is told."""
FIRST_FRAME_AIM: Final = 1.5
AFTER_LOAD_AIM: Final = 0.3
SCRIPT_AIM: Final = 250_000
_LIBRARIES: Final = re.compile(r"/(ovenplayer|hls|dash\.)[^/]*\.js$")
_MEDIA: Final = re.compile(r"^/(app|hls)/")

_OBSERVE: Final = """
window.bench = { first: 0, blocked: 0, shift: 0, painted: 0, largest: 0 };
const observe = (type, note) =>
  new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type, buffered: true });
observe("longtask", (entry) => { if (!bench.first) bench.blocked += Math.max(0, entry.duration - 50); });
observe("layout-shift", (entry) => { if (!entry.hadRecentInput) bench.shift += entry.value; });
observe("paint", (entry) => { if (entry.name === "first-contentful-paint") bench.painted = entry.startTime; });
observe("largest-contentful-paint", (entry) => { bench.largest = entry.startTime; });
const look = setInterval(() => {
  const video = document.querySelector("video");
  if (!video) return;
  clearInterval(look);
  video.requestVideoFrameCallback((now) => { bench.first = now; });
}, 5);
"""
_PAGE: Final = """<!doctype html><video muted autoplay playsinline></video><script src="/hls.min.js"></script>
<script>
const hls = new Hls({ lowLatencyMode: true });
hls.loadSource("/hls/bench.m3u8");
hls.attachMedia(document.querySelector("video"));
</script>
"""


@dataclass
class Visit:
    """What one visit cost until its first frame. Times in seconds from the navigation."""

    first_frame: float
    loaded: float
    """The end of the load event."""
    painted: float
    largest: float
    blocked: float
    shift: float
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes as they came, by path, in the order of the requests."""

    def bytes_of(self, *, scripts: bool = False, libraries: bool = False, media: bool = False) -> int:
        """The bytes of one sort."""
        return sum(
            size
            for path, size in self.sizes.items()
            if (scripts and path.endswith(".js") and not _LIBRARIES.search(path))
            or (libraries and _LIBRARIES.search(path))
            or (media and _MEDIA.match(path))
        )


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=2, runs=7)
    need("nginx", "ffmpeg", "chromium")
    if not HLS_JS.exists():
        raise SystemExit(f"this benchmark needs {HLS_JS}: run `make setup` first")
    with in_memory() as folder:
        clip = make_clip(folder, width=1280, height=720, video=2_400_000, seconds=8)
        visits = asyncio.run(_measure(folder, clip, options.runs, options.seconds))
    at_speed = [[visit.first_frame - visit.loaded for visit in some] for some in visits[AT_SPEED]]
    report = Report("The watch page until its first frame", "hls.js alone, nginx-rtmp")
    late, their_late = (percentile(some, 0.95) for some in at_speed)
    report.add(
        Row(
            "first frame after the load event, p95", f"{late * 1000:.0f} ms", f"{their_late * 1000:.0f} ms",
            ratio(late, their_late), f"≤ {AFTER_LOAD_AIM * 1000:.0f} ms", late <= AFTER_LOAD_AIM,
        )
    )  # fmt: skip
    report.add(Row("  p50", *(f"{median(some) * 1000:.0f} ms" for some in at_speed)))
    less = [median(visit.first_frame for visit in some) for some in visits[LESS_SLOWED]]
    met = less[0] <= FIRST_FRAME_AIM
    figures = f"{less[0]:.2f} s", f"{less[1]:.2f} s", ratio(*less)
    report.add(Row(f"first frame, slowed {LESS_SLOWED} ×", *figures, f"≤ {FIRST_FRAME_AIM:.2f} s", met))
    _tell(report, *visits[SLOWED])
    report.notes.append(
        f"Median of {options.runs} visits each, by turns, empty cache; all rows but those after the "
        f"load event (at full speed, {LOADS} visits) and the one that says so slowed {SLOWED} ×."
    )
    report.notes.append("720p30 with a keyframe every 2 s at 2.4 Mb/s; nginx-rtmp's fragments last 2 s.")
    report.show()


def _tell(report: Report, ours: list[Visit], theirs: list[Visit]) -> None:
    def row(what: str, key: Any, form: str, aim: float | None = None, scale: float = 1.0) -> None:
        mine, peer = median(map(key, ours)), median(map(key, theirs))
        verdict = ("", None) if aim is None else (f"≤ {form.format(aim / scale)}", mine <= aim)
        shown = ratio(mine, peer) if peer else ""
        report.add(Row(what, form.format(mine / scale), form.format(peer / scale), shown, *verdict))

    row(f"first frame, slowed {SLOWED} ×", lambda visit: visit.first_frame, "{:.2f} s", FIRST_FRAME_AIM)
    row("first contentful paint", lambda visit: visit.painted, "{:.2f} s")
    row("largest contentful paint", lambda visit: visit.largest, "{:.2f} s")
    row("script kept the page from answering", lambda visit: visit.blocked, "{:.2f} s")
    row("layout shift", lambda visit: visit.shift, "{:.3f}")
    row("requests", lambda visit: len(visit.sizes), "{:.0f}")
    row("bytes in all", lambda visit: sum(visit.sizes.values()), "{:.0f} kB", scale=1000)
    row("  of which media", lambda visit: visit.bytes_of(media=True), "{:.0f} kB", scale=1000)
    row("  player libraries", lambda visit: visit.bytes_of(libraries=True), "{:.0f} kB", scale=1000)
    row("  other scripts", lambda visit: visit.bytes_of(scripts=True), "{:.0f} kB", SCRIPT_AIM, scale=1000)


async def _measure(folder: Path, clip: Clip, runs: int, rest: float) -> dict[int, tuple[list[Visit], list[Visit]]]:
    """The visits to both pages, by how much the processor was slowed."""
    port, rtmp_port = free_port(), free_port()
    site = folder / "site"
    (site / "hls").mkdir(parents=True)
    (site / "hls").chmod(0o777)
    shutil.copy(HLS_JS, site)
    (site / "index.html").write_text(_PAGE)
    rtmp = f"""rtmp {{ server {{ listen 127.0.0.1:{rtmp_port}; chunk_size 4096; application app {{
        live on; hls on; hls_path {site}/hls; hls_fragment 2s; hls_playlist_length 20s;
    }} }} }}"""
    http = f"""server {{ listen 127.0.0.1:{port}; root {site}; add_header Cache-Control no-cache;
        gzip on; gzip_types text/javascript application/javascript; }}"""
    visits: dict[int, tuple[list[Visit], list[Visit]]] = {LESS_SLOWED: ([], []), SLOWED: ([], []), AT_SPEED: ([], [])}
    with ghostlive(folder / "data") as program, nginx(folder / "nginx", http, rtmp):
        key = program.add_stream("bench")
        async with (
            broadcasting(clip, program.rtmp_port, key),
            broadcasting(clip, rtmp_port, "bench"),
            _chromium() as browser,
        ):
            await asyncio.sleep(WARM_UP)
            slow = [each for each in visits.items() if each[0] != AT_SPEED]
            for slowed, (ours, theirs) in [*slow * runs, *[(AT_SPEED, visits[AT_SPEED])] * LOADS]:
                ours.append(await _visit(browser, f"{program.url}/bench", slowed))
                theirs.append(await _visit(browser, f"http://127.0.0.1:{port}/", slowed))
                await asyncio.sleep(rest)
    return visits


@asynccontextmanager
async def _chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio"],
        )
        try:
            yield browser
        finally:
            await browser.close()


async def _visit(browser: Browser, url: str, slowed: int) -> Visit:
    """Open the page as for the first time, on a processor slowed so many times, and wait for its first frame."""
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    try:
        page = await context.new_page()
        session: CDPSession = await context.new_cdp_session(page)
        await session.send("Emulation.setCPUThrottlingRate", {"rate": slowed})
        await session.send("Network.enable")
        paths: dict[str, str] = {}
        sizes: dict[str, int] = {}

        def asked(event: dict[str, Any]) -> None:
            path = "/" + event["request"]["url"].partition("://")[2].partition("/")[2].partition("?")[0]
            paths[event["requestId"]] = path
            sizes.setdefault(path, 0)

        def received(event: dict[str, Any]) -> None:
            if path := paths.get(event["requestId"]):
                sizes[path] += event["encodedDataLength"]

        session.on("Network.requestWillBeSent", asked)
        session.on("Network.dataReceived", received)
        await page.add_init_script(_OBSERVE)
        await page.goto(url, wait_until="commit")
        async with asyncio.timeout(30):
            while not (seen := await page.evaluate("window.bench"))["first"]:
                await asyncio.sleep(0.05)
            until = dict(sizes)
            loaded = await page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    finally:
        await context.close()
    return Visit(
        first_frame=seen["first"] / 1000,
        loaded=loaded / 1000,
        painted=seen["painted"] / 1000,
        largest=seen["largest"] / 1000,
        blocked=seen["blocked"] / 1000,
        shift=seen["shift"],
        sizes=until,
    )


if __name__ == "__main__":
    main()
