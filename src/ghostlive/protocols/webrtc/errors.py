"""What can be wrong with a WebRTC peer, in words for people.

WebRtcError
├── NegotiationError     an offer or answer that cannot be used
├── LimitError           too many peers, or one that asks for too much
└── TransportError       datagrams that cannot be used
    ├── StunError        bytes that are no STUN message, or a broken one
    ├── DtlsError        the handshake failed, or the peer is not the one that the description names
    └── SrtpError        a packet that is forged, repeated or broken
"""

from ghostlive.core.errors import GhostliveError


class WebRtcError(GhostliveError):
    """Anything that ends or refuses a WebRTC session."""


class NegotiationError(WebRtcError):
    """An offer or answer that cannot be used; the text says what it lacks."""


class LimitError(WebRtcError):
    """There are too many peers, or one of them asks for too much."""


class TransportError(WebRtcError):
    """Datagrams of a peer that cannot be used."""


class StunError(TransportError):
    """Bytes that are no STUN message, or one that breaks RFC 8489."""


class DtlsError(TransportError):
    """The handshake failed, or the peer's certificate is not the one that its description names."""


class SrtpError(TransportError):
    """An SRTP or SRTCP packet that is forged, repeated, too long or cannot be encrypted."""
