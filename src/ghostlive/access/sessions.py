"""Sessions of people who have signed in: made here, kept in the database as a hash, remembered for a few seconds.

A session is named by a random token that only the browser's cookie has. Every sign-in makes a new one, so that nobody
can have a victim use a session whose token they know. What this process ends is over at once; what another process ends
(`ghostlive user remove`) is over when the memory of it is, after a few seconds.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.access.decision import Identity
from ghostlive.access.limits import TooBusyError
from ghostlive.access.passwords import Passwords, check_password_rules
from ghostlive.access.signin import BUSY_RETRY, Attempt, SignIn, SignInRefusedError
from ghostlive.core.clock import Clock
from ghostlive.core.errors import GhostliveError
from ghostlive.db.engine import Database
from ghostlive.db.errors import NotFoundError
from ghostlive.db.sessions import NewSessionRecord, SessionRecord, SessionRepository
from ghostlive.db.users import UserRepository

_log = structlog.get_logger("access")

COOKIE: Final = "ghostlive_session"
"""Name of the cookie that holds the token."""
LIFETIME: Final = timedelta(days=30)
"""A session that is not used for so long is over."""

_TOKEN_BYTES: Final = 32
_TOKEN_LENGTH: Final = 43
_REMEMBER: Final = 3.0
_MAX_REMEMBERED: Final = 4096
_EXTEND_AFTER: Final = timedelta(hours=1)
"""Use is noted so often, since noting it is a write."""
_EXTEND_AGAIN: Final = 60.0
"""Seconds without an attempt after one that failed."""
_SESSIONS_PER_USER: Final = 50
_MAX_AGENT: Final = 300


class SessionsUnavailableError(GhostliveError):
    """The database cannot say at the moment who somebody is."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session just made. Its token exists only here; put it into the cookie and forget it."""

    token: str = field(repr=False)
    user: Identity
    expires_at: datetime
    mark: str = field(default="", repr=False)
    """What the browser keeps after signing out, so that its next attempts are judged by themselves (`signin`)."""


