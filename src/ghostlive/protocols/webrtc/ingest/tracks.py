"""One incoming picture or sound: what it is, and frames of it on the stream's timeline.

Invariant: the `dts` of the frames of an input strictly increase, and `pts` is never before `dts`.
"""

import heapq
from collections import deque
from dataclasses import replace
from fractions import Fraction
from statistics import median
from typing import Final

from ghostlive.codecs.opus import packet_samples
from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.formats.rtp.payload import VIDEO_CLOCK_RATE, initial_track, updated_track
from ghostlive.protocols.webrtc.ingest.clock import NS, PublisherClock, TrackClock
from ghostlive.protocols.webrtc.ingest.receiver import ReceivedFrame

_RATE_FRAMES: Final = 10
_RATE_MEASURED: Final = 30
_USUAL_RATES: Final = (5, 10, 15, 20, 24, 25, 30, 48, 50, 60, 90, 120)
_PAUSE: Final = 2.0
_NEAR: Final = Fraction(7, 100)
_MAX_RATE: Final = 240

_REORDERED: Final = VIDEO_CLOCK_RATE // 500
"""Ticks that a frame has to lie before the last one to be a B-frame, and no rounding."""
_REORDER_DEPTH: Final = 2
"""Frames that may be decoded before the one that is shown next; encoders use up to two (a pyramid of B-frames)."""

_DTX_BYTES: Final = 2
"""Opus packets up to this size say that nothing follows while it is silent (RFC 7587 §3.1.3)."""
_DTX_LATE_NS: Final = 60_000_000
_DTX_LONGEST_NS: Final = 2 * NS
_FILLED_NS: Final = NS
"""Gaps in sound up to this length are filled."""
_QUIET_BYTES: Final = 12
"""Packets of this size for 20 ms hardly hold sound."""
_DRIFT_SILENT_NS: Final = 40_000_000
_DRIFT_ANYHOW_NS: Final = 80_000_000
_DRIFT_PAUSE_NS: Final = 4 * NS


