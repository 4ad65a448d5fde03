"""`/api/v1/streams/{name}/chat/bans`: who was banned from a stream's chat, and policy lists; `/api/v1/chat/bans`: who
was banned from all of them. People are banned in the chat; here, Matrix IDs and patterns of them.
"""

from datetime import datetime

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ghostlive.access.decision import Action
from ghostlive.chat.banning import NEWCOMERS, Newcomers
from ghostlive.chat.bans import Ban
from ghostlive.chat.matrix.policy import check_list
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.chat.people import Author
from ghostlive.chat.people import Role as Mark
from ghostlive.core.text import clean_line
from ghostlive.db.users import Role
from ghostlive.web.api.chatdoor import ChatDoor, as_problems
from ghostlive.web.api.problem import MANAGED, RecordId, no_store, problems
from ghostlive.web.guard import Guard
from ghostlive.web.problems import ProblemError

_REASON = 200
_MOST_LISTS = 20
_LONGEST_BAN = 100 * 366 * 86400.0
_REFUSED = MANAGED | problems(422)


class BanInfo(BaseModel):
    """A ban that is in force."""

    id: int
    name: str = Field(description="The name that was banned")
    author: str = Field(description="Their id as an author; empty for a pattern of Matrix IDs")
    matrix: str | None = Field(description="A Matrix ID, or a pattern with * and ?")
    tag: str = Field(description="Stands for an address, which nobody is told: the same tag, the same address")
    reason: str
    by: str = Field(description="Who banned")
    created_at: datetime
    expires_at: datetime | None = Field(description="None for good")
    timeout: bool = Field(description="They may read meanwhile")
    watching: bool = Field(description="They may not watch either")
    newcomers: str = Field(description="What becomes of new people from their network: hold, shadow or open")


class BanList(BaseModel):
    """Bans, newest first."""

    bans: list[BanInfo]


class NewBan(BaseModel):
    """Somebody is to be banned: by Matrix ID, or by the id of an author of this chat."""

    model_config = ConfigDict(extra="forbid")

    matrix: str | None = Field(None, max_length=255, description="A Matrix ID, or a pattern with * and ?")
    author: str | None = Field(None, max_length=16, description="The id of an author")
    message: int | None = Field(None, description="The id of a message: its author, and where they wrote it")
    seconds: float | None = Field(None, gt=0, le=_LONGEST_BAN, description="None for good")
    reason: str = Field("", max_length=_REASON)
    messages: bool = Field(False, description="Take away all that they said")
    watching: bool = Field(False, description="Keep them from watching, too")
    newcomers: str = Field("hold", pattern="^(hold|shadow|open)$")


class PolicyInfo(BaseModel):
    """A policy list that counts."""

    room: str = Field(description="The alias or id of its room")
    rules: int = Field(description="How many of its rules count")
    error: str = Field(description="Why it does not count yet, or not all of it; empty when it does")


class PolicyLists(BaseModel):
    """All lists that count in a chat."""

    policies: list[PolicyInfo]


class PolicyRooms(BaseModel):
    """The lists that are to count."""

    model_config = ConfigDict(extra="forbid")

    rooms: list[str] = Field(max_length=_MOST_LISTS)


