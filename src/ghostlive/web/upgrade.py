"""The request that opens a WebSocket (RFC 6455 §4.2): is it one, and what do rooms learn of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

import httptools
from starlette.requests import cookie_parser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from websockets.datastructures import Headers
from websockets.exceptions import WebSocketException
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ghostlive.core.websocket import Opening
from ghostlive.web.clientaddress import ClientAddress
from ghostlive.web.problems import CONTENT_TYPE, ProblemError, problem_body
from ghostlive.web.sitecheck import same_site

_MAX_AGENT: Final = 512


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request as the HTTP parser read it. Names of fields are in lower case."""

    method: str
    version: str
    target: bytes
    fields: list[tuple[bytes, bytes]] = field(repr=False)
    peer: str
    """The address at the other end of the connection."""

    def field(self, name: bytes) -> str:
        """A header field; its values are joined as RFC 9110 §5.3 has it, empty when there is none."""
        joint = b"; " if name == b"cookie" else b", "
        return joint.join(value for key, value in self.fields if key == name).decode("latin-1")


def opening_of(request: Upgrade, addresses: ClientAddress) -> Opening:
    """What rooms learn. Raises `ProblemError` for a target that is none."""
    try:
        url = httptools.parse_url(request.target)
        path = unquote((url.path or b"/").decode("ascii"))
    except (httptools.HttpParserError, UnicodeDecodeError):
        raise ProblemError(400, "The address of this request cannot be read.") from None
    client = addresses.resolve(request.peer, request.fields)
    return Opening(
        path=path,
        query=(url.query or b"").decode("latin-1"),
        address=client.address,
        agent=request.field(b"user-agent")[:_MAX_AGENT],
        cookies=cookie_parser(request.field(b"cookie")),
        host=request.field(b"host"),
        secure=client.scheme == "https",
    )


def check_site(request: Upgrade) -> None:
    """Raises `ProblemError` for the page of another site."""
    fields = {name.decode("latin-1"): request.field(name) for name, _ in request.fields}
    if not same_site(fields, request.field(b"host")):
        raise ProblemError(403, "Pages of other sites cannot open this connection; open it from this server's pages.")


def accept_key(request: Upgrade, protocol: ServerProtocol) -> str:
    """Check the handshake; the value of Sec-WebSocket-Accept. Raises `ProblemError`."""
    if request.method != "GET":
        raise ProblemError(405, "A WebSocket is opened with GET.", headers=((b"allow", b"GET"),))
    if request.version != "1.1":
        raise ProblemError(505, "A WebSocket is opened with HTTP/1.1.")
    try:
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.fields])
        return protocol.process_request(Request(request.target.decode("latin-1"), headers))[0]
    except (WebSocketException, ValueError) as error:
        raise ProblemError(
            400, f"This is no WebSocket handshake: {error}.", headers=((b"sec-websocket-version", b"13"),)
        ) from None


def acceptance(key: str, fields: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """The answer that opens the WebSocket (§4.2.2), with more header fields."""
    more = b"".join(b"%b: %b\r\n" % pair for pair in fields)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: %b\r\n%b\r\n" % (key.encode("ascii"), more)
    )


def refusal(error: ProblemError) -> bytes:
    """The answer that does not."""
    body = problem_body(error.status, error.detail)
    fields = (
        (b"content-type", CONTENT_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
        *error.headers,
    )
    head = b"".join(b"%b: %b\r\n" % pair for pair in fields)
    return b"%b%b\r\n%b" % (STATUS_LINE[error.status], head, body)
