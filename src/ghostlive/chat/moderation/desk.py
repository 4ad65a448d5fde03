"""What the studio asks of moderation, by the name of a stream: rooms are entered for as long as an answer takes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.moderation import Moderation
from ghostlive.chat.people import Author
from ghostlive.chat.room import Room
from ghostlive.db.chat import MediaRecord
from ghostlive.db.moderation import AuditRecord, ModerationRepository

if TYPE_CHECKING:
    from ghostlive.chat.service import ChatService


class ModerationDesk:
    """Everything here raises an `OpeningError` when there is no such stream, and a `RefusalError` when it cannot be."""

    def __init__(self, service: "ChatService", moderation: Moderation, stored: ModerationRepository) -> None:
        """`stored` is read only."""
        self.service = service
        self.moderation = moderation
        self._stored = stored

    @asynccontextmanager
    async def room(self, stream: str) -> AsyncIterator[Room]:
        """The chat of a stream, while the block runs."""
        room = await self.service.enter(stream)
        try:
            yield room
        finally:
            self.service.leave(room)

    async def is_moderator(self, stream: str, account: str) -> bool:
        """Whether the account with that author id (`u_…`) was made a moderator of this chat alone.

        By its name, or by the Matrix ID that it is linked to.
        """
        mxid = self.service.banning.links.get(account)
        async with self.room(stream) as room:
            return room.moderation.named(Author(account, account, mxid=mxid))

    async def rules(self, stream: str) -> dict[str, Any]:
        """All rules."""
        async with self.room(stream) as room:
            return room.moderation.rules.full()

    async def set_rules(self, stream: str, actor: Actor, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Set some; all as they are then."""
        async with self.room(stream) as room:
            return (await self.moderation.actions.set_rules(room, actor, changes)).full()

    async def held(self, stream: str) -> list[dict[str, Any]]:
        """What waits, in the order in which it came."""
        async with self.room(stream) as room:
            return self.moderation.held_json(room)

    async def held_file(self, stream: str, held_id: int, media_id: str) -> MediaRecord:
        """A file of a message, for as long as that waits. Raises `NotFoundError` too."""
        async with self.room(stream) as room:
            return self.moderation.held_file(room, held_id, media_id)

    async def decide(self, stream: str, actor: Actor, held_id: int, *, allow: bool) -> None:
        """Say what waits, or do away with it."""
        async with self.room(stream) as room:
            await self.moderation.actions.decide(room, actor, [held_id], allow=allow)

    async def audit(self, stream: str, *, before: int | None, limit: int) -> Sequence[AuditRecord]:
        """Lines of the audit log, newest first."""
        async with self.room(stream) as room:
            return await self._stored.audit(room.stream_id, before=before, limit=limit)

    async def moderators(self, stream: str) -> list[dict[str, Any]]:
        """Who was made a moderator of this chat, as the studio shows them."""
        async with self.room(stream) as room:
            return [
                {
                    "name": one.name,
                    "account": not one.subject.startswith("@"),
                    "matrix": one.subject if one.subject.startswith("@") else None,
                }
                for one in room.moderation.moderators.values()
            ]

    async def moderator(self, stream: str, actor: Actor, *, account: str | None, mxid: str | None, on: bool) -> None:
        """Make somebody a moderator, or take that away."""
        async with self.room(stream) as room:
            await self.moderation.actions.moderator(room, actor, account=account, mxid=mxid, on=on)

    async def trusted(self, stream: str) -> list[dict[str, object]]:
        """For whom the rules do not count."""
        async with self.room(stream) as room:
            known = ((one, self.service.author(room, one.author)) for one in room.moderation.trusted.values())
            return [(author or Author(one.author, one.name)).members() for one, author in known]

    async def trust(self, stream: str, actor: Actor, author_id: str, *, on: bool) -> None:
        """Trust somebody, or not any more."""
        async with self.room(stream) as room:
            await self.moderation.actions.trust(room, actor, author_id, on=on)
