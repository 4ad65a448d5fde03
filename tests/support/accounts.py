"""Accounts for tests: the real code with passwords that cost nothing to check."""

import pytest
from argon2 import PasswordHasher

from ghostlive.access import passwords
from ghostlive.db.engine import Database
from ghostlive.db.users import Role, UserRecord, UserRepository

PASSWORD = "correct horse battery"


def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id as weak as it can be, for tests about something else."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setattr(passwords, "_NOBODY", passwords._unmatched_hash())


async def add_user(database: Database, name: str = "ann", role: Role = Role.OWNER) -> UserRecord:
    """A user with `PASSWORD`."""
    return await UserRepository(database).add(name, role=role, password_hash=await passwords.hash_password(PASSWORD))
