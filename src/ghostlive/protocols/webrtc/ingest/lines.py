"""What was negotiated, as it is looked at for each packet: to which m-line and layer an SSRC belongs.

As RFC 9143 §9.2 has it: by the MID and the rid in header extensions, which senders leave out once they know that we
know them, then by what their SSRC was before, then by SSRCs in the SDP, then by payload type. Old senders of simulcast
have no rids: of those the SDP says which SSRC is which layer.

What does not live here: which SSRCs there are (`publisher`).
"""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ghostlive.core.track import Codec
from ghostlive.formats.rtp.extensions import (
    MID,
    REPAIRED_RTP_STREAM_ID,
    RTP_STREAM_ID,
    TRANSPORT_SEQUENCE_NUMBER,
    decode_text,
)
from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.protocols.webrtc.ingest.layers import Input
from ghostlive.protocols.webrtc.ingest.receiver import Receiver
from ghostlive.protocols.webrtc.negotiation import MediaStream, PayloadFormat

_MAX_SETS: Final = 8


class Line:
    """One negotiated m-line."""

    def __init__(self, stream: MediaStream) -> None:
        """`stream` is one that we receive."""
        self.stream = stream
        self.kind = stream.kind
        self.codecs: Mapping[int, tuple[Codec, int]] = {
            one.payload_type: (one.codec, one.clock_rate) for one in stream.formats
        }
        self.repairs = {one.rtx: one.payload_type for one in stream.formats if one.rtx is not None}
        self.mid_id = stream.extensions.get(MID)
        self.rid_id = stream.extensions.get(RTP_STREAM_ID)
        self.repaired_rid_id = stream.extensions.get(REPAIRED_RTP_STREAM_ID)
        self.feedback = frozenset[str]().union(*(one.feedback for one in stream.formats))
        self.parameter_sets = next(
            (sets for one in stream.formats if one.codec is Codec.H264 and (sets := _negotiated_sets(one))), ()
        )

    @property
    def expected(self) -> int:
        """How many pictures or sounds it may bring."""
        return max(len(self.stream.rids), len(self.stream.layers), 1)

    @property
    def tells_arrivals(self) -> bool:
        """Whether its sender is told when packets arrived (transport-wide feedback)."""
        return "transport-cc" in self.feedback and TRANSPORT_SEQUENCE_NUMBER in self.stream.extensions

    def layer(self, packet: RtpPacket) -> str | None:
        """Which layer the packets of a new SSRC are; None when they are none of those that were negotiated."""
        stream = self.stream
        if stream.rids:
            value = packet.extension(self.rid_id) if self.rid_id is not None else None
            rid = decode_text(value) if value is not None else None
            return rid if rid in stream.rids else None
        if stream.layers:
            return f"sim{stream.layers.index(packet.ssrc)}" if packet.ssrc in stream.layers else None
        return ""

    def repaired(self, packet: RtpPacket, sources: Mapping[int, "Source"]) -> "Source | None":
        """What of this line the SSRC of a retransmission repairs; None where that is not known (yet)."""
        stream = self.stream
        candidates = [source for source in sources.values() if source.line is self]
        if stream.rids:
            value = packet.extension(self.repaired_rid_id) if self.repaired_rid_id is not None else None
            rid = decode_text(value) if value is not None else None
            return next((source for source in candidates if source.rid == rid), None)
        if (found := sources.get(stream.remote_repairs.get(packet.ssrc, -1))) is not None:
            return found
        return candidates[0] if len(candidates) == 1 and not stream.layers else None


def find_line(lines: Iterable[Line], packet: RtpPacket) -> Line | None:
    """The m-line of an SSRC that is new."""
    known = [line for line in lines if packet.payload_type in line.codecs or packet.payload_type in line.repairs]
    for line in known:
        mid = packet.extension(line.mid_id) if line.mid_id is not None else None
        if mid is not None and decode_text(mid) == line.stream.mid:
            return line
    for line in known:
        if packet.ssrc in line.stream.remote_ssrcs or packet.ssrc in line.stream.remote_repairs:
            return line
    return known[0] if len(known) == 1 else None


@dataclass(slots=True, eq=False)
class Source:
    """One SSRC of media: its receiver and what its frames belong to."""

    line: Line
    rid: str
    """Which layer it is; empty where there is one picture only, and for sound."""
    receiver: Receiver
    input: Input
    firs: int = 0
    octets_told: int = 0


def _negotiated_sets(payload_format: PayloadFormat) -> tuple[bytes, ...]:
    """SPS and PPS that an encoder gave in its SDP (RFC 6184 §8.1)."""
    words = payload_format.parameters.get("sprop-parameter-sets", "").split(",")[:_MAX_SETS]
    try:
        return tuple(b64decode(word, validate=True) for word in words if word)
    except ValueError:
        return ()
