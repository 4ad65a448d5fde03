"""What stands between a peer's transport and whoever uses it: the viewer of a stream, or its publisher.

The server owns sockets, ICE and DTLS. A handler hears of a peer once its keys are there, gets RTP and RTCP in clear,
and speaks through its link. All of it happens on the event loop's thread.
"""

from collections.abc import Sequence
from typing import Protocol

from ghostlive.protocols.webrtc.fanout.types import Address
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.srtp import SrtpKeys


class PeerLink(Protocol):
    """One secured peer, as its handler may use it. After the end, sending does nothing."""

    @property
    def path(self) -> Path:
        """Where the peer is at the moment."""

    @property
    def address(self) -> Address | None:
        """Where the peer is for the server's UDP socket; None by TCP."""

    @property
    def local(self) -> SrtpKeys:
        """The master key and salt of what goes to the peer."""

    @property
    def backlog(self) -> int:
        """Bytes that a TCP connection has not taken yet; 0 by UDP."""

    def now(self) -> float:
        """Monotonic seconds."""

    def send_rtcp(self, data: bytes) -> None:
        """Encrypt and send a compound RTCP packet."""

    def send_rtp(self, data: bytes) -> None:
        """Encrypt and send one RTP packet. Not for media by the thousand: that is for the fan-out."""

    def send_protected(self, packets: Sequence[bytes]) -> None:
        """Send SRTP packets as they are; by TCP each gets its length before it (RFC 4571)."""

    def close(self, reason: str) -> None:
        """End the session. The handler's `closed` is called with `reason`."""


class PeerHandler(Protocol):
    """Who uses a peer. Nothing of it may wait, and what it raises ends the session."""

    def secured(self, link: PeerLink) -> None:
        """The peer is connected and its keys are known; called once, and first."""

    def rtp(self, data: bytes, now: float) -> None:
        """An RTP packet of the peer, decrypted and not yet parsed."""

    def rtcp(self, data: bytes, now: float) -> None:
        """A compound RTCP packet of the peer, decrypted and not yet parsed."""

    def moved(self, path: Path) -> None:
        """The peer is reached another way from here on; the link knows it already."""

    def closed(self, reason: str) -> None:
        """The session is over, for a `reason` in words; called exactly once and last, `secured` or not."""
