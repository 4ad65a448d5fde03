"""A worker in memory: it answers as an honest one would, and does what a test makes it do."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ghostlive.codecs.bits import BitWriter
from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.transcode.plan import AudioPlan, Plan, VideoPlan
from ghostlive.transcode.wire import Media, Message, Opened, RenditionStats, Source, Start, Stats, Stop, Thin, WireError

KEY_PICTURE = b"\0\0\0\5\x65\x88\x80\x40\x20"
PICTURE = b"\0\0\0\5\x41\x9a\x80\x40\x20"
OPUS_HEAD = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"
AAC_CONFIG = b"\x11\x90"


def avc_config(width: int, height: int, *, level: int = 0x1F) -> bytes:
    """An AVCDecoderConfigurationRecord of High profile (H.264 §7.3.2.1.1) with a picture of that size."""
    writer = BitWriter()

    def ue(value: int) -> None:
        length = (value + 1).bit_length()
        writer.bits(value + 1, 2 * length - 1)

    for byte in (0x67, 100, 0, level):
        writer.bits(byte, 8)
    across, down = -(-width // 16), -(-height // 16)
    for value in (0, 1, 0, 0):  # id, 4:2:0, 8 bits of luma, of chroma
        ue(value)
    writer.bits(0, 2)  # no bypass, no scaling matrix
    for value in (0, 2, 1):  # frame numbers, order of output is that of decoding, one reference
        ue(value)
    writer.bits(0, 1)
    ue(across - 1)
    ue(down - 1)
    writer.bits(0b11, 2)  # frames only, direct 8x8
    crop = (16 * across - width) // 2, (16 * down - height) // 2
    writer.bits(int(any(crop)), 1)
    if any(crop):
        for value in (0, crop[0], 0, crop[1]):
            ue(value)
    writer.bits(0, 1)
    writer.bits(1, 1)
    sps = bytearray()
    for byte in writer.to_bytes():
        if byte <= 3 and sps[-2:] == b"\0\0":
            sps.append(3)
        sps.append(byte)
    pps = b"\x68\xeb\xec"
    head = bytes((1, 100, 0, level, 0xFF, 0xE1))
    return head + len(sps).to_bytes(2, "big") + sps + b"\1" + len(pps).to_bytes(2, "big") + pps


def opened(run: int, plan: Plan, encoder: str = "") -> Opened:
    """What an honest worker says when a rendition's encoder is open."""
    if isinstance(plan, VideoPlan):
        config = avc_config(plan.width, plan.height)
        return Opened(run, encoder or "libx264", config, plan.codec_string, plan.width, plan.height)
    config, encoder = (OPUS_HEAD, "libopus") if plan.codec is Codec.OPUS else (AAC_CONFIG, "aac")
    return Opened(run, encoder, config, plan.codec_string, channels=plan.channels)


