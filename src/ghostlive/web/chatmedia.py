"""`GET /api/v1/chat/media/{id}`: pictures of the chat that are with the homeserver, as raw ASGI.

Whatever a file is, a browser treats it as a picture and as nothing else: its type is what we found in it, nothing may
guess another one, and opened by itself it may load and run nothing.
"""

from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from ghostlive.chat.matrix.mediastore import MediaError, MediaStore, Stored
from ghostlive.web.problems import CONTENT_TYPE, problem_body

PATH: Final = "/api/v1/chat/media/"
_PIECE: Final = 256 * 1024
SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-disposition", b"inline"),
)
"""Headers of every picture."""
_FOR_A_DAY: Final = b"private, max-age=86400, immutable"
"""The same id is the same file. Not for longer, so that what was taken away is gone some day."""


class ChatMedia:
    """An `Endpoint` of the web application."""

    def __init__(self, store: MediaStore) -> None:
        """`store` has the files."""
        self._store = store

    def handles(self, path: str, query: bytes) -> bool:
        """See `Endpoint.handles`."""
        return path.startswith(PATH)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `Endpoint`."""
        method = scope["method"]
        if method not in ("GET", "HEAD"):
            await _problem(send, 405, "Files are read with GET.", ((b"allow", b"GET, HEAD"),))
            return
        media_id, width = scope["path"].removeprefix(PATH), _width(scope["query_string"])
        try:
            record = await self._store.find(media_id)
            stored = await self._store.load(record, width)
            tag = f'"{stored.name}"'.encode()
            asked = dict(scope["headers"]).get(b"if-none-match", b"")
            fresh = asked == b"*" or tag in [one.strip().removeprefix(b"W/") for one in asked.split(b",")]
            data = b""
            if not fresh and method == "GET":
                stored, data = await self._store.read(record, width)
        except MediaError as error:
            await _problem(send, error.status, str(error), later(error))
            return
        headers = [*SAFE, (b"cache-control", _FOR_A_DAY), (b"etag", tag)]
        if fresh:
            await _start(send, 304, headers)
            await send({"type": "http.response.body", "body": b""})
            return
        await _start(send, 200, [*headers, *_described(stored)])
        for at in range(0, len(data), _PIECE):
            more = at + _PIECE < len(data)
            await send({"type": "http.response.body", "body": data[at : at + _PIECE], "more_body": more})
        if not data:
            await send({"type": "http.response.body", "body": b""})


def later(error: MediaError) -> tuple[tuple[bytes, bytes], ...]:
    """The header that says when to come back for what cannot be had now."""
    return ((b"retry-after", b"30"),) if error.status == 503 else ()


def _described(stored: Stored) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", stored.content_type.encode()), (b"content-length", str(stored.size).encode())]


def _width(query: bytes) -> int | None:
    for name, value in parse_qsl(query.decode("latin-1"))[:8]:
        if name == "w" and value.isascii() and value.isdigit() and len(value) <= 5:
            return int(value)
    return None


async def _start(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _problem(send: Send, status: int, detail: str, more: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    body = problem_body(status, detail)
    length = str(len(body)).encode()
    await _start(send, status, [(b"content-type", CONTENT_TYPE), (b"content-length", length), *more])
    await send({"type": "http.response.body", "body": body})
