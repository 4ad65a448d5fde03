"""What the fan-out is told and what it tells: bindings, packets, results, and the kernel as callers see it.

Specifications: RFC 3550 (RTP), RFC 8285 §4.2 (header extensions, one-byte form), RFC 3711 §3.3.1 (packet index).

The one thing a caller must keep: under one key, a sequence number of an SSRC is used for one packet only. Two packets
with the same number but other bytes would give the key's authentication away (RFC 7714 §12.1).
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from ghostlive.protocols.webrtc.pktinfo import Control, sending_from
from ghostlive.protocols.webrtc.srtp import SrtpKeys

Address: TypeAlias = tuple[int, str, int] | tuple[int, str, int, str]
"""(`socket.AF_INET` or `AF_INET6`, numeric host, port), and the address to send from if that is to be a certain one."""

MAX_PAYLOAD: Final = 4096
"""Bytes of payload that one packet may carry; it is meant for paths of 1,500 bytes or less."""
MAX_PADDING: Final = 64
"""Bytes of RTP padding that a burst's last packet may get, so that held packets travel in the same message."""
MAX_HELD: Final = 8
"""Bursts that a lane holds at most; one more sends them first."""
PATIENCE_US: Final = 10_000
"""How long one call waits in all for room in the socket, before it drops what does not fit."""
SENT_KEPT: Final = 1024
"""Packets with a transport-wide sequence number that are remembered for each viewer."""
EXTENDED_SEQUENCES: Final = 1 << 48
"""An extended sequence number is the SRTP packet index: rollover counter (32 bits) and sequence number (16 bits)."""


@dataclass(frozen=True, slots=True)
class Binding:
    """How a lane's packets look for one viewer. An extension number of 0 leaves the extension out.

    Raises `ValueError` when no header can be written from it.
    """

    ssrc: int
    payload_type: int
    sequence_offset: int
    """Added to a packet's index in the lane; the sum is the viewer's extended sequence number (0 to 2⁴⁸ − 1)."""
    timestamp_offset: int
    """Added to the lane's RTP timestamps, modulo 2³²."""
    abs_send_time_id: int = 0
    transport_sequence_id: int = 0
    mid_id: int = 0
    mid: bytes = b""

    def __post_init__(self) -> None:
        _check_header(self)
        if not -(1 << 62) <= self.sequence_offset < 1 << 62 or not -(1 << 62) <= self.timestamp_offset < 1 << 62:
            raise ValueError("an offset is out of range")


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet for one viewer: one of those with which it catches up, or a retransmission.

    Raises `ValueError` when it cannot be written.
    """

    ssrc: int
    payload_type: int
    sequence: int
    """Extended sequence number, 0 to 2⁴⁸ − 1."""
    timestamp: int
    marker: bool
    payload: bytes = field(repr=False)
    abs_send_time_id: int = 0
    transport_sequence_id: int = 0
    mid_id: int = 0
    mid: bytes = b""

    def __post_init__(self) -> None:
        _check_header(self)
        if not 0 <= self.sequence < EXTENDED_SEQUENCES or not 0 <= self.timestamp < 1 << 32:
            raise ValueError("sequence number (48 bits) or timestamp (32 bits) out of range")
        _check_payload(self.payload)


@dataclass(frozen=True, slots=True)
class Burst:
    """Packets of one timestamp in a lane: a frame, or a part of one.

    Raises `ValueError` for a payload of more than `MAX_PAYLOAD` bytes.
    """

    index: int
    """Of the first packet; payload i is packet `index + i` of the lane."""
    timestamp: int
    """RTP timestamp; bits above the 32nd do not matter."""
    payloads: Sequence[bytes] = field(repr=False)
    marker: bool = True
    """For the last packet."""

    def __post_init__(self) -> None:
        for payload in self.payloads:
            _check_payload(payload)
        if not -(1 << 62) <= self.index < 1 << 62 or not -(1 << 62) <= self.timestamp < 1 << 62:
            raise ValueError("index or timestamp out of range")


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one call, over all of its viewers."""

    packets: int = 0
    """Packets that the operating system took."""
    bytes: int = 0
    """Their size without IP and UDP headers."""
    dropped: int = 0
    """Packets that it did not take: no room, or their viewer cannot be reached."""

    def __add__(self, other: "SendResult") -> "SendResult":
        return SendResult(self.packets + other.packets, self.bytes + other.bytes, self.dropped + other.dropped)


@dataclass(frozen=True, slots=True)
class KernelStats:
    """Counts since the kernel was made."""

    viewers: int = 0
    packets: int = 0
    bytes: int = 0
    dropped: int = 0
    messages: int = 0
    """Datagrams and trains of datagrams (`UDP_SEGMENT`) that were handed to the operating system."""
    full: int = 0
    """How often it had no room (EAGAIN, ENOBUFS)."""
    unreachable: int = 0
    """How often it told that a viewer cannot be reached."""

    def __add__(self, other: "KernelStats") -> "KernelStats":
        return KernelStats(
            self.viewers + other.viewers,
            self.packets + other.packets,
            self.bytes + other.bytes,
            self.dropped + other.dropped,
            self.messages + other.messages,
            self.full + other.full,
            self.unreachable + other.unreachable,
        )


