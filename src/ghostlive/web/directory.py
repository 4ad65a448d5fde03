"""What pages and the API know of a stream: its record and its live state in one view."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel, Field

from ghostlive.core.stream import StreamState
from ghostlive.core.track import Track, TrackKind
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream
from ghostlive.web.audience import Audience

_ORDER = {StreamState.LIVE: 0, StreamState.INTERRUPTED: 1, StreamState.OFFLINE: 2}


class StreamRecord(Protocol):
    """The part of a stored stream that pages are made from."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def ladder(self) -> str | None: ...


class StreamRecords(Protocol):
    """Where stream records come from (`db.streams`)."""

    async def list(self) -> Sequence[StreamRecord]:
        """All streams, by name."""

    async def get(self, name: str) -> StreamRecord | None:
        """The stream of that name."""


class TrackInfo(BaseModel):
    """One track as it really is, read from the bit stream."""

    id: str
    kind: TrackKind
    codec: str = Field(description="RFC 6381 codecs parameter", examples=["avc1.64001f", "mp4a.40.2"])
    bitrate: int = Field(description="Measured bits per second over the last seconds")
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    b_frames: bool | None = None
    sample_rate: int | None = None
    channels: int | None = None


class SourceInfo(BaseModel):
    """One way to play the stream, in the order to try them."""

    type: str = Field(examples=["webrtc", "llhls", "dash"])
    url: str = Field(description="Path on this server", examples=["/app/demo/master.m3u8"])


class StreamInfo(BaseModel):
    """A stream as viewers see it."""

    name: str
    title: str
    description: str
    state: StreamState
    since: datetime | None = Field(description="When the live session began")
    viewers: int = Field(description="How many people have the page open or play the stream")
    chat: bool = Field(description="Whether there is a chat, at `/api/v1/streams/{name}/chat` (WebSocket)")
    tracks: list[TrackInfo]
    sources: list[SourceInfo]
    renditions: list[str] = Field(
        [],
        description="Names of what viewers can have besides the source; most are encoded only when watched",
        examples=[["720p30", "480p30"]],
    )
    thumbnail: str | None = Field(
        None,
        description="Path of a small picture of what is shown now, while the stream is live and has video; the same as "
        "JPEG is `thumb.jpg`",
        examples=["/app/demo/thumb.webp"],
    )


class StreamDirectory:
    """Joins stored records with the hub's live streams and their audience."""

    def __init__(
        self,
        records: StreamRecords,
        hub: Hub,
        audience: Audience,
        *,
        chat: bool = True,
        thumbnails: bool = False,
        webrtc: Callable[[LiveStream], bool] | None = None,
    ) -> None:
        """`records` is the repository of streams; `chat` and `thumbnails` say whether they have such, and `webrtc` of
        which all can be had by WebRTC.
        """
        self._records = records
        self._hub = hub
        self._audience = audience
        self._chat = chat
        self._thumbnails = thumbnails
        self._webrtc = webrtc

    async def records(self) -> Sequence[StreamRecord]:
        """Every stream that viewers may know of, as stored."""
        return await self._records.list()

    async def record(self, name: str) -> StreamRecord | None:
        """One stream as stored."""
        return await self._records.get(name)

    async def list(self) -> Sequence[StreamInfo]:
        """Every stream that viewers may know of, in the order of `describe_all`."""
        return self.describe_all(await self._records.list())

    async def get(self, name: str) -> StreamInfo | None:
        """One stream, or None when there is no such record."""
        record = await self._records.get(name)
        return None if record is None else self.describe(record)

    def describe_all(self, records: Iterable[StreamRecord]) -> Sequence[StreamInfo]:
        """The view of these streams as they are now: live ones first, then interrupted ones, then the rest."""
        return sorted(map(self.describe, records), key=lambda info: (_ORDER[info.state], info.name))

    def describe(self, record: StreamRecord) -> StreamInfo:
        """The view of one stream as it is now. A publisher whose tracks are not known yet is not live for viewers."""
        live = self._hub.get(record.name)
        if live is not None and not live.announced:
            live = None
        base = f"/app/{record.name}"
        pictures = self._thumbnails and live and any(track.kind is TrackKind.VIDEO for track in live.tracks)
        return StreamInfo(
            name=record.name,
            title=record.title or record.name,
            description=record.description,
            state=live.state if live else StreamState.OFFLINE,
            since=live.timeline.wall(0, 1) if live else None,
            viewers=self._audience.count(record.name),
            chat=self._chat,
            tracks=[describe_track(track, live.bitrate(track.id)) for track in live.tracks] if live else [],
            sources=[
                # A path of the server, as the others: pages make a WebSocket's address of it.
                *([SourceInfo(type="webrtc", url=base)] if self._webrtc is not None and self._webrtc(live) else []),
                SourceInfo(type="llhls", url=f"{base}/master.m3u8"),
                SourceInfo(type="dash", url=f"{base}/manifest.mpd"),
            ]
            if live
            else [],
            renditions=[offer.track.title for offer in live.offers if not offer.realtime] if live else [],
            thumbnail=f"{base}/thumb.webp" if pictures else None,
        )


def describe_track(track: Track, bitrate: int) -> TrackInfo:
    """The view of one track, whose measured bit rate is `bitrate`."""
    info = TrackInfo(id=track.id, kind=track.kind, codec=track.codec_string, bitrate=bitrate)
    if track.kind is TrackKind.VIDEO:
        info.width, info.height, info.b_frames = track.width, track.height, track.has_b_frames
        info.frame_rate = round(float(track.frame_rate), 3) if track.frame_rate else None
    else:
        info.sample_rate, info.channels = track.sample_rate, track.channels
    return info
