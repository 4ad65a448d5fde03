"""The way from a WebSocket's path to OvenMediaEngine's signalling, which knows nothing of HTTP."""

from typing import Final

from ghostlive.protocols.ome.gateway import PATH, Gateway
from ghostlive.web.websocket import Endpoint, OpenEndpoint, Route

_MAX_MESSAGE: Final = 64 * 1024
"""Bytes of an answer: browsers write descriptions of many kilobytes."""


def ome_route(gateway: Gateway) -> Route:
    """Endpoints of all streams, for the pages of any site."""
    endpoint = OpenEndpoint(gateway.open, max_message=_MAX_MESSAGE)

    def route(path: str) -> Endpoint | None:
        return endpoint if PATH.fullmatch(path) else None

    return route
