"""Packets of a track to frames.

Want of memory is no damage: here and in the encoders it ends the process, which is then started anew.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from typing import Final, Generic, NamedTuple, TypeVar

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import Flags
from av.error import BlockingIOError as NotNowError
from av.error import FFmpegError
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec, Track
from ghostlive.transcode.wire import Media

_NAMES: Final = {
    Codec.H264: "h264",
    Codec.H265: "hevc",
    Codec.AV1: "libdav1d",
    Codec.VP8: "vp8",
    Codec.VP9: "vp9",
    Codec.AAC: "aac",
    Codec.OPUS: "opus",
    Codec.FLAC: "flac",
    Codec.AC3: "ac3",
    Codec.EAC3: "eac3",
    Codec.MP3: "mp3float",
    Codec.PCMA: "pcm_alaw",
    Codec.PCMU: "pcm_mulaw",
}
_CONFIGURED: Final = frozenset({Codec.H264, Codec.H265, Codec.AV1, Codec.AAC, Codec.OPUS, Codec.FLAC})
_HEADERLESS: Final = frozenset({Codec.PCMA, Codec.PCMU})
_MAX_PIXELS: Final = 8192 * 8192
_ONE_THREAD: Final = 1920 * 1088 * 61
"""Luma samples per second that one thread decodes in time."""
_GIVE_UP: Final = 25
"""Packets refused in a row after which the decoder begins anew at the next keyframe."""
_MARKS: Final = 512

F = TypeVar("F", VideoFrame, AudioFrame)


class Decoded(NamedTuple, Generic[F]):
    """A frame and where it came from."""

    frame: F
    pts: int
    """Ticks of the track."""
    keyframe: bool
    """The source has a keyframe here."""
    arrived: float
    """When the packet came that completed it (`time.monotonic`).

    Its own came earlier where the source reorders: at two frames a second by a second or more, which is no sign of a
    machine that is slow.
    """


class _Decoder(ABC):
    """What both decoders have in common: how they are set up, what they count, and what they do about damage."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self.decoded = 0
        self.damaged = 0
        self._refused = 0
        self._time_base = Fraction(1, track.timescale)

    def _packet(self, media: Media) -> "av.Packet[Stream]":
        packet: av.Packet[Stream] = av.Packet(media.payload)
        packet.pts, packet.dts, packet.time_base = media.pts, media.dts, self._time_base
        return packet

    def _context(self) -> av.CodecContext:
        name = _NAMES[self.track.codec]
        try:
            context = av.CodecContext.create(name, "r")
        except ValueError as error:
            raise MediaError(f"this FFmpeg has no decoder {name}") from error
        if self.track.config and self.track.codec in _CONFIGURED:
            context.extradata = self.track.config
        return context

    def _begin(self, context: av.CodecContext) -> None:
        try:
            context.open()
        except MemoryError:
            raise
        except FFmpegError as error:
            raise MediaError(f"FFmpeg cannot decode this {self.track.codec}: {error.strerror}") from error

    def _frames_of(self, media: Media, decode: "Callable[[av.Packet[Stream]], list[F]]") -> list[F] | None:
        """The frames that this packet completes; None when it is damaged, which is counted."""
        try:
            return decode(self._packet(media))
        except MemoryError:
            raise
        except FFmpegError as error:
            self.damaged += 1
            self._refused += 1
            if self._refused >= _GIVE_UP or isinstance(error, NotNowError):
                self._restart()
            return None

    def _count(self) -> None:
        """A frame came out."""
        self._refused = 0
        self.decoded += 1

    @abstractmethod
    def _restart(self) -> None:
        """Begin anew."""


class VideoDecoder(_Decoder):
    """Decodes one video track, from its first keyframe on, in order of presentation."""

    def __init__(self, track: Track) -> None:
        """Raises `MediaError` when there is no decoder."""
        super().__init__(track)
        self._decoder = self._open()
        self._waits = True
        self._first = 0
        self._last: int | None = None
        # Whether packets are keyframes whose frames have not come out, by presentation time.
        self._marks: dict[int, bool] = {}

    def _open(self) -> VideoCodecContext:
        context = self._context()
        assert isinstance(context, VideoCodecContext)
        context.options = {"max_pixels": str(_MAX_PIXELS)}
        track = self.track
        large = track.width * track.height * float(track.frame_rate or 30) > _ONE_THREAD
        if track.codec is Codec.AV1:
            context.options["max_frame_delay"] = "1"
            context.thread_count = 4 if large else 2
        else:
            # Threads that share a picture, since those that take one each hold all but one of them back. And closing a
            # decoder with those deadlocks: FFmpeg waits for them while PyAV keeps Python from running.
            context.thread_count = 4 if large else 1
            context.thread_type = "SLICE"
            if not track.has_b_frames:
                context.flags |= Flags.low_delay
        self._begin(context)
        return context

    @property
    def shape(self) -> Fraction:
        """How wide a sample is for its height."""
        return Fraction(self._decoder.sample_aspect_ratio or 1) or Fraction(1)

    def decode(self, media: Media, arrived: float) -> list[Decoded[VideoFrame]]:
        """The frames that this packet completes; none while it waits for a keyframe or the packet is damaged."""
        if media.keyframe and self._refused:
            # Some decoders carry what upset them over to what is good.
            self._restart()
        if self._waits:
            if not media.keyframe:
                return []
            self._waits = False
            self._first = media.pts
        self._marks[media.pts] = media.keyframe
        if len(self._marks) > _MARKS:
            del self._marks[next(iter(self._marks))]
        frames = self._frames_of(media, self._decoder.decode)
        if frames is None:
            self._marks.pop(media.pts, None)
            return []
        found = []
        for frame in frames:
            pts = frame.pts
            keyframe = pts is not None and self._marks.pop(pts, False)
            # Pictures before the first keyframe refer to what was not decoded; a damaged order is no order.
            if pts is None or pts < self._first or (self._last is not None and pts <= self._last):
                continue
            self._last = pts
            self._count()
            found.append(Decoded(frame, pts, keyframe, arrived))
        return found

    def _restart(self) -> None:
        """Begin anew, with a keyframe."""
        self._decoder = self._open()
        self._waits = True
        self._refused = 0
        self._marks.clear()


class AudioDecoder(_Decoder):
    """Decodes one audio track."""

    def __init__(self, track: Track) -> None:
        """Raises `MediaError` when there is no decoder."""
        super().__init__(track)
        self._decoder = self._open()

    def _open(self) -> AudioCodecContext:
        context = self._context()
        assert isinstance(context, AudioCodecContext)
        context.thread_count = 1
        if self.track.codec in _HEADERLESS:
            context.sample_rate = self.track.sample_rate
            context.layout = "stereo" if self.track.channels == 2 else "mono"
        self._begin(context)
        return context

    def decode(self, media: Media, arrived: float) -> list[Decoded[AudioFrame]]:
        """The frames that this packet completes; none when it is damaged."""
        found = []
        pts = media.pts
        for frame in self._frames_of(media, self._decoder.decode) or ():
            if not frame.samples or not frame.sample_rate:
                continue
            self._count()
            # Decoders of audio keep nothing back: a packet that holds several frames is the only reason for more.
            at = frame.pts if frame.pts is not None else pts
            found.append(Decoded(frame, at, keyframe=True, arrived=arrived))
            pts = at + frame.samples * self.track.timescale // frame.sample_rate
        return found

    def _restart(self) -> None:
        """Begin anew, with the next packet."""
        self._decoder = self._open()
        self._refused = 0
