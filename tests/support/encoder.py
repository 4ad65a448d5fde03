"""Encoders that publish: ffmpeg with a test picture and tone, in real time.

Most of what they send is encoded once and then sent again and again: encoding it live takes a tenth of a core each.
"""

import functools
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_FFMPEG = ["ffmpeg", "-hide_banner", "-nostats", "-nostdin"]
_SECONDS = 8
"""Of a loop: 375 frames of AAC at 48 kHz last exactly that long, and so do whole groups of most pictures."""


@dataclass(frozen=True)
class Picture:
    """What ffmpeg sends."""

    width: int = 640
    height: int = 360
    rate: int = 30
    group: int = 60
    """Frames from keyframe to keyframe."""
    b_frames: int = 0
    video: bool = True
    audio: bool = True
    away: Literal["", "video", "audio"] = ""
    """What is not sent in the last four of every eight seconds, while the other goes on."""

    @property
    def loops(self) -> bool:
        """Whether its end and its beginning are like any two groups."""
        return self.video and self.b_frames == 0 and _SECONDS * self.rate % self.group == 0

    def arguments(self, *, live: bool) -> list[str]:
        """ffmpeg's arguments, but for the output: as much as a loop needs at once, or live without an end."""
        out: list[str] = []
        picture = f"testsrc2=size={self.width}x{self.height}:rate={self.rate}"
        sound = "sine=frequency=440:beep_factor=2:sample_rate=48000"
        if not live:
            picture += f",trim=end_frame={_SECONDS * self.rate}"
            sound += f",atrim=end_sample={_SECONDS * 48_000 - 1024}"  # the encoder adds a frame before it
        for source, wanted in ((picture, self.video), (sound, self.audio)):
            if wanted:
                out += [*(["-re"] if live else []), "-f", "lavfi", "-i", source]
        if self.video:
            out += ["-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "main", "-pix_fmt", "yuv420p"]
            out += ["-g", str(self.group), "-sc_threshold", "0", "-bf", str(self.b_frames), "-b:v", "800k"]
            out += ["-threads", "1"]
        if self.audio:
            out += ["-c:a", "aac", "-b:a", "96k", "-ac", "2"]
        if self.away == "video":
            out += ["-bsf:v", f"noise=amount=0:drop='gte(n,{4 * self.rate})'"]
        elif self.away:
            out += ["-bsf:a", "noise=amount=0:drop='gte(n,188)'"]
        return out


class Encoder:
    """A running ffmpeg."""

    def __init__(self, url: str, picture: Picture | None = None, extra: Sequence[str] = ()) -> None:
        picture = picture or Picture()
        if picture.loops:
            source = ["-re", "-stream_loop", "-1", "-i", str(_loop(picture, tuple(extra))), "-c", "copy"]
            if picture.away:
                # Else what is there would wait for what is not.
                source += ["-max_interleave_delta", "1"]
        else:
            source = [*picture.arguments(live=True), *extra]
        # A file, not a pipe: nobody reads along, and a full pipe would stop the broadcast.
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `kill`
        self.process = subprocess.Popen(
            [*_FFMPEG, "-loglevel", "verbose", *source, "-f", "flv", url],
            stdout=subprocess.DEVNULL,
            stderr=self._printed,
        )

    def kill(self) -> None:
        """As a power cut would: no goodbye."""
        self.process.kill()
        self.process.wait()
        self._printed.close()

    def pause(self) -> None:
        """As a machine that hangs would: the connection stays, nothing comes."""
        self.process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        """As a person would: it says goodbye."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)

    def wait(self, timeout: float = 20.0) -> str:
        """Wait until it ends by itself; what it printed."""
        self.process.wait(timeout=timeout)
        self._printed.seek(0)
        return self._printed.read().decode(errors="replace")


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Of what is sent again and again; it goes with this process."""
    return tempfile.TemporaryDirectory(prefix="ghostlive-loops-")


@functools.cache
def _loop(picture: Picture, extra: tuple[str, ...]) -> Path:
    """A file that can follow itself without a seam."""
    path = Path(_folder().name) / f"{len(list(Path(_folder().name).iterdir()))}.flv"
    arguments = [*picture.arguments(live=False), *extra, "-map_metadata", "-1"]
    subprocess.run([*_FFMPEG, "-loglevel", "error", *arguments, str(path)], check=True)
    return path


@contextmanager
def publishing(url: str, picture: Picture | None = None, extra: Sequence[str] = ()) -> Iterator[Encoder]:
    """An encoder that is ended afterwards, whatever happens."""
    encoder = Encoder(url, picture, extra)
    try:
        yield encoder
    finally:
        encoder.kill()


@contextmanager
def breaking_off(url: str, picture: Picture, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """An encoder that sends a loop up to `seconds`, and then hangs: of the picture a little more than of the sound."""
    data = _loop(picture, ()).read_bytes()
    command = ["-loglevel", "error", "-re", "-f", "flv", "-i", "-", "-c", "copy", "-max_interleave_delta", "1"]
    with subprocess.Popen([*_FFMPEG, *command, "-f", "flv", url], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(_without_sound_after(data, round(seconds * 1000)))
        process.stdin.flush()
        try:
            yield process
        finally:
            process.kill()


def _without_sound_after(data: bytes, milliseconds: int) -> bytes:
    """A third of a second more of an FLV file's picture than of its sound."""
    out, at = data[:13], 13
    while True:
        end = at + 11 + int.from_bytes(data[at + 1 : at + 4]) + 4
        time = int.from_bytes(data[at + 4 : at + 7])
        if time > milliseconds + 300:
            return out
        if data[at] == 9 or time < milliseconds:
            out += data[at:end]
        at = end