class Kernel(Protocol):
    """Rewrites, encrypts and sends. It belongs to one thread; others may call `sent`, `stats` and `viewers` only.

    A viewer that is not open is ignored everywhere, since it may have left a moment ago. Time is `now_us`, microseconds
    of a monotonic clock.
    """

    native: bool
    """Whether this is the compiled kernel."""
    patience_us: int
    """How long one call may wait in all for room in the socket; what does not fit then is dropped."""

    def open(self, viewer: int, keys: SrtpKeys, address: Address | None) -> None:
        """Add a viewer with the master key of what is sent to it; one of the same number is closed before.

        Without `address` it takes no datagrams (`protect` is for viewers by TCP). Raises `ValueError` for an address
        that the socket cannot send to.
        """

    def move(self, viewer: int, address: Address | None) -> None:
        """Send to another address from here on."""

    def close(self, viewer: int) -> None:
        """Forget a viewer, its bindings and its keys."""

    def bind(self, viewer: int, lane: int, binding: Binding) -> None:
        """Send `lane` to a viewer too, beginning with the next burst; a binding to the same lane is replaced."""

    def unbind(self, viewer: int, lane: int) -> None:
        """No more of `lane` for this viewer."""

    def viewers(self, lane: int) -> int:
        """How many viewers are bound to a lane."""

    def send(self, lane: int, burst: Burst, now_us: int) -> SendResult:
        """Send a burst to all viewers of a lane, with what other lanes hold for them.

        A packet's extended sequence number is its index plus `Binding.sequence_offset`. With something held, the
        burst's last packet may get up to `MAX_PADDING` bytes of RTP padding.
        """

    def hold(self, lane: int, burst: Burst, now_us: int) -> SendResult:
        """Like `send`, but the burst waits: for another lane's burst to the same viewer, or for `release`."""

    def release(self, lane: int, now_us: int) -> SendResult:
        """Send what the lane holds to those of its viewers that have not got it with another burst."""

    def send_to(self, viewer: int, packets: Sequence[Packet], now_us: int) -> SendResult:
        """Send packets to one viewer, whatever it is bound to."""

    def protect(self, viewer: int, packets: Sequence[Packet], now_us: int) -> list[bytes]:
        """The same packets as SRTP, for a viewer that has no datagrams; empty when the viewer is not open."""

    def sent(self, viewer: int, first: int, count: int) -> list[tuple[int, int, int]]:
        """When packets were sent: (transport-wide sequence number, microseconds, bytes) for each that is remembered.

        Looks for `count` numbers (modulo 2¹⁶) from `first` on, and keeps their order.
        """

    def stats(self) -> KernelStats:
        """Counts since the start."""

    def shut(self) -> None:
        """Close all viewers and let go of the socket; nothing is sent from here on."""


def _check_header(header: Binding | Packet) -> None:
    """Raise `ValueError` when a header cannot be written from these values."""
    if not 0 <= header.ssrc < 1 << 32 or not 0 <= header.payload_type < 128:
        raise ValueError("SSRC (32 bits) or payload type (7 bits) out of range")
    identifiers = (header.abs_send_time_id, header.transport_sequence_id, header.mid_id)
    if not all(0 <= identifier <= 14 for identifier in identifiers):
        raise ValueError(f"header extension numbers go from 1 to 14, not {identifiers}")
    if header.mid_id and not 1 <= len(header.mid) <= 16:
        raise ValueError("a mid in a header extension has 1 to 16 bytes")


def socket_address(address: Address, family: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """`address` as a socket of `family` wants it: IPv4 is mapped where the socket speaks IPv6 (RFC 4291 §2.5.5.2)."""
    kind, host, port = address[:3]
    if not 0 < port < 1 << 16:
        raise ValueError(f"{port} is no port")
    if kind == socket.AF_INET6 and family == socket.AF_INET6:
        plain, _, scope = host.partition("%")
        _numeric(socket.AF_INET6, plain)
        return plain, port, 0, _scope(scope) if scope else 0
    if kind == socket.AF_INET:
        _numeric(socket.AF_INET, host)
        return (host, port) if family == socket.AF_INET else ("::ffff:" + host, port, 0, 0)
    raise ValueError(f"a socket of IPv4 cannot send to {host}")


def source_of(address: Address, family: int) -> Control | None:
    """What a socket of `family` is to be told with each message to `address`. Raises `ValueError`."""
    return sending_from(address[3], family) if len(address) > 3 and address[3] else None


def _check_payload(payload: bytes) -> None:
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(payload)} bytes is too long")


def _numeric(family: int, host: str) -> None:
    try:
        socket.inet_pton(family, host)
    except OSError:
        raise ValueError(f"{host!r} is no numeric address") from None


def _scope(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else socket.if_nametoindex(name)
    except OSError:
        raise ValueError(f"there is no interface {name!r}") from None
