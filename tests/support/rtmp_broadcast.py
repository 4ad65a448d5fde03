"""One encoder in memory, all the way into a hub: session, ingest and a reader, on fake time."""

import itertools
import random
from typing import TypeVar

from tests.support.clock import FakeClock
from tests.support.rtmp_client import RtmpClient, exchange

from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec
from ghostlive.formats.flv import Packet, PacketKind
from ghostlive.hub.config import HubConfig
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import Source
from ghostlive.hub.subscription import Announced, Item, Subscription
from ghostlive.protocols.rtmp.config import RtmpConfig
from ghostlive.protocols.rtmp.events import PublishEnded, PublishRequested
from ghostlive.protocols.rtmp.ingest import Ingest
from ghostlive.protocols.rtmp.session import Session

# x264, 640x360, 30 frames/s in the VUI; the second one is 1280x720 without timing or reordering in its VUI.
H264_CONFIG = bytes.fromhex(
    "0164001effe1001a6764001eacd940a02ff97011000003000100000300" "3c0f162d9601000668ebe3cb22c0fdf8f800"
)  # fmt: skip
AAC_CONFIG = bytes.fromhex("1190")
AAC_SAMPLES = 1024

T = TypeVar("T")


def h264(keyframe: bool, size: int = 20, *extra: bytes) -> bytes:
    """An access unit with one slice, behind `extra` NAL units."""
    nals = [*extra, bytes([0x65 if keyframe else 0x41]) + bytes([0x88]) * size]
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


class Broadcast:
    """An encoder that publishes `show`, and what a reader of it gets."""

    def __init__(
        self, config: RtmpConfig | None = None, *, clock: FakeClock | None = None, hub: Hub | None = None
    ) -> None:
        self.clock = clock or FakeClock()
        self.hub = hub or Hub(HubConfig(), self.clock)
        self.config = config or RtmpConfig()
        self.client = RtmpClient()
        self.session = Session(self.config, random=random.Random(3).randbytes, now=self.clock.now())
        self.client.connect()
        self.client.publish("KEY")
        (request,) = exchange(self.session, self.client, self.clock.now())
        assert isinstance(request, PublishRequested)
        self.publication = self.hub.publish("show", Source("rtmp", "192.0.2.1"), lambda reason: None)
        self.ingest = Ingest(self.publication, max_tracks=self.config.max_tracks)
        self.session.accept_publish(self.clock.now())
        self.client.receive(self.session.data_to_send())
        self.client.set_chunk_size(4096)
        self.reader: Subscription = self.hub.subscribe("show")
        self.items: list[Item] = []

    def deliver(self) -> None:
        """Carry what the client queued to the hub."""
        now = self.clock.now()
        for event in exchange(self.session, self.client, now):
            if isinstance(event, PublishEnded):
                self.ingest.end(event.reason)
            else:
                assert not isinstance(event, PublishRequested)
                self.ingest.receive(event, now)
        self.items += self.reader.take()

    def headers(self, *, video: bool = True, audio: bool = True) -> None:
        if video:
            self.client.config(Codec.H264, H264_CONFIG)
        if audio:
            self.client.config(Codec.AAC, AAC_CONFIG)

    def play(
        self,
        seconds: float,
        *,
        start: int = 0,
        video: bool = True,
        audio: bool = True,
        group: int = 30,
        offset: int = 0,
    ) -> None:
        """Send media from `start` ms of the wire clock on, in real time; `offset` is added to the timestamps."""
        sounds = -(-start * 48 // AAC_SAMPLES)
        first = -(-start * 30 // 1000)
        for index in range(first, first + int(seconds * 30)):
            time = index * 1000 // 30
            if video:
                self.video(time + offset, keyframe=index % group == 0)
            while audio and sounds * AAC_SAMPLES <= time * 48:
                self.audio(round(sounds * AAC_SAMPLES / 48) + offset)
                sounds += 1
            self.deliver()
            self.clock.advance(1 / 30)

    def video(self, time: int, *, keyframe: bool = False, composition: int = 0, data: bytes | None = None) -> None:
        body = h264(keyframe) if data is None else data
        self.client.packet(Packet(PacketKind.FRAME, Codec.H264, body, keyframe, composition), time)

    def audio(self, time: int) -> None:
        self.client.packet(Packet(PacketKind.FRAME, Codec.AAC, b"sound"), time)

    def of(self, kind: type[T]) -> list[T]:
        """What the reader got of one kind."""
        return [item for item in self.items if isinstance(item, kind)]

    def frames(self, track: str) -> list[Frame]:
        return [frame for frame in self.of(Frame) if frame.track == track]

    def announced(self) -> list[list[str]]:
        """Track ids of each announcement."""
        return [[track.id for track in item.tracks] for item in self.of(Announced)]

    def check_order(self) -> None:
        """Frames of each track are in order, and never shown before they are decoded."""
        for track in {frame.track for frame in self.of(Frame)}:
            times = [frame.dts for frame in self.frames(track)]
            assert all(before < after for before, after in itertools.pairwise(times))
            assert all(frame.pts >= frame.dts >= 0 for frame in self.frames(track))
