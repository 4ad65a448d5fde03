"""Which of our addresses a datagram came to."""

import socket

import pytest

from ghostlive.protocols.webrtc.pktinfo import ROOM, destination, sending_from, tell_destination

V6 = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)


def _v6(address: str) -> list[tuple[int, int, bytes]]:
    return [(*V6, socket.inet_pton(socket.AF_INET6, address) + bytes(4))]


@pytest.mark.parametrize(
    ("ancillary", "expected"),
    [
        ([], ""),
        ([(1, 2, b"something else")], ""),
        ([(*V6, b"short")], ""),
        (_v6("2001:db8::7"), "2001:db8::7"),
        (_v6("::ffff:192.0.2.7"), "192.0.2.7"),
        (_v6("fe80::1"), ""),
        (_v6("fd00::1"), "fd00::1"),
    ],
)
def test_what_is_told(ancillary: list[tuple[int, int, bytes]], expected: str) -> None:
    assert destination(ancillary) == expected


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
def test_the_system_tells_and_listens(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind((host, 0))
        assert tell_destination(server)
        peer.settimeout(20)
        peer.connect(("127.0.0.3", server.getsockname()[1]))
        peer.send(b"question")
        data, ancillary, _, source = server.recvmsg(100, ROOM)
        assert (data, destination(ancillary)) == (b"question", "127.0.0.3")
        server.sendmsg((b"answer",), [sending_from("127.0.0.3", family)], 0, source)
        assert peer.recv(100) == b"answer"


def test_a_socket_of_one_address_tells_nothing() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        assert not tell_destination(server)


@pytest.mark.parametrize(("local", "family"), [("nowhere", socket.AF_INET6), ("::1", socket.AF_INET)])
def test_what_is_no_address(local: str, family: socket.AddressFamily) -> None:
    with pytest.raises(ValueError, match="no address to send from"):
        sending_from(local, family)
