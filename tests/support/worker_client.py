"""A transcoding worker as the pool runs it, and sources for it."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av

from ghostlive.codecs.describe import audio_frame_samples, describe_audio, describe_video, inspect_frame
from ghostlive.core.track import Codec, Track
from ghostlive.transcode.plan import AudioPlan, Plan, VideoPlan
from ghostlive.transcode.wire import (
    Decoder,
    Failed,
    Media,
    Message,
    Notice,
    Opened,
    Picture,
    Ready,
    Source,
    Start,
    Stats,
    Still,
    encode,
)

MEMORY = 1024 * 1024 * 1024
PATIENCE = 60.0
M = TypeVar("M")
_PATIENT = """
import sys
from ghostlive.transcode.worker import __main__, confine

usual = confine.confine

def patient(memory):
    missing = usual(memory)
    from ghostlive.transcode.worker import loop  # FFmpeg too: only now
    loop.BEHIND = loop._STUCK = 600.0
    return missing

confine.confine = patient
__main__.main(sys.argv[1:])
"""
"""The worker, but for when frames are too late: on a busy machine they may be, and tests count them."""


@dataclass
class Worker:
    """A worker process and all that it said so far."""

    process: "subprocess.Popen[bytes]"
    connection: socket.socket
    messages: list[Message] = field(default_factory=list)
    ended: bool = False
    pictures: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def send(self, *messages: Message) -> None:
        """Say something, waiting while the worker is busy."""
        for message in messages:
            self.connection.sendall(encode(message))

    def of(self, kind: type[M]) -> list[M]:
        """All messages of a kind."""
        with self.changed:
            return [message for message in self.messages if isinstance(message, kind)]

    def media(self, run: int) -> list[Media]:
        """The frames of a rendition."""
        return [message for message in self.of(Media) if message.run == run]

    def opened(self, run: int) -> list[Opened]:
        """What was said of a rendition's encoders."""
        return [message for message in self.of(Opened) if message.run == run]

    def stats(self) -> Stats:
        """The newest report."""
        return self.of(Stats)[-1]

    def wait(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait until `ready`; it is asked after each message."""
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while not ready():
                left = deadline - time.monotonic()
                if left <= 0 or self.ended:
                    raise AssertionError(f"no {what}: {self.said()}")
                self.changed.wait(left)

    def settle(self) -> Stats:
        """Wait until everything that was sent has been decoded and encoded."""
        # A picture that cannot be is answered when all before it was decoded.
        self.pictures += 1
        self.send(Picture(self.pictures, Codec.H264, b"", b"", 2, 2, "jpeg"))
        self.wait("answer", lambda: any(still.number == self.pictures for still in self.of(Still)))
        with self.changed:
            since = len(self.messages)
        self.wait(
            "idle worker", lambda: any(isinstance(one, Stats) and not one.waiting for one in self.messages[since:])
        )
        return self.stats()

    def said(self) -> str:
        """All but media and reports, to be read by people."""
        return "\n".join(str(one) for one in self.messages if not isinstance(one, Media | Stats))[-3000:]

    def _read(self) -> None:
        decoder = Decoder()
        while True:
            try:
                data = self.connection.recv(1024 * 1024)
            except OSError:
                data = b""
            with self.changed:
                if not data:
                    self.ended = True
                else:
                    self.messages += decoder.feed(data)
                self.changed.notify_all()
                if not data:
                    return


@contextmanager
def running(memory: int = MEMORY, *, code: int = 0, patient: bool = True) -> Iterator[Worker]:
    """A worker that is ready, and its end, when the connection is closed, with this exit code.

    A `patient` one leaves no frame out because it is behind.
    """
    ours, theirs = socket.socketpair()
    program = ["-c", _PATIENT] if patient else ["-m", "ghostlive.transcode.worker"]
    command = [sys.executable, "-P", *program, str(theirs.fileno()), str(memory), "test"]
    process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), cwd="/")
    theirs.close()
    worker = Worker(process, ours)
    reader = threading.Thread(target=worker._read, daemon=True)
    reader.start()
    try:
        worker.wait("ready worker", lambda: bool(worker.of(Ready)))
        yield worker
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_WR)
        assert process.wait(PATIENCE) == code
    finally:
        process.kill()
        process.wait()
        reader.join()
        ours.close()


@dataclass(frozen=True)
class Clip:
    """One track and its frames, as an ingest would have them; `Media.run` and `Media.track` are 0."""

    track: Track
    frames: tuple[Media, ...]

    @property
    def keyframes(self) -> list[int]:
        """Presentation times of the keyframes."""
        return [frame.pts for frame in self.frames if frame.keyframe]

    @property
    def times(self) -> list[int]:
        """All presentation times, in order."""
        return sorted(frame.pts for frame in self.frames)

    def named(self, name: str) -> "Clip":
        """The same with another id."""
        return replace(self, track=replace(self.track, id=name))

    def shifted(self, ticks: int) -> "Clip":
        """The same at another time."""
        moved = tuple(one._replace(dts=one.dts + ticks, pts=one.pts + ticks) for one in self.frames)
        return replace(self, frames=moved)


_CODECS = {
    "h264": Codec.H264, "hevc": Codec.H265, "av1": Codec.AV1, "libdav1d": Codec.AV1, "vp8": Codec.VP8,
    "vp9": Codec.VP9, "aac": Codec.AAC, "opus": Codec.OPUS, "flac": Codec.FLAC, "ac3": Codec.AC3, "eac3": Codec.EAC3,
    "mp3float": Codec.MP3, "mp3": Codec.MP3, "pcm_alaw": Codec.PCMA, "pcm_mulaw": Codec.PCMU,
}  # fmt: skip


def make(path: Path, *arguments: str) -> list[Clip]:
    """Run ffmpeg with `arguments` into a file at `path`, and read its tracks."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *arguments, str(path)]
    subprocess.run(command, check=True, timeout=PATIENCE)
    return read(path)


def read(path: Path) -> list[Clip]:
    """The tracks of a file."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size and packet.dts is not None]
        return [_clip(stream, [one for one in packets if one.stream is stream]) for stream in container.streams]


def _clip(stream: Any, packets: Sequence[Any]) -> Clip:
    context = stream.codec_context
    codec = _CODECS[context.name]
    # Times begin at 10 s, so that nothing is negative, priming included.
    scale = int(1 / stream.time_base)
    start = 10 * scale - min(packet.dts for packet in packets)
    config = context.extradata or b""
    if codec in (Codec.VP8, Codec.VP9, Codec.AC3, Codec.EAC3, Codec.MP3):
        config = b""
    if codec in (Codec.PCMA, Codec.PCMU):
        config = bytes([context.layout.nb_channels])
    frames = []
    for packet in packets:
        unit = inspect_frame(codec, bytes(packet))
        frames.append(Media(0, 0, packet.dts + start, packet.pts + start, unit.keyframe, unit.payload))
    shared: dict[str, Any] = {"id": "v0", "codec": codec, "timescale": scale, "config": config}
    if stream.type == "video":
        seen = describe_video(codec, config, frames[0].payload)
        late = any(frame.pts != frame.dts for frame in frames)
        rate = Fraction(stream.average_rate) if stream.average_rate else None
        track = Track(
            **shared,
            codec_string=seen.codec_string,
            width=context.width,
            height=context.height,
            frame_rate=rate,
            has_b_frames=late,
        )
    else:
        heard = describe_audio(codec, config, frames[0].payload)
        assert audio_frame_samples(codec, heard, frames[0].payload)
        shared["id"] = "a0"
        track = Track(
            **shared,
            codec_string=heard.codec_string,
            sample_rate=context.sample_rate,
            channels=context.layout.nb_channels,
        )
    return Clip(track, tuple(frames))


def video_plan(name: str = "180p30", *, width: int = 320, height: int = 180, **values: Any) -> VideoPlan:
    """A video rendition of `v0`."""
    given: dict[str, Any] = {
        "id": f"v0-{name}", "name": name, "source": "v0", "codec": Codec.H264, "codec_string": "avc1.64001f",
        "frame_rate": Fraction(30), "bitrate": 300_000, **values,
    }  # fmt: skip
    return VideoPlan(width=width, height=height, **given)


def audio_plan(codec: Codec = Codec.OPUS, **values: Any) -> AudioPlan:
    """An audio rendition of `a0`."""
    string = "opus" if codec is Codec.OPUS else "mp4a.40.2"
    given: dict[str, Any] = {
        "id": f"a0-{codec}", "name": str(codec), "source": "a0", "codec": codec, "codec_string": string,
        "channels": 2, "bitrate": 96_000, **values,
    }  # fmt: skip
    return AudioPlan(**given)


_ENCODERS = {
    Codec.H264: "libx264",
    Codec.AV1: "libsvtav1",
    Codec.VP8: "libvpx",
    Codec.AAC: "aac",
    Codec.OPUS: "libopus",
}


def start(run: int, plan: Plan, *encoders: str, **values: Any) -> Start:
    """A wish for a rendition, with the software encoder unless others are named."""
    return Start(run, plan, encoders or (_ENCODERS[plan.codec],), **values)


def feed(worker: Worker, clips: Sequence[Clip], run: int = 1) -> None:
    """Send all frames of some tracks, which are the source's, in order of time."""
    order: list[tuple[float, Media]] = []
    for index, clip in enumerate(clips):
        order += [(one.dts / clip.track.timescale, one._replace(run=run, track=index)) for one in clip.frames]
    for _, media in sorted(order, key=lambda one: one[0]):
        worker.send(media)


def transcode(clips: Sequence[Clip], starts: Iterable[Start], memory: int = MEMORY) -> Worker:
    """Run a worker over whole clips; what it said."""
    with running(memory) as worker:
        worker.send(Source(1, tuple(clip.track for clip in clips)), *starts)
        feed(worker, clips)
        worker.settle()
    return worker


def decoded(opened: Opened, codec: Codec, frames: Sequence[Media]) -> list[Any]:
    """The frames of a rendition, decoded; any complaint of the decoder fails the test."""
    context: Any = av.CodecContext.create("libdav1d" if codec is Codec.AV1 else str(codec), "r")
    if opened.config:
        context.extradata = opened.config
    found: list[Any] = []
    for frame in frames:
        packet: Any = av.Packet(frame.payload)
        packet.pts, packet.dts = frame.pts, frame.dts
        found += context.decode(packet)
    found += context.decode(None)
    return found


__all__ = [
    "MEMORY", "Clip", "Failed", "Notice", "Worker", "audio_plan", "decoded", "feed", "make", "read", "running", "start",
    "transcode", "video_plan",
]  # fmt: skip
