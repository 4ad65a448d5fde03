"""What a worker may say of a rendition. Pure.

A worker decodes what strangers send, so it may say anything one day: configurations of another picture, times that go
back, more frames than there can be. Each claim is held against what was asked of it and what it was given.
"""

from dataclasses import replace

from ghostlive.codecs.describe import describe_audio, describe_video, inspect_frame, update_config
from ghostlive.core.errors import GhostliveError, MediaError
from ghostlive.core.frame import Frame
from ghostlive.core.track import Track
from ghostlive.transcode.plan import Plan, VideoPlan
from ghostlive.transcode.wire import Media, Opened

AUDIO_TIMESCALE = 48000

_LARGEST_CONFIG = 64 * 1024
_AHEAD = 1.0
"""Seconds that a rendition may be ahead of its source: resampling and padding round up."""
_EXTRA_FRAMES = 60
_SHORTEST_AUDIO = AUDIO_TIMESCALE // 400
"""Opus' shortest packet, 2.5 ms."""
_BURST = 4 * 1024 * 1024
_OVER_BITRATE = 4
"""Encoders miss their bit rate; by this factor over any length of time they do not."""


class DishonestWorkerError(GhostliveError):
    """A worker says what cannot be: it is not to be trusted any more."""


class Vetting:
    """Checks what a worker says of one run of a rendition."""

    def __init__(self, plan: Plan, promise: Track, *, after: int | None = None) -> None:
        """`promise` is the track as it was offered, `after` the time of the last frame that viewers have."""
        self._plan = plan
        self._promise = promise
        self._last = after
        self._config = b""
        self._frames = 0
        self._keyframe_due = True
        self._allowance = float(_BURST)

    def opened(self, message: Opened) -> Track:
        """The track with the configuration that its encoder made. Raises `DishonestWorkerError`."""
        if not message.config and self._promise.codec_string != "vp8":
            raise DishonestWorkerError("a rendition without configuration")
        if len(message.config) > _LARGEST_CONFIG:
            raise DishonestWorkerError(f"a configuration of {len(message.config)} bytes")
        try:
            track = self._described(message.config)
        except MediaError as error:
            raise DishonestWorkerError(f"a configuration that cannot be read: {error}") from error
        # What viewers have; parameter sets of a later encoder stand in its frames and must stay there.
        self._config = self._config or track.config
        self._keyframe_due = True
        return track

    def media(self, message: Media, *, newest: float, given: int) -> Frame:
        """A frame as the hub may have it. Raises `DishonestWorkerError`.

        `newest` is the time, in seconds, of the newest frame that the worker was given, `given` how many frames of the
        rendition's source it was.
        """
        scale = self._promise.timescale
        last = self._last
        if message.track != 0 or message.dts > message.pts:
            raise DishonestWorkerError("a frame that belongs nowhere")
        if last is not None and message.dts <= last:
            raise DishonestWorkerError("time goes back")
        if message.pts > (newest + _AHEAD) * scale:
            raise DishonestWorkerError("a frame of the future")
        self._frames += 1
        video = isinstance(self._plan, VideoPlan)
        if video and (message.pts != message.dts or self._frames > 2 * given + _EXTRA_FRAMES):
            raise DishonestWorkerError("more or other frames than its source has")
        if not video and last is not None and message.pts - last < _SHORTEST_AUDIO:
            raise DishonestWorkerError("packets that are too short")
        if self._keyframe_due and not message.keyframe:
            raise DishonestWorkerError("a beginning that is no keyframe")
        self._weigh(len(message.payload), (message.dts - last) / scale if last is not None else 0.0)
        payload = self._inspect(message)
        self._keyframe_due = False
        self._last = message.dts
        return Frame(self._promise.id, message.dts, message.pts, message.keyframe, payload)

    def _described(self, config: bytes) -> Track:
        plan, promise = self._plan, self._promise
        if isinstance(plan, VideoPlan):
            video = describe_video(plan.codec, config)
            # VP8 has its size in its keyframes.
            if (video.width or plan.width, video.height or plan.height) != (plan.width, plan.height):
                raise DishonestWorkerError(f"a picture of {video.width}x{video.height} for {plan.name}")
            codec_string, config = video.codec_string, video.config
        else:
            audio = describe_audio(plan.codec, config)
            if (audio.sample_rate, audio.channels) != (plan.sample_rate, plan.channels):
                raise DishonestWorkerError(f"{audio.channels} channels of {audio.sample_rate} Hz for {plan.name}")
            codec_string, config = audio.codec_string, audio.config
        if _profile(codec_string) != _profile(promise.codec_string):
            raise DishonestWorkerError(f"{codec_string} where {promise.codec_string} was offered")
        return replace(promise, config=config, codec_string=codec_string)

    def _weigh(self, size: int, seconds: float) -> None:
        gained = seconds * self._plan.bitrate / 8 * _OVER_BITRATE
        self._allowance = min(self._allowance + gained, float(_BURST)) - size
        if not size or self._allowance < 0:
            raise DishonestWorkerError("frames that are empty, or far too large")

    def _inspect(self, message: Media) -> bytes:
        plan = self._plan
        if not isinstance(plan, VideoPlan):
            return message.payload
        try:
            unit = inspect_frame(plan.codec, message.payload)
            if unit.keyframe != message.keyframe or not unit.payload:
                raise DishonestWorkerError("a frame that is not what it says")
            if message.keyframe and plan.codec_string == "vp8":
                facts = describe_video(plan.codec, b"", message.payload)
                if (facts.width, facts.height) != (plan.width, plan.height):
                    raise DishonestWorkerError(f"a picture of {facts.width}x{facts.height} for {plan.name}")
            if not unit.parameter_sets:
                return unit.payload
            # Another encoder took over: its parameter sets stand in the frame, and viewers need them.
            config = update_config(plan.codec, self._config, unit.parameter_sets)
            if config == self._config:
                return unit.payload
            self._described(config)
        except MediaError as error:
            raise DishonestWorkerError(f"a frame that cannot be read: {error}") from error
        return message.payload


def _profile(codec_string: str) -> str:
    """What a player must know of a codec: family and profile. An encoder's level may be lower than was promised."""
    family, _, rest = codec_string.lower().partition(".")
    if family in ("avc1", "avc3"):
        return f"{family}.{rest[:2]}"
    if family == "av01":
        return f"{family}.{rest.partition('.')[0]}"
    return codec_string.lower()
