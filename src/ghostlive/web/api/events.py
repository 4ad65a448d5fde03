"""`/api/v1/events`: server-sent events that tell pages what changes (`web.livefeed` makes them)."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from ghostlive.access.browser import viewer_key
from ghostlive.web.api.problem import problems
from ghostlive.web.audience import Audience
from ghostlive.web.guard import client_address
from ghostlive.web.livefeed import LiveFeed, follow_counted


def event_routes(feed: LiveFeed, audience: Audience) -> APIRouter:
    """Routes that listen to `feed`. Who follows one stream is counted in `audience`."""
    router = APIRouter(tags=["events"])

    @router.get("/events", response_class=StreamingResponse, responses=problems(503))
    async def events(request: Request, stream: str | None = None) -> StreamingResponse:
        """Follow all streams, or one. `text/event-stream` of `streams`, `stream` and `removed` events.

        A WebSocket at the same address gets the same events as text messages.
        """
        feed.check_room()
        viewer = viewer_key(client_address(request), request.headers.get("user-agent", "").encode("latin-1", "replace"))
        return StreamingResponse(
            follow(stream, viewer),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def follow(stream: str | None, viewer: str) -> AsyncIterator[str]:
        async with follow_counted(feed, audience, stream, viewer) as texts:
            async for text in texts:
                yield text

    return router
