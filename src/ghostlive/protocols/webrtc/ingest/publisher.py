"""A publisher: RTP of one WebRTC peer in, frames of one publication out.

Who makes one holds the stream already:

    publication = hub.publish(stream, source, on_taken=lambda reason: publisher.taken(reason))
    publisher = Publisher(negotiation, publication, clock, config)
    server.add(negotiation, publisher)

The transport calls it as a `PeerHandler`. A deliberate goodbye (DELETE, a closed signalling socket) is `end`, and a
session that breaks is `closed`: the hub keeps the stream for its grace time then.

Which stream a packet belongs to is in `lines`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from ghostlive.core.clock import Clock, Timer
from ghostlive.core.errors import MediaError
from ghostlive.core.track import TrackKind
from ghostlive.formats.rtcp import (
    FullIntraRequest,
    Goodbye,
    Nack,
    Packet,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_compound,
    write_compound,
)
from ghostlive.formats.rtp.extensions import (
    TRANSPORT_SEQUENCE_NUMBER,
    decode_transport_sequence_number,
)
from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.formats.rtp.payload import rtx
from ghostlive.hub.live import Publication
from ghostlive.protocols.webrtc.ingest.config import IngestConfig
from ghostlive.protocols.webrtc.ingest.feedback import ArrivalReporter, RateLimit
from ghostlive.protocols.webrtc.ingest.layers import Input, Layers
from ghostlive.protocols.webrtc.ingest.lines import Line, Source, find_line
from ghostlive.protocols.webrtc.ingest.receiver import Receiver, StreamStats
from ghostlive.protocols.webrtc.ingest.tracks import VideoInput
from ghostlive.protocols.webrtc.link import PeerLink
from ghostlive.protocols.webrtc.negotiation import Negotiation

if TYPE_CHECKING:
    from ghostlive.protocols.webrtc.path import Path

_log = structlog.get_logger("webrtc")

_TICK: Final = 0.02
_REPORT: Final = 1.0
_FIRST_REPORT: Final = 0.2
"""Seconds after which the first report goes out: senders name their streams in each packet until there is one."""
_KEYFRAME_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class PublisherStats:
    """How a publisher is received."""

    streams: Mapping[str, StreamStats]
    """By the name of the layer: `video`, `audio`, or the rid."""
    round_trip_time: float
    """Seconds, as retransmissions took it."""
    announced: bool
    ignored: int
    """Packets that belong to no stream that was negotiated."""
    broken: int
    """Packets and frames that could not be understood."""


class Publisher:
    """Receives one publisher. A `PeerHandler`."""

    def __init__(
        self, negotiation: Negotiation, publication: Publication, clock: Clock, config: IngestConfig | None = None
    ) -> None:
        """What is expected of the peer is in `negotiation`, which is ours with `sending=False`."""
        self._publication = publication
        self._clock = clock
        self._config = config or IngestConfig()
        self._link: PeerLink | None = None
        self._timer: Timer | None = None
        self._closed = False
        self._lines = [Line(stream) for stream in negotiation.streams]
        self._ssrc = negotiation.streams[0].ssrc or 1
        self._cname = negotiation.cname
        self._transport_ids = {
            identifier
            for line in self._lines
            if (identifier := line.stream.extensions.get(TRANSPORT_SEQUENCE_NUMBER)) is not None
        }
        self._arrivals = ArrivalReporter(self._ssrc) if any(line.tells_arrivals for line in self._lines) else None
        remb = any("goog-remb" in line.feedback for line in self._lines)
        self._rate = RateLimit(self._config.max_bitrate) if remb else None
        self._sources: dict[int, Source] = {}
        self._repairs: dict[int, Source] = {}
        """By the SSRCs of retransmissions."""
        self._layers = Layers(
            publication,
            self._config,
            expected=sum(line.expected for line in self._lines),
            kinds=len({line.kind for line in self._lines}),
            want_keyframe=self._want_keyframe,
        )
        self._reported = 0.0
        self._first_packet: float | None = None
        self._ignored = 0
        self._broken = 0
        publication.on_keyframe_wanted = self.request_keyframe

    @property
    def publication(self) -> Publication:
        """Where the frames go."""
        return self._publication

    def secured(self, link: PeerLink) -> None:
        """See `PeerHandler.secured`."""
        self._link = link
        self._tick()

    def rtp(self, data: bytes, now: float) -> None:
        """See `PeerHandler.rtp`. Packets that are broken or belong nowhere are left out."""
        if self._closed:
            return
        try:
            packet = RtpPacket.parse(data)
            if self._arrivals is not None:
                for identifier, value in packet.extensions:
                    if identifier in self._transport_ids:
                        self._arrivals.add(decode_transport_sequence_number(value), now)
                        break
            source = self._receive(packet, now)
        except MediaError:
            self._broken += 1
            return
        if source is None:
            self._ignored += 1
            return
        if self._first_packet is None:
            self._first_packet = now
            self._reported = now - _REPORT + _FIRST_REPORT
        self._deliver(source, now)
        self._ask(source, now)

    def rtcp(self, data: bytes, now: float) -> None:
        """See `PeerHandler.rtcp`."""
        if self._closed:
            return
        try:
            packets = parse_compound(data)
        except MediaError:
            self._broken += 1
            return
        for packet in packets:
            if isinstance(packet, SenderReport):
                source = self._sources.get(packet.ssrc)
                if source is not None:
                    source.receiver.take_report(packet, now)
                    source.input.clock.report(packet)
            elif isinstance(packet, Goodbye):
                for ssrc in packet.ssrcs:
                    if ssrc in self._sources:
                        self._sources[ssrc].receiver.ended = True
                        self._layers.goodbye(self._sources[ssrc].input)

    def moved(self, path: "Path") -> None:
        """See `PeerHandler.moved`. Nothing here depends on the path."""

    def closed(self, reason: str) -> None:
        """The session is over: the publisher is lost, unless it said goodbye before, in words or by RTCP."""
        self._link = None
        if self._closed:
            return
        self._stop()
        if self._sources and all(source.receiver.ended for source in self._sources.values()):
            self._publication.end(reason)
        else:
            self._publication.lose(reason)

    def end(self, reason: str) -> None:
        """The publisher stopped on purpose: the stream ends now, and the session with it."""
        if not self._closed:
            self._stop()
            self._publication.end(reason)
        self._close(reason)

    def taken(self, reason: str) -> None:
        """The hub gave the stream to somebody else or ended it: close the session. For `Hub.publish`."""
        self._close(reason)

    def request_keyframe(self) -> None:
        """Ask the sender for a keyframe of each of its pictures, soon; asking too often is harmless."""
        now = self._clock.now()
        for source in self._sources.values():
            source.receiver.want_keyframe(now)
        self._request_keyframes(now)

    def stats(self) -> PublisherStats:
        """How it is received."""
        streams = {source.rid or source.line.kind.value: source.receiver.stats for source in self._sources.values()}
        times = [source.receiver.buffer.missing.round_trip_time for source in self._sources.values()]
        return PublisherStats(
            streams,
            min(times, default=0.0),
            self._layers.announced,
            self._ignored,
            self._broken + self._layers.broken,
        )

    # Packets find their streams.

    def _receive(self, packet: RtpPacket, now: float) -> Source | None:
        source = self._sources.get(packet.ssrc)
        if source is not None:
            if packet.payload_type in source.line.codecs:
                source.receiver.put(packet, now)
                return source
            return None
        repaired = self._repairs.get(packet.ssrc)
        line = repaired.line if repaired is not None else find_line(self._lines, packet)
        if line is None:
            return None
        if packet.payload_type in line.codecs:
            source = self._new_source(line, packet, now)
            if source is not None:
                source.receiver.put(packet, now)
            return source
        original = line.repairs.get(packet.payload_type)
        if original is None:
            return None
        if repaired is None:
            repaired = self._new_repair(line, packet)
            if repaired is None:
                return None
        found = rtx.unwrap(packet.payload)
        if found is not None:
            repaired.receiver.put_again(packet, original, *found, now)
        return repaired

    def _new_source(self, line: Line, packet: RtpPacket, now: float) -> Source | None:
        rid = line.layer(packet)
        if rid is None:
            return None
        receiver = Receiver(
            packet.ssrc,
            line.kind,
            line.codecs,
            self._config,
            asks="nack" in line.feedback,
            told=bool(line.repairs),
            now=now,
        )
        before = next((one for one in self._sources.values() if one.line is line and one.rid == rid), None)
        if before is not None:
            # The sender began anew: a browser that put another camera in, say.
            del self._sources[before.receiver.ssrc]
            self._repairs = {ssrc: one for ssrc, one in self._repairs.items() if one is not before}
            before.input.clock.restart()
            source = Source(line, rid, receiver, before.input)
        else:
            rate = line.stream.formats[0].clock_rate
            made: Input = (
                self._layers.video(rid, rate, line.parameter_sets)
                if line.kind is TrackKind.VIDEO
                else self._layers.audio(rid, rate, channels=2)
            )
            source = Source(line, rid, receiver, made)
        self._sources[packet.ssrc] = source
        _log.debug("rtp stream", stream=self._publication.stream, ssrc=packet.ssrc, kind=line.kind.value, rid=rid)
        return source

    def _new_repair(self, line: Line, packet: RtpPacket) -> Source | None:
        """What an SSRC of retransmissions repairs."""
        found = line.repaired(packet, self._sources)
        if found is not None and len(self._repairs) < self._config.max_streams:
            self._repairs[packet.ssrc] = found
        return found

    def _deliver(self, source: Source, now: float) -> None:
        for received in source.receiver.frames(now):
            self._layers.take(source.input, received, now)

    # What the sender is told.

    def _tick(self) -> None:
        if self._closed:
            return
        now = self._clock.now()
        try:
            for source in list(self._sources.values()):
                self._deliver(source, now)
                self._ask(source, now)
            self._layers.tick(now)
            self._request_keyframes(now)
            self._report(now)
            self._check_keyframe_patience(now)
        finally:
            if not self._closed:
                self._timer = self._clock.call_later(_TICK, self._tick)

    def _ask(self, source: Source, now: float) -> None:
        numbers = source.receiver.missing(now)
        if numbers:
            self._send([Nack(self._ssrc, source.receiver.ssrc, numbers)])

    def _want_keyframe(self, video: VideoInput) -> None:
        now = self._clock.now()
        for source in self._sources.values():
            if source.input is video:
                source.receiver.want_keyframe(now)

    def _request_keyframes(self, now: float) -> None:
        packets: list[Packet] = []
        due = [source for source in self._sources.values() if source.receiver.keyframe_due(now)]
        for source in due:
            ssrc = source.receiver.ssrc
            if "nack pli" in source.line.feedback or "ccm fir" not in source.line.feedback:
                packets.append(PictureLossIndication(self._ssrc, ssrc))
            else:
                source.firs = (source.firs + 1) & 0xFF
                packets.append(FullIntraRequest(self._ssrc, ((ssrc, source.firs),)))
        self._send(packets)

    def _report(self, now: float) -> None:
        if not self._sources:
            return
        packets: list[Packet] = []
        media_ssrc = next(iter(self._sources))
        if self._arrivals is not None:
            packets += self._arrivals.due(now, media_ssrc)
        if now - self._reported < _REPORT:
            self._send(packets)
            return
        elapsed, self._reported = now - self._reported, now
        blocks: list[ReportBlock] = []
        received = expected = octets = 0
        for source in self._sources.values():
            block = source.receiver.block(now)
            if block is None:
                continue
            blocks.append(block)
            stats = source.receiver.stats
            octets += stats.octets - source.octets_told
            source.octets_told = stats.octets
            received += source.receiver.received_lately
            expected += source.receiver.expected_lately
        if self._rate is not None and self._arrivals is None:
            rate = self._rate.update(received, expected, octets, elapsed)
            ssrcs = tuple(ssrc for ssrc, source in self._sources.items() if "goog-remb" in source.line.feedback)
            if ssrcs:
                packets.append(Remb(self._ssrc, rate, ssrcs))
        self._send(packets, tuple(blocks))

    def _send(self, packets: list[Packet], blocks: tuple[ReportBlock, ...] = ()) -> None:
        """Send these packets behind a report, with which a compound begins (RFC 3550 §6.1)."""
        if self._link is not None and (packets or blocks):
            head: list[Packet] = [ReceiverReport(self._ssrc, blocks), SourceDescription(self._ssrc, self._cname)]
            self._link.send_rtcp(write_compound([*head, *packets]))

    # The end.

    def _check_keyframe_patience(self, now: float) -> None:
        if self._layers.announced or self._first_packet is None or now - self._first_packet < _KEYFRAME_PATIENCE:
            return
        if any(source.line.kind is TrackKind.VIDEO for source in self._sources.values()):
            self._close(
                f"no keyframe came in {_KEYFRAME_PATIENCE:.0f} s, although {self._asked()} were asked for; "
                "a player could not begin to show this stream"
            )

    def _asked(self) -> int:
        return sum(source.receiver.stats.requests for source in self._sources.values())

    def _stop(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._publication.on_keyframe_wanted == self.request_keyframe:
            self._publication.on_keyframe_wanted = None
        self._layers.flush(self._clock.now())
        self._layers.close()

    def _close(self, reason: str) -> None:
        if self._link is not None:
            self._link.close(reason)
