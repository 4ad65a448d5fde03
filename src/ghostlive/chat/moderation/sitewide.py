"""What the owner of the server does in all chats at once: bans of the whole site.

Each is stored in one transaction with a line in the audit log of every chat, and with what every chat's room at the
homeserver has to learn of it; from there on it goes its way like a ban of one chat.
"""

from typing import TYPE_CHECKING

from ghostlive.chat.bans import Ban
from ghostlive.chat.errors import NotAllowedError, NotFoundError
from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.moderation.audit import line_of
from ghostlive.chat.people import Author
from ghostlive.db.chat import ChatTransaction
from ghostlive.db.moderation import ModerationTransaction

if TYPE_CHECKING:
    from ghostlive.chat.service import ChatService


class SiteWide:
    """Bans of the whole site. That the actor may is checked by who calls."""

    def __init__(self, service: "ChatService") -> None:
        """`service` stores."""
        self._service = service

    async def ban(self, stream: str, ban_id: int, actor: Actor) -> Ban:
        """Let a ban of a stream hold in all chats, too; the ban of the site, which may be there already.

        Raises `NotFoundError`, `NotAllowedError` for a time-out, `UnknownStreamError`, `BusyError`.
        """
        banning = self._service.banning
        ban = next((one for one in await banning.bans(stream) if one.id == ban_id), None)
        if ban is None:
            raise NotFoundError("There is no such ban in force.")
        if ban.timeout:
            raise NotAllowedError("A time-out is for one chat only. Ban them, then let that hold everywhere.")
        found = [one for one in await banning.bans(None) if _same(one, ban)]
        if found:
            return found[0]

        async def store(transaction: ChatTransaction, seq: int) -> tuple[Ban, Act]:
            site = await banning.store_everywhere(transaction, ban, actor.author.name)
            seconds = None
            if site.expires_at is not None:
                seconds = max(0.0, (site.expires_at - self._service.now()).total_seconds())
            detail = {"ban": site.id, "site": True, "messages": False}
            act = Act("ban", actor, _target(site), seconds, site.reason, detail)
            await self._note(transaction, seq, act)
            return site, act

        def apply(done: tuple[Ban, Act], _seq: int) -> None:
            site, act = done
            banning.apply_everywhere(site)
            self._tell(act)

        return (await self._service.change(store, apply))[0]

    async def unban(self, ban_id: int, actor: Actor) -> Ban:
        """End a ban of the whole site. Raises `NotFoundError`, `BusyError`."""
        banning = self._service.banning

        async def store(transaction: ChatTransaction, seq: int) -> tuple[Ban, Act]:
            ban = await banning.store_lift(transaction, None, ban_id)
            act = Act("unban", actor, _target(ban), detail={"ban": ban.id, "site": True})
            await self._note(transaction, seq, act)
            return ban, act

        def apply(done: tuple[Ban, Act], _seq: int) -> None:
            ban, act = done
            banning.apply_lift(None, ban, actor.author.name)
            self._tell(act)

        return (await self._service.change(store, apply))[0]

    async def _note(self, transaction: ChatTransaction, seq: int, act: Act) -> None:
        moderation = ModerationTransaction(transaction)
        streams = await moderation.streams()
        await moderation.audit_all(streams, line_of(act, self._service.now()))
        await self._service.journal.acted_everywhere(transaction, streams, seq, act)

    def _tell(self, act: Act) -> None:
        for room in self._service.open_rooms():
            for listener in list(room.listeners):
                listener.acted(act)
        for changed in self._service.banning.site_changed:
            changed()


def _same(one: Ban, other: Ban) -> bool:
    """Whether both name the same person, for as long."""
    named = (one.author_id, one.mxid, one.expires_at) == (other.author_id, other.mxid, other.expires_at)
    return named and one.marks == other.marks and one.watch == other.watch


def _target(ban: Ban) -> Author:
    return Author(ban.author_id, ban.name, mxid=ban.mxid)
