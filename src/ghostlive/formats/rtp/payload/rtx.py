"""Retransmission: a payload that is sent again goes with the sequence number that it had.

The packet around it has the SSRC, payload type and sequence numbers of the retransmission stream, and timestamp and
marker of the original.

Specification: RFC 4588 §4.
"""

from ghostlive.formats.rtp.payload.model import PayloadError


def wrap(sequence_number: int, payload: bytes) -> bytes:
    """The payload of the retransmission of `payload`, which was sent with `sequence_number` (modulo 2^16 is taken)."""
    return (sequence_number & 0xFFFF).to_bytes(2, "big") + payload


def unwrap(payload: bytes) -> tuple[int, bytes] | None:
    """The original sequence number (16 bits) and payload.

    None when the packet is nothing but padding, with which senders find out how much a path can carry. Raises
    `PayloadError` when it ends inside the number.
    """
    if len(payload) < 2:
        if payload:
            raise PayloadError("a retransmission ends inside its original sequence number")
        return None
    return int.from_bytes(payload[:2], "big"), payload[2:]
