"""The homeserver in memory refuses and forgets what Synapse refuses and forgets: other tests stand on that."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_rooms import RejectionError

GHOST = "@_ghostlive_g_one:chat.test"


class Api:
    """Requests of the application service, without the client that is to be tested elsewhere."""

    def __init__(self, homeserver: FakeHomeserver) -> None:
        self._http = httpx.AsyncClient(transport=homeserver.transport, base_url=homeserver.url)
        self._token = homeserver.as_token

    async def ask(self, method: str, path: str, body: Any = None, **params: str) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {self._token}"}
        answer = await self._http.request(
            method, f"/_matrix/client/v3/{path}", json=body, params=params, headers=headers
        )
        return answer.status_code, answer.json()

    async def room(self, **body: Any) -> str:
        status, answer = await self.ask("POST", "createRoom", {"preset": "public_chat", **body})
        assert status == 200
        return str(answer["room_id"])

    async def ghost(self, room_id: str, **body: Any) -> None:
        registration = {"type": "m.login.application_service", "username": "_ghostlive_g_one", "inhibit_login": True}
        assert (await self.ask("POST", "register", registration | body))[0] == 200
        assert (await self.ask("POST", f"join/{room_id}", user_id=GHOST))[0] == 200


class Receiver:
    """Takes transactions, or not."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.asked: list[str] = []
        self.status = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method == "GET":
            self.asked.append(scope["path"])
        elif self.status == 200:
            self.taken += [event["type"] for event in (await request.json())["events"]]
        await JSONResponse({}, self.status)(scope, receive, send)


@pytest.fixture
def homeserver() -> FakeHomeserver:
    return FakeHomeserver()


@pytest.fixture
def api(homeserver: FakeHomeserver) -> Api:
    return Api(homeserver)


async def test_a_creator_of_version_12_stands_above_all_levels(homeserver: FakeHomeserver, api: Api) -> None:
    room = homeserver.room(await api.room())
    assert room.version == "12"
    assert ":" not in room.id
    assert room.power(homeserver.bot) == float("inf")


async def test_in_version_12_a_creator_is_not_listed_and_the_failed_call_keeps_the_alias(
    homeserver: FakeHomeserver, api: Api
) -> None:
    body = {"room_alias_name": "live_demo", "power_level_content_override": {"users": {homeserver.bot: 100}}}
    status, answer = await api.ask("POST", "createRoom", body)
    assert (status, answer["error"]) == (400, f"Creator user {homeserver.bot} must not appear in content.users")
    status, answer = await api.ask("POST", "createRoom", {"room_alias_name": "live_demo"})
    assert (status, answer["errcode"]) == (400, "M_ROOM_IN_USE")


async def test_in_version_11_a_creator_has_to_be_listed(homeserver: FakeHomeserver, api: Api) -> None:
    body = {"room_version": "11", "power_level_content_override": {"users": {"@alice:chat.test": 90}}}
    assert (await api.ask("POST", "createRoom", body))[0] == 400
    room = homeserver.room(await api.room(room_version="11"))
    assert room.power(homeserver.bot) == 100
    assert room.id.endswith(":chat.test")


async def test_nobody_gives_more_than_they_have(homeserver: FakeHomeserver, api: Api) -> None:
    alice, bob = homeserver.user("alice"), homeserver.user("bob")
    levels = {"users": {alice.mxid: 90}, "events": {"m.room.power_levels": 90}}
    room_id = await api.room(power_level_content_override=levels)
    await alice.join(room_id)
    await bob.join(room_id)
    await alice.set_power(room_id, bob.mxid, 50)
    with pytest.raises(RejectionError, match="ops level greater"):
        await alice.set_power(room_id, bob.mxid, 100)
    with pytest.raises(RejectionError, match="cannot ban"):
        await bob.ban(room_id, homeserver.bot)
    with pytest.raises(RejectionError, match="have permission"):
        await bob.set_power(room_id, alice.mxid, 0)


