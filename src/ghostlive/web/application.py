"""Puts the web room together: raw ASGI for media, FastAPI for the rest.

FastAPI and what it brings are a fifth of the program's start. Nothing needs them to take a broadcast or to be healthy,
so they are imported beside the running server; who asks for a page in that moment waits for it.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from ghostlive.web.media import MediaApp
from ghostlive.web.parts import RestParts
from ghostlive.web.sitecheck import SameSite
from ghostlive.web.status import send_health


class Endpoint(Protocol):
    """Raw ASGI for some paths: how WebRTC is signalled below `/app/` (WHIP, WHEP), Matrix, metrics."""

    def handles(self, path: str, query: bytes) -> bool:
        """Whether a request is for this one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it."""


class WebApplication:
    """The whole ASGI application. `/app/…` goes to signalling and media endpoints, everything else to FastAPI."""

    def __init__(
        self,
        *,
        media: MediaApp,
        parts: RestParts,
        signalling: Sequence[Endpoint] = (),
        beside: Sequence[Endpoint] = (),
    ) -> None:
        """All parts come ready made; nothing is started here.

        `signalling` is asked for paths below `/app/`, `beside` for others that FastAPI has nothing to do with.
        """
        self._media = media
        self._signalling = signalling
        self._beside = beside
        self._parts = parts
        self._rest: ASGIApp | None = None
        self._preparing = asyncio.Lock()

    async def prepare(self) -> ASGIApp:
        """Have everything but media and health ready; called once after the start, and by who comes earlier."""
        async with self._preparing:
            if self._rest is None:
                self._rest = SameSite(await asyncio.to_thread(_build, self._parts))
            return self._rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/app/"):
            path, query = scope["path"], scope["query_string"]
            found = next((one for one in self._signalling if one.handles(path, query)), self._media)
            await found(scope, receive, send)
        elif self._rest is None and scope["type"] == "http" and scope["path"] == "/healthz":
            await send_health(self._parts.health, send)
        elif (endpoint := self._endpoint_beside(scope)) is not None:
            await endpoint(scope, receive, send)
        else:
            rest = self._rest or await self.prepare()
            await rest(scope, receive, send)

    def _endpoint_beside(self, scope: Scope) -> Endpoint | None:
        if scope["type"] != "http":
            return None
        path, query = scope["path"], scope["query_string"]
        return next((one for one in self._beside if one.handles(path, query)), None)


def _build(parts: RestParts) -> ASGIApp:
    from ghostlive.web.rest import build_rest  # noqa: PLC0415

    return build_rest(parts)