class VideoInput:
    """An incoming picture: all of it, or one simulcast layer."""

    kind: Final = TrackKind.VIDEO

    def __init__(self, name: str, clock: TrackClock, parameter_sets: tuple[bytes, ...] = ()) -> None:
        """`name` is the layer's rid, empty when there is only one. `parameter_sets` came before any frame."""
        self.name = name
        self._sets = parameter_sets
        self.clock = clock
        self.id = ""
        """`Track.id` of the frames, as announced."""
        self.announced: Track | None = None
        self.synchronized = False
        """Whether a keyframe came since the last announcement."""
        self.began = 0.0
        """When its first keyframe came, or the first frame after a long pause."""
        self.heard = 0.0
        """When its last frame came."""
        self.off = False
        """Its sender said that it stops."""
        self.frames_of: dict[VideoInput, int] = {}
        """Frames of other layers since its last one."""
        self._track: Track | None = None
        self._steps: deque[int] = deque(maxlen=_RATE_MEASURED)
        self._last_timestamp: int | None = None
        self._reordered = False
        self._order: list[int] = []
        self._last_dts: int | None = None

    @property
    def configured(self) -> bool:
        """Whether enough is known to decode it."""
        return self._track is not None

    @property
    def rate_known(self) -> bool:
        """Whether the bit stream tells the frame rate, or enough frames came to measure it."""
        return self._track is not None and (self._track.frame_rate is not None or len(self._steps) >= _RATE_FRAMES)

    @property
    def missed(self) -> int:
        """Frames that another layer had since its last one."""
        return max(self.frames_of.values(), default=0)

    @property
    def size(self) -> int:
        """Samples of a picture."""
        return self._track.width * self._track.height if self._track is not None else 0

    def track(self, track_id: str) -> Track:
        """What is known of it now."""
        track = self._track
        assert track is not None
        return replace(
            track,
            id=track_id,
            frame_rate=track.frame_rate or measured_rate(self._steps),
            has_b_frames=self.reorders,
        )

    @property
    def changed(self) -> bool:
        """Whether what was announced is no longer so."""
        known = self.announced
        return self.undecodable or (self._reordered and known is not None and not known.has_b_frames)

    @property
    def undecodable(self) -> bool:
        """Whether a decoder of what was announced can do nothing with its frames."""
        known, track = self.announced, self._track
        if known is None or track is None:
            return track is not None
        return (known.codec, known.config, known.width, known.height) != (
            track.codec, track.config, track.width, track.height
        )  # fmt: skip

    @property
    def reorders(self) -> bool:
        """Whether it has B-frames."""
        return self._track is not None and (self._track.has_b_frames or self._reordered)

    def learn(self, received: ReceivedFrame, timestamp: int) -> None:
        """Look at a frame whose extended timestamp this is. Raises `MediaError` when its headers are broken."""
        frame = received.frame
        if self.began and received.received - self.heard > _PAUSE:
            self.began = received.received
        self.heard = received.received
        self.off = False
        self.frames_of.clear()
        if self._last_timestamp is not None:
            step = timestamp - self._last_timestamp
            if step <= -_REORDERED and not received.after_loss and not frame.keyframe:
                self._reordered = True
            elif 0 < step < VIDEO_CLOCK_RATE:
                self._steps.append(step)
        self._last_timestamp = timestamp
        if frame.keyframe or frame.parameter_sets:
            track = self._track
            if track is None or track.codec is not received.codec:
                # Parameter sets may come before the picture, and not again.
                self._sets = frame.parameter_sets or self._sets
                self._track = initial_track(received.codec, replace(frame, parameter_sets=self._sets), "") or track
            else:
                self._track = updated_track(track, frame)
            if not self.began and self._track is not None:
                self.began = received.received

    def frame(self, received: ReceivedFrame, position: int, least: int) -> Frame:
        """The frame at a position of the timeline, but not before `least`."""
        last = self._last_dts
        dts = position
        if self.reorders:
            if not self._order and received.frame.keyframe:
                interval = round(median(self._steps)) if self._steps else VIDEO_CLOCK_RATE // 30
                self._order = [position - count * interval for count in range(_REORDER_DEPTH, 0, -1)]
            if self._order:
                dts = heapq.heappushpop(self._order, position)
        dts = max(dts, least if last is None else last + 1)
        self._last_dts = dts
        return Frame(
            self.id, dts, max(position, dts), received.frame.keyframe, received.frame.payload, received.received
        )


