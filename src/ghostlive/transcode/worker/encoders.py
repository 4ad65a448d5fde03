"""Encoders of FFmpeg, set up for live renditions: no reordering, no look-ahead, keyframes where they are wanted.

What comes out is what `core.frame.Frame` promises.
"""

import os
from collections.abc import Callable
from fractions import Fraction
from typing import Final, NamedTuple

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import Flags
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from ghostlive.codecs import h264
from ghostlive.codecs.aac import AudioSpecificConfig
from ghostlive.codecs.describe import inspect_frame, update_config
from ghostlive.codecs.nal import join_length_prefixed, split_annexb
from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec
from ghostlive.transcode.plan import AudioPlan, VideoPlan
from ghostlive.transcode.worker.levels import av1_level, h264_profile
from ghostlive.transcode.worker.pictures import Look

# Without this SVT-AV1 prints a page for each encoder.
os.environ.setdefault("SVT_LOG", "1")

X264_PRESET: Final = "superfast"
_ONE_THREAD: Final = 1920 * 1088 * 31
"""Luma samples per second that one thread encodes in time, with some to spare."""
_FAR: Final = 1_000_000
"""Frames between the keyframes that an encoder makes by itself: never."""
_UNREGISTERED: Final = 5
"""Type of the SEI message in which x264 writes a page about itself (H.264 §D.1.7)."""


class EncoderError(Exception):
    """This encoder cannot be used, or not any more; the text says why."""


class Coded(NamedTuple):
    """One packet of a rendition."""

    pts: int
    keyframe: bool
    payload: bytes


def _x264(plan: VideoPlan, preset: str, threads: int) -> dict[str, str]:
    profile = h264_profile(plan.codec_string)
    # One frame at a time: a constant rate is assumed, since x264 would else wait for a frame's successor to learn its
    # duration. Threads share a picture, for those that take one each would hold it back.
    return {
        "preset": preset or X264_PRESET,
        "profile": profile.profile,
        "level": profile.level,
        "forced-idr": "1",
        "x264-params": "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:scenecut=0:force-cfr=1:keyint=infinite"
        f":sliced-threads={int(threads > 1)}:8x8dct={int(profile.profile == 'high')}",
    }


def _nvenc(plan: VideoPlan, preset: str, threads: int) -> dict[str, str]:
    profile = h264_profile(plan.codec_string)
    return {
        "preset": "p3", "tune": "ll", "rc": "cbr", "delay": "0", "zerolatency": "1", "forced-idr": "1",
        "no-scenecut": "1", "rc-lookahead": "0", "profile": profile.profile, "level": profile.level,
    }  # fmt: skip


def _qsv(plan: VideoPlan, preset: str, threads: int) -> dict[str, str]:
    profile = h264_profile(plan.codec_string)
    return {
        "preset": "veryfast", "async_depth": "1", "look_ahead": "0", "low_delay_brc": "1", "forced_idr": "1",
        "idr_interval": "0", "profile": profile.profile, "level": str(profile.level_idc),
    }  # fmt: skip


def _amf(plan: VideoPlan, preset: str, threads: int) -> dict[str, str]:
    profile = h264_profile(plan.codec_string)
    return {
        "usage": "lowlatency", "quality": "speed", "rc": "cbr", "forced_idr": "1", "bf": "0", "enforce_hrd": "1",
        "profile": profile.profile, "level": profile.level,
    }  # fmt: skip


def _none(plan: VideoPlan, preset: str, threads: int) -> dict[str, str]:
    return {}


def _svtav1(plan: VideoPlan, preset: str, threads: int) -> dict[str, str]:
    parameters = (
        f"pred-struct=1:rc=2:rtc=1:scd=0:lookahead=0:keyint=-1:lp={threads}:level={av1_level(plan.codec_string)}"
    )
    return {"preset": "11", "svtav1-params": parameters}


def _vpx(plan: VideoPlan, preset: str, threads: int) -> dict[str, str]:
    return {
        "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0", "error-resilient": "0",
        "minrate": str(plan.bitrate), "static-thresh": "0",
    }  # fmt: skip


_OPTIONS: Final[dict[str, Callable[[VideoPlan, str, int], dict[str, str]]]] = {
    "libx264": _x264,
    "h264_nvenc": _nvenc,
    "h264_qsv": _qsv,
    "h264_amf": _amf,
    "libsvtav1": _svtav1,
    "libvpx": _vpx,
}
_CONSTANT_RATE: Final = frozenset({"libx264"})
"""Encoders that look at the frame rate which they were told, not at timestamps."""


