"""RTCP packets as values.

Specifications: RFC 3550 §6.4 to §6.6 (reports, SDES, BYE), RFC 4585 §6 (NACK, PLI), RFC 5104 §4.3.1 (FIR),
draft-alvestrand-rmcat-remb-03 (REMB), draft-holmer-rmcat-transport-wide-cc-extensions-01 (transport-wide feedback).
"""

from dataclasses import dataclass

from ghostlive.core.errors import MediaError


class RtcpError(MediaError):
    """Bytes that are no RTCP, or a packet whose fields do not fit the wire."""


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """How well one source is received (RFC 3550 §6.4.1)."""

    ssrc: int
    """The source that this is about."""
    fraction_lost: int
    """Of 256, since the report before."""
    lost: int
    """Packets lost since the beginning; negative with duplicates. Signed, 24 bits."""
    highest_sequence: int
    """Highest sequence number received, with its turns in the upper 16 of 32 bits."""
    jitter: int
    """Mean deviation of arrival times, in the source's timestamp units."""
    last_sr: int = 0
    """The middle 32 bits of the NTP time in the last sender report; 0 when there was none."""
    delay_since_last_sr: int = 0
    """Since that report arrived, in 1/65536 s."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What a source has sent, and which wall-clock time its timestamps have (RFC 3550 §6.4.1)."""

    ssrc: int
    ntp: int
    """Seconds since 1900 with 32 bits of fraction; see `ntp`."""
    rtp_timestamp: int
    """The same instant in the source's timestamps."""
    packets: int
    octets: int
    """Bytes of payload sent."""
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """A report of who sends nothing (RFC 3550 §6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """One source's canonical name (RFC 3550 §6.5); other items are left out."""

    ssrc: int
    cname: str
    """Empty when the chunk had none."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Sources that end (RFC 3550 §6.6)."""

    ssrcs: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Nack:
    """A request to send packets again (RFC 4585 §6.2.1)."""

    sender_ssrc: int
    media_ssrc: int
    sequence_numbers: tuple[int, ...]
    """Written most compactly when they ascend, modulo 2^16."""


@dataclass(frozen=True, slots=True)
class PictureLossIndication:
    """A request for a keyframe (RFC 4585 §6.3.1)."""

    sender_ssrc: int
    media_ssrc: int


@dataclass(frozen=True, slots=True)
class FullIntraRequest:
    """A request for keyframes (RFC 5104 §4.3.1)."""

    sender_ssrc: int
    entries: tuple[tuple[int, int], ...]
    """Media sources, each with a number (8 bits) that is new with each new request."""


@dataclass(frozen=True, slots=True)
class Remb:
    """What the receiver believes to be able to take, of all `ssrcs` together (draft-alvestrand-rmcat-remb-03)."""

    sender_ssrc: int
    bitrate: int
    """Bits per second; written with 18 significant bits, rounded down."""
    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """When packets of the transport arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

    `make_feedback` makes them from arrivals.
    """

    sender_ssrc: int
    media_ssrc: int
    base_sequence_number: int
    """The sequence number of the first of `arrivals`, 16 bits."""
    feedback_count: int
    """8 bits, one more with each of them."""
    reference_time: int
    """In 64 ms, signed, 24 bits: where the deltas on the wire begin."""
    arrivals: tuple[tuple[int, int | None], ...]
    """Sequence numbers (16 bits) without gaps, each with its time of arrival on the receiver's clock in microseconds
    (multiples of 250, wrapping with `reference_time`), None for those that are missing."""


@dataclass(frozen=True, slots=True)
class UnknownPacket:
    """A well-framed packet of a kind that means nothing here."""

    payload_type: int
    count: int
    """The five bits after the padding bit: a count, a subtype or a feedback message type."""
    body: bytes
    """All behind the first four bytes, without padding."""


Packet = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Goodbye
    | Nack
    | PictureLossIndication
    | FullIntraRequest
    | Remb
    | TransportFeedback
    | UnknownPacket
)
