"""Encoders that publish: ffmpeg with a test picture and tone, in real time."""

import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


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

    def arguments(self) -> list[str]:
        """ffmpeg's arguments, but for the output."""
        out = ["-re"]
        if self.video:
            out += ["-f", "lavfi", "-i", f"testsrc2=size={self.width}x{self.height}:rate={self.rate}"]
        if self.audio:
            out += ["-re"] if self.video else []
            out += ["-f", "lavfi", "-i", "sine=frequency=440:beep_factor=2:sample_rate=48000"]
        if self.video:
            out += ["-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "main", "-pix_fmt", "yuv420p"]
            out += ["-g", str(self.group), "-sc_threshold", "0", "-bf", str(self.b_frames), "-b:v", "800k"]
            out += ["-threads", "1"]
        if self.audio:
            out += ["-c:a", "aac", "-b:a", "96k", "-ac", "2"]
        return out


class Encoder:
    """A running ffmpeg."""

    def __init__(self, url: str, picture: Picture | None = None, extra: Sequence[str] = ()) -> None:
        # A file, not a pipe: nobody reads along, and a full pipe would stop the broadcast.
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `kill`
        self.process = subprocess.Popen(
            [
                "ffmpeg", "-hide_banner", "-loglevel", "verbose", "-nostats", "-nostdin",
                *(picture or Picture()).arguments(), *extra, "-f", "flv", url,
            ],
            stdout=subprocess.DEVNULL,
            stderr=self._printed,
        )  # fmt: skip

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
        self.process.wait(timeout=15)

    def wait(self, timeout: float = 20.0) -> str:
        """Wait until it ends by itself; what it printed."""
        self.process.wait(timeout=timeout)
        self._printed.seek(0)
        return self._printed.read().decode(errors="replace")


@contextmanager
def publishing(url: str, picture: Picture | None = None, extra: Sequence[str] = ()) -> Iterator[Encoder]:
    """An encoder that is ended afterwards, whatever happens."""
    encoder = Encoder(url, picture, extra)
    try:
        yield encoder
    finally:
        encoder.kill()
