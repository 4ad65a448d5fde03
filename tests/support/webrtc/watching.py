"""A live stream, the egress and its viewers, in one thread and on a clock that stands still.

The sender is a fake that does what the real one does to packets, without encryption: each viewer gets its own. Links to
viewers may lose, delay and limit.
"""

import itertools
import random
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.clock import FakeClock
from tests.support.packaged import AVC, settle

from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.formats.rtcp.compound import parse_compound, write_compound
from ghostlive.formats.rtcp.packets import (
    Nack,
    Packet,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    ReportBlock,
)
from ghostlive.formats.rtp.extensions import ABS_SEND_TIME, MID, TRANSPORT_SEQUENCE_NUMBER
from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.formats.rtp.payload.model import PayloadError
from ghostlive.formats.rtp.payload.registry import make_depacketizer
from ghostlive.formats.rtp.payload.rtx import unwrap
from ghostlive.hub.config import HubConfig
from ghostlive.hub.derived import Derivation, Offer, OfferRefusedError
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream, Publication, Source
from ghostlive.protocols.webrtc.egress.config import EgressConfig
from ghostlive.protocols.webrtc.egress.model import RenditionChanged, ViewerEvent
from ghostlive.protocols.webrtc.egress.service import Egress
from ghostlive.protocols.webrtc.egress.viewer import Viewer
from ghostlive.protocols.webrtc.fanout.types import Binding
from ghostlive.protocols.webrtc.fanout.types import Packet as SentPacket
from ghostlive.protocols.webrtc.negotiation.model import MediaStream, Negotiation, Transport
from ghostlive.protocols.webrtc.negotiation.payloads import PayloadFormat
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.srtp import Profile, SrtpKeys

KEYS = SrtpKeys(Profile.AEAD_AES_128_GCM, bytes(16), bytes(12))
VIDEO_SSRC, RTX_SSRC, AUDIO_SSRC = 0x1111, 0x2222, 0x3333
OPUS_HEAD = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"


def opus(name: str = "a0", *, config: bytes = OPUS_HEAD) -> Track:
    return Track(name, Codec.OPUS, 48000, config, "opus", sample_rate=48000, channels=2)


def h264(track: str, time: int, *, keyframe: bool, size: int, number: int) -> Frame:
    """A frame that says in its picture which one it is."""
    nal = (b"\x65\x88" if keyframe else b"\x41\x9a") + struct.pack(">Iq", number, time)
    nal += bytes(max(size - len(nal), 0))
    return Frame(track, time, time, keyframe, len(nal).to_bytes(4, "big") + nal)


def number_of(payload: bytes) -> int:
    """The number of a frame that `h264` made."""
    found: int = struct.unpack_from(">I", payload, 6)[0]
    return found


@dataclass(slots=True)
class Wire:
    """One packet on its way to a viewer."""

    ssrc: int
    payload_type: int
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes
    at: float


@dataclass(slots=True)
class _Peer:
    address: object
    lanes: dict[int, Binding] = field(default_factory=dict)


