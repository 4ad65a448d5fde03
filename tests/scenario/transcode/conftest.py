"""A pool on fake time, with workers in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

import pytest
from tests.support.clock import FakeClock
from tests.support.fake_worker import FakeWorker, Workers, source_video
from tests.support.packaged import audio, interleaved, settle, steady, tone

from ghostlive.core.frame import Frame
from ghostlive.core.track import Track, TrackKind
from ghostlive.hub.config import HubConfig
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream, Publication, Source
from ghostlive.hub.subscription import Closed, Item, Opened, Subscription
from ghostlive.transcode.config import RenditionSetting, TranscodeConfig
from ghostlive.transcode.pool import TranscodePool
from ghostlive.transcode.report import RenditionReport, RenditionState

SIXTY = source_video()
SOUND = audio()


class Broadcast:
    """One publisher, and a viewer of everything that is made of it."""

    def __init__(self, stage: "Stage", name: str, tracks: Sequence[Track]) -> None:
        self.stage = stage
        self.name = name
        self.tracks: tuple[Track, ...] = ()
        self.publication: Publication = stage.hub.publish(name, Source("test", "192.0.2.1"), lambda reason: None)
        self.at = 0.0
        self.announce(*tracks)
        self.viewer: Subscription = self.live.subscribe()
        self.seen: list[Item] = []

    @property
    def live(self) -> LiveStream:
        live = self.stage.hub.get(self.name)
        assert live is not None
        return live

    def announce(self, *tracks: Track) -> None:
        self.tracks = tracks
        self.publication.announce(tracks)

    def write(self, seconds: float, *, group: int = 60) -> None:
        """Publish so many seconds at once, without any time passing."""
        frames = [
            steady(track, seconds, start=self.at, rate=float(track.frame_rate or 30), group=group)
            if track.kind is TrackKind.VIDEO
            else tone(track, seconds, start=self.at)
            for track in self.tracks
        ]
        self.at += seconds
        for frame in interleaved(self.tracks, *frames):
            self.publication.write(frame)

    def look(self) -> list[Item]:
        """Everything that the viewer has got so far."""
        self.seen += self.viewer.take()
        return self.seen

    def frames(self, track: str) -> list[Frame]:
        return [item for item in self.look() if isinstance(item, Frame) and item.track == track]

    def opened(self, track: str) -> int:
        """How often a rendition was opened."""
        return sum(isinstance(item, Opened) and item.track.id == track for item in self.look())

    def closed(self, track: str) -> list[str]:
        """Why a rendition was closed, each time."""
        return [item.reason for item in self.look() if isinstance(item, Closed) and item.track == track]

    def rendition(self, track: str) -> RenditionReport:
        report = self.stage.pool.report(self.name)
        assert report is not None
        return next(rendition for rendition in report.renditions if rendition.id == track)

    def state(self, track: str) -> RenditionState:
        return self.rendition(track).state

    def warnings(self) -> set[str]:
        report = self.stage.pool.report(self.name)
        assert report is not None
        return {warning.code for warning in report.warnings}


class Stage:
    """A hub with a pool."""

    def __init__(self, config: TranscodeConfig, ladders: dict[str, Sequence[RenditionSetting]]) -> None:
        self.clock = FakeClock()
        self.hub = Hub(HubConfig(), self.clock)
        self.workers = Workers()
        self.ladders = ladders
        self.encoders: tuple[str, ...] = ("libx264", "libsvtav1", "libvpx")
        self.pool = TranscodePool(
            self.hub,
            config,
            clock=self.clock,
            encoders=lambda: self.encoders,
            settings_of=self.ladders.get,
            start_worker=self.workers.start,
        )
        self.hub.deriver = self.pool

    def publish(self, name: str = "cam", tracks: Sequence[Track] = (SIXTY, SOUND)) -> Broadcast:
        return Broadcast(self, name, tracks)

    async def pass_time(self, seconds: float, *, alive: bool = True, write: Iterable[Broadcast] = ()) -> None:
        """Let time pass in steps of a quarter of a second, in which workers give signs of life."""
        for _ in range(round(seconds / 0.25)):
            for broadcast in write:
                broadcast.write(0.25)
            self.clock.advance(0.25)
            if alive:
                for worker in self.workers.running:
                    worker.beat(0.25)
            await settle()

    @property
    def worker(self) -> FakeWorker:
        return self.workers.busy


Stages = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def make_stage() -> AsyncIterator[Stages]:
    """Makes stages, and finds that nothing is left of them at the end."""
    made: list[Stage] = []
    before = len(asyncio.all_tasks())

    async def make(ladders: dict[str, Sequence[RenditionSetting]] | None = None, **settings: object) -> Stage:
        values: dict[str, object] = {"cores": 4.0, "memory_bytes": 4 * 10**9, **settings}
        stage = Stage(TranscodeConfig(**values), ladders if ladders is not None else {})  # type: ignore[arg-type]
        await stage.pool.start()
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.hub.close()
        await settle()
        await stage.pool.stop()
        assert stage.workers.running == []
        assert stage.pool.machine().cores_used == 0
    await settle()
    assert len(asyncio.all_tasks()) <= before


@pytest.fixture
async def stage(make_stage: Stages) -> Stage:
    """A pool with room for everything."""
    return await make_stage()
