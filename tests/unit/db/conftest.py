"""An open database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.database import prepare

from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """SQLite in a folder of this test."""
    prepare(tmp_path)
    async with Database(DatabaseConfig(), tmp_path) as database:
        yield database
