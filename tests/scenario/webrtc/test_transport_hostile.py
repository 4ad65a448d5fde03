"""Those who want no stream: forged senders, floods, amplification, sessions that are opened and left."""

import gc
import itertools
import random
import tracemalloc
import weakref

import pytest
from tests.support.webrtc.client import TestPeer
from tests.support.webrtc.network import SERVER, Address, Network
from tests.support.webrtc.pair import Parameters, connected, make_pair

from ghostlive.protocols.webrtc import stun
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.peer import Closed, PathChanged, Peer, RtcpReceived

VICTIM: Address = ("192.0.2.99", 53)


class Meter:
    """Counts the bytes that go from and to one address."""

    def __init__(self, network: Network, address: Address) -> None:
        self.sent = self.received = 0
        self.worst = 0.0
        self.address = address
        network.filter = self.count

    def count(self, source: Address, destination: Address, data: bytes) -> bool:
        if source == self.address:
            self.sent += len(data)
        if destination == self.address:
            self.received += len(data)
            self.worst = max(self.worst, self.received / max(self.sent, 1))
        return True


def binding_request(client: TestPeer, pwd: str | None = None) -> bytes:
    attributes = [
        (stun.USERNAME, f"{client.remote_ufrag}:{client.ufrag}".encode()),
        (stun.ICE_CONTROLLING, bytes(8)),
        (stun.PRIORITY, b"\x7f\xff\xff\xff"),
        (stun.USE_CANDIDATE, b""),
    ]
    key = (pwd or client.remote_pwd).encode()
    return stun.write_message(stun.BINDING_REQUEST, random.randbytes(12), attributes, key=key)


def test_without_the_password_not_one_byte_comes_back() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    server, meter = network.server(peer), Meter(network, VICTIM)
    good = binding_request(client)
    for data in (
        binding_request(client, "guessed"),
        good[:-12] + bytes(4) + good[-8:],
        good[:60],
        b"\x16\xfe\xff" + bytes(8) + b"\0\x20" + bytes(32),
        b"\x80\xc9" + bytes(30),
        b"",
        bytes(1400),
    ):
        for _ in range(20):
            network.send(VICTIM, SERVER, data)
            network.run(limit=0.01)
    assert meter.sent > 0
    assert meter.received == 0
    assert server.events == []
    assert peer.paths == set()


@pytest.mark.parametrize("server_is_dtls_client", [False, True])
def test_a_viewer_cannot_make_the_server_shout_at_somebody_else(server_is_dtls_client: bool) -> None:
    """The attacker has a session of its own and forges the sender of everything."""
    network = Network()
    peer, client = make_pair(now=network.now, server_is_dtls_client=server_is_dtls_client)
    network.server(peer)
    meter = Meter(network, VICTIM)
    client.tick(network.now)
    client.connected = True
    assert client._dtls is not None
    client._dtls.start(network.now)
    hello = client._dtls.outgoing()
    for number in range(300):
        network.send(VICTIM, SERVER, binding_request(client))
        if number % 10 == 0:
            for data in hello:
                network.send(VICTIM, SERVER, data)
        network.run(limit=0.1)
    assert meter.worst <= 3.0
    assert not peer.secured


def test_a_viewer_cannot_send_its_stream_to_somebody_else() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    server, host = connected(network, peer, client)
    meter = Meter(network, VICTIM)
    for number in range(200):
        network.send(VICTIM, SERVER, binding_request(client))
        client.send_rtcp(b"\x80\xc9\0\1\0\0\0\7")
        for data in client.outgoing():
            network.send(VICTIM, SERVER, data)
        network.run(limit=0.1)
        peer.send_rtp(b"\x80\x60" + number.to_bytes(2) + bytes(4) + b"\0\0\0\7" + bytes(1000))
    assert meter.worst <= 3.0
    assert peer.path == Path("udp", host.address)
    assert not server.of(PathChanged)


def test_a_handshake_cannot_end_at_somebody_else() -> None:
    """The attacker reads our flight at its own address, and forges the sender of its answer."""
    network = Network()
    peer, client = make_pair(now=network.now, client=TestPeer(now=network.now, answers_checks=False))
    network.server(peer)
    host = network.client(client)
    meter = Meter(network, VICTIM)
    network.run(lambda: client.connected)
    network.send(VICTIM, SERVER, binding_request(client))
    network.run(limit=0.1)
    original = network.send

    def forge(source: Address, destination: Address, data: bytes) -> None:
        last = source == host.address and data[0] == 22 and len(data) > 400
        original(VICTIM if last else source, destination, data)

    network.send = forge  # type: ignore[method-assign]
    for _ in range(100):
        network.run(limit=0.1)
        peer.send_rtp(b"\x80\x60\0\1" + bytes(4) + b"\0\0\0\7" + bytes(1000))
    assert peer.path != Path("udp", VICTIM)
    assert meter.worst <= 3.0


