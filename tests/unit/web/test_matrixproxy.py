"""What of Matrix goes through the web server, and what of a request and an answer does not."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message

from ghostlive.web import matrixproxy
from ghostlive.web.matrixproxy import MatrixProxy, ProxyTarget

TARGET = ProxyTarget("http://127.0.0.1:8008", "https://live.test", federation=False)
FEDERATED = ProxyTarget("http://127.0.0.1:8008", "https://live.test", federation=True)


class Pieces(httpx.AsyncByteStream):
    """A body that is read once, in two pieces."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[:5]
        yield self._body[5:]


class Homeserver(httpx.AsyncBaseTransport):
    """Remembers what came, and answers as a test says."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.headers: dict[str, str] = {"Content-Type": "application/json"}
        self.body = b'{"ok": true}'
        self.error: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.left = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(await request.aread())
        if self.hold is not None:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.left += 1
                raise
        if self.error is not None:
            raise self.error
        return httpx.Response(200, headers=self.headers, stream=Pieces(self.body))


class Answer:
    """What a client got."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A client of the proxy."""

    def __init__(self, proxy: MatrixProxy) -> None:
        self.proxy = proxy
        self.leave = asyncio.Event()

    async def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        headers: dict[str, str] | None = None,
        pieces: tuple[bytes, ...] = (),
        query: str = "",
        address: str = "192.0.2.7",
    ) -> Answer:
        scope = {
            "type": "http",
            "method": method,
            "path": httpx.URL(f"http://x{path}").path if "%" in path else path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": (address, 50000),
            "scheme": "https",
        }
        waiting = list(pieces) or [b""]

        async def receive() -> Message:
            if waiting:
                body = waiting.pop(0)
                return {"type": "http.request", "body": body, "more_body": bool(waiting)}
            await self.leave.wait()
            return {"type": "http.disconnect"}

        answer = Answer()
        await self.proxy(scope, receive, answer.send)
        return answer


@pytest.fixture
def homeserver() -> Homeserver:
    return Homeserver()


@pytest.fixture
async def client(homeserver: Homeserver) -> AsyncIterator[Client]:
    proxy = MatrixProxy(transport=homeserver)
    await proxy.start(TARGET)
    yield Client(proxy)
    await proxy.stop()


async def test_a_request_goes_to_the_homeserver_as_it_is(client: Client, homeserver: Homeserver) -> None:
    path = "/_matrix/client/v3/rooms/%21a%3Alive.test/send/m.room.message/1"
    headers = {"Authorization": "Bearer t", "Content-Type": "application/json", "Content-Length": "9"}
    answer = await client.ask(path, "PUT", headers=headers, pieces=(b'{"a":', b'"b"}'), query="ts=1&x=%2F")
    [request] = homeserver.requests
    assert str(request.url) == f"http://127.0.0.1:8008{path}?ts=1&x=%2F"
    assert (request.method, homeserver.bodies) == ("PUT", [b'{"a":"b"}'])
    assert request.headers["authorization"] == "Bearer t"
    assert (answer.status, answer.json) == (200, {"ok": True})


async def test_the_homeserver_hears_from_us_who_asks(client: Client, homeserver: Homeserver) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "gopher", "Forwarded": "for=203.0.113.9"}
    await client.ask("/_matrix/client/versions", headers={**forged, "X-Real-IP": "203.0.113.9"})
    headers = homeserver.requests[0].headers
    assert headers.get_list("x-forwarded-for") == ["192.0.2.7"]
    assert headers.get_list("x-forwarded-proto") == ["https"]
    assert "203.0.113.9" not in str(headers)


async def test_neither_cookies_nor_headers_of_one_connection_go_further(client: Client, homeserver: Homeserver) -> None:
    sent = {"Cookie": "session=1", "Connection": "keep-alive, X-Mine", "X-Mine": "1", "TE": "trailers", "Upgrade": "h2"}
    homeserver.headers = {"Set-Cookie": "a=b", "Connection": "X-Theirs", "X-Theirs": "1", "X-Kept": "1"}
    answer = await client.ask("/_matrix/client/versions", headers=sent)
    assert not {"cookie", "x-mine", "te", "upgrade", "accept-encoding"} & set(homeserver.requests[0].headers)
    assert answer.headers["x-kept"] == "1"
    assert not {"set-cookie", "connection", "x-theirs"} & set(answer.headers)


