"""`/api/v1/streams/{name}/viewers`: how many people watch."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ghostlive.web.api.problem import no_stream, problems
from ghostlive.web.audience import Audience
from ghostlive.web.directory import StreamDirectory


class Viewers(BaseModel):
    """The audience of a stream."""

    viewers: int = Field(description="How many people have the page open or play the stream")


def viewer_routes(directory: StreamDirectory, audience: Audience) -> APIRouter:
    """Routes that ask `audience`."""
    router = APIRouter(tags=["streams"])

    @router.get("/streams/{name}/viewers", responses=problems(404))
    async def count_viewers(name: str) -> Viewers:
        """How many people watch a stream."""
        if await directory.record(name) is None:
            raise no_stream(name)
        return Viewers(viewers=audience.count(name))

    return router
