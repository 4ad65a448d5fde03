"""What WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) have in common, as a raw ASGI application.

A POST with an offer makes a session, answered with 201, its address in `Location` and an entity tag for its ICE
session; PATCH brings candidates (RFC 8840) or restarts ICE, DELETE ends the session. Refusals are problem documents.

The address of a session is unguessable, and whoever knows it may end the session: nothing else is asked for there. No
cookie counts here, so that pages of other sites may do all of it (CORS), with what header fields they like.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from ghostlive.access.browser import cookie_in
from ghostlive.core.errors import GhostliveError
from ghostlive.core.problem import CONTENT_TYPE, problem_body
from ghostlive.protocols.webrtc.errors import NegotiationError
from ghostlive.protocols.webrtc.negotiation import make_fragment, parse_trickle
from ghostlive.protocols.webrtc.refusal import status_of
from ghostlive.protocols.webrtc.server import WebRtcServer
from ghostlive.protocols.webrtc.session import Session

Headers = list[tuple[bytes, bytes]]

_SDP: Final = "application/sdp"
_FRAGMENT: Final = "application/trickle-ice-sdpfrag"
_MAX_BODY: Final = 256 * 1024
"""Bytes of an offer; browsers with many codecs send 20 kB."""
_MAX_DISCARDED: Final = 1024 * 1024
_DISCARD_FOR: Final = 2.0
"""Bytes and seconds of a refused body that are read all the same. A connection that is closed while something on it is
unread is reset (RFC 9112 §9.6), and many clients look for the answer only when they have sent everything."""
_MAX_AGENT: Final = 160
_MAX_KEY: Final = 512
_REMEMBERED: Final = 10.0
"""Seconds for which a session that ended by itself may still be deleted."""
_METHODS: Final = b"GET, HEAD, POST, PATCH, DELETE, OPTIONS"


class Refusal(GhostliveError):  # noqa: N818 - it is an answer
    """A request that is answered with something else than what it asked for."""

    def __init__(self, status: int, detail: str, headers: Headers | None = None) -> None:
        """`detail` is shown to the client."""
        super().__init__(detail)
        self.status = status
        self.headers = headers or []


class _TooLarge(Refusal):
    """A body that is too long."""

    def __init__(self, *, unread: bool) -> None:
        """`unread` is whether the rest of it is still to come, so that nothing else can on this connection."""
        fields = [(b"connection", b"close")] if unread else []
        super().__init__(413, f"The body may have at most {_MAX_BODY // 1024} KiB.", fields)
        self.unread = unread


@dataclass(frozen=True, slots=True)
class Offer:
    """A POST with an offer. Secrets never appear in its representation."""

    stream: str
    sdp: str = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    key: str | None = field(repr=False)
    """Bearer token, else `key` of the query."""
    host: str
    """Field `Host`."""
    address: str
    """IP address of the client, after trusted proxies."""
    agent: str
    browser: str | None = field(default=None, repr=False)
    """The cookie of `access.browser`, unchecked."""


class Target(NamedTuple):
    """What a path names."""

    stream: str
    session: str
    """Empty: the endpoint itself."""


@dataclass(slots=True)
class _Open:
    """A session as HTTP knows it."""

    session: Session | None
    """None once it is over: what it took is not kept for those who may still delete it."""
    target: Target
    etag: str
    host: str
    farewell: Callable[[], None] | None = None
    """What deleting it means after its end."""


class Resource:
    """An endpoint of either protocol with the sessions that it made."""

    protocol: str = ""
    """As the Authorizer and logs call it."""

    def __init__(self, server: WebRtcServer) -> None:
        """`server` has the sessions."""
        self.server = server
        self._open: dict[str, _Open] = {}

    # -- what a protocol says

    def target(self, path: str, query: bytes) -> Target | None:
        """What a path below `/app/` means; None when it is not this protocol's."""
        raise NotImplementedError

    def location(self, target: Target) -> str:
        """The absolute path of a session."""
        raise NotImplementedError

    async def accept(self, offer: Offer) -> Session:
        """A session for an offer. Raises `Refusal`, or an error of Ghost Live that says what is wrong."""
        raise NotImplementedError

    def goodbye(self, session: Session) -> None:
        """The client deleted its session."""
        session.close("the client ended the session")

    def farewell(self, session: Session) -> Callable[[], None] | None:
        """What a goodbye means to a session that is over already. It must not hold the session."""
        return None

    # -- ASGI

    def handles(self, path: str, query: bytes) -> bool:
        """Whether a request is for this protocol."""
        return self.target(path, query) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose path `target` knows."""
        target = self.target(scope["path"], scope["query_string"])
        assert target is not None
        fields = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        unread = False
        try:
            status, headers, body = await self._answer(scope, target, fields, receive)
        except Refusal as error:
            status, headers, body = problem(error.status, str(error), error.headers)
            # Who waits to be told to go on (RFC 9110 §10.1.1) sends nothing now.
            unread = isinstance(error, _TooLarge) and error.unread and b"expect" not in fields
        except GhostliveError as error:
            if (refused := status_of(error)) is None:
                raise
            retry = [] if refused.retry_after is None else [(b"retry-after", str(refused.retry_after).encode())]
            status, headers, body = problem(refused.code, str(error), retry)
        await respond(scope, send, status, [*cors(fields), *headers], body, unread=receive if unread else None)

    async def _answer(
        self, scope: Scope, target: Target, fields: Mapping[bytes, str], receive: Receive
    ) -> tuple[int, Headers, bytes]:
        method = scope["method"]
        if method == "OPTIONS":
            return 200, [(b"accept-post", _SDP.encode()), (b"accept-patch", _FRAGMENT.encode())], b""
        if not target.session:
            if method in ("GET", "HEAD"):  # there is nothing to see (RFC 9725 §4.1)
                return 204, [(b"accept-post", _SDP.encode())], b""
            if method != "POST":
                raise _not_allowed(method, "A session is made here with POST", b"GET, HEAD, POST, OPTIONS")
            return await self._post(scope, target, fields, receive)
        if method == "DELETE":
            # Who closes the connection first and says so then means it all the same.
            entry = self._find(target, ended=True)
            del self._open[target.session]
            if entry.session is not None:
                self.goodbye(entry.session)
            elif entry.farewell is not None:
                entry.farewell()
            return 200, [], b""
        entry = self._find(target)
        if method in ("GET", "HEAD"):
            return 204, [], b""
        if method != "PATCH":
            raise _not_allowed(method, "A session takes PATCH and DELETE", b"GET, HEAD, PATCH, DELETE, OPTIONS")
        return await self._patch(entry, fields, receive)

    async def _post(
        self, scope: Scope, target: Target, fields: Mapping[bytes, str], receive: Receive
    ) -> tuple[int, Headers, bytes]:
        _check_type(fields, _SDP, b"accept-post")
        query = _query(scope["query_string"])
        client = scope.get("client")
        offer = Offer(
            stream=target.stream,
            sdp=await _body(fields, receive),
            query=query,
            key=_bearer(fields) or query.get("key", "")[:_MAX_KEY] or None,
            host=fields.get(b"host", ""),
            address=client[0] if client else "",
            agent=fields.get(b"user-agent", "").strip()[:_MAX_AGENT],
            browser=cookie_in(fields.get(b"cookie", "")),
        )
        if not offer.sdp.startswith("v="):
            raise Refusal(400, "The body is no session description (SDP).")
        session = await self.accept(offer)
        entry = _Open(session, Target(target.stream, session.id), _new_etag(), offer.host)
        self._open[session.id] = entry
        session.on_over = lambda _: self._ended(session)
        headers: Headers = [
            (b"content-type", _SDP.encode()),
            (b"location", self.location(entry.target).encode("ascii")),
            (b"etag", entry.etag.encode()),
            (b"accept-patch", _FRAGMENT.encode()),
            *((b"link", link.encode()) for server in self.server.ice_servers() for link in server.links),
        ]
        return 201, headers, session.negotiation.local.encode()

    async def _patch(self, entry: _Open, fields: Mapping[bytes, str], receive: Receive) -> tuple[int, Headers, bytes]:
        _check_type(fields, _FRAGMENT, b"accept-patch")
        condition = fields.get(b"if-match", "").strip()
        if not condition:
            raise Refusal(428, 'Say in If-Match which ICE session is meant: its ETag, or "*" to restart ICE.')
        body = await _body(fields, receive)
        session = self._session(entry)  # it may have ended while the body came
        any_session = condition in ("*", '"*"')
        if not any_session and entry.etag not in [tag.strip() for tag in condition.split(",")]:
            raise Refusal(412, "ICE was restarted meanwhile; the ETag of the last answer is the one to send.")
        try:
            fragment = parse_trickle(body)
        except NegotiationError as error:
            raise Refusal(400, str(error)) from None
        if fragment.ufrag == session.remote_ufrag:
            return 204, [], b""  # The peer's candidates are learned from its own requests: ICE lite.
        local = self.server.local_parameters(entry.host)
        self.server.restart(session, local, ufrag=fragment.ufrag, pwd=fragment.pwd)
        entry.etag = _new_etag()
        headers = [(b"content-type", _FRAGMENT.encode()), (b"etag", entry.etag.encode())]
        first = session.negotiation.streams[0]
        return 200, headers, make_fragment(local, mid=first.mid, kind=first.kind.value).encode()

    def _find(self, target: Target, *, ended: bool = False) -> _Open:
        entry = self._open.get(target.session)
        if entry is None or entry.target.stream != target.stream:
            raise _no_session()
        if not ended:
            self._session(entry)
        return entry

    @staticmethod
    def _session(entry: _Open) -> Session:
        if entry.session is None or entry.session.over:
            raise _no_session()
        return entry.session

    def _ended(self, session: Session) -> None:
        """Remember for a little while that there was a session."""
        number = session.id
        if (entry := self._open.get(number)) is None:
            return
        entry.session, entry.farewell = None, self.farewell(session)
        self.server.clock.call_later(_REMEMBERED, lambda: self._forget(number))

    def _forget(self, number: str) -> None:
        self._open.pop(number, None)


async def respond(
    scope: Scope, send: Send, status: int, headers: Headers, body: bytes, *, unread: Receive | None = None
) -> None:
    """Send an answer that nobody keeps. It ends when what is `unread` of the request was read, or too much of it."""
    headers = [*headers, (b"cache-control", b"no-store")]
    if status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else body
    if unread is not None:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await _discard(unread)
        body = b""
    await send({"type": "http.response.body", "body": body})


async def _discard(receive: Receive) -> None:
    left = _MAX_DISCARDED
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_FOR):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))


def cors(fields: Mapping[bytes, str]) -> Headers:
    """What lets the pages of other sites do it (Fetch §3.2), for a request with these fields."""
    headers = [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-expose-headers", b"Location, Link, ETag, Accept-Patch, Retry-After"),
    ]
    if b"access-control-request-method" in fields:
        wanted = fields.get(b"access-control-request-headers", "")
        headers += [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", wanted.encode("latin-1") or b"*"),
            (b"access-control-allow-private-network", b"true"),
            (b"access-control-max-age", b"86400"),
        ]
    return headers


def _check_type(fields: Mapping[bytes, str], wanted: str, accepts: bytes) -> None:
    given = fields.get(b"content-type", "").partition(";")[0].strip().lower()
    if given != wanted:
        said = f"not {given[:60]}" if given else "and Content-Type has to say so"
        raise Refusal(415, f"The body has to be {wanted}, {said}.", [(accepts, wanted.encode())])


async def _body(fields: Mapping[bytes, str], receive: Receive) -> str:
    length = fields.get(b"content-length", "")
    if length.isdecimal() and int(length[:20]) > _MAX_BODY:
        raise _TooLarge(unread=True)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "The request ended before its body.")
        body += message.get("body", b"")
        if len(body) > _MAX_BODY:
            raise _TooLarge(unread=message.get("more_body", False))
        if not message.get("more_body", False):
            break
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(400, "The body is not UTF-8.") from None


def _query(text: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(text.decode("ascii"), keep_blank_values=True, max_num_fields=32))
    except ValueError:
        raise Refusal(400, "The query cannot be read.") from None


def _bearer(fields: Mapping[bytes, str]) -> str:
    scheme, _, token = fields.get(b"authorization", "").partition(" ")
    return token.strip()[:_MAX_KEY] if scheme.lower() == "bearer" else ""


def _new_etag() -> str:
    return f'"{secrets.token_hex(4)}"'


def _no_session() -> Refusal:
    return Refusal(404, "There is no such session; it may have ended.")


def _not_allowed(method: str, what: str, allow: bytes) -> Refusal:
    return Refusal(405, f"{what}, not with {method[:20]}.", [(b"allow", allow)])


def problem(status: int, detail: str, headers: Headers) -> tuple[int, Headers, bytes]:
    """An answer that says what is wrong."""
    return status, [(b"content-type", CONTENT_TYPE), *headers], problem_body(status, detail)
