"""Timelines: from a publisher's timestamps to the stream's, and from those to wall-clock time.

A stream's timeline begins (media time 0) when its first publisher starts and runs on through reconnects.
PROGRAM-DATE-TIME, the MPD's availabilityStartTime, RTCP sender reports and chat alignment all come from it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where media time 0 lies on the wall clock."""

    origin_ns: int
    """Nanoseconds since the Unix epoch at media time 0."""

    def wall_ns(self, ticks: int, timescale: int) -> int:
        """Wall-clock nanoseconds of a media time."""
        return self.origin_ns + ticks * NS // timescale

    def wall(self, ticks: int, timescale: int) -> datetime:
        """Wall-clock time of a media time, in UTC with microseconds."""
        return _EPOCH + timedelta(microseconds=self.wall_ns(ticks, timescale) // 1000)

    def media_ticks(self, wall_ns: int, timescale: int) -> int:
        """Media time, in ticks, at a wall-clock instant."""
        return (wall_ns - self.origin_ns) * timescale // NS


class Rebaser:
    """Maps one publisher's wrapping timestamps onto the stream's timeline, and does not believe jumps.

    All tracks of a publisher share one rebaser, so that they keep their distance. A timestamp that moves more than
    `max_jump` seconds away from what the arrival times say is re-based: output goes on from where it was. The offset
    before a jump is remembered, since the other track's timestamps may jump a few frames later.
    """

    def __init__(self, *, rate: int, bits: int, base: int, max_jump: float = 10.0) -> None:
        """`rate` is ticks per second, `bits` the width of the counter on the wire, `base` the first output."""
        self._rate = rate
        self._modulus = 1 << bits
        self._base = base
        self._max_jump = int(max_jump * rate)
        self._offset: int | None = None
        self._previous_offset: int | None = None
        self._last_raw = 0
        self._last_out = base
        self._last_now = 0.0
        self.jumps = 0
        """How often timestamps were re-based."""

    def map(self, timestamp: int, now: float) -> int:
        """Return the stream time of a wire `timestamp` that arrived at `now` (monotonic seconds)."""
        if self._offset is None:
            self._offset = self._base - timestamp
            self._last_raw, self._last_now = timestamp, now
            return self._base
        # The nearest representative of the wrapped counter to the last one (RTMP §5.3.1.3, serial arithmetic).
        half = self._modulus >> 1
        raw = self._last_raw + ((timestamp - self._last_raw + half) % self._modulus) - half
        expected = self._last_out + int((now - self._last_now) * self._rate)
        out = raw + self._offset
        if abs(out - expected) > self._max_jump:
            if self._previous_offset is not None and abs(raw + self._previous_offset - expected) <= self._max_jump:
                return raw + self._previous_offset
            self._previous_offset = self._offset
            self._offset = max(expected, self._last_out) - raw
            self.jumps += 1
            out = raw + self._offset
        self._last_raw = raw
        self._last_out, self._last_now = max(out, self._last_out), now
        return out
