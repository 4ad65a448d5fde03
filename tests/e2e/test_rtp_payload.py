"""RTP payload formats against Chromium: it shows what is cut into packets here, and what it sends is put together."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path as FilePath
from typing import Any

import av
import pytest
from playwright.async_api import Page
from tests.support.browser import eventually
from tests.support.worker_client import Clip, make

from ghostlive.codecs import av1
from ghostlive.core.track import Codec, TrackKind
from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.formats.rtp.payload import CodedFrame, clock_rate, initial_track, make_depacketizer, make_packetizer
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.protocols.webrtc.link import PeerLink
from ghostlive.protocols.webrtc.negotiation import Negotiation, answer_offer
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.server import WebRtcServer

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-frames:v", "25", "-g", "25", "-pix_fmt", "yuv420p")
ENCODERS: dict[Codec, tuple[str, tuple[str, ...]]] = {
    Codec.H264: ("clip.mp4", (*_PICTURE, "-c:v", "libx264", "-bf", "0", "-profile:v", "baseline", "-slices", "3")),
    Codec.VP8: ("clip.webm", (*_PICTURE, "-c:v", "libvpx", "-b:v", "1M")),
    Codec.VP9: ("clip.webm", (*_PICTURE, "-c:v", "libvpx-vp9", "-cpu-used", "8", "-b:v", "1M")),
    Codec.AV1: ("clip.mp4", (*_PICTURE, "-c:v", "libsvtav1", "-preset", "12", "-b:v", "1M")),
    Codec.OPUS: ("clip.webm", ("-f", "lavfi", "-i", "sine=440:duration=1", "-c:a", "libopus", "-b:a", "96k")),
}
_DECODERS = {Codec.AV1: "libdav1d"}
VIDEO = [Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1]

PLAY = """(async () => {
  const pc = window.pc = new RTCPeerConnection();
  const video = window.video = document.createElement("video");
  video.srcObject = new MediaStream();
  pc.ontrack = event => { video.srcObject.addTrack(event.track); video.play(); };
  for (const kind of ["video", "audio"]) pc.addTransceiver(kind, {direction: "recvonly"});
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
})()"""
PUBLISH = """(async () => {
  const pc = window.pc = new RTCPeerConnection();
  const canvas = document.createElement("canvas");
  canvas.width = 640;
  canvas.height = 360;
  const context = canvas.getContext("2d");
  const draw = () => {
    for (let i = 0; i < 100; i++) {
      context.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`;
      context.fillRect(Math.random() * 640, Math.random() * 360, 40, 40);
    }
  };
  setInterval(draw, 40);
  const [video] = canvas.captureStream(25).getVideoTracks();
  const sound = new AudioContext();
  const tone = sound.createOscillator();
  const destination = sound.createMediaStreamDestination();
  tone.connect(destination);
  tone.start();
  const [audio] = destination.stream.getAudioTracks();
  pc.addTransceiver(audio, {direction: "sendonly"});
  const {sender} = pc.addTransceiver(video, {direction: "sendonly", sendEncodings: [ENCODING]});
  await sender.setParameters({...sender.getParameters(), degradationPreference: "maintain-resolution"});
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
})()"""
STATS = """(async () => {
  const found = {};
  for (const each of (await pc.getStats()).values()) if (each.type === "inbound-rtp") found[each.kind] = each;
  return found;
})()"""


class Handler:
    """Keeps what comes, and can say that the peer is there."""

    def __init__(self) -> None:
        self.link: PeerLink | None = None
        self.packets: list[RtpPacket] = []

    def secured(self, link: PeerLink) -> None:
        self.link = link

    def rtp(self, data: bytes, now: float) -> None:
        self.packets.append(RtpPacket.parse(data))

    def rtcp(self, data: bytes, now: float) -> None:
        pass

    def moved(self, path: Path) -> None:
        pass

    def closed(self, reason: str) -> None:
        self.link = None


@asynccontextmanager
async def connected(
    page: Page, offer: str, codecs: Sequence[Codec], *, sending: bool
) -> AsyncIterator[tuple[Negotiation, Handler, PeerLink]]:
    """A peer connection of the page with this process."""
    server = WebRtcServer(WebRtcConfig(port=0, host="127.0.0.1"))
    await server.start()
    try:
        local = server.local_parameters("localhost")
        negotiation = answer_offer(await page.evaluate(offer), local, sending=sending, codecs=codecs)
        handler = Handler()
        server.add(negotiation, handler)
        answer = json.dumps({"type": "answer", "sdp": eager(negotiation)})
        await page.evaluate(f"pc.setRemoteDescription({answer})")

        async def secured() -> Any:
            return handler.link

        yield negotiation, handler, await eventually("a connection", secured)
    finally:
        await page.evaluate("pc.close()")
        await server.stop()


def eager(negotiation: Negotiation) -> str:
    """An answer that makes Chromium begin with 4 Mbit/s: nothing here tells it later how much there may be."""
    stream = negotiation.stream(TrackKind.VIDEO)
    assert stream is not None
    head = f"a=fmtp:{stream.formats[0].payload_type} "
    more = "x-google-start-bitrate=4000"
    if head in negotiation.local:
        return negotiation.local.replace(head, f"{head}{more};", 1)
    return re.sub(f"(a=rtpmap:{stream.formats[0].payload_type} .*\r\n)", f"\\1{head}{more}\r\n", negotiation.local)


async def broadcast(link: PeerLink, negotiation: Negotiation, clip: Clip) -> None:
    """Send a clip over and over, in real time and never faster: what comes all at once is too much for sockets."""
    track = clip.track
    stream = negotiation.stream(track.kind)
    assert stream is not None
    payload_type = stream.formats[0].payload_type
    packetizer = make_packetizer(track, 1200)
    step = 3600 if track.kind is TrackKind.VIDEO else 960
    interval = step / clock_rate(track.codec)
    number = count = 0
    due = link.now()
    while True:
        for frame in clip.frames:
            payloads = packetizer.packetize(frame.payload, keyframe=frame.keyframe)
            for payload in payloads:
                marker = payload is payloads[-1] and track.kind is TrackKind.VIDEO
                packet = RtpPacket(payload_type, number & 0xFFFF, count * step, stream.ssrc, payload, marker)
                link.send_rtp(packet.to_bytes())
                number += 1
            count += 1
            due = max(due + interval, link.now())
            await asyncio.sleep(due - link.now())


@pytest.mark.parametrize("codec", VIDEO)
async def test_chromium_shows_what_is_sent(plain_page: Page, codec: Codec, tmp_path: FilePath) -> None:
    clips = [make(tmp_path / f"{kind}-{ENCODERS[kind][0]}", *ENCODERS[kind][1])[0] for kind in (codec, Codec.OPUS)]
    async with connected(plain_page, PLAY, [codec, Codec.OPUS], sending=True) as (negotiation, _, link):
        tasks = [asyncio.create_task(broadcast(link, negotiation, clip)) for clip in clips]

        async def shown() -> Any:
            found = await plain_page.evaluate(STATS)
            enough = found.get("video", {}).get("framesDecoded", 0) >= 60
            heard = found.get("audio", {}).get("totalAudioEnergy", 0) > 0.01
            return found if enough and heard else None

        found = await eventually("60 frames, and sound", shown)
        await eventually("a second of it shown", lambda: plain_page.evaluate("video.currentTime > 1"))
        size = await plain_page.evaluate("[video.videoWidth, video.videoHeight]")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert size == [640, 360]
    assert found["video"]["pliCount"] == found["video"]["nackCount"] == 0
    assert found["video"]["packetsLost"] == found["audio"]["packetsLost"] == 0
    assert found["video"]["keyFramesDecoded"] >= 2


@pytest.mark.parametrize(
    ("codec", "mode", "size"),
    [
        (Codec.H264, "L1T1", (640, 360)),
        (Codec.H264, "L1T2", (640, 360)),
        (Codec.VP8, "L1T3", (640, 360)),
        (Codec.VP9, "L1T3", (640, 360)),
        (Codec.VP9, "L2T2", (320, 180)),  # the lowest layer
        (Codec.VP9, "L2T3_KEY", (320, 180)),
        (Codec.AV1, "L1T3", (640, 360)),
        (Codec.AV1, "L2T2", (640, 360)),  # all layers
    ],
)
async def test_what_chromium_sends_is_understood(
    plain_page: Page, codec: Codec, mode: str, size: tuple[int, int]
) -> None:
    offer = PUBLISH.replace("ENCODING", json.dumps({"scalabilityMode": mode}))

    async with connected(plain_page, offer, [codec, Codec.OPUS], sending=False) as (negotiation, handler, _):
        streams = {kind: negotiation.stream(kind) for kind in TrackKind}

        def packets(kind: TrackKind) -> list[RtpPacket]:
            stream = streams[kind]
            assert stream is not None
            return [one for one in handler.packets if one.payload_type == stream.formats[0].payload_type]

        async def enough() -> bool:
            seen = {kind: len({packet.timestamp for packet in packets(kind)}) for kind in TrackKind}
            return seen[TrackKind.VIDEO] > 40 and seen[TrackKind.AUDIO] > 52

        await eventually("40 pictures, and sound", enough)
        received = {kind: packets(kind) for kind in TrackKind}
    sound = assembled(Codec.OPUS, received[TrackKind.AUDIO])
    assert len(sound) > 50
    pictures = assembled(codec, received[TrackKind.VIDEO])
    assert len(pictures) > 20
    assert pictures[0].keyframe
    track = initial_track(codec, pictures[0], "v0")
    assert track is not None
    assert (track.width, track.height) == size
    decoder: Any = av.CodecContext.create(_DECODERS.get(codec, str(codec)), "r")
    decoder.extradata = track.config or None
    whole = [True] * len(pictures)
    if (codec, mode) == (Codec.AV1, "L2T2"):
        # Of some pictures Chromium leaves out the highest layer. Decoders show such a one only at the very end.
        whole = [has_spatial_layer(one.payload, 1) for one in pictures]
        while not whole[-1]:
            whole.pop()
    decoded = [frame for one in pictures[: len(whole)] for frame in decoder.decode(av.Packet(one.payload))]
    decoded += decoder.decode(None)
    assert len(decoded) == sum(whole)
    assert {(frame.width, frame.height) for frame in decoded} == {size}


def has_spatial_layer(payload: bytes, layer: int) -> bool:
    """Whether a temporal unit of AV1 has that layer: what the extension of an OBU's header says (AV1 §5.3.3)."""
    return any(payload[one.start] & 4 and payload[one.start + 1] >> 3 & 3 == layer for one in av1.split_obus(payload))


def assembled(codec: Codec, packets: Sequence[RtpPacket]) -> list[CodedFrame]:
    """All frames but the last, which may not be whole yet."""
    depacketizer = make_depacketizer(codec)
    groups: list[list[bytes]] = []
    for before, packet in itertools.pairwise([None, *packets]):
        assert packet is not None
        if before is None or before.timestamp != packet.timestamp:
            groups.append([])
        assert before is None or packet.sequence_number == before.sequence_number + 1 & 0xFFFF
        groups[-1].append(packet.payload)
    frames = [depacketizer.assemble(group) for group in groups[:-1]]
    # Of some pictures Chromium leaves out the lowest layer.
    return [frame for frame in frames if frame is not None]
