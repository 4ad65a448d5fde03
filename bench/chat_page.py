"""A lively chat in the browser: 500 messages a minute on a slowed processor, against a list that only appends.

The peer is the least that shows a chat: a page that adds a `<div>` with a name and the words for each message that
comes by the same socket, scrolls to it, and has a field to write in. It knows no answers, reactions or changes, keeps
all that was ever said, and reads nothing out. By turns each page looks at the same crowd (`bench.chat_crowd`) in a
headless Chromium whose main thread is slowed down as on a cheap phone, first at rest and then while the crowd talks and
somebody types. The watch page plays a broadcast meanwhile.

Two clocks: *of its own* is what the page's main thread computed (its processor time, slowing included), whatever else
the machine did; where it says so, and for typing, it is the clock on the wall, where a busy machine counts too: compare
with the peer and with the page at rest.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from playwright.async_api import Browser, CDPSession, Page, async_playwright, expect

from bench.chat_crowd import crowd
from bench.chat_fanout import LIMITS
from bench.clip import Clip, broadcasting, make_clip
from bench.harness import Report, Row, arguments, ghostlive, in_memory, need, percentile, ratio

RATE: Final = 500 / 60
"""Messages a second."""
SLOWED: Final = 4
"""How many times slower the processor is made, as Lighthouse does for phones."""
HISTORY: Final = 300
REST: Final = 8.0
"""Seconds for which a page is looked at before the crowd talks."""
KEY_EVERY: Final = 0.15
FRAME_MS: Final = 1000 / 60
TASK_AIM_MS: Final = 50.0
LATE_AIM: Final = 0.01
PAGES: Final = {"peer": "/naive", "pop-out": "/embed/bench?chat=only", "watch page": "/bench"}
_VIEWER: Final = "Viewer"
_WAIT: Final = 60_000

_OBSERVE: Final = """
window.bench = { frames: [], handled: [], shown: [] };
let last = 0;
requestAnimationFrame(function frame(now) {
  if (last) bench.frames.push(now - last);
  last = now;
  requestAnimationFrame(frame);
});
addEventListener("keydown", (event) => {
  bench.handled.push(performance.now() - event.timeStamp);
  requestAnimationFrame(() => setTimeout(() => bench.shown.push(performance.now() - event.timeStamp)));
}, true);
"""
_RESET: Final = "() => { bench.frames = []; bench.handled = []; bench.shown = []; }"
_NAIVE: Final = """<!doctype html><meta name="viewport" content="width=device-width">
<style>body { margin: 0; display: grid; height: 100vh; grid-template-rows: 1fr auto; }
#log { overflow-y: auto; }</style>
<div id="log"></div><textarea data-testid="chat-field"></textarea>
<script>
const log = document.querySelector("#log");
const socket = new WebSocket(location.origin.replace("http", "ws") + "/api/v1/streams/bench/chat");
socket.onopen = () => socket.send('{"type":"hello"}');
const show = ({ author, text }) => {
  const line = document.createElement("div");
  line.textContent = author.name + ": " + text;
  log.append(line);
};
socket.onmessage = ({ data }) => {
  const told = JSON.parse(data);
  if (told.type === "welcome") told.messages.forEach(show);
  else if (told.type === "message") show(told.message);
  else return;
  log.scrollTop = log.scrollHeight;
};
</script>
"""


@dataclass(frozen=True)
class Work:
    """What a page's main thread did in some seconds."""

    seconds: float
    tasks: list[float]
    """Milliseconds of processor time of each task that took any."""
    elapsed: list[float]
    """The same tasks by the clock on the wall."""
    spent: dict[str, float]
    """Seconds of processor time by Chromium's `Performance` domain, for all of it and for its sorts."""
    frames: list[float]
    """Milliseconds between two frames."""
    handled: list[float]
    """Milliseconds from a key to its handlers."""
    shown: list[float]
    """Milliseconds from a key to the frame after it."""

    @property
    def late(self) -> float:
        """Share of the frames that were due and did not come."""
        due = sum(max(1, round(frame / FRAME_MS)) for frame in self.frames)
        return 1 - len(self.frames) / due

    @property
    def missed(self) -> float:
        """Share of the frames that came during a task of more processor time than a frame lasts, at the least."""
        return sum(task // FRAME_MS for task in self.tasks) / (self.seconds * 1000 / FRAME_MS)

    def over(self, limit: float) -> float:
        """Tasks of more than so many milliseconds of processor time, in a minute."""
        return sum(task > limit for task in self.tasks) * 60 / self.seconds


@dataclass(frozen=True)
class Run:
    """One page, at rest and while the crowd talked."""

    rest: Work
    busy: Work
    messages: int
    nodes: float
    heap: float
    """MB, after a collection."""

    def each(self, sort: str) -> float:
        """Milliseconds of processor time for each message, beyond what the page does at rest."""
        at_rest = self.rest.spent[sort] / self.rest.seconds * self.busy.seconds
        return max(0.0, self.busy.spent[sort] - at_rest) * 1000 / self.messages


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=30, runs=3)
    need("ffmpeg", "chromium-headless-shell")
    with in_memory() as folder:
        clip = make_clip(folder, width=640, height=360, video=600_000, seconds=8)
        runs = asyncio.run(_measure(folder, clip, options.runs, options.seconds))
    report = Report(f"The chat in the browser: {RATE * 60:.0f} messages a minute, slowed {SLOWED} ×", "appending list")
    for name in list(PAGES)[1:]:
        _tell(report, name, runs[name], runs["peer"])
    report.notes.append(
        f"Medians of {options.runs} runs of {options.seconds:g} s each, by turns; {HISTORY} messages before."
    )
    for name, some in runs.items():
        longest, late = median(max(run.rest.tasks) for run in some), median(run.rest.late for run in some)
        wall = median(max(run.busy.elapsed) for run in some)
        report.notes.append(
            f"{name}: at rest longest task {longest:.0f} ms, frames late {late:.1%}; "
            f"in the crowd the longest task took {wall:.0f} ms on the wall."
        )
    report.show()


