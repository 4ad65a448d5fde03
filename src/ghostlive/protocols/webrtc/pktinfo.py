"""To which of our addresses a datagram came, and sending from that one (RFC 3542 §6, ip(7)).

A host may have several addresses in one network. A peer checks each of them as a way of its own (RFC 8445 §6.1.2) and
drops what comes from another one than it had asked, while the system would always choose the same one to send from.
"""

import functools
import socket
import sys
from typing import Final

ROOM: Final = 64
"""Bytes for what comes with a datagram."""

Control = tuple[int, int, bytes]
"""Level, type and data of a control message (sendmsg(2))."""

# Python names it from version 3.14 on.
_IP_PKTINFO: Final = 8 if sys.platform == "linux" else 0
_MAPPED: Final = bytes(10) + b"\xff\xff"


def tell_destination(bound: socket.socket) -> bool:
    """Have a UDP socket tell to which address each datagram came; False when it has one only, or cannot tell."""
    host = bound.getsockname()[0]
    try:
        if bound.family == socket.AF_INET6 and host == "::":
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            return True
        if bound.family == socket.AF_INET and host == "0.0.0.0" and _IP_PKTINFO:  # noqa: S104 - nothing is bound here
            bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            return True
    except (OSError, AttributeError):
        pass  # a system that has no such thing
    return False


def destination(ancillary: list[Control]) -> str:
    """The address of ours that a datagram came to; empty when it is not told, or means nothing by itself."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(data) >= 16:
            return _text(data[:16])
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= 12:
            return _text(data[4:8])
    return ""


@functools.lru_cache(maxsize=256)
def sending_from(local: str, family: int) -> Control:
    """What a socket of `family` is to be told to send from `local`. Raises `ValueError` for what is no such address."""
    try:
        if family == socket.AF_INET:
            return socket.IPPROTO_IP, _IP_PKTINFO, bytes(4) + socket.inet_pton(socket.AF_INET, local) + bytes(4)
        packed = socket.inet_pton(socket.AF_INET6, local if ":" in local else f"::ffff:{local}")
        return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packed + bytes(4)
    except OSError:
        raise ValueError(f"{local!r} is no address to send from") from None


@functools.lru_cache(maxsize=64)
def _text(packed: bytes) -> str:
    if len(packed) == 16 and packed.startswith(_MAPPED):
        packed = packed[12:]
    if packed[:1] == b"\xfe" and packed[1:2] >= b"\x80" and len(packed) == 16:
        return ""  # means something together with an interface only (RFC 4291 §2.5.6); none is announced
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