class Sessions:
    """Who is signed in. All methods that ask the database raise `SessionsUnavailableError` when it does not answer."""

    def __init__(self, database: Database, clock: Clock, *, secret: bytes | None = None) -> None:
        """`secret` is the server's (`access.secret`); without it browsers are known until the next start only."""
        self.passwords = Passwords()
        """Checks and hashes passwords, two at once."""
        self._clock = clock
        self._sessions = SessionRepository(database)
        self._users = UserRepository(database)
        self._sign_in = SignIn(
            users=self._users, passwords=self.passwords, clock=clock, secret=secret or secrets.token_bytes(32)
        )
        self._remembered: OrderedDict[str, tuple[float, Identity]] = OrderedDict()
        self._endings = 0
        self._extend_at = 0.0

    async def sign_in(
        self, name: str, password: str, *, address: str, agent: str, mark: str | None = None
    ) -> NewSession:
        """Begin a session for who knows the password. Raises `SignInRefusedError`.

        `address` is the peer's IP address after trusted proxies, `agent` its User-Agent, `mark` what an earlier session
        left with the browser.
        """
        with _reachable():
            found = await self._sign_in.check(Attempt(name, address, mark), password)
            user = Identity(found.user.id, found.user.name, found.user.role)
            try:
                return await self._begin(user, agent, password_hash=found.password_hash)
            except NotFoundError as error:
                raise SignInRefusedError("The name or the password is wrong.") from error

    async def open(self, user: Identity, agent: str) -> NewSession:
        """Begin a session without a password, for who has just made their account. Raises `NotFoundError`."""
        with _reachable():
            return await self._begin(user, agent)

    async def identify(self, token: str | None) -> Identity | None:
        """The person whose session `token` names; None for anything invalid or expired."""
        if token is None or len(token) != _TOKEN_LENGTH:
            return None
        token_hash = hash_token(token)
        now = self._clock.now()
        if (known := self._remembered.get(token_hash)) is not None and now < known[0]:
            return known[1]
        endings = self._endings
        with _reachable():
            record = await self._sessions.find(token_hash)
        wall = self._wall()
        if record is None or record.expires_at <= wall:
            self._remembered.pop(token_hash, None)
            return None
        user = Identity(record.user_id, record.user_name, record.role)
        # A session may have ended while the database was asked.
        if endings == self._endings:
            left = (record.expires_at - wall).total_seconds()
            self._remember(token_hash, now + min(_REMEMBER, left), user)
        await self._extend(record, wall)
        return user

    async def close(self, token: str | None) -> None:
        """End the session that `token` names, if any."""
        if token is None or len(token) != _TOKEN_LENGTH:
            return
        token_hash = hash_token(token)
        with _reachable():
            await self._sessions.remove(token_hash)
        self._forget(lambda remembered, _: remembered == token_hash)

    async def close_others(self, user_id: int, keep_token: str | None) -> int:
        """End all sessions of a user but the one that `keep_token` names; how many there were."""
        keep = None if keep_token is None else hash_token(keep_token)
        with _reachable():
            ended = await self._sessions.remove_of(user_id, keep=keep)
        self._forget(lambda remembered, user: user.id == user_id and remembered != keep)
        return ended

    async def change_password(self, user: Identity, current: str, new: str, *, token: str, address: str) -> None:
        """Give `user` another password and end all their sessions but the one that `token` names.

        Raises `SignInRefusedError` when `current` is wrong or was tried too often, `RefusedError` when `new` is no
        password, `NotFoundError` when the user is gone.
        """
        check_password_rules(new)
        keep = hash_token(token)
        with _reachable():
            await self._sign_in.confirm(user.name, current, by=keep, address=address)
            try:
                new_hash = await self.passwords.hash(new)
            except TooBusyError as error:
                raise SignInRefusedError(str(error), BUSY_RETRY) from error
            await self._users.set_password(user.name, new_hash, keep_session=keep)
        self._forget(lambda remembered, other: other.id == user.id and remembered != keep)
        _log.info("password changed", user=user.name, address=address)

    async def _begin(self, user: Identity, agent: str, *, password_hash: str | None = None) -> NewSession:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now = self._wall()
        new = NewSessionRecord(
            user_id=user.id,
            token_hash=hash_token(token),
            agent=agent[:_MAX_AGENT],
            created_at=now,
            expires_at=now + LIFETIME,
            password_hash=password_hash,
        )
        await self._sessions.add(new, keep=_SESSIONS_PER_USER)
        return NewSession(token, user, new.expires_at, self._sign_in.mark(user.name))

    async def _extend(self, record: SessionRecord, wall: datetime) -> None:
        """Let a session that is in use last. That this fails is no reason to send its user away."""
        if wall - record.last_used_at < _EXTEND_AFTER or self._clock.now() < self._extend_at:
            return
        try:
            await self._sessions.extend(record.id, now=wall, expires_at=wall + LIFETIME)
        except SQLAlchemyError as error:
            self._extend_at = self._clock.now() + _EXTEND_AGAIN
            _log.warning("the use of a session was not noted", user=record.user_name, reason=_reason(error))

    def _remember(self, token_hash: str, until: float, user: Identity) -> None:
        self._remembered[token_hash] = (until, user)
        self._remembered.move_to_end(token_hash)
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _forget(self, over: Callable[[str, Identity], bool]) -> None:
        self._endings += 1
        for token_hash in [key for key, (_, user) in self._remembered.items() if over(key, user)]:
            del self._remembered[token_hash]

    def _wall(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC)


def hash_token(token: str) -> str:
    """What is stored of a token. It is random, so a fast hash is enough (see `keys`)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        _log.warning("the database does not answer", reason=_reason(error))
        raise SessionsUnavailableError(
            "The server cannot reach its database at the moment; try again in a few seconds."
        ) from error


def _reason(error: SQLAlchemyError) -> str:
    """What the database said, without the statement."""
    return str(getattr(error, "orig", None) or type(error).__name__)