class FakeSender:
    """`fanout.Sender` as the egress uses it; packets go to `deliver` of each viewer."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.peers: dict[int, _Peer] = {}
        self.deliver: dict[int, Callable[[Wire], None]] = {}
        self.sends = 0
        self.used: set[tuple[int, int, int]] = set()
        """Every (viewer, SSRC, sequence number) ever: under one key none may be used twice."""

    def open(self, viewer: int, keys: SrtpKeys, address: object) -> None:
        self.peers[viewer] = _Peer(address)

    def move(self, viewer: int, address: object) -> None:
        self.peers[viewer].address = address

    def close(self, viewer: int) -> None:
        self.peers.pop(viewer, None)

    def bind(self, viewer: int, lane: int, binding: Binding) -> None:
        if viewer in self.peers:
            self.peers[viewer].lanes[lane] = binding

    def unbind(self, viewer: int, lane: int) -> None:
        if viewer in self.peers:
            self.peers[viewer].lanes.pop(lane, None)

    def send(
        self,
        lane: int,
        index: int,
        timestamp: int,
        payloads: Sequence[bytes],
        marker: bool = True,
        *,
        hold: float = 0.0,
    ) -> None:
        self.sends += 1
        for viewer, peer in list(self.peers.items()):
            binding = peer.lanes.get(lane)
            if binding is None or peer.address is None:
                continue
            for number, payload in enumerate(payloads):
                last = marker and number == len(payloads) - 1
                sequence = index + number + binding.sequence_offset
                stamp = timestamp + binding.timestamp_offset
                self._out(viewer, Wire(binding.ssrc, binding.payload_type, sequence, stamp, last, payload, self._now))

    def send_to(self, viewer: int, packets: Sequence[SentPacket]) -> None:
        for packet in packets:
            ssrc, kind, sequence = packet.ssrc, packet.payload_type, packet.sequence
            self._out(viewer, Wire(ssrc, kind, sequence, packet.timestamp, packet.marker, packet.payload, self._now))

    def protect(self, viewer: int, packets: Sequence[SentPacket]) -> list[bytes]:
        found = []
        for packet in packets:
            self._note(viewer, packet.ssrc, packet.sequence)
            found.append(
                RtpPacket(
                    packet.payload_type,
                    packet.sequence & 0xFFFF,
                    packet.timestamp,
                    packet.ssrc,
                    packet.payload,
                    packet.marker,
                ).to_bytes()
            )
        return found

    @property
    def _now(self) -> float:
        return self.clock.now()

    def sent(self, viewer: int, first: int, count: int) -> list[tuple[int, int, int]]:
        return []

    def _note(self, viewer: int, ssrc: int, sequence: int) -> None:
        assert 0 <= sequence < 1 << 48
        key = (viewer, ssrc, sequence)
        assert key not in self.used, "a sequence number was used twice under one key"
        self.used.add(key)

    def _out(self, viewer: int, wire: Wire) -> None:
        self._note(viewer, wire.ssrc, wire.sequence)
        deliver = self.deliver.get(viewer)
        if deliver is not None:
            wire.timestamp &= 0xFFFFFFFF
            deliver(wire)


@dataclass(slots=True)
class Shown:
    """A picture as the viewer's decoder got it."""

    track_time: int
    number: int
    keyframe: bool
    timestamp: int
    at: float
    payload_type: int


