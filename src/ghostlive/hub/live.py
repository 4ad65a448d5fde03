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
    StreamOffersChanged,
    StreamResumed,
    StreamStarted,
    StreamTracksChanged,
)
from ghostlive.core.frame import Frame
from ghostlive.core.group import Group
from ghostlive.core.stream import StreamState
from ghostlive.core.timeline import NS, Timeline
from ghostlive.core.track import Track, TrackKind
from ghostlive.hub.config import HubConfig
from ghostlive.hub.derived import Derivation, Deriver, Lease, Offer, OfferUnknownError, begins_with_both
from ghostlive.hub.meter import Measurement, PublicationMeter
from ghostlive.hub.subscription import (
    Announced,
    Closed,
    Control,
    Ended,
    Interrupted,
    Offered,
    Opened,
    Subscription,
)

_log = structlog.get_logger("hub")

_KEYFRAME_EVERY = 1.0
"""Seconds between two keyframes of a track that are made because somebody asked: each one costs all who watch it."""

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
        self.on_keyframe_wanted: Callable[[], None] | None = None
        """Asks the publisher for a keyframe of each of its pictures. Set by an ingest whose protocol can (WebRTC)."""
        self.closed = False
        self.began_ns = live.clock.wall_ns()
        """When it began, as nanoseconds since the Unix epoch."""
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
            self._live._write(frame, self.last_frame)

    def end(self, reason: str) -> None:
        """The publisher stopped on purpose: the stream ends now.

        The goodbye may come after the connection broke, when both are on their way at the same time.
        """
        if not self.closed:
            self._close()
            self._live._publication_closed(reason, lost=False)
        else:
            self._live._late_goodbye(self, reason)

    def lose(self, reason: str) -> None:
        """The publisher's connection broke: the stream is kept for the grace time."""
        if not self.closed:
            self._close()
            self._live._publication_closed(reason, lost=True)

    def take_over(self, reason: str) -> None:
        """Push this publisher out for another one. Called by the hub."""
        if not self.closed:
            on_taken = self._on_taken
            self._close()
            on_taken(reason)

    def _close(self) -> None:
        """The stream remembers it for a while, and is not to keep the publisher."""
        self.closed = True
        self._on_taken = _nobody
        self.on_keyframe_wanted = None


def _nobody(_reason: str) -> None:
    """Nobody is told any more."""


