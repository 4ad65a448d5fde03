"""Errors as problem details (RFC 9457), for the API and the media endpoints alike."""

import json
from http import HTTPStatus

CONTENT_TYPE = b"application/problem+json"


class ProblemError(Exception):
    """An answer other than the one asked for: a status, and a sentence that says what to do."""

    def __init__(self, status: int, detail: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """`detail` is shown to the client; `headers` are added to the answer."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problem_body(status: int, detail: str) -> bytes:
    """The JSON document of RFC 9457 §3; `type` is `about:blank`, so `title` is the status phrase (§4.2.1)."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
