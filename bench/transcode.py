"""Transcoding: a 1080p30 source made into 720p30, 480p30, 360p30 and Opus, by our worker and by one bare ffmpeg.

Both read the same frames, scale with the same filter and encode with the same settings, as fast as they can; ffmpeg
throws its results away. Processor time is that of all threads. Latency is measured apart, at the pace of a broadcast:
from handing a frame of the source to the worker to reading the rendition's frame. What it costs while nobody watches is
measured with two whole servers that get the same broadcast, one of which has transcoding switched off.
"""

import os
import subprocess
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.program import Program, wait_for
from tests.support.worker_client import Clip, Worker, audio_plan, feed, make, running, start, video_plan

from bench.harness import (
    Report,
    Row,
    alternate,
    arguments,
    console,
    cpu_seconds,
    ghostlive,
    in_memory,
    median,
    need,
    percentile,
    pid_of,
    ratio,
)
from ghostlive.core.track import Codec
from ghostlive.transcode.wire import Media, Source, Start

_SIZES: Final = ((1280, 720, 3_000_000, "3.1"), (854, 480, 1_200_000, "3.0"), (640, 360, 800_000, "3.0"))
_RATE: Final = 30
_PRESET: Final = "superfast"
_CPU_AIM: Final = 1.03
_IDLE_AIM: Final = 0.02
_SETTLED: Final = 4.0
"""Seconds until a server has started all that it starts."""
_X264: Final = (
    "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:scenecut=0:force-cfr=1:keyint=infinite"
    ":sliced-threads=0:8x8dct=1"
)
_MEGABYTE: Final = 1e6


class Cost(NamedTuple):
    """What one run took."""

    cpu: float
    """Seconds of all threads."""
    memory: float
    """The most that was resident, in bytes."""


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=20, runs=3)
    need("ffmpeg")
    report = Report("Transcoding 1080p30 to 720p30, 480p30, 360p30 and Opus", "ffmpeg")
    with in_memory() as folder:
        path = folder / "source.mp4"
        clips = make(path, *_source(options.seconds))
        ours, theirs = alternate(options.runs, lambda: _worker(clips), lambda: _ffmpeg(path))
        _add_costs(report, ours, theirs)
        _add_unwatched(report, folder, path, median(cost.cpu for cost in theirs) / options.seconds, options.seconds)
        _add_latency(report, clips)
    report.notes.append(f"{options.seconds:g} s of media; x264 {_PRESET}, one thread each, as fast as it goes.")
    report.show()


def _source(seconds: float) -> list[str]:
    return [
        "-f", "lavfi", "-i", f"testsrc2=size=1920x1080:rate={_RATE},noise=alls=8:allf=t",
        "-f", "lavfi", "-i", "sine=440:sample_rate=48000", "-t", str(seconds),
        "-c:v", "libx264", "-preset", "veryfast", "-b:v", "6M", "-maxrate", "6M", "-bufsize", "6M", "-bf", "0",
        "-g", str(2 * _RATE), "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-b:a", "128k",
    ]  # fmt: skip


def _starts() -> list[Start]:
    found = []
    for run, (width, height, bitrate, level) in enumerate(_SIZES, 1):
        string = f"avc1.6400{round(float(level) * 10):02x}"
        plan = video_plan(f"{height}p30", width=width, height=height, bitrate=bitrate, codec_string=string)
        found.append(start(run, plan, preset=_PRESET, threads=1))
    return [*found, start(len(_SIZES) + 1, audio_plan(Codec.OPUS))]


def _worker(clips: list[Clip]) -> Cost:
    with running(patient=False) as worker:
        worker.send(Source(1, tuple(clip.track for clip in clips)), *_starts())
        feed(worker, clips)
        stats = worker.settle()
        for run in stats.renditions:
            if run.dropped:
                console.print(f"rendition {run.run} left out {run.dropped} frames: the figures say little")
        pid = worker.process.pid
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
        return Cost(cpu, int(peak.split()[1]) * 1024)


