"""RTP payload formats against ffmpeg's RTP and GStreamer's payloaders, both ways, frame for frame."""

import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
from tests.support.program import free_media_port
from tests.support.worker_client import Clip, make

from ghostlive.codecs.describe import inspect_frame
from ghostlive.codecs.nal import annexb_to_length_prefixed
from ghostlive.core.track import Codec
from ghostlive.formats.rtp.packet import RtpPacket, is_rtcp
from ghostlive.formats.rtp.payload import (
    CodedFrame,
    clock_rate,
    initial_track,
    make_depacketizer,
    make_packetizer,
)

pytestmark = pytest.mark.interop

PAYLOAD_TYPE = 96
SSRC = 0x1234ABCD
FITS_BUFFER = 150
"""Packets that a socket holds before anybody reads it, with the limit that Linux has for users."""

_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=480x270:rate=25", "-frames:v", "24", "-g", "12", "-pix_fmt", "yuv420p")
_RATE = ("-b:v", "500k", "-minrate", "500k", "-maxrate", "500k", "-bufsize", "200k")
ENCODERS: dict[Codec, tuple[str, tuple[str, ...]]] = {
    # Slices, so that small NAL units are there, and big ones in keyframes.
    Codec.H264: ("clip.mp4", (*_PICTURE, "-c:v", "libx264", "-bf", "0", "-slices", "3", "-sc_threshold", "0", *_RATE)),
    Codec.H265: ("clip.mp4", (*_PICTURE, "-c:v", "libx265", "-x265-params", "bframes=0:log-level=none", *_RATE)),
    Codec.VP8: ("clip.webm", (*_PICTURE, "-c:v", "libvpx", "-deadline", "realtime", *_RATE)),
    Codec.VP9: ("clip.webm", (*_PICTURE, "-c:v", "libvpx-vp9", "-cpu-used", "5", "-g", "100", "-b:v", "400k")),
    Codec.AV1: ("clip.mp4", (*_PICTURE, "-c:v", "libsvtav1", "-preset", "12", "-b:v", "400k")),
    Codec.OPUS: ("clip.webm", ("-f", "lavfi", "-i", "sine=440:duration=2", "-c:a", "libopus", "-b:a", "96k")),
}
CODECS = sorted(ENCODERS)
GSTREAMER = [codec for codec in CODECS if codec is not Codec.AV1]
"""Debian's GStreamer has no payloader of AV1."""


@dataclass
class Material:
    """A clip as a file and as the hub would have it."""

    path: Path
    clip: Clip

    @property
    def payloads(self) -> list[bytes]:
        return [frame.payload for frame in self.clip.frames]

    def packets(self, max_size: int, more: int = 0) -> list[bytes]:
        """All of it as RTP packets, and then the first `more` frames again."""
        packetizer = make_packetizer(self.clip.track, max_size)
        step = 3600 if self.clip.track.codec.kind == "video" else 960
        found: list[bytes] = []
        for index, frame in enumerate([*self.clip.frames, *self.clip.frames[:more]]):
            payloads = packetizer.packetize(frame.payload, keyframe=frame.keyframe)
            for payload in payloads:
                packet = RtpPacket(
                    PAYLOAD_TYPE, len(found), 1000 + index * step, SSRC, payload, payload is payloads[-1]
                )
                found.append(packet.to_bytes())
        assert len(found) < FITS_BUFFER
        return found


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Codec], Material]:
    """Clips, each made once."""
    made: dict[Codec, Material] = {}

    def of(codec: Codec) -> Material:
        if codec not in made:
            name, arguments = ENCODERS[codec]
            path = tmp_path_factory.mktemp(codec) / name
            if codec is Codec.VP9:
                # Two passes make hidden frames, hence superframes.
                log = ("-passlogfile", str(path.with_suffix(".log")))
                first = ["ffmpeg", "-nostdin", "-loglevel", "error", *arguments, *log, "-pass", "1", "-f", "null", "-"]
                subprocess.run(first, check=True, timeout=60)
                arguments = (*arguments, *log, "-pass", "2")
            (clip,) = make(path, *arguments)
            assert clip.track.codec is codec
            assert codec is not Codec.VP9 or any(frame.payload[-1] & 0xE0 == 0xC0 for frame in clip.frames)
            made[codec] = Material(path, clip)
        return made[codec]

    return of


