"""The test picture of `ghostlive demo`: a process of its own that publishes over RTMP like any encoder.

Usage: `python -m ghostlive.cli.testcard`, with the RTMP address on the first line of standard input: it holds a key,
and arguments are there for everybody on the machine to read. Runs until told to stop, or until the server closes the
connection.
"""

import signal
import sys
import time
from types import FrameType

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream

_WIDTH, _HEIGHT, _RATE = 1280, 720, 30
_GROUP_SECONDS = 2
# Slow colours (drawn small, which costs little) with ffmpeg's moving test card and its clock in the middle, and a soft
# tone with a beep each second, so that picture and sound can be compared by eye and ear.
_SOURCE = (
    f"gradients=size=160x90:rate={_RATE}:speed=0.012:nb_colors=4:c0=0x1b1040:c1=0x4b2a8f:c2=0x2fa58a:c3=0x0d1f2d,"
    f"format=yuv420p,scale={_WIDTH}:{_HEIGHT}:flags=bilinear[back];"
    f"testsrc2=size={_WIDTH // 2}x{_HEIGHT // 2}:rate={_RATE},format=yuv420p[card];"
    "[back][card]overlay=(W-w)/2:(H-h)/2[out0];"
    "sine=frequency=220:beep_factor=4:sample_rate=48000,volume=0.25,aformat=sample_fmts=fltp:channel_layouts=stereo[out1]"
)


def publish(url: str) -> None:
    """Send the test picture to an RTMP `url` in real time until stopped. Raises `av.FFmpegError` when it cannot."""
    source = av.open(_SOURCE, format="lavfi")
    target = av.open(url, "w", format="flv")
    assert isinstance(source, InputContainer)
    assert isinstance(target, OutputContainer)
    with source, target:
        video, audio = _streams(target)
        start = time.monotonic()
        for frame in source.decode(video=0, audio=0):
            assert isinstance(frame, av.VideoFrame | av.AudioFrame)
            if (ahead := start + (frame.time or 0.0) - time.monotonic()) > 0:
                time.sleep(ahead)
            if isinstance(frame, av.VideoFrame):
                # Each drawn picture calls itself a keyframe, which the encoder would take for an order.
                frame.pict_type = PictureType.NONE
                target.mux(video.encode(frame))
            else:
                target.mux(audio.encode(frame))


def _streams(target: OutputContainer) -> tuple[VideoStream, AudioStream]:
    video = target.add_stream("libx264", rate=_RATE)
    audio = target.add_stream("aac", rate=48_000)
    assert isinstance(video, VideoStream)
    assert isinstance(audio, AudioStream)
    video.width, video.height, video.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
    video.bit_rate = 2_500_000
    video.options = {
        "preset": "superfast",
        "tune": "zerolatency",
        "g": str(_RATE * _GROUP_SECONDS),
        "keyint_min": str(_RATE * _GROUP_SECONDS),
        "sc_threshold": "0",
        "maxrate": "2500k",
        "bufsize": "2500k",
        "threads": "1",
    }
    audio.bit_rate = 128_000
    audio.layout = "stereo"
    return video, audio


def _stop(number: int, stack: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Publish until SIGTERM; 1 when the server refused or went away."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        publish(sys.stdin.readline().strip())
    except KeyboardInterrupt:
        return 0
    except av.FFmpegError as error:
        print(f"the test picture ended: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
