"""Signing in and out, the set-up link and the session cookie, as a browser and as a page of another site see them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from structlog.testing import capture_logs
from tests.support.accounts import PASSWORD, add_user, cheap_passwords
from tests.support.clock import FakeClock
from tests.support.database import prepare

from ghostlive.access.authorizer import Authorizer
from ghostlive.access.decision import Action
from ghostlive.access.limits import TooBusyError
from ghostlive.access.sessions import Sessions
from ghostlive.access.setup import make_setup_link
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.sessions import SessionRepository
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import Role, UserRepository
from ghostlive.hub.hub import Hub
from ghostlive.web.application import WebApplication
from ghostlive.web.audience import Audience
from ghostlive.web.config import HttpConfig
from ghostlive.web.directory import StreamDirectory
from ghostlive.web.guard import Guard, client_address
from ghostlive.web.livefeed import LiveFeed
from ghostlive.web.parts import IngestAddresses, RestParts
from ghostlive.web.problems import ProblemError

HOME = "192.0.2.1"
NEW = "another fine password"


class Server:
    """The application on a database of its own; each `browser` keeps its cookies."""

    def __init__(self, database: Database, static: Path, clock: FakeClock) -> None:
        self.database = database
        self.clock = clock
        self.sessions = Sessions(database, clock, secret=bytes(32))
        self.streams = StreamRepository(database)
        self.guard = Guard(self.sessions, Authorizer(self.streams, clock).decide)
        self.static = static

    async def start(self) -> None:
        hub = Hub(clock=self.clock)
        audience = Audience(self.clock, hub.emit)
        directory = StreamDirectory(self.streams, hub, audience)
        self.setup = await make_setup_link(UserRepository(self.database), self.sessions.passwords, self.clock)
        self.app = WebApplication(
            media=cast("Any", None),
            parts=RestParts(
                config=HttpConfig(),
                hub=hub,
                records=self.streams,
                directory=directory,
                audience=audience,
                feed=LiveFeed(directory=directory, hub=hub, clock=self.clock, max_listeners=2),
                sessions=self.sessions,
                guard=self.guard,
                setup=self.setup,
                addresses=IngestAddresses("localhost", ()),
                health=dict,
                static=self.static,
            ),
        )

    def browser(self, base: str = "http://test", address: str = HOME, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(cast("Any", self.app), client=(address, 50_000))
        headers = {"user-agent": "Browser", "origin": base} | headers
        return httpx.AsyncClient(transport=transport, base_url=base, headers=headers)


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    cheap_passwords(monkeypatch)
    prepare(tmp_path)
    async with Database(DatabaseConfig(), tmp_path) as database:
        server = Server(database, tmp_path, FakeClock())
        await add_user(database)
        await server.start()
        yield server


@pytest.fixture
async def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """A server without accounts."""
    cheap_passwords(monkeypatch)
    prepare(tmp_path)
    async with Database(DatabaseConfig(), tmp_path) as database:
        server = Server(database, tmp_path, FakeClock())
        await server.start()
        yield server


async def _sign_in(browser: httpx.AsyncClient, name: str = "ann", password: str = PASSWORD) -> httpx.Response:
    return await browser.post("/api/v1/session", json={"name": name, "password": password})


async def _who(browser: httpx.AsyncClient) -> Any:
    return (await browser.get("/api/v1/session")).json()["user"]


def _is_problem(answer: httpx.Response, status: int) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    detail: str = answer.json()["detail"]
    assert detail
    assert not answer.headers.get_list("set-cookie")
    return detail


async def test_signing_in_and_out(server: Server) -> None:
    browser = server.browser()
    assert (await browser.get("/api/v1/session")).json() == {"user": None, "setup": False}
    answer = await _sign_in(browser)
    assert (answer.status_code, answer.json()) == (200, {"user": {"name": "ann", "role": "owner"}})
    assert answer.headers["cache-control"] == "no-store"
    assert await _who(browser) == {"name": "ann", "role": "owner"}
    token = browser.cookies["ghostlive_session"]
    assert (await browser.delete("/api/v1/session")).status_code == 204
    assert "ghostlive_session" not in browser.cookies
    assert await _who(browser) is None
    assert await server.sessions.identify(token) is None
    assert (await browser.delete("/api/v1/session")).status_code == 204


@pytest.mark.parametrize("name", ["Ann", " ann ", "ANN\n"])
async def test_names_are_taken_as_phones_write_them(server: Server, name: str) -> None:
    assert (await _sign_in(server.browser(), name)).status_code == 200


@pytest.mark.parametrize(("base", "secure"), [("http://test", False), ("https://test", True)])
async def test_the_cookie_is_for_this_server_alone(server: Server, base: str, secure: bool) -> None:
    browser = server.browser(base)
    session, mark = (await _sign_in(browser)).headers.get_list("set-cookie")
    parts = {part.strip().lower() for part in session.split(";")[1:]}
    assert session.startswith("ghostlive_session=")
    assert parts == {"httponly", "samesite=lax", "path=/", "max-age=2592000"} | ({"secure"} if secure else set())
    parts = {part.strip().lower() for part in mark.split(";")[1:]}
    assert mark.startswith("ghostlive_browser=")
    assert {"httponly", "samesite=strict", "path=/api/v1/session"} <= parts
    assert ("secure" in parts) is secure
    [again] = (await browser.get("/api/v1/session")).headers.get_list("set-cookie")
    assert again == session
    [gone] = (await browser.delete("/api/v1/session")).headers.get_list("set-cookie")
    assert "max-age=0" in gone.lower()
    assert ("secure" in gone.lower()) is secure


async def test_no_session_can_be_fixed(server: Server) -> None:
    await add_user(server.database, "mallory", Role.STREAMER)
    attacker = server.browser()
    await _sign_in(attacker, "mallory")
    planted = attacker.cookies["ghostlive_session"]
    for token in (planted, "x" * 43):
        victim = server.browser()
        answer = await victim.post(
            "/api/v1/session",
            json={"name": "ann", "password": PASSWORD},
            headers={"cookie": f"ghostlive_session={token}"},
        )
        assert answer.status_code == 200
        assert victim.cookies["ghostlive_session"] != token
        assert await server.sessions.identify(token) is None


async def test_another_sign_in_ends_the_session_before(server: Server) -> None:
    browser = server.browser()
    await _sign_in(browser)
    first = browser.cookies["ghostlive_session"]
    await _sign_in(browser, "ann", "wrong")
    assert await _who(browser)
    await _sign_in(browser)
    assert browser.cookies["ghostlive_session"] != first
    assert await server.sessions.identify(first) is None


async def test_a_wrong_name_is_answered_like_a_wrong_password(server: Server) -> None:
    browser = server.browser()
    wrong = await _sign_in(browser, "ann", "wrong")
    assert _is_problem(wrong, 401) == "The name or the password is wrong."
    other = await _sign_in(browser, "bob", "wrong")
    assert other.json() == wrong.json()
    assert {name for name, _ in other.headers.items()} == {name for name, _ in wrong.headers.items()}


async def test_guessing_is_answered_with_when_to_come_again(server: Server) -> None:
    stranger, known = server.browser(address="203.0.113.1"), server.browser(address="203.0.113.1")
    await _sign_in(known)
    await known.delete("/api/v1/session")
    for _ in range(10):
        await _sign_in(stranger, "ann", "wrong")
    answer = await _sign_in(stranger)
    assert "Too many attempts" in _is_problem(answer, 429)
    assert answer.headers["retry-after"] == "60"
    # The mark of its browser lets the owner in from the very address.
    assert (await _sign_in(known)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '"ann"',
        "{}",
        '{"name": "ann"}',
        '{"name": 1, "password": "x"}',
        '{"name": null, "password": null}',
        '{"name": "\\ud800", "password": "x"}',
        '{"name": "' + "a" * 65 + '", "password": "x"}',
        '{"name": "ann", "password": "' + "SECRET" * 200 + '"}',
        "[" * 30_000,
        b"\xff\xfe",
    ],
)
async def test_bodies_that_are_none_are_refused(server: Server, body: str | bytes) -> None:
    browser = server.browser(**{"content-type": "application/json"})
    for path in ("/api/v1/session", "/api/v1/setup"):
        answer = await browser.post(path, content=body)
        assert answer.status_code in (400, 422)
        assert "SECRET" not in _is_problem(answer, answer.status_code)


async def test_another_password(server: Server) -> None:
    mine, other = server.browser(), server.browser()
    await _sign_in(mine)
    await _sign_in(other)
    assert "Sign in first" in _is_problem(
        await server.browser().post("/api/v1/password", json={"current": PASSWORD, "new": NEW}), 401
    )
    assert "current password is wrong" in _is_problem(
        await mine.post("/api/v1/password", json={"current": "wrong", "new": NEW}), 403
    )
    assert "at least 10 characters" in _is_problem(
        await mine.post("/api/v1/password", json={"current": PASSWORD, "new": "short"}), 422
    )
    assert await _who(other)
    assert (await mine.post("/api/v1/password", json={"current": PASSWORD, "new": NEW})).status_code == 204
    assert await _who(mine)
    assert await _who(other) is None
    assert (await _sign_in(other)).status_code == 401
    assert (await _sign_in(other, "ann", NEW)).status_code == 200
    for _ in range(10):
        await mine.post("/api/v1/password", json={"current": "wrong", "new": NEW})
    answer = await mine.post("/api/v1/password", json={"current": NEW, "new": NEW + "!"})
    assert _is_problem(answer, 429)
    assert int(answer.headers["retry-after"]) == 60


async def test_the_set_up_link_makes_the_owner_once(fresh: Server) -> None:
    assert fresh.setup is not None
    browser = fresh.browser()
    assert (await browser.get("/api/v1/session")).json() == {"user": None, "setup": True}
    owner = {"token": fresh.setup.token, "name": "Ann", "password": PASSWORD}
    assert "Copy it again" in _is_problem(await browser.post("/api/v1/setup", json=owner | {"token": "x"}), 403)
    assert "cannot name a user" in _is_problem(await browser.post("/api/v1/setup", json=owner | {"name": "a b"}), 422)
    assert "at least 10" in _is_problem(await browser.post("/api/v1/setup", json=owner | {"password": "x"}), 422)
    answer = await browser.post("/api/v1/setup", json=owner)
    assert (answer.status_code, answer.json()) == (201, {"user": {"name": "ann", "role": "owner"}})
    assert await _who(browser) == {"name": "ann", "role": "owner"}
    other = fresh.browser()
    assert (await other.get("/api/v1/session")).json() == {"user": None, "setup": False}
    assert "has been used" in _is_problem(await other.post("/api/v1/setup", json=owner), 403)
    assert (await _sign_in(other)).status_code == 200


async def test_a_set_up_link_that_is_too_old_says_what_to_do(fresh: Server) -> None:
    assert fresh.setup is not None
    fresh.clock.advance(3600)
    owner = {"token": fresh.setup.token, "name": "ann", "password": PASSWORD}
    detail = _is_problem(await fresh.browser().post("/api/v1/setup", json=owner), 403)
    assert "Restart the server" in detail
    assert "ghostlive user add NAME --role owner" in detail
    assert (await fresh.browser().get("/api/v1/session")).json()["setup"] is True


async def test_there_is_no_set_up_on_a_server_with_accounts(server: Server) -> None:
    owner = {"token": "x", "name": "bob", "password": PASSWORD}
    assert "There is an account already" in _is_problem(await server.browser().post("/api/v1/setup", json=owner), 403)


async def test_a_session_ends_after_thirty_days_without_use(server: Server) -> None:
    browser = server.browser()
    await _sign_in(browser)
    for _ in range(3):
        server.clock.advance(29 * 86_400)
        assert await _who(browser)
    server.clock.advance(30 * 86_400 + 1)
    assert await _who(browser) is None


async def test_a_database_that_does_not_answer_is_said_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = server.browser()
    await _sign_in(browser)

    async def locked(*_: object, **__: object) -> None:
        raise OperationalError("STATEMENT", {}, Exception("database is locked"))

    for name in ("find", "add", "remove"):
        monkeypatch.setattr(SessionRepository, name, locked)
    for call in (
        browser.get("/api/v1/session"),
        browser.delete("/api/v1/session"),
        _sign_in(browser),
        browser.post("/api/v1/password", json={"current": PASSWORD, "new": NEW}),
    ):
        answer = await call
        assert "try again" in _is_problem(answer, 503)
        assert answer.headers["retry-after"] == "5"
    monkeypatch.undo()
    assert await _who(browser)


async def test_too_many_at_once_are_told_to_wait(fresh: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object, **__: object) -> str:
        raise TooBusyError("The server has too many sign-ins to check.")

    assert fresh.setup is not None
    with monkeypatch.context() as patch:
        patch.setattr(fresh.sessions.passwords, "hash", full)
        patch.setattr(fresh.sessions.passwords, "verify", full)
        owner = {"token": fresh.setup.token, "name": "ann", "password": PASSWORD}
        for call in (fresh.browser().post("/api/v1/setup", json=owner), _sign_in(fresh.browser())):
            answer = await call
            assert _is_problem(answer, 429)
            assert answer.headers["retry-after"] == "5"
    browser = fresh.browser()
    await browser.post("/api/v1/setup", json=owner)
    with monkeypatch.context() as patch:
        patch.setattr(fresh.sessions.passwords, "hash", full)
        answer = await browser.post("/api/v1/password", json={"current": PASSWORD, "new": NEW})
        assert _is_problem(answer, 429)


async def test_no_secret_is_in_the_log(fresh: Server) -> None:
    assert fresh.setup is not None
    browser = fresh.browser()
    with capture_logs() as lines:
        await browser.post("/api/v1/setup", json={"token": fresh.setup.token, "name": "ann", "password": PASSWORD})
        await _sign_in(browser)
        await _sign_in(browser, "ann", "hunter2hunter2")
        await _sign_in(browser, "hunter2hunter2", "ann")
        await browser.post("/api/v1/password", json={"current": PASSWORD, "new": NEW})
        await browser.delete("/api/v1/session")
    assert len(lines) >= 5
    for secret in (fresh.setup.token, PASSWORD, NEW, "hunter2hunter2", *browser.cookies.values()):
        assert secret not in str(lines)


# The guard.


def _request(token: str | None) -> Request:
    headers = [(b"cookie", f"other=1; ghostlive_session={token}".encode())] if token else []
    return Request({"type": "http", "headers": headers, "client": (HOME, 1)})


async def test_the_guard_lets_through_who_may(server: Server) -> None:
    await add_user(server.database, "bob", Role.MODERATOR)
    await server.streams.add("demo")
    token = {
        name: (await server.sessions.sign_in(name, PASSWORD, address=HOME, agent="")).token for name in ("ann", "bob")
    }
    require = server.guard.require
    assert (await require(_request(token["ann"]), Action.MANAGE, "demo")).name == "ann"
    assert (await require(_request(token["bob"]), Action.MODERATE, "demo")).name == "bob"
    for who, action, stream, status in (
        (None, Action.MANAGE, "demo", 401),
        ("x" * 43, Action.CREATE, None, 401),
        (None, Action.PLAY, "demo", 401),
        (token["bob"], Action.MANAGE, "demo", 403),
        (token["bob"], Action.CREATE, None, 403),
        (token["ann"], Action.MANAGE, "none", 404),
    ):
        with pytest.raises(ProblemError) as refused:
            await require(_request(who), action, stream)
        assert refused.value.status == status


def test_a_request_without_a_peer_has_no_address() -> None:
    assert client_address(Request({"type": "http", "headers": [], "client": None})) == ""


# Pages of other sites.

OTHER_SITES: list[tuple[dict[str, str], int]] = [
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "cross-site", "origin": "http://test"}, 403),
    ({"sec-fetch-site": "same-site"}, 403),
    ({"sec-fetch-site": "same-site", "origin": "http://other.test"}, 403),
    ({"sec-fetch-site": "same-origin, cross-site"}, 403),
    ({"sec-fetch-site": ""}, 403),
    ({"origin": "http://evil.example"}, 403),
    ({"origin": "http://test.evil.example"}, 403),
    ({"origin": "http://test:8081"}, 403),
    ({"origin": "http://test@evil.example"}, 403),
    ({"origin": "http://evil.example#test"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": ""}, 403),
    ({"origin": "file://"}, 403),
    ({"origin": "http://[test"}, 403),
    ({"origin": "http://test, http://evil.example"}, 403),
    ({"content-type": "text/plain"}, 415),
    ({"content-type": "application/x-www-form-urlencoded"}, 415),
    ({"content-type": "multipart/form-data; boundary=x"}, 415),
    ({"content-type": "text/plain; application/json"}, 415),
    ({"content-type": "application/json-seq"}, 415),
    ({"content-type": ""}, 415),
]


async def _unsafe_routes(server: Server) -> list[tuple[str, str]]:
    paths = (await server.browser().get("/api/openapi.json")).json()["paths"]
    return [
        (method.upper(), path.replace("{name}", "demo").replace("{key_id}", "1").replace("{ban_id}", "1"))
        for path, operations in paths.items()
        for method in operations
        if method not in ("get", "head", "options")
    ]


@pytest.mark.parametrize(("headers", "status"), OTHER_SITES)
async def test_pages_of_other_sites_change_nothing(server: Server, headers: dict[str, str], status: int) -> None:
    await server.streams.add("demo")
    browser = server.browser()
    await _sign_in(browser)
    del browser.headers["origin"]
    routes = await _unsafe_routes(server)
    assert len(routes) >= 9
    for method, path in [*routes, ("POST", "/api/v1/nothing"), ("PUT", "/api/v1/session"), ("POST", "/api")]:
        answer = await browser.request(
            method, path, headers={"content-type": "application/json"} | headers, content=b'{"name": "x"}'
        )
        assert answer.status_code == status, (method, path)
        _is_problem(answer, status)
    assert await _who(browser)
    assert len(await server.streams.list()) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": "http://behind-a-proxy.example"},
        {"sec-fetch-site": "none"},
        {"origin": "http://test"},
        {"origin": "HTTP://TEST"},
        {"origin": "http://test:80"},
        {},  # no browser
    ],
)
async def test_our_own_pages_and_programs_come_through(server: Server, headers: dict[str, str]) -> None:
    browser = server.browser()
    del browser.headers["origin"]
    browser.headers.update(headers)
    assert (await _sign_in(browser)).status_code == 200
    assert (await browser.delete("/api/v1/session")).status_code == 204


async def test_another_port_is_another_site(server: Server) -> None:
    assert (await _sign_in(server.browser("http://test:8080"))).status_code == 200
    assert (await _sign_in(server.browser("http://test:8080", origin="http://test"))).status_code == 403
    assert (await _sign_in(server.browser("http://[2001:db8::1]:8080"))).status_code == 200


async def test_content_types_may_have_parameters(server: Server) -> None:
    browser = server.browser(**{"content-type": "Application/JSON; charset=utf-8"})
    body = f'{{"name": "ann", "password": "{PASSWORD}"}}'
    assert (await browser.post("/api/v1/session", content=body)).status_code == 200


async def test_bodies_are_small(server: Server) -> None:
    browser = server.browser(**{"content-type": "application/json"})

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b" " * 1024

    for content in (b" " * 65_537, pieces()):
        answer = await browser.post("/api/v1/session", content=content)
        assert "64 KiB" in _is_problem(answer, 413)
        assert answer.headers["connection"] == "close"
    answer = await browser.post("/api/v1/session", content=b"{}", headers={"content-length": "9" * 5000})
    assert _is_problem(answer, 413)
    body = f'{{"name": "ann", "password": "{PASSWORD}"}}'.encode().ljust(65_536)
    assert (await browser.post("/api/v1/session", content=body)).status_code == 200


async def test_a_body_without_a_length_needs_its_type_too(server: Server) -> None:
    async def piece() -> AsyncIterator[bytes]:
        yield b"name=ann"

    browser = server.browser()
    request = browser.build_request("POST", "/api/v1/session", content=piece())
    del request.headers["transfer-encoding"]
    assert _is_problem(await browser.send(request), 415)


async def test_who_leaves_before_the_end_of_the_body_is_forgotten(server: Server) -> None:
    sent = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/v1/session", "headers": [], "query_string": b""}
    await server.app(scope, receive, send)
    assert sent == []


async def test_reading_needs_none_of_that(server: Server) -> None:
    browser = server.browser(**{"sec-fetch-site": "cross-site", "origin": "http://evil.example"})
    assert (await browser.get("/api/v1/streams")).status_code == 200
