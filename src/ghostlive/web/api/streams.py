"""`/api/v1/streams`: which streams there are, and what they are made of."""

from fastapi import APIRouter
from pydantic import BaseModel

from ghostlive.web.directory import StreamDirectory, StreamInfo
from ghostlive.web.problems import ProblemError


class StreamList(BaseModel):
    """All streams, live ones first."""

    streams: list[StreamInfo]


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


def stream_routes(directory: StreamDirectory) -> APIRouter:
    """Routes that read `directory`."""
    router = APIRouter(tags=["streams"])

    @router.get("/streams")
    async def list_streams() -> StreamList:
        """List the streams, live ones first."""
        return StreamList(streams=await directory.list())

    @router.get("/streams/{name}", responses={404: {"model": Problem}})
    async def get_stream(name: str) -> StreamInfo:
        """One stream: its state, its tracks as they really are, and where to play it."""
        info = await directory.get(name)
        if info is None:
            raise ProblemError(404, f"There is no stream named {name!r} here.")
        return info

    return router