class Watcher:
    """A viewer at the other end: takes packets, asks for those that are missing, and notes pictures that decode."""

    def __init__(self, clock: FakeClock, *, stream: bool = False) -> None:
        self.clock = clock
        self.viewer: Viewer | None = None
        self.stream = stream
        """By TCP."""
        self.backlog = 0
        self.path = Path("tcp" if stream else "udp", ("192.0.2.9", 4000), 1 if stream else 0)
        self.local = KEYS
        self.events: list[ViewerEvent] = []
        self.reports: list[Packet] = []
        self.closed: str | None = None
        self.told = (0, 0)
        """Packets and bytes of the picture that had come with the last report."""
        self.lost: Callable[[Wire], bool] = lambda wire: False
        """Whether a packet gets lost on the way."""
        self.video: dict[int, Wire] = {}
        self.sound: list[Wire] = []
        self.resent = 0
        self.padding = 0
        self.bytes = 0
        self.sequences: list[int] = []
        self.shown: list[Shown] = []
        self._next: int | None = None
        self._frame: list[Wire] = []
        self._decodes = False
        self._highest = -1
        self._expected = 0
        self._expected_before = 0
        self._received = 0
        self._received_before = 0
        self._lost = 0
        self._depacketizer = make_depacketizer(Codec.H264)

    # PeerLink

    @property
    def address(self) -> tuple[int, str, int] | None:
        return None if self.stream else (2, "192.0.2.9", 4000)

    def now(self) -> float:
        return self.clock.now()

    def send_rtcp(self, data: bytes) -> None:
        self.reports += parse_compound(data)
        self.told = (len(self.sequences), sum(len(wire.payload) for wire in self.video.values()))

    def send_rtp(self, data: bytes) -> None:
        raise AssertionError("not for media")

    def send_protected(self, packets: Sequence[bytes]) -> None:
        for data in packets:
            packet = RtpPacket.parse(data)
            sequence = packet.sequence_number
            if packet.ssrc == VIDEO_SSRC and self._highest >= 0:
                sequence = self._highest + (((sequence - self._highest) + 0x8000) & 0xFFFF) - 0x8000
            self.take(
                Wire(
                    packet.ssrc,
                    packet.payload_type,
                    sequence,
                    packet.timestamp,
                    packet.marker,
                    packet.payload,
                    self.clock.now(),
                )
            )

    def close(self, reason: str) -> None:
        if self.closed is None:
            self.closed = reason
            assert self.viewer is not None
            self.viewer.closed(reason)

    # Packets

    def take(self, wire: Wire) -> None:
        """A packet is sent to this viewer."""
        if wire.ssrc == VIDEO_SSRC:
            self._expected = max(self._expected, wire.sequence + 1)
        if self.lost(wire):
            return
        self.bytes += len(wire.payload)
        if wire.ssrc == AUDIO_SSRC:
            self.sound.append(wire)
            return
        if wire.ssrc == RTX_SSRC:
            found = unwrap(wire.payload)
            assert found is not None
            number, payload = found
            extended = self._highest + ((number - self._highest + 0x8000) & 0xFFFF) - 0x8000
            self.resent += 1
            if extended in self.video:
                self.padding += 1
                assert self.video[extended].payload == payload
                assert self.video[extended].timestamp == wire.timestamp
                assert self.video[extended].marker == wire.marker
                return
            wire = replace(wire, ssrc=VIDEO_SSRC, sequence=extended, payload=payload, payload_type=96)
        else:
            self.sequences.append(wire.sequence)
            self._received += 1
            self._highest = max(self._highest, wire.sequence)
        self.video[wire.sequence] = wire
        if self._next is None:
            self._next = wire.sequence
        self._decode()

    def missing(self) -> list[int]:
        """Sequence numbers that did not come."""
        first = self._next if self._next is not None else 0
        return [number for number in range(first, self._highest) if number not in self.video][:200]

    def ask(self) -> None:
        """Ask for what is missing, and give up what has been missing for too long."""
        missing = self.missing()
        if missing:
            self.say(Nack(1, VIDEO_SSRC, tuple(number & 0xFFFF for number in missing)))

    def give_up(self) -> None:
        """Wait for nothing that is missing: go on with the next keyframe."""
        if self.missing():
            self._next = self._highest + 1
            self._frame.clear()
            self._decodes = False

    def picture_lost(self) -> None:
        self.say(PictureLossIndication(1, VIDEO_SSRC))

    def report(self, *, remb: int | None = None, loss: float | None = None) -> None:
        """A receiver report as browsers send one about each second."""
        expected, received = self._expected - self._expected_before, self._received - self._received_before
        self._expected_before, self._received_before = self._expected, self._received
        fraction = max(0.0, 1 - received / expected) if expected and self._expected_before else 0.0
        # The total takes back what was only overtaken, the share does not (RFC 3550 §6.4.1).
        self._lost += expected - received if loss is None else round(loss * expected)
        fraction = fraction if loss is None else loss
        block = ReportBlock(VIDEO_SSRC, min(int(fraction * 256), 255), self._lost, self._expected & 0xFFFFFFFF, 0)
        packets: list[Packet] = [ReceiverReport(1, (block,))]
        if remb is not None:
            packets.append(Remb(1, remb, (VIDEO_SSRC,)))
        self.say(*packets)

    def say(self, *packets: Packet) -> None:
        assert self.viewer is not None
        self.viewer.rtcp(write_compound(packets), self.clock.now())

    # What was seen

    @property
    def numbers(self) -> list[int]:
        return [shown.number for shown in self.shown]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def names(self) -> list[str]:
        """The renditions that it was told to see."""
        return [event.name for event in self.of(RenditionChanged)]

    def check(self) -> None:
        """What every viewer may rely on: no sequence number is left out or comes twice, timestamps never go back."""
        assert self.sequences == list(range(self.sequences[0], self.sequences[0] + len(self.sequences)))
        stamps = [shown.timestamp for shown in self.shown]
        for before, after in itertools.pairwise(stamps):
            assert 0 < (after - before) & 0xFFFFFFFF < 1 << 31

    def _decode(self) -> None:
        assert self._next is not None
        while (wire := self.video.get(self._next)) is not None:
            self._next += 1
            if self._frame and self._frame[0].timestamp != wire.timestamp:
                # Browsers leave out a picture that has no end, and wait for a keyframe.
                self._frame.clear()
                self._decodes = False
            self._frame.append(wire)
            if not wire.marker:
                continue
            frame, self._frame = self._frame, []
            try:
                coded = self._depacketizer.assemble([one.payload for one in frame])
            except PayloadError:
                assert not self._decodes  # the rest of a picture that was given up
                continue
            assert coded is not None
            self._decodes = self._decodes or coded.keyframe
            if self._decodes:
                number, time = struct.unpack_from(">Iq", coded.payload, 6)
                self.shown.append(
                    Shown(time, number, coded.keyframe, wire.timestamp, self.clock.now(), frame[0].payload_type)
                )


