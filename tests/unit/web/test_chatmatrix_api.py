"""How the Matrix room of a stream is, over the API."""

from typing import Any, cast

import httpx
from fastapi import FastAPI
from starlette.responses import Response

from ghostlive.access.decision import Action, Identity
from ghostlive.chat.errors import UnavailableError
from ghostlive.chat.matrix.bridge import ChatMatrixState, Problem
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.db.users import Role
from ghostlive.web.api.chatmatrix import chat_matrix_routes
from ghostlive.web.guard import Guard
from ghostlive.web.problems import ProblemError

PATH = "/streams/demo/chat/matrix"


class _Rooms:
    """What the API asks."""

    def __init__(self) -> None:
        self.mode: Any = "managed"
        self.state: ChatMatrixState | None = None
        self.repaired: list[str] = []
        self.away = False

    async def room_state(self, stream: str) -> ChatMatrixState | None:
        assert stream == "demo"
        return self.state

    async def repair_room(self, stream: str) -> ChatMatrixState | None:
        if self.away:
            raise UnavailableError("The homeserver does not answer.")
        self.repaired.append(stream)
        return self.state


class _Guard:
    def __init__(self) -> None:
        self.asked: list[tuple[Action, str | None]] = []
        self.refuses = False

    async def require(self, _request: object, action: Action, stream: str | None = None) -> Identity:
        self.asked.append((action, stream))
        if self.refuses:
            raise ProblemError(403, "no")
        return Identity(1, "olga", Role.OWNER)


async def _ask(rooms: _Rooms, guard: _Guard, method: str, path: str = PATH) -> httpx.Response:
    app = FastAPI()
    app.include_router(chat_matrix_routes(rooms, cast("ModerationDesk", None), cast("Guard", guard)))

    async def problem(_request: object, error: Exception) -> Any:
        return Response(str(error), cast("ProblemError", error).status)

    app.add_exception_handler(ProblemError, problem)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.request(method, path)


async def test_a_room_with_its_lag_and_what_is_wrong() -> None:
    rooms, guard = _Rooms(), _Guard()
    rooms.state = ChatMatrixState(
        "broken", "#live_demo:chat.test", "!a", "https://matrix.to/#/x", 12, 3.456, (Problem("powerless", "Help!"),)
    )
    answer = await _ask(rooms, guard, "GET")
    assert answer.json() == {
        "mode": "managed",
        "state": "broken",
        "alias": "#live_demo:chat.test",
        "room_id": "!a",
        "link": "https://matrix.to/#/x",
        "waiting": 12,
        "lag": 3.5,
        "broken": [{"code": "powerless", "text": "Help!"}],
    }
    assert answer.headers["cache-control"] == "no-store"
    assert guard.asked == [(Action.MODERATE, "demo")]


async def test_no_matrix_and_not_yet() -> None:
    rooms, guard = _Rooms(), _Guard()
    assert (await _ask(rooms, guard, "GET")).json()["state"] == "starting"
    rooms.mode = "off"
    assert (await _ask(rooms, guard, "GET")).json()["state"] == "off"


async def test_a_repair_is_for_who_manages_the_stream_and_needs_the_homeserver() -> None:
    rooms, guard = _Rooms(), _Guard()
    rooms.state = ChatMatrixState("ok", "#live_demo:chat.test", "!a", "", 0, 0.0)
    answer = await _ask(rooms, guard, "POST", f"{PATH}/repair")
    assert answer.json()["state"] == "ok"
    assert rooms.repaired == ["demo"]
    assert guard.asked == [(Action.MANAGE, "demo")]
    rooms.away = True
    answer = await _ask(rooms, guard, "POST", f"{PATH}/repair")
    assert answer.status_code == 503
    assert "does not answer" in answer.text
    guard.refuses = True
    rooms.away = False
    assert (await _ask(rooms, guard, "POST", f"{PATH}/repair")).status_code == 403
    assert rooms.repaired == ["demo"]