async def test_who_is_banned_neither_sends_nor_comes_back(homeserver: FakeHomeserver, api: Api) -> None:
    alice = homeserver.user("alice")
    room_id = await api.room(power_level_content_override={"users": {alice.mxid: 90}})
    await api.ghost(room_id)
    await alice.join(room_id)
    await alice.ban(room_id, GHOST, "spam")
    status, answer = await api.ask("PUT", f"rooms/{room_id}/send/m.room.message/1", {"body": "hi"}, user_id=GHOST)
    assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")
    status, answer = await api.ask("POST", f"join/{room_id}", user_id=GHOST)
    assert (status, answer["errcode"]) == (403, "M_BAD_STATE")


async def test_a_ghost_has_to_be_registered_and_in_the_namespace(api: Api) -> None:
    room_id = await api.room()
    status, _ = await api.ask("POST", f"join/{room_id}", user_id=GHOST)
    assert status == 403
    body = {"type": "m.login.application_service", "username": "alice"}
    status, answer = await api.ask("POST", "register", body)
    assert (status, answer["errcode"]) == (400, "M_EXCLUSIVE")


async def test_a_transaction_id_counts_until_the_restart_unless_there_is_a_device(
    homeserver: FakeHomeserver, api: Api
) -> None:
    room_id = await api.room()
    await api.ghost(room_id, inhibit_login=False, device_id="GHOSTLIVE")
    path = f"rooms/{room_id}/send/m.room.message/7"
    for params in ({"user_id": GHOST}, {"user_id": GHOST, "device_id": "GHOSTLIVE"}):
        _, first = await api.ask("PUT", path, {"body": "hi"}, **params)
        assert (await api.ask("PUT", path, {"body": "hi"}, **params))[1] == first
        homeserver.restart()
    # Without a device it is sent again under the same id after the restart; with one it is known.
    assert homeserver.room(room_id).bodies() == ["hi", "hi"]
    await api.ask("PUT", path, {"body": "hi"}, user_id=GHOST, device_id="GHOSTLIVE")
    assert homeserver.room(room_id).bodies() == ["hi", "hi"]


async def test_faults_are_met_by_whom_they_are_meant_for(homeserver: FakeHomeserver, api: Api) -> None:
    homeserver.fail(503, path="/createRoom")
    homeserver.limit(retry_after_ms=200, path="/createRoom")
    assert (await api.ask("GET", "account/whoami"))[0] == 200
    assert (await api.ask("POST", "createRoom", {}))[0] == 503
    status, answer = await api.ask("POST", "createRoom", {})
    assert (status, answer["retry_after_ms"]) == (429, 200)
    homeserver.lose_answers(path="/createRoom")
    with pytest.raises(httpx.ReadTimeout):
        await api.ask("POST", "createRoom", {})
    assert len(homeserver.rooms) == 1
    gate = homeserver.hold("/createRoom", times=1)
    request = asyncio.create_task(api.ask("POST", "createRoom", {}))
    await asyncio.sleep(0)
    assert len(homeserver.rooms) == 1
    gate.set()
    assert (await request)[0] == 200
    homeserver.dead = True
    with pytest.raises(httpx.ConnectError):
        await api.ask("GET", "account/whoami")
    homeserver.heal()
    assert (await api.ask("GET", "account/whoami"))[0] == 200


async def test_a_transaction_comes_again_until_it_is_taken(homeserver: FakeHomeserver, api: Api) -> None:
    receiver = Receiver()
    homeserver.connect(receiver)
    await api.room()
    receiver.status = 500
    assert await homeserver.push() == 0
    receiver.status = 200
    assert await homeserver.push() == len(receiver.taken)
    assert receiver.taken[:3] == ["m.room.create", "m.room.member", "m.room.power_levels"]
    assert homeserver.pushed[0][0] == "1"


async def test_transactions_go_by_themselves(homeserver: FakeHomeserver, api: Api) -> None:
    receiver = Receiver()
    homeserver.connect(receiver)
    async with homeserver.pushing():
        await api.room()
        await homeserver.idle()
    assert "m.room.join_rules" in receiver.taken


async def test_an_unknown_alias_is_asked_for(homeserver: FakeHomeserver) -> None:
    receiver = Receiver()
    homeserver.connect(receiver)
    with pytest.raises(RejectionError, match="not found"):
        await homeserver.user("alice").join("#live_demo:chat.test")
    assert receiver.asked == ["/_matrix/app/v1/rooms/#live_demo:chat.test"]
