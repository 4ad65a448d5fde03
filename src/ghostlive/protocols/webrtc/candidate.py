"""ICE candidates as SDP and signalling write them.

What does not live here: checks and pairs (`ice`).

Specifications: RFC 8839 §5.1, RFC 6544 §4.5 for TCP, RFC 8445 §5.1.2 for priorities. Invariant: hostile text raises
`NegotiationError` and nothing else.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal, Self, cast, get_args

from ghostlive.protocols.webrtc.errors import NegotiationError

Transport = Literal["udp", "tcp"]
CandidateType = Literal["host", "srflx", "prflx", "relay"]
TcpType = Literal["active", "passive", "so"]

_MAX_LENGTH: Final = 1024
_FOUNDATION: Final = re.compile(r"[A-Za-z0-9+/]{1,32}")
# Browsers hide private addresses behind names that only multicast DNS knows.
_HOST_NAME: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
_PREFERENCE: Final = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}
_TCP_PREFERENCE: Final = {"active": 6, "passive": 4, "so": 2, None: 0}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One transport address of a peer. Extensions other than `tcptype` and the related address are left out."""

    foundation: str
    component: int
    """1 (RTP, and everything when RTCP is multiplexed) to 256."""
    transport: Transport
    priority: int
    """1 to 2^32 - 1."""
    address: str
    """IPv4, IPv6 in its shortest form, or a host name (`….local`)."""
    port: int
    """0 to 65535; active TCP candidates have 9, which means nothing."""
    type: CandidateType
    tcptype: TcpType | None = None
    """With TCP: who connects."""
    related_address: str | None = None
    related_port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `candidate:…`, with or without `a=` before it. Raises `NegotiationError`."""
        if len(text) > _MAX_LENGTH:
            raise NegotiationError(f"an ICE candidate has {len(text)} characters")
        words = text.strip().removeprefix("a=").removeprefix("candidate:").split()
        if len(words) < 8 or words[6].lower() != "typ":
            raise NegotiationError(f"not an ICE candidate: {text[:80]!r}")
        foundation, kind, transport = words[0], words[7].lower(), words[2].lower()
        if not _FOUNDATION.fullmatch(foundation):
            raise NegotiationError(f"an ICE candidate has the impossible foundation {foundation[:40]!r}")
        if transport not in get_args(Transport):
            raise NegotiationError(f"ICE candidates by {transport[:20]!r} are unknown; udp and tcp are known")
        if kind not in _PREFERENCE:
            raise NegotiationError(f"ICE candidates of type {kind[:20]!r} are unknown")
        # Pairs of a name and a value; a name left alone at the end is of no use.
        extensions = dict(zip(words[8::2], words[9::2], strict=False))
        tcptype = extensions.get("tcptype", "").lower() or None
        if tcptype is not None and tcptype not in get_args(TcpType):
            raise NegotiationError(f"ICE-TCP candidates that are {tcptype[:20]!r} are unknown")
        related = extensions.get("raddr")
        return cls(
            foundation,
            _number(words[1], 1, 256, "component"),
            cast("Transport", transport),
            _number(words[3], 1, 0xFFFFFFFF, "priority"),
            _address(words[4]),
            _number(words[5], 0, 65535, "port"),
            cast("CandidateType", kind),
            cast("TcpType | None", tcptype) if transport == "tcp" else None,
            None if related is None else _address(related),
            _number(extensions["rport"], 0, 65535, "related port") if "rport" in extensions else None,
        )

    def to_text(self) -> str:
        """`candidate:…`, as `parse` reads it and as browsers take it in `addIceCandidate`."""
        words = [
            f"candidate:{self.foundation}", str(self.component), self.transport, str(self.priority), self.address,
            str(self.port), "typ", self.type,
        ]  # fmt: skip
        if self.related_address is not None:
            words += ["raddr", self.related_address]
        if self.related_port is not None:
            words += ["rport", str(self.related_port)]
        if self.tcptype is not None:
            words += ["tcptype", self.tcptype]
        return " ".join(words)

    def __str__(self) -> str:
        return self.to_text()


def candidate_priority(
    kind: CandidateType, *, local: int = 65535, component: int = 1, tcptype: TcpType | None = None
) -> int:
    """The recommended priority (RFC 8445 §5.1.2.1); `local` orders the addresses of one host.

    Of `local`, TCP candidates keep the lower 13 bits, below their direction (RFC 6544 §4.2).
    """
    if tcptype is not None:
        local = _TCP_PREFERENCE[tcptype] << 13 | local & 0x1FFF
    # UDP comes before TCP of the same type (RFC 6544 §4.2), since its packets do not wait for each other.
    preference = _PREFERENCE[kind] - (27 if tcptype is not None and kind != "relay" else 0)
    return preference << 24 | (local & 0xFFFF) << 8 | 256 - component


def _number(word: str, least: int, most: int, name: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 10) or not least <= (number := int(word)) <= most:
        raise NegotiationError(f"an ICE candidate has the impossible {name} {word[:20]!r}")
    return number


def _address(word: str) -> str:
    try:
        # A zone means something on the peer's own host only.
        return str(ipaddress.ip_address(word.partition("%")[0]))
    except ValueError:
        if _HOST_NAME.fullmatch(word):
            return word
    raise NegotiationError(f"an ICE candidate has the impossible address {word[:60]!r}")
