"""Notices records that another process changed (`ghostlive stream add` beside a running server)."""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.core.events import StreamRecordChanged
from ghostlive.hub.hub import Hub
from ghostlive.web.directory import StreamRecords

_log = structlog.get_logger("records")

_INTERVAL = 2.0


class RecordWatcher:
    """Compares the stream records every two seconds with what they were, and tells pages what changed."""

    def __init__(self, records: StreamRecords, hub: Hub) -> None:
        """Changes are told through `hub`."""
        self._records = records
        self._hub = hub
        self._known: dict[str, tuple[str, str]] | None = None

    async def run(self) -> None:
        """Look until cancelled. A database that cannot be read now is tried again."""
        while True:
            try:
                await self.look()
            except (OSError, SQLAlchemyError) as error:
                _log.warning("stream records could not be read", error=str(error))
            await asyncio.sleep(_INTERVAL)

    async def look(self) -> None:
        """Compare once."""
        now = {record.name: (record.title, record.description) for record in await self._records.list()}
        if self._known is not None:
            changed = {name for name in now.keys() | self._known.keys() if now.get(name) != self._known.get(name)}
            for name in sorted(changed):
                self._hub.emit(StreamRecordChanged(name))
        self._known = now
