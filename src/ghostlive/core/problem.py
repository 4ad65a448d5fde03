"""Problem details (RFC 9457), for whoever answers HTTP requests."""

import json
from http import HTTPStatus
from typing import Final

CONTENT_TYPE: Final = b"application/problem+json"


def problem_body(status: int, detail: str) -> bytes:
    """The JSON document of §3; `type` is `about:blank`, so `title` is the status phrase (§4.2.1)."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
