"""One track as viewers see it: the segments in its window, the one being made, and who waits for the next.

A rendition outlives epochs: its track may change its codec configuration or come back after a reconnect. One that is
offered is listed before it has any segment, and has none again when it rests.
"""

from collections import deque

from ghostlive.core.track import Track, TrackKind, picture_name
from ghostlive.hub.derived import Offer
from ghostlive.packager.model import Segment
from ghostlive.packager.resource import ContentType, Resource, Use
from ghostlive.packager.signal import Signal


class Rendition:
    """The window of one track."""

    def __init__(
        self, track: Track, *, part_target: float = 0.0, target_duration: int = 0, offer: Offer | None = None
    ) -> None:
        """The part target holds for its whole life; the target duration may be raised once. 0 until it has a part."""
        self.track = track
        self.offer = offer
        """What was promised of a derived track; None for a track of the source."""
        self.rank = 0
        """Its place among the offers."""
        self.running = False
        """Of an offered one: whether frames come."""
        self.withdrawn = False
        """It is offered no longer."""
        self.failures = 0
        """How often a run was given up while somebody watched."""
        self.use = Use()
        self.part_target = part_target
        self.target_duration = target_duration
        self.segments: deque[Segment] = deque()
        """Complete and listed, in order, without holes in their numbers."""
        self.current: Segment | None = None
        """The one being made, from its first part on."""
        self.next_msn = 0
        """The number of the segment after the last complete one."""
        self.ended = False
        self.version = 0
        """Counts the changes of its playlists."""
        self.changed = Signal()
        self.cache: dict[str, Resource] = {}
        """Rendered playlists of this version, by variant."""
        self.listed = 0.0
        """Seconds in `segments`."""
        self.peak = 0
        """Bits per second of the largest segment so far."""
        self.longest = 0.0
        """Seconds of the longest segment so far."""
        self._dependent = 0
        self._bytes = 0
        self._seconds = 0.0

    @property
    def id(self) -> str:
        """The track's id."""
        return self.track.id

    @property
    def name(self) -> str:
        """As people see it."""
        track = self.track
        if self.offer is not None and self.offer.track.title:
            return self.offer.track.title
        if track.kind is TrackKind.VIDEO and track.height:
            return picture_name(track.width, track.height, track.frame_rate)
        return track.title or track.id

    @property
    def content_type(self) -> ContentType:
        """Of its segments."""
        return ContentType.VIDEO if self.track.kind is TrackKind.VIDEO else ContentType.AUDIO

    @property
    def playable(self) -> bool:
        """Whether there is a complete segment to list."""
        return bool(self.segments)

    @property
    def average(self) -> int:
        """Bits per second over its whole life, or as promised."""
        if self._seconds:
            return round(self._bytes * 8 / self._seconds)
        return self.offer.bitrate if self.offer is not None else 0

    @property
    def bandwidth(self) -> int:
        """Bits per second to list: of its largest segment so far, but never less than promised."""
        return max(self.peak, self.average, self.offer.bitrate if self.offer is not None else 1)

    @property
    def last_part(self) -> tuple[int, int]:
        """The newest part as segment number and index; the index is -1 when there is none yet."""
        if self.current is not None:
            return self.current.msn, len(self.current.parts) - 1
        if self.segments:
            return self.segments[-1].msn, len(self.segments[-1].parts) - 1
        return self.next_msn, -1

    @property
    def next_part(self) -> tuple[int, int]:
        """The part that comes next."""
        return (self.current.msn, len(self.current.parts)) if self.current is not None else (self.next_msn, 0)

    @property
    def all_independent(self) -> bool:
        """Whether every listed segment begins with a keyframe."""
        return not self._dependent

    def begin(self, segment: Segment) -> list[Segment]:
        """Its first part is there; returns the segments that are listed no longer since its number does not follow."""
        dropped = self._drop_unless_next(segment)
        self.current = segment
        self.track = segment.epoch.track
        return dropped

    def drop_all(self) -> list[Segment]:
        """List nothing any more; returns what was listed."""
        dropped = list(self.segments)
        self.segments.clear()
        self.listed = 0.0
        self._dependent = 0
        self.current = None
        return dropped

    def complete(self, segment: Segment) -> list[Segment]:
        """List a complete segment; returns those that are listed no longer since its number does not follow."""
        dropped = self._drop_unless_next(segment)
        self.current = None
        self.next_msn = segment.msn + 1
        self.segments.append(segment)
        seconds = segment.seconds
        self.listed += seconds
        self.longest = max(self.longest, seconds)
        self._dependent += _depends(segment)
        self._bytes += segment.size
        self._seconds += seconds
        if seconds > self.target_duration / 4 or not self.peak:
            self.peak = max(self.peak, round(segment.size * 8 / seconds))
        return dropped

    def drop_oldest(self) -> Segment:
        """List the oldest segment no longer."""
        segment = self.segments.popleft()
        self.listed -= segment.seconds
        self._dependent -= _depends(segment)
        return segment

    def passed(self, msn: int) -> bool:
        """Whether a segment that is not there will never come: it is before the first one, or over."""
        first = self.segments[0] if self.segments else self.current
        return first is not None and (msn < first.msn or (bool(self.segments) and msn < self.next_msn))

    def _drop_unless_next(self, segment: Segment) -> list[Segment]:
        return self.drop_all() if self.segments and segment.msn != self.segments[-1].msn + 1 else []

    def has(self, msn: int, part: int | None) -> bool:
        """Whether a playlist would answer a blocking request for this segment, or this part of it (§6.2.5.2)."""
        if self.ended:
            return True
        if part is None:
            return msn < self.next_msn
        if msn < self.next_msn - 1:
            return True
        if msn == self.next_msn - 1:
            # A part that its segment does not have is the first one of the next segment.
            last = self.segments[-1] if self.segments else None
            return last is None or not last.parts or part < len(last.parts) or self.current is not None
        return self.current is not None and msn == self.current.msn and part < len(self.current.parts)

    def change(self) -> None:
        """Something in its playlists is new: wake who waits."""
        self.version += 1
        self.cache.clear()
        self.changed.fire()


def _depends(segment: Segment) -> bool:
    return not (segment.independent or segment.gap)
