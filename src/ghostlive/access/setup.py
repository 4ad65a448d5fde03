"""The one-time link by which a new server's owner makes their account.

It exists in memory and only while there is no account: whoever reads the terminal where the server was started is its
owner. The token is random enough that nobody guesses it, so wrong ones need no limit.
"""

import asyncio
import secrets
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.access.decision import Identity
from ghostlive.access.limits import Seldom
from ghostlive.access.passwords import Passwords, check_password_rules
from ghostlive.access.sessions import SessionsUnavailableError
from ghostlive.core.clock import Clock
from ghostlive.core.errors import RefusedError
from ghostlive.db.errors import AlreadyExistsError
from ghostlive.db.users import Role, UserRepository, check_user_name

_log = structlog.get_logger("access")

LIFETIME: Final = 3600.0
"""Seconds that the link works."""

_ANOTHER_WAY: Final = (
    "Restart the server, which prints a new one as long as there is no account, or make the account with "
    "`ghostlive user add NAME --role owner`."
)


class SetupRefusedError(RefusedError):
    """The link does not work, or not any more; the text says what to do."""


class SetupLink:
    """The right to make the first account, once."""

    def __init__(self, *, users: UserRepository, passwords: Passwords, clock: Clock) -> None:
        """Use `make_setup_link`."""
        self.token = secrets.token_urlsafe(24)
        """What the link carries behind `#`; show it to nobody but the person at the terminal."""
        self._users = users
        self._passwords = passwords
        self._clock = clock
        self._ends_at = clock.now() + LIFETIME
        self._done = False
        self._using = asyncio.Lock()
        self._seldom = Seldom(clock, every=10.0)

    async def needed(self) -> bool:
        """Whether there is still no account, whether or not the link still works."""
        if not self._done:
            try:
                self._done = await self._users.any()
            except SQLAlchemyError as error:
                raise SessionsUnavailableError("The server cannot reach its database; try again soon.") from error
        return not self._done

    async def redeem(self, token: str, name: str, password: str, *, address: str) -> Identity:
        """Make the owner's account.

        Raises `SetupRefusedError`; for a name or a password that cannot be one `DatabaseError` and `RefusedError`,
        after which the link still works; `SessionsUnavailableError` when the database does not answer.
        """
        self._check(token, address)
        check_user_name(name)
        check_password_rules(password)
        async with self._using:
            self._check(token, address)  # somebody else may have been faster
            password_hash = await self._passwords.hash(password)
            try:
                user = await self._users.add_first(name, role=Role.OWNER, password_hash=password_hash)
            except AlreadyExistsError as error:
                self._done = True
                raise SetupRefusedError("There is an account already. Sign in with it.") from error
            except SQLAlchemyError as error:
                raise SessionsUnavailableError("The server cannot reach its database; try again soon.") from error
            self._done = True
        _log.info("the owner's account was made", user=user.name, address=address)
        return Identity(user.id, user.name, user.role)

    def _check(self, token: str, address: str) -> None:
        reason = ""
        if not secrets.compare_digest(token.encode("utf-8", "surrogatepass"), self.token.encode()):
            reason = f"This set-up link is not the one that the server printed. Copy it again, whole. {_ANOTHER_WAY}"
        elif self._done:
            reason = "This set-up link has been used. Sign in with the account that was made by it."
        elif self._clock.now() >= self._ends_at:
            reason = f"This set-up link is too old: it works for an hour. {_ANOTHER_WAY}"
        if reason:
            if (unsaid := self._seldom.due()) is not None:
                _log.warning("set-up refused", address=address, reason=reason, unsaid=unsaid)
            raise SetupRefusedError(reason)


async def make_setup_link(users: UserRepository, passwords: Passwords, clock: Clock) -> SetupLink | None:
    """A link for a server without accounts, else None. `passwords` is `Sessions.passwords`."""
    return None if await users.any() else SetupLink(users=users, passwords=passwords, clock=clock)
