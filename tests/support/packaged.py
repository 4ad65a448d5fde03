"""A hub with a packager on a clock that stands still, and a viewer that reads everything it offers."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from tests.support.clock import FakeClock
from tests.support.dash import Manifest, parse_manifest
from tests.support.hls import MediaPlaylist, Multivariant, check_update, parse_media, parse_multivariant

from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track
from ghostlive.hub.config import HubConfig
from ghostlive.hub.derived import Derivation, Offer, OfferRefusedError
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream, Publication, Source
from ghostlive.packager.config import PackagerConfig
from ghostlive.packager.resource import Resource
from ghostlive.packager.service import Packager

AAC_STEREO = b"\x11\x90"

DATA = Path(__file__).parents[1] / "data" / "packager"

AVC = bytes.fromhex("0164001fffe1000467640000010003 68eb00".replace(" ", ""))


def video(name: str = "v0", *, timescale: int = 90000, rate: int = 30, height: int = 720) -> Track:
    return Track(
        name,
        Codec.H264,
        timescale,
        AVC,
        "avc1.64001f",
        width=height * 16 // 9,
        height=height,
        frame_rate=Fraction(rate),
    )


def audio(name: str = "a0", *, codec: Codec = Codec.AAC, language: str = "", title: str = "") -> Track:
    return Track(
        name, codec, 48000, AAC_STEREO, "mp4a.40.2", sample_rate=48000, channels=2, language=language, title=title
    )


def pictures(track: Track, times: Iterable[int], *, group: int = 60, delay: int = 0, size: int = 40) -> list[Frame]:
    """Frames at `times` (decode time), each `group`th a keyframe, all presented `delay` later."""
    return [
        Frame(track.id, time, time + delay, index % group == 0, index.to_bytes(4, "big") * (size // 4))
        for index, time in enumerate(times)
    ]


def steady(track: Track, seconds: float, *, start: float = 0.0, rate: float = 30, group: int = 60) -> list[Frame]:
    """Frames at a constant rate."""
    first = round(start * track.timescale)
    count = round(seconds * rate)
    return pictures(track, [first + round(index * track.timescale / rate) for index in range(count)], group=group)


def tone(track: Track, seconds: float, *, start: float = 0.0) -> list[Frame]:
    """AAC frames."""
    return steady(track, seconds, start=start, rate=track.timescale / 1024, group=1)


def interleaved(tracks: Sequence[Track], *frames: Iterable[Frame]) -> list[Frame]:
    """Frames of several tracks in the order in which an encoder sends them."""
    scales = {track.id: track.timescale for track in tracks}
    return sorted((frame for some in frames for frame in some), key=lambda frame: frame.dts / scales[frame.track])


async def settle(rounds: int = 8) -> None:
    """Let all tasks run until they wait."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class Maker:
    """A deriver whose tracks were made beforehand: what is wanted comes `lag` seconds after the source.

    A run begins with the last keyframe that is at least `replay` seconds old, and catches up at once.
    """

    def __init__(self, made: dict[str, list[Frame]], *offers: Offer) -> None:
        self.offers = list(offers)
        self.lag = 0.2
        self.replay = 0.0
        self.refusal = ""
        self.asked: list[tuple[str, str]] = []
        self.configs: dict[str, bytes] = {}
        self.live: LiveStream | None = None
        self.held: set[str] = set()
        """Tracks whose frames do not come, although they run."""
        self._made = made
        self._wanted: set[str] = set()
        self._runs: dict[str, tuple[Derivation, int]] = {}

    def plan(self, live: LiveStream) -> Sequence[Offer]:
        self.live = live
        self._runs.clear()
        return self.offers

    def demand(self, live: LiveStream, track: str) -> None:
        if self.refusal:
            raise OfferRefusedError(self.refusal)
        self.asked.append(("demand", track))
        self._wanted.add(track)

    def rest(self, live: LiveStream, track: str) -> None:
        self.asked.append(("rest", track))
        self._wanted.discard(track)

    def want_keyframe(self, live: LiveStream, track: str) -> bool:
        self.asked.append(("keyframe", track))
        return track in self.running

    @property
    def demanded(self) -> list[str]:
        """What was asked for, in order."""
        return [track for what, track in self.asked if what == "demand"]

    @property
    def running(self) -> set[str]:
        return {track for track, (run, _) in self._runs.items() if not run.closed}

    def advance(self, now: float) -> None:
        """The source has come to `now`."""
        for track in sorted(self._wanted - self.running):
            self._start(track, now)
        for track, (run, position) in self._runs.items():
            frames = self._made[track]
            due = position
            while due < len(frames) and frames[due].dts / run.track.timescale <= now - self.lag:
                due += 1
            if track not in self.held:
                for frame in frames[position:due]:
                    run.write(frame)
                self._runs[track] = run, due

    def stop(self, track: str, reason: str) -> None:
        """End a run."""
        self._runs.pop(track)[0].close(reason)

    def _start(self, track: str, now: float) -> None:
        assert self.live is not None
        offer = next((offer for offer in self.offers if offer.track.id == track), None)
        frames = self._made[track]
        begins = [
            index
            for index, frame in enumerate(frames)
            if frame.keyframe and offer and frame.dts / offer.track.timescale <= now - self.replay
        ]
        if offer is not None and begins:
            config = self.configs.get(track) or (AVC if offer.track.codec is Codec.H264 else AAC_STEREO)
            self._runs[track] = self.live.derive(replace(offer.track, config=config)), begins[-1]


