"""Live streams and their publications.

A live stream lives from its first publisher until it ends: at a publisher's goodbye, or when one that was lost does
not come back within the grace time. Its timeline runs on through reconnects.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from ghostlive.core.clock import Clock, Timer
from ghostlive.core.errors import MediaError
from ghostlive.core.events import (
    StreamEnded,
    StreamEvent,
    StreamInterrupted,
    StreamResumed,
    StreamStarted,
    StreamTracksChanged,
)
from ghostlive.core.frame import Frame
from ghostlive.core.group import Group
from ghostlive.core.meters import RateMeter
from ghostlive.core.stream import StreamState
from ghostlive.core.timeline import NS, Timeline
from ghostlive.core.track import Track, TrackKind
from ghostlive.hub.config import HubConfig
from ghostlive.hub.subscription import Announced, Ended, Interrupted, Subscription

_log = structlog.get_logger("hub")

_LAST_FRAME_NS = 100_000_000
"""How long the last frame of a publication may last, as nobody will know."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a publication comes from, for logs and the studio."""

    protocol: str
    address: str
    agent: str = ""
    """What the encoder calls itself."""


class Publication:
    """One publisher's hold on a stream. Made by `Hub.publish`.

    `announce` the tracks, `write` frames of them, and either `end` (the publisher said goodbye) or `lose` it (the
    connection broke: the stream waits for it to come back). Both may be called again and are harmless then.
    """

    def __init__(self, live: "LiveStream", source: Source, on_taken: Callable[[str], None]) -> None:
        """Use `Hub.publish`."""
        self._live = live
        self.source = source
        self._on_taken = on_taken
        self.closed = False
        self.last_frame = live.clock.now()

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self._live.name

    def time_ns(self) -> int:
        """The time on the stream's timeline, in nanoseconds, that a frame arriving now should get.

        An ingest asks once, with its first frame, and counts on from there by the publisher's timestamps. It is after
        every frame of earlier publications, even if those ran ahead of the clock.
        """
        return self._live._time_ns()

    def announce(self, tracks: Sequence[Track]) -> None:
        """Say what the frames that follow belong to; again when something changed."""
        if not self.closed:
            self._live._announce(tuple(tracks))

    def write(self, frame: Frame) -> None:
        """Hand on one frame of an announced track, in decoding order within the track."""
        if not self.closed:
            self.last_frame = self._live.clock.now()
            self._live._write(frame)

    def end(self, reason: str) -> None:
        """The publisher stopped on purpose: the stream ends now."""
        if not self.closed:
            self.closed = True
            self._live._publication_closed(reason, lost=False)

    def lose(self, reason: str) -> None:
        """The publisher's connection broke: the stream is kept for the grace time."""
        if not self.closed:
            self.closed = True
            self._live._publication_closed(reason, lost=True)

    def take_over(self, reason: str) -> None:
        """Push this publisher out for another one. Called by the hub."""
        if not self.closed:
            self.closed = True
            self._on_taken(reason)


