"""What is made for one viewer: its leases, and what was refused to it lately."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

import structlog

from ghostlive.core.track import Track
from ghostlive.hub.derived import OfferRefusedError, OfferUnknownError

if TYPE_CHECKING:
    from ghostlive.protocols.webrtc.egress.stream import StreamEgress

_log = structlog.get_logger("webrtc.egress")

_REFUSED_FOR: Final = 15.0
"""Seconds for which what was refused is not asked for again."""


class Leases:
    """One viewer's. The stream leases a track once for all viewers who hold it."""

    __slots__ = ("_held", "_refused", "_stream")

    def __init__(self, stream: "StreamEgress") -> None:
        """None yet."""
        self._stream = stream
        self._held: set[str] = set()
        self._refused: dict[str, float] = {}

    def __contains__(self, track: str) -> bool:
        return track in self._held

    def acquire(self, track: Track, now: float) -> bool:
        """Have a track made; False when that cannot be had now, or could not a moment ago."""
        if track.id in self._held:
            return True
        if self._refused.get(track.id, 0.0) > now:
            return False
        try:
            self._stream.hold(track.id, self)
        except (OfferRefusedError, OfferUnknownError) as error:
            self.refuse(track.id, now)
            _log.info("rendition refused", stream=self._stream.live.name, track=track.id, reason=str(error))
            return False
        self._held.add(track.id)
        return True

    def refuse(self, track: str, now: float) -> None:
        """It did not come, or is not made any more: another one is shown for a while."""
        self._refused[track] = now + _REFUSED_FOR

    def forgive(self) -> None:
        """What was refused may be asked for again."""
        self._refused.clear()

    def release(self, track: str) -> None:
        """Give a track back; harmless for one that is not held."""
        if track in self._held:
            self._held.discard(track)
            self._stream.release(track, self)

    def keep(self, tracks: Collection[str]) -> None:
        """Give everything else back."""
        for track in self._held.difference(tracks):
            self.release(track)
