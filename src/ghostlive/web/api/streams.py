"""`/api/v1/streams`: which streams there are, and what they are made of; making, changing and removing them."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from ghostlive.access.decision import Action
from ghostlive.access.keys import make_secret, stored
from ghostlive.core.errors import InvalidStreamNameError
from ghostlive.core.events import StreamRecordChanged
from ghostlive.core.stream import check_stream_name
from ghostlive.core.text import clean_line, clean_text
from ghostlive.db.errors import AlreadyExistsError, NotFoundError
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import Role
from ghostlive.hub.hub import Hub
from ghostlive.web.api.keys import IssuedKeyInfo, key_info
from ghostlive.web.api.problem import MANAGED, no_store, no_stream, problems
from ghostlive.web.directory import StreamDirectory, StreamInfo
from ghostlive.web.guard import Guard
from ghostlive.web.problems import ProblemError

TITLE_LENGTH = 120
DESCRIPTION_LENGTH = 2000

Title = Annotated[str, Field(max_length=TITLE_LENGTH, description="One line; empty shows the name")]
Description = Annotated[str, Field(max_length=DESCRIPTION_LENGTH, description="Plain text with line breaks")]


class StreamList(BaseModel):
    """Streams, live ones first."""

    streams: Sequence[StreamInfo]


class NewStream(BaseModel):
    """A stream to be made."""

    name: str = Field(description="Its place in addresses: letters, digits, '-' and '_'", examples=["friday-show"])
    title: Title = ""
    description: Description = ""


class StreamChange(BaseModel):
    """What to change of a stream; what is left out stays."""

    title: Title | None = None
    description: Description | None = None


class CreatedStream(BaseModel):
    """A stream just made, with its first key."""

    stream: StreamInfo
    key: IssuedKeyInfo


def stream_routes(directory: StreamDirectory) -> APIRouter:
    """Routes that read `directory`."""
    router = APIRouter(tags=["streams"])

    @router.get("/streams")
    async def list_streams() -> StreamList:
        """List the streams, live ones first."""
        return StreamList(streams=await directory.list())

    @router.get("/streams/{name}", responses=problems(404))
    async def get_stream(name: str) -> StreamInfo:
        """One stream: its state, its tracks as they really are, and where to play it."""
        info = await directory.get(name)
        if info is None:
            raise no_stream(name)
        return info

    return router


def studio_routes(directory: StreamDirectory, records: StreamRepository, hub: Hub, guard: Guard) -> APIRouter:
    """Routes for those who manage streams."""
    router = APIRouter(tags=["studio"], dependencies=[Depends(no_store)])

    @router.get("/studio/streams", responses=problems(401))
    async def list_own_streams(request: Request) -> StreamList:
        """List the streams that the user may manage: their own, or all for the owner of the server and for admins."""
        user = await guard.user(request)
        if user is None:
            raise ProblemError(401, "Sign in first.")
        match user.role:
            case Role.OWNER | Role.ADMIN:
                found = await records.list()
            case Role.STREAMER:
                found = await records.list(owner_id=user.id)
            case Role.MODERATOR:
                found = []
        return StreamList(streams=directory.describe_all(found))

    @router.post("/streams", status_code=201, responses=problems(401, 403, 409, 422))
    async def create_stream(new: NewStream, request: Request, response: Response) -> CreatedStream:
        """Make a stream that belongs to the user, and its first key, whose secret is told only here."""
        user = await guard.require(request, Action.CREATE)
        try:
            name = check_stream_name(new.name)
        except InvalidStreamNameError as error:
            raise ProblemError(422, f"{error}.") from error
        secret = make_secret()
        try:
            record = await records.add(
                name,
                title=clean_line(new.title, TITLE_LENGTH),
                description=clean_text(new.description, DESCRIPTION_LENGTH),
                key=stored(secret),
                owner_id=user.id,
            )
            key = (await records.list_keys(name))[0]
        except AlreadyExistsError as error:
            raise ProblemError(409, f"There is a stream named {name!r} already. Choose another name.") from error
        except NotFoundError as error:  # removed in this moment
            raise no_stream(name) from error
        hub.emit(StreamRecordChanged(name))
        response.headers["location"] = f"/api/v1/streams/{name}"
        return CreatedStream(
            stream=directory.describe(record), key=IssuedKeyInfo(**key_info(key).model_dump(), secret=secret)
        )

    @router.patch("/streams/{name}", responses=MANAGED | problems(422))
    async def change_stream(name: str, change: StreamChange, request: Request) -> StreamInfo:
        """Change a stream's title or description."""
        await guard.require(request, Action.MANAGE, name)
        try:
            record = await records.edit(
                name,
                title=None if change.title is None else clean_line(change.title, TITLE_LENGTH),
                description=None if change.description is None else clean_text(change.description, DESCRIPTION_LENGTH),
            )
        except NotFoundError as error:
            raise no_stream(name) from error
        hub.emit(StreamRecordChanged(name))
        return directory.describe(record)

    @router.delete("/streams/{name}", status_code=204, responses=MANAGED)
    async def remove_stream(name: str, request: Request) -> None:
        """Remove a stream with its keys and its chat, and end its broadcast."""
        await guard.require(request, Action.MANAGE, name)
        try:
            await records.remove(name)
        except NotFoundError as error:
            raise no_stream(name) from error
        if (live := hub.get(name)) is not None:
            live.end("the stream was removed")
        hub.emit(StreamRecordChanged(name))

    return router
