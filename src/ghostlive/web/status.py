"""What `/healthz` answers. Free of FastAPI, since supervisors ask before it is there."""

import json
from collections.abc import Callable, Mapping

from starlette.types import Send

Health = Callable[[], Mapping[str, bool]]
"""Says of each listener whether it is up."""


def health_answer(health: Health) -> tuple[int, bytes]:
    """Status and JSON document: 200 when every listener is up, else 503; the document names each."""
    listeners = dict(health())
    up = all(listeners.values())
    return 200 if up else 503, json.dumps({"status": "ok" if up else "degraded", "listeners": listeners}).encode()


async def send_health(health: Health, send: Send) -> None:
    """The same as a raw ASGI answer."""
    status, body = health_answer(health)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
