"""What the account to which somebody linked their Matrix ID lets them do in a stream's chat."""

from collections.abc import Awaitable, Callable

from ghostlive.access.decision import AccessRequest, Action, Decision, Identity
from ghostlive.chat.people import Role
from ghostlive.db.matrix import MatrixRepository
from ghostlive.db.users import UserRepository


class LinkedRoles:
    """Asks the Authorizer as the chat of the page does, for the accounts of a Matrix ID."""

    def __init__(
        self,
        *,
        links: MatrixRepository,
        users: UserRepository,
        authorize: Callable[[AccessRequest], Awaitable[Decision]],
    ) -> None:
        """Asked anew each time: a role may be taken away at any moment."""
        self._links = links
        self._users = users
        self._authorize = authorize

    async def role(self, stream: str, mxid: str) -> Role:
        """See `incoming.FindRole`. Raises what the database raises."""
        authors = {link.author for link in await self._links.linked_to(mxid)}
        found = Role.GUEST
        if not authors:
            return found
        for user in await self._users.list():
            if f"u_{user.id}" not in authors:
                continue
            identity = Identity(user.id, user.name, user.role)
            if await self._may(Action.MANAGE, stream, identity):
                return Role.STREAMER
            if await self._may(Action.MODERATE, stream, identity):
                found = Role.MODERATOR
        return found

    async def _may(self, action: Action, stream: str, user: Identity) -> bool:
        request = AccessRequest(action, protocol="chat", address="", stream=stream, user=user)
        return (await self._authorize(request)).allowed
