"""What tests of accounts stand on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.clock import FakeClock
from tests.support.database import prepare

from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """SQLite in a folder of this test."""
    prepare(tmp_path)
    async with Database(DatabaseConfig(), tmp_path) as database:
        yield database


@pytest.fixture
def clock() -> FakeClock:
    """Time that stands still until told."""
    return FakeClock()