def _ffmpeg(path: Path) -> Cost:
    split = "".join(f"[s{index}]" for index in range(len(_SIZES)))
    scales = ";".join(
        f"[s{index}]scale={width}:{height}:flags=bicubic[v{index}]"
        for index, (width, height, _, _) in enumerate(_SIZES)
    )
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", str(path)]
    command += ["-filter_complex", f"[0:v]split={len(_SIZES)}{split};{scales}"]
    for index, (_, _, bitrate, level) in enumerate(_SIZES):
        command += [
            "-map", f"[v{index}]", "-c:v", "libx264", "-preset", _PRESET, "-profile:v", "high", "-level", level,
            "-b:v", str(bitrate), "-maxrate", str(bitrate), "-bufsize", str(bitrate), "-threads", "1",
            "-forced-idr", "1", "-force_key_frames", "source", "-x264-params", _X264, "-f", "null", "-",
        ]  # fmt: skip
    command += ["-map", "0:a", "-c:a", "libopus", "-b:a", "96k", "-f", "null", "-"]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"ffmpeg ended with {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _add_costs(report: Report, ours: list[Cost], theirs: list[Cost]) -> None:
    cpu, peer = median(cost.cpu for cost in ours), median(cost.cpu for cost in theirs)
    aim = f"≤ {_CPU_AIM:g} ×"
    report.add(Row("CPU, all watched", f"{cpu:.1f} s", f"{peer:.1f} s", ratio(cpu, peer), aim, cpu <= _CPU_AIM * peer))
    memory, peer = median(cost.memory for cost in ours), median(cost.memory for cost in theirs)
    shown = (f"{memory / _MEGABYTE:.0f} MB", f"{peer / _MEGABYTE:.0f} MB")
    report.add(Row("most memory resident", *shown, ratio(memory, peer)))


def _add_unwatched(report: Report, folder: Path, source: Path, peer: float, seconds: float) -> None:
    """With `peer` seconds of processor time for each second of media, when everything is watched."""
    with ghostlive(folder / "on") as on, ghostlive(folder / "off", {"GHOSTLIVE_TRANSCODE__ENABLED": "false"}) as off:
        encoders = [_publish(program, source) for program in (on, off)]
        try:
            for program in (on, off):
                wait_for("the broadcast", lambda program=program: program.stream("show")["state"] == "live")
            time.sleep(_SETTLED)
            before = [_tree_cpu(program) for program in (on, off)]
            time.sleep(max(seconds - 2 * _SETTLED, 5))
            spent = [_tree_cpu(program) - earlier for program, earlier in zip((on, off), before, strict=True)]
        finally:
            for encoder in encoders:
                encoder.terminate()
                encoder.wait()
    media = max(seconds - 2 * _SETTLED, 5)
    more = max(spent[0] - spent[1], 0.0)
    report.add(
        Row(
            "CPU more than without transcoding, none watched",
            f"{more / media:.4f} cores",
            f"{peer:.2f} cores",
            ratio(more / media, peer),
            f"≤ {_IDLE_AIM:g} ×",
            more / media <= _IDLE_AIM * peer,
        )
    )


def _publish(program: Program, source: Path) -> "subprocess.Popen[bytes]":
    url = f"{program.rtmp}/{program.add_stream('show')}"
    command = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(source), "-c", "copy", "-f", "flv", url]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _tree_cpu(program: Program) -> float:
    """Of a server and its workers."""
    pid = pid_of(program)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_seconds(pid, *map(int, children))


def _add_latency(report: Report, clips: list[Clip]) -> None:
    """At the pace of a broadcast, 720p30 alone."""
    video = clips[0]
    sent: dict[int, float] = {}
    with running(patient=False) as worker:
        worker.send(Source(1, (video.track,)), _starts()[0])
        seen = _Seen(worker)
        begin = time.monotonic() + 0.1
        first = video.frames[0].dts
        for frame in video.frames[: 10 * _RATE]:
            due = begin + (frame.dts - first) / video.track.timescale
            while (left := due - time.monotonic()) > 0:
                seen.look(left)
            sent[frame.pts] = time.monotonic()
            worker.send(frame._replace(run=1))
        (rendition,) = worker.settle().renditions
        seen.look(0)
    # The first frames open the decoder and the encoder.
    ages = sorted(seen.times[pts] - at for pts, at in sent.items() if pts in seen.times)[: len(sent) - 5]
    encoding = rendition.busy / rendition.frames
    limit = 2 / _RATE + encoding
    for name, share in (("median", 0.5), ("95 %", 0.95)):
        value = percentile(ages, share)
        aim = (f"≤ {limit * 1000:.0f} ms", value <= limit) if share > 0.5 else ("", None)
        report.add(Row(f"latency of a 720p30 frame, {name}", f"{value * 1000:.0f} ms", "", "", *aim))
    report.notes.append(
        f"A 720p30 frame is scaled and encoded in {encoding * 1000:.1f} ms; the aim is two frames more."
    )


class _Seen:
    """When frames of renditions came."""

    def __init__(self, worker: Worker) -> None:
        self.times: dict[int, float] = {}
        self._worker = worker
        self._read = 0

    def look(self, seconds: float) -> None:
        """Wait for messages at most so long, and note what came."""
        with self._worker.changed:
            if self._read == len(self._worker.messages):
                self._worker.changed.wait(seconds)
            now = time.monotonic()
            for message in self._worker.messages[self._read :]:
                if isinstance(message, Media):
                    self.times.setdefault(message.pts, now)
            self._read = len(self._worker.messages)


if __name__ == "__main__":
    main()
