"""One peer: what it does with datagrams out of turn, and what it says at its end."""

import gc
import math
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.webrtc.client import TestPeer
from tests.support.webrtc.network import SERVER, Network
from tests.support.webrtc.pair import connected, make_pair

from ghostlive.protocols.webrtc.certificate import Certificate
from ghostlive.protocols.webrtc.errors import SrtpError
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.peer import (
    Closed,
    Connected,
    PathAdded,
    PeerLimits,
    RtcpReceived,
    RtpReceived,
    Secured,
)
from ghostlive.protocols.webrtc.srtp import Profile

RTP = b"\x80\x60\0\1" + bytes(4) + b"\0\0\0\7payload"
RTCP = b"\x80\xc9\0\1\0\0\0\7"
PATH = Path("udp", ("198.51.100.7", 5000))


@pytest.mark.parametrize("server_is_dtls_client", [False, True])
@pytest.mark.parametrize("profile", list(Profile))
def test_a_session(server_is_dtls_client: bool, profile: Profile) -> None:
    network = Network()
    client = TestPeer(now=network.now, dtls_client=not server_is_dtls_client, profiles=(profile,))
    peer, client = make_pair(now=network.now, server_is_dtls_client=server_is_dtls_client, client=client)
    assert (peer.path, peer.local_keys, peer.secured) == (None, None, False)
    server, host = connected(network, peer, client)
    added, there, secured = server.events
    assert added == PathAdded(PATH)
    assert there == Connected(PATH)
    assert isinstance(secured, Secured)
    assert (secured.local, secured.remote) == (client.remote, client.local)
    assert secured.local.profile is profile
    assert peer.local_keys == secured.local
    assert peer.path == PATH
    assert peer.paths == {PATH}
    assert peer.ufrags == ("srvu",)
    assert client.mapped_address == host.address

    heard: list[bytes] = []
    client.on_rtp = client.on_rtcp = heard.append
    peer.send_rtp(RTP)
    peer.send_rtcp(RTCP)
    client.send_rtp(RTP + b"!")
    client.send_rtcp(RTCP + bytes(24))
    network.run(lambda: len(heard) == 2 and len(server.events) == 5)
    assert heard == [RTP, RTCP]
    assert server.events[3:] == [RtpReceived(RTP + b"!"), RtcpReceived(RTCP + bytes(24))]
    assert "payload" not in repr(server.events)


def test_what_is_sent_before_and_after_goes_nowhere() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    peer.send_rtp(RTP)
    peer.send_rtcp(RTCP)
    assert peer.outgoing() == []
    server, _ = connected(network, peer, client)
    with pytest.raises(SrtpError):
        peer.send_rtcp(b"")
    peer.close("the end")
    assert peer.closed
    assert len(peer.outgoing()) == 1  # the goodbye
    assert peer.events() == [Closed("the end")]
    assert peer.next_timeout() == math.inf
    peer.send_rtp(RTP)
    peer.send_rtcp(RTCP)
    peer.receive(RTP, PATH, network.now)
    peer.tick(network.now + 100)
    peer.path_lost(PATH)
    peer.restart(local_ufrag="a", local_pwd="b", remote_ufrag="c", remote_pwd="d")
    peer.close("again")
    assert peer.outgoing() == []
    assert peer.events() == []
    assert len(server.of(Closed)) == 0


def test_both_sides_hear_a_goodbye() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    connected(network, peer, client)
    peer.close("the stream has ended")
    assert network.run(lambda: bool(client.closed))
    assert client.closed == "the server has said goodbye"

    peer, client = make_pair(now=network.now)
    network = Network()
    server, _ = connected(network, peer, client)
    client.close()
    assert network.run(lambda: peer.closed)
    network.run(limit=1.0)
    assert server.of(Closed) == [Closed("the peer has closed the session")]


def test_dtls_and_media_from_strangers_are_dropped() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    client.tick(network.now)
    hello = b"\x16\xfe\xff" + bytes(8) + b"\0\x10" + bytes(16)
    for data in (hello, RTP, RTCP, b"", b"\xff" * 100, b"\x40" * 100, b"\5" * 30):
        peer.receive(data, PATH, network.now)
    assert peer.outgoing() == []
    assert peer.events() == []
    server, _ = connected(network, peer, client)
    before = len(server.events)
    elsewhere = Path("udp", ("192.0.2.66", 1))
    client.send_rtcp(RTCP)
    for data in client.outgoing():
        peer.receive(data, elsewhere, network.now)  # nothing is wrong with it but where it comes from
    assert peer.events() == []
    assert len(server.events) == before


