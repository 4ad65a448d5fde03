"""A video rendition: a thread that scales and encodes the frames that are handed to it."""

import threading
import time
from collections import deque
from fractions import Fraction
from typing import Final, NamedTuple

from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame

from ghostlive.codecs.describe import describe_video
from ghostlive.core.errors import MediaError
from ghostlive.core.track import Track
from ghostlive.transcode.plan import VideoPlan
from ghostlive.transcode.wire import Media, Notice, Opened, Start
from ghostlive.transcode.worker.backlog import Backlog
from ghostlive.transcode.worker.cadence import FrameGate
from ghostlive.transcode.worker.encoders import EncoderError, VideoEncoder
from ghostlive.transcode.worker.link import Link
from ghostlive.transcode.worker.pictures import Picture, copy_of
from ghostlive.transcode.worker.thread import RenditionThread

QUEUE: Final = 2
"""Frames that may wait; more would only make them older."""
_RATE_KNOWN: Final = 2.0
"""Seconds of frames that tell their rate."""
_RATE_CHANGED: Final = 1.5
_BURST: Final = 4
"""Frames that show at once that there are more of them than before."""
_SLOWEST: Final = 4
"""An encoder is told no less than the rendition's frame rate by this."""
_HANGS: Final = 10.0
"""Seconds for one frame, however busy the machine is."""
_LONG: Final = 1.0
"""Seconds that a frame counts for at most: a hole in the source is no media."""


class Item(NamedTuple):
    """A frame that is to be encoded."""

    picture: Picture
    pts: int
    keyframe: bool
    arrived: float


