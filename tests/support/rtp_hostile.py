"""A publisher that sends anything: bytes of a fuzzer or of a random generator, as RTP and RTCP."""

from collections.abc import Iterator

from tests.support.clock import FakeClock
from tests.support.rtp_publisher import EXTENSIONS, Link, negotiation

from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec
from ghostlive.formats.rtcp import SenderReport, write_compound
from ghostlive.formats.rtp.extensions import REPAIRED_RTP_STREAM_ID, RTP_STREAM_ID, TRANSPORT_SEQUENCE_NUMBER
from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.hub.config import HubConfig
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import Source
from ghostlive.protocols.webrtc.ingest.config import IngestConfig
from ghostlive.protocols.webrtc.ingest.publisher import Publisher

_CODECS = (Codec.VP8, Codec.H264, Codec.VP9, Codec.AV1, Codec.H265)


def feed(data: bytes) -> int:
    """Give a publisher what `data` says; returns how many frames came of it.

    The first byte chooses codec and layers. Each packet then is a byte of flags, one of numbers, a length and so many
    bytes of payload; some are sent as they are, others behind a well-formed header.
    """
    if not data:
        return 0
    clock = FakeClock()
    hub = Hub(HubConfig(), clock)
    rids = ("l", "h") if data[0] & 0x10 else ()
    agreed = negotiation(video=_CODECS[data[0] % 5], rids=rids, rtx=bool(data[0] & 0x20))
    publication = hub.publish("show", Source("whip", "192.0.2.1"), lambda reason: None)
    publisher = Publisher(agreed, publication, clock, IngestConfig(buffer_packets=200, buffer_bytes=50_000))
    publisher.secured(Link(clock, lambda data: None))
    reader = hub.subscribe("show")
    last: dict[str, int] = {}
    frames = 0
    for flags, number, payload in _pieces(data[1:]):
        if flags & 0x80:
            clock.advance((number + 1) / 100)
        now = clock.now()
        kind = flags & 7
        if kind == 0:
            publisher.rtp(payload, now)
        elif kind == 1:
            publisher.rtcp(payload, now)
        elif kind == 2:
            ntp = int.from_bytes(payload[:8].ljust(8, b"\0"), "big")
            publisher.rtcp(write_compound([SenderReport(1 + number % 4, ntp, number * 3000, 1, 1)]), now)
        else:
            publisher.rtp(_packet(flags, number, payload, rids).to_bytes(), now)
        for item in reader.take():
            if isinstance(item, Frame):
                assert item.payload
                assert 0 <= item.dts <= item.pts
                assert item.dts > last.get(item.track, -1)
                last[item.track] = item.dts
                frames += 1
        for source in publisher._sources.values():
            assert len(source.receiver.buffer) <= 200
            assert source.receiver.buffer.size <= 50_000
            assert len(source.receiver.buffer.missing) <= 3000
    publisher.closed("the end")
    hub.close()
    return frames


def _packet(flags: int, number: int, payload: bytes, rids: tuple[str, ...]) -> RtpPacket:
    """A packet of the picture (3 to 5), of its retransmissions (6), or of the sound (7)."""
    kind = flags & 7
    layer = number & 1
    extensions = [(EXTENSIONS[TRANSPORT_SEQUENCE_NUMBER], number.to_bytes(2, "big"))]
    if rids:
        extensions.append((EXTENSIONS[REPAIRED_RTP_STREAM_ID if kind == 6 else RTP_STREAM_ID], rids[layer].encode()))
    payload_type, ssrc = {6: (97, 3 + layer), 7: (111, 9)}.get(kind, (96, 1 + layer))
    sequence = number if kind != 5 else number * 251
    timestamp = number * 1000 if not flags & 0x40 else number << 24
    return RtpPacket(
        payload_type,
        (65_500 + sequence) & 0xFFFF,
        timestamp & 0xFFFFFFFF,
        ssrc,
        payload,
        bool(flags & 0x20),
        extensions=tuple(extensions),
        padding=4 if flags & 0x10 and not payload else 0,
    )


def _pieces(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + 3 <= len(data):
        end = at + 3 + data[at + 2]
        yield data[at], data[at + 1], data[at + 3 : end]
        at = end