def _tell(report: Report, name: str, ours: list[Run], theirs: list[Run]) -> None:
    def row(what: str, key: Any, form: str, aim: float | None = None) -> None:
        mine, peer = median(map(key, ours)), median(map(key, theirs))
        verdict = ("", None) if aim is None else (f"≤ {form.format(aim)}", mine <= aim)
        report.add(
            Row(f"{name}: {what}", form.format(mine), form.format(peer), ratio(mine, peer) if peer else "", *verdict)
        )

    row("tasks over 50 ms a minute, of its own", lambda run: run.busy.over(TASK_AIM_MS), "{:.1f}", 0)
    row("  longest task", lambda run: max(run.busy.tasks), "{:.0f} ms", TASK_AIM_MS)
    row("  frames that its own work missed", lambda run: run.busy.missed, "{:.1%}", LATE_AIM)
    row("  frames late, on the wall", lambda run: run.busy.late, "{:.1%}", LATE_AIM)
    row("    between frames, p50", lambda run: percentile(run.busy.frames, 0.5), "{:.1f} ms")
    row("    between frames, p99", lambda run: percentile(run.busy.frames, 0.99), "{:.1f} ms")
    row("  key to its handlers, p99", lambda run: percentile(run.busy.handled, 0.99), "{:.0f} ms")
    row("  key to the frame after it, p50", lambda run: percentile(run.busy.shown, 0.5), "{:.0f} ms")
    row("  key to the frame after it, p99", lambda run: percentile(run.busy.shown, 0.99), "{:.0f} ms")
    row("  processor for a message", lambda run: run.each("Task"), "{:.1f} ms")
    row("    of which script", lambda run: run.each("Script"), "{:.1f} ms")
    row("    layout", lambda run: run.each("Layout"), "{:.1f} ms")
    row("    style", lambda run: run.each("RecalcStyle"), "{:.1f} ms")
    row("  DOM nodes at the end", lambda run: run.nodes, "{:.0f}")
    row("  script's memory at the end", lambda run: run.heap, "{:.1f} MB")


