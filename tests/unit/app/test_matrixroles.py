"""What a linked account lets somebody do who writes in Matrix."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.clock import FakeClock
from tests.support.database import prepare

from ghostlive.access.authorizer import Authorizer
from ghostlive.app.matrixroles import LinkedRoles
from ghostlive.chat.people import Role
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.matrix import MatrixRepository
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import Role as AccountRole
from ghostlive.db.users import UserRepository

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (AccountRole.OWNER, Role.STREAMER),
        (AccountRole.MODERATOR, Role.MODERATOR),
        (AccountRole.STREAMER, Role.GUEST),  # of another stream
    ],
)
async def test_a_link_counts_as_its_account(tmp_path: Path, account: AccountRole, expected: Role) -> None:
    prepare(tmp_path)
    async with Database(DatabaseConfig(), tmp_path) as database:
        users, links, records = UserRepository(database), MatrixRepository(database), StreamRepository(database)
        await records.add("demo")
        user = await users.add("ann", role=account, password_hash="x")
        roles = LinkedRoles(links=links, users=users, authorize=Authorizer(records, FakeClock()).decide)
        assert await roles.role("demo", "@ann:chat.test") is Role.GUEST
        await links.link(f"u_{user.id}", "@ann:chat.test", at=NOW)
        assert await roles.role("demo", "@ann:chat.test") is expected
        assert await roles.role("demo", "@eve:chat.test") is Role.GUEST
        await links.unlink(f"u_{user.id}")
        assert await roles.role("demo", "@ann:chat.test") is Role.GUEST


async def test_a_link_of_a_guest_gives_no_right(tmp_path: Path) -> None:
    prepare(tmp_path)
    async with Database(DatabaseConfig(), tmp_path) as database:
        links, records = MatrixRepository(database), StreamRepository(database)
        await records.add("demo")
        await links.link("g_1", "@ann:chat.test", at=NOW)
        roles = LinkedRoles(
            links=links, users=UserRepository(database), authorize=Authorizer(records, FakeClock()).decide
        )
        assert await roles.role("demo", "@ann:chat.test") is Role.GUEST
