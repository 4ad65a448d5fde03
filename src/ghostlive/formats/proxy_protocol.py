"""The PROXY protocol, versions 1 and 2: a header in which a load balancer names the peer it speaks for.

Reads no byte beyond the header: what follows (a TLS handshake, say) belongs to somebody else. `HeaderReader.needed`
says how many bytes may be read safely.

Specification: HAProxy, "The PROXY protocol", versions 1 and 2. Invariant: hostile bytes raise `MediaError` only; and
only a trusted proxy may be asked for a header, since anybody can write any address into one.
"""

import ipaddress
from dataclasses import dataclass

from ghostlive.core.errors import MediaError

_SIGNATURE_2 = b"\r\n\r\n\x00\r\nQUIT\n"
_SIGNATURE_1 = b"PROXY "
_MAX_HEADER_1 = 107
_MIN_UNKNOWN_1 = len(b"PROXY UNKNOWN\r\n")
_MIN_TCP_1 = len(b"PROXY TCP6 :: :: 0 0\r\n")
_MAX_HEADER_2 = 16 + 4096


@dataclass(frozen=True, slots=True)
class ProxiedPeer:
    """Whom the proxy speaks for; no address when it speaks for itself (a health check) or does not know."""

    address: str | None
    port: int = 0


class HeaderReader:
    """Takes one header, byte-exact: read at most `needed` bytes, `receive` them, until there is a `peer`."""

    def __init__(self) -> None:
        """An empty header."""
        self._buffer = bytearray()
        self.peer: ProxiedPeer | None = None

    @property
    def needed(self) -> int:
        """How many bytes of the header are missing at least; 0 when it is complete."""
        if self.peer is not None:
            return 0
        have = len(self._buffer)
        if have < len(_SIGNATURE_2):
            return len(_SIGNATURE_2) - have
        if self._buffer.startswith(_SIGNATURE_2):
            return (16 if have < 16 else 16 + int.from_bytes(self._buffer[14:16], "big")) - have
        least = _MIN_UNKNOWN_1 if self._buffer[6:7] == b"U" else _MIN_TCP_1
        return max(least - have, 1)

    def receive(self, data: bytes) -> None:
        """Take at most `needed` bytes. Raises `MediaError` when this cannot become a header."""
        buffer = self._buffer
        buffer += data
        if not _SIGNATURE_2.startswith(buffer[:12]) and not buffer.startswith(_SIGNATURE_1[: len(buffer)]):
            raise MediaError("a trusted proxy connected without a PROXY protocol header")
        if len(buffer) < len(_SIGNATURE_2):
            return
        if buffer.startswith(_SIGNATURE_2):
            if len(buffer) >= 16:
                length = 16 + int.from_bytes(buffer[14:16], "big")
                if length > _MAX_HEADER_2:
                    raise MediaError(f"a PROXY protocol header of {length} bytes")
                if len(buffer) == length:
                    self.peer = _parse_2(bytes(buffer))
        elif buffer.endswith(b"\r\n"):
            self.peer = _parse_1(bytes(buffer[:-2]))
        elif b"\r\n" in buffer:
            raise MediaError("a PROXY protocol header of version 1 is broken")
        elif len(buffer) >= _MAX_HEADER_1:
            raise MediaError("a PROXY protocol header of version 1 does not end")


def header_v1(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    """A header of version 1."""
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {source_port} {destination_port}\r\n".encode()


def header_v2(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    """A header of version 2."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    body = addresses + source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")
    family = 0x21 if ":" in source else 0x11
    return _SIGNATURE_2 + bytes([0x21, family]) + len(body).to_bytes(2, "big") + body


def _parse_1(line: bytes) -> ProxiedPeer:
    words = line.decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return ProxiedPeer(None)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise MediaError("a PROXY protocol header of version 1 is broken")
    try:
        address, port = ipaddress.ip_address(words[2]), int(words[4])
    except ValueError:
        raise MediaError("a PROXY protocol header of version 1 has a broken address") from None
    return ProxiedPeer(str(address), port)


def _parse_2(header: bytes) -> ProxiedPeer:
    version, command, family = header[12] >> 4, header[12] & 0x0F, header[13]
    if version != 2 or command > 1:
        raise MediaError("a PROXY protocol header of version 2 is broken")
    if command == 0:
        return ProxiedPeer(None)
    size = {0x11: 4, 0x12: 4, 0x21: 16, 0x22: 16}.get(family)
    if size is None:
        return ProxiedPeer(None)
    if len(header) < 16 + 2 * size + 4:
        raise MediaError("a PROXY protocol header of version 2 is cut short")
    address = ipaddress.ip_address(header[16 : 16 + size])
    port = int.from_bytes(header[16 + 2 * size : 18 + 2 * size], "big")
    return ProxiedPeer(str(address), port)