class VideoEncoder:
    """One opened encoder."""

    def __init__(
        self, name: str, plan: VideoPlan, timescale: int, look: Look, rate: Fraction, *, preset: str, threads: int
    ) -> None:
        """`rate` is how many frames a second it should expect. Raises `EncoderError`."""
        self.name = name
        self.config = b""
        """As `Track.config`; known once the first packet has come, and always for codecs that need none."""
        self.rate = rate if name in _CONSTANT_RATE else None
        """The rate that it spreads its bits over, where it does not see by itself."""
        self._codec = plan.codec
        self._parameter_sets = b""
        threads = threads or min(4, 1 + int(plan.width * plan.height * rate / _ONE_THREAD), os.cpu_count() or 1)
        try:
            context = av.CodecContext.create(name, "w")
            assert isinstance(context, VideoCodecContext)
            context.width, context.height = plan.width, plan.height
            formats = [one.name for one in context.codec.video_formats or ()]
            context.pix_fmt = "nv12" if formats and "yuv420p" not in formats and "nv12" in formats else "yuv420p"
            context.time_base = Fraction(1, timescale)
            context.framerate = rate
            context.bit_rate = plan.bitrate
            context.gop_size = _FAR
            context.max_b_frames = 0
            context.thread_count = threads
            context.color_range = 1
            context.colorspace, context.color_primaries, context.color_trc = look.colours
            context.sample_aspect_ratio = Fraction(look.shape)
            context.options = {
                "maxrate": str(plan.bitrate),
                "bufsize": str(plan.bitrate),
                **_OPTIONS.get(name, _none)(plan, preset, threads),
            }
            context.open()
        except MemoryError:
            raise
        except (FFmpegError, ValueError, OSError) as error:
            raise EncoderError(_explain(error)) from error
        self._context = context

    def encode(self, frame: VideoFrame) -> list[Coded]:
        """Encode a frame, which is a keyframe when its picture type is I. Raises `EncoderError`."""
        try:
            return [self._shape(packet) for packet in self._context.encode(frame)]
        except MemoryError:
            raise
        except (FFmpegError, ValueError, OSError) as error:
            raise EncoderError(_explain(error)) from error
        except MediaError as error:
            raise EncoderError(f"it made a stream that cannot be read: {error}") from error

    def in_band(self) -> bytes:
        """The parameter sets as a keyframe carries them when the configuration no longer holds."""
        return self._parameter_sets

    def _shape(self, packet: "Packet[Stream]") -> Coded:
        if packet.pts is None:
            raise MediaError("a packet has no time")
        data = bytes(packet)
        if self._codec is Codec.H264:
            nals = [
                nal for nal in split_annexb(data) if nal[0] & 0x1F != h264.SEI or nal[1:2] != bytes([_UNREGISTERED])
            ]
            data = join_length_prefixed(nals)
        unit = inspect_frame(self._codec, data)
        if unit.parameter_sets:
            self.config = update_config(self._codec, self.config, unit.parameter_sets)
            self._parameter_sets = (
                join_length_prefixed(list(unit.parameter_sets))
                if self._codec is Codec.H264
                else b"".join(unit.parameter_sets)
            )
        return Coded(packet.pts, unit.keyframe, unit.payload)


class AudioEncoder:
    """One opened encoder of planar or interleaved floats."""

    def __init__(self, name: str, plan: AudioPlan) -> None:
        """Raises `EncoderError`."""
        self.name = name
        try:
            context = av.CodecContext.create(name, "w")
            assert isinstance(context, AudioCodecContext)
            self.format = "flt" if name == "libopus" else "fltp"
            self.layout = "mono" if plan.channels == 1 else "stereo"
            context.format = self.format
            context.layout = self.layout
            context.sample_rate = plan.sample_rate
            context.bit_rate = plan.bitrate
            context.time_base = Fraction(1, plan.sample_rate)
            context.thread_count = 1
            context.flags |= Flags.global_header
            if name == "libopus":
                # Error correction is put in for listeners over WebRTC; it is done only where some loss is expected.
                context.options = {"frame_duration": "20", "application": "audio", "fec": "1", "packet_loss": "5"}
            context.open()
        except MemoryError:
            raise
        except (FFmpegError, ValueError, OSError) as error:
            raise EncoderError(_explain(error)) from error
        self._context = context
        self.frame_size = context.frame_size or 1024
        """Samples of a packet."""
        config = context.extradata or b""
        self.config = AudioSpecificConfig.parse(config).to_bytes() if plan.codec is Codec.AAC else config

    def encode(self, frame: AudioFrame) -> list[Coded]:
        """Encode `frame_size` samples; times of packets are those of their first sample as a decoder plays it.

        Raises `EncoderError`.
        """
        try:
            return [
                Coded(packet.pts, keyframe=True, payload=bytes(packet))
                for packet in self._context.encode(frame)
                if packet.pts is not None
            ]
        except MemoryError:
            raise
        except (FFmpegError, ValueError, OSError) as error:
            raise EncoderError(_explain(error)) from error


def _explain(error: Exception) -> str:
    """An error of FFmpeg without the call that it came from."""
    if isinstance(error, FFmpegError):
        return error.strerror or str(error)
    return f"there is no such encoder ({error})" if "codec" in type(error).__name__.lower() else str(error)