def ban_routes(desk: ModerationDesk, guard: Guard) -> APIRouter:
    """Routes for those who moderate a stream's chat."""
    router = APIRouter(tags=["chat"], dependencies=[Depends(no_store)])
    door, banning = ChatDoor(guard, desk), desk.service.banning

    @router.get("/streams/{name}/chat/bans", responses=MANAGED)
    async def list_bans(name: str, request: Request) -> BanList:
        """List the bans that are in force."""
        await door.actor(request, name)
        with as_problems():
            return BanList(bans=[_info(ban) for ban in await banning.bans(name)])

    @router.post("/streams/{name}/chat/bans", status_code=201, responses=_REFUSED)
    async def add_ban(name: str, wanted: NewBan, request: Request) -> BanInfo:
        """Ban somebody."""
        actor = await door.actor(request, name)
        _check_one(wanted)
        with as_problems():
            async with desk.room(name) as room:
                return _info(
                    await desk.moderation.actions.ban(
                        room,
                        actor,
                        message_id=wanted.message,
                        author_id=wanted.author,
                        mxid=wanted.matrix,
                        seconds=wanted.seconds,
                        reason=clean_line(wanted.reason, _REASON),
                        messages=wanted.messages,
                        watch=wanted.watching,
                        newcomers=_newcomers(wanted.newcomers),
                    )
                )

    @router.delete("/streams/{name}/chat/bans/{number}", status_code=204, responses=_REFUSED)
    async def lift_ban(name: str, number: RecordId, request: Request) -> None:
        """End a ban: who was banned may write again at once."""
        actor = await door.actor(request, name)
        with as_problems():
            async with desk.room(name) as room:
                await desk.moderation.actions.unban(room, actor, ban_id=number)

    @router.get("/streams/{name}/chat/policies", responses=MANAGED)
    async def list_policies(name: str, request: Request) -> PolicyLists:
        """List the policy lists that count in this chat."""
        await door.actor(request, name)
        return _policies(name)

    @router.put("/streams/{name}/chat/policies", responses=_REFUSED)
    async def set_policies(name: str, wanted: PolicyRooms, request: Request) -> PolicyLists:
        """Let these policy lists count, and no others: rooms of Matrix, by alias or id."""
        await guard.require(request, Action.MANAGE, name)
        for room in wanted.rooms:
            if not check_list(room):
                raise ProblemError(422, f"{room[:80]!r} is no room: write #alias:server or !id.")
        with as_problems():
            async with desk.room(name) as chat:
                await banning.policies.subscribe(name, chat.stream_id, wanted.rooms)
        return _policies(name)

    @router.get("/chat/bans", responses=problems(401, 403, 503))
    async def list_site_bans(request: Request) -> BanList:
        """List the bans of the whole site. For its owner."""
        await _owner(request)
        return BanList(bans=[_info(ban) for ban in await banning.bans(None)])

    @router.delete("/chat/bans/{number}", status_code=204, responses=problems(401, 403, 404, 422, 503))
    async def lift_site_ban(number: RecordId, request: Request) -> None:
        """End a ban of the whole site."""
        owner = await _owner(request)
        with as_problems():
            await desk.moderation.site.unban(number, owner)

    @router.post("/streams/{name}/chat/bans/{number}/everywhere", status_code=201, responses=_REFUSED)
    async def ban_everywhere(name: str, number: RecordId, request: Request) -> BanInfo:
        """Let a ban of this chat hold in all chats of this server, too. For its owner."""
        owner = await _owner(request)
        with as_problems():
            return _info(await desk.moderation.site.ban(name, number, owner))

    async def _owner(request: Request) -> Actor:
        user = await guard.user(request)
        if user is None:
            raise ProblemError(401, "Sign in first.")
        if user.role is not Role.OWNER:
            raise ProblemError(403, "Only the owner of this server may do that.")
        return Actor(Author(f"u_{user.id}", user.name, Mark.STREAMER), "api")

    def _policies(name: str) -> PolicyLists:
        return PolicyLists(
            policies=[
                PolicyInfo(room=record.room, rules=rules, error=banning.policies.trouble(record))
                for record, rules in banning.policies.subscribed(name)
            ]
        )

    return router


def _info(ban: Ban) -> BanInfo:
    return BanInfo(
        id=ban.id,
        name=ban.name,
        author=ban.author_id,
        matrix=ban.mxid,
        tag=ban.tag,
        reason=ban.reason,
        by=ban.by,
        created_at=ban.created_at,
        expires_at=ban.expires_at,
        timeout=ban.timeout,
        watching=ban.watch,
        newcomers=ban.newcomers,
    )


def _check_one(wanted: NewBan) -> None:
    if sum(who is not None for who in (wanted.matrix, wanted.author, wanted.message)) != 1:
        raise ProblemError(422, "Say whom to ban: one of `matrix`, `author` and `message`.")


def _newcomers(text: str) -> Newcomers:
    return next(one for one in NEWCOMERS if one == text)
