"""Recent packets of a video track, and a rendition that begins with them while others are made already.

A rendition that starts late would have no whole segment before the source's next two keyframes: too long for somebody
who has just chosen it. It decodes what came since an earlier keyframe for itself, in its own thread, until it has come
to where the others are, and takes the common frames from there on. Packets wait for it, not frames: a second of those
would be hundreds of megabytes.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from av.video.frame import PictureType, VideoFrame

from ghostlive.core.track import Track
from ghostlive.hub.derived import begins_with_both
from ghostlive.transcode.wire import Media
from ghostlive.transcode.worker import pictures
from ghostlive.transcode.worker.decoders import Decoded, VideoDecoder

_BYTES: Final = 64 * 1024 * 1024
_HELD_BACK: Final = 8
"""Frames that the deinterlacer may have; it has one, and loses some when pictures change their size."""
KEYFRAME_EVERY: Final = 10.0
"""Seconds after which a keyframe is made where the source has none."""


class Packet(NamedTuple):
    """A packet and when it came (`time.monotonic`)."""

    media: Media
    arrived: float


class Recent:
    """The packets of the current group and the one before it, as far as they are few."""

    def __init__(self, timescale: int) -> None:
        """`timescale` is the track's."""
        self._timescale = timescale
        self._before: list[Packet] = []
        self._group: list[Packet] = []
        self._bytes = 0

    def add(self, media: Media, arrived: float) -> None:
        """Take a packet, in decoding order."""
        if media.keyframe:
            self._before, self._group = self._group, []
            self._bytes = sum(len(packet.media.payload) for packet in self._before)
        self._bytes += len(media.payload)
        if self._bytes > _BYTES:
            self._before = []
            self._bytes = len(media.payload) + sum(len(packet.media.payload) for packet in self._group)
            if self._bytes > _BYTES:
                self._group = []
                return
        if self._group or media.keyframe:
            self._group.append(Packet(media, arrived))

    def packets(self) -> list[Packet]:
        """What a rendition begins with: from a keyframe on, without holes."""
        if not self._before or not self._group:
            return list(self._group)
        begin, middle, end = (
            packet.media.dts / self._timescale for packet in (self._before[0], self._group[0], self._group[-1])
        )
        return self._before + self._group if begins_with_both(middle - begin, end - middle) else list(self._group)


class Keyframes:
    """Which frames become keyframes: the source's, and some more where those are too rare."""

    def __init__(self, timescale: int) -> None:
        """`timescale` is the track's."""
        self._longest = int(KEYFRAME_EVERY * timescale)
        self._last: int | None = None

    def mark(self, frame: VideoFrame, pts: int, *, keyframe: bool) -> bool:
        """Whether this frame becomes one; it is marked for encoders, which take a frame's type for a wish."""
        if not keyframe and self._last is not None:
            keyframe = pts - self._last >= self._longest
        if keyframe:
            self._last = pts
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        return keyframe


class FrameSource:
    """Decodes a video track to progressive frames."""

    def __init__(self, track: Track) -> None:
        """Raises `MediaError` when there is no decoder."""
        self.decoder = VideoDecoder(track)
        self._deinterlacer = pictures.Deinterlacer(Fraction(1, track.timescale))
        # Facts of frames that the deinterlacer holds back, by presentation time.
        self._facts: dict[int, Decoded[VideoFrame]] = {}

    def decode(self, media: Media, arrived: float) -> Iterator[tuple[VideoFrame, Decoded[VideoFrame]]]:
        """The frames that this packet completes, each with the facts of the one that it was made of."""
        for decoded in self.decoder.decode(media, arrived):
            self._facts[decoded.pts] = decoded
            if len(self._facts) > _HELD_BACK:
                del self._facts[next(iter(self._facts))]
            for frame in self._deinterlacer.filter(decoded.frame, self.decoder.shape):
                facts = self._facts.pop(frame.pts, None) if frame.pts is not None else None
                if facts is not None:
                    yield frame, facts


class Backlog:
    """Packets that one rendition decodes for itself. The decoding thread adds, the rendition's thread takes."""

    def __init__(self, track: Track, packets: Iterable[Packet], width: int, height: int) -> None:
        """`packets` begin with a keyframe; pictures come in this size. Raises `MediaError`."""
        self.done = False
        """The rendition takes the common frames from now on, of those that are later than `reached`."""
        self.reached: int | None = None
        """When the last frame that it decoded itself is presented."""
        self._source = FrameSource(track)
        self._keyframes = Keyframes(track.timescale)
        self._scaler = pictures.Scaler(width, height, Fraction(1, track.timescale))
        # What came before this rendition was wanted is not late.
        now = time.monotonic()
        self._packets = deque(packet._replace(arrived=now) for packet in packets)
        self._bytes = sum(len(packet.media.payload) for packet in self._packets)
        self._broken = False
        self._lock = threading.Lock()

    def add(self, media: Media, arrived: float) -> None:
        """The track goes on with this packet, which is decoded for all others after this call."""
        with self._lock:
            if self.done or (self._broken and not media.keyframe):
                return
            self._broken = False
            self._packets.append(Packet(media, arrived))
            self._bytes += len(media.payload)
            if self._bytes > _BYTES:
                # It is far too slow, and goes on with the next group.
                self._packets.clear()
                self._bytes = 0
                self._broken = True

    def frames(self) -> Iterator[tuple[pictures.Picture, int, bool, float]]:
        """Picture, presentation time, whether it becomes a keyframe and when it came, until nothing waits any more."""
        while (packet := self._take()) is not None:
            for frame, facts in self._source.decode(packet.media, packet.arrived):
                keyframe = self._keyframes.mark(frame, facts.pts, keyframe=facts.keyframe)
                picture = pictures.Picture(frame, self._scaler, self._source.decoder.shape)
                yield picture, facts.pts, keyframe, facts.arrived
                self.reached = facts.pts

    def _take(self) -> Packet | None:
        with self._lock:
            if self._packets:
                packet = self._packets.popleft()
                self._bytes -= len(packet.media.payload)
                return packet
            # Its decoder holds as many frames back as the common one does: that goes on with the same frame.
            self.done = True
            return None
