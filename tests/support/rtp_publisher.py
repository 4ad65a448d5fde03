"""A publishing browser without ICE and DTLS: RTP on fake time over a bad network into a `Publisher`, and its reader.

Every frame names itself in its payload, so that a test can tell whether frames came whole, in order, and with all that
they depend on.
"""

import random
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tests.support.clock import FakeClock

from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.formats.rtcp import (
    Goodbye,
    Nack,
    Packet,
    PictureLossIndication,
    SenderReport,
    ntp_from_unix_ns,
    parse_compound,
    write_compound,
)
from ghostlive.formats.rtp.extensions import (
    ABS_SEND_TIME,
    MID,
    REPAIRED_RTP_STREAM_ID,
    RTP_STREAM_ID,
    TRANSPORT_SEQUENCE_NUMBER,
)
from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.formats.rtp.payload import make_packetizer, rtx
from ghostlive.hub.config import HubConfig
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import Source
from ghostlive.hub.subscription import Announced, Item, Subscription
from ghostlive.protocols.webrtc.ingest.config import IngestConfig
from ghostlive.protocols.webrtc.ingest.publisher import Publisher
from ghostlive.protocols.webrtc.negotiation import MediaStream, Negotiation, PayloadFormat, Transport
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.srtp import SrtpKeys

PPS = bytes.fromhex("68ce3c80")
EXTENSIONS = {MID: 1, RTP_STREAM_ID: 2, REPAIRED_RTP_STREAM_ID: 3, ABS_SEND_TIME: 4, TRANSPORT_SEQUENCE_NUMBER: 5}
VIDEO_FEEDBACK = frozenset({"nack", "nack pli", "ccm fir", "goog-remb", "transport-cc"})
START_NTP_NS = 1_700_000_000_000_000_000
"""The sender's wall clock when its media begins; it has nothing to do with ours."""

T = TypeVar("T")