class LiveStream:
    """A stream that is live or interrupted: its tracks, its readers and its last group."""

    def __init__(self, name: str, *, config: HubConfig, clock: Clock, emit: Callable[[StreamEvent], None]) -> None:
        """Use `Hub.publish`."""
        self.name = name
        self.session = secrets.token_hex(5)
        """Names this live session in URLs, so that caches never mix two."""
        self.clock = clock
        self.timeline = Timeline(clock.wall_ns())
        self.state = StreamState.LIVE
        self.tracks: tuple[Track, ...] = ()
        self.epoch = -1
        self.publication: Publication | None = None
        self._config = config
        self._emit = emit
        self._origin = clock.now()
        self._readers: set[Subscription] = set()
        self._group: Group | None = None
        self._groups = 0
        self._leading = ""
        self._leading_is_audio = False
        self._audio_group_ticks = 0
        self._audio_group_start = 0
        self._known: frozenset[str] = frozenset()
        self._grace: Timer | None = None
        self._meters: dict[str, RateMeter] = {}
        self._resumed = False
        self._last: dict[str, Frame] = {}
        self._end_ns = 0

    @property
    def announced(self) -> bool:
        """Whether tracks are known, so that viewers can be promised something."""
        return self.epoch >= 0

    @property
    def readers(self) -> int:
        """How many subscriptions there are."""
        return len(self._readers)

    def bitrate(self, track: str) -> int:
        """Measured bits per second of a track over the last seconds."""
        meter = self._meters.get(track)
        return meter.bits_per_second if meter else 0

    def subscribe(self, *, tracks: frozenset[str] | None = None) -> Subscription:
        """Read this stream, beginning with the last group so that a picture is there at once."""
        subscription = Subscription(
            max_frames=self._config.reader_frames,
            max_bytes=self._config.reader_bytes,
            tracks=tracks,
            on_close=self._readers.discard,
        )
        if self.state is StreamState.OFFLINE:
            subscription.put_control(Ended("the stream has ended"))
            return subscription
        self._readers.add(subscription)
        if self.announced:
            subscription.put_control(Announced(self.epoch, self.tracks, self.timeline))
            if self._group is not None:
                for index, frame in enumerate(self._group.frames):
                    subscription.put_frame(frame, group_start=index == 0)
        if self.state is StreamState.INTERRUPTED:
            subscription.put_control(Interrupted("the publisher's connection broke"))
        return subscription

    def attach(self, source: Source, on_taken: Callable[[str], None]) -> Publication:
        """Begin a publication, on the timeline where it stands now. Called by the hub."""
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
            self._resumed = True
        self.publication = Publication(self, source, on_taken)
        return self.publication

    def end(self, reason: str) -> None:
        """End the live session for everybody."""
        if self.state is StreamState.OFFLINE:
            return
        self.state = StreamState.OFFLINE
        if self._grace is not None:
            self._grace.cancel()
        if self.publication is not None:
            self.publication.take_over(reason)
            self.publication = None
        for reader in self._readers:
            reader.put_control(Ended(reason))
        self._readers.clear()
        self._group = None
        _log.info("stream ended", stream=self.name, reason=reason)
        self._emit(StreamEnded(self.name, reason))

    def _time_ns(self) -> int:
        elapsed = int((self.clock.now() - self._origin) * 1e9)
        return max(elapsed, self._end_ns, self._written_ns())

    def _written_ns(self) -> int:
        """The end of what was written of the current tracks."""
        ends = (
            self._last[track.id].dts * NS // track.timescale + _LAST_FRAME_NS
            for track in self.tracks
            if track.id in self._last
        )
        return max(ends, default=0)

    def _announce(self, tracks: tuple[Track, ...]) -> None:
        if not tracks:
            raise MediaError("a publication needs at least one track")
        first = not self.announced
        self._end_ns = max(self._end_ns, self._written_ns())
        self._last.clear()
        self.epoch += 1
        self.tracks = tracks
        self._known = frozenset(track.id for track in tracks)
        leading = next((track for track in tracks if track.kind is TrackKind.VIDEO), tracks[0])
        self._leading = leading.id
        self._leading_is_audio = leading.kind is TrackKind.AUDIO
        self._audio_group_ticks = int(self._config.audio_group * leading.timescale)
        self._group = None
        self._meters = {track.id: RateMeter() for track in tracks}
        self.state = StreamState.LIVE
        for reader in self._readers:
            reader.put_control(Announced(self.epoch, tracks, self.timeline))
        _log.info("tracks", stream=self.name, epoch=self.epoch, tracks=[str(track.codec) for track in tracks])
        if first:
            self._emit(StreamStarted(self.name))
        elif self._resumed:
            self._resumed = False
            self._emit(StreamResumed(self.name))
        else:
            self._emit(StreamTracksChanged(self.name))

    def _write(self, frame: Frame) -> None:
        if frame.track not in self._known:
            raise MediaError(f"frame of track {frame.track!r}, which was not announced")
        self._last[frame.track] = frame
        self._meters[frame.track].add(len(frame.payload), self.publication.last_frame if self.publication else 0.0)
        start = frame.track == self._leading and frame.keyframe and self._begins_group(frame)
        if start:
            self._group = Group(self._groups)
            self._groups += 1
        if self._group is not None:
            self._group.add(frame, max_frames=self._config.group_frames, max_size=self._config.group_bytes)
        for reader in self._readers:
            reader.put_frame(frame, group_start=start)

    def _begins_group(self, frame: Frame) -> bool:
        if not self._leading_is_audio:
            return True
        if self._group is not None and frame.dts - self._audio_group_start < self._audio_group_ticks:
            return False
        self._audio_group_start = frame.dts
        return True

    def _publication_closed(self, reason: str, *, lost: bool) -> None:
        self.publication = None
        if not lost or not self.announced or self._config.grace <= 0:
            self.end(reason)
            return
        self.state = StreamState.INTERRUPTED
        for reader in self._readers:
            reader.put_control(Interrupted(reason))
        _log.warning("publisher lost", stream=self.name, reason=reason, grace=self._config.grace)
        self._grace = self.clock.call_later(
            self._config.grace,
            lambda: self.end(f"the publisher did not come back within {self._config.grace:g} s"),
        )
        self._emit(StreamInterrupted(self.name, reason))
