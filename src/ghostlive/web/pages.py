"""The built pages: hashed assets that may be cached forever, and HTML with a strict content policy."""

import asyncio
import gzip
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ghostlive.core.errors import InvalidStreamNameError
from ghostlive.core.stream import check_stream_name
from ghostlive.web.directory import StreamDirectory
from ghostlive.web.media import gzip_accepted
from ghostlive.web.problems import ProblemError
from ghostlive.web.streampage import with_stream

_POLICY = (
    # OvenPlayer puts its style sheet into the page, hence 'unsafe-inline' for styles alone.
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' ws: wss:; media-src 'self' blob:; worker-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
)

_NO_CAPTURE = "camera=(), microphone=(), geolocation=()"
_CAPTURE = "camera=(self), microphone=(self), display-capture=(self), geolocation=()"


@dataclass(slots=True)
class _Asset:
    body: bytes
    content_type: str
    packed: bytes = b""

    async def packed_body(self) -> bytes:
        """The content compressed with gzip, made off the event loop when it is first asked for."""
        if not self.packed:
            self.packed = await asyncio.to_thread(gzip.compress, self.body, 6, mtime=0)
        return self.packed


def page_routes(directory: StreamDirectory, *, static: Path, frame_ancestors: str) -> APIRouter:
    """Routes of the pages under `static`, which are read once: a build is a few files."""
    files = {path.relative_to(static).as_posix(): _asset(path) for path in _files(static)}
    router = APIRouter(include_in_schema=False)

    def page(name: str, *, ancestors: str = "'self'", cache: str = "no-cache") -> Response:
        asset = files.get(name)
        if asset is None:
            raise ProblemError(503, "The pages are not built; run `make setup` (or install a wheel, which has them).")
        return Response(
            asset.body,
            media_type=asset.content_type,
            headers={
                "content-security-policy": _POLICY.format(ancestors=ancestors),
                "cache-control": cache,
                "referrer-policy": "same-origin",
                "x-content-type-options": "nosniff",
                "permissions-policy": _NO_CAPTURE,
            },
        )

    @router.api_route("/", methods=["GET", "HEAD"])
    async def home() -> Response:
        return page("index.html")

    @router.api_route("/assets/{path:path}", methods=["GET", "HEAD"])
    async def assets(path: str, request: Request) -> Response:
        asset = files.get(f"assets/{path}")
        if asset is None:
            raise ProblemError(404, "There is no such file.")
        # Names carry a hash of the content, so the name is the validator.
        etag = f'"{path}"'
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "etag": etag,
            "x-content-type-options": "nosniff",
        }
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        body = asset.body
        if _compressible(asset.content_type):
            headers["vary"] = "accept-encoding"
            if gzip_accepted(request.headers.get("accept-encoding", "").lower().encode()):
                headers["content-encoding"] = "gzip"
                body = await asset.packed_body()
        return Response(body, media_type=asset.content_type, headers=headers)

    # `/studio/{stream}` says nothing about whether there is such a stream: that is for who has signed in.
    @router.api_route("/studio", methods=["GET", "HEAD"])
    @router.api_route("/studio/{stream}", methods=["GET", "HEAD"])
    @router.api_route("/studio/{stream}/chat", methods=["GET", "HEAD"])
    @router.api_route("/setup", methods=["GET", "HEAD"])
    @router.api_route("/login", methods=["GET", "HEAD"])
    async def studio() -> Response:
        # In a frame, another site could have its visitors press what they do not see.
        answer = page("studio.html", ancestors="'none'", cache="no-store")
        answer.headers["x-frame-options"] = "DENY"
        # `/studio/golive` broadcasts what the browser captures.
        answer.headers["permissions-policy"] = _CAPTURE
        return answer

    @router.api_route("/embed/{stream}", methods=["GET", "HEAD"])
    async def embed(stream: str, request: Request) -> Response:
        # The chat alone needs nothing of the player, and is nobody who watches.
        name = "chat.html" if request.query_params.get("chat") == "only" else "embed.html"
        return await stream_page(name, stream, request, ancestors=frame_ancestors)

    @router.api_route("/overlay/{stream}", methods=["GET", "HEAD"])
    async def overlay(stream: str, request: Request) -> Response:
        return await stream_page("overlay.html", stream, request)

    @router.api_route("/{stream}", methods=["GET", "HEAD"])
    async def watch(stream: str, request: Request) -> Response:
        root = files.get(stream)
        if root is not None and not stream.endswith(".html"):
            return Response(root.body, media_type=root.content_type, headers={"cache-control": "max-age=3600"})
        return await stream_page("watch.html", stream, request)

    async def stream_page(name: str, stream: str, request: Request, *, ancestors: str = "'self'") -> Response:
        """The page itself says that there is no such stream; the status says it to machines."""
        answer = page(name, ancestors=ancestors)
        try:
            info = await directory.get(check_stream_name(stream))
        except InvalidStreamNameError:
            info = None
        answer.status_code = 404 if info is None else 200
        answer.body = with_stream(bytes(answer.body), info, str(request.base_url).rstrip("/"))
        answer.headers["content-length"] = str(len(answer.body))
        return answer

    return router


def _files(static: Path) -> Iterable[Path]:
    return (path for path in static.rglob("*") if path.is_file()) if static.is_dir() else ()


def _compressible(content_type: str) -> bool:
    return content_type.startswith("text/") or content_type.endswith(("javascript", "json", "+xml"))


def _asset(path: Path) -> _Asset:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _Asset(path.read_bytes(), "text/html; charset=utf-8" if kind == "text/html" else kind)