def assembled(codec: Codec, datagrams: Sequence[bytes]) -> list[CodedFrame]:
    """The frames in RTP packets; a frame ends with the marker, or where the timestamp changes."""
    depacketizer = make_depacketizer(codec)
    frames: list[CodedFrame] = []
    pending: list[RtpPacket] = []
    packets = [RtpPacket.parse(datagram) for datagram in datagrams if not is_rtcp(datagram)]
    for packet, following in zip(packets, [*packets[1:], None], strict=True):
        if not pending:
            assert depacketizer.begins_frame(packet.payload) is not False
        pending.append(packet)
        if following is None or following.timestamp != packet.timestamp:
            # Of sound the marker says that silence is over.
            assert packet.marker or codec is Codec.OPUS
            frame = depacketizer.assemble([one.payload for one in pending])
            assert frame is not None
            frames.append(frame)
            pending = []
        else:
            assert packet.sequence_number + 1 & 0xFFFF == following.sequence_number
    return frames


def as_frame(codec: Codec, data: bytes) -> bytes:
    """What a foreign depacketizer put together, as frames are here."""
    if codec in (Codec.H264, Codec.H265):
        data = annexb_to_length_prefixed(data)
    return inspect_frame(codec, data).payload


def check_track(material: Material, frames: Sequence[CodedFrame]) -> None:
    """The first frame tells what the file told."""
    known = material.clip.track
    track = initial_track(known.codec, frames[0], known.id)
    assert track is not None
    assert (track.codec_string, track.width, track.height) == (known.codec_string, known.width, known.height)
    assert track.timescale == clock_rate(known.codec)


def free_pair() -> int:
    """A port whose successor is free too (RTCP), and stays so."""
    port = free_media_port()
    while (following := free_media_port()) != port + 1:
        port = following
    return port


@pytest.mark.parametrize("codec", CODECS)
def test_what_ffmpeg_sends_is_understood(material: Callable[[Codec], Material], codec: Codec) -> None:
    given = material(codec)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind(("127.0.0.1", 0))
        url = f"rtp://127.0.0.1:{receiver.getsockname()[1]}?pkt_size=1200"
        with (
            av.open(str(given.path)) as source,
            av.open(url, "w", format="rtp", options={"strict": "-2"}) as sink,
        ):
            stream: Any = sink.add_stream_from_template(source.streams[0], opaque=True)
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    sink.mux(packet)
        receiver.setblocking(False)
        datagrams: list[bytes] = []
        while True:
            try:
                datagrams.append(receiver.recv(2048))
            except BlockingIOError:
                break
    frames = assembled(codec, datagrams)
    assert [frame.payload for frame in frames] == given.payloads
    assert [frame.keyframe for frame in frames] == [frame.keyframe for frame in given.clip.frames]


