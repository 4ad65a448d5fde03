"""Who a request comes from: the peer of the connection, or whom a trusted proxy names (`X-Forwarded-For`).

A proxy appends the address of its own peer, so the field is read from the right, as far as trusted proxies wrote it:
what stands further left is anybody's claim. Values come from strangers; whatever they are, nothing here raises.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

from ghostlive.core.errors import ConfigurationError

_MOST_HOPS: Final = 16
"""How many proxies in a row are followed."""
_SCHEMES: Final = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}

Fields = Iterable[tuple[bytes, bytes]]
"""Header fields with lower-case names."""


class Client(NamedTuple):
    """Where a request comes from."""

    address: str
    """The IP address, without zone; an IPv4 address is written as such even when it came over an IPv6 socket."""
    scheme: str
    """`http` or `https`, as the viewer's browser knows the page."""


class Networks:
    """Addresses and networks, as somebody configured them."""

    def __init__(self, texts: Iterable[str], setting: str) -> None:
        """Raises `ConfigurationError`, which names `setting`, for a text that is neither."""
        self._networks = tuple(_network(text, setting) for text in texts)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Whether it is one of them; text that is no address is not."""
        found = _parse(address) if self._networks else None
        return found is not None and self.hold(found)

    def hold(self, address: IPv4Address | IPv6Address) -> bool:
        """The same for an address that was read; one of IPv4 may not be written as one of IPv6."""
        return any(address in network for network in self._networks)


class ClientAddress:
    """Knows which proxies are trusted. Made once for the listener."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """`trusted` are addresses and networks. Raises `ConfigurationError` for one that is neither."""
        self._networks = Networks(trusted, "http.trusted_proxies")

    @property
    def in_use(self) -> bool:
        """Whether any proxy is trusted at all."""
        return bool(self._networks)

    def trusts(self, address: str) -> bool:
        """Whether this is the address of a proxy whose word counts."""
        return address in self._networks

    def resolve(self, peer: str, fields: Fields, scheme: str = "http") -> Client:
        """The client of a request with these header fields that `peer` sent."""
        address = _parse(peer)
        if address is None or not self._networks.hold(address):
            return Client(plain_address(peer), scheme)
        chain: list[bytes] = []
        for name, value in fields:
            if name == b"x-forwarded-for":
                chain += value.rsplit(b",", _MOST_HOPS)
            elif name == b"x-forwarded-proto":
                scheme = _SCHEMES.get(value.partition(b",")[0].strip().lower(), scheme)
        for entry in reversed(chain[-_MOST_HOPS:]):
            named = _parse(_without_port(entry.decode("latin-1").strip(' \t"')))
            if named is None:
                break
            address = named
            if not self._networks.hold(named):
                break
        return Client(str(address), scheme)

    def overlooked(self, peer: str, fields: Fields) -> bool:
        """Whether `peer` looks like a proxy of ours that nobody said to trust.

        Then everybody behind it has one address, and a limit or a ban of one is one of all. Strangers elsewhere may
        write what they like and are no proxies.
        """
        address = _parse(peer)
        if address is None or self._networks.hold(address) or not (address.is_private or address.is_loopback):
            return False
        return any(name == b"x-forwarded-for" for name, _ in fields)


def plain_address(text: str) -> str:
    """An IP address in its usual form; text that is none (a Unix socket has no address) as it is."""
    if ":" not in text:
        return text
    address = _parse(text)
    return text if address is None else str(address)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _without_port(text: str) -> str:
    """Some proxies write `192.0.2.7:50000` or `[2001:db8::7]:50000`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _network(text: str, setting: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise ConfigurationError(
            f"{setting}: {text!r} is no network; write 127.0.0.1, 10.0.0.0/8 or fd00::/8"
        ) from None
