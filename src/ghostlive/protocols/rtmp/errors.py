"""What goes wrong with an RTMP peer. The text is sent to the encoder, whose log its user reads.

RtmpError
├── ProtocolError            bytes that are no RTMP
│   ├── HandshakeError       … not even its first ones
│   ├── ChunkError           broken chunk headers
│   ├── AmfError             broken or oversized AMF values
│   └── CommandError         commands out of place
├── LimitError               the peer wants more than it may have
├── PeerTimeoutError         the peer is silent or slow
└── PublishError             the publish is refused or cannot go on
    └── UnusableMediaError   what the encoder sends cannot be played

`code` is what goes on the wire as `onStatus` code (RTMP §7.2.2).
"""

from typing import ClassVar

from ghostlive.core.errors import GhostliveError

CONNECT_REJECTED = "NetConnection.Connect.Rejected"
CONNECT_CLOSED = "NetConnection.Connect.Closed"
PUBLISH_BAD_NAME = "NetStream.Publish.BadName"
PUBLISH_REJECTED = "NetStream.Publish.Rejected"


class RtmpError(GhostliveError):
    """Base of all that can go wrong with one RTMP peer."""

    code: ClassVar[str] = CONNECT_CLOSED


class ProtocolError(RtmpError):
    """The bytes break the RTMP specification."""


class HandshakeError(ProtocolError):
    """The first bytes are not an RTMP handshake."""


class ChunkError(ProtocolError):
    """A chunk header cannot be right."""


class AmfError(ProtocolError):
    """An AMF value is cut short, unknown, too deep or too large."""


class CommandError(ProtocolError):
    """A command came where it may not, or without what it needs."""


class LimitError(RtmpError):
    """The peer went over a limit; the text names it."""


class PeerTimeoutError(RtmpError):
    """The peer took too long or went silent."""


class PublishError(RtmpError):
    """The publish is refused or cannot go on."""

    code = PUBLISH_BAD_NAME


class UnusableMediaError(PublishError):
    """The media cannot be played; the text says what to change in the encoder."""

    code = PUBLISH_REJECTED
