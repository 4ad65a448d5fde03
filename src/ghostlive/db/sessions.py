"""Sessions of people who have signed in. A token is stored as its hash only; `access.sessions` makes tokens."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from ghostlive.db.engine import Database
from ghostlive.db.errors import NotFoundError
from ghostlive.db.tables import sessions, users
from ghostlive.db.users import Role


@dataclass(frozen=True, slots=True)
class NewSessionRecord:
    """What is stored of a session when it is made."""

    user_id: int
    token_hash: str
    """Hexadecimal SHA-256."""
    agent: str
    created_at: datetime
    expires_at: datetime
    password_hash: str | None = field(default=None, repr=False)
    """The hash that the user's password was checked against; None when no password was asked for."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as stored, with whose it is."""

    id: int
    user_id: int
    user_name: str
    role: Role
    last_used_at: datetime
    expires_at: datetime


class SessionRepository:
    """The table `sessions`. Whether a session has expired is for who asks: they know what time it is."""

    def __init__(self, database: Database) -> None:
        """`database` is open while the repository is used."""
        self._database = database

    async def add(self, new: NewSessionRecord, *, keep: int) -> None:
        """Store a session; drop all that have expired and, of this user's, all but the `keep` used last.

        Raises `NotFoundError` when the user is gone, or has another password by now.
        """
        user_id = new.user_id
        values = {
            "token_hash": new.token_hash,
            "user_id": user_id,
            "agent": new.agent,
            "created_at": new.created_at,
            "last_used_at": new.created_at,
            "expires_at": new.expires_at,
        }
        newest = (
            select(sessions.c.id)
            .where(sessions.c.user_id == user_id)
            .order_by(sessions.c.last_used_at.desc(), sessions.c.id.desc())
            .limit(keep)
        )
        async with self._database.write() as connection:
            # Locked, so that the user stays as they are until the session is stored (SQLite's writers are alone).
            query = select(users.c.password_hash).where(users.c.id == user_id).with_for_update()
            found: str | None = await connection.scalar(query)
            if found is None or new.password_hash not in (None, found):
                raise NotFoundError("this user was removed or got another password a moment ago")
            await connection.execute(delete(sessions).where(sessions.c.expires_at <= new.created_at))
            await connection.execute(insert(sessions).values(values))
            await connection.execute(
                delete(sessions).where(sessions.c.user_id == user_id, sessions.c.id.not_in(newest))
            )

    async def find(self, token_hash: str) -> SessionRecord | None:
        """The session with that hash, expired or not."""
        query = (
            select(
                sessions.c.id,
                sessions.c.user_id,
                users.c.name.label("user_name"),
                users.c.role,
                sessions.c.last_used_at,
                sessions.c.expires_at,
            )
            .join(users)
            .where(sessions.c.token_hash == token_hash)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else SessionRecord(**{**row, "role": Role(row["role"])})

    async def extend(self, session_id: int, *, now: datetime, expires_at: datetime) -> None:
        """Note that a session was used just now; it lasts until `expires_at`. One that is gone stays so."""
        async with self._database.write() as connection:
            statement = update(sessions).where(sessions.c.id == session_id)
            await connection.execute(statement.values(last_used_at=now, expires_at=expires_at))

    async def remove(self, token_hash: str) -> None:
        """End one session; one that is gone already is no error."""
        async with self._database.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_hash == token_hash))

    async def remove_of(self, user_id: int, *, keep: str | None = None) -> int:
        """End all sessions of a user but the one with the hash `keep`; how many there were."""
        statement = delete(sessions).where(sessions.c.user_id == user_id)
        if keep is not None:
            statement = statement.where(sessions.c.token_hash != keep)
        async with self._database.write() as connection:
            return (await connection.execute(statement)).rowcount