def test_media_before_the_keys_is_dropped() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    network.server(peer)
    network.client(client)
    network.run(lambda: client.connected)
    peer.events()
    for data in (RTP + bytes(16), RTCP + bytes(20)):
        peer.receive(data, PATH, network.now)
    assert not [event for event in peer.events() if isinstance(event, RtpReceived | RtcpReceived)]


def test_another_certificate_ends_the_session() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    stranger = TestPeer(now=network.now, certificate=Certificate.generate())
    stranger.ufrag, stranger.pwd = client.ufrag, client.pwd
    stranger.set_remote(client.remote_ufrag, client.remote_pwd, client.fingerprints)  # both have the shared one
    client = stranger
    server = network.server(peer)
    network.client(client)
    assert network.run(lambda: peer.closed and bool(client.closed))
    (closed,) = server.of(Closed)
    assert isinstance(closed, Closed)
    assert "certificate is not the one" in closed.reason
    assert not server.of(Secured)
    assert "alert" in client.closed
    assert not client.secured


def test_nobody_comes() -> None:
    peer, _ = make_pair(now=100.0, limits=PeerLimits(handshake_timeout=10.0))
    assert peer.next_timeout() == 110.0
    peer.tick(109.9)
    assert not peer.closed
    peer.tick(110.0)
    assert peer.events() == [Closed("no STUN request of the peer has come for 10 s")]


def test_the_handshake_is_given_up() -> None:
    network = Network()
    network.filter = lambda _source, _destination, data: data[0] < 4  # STUN alone goes through
    peer, client = make_pair(now=network.now)
    server = network.server(peer)
    network.client(client)
    assert network.run(lambda: peer.closed, limit=31.0)
    assert server.events[-1] == Closed("the peer has not completed the DTLS handshake in 30 s")
    assert round(network.now - 1000.0, 3) == 30.0


def test_a_silent_peer_is_given_up() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    server, host = connected(network, peer, client)
    network.hosts.remove(host)
    start = network.now
    assert network.run(lambda: peer.closed, limit=40.0)
    assert server.events[-1] == Closed("the peer has given no sign of life for 30 s")
    assert 29.0 < network.now - start <= 30.0


@pytest.mark.parametrize("sign", ["stun", "rtcp", "rtp"])
def test_signs_of_life(sign: str) -> None:
    network = Network()
    client = TestPeer(now=network.now, consent_interval=10.0 if sign == "stun" else 10_000.0)
    peer, client = make_pair(now=network.now, client=client)
    connected(network, peer, client)
    for number in range(20):
        network.run(limit=20.0)
        if sign == "rtcp":
            client.send_rtcp(RTCP)
        elif sign == "rtp":
            client.send_rtp(RTP[:2] + number.to_bytes(2) + RTP[4:])
    assert not peer.closed
    network.run(limit=100.0)
    assert peer.closed is (sign != "stun")


def test_forgeries_are_no_signs_of_life() -> None:
    network = Network()
    peer, client = make_pair(now=network.now, client=TestPeer(now=network.now, consent_interval=10_000.0))
    _, host = connected(network, peer, client)
    network.run(limit=1.0)
    client.send_rtcp(RTCP)
    (report,) = client.outgoing()
    for _ in range(40):
        network.run(limit=1.0)
        for data in (report, RTP + bytes(16), RTCP + bytes(20), b"\x16\xfe\xfd" + bytes(40)):
            network.send(host.address, SERVER, data)
    assert peer.closed  # the first report was genuine, the others were replayed


def test_a_peer_that_is_let_go_leaves_nothing() -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    server, host = connected(network, peer, client)
    gone = weakref.ref(peer)
    gc.disable()
    try:
        server.peers.clear()
        del peer
        assert gone() is None  # without the garbage collector: there is no circle of references
    finally:
        gc.enable()
    assert host.peer is client


@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
def test_any_bytes(datagrams: list[bytes], secured: bool) -> None:
    network = Network()
    peer, client = make_pair(now=network.now)
    server, host = network.server(peer), network.client(client)
    network.run(lambda: client.secured and peer.secured if secured else client.connected)
    for data in datagrams:
        network.send(host.address, SERVER, data)
    network.run(limit=1.0)
    assert not server.of(RtpReceived)
    assert not server.of(RtcpReceived)
