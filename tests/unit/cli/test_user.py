"""`ghostlive user` and what it means for a server that runs beside it."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.support.clock import FakeClock
from typer.testing import CliRunner, Result

from ghostlive.access.decision import Identity
from ghostlive.access.sessions import Sessions
from ghostlive.cli.main import app
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.users import UserRepository


def _user(data: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(app, ["user", *arguments, "--data", str(data)], input="correct horse battery\n")
    assert result.exit_code == 0, result.output
    return result


def _added(data: Path, *arguments: str) -> Any:
    return json.loads(_user(data, "add", *arguments, "--json").stdout)["role"]


def test_the_first_user_is_the_owner_unless_told_otherwise(tmp_path: Path) -> None:
    assert _added(tmp_path / "one", "ann") == "owner"
    assert _added(tmp_path / "one", "bob") == "streamer"
    assert _added(tmp_path / "one", "eve", "--role", "owner") == "owner"
    assert _added(tmp_path / "two", "ann", "--role", "moderator") == "moderator"


def test_another_password_and_removal_end_the_sessions(tmp_path: Path) -> None:
    async def open_session() -> str:
        async with Database(DatabaseConfig(), tmp_path) as database:
            user = await UserRepository(database).get("ann")
            assert user is not None
            sessions = Sessions(database, FakeClock())
            return (await sessions.open(Identity(user.id, user.name, user.role), "")).token

    async def identify(token: str) -> Identity | None:
        async with Database(DatabaseConfig(), tmp_path) as database:
            return await Sessions(database, FakeClock()).identify(token)

    _user(tmp_path, "add", "ann")
    token = asyncio.run(open_session())
    assert asyncio.run(identify(token)) is not None
    _user(tmp_path, "password", "ann")
    assert asyncio.run(identify(token)) is None
    token = asyncio.run(open_session())
    _user(tmp_path, "remove", "ann", "--yes")
    assert asyncio.run(identify(token)) is None
