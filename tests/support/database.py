"""Databases for tests that are not about making one: making takes six times as long as opening, so it is done once.

prepare(tmp_path)
async with Database(DatabaseConfig(), tmp_path) as database: ...
"""

import asyncio
import functools
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import FILE_NAME, Database


def prepare(folder: Path) -> None:
    """Put an empty database with the schema of this version into `folder`, unless there is one already."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / FILE_NAME).exists():
        shutil.copy(Path(_template().name) / FILE_NAME, folder)


@functools.cache
def _template() -> tempfile.TemporaryDirectory[str]:
    """A folder with such a database; it goes with this process."""
    folder = tempfile.TemporaryDirectory(prefix="ghostlive-database-")

    async def make() -> None:
        async with Database(DatabaseConfig(), Path(folder.name)):
            pass

    with ThreadPoolExecutor(1) as thread:  # where this is called from, a loop may be running
        thread.submit(asyncio.run, make()).result()
    return folder
