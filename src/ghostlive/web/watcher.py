"""Notices records that another process changed (`ghostlive stream add` beside a running server)."""

import asyncio
import contextlib
from datetime import datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.core.events import StreamRecordChanged
from ghostlive.hub.hub import Hub
from ghostlive.transcode.ladders import StreamLadders
from ghostlive.web.directory import StreamRecords

_log = structlog.get_logger("records")

_INTERVAL = 2.0


class RecordWatcher:
    """Compares the stream records every two seconds with what they were, and tells pages what changed.

    The broadcast of a stream that is gone ends, also when its publisher came in while it was being removed, or when
    there is another stream of its name by now.
    """

    def __init__(self, records: StreamRecords, hub: Hub, ladders: StreamLadders | None = None) -> None:
        """Changes are told through `hub`, and those of renditions to `ladders`."""
        self._records = records
        self._hub = hub
        self._ladders = ladders
        self._known: dict[str, tuple[datetime, str, str]] | None = None
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Look until `stop`. A database that cannot be read now is tried again."""
        try:
            while not self._stopping.is_set():
                try:
                    await self.look()
                except (OSError, SQLAlchemyError) as error:
                    _log.warning("stream records could not be read", error=str(error))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _INTERVAL)
        finally:
            self._stopped.set()

    async def stop(self) -> None:
        """End `run` after the look that is under way: a connection to the database is not cut off while it is made."""
        self._stopping.set()
        await self._stopped.wait()

    async def look(self) -> None:
        """Compare once."""
        live = self._hub.streams()  # before reading: one that is made and goes live meanwhile is none without record
        mark = self._ladders.mark() if self._ladders is not None else 0
        records = await self._records.list()
        now = {record.name: (record.created_at, record.title, record.description) for record in records}
        known = self._known or {}
        for stream in live:
            record, before = now.get(stream.name), known.get(stream.name)
            if record is None or (before is not None and before[0] != record[0]):
                stream.end("the stream was removed")
        if self._known is not None:
            changed = {name for name in now.keys() | self._known.keys() if now.get(name) != self._known.get(name)}
            for name in sorted(changed):
                self._hub.emit(StreamRecordChanged(name))
        self._known = now
        if self._ladders is not None:
            self._ladders.refresh(records, mark)