def formats(*codecs: Codec, feedback: frozenset[str]) -> Any:
    numbers = {Codec.H264: (96, 97), Codec.VP8: (98, 99), Codec.OPUS: (111, None)}
    return tuple(
        PayloadFormat(
            codec,
            numbers[codec][0],
            48000 if codec is Codec.OPUS else 90000,
            numbers[codec][1],
            {"profile-level-id": "42e01f", "packetization-mode": "1"} if codec is Codec.H264 else {},
            feedback,
        )
        for codec in codecs
    )


def negotiation(
    *, video: Sequence[Codec] = (Codec.H264,), audio: bool = True, rtx: bool = True, remb: bool = True
) -> Negotiation:
    streams = []
    extensions = {MID: 4, TRANSPORT_SEQUENCE_NUMBER: 5}
    feedback = frozenset({"nack", "nack pli", "transport-cc"} | ({"goog-remb"} if remb else set()))
    if audio:
        sound = formats(Codec.OPUS, feedback=frozenset({"transport-cc"}))
        streams.append(MediaStream("0", TrackKind.AUDIO, sound, extensions, AUDIO_SSRC))
    if video:
        streams.append(
            MediaStream(
                "1",
                TrackKind.VIDEO,
                formats(*video, feedback=feedback),
                {ABS_SEND_TIME: 3, **extensions},
                VIDEO_SSRC,
                RTX_SSRC if rtx else None,
            )
        )
    transport = Transport("a", "b", "c", "d", (("sha-256", bytes(32)),), dtls_client=False)
    return Negotiation(transport, tuple(streams), "", "", sending=True, cname="house")


class Encoders:
    """A deriver that makes renditions of frames as they come, `lag` later, with keyframes when asked."""

    def __init__(self, *offers: Offer, lag: float = 0.1) -> None:
        self.offers = list(offers)
        self.lag = lag
        self.refusal: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.live: LiveStream | None = None
        self.wanted: set[str] = set()
        self.runs: dict[str, Derivation] = {}
        self.starts_after = 0.0
        self.sizes: dict[str, int] = {}
        self._keyframes: set[str] = set()
        self._pending: list[tuple[float, str, Frame]] = []
        self._recent: list[Frame] = []
        self._opens: dict[str, float] = {}

    def plan(self, live: LiveStream) -> Sequence[Offer]:
        self.live = live
        self.runs.clear()
        self._pending.clear()
        self._recent.clear()
        return self.offers

    def demand(self, live: LiveStream, track: str) -> None:
        if track in self.refusal:
            raise OfferRefusedError(self.refusal[track])
        self.asked.append(("demand", track))
        self.wanted.add(track)
        self._opens[track] = live.clock.now() + self.starts_after

    def rest(self, live: LiveStream, track: str) -> None:
        self.asked.append(("rest", track))
        self.wanted.discard(track)
        if (run := self.runs.pop(track, None)) is not None:
            run.close("nobody watches it")

    def want_keyframe(self, live: LiveStream, track: str) -> bool:
        self.asked.append(("keyframe", track))
        self._keyframes.add(track)
        return track in self.runs

    def stop(self, track: str, reason: str) -> None:
        self.runs.pop(track).close(reason)

    def feed(self, frame: Frame, now: float) -> None:
        """The source sent a frame."""
        assert self.live is not None
        kind = "v" if frame.track.startswith("v") else "a"
        if frame.keyframe and kind == "v":
            self._recent.clear()
        self._recent.append(frame)
        for track in sorted(self.wanted):
            offer = next((offer for offer in self.offers if offer.track.id == track), None)
            if offer is None:
                continue
            if track not in self.runs:
                if now >= self._opens.get(track, 0.0):
                    config = AVC if offer.track.codec is Codec.H264 else OPUS_HEAD
                    self.runs[track] = self.live.derive(replace(offer.track, config=config))
                    self._keyframes.discard(track)
                    for index, old in enumerate(one for one in self._recent if one.track[0] == track[0]):
                        # Catching up is four times as fast as time.
                        self._put(
                            now + 0.1 + index / (120 if track[0] == "v" else 2000),
                            track,
                            self._made(old, track, first=not index),
                        )
            elif track[0] == kind:
                self._put(now + self.lag, track, self._made(frame, track, first=False))
        self.flush(now)

    def _put(self, due: float, track: str, frame: Frame) -> None:
        latest = max((other for other, name, _ in self._pending if name == track), default=0.0)
        self._pending.append((max(due, latest + (1 / 150 if track[0] == "v" else 1 / 2000)), track, frame))

    def flush(self, now: float) -> None:
        due = [one for one in self._pending if one[0] <= now]
        self._pending = [one for one in self._pending if one[0] > now]
        for _, track, frame in due:
            if track in self.runs:
                self.runs[track].write(frame)

    def _made(self, frame: Frame, track: str, *, first: bool) -> Frame:
        if track[0] == "a":
            return Frame(track, frame.dts, frame.dts, True, b"\xfc\xff\xfe")
        wanted = track in self._keyframes
        self._keyframes.discard(track)
        number = number_of(frame.payload)
        size = self.sizes.get(track, 900)
        return h264(track, frame.pts, keyframe=frame.keyframe or first or wanted, size=size, number=number)


