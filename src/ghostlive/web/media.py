"""The media endpoints under `/app/{stream}/`, as raw ASGI: LL-HLS, HLS and DASH from the packager's resources, and
the picture of a stream.

Conditional requests (RFC 9110 §13), single ranges (§14), HEAD, gzip for playlists, CORS for players on other sites.
What a client does not read stays in the packager's shared bytes, not in a copy of its own: uvicorn holds at most one
piece for each connection.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from ghostlive.access.authorizer import BANNED
from ghostlive.access.browser import cookie_in, viewer_key
from ghostlive.access.decision import AccessRequest, Action, Decision, Verdict
from ghostlive.packager.errors import PackagerError
from ghostlive.packager.resource import Resource
from ghostlive.packager.service import Packager
from ghostlive.transcode.thumbnails import Form, Thumbnails, ThumbnailUnavailableError
from ghostlive.web.problems import CONTENT_TYPE, ProblemError, problem_body

Headers = list[tuple[bytes, bytes]]

Seen = Callable[[str, str, str], None]
"""Told that of a stream a viewer (by `viewer_key`) reads a track; for each at most once in `SEEN_EVERY`."""
Banned = Callable[[str, str, str | None], bool]
"""Whether somebody was banned from watching: the stream, their address, and the cookie of `access.browser`."""
SEEN_EVERY: Final = 5.0

_CORS: Final[Headers] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"content-length, content-range, date, etag"),
]
_PREFLIGHT: Final[Headers] = [
    *_CORS,
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"range, if-none-match"),
    (b"access-control-max-age", b"86400"),
]
_ENTRIES: Final = {
    "master.m3u8": "llhls",
    "llhls.m3u8": "llhls",
    "audio.m3u8": "llhls",
    "manifest.mpd": "dash",
    "thumb.jpg": "thumbnail",
    "thumb.webp": "thumbnail",
}
"""Where viewers come in, and by which protocol. Other paths hold the session's random name, learned here."""
_THUMBNAILS: Final = {"thumb.jpg": (Form.JPEG, "image/jpeg"), "thumb.webp": (Form.WEBP, "image/webp")}
_FILE_PIECE: Final = 256 * 1024
_REFUSAL_STATUS: Final = {Verdict.STREAM_UNKNOWN: 404}


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    stream: str
    rest: str
    query: dict[str, str]
    headers: dict[bytes, bytes]
    address: str

    @property
    def browser(self) -> str | None:
        """The cookie of `access.browser`."""
        cookies = self.headers.get(b"cookie")
        return None if cookies is None else cookie_in(cookies.decode("latin-1"))