@dataclass
class FakeWorker:
    """Encodes whatever it is given to nine bytes a picture, unless `honest` is off."""

    honest: bool = True
    heard: list[Message] = field(default_factory=list, repr=False)
    starts: dict[int, Start] = field(default_factory=dict)
    tracks: tuple[Track, ...] = ()
    killed: bool = False
    ended: str = ""
    """How it ended; empty while it runs."""
    waited: bool = False
    slow: bool = False
    """It takes nothing more."""
    cpu: float = 0.0
    cores: float = 0.1
    late: float = 0.01
    pace: float = 1.0
    """Seconds of media that it says it has encoded in a second."""
    dropped: dict[int, int] = field(default_factory=dict)
    frames: dict[int, int] = field(default_factory=dict)
    media: float = 0.0
    """What it says it has encoded of each rendition, in a fifth of the time."""
    _said: list[Message] = field(default_factory=list)
    _error: WireError | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    # What the pool calls

    def send(self, message: Message) -> None:
        if self.ended or self.killed:
            return
        self.heard.append(message)
        if isinstance(message, Source):
            self.tracks = message.tracks
            self.starts.clear()
        elif isinstance(message, Start):
            self.starts[message.run] = message
            if self.honest:
                self.say(opened(message.run, message.plan))
        elif isinstance(message, Stop):
            self.starts.pop(message.run, None)
        elif isinstance(message, Media) and self.honest:
            self._encode(message)

    async def drain(self) -> None:
        while self.slow and not self.killed:
            self._room.clear()
            await self._room.wait()

    async def receive(self) -> list[Message]:
        while not self._said:
            if self._error is not None:
                raise self._error
            if self.ended or self.killed:
                return []
            self._wake.clear()
            await self._wake.wait()
        said, self._said = self._said, []
        return said

    def kill(self) -> None:
        self.killed = True
        self._wake.set()
        self._room.set()

    async def wait(self) -> str:
        self.waited = True
        return self.ended or "was killed by SIGKILL"

    # What tests call

    def say(self, *messages: Message) -> None:
        self._said += messages
        self._wake.set()

    def resume(self) -> None:
        """It takes what it is given again."""
        self.slow = False
        self._room.set()

    def nonsense(self) -> None:
        """It says something that is no message."""
        self._error = WireError("a message of kind 99 cannot be")
        self._wake.set()

    def crash(self, how: str = "was killed by SIGSEGV") -> None:
        self.ended = how
        self._wake.set()

    def beat(self, seconds: float = 0.5) -> None:
        """A sign of life, after so long."""
        self.cpu += seconds * self.cores
        self.media += self.pace * seconds
        stats = [
            RenditionStats(
                run, self.frames.get(run, 0), self.dropped.get(run, 0), self.media / 5, self.media, self.late
            )
            for run in self.starts
        ]
        self.say(Stats(self.cpu, 10**8, 0, 0, 0, tuple(stats)))

    def all(self, kind: Callable[..., Message]) -> list[Message]:
        """Everything of a kind that it was told."""
        return [message for message in self.heard if type(message) is kind]

    def run_of(self, name: str) -> int:
        """The number of a rendition."""
        return next(run for run, start in self.starts.items() if name in (start.plan.name, start.plan.id))

    def thinned(self, name: str) -> int:
        """Of how many frames of a rendition one is kept."""
        keep = 1
        for message in self.heard:
            if isinstance(message, Thin) and message.run == self.run_of(name):
                keep = message.keep_one_in
        return keep

    def _encode(self, media: Media) -> None:
        track = self.tracks[media.track]
        for run, start in list(self.starts.items()):
            if start.plan.source != track.id:
                continue
            scale = 1 if track.kind is TrackKind.VIDEO else 48000 / track.timescale
            pts = round(media.pts * scale)
            if start.after is not None and pts <= start.after:
                continue
            first = run not in self.frames
            self.frames[run] = self.frames.get(run, 0) + 1
            if isinstance(start.plan, AudioPlan):
                self.say(Media(run, 0, pts, pts, keyframe=True, payload=b"sound"))
            else:
                keyframe = media.keyframe or first
                self.say(Media(run, 0, pts, pts, keyframe, KEY_PICTURE if keyframe else PICTURE))


@dataclass
class Workers:
    """Starts fake workers, and keeps them for the test."""

    made: list[FakeWorker] = field(default_factory=list)
    honest: bool = True
    refuse: str = ""
    """Why the system starts no process."""
    hold: asyncio.Event | None = None
    """Starting takes until it is set."""
    cancelled: int = 0

    async def start(self, _limits: object) -> FakeWorker:
        if self.refuse:
            raise OSError(self.refuse)
        if self.hold is not None:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        await asyncio.sleep(0)
        worker = FakeWorker(self.honest)
        self.made.append(worker)
        return worker

    @property
    def running(self) -> list[FakeWorker]:
        return [worker for worker in self.made if not worker.waited]

    @property
    def busy(self) -> FakeWorker:
        """The one that has renditions to make."""
        found = [worker for worker in self.running if worker.starts]
        assert len(found) == 1, self.made
        return found[0]


def source_video(name: str = "v0", *, height: int = 1080, rate: int = 60) -> Track:
    """What a publisher sends."""
    from tests.support.packaged import video

    track = video(name, rate=rate, height=height)
    return replace(track, config=avc_config(track.width, track.height), codec_string="avc1.640028")
