"""Matrix clients reach the managed homeserver through the web server: `/_matrix/…` and `/.well-known/matrix/…`.

The homeserver itself listens to this machine only. What is passed on is the client API, and with federation that of
other homeservers (Server-Server API); nothing of Synapse's own administration is, and none of our cookies. Bodies are
streamed both ways, within limits. Who asks is said by us (`X-Forwarded-For`), never by the client. Answers may not act
as pages of ours (`Content-Security-Policy: sandbox`), whatever somebody uploaded.
"""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog
from starlette.types import Receive, Scope, Send

from ghostlive.access.limits import network_of

if TYPE_CHECKING:
    import httpx

_log = structlog.get_logger("matrix")

Headers = list[tuple[bytes, bytes]]

MAX_UPLOAD: Final = 20 * 1024 * 1024
"""Bytes of a picture that somebody uploads; the homeserver has the same limit."""
MAX_BODY: Final = 1024 * 1024
"""Bytes of any other request's body."""
MOST: Final = 400
MOST_PER_NETWORK: Final = 40
"""Requests on their way at once, in all and from one address (of IPv6 from one /64); clients keep one or two open."""
_CONNECT_WITHIN: Final = 5.0
_SILENCE: Final = 180.0
"""Seconds without a byte; `/sync` of a client that asks for it says nothing for a minute or two."""

_CLIENT: Final = ("/_matrix/client/", "/_matrix/media/")
_FEDERATION: Final = ("/_matrix/federation/", "/_matrix/key/")
_PREFIXES: Final = ("/_matrix/", "/.well-known/matrix/")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
_HOP_BY_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    }
)
"""RFC 9110 §7.6.1: these are of one connection."""
_NOT_SENT: Final = _HOP_BY_HOP | {b"cookie", b"forwarded", b"x-real-ip", b"expect"}
_NOT_RETURNED: Final = _HOP_BY_HOP | {b"set-cookie", b"server", b"date", b"content-security-policy"}
_CORS: Final[Headers] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"X-Requested-With, Content-Type, Authorization, Date"),
]
_SAFE: Final[Headers] = [(b"content-security-policy", b"sandbox"), (b"x-content-type-options", b"nosniff")]


class _TooLargeError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class ProxyTarget:
    """The homeserver that is passed on to."""

    url: str
    """Where it listens, without a slash at the end."""
    public_baseurl: str
    """Where clients reach it, as `.well-known` says; without a slash at the end."""
    federation: bool


