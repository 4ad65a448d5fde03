"""A homeserver whose own clock is wrong, and one whose clock is set while it runs: the real Synapse, an hour off."""

import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.support.chat_client import ChatClient, chat_url, guest
from tests.support.program import Program, wait_for
from tests.support.synapse import Person, Synapse

PATIENCE = 240.0
SETTINGS = {
    "GHOSTLIVE_TRANSCODE__ENABLED": "false",
    "GHOSTLIVE_RTMP__ENABLED": "false",
    "GHOSTLIVE_WEBRTC__ENABLED": "false",
}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8ffff3f0005fe02fea7"
    "9a3e6f0000000049454e44ae426082"
)
ACCOUNT = {"name": "olga", "password": "correct horse battery staple"}


@pytest.fixture(scope="module")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """A homeserver whose clock a test may set: `Synapse.set_clock`."""
    found = Synapse(tmp_path_factory.mktemp("late"))
    found.set_clock(-3600.0)
    try:
        found.start()
        yield found
    finally:
        found.kill()
