"""The sockets that everything goes through."""

import contextlib
import socket
from typing import Final

_BUFFER: Final = 4 * 1024 * 1024
"""Bytes that the kernel may keep of what arrives and what leaves, if it lets us."""
_ATTEMPTS: Final = 10
"""How often another free port is tried."""


def bind_pair(host: str, port: int, *, tcp: bool) -> tuple[socket.socket, socket.socket | None]:
    """A UDP socket, and one for TCP on the same port if wanted. Port 0 is any that is free for both."""
    for attempt in range(_ATTEMPTS):
        udp = _bind_socket(host, port, socket.SOCK_DGRAM)
        if not tcp:
            break
        try:
            return udp, _bind_socket(host, udp.getsockname()[1], socket.SOCK_STREAM)
        except OSError:
            udp.close()
            if port or attempt == _ATTEMPTS - 1:
                raise
    return udp, None


def _bind_socket(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """A socket that does not block; without a host one for IPv4 and IPv6 where the system has both."""
    dual = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in host else socket.AF_INET
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)
        if kind == socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual or host == "::" else 1)
        if kind == socket.SOCK_DGRAM:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                with contextlib.suppress(OSError):
                    bound.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(
            error.errno, f"{error.strerror} ({'UDP' if kind == socket.SOCK_DGRAM else 'TCP'} {port})"
        ) from error
    return bound


def families_of(bound: socket.socket) -> frozenset[int]:
    """The address families that reach a socket."""
    if bound.family == socket.AF_INET:
        return frozenset({socket.AF_INET})
    both = not bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return frozenset({socket.AF_INET, socket.AF_INET6}) if both else frozenset({socket.AF_INET6})
