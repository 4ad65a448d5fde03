"""A network in memory, on fake time: loss, reordering, duplication, jitter, a smallest MTU, addresses that change.

network = Network(seed=1, loss=0.05, delay=0.05, jitter=0.2)
server, client = network.server(peer), network.client(test_peer, ("198.51.100.7", 5000))
network.run(lambda: test_peer.secured)
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from typing import Literal, Protocol

from tests.support.webrtc.client import TestPeer

from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.peer import Peer, PeerEvent

Address = tuple[str, int]
SERVER: Address = ("203.0.113.1", 10000)


class Host(Protocol):
    """What the network delivers to."""

    address: Address

    def receive(self, data: bytes, source: Address, now: float) -> None: ...
    def outgoing(self) -> list[tuple[Address, bytes]]: ...
    def tick(self, now: float) -> None: ...
    def next_timeout(self) -> float: ...


class ServerHost:
    """Peers of the server. Datagrams go to the peer that knows the sender's path, else to each."""

    def __init__(self, peers: list[Peer], address: Address, transport: Literal["udp", "tcp"] = "udp") -> None:
        self.peers = peers
        self.address = address
        self.transport: Literal["udp", "tcp"] = transport
        self.events: list[PeerEvent] = []
        self.received = 0
        self.sent = 0

    def receive(self, data: bytes, source: Address, now: float) -> None:
        path = Path(self.transport, source)
        self.received += len(data)
        owners = [peer for peer in self.peers if path in peer.paths] or self.peers
        for peer in owners:
            peer.receive(data, path, now)

    def outgoing(self) -> list[tuple[Address, bytes]]:
        datagrams = []
        for peer in self.peers:
            self.events += peer.events()
            datagrams += [(path.address, data) for path, data in peer.outgoing()]
        self.sent += sum(len(data) for _, data in datagrams)
        return datagrams

    def tick(self, now: float) -> None:
        for peer in self.peers:
            peer.tick(now)

    def next_timeout(self) -> float:
        return min((peer.next_timeout() for peer in self.peers), default=math.inf)

    def of(self, kind: type[PeerEvent]) -> list[PeerEvent]:
        """The events of one kind that have come."""
        return [event for event in self.events if isinstance(event, kind)]


class ClientHost:
    """One test peer at an address, which may change."""

    def __init__(self, peer: TestPeer, address: Address, server: Address) -> None:
        self.peer = peer
        self.address = address
        self.server = server
        self.received: list[bytes] = []

    def receive(self, data: bytes, source: Address, now: float) -> None:
        if source == self.server:
            self.received.append(data)
            self.peer.receive(data, now)

    def outgoing(self) -> list[tuple[Address, bytes]]:
        return [(self.server, data) for data in self.peer.outgoing()]

    def tick(self, now: float) -> None:
        self.peer.tick(now)

    def next_timeout(self) -> float:
        return self.peer.next_timeout()


class Network:
    """Delivers datagrams between hosts by their addresses. Settings may be changed at any time."""

    def __init__(
        self,
        *,
        seed: int = 1,
        now: float = 1000.0,
        loss: float = 0.0,
        reorder: float = 0.0,
        duplicate: float = 0.0,
        delay: float = 0.02,
        jitter: float = 0.0,
        mtu: int = 1472,
    ) -> None:
        self.random = random.Random(seed)
        self.now = now
        self.loss = loss
        """Share of the datagrams that vanish, 0 to 1; so are `reorder` and `duplicate`."""
        self.reorder = reorder
        """Share that overtakes others: it does not wait for `delay`."""
        self.duplicate = duplicate
        self.delay = delay
        """One way, in seconds."""
        self.jitter = jitter
        """Up to so many seconds more, evenly spread: it reorders as well."""
        self.mtu = mtu
        """Larger datagrams vanish; in bytes behind the UDP header."""
        self.filter: Callable[[Address, Address, bytes], bool] = lambda _source, _destination, _data: True
        """(source, destination, data) -> whether it is let through."""
        self.hosts: list[Host] = []
        self.too_large = 0
        self.lost = 0
        self.delivered = 0
        self._flying: list[tuple[float, int, Address, Address, bytes]] = []
        self._count = itertools.count()

    def server(self, *peers: Peer, address: Address = SERVER, transport: Literal["udp", "tcp"] = "udp") -> ServerHost:
        """Attach the server's side; more peers may be appended to its `peers`."""
        host = ServerHost(list(peers), address, transport)
        self.hosts.append(host)
        return host

    def client(self, peer: TestPeer, address: Address = ("198.51.100.7", 5000), server: Address = SERVER) -> ClientHost:
        """Attach a client. Its `address` may be set anew at any time, as a NAT or another radio does."""
        host = ClientHost(peer, address, server)
        self.hosts.append(host)
        return host

    def attach(self, host: Host) -> None:
        """Attach any other host."""
        self.hosts.append(host)

    def send(self, source: Address, destination: Address, data: bytes) -> None:
        """Put a datagram on its way; the source may be forged."""
        if len(data) > self.mtu:
            self.too_large += 1
            return
        if not self.filter(source, destination, data):
            return
        copies = 2 if self.random.random() < self.duplicate else 1
        for _ in range(copies):
            if self.random.random() < self.loss:
                self.lost += 1
                continue
            delay = 0.0 if self.random.random() < self.reorder else self.delay + self.random.random() * self.jitter
            heapq.heappush(self._flying, (self.now + delay, next(self._count), source, destination, data))

    def run(self, until: Callable[[], bool] = lambda: False, limit: float = 30.0) -> bool:
        """Let time pass until `until` holds, at most `limit` seconds. Whether it holds."""
        end = self.now + limit
        while not until():
            self._collect()
            due = min([host.next_timeout() for host in self.hosts] + [self._flying[0][0] if self._flying else math.inf])
            if due > end:
                self.now = end
                return until()
            self.now = max(self.now, due)
            while self._flying and self._flying[0][0] <= self.now:
                _, _, source, destination, data = heapq.heappop(self._flying)
                for host in self.hosts:
                    if host.address == destination:
                        self.delivered += 1
                        host.receive(data, source, self.now)
            for host in self.hosts:
                if host.next_timeout() <= self.now:
                    host.tick(self.now)
        self._collect()
        return True

    def _collect(self) -> None:
        for host in self.hosts:
            for destination, data in host.outgoing():
                self.send(host.address, destination, data)