class AudioInput:
    """The incoming sound.

    Opus says by timestamps alone where nothing was sent (DTX) or packets were lost. Gaps are filled with packets of
    one byte, for which every decoder puts in what fits (RFC 6716 §3.2.1: a frame without data is one that was lost or
    not sent), so that what follows has sound without holes.
    """

    kind: Final = TrackKind.AUDIO

    def __init__(self, name: str, clock: TrackClock, channels: int) -> None:
        """`channels` is what was negotiated."""
        self.name = name
        self.clock = clock
        self.id = ""
        """`Track.id` of the frames, as announced."""
        self.announced: Track | None = None
        self.heard = 0.0
        """When its last packet came."""
        self.filled = 0
        """Packets put in where none came."""
        self.shifted = 0
        """Packets put in or left out because the sender's clock differs from ours."""
        self._channels = channels
        self._track: Track | None = None
        self._next: int | None = None
        self._last: bytes = b""
        self._quiet = False
        self._position = 0
        self._shifted_ns = 0

    @property
    def configured(self) -> bool:
        """Whether enough is known to decode it."""
        return self._track is not None

    @property
    def changed(self) -> bool:
        """Whether what was announced is no longer so."""
        known, track = self.announced, self._track
        return track is not None and (known is None or (known.codec, known.config) != (track.codec, track.config))

    @property
    def undecodable(self) -> bool:
        """Whether its packets do not belong to what was announced."""
        return self.changed

    def track(self, track_id: str) -> Track:
        """What is known of it now."""
        assert self._track is not None
        return replace(self._track, id=track_id)

    def learn(self, received: ReceivedFrame) -> None:
        """Look at a packet. Raises `MediaError` when it is broken."""
        self.heard = received.received
        if self._track is None or self._track.codec is not received.codec:
            self._track = initial_track(received.codec, received.frame, "", channels=self._channels)
            self._next = None

    def frames(self, received: ReceivedFrame, timestamp: int, clock: PublisherClock) -> list[Frame]:
        """The packet with this extended timestamp on the timeline, behind what fills the gap before it."""
        payload = received.frame.payload
        samples = self._samples(received)
        position = clock.place(self.clock, timestamp, received.began)
        drift = self._drift(clock, position, samples, len(payload))
        assert self.clock.offset is not None
        if drift < 0:
            self.clock.offset -= samples
            self.shifted += 1
            return []
        if drift > 0:
            self.clock.offset += samples
            self.shifted += 1
            position += samples
        out = self._fill(position, received.received)
        if self._next is not None:
            if abs(position - self._next) < samples:
                position = self._next  # senders round, and their clocks are not exact
            elif position < self._next:
                return out  # it came twice, or silence was put in its place
        out.append(Frame(self.id, position, position, True, payload, received.received))
        self._next = position + samples
        self._last = payload
        self._quiet = received.codec is Codec.OPUS and len(payload) <= _DTX_BYTES
        self._position = position
        return out

    def tick(self, now: float) -> list[Frame]:
        """Silence in the place of what an encoder does not send while it is silent (DTX)."""
        if not self._quiet or self._next is None or not self.id:
            return []
        since_ns = int((now - self.heard) * NS)
        if since_ns > _DTX_LONGEST_NS:
            return []
        return self._fill(self._position + self.clock.to_ticks(since_ns - _DTX_LATE_NS), now)

    def _samples(self, received: ReceivedFrame) -> int:
        if received.codec is Codec.OPUS:
            return packet_samples(received.frame.payload)
        assert self._track is not None
        return max(len(received.frame.payload) // max(self._track.channels, 1), 1)

    def _fill(self, end: int, now: float) -> list[Frame]:
        """Packets without data from the end of the last one to `end`, if that is not too far."""
        begin = self._next
        if begin is None or not self._last or self._track is None or self._track.codec is not Codec.OPUS:
            return []
        if not 0 < end - begin <= self.clock.to_ticks(_FILLED_NS):
            return []
        packet = bytes((self._last[0] & 0xFC,))
        length = packet_samples(packet)
        count = (end - begin) // length
        self._next = begin + count * length
        self.filled += count
        return [Frame(self.id, position, position, True, packet, now) for position in range(begin, self._next, length)]

    def _drift(self, clock: PublisherClock, position: int, samples: int, size: int) -> int:
        """1 to put a packet in, -1 to leave this one out, 0 for neither: where it is quiet, or when it must be."""
        if not clock.leads(self.clock) or self._track is None or self._track.codec is not Codec.OPUS:
            return 0
        drift = clock.drift_ns()
        limit = _DRIFT_SILENT_NS if size <= _QUIET_BYTES else _DRIFT_ANYHOW_NS
        at_ns = self.clock.to_ns(position)
        if abs(drift) < limit or at_ns - self._shifted_ns < _DRIFT_PAUSE_NS:
            return 0
        self._shifted_ns = at_ns
        return 1 if drift > 0 else -1


def measured_rate(steps: deque[int]) -> Fraction | None:
    """Frames per second from steps of timestamps (1/90000 s); None when there are too few, or they mean nothing.

    Cameras and browsers do not keep exact time: what is near a usual rate is that.
    """
    if len(steps) < 3:
        return None
    rate = Fraction(VIDEO_CLOCK_RATE) / Fraction(median(steps))
    if rate > _MAX_RATE:
        return None
    usual = min(_USUAL_RATES, key=lambda usual: abs(usual - rate))
    if abs(usual - rate) <= usual * _NEAR:
        return Fraction(usual)
    return Fraction(max(round(rate), 1))
