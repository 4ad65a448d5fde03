"""Who watches: pages that have a stream open, and players that read its media.

A viewer is told apart by address and program (`access.browser.viewer_key`). For each, the pages that are open count; a
player without a page counts once, until it has asked for nothing for 15 s. Which renditions are watched is told by what
players ask for. Strangers choose what they call themselves, so names are cut and their number is limited.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from ghostlive.core.clock import Clock, Timer
from ghostlive.core.events import StreamAudienceChanged, StreamEvent

_FORGOTTEN_AFTER: Final = 15.0
_LOOK_EVERY: Final = 5.0
_TOLD_EVERY: Final = 2.0
_TOLD_PER_SECOND: Final = 500
"""A large audience is told of itself less often: each change goes to each page of it."""
_KEY_LENGTH: Final = 200
_MOST: Final = 50_000
_MOST_TRACKS: Final = 8
"""That one player counts for; one that tries more at a time counts for those it asked for last."""


class _Crowd:
    """The audience of one stream."""

    def __init__(self) -> None:
        self.pages: dict[str, int] = {}
        self.media: dict[str, dict[str, float]] = {}
        """When each player asked for each track, in the order of the last request, of tracks as of players."""
        self.tracks: Counter[str] = Counter()
        """How many players have asked for each track lately."""
        self.count = 0
        self.told = 0
        self.told_at = float("-inf")
        self.timer: Timer | None = None

    def leave(self, tracks: dict[str, float], track: str) -> None:
        """A player whose tracks these are does not ask for this one any more."""
        del tracks[track]
        self.tracks[track] -= 1
        if not self.tracks[track]:
            del self.tracks[track]


class Audience:
    """Counts the viewers of all streams, and tells when a number changes."""

    def __init__(self, clock: Clock, emit: Callable[[StreamEvent], None]) -> None:
        """`emit` is the hub's."""
        self._clock = clock
        self._emit = emit
        self._crowds: dict[str, _Crowd] = {}
        self._watch: Timer | None = None

    def count(self, stream: str) -> int:
        """How many people watch."""
        crowd = self._crowds.get(stream)
        return crowd.count if crowd else 0

    def enter(self, stream: str, viewer: str) -> None:
        """A page was opened. Every `enter` is followed by one `leave` with the same arguments."""
        viewer = viewer[:_KEY_LENGTH]
        crowd = self._crowd(stream)
        pages = crowd.pages.get(viewer, 0)
        crowd.pages[viewer] = pages + 1
        if pages or viewer not in crowd.media:
            crowd.count += 1
        self._changed(stream, crowd)

    def leave(self, stream: str, viewer: str) -> None:
        """A page was closed."""
        viewer = viewer[:_KEY_LENGTH]
        crowd = self._crowd(stream)
        pages = crowd.pages.get(viewer, 0)
        if not pages:
            return
        if pages == 1:
            del crowd.pages[viewer]
        else:
            crowd.pages[viewer] = pages - 1
        if pages > 1 or viewer not in crowd.media:
            crowd.count -= 1
        self._changed(stream, crowd)

    def watching(self, stream: str) -> dict[str, int]:
        """How many players have asked for each track within the last 15 s."""
        crowd = self._crowds.get(stream)
        return {track: count for track, count in crowd.tracks.items() if track} if crowd else {}

    def seen(self, stream: str, viewer: str, track: str = "") -> None:
        """A player asked for media; `track` is what the stream calls it."""
        viewer = viewer[:_KEY_LENGTH]
        crowd = self._crowd(stream)
        tracks = crowd.media.pop(viewer, None)
        known = tracks is not None
        if tracks is None:
            if len(crowd.media) >= _MOST:
                return
            tracks = {}
        crowd.media[viewer] = tracks
        if tracks.pop(track, None) is None:
            crowd.tracks[track] += 1
        tracks[track] = now = self._clock.now()
        for left in [each for each, last in tracks.items() if last <= now - _FORGOTTEN_AFTER]:
            crowd.leave(tracks, left)
        if len(tracks) > _MOST_TRACKS:
            crowd.leave(tracks, next(iter(tracks)))
        if self._watch is None:
            self._watch = self._clock.call_later(_LOOK_EVERY, self._look)
        if not known and viewer not in crowd.pages:
            crowd.count += 1
            self._changed(stream, crowd)

    def close(self) -> None:
        """Stop all timers."""
        timers = [self._watch, *(crowd.timer for crowd in self._crowds.values())]
        self._crowds.clear()
        for timer in timers:
            if timer is not None:
                timer.cancel()

    def _crowd(self, stream: str) -> _Crowd:
        return self._crowds.setdefault(stream, _Crowd())

    def _look(self) -> None:
        """Forget players that have gone."""
        self._watch = None
        oldest = self._clock.now() - _FORGOTTEN_AFTER
        for stream, crowd in list(self._crowds.items()):
            gone = []
            for viewer, tracks in crowd.media.items():
                if tracks[next(reversed(tracks))] > oldest:
                    break
                gone.append(viewer)
            for viewer in gone:
                tracks = crowd.media.pop(viewer)
                for track in list(tracks):
                    crowd.leave(tracks, track)
                crowd.count -= viewer not in crowd.pages
            if gone:
                self._changed(stream, crowd)
        if any(crowd.media for crowd in self._crowds.values()):
            self._watch = self._clock.call_later(_LOOK_EVERY, self._look)

    def _changed(self, stream: str, crowd: _Crowd) -> None:
        if crowd.timer is not None:
            return
        due = crowd.told_at + max(_TOLD_EVERY, crowd.count / _TOLD_PER_SECOND)
        delay = due - self._clock.now()
        if delay <= 0:
            self._tell(stream, crowd)
        else:
            crowd.timer = self._clock.call_later(delay, lambda: self._tell(stream, crowd))

    def _tell(self, stream: str, crowd: _Crowd) -> None:
        crowd.timer = None
        if crowd.count != crowd.told:
            crowd.told = crowd.count
            crowd.told_at = self._clock.now()
            self._emit(StreamAudienceChanged(stream))
