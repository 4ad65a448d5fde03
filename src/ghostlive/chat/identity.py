"""By what somebody is known again who has no account: their address, the network around it, and their browser.

None of the three is ever stored. What is stored is a *trace*: `epoch.address.network.browser`, each part a keyed hash
(HMAC-SHA256, cut) in base64url, empty where nothing is known. The key belongs to the epoch: it is made of the server's
secret and of a salt that is forgotten when nothing needs it any more, and with it all that the hashes could tell. Epoch
0 is that of earlier versions: one hash of the address alone, in hexadecimal, without a salt.

A browser is known by a number in a cookie that we signed (`access.browser`).
"""

import hashlib
import hmac
from base64 import b32encode, urlsafe_b64encode
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal, NamedTuple

from ghostlive.access.limits import network_of
from ghostlive.access.secret import keyed_hash

MarkKind = Literal["address", "network", "browser"]

_WIDER: Final = {4: 24, 6: 48}
"""Bits of the network that a neighbour has in common: what one subscriber, or one small network, moves within."""
_SIZES: Final[Mapping[MarkKind, int]] = {"address": 16, "network": 12, "browser": 12}
"""Bytes of each hash. A network and a browser need not be told apart from all others of the world for good."""
_KINDS: Final[tuple[MarkKind, ...]] = ("address", "network", "browser")
_TAG: Final = 5
LEGACY: Final = 0
"""The epoch of hashes that earlier versions stored."""


class Mark(NamedTuple):
    """One hash by which somebody may be known again."""

    kind: MarkKind
    epoch: int
    hash: str

    @property
    def text(self) -> str:
        """As it is stored."""
        return f"{self.epoch}.{self.hash}"


def mark_from(kind: str, text: str) -> Mark | None:
    """A mark as it was stored; None for what is none."""
    epoch, _, value = text.partition(".")
    known = next((one for one in _KINDS if one == kind), None)
    if known is None or not value or not epoch.isascii() or not epoch.isdigit():
        return None
    return Mark(known, int(epoch), value)


def marks_of(trace: str) -> list[Mark]:
    """The marks in a stored trace, whichever version wrote it."""
    if not trace:
        return []
    epoch, *parts = trace.split(".")
    if not parts:
        return [Mark("address", LEGACY, epoch)]
    if not epoch.isascii() or not epoch.isdigit():
        return []
    return [Mark(kind, int(epoch), part) for kind, part in zip(_KINDS, parts, strict=False) if part]


def same_place(one: str, other: str) -> bool:
    """Whether two traces of the same epoch are of the same address, whatever the browser."""
    return one.rpartition(".")[0] == other.rpartition(".")[0] != ""


def tag_of(trace: str) -> str:
    """What moderators see in place of an address: the same for the same address, for some weeks, and no way back.

    Empty where nothing is known.
    """
    first = next((mark for mark in marks_of(trace) if mark.kind == "address"), None)
    if first is None:
        return ""
    return b32encode(hashlib.sha256(f"tag {first.text}".encode()).digest()).decode()[:_TAG]


def wider_network(address: str) -> str:
    """The network around an address, as text: /24 of IPv4, /48 of IPv6; empty for what has none (a Unix socket)."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    bits = _WIDER[parsed.version]
    base = int(parsed) >> (parsed.max_prefixlen - bits) << (parsed.max_prefixlen - bits)
    return f"{type(parsed)(base)}/{bits}"


class Keys:
    """The keys of all epochs that are still in use. The newest makes new traces."""

    def __init__(self, secret: bytes, salts: Mapping[int, bytes] | None = None) -> None:
        """`salts` are those that are stored, by epoch."""
        self.secret = secret
        self._keys: dict[int, bytes] = {}
        self.current = LEGACY
        self.replace(salts or {})

    def __contains__(self, epoch: int) -> bool:
        return epoch == LEGACY or epoch in self._keys

    def add(self, epoch: int, salt: bytes) -> None:
        """A salt was stored."""
        self._keys[epoch] = hmac.digest(self.secret, b"chat identity\0" + salt, "sha256")
        self.current = max(self._keys)

    def replace(self, salts: Mapping[int, bytes]) -> None:
        """What is stored is this now."""
        self._keys.clear()
        self.current = LEGACY
        for epoch, salt in salts.items():
            self.add(epoch, salt)

    def hash(self, epoch: int, kind: MarkKind, text: str) -> str:
        """The hash of something by which somebody is known; empty for nothing, and in an epoch that is forgotten."""
        if not text or epoch not in self:
            return ""
        if epoch == LEGACY:
            return keyed_hash(self.secret, "chat address", text) if kind == "address" else ""
        message = f"{kind}\0{text}".encode("utf-8", "surrogatepass")
        return _base64(hmac.digest(self._keys[epoch], message, "sha256")[: _SIZES[kind]])


class Traces(NamedTuple):
    """What is known of somebody in one epoch."""

    text: str
    """The trace that is stored."""
    person: frozenset[Mark]
    """By what they are known themselves: their address, and their browser."""
    network: Mark | None


_NOTHING: Final = Traces("", frozenset(), None)


class Origin:
    """Where somebody comes from, as limits and bans see it. Addresses never appear in its representation."""

    __slots__ = ("_epoch", "_keys", "_network", "_others", "_traces", "address", "browser", "new_browser")

    def __init__(self, keys: Keys, address: str, browser: str = "", *, new_browser: bool = False) -> None:
        """`address` is an IP address; `browser` the number of a cookie that was checked, or one that is just made."""
        self._keys = keys
        self.address = network_of(address)
        """Their address, or the network that counts as one."""
        self._network = wider_network(address)
        self.browser = browser
        self.new_browser = new_browser
        """Their browser brought no cookie, and gets this one now."""
        # A ban looks at ten thousand at once, so one is made now; more are needed where old bans are.
        self._epoch = keys.current
        self._traces = self._trace(keys.current)
        self._others: dict[int, Traces] | None = None

    def __repr__(self) -> str:
        return f"Origin({self.tag})"

    @property
    def hash(self) -> str:
        """The trace that is stored."""
        return self.traces(self._keys.current).text

    @property
    def tag(self) -> str:
        """See `tag_of`."""
        return tag_of(self.hash)

    def traces(self, epoch: int) -> Traces:
        """All by which they may be known in an epoch."""
        if epoch == self._epoch:
            return self._traces
        if self._others is None:
            self._others = {}
        traces = self._others.get(epoch)
        if traces is None:
            traces = self._others[epoch] = self._trace(epoch)
        return traces

    def _trace(self, epoch: int) -> Traces:
        keys = self._keys
        if epoch not in keys:
            return _NOTHING
        address = keys.hash(epoch, "address", self.address)
        known = [Mark("address", epoch, address)] if address else []
        if epoch == LEGACY:
            return Traces(address, frozenset(known), None)
        network, browser = keys.hash(epoch, "network", self._network), keys.hash(epoch, "browser", self.browser)
        if browser:
            known.append(Mark("browser", epoch, browser))
        return Traces(
            f"{epoch}.{address}.{network}.{browser}",
            frozenset(known),
            Mark("network", epoch, network) if network else None,
        )


def browser_subject(browser: str) -> str:
    """Under what a browser stands in tables of people: nobody can find its cookie by it."""
    return "b_" + b32encode(hashlib.sha256(browser.encode()).digest()).decode().lower()[:14]


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
