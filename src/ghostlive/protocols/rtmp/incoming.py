"""One incoming track: its configuration, its clock and its frames.

RTMP counts milliseconds. Video keeps them, in ticks of 1/90000 s; audio goes by its own samples, so that rounding
makes neither gaps nor overlaps, and follows the wire only when that is off by more than a few packets.

Invariant: the `dts` of the frames of an input strictly increase, and `pts` is never before `dts`.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from ghostlive.codecs.describe import (
    audio_frame_samples,
    describe_audio,
    describe_video,
    inspect_frame,
    update_config,
)
from ghostlive.codecs.facts import AudioFacts, VideoFacts
from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track
from ghostlive.formats.flv import Packet

VIDEO_TIMESCALE: Final = 90_000
_TICKS_PER_MS: Final = VIDEO_TIMESCALE // 1000
_STEP_BACK: Final = VIDEO_TIMESCALE // 5
"""Timestamps that go back further than this begin anew; less than this is jitter."""
_MAX_COMPOSITION_MS: Final = 10_000
_AUDIO_TOLERANCE_MS: Final = 60
_AUDIO_STEP_BACK_MS: Final = 500
_RATE_SAMPLES: Final = 10
_MAX_RATE: Final = 500
"""Frames per second; above it timestamps are nonsense (all the same, say)."""

_USUAL_RATES: Final = (
    *(Fraction(rate) for rate in (24, 25, 30, 50, 60, 15, 20, 48, 90, 100, 120, 144)),
    *(Fraction(rate * 1000, 1001) for rate in (24, 30, 60, 120)),
)

_NO_CONFIG_NEEDED: Final = frozenset({Codec.MP3, Codec.AC3, Codec.EAC3, Codec.PCMA, Codec.PCMU})
_G711: Final = frozenset({Codec.PCMA, Codec.PCMU})


class VideoInput:
    """An incoming video track."""

    def __init__(self, track_id: str, codec: Codec) -> None:
        """`track_id` is `Track.id`."""
        self.id = track_id
        self.codec = codec
        self.timescale = VIDEO_TIMESCALE
        self.announced: Track | None = None
        self.synchronized = False
        """Whether a key frame came since the last announcement."""
        self.unusable = 0
        """Frames that came without a configuration to decode them by."""
        self.generation = 0
        """Counts configurations: frames of different ones do not go together."""
        self._facts: VideoFacts | None = None
        self._length_size = 4
        self._last: int | None = None
        self._interval = VIDEO_TIMESCALE // 30
        self._skew = 0
        self._shift = 0
        self._first_dts: list[int] = []
        self._composition: int | None = None
        self._reordered = False

    @property
    def configured(self) -> bool:
        """Whether enough is known to decode it."""
        return self._facts is not None

    @property
    def rate_known(self) -> bool:
        """Whether the frame rate is known, or enough frames came to measure it."""
        return self._facts is not None and (self._facts.frame_rate is not None or len(self._first_dts) >= _RATE_SAMPLES)

    def restart(self, codec: Codec) -> None:
        """The encoder changed the codec: forget the old configuration."""
        self.codec = codec
        self.generation += 1
        self._facts = None

    def configure(self, config: bytes) -> None:
        """Take a configuration ("sequence header")."""
        facts = describe_video(self.codec, config)
        self._length_size = facts.length_size
        self._use(facts)

    def frame(self, packet: Packet, time: int, now: float) -> Frame | None:
        """The frame in `packet`, whose message has the stream time `time` in milliseconds; None if there is none."""
        unit = inspect_frame(self.codec, packet.data, self._length_size)
        if unit.parameter_sets:
            self._take_parameter_sets(unit.parameter_sets)
        if not unit.payload:
            return None
        facts = self._facts
        if facts is None:
            self.unusable += 1
            return None
        if unit.keyframe and not facts.width:
            self._use(describe_video(self.codec, facts.config, unit.payload))
        dts, pts = self._clock(packet, time)
        return Frame(self.id, dts, pts, unit.keyframe, unit.payload, now)

    def track(self) -> Track:
        """What is known of the track now."""
        facts = self._facts
        assert facts is not None
        return Track(
            id=self.id,
            codec=self.codec,
            timescale=VIDEO_TIMESCALE,
            config=facts.config,
            codec_string=facts.codec_string,
            width=facts.width,
            height=facts.height,
            frame_rate=facts.frame_rate or measure_rate(self._first_dts),
            has_b_frames=self._reordered if facts.has_b_frames is None else facts.has_b_frames,
        )

    @property
    def changed(self) -> bool:
        """Whether what was announced is no longer so; frames need a new announcement if it is `undecodable`."""
        known, facts = self.announced, self._facts
        if known is None or facts is None:
            return facts is not None
        return self.undecodable or (self._reordered and facts.has_b_frames is None and not known.has_b_frames)

    @property
    def undecodable(self) -> bool:
        """Whether frames do not belong to what was announced."""
        known, facts = self.announced, self._facts
        return known is None or facts is None or known.config != facts.config or known.codec is not self.codec

    def _use(self, facts: VideoFacts) -> None:
        if self._facts is None or self._facts.config != facts.config:
            self.generation += 1
        self._facts = facts
        self.unusable = 0

    def _take_parameter_sets(self, sets: Sequence[bytes]) -> None:
        known = self._facts.config if self._facts is not None else b""
        config = update_config(self.codec, known, sets)
        if config and config != known:
            self._use(describe_video(self.codec, config))

    def _clock(self, packet: Packet, time: int) -> tuple[int, int]:
        wire = time * _TICKS_PER_MS + self._skew
        if packet.nanoseconds:
            wire += packet.nanoseconds * _TICKS_PER_MS // 1_000_000
        dts = wire - self._shift
        last = self._last
        if last is not None:
            if dts > last:
                self._interval = min(dts - last, VIDEO_TIMESCALE)
            elif last - dts > _STEP_BACK:
                step = last + self._interval - dts
                self._skew += step
                wire += step
                dts += step
            else:
                # Shown later too, or two pictures would be shown at once.
                wire += last + 1 - dts
                dts = last + 1
        composition = packet.composition
        if composition != self._composition:
            self._reordered = self._reordered or self._composition is not None
            self._composition = composition
        if abs(composition) > _MAX_COMPOSITION_MS:
            composition = 0
        pts = wire + composition * _TICKS_PER_MS
        if pts < dts:
            # Negative composition offsets: decode earlier from here on, so that pictures stay with their sound.
            self._shift += dts - pts
            dts = pts if last is None or pts > last else last + 1
            pts = max(pts, dts)
        self._last = dts
        if len(self._first_dts) < _RATE_SAMPLES:
            self._first_dts.append(dts)
        return dts, pts


class AudioInput:
    """An incoming audio track."""

    def __init__(self, track_id: str, codec: Codec) -> None:
        """`track_id` is `Track.id`."""
        self.id = track_id
        self.codec = codec
        self.announced: Track | None = None
        self.unusable = 0
        """Packets that came without a configuration to decode them by."""
        self.generation = 0
        """Counts configurations: packets of different ones do not go together."""
        self.timescale = 0
        """Ticks per second of its frames, once it is configured."""
        self.resynchronized = 0
        """How often the wire was followed instead of the samples."""
        self._facts: AudioFacts | None = None
        self._next: int | None = None
        self._skew_ms = 0

    @property
    def configured(self) -> bool:
        """Whether enough is known to decode it."""
        return self._facts is not None

    def restart(self, codec: Codec) -> None:
        """The encoder changed the codec: forget the old configuration."""
        self.codec = codec
        self.generation += 1
        self._facts = None
        self._next = None

    def configure(self, config: bytes) -> None:
        """Take a configuration ("sequence header")."""
        self._use(describe_audio(self.codec, config))

    def frame(self, packet: Packet, time: int, now: float) -> Frame | None:
        """The frame in `packet`, whose message has the stream time `time` in milliseconds; None if there is none."""
        data = packet.data
        if not data:
            return None
        facts = self._facts
        if facts is None:
            if self.codec not in _NO_CONFIG_NEEDED:
                self.unusable += 1
                return None
            # The tag alone says how many channels G.711 has.
            config = bytes([packet.channels]) if self.codec in _G711 else b""
            facts = describe_audio(self.codec, config, data)
            self._use(facts)
        rate = facts.sample_rate
        wire = (time + self._skew_ms) * rate // 1000 + packet.nanoseconds * rate // 1_000_000_000
        following = self._next
        if following is None:
            following = wire
        elif (off := wire - following) > (tolerance := _AUDIO_TOLERANCE_MS * rate // 1000):
            following = wire
            self.resynchronized += 1
        elif off < -tolerance:
            self.resynchronized += 1
            if off > -_AUDIO_STEP_BACK_MS * rate // 1000:
                return None  # There is more sound than time: leave a packet out.
            self._skew_ms -= off * 1000 // rate
        self._next = following + audio_frame_samples(self.codec, facts, data)
        return Frame(self.id, following, following, True, data, now)

    def track(self) -> Track:
        """What is known of the track now."""
        facts = self._facts
        assert facts is not None
        return Track(
            id=self.id,
            codec=self.codec,
            timescale=facts.sample_rate,
            config=facts.config,
            codec_string=facts.codec_string,
            sample_rate=facts.sample_rate,
            channels=facts.channels,
        )

    @property
    def changed(self) -> bool:
        """Whether what was announced is no longer so."""
        return self.configured and self.undecodable

    @property
    def undecodable(self) -> bool:
        """Whether frames do not belong to what was announced."""
        known, facts = self.announced, self._facts
        return known is None or facts is None or known.config != facts.config or known.codec is not self.codec

    def _use(self, facts: AudioFacts) -> None:
        if self._facts is None or self._facts.config != facts.config:
            self.generation += 1
        if self.timescale != facts.sample_rate:
            self.timescale = facts.sample_rate
            self._next = None
        self._facts = facts
        self.unusable = 0


def measure_rate(times: Sequence[int]) -> Fraction | None:
    """Frames per second from decoding times in 1/90000 s that were rounded to milliseconds; None if that cannot be."""
    if len(times) < 3:
        return None
    span = times[-1] - times[0]
    measured = Fraction((len(times) - 1) * VIDEO_TIMESCALE, span)
    if measured > _MAX_RATE:
        return None
    # Rounding moves either end by half a millisecond.
    tolerance = measured * _TICKS_PER_MS / span
    for rate in _USUAL_RATES:
        if abs(rate - measured) <= tolerance:
            return rate
    return Fraction(round(measured * 100), 100)
