"""`/api/v1/streams/{name}/chat/matrix`: how the Matrix room of a stream's chat is, and having it repaired."""

from typing import Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from ghostlive.access.decision import Action
from ghostlive.chat.errors import ChatError
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.web.api.chatdoor import ChatDoor
from ghostlive.web.api.problem import MANAGED, no_store
from ghostlive.web.guard import Guard
from ghostlive.web.parts import MatrixRooms, RoomState
from ghostlive.web.problems import ProblemError


class RoomProblem(BaseModel):
    """Something that needs somebody."""

    code: str
    text: str


class ChatMatrix(BaseModel):
    """The Matrix room of a stream's chat."""

    mode: Literal["managed", "external", "off"]
    state: Literal["ok", "starting", "away", "broken", "off"] = Field(
        description="`away` is the homeserver, `broken` the room; with `off` there is none"
    )
    alias: str = ""
    room_id: str | None = None
    link: str = Field(default="", description="For people who want to choose their Matrix client")
    waiting: int = Field(default=0, description="Messages of the page that the homeserver has not got yet")
    lag: float = Field(default=0.0, description="Seconds since the oldest of them was said")
    broken: list[RoomProblem] = []


def chat_matrix_routes(rooms: MatrixRooms, desk: ModerationDesk, guard: Guard) -> APIRouter:
    """Routes for those who moderate a stream's chat, also if they were named for this one only."""
    router = APIRouter(prefix="/streams/{name}/chat/matrix", tags=["chat"], dependencies=[Depends(no_store)])
    door = ChatDoor(guard, desk)

    @router.get("", responses=MANAGED)
    async def get_matrix(name: str, request: Request) -> ChatMatrix:
        """How the room is, and how much waits for the homeserver."""
        await door.moderator(request, name)
        return _answer(rooms, await rooms.room_state(name))

    @router.post("/repair", responses=MANAGED)
    async def repair(name: str, request: Request) -> ChatMatrix:
        """Look after the room now. One that cannot be repaired is replaced by a new one."""
        await guard.require(request, Action.MANAGE, name)
        try:
            state = await rooms.repair_room(name)
        except ChatError as error:
            raise ProblemError(503, f"The room cannot be repaired at the moment. {error}") from error
        return _answer(rooms, state)

    return router


def _answer(rooms: MatrixRooms, state: RoomState | None) -> ChatMatrix:
    if state is None:
        off = rooms.mode == "off"
        return ChatMatrix(mode=rooms.mode, state="off" if off else "starting")
    return ChatMatrix(
        mode=rooms.mode,
        state=state.state,
        alias=state.alias,
        room_id=state.room_id,
        link=state.link,
        waiting=state.waiting,
        lag=round(state.lag, 1),
        broken=[RoomProblem(code=problem.code, text=problem.text) for problem in state.problems],
    )
