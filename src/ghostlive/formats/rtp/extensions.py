"""RTP header extensions: their names, and their values as bytes.

Which identifier a packet has for which name is negotiated (`a=extmap`); elements themselves are read and written by
`packet`.

Specifications: RFC 8285 and those named at each constant. Invariant: values of hostile packets raise `RtpError` only.
"""

import re
from typing import Final

from ghostlive.formats.rtp.packet import RtpError

MID: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
"""Which m-line a packet belongs to (RFC 9143 §15.2); text."""
RTP_STREAM_ID: Final = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
"""Which simulcast layer a packet belongs to, the rid (RFC 8852 §4.1); text."""
REPAIRED_RTP_STREAM_ID: Final = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
"""Which simulcast layer a retransmission belongs to (RFC 8852 §4.2); text."""
ABS_SEND_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
"""When the packet was sent: seconds with 18 bits of fraction, modulo 64 (WebRTC experiments)."""
TRANSPORT_SEQUENCE_NUMBER: Final = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
"""A 16-bit count of all packets of the transport (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2)."""
PLAYOUT_DELAY: Final = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
"""The least and the most delay that a receiver should play with (WebRTC experiments)."""

_ABS_SEND_TIME_UNIT: Final = 1 << 18
_TEXT: Final = re.compile(rb"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,255}")
"""A token (RFC 8866 §9): mids are tokens, rids are a part of them (RFC 8851 §10)."""


def encode_abs_send_time(seconds: float) -> bytes:
    """Three bytes for a time of any clock."""
    return (round(seconds * _ABS_SEND_TIME_UNIT) & 0xFFFFFF).to_bytes(3, "big")


def decode_abs_send_time(value: bytes) -> float:
    """Seconds, 0 to 64; only differences mean something, modulo 64. Raises `RtpError`."""
    return _unsigned(value, 3, "abs-send-time") / _ABS_SEND_TIME_UNIT


def encode_transport_sequence_number(number: int) -> bytes:
    """Two bytes of a count that may be longer."""
    return (number & 0xFFFF).to_bytes(2, "big")


def decode_transport_sequence_number(value: bytes) -> int:
    """The lower 16 bits of the count. Raises `RtpError`."""
    return _unsigned(value, 2, "transport sequence number")


def encode_text(text: str) -> bytes:
    """A mid or a rid. Raises `RtpError` for what cannot be one."""
    value = text.encode()
    if not _TEXT.fullmatch(value):
        raise RtpError(f"{text!r} is not a token")
    return value


def decode_text(value: bytes) -> str:
    """The mid or rid in an extension. Raises `RtpError` for what cannot be one."""
    # Some senders fill the element up with zeros.
    text = value.rstrip(b"\0")
    if not _TEXT.fullmatch(text):
        raise RtpError("an RTP header extension should be a token and is not")
    return text.decode("ascii")


def _unsigned(value: bytes, size: int, name: str) -> int:
    if len(value) != size:
        raise RtpError(f"the RTP header extension {name} has {len(value)} bytes, not {size}")
    return int.from_bytes(value, "big")
