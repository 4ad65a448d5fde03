"""What stands where WebRTC would be, when it is switched off."""

import re
from typing import Final

from starlette.types import Receive, Scope, Send

from ghostlive.protocols.webrtc.resource import cors, problem, respond

_PATH: Final = re.compile(r"/app/[^/]+/(?:whip|whep)(?:/.*)?")


class NoWebRtc:
    """Answers requests for WHIP and WHEP."""

    def handles(self, path: str, query: bytes) -> bool:
        """Whether a request is for either."""
        return _PATH.fullmatch(path) is not None or b"direction=whip" in query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say that there is none."""
        status, headers, body = problem(404, "WebRTC is switched off on this server (webrtc.enabled).", [])
        await respond(scope, send, status, [*cors({}), *headers], body)