_SDP_FORMATS = {
    Codec.H264: "H264/90000\r\na=fmtp:96 packetization-mode=1",
    Codec.H265: "H265/90000",
    Codec.VP8: "VP8/90000",
    Codec.VP9: "VP9/90000",
    Codec.AV1: "AV1/90000",
    Codec.OPUS: "opus/48000/2",
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("max_size", [700, 1200])
def test_what_is_sent_ffmpeg_understands(
    material: Callable[[Codec], Material], codec: Codec, max_size: int, tmp_path: Path
) -> None:
    given = material(codec)
    port = free_pair()
    sdp = tmp_path / "stream.sdp"
    sdp.write_text(
        f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m={codec.kind} {port} RTP/AVP 96\r\na=rtpmap:96 {_SDP_FORMATS[codec]}\r\n"
    )
    found: list[bytes] = []
    complete = threading.Event()

    def receive() -> None:
        options = {
            "protocol_whitelist": "file,rtp,udp",
            "buffer_size": "4000000",
            "analyzeduration": "1",
            "fpsprobesize": "0",
        }
        with av.open(str(sdp), options=options, timeout=60) as source:
            for packet in source.demux():
                if packet.size:
                    found.append(bytes(packet))
                if len(found) >= len(given.payloads):
                    complete.set()

    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        wait_for_listener(port)
        # Parsers hold back a picture until another begins.
        for packet in given.packets(max_size, 1):
            sender.sendto(packet, ("127.0.0.1", port))
        # A goodbye would overtake what ffmpeg has not read yet. Without a reason it is too short for ffmpeg.
        assert complete.wait(60), f"{len(found)} of {len(given.payloads)} frames"
        sender.sendto(struct.pack(">BBHIB7s", 0x81, 203, 3, SSRC, 7, b"the end"), ("127.0.0.1", port + 1))
        receiver.join(60)
    assert not receiver.is_alive()
    assert [as_frame(codec, data) for data in found[: len(given.payloads)]] == given.payloads


def wait_for_listener(port: int) -> None:
    """Wait until somebody has bound a UDP port."""
    deadline = time.monotonic() + 60
    needle = f":{port:04X} "
    while needle not in Path("/proc/net/udp").read_text():
        assert time.monotonic() < deadline, f"nobody listens on port {port}"
        time.sleep(0.01)


_PAYLOADERS = {
    Codec.H264: "qtdemux ! h264parse ! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
    Codec.H265: "qtdemux ! h265parse ! rtph265pay config-interval=-1 aggregate-mode=zero-latency",
    Codec.VP8: "matroskademux ! rtpvp8pay picture-id-mode=15-bit",
    Codec.VP9: "matroskademux ! rtpvp9pay picture-id-mode=15-bit",
    Codec.OPUS: "matroskademux ! rtpopuspay",
}
_DEPAYLOADERS = {
    Codec.H264: ("H264", "rtph264depay ! video/x-h264,stream-format=byte-stream,alignment=au"),
    Codec.H265: ("H265", "rtph265depay ! video/x-h265,stream-format=byte-stream,alignment=au"),
    Codec.VP8: ("VP8", "rtpvp8depay"),
    Codec.VP9: ("VP9", "rtpvp9depay"),
    Codec.OPUS: ("OPUS", "rtpopusdepay"),
}


def gstreamer(pipeline: str) -> None:
    """Run a pipeline to its end."""
    done = subprocess.run(
        ["gst-launch-1.0", "-q", *pipeline.split()], check=False, capture_output=True, timeout=60, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("codec", GSTREAMER)
def test_what_gstreamer_sends_is_understood(
    material: Callable[[Codec], Material], codec: Codec, tmp_path: Path
) -> None:
    given = material(codec)
    framed = tmp_path / "packets"
    # Packets behind their lengths (RFC 4571) need no network.
    gstreamer(
        f"filesrc location={given.path} ! {_PAYLOADERS[codec]} mtu=1200 ! rtpstreampay ! filesink location={framed}"
    )
    data = framed.read_bytes()
    datagrams: list[bytes] = []
    position = 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 2], "big")
        datagrams.append(data[position + 2 : position + 2 + size])
        position += 2 + size
    frames = assembled(codec, datagrams)
    assert [frame.payload for frame in frames] == given.payloads
    assert [frame.keyframe for frame in frames] == [frame.keyframe for frame in given.clip.frames]
    check_track(given, frames)


@pytest.mark.parametrize("codec", GSTREAMER)
@pytest.mark.parametrize("max_size", [700, 1200])
def test_what_is_sent_gstreamer_understands(
    material: Callable[[Codec], Material], codec: Codec, max_size: int, tmp_path: Path
) -> None:
    given = material(codec)
    framed = tmp_path / "packets"
    framed.write_bytes(b"".join(len(packet).to_bytes(2, "big") + packet for packet in given.packets(max_size)))
    name, depayloader = _DEPAYLOADERS[codec]
    caps = (
        f"application/x-rtp-stream,media=(string){codec.kind},clock-rate=(int){clock_rate(codec)},"
        f"encoding-name=(string){name},payload=(int)96"
    )
    gstreamer(
        f"filesrc location={framed} ! {caps} ! rtpstreamdepay ! {depayloader} ! "
        f"multifilesink location={tmp_path}/frame%05d"
    )
    found = [as_frame(codec, path.read_bytes()) for path in sorted(tmp_path.glob("frame*"))]
    assert found == given.payloads
