"""`/api/v1/streams/{name}/chat/…`: rules, messages that wait, the audit log, moderators and trusted people."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.db.moderation import AuditRecord
from ghostlive.web.api.chatdoor import ChatDoor, as_problems
from ghostlive.web.api.problem import MANAGED, RecordId, no_store, problems
from ghostlive.web.guard import Guard
from ghostlive.web.problems import ProblemError

_REFUSED = MANAGED | problems(422)


class WordInfo(BaseModel):
    """What is refused, or waits, when it occurs in a message."""

    model_config = ConfigDict(extra="forbid")

    text: str
    kind: str = Field("exact", description="exact, glob or regex")
    action: str = Field("refuse", description="refuse or hold")


class RulesInfo(BaseModel):
    """The rules of a chat."""

    slow: float = Field(description="Seconds between two messages of one person; 0 without")
    followers: int = Field(description="Minutes that somebody must have watched before they write; 0 without")
    approve: bool = Field(description="Each message waits for a moderator")
    links: bool = Field(description="Whether links may be sent")
    emotes: bool = Field(description="Nothing but emotes and emoji")
    readonly: bool = Field(description="Only moderators write")
    guests: str = Field(description="What becomes of new guests: open, hold, work or signin")
    shield: bool = Field(description="Slow, approve first and no new names, over the other rules")
    duplicates: int = Field(description="Seconds in which nobody says the same twice; 0 without")
    caps: int = Field(description="Most capital letters, in percent; 0 without a limit")
    words: list[WordInfo]


class RulesChange(BaseModel):
    """Rules that change; the others stay as they are."""

    model_config = ConfigDict(extra="forbid")

    slow: float | None = None
    followers: int | None = None
    approve: bool | None = None
    links: bool | None = None
    emotes: bool | None = None
    readonly: bool | None = None
    guests: str | None = None
    shield: bool | None = None
    duplicates: int | None = None
    caps: int | None = None
    words: list[WordInfo] | None = None


class HeldList(BaseModel):
    """Messages that wait for a moderator."""

    held: list[dict[str, Any]] = Field(
        description="`id`, `at`, `author`, `text`, `reason` of each, oldest first; `kind`, `html`, `media` as said"
    )


class Decision(BaseModel):
    """What becomes of a message that waits."""

    allow: bool = Field(description="Say it, or do away with it")


class ActorInfo(BaseModel):
    """Who did something."""

    id: str
    name: str
    role: str
    matrix: str | None = None


class TargetInfo(BaseModel):
    """To whom."""

    id: str
    name: str
    matrix: str | None = None


class AuditEntry(BaseModel):
    """One line of the audit log."""

    id: int
    at: datetime
    kind: str = Field(description="What was done: ban, timeout, delete, rules, allow, deny, …")
    via: str = Field(description="By a page, matrix, the api, or a rule")
    actor: ActorInfo
    target: TargetInfo | None
    seconds: float | None
    reason: str
    everywhere: bool = Field(description="Whether it holds in all chats of this server, and not only in this one")
    detail: dict[str, Any]


class AuditLog(BaseModel):
    """A part of the audit log."""

    entries: list[AuditEntry]
    next: int | None = Field(description="`before` of the next older part; null at the end")


class ModeratorInfo(BaseModel):
    """Somebody who was made a moderator of this chat alone."""

    name: str
    account: bool = Field(description="Whether they have an account here")
    matrix: str | None = Field(description="Their Matrix ID, if they were named by it")


class ModeratorList(BaseModel):
    """Moderators of one chat."""

    moderators: list[ModeratorInfo]


class NewModerator(BaseModel):
    """One of both."""

    account: str | None = Field(None, max_length=64)
    matrix: str | None = Field(None, max_length=255)


class TrustedList(BaseModel):
    """For whom the rules do not count."""

    trusted: list[dict[str, Any]] = Field(description="Authors")


class NewTrusted(BaseModel):
    """Whom to trust."""

    author: str = Field(max_length=16, description="The id of an author")


def moderation_routes(desk: ModerationDesk, guard: Guard) -> APIRouter:
    """Routes for those who moderate a stream's chat."""
    router = APIRouter(prefix="/streams/{name}/chat", tags=["chat"], dependencies=[Depends(no_store)])
    door = ChatDoor(guard, desk)

    @router.get("/rules", responses=MANAGED)
    async def get_rules(name: str, request: Request) -> RulesInfo:
        """Say which rules the chat has."""
        await door.actor(request, name)
        with as_problems():
            return RulesInfo.model_validate(await desk.rules(name))

    @router.patch("/rules", responses=_REFUSED)
    async def change_rules(name: str, change: RulesChange, request: Request) -> RulesInfo:
        """Change some rules; they count for the next message."""
        actor = await door.actor(request, name)
        with as_problems():
            return RulesInfo.model_validate(await desk.set_rules(name, actor, change.model_dump(exclude_unset=True)))

    @router.get("/held", responses=MANAGED)
    async def list_held(name: str, request: Request) -> HeldList:
        """List the messages that wait for a moderator."""
        await door.actor(request, name)
        with as_problems():
            return HeldList(held=await desk.held(name))

    @router.post("/held/{number}", status_code=204, responses=_REFUSED)
    async def decide(name: str, number: RecordId, decision: Decision, request: Request) -> None:
        """Let a message through, or do away with it."""
        actor = await door.actor(request, name)
        with as_problems():
            await desk.decide(name, actor, number, allow=decision.allow)

    @router.get("/audit", responses=_REFUSED)
    async def audit(
        name: str,
        request: Request,
        before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> AuditLog:
        """Say who did what, newest first."""
        await door.actor(request, name)
        with as_problems():
            records = await desk.audit(name, before=before, limit=limit)
        last = records[-1].id if len(records) == limit else None
        return AuditLog(entries=[_entry(record) for record in records], next=last)

    _naming(router, desk, door)
    return router


def _naming(router: APIRouter, desk: ModerationDesk, door: ChatDoor) -> None:
    """Routes for those whom somebody named: moderators and trusted people."""

    @router.get("/moderators", responses=MANAGED)
    async def list_moderators(name: str, request: Request) -> ModeratorList:
        """List who was made a moderator of this chat alone."""
        await door.actor(request, name)
        with as_problems():
            return ModeratorList.model_validate({"moderators": await desk.moderators(name)})

    @router.put("/moderators", responses=_REFUSED)
    async def add_moderator(name: str, who: NewModerator, request: Request) -> ModeratorList:
        """Make somebody a moderator of this chat, by account or by Matrix ID."""
        actor = await door.actor(request, name)
        if (who.account is None) == (who.matrix is None):
            raise ProblemError(422, "Name one account, or one Matrix ID.")
        with as_problems():
            await desk.moderator(name, actor, account=who.account, mxid=who.matrix, on=True)
            return ModeratorList.model_validate({"moderators": await desk.moderators(name)})

    @router.delete("/moderators", status_code=204, responses=_REFUSED)
    async def remove_moderator(
        name: str,
        request: Request,
        account: Annotated[str | None, Query(max_length=64)] = None,
        matrix: Annotated[str | None, Query(max_length=255)] = None,
    ) -> None:
        """Take that away."""
        actor = await door.actor(request, name)
        if (account is None) == (matrix is None):
            raise ProblemError(422, "Name one account, or one Matrix ID.")
        with as_problems():
            await desk.moderator(name, actor, account=account, mxid=matrix, on=False)

    @router.get("/trusted", responses=MANAGED)
    async def list_trusted(name: str, request: Request) -> TrustedList:
        """List those for whom the rules do not count."""
        await door.actor(request, name)
        with as_problems():
            return TrustedList(trusted=await desk.trusted(name))

    @router.put("/trusted", status_code=204, responses=_REFUSED)
    async def trust(name: str, who: NewTrusted, request: Request) -> None:
        """Let the rules, but for read-only, not count for somebody."""
        actor = await door.actor(request, name)
        with as_problems():
            await desk.trust(name, actor, who.author, on=True)

    @router.delete("/trusted/{author}", status_code=204, responses=_REFUSED)
    async def distrust(name: str, author: str, request: Request) -> None:
        """Let the rules count for them again."""
        actor = await door.actor(request, name)
        with as_problems():
            await desk.trust(name, actor, author[:16], on=False)


def _entry(record: AuditRecord) -> AuditEntry:
    target = None
    if record.target is not None:
        target = TargetInfo(id=record.target, name=record.target_name or "", matrix=record.target_mxid)
    return AuditEntry(
        id=record.id,
        at=record.at,
        kind=record.kind,
        via=record.via,
        actor=ActorInfo(id=record.actor, name=record.actor_name, role=record.actor_role, matrix=record.actor_mxid),
        target=target,
        seconds=record.seconds,
        reason=record.reason,
        everywhere=record.detail.get("site") is True,
        detail=dict(record.detail),
    )
