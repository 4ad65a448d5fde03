"""A way to a peer."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Path:
    """Where datagrams of a peer come from and go to; hashable."""

    transport: Literal["udp", "tcp"]
    address: tuple[str, int]
    """The peer's address and port. IPv4 is written as IPv4 also where it came through an IPv6 socket."""
    connection: int = 0
    """Number of the TCP connection; 0 by UDP."""
    local: str = ""
    """Our address that the peer sends to, where we have several and can tell; answers have to come from there."""
