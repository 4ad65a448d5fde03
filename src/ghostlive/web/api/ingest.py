"""`/api/v1/streams/{name}/ingest`: where to send, what the encoder sends, and what is wrong with it."""

import re
from datetime import UTC, datetime

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from ghostlive.access.decision import Action
from ghostlive.core.track import TrackKind
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream
from ghostlive.hub.meter import Measurement
from ghostlive.web.advice import Advice, Severity, advise
from ghostlive.web.api.problem import MANAGED, no_store, problems
from ghostlive.web.directory import TrackInfo, describe_track
from ghostlive.web.guard import Guard
from ghostlive.web.parts import IngestAddresses
from ghostlive.web.problems import ProblemError

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}))(:[0-9]{1,5})?", re.ASCII)


class Address(BaseModel):
    """What to type into the encoder, beside the stream key."""

    protocol: str = Field(examples=["rtmp", "rtmps"])
    url: str = Field(examples=["rtmp://live.example.org:1935/app"])


class PublisherInfo(BaseModel):
    """The encoder that publishes."""

    protocol: str
    agent: str = Field(description="What it calls itself; empty when it does not say")
    address: str
    since: datetime = Field(description="When it began")


class MeasuredTrack(TrackInfo):
    """One track as it really is, and as it arrives."""

    measured_frame_rate: float | None = Field(None, description="Frames per second over the last ten seconds")
    keyframe_interval: float | None = Field(None, description="Seconds between the last two keyframes")
    measured_bitrate: int = Field(description="Bits per second over the last seconds")


class AdviceInfo(BaseModel):
    """Something that would make the broadcast better."""

    code: str = Field(examples=["keyframes_rare"])
    severity: Severity
    values: dict[str, str | float] = Field(description="What was found, for the sentence that is shown")


class IngestInfo(BaseModel):
    """Where to send, and what arrives."""

    addresses: list[Address]
    publisher: PublisherInfo | None
    tracks: list[MeasuredTrack]
    advice: list[AdviceInfo]


def ingest_routes(hub: Hub, guard: Guard, addresses: IngestAddresses) -> APIRouter:
    """Routes for those who manage a stream."""
    router = APIRouter(prefix="/streams/{name}", tags=["studio"], dependencies=[Depends(no_store)])

    @router.get("/ingest", responses=MANAGED)
    async def show_ingest(name: str, request: Request) -> IngestInfo:
        """Where to send, what the encoder sends, and what is wrong with it."""
        await guard.require(request, Action.MANAGE, name)
        found = [
            Address(protocol=protocol, url=f"{protocol}://{host_of(request, addresses.public_host)}:{port}/app")
            for protocol, port in addresses.ports
        ]
        live = hub.get(name)
        if live is None or live.publication is None:
            return IngestInfo(addresses=found, publisher=None, tracks=[], advice=[])
        measurement = live.measure()
        offers = [offer.track for offer in live.offers if not offer.realtime]
        return IngestInfo(
            addresses=found,
            publisher=_publisher(live),
            tracks=_tracks(live, measurement),
            advice=[_advice(advice) for advice in advise(live.tracks, measurement, offers)],
        )

    @router.post("/end", status_code=204, responses=MANAGED | problems(409))
    async def end_broadcast(name: str, request: Request) -> None:
        """End the broadcast that runs. The encoder is told; whether it begins anew is its own business."""
        await guard.require(request, Action.MANAGE, name)
        live = hub.get(name)
        if live is None:
            raise ProblemError(409, "This stream is not live, so there is nothing to end.")
        live.end("the broadcast was ended in the studio")

    return router


def host_of(request: Request, public_host: str) -> str:
    """The name under which encoders reach this server, as far as we know."""
    asked = _HOST.fullmatch(request.headers.get("host", ""))
    if public_host != "localhost" or asked is None:
        return f"[{public_host}]" if ":" in public_host and not public_host.startswith("[") else public_host
    return asked[1]


def _publisher(live: LiveStream) -> PublisherInfo | None:
    publication = live.publication
    if publication is None:
        return None
    source = publication.source
    return PublisherInfo(
        protocol=source.protocol,
        agent=source.agent,
        address=source.address,
        since=datetime.fromtimestamp(publication.began_ns / 1e9, UTC),
    )


def _tracks(live: LiveStream, measurement: Measurement) -> list[MeasuredTrack]:
    found = []
    for track in live.tracks:
        seen = measurement.tracks.get(track.id)
        if seen is None:
            continue
        video = track.kind is TrackKind.VIDEO
        found.append(
            MeasuredTrack(
                **describe_track(track, seen.bitrate).model_dump(),
                measured_frame_rate=round(seen.frame_rate, 2) if video and seen.frame_rate is not None else None,
                keyframe_interval=round(seen.keyframe_interval, 3) if seen.keyframe_interval is not None else None,
                measured_bitrate=seen.bitrate,
            )
        )
    return found


def _advice(advice: Advice) -> AdviceInfo:
    return AdviceInfo(code=advice.code, severity=advice.severity, values=dict(advice.values))