class VideoRendition(RenditionThread[Item]):
    """One rendition. The decoding thread asks `wants` and calls `offer`; the rest happens in a thread of its own."""

    def __init__(
        self,
        start: Start,
        plan: VideoPlan,
        track: Track,
        link: Link,
        space: threading.Event,
        *,
        backlog: Backlog | None = None,
    ) -> None:
        """See `RenditionThread`; it begins with `backlog`, if there is one."""
        super().__init__(start, plan, link, space, room=QUEUE)
        self.plan = plan
        self.backlog = backlog
        self._track = track
        self._start = start
        self._gate = FrameGate(track.timescale, plan.frame_rate, start.after)
        self._wants_keyframe = True
        self._encoder: VideoEncoder | None = None
        self._first_config: bytes | None = None
        self._announced = ""
        # Frames that an encoder has and whose packets have not come.
        self._inside: dict[int, Item] = {}
        self._last_sent: int | None = start.after
        self._last_pts: int | None = None
        self._rate = _told(plan, track.frame_rate)
        self._recent: deque[int] = deque(maxlen=_BURST)
        self._counted = 0
        self._counted_seconds = 0.0
        self._media = 0.0
        self._launch()

    # Of the decoding thread.

    def wants(self, pts: int, *, keyframe: bool) -> bool:
        """Whether this frame of the source belongs to the rendition. Ask once for each, in order."""
        backlog = self.backlog
        if backlog is not None:
            if not backlog.done or (backlog.reached is not None and pts <= backlog.reached):
                self.give_up_if_stuck()
                return False
            self.backlog = None
        return not self.failed and self._gate.admits(pts, keyframe=keyframe)

    def offer(self, picture: Picture, pts: int, *, keyframe: bool, arrived: float) -> bool:
        """Queue a frame; False when the queue is full."""
        return self._put(lambda: self._item(picture, pts, keyframe=keyframe, arrived=arrived))

    def thin(self, keep_one_in: int) -> None:
        """Encode only each so manieth frame from now on."""
        self._gate.keep_one_in = max(1, keep_one_in)

    def want_keyframe(self) -> None:
        """Make the next frame a keyframe."""
        self._wants_keyframe = True

    def give_up_if_stuck(self) -> None:
        """End with an error when the encoder has had one frame for too long: a driver that hangs comes to no end."""
        encoder = self._encoder
        if self._working and encoder is not None and time.monotonic() - self._taken > _HANGS and not self.failed:
            self._fail(f"its encoder {encoder.name} hangs")

    def _media_seconds(self) -> float:
        return self._media

    # Of the rendition's own thread.

    def _begin(self) -> None:
        """Encode what came before it was wanted. Until that is done the decoding thread leaves it alone."""
        backlog = self.backlog
        if backlog is None:
            return
        for picture, pts, keyframe, arrived in backlog.frames():
            if self._ended:
                return
            if self._gate.admits(pts, keyframe=keyframe):
                self._timed(self._item(picture, pts, keyframe=keyframe, arrived=arrived))

    def _item(self, picture: Picture, pts: int, *, keyframe: bool, arrived: float) -> Item:
        item = Item(picture, pts, keyframe or self._wants_keyframe, arrived)
        self._wants_keyframe = False
        return item

    def _encode(self, item: Item) -> None:
        try:
            frame = item.picture.get()
        except MemoryError:
            raise
        except (FFmpegError, ValueError) as error:
            self._dropped += 1
            self._wants_keyframe = self._wants_keyframe or item.keyframe
            if self._dropped == 1:
                self._say(Notice(self.run, f"{self.plan.name}: a picture could not be scaled ({error})"))
            return
        self._inside[item.pts] = item
        self._count(item)
        try:
            if self._encoder is None:
                self._open(item)
            else:
                self._submit(self._encoder, item, frame, forced=item.keyframe)
        except EncoderError as error:
            self._replace(error)

    def _count(self, item: Item) -> None:
        """Keep count of media and of the frame rate, which some encoders must be told."""
        if self._last_pts is not None:
            passed = min(_LONG, (item.pts - self._last_pts) / self._track.timescale)
            self._media += passed
            self._counted_seconds += passed
            self._counted += 1
        self._last_pts = item.pts
        self._recent.append(item.pts)
        told = self._encoder.rate if self._encoder is not None else None
        if told is None:
            return
        span = (item.pts - self._recent[0]) / self._track.timescale
        if len(self._recent) == _BURST and span and told < self.plan.frame_rate:
            # More frames than it knows of would each get bits as if there were few: that cannot wait.
            burst = (_BURST - 1) / span
            if burst > told * _RATE_CHANGED:
                self._retell(burst)
                return
        if item.keyframe and self._counted_seconds >= _RATE_KNOWN:
            rate = self._counted / self._counted_seconds
            if not 1 / _RATE_CHANGED < _told(self.plan, Fraction(rate)) / told < _RATE_CHANGED:
                self._retell(rate)
            self._counted, self._counted_seconds = 0, 0.0

    def _retell(self, rate: float) -> None:
        """Open the encoder anew, with this frame rate."""
        self._rate = _told(self.plan, Fraction(rate).limit_denominator(1001))
        self._encoder = None
        self._counted, self._counted_seconds = 0, 0.0

    def _open(self, item: Item) -> None:
        """Open the first encoder that works and give it the frames owed. Raises `EncoderError` after the last."""
        refused: list[str] = []
        while self._names:
            name = self._names[0]
            try:
                encoder = VideoEncoder(
                    name,
                    self.plan,
                    self._track.timescale,
                    item.picture.look(),
                    self._rate,
                    preset=self._start.preset,
                    threads=self._start.threads,
                )
                self._encoder = encoder
                forced = True
                for owed in list(self._inside.values()):
                    self._submit(encoder, owed, owed.picture.get(), forced=forced or owed.keyframe)
                    forced = False
                return
            except (EncoderError, MediaError) as error:
                self._encoder = None
                self._names.popleft()
                refused.append(f"{name}: {error}")
                then = f"; {self._names[0]} takes over" if self._names else ""
                self._say(Notice(self.run, f"{self.plan.name}: {name} cannot be used: {error}{then}"))
        raise EncoderError("; ".join(refused) or "there is no encoder for it")

    def _replace(self, error: EncoderError) -> None:
        """The encoder failed in mid-stream: the next one takes over with the frames that are owed."""
        if self._encoder is None:
            raise error
        self._encoder = None
        name = self._names.popleft()
        then = f"; {self._names[0]} takes over" if self._names else ""
        self._say(Notice(self.run, f"{self.plan.name}: {name} failed: {error}{then}"))
        if not self._names:
            raise EncoderError(f"{name}: {error}") from error
        self._open(next(iter(self._inside.values())))

    def _submit(self, encoder: VideoEncoder, item: Item, frame: VideoFrame, *, forced: bool) -> None:
        if forced and frame.pict_type != PictureType.I:
            # Renditions of the same size share their frames; this one alone wants a keyframe here.
            frame = copy_of(frame)
            frame.pict_type = PictureType.I
        for coded in encoder.encode(frame):
            self._send(encoder, coded.pts, coded.payload, is_keyframe=coded.keyframe)

    def _send(self, encoder: VideoEncoder, pts: int, payload: bytes, *, is_keyframe: bool) -> None:
        item = self._inside.pop(pts, None)
        # Nothing is reordered: an encoder that has come so far has left out what was before.
        for earlier in [one for one in self._inside if one < pts]:
            del self._inside[earlier]
        if self._last_sent is not None and pts <= self._last_sent:
            return
        if self._announced != encoder.name and is_keyframe:
            self._announce(encoder, payload)
        if is_keyframe and encoder.config != self._first_config:
            payload = encoder.in_band() + payload
        self._last_sent = pts
        self._frames += 1
        self._say(Media(self.run, 0, pts, pts, is_keyframe, payload))
        if item is not None:
            self._late = time.monotonic() - item.arrived

    def _announce(self, encoder: VideoEncoder, payload: bytes) -> None:
        self._announced = encoder.name
        if self._first_config is None:
            self._first_config = encoder.config
        plan = self.plan
        try:
            facts = describe_video(plan.codec, encoder.config, payload)
        except MediaError as error:
            raise EncoderError(f"its configuration cannot be read: {error}") from error
        # The colours that a codec string of AV1 may end with are no promise that anybody has to keep.
        promised = facts.codec_string.startswith(plan.codec_string)
        string = plan.codec_string if promised else facts.codec_string
        self._say(Opened(self.run, encoder.name, encoder.config, string, facts.width, facts.height))


def _told(plan: VideoPlan, rate: Fraction | None) -> Fraction:
    """The frame rate that an encoder is told.

    Not the lowest ones: a shared screen shows a frame a second until somebody scrolls, and what an encoder gives to
    such frames it would give to the first of the many, too.
    """
    return plan.frame_rate if rate is None else min(plan.frame_rate, max(rate, plan.frame_rate / _SLOWEST))
