"""LL-HLS delivery: playlists and parts of 100 kB per core, against nginx sending the same bytes from tmpfs.

A 3.2 Mb/s broadcast is published and cut off; Ghost Live keeps the stream for a publisher that comes back, so that its
playlist and parts stand still. wrk then asks for one of them over 64 connections. nginx has one worker, sendfile and
keep-alive without limit, and is measured like that, with `open_file_cache`, and without sendfile.
"""

import re
import time
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import httpx
from tests.support.program import Program

from bench.clip import make_clip
from bench.harness import (
    Load,
    Report,
    Row,
    alternate,
    arguments,
    free_port,
    ghostlive,
    in_memory,
    median,
    need,
    nginx,
    pid_of,
    ratio,
    wait_for,
    wrk,
)
from bench.publishers import publishing

BITRATE = 3_200_000
PUBLISHED = 24.0
"""Seconds of the broadcast: makes the playlist about as long as a player sees it at the live edge."""
GZIP = "Accept-Encoding: gzip"
SLOW = 'If-Range: "none"'
"""A condition that changes nothing, but is more than the fast lane reads: the answer comes through ASGI."""


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=5, runs=5)
    need("nginx", "wrk", "ffmpeg")
    report = Report("LL-HLS delivery: answers per second of one core", "nginx")
    with in_memory() as folder:
        clip = make_clip(folder, width=1280, height=720, video=BITRATE - 128_000)
        with ghostlive(folder / "data", {"GHOSTLIVE_HUB__GRACE": "3600"}) as program:
            key = program.add_stream("bench")
            with publishing(clip, program.rtmp_port, [key], folder):
                time.sleep(PUBLISHED)
            paths = _find(program.url)
            for path in paths:
                _copy(program.url, path, folder / "www")
            _compare(report, folder, program, paths, options)
    report.show()


def _find(url: str) -> tuple[str, str]:
    """The paths of the video's playlist and of the part that is closest to 100 kB."""
    entry = wait_for("the playlist", lambda: httpx.get(f"{url}/app/bench/master.m3u8").raise_for_status().text)
    name = next(line for line in entry.splitlines() if line and not line.startswith("#"))
    playlist = f"/app/bench/{name}"
    text = httpx.get(url + playlist).raise_for_status().text
    folder = playlist.rpartition("/")[0]
    parts = [f"{folder}/{found}" for found in re.findall(r'#EXT-X-PART:.*?URI="([^"]+)"', text)]
    sizes = {path: int(httpx.head(url + path).headers["content-length"]) for path in parts}
    return playlist, min(parts, key=lambda path: abs(sizes[path] - 100_000))


def _copy(url: str, path: str, root: Path) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(httpx.get(url + path, headers={"accept-encoding": "identity"}).content)
    packed = httpx.get(url + path, headers={"accept-encoding": "gzip"})
    if packed.headers.get("content-encoding") == "gzip":
        with httpx.stream("GET", url + path, headers={"accept-encoding": "gzip"}) as answer:
            file.with_name(file.name + ".gz").write_bytes(b"".join(answer.iter_raw()))


def _compare(report: Report, folder: Path, program: Program, paths: tuple[str, str], options: Namespace) -> None:
    url, pid = program.url, pid_of(program)
    playlist, part = paths
    seconds, runs = options.seconds, options.runs
    variants = {
        "nginx": "",
        "  against nginx with open_file_cache": "open_file_cache max=1000 inactive=1h; open_file_cache_valid 1h;",
        "  against nginx that copies (sendfile off)": "sendfile off;",
    }
    ports = [free_port() for _ in variants]
    servers = "".join(
        f"server {{ listen 127.0.0.1:{port}; root {folder}/www; gzip off; gzip_static on; {setting} }}\n"
        for port, setting in zip(ports, variants.values(), strict=True)
    )
    root = folder / "www"
    size = (root / playlist.lstrip("/")).stat().st_size
    packed = (root / (playlist.lstrip("/") + ".gz")).stat().st_size
    part_size = (root / part.lstrip("/")).stat().st_size
    with nginx(folder / "nginx", servers) as peer:
        cases: list[tuple[str, str, Sequence[str], float]] = [
            (f"playlist, {size} bytes", playlist, (), 3.0),
            (f"playlist, gzip, {packed} bytes", playlist, (GZIP,), 3.0),
            (f"part, {part_size} bytes", part, (), 1.1),
        ]
        for what, path, headers, aim in cases:
            one = partial(wrk, seconds=seconds, headers=headers)
            ours, slow, *theirs = alternate(
                runs,
                partial(one, url + path, [pid]),
                partial(wrk, url + path, [pid], seconds=min(seconds, 2), headers=[*headers, SLOW]),
                *(partial(one, f"http://127.0.0.1:{port}{path}", peer.pids) for port in ports),
            )
            mine, usual = _per_core(ours), _per_core(theirs[0])
            report.add(
                Row(what, _text(ours), _text(theirs[0]), ratio(mine, usual), f"≥ {aim:g} ×", mine >= aim * usual)
            )
            for name, loads in zip(list(variants)[1:], theirs[1:], strict=True):
                report.add(Row(name, "", _text(loads), ratio(mine, _per_core(loads))))
            report.add(Row("  by the ordinary way (ASGI)", _text(slow), "", ratio(_per_core(slow), usual)))
    report.notes.append(
        "Per core: requests / CPU seconds (user and system) of the server; in brackets what wrk saw per second of wall "
        "clock, which the load generator's core or a neighbour may limit."
    )
    report.notes.append(
        "nginx: 1 worker, sendfile, tcp_nopush, gzip_static, files on tmpfs; open_file_cache for an hour."
    )


def _per_core(loads: Sequence[Load]) -> float:
    return median(load.per_core for load in loads)


def _text(loads: Sequence[Load]) -> str:
    return f"{_per_core(loads):,.0f} ({median(load.per_second for load in loads):,.0f})"


if __name__ == "__main__":
    main()
