"""The receiver of what the homeserver says."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest
from structlog.testing import capture_logs

from ghostlive.chat.errors import BusyError
from ghostlive.chat.matrix import receiver as module
from ghostlive.chat.matrix.events import RoomEvent
from ghostlive.chat.matrix.receiver import Receiver

EVENT = {"event_id": "$1", "room_id": "!r", "type": "m.x", "sender": "@a:b", "content": {}, "origin_server_ts": 5}
OTHER = EVENT | {"event_id": "$2"}


class Bridge:
    """Takes transactions and questions, as the real one would."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, list[str]]] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.asked: list[str] = []
        self.known = True

    async def transaction(self, txn_id: str, events: Sequence[RoomEvent]) -> None:
        self.taken.append((txn_id, [event.event_id for event in events]))
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error

    async def alias_wanted(self, alias: str) -> bool:
        self.asked.append(alias)
        return self.known

    async def user_wanted(self, mxid: str) -> bool:
        self.asked.append(mxid)
        return self.known


class Homeserver:
    """Asks the receiver."""

    def __init__(self, bridge: Bridge) -> None:
        self.receiver = Receiver(hs_token="secret", transactions=bridge, lazy=bridge)
        transport = httpx.ASGITransport(app=self.receiver)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://receiver.test")

    async def ask(
        self, method: str, path: str, body: object = None, *, token: str | None = "Bearer secret"
    ) -> tuple[int, dict[str, object]]:
        headers = {} if token is None else {"authorization": token}
        content = body if isinstance(body, bytes) else None
        json = None if isinstance(body, bytes) else body
        answer = await self._http.request(method, path, json=json, content=content, headers=headers)
        return answer.status_code, answer.json()

    async def push(self, txn_id: str, *events: object, prefix: str = "/_matrix/app/v1") -> int:
        return (await self.ask("PUT", f"{prefix}/transactions/{txn_id}", {"events": list(events)}))[0]


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
def homeserver(bridge: Bridge) -> Homeserver:
    return Homeserver(bridge)


async def test_a_transaction_is_taken_once(homeserver: Homeserver, bridge: Bridge) -> None:
    assert await homeserver.push("1", EVENT, {"nonsense": 1}, OTHER) == 200
    assert await homeserver.push("1", EVENT | {"unsigned": {"age": 9}}, {"nonsense": 1}, OTHER) == 200
    assert [events for _, events in bridge.taken] == [["$1", "$2"]]


async def test_the_same_number_of_another_life_is_another_transaction(homeserver: Homeserver, bridge: Bridge) -> None:
    await homeserver.push("1", EVENT)
    await homeserver.push("1", OTHER)
    assert [events for _, events in bridge.taken] == [["$1"], ["$2"]]
    assert len({txn_id for txn_id, _ in bridge.taken}) == 2


@pytest.mark.parametrize(
    ("error", "level"), [(RuntimeError("a mistake of ours"), "error"), (BusyError("locked", 5.0), "warning")]
)
async def test_what_was_not_stored_is_not_acknowledged(
    homeserver: Homeserver, bridge: Bridge, error: Exception, level: str
) -> None:
    bridge.error = error
    with capture_logs() as logs:
        assert await homeserver.push("1", EVENT) == 500
    assert [line["log_level"] for line in logs] == [level]
    bridge.error = None
    assert await homeserver.push("1", EVENT) == 200
    assert len(bridge.taken) == 2
    assert bridge.taken[0] == bridge.taken[1]


async def test_one_at_a_time_and_the_same_again_waits_for_the_first(homeserver: Homeserver, bridge: Bridge) -> None:
    bridge.gate = asyncio.Event()
    pushes = [asyncio.create_task(homeserver.push("1", EVENT)) for _ in range(2)]
    pushes.append(asyncio.create_task(homeserver.push("2", OTHER)))
    while not bridge.taken:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(bridge.taken) == 1
    bridge.gate.set()
    assert await asyncio.gather(*pushes) == [200, 200, 200]
    assert [events for _, events in bridge.taken] == [["$1"], ["$2"]]


@pytest.mark.parametrize("prefix", ["/_matrix/app/v1", "/_matrix/app/unstable", ""])
async def test_older_paths_work(homeserver: Homeserver, bridge: Bridge, prefix: str) -> None:
    assert homeserver.receiver.handles(f"{prefix}/transactions/1")
    assert await homeserver.push("1", EVENT, prefix=prefix) == 200
    status, _ = await homeserver.ask("GET", f"{prefix}/rooms/%23live_a%2Fb%3Achat.test")
    assert (status, bridge.asked) == (200, ["#live_a/b:chat.test"])


@pytest.mark.parametrize(
    "path", ["/", "/demo", "/transactions", "/transactions/1/2", "/rooms/x", "/users/x", "/_matrix/client/v3/x"]
)
def test_other_paths_are_not_ours(homeserver: Homeserver, path: str) -> None:
    assert not homeserver.receiver.handles(path)


async def test_only_the_homeserver_is_heard(homeserver: Homeserver, bridge: Bridge) -> None:
    path = "/_matrix/app/v1/transactions/1"
    for token, status in (
        (None, 401),
        ("Bearer ", 401),
        ("Basic secret", 401),
        ("Bearer Secret", 403),
        ("Bearer secret2", 403),
    ):
        assert (await homeserver.ask("PUT", path, {"events": []}, token=token))[0] == status
    assert (await homeserver.ask("PUT", f"{path}?access_token=secret", {"events": []}, token=None))[0] == 401
    assert bridge.taken == []
    assert (await homeserver.ask("PUT", path, {"events": []}, token="bearer secret"))[0] == 200


async def test_questions_are_answered(homeserver: Homeserver, bridge: Bridge) -> None:
    assert await homeserver.ask("GET", "/_matrix/app/v1/users/%40_ghostlive%3Achat.test") == (200, {})
    bridge.known = False
    status, body = await homeserver.ask("GET", "/_matrix/app/v1/rooms/%23live_x%3Achat.test")
    assert (status, body["errcode"]) == (404, "M_NOT_FOUND")
    assert bridge.asked == ["@_ghostlive:chat.test", "#live_x:chat.test"]


async def test_ping(homeserver: Homeserver) -> None:
    assert await homeserver.ask("POST", "/_matrix/app/v1/ping", {"transaction_id": "x"}) == (200, {})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_matrix/app/v1/transactions/1", 405),
        ("PUT", "/_matrix/app/v1/transactions/", 400),
        ("PUT", f"/_matrix/app/v1/transactions/{'x' * 200}", 400),
        ("GET", "/_matrix/app/v1/thirdparty/location", 404),
        ("GET", "/_matrix/app/v1/nothing", 404),
        ("GET", "/_matrix/app/v2/ping", 404),
    ],
)
async def test_what_is_not_there(homeserver: Homeserver, method: str, path: str, status: int) -> None:
    assert (await homeserver.ask(method, path))[0] == status


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"events": 5}', b"{}", b"\xff", b"[" * 100_000])
async def test_what_is_no_transaction_is_refused(homeserver: Homeserver, bridge: Bridge, body: bytes) -> None:
    status, answer = await homeserver.ask("PUT", "/_matrix/app/v1/transactions/1", body)
    assert status == 400
    assert str(answer["errcode"]).startswith("M_")
    assert bridge.taken == []


async def test_a_body_has_an_end(homeserver: Homeserver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRANSACTION", 1000)
    status, answer = await homeserver.ask("PUT", "/_matrix/app/v1/transactions/1", b" " * 1001)
    assert (status, answer["errcode"]) == (413, "M_TOO_LARGE")
