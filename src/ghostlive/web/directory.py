"""What pages and the API know of a stream: its record and its live state in one view."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel, Field

from ghostlive.core.stream import StreamState
from ghostlive.core.track import Track, TrackKind
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream

_ORDER = {StreamState.LIVE: 0, StreamState.INTERRUPTED: 1, StreamState.OFFLINE: 2}


class StreamRecord(Protocol):
    """The part of a stored stream that viewers may see."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def description(self) -> str: ...


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

    type: str = Field(examples=["llhls", "dash"])
    url: str = Field(description="Path on this server", examples=["/app/demo/master.m3u8"])


class StreamInfo(BaseModel):
    """A stream as viewers see it."""

    name: str
    title: str
    description: str
    state: StreamState
    since: datetime | None = Field(description="When the live session began")
    tracks: list[TrackInfo]
    sources: list[SourceInfo]


class StreamDirectory:
    """Joins stored records with the hub's live streams."""

    def __init__(self, records: StreamRecords, hub: Hub) -> None:
        """`records` is the repository of streams."""
        self._records = records
        self._hub = hub

    async def list(self) -> list[StreamInfo]:
        """Every stream that viewers may know of: live ones first, then interrupted ones, then the rest."""
        infos = [describe(record, self._hub.get(record.name)) for record in await self._records.list()]
        return sorted(infos, key=lambda info: (_ORDER[info.state], info.name))

    async def get(self, name: str) -> StreamInfo | None:
        """One stream, or None when there is no such record."""
        record = await self._records.get(name)
        return None if record is None else describe(record, self._hub.get(name))


def describe(record: StreamRecord, live: LiveStream | None) -> StreamInfo:
    """The view of one stream. A publisher whose tracks are not known yet is not live for viewers."""
    if live is not None and not live.announced:
        live = None
    base = f"/app/{record.name}"
    return StreamInfo(
        name=record.name,
        title=record.title or record.name,
        description=record.description,
        state=live.state if live else StreamState.OFFLINE,
        since=live.timeline.wall(0, 1) if live else None,
        tracks=[_track(track, live.bitrate(track.id)) for track in live.tracks] if live else [],
        sources=[
            SourceInfo(type="llhls", url=f"{base}/master.m3u8"),
            SourceInfo(type="dash", url=f"{base}/manifest.mpd"),
        ]
        if live
        else [],
    )


def _track(track: Track, bitrate: int) -> TrackInfo:
    info = TrackInfo(id=track.id, kind=track.kind, codec=track.codec_string, bitrate=bitrate)
    if track.kind is TrackKind.VIDEO:
        info.width, info.height, info.b_frames = track.width, track.height, track.has_b_frames
        info.frame_rate = round(float(track.frame_rate), 3) if track.frame_rate else None
    else:
        info.sample_rate, info.channels = track.sample_rate, track.channels
    return info