class MatrixProxy:
    """Raw ASGI. Without a target (`None`: Matrix is off, external, or not yet known) everything is 404."""

    def __init__(self, *, transport: Any = None) -> None:
        """`transport` (httpx's) stands in for the network in tests."""
        self.target: ProxyTarget | None = None
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._busy: Counter[str] = Counter()

    async def start(self, target: ProxyTarget) -> None:
        """Pass on to `target` from now on."""
        if self._client is None:
            self._client = await asyncio.to_thread(_make_client, self._transport)
        self.target = target

    async def stop(self) -> None:
        """Answer 404 from now on, and close what is open."""
        self.target = None
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def handles(self, path: str, query: bytes) -> bool:
        """Whether a request is for this one (what belongs to the application service is asked before)."""
        return path.startswith(_PREFIXES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path, method, target = scope["path"], scope["method"], self.target
        if target is None:
            await _refuse(send, 404, "M_UNRECOGNIZED", "No homeserver is served here.")
        elif method == "OPTIONS":
            await _answer(send, 200, {})
        elif (document := well_known(target, path)) is not None:
            await _answer(send, 200, document)
        elif not _passes(path, federation=target.federation):
            await _refuse(send, 404, "M_UNRECOGNIZED", "This is not served here.")
        elif method not in _METHODS:
            await _refuse(send, 405, "M_UNRECOGNIZED", "There is no such method here.")
        else:
            network = network_of(scope["client"][0]) if scope["client"] else ""
            if self._busy.total() >= MOST or self._busy[network] >= MOST_PER_NETWORK:
                await _refuse(send, 429, "M_LIMIT_EXCEEDED", "Too many requests are open.", retry_after=5)
                return
            self._busy[network] += 1
            try:
                await self._pass_on(target, scope, receive, send)
            finally:
                self._busy[network] -= 1
                if self._busy[network] <= 0:
                    del self._busy[network]

    async def _pass_on(self, target: ProxyTarget, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and its answer back; a client that leaves takes its request along."""
        body = _Body(scope, receive)
        if body.too_large:
            await _refuse(send, 413, "M_TOO_LARGE", "The body is too large.")
            return
        passing = asyncio.ensure_future(self._exchange(target, scope, body, send))
        leaving = asyncio.ensure_future(body.left())
        try:
            await asyncio.wait((passing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not passing.done():
                passing.cancel()
                await asyncio.wait((passing,))
        if not passing.cancelled():
            passing.result()

    async def _exchange(self, target: ProxyTarget, scope: Scope, body: "_Body", send: Send) -> None:
        import httpx  # noqa: PLC0415 - loaded by now

        client = self._client
        if client is None:
            return
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        location = raw.partition(b"?")[0] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        url = httpx.URL(target.url).copy_with(raw_path=location)
        # Not `client.build_request`, which adds what httpx itself would accept (gzip) to what the client does.
        request = httpx.Request(
            scope["method"], url, headers=_request_headers(scope), content=body.pieces() if body.expected else None
        )
        started = False
        try:
            answer = await client.send(request, stream=True)
            try:
                await send(
                    {
                        "type": "http.response.start",
                        "status": answer.status_code,
                        "headers": _answer_headers(answer.headers.raw),
                    }
                )
                started = True
                async for piece in answer.aiter_raw():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                await answer.aclose()
        except _TooLargeError:
            if started:
                raise
            await _refuse(send, 413, "M_TOO_LARGE", "The body is too large.")
        except httpx.HTTPError as error:
            if started:  # the client sees a connection that ends in the middle
                raise
            _log.info("a Matrix request was not answered", path=scope["path"].split("/")[2], error=type(error).__name__)
            await _refuse(send, 502, "M_UNKNOWN", "The homeserver is not there at the moment.", retry_after=5)


class _Body:
    """A request's body as it arrives, and the notice that its sender left."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        upload = scope["path"].startswith("/_matrix/media/") and "/upload" in scope["path"]
        self._most = MAX_UPLOAD if upload else MAX_BODY
        length = headers.get(b"content-length", b"0")
        self.expected = length != b"0" or b"transfer-encoding" in headers
        self.too_large = length.isdigit() and int(length[:20]) > self._most
        self._receive = receive
        self._read = asyncio.Event()
        if not self.expected:
            self._read.set()
        self._left = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        """What the client sends. Raises `_TooLargeError`."""
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._left.set()
                await asyncio.Event().wait()  # until the exchange is cancelled
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > self._most:
                raise _TooLargeError
            if piece:
                yield piece
            if not message.get("more_body", False):
                self._read.set()
                return

    async def left(self) -> None:
        """Wait until the client has left."""
        reading = asyncio.ensure_future(self._read.wait())
        leaving = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            leaving.cancel()
        while not self._left.is_set():
            if (await self._receive())["type"] == "http.disconnect":
                self._left.set()


def well_known(target: ProxyTarget, path: str) -> dict[str, Any] | None:
    """The document at a path of `/.well-known/matrix/`; None where there is none."""
    if path == "/.well-known/matrix/client":
        return {"m.homeserver": {"base_url": target.public_baseurl}}
    if path == "/.well-known/matrix/server" and target.federation:
        parts = urlsplit(target.public_baseurl)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return {"m.server": f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"}
    return None


def _passes(path: str, *, federation: bool) -> bool:
    """Whether a path is one of those passed on. One that climbs (`..`) might end up elsewhere."""
    known = _CLIENT + _FEDERATION if federation else _CLIENT
    return path.startswith(known) and not any(part in (".", "..") for part in path.replace("\\", "/").split("/"))


def _request_headers(scope: Scope) -> Headers:
    named = _named(scope["headers"])
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name not in _NOT_SENT and name not in named and not name.startswith(b"x-forwarded-")
    ]
    if scope["client"]:
        headers.append((b"x-forwarded-for", scope["client"][0].encode()))
    headers.append((b"x-forwarded-proto", scope.get("scheme", "http").encode()))
    return headers


def _answer_headers(raw: Headers) -> Headers:
    lower = [(name.lower(), value) for name, value in raw]
    named = _named(lower)
    return [*((name, value) for name, value in lower if name not in _NOT_RETURNED and name not in named), *_SAFE]


def _named(headers: Headers) -> set[bytes]:
    """Header fields that are of this connection only, because `Connection` names them."""
    return {part.strip().lower() for name, value in headers if name == b"connection" for part in value.split(b",")}


def _make_client(transport: Any) -> "httpx.AsyncClient":
    import httpx  # noqa: PLC0415 - a tenth of a second, which nobody waits for here

    return httpx.AsyncClient(
        transport=transport,
        timeout=httpx.Timeout(_SILENCE, connect=_CONNECT_WITHIN, pool=_CONNECT_WITHIN),
        limits=httpx.Limits(max_connections=MOST, max_keepalive_connections=20, keepalive_expiry=30),
        # The homeserver is on this machine: no certificates, no proxies of the environment, no moving elsewhere.
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        trust_env=False,
        follow_redirects=False,
    )


async def _answer(send: Send, status: int, document: Any, headers: Headers | None = None) -> None:
    body = json.dumps(document).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *_CORS,
                *(headers or []),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def _refuse(send: Send, status: int, code: str, text: str, *, retry_after: int = 0) -> None:
    """An error as Matrix clients know them (Client-Server API, "Standard error response")."""
    document: dict[str, Any] = {"errcode": code, "error": text}
    headers = [(b"retry-after", str(retry_after).encode())] if retry_after else []
    if code == "M_LIMIT_EXCEEDED":
        document["retry_after_ms"] = retry_after * 1000
    if status == 413:
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await _answer(send, status, document, headers)