class Stage:
    """One broadcast and its viewer."""

    def __init__(self, hub: Hub, packager: Packager, clock: FakeClock, maker: Maker | None = None) -> None:
        self.maker = maker
        self.hub = hub
        self.packager = packager
        self.clock = clock
        self.publication: Publication | None = None
        self.tracks: tuple[Track, ...] = ()
        self.playlists: dict[str, MediaPlaylist] = {}
        """The last playlist seen of each track, for `check_update`."""
        self.session = ""

    async def publish(self, *tracks: Track) -> None:
        """Begin a publication, or announce other tracks of one."""
        if self.publication is None or self.publication.closed:
            self.publication = self.hub.publish("cam", Source("test", "192.0.2.1"), lambda reason: None)
        self.tracks = tracks
        self.publication.announce(tracks)
        await settle()
        live = self.hub.get("cam")
        assert live is not None
        self.session = live.session

    async def send(self, frames: Iterable[Frame], *, watch: bool = True) -> None:
        """Send frames at the pace of their times; look at the playlists about every tenth of a second."""
        assert self.publication is not None
        scales = {track.id: track.timescale for track in self.tracks}
        now = None
        looked = None
        for index, frame in enumerate(frames):
            if index % 64 == 0:
                await settle(2)
            time = frame.dts / scales[frame.track]
            if now is not None and time > now:
                self.clock.advance(time - now)
            now = time if now is None else max(now, time)
            self.publication.write(frame)
            if self.maker is not None:
                self.maker.advance(now)
            if watch and (looked is None or now - looked > 0.1):
                looked = now
                await settle(3)
                await self.look()
        await settle()

    async def look(self) -> None:
        """Read each media playlist that is there without waiting, and check it against the one before."""
        for track in self.packager._streams[self.session].renditions.values():
            if track.playable:
                await self.media(track.id)

    async def get(self, path: str, **query: str) -> Resource:
        return await self.packager.resource("cam", path, query)

    async def text(self, path: str, **query: str) -> str:
        resource = await self.get(path, **query)
        return b"".join(resource.body).decode()

    async def media(self, track: str, **query: str) -> MediaPlaylist:
        playlist = parse_media(await self.text(f"{self.session}/{track}/media.m3u8", **query))
        if not query:
            if track in self.playlists:
                check_update(self.playlists[track], playlist)
            self.playlists[track] = playlist
        return playlist

    async def multivariant(self, **query: str) -> Multivariant:
        return parse_multivariant(await self.text("master.m3u8", **query))

    async def manifest(self) -> Manifest:
        return parse_manifest(await self.text("manifest.mpd"))

    async def everything(self, manifest: Manifest) -> dict[str, bytes]:
        """What a DASH player may ask for by this manifest, by path: there is nothing of it that it does not get."""
        found: dict[str, bytes] = {}
        for period in manifest.periods:
            for listed in period.representations:
                for path in (listed.init_url, *(listed.url(index) for index in range(len(listed.times)))):
                    found[path] = await self.content(path)
        return found

    async def content(self, path: str) -> bytes:
        """The content of anything, from memory or from a file."""
        resource = await self.get(path)
        if resource.file is not None:
            data = resource.file.read_bytes()
            assert len(data) == resource.size
            return data
        return b"".join(resource.body)

    async def download(self, track: str) -> bytes:
        """All listed segments of a track, each epoch's behind its header."""
        data = []
        for segment in (await self.media(track)).segments:
            if segment.map:
                data.append(await self.content(f"{self.session}/{track}/{segment.map}"))
            if not segment.gap:
                data.append(await self.content(f"{self.session}/{track}/{segment.uri}"))
        return b"".join(data)


@asynccontextmanager
async def stage(
    data: Path,
    config: PackagerConfig | None = None,
    hub_config: HubConfig | None = None,
    maker: Maker | None = None,
) -> AsyncIterator[Stage]:
    """A started hub and packager."""
    clock = FakeClock()
    hub = Hub(hub_config, clock)
    hub.deriver = maker
    packager = Packager(hub, config or PackagerConfig(), data, clock)
    await packager.start()
    try:
        yield Stage(hub, packager, clock, maker)
    finally:
        await packager.stop()
        hub.close()
