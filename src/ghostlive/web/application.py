"""Puts the web room together: raw ASGI for media, FastAPI for the rest.

FastAPI and what it brings are a fifth of the program's start. Nothing needs them to take a broadcast or to be healthy,
so they are imported beside the running server; who asks for a page in that moment waits for it.
"""

import asyncio
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ghostlive.hub.hub import Hub
from ghostlive.web.config import HttpConfig
from ghostlive.web.directory import StreamDirectory
from ghostlive.web.media import MediaApp
from ghostlive.web.status import Health, send_health

STATIC = Path(__file__).parent / "static"
"""Where the front end's build puts its files."""


class WebApplication:
    """The whole ASGI application. `/app/…` goes to the media endpoints, everything else to FastAPI."""

    def __init__(
        self,
        *,
        config: HttpConfig,
        hub: Hub,
        directory: StreamDirectory,
        media: MediaApp,
        health: Health,
        static: Path = STATIC,
    ) -> None:
        """All parts come ready made; nothing is started here. `static` holds the built pages."""
        self._media = media
        self._health = health
        self._parts = {"config": config, "hub": hub, "directory": directory, "health": health, "static": static}
        self._rest: ASGIApp | None = None
        self._preparing = asyncio.Lock()

    async def prepare(self) -> ASGIApp:
        """Have everything but media and health ready; called once after the start, and by who comes earlier."""
        async with self._preparing:
            if self._rest is None:
                self._rest = await asyncio.to_thread(_build, self._parts)
            return self._rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/app/"):
            await self._media(scope, receive, send)
        elif self._rest is None and scope["type"] == "http" and scope["path"] == "/healthz":
            await send_health(self._health, send)
        else:
            rest = self._rest or await self.prepare()
            await rest(scope, receive, send)


def _build(parts: dict[str, Any]) -> ASGIApp:
    from ghostlive.web.rest import build_rest  # noqa: PLC0415

    return build_rest(**parts)