async def _measure(folder: Path, clip: Clip, runs: int, seconds: float) -> dict[str, list[Run]]:
    """The runs of each page."""
    found: dict[str, list[Run]] = {name: [] for name in PAGES}
    with ghostlive(folder / "data", {**LIMITS, "GHOSTLIVE_CHAT__HISTORY": str(HISTORY)}) as program:
        key = program.add_stream("bench")
        async with (
            broadcasting(clip, program.rtmp_port, key),
            crowd(f"ws://127.0.0.1:{program.http_port}/api/v1/streams/bench/chat", _VIEWER) as people,
            _chromium() as browser,
        ):
            for _ in range(HISTORY):
                await people.say()
            for _ in range(runs):
                for name, path in PAGES.items():
                    async with _opened(browser, program.url, path) as (page, session):
                        rest = await _watch(browser, page, session, asyncio.sleep(REST))
                        before = people.said
                        talking = people.talk(RATE, seconds)
                        busy = await _watch(browser, page, session, talking)
                        await session.send("HeapProfiler.collectGarbage")
                        held = await _metrics(session)
                        found[name].append(
                            Run(rest, busy, people.said - before, held["Nodes"], held["JSHeapUsedSize"] / 1e6)
                        )
    return found


@asynccontextmanager
async def _chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"),
            args=[
                "--no-sandbox",
                "--autoplay-policy=no-user-gesture-required",
                "--mute-audio",
                "--disable-features=LocalNetworkAccessChecks",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def _opened(browser: Browser, server: str, path: str) -> AsyncIterator[tuple[Page, CDPSession]]:
    """A page on a slow phone that has everything on it, with the focus in its field."""
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    try:
        page = await context.new_page()
        session = await context.new_cdp_session(page)
        await page.route("**/naive", lambda route: route.fulfill(body=_NAIVE, content_type="text/html"))
        await page.add_init_script(_OBSERVE)
        await page.goto(server + path)
        if path != PAGES["peer"]:
            await page.get_by_test_id("chat-name-field").fill(_VIEWER, timeout=_WAIT)
            await page.get_by_test_id("chat-join").click()
        if path == PAGES["watch page"]:
            await page.wait_for_function("() => document.querySelector('video')?.currentTime > 1", timeout=_WAIT)
        field = page.get_by_test_id("chat-field")
        await expect(field).to_be_visible(timeout=_WAIT)
        await field.focus()
        await session.send("Performance.enable", {"timeDomain": "threadTicks"})
        await session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWED})
        await asyncio.sleep(3)  # what a page does late in its start is no part of this
        yield page, session
    finally:
        await context.close()


async def _watch(browser: Browser, page: Page, session: CDPSession, meanwhile: Any) -> Work:
    """What the page's main thread does during something, while somebody types."""
    typing = asyncio.ensure_future(_type(page))
    await browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline", "devtools.timeline"])
    await page.evaluate(_RESET)
    clock = asyncio.get_running_loop().time
    begin, before = clock(), await _metrics(session)
    await meanwhile
    after, passed = await _metrics(session), clock() - begin
    typing.cancel()
    await asyncio.wait([typing])
    seen = await page.evaluate("() => bench")
    trace = json.loads(await browser.stop_tracing())["traceEvents"]
    tasks = _tasks(trace)
    sorts = ("Task", "Script", "Layout", "RecalcStyle")
    return Work(
        seconds=passed,
        tasks=[task["tdur"] / 1000 for task in tasks],
        elapsed=[task["dur"] / 1000 for task in tasks],
        spent={sort: after[f"{sort}Duration"] - before[f"{sort}Duration"] for sort in sorts},
        frames=seen["frames"],
        handled=seen["handled"],
        shown=seen["shown"],
    )


async def _type(page: Page) -> None:
    """Write into the field that has the focus, and take it back, until cancelled."""
    while True:
        for key in ["a", "b", "c", "d", "Space", *["Backspace"] * 5]:
            await page.keyboard.press(key)
            await asyncio.sleep(KEY_EVERY)


def _tasks(trace: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tasks of the main thread of the page that was traced: the one that made the frames' scripts run."""
    ran = [event for event in trace if event["name"] == "FireAnimationFrame"]
    thread = ran[0]["pid"], ran[0]["tid"]
    return [
        event
        for event in trace
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) == thread and "tdur" in event
    ]


async def _metrics(session: CDPSession) -> dict[str, float]:
    told = await session.send("Performance.getMetrics")
    return {each["name"]: each["value"] for each in told["metrics"]}


if __name__ == "__main__":
    main()
