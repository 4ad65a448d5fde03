"""`python -m ghostlive.transcode.probing MEMORY ENCODER...`: a line of JSON on standard output before and after each.

Encoders are set up exactly as a worker sets them up and confined as it is, so that what works here works there. FFmpeg
says on standard error what it found; `transcode.probe` puts that into words.
"""

import json
import sys
from fractions import Fraction
from time import monotonic
from typing import Any, Final

from ghostlive.transcode.worker.confine import confine

_WIDTH: Final = 1280
_HEIGHT: Final = 720
_RATE: Final = Fraction(30)
_TIMESCALE: Final = 90000
_PICTURES: Final = 12
"""An encoder that keeps more than these back is of no use for live media."""
_KEYFRAME_AT: Final = 4


def main(arguments: list[str]) -> None:
    """Try each encoder."""
    memory, *names = arguments
    confine(int(memory))
    import av.logging  # noqa: PLC0415 - after what a decoder may use is limited

    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.VERBOSE)
    for name in names:
        _say(encoder=name)
        print(f"probing {name}", file=sys.stderr, flush=True)  # noqa: T201 - heads its part of the log
        began = monotonic()
        reason = try_encoder(name)
        _say(encoder=name, works=not reason, reason=reason, milliseconds=round((monotonic() - began) * 1000))


def try_encoder(name: str) -> str:
    """Encode something; why that does not work, empty when it does."""
    from av.codec.codec import Codec, UnknownCodecError  # noqa: PLC0415

    from ghostlive.transcode.worker.encoders import EncoderError  # noqa: PLC0415

    try:
        codec = Codec(name, "w")
    except UnknownCodecError:
        return "not in this build"
    try:
        return _try_sound(name) if codec.type == "audio" else _try_picture(name)
    except EncoderError as error:
        return str(error)


def _try_picture(name: str) -> str:
    from av.video.frame import PictureType, VideoFrame  # noqa: PLC0415

    from ghostlive.codecs.describe import describe_video  # noqa: PLC0415
    from ghostlive.core.errors import MediaError  # noqa: PLC0415
    from ghostlive.core.track import Codec  # noqa: PLC0415
    from ghostlive.transcode.codecstrings import video_codec_string  # noqa: PLC0415
    from ghostlive.transcode.plan import VideoPlan  # noqa: PLC0415
    from ghostlive.transcode.worker.encoders import VideoEncoder  # noqa: PLC0415
    from ghostlive.transcode.worker.pictures import Colours, Look  # noqa: PLC0415

    kind = {"libx264": Codec.H264, "libsvtav1": Codec.AV1, "libvpx": Codec.VP8}.get(name)
    kind = kind or Codec(name.partition("_")[0])
    bits = 2_600_000
    promise = video_codec_string(kind, _WIDTH, _HEIGHT, _RATE, bits)
    plan = VideoPlan("probe", "720p30", "v0", kind, promise, _WIDTH, _HEIGHT, _RATE, bits)
    encoder = VideoEncoder(name, plan, _TIMESCALE, Look(Colours(1, 1, 1), 1), _RATE, preset="", threads=1)
    made = {}
    for number in range(_PICTURES):
        frame = VideoFrame(_WIDTH, _HEIGHT, "yuv420p")
        for plane in frame.planes:
            line = bytes((place + 3 * number) & 0xFF for place in range(plane.line_size))
            plane.update(line * (plane.buffer_size // plane.line_size))
        frame.pts, frame.time_base = int(number * _TIMESCALE / _RATE), Fraction(1, _TIMESCALE)
        frame.pict_type = PictureType.I if number in (0, _KEYFRAME_AT) else PictureType.NONE
        for coded in encoder.encode(frame):
            made[round(coded.pts * _RATE / _TIMESCALE)] = coded
    if not {0, _KEYFRAME_AT} <= made.keys():
        return f"it keeps more than {_PICTURES - _KEYFRAME_AT - 1} pictures back"
    if not made[0].keyframe or not made[_KEYFRAME_AT].keyframe:
        return "it makes no keyframe where it is told to"
    try:
        facts = describe_video(kind, encoder.config, made[0].payload if kind is Codec.VP8 else b"")
    except MediaError as error:
        return f"it makes a stream that cannot be read: {error}"
    if (facts.width, facts.height) != (_WIDTH, _HEIGHT):
        return f"it makes {facts.width}x{facts.height} of {_WIDTH}x{_HEIGHT}"
    return ""


def _try_sound(name: str) -> str:
    from av.audio.frame import AudioFrame  # noqa: PLC0415

    from ghostlive.core.track import Codec  # noqa: PLC0415
    from ghostlive.transcode.codecstrings import audio_codec_string  # noqa: PLC0415
    from ghostlive.transcode.plan import AudioPlan  # noqa: PLC0415
    from ghostlive.transcode.worker.encoders import AudioEncoder  # noqa: PLC0415

    kind = Codec(name.removeprefix("lib"))
    plan = AudioPlan("probe", "", "a0", kind, audio_codec_string(kind), 2, 96_000)
    encoder = AudioEncoder(name, plan)
    for number in range(8):
        frame = AudioFrame(encoder.format, encoder.layout, encoder.frame_size)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.time_base = plan.sample_rate, Fraction(1, plan.sample_rate)
        frame.pts = number * encoder.frame_size
        if encoder.encode(frame):
            return ""
    return "it makes no packet"


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - this is how it is heard


if __name__ == "__main__":
    main(sys.argv[1:])
