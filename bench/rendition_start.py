"""Rendition start: from the request for a 720p30 rendition that nobody watched to its first part, against bare ffmpeg.

Both make it of the same broadcast in 1080p30 with a keyframe every two seconds, asked at the same random moments. Ours
goes through the whole server, as a player asks: playlist, initialization segment, first part, and then up to the newest
part. ffmpeg is started at the request, reads the source's own HLS from the last complete segment on, and is done when
its playlist lists a segment of the same size and preset.
"""

import itertools
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
from tests.support.program import Program

from bench.harness import Report, Row, arguments, console, in_memory, need, percentile, ratio, wait_for

_AIM: Final = 1.0
_GROUP: Final = 2.0
_RATE: Final = 30


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=_GROUP, runs=20)
    need("ffmpeg")
    report = Report("Start of a 720p30 rendition at 1080p30", "ffmpeg")
    ours: list[tuple[float, float]] = []
    theirs: list[float] = []
    phases = random.Random(1)
    with in_memory() as folder:
        source = _source(folder)
        program = Program(folder / "data", {"GHOSTLIVE_LOG__LEVEL": "warning"})
        try:
            program.start()
            for run in range(options.runs):
                phase = phases.random() * options.seconds
                with _broadcast(program, f"start{run}", source) as (http, variants):
                    time.sleep(phase)
                    theirs.append(_ffmpeg(f"{http.base_url}{variants['1080p30']}", folder / f"peer{run}"))
                    time.sleep(phase)
                    ours.append(_rendition(http, variants["720p30"]))
        except BaseException:
            console.print(program.log[-4000:], markup=False)
            raise
        finally:
            program.stop()
    first = [run[0] for run in ours]
    for share, name in ((0.5, "p50"), (0.95, "p95")):
        mine, peer = percentile(first, share), percentile(theirs, share)
        aim = (f"≤ {_AIM:g} s", mine <= _AIM) if share > 0.5 else ("", None)
        report.add(Row(f"request to first part, {name}", f"{mine:.2f} s", f"{peer:.2f} s", ratio(mine, peer), *aim))
    report.add(Row("request to playlist, p95", f"{percentile([run[1] for run in ours], 0.95):.2f} s"))
    report.notes.append(
        f"{options.runs} starts of each, at as many broadcasts; ffmpeg has no parts, its first segment counts."
    )
    report.show()


def _source(folder: Path) -> Path:
    """The broadcast, encoded once."""
    path = folder / "source.mp4"
    subprocess.run(
        [
            "ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=1920x1080:rate={_RATE},noise=alls=8:allf=t",
            "-f", "lavfi", "-i", "sine=440:sample_rate=48000", "-t", "24", "-c:v", "libx264", "-preset", "veryfast",
            "-b:v", "6M", "-maxrate", "6M", "-bufsize", "6M", "-bf", "0", "-g", str(int(_GROUP * _RATE)),
            "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-b:a", "128k", str(path),
        ],
        check=True,
    )  # fmt: skip
    return path


@contextmanager
def _broadcast(program: Program, name: str, source: Path) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """A stream that has been on for some seconds: a client, and the paths of its media playlists by their names."""
    key = program.add_stream(name)
    with (
        subprocess.Popen(
            ["ffmpeg", "-v", "error", "-re", "-i", str(source), "-c", "copy", "-f", "flv", f"{program.rtmp}/{key}"],
            stdin=subprocess.DEVNULL,
        ) as encoder,
        httpx.Client(base_url=program.url, timeout=30, verify=False) as http,
    ):
        try:
            path = f"/app/{name}/master.m3u8"
            wait_for("the stream", lambda: http.get(path).status_code == 200)
            variants = _variants(http.get(path).text, f"/app/{name}/")
            wait_for("two segments", lambda: http.get(variants["1080p30"]).text.count("#EXTINF") >= 2)
            yield http, variants
        finally:
            encoder.terminate()


def _variants(text: str, base: str) -> dict[str, str]:
    lines = text.splitlines()
    return {
        line.rpartition('NAME="')[2].rstrip('"'): base + uri
        for line, uri in itertools.pairwise(lines)
        if line.startswith("#EXT-X-STREAM-INF")
    }


def _rendition(http: httpx.Client, path: str) -> tuple[float, float]:
    """Seconds to the first part, and to the playlist that lists it."""
    folder = path.rpartition("/")[0]
    begin = time.monotonic()
    answer = http.get(path)
    listed = time.monotonic() - begin
    if answer.status_code != 200:
        raise RuntimeError(f"no rendition: {answer.text}")
    parts = [line for line in answer.text.splitlines() if line.startswith("#EXT-X-PART:")]
    for file in ("init-0.mp4", parts[0].partition('URI="')[2].partition('"')[0]):
        http.get(f"{folder}/{file}").raise_for_status()
    return time.monotonic() - begin, listed


def _ffmpeg(url: str, folder: Path) -> float:
    """Seconds until bare ffmpeg lists its first segment."""
    folder.mkdir()
    playlist = folder / "out.m3u8"
    begin = time.monotonic()
    with tempfile.TemporaryFile() as printed, subprocess.Popen(
        [
            "ffmpeg", "-v", "error", "-live_start_index", "-1", "-i", f"{url}?_HLS_legacy=YES", "-map", "0:v",
            "-vf", "scale=1280:720", "-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency",
            "-b:v", "3M", "-g", str(int(_GROUP * _RATE)), "-f", "hls", "-hls_segment_type", "fmp4",
            "-hls_time", str(_GROUP), str(playlist),
        ],
        stdin=subprocess.DEVNULL, stderr=printed,
    ) as process:  # fmt: skip
        try:
            while not playlist.exists():
                if process.poll() is not None or time.monotonic() > begin + 60:
                    printed.seek(0)
                    raise RuntimeError(f"ffmpeg lists nothing: {printed.read().decode(errors='replace')}")
                time.sleep(0.005)
            return time.monotonic() - begin
        finally:
            process.kill()


if __name__ == "__main__":
    main()