def test_floods_do_not_end_a_session() -> None:
    network = Network(delay=0.005)
    peer, client = make_pair(now=network.now)
    server, host = connected(network, peer, client)
    before = server.sent
    noise = random.Random(3)
    flood = [
        binding_request(client, "guessed"),
        b"\x80\xc9" + noise.randbytes(60),
        b"\x80\x60" + noise.randbytes(1000),
        b"\x16\xfe\xfd\0\1" + noise.randbytes(6) + b"\0\x20" + noise.randbytes(32),
        b"\x15\xfe\xfd\0\1" + noise.randbytes(6) + b"\0\x1a" + noise.randbytes(26),
        b"\x15\xfe\xfd\0\0" + noise.randbytes(6) + b"\0\2\2\0",
        noise.randbytes(1200),
    ]
    for _ in range(40):
        for data, source in itertools.product(flood * 20, (host.address, VICTIM)):
            network.send(source, SERVER, data)
        network.run(limit=1.0)
    assert not peer.closed
    assert not client.closed
    assert server.sent - before < 5000  # answers to the client's own checks
    client.send_rtcp(b"\x80\xc9\0\1\0\0\0\7")
    network.run(limit=1.0)
    assert server.of(RtcpReceived)


def test_a_flood_of_good_requests_is_answered_in_part() -> None:
    network = Network(delay=0.001)
    peer, client = make_pair(now=network.now)
    server, host = connected(network, peer, client)
    before = server.sent
    for _ in range(5000):
        network.send(host.address, SERVER, binding_request(client))
    network.run(limit=1.0)
    assert server.sent - before <= 64 * 110


def test_replayed_media_is_heard_once() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    server, host = connected(network, peer, client)
    for _ in range(50):
        client.send_rtcp(b"\x80\xc9\0\1\0\0\0\7")
    recorded = client.outgoing()
    for data in recorded * 5:
        network.send(host.address, SERVER, data)
    network.run(limit=1.0)
    assert len(server.of(RtcpReceived)) == 50


def test_a_replayed_handshake_changes_nothing() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    recorded: list[bytes] = []

    def record(source: Address, _destination: Address, data: bytes) -> bool:
        if source != SERVER:
            recorded.append(data)
        return True

    network.filter = record
    server, host = connected(network, peer, client)
    keys = peer.local_keys
    count = len(server.events)
    for source in (host.address, VICTIM):
        for data in recorded[:]:
            network.send(source, SERVER, data)
    network.run(limit=5.0)
    assert peer.local_keys is keys
    assert [event for event in server.events[count:] if isinstance(event, PathChanged | Closed)] == []
    client.send_rtcp(b"\x80\xc9\0\1\0\0\0\7")
    network.run(limit=1.0)
    assert server.of(RtcpReceived)


def test_thousands_of_sessions_that_are_opened_and_left() -> None:
    """A third of them never comes, a third only asks, a third stops within the handshake."""
    network = Network()
    now = network.now
    _, template = make_pair(now=now)
    template.check(now)
    # What does not depend on the session is made once, so that it is not counted.
    warm, client = make_pair(now=now)
    connected(network, warm, client)
    del warm, network
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        peers: list[Peer] = []
        for number in range(1500):
            peer, client = make_pair(now=now, parameters=Parameters(local_ufrag=f"u{number}"))
            peers.append(peer)
            path = Path("udp", ("198.51.100.7", number + 1))
            if number % 3:
                client.tick(now)
                for _ in range(number % 3):
                    for data in client.outgoing():
                        peer.receive(data, path, now)
                    for _, data in peer.outgoing():
                        client.receive(data, now)
        del client
        gone = [weakref.ref(peer) for peer in peers]
        closed = 0
        for step in range(1, 31):
            for peer in peers:
                if peer.next_timeout() <= now + step:
                    peer.tick(now + step)
                    peer.outgoing()
                closed += any(isinstance(event, Closed) for event in peer.events())
            peers = [peer for peer in peers if not peer.closed]
            if step == 29:
                assert len(peers) == 1500
        assert peers == []
        assert closed == 1500
        peer = make_pair(now=now)[0]
        gc.collect()
        assert not [reference for reference in gone if reference() is not None]
        del gone
        after, _ = tracemalloc.get_traced_memory()
        assert after - before < 200_000
    finally:
        tracemalloc.stop()
