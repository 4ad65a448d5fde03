"""`/api/v1/streams/{name}/chat/held/{number}/media/{id}`: pictures of a message that waits, for who moderates.

They come as those of the media proxy do (`web.chatmedia`), and for as long as the message waits.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from ghostlive.chat.matrix.mediastore import MediaError, MediaStore
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.web.api.chatdoor import ChatDoor, as_problems
from ghostlive.web.api.problem import MANAGED, RecordId, problems
from ghostlive.web.chatmedia import SAFE, later
from ghostlive.web.guard import Guard
from ghostlive.web.problems import ProblemError

_ANSWERS: Final = MANAGED | problems(415, 422)
_ANSWERS[200] = {"content": {"image/*": {}}, "description": "The picture"}
_ANSWERS[415]["description"] = "It is too large, or nothing that pages show."


def held_media_routes(desk: ModerationDesk, guard: Guard, pictures: MediaStore) -> APIRouter:
    """The route; it is not among the others of moderation, since those need no homeserver."""
    router = APIRouter(prefix="/streams/{name}/chat", tags=["chat"])
    door = ChatDoor(guard, desk)

    @router.get("/held/{number}/media/{media}", response_class=Response, responses=_ANSWERS)
    async def held_media(
        name: str, number: RecordId, media: str, request: Request, w: Annotated[int | None, Query(ge=1)] = None
    ) -> Response:
        """Show a picture of a message that waits, at least `w` pixels wide."""
        await door.moderator(request, name)
        with as_problems():
            record = await desk.held_file(name, number, media)
        try:
            stored, data = await pictures.read(record, w)
        except MediaError as error:
            raise ProblemError(error.status, str(error), headers=later(error)) from error
        with as_problems():  # a homeserver may take half a minute, and somebody decides meanwhile
            await desk.held_file(name, number, media)
        headers = {name.decode(): value.decode() for name, value in SAFE} | {"cache-control": "private, no-store"}
        return Response(data, headers=headers, media_type=stored.content_type)

    return router
