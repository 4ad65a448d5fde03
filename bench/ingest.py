"""Ingest: CPU time for each 2.5 Mb/s RTMP broadcast that is received and packaged, against nginx-rtmp making HLS.

The same senders publish the same clip (720p30 H.264 with AAC at 128 kb/s) to both, 10, 20 and 40 times at once. Ghost
Live makes LL-HLS parts and segments, DASH and a DVR window of all of it, and a viewer follows one playlist; nginx-rtmp
makes MPEG-TS segments of 2 s. Both write to tmpfs. How many streams fit a core is calculated from the largest number.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import httpx

from bench.clip import Clip, make_clip
from bench.harness import (
    Report,
    Row,
    alternate,
    arguments,
    cpu_seconds,
    free_port,
    ghostlive,
    in_memory,
    median,
    need,
    nginx,
    pid_of,
    ratio,
    wait_for,
)
from bench.publishers import publishing
from ghostlive.access.keys import make_secret, stored
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.streams import StreamRepository

PUBLISHERS = (10, 20, 40)
VIDEO, AUDIO = 2_372_000, 128_000
SETTLE = 6.0
"""Seconds before measuring: every stream has made its first segments."""
AIM = 100


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=16, runs=3)
    need("nginx", "ffmpeg")
    with in_memory() as folder:
        clip = make_clip(folder, width=1280, height=720, video=VIDEO, audio=AUDIO)
        report = Report(f"Ingest: share of a core for each {clip.bitrate / 1e6:.2f} Mb/s broadcast", "nginx-rtmp")
        data = folder / "data"
        keys = asyncio.run(_add_streams(data, max(PUBLISHERS)))
        for count in PUBLISHERS:
            ours, theirs = alternate(
                options.runs,
                partial(_ghostlive, data, clip, keys[:count], options.seconds),
                partial(_nginx, folder, clip, count, options.seconds),
            )
            mine, peer = median(ours) / count, median(theirs) / count
            report.add(Row(f"{count} publishers", f"{mine:.2%}", f"{peer:.2%}", ratio(mine, peer)))
        fit, fit_peer = f"{1 / mine:.0f}", f"{1 / peer:.0f}"
        report.add(Row("broadcasts that fit a core", fit, fit_peer, ratio(peer, mine), f"≥ {AIM}", 1 / mine >= AIM))
    report.notes.append(f"User and system time over {options.seconds:g} s, median of {options.runs}; tmpfs.")
    report.show()


async def _add_streams(data: Path, count: int) -> list[str]:
    """Make streams bench0, bench1, …; their keys."""
    data.mkdir()
    keys = [make_secret() for _ in range(count)]
    async with Database(DatabaseConfig(), data) as database:
        streams = StreamRepository(database)
        for index, key in enumerate(keys):
            await streams.add(f"bench{index}", key=stored(key))
    return keys


def _ghostlive(data: Path, clip: Clip, keys: Sequence[str], seconds: float) -> float:
    """Cores used by Ghost Live."""
    with (
        ghostlive(data, {"GHOSTLIVE_RTMP__MAX_CONNECTIONS_PER_ADDRESS": "1000"}) as program,
        publishing(clip, program.rtmp_port, keys, data.parent),
    ):
        playlist = wait_for("a playlist", lambda: _playlist(program.url))
        time.sleep(SETTLE)
        return _cores([pid_of(program)], seconds, lambda: asyncio.run(_watch(playlist, seconds)))


def _nginx(folder: Path, clip: Clip, count: int, seconds: float) -> float:
    """Cores used by nginx-rtmp."""
    port = free_port()
    rtmp = f"""rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096; application app {{
        live on; hls on; hls_path {folder}/hls; hls_fragment 2s; hls_playlist_length 60s; hls_nested on;
    }} }} }}"""
    (folder / "hls").mkdir(exist_ok=True)
    (folder / "hls").chmod(0o777)
    with (
        nginx(folder / "nginx", "", rtmp) as server,
        publishing(clip, port, [f"bench{index}" for index in range(count)], folder),
    ):
        wait_for("a playlist", lambda: any((folder / "hls").glob("*/*.m3u8")))
        time.sleep(SETTLE)
        return _cores(server.pids, seconds, lambda: time.sleep(seconds))


def _cores(pids: Sequence[int], seconds: float, meanwhile: Callable[[], None]) -> float:
    begin, used = time.monotonic(), cpu_seconds(*pids)
    meanwhile()
    return (cpu_seconds(*pids) - used) / (time.monotonic() - begin)


def _playlist(url: str) -> str:
    text = httpx.get(f"{url}/app/bench0/master.m3u8").raise_for_status().text
    name = next(line for line in text.splitlines() if line and not line.startswith("#"))
    return f"{url}/app/bench0/{name}"


async def _watch(playlist: str, seconds: float) -> None:
    """Follow a media playlist by blocking reloads, as a player does, and fetch every part that it hints at."""
    end = time.monotonic() + seconds
    folder = playlist.rpartition("/")[0]
    async with httpx.AsyncClient(timeout=30) as client:
        text = (await client.get(playlist)).text
        while time.monotonic() < end:
            hint = re.search(r'PRELOAD-HINT:TYPE=PART,URI="((\d+)\.(\d+)\.m4s)"', text)
            assert hint is not None
            query = f"_HLS_msn={hint[2]}&_HLS_part={hint[3]}"
            answer, _ = await asyncio.gather(client.get(f"{playlist}?{query}"), client.get(f"{folder}/{hint[1]}"))
            text = answer.raise_for_status().text


if __name__ == "__main__":
    main()