class LiveStream:
    """A stream that is live or interrupted: its tracks, its readers and its last group."""

    def __init__(
        self,
        name: str,
        *,
        config: HubConfig,
        clock: Clock,
        emit: Callable[[StreamEvent], None],
        deriver: Deriver | None = None,
    ) -> None:
        """Use `Hub.publish`."""
        self.name = name
        self.session = secrets.token_hex(5)
        """Names this live session in URLs, so that caches never mix two."""
        self.clock = clock
        self.timeline = Timeline(clock.wall_ns())
        self.state = StreamState.LIVE
        self.tracks: tuple[Track, ...] = ()
        """The source's."""
        self.offers: tuple[Offer, ...] = ()
        """What can be had of derived tracks."""
        self.epoch = -1
        self.publication: Publication | None = None
        self._latest: Publication | None = None
        self._config = config
        self._emit = emit
        self._origin = clock.now()
        self._readers: set[Subscription] = set()
        self._deriver = deriver
        self._leases: dict[str, int] = {}
        self._derivations: dict[str, Derivation] = {}
        self._group: Group | None = None
        self._group_before: Group | None = None
        self._groups = 0
        self._keyframe: Frame | None = None
        self._asked: dict[str, float] = {}
        self._leading = ""
        self._leading_is_audio = False
        self._audio_group_ticks = 0
        self._audio_group_start = 0
        self._known: frozenset[str] = frozenset()
        self._grace: Timer | None = None
        self._meter = PublicationMeter(self._origin)
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
        return self._meter.bitrate(track)

    def newest_keyframe(self) -> tuple[Track, Frame] | None:
        """The leading video track and its last keyframe; None without video, and before its first one.

        It stays while the publisher is lost, and when its group outgrew what is kept for late readers.
        """
        if self._keyframe is None:
            return None
        return next(track for track in self.tracks if track.id == self._leading), self._keyframe

    def newest(self, track: str) -> Frame | None:
        """The last frame of one of the source's tracks; None before the first one since the last announcement."""
        return self._last.get(track)

    def measure(self) -> Measurement:
        """What was measured of the last publication, as it stands now."""
        return self._meter.measure(self.clock.now())

    def subscribe(self, *, tracks: frozenset[str] | None = None, replay: bool = False) -> Subscription:
        """Read this stream, beginning with the last group so that a picture is there at once.

        With `replay` it begins with the group before that one where `begins_with_both` says so.
        """
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
            subscription.put_control(Announced(self.epoch, self.tracks, self.timeline, self.offers))
            for derivation in self._derivations.values():
                subscription.put_control(Opened(derivation.track))
            for group in self._recent(both=replay):
                for index, frame in enumerate(group.frames):
                    subscription.put_frame(frame, group_start=index == 0)
        if self.state is StreamState.INTERRUPTED:
            subscription.put_control(Interrupted("the publisher's connection broke"))
        return subscription

    def lease(self, track: str) -> Lease:
        """Have an offered track made, until the lease is closed.

        Raises `OfferUnknownError` when no such track is offered, `OfferRefusedError` when it cannot be made now.
        """
        if self._deriver is None or not any(offer.track.id == track for offer in self.offers):
            raise OfferUnknownError(f"{self.name} offers no track {track}")
        count = self._leases.get(track, 0)
        if not count:
            self._deriver.demand(self, track)
        self._leases[track] = count + 1
        return Lease(track, self._release)

    def leases(self, track: str) -> int:
        """How many leases of a derived track there are."""
        return self._leases.get(track, 0)

    def request_keyframe(self, track: str) -> bool:
        """Ask whoever makes a track for a keyframe soon, for somebody who cannot wait for the next one.

        However often it is asked, one is made in a second at most. False when none can be had: the track is not made
        now, or it comes from an encoder that takes no wishes.
        """
        now = self.clock.now()
        maker = track if track not in self._known else ""
        if now - self._asked.get(maker, -_KEYFRAME_EVERY) < _KEYFRAME_EVERY:
            return True
        if maker:
            asked = (
                track in self._derivations and self._deriver is not None and self._deriver.want_keyframe(self, track)
            )
        else:
            ask = self.publication.on_keyframe_wanted if self.publication is not None else None
            if ask is not None:
                ask()
            asked = ask is not None
        if asked:
            self._asked[maker] = now
        return asked

    def derive(self, track: Track) -> Derivation:
        """Begin a run of an offered track, whose configuration is known now. Called by the deriver.

        A run of the same track that is open still is closed.
        """
        if self.state is StreamState.OFFLINE or not any(offer.track.id == track.id for offer in self.offers):
            raise OfferUnknownError(f"{self.name} offers no track {track.id}")
        if (running := self._derivations.get(track.id)) is not None:
            running.close("it begins anew")
        derivation = Derivation(track, self._write_derived, self._derivation_closed)
        self._derivations[track.id] = derivation
        self._tell(Opened(track))
        return derivation

    def reoffer(self) -> None:
        """Ask the deriver again what it offers, and tell readers. Runs of what is offered no longer are closed.

        Leases of those stay with whoever holds them and mean nothing until the track is offered again.
        """
        if self.announced and self.state is not StreamState.OFFLINE:
            self._plan()
            self._tell(Offered(self.offers))
            self._emit(StreamOffersChanged(self.name))

    def attach(self, source: Source, on_taken: Callable[[str], None]) -> Publication:
        """Begin a publication, on the timeline where it stands now. Called by the hub."""
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
            self._resumed = True
        self.publication = self._latest = Publication(self, source, on_taken)
        self._meter = PublicationMeter(self.clock.now())
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
        self._drop_derivations()
        self._tell(Ended(reason))
        self._readers.clear()
        self._group = self._group_before = self._keyframe = None
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
        self._group = self._group_before = self._keyframe = None
        self._asked.clear()
        self._meter.follow(tracks)
        self.state = StreamState.LIVE
        self._drop_derivations()
        self._plan()
        self._tell(Announced(self.epoch, tracks, self.timeline, self.offers))
        _log.info("tracks", stream=self.name, epoch=self.epoch, tracks=[str(track.codec) for track in tracks])
        if first:
            self._emit(StreamStarted(self.name))
        elif self._resumed:
            self._resumed = False
            self._emit(StreamResumed(self.name))
        else:
            self._emit(StreamTracksChanged(self.name))

    def _write(self, frame: Frame, now: float) -> None:
        if frame.track not in self._known:
            raise MediaError(f"frame of track {frame.track!r}, which was not announced")
        self._last[frame.track] = frame
        self._meter.add(frame, now)
        start = frame.track == self._leading and frame.keyframe and self._begins_group(frame)
        if start:
            self._group_before = self._group
            self._group = Group(self._groups)
            self._groups += 1
            self._keyframe = None if self._leading_is_audio else frame
        if self._group is not None:
            self._group.add(frame, max_frames=self._config.group_frames, max_size=self._config.group_bytes)
        for reader in self._readers:
            reader.put_frame(frame, group_start=start)

    def _recent(self, *, both: bool) -> list[Group]:
        group, earlier = self._group, self._group_before
        if group is None:
            return []
        if not both or earlier is None or not earlier.frames or not group.frames:
            return [group]
        scales = {track.id: track.timescale for track in self.tracks}
        begin, middle, end = (
            frame.dts / scales[frame.track] for frame in (earlier.frames[0], group.frames[0], group.frames[-1])
        )
        # A reader that takes them slowly must have room for what comes meanwhile.
        size, frames = earlier.size + group.size, len(earlier.frames) + len(group.frames)
        fits = size <= 0.75 * self._config.reader_bytes and frames <= 0.75 * self._config.reader_frames
        return [earlier, group] if fits and begins_with_both(middle - begin, end - middle) else [group]

    def _tell(self, item: Control) -> None:
        for reader in self._readers:
            reader.put_control(item)

    def _plan(self) -> None:
        self.offers = tuple(self._deriver.plan(self)) if self._deriver is not None else ()
        offered = {offer.track.id for offer in self.offers}
        for track, derivation in list(self._derivations.items()):
            if track not in offered:
                derivation.close("it is not offered any more")

    def _release(self, track: str) -> None:
        self._leases[track] -= 1
        if not self._leases[track]:
            del self._leases[track]
            if self._deriver is not None:
                self._deriver.rest(self, track)

    def _write_derived(self, frame: Frame) -> None:
        for reader in self._readers:
            reader.put_frame(frame, group_start=False)

    def _derivation_closed(self, derivation: Derivation, reason: str) -> None:
        if self._derivations.get(derivation.track.id) is derivation:
            del self._derivations[derivation.track.id]
        self._tell(Closed(derivation.track.id, reason))

    def _drop_derivations(self) -> None:
        """The frames that derivations would write belong nowhere any more."""
        for derivation in self._derivations.values():
            derivation.closed = True
        self._derivations.clear()

    def _begins_group(self, frame: Frame) -> bool:
        if not self._leading_is_audio:
            return True
        if self._group is not None and frame.dts - self._audio_group_start < self._audio_group_ticks:
            return False
        self._audio_group_start = frame.dts
        return True

    def _late_goodbye(self, publication: Publication, reason: str) -> None:
        if publication is self._latest and self.state is StreamState.INTERRUPTED:
            self.end(reason)

    def _publication_closed(self, reason: str, *, lost: bool) -> None:
        self.publication = None
        if not lost or not self.announced or self._config.grace <= 0:
            self.end(reason)
            return
        self.state = StreamState.INTERRUPTED
        self._tell(Interrupted(reason))
        _log.warning("publisher lost", stream=self.name, reason=reason, grace=self._config.grace)
        self._grace = self.clock.call_later(
            self._config.grace,
            lambda: self.end(f"the publisher did not come back within {self._config.grace:g} s"),
        )
        self._emit(StreamInterrupted(self.name, reason))
