"""Users: people with a password and a role. `access.passwords` hashes and checks passwords."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ghostlive.db.engine import Database
from ghostlive.db.errors import AlreadyExistsError, DatabaseError, NotFoundError
from ghostlive.db.tables import users

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


_COLUMNS = [users.c.id, users.c.name, users.c.role, users.c.created_at]


def check_user_name(name: str) -> str:
    """Return `name` when it can name a user, else raise `DatabaseError` saying why."""
    if not _NAME.fullmatch(name):
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

    async def password_hash(self, name: str) -> str | None:
        """What to check a password against; None when there is no such user."""
        async with self._database.read() as connection:
            found: str | None = await connection.scalar(select(users.c.password_hash).where(users.c.name == name))
        return found

    async def add(self, name: str, *, role: Role, password_hash: str) -> UserRecord:
        """Store a user. Raises `AlreadyExistsError`."""
        check_user_name(name)
        values = {"name": name, "role": role.value, "password_hash": password_hash, "created_at": datetime.now(UTC)}
        try:
            async with self._database.write() as connection:
                row = (await connection.execute(insert(users).values(values).returning(*_COLUMNS))).mappings().one()
        except IntegrityError as error:
            raise AlreadyExistsError(f"a user named {name!r} exists already") from error
        return _user(row)

    async def set_password(self, name: str, password_hash: str) -> None:
        """Replace a user's password. Raises `NotFoundError`."""
        async with self._database.write() as connection:
            statement = update(users).where(users.c.name == name).values(password_hash=password_hash)
            if (await connection.execute(statement)).rowcount == 0:
                raise _no_user(name)

    async def remove(self, name: str) -> None:
        """Delete a user. Raises `NotFoundError`."""
        async with self._database.write() as connection:
            if (await connection.execute(delete(users).where(users.c.name == name))).rowcount == 0:
                raise _no_user(name)


def _user(row: RowMapping) -> UserRecord:
    return UserRecord(row["id"], row["name"], Role(row["role"]), row["created_at"])


def _no_user(name: str) -> NotFoundError:
    return NotFoundError(f"there is no user named {name[:80]!r}; `ghostlive user list` shows all")
