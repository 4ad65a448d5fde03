"""WebSocket connections as their users see them (RFC 6455): who fans out writes frames that were encoded once.

The transport (`web.websocket`) parses, answers pings, splits and joins; rooms above see whole text messages. Frames
from a server are not masked (§5.1), so one encoding serves every viewer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

TEXT: Final = 0x81
"""First byte of a final text frame (§5.2)."""

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
UNSUPPORTED_DATA: Final = 1003
POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013
"""Close codes (§7.4.1, and the IANA registry for the last)."""
BANNED: Final = 4003
"""Our own close code (§7.4.2): who is behind this connection was put out."""


def text_frame(payload: bytes) -> bytes:
    """A whole unmasked text message in one frame (§5.2). `payload` is UTF-8."""
    size = len(payload)
    if size < 126:
        return bytes((TEXT, size)) + payload
    if size < 65536:
        return bytes((TEXT, 126)) + size.to_bytes(2, "big") + payload
    return bytes((TEXT, 127)) + size.to_bytes(8, "big") + payload


@dataclass(frozen=True, slots=True)
class Opening:
    """The request that opens a WebSocket. Secrets never appear in its representation."""

    path: str
    query: str = field(repr=False)
    address: str
    """The viewer's IP address, after trusted proxies."""
    agent: str = ""
    """User-Agent."""
    cookies: dict[str, str] = field(default_factory=dict, repr=False)
    host: str = ""
    """Host: by which name or address the server was asked."""
    secure: bool = False
    """The browser came by HTTPS, maybe to a proxy in front of us."""
    answer: list[tuple[bytes, bytes]] = field(default_factory=list, repr=False)
    """Header fields for the answer that opens the socket, which whoever takes it may add to."""


class Connection(Protocol):
    """One open WebSocket, as the room above it may use it."""

    @property
    def waiting(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""

    @property
    def closed_with(self) -> int | None:
        """The code with which the peer closed; None while it has not, or when the connection broke."""

    def write(self, frames: bytes) -> None:
        """Send whole frames that are encoded already. Never blocks; does nothing once closing."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after what waits, then end; a peer that does not read is cut off after a few seconds."""


WriteEach = Callable[[Sequence[Connection], bytes], None]
"""Writes the same whole frames to each of many connections; what `Connection.write` says holds."""


def write_each(connections: Sequence[Connection], frames: bytes) -> None:
    """A `WriteEach` for any connections; the transport may have one that does it at less cost."""
    for connection in connections:
        connection.write(frames)


class Peer(Protocol):
    """What the room above makes for each connection."""

    def text(self, message: str) -> None:
        """A whole text message arrived."""

    def gone(self) -> None:
        """The connection is over; called exactly once, and nothing else after it."""
