"""Waiting for what happens by itself: on the event loop, in threads and in other programs."""

import asyncio
from collections.abc import Callable
from typing import Final

_TURNS: Final = 100
"""Turns of the loop that are taken at once; what takes longer is done elsewhere, which needs the core."""


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Let the loop run until `condition` holds. Raises `TimeoutError` after `within` seconds."""
    turns = 0
    async with asyncio.timeout(within):
        while not condition():
            turns += 1
            await asyncio.sleep(0 if turns < _TURNS else 0.001)
