"""What players get: ffmpeg as the player that forgives nothing, and the offset of sound against picture."""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_QUIET = ["-hide_banner", "-nostdin", "-loglevel", "error"]
_LEAD = 5.0
"""Seconds that ffmpeg may need beside the playing itself, on a busy machine many times as much."""


@dataclass
class Playback:
    """ffmpeg that plays an address for some seconds and decodes all of it."""

    url: str
    seconds: float
    process: "subprocess.Popen[str]"

    def finish(self, timeout: float = 90.0) -> str:
        """Wait for its end; what it complained of, which is nothing when all is well."""
        try:
            _, complaints = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, complaints = self.process.communicate()
            return f"{self.url}: no end after {timeout:g} s\n{complaints}"
        if self.process.returncode:
            complaints += f"{self.url}: exit code {self.process.returncode}\n"
        return complaints


def play(url: str, seconds: float, *arguments: str) -> Playback:
    """Begin to play `seconds` of all tracks; any decoding error ends it.

    Times stay as they are in the media: put on a grid of frames, those of a live source could fall together.
    """
    process = subprocess.Popen(
        [
            "ffmpeg", *_QUIET, "-xerror", "-err_detect", "explode", *arguments, "-i", url, "-t", str(seconds),
            "-map", "0", "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    return Playback(url, seconds, process)


def complaints(urls: Iterable[str], seconds: float) -> str:
    """What ffmpeg complains of when it plays these, at the same time; empty when all is well."""
    return "".join([playback.finish() for playback in [play(url, seconds) for url in urls]])


def probe(url: str) -> list[dict[str, Any]]:
    """The streams that ffprobe finds."""
    done = subprocess.run(
        ["ffprobe", *_QUIET[:1], "-loglevel", "error", "-show_streams", "-of", "json", url],
        capture_output=True,
        check=True,
        timeout=90,
    )
    streams: list[dict[str, Any]] = json.loads(done.stdout)["streams"]
    return streams


SYNC_SOURCE = (
    "-re", "-f", "lavfi", "-i",
    "color=black:size=320x180:rate=30,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.1)'",
    "-re", "-f", "lavfi", "-i", "aevalsrc=0.5*sin(2*PI*1000*t)*lt(mod(t\\,1)\\,0.1):sample_rate=48000",
)  # fmt: skip
"""Inputs of ffmpeg: white picture and beep at each full second, both for a tenth of it."""


@dataclass(frozen=True)
class Onsets:
    """When each flash and each beep began, in seconds of the played timeline."""

    flashes: list[float]
    beeps: list[float]

    def offsets(self) -> list[float]:
        """How much later than its flash each beep came, in seconds."""
        return [min((beep - flash for beep in self.beeps), key=abs) for flash in self.flashes]


def onsets(url: str, seconds: float) -> Onsets:
    """Play what `SYNC_SOURCE` sent and find the beginnings."""
    with tempfile.TemporaryDirectory() as folder:
        picture, sound = Path(folder, "picture"), Path(folder, "sound")
        subprocess.run(
            [
                "ffmpeg", *_QUIET, "-i", url, "-t", str(seconds),
                "-filter_complex",
                f"[0:v]signalstats,metadata=print:key=lavfi.signalstats.YAVG:file={picture}[v];"
                "[0:a]asetnsamples=240:p=0,astats=metadata=1:reset=1:measure_perchannel=none,"
                f"ametadata=print:key=lavfi.astats.Overall.Peak_level:file={sound}[a]",
                "-map", "[v]", "-map", "[a]", "-f", "null", "-",
            ],
            check=True,
            timeout=120,
        )  # fmt: skip
        return Onsets(_rises(picture.read_text(), 125), _rises(sound.read_text(), -20))


def _rises(printed: str, level: float) -> list[float]:
    """Times at which a printed value goes over `level`."""
    found: list[float] = []
    above = True  # what is on at the first sample began before it
    for time, value in re.findall(r"pts_time:(\S+)\n\S+=(\S+)", printed):
        now = float(value) > level
        if now and not above:
            found.append(float(time))
        above = now
    return found
