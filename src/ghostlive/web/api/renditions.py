"""`/api/v1/streams/{name}/renditions` and `/ladder`: what is made of a stream, and what shall be."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ghostlive.access.decision import Action
from ghostlive.db.errors import NotFoundError
from ghostlive.hub.hub import Hub
from ghostlive.transcode.config import MAX_RENDITIONS, RenditionSetting, RenditionSettingError
from ghostlive.transcode.ladder import default_settings
from ghostlive.transcode.plan import Mode
from ghostlive.transcode.report import MachineReport, RenditionReport, RenditionState
from ghostlive.web.api.problem import MANAGED, no_store, no_stream, problems
from ghostlive.web.audience import Audience
from ghostlive.web.guard import Guard
from ghostlive.web.parts import TranscodeParts
from ghostlive.web.problems import ProblemError

_SENTENCES = {field.name: field.metadata["doc"] for field in dataclasses.fields(RenditionSetting)}


class RenditionInfo(BaseModel):
    """One rendition of a live stream, as it stands."""

    id: str
    name: str = Field(examples=["720p30"])
    kind: Literal["video", "audio"]
    codec: str = Field(examples=["h264"])
    width: int = Field(description="0 for audio")
    height: int
    frame_rate: float | None = Field(description="As encoded now, which is less while the machine is too slow")
    bitrate: int = Field(description="Bits per second")
    mode: Mode | None = Field(description="None for the source's own tracks")
    state: RenditionState
    encoder: str = Field(description="FFmpeg's name, while it runs", examples=["libx264"])
    hardware: bool
    speed: float | None = Field(description="Seconds of media that could be encoded in a second")
    cpu: float | None = Field(description="Processor cores in use")
    frames_dropped: int
    reason: str = Field(description="Why it is refused or thinned")
    realtime: bool = Field(description="It is made for WebRTC alone, which cannot carry the source as it is")
    viewers: int = Field(description="How many players have asked for it lately")


class LeftOutInfo(BaseModel):
    """A rendition that was configured and is not offered."""

    name: str
    reason: str


class WarningInfo(BaseModel):
    """Something that whoever manages the stream should know; pages have the sentence."""

    code: str = Field(examples=["too_slow"])
    values: dict[str, str | float]


class MachineInfo(BaseModel):
    """What all encoding on this server may use, and does."""

    cores: float
    cores_used: float
    memory: int = Field(description="Bytes")
    memory_used: int
    workers: int


class RenditionList(BaseModel):
    """What is made of a stream."""

    live: bool
    renditions: list[RenditionInfo] = Field(description="The source's own first; empty while the stream is not live")
    left_out: list[LeftOutInfo]
    warnings: list[WarningInfo]
    machine: MachineInfo


class LadderRow(BaseModel):
    """One rendition that shall be offered. Its picture is never larger or faster than the source's."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    height: int = Field(description=_SENTENCES["height"], examples=[720])
    frame_rate: float = Field(0.0, description=_SENTENCES["frame_rate"])
    bitrate: int = Field(0, description=_SENTENCES["bitrate"])
    codec: Literal["h264", "av1", "vp8"] = Field("h264", description=_SENTENCES["codec"])
    mode: Literal["demand", "always", "never"] = Field("demand", description=_SENTENCES["mode"])
    name: str = Field("", description=_SENTENCES["name"])


class LadderChange(BaseModel):
    """The renditions that a stream shall have."""

    model_config = ConfigDict(extra="forbid")

    renditions: Annotated[
        list[LadderRow] | None,
        Field(max_length=MAX_RENDITIONS, description="None for the server's; an empty list for the source alone"),
    ]


class LadderInfo(BaseModel):
    """The renditions that a stream has of its own, and those that it would have otherwise."""

    renditions: list[LadderRow] | None = Field(description="None while the stream has the server's")
    default: list[LadderRow] = Field(description="What the server offers; of a live stream, what fits its source")


def rendition_routes(transcode: TranscodeParts, hub: Hub, audience: Audience, guard: Guard) -> APIRouter:
    """Routes for those who manage a stream."""
    router = APIRouter(prefix="/streams/{name}", tags=["studio"], dependencies=[Depends(no_store)])

    @router.get("/renditions", responses=MANAGED)
    async def list_renditions(name: str, request: Request) -> RenditionList:
        """What is made of the stream: which renditions run, on which encoder, how fast and for how many."""
        await guard.require(request, Action.MANAGE, name)
        live = hub.get(name)
        report = transcode.pool.report(name)
        viewers = audience.watching(name)
        return RenditionList(
            live=live is not None and live.announced,
            renditions=[_rendition(item, viewers) for item in report.renditions] if report else [],
            left_out=[LeftOutInfo(name=item.name, reason=item.reason) for item in report.left_out] if report else [],
            warnings=[WarningInfo(code=item.code, values=item.values) for item in report.warnings] if report else [],
            machine=_machine(transcode.pool.machine()),
        )

    @router.get("/ladder", responses=MANAGED)
    async def get_ladder(name: str, request: Request) -> LadderInfo:
        """The renditions that the stream shall have."""
        await guard.require(request, Action.MANAGE, name)
        return _ladder(name)

    @router.put("/ladder", responses=MANAGED | problems(422))
    async def set_ladder(name: str, change: LadderChange, request: Request) -> LadderInfo:
        """Give the stream its own renditions, or the server's again. It holds at once, also while it is live."""
        await guard.require(request, Action.MANAGE, name)
        settings = None if change.renditions is None else _settings(change.renditions)
        try:
            await transcode.ladders.change(name, settings)
        except NotFoundError as error:
            raise no_stream(name) from error
        return _ladder(name)

    def _ladder(name: str) -> LadderInfo:
        own = transcode.ladders.settings_of(name)
        live = hub.get(name)
        tracks = live.tracks if live is not None and live.announced else ()
        return LadderInfo(
            renditions=None if own is None else _rows(own),
            default=_rows(default_settings(transcode.config.rendition, tracks)),
        )

    return router


def _settings(rows: Sequence[LadderRow]) -> list[RenditionSetting]:
    found = []
    for number, row in enumerate(rows):
        try:
            found.append(RenditionSetting(**row.model_dump()))
        except RenditionSettingError as error:
            raise ProblemError(422, f"body.renditions.{number}.{error}.") from error
    return found


def _rows(settings: Sequence[RenditionSetting]) -> list[LadderRow]:
    return [LadderRow(**dataclasses.asdict(setting)) for setting in settings]


def _rendition(item: RenditionReport, viewers: dict[str, int]) -> RenditionInfo:
    values: dict[str, Any] = dataclasses.asdict(item)
    for name in ("speed", "cpu", "frame_rate"):
        if values[name] is not None:
            values[name] = round(values[name], 3)
    return RenditionInfo(**values, viewers=viewers.get(item.id, 0))


def _machine(machine: MachineReport) -> MachineInfo:
    return MachineInfo(**dataclasses.asdict(machine))
