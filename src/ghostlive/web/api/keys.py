"""`/api/v1/streams/{name}/keys`: what encoders open a stream with. A key's secret is told once, when it is made."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from ghostlive.access.decision import Action
from ghostlive.access.keys import add_key, rotate_key
from ghostlive.core.text import clean_line
from ghostlive.db.errors import NotFoundError
from ghostlive.db.streams import KeyRecord, StreamRepository
from ghostlive.web.api.problem import MANAGED, RecordId, no_store, no_stream, problems
from ghostlive.web.guard import Guard
from ghostlive.web.problems import ProblemError

_LABEL_LENGTH = 60


class KeyInfo(BaseModel):
    """A stream key without its secret."""

    id: int
    hint: str = Field(description="Its last four characters")
    label: str
    created_at: datetime
    last_used_at: datetime | None


class IssuedKeyInfo(KeyInfo):
    """A stream key just made."""

    secret: str = Field(description="The key itself; it is told only now")


class KeyList(BaseModel):
    """The keys that open a stream, oldest first."""

    keys: list[KeyInfo]


class NewKey(BaseModel):
    """A key to be made."""

    label: Annotated[str, Field(max_length=_LABEL_LENGTH, description="What it is for")] = ""
    revoke_others: bool = Field(False, description="Whether the stream's other keys become useless at the same moment")


def key_info(key: KeyRecord) -> KeyInfo:
    """The view of a key."""
    return KeyInfo(id=key.id, hint=key.hint, label=key.label, created_at=key.created_at, last_used_at=key.last_used_at)


def key_routes(records: StreamRepository, guard: Guard) -> APIRouter:
    """Routes for those who manage a stream."""
    router = APIRouter(prefix="/streams/{name}/keys", tags=["studio"], dependencies=[Depends(no_store)])

    @router.get("", responses=MANAGED)
    async def list_keys(name: str, request: Request) -> KeyList:
        """List the keys that open the stream."""
        await guard.require(request, Action.MANAGE, name)
        try:
            return KeyList(keys=[key_info(key) for key in await records.list_keys(name) if key.active])
        except NotFoundError as error:
            raise no_stream(name) from error

    @router.post("", status_code=201, responses=MANAGED | problems(422))
    async def make_key(name: str, new: NewKey, request: Request) -> IssuedKeyInfo:
        """Make one more key, or one in place of all others. A broadcast that runs goes on."""
        await guard.require(request, Action.MANAGE, name)
        make = rotate_key if new.revoke_others else add_key
        try:
            issued = await make(records, name, label=clean_line(new.label, _LABEL_LENGTH))
        except NotFoundError as error:
            raise no_stream(name) from error
        return IssuedKeyInfo(**key_info(issued.record).model_dump(), secret=issued.secret)

    @router.delete("/{number}", status_code=204, responses=MANAGED | problems(422))
    async def revoke_key(name: str, number: RecordId, request: Request) -> None:
        """Make a key useless from now on. A broadcast that runs goes on."""
        await guard.require(request, Action.MANAGE, name)
        try:
            await records.revoke_key(number, stream=name)
        except NotFoundError as error:
            raise ProblemError(404, f"The stream {name!r} has no key number {number}.") from error

    return router
