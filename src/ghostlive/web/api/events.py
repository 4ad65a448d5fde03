"""`/api/v1/events`: server-sent events (HTML Living Standard §9.2) that tell pages what changes.

First comes `streams` with a snapshot, then `stream` with one changed stream, or `removed` with its name.
"""

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from ghostlive.hub.hub import Hub
from ghostlive.web.directory import StreamDirectory
from ghostlive.web.problems import ProblemError

_HEARTBEAT = 15.0


def event_routes(directory: StreamDirectory, hub: Hub, *, max_listeners: int) -> APIRouter:
    """Routes that follow `hub`; at most `max_listeners` pages at once."""
    router = APIRouter(tags=["events"])
    listeners = 0

    @router.get("/events", response_class=StreamingResponse)
    async def events(stream: str | None = None) -> StreamingResponse:
        """Follow all streams, or one. `text/event-stream` of `streams`, `stream` and `removed` events."""
        if listeners >= max_listeners:
            raise ProblemError(
                503, "Too many pages are listening; try again in a minute.", headers=((b"retry-after", b"60"),)
            )
        return StreamingResponse(
            follow(stream),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def follow(only: str | None) -> AsyncIterator[str]:
        nonlocal listeners
        listeners += 1
        # Listening begins before the snapshot is read, so that no change falls between the two.
        mailbox = hub.listen()
        try:
            infos = [info for info in await directory.list() if only in (None, info.name)]
            yield _event("streams", {"streams": [info.model_dump(mode="json") for info in infos]})
            while not mailbox.closed:
                try:
                    batch = await asyncio.wait_for(mailbox.batch(), _HEARTBEAT)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                for name in dict.fromkeys(event.stream for event in batch):
                    if only not in (None, name):
                        continue
                    info = await directory.get(name)
                    if info is None:
                        yield _event("removed", {"name": name})
                    else:
                        yield _event("stream", info.model_dump(mode="json"))
        finally:
            listeners -= 1
            hub.unlisten(mailbox)

    return router


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