class Stage:
    """One broadcast: video of 30 frames a second and sound."""

    def __init__(self, clock: FakeClock, hub: Hub, sender: FakeSender, egress: Egress, encoders: Encoders) -> None:
        self.clock = clock
        self.hub = hub
        self.sender = sender
        self.egress = egress
        self.encoders = encoders
        self.publication: Publication | None = None
        self.group = 60
        self.size = 3000
        self.key_size = 20_000
        self.keyframe_wanted = False
        self.number = 0
        self.watchers: list[Watcher] = []
        self.tracks: tuple[Track, ...] = ()
        self._base = 0
        self._frames = 0
        self._random = random.Random(5)
        self._feedback: list[tuple[float, Callable[[], None]]] = []

    def publish(self, *tracks: Track, ask: bool = False) -> LiveStream:
        if self.publication is None or self.publication.closed:
            self.publication = self.hub.publish("cam", Source("test", "192.0.2.1"), lambda reason: None)
        self.tracks = tracks
        self._base = self.publication.time_ns()
        self._frames = 0
        if ask:

            def wish() -> None:
                self.keyframe_wanted = True

            self.publication.on_keyframe_wanted = wish
        self.publication.announce(tracks)
        live = self.hub.get("cam")
        assert live is not None
        return live

    def watch(self, *, stream: bool = False, secure: bool = True, **terms: Any) -> Watcher:
        watcher = Watcher(self.clock, stream=stream)
        viewer = self.egress.open("cam", negotiation(**terms), on_event=watcher.events.append)
        watcher.viewer = viewer
        self.sender.deliver[viewer.number] = watcher.take
        if secure:
            viewer.secured(watcher)
        self.watchers.append(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        self.watchers.remove(watcher)
        watcher.close("it left")

    async def run(self, seconds: float, *, each: Callable[[], None] | None = None) -> None:
        """Time passes, and the encoder sends what it should."""
        assert self.publication is not None
        for _ in range(round(seconds * 30)):
            if not self.publication.closed:
                self._frame()
            await settle(3)
            for _ in range(4):
                self.clock.advance(1 / 120)
                self.encoders.flush(self.clock.now())
                await settle(2)
            if each is not None:
                each()

    async def idle(self, seconds: float) -> None:
        """Time passes, and nothing is sent."""
        for _ in range(round(seconds * 20)):
            self.clock.advance(1 / 20)
            await settle(2)

    def _frame(self) -> None:
        assert self.publication is not None
        now = self.clock.now()
        for track in self.tracks:
            start = self._base * track.timescale // 1_000_000_000
            if track.kind is TrackKind.VIDEO:
                key = self._frames % self.group == 0 or self.keyframe_wanted
                time = start + self._frames * track.timescale // 30
                size = self.key_size if key else self.size
                frame = h264(track.id, time, keyframe=key, size=size, number=self.number)
                frame.received = now
                self._write(frame)
            else:
                for part in range(2):
                    time = start + (self._frames * 2 + part) * track.timescale // 60
                    self._write(Frame(track.id, time, time, True, b"\xfc\xff\xfe", now))
        self.keyframe_wanted = False
        self._frames += 1
        self.number += 1

    def _write(self, frame: Frame) -> None:
        assert self.publication is not None
        self.publication.write(frame)
        self.encoders.feed(frame, self.clock.now())


@asynccontextmanager
async def watching(
    *offers: Offer, config: EgressConfig | None = None, hub_config: HubConfig | None = None, lag: float = 0.1
) -> AsyncIterator[Stage]:
    """A hub with an egress; the source is up to the test."""
    clock = FakeClock()
    hub = Hub(hub_config, clock)
    encoders = Encoders(*offers, lag=lag)
    hub.deriver = encoders
    sender = FakeSender(clock)
    fake: Any = sender
    egress = Egress(hub, fake, config, clock=clock)
    try:
        yield Stage(clock, hub, sender, egress, encoders)
    finally:
        await egress.stop()
        hub.close()


class Line:
    """A line to a viewer that carries so much and no more: what does not fit waits, and what waits too long is lost.

    The viewer at its end behaves like a browser: it asks for what is missing, gives up after half a second, tells its
    estimate and its losses each second, or as often as `tells` says.
    """

    def __init__(self, stage: "Stage", watcher: Watcher, *, carries: float, delay: float = 0.02, queue: float = 0.25):
        self.stage = stage
        self.watcher = watcher
        self.carries = carries
        self.delay = delay
        self.queue = queue
        self.loss = 0.0
        self.jitter = 0.0
        """Seconds by which packets are later at most, evenly, so that they overtake each other."""
        self.tells = 1.0
        """Seconds between two reports."""
        self.estimates = True
        self.lost = 0
        self.arrivals: list[tuple[float, int]] = []
        self._free = 0.0
        self._random = random.Random(11)
        self._asked: dict[int, float] = {}
        self._missing: dict[int, float] = {}
        self._told_at = stage.clock.now()
        self._estimate = 0.0
        self._late = 0.0
        assert watcher.viewer is not None
        stage.sender.deliver[watcher.viewer.number] = self.take

    def take(self, wire: Wire) -> None:
        now = self.stage.clock.now()
        begin = max(now, self._free)
        if begin - now > self.queue or self._random.random() < self.loss:
            if wire.ssrc == VIDEO_SSRC:
                self.watcher._expected = max(self.watcher._expected, wire.sequence + 1)
            self.lost += 1
            return
        size = len(wire.payload) + 60
        self._free = begin + size * 8 / self.carries
        self._late = self._free - now

        def arrive() -> None:
            wire.at = self.stage.clock.now()
            self.arrivals.append((wire.at, size))
            self.watcher.take(wire)

        jitter = self._random.uniform(0.0, self.jitter) if self.jitter else 0.0
        self.stage.clock.call_later(self._free - now + self.delay + jitter, arrive)

    def turn(self) -> None:
        """What the browser does about thirty times a second."""
        now, watcher = self.stage.clock.now(), self.watcher
        missing = watcher.missing()
        self._missing = {number: self._missing.get(number, now) for number in missing}
        if any(now - since > 0.5 for since in self._missing.values()):
            watcher.give_up()
            watcher.picture_lost()
            self._missing.clear()
        asked = [number for number in self._missing if now - self._asked.get(number, 0.0) > 2 * self.delay + 0.02]
        if asked:
            for number in asked:
                self._asked[number] = now

            def ask() -> None:
                if watcher.closed is None:
                    watcher.say(Nack(1, VIDEO_SSRC, tuple(number & 0xFFFF for number in asked[:200])))

            self.stage.clock.call_later(self.delay, ask)
        if now - self._told_at >= self.tells:
            came = sum(size for at, size in self.arrivals if at >= self._told_at) * 8 / (now - self._told_at)
            self.arrivals.clear()
            self._told_at = now
            if self._late > 0.08:
                self._estimate = 0.85 * came
            else:
                self._estimate = max(min(1.08 * self._estimate, 1.5 * came), came)
            watcher.report(remb=int(self._estimate) if self.estimates else None)


def frames_between(shown: Iterable[Shown], begin: float, end: float) -> list[Shown]:
    return [one for one in shown if begin <= one.at < end]
