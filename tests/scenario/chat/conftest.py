"""A running chat."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.chat import Chat, open_chat


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    """A chat without limits on the rate."""
    async with open_chat(tmp_path) as chat:
        yield chat
