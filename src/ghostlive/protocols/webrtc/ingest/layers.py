"""A publisher's picture, its simulcast layers and its sound, as tracks of a publication.

Tracks are announced when they are known: once there is what was negotiated, or when it is clear that the rest will
not come for now. They are announced anew, beginning with a keyframe of the largest picture, when something changes:
browsers change the size of a picture with the bandwidth, and turn simulcast layers on and off.

Layers are called v0, v1, … by size at the announcement, so that v0 is the best there is, and leads.
"""

from collections.abc import Callable
from typing import Final

from ghostlive.core.errors import MediaError
from ghostlive.hub.live import Publication
from ghostlive.protocols.webrtc.ingest.clock import PublisherClock
from ghostlive.protocols.webrtc.ingest.config import IngestConfig
from ghostlive.protocols.webrtc.ingest.receiver import ReceivedFrame
from ghostlive.protocols.webrtc.ingest.tracks import AudioInput, VideoInput

_MAX_WAITING_FRAMES: Final = 512
_MAX_WAITING_BYTES: Final = 32 * 1024 * 1024
_STEADY: Final = 1.0
"""Seconds that a layer has to last before it is announced: browsers try whether the bandwidth carries one more."""
_GONE: Final = 0.5
_GONE_FRAMES: Final = 15
"""Seconds without a frame, and frames of another layer meanwhile, after which a layer counts as turned off."""
_REORDERING_NS: Final = 200_000_000

Input = VideoInput | AudioInput


