"""Pages of other sites change nothing here, although browsers send them our cookies: protection from CSRF.

A browser says where a request comes from: in `Sec-Fetch-Site` (Fetch Metadata; to HTTPS and to this machine only), and
otherwise in `Origin` (Fetch §3.2). What says neither is no browser, and nobody's cookies are stolen by it. On top of
that, bodies are JSON or nothing, which no form of another site can send, and small.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ghostlive.web.problems import CONTENT_TYPE, ProblemError, problem_body

MAX_BODY: Final = 64 * 1024
"""Bytes of a request's body."""

_PREFIX: Final = "/api"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS: Final = frozenset({"same-origin", "none"})
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


def same_site(headers: Mapping[str, str], host: str) -> bool:
    """Whether a request comes from our own pages, or from no browser.

    `headers` has names in small letters and several fields of a name joined by commas; `host` is the field `Host`.
    """
    fetch_site = headers.get("sec-fetch-site")
    if fetch_site is not None:
        return fetch_site.strip().lower() in _OURS
    origin = headers.get("origin")
    return origin is None or _is_origin_of(origin, host)


class SameSite:
    """Pure ASGI middleware before everything under `/api` that changes something."""

    def __init__(self, app: ASGIApp) -> None:
        """`app` gets the requests that pass, with their bodies read."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _SAFE or not _is_api(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            body = await _checked_body(_headers(scope), receive)
        except ProblemError as error:
            await _refuse(send, error)
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)


def _is_api(path: str) -> bool:
    return path == _PREFIX or path.startswith(f"{_PREFIX}/")


def _is_origin_of(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin.strip().lower())
    except ValueError:
        return False
    usual = _DEFAULT_PORTS.get(parts.scheme)
    if usual is None or not parts.netloc:
        return False
    return parts.netloc.removesuffix(usual) == host.strip().lower().removesuffix(usual)


def _headers(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


async def _checked_body(headers: Mapping[str, str], receive: Receive) -> bytes | None:
    """The body; None when the client left before its end. Raises `ProblemError`."""
    if not same_site(headers, headers.get("host", "")):
        raise ProblemError(403, "Pages of other sites may not do this. Do it on this server's own pages.")
    length = headers.get("content-length", "0").strip()
    if (length not in ("", "0") or "transfer-encoding" in headers) and not _is_json(headers):
        raise ProblemError(415, "The body has to be JSON: send it with Content-Type: application/json.")
    if length.isdecimal() and int(length[:20]) > MAX_BODY:
        raise _too_large()
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise _too_large()
        if not message.get("more_body", False):
            break
    # A peer that said nothing of a body may have sent one all the same (HTTP/2 needs no length).
    if body and not _is_json(headers):
        raise ProblemError(415, "The body has to be JSON: send it with Content-Type: application/json.")
    return bytes(body)


def _is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _too_large() -> ProblemError:
    # The rest of the body is not read, so nothing else can come on this connection.
    return ProblemError(413, f"The body may have at most {MAX_BODY // 1024} KiB.", headers=((b"connection", b"close"),))


def _replay(body: bytes, receive: Receive) -> Receive:
    first: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def replay() -> Message:
        nonlocal first
        if first is not None:
            message, first = first, None
            return message
        return await receive()

    return replay


async def _refuse(send: Send, error: ProblemError) -> None:
    body = problem_body(error.status, error.detail)
    headers = [
        (b"content-type", CONTENT_TYPE),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *error.headers,
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
