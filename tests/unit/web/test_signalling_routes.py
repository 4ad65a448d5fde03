"""Which requests below `/app/` are signalling of WebRTC, and which are media."""

from typing import Any, cast

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from ghostlive.protocols.webrtc.off import NoWebRtc
from ghostlive.protocols.whep.routes import WhepApp
from ghostlive.protocols.whip.routes import WhipApp
from ghostlive.web.application import WebApplication

NOBODY = cast("Any", None)


@pytest.mark.parametrize(
    ("target", "handler"),
    [
        ("/app/demo/whep", "whep"),
        ("/app/demo/whep/AbC-_9", "whep"),
        ("/app/demo/whip", "whip"),
        ("/app/demo/whip/AbC-_9", "whip"),
        ("/app/demo?direction=whip", "whip"),
        ("/app/demo/?direction=WHIP", "whip"),
        ("/app/demo/AbC?x=1&direction=whip", "whip"),
        ("/app/demo/whip?key=x", "whip"),
        ("/app/demo", ""),
        ("/app/demo?direction=send", ""),
        ("/app/demo?xdirection=whip", ""),
        ("/app/demo/master.m3u8", ""),
        ("/app/demo/master.m3u8?direction=whip", ""),
        ("/app/demo/session/whep/x", ""),
        ("/app/demo/whep/a/b", ""),
        ("/app//whep", ""),
        ("/app/demo/whep.m3u8", ""),
    ],
)
def test_paths(target: str, handler: str) -> None:
    path, _, query = target.partition("?")
    whip = WhipApp(server=NOBODY, publishers=NOBODY, authorize=NOBODY)
    whep = WhepApp(server=NOBODY, players=NOBODY, authorize=NOBODY)
    found = [name for name, app in (("whip", whip), ("whep", whep)) if app.handles(path, query.encode())]
    assert found == ([handler] if handler else [])


async def _media(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/app/demo/whep", 404),
        ("OPTIONS", "/app/demo/whip", 404),
        ("POST", "/app/demo?direction=whip", 404),
        ("GET", "/app/demo/master.m3u8", 299),
    ],
)
async def test_switched_off(method: str, path: str, status: int) -> None:
    app = WebApplication(media=cast("Any", _media), parts=NOBODY, signalling=[NoWebRtc()])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    if status == 404:
        assert "webrtc.enabled" in answer.json()["detail"]
        assert answer.headers["access-control-allow-origin"] == "*"
