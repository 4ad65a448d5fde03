"""What the rooms of streams should show: the records, whether they are live, and the Matrix IDs of who moderates."""

from typing import Final

from ghostlive.chat.matrix.alias import is_mxid
from ghostlive.chat.matrix.plan import Wish
from ghostlive.db.matrix import MatrixRepository
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import Role, UserRepository
from ghostlive.hub.hub import Hub

_EVERYWHERE: Final = frozenset({Role.OWNER, Role.ADMIN, Role.MODERATOR})
"""Accounts that moderate every chat."""


class StreamWishes:
    """See `keeper.Wishes`."""

    def __init__(self, *, records: StreamRepository, users: UserRepository, matrix: MatrixRepository, hub: Hub) -> None:
        """All of them are asked anew each time."""
        self._records = records
        self._users = users
        self._matrix = matrix
        self._hub = hub

    async def wish(self, stream: str) -> Wish | None:
        """Of a stream; None when there is none of that name."""
        record = await self._records.get(stream)
        if record is None:
            return None
        links: dict[str, list[str]] = {}
        for link in await self._matrix.links():
            links.setdefault(link.author, []).append(link.mxid)
        subjects = [f"u_{user.id}" for user in await self._users.list() if user.role in _EVERYWHERE]
        subjects += await self._matrix.moderators(record.id)
        moderators = [
            mxid for subject in subjects for mxid in ([subject] if is_mxid(subject) else links.get(subject, []))
        ]
        owners = [] if record.owner_id is None else links.get(f"u_{record.owner_id}", [])
        owner = owners[0] if owners else None
        return Wish(
            stream=stream,
            title=record.title,
            description=record.description,
            live=self._hub.get(stream) is not None,
            owner=owner,
            moderators=frozenset(moderators) - {owner or ""},
        )
