"""TCP connections of peers whose networks let no UDP through (ICE-TCP, RFC 6544; the server is passive).

A connection belongs to nobody until its first packet is a STUN request for a session that there is; one that says
nothing of that kind soon is closed.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from typing import Final, Protocol, cast

from ghostlive.core.clock import Clock, Timer
from ghostlive.protocols.webrtc.framing import FrameReader, FramingError, frame
from ghostlive.protocols.webrtc.path import Path

OPENING_TIME: Final = 10.0
"""Seconds in which a connection must have said whose it is."""
_NOT_SENT: Final = 128 * 1024
"""Bytes that the kernel keeps before they are on their way: what waits longer waits here, where it is counted."""


class TcpOwner(Protocol):
    """What connections need of the server."""

    clock: Clock

    def tcp_opened(self, connection: "TcpConnection") -> str:
        """Count it in; a non-empty answer says why it must not stay."""

    def tcp_received(self, connection: "TcpConnection", packet: bytes) -> None:
        """A packet arrived."""

    def tcp_waiting(self, connection: "TcpConnection", size: int) -> None:
        """So many bytes wait for it now. May cut it off."""

    def tcp_closed(self, connection: "TcpConnection") -> None:
        """It is over; called once for each that was opened."""


class TcpConnection(asyncio.Protocol):
    """One connection."""

    def __init__(self, owner: TcpOwner, number: int, *, most_waiting: int) -> None:
        """A connection for which more than `most_waiting` bytes wait is cut off."""
        self._owner = owner
        self._number = number
        self._most_waiting = most_waiting
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._timer: Timer | None = None
        self.path = Path("tcp", ("", 0), number)
        self.adopted = False
        """Whether it belongs to a session."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        peer = transport.get_extra_info("peername")
        host, port = (plain_host(peer[0]), peer[1]) if peer else ("", 0)
        self.path = Path("tcp", (host, port), self._number)
        if (connected := transport.get_extra_info("socket")) is not None:
            _tune(connected)
        # Then `resume_writing` tells as soon as nothing waits any more.
        self._transport.set_write_buffer_limits(high=0)
        if self._owner.tcp_opened(self):
            self._transport.abort()
            return
        self._timer = self._owner.clock.call_later(OPENING_TIME, self._late)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            packets = self._reader.receive(data)
        except FramingError:
            self.abort()
            return
        for packet in packets:
            if self._transport is None or self._transport.is_closing():
                return
            self._owner.tcp_received(self, packet)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`: the kernel has taken everything."""
        self._owner.tcp_waiting(self, 0)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._owner.tcp_waiting(self, 0)
        self._owner.tcp_closed(self)

    def adopt(self) -> None:
        """A session knows it."""
        self.adopted = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def backlog(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, packets: Iterable[bytes]) -> None:
        """Write packets, each with its length. A peer that has stopped reading is cut off."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > self._most_waiting:
            self.abort()
            return
        transport.write(b"".join(map(frame, packets)))
        if waiting := transport.get_write_buffer_size():
            self._owner.tcp_waiting(self, waiting)

    def close(self) -> None:
        """End it after what waits."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    def _late(self) -> None:
        self._timer = None
        if not self.adopted:
            self.abort()


def plain_host(text: str) -> str:
    """An address as a dual-stack socket has it, with IPv4 written as IPv4, and without a zone."""
    if text.startswith("::ffff:") and "." in text:
        return text[7:]
    return text.partition("%")[0]


def _tune(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