class MediaApp:
    """Answers for everything below `/app/`."""

    def __init__(
        self,
        *,
        packager: Packager,
        decide: Callable[[AccessRequest], Awaitable[Decision]],
        thumbnails: Thumbnails | None = None,
        seen: Seen | None = None,
        banned: Banned | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`decide` is the Authorizer's; `seen` is told who watches, `banned` says who may not (the Authorizer is
        asked at the entries only); without `thumbnails` there are none.
        """
        self._packager = packager
        self._decide = decide
        self._thumbnails = thumbnails
        self._seen = seen
        self._banned = banned
        self._now = now
        self._told: set[tuple[str, str, str]] = set()
        self._told_until = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = _parse(scope)
            if request.method == "OPTIONS":
                await _send(send, 204, _PREFLIGHT)
                return
            await self._authorize(request)
            self._check_ban(request)
            if (wanted := _THUMBNAILS.get(request.rest)) is not None:
                resource = await self._thumbnail(request.stream, *wanted)
            else:
                resource = await self._packager.resource(request.stream, request.rest, request.query)
                self._check_ban(request)  # it may have waited for what comes next
            if self._seen is not None and "/" in request.rest:  # below the session: a player, not a poster or a probe
                self._note(self._seen, request)
            await _respond(request, resource, send, over=lambda: self._is_banned(request))
        except PackagerError as error:
            headers = [(b"retry-after", str(error.retry_after).encode())] if error.retry_after else []
            await _problem(send, error.status, str(error), headers, head=scope["method"] == "HEAD")
        except ProblemError as error:
            await _problem(send, error.status, error.detail, list(error.headers), head=scope["method"] == "HEAD")

    def _note(self, seen: Seen, request: _Request) -> None:
        now = self._now()
        if now >= self._told_until:
            self._told.clear()
            self._told_until = now + SEEN_EVERY
        viewer = viewer_key(request.address, request.headers.get(b"user-agent", b""))
        _, *track = request.rest.split("/")[:-1]
        sighting = (request.stream, viewer, track[0] if track else "")
        if sighting not in self._told:
            self._told.add(sighting)
            seen(*sighting)

    async def _thumbnail(self, stream: str, form: Form, content_type: str) -> Resource:
        thumbnails = self._thumbnails
        try:
            found = None if thumbnails is None else await thumbnails.get(stream, form)
        except ThumbnailUnavailableError as error:
            retry = (b"retry-after", str(error.retry_after).encode())
            raise ProblemError(503, str(error), headers=(retry,)) from None
        if thumbnails is None or found is None:
            raise ProblemError(404, f"{stream} is not live, has no video, or pictures are turned off (`transcode`).")
        return Resource.of(content_type, f"public, max-age={thumbnails.lasts:.0f}", found.etag, found.data)

    async def _authorize(self, request: _Request) -> None:
        protocol = _ENTRIES.get(request.rest)
        if protocol is None:
            return
        decision = await self._decide(
            AccessRequest(
                Action.PLAY,
                protocol=protocol,
                address=request.address,
                stream=request.stream,
                browser=request.browser,
            )
        )
        if not decision.allowed:
            raise ProblemError(_REFUSAL_STATUS.get(decision.verdict, 403), decision.reason)

    def _is_banned(self, request: _Request) -> bool:
        return self._banned is not None and self._banned(request.stream, request.address, request.browser)

    def _check_ban(self, request: _Request) -> None:
        if self._is_banned(request):
            raise ProblemError(403, BANNED)


def gzip_accepted(accept_encoding: bytes) -> bool:
    """Whether a (lower-case) Accept-Encoding field, or a head that holds one, allows gzip."""
    return b"gzip" in accept_encoding and b"gzip;q=0" not in accept_encoding.replace(b" ", b"")


def response_head(resource: Resource, *, gzip: bool) -> tuple[bytes, tuple[bytes, ...] | None]:
    """The serialized head of a 200 answer, but for Date and the empty line, and its body.

    Made once for each resource. The body is None when it is not in memory.
    """
    if not resource.body:
        return b"", None
    packed = resource.gzip_body if gzip else None
    key = "http/1.1 gzip" if packed else "http/1.1"
    head = resource.heads.get(key)
    if head is None:
        fields = _resource_headers(resource, packed)
        head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields)
        resource.heads[key] = head
    return head, (packed,) if packed else resource.body


def _resource_headers(resource: Resource, packed: bytes | None) -> Headers:
    headers = [
        (b"content-type", resource.content_type.encode()),
        (b"cache-control", resource.cache_control.encode()),
        *_CORS,
    ]
    if resource.growing is None:
        headers.append((b"content-length", str(len(packed) if packed else resource.size).encode()))
    if resource.etag:
        headers.append((b"etag", _etag(resource, packed)))
    if resource.compressible:
        headers.append((b"vary", b"accept-encoding"))
        if packed:
            headers.append((b"content-encoding", b"gzip"))
    else:
        headers.append((b"accept-ranges", b"bytes" if resource.growing is None else b"none"))
    return headers


def _etag(resource: Resource, packed: bytes | None) -> bytes:
    """Two encodings of one playlist are two representations, so their strong validators differ (RFC 9110 §8.8.3.3)."""
    return resource.etag[:-1].encode() + b'-gz"' if packed else resource.etag.encode()


def _parse(scope: Scope) -> _Request:
    method = scope["method"]
    if method not in ("GET", "HEAD", "OPTIONS"):
        raise ProblemError(
            405, f"{method} is not possible here; media is read with GET.", headers=((b"allow", b"GET, HEAD, OPTIONS"),)
        )
    _, _, stream, *rest = scope["path"].split("/")
    if not rest or not stream:
        raise ProblemError(404, "Media is at /app/{stream}/master.m3u8 and /app/{stream}/manifest.mpd.")
    try:
        query = dict(parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, max_num_fields=32))
    except ValueError:
        raise ProblemError(400, "The query cannot be read.") from None
    client = scope.get("client")
    return _Request(
        method=method,
        stream=stream,
        rest="/".join(rest),
        query=query,
        headers=dict(scope["headers"]),
        address=client[0] if client else "",
    )


async def _respond(request: _Request, resource: Resource, send: Send, *, over: Callable[[], bool]) -> None:
    """`over` says whether they may have no more of what is still being made."""
    packed = resource.gzip_body if gzip_accepted(request.headers.get(b"accept-encoding", b"").lower()) else None
    headers = _resource_headers(resource, packed)
    if resource.etag and _matches(request.headers.get(b"if-none-match"), _etag(resource, packed)):
        kept = [field for field in headers if field[0] not in (b"content-length", b"content-type", b"accept-ranges")]
        await _send(send, 304, kept)
        return
    if resource.growing is not None:
        await _send_growing(resource.growing, headers, send, head=request.method == "HEAD", over=over)
        return
    size = len(packed) if packed else resource.size
    start, end, status = 0, size, 200
    wanted = request.headers.get(b"range")
    if wanted and not packed and request.method == "GET" and _range_is_current(request, resource):
        try:
            span = parse_range(wanted, size)
        except ProblemError as error:
            raise ProblemError(416, error.detail, headers=((b"content-range", b"bytes */%d" % size),)) from None
        if span is not None:
            (start, end), status = span, 206
            headers = [field for field in headers if field[0] != b"content-length"]
            headers.append((b"content-length", str(end - start).encode()))
            headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)))
    if request.method == "HEAD":
        await _send(send, status, headers)
    elif resource.file is not None:
        await _send_file(resource, (start, end), status, headers, send)
    else:
        body = (packed,) if packed else resource.body
        await send({"type": "http.response.start", "status": status, "headers": headers})
        pieces = list(_slice(body, start, end))
        for index, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": index + 1 < len(pieces)})
        if not pieces:
            await send({"type": "http.response.body", "body": b""})


def _range_is_current(request: _Request, resource: Resource) -> bool:
    """If-Range (RFC 9110 §13.1.5): a part of another version is of no use, so the whole is sent then."""
    condition = request.headers.get(b"if-range")
    return condition is None or condition == resource.etag.encode()


def _matches(condition: bytes | None, etag: bytes) -> bool:
    """If-None-Match (RFC 9110 §13.1.2), by weak comparison."""
    if condition is None:
        return False
    tags = [tag.strip().removeprefix(b"W/") for tag in condition.split(b",")]
    return b"*" in tags or etag in tags


def parse_range(field: bytes, size: int) -> tuple[int, int] | None:
    """A Range field with one byte range (RFC 9110 §14.1.2) as start and end (exclusive).

    None when the field is to be ignored (another unit, several ranges, broken syntax); `ProblemError` when it lies
    outside of the `size` bytes.
    """
    unit, _, spec = field.partition(b"=")
    first, dash, last = spec.strip().partition(b"-")
    if unit.strip().lower() != b"bytes" or not dash or b"," in spec:
        return None
    if not (first or last) or any(text and not (text.isdigit() and len(text) < 20) for text in (first, last)):
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise ProblemError(416, f"The range lies outside of the {size} bytes.")
    return start, end


def _slice(pieces: tuple[bytes, ...], start: int, end: int) -> list[bytes]:
    out: list[bytes] = []
    offset = 0
    for piece in pieces:
        first, last = max(start - offset, 0), min(end - offset, len(piece))
        if first < last:
            out.append(piece if last - first == len(piece) else piece[first:last])
        offset += len(piece)
    return out


async def _send_growing(
    growing: Callable[[], AsyncIterator[bytes]], headers: Headers, send: Send, *, head: bool, over: Callable[[], bool]
) -> None:
    """A segment while it is made, in chunked transfer coding (for low-latency DASH).

    With a key frame every ten seconds, that takes as long: who is banned meanwhile gets no more of it.
    """
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if not head:
        async for piece in growing():
            if over():
                break
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_file(resource: Resource, span: tuple[int, int], status: int, headers: Headers, send: Send) -> None:
    assert resource.file is not None
    start, end = span
    try:
        file = await asyncio.to_thread(resource.file.open, "rb")
    except FileNotFoundError:
        raise ProblemError(404, "This segment has left the window of the stream.") from None
    try:
        await asyncio.to_thread(file.seek, start)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while start < end:
            piece = await asyncio.to_thread(file.read, min(_FILE_PIECE, end - start))
            if not piece:
                raise OSError(f"{resource.file.name} is shorter than it was")
            start += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": start < end})
    finally:
        await asyncio.to_thread(file.close)


async def _problem(send: Send, status: int, detail: str, headers: Headers, *, head: bool) -> None:
    body = problem_body(status, detail)
    # An answer that says "not there" may be true for a moment only: caches keep it shortly.
    cache = b"max-age=1" if status == 404 else b"no-store"
    await _send(
        send,
        status,
        [
            (b"content-type", CONTENT_TYPE),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", cache),
            *_CORS,
            *headers,
        ],
        b"" if head else body,
    )


async def _send(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