def make_sps(width: int, height: int, *, reorders: bool = False) -> bytes:
    """An H.264 SPS: Baseline, or Main without a word on reordering (H.264 §7.3.2.1.1)."""
    bits = ""

    def ue(value: int) -> str:
        code = f"{value + 1:b}"
        return "0" * (len(code) - 1) + code

    bits += ue(0) + ue(0)  # id, log2_max_frame_num
    bits += ue(0) + ue(0) if reorders else ue(2)  # pic_order_cnt_type
    bits += ue(1) + "0" + ue(-(-width // 16) - 1) + ue(-(-height // 16) - 1) + "11"
    right, bottom = -width % 16 // 2, -height % 16 // 2
    bits += "1" + ue(0) + ue(right) + ue(0) + ue(bottom) if right or bottom else "0"
    bits += "0" + "1"
    bits += "0" * (-len(bits) % 8)
    head = bytes((0x67, 77 if reorders else 66, 0 if reorders else 0xC0, 31))
    return head + int(bits, 2).to_bytes(len(bits) // 8, "big")


def negotiation(
    *,
    video: Codec | None = Codec.VP8,
    audio: bool = True,
    rids: tuple[str, ...] = (),
    layers: tuple[int, ...] = (),
    feedback: frozenset[str] = VIDEO_FEEDBACK,
    audio_feedback: frozenset[str] = frozenset({"transport-cc"}),
    rtx: bool = True,
    parameters: Mapping[str, str] | None = None,
    other: Codec | None = None,
) -> Negotiation:
    """What would have been negotiated: video 96 (rtx 97) and `other` 98 under the mid 0, Opus 111 under 1."""
    streams = []
    if video is not None:
        formats: tuple[PayloadFormat, ...] = (
            PayloadFormat(video, 96, 90_000, 97 if rtx else None, parameters or {}, feedback),
        )
        if other is not None:
            formats += (PayloadFormat(other, 98, 90_000, None, {}, feedback),)
        repairs = {ssrc + 1: ssrc for ssrc in layers}
        streams.append(
            MediaStream(
                "0",
                TrackKind.VIDEO,
                formats,
                EXTENSIONS,
                77,
                rids=rids,
                layers=layers,
                remote_ssrcs=layers,
                remote_repairs=repairs,
            )
        )
    if audio:
        sound = (PayloadFormat(Codec.OPUS, 111, 48_000, None, {}, audio_feedback),)
        streams.append(MediaStream("1", TrackKind.AUDIO, sound, EXTENSIONS, 78))
    return Negotiation(
        Transport("u", "p", "u", "p", (), dtls_client=False), tuple(streams), "", "", sending=False, cname="house"
    )


@dataclass
class Link:
    """A `PeerLink` that hands RTCP to the sender."""

    clock: FakeClock
    on_rtcp: Callable[[bytes], None]
    closed: list[str] = field(default_factory=list)
    backlog: int = 0

    @property
    def path(self) -> Path:
        return Path("udp", ("192.0.2.1", 5000))

    @property
    def address(self) -> tuple[int, str, int] | None:
        return None

    @property
    def local(self) -> SrtpKeys:
        raise NotImplementedError

    def now(self) -> float:
        return self.clock.now()

    def send_rtcp(self, data: bytes) -> None:
        self.on_rtcp(data)

    def send_rtp(self, data: bytes) -> None:
        raise NotImplementedError

    def send_protected(self, packets: object) -> None:
        raise NotImplementedError

    def close(self, reason: str) -> None:
        self.closed.append(reason)


@dataclass
class Network:
    """What happens to packets under way. `jitter` is the longest extra delay, evenly distributed."""

    seed: int = 1
    loss: float = 0.0
    duplicates: float = 0.0
    delay: float = 0.02
    jitter: float = 0.0
    spikes: float = 0.0
    """Share of packets that take 50 ms longer, so that others overtake them."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def delays(self) -> list[float]:
        """When each copy of a packet arrives, in seconds from now; empty if it is lost."""
        if self.random.random() < self.loss:
            return []
        copies = 2 if self.random.random() < self.duplicates else 1
        return [
            self.delay + self.random.random() * self.jitter + (0.05 if self.random.random() < self.spikes else 0)
            for _ in range(copies)
        ]


class SentStream:
    """One RTP stream of the sender: a picture, a layer of it, or the sound."""

    def __init__(
        self,
        sender: "Sender",
        ssrc: int,
        payload_type: int,
        rate: int,
        *,
        rid: str = "",
        mid: str = "0",
        codec: Codec = Codec.VP8,
        size: tuple[int, int] = (640, 360),
        first_sequence: int = 1000,
        first_timestamp: int = 123_456_789,
    ) -> None:
        self.sender = sender
        self.ssrc = ssrc
        self.rtx_ssrc = ssrc + 1
        self.payload_type = payload_type
        self.rate = rate
        self.rid = rid
        self.mid = mid
        self.codec = codec
        self.size = size
        self.sequence = first_sequence
        self.rtx_sequence = 7
        self.first_timestamp = first_timestamp
        self.history: dict[int, RtpPacket] = {}
        self.frames: dict[bytes, int] = {}
        """Payloads sent, and their numbers."""
        self.count = 0
        self.want_keyframe = True
        self.keyframes = 0
        self.packets = 0
        self.clock_ppm = 0.0
        """By how much its capture is too fast, timestamps and packets."""
        self.timestamps_ppm = 0.0
        """By how much its timestamps are too fast for its packets."""
        self.rounding = 1
        self.reorders = False
        self.sets = "in band"
        """Where parameter sets are: `in band`, `before` (in a frame of their own), or `nowhere`."""
        self.active = True
        """Whether it sends; simulcast layers may be off."""
        self.reports = True
        self.named = True
        """Whether packets carry mid and rid."""
        self.padding = 0
        """Packets of padding behind each frame."""
        self.capture: list[float] = []
        """When each frame was captured, by the fake clock."""

    def timestamp(self, at: float) -> int:
        """What a frame captured at a time of the fake clock has."""
        wrong = (self.clock_ppm + self.timestamps_ppm) * 1e-6
        elapsed = round((at - self.sender.began) * (1 + wrong) * self.rate)
        return self.first_timestamp + elapsed // self.rounding * self.rounding

    def resize(self, width: int, height: int) -> None:
        """Another size from the next picture on, which is a keyframe."""
        self.size = (width, height)
        self.want_keyframe = True

    def send_video(self, at: float, bytes_each: int = 3000) -> None:
        """A frame that was captured at `at`."""
        if not self.active:
            return
        keyframe, self.want_keyframe = self.want_keyframe, False
        self.keyframes += keyframe
        body = b"%d:%d:" % (self.ssrc, self.count) + bytes(random.Random(self.count).randbytes(bytes_each))
        payload = self.picture(keyframe, body)
        self._remember(payload, at)
        packetizer = make_packetizer(self.track(), 1100)
        if keyframe and self.sets == "before":
            sps, pps = self.parameter_sets()
            self.send([sps, pps], self.timestamp(at) - 1)
        in_band = keyframe and self.sets == "in band"
        self.send(packetizer.packetize(payload, keyframe=in_band), self.timestamp(at))
        for _ in range(self.padding):
            self.send_packet(b"", self.timestamp(at), marker=False, padding=200)

    def picture(self, keyframe: bool, body: bytes) -> bytes:
        if self.codec is Codec.VP8:
            width, height = self.size
            head = b"\x50\x01\x00\x9d\x01\x2a" + struct.pack("<HH", width, height) if keyframe else b"\x51\x01\x00"
            return head + body
        # Two slices, so that packets of a frame do not all begin with a fragment.
        first, second = body[:500], body[500:]
        kind = b"\x65" if keyframe else b"\x41"
        nals = [kind + b"\x88" + first, kind + b"\x08" + second]
        return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)

    def parameter_sets(self) -> tuple[bytes, bytes]:
        """SPS and PPS."""
        return make_sps(*self.size, reorders=self.reorders), PPS

    def track(self) -> Track:
        config = b""
        if self.codec is Codec.H264:
            sps, pps = self.parameter_sets()
            config = b"\x01" + sps[1:4] + b"\xff\xe1" + len(sps).to_bytes(2, "big") + sps + b"\x01"
            config += len(pps).to_bytes(2, "big") + pps
        return Track("v0", self.codec, 90_000, config, "")

    def send_audio(self, at: float, size: int = 80) -> None:
        """A packet of 20 ms whose first sample was captured at `at`."""
        payload = b"\x78" + b"%d:" % self.count + bytes(max(size, 0)) if size > 2 else b"\x78"
        if size > 2:
            self._remember(payload, at)
        self.send([payload], self.timestamp(at))

    def _remember(self, payload: bytes, at: float) -> None:
        self.frames[payload] = self.count
        self.capture.append(at)
        self.count += 1

    def send(self, payloads: list[bytes], timestamp: int) -> None:
        for index, payload in enumerate(payloads):
            self.send_packet(payload, timestamp, marker=index == len(payloads) - 1)

    def send_packet(self, payload: bytes, timestamp: int, *, marker: bool, padding: int = 0) -> None:
        extensions: list[tuple[int, bytes]] = []
        if self.named:
            extensions.append((EXTENSIONS[MID], self.mid.encode()))
            if self.rid:
                extensions.append((EXTENSIONS[RTP_STREAM_ID], self.rid.encode()))
        packet = RtpPacket(
            self.payload_type,
            self.sequence & 0xFFFF,
            timestamp & 0xFFFFFFFF,
            self.ssrc,
            payload,
            marker,
            extensions=tuple(extensions),
            padding=padding,
        )
        self.history[self.sequence & 0xFFFF] = packet
        if len(self.history) > 2000:
            del self.history[next(iter(self.history))]
        self.sequence += 1
        self.packets += 1
        self.sender.transmit(packet)

    def resend(self, number: int) -> None:
        original = self.history.get(number)
        if original is None:
            return
        extensions: list[tuple[int, bytes]] = [(EXTENSIONS[MID], self.mid.encode())]
        if self.rid:
            extensions.append((EXTENSIONS[REPAIRED_RTP_STREAM_ID], self.rid.encode()))
        if not self.sender.rtx:
            self.sender.transmit(original)
            return
        self.rtx_sequence += 1
        self.sender.transmit(
            RtpPacket(
                97,
                self.rtx_sequence & 0xFFFF,
                original.timestamp,
                self.rtx_ssrc,
                rtx.wrap(number, original.payload),
                original.marker,
                extensions=tuple(extensions),
            )
        )

    def probe(self) -> None:
        """Padding in the stream of retransmissions."""
        self.rtx_sequence += 1
        self.sender.transmit(RtpPacket(97, self.rtx_sequence & 0xFFFF, 0, self.rtx_ssrc, b"", padding=200))

    def report(self) -> None:
        at = self.sender.clock.now()
        if self.reports and self.active:
            wall = START_NTP_NS + int((at - self.sender.began) * 1e9)
            report = SenderReport(self.ssrc, ntp_from_unix_ns(wall), self.timestamp(at) & 0xFFFFFFFF, self.packets, 0)
            self.sender.transmit_rtcp([report])


class Sender:
    """A sender, the network, the publisher and a reader of its stream."""

    def __init__(
        self,
        agreed: Negotiation | None = None,
        network: Network | None = None,
        config: IngestConfig | None = None,
        *,
        clock: FakeClock | None = None,
        hub: Hub | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.hub = hub or Hub(HubConfig(), self.clock)
        self.network = network or Network()
        self.began = self.clock.now()
        self.streams: dict[int, SentStream] = {}
        self.received: Counter[str] = Counter()
        """What came back, by kind."""
        self.feedback: list[Packet] = []
        """What came back, in order."""
        self.sent_feedback: list[Packet] = []
        """The same without the network's losses."""
        self.transport_number = 65_000
        self.sent_at: dict[int, float] = {}
        self.answers = True
        """Whether feedback is acted on."""
        self.taken: list[str] = []
        negotiated = agreed or negotiation()
        self.rtx = any(one.rtx is not None for stream in negotiated.streams for one in stream.formats)
        self.publication = self.hub.publish("show", Source("whip", "192.0.2.1"), self.taken.append)
        self.publisher = Publisher(negotiated, self.publication, self.clock, config)
        self.link = Link(self.clock, self._rtcp)
        self.publisher.secured(self.link)
        self.reader: Subscription = self.hub.subscribe("show")
        self.items: list[Item] = []

    def add(self, stream: SentStream) -> SentStream:
        self.streams[stream.ssrc] = stream
        return stream

    def video(self, ssrc: int = 10, rid: str = "", **options: object) -> SentStream:
        return self.add(SentStream(self, ssrc, 96, 90_000, rid=rid, **options))  # type: ignore[arg-type]

    def audio(self, ssrc: int = 100, **options: object) -> SentStream:
        return self.add(
            SentStream(self, ssrc, 111, 48_000, mid="1", codec=Codec.OPUS, **{"first_timestamp": 5, **options})  # type: ignore[arg-type]
        )

    def transmit(self, packet: RtpPacket) -> None:
        number = self.transport_number & 0xFFFF
        self.transport_number += 1
        self.sent_at[number] = self.clock.now()
        packet = RtpPacket(
            packet.payload_type,
            packet.sequence_number,
            packet.timestamp,
            packet.ssrc,
            packet.payload,
            packet.marker,
            extensions=(*packet.extensions, (EXTENSIONS[TRANSPORT_SEQUENCE_NUMBER], number.to_bytes(2, "big"))),
            padding=packet.padding,
        )
        data = packet.to_bytes()
        for delay in self.network.delays():
            self.clock.call_later(delay, lambda: self.publisher.rtp(data, self.clock.now()))

    def transmit_rtcp(self, packets: list[Packet]) -> None:
        data = write_compound(packets)
        for delay in self.network.delays():
            self.clock.call_later(delay, lambda: self.publisher.rtcp(data, self.clock.now()))

    def _rtcp(self, data: bytes) -> None:
        self.sent_feedback += parse_compound(data)
        for delay in self.network.delays()[:1]:
            self.clock.call_later(delay, lambda: self._feedback(data))

    def _feedback(self, data: bytes) -> None:
        for packet in parse_compound(data):
            self.feedback.append(packet)
            self.received[type(packet).__name__] += 1
            if not self.answers:
                continue
            if isinstance(packet, Nack):
                for number in packet.sequence_numbers:
                    self.streams[packet.media_ssrc].resend(number)
            elif isinstance(packet, PictureLossIndication):
                self.streams[packet.media_ssrc].want_keyframe = True

    def run(
        self,
        seconds: float,
        *,
        rate: float = 30,
        audio_size: Callable[[int], int] = lambda index: 80,
        video_delay: float = 0.0,
        bytes_each: int = 3000,
        video: bool = True,
        audio: bool = True,
    ) -> None:
        """Send for that long. A picture leaves `video_delay` after its capture; sound 20 ms after its beginning."""
        start = self.clock.now()
        pictures = [one for one in self.streams.values() if one.codec is not Codec.OPUS] if video else []
        sounds = [one for one in self.streams.values() if one.codec is Codec.OPUS] if audio else []
        for index in range(int(seconds * rate)):
            at = start + index / rate
            for stream in pictures:
                self.clock.call_later(at - start + video_delay, partial(stream.send_video, at, bytes_each))
        for index in range(int(seconds * 50)):
            size = audio_size(index)
            for stream in sounds:
                at = start + index / 50 / (1 + stream.clock_ppm * 1e-6)
                if size:
                    self.clock.call_later(at - start + 0.02, partial(stream.send_audio, at, size))
        for index in range(int(seconds) + 1):
            for stream in [*pictures, *sounds]:
                self.clock.call_later(index + 0.5, stream.report)
        steps = max(int(seconds / 0.1), 1)
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            self.items += self.reader.take()

    def settle(self, seconds: float = 0.5) -> None:
        """Let what is under way arrive."""
        self.clock.advance(seconds)
        self.items += self.reader.take()

    def goodbye(self) -> None:
        self.transmit_rtcp([Goodbye(tuple(self.streams))])

    def of(self, kind: type[T]) -> list[T]:
        return [item for item in self.items if isinstance(item, kind)]

    def frames(self, track: str) -> list[Frame]:
        return [frame for frame in self.of(Frame) if frame.track == track]

    def announced(self) -> list[list[str]]:
        return [[track.id for track in item.tracks] for item in self.of(Announced)]

    def tracks(self) -> tuple[Track, ...]:
        return self.of(Announced)[-1].tracks

    def told(self, kind: type[T]) -> list[T]:
        """Feedback of a kind, as the sender got it."""
        return [packet for packet in self.feedback if isinstance(packet, kind)]

    def check(self, stream: SentStream, track: str) -> list[int]:
        """Check that frames of a track are whole, in order, and decodable; returns their numbers."""
        numbers: list[int] = []
        last_dts: int | None = None
        for frame in self.frames(track):
            assert frame.pts >= frame.dts
            assert last_dts is None or frame.dts > last_dts, "frames go back"
            last_dts = frame.dts
            if frame.payload not in stream.frames:
                assert stream.codec is Codec.OPUS, "a frame that was never sent"
                assert len(frame.payload) <= 2
                continue
            number = stream.frames[frame.payload]
            if stream.codec is not Codec.OPUS and (not numbers or number != numbers[-1] + 1):
                assert frame.keyframe, f"frame {number} after {numbers[-1:]} cannot be decoded"
            assert not numbers or number > numbers[-1]
            numbers.append(number)
        return numbers
