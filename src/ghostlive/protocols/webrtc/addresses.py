"""Under which addresses this server tells peers to reach it, and as which ICE candidates.

Announced are the configured addresses, else those of this machine's interfaces, what a STUN server saw, and the address
by which a page was asked if that is one: who gets a page from there most likely gets media from there too, through a
port forwarding or out of a container. A server behind a NAT does not know its public address by itself.
"""

import ctypes
import socket
import struct
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from ghostlive.core.errors import ConfigurationError
from ghostlive.protocols.webrtc.candidate import Candidate, candidate_priority

BOTH: Final = frozenset({"udp", "tcp"})
"""Every transport."""
_MOST: Final = 12
"""Addresses that are announced: a browser tries each with each of its own."""
_REMEMBERED: Final = 10.0
"""Seconds for which the interfaces are not looked at again."""
_INSIDE: Final = ("docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "podman", "lxc", "vmnet", "vboxnet")
"""Interfaces that lead to this machine's own containers; their addresses tell a viewer nothing."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """An address that is announced."""

    address: Address
    port: int | None = None
    """None is the port that is listened on."""

    @classmethod
    def parse(cls, text: str) -> "PublicAddress":
        """Read `192.0.2.7`, `192.0.2.7:40000`, `2001:db8::7` or `[2001:db8::7]:40000`.

        Raises `ConfigurationError`.
        """
        host, port = _split(text.strip())
        try:
            address = ip_address(host)
            number = None if port is None else int(port)
        except ValueError:
            raise ConfigurationError(
                f"webrtc.public_addresses: {text!r} is no IP address; write 192.0.2.7, 192.0.2.7:40000 or 2001:db8::7"
            ) from None
        if number is not None and not 0 < number < 65536:
            raise ConfigurationError(f"webrtc.public_addresses: {text!r} has no port from 1 to 65535")
        if not _usable(address):
            raise ConfigurationError(f"webrtc.public_addresses: nobody can reach {text!r}")
        return cls(address, number)


class Addresses:
    """Chooses what is announced."""

    def __init__(
        self,
        configured: Iterable[str],
        *,
        families: Collection[int] = (socket.AF_INET, socket.AF_INET6),
        interfaces: "Callable[[], list[Address]] | None" = None,
        now: Callable[[], float],
    ) -> None:
        """`families` are what the socket takes. Raises `ConfigurationError` for what is no address."""
        self._configured = [PublicAddress.parse(text) for text in configured]
        self.families = frozenset(families)
        self._interfaces = interfaces or interface_addresses
        self._now = now
        self._own: list[Address] = []
        self._own_until = float("-inf")
        self.learned: dict[int, PublicAddress] = {}
        """What STUN servers saw, by family."""

    def for_host(self, host: str) -> list[PublicAddress]:
        """What is announced to who asked for `host` (a field `Host`), the best first."""
        asked = address_of_host(host)
        found: list[PublicAddress] = []
        if self._configured:
            found += self._configured
            if asked is not None and asked.is_loopback:
                found.append(PublicAddress(asked))
        else:
            if asked is not None:
                found.append(PublicAddress(asked))
            found += self.learned.values()
            found += [PublicAddress(address) for address in self._own_addresses()]
        fitting = [one for one in found if _family(one.address) in self.families]
        return list(dict.fromkeys(fitting))[:_MOST]

    def _own_addresses(self) -> list[Address]:
        now = self._now()
        if now >= self._own_until:
            self._own = self._interfaces()
            self._own_until = now + _REMEMBERED
        return self._own


def candidates(
    addresses: Iterable[PublicAddress], *, udp_port: int, tcp_port: int | None, transports: Collection[str] = BOTH
) -> tuple[Candidate, ...]:
    """Host candidates (RFC 8445 §5.1.1; passive ones by TCP, RFC 6544 §5.1), the first address preferred."""
    found: list[Candidate] = []
    listed = list(addresses)
    if "udp" in transports:
        for index, one in enumerate(listed):
            priority = candidate_priority("host", local=65535 - index)
            foundation, port = str(len(found) + 1), one.port or udp_port
            found.append(Candidate(foundation, 1, "udp", priority, str(one.address), port, "host"))
    if "tcp" in transports and tcp_port is not None:
        for index, one in enumerate(listed):
            priority = candidate_priority("host", local=8191 - index, tcptype="passive")
            foundation, port = str(len(found) + 1), one.port or tcp_port
            found.append(Candidate(foundation, 1, "tcp", priority, str(one.address), port, "host", tcptype="passive"))
    return tuple(found)


def address_of_host(host: str) -> Address | None:
    """The address that a field `Host` names; for `localhost` 127.0.0.1, for other names None."""
    name, _ = _split(host.strip().lower())
    if name == "localhost" or name.endswith(".localhost"):
        return IPv4Address("127.0.0.1")
    try:
        address = ip_address(name)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address if _usable(address) else None


def interface_addresses() -> list[Address]:
    """The addresses of this machine that others may reach: public ones first, none of its own containers'."""
    found = [(name, address) for name, address in _getifaddrs() if _reachable(address)]
    outside = [address for name, address in found if not name.startswith(_INSIDE)]
    chosen = outside or [address for _, address in found]
    # Stable: within a kind in the order of the interfaces, which is that of the system's own preference.
    return sorted(dict.fromkeys(chosen), key=lambda address: (not address.is_global, address.version))


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest[1:] if rest.startswith(":") else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, None


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _usable(address: Address) -> bool:
    return not (address.is_unspecified or address.is_multicast or (address.version == 6 and address.is_link_local))


def _reachable(address: Address) -> bool:
    return _usable(address) and not address.is_loopback and not address.is_link_local


class _Ifaddrs(ctypes.Structure):
    """`struct ifaddrs`, as far as it is read (getifaddrs(3)); it is the same on Linux, BSD and macOS."""


_Ifaddrs._fields_ = [
    ("next", ctypes.POINTER(_Ifaddrs)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
]

_UP: Final = 0x1


def _getifaddrs() -> list[tuple[str, Address]]:
    """Interfaces that are up, with their addresses; empty where the system cannot tell."""
    try:
        library = ctypes.CDLL(None)  # this process, which has the C library in it
        head = ctypes.POINTER(_Ifaddrs)()
        if library.getifaddrs(ctypes.byref(head)) != 0:
            return []
    except (OSError, AttributeError):
        return []
    found: list[tuple[str, Address]] = []
    try:
        entry: Any = head
        while entry:
            one = entry.contents
            if one.address and one.flags & _UP and (address := _sockaddr(one.address)) is not None:
                found.append((one.name.decode(errors="replace"), address))
            entry = one.next
    finally:
        library.freeifaddrs(head)
    return found


def _sockaddr(pointer: int) -> Address | None:
    family = _family_at(pointer)
    if family == socket.AF_INET:
        return IPv4Address(ctypes.string_at(pointer + 4, 4))
    if family == socket.AF_INET6:
        return IPv6Address(ctypes.string_at(pointer + 8, 16))
    return None


def _family_at(pointer: int) -> int:
    """`sa_family`: two bytes on Linux; elsewhere one, behind one that holds the length."""
    head = ctypes.string_at(pointer, 2)
    return int(struct.unpack("=H", head)[0]) if sys.platform == "linux" else head[1]
