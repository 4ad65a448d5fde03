"""The worker's main loop: messages in, packets decoded and handed to the renditions, reports out."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Final

from av.video.frame import VideoFrame

from ghostlive.core.errors import MediaError
from ghostlive.core.track import Track, TrackKind
from ghostlive.transcode.plan import AudioPlan, VideoPlan
from ghostlive.transcode.wire import (
    Failed,
    Media,
    Message,
    Picture,
    Ready,
    Source,
    Start,
    Stats,
    Still,
    Stop,
    Thin,
    WantKeyframe,
    WireError,
)
from ghostlive.transcode.worker import pictures
from ghostlive.transcode.worker.audio import AudioRendition, Sound, SoundTimeline
from ghostlive.transcode.worker.backlog import Backlog, FrameSource, Keyframes, Recent
from ghostlive.transcode.worker.cadence import Pace
from ghostlive.transcode.worker.decoders import AudioDecoder, Decoded
from ghostlive.transcode.worker.link import Link, LinkClosedError
from ghostlive.transcode.worker.video import VideoRendition

REPORT_EVERY: Final = 0.25
"""Seconds. The server waits for twice as long at least."""
BEHIND: Final = 1.0
"""Seconds of lag from which on frames are left out instead of waited for."""
_STUCK: Final = 2.0
"""Seconds that a keyframe waits for an encoder."""
Tick = Callable[[], None]


class _Waiter:
    """Hands frames to renditions, and waits for those that have no room."""

    def __init__(self, space: threading.Event, tick: Tick) -> None:
        self._space = space
        self._tick = tick
        self.pace = Pace()

    def hand(self, offer: Callable[[], bool], *, patient: bool) -> bool:
        """Whether the frame was taken. Frames of a worker that is behind do not wait, unless they are `patient`."""
        begin: float | None = None
        while True:
            self._space.clear()
            if offer():
                return True
            now = time.monotonic()
            begin = now if begin is None else begin
            if now - begin > _STUCK or (not patient and self.pace.lag(now) > BEHIND):
                return False
            self._space.wait(0.05)
            self._tick()


class _VideoTrack:
    """A video track of the source and what is made of it."""

    def __init__(self, track: Track, waiter: _Waiter, tick: Tick) -> None:
        self.track = track
        self.renditions: dict[int, VideoRendition] = {}
        self._waiter = waiter
        self._tick = tick
        self._time_base = Fraction(1, track.timescale)
        self._source: FrameSource | None = None
        self._keyframes = Keyframes(track.timescale)
        self._scalers: dict[tuple[int, int], pictures.Scaler] = {}
        self._recent = Recent(track.timescale)
        self._counted = (0, 0)

    @property
    def counts(self) -> tuple[int, int]:
        """Frames decoded and packets refused."""
        decoded, damaged = self._counted
        if self._source is not None:
            decoder = self._source.decoder
            decoded, damaged = decoded + decoder.decoded, damaged + decoder.damaged
        return decoded, damaged

    def backlog(self, plan: VideoPlan) -> Backlog | None:
        """What a rendition begins with by itself, when the track is decoded for others. Raises `MediaError`."""
        packets = self._recent.packets() if self._source is not None else []
        return Backlog(self.track, packets, plan.width, plan.height) if packets else None

    def add(self, rendition: VideoRendition) -> None:
        """Begin a rendition: with recent packets, when nothing was decoded so far. Raises `MediaError`."""
        self.renditions[rendition.run] = rendition
        self._keep_scalers()
        if self._source is None:
            self._source = FrameSource(self.track)
            self._keyframes = Keyframes(self.track.timescale)
            for media, arrived in self._recent.packets():
                self._decode(media, arrived)

    def remove(self, run: int) -> None:
        """Forget a rendition; without any nothing is decoded."""
        self.renditions.pop(run).stop()
        self._keep_scalers()
        if not self.renditions:
            self._counted = self.counts
            self._source = None

    def feed(self, media: Media, arrived: float) -> None:
        """Take a packet."""
        self._recent.add(media, arrived)
        if self._source is not None:
            for rendition in self.renditions.values():
                if rendition.backlog is not None:
                    rendition.backlog.add(media, arrived)
            self._decode(media, arrived)

    def _decode(self, media: Media, arrived: float) -> None:
        assert self._source is not None
        for frame, facts in self._source.decode(media, arrived):
            self._present(frame, facts, self._source.decoder.shape)
        self._tick()

    def _present(self, frame: VideoFrame, facts: Decoded[VideoFrame], shape: Fraction) -> None:
        """Hand a frame to the renditions that want it."""
        pts = facts.pts
        # Of all renditions at the same frame, so that players can switch.
        keyframe = self._keyframes.mark(frame, pts, keyframe=facts.keyframe)
        made: dict[tuple[int, int], pictures.Picture] = {}
        for rendition in self.renditions.values():
            if not rendition.wants(pts, keyframe=keyframe):
                continue
            size = rendition.plan.width, rendition.plan.height
            picture = made.get(size)
            if picture is None:
                picture = made[size] = pictures.Picture(frame, self._scalers[size], shape)
            self._hand(rendition, picture, facts, keyframe=keyframe)

    def _hand(
        self, rendition: VideoRendition, picture: pictures.Picture, facts: Decoded[VideoFrame], *, keyframe: bool
    ) -> None:
        def offer() -> bool:
            return rendition.failed or rendition.offer(picture, facts.pts, keyframe=keyframe, arrived=facts.arrived)

        if not self._waiter.hand(offer, patient=keyframe):
            rendition.drop()
            if keyframe:
                rendition.want_keyframe()
            rendition.give_up_if_stuck()

    def _keep_scalers(self) -> None:
        sizes = {(one.plan.width, one.plan.height) for one in self.renditions.values()}
        self._scalers = {size: self._scalers.get(size) or pictures.Scaler(*size, self._time_base) for size in sizes}


class _AudioTrack:
    """An audio track of the source and what is made of it."""

    def __init__(self, track: Track, waiter: _Waiter, tick: Tick) -> None:
        self.track = track
        self.renditions: dict[int, AudioRendition] = {}
        self._waiter = waiter
        self._tick = tick
        self._decoder: AudioDecoder | None = None
        self._timeline = SoundTimeline(track)
        self._counted = (0, 0)

    @property
    def counts(self) -> tuple[int, int]:
        """Frames decoded and packets refused."""
        decoded, damaged = self._counted
        if self._decoder is not None:
            decoded, damaged = decoded + self._decoder.decoded, damaged + self._decoder.damaged
        return decoded, damaged

    def add(self, rendition: AudioRendition) -> None:
        """Begin a rendition. Raises `MediaError`."""
        self.renditions[rendition.run] = rendition
        if self._decoder is None:
            self._decoder = AudioDecoder(self.track)

    def remove(self, run: int) -> None:
        """Forget a rendition; without any nothing is decoded."""
        self.renditions.pop(run).stop()
        if not self.renditions:
            self._counted = self.counts
            self._decoder = None

    def feed(self, media: Media, arrived: float) -> None:
        """Take a packet."""
        if self._decoder is not None:
            for decoded in self._decoder.decode(media, arrived):
                sound = self._timeline.place(decoded)
                for rendition in self.renditions.values():
                    self._hand(rendition, sound)
            self._tick()

    def _hand(self, rendition: AudioRendition, sound: Sound) -> None:
        if not self._waiter.hand(lambda: rendition.failed or rendition.offer(sound), patient=False):
            rendition.drop()


class Loop:
    """One worker."""

    def __init__(self, link: Link) -> None:
        """Nothing is decoded before a source and a rendition are named."""
        self._link = link
        self._space = threading.Event()
        self._run = 0
        self._tracks: list[_VideoTrack | _AudioTrack] = []
        self._waiter = _Waiter(self._space, self._tick)
        self._next_report = 0.0
        self._counted = (0, 0)
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._memory = os.open("/proc/self/statm", os.O_RDONLY) if os.path.exists("/proc/self/statm") else -1

    def run(self) -> None:
        """Work until the server closes the connection. Raises `WireError` for nonsense from it."""
        with contextlib.suppress(LinkClosedError):
            self._link.send(Ready(os.getpid()))
            while True:
                messages, arrived = self._link.receive(self._next_report)
                for message in messages:
                    self._take(message, arrived)
                self._tick()
        self._stop_all()

    def _take(self, message: Message, arrived: float) -> None:
        match message:
            case Media():
                self._feed(message, arrived)
            case Source():
                self._begin(message)
            case Start():
                self._start(message)
            case Stop(run):
                for track in self._tracks:
                    if run in track.renditions:
                        track.remove(run)
            case Thin(run, keep_one_in):
                for rendition in self._video(run):
                    rendition.thin(keep_one_in)
            case WantKeyframe(run):
                for rendition in self._video(run):
                    rendition.want_keyframe()
            case Picture():
                self._link.send(_still(message))
            case _:
                raise WireError(f"a worker does not take {type(message).__name__}")

    def _feed(self, media: Media, arrived: float) -> None:
        if media.run != self._run or media.track >= len(self._tracks):
            return
        track = self._tracks[media.track]
        self._waiter.pace.observe(media.dts / track.track.timescale, time.monotonic())
        track.feed(media, arrived)

    def _begin(self, source: Source) -> None:
        self._stop_all()
        self._run = source.run
        self._waiter.pace = Pace()
        self._tracks = [
            _VideoTrack(track, self._waiter, self._tick)
            if track.kind is TrackKind.VIDEO
            else _AudioTrack(track, self._waiter, self._tick)
            for track in source.tracks
        ]

    def _stop_all(self) -> None:
        for track in self._tracks:
            for run in list(track.renditions):
                track.remove(run)
            decoded, damaged = track.counts
            self._counted = (self._counted[0] + decoded, self._counted[1] + damaged)
        self._tracks = []

    def _start(self, start: Start) -> None:
        plan = start.plan
        track = next((one for one in self._tracks if one.track.id == plan.source), None)
        try:
            if isinstance(plan, VideoPlan) and isinstance(track, _VideoTrack):
                backlog = None if plan.realtime else track.backlog(plan)
                track.add(VideoRendition(start, plan, track.track, self._link, self._space, backlog=backlog))
            elif isinstance(plan, AudioPlan) and isinstance(track, _AudioTrack):
                track.add(AudioRendition(start, plan, self._link, self._space))
            else:
                self._link.send(Failed(start.run, f"the source has no {plan.kind} track {plan.source}"))
        except MediaError as error:
            if track is not None and start.run in track.renditions:
                track.remove(start.run)
            self._link.send(Failed(start.run, str(error)))

    def _video(self, run: int) -> list[VideoRendition]:
        return [
            track.renditions[run]
            for track in self._tracks
            if isinstance(track, _VideoTrack) and run in track.renditions
        ]

    def _tick(self) -> None:
        """Report when it is time."""
        now = time.monotonic()
        if now < self._next_report:
            return
        self._next_report = now + REPORT_EVERY
        renditions = [rendition for track in self._tracks for rendition in track.renditions.values()]
        counts = [self._counted, *(track.counts for track in self._tracks)]
        self._link.send(
            Stats(
                cpu=time.process_time(),
                memory=self._resident(),
                decoded=sum(decoded for decoded, _ in counts),
                damaged=sum(damaged for _, damaged in counts),
                waiting=sum(rendition.waiting for rendition in renditions),
                renditions=tuple(rendition.stats() for rendition in renditions),
            )
        )

    def _resident(self) -> int:
        """Bytes of memory in use, 0 where the system does not say."""
        return int(os.pread(self._memory, 128, 0).split()[1]) * self._page if self._memory >= 0 else 0


def _still(picture: Picture) -> Still:
    # Most workers make no pictures, and it loads more of FFmpeg.
    from ghostlive.transcode.worker import still  # noqa: PLC0415

    return still.make(picture)