async def test_what_somebody_uploaded_is_no_page_of_ours(client: Client, homeserver: Homeserver) -> None:
    homeserver.headers = {"Content-Type": "text/html", "Content-Security-Policy": "script-src *"}
    answer = await client.ask("/_matrix/media/v3/download/live.test/abc")
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/_matrix/client/../../_synapse/admin/v1/register",
        "/_matrix/client/%2e%2e/%2e%2e/_synapse/admin/v1/register",
        "/_matrix/client/..%2f..%2f_synapse/admin/v1/register",
        "/_matrix/client/..\\..\\_synapse/admin",
        "/_matrix/app/v1/ping",
        "/_matrix/static/",
        "/_matrix/federation/v1/version",
        "/_matrix/key/v2/server",
        "/_matrix/",
        "/.well-known/matrix/server",
        "/.well-known/matrix/support",
    ],
)
async def test_nothing_else_is_passed_on(client: Client, homeserver: Homeserver, path: str) -> None:
    answer = await client.ask(path)
    assert (answer.status, answer.json["errcode"]) == (404, "M_UNRECOGNIZED")
    assert homeserver.requests == []


async def test_other_homeservers_come_in_with_federation_only(homeserver: Homeserver) -> None:
    proxy = MatrixProxy(transport=homeserver)
    await proxy.start(FEDERATED)
    client = Client(proxy)
    assert (await client.ask("/_matrix/key/v2/server")).status == 200
    assert (await client.ask("/.well-known/matrix/server")).json == {"m.server": "live.test:443"}
    assert (await client.ask("/.well-known/matrix/client")).json == {"m.homeserver": {"base_url": "https://live.test"}}
    await proxy.stop()
    assert (await client.ask("/_matrix/key/v2/server")).status == 404


async def test_a_homeserver_that_is_away_is_an_error_of_matrix(client: Client, homeserver: Homeserver) -> None:
    homeserver.error = httpx.ConnectError("refused")
    answer = await client.ask("/_matrix/client/v3/sync")
    assert (answer.status, answer.json["errcode"]) == (502, "M_UNKNOWN")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["retry-after"] == "5"


async def test_a_browser_may_ask_first(client: Client, homeserver: Homeserver) -> None:
    answer = await client.ask("/_matrix/client/v3/sync", "OPTIONS")
    assert answer.status == 200
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert homeserver.requests == []


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_has_a_limit(
    client: Client, homeserver: Homeserver, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    monkeypatch.setattr(matrixproxy, "MAX_BODY", 10)
    headers = {"Content-Length": "11"} if announced else {"Transfer-Encoding": "chunked"}
    answer = await client.ask("/_matrix/client/v3/login", "POST", headers=headers, pieces=(b"12345", b"678901"))
    assert (answer.status, answer.json["errcode"]) == (413, "M_TOO_LARGE")
    assert answer.headers["connection"] == "close"


async def test_a_picture_may_be_larger(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrixproxy, "MAX_BODY", 10)
    sent = {"Content-Length": "11"}
    assert (await client.ask("/_matrix/media/v3/upload", "POST", headers=sent, pieces=(b"12345678901",))).status == 200


async def test_an_address_has_so_many_requests_at_once(
    client: Client, homeserver: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrixproxy, "MOST_PER_NETWORK", 2)
    homeserver.hold = asyncio.Event()
    open_ = [asyncio.create_task(client.ask("/_matrix/client/v3/sync")) for _ in range(2)]
    while len(homeserver.requests) < 2:
        await asyncio.sleep(0)
    refused = await client.ask("/_matrix/client/v3/sync")
    assert (refused.status, refused.json["retry_after_ms"]) == (429, 5000)
    homeserver.hold.set()
    assert (await client.ask("/_matrix/client/v3/sync", address="192.0.2.8")).status == 200
    assert [(await task).status for task in open_] == [200, 200]
    assert (await client.ask("/_matrix/client/v3/sync")).status == 200


async def test_who_leaves_takes_the_request_along(client: Client, homeserver: Homeserver) -> None:
    homeserver.hold = asyncio.Event()
    asking = asyncio.create_task(client.ask("/_matrix/client/v3/sync"))
    while not homeserver.requests:
        await asyncio.sleep(0)
    client.leave.set()
    answer = await asking
    assert (answer.messages, homeserver.left) == ([], 1)


async def test_without_a_homeserver_nothing_is_there() -> None:
    proxy = MatrixProxy()
    assert proxy.handles("/_matrix/client/versions", b"")
    assert not proxy.handles("/demo", b"")
    assert (await Client(proxy).ask("/_matrix/client/versions")).status == 404
    await proxy.stop()
