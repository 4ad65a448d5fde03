"""Derived tracks: what can be made of a source, and is made only while somebody wants it.

A `Deriver` (the transcoding pool) says at each announcement of a source what it offers. Whoever needs a track takes a
lease on it; the first lease makes the deriver start, the last one's end lets it stop. The track's frames come through
the same subscriptions as the source's, on the same timeline, some time later than the frames they were made from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ghostlive.core.errors import GhostliveError, MediaError
from ghostlive.core.frame import Frame
from ghostlive.core.track import Track

REPLAY_SHORT = 5.0
"""Seconds that the source's last two groups may last together for a derived track to begin with both always."""
_REPLAY_LONG = 17.0
"""OBS makes groups of 250 frames when it is left alone: two of them last 16.7 s at 30 frames a second."""

if TYPE_CHECKING:
    from ghostlive.hub.live import LiveStream


class OfferUnknownError(GhostliveError):
    """No track of that name is offered."""


class OfferRefusedError(GhostliveError):
    """The track is not made now; the text says why, for viewers and streamers."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A track that can be made of a stream's source."""

    track: Track
    """A promise: everything of it holds but `config`, which is empty until the track runs.

    `title` is its name as people see it ("720p30"), the timescale is that of the source's track.
    """
    bitrate: int
    """Bits per second that it will not exceed by much."""
    realtime: bool = False
    """It is for outputs that cannot carry the source as it is and have no time to wait (WebRTC): no playlist has it,
    since for HLS and DASH it would be the source again."""


class Deriver(Protocol):
    """Makes tracks of tracks. Its methods are called from the event loop and must not block."""

    def plan(self, live: "LiveStream") -> Sequence[Offer]:
        """What can be made of `live.tracks`; called at each announcement, before readers hear of it."""

    def demand(self, live: "LiveStream", track: str) -> None:
        """The first lease of an offered track was taken. Raises `OfferRefusedError`: then nobody has a lease."""

    def rest(self, live: "LiveStream", track: str) -> None:
        """The last lease of a track was given back."""

    def want_keyframe(self, live: "LiveStream", track: str) -> bool:
        """Begin a new group of a derived track with its next frame. False when that cannot be had now."""


class Lease:
    """Somebody wants a derived track. Made by `LiveStream.lease`; it survives reconnects and lasts until `close`."""

    def __init__(self, track: str, on_close: Callable[[str], None]) -> None:
        """Use `LiveStream.lease`."""
        self.track = track
        self._on_close = on_close
        self.closed = False

    def close(self) -> None:
        """Nobody here wants the track any more; calling twice is harmless."""
        if not self.closed:
            self.closed = True
            self._on_close(self.track)


class Derivation:
    """One run of a derived track, within one announcement of its source. Made by `LiveStream.derive`.

    A new announcement, or the end of the stream, closes it; what is written then is ignored, since frames of a worker
    may be under way still.
    """

    def __init__(self, track: Track, write: Callable[[Frame], None], on_close: Callable[["Derivation", str], None]):
        """Use `LiveStream.derive`."""
        self.track = track
        self._write = write
        self._on_close = on_close
        self.closed = False

    def write(self, frame: Frame) -> None:
        """Hand on a frame. The first one of a run is a keyframe."""
        if self.closed:
            return
        if frame.track != self.track.id:
            raise MediaError(f"frame of track {frame.track!r} in the derivation of {self.track.id!r}")
        self._write(frame)

    def close(self, reason: str) -> None:
        """No frame of this run follows; harmless when it is closed."""
        if not self.closed:
            self.closed = True
            self._on_close(self, reason)


def begins_with_both(earlier: float, current: float) -> bool:
    """Whether a derived track begins with the last whole group of the source, and not only with the current one.

    Both are in seconds so far. Viewers have a whole segment soon then, not after the source's next keyframe. Of long
    groups that is worth the work only while the next keyframe is far.
    """
    if earlier + current <= REPLAY_SHORT:
        return True
    return earlier + current <= _REPLAY_LONG and current < earlier / 2
