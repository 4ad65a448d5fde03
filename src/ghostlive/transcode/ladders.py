"""The ladders that streams have of their own: stored with the stream, kept in memory since the pool plans at once."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import structlog

from ghostlive.hub.hub import Hub
from ghostlive.transcode.config import RenditionSetting, RenditionSettingError
from ghostlive.transcode.laddertext import Settings, read_ladder, write_ladder

_log = structlog.get_logger("transcode")


class LadderRecord(Protocol):
    """The part of a stored stream that matters here."""

    @property
    def name(self) -> str: ...
    @property
    def ladder(self) -> str | None: ...


class LadderRecords(Protocol):
    """Where streams are stored (`db.streams`)."""

    async def list(self) -> Sequence[LadderRecord]:
        """All streams."""

    async def set_ladder(self, name: str, ladder: str | None) -> LadderRecord:
        """Store a stream's ladder. Raises `NotFoundError`."""


class StreamLadders:
    """Knows each stream's own ladder. What changes one makes a live stream plan anew at once."""

    def __init__(self, records: LadderRecords, hub: Hub) -> None:
        """`load` it before streams begin."""
        self._records = records
        self._hub = hub
        self._texts: dict[str, str] = {}
        self._settings: dict[str, Settings] = {}
        self._changes = 0

    async def load(self) -> None:
        """Read all of them."""
        self.refresh(await self._records.list(), self.mark())

    def settings_of(self, stream: str) -> Settings | None:
        """A stream's own renditions, of which there may be none; None when it has the server's."""
        return self._settings.get(stream)

    async def change(self, stream: str, settings: Sequence[RenditionSetting] | None) -> None:
        """Store a stream's own renditions, or None for the server's. Raises `NotFoundError`."""
        record = await self._records.set_ladder(stream, None if settings is None else write_ladder(settings))
        self._changes += 1
        self._take(stream, record.ladder)

    def mark(self) -> int:
        """A moment before reading records, for `refresh`."""
        return self._changes

    def refresh(self, records: Iterable[LadderRecord], mark: int) -> None:
        """Take over what another process changed. Records that were read before a change here are old: ignored."""
        if mark != self._changes:
            return
        now = {record.name: record.ladder for record in records}
        for stream in self._texts.keys() | now.keys():
            self._take(stream, now.get(stream))

    def _take(self, stream: str, text: str | None) -> None:
        if self._texts.get(stream) == text:
            return
        if text is None:
            del self._texts[stream]
            self._settings.pop(stream, None)
        else:
            self._texts[stream] = text
            try:
                self._settings[stream] = read_ladder(text)
            except RenditionSettingError as error:
                self._settings.pop(stream, None)
                _log.warning("a stream's renditions cannot be used", stream=stream, error=str(error))
        if (live := self._hub.get(stream)) is not None:
            live.reoffer()
