"""One RTP stream of a publisher: packets in, whole coded frames out, and what its sender has to be told.

A frame that depends on a lost one never comes out: after a loss, pictures begin again with a keyframe, which is asked
for. Sound has nothing to wait for.

Specification: RFC 3550 §6.4.1 and appendix A.3, A.8 (reception reports).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ghostlive.core.track import Codec, TrackKind
from ghostlive.formats.rtcp import ReportBlock, SenderReport, middle
from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.formats.rtp.payload import CodedFrame, Depacketizer, PayloadError, make_depacketizer
from ghostlive.formats.rtp.sequence import distance
from ghostlive.protocols.webrtc.ingest.config import IngestConfig
from ghostlive.protocols.webrtc.ingest.jitter import JitterBuffer, Lost, Packet

_PLI_REPEAT: Final = 0.4
_MOST_UNANSWERED: Final = 2.0
"""Seconds between requests for a keyframe that are not answered, at the most."""
_FIRST_KEYFRAME: Final = 0.2
"""Seconds after the first packet in which a sender should have sent a keyframe by itself."""
_SILENT: Final = 1.5
"""Seconds without a packet after which nothing is asked of a stream; screens that stand still have a frame a second."""
_OWN_RHYTHM: Final = 0.25
"""Seconds that the next keyframe may be late by when the last one came unasked: an encoder with the same interval."""


@dataclass(slots=True, eq=False)
class ReceivedFrame:
    """A frame as it came out of RTP."""

    codec: Codec
    frame: CodedFrame
    timestamp: int
    """32 bits, as on the wire."""
    began: float
    """When its first packet arrived (monotonic seconds)."""
    received: float
    """When its last packet arrived."""
    after_loss: bool
    """Packets before it were given up."""


@dataclass(slots=True)
class StreamStats:
    """What happened to one stream."""

    packets: int = 0
    octets: int = 0
    lost: int = 0
    """Packets given up."""
    recovered: int = 0
    """Packets that came as retransmissions and were of use."""
    frames: int = 0
    dropped: int = 0
    """Frames that were whole and of no use, because a frame before them was lost or they are broken."""
    keyframes: int = 0
    requests: int = 0
    """Keyframes asked for."""
    jitter: float = 0.0
    """Seconds (RFC 3550 §6.4.1)."""


class Receiver:
    """Receives one SSRC, with what is sent again of it."""

    def __init__(
        self,
        ssrc: int,
        kind: TrackKind,
        codecs: Mapping[int, tuple[Codec, int]],
        config: IngestConfig,
        *,
        asks: bool,
        told: bool,
        now: float,
    ) -> None:
        """`codecs` has codec and clock rate of each payload type.

        `asks` is whether it may be asked for packets, `told` whether they come as a stream of their own (RFC 4588).
        """
        self.ssrc = ssrc
        self.kind = kind
        self._codecs = codecs
        self._depacketizers = _Depacketizers(codecs)
        self._asks = asks
        self._interval = config.keyframe_interval
        self.heard = now
        """When its last packet came."""
        self.ended = False
        """Its sender said goodbye."""
        self.stats = StreamStats()
        self.buffer = JitterBuffer(
            self._depacketizers.begins,
            audio=kind is TrackKind.AUDIO,
            asks=asks,
            told=told,
            max_wait=config.max_wait,
            max_far_wait=config.max_far_wait,
            max_packets=config.buffer_packets,
            max_bytes=config.buffer_bytes,
        )
        self.report: SenderReport | None = None
        """The last sender report."""
        self._report_arrived = 0.0
        self._first: int | None = None
        self._received = 0
        self._expected_before = 0
        self._received_before = 0
        self._restarts = 0
        self.expected_lately = 0
        """Packets that should have come between the last two blocks."""
        self.received_lately = 0
        self._transit: int | None = None
        self._jitter = 0.0
        self._rate = 0
        self._after_loss = False
        self._needs_keyframe = kind is TrackKind.VIDEO
        self._keyframe_at = now
        self._asked_at: float | None = None
        self._wanted_at: float | None = now + _FIRST_KEYFRAME if self._needs_keyframe else None
        self._unanswered = 0
        self._unasked = False

    def put(self, packet: RtpPacket, now: float) -> None:
        """A packet of this SSRC."""
        if packet.payload_type not in self._codecs:
            return
        self._count(packet, now)
        self._store(packet, packet.sequence_number, packet.payload, now, again=False)

    def put_again(self, packet: RtpPacket, payload_type: int, sequence_number: int, payload: bytes, now: float) -> None:
        """A retransmission (RFC 4588) of a packet that had this sequence number."""
        if payload_type in self._codecs and self._first is not None:
            self.heard = now
            copy = RtpPacket(payload_type, sequence_number, packet.timestamp, self.ssrc, payload, packet.marker)
            if self._store(copy, sequence_number, payload, now, again=True):
                self.stats.recovered += 1

    def frames(self, now: float) -> list[ReceivedFrame]:
        """Frames that are whole by `now`, in order."""
        out: list[ReceivedFrame] = []
        for item in self.buffer.take(now):
            if isinstance(item, Lost):
                self.stats.lost += item.packets
                self._lose(now)
                continue
            first = item.packets[0]
            try:
                frame = self._depacketizers.of(first.payload_type).assemble([packet.payload for packet in item.packets])
            except PayloadError:
                self.stats.dropped += 1
                self._lose(now)
                continue
            if frame is None:
                continue
            if self.kind is TrackKind.VIDEO and not self._decodable(frame, now):
                continue
            self.stats.frames += 1
            arrivals = [packet.arrived for packet in item.packets]
            codec = self._codecs[first.payload_type][0]
            out.append(ReceivedFrame(codec, frame, first.timestamp, min(arrivals), max(arrivals), self._after_loss))
            self._after_loss = False
        return out

    def take_report(self, report: SenderReport, now: float) -> None:
        """The sender's report."""
        self.report = report
        self._report_arrived = now

    def want_keyframe(self, now: float) -> None:
        """Somebody needs a keyframe soon."""
        if self.kind is TrackKind.VIDEO and self._wanted_at is None:
            self._wanted_at = now

    def keyframe_due(self, now: float) -> bool:
        """Whether to ask for a keyframe now; it counts as asked."""
        if self.kind is TrackKind.AUDIO or self.ended or now - self.heard > _SILENT:
            return False  # a layer that is off
        wanted = self._wanted_at is not None and now >= self._wanted_at
        if self._interval:
            interval = self._interval + (_OWN_RHYTHM if self._unasked else 0.0)
            wanted = wanted or now - self._keyframe_at >= interval
        if not wanted:
            return False
        pause = min(_PLI_REPEAT * (1 + self._unanswered), _MOST_UNANSWERED)
        if self._asked_at is not None and now - self._asked_at < pause:
            return False
        if self._asked_at is not None and self._asked_at >= self._keyframe_at:
            self._unanswered += 1
        self._asked_at = now
        self.stats.requests += 1
        return True

    def missing(self, now: float) -> tuple[int, ...]:
        """Sequence numbers (16 bits) to ask for now; they count as asked."""
        if not self._asks or not len(self.buffer.missing):
            return ()
        return tuple(sequence & 0xFFFF for sequence in self.buffer.missing.due(now))

    def block(self, now: float) -> ReportBlock | None:
        """What to report of the reception; None before the first packet."""
        if self._first is None:
            return None
        highest = self.buffer.highest
        if self.buffer.restarts != self._restarts:
            self._restarts = self.buffer.restarts
            self._first, self._received, self._expected_before, self._received_before = highest, 1, 0, 0
        expected = highest - self._first + 1
        expected_since, received_since = expected - self._expected_before, self._received - self._received_before
        self._expected_before, self._received_before = expected, self._received
        self.expected_lately, self.received_lately = expected_since, received_since
        lost_since = expected_since - received_since
        fraction = min(lost_since * 256 // expected_since, 255) if expected_since > 0 and lost_since > 0 else 0
        last_sr, delay = 0, 0
        if self.report is not None:
            last_sr = middle(self.report.ntp)
            delay = min(int((now - self._report_arrived) * 65536), 0xFFFFFFFF)
        jitter = int(self._jitter * self._rate)
        return ReportBlock(self.ssrc, fraction, expected - self._received, highest & 0xFFFFFFFF, jitter, last_sr, delay)

    def _store(self, packet: RtpPacket, sequence_number: int, payload: bytes, now: float, *, again: bool) -> bool:
        return self.buffer.put(
            sequence_number, Packet(packet.payload_type, packet.timestamp, payload, packet.marker, now), again=again
        )

    def _count(self, packet: RtpPacket, now: float) -> None:
        self.heard = now
        self.ended = False
        if self._first is None:
            self._first = packet.sequence_number
        self._received += 1
        self.stats.packets += 1
        self.stats.octets += len(packet.payload)
        if not packet.payload:
            return
        # Interarrival jitter (RFC 3550 §6.4.1), with differences of timestamps modulo 2^32.
        rate = self._codecs[packet.payload_type][1]
        arrival = int(now * rate)
        transit = (arrival - packet.timestamp) & 0xFFFFFFFF
        if self._transit is not None and rate == self._rate:
            difference = abs(distance(transit, self._transit, 32)) / rate
            if difference < 10:
                self._jitter += (difference - self._jitter) / 16
        self._transit, self._rate = transit, rate
        self.stats.jitter = self._jitter

    def _lose(self, now: float) -> None:
        self._after_loss = True
        if self.kind is TrackKind.VIDEO:
            self._needs_keyframe = True
            self.want_keyframe(now)

    def _decodable(self, frame: CodedFrame, now: float) -> bool:
        if frame.keyframe:
            self._needs_keyframe = False
            self._unasked = self._asked_at is None or self._asked_at < self._keyframe_at
            self._keyframe_at = now
            self._wanted_at = None
            self._unanswered = 0
            self.stats.keyframes += 1
        elif self._needs_keyframe and frame.payload:
            self.stats.dropped += 1
            return False
        return True


class _Depacketizers:
    """One for each payload type that came. Apart from the receiver, whose buffer would hold it in a circle else."""

    def __init__(self, codecs: Mapping[int, tuple[Codec, int]]) -> None:
        self._codecs = codecs
        self._made: dict[int, Depacketizer] = {}

    def of(self, payload_type: int) -> Depacketizer:
        found = self._made.get(payload_type)
        if found is None:
            found = self._made[payload_type] = make_depacketizer(self._codecs[payload_type][0])
        return found

    def begins(self, packet: Packet) -> bool | None:
        """Whether a frame begins with it; None where that cannot be known."""
        return self.of(packet.payload_type).begins_frame(packet.payload)
