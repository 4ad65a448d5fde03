"""RTCP (RFC 3550 §6, RFC 4585): what senders and receivers tell each other.

`parse_compound` and `write_compound` turn datagrams into packets and back; both take reduced-size RTCP (RFC 5506).
"""

from ghostlive.formats.rtcp.compound import parse_compound, write_compound
from ghostlive.formats.rtcp.ntp import middle, ntp_from_unix_ns, round_trip_time, unix_ns_from_ntp
from ghostlive.formats.rtcp.packets import (
    FullIntraRequest,
    Goodbye,
    Nack,
    Packet,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpError,
    SenderReport,
    SourceDescription,
    TransportFeedback,
    UnknownPacket,
)
from ghostlive.formats.rtcp.transport_feedback import make_feedback

__all__ = [
    "FullIntraRequest",
    "Goodbye",
    "Nack",
    "Packet",
    "PictureLossIndication",
    "ReceiverReport",
    "Remb",
    "ReportBlock",
    "RtcpError",
    "SenderReport",
    "SourceDescription",
    "TransportFeedback",
    "UnknownPacket",
    "make_feedback",
    "middle",
    "ntp_from_unix_ns",
    "parse_compound",
    "round_trip_time",
    "unix_ns_from_ntp",
    "write_compound",
]
