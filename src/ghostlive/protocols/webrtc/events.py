"""What a peer's transport tells its driver."""

from dataclasses import dataclass, field

from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.srtp import SrtpKeys


@dataclass(frozen=True, slots=True)
class PathAdded:
    """Datagrams from `path` are this peer's from here on: one from there had the right password."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathRemoved:
    """`path` is forgotten."""

    path: Path


@dataclass(frozen=True, slots=True)
class Connected:
    """There is a way to the peer: the first that it chose."""

    path: Path


@dataclass(frozen=True, slots=True)
class Secured:
    """The handshake is done and the peer is the one whose description was negotiated. RTP may be sent."""

    local: SrtpKeys
    remote: SrtpKeys


@dataclass(frozen=True, slots=True)
class PathChanged:
    """What is sent to the peer goes another way from here on."""

    path: Path


@dataclass(frozen=True, slots=True)
class RtpReceived:
    """An RTP packet in clear; its headers are unread, its length is at least 12."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RtcpReceived:
    """A compound RTCP packet in clear, unread."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over; the last event. `outgoing` may still hold a goodbye."""

    reason: str


PeerEvent = PathAdded | PathRemoved | Connected | Secured | PathChanged | RtpReceived | RtcpReceived | Closed