class Layers:
    """Announces the tracks of one publisher and writes their frames."""

    def __init__(
        self,
        publication: Publication,
        config: IngestConfig,
        *,
        expected: int,
        kinds: int,
        want_keyframe: Callable[[VideoInput], None],
    ) -> None:
        """`expected` inputs of so many `kinds` were negotiated; `want_keyframe` asks the sender of one."""
        self._publication = publication
        self._patience = config.patience
        self._kind_patience = config.kind_patience
        self._expected = expected
        self._kinds = kinds
        self._want_keyframe = want_keyframe
        self.clock = PublisherClock()
        self._videos: list[VideoInput] = []
        self._audio: AudioInput | None = None
        self._announced = False
        self._changed = False
        self._waiting: list[tuple[Input, ReceivedFrame, int]] = []
        self._waiting_bytes = 0
        self._first_at: float | None = None
        self._base_ns = 0
        self.broken = 0
        """Frames whose headers could not be understood."""

    @property
    def announced(self) -> bool:
        """Whether viewers know of the tracks."""
        return self._announced

    def video(self, name: str, rate: int, parameter_sets: tuple[bytes, ...] = ()) -> VideoInput:
        """A picture whose frames may follow; `parameter_sets` are those that were negotiated."""
        source = VideoInput(name, self.clock.track(rate, audio=False), parameter_sets)
        self._videos.append(source)
        return source

    def audio(self, name: str, rate: int, channels: int) -> AudioInput:
        """The sound."""
        self._audio = AudioInput(name, self.clock.track(rate, audio=True), channels)
        return self._audio

    def take(self, source: Input, received: ReceivedFrame, now: float) -> None:
        """A frame came, whole and in order."""
        timestamp = source.clock.heard(received.timestamp, received.began)
        try:
            if isinstance(source, VideoInput):
                source.learn(received, timestamp)
                self._count(source)
            else:
                source.learn(received)
        except MediaError:
            self.broken += 1
            if isinstance(source, VideoInput):
                # What follows depends on it.
                source.synchronized = False
                self._want_keyframe(source)
            return
        if not received.frame.payload or not source.configured:
            return
        if self._first_at is None:
            self._first_at = now
            self._base_ns = self._publication.time_ns()
        if self._announced:
            self._pass_on(source, received, timestamp, now)
        else:
            self._wait(source, received, timestamp, now)

    def goodbye(self, source: Input) -> None:
        """Its sender says that it stops, until frames come again."""
        if isinstance(source, VideoInput):
            source.off = True

    def tick(self, now: float) -> None:
        """Time has passed."""
        if not self._announced:
            if self._waiting and self._complete(now):
                self._begin(now)
            return
        if self._audio is not None and self._audio.id:
            for frame in self._audio.tick(now):
                self._publication.write(frame)
        self._look_for_changes(now)

    def flush(self, now: float) -> None:
        """Show what there is of a stream that ends before its tracks were known."""
        if not self._announced and self._waiting:
            self._first_at = now - max(self._patience, self._kind_patience)
            if self._complete(now):
                self._begin(now)

    def close(self) -> None:
        """Nothing comes any more: nobody is to be kept by another."""
        self._want_keyframe = _nobody
        for video in self._videos:
            video.frames_of.clear()

    def _pass_on(self, source: Input, received: ReceivedFrame, timestamp: int, now: float) -> None:
        leading = isinstance(source, VideoInput) and received.frame.keyframe
        if leading or isinstance(source, AudioInput):
            self._look_for_changes(now)
            if self._changed and self._may_announce(source, now):
                self._announce(now)
        if not source.id or source.undecodable:
            return
        if isinstance(source, AudioInput):
            for frame in source.frames(received, timestamp, self.clock):
                if frame.dts >= source.clock.to_ticks(self._base_ns):
                    self._publication.write(frame)
            return
        if not source.synchronized:
            if not received.frame.keyframe:
                return
            source.synchronized = True
        position = self.clock.place(source.clock, timestamp, received.began)
        self._publication.write(source.frame(received, position, source.clock.to_ticks(self._base_ns)))

    def _count(self, source: VideoInput) -> None:
        """Frames that the other layers have not: counted by the one that had most."""
        for video in self._videos:
            if video is not source:
                video.frames_of[source] = video.frames_of.get(source, 0) + 1

    # What is announced.

    def _usable(self, now: float) -> list[VideoInput]:
        """The pictures to announce, the largest first."""
        known = [video for video in self._videos if video.configured]
        found = [video for video in known if not self._is_off(video, now)] or known
        if any(video.announced is not None for video in found):
            found = [video for video in found if video.announced is not None or video.heard - video.began >= _STEADY]
        return sorted(found, key=lambda video: -video.size)

    @staticmethod
    def _is_off(video: VideoInput, now: float) -> bool:
        """Whether a layer was turned off; a screen that stands still has few frames, but in all layers the same."""
        return video.off or (now - video.heard > _GONE and video.missed >= _GONE_FRAMES)

    def _look_for_changes(self, now: float) -> None:
        """Notice that something else should be announced, and ask for the keyframes with which it can be."""
        if self._changed:
            return
        usable = self._usable(now)
        announced = {id(video) for video in self._videos if video.announced is not None}
        self._changed = (
            any(video.changed for video in usable)
            or {id(video) for video in usable} != announced
            or (self._audio is not None and self._audio.changed)
        )
        if self._changed:
            for video in usable:
                self._want_keyframe(video)

    def _may_announce(self, source: Input, now: float) -> bool:
        usable = self._usable(now)
        return not usable or source is usable[0]

    def _announce(self, now: float) -> None:
        usable = self._usable(now)
        again = self._announced
        tracks = []
        for video in self._videos:
            video.id, video.announced, video.synchronized = "", None, False
        for number, video in enumerate(usable):
            video.id = f"v{number}"
            video.announced = video.track(video.id)
            tracks.append(video.announced)
        if self._audio is not None and self._audio.configured:
            self._audio.id = "a0"
            self._audio.announced = self._audio.track("a0")
            tracks.append(self._audio.announced)
        self._announced = True
        self._changed = False
        self._publication.announce(tracks)
        if again:
            for video in usable[1:]:
                # The largest begins now; these may have had their keyframes just before it.
                self._want_keyframe(video)

    # Before the first announcement.

    def _wait(self, source: Input, received: ReceivedFrame, timestamp: int, now: float) -> None:
        """Keep a frame until the tracks are known."""
        if isinstance(source, VideoInput):
            if source.synchronized and source.undecodable:
                # Its size changed: what waits of it does not belong to what will be announced.
                self._keep([item for item in self._waiting if item[0] is not source])
                source.synchronized = False
            if not source.synchronized:
                if not received.frame.keyframe:
                    return
                source.synchronized = True
                source.announced = source.track("")
        self._waiting.append((source, received, timestamp))
        self._waiting_bytes += len(received.frame.payload)
        full = len(self._waiting) > _MAX_WAITING_FRAMES or self._waiting_bytes > _MAX_WAITING_BYTES
        if self._complete(now, full=full):
            self._begin(now)
        elif full:
            # Sound that waits for a first picture.
            self._keep(self._waiting[1:])

    def _keep(self, waiting: list[tuple[Input, ReceivedFrame, int]]) -> None:
        self._waiting = waiting
        self._waiting_bytes = sum(len(received.frame.payload) for _, received, _ in waiting)

    def _complete(self, now: float, *, full: bool = False) -> bool:
        """Whether it is time to announce."""
        assert self._first_at is not None
        synchronized = [video for video in self._videos if video.synchronized]
        if self._videos and not synchronized:
            return False
        sound = self._audio is not None and self._audio.configured
        kinds = bool(synchronized) + sound
        if full or now - self._first_at >= (self._patience if kinds >= self._kinds else self._kind_patience):
            return True
        inputs = len(synchronized) + sound
        return inputs >= self._expected and all(video.rate_known for video in synchronized)

    def _begin(self, now: float) -> None:
        """Announce the tracks, and write what waited, beginning with the leading keyframe."""
        waiting = self._waiting
        self._keep([])
        base_ns = self._base_ns
        if any(video.reorders for video in self._videos):
            base_ns += _REORDERING_NS  # decoding begins before that
        self.clock.begin(((source.clock, timestamp) for source, _, timestamp in waiting), base_ns)
        self._announce(now)
        leading = next((video for video in self._usable(now) if video.id == "v0"), None)
        if leading is not None:
            first = next(item for item in waiting if item[0] is leading)
            start_ns = _position_ns(first[0], first[2])
            waiting = [first] + [
                item for item in waiting if item is not first and _position_ns(item[0], item[2]) >= start_ns
            ]
        for source, received, timestamp in waiting:
            self._pass_on(source, received, timestamp, now)


def _nobody(_video: VideoInput) -> None:
    """Nobody is asked any more."""


def _position_ns(source: Input, timestamp: int) -> int:
    return source.clock.to_ns(timestamp) + source.clock.offset_ns
