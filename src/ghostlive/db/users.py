"""Users: people with a password and a role. `access.passwords` hashes and checks passwords."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import RowMapping, delete, exists, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from ghostlive.db.asyncengine import AsyncConnection
from ghostlive.db.engine import Database
from ghostlive.db.errors import AlreadyExistsError, DatabaseError, NotFoundError
from ghostlive.db.tables import sessions, users

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


class Role(StrEnum):
    """What a user may do, most first."""

    OWNER = "owner"
    ADMIN = "admin"
    STREAMER = "streamer"
    MODERATOR = "moderator"


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user as stored, without the password's hash."""

    id: int
    name: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and what to check their password against, read together."""

    user: UserRecord
    password_hash: str = field(repr=False)


_COLUMNS = [users.c.id, users.c.name, users.c.role, users.c.created_at]


def is_user_name(name: str) -> bool:
    """Whether `name` has the form of a user's name."""
    return _NAME.fullmatch(name) is not None


def check_user_name(name: str) -> str:
    """Return `name` when it can name a user, else raise `DatabaseError` saying why."""
    if not is_user_name(name):
        raise DatabaseError(
            f"{name[:80]!r} cannot name a user: use 1 to 64 small letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    return name


class UserRepository:
    """The table `users`."""

    def __init__(self, database: Database) -> None:
        """`database` is open while the repository is used."""
        self._database = database

    async def list(self) -> list[UserRecord]:
        """All users, by name."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(*_COLUMNS).order_by(users.c.name))
            return [_user(row) for row in rows.mappings()]

    async def get(self, name: str) -> UserRecord | None:
        """The user of that name."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(*_COLUMNS).where(users.c.name == name))).mappings().first()
        return None if row is None else _user(row)

    async def credentials(self, name: str) -> Credentials | None:
        """The user of that name with the hash of their password."""
        query = select(*_COLUMNS, users.c.password_hash).where(users.c.name == name)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else Credentials(_user(row), row["password_hash"])

    async def any(self) -> bool:
        """Whether there is a user at all."""
        async with self._database.read() as connection:
            return await _any(connection)

    async def add(self, name: str, *, role: Role, password_hash: str) -> UserRecord:
        """Store a user. Raises `AlreadyExistsError`."""
        check_user_name(name)
        try:
            async with self._database.write() as connection:
                return await _insert(connection, name, role, password_hash)
        except IntegrityError as error:
            raise AlreadyExistsError(f"a user named {name!r} exists already") from error

    async def add_first(self, name: str, *, role: Role, password_hash: str) -> UserRecord:
        """Store the first user. Raises `AlreadyExistsError` when there is one; of several that try, one succeeds."""
        check_user_name(name)
        async with self._database.write() as connection:
            if connection.dialect.name == "postgresql":  # SQLite's writers are alone
                await connection.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
            if await _any(connection):
                raise AlreadyExistsError("there is a user already; sign in, or have `ghostlive user add` make another")
            return await _insert(connection, name, role, password_hash)

    async def set_password(self, name: str, password_hash: str, *, keep_session: str | None = None) -> None:
        """Replace a user's password and end their sessions, but for the one with the hash `keep_session`.

        Raises `NotFoundError`.
        """
        async with self._database.write() as connection:
            statement = update(users).where(users.c.name == name).values(password_hash=password_hash)
            user_id: int | None = await connection.scalar(statement.returning(users.c.id))
            if user_id is None:
                raise _no_user(name)
            ending = delete(sessions).where(sessions.c.user_id == user_id)
            if keep_session is not None:
                ending = ending.where(sessions.c.token_hash != keep_session)
            await connection.execute(ending)

    async def remove(self, name: str) -> None:
        """Delete a user. Raises `NotFoundError`."""
        async with self._database.write() as connection:
            if (await connection.execute(delete(users).where(users.c.name == name))).rowcount == 0:
                raise _no_user(name)


async def _any(connection: AsyncConnection) -> bool:
    return bool(await connection.scalar(select(exists().select_from(users))))


async def _insert(connection: AsyncConnection, name: str, role: Role, password_hash: str) -> UserRecord:
    values = {"name": name, "role": role.value, "password_hash": password_hash, "created_at": datetime.now(UTC)}
    return _user((await connection.execute(insert(users).values(values).returning(*_COLUMNS))).mappings().one())


def _user(row: RowMapping) -> UserRecord:
    return UserRecord(row["id"], row["name"], Role(row["role"]), row["created_at"])


def _no_user(name: str) -> NotFoundError:
    return NotFoundError(f"there is no user named {name[:80]!r}; `ghostlive user list` shows all")
