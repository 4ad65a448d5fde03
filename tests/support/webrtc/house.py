"""Signalling and server of WebRTC on this machine's loopback, with viewers that a test looks into."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from ghostlive.access.decision import AccessRequest, Action, Decision, Verdict
from ghostlive.core.clock import Clock, SystemClock
from ghostlive.core.track import Codec, Track
from ghostlive.core.websocket import Opening
from ghostlive.hub.config import HubConfig
from ghostlive.hub.hub import Hub
from ghostlive.protocols.ome.gateway import Gateway
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.protocols.webrtc.egress.model import NotLiveError, OnEvent, RenditionInfo
from ghostlive.protocols.webrtc.link import PeerLink
from ghostlive.protocols.webrtc.negotiation import Negotiation
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.players import Players
from ghostlive.protocols.webrtc.publishers import Publishers
from ghostlive.protocols.webrtc.server import WebRtcServer
from ghostlive.protocols.whep.routes import WhepApp
from ghostlive.protocols.whip.routes import WhipApp

VIDEO = Track("v0", Codec.H264, 90_000, b"", "avc1.42e01f", width=1280, height=720)
AUDIO = Track("a0", Codec.OPUS, 48_000, b"", "opus", sample_rate=48_000, channels=2)
RENDITIONS = (
    RenditionInfo("720p30", VIDEO, AUDIO, 2_500_000),
    RenditionInfo("audio", None, AUDIO, 128_000),
)


class FakeViewer:
    """A `PeerHandler` that keeps what it hears."""

    def __init__(self, stream: str, negotiation: Negotiation, on_event: OnEvent) -> None:
        self.stream = stream
        self.negotiation = negotiation
        self.on_event = on_event
        self.link: PeerLink | None = None
        self.received: list[bytes] = []
        self.reports: list[bytes] = []
        self.paths: list[Path] = []
        self.reasons: list[str] = []
        self.renditions: Sequence[RenditionInfo] = RENDITIONS
        self.current = "720p30"
        self.auto = True
        self.broken = False

    def choose(self, name: str) -> bool:
        if name not in [rendition.name for rendition in self.renditions]:
            return False
        self.current, self.auto = name, False
        return True

    def choose_auto(self) -> None:
        self.auto = True

    def secured(self, link: PeerLink) -> None:
        self.link = link

    def rtp(self, data: bytes, now: float) -> None:
        if self.broken:
            raise RuntimeError("the test breaks it")
        self.received.append(data)

    def rtcp(self, data: bytes, now: float) -> None:
        self.reports.append(data)

    def moved(self, path: Path) -> None:
        self.paths.append(path)

    def closed(self, reason: str) -> None:
        self.reasons.append(reason)


@dataclass
class FakeViewers:
    """What `Egress` would do."""

    live: set[str] = field(default_factory=lambda: {"demo"})
    opened: list[FakeViewer] = field(default_factory=list)
    codecs: Sequence[Codec] = (Codec.H264, Codec.OPUS)

    def codecs_for(self, stream: str) -> Sequence[Codec]:
        if stream not in self.live:
            raise NotLiveError(f"{stream} is not live")
        return self.codecs

    def open(self, stream: str, negotiation: Negotiation, *, on_event: OnEvent) -> Any:
        self.codecs_for(stream)
        viewer = FakeViewer(stream, negotiation, on_event)
        self.opened.append(viewer)
        return viewer


class House:
    """Everything but the sockets of HTTP."""

    def __init__(self, config: WebRtcConfig, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[AccessRequest] = []
        self.keys = {"sesame": "demo"}
        self.streams = {"demo", "quiet"}
        self.hub_config = HubConfig(second_publisher="refuse")
        self.hub = Hub(self.hub_config, clock)
        self.watched: list[tuple[str, str, str, str]] = []
        self.server = WebRtcServer(config, clock=clock)
        self.viewers = FakeViewers()
        self.players = Players(
            server=self.server,
            viewers=self.viewers,
            clock=clock,
            watched=lambda stream, address, agent, track: self.watched.append((stream, address, agent, track)),
        )
        publishers = Publishers(server=self.server, hub=self.hub, clock=clock, config=config)
        self.whep = WhepApp(server=self.server, players=self.players, authorize=self.authorize)
        self.whip = WhipApp(server=self.server, publishers=publishers, authorize=self.authorize)
        self.gateway = Gateway(
            server=self.server, players=self.players, publishers=publishers, authorize=self.authorize, clock=clock
        )

    async def authorize(self, request: AccessRequest) -> Decision:
        self.asked.append(request)
        if request.action is Action.PLAY:
            if request.stream in self.streams:
                return Decision(Verdict.ALLOWED, request.stream)
            return Decision(Verdict.STREAM_UNKNOWN, reason="There is no stream of that name.")
        if not request.key:
            return Decision(Verdict.KEY_MISSING, reason="No stream key was given.")
        stream = self.keys.get(request.key)
        if stream is None:
            return Decision(Verdict.KEY_UNKNOWN, reason="This stream key is not known here.")
        if request.stream not in (None, stream):
            return Decision(Verdict.KEY_OF_OTHER_STREAM, reason="This stream key belongs to another stream.")
        return Decision(Verdict.ALLOWED, stream)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        app = next(one for one in (self.whip, self.whep) if one.handles(scope["path"], scope["query_string"]))
        await app(scope, receive, send)

    def client(self, address: str = "127.0.0.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self._app, client=(address, 5000))
        return httpx.AsyncClient(transport=transport, base_url="http://localhost:8080")

    @property
    def viewer(self) -> FakeViewer:
        """The last one."""
        return self.viewers.opened[-1]


@asynccontextmanager
async def open_house(config: WebRtcConfig | None = None, *, clock: Clock | None = None) -> AsyncIterator[House]:
    """A house that is up."""
    house = House(config or WebRtcConfig(port=0, host="127.0.0.1"), clock or SystemClock())
    await house.server.start()
    try:
        yield house
    finally:
        house.players.close()
        await house.gateway.stop()
        await house.server.stop()


class FakeConnection:
    """A WebSocket without a socket."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closings: list[tuple[int, str]] = []
        self.waiting = 0
        self.closed_with: int | None = None

    def write(self, frames: bytes) -> None:
        self.frames.append(frames)

    def close(self, code: int, reason: str) -> None:
        self.closings.append((code, reason))


def opening(path: str, query: str = "", address: str = "127.0.0.1") -> Opening:
    return Opening(path=path, query=query, address=address, agent="player", host="localhost:8080")
