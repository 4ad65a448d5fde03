"""What is announced, to whom."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from ghostlive.core.errors import ConfigurationError
from ghostlive.protocols.webrtc.addresses import (
    Addresses,
    PublicAddress,
    address_of_host,
    candidates,
    interface_addresses,
)
from ghostlive.protocols.webrtc.candidate import Candidate

OWN: list[IPv4Address | IPv6Address] = [IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10")]


class Machine:
    """Interfaces that change, and a clock."""

    def __init__(self) -> None:
        self.addresses = list(OWN)
        self.time = 0.0
        self.looked = 0

    def look(self) -> list[IPv4Address | IPv6Address]:
        self.looked += 1
        return self.addresses


def _addresses(*configured: str, machine: Machine | None = None) -> Addresses:
    machine = machine or Machine()
    return Addresses(configured, interfaces=machine.look, now=lambda: machine.time)


def _told(addresses: Addresses, host: str) -> list[str]:
    return [str(one.address) for one in addresses.for_host(host)]


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("localhost:8080", ["127.0.0.1", "192.0.2.10", "2001:db8::10"]),
        ("demo.localhost", ["127.0.0.1", "192.0.2.10", "2001:db8::10"]),
        ("198.51.100.7:8080", ["198.51.100.7", "192.0.2.10", "2001:db8::10"]),
        ("192.0.2.10", ["192.0.2.10", "2001:db8::10"]),
        ("[2001:db8::7]:8080", ["2001:db8::7", "192.0.2.10", "2001:db8::10"]),
        ("[::ffff:198.51.100.7]", ["198.51.100.7", "192.0.2.10", "2001:db8::10"]),
        ("live.example.org", ["192.0.2.10", "2001:db8::10"]),
        ("", ["192.0.2.10", "2001:db8::10"]),
        ("0.0.0.0", ["192.0.2.10", "2001:db8::10"]),
        ("224.0.0.1", ["192.0.2.10", "2001:db8::10"]),
        ("[fe80::1]", ["192.0.2.10", "2001:db8::10"]),
        ("1.2.3.4.5:x:y]", ["192.0.2.10", "2001:db8::10"]),
    ],
)
def test_without_configuration(host: str, told: list[str]) -> None:
    assert _told(_addresses(), host) == told


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("live.example.org", ["203.0.113.5"]),
        ("198.51.100.7", ["203.0.113.5"]),
        ("localhost", ["203.0.113.5", "127.0.0.1"]),
        ("127.0.0.1:8080", ["203.0.113.5", "127.0.0.1"]),
    ],
)
def test_what_is_configured_stands_alone_but_for_this_machine(host: str, told: list[str]) -> None:
    assert _told(_addresses("203.0.113.5"), host) == told


def test_what_a_stun_server_saw_comes_before_the_interfaces() -> None:
    addresses = _addresses()
    addresses.learned[socket.AF_INET] = PublicAddress(ip_address("203.0.113.9"), 40000)
    assert _told(addresses, "live.example.org") == ["203.0.113.9", "192.0.2.10", "2001:db8::10"]
    found = candidates(addresses.for_host(""), udp_port=10000, tcp_port=10000)
    assert [(each.transport, each.port) for each in found[::3]] == [("udp", 40000), ("tcp", 40000)]


def test_families_that_the_socket_does_not_take_are_left_out() -> None:
    addresses = _addresses("203.0.113.5", "2001:db8::5")
    addresses.families = frozenset({socket.AF_INET})
    assert _told(addresses, "localhost") == ["203.0.113.5", "127.0.0.1"]


def test_interfaces_are_looked_at_again_after_a_while() -> None:
    machine = Machine()
    addresses = _addresses(machine=machine)
    _told(addresses, "")
    machine.addresses = [IPv4Address("192.0.2.77")]
    machine.time = 9.9
    assert _told(addresses, "") == ["192.0.2.10", "2001:db8::10"]
    machine.time = 10.0
    assert _told(addresses, "") == ["192.0.2.77"]
    assert machine.looked == 2


def test_there_are_not_too_many() -> None:
    machine = Machine()
    machine.addresses = [IPv4Address(f"192.0.2.{number}") for number in range(1, 60)]
    assert len(_told(_addresses(machine=machine), "")) == 12


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("203.0.113.5", "203.0.113.5", None),
        (" 203.0.113.5:40000 ", "203.0.113.5", 40000),
        ("2001:db8::5", "2001:db8::5", None),
        ("[2001:db8::5]", "2001:db8::5", None),
        ("[2001:db8::5]:40000", "2001:db8::5", 40000),
    ],
)
def test_configured_addresses(text: str, address: str, port: int | None) -> None:
    assert PublicAddress.parse(text) == PublicAddress(ip_address(address), port)


@pytest.mark.parametrize(
    "text", ["live.example.org", "", "203.0.113.5:", "203.0.113.5:0", "203.0.113.5:70000", "0.0.0.0", "224.0.0.1", "::"]
)
def test_configured_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"webrtc\.public_addresses"):
        PublicAddress.parse(text)


def test_candidates_are_ordered_and_udp_comes_first() -> None:
    listed = [PublicAddress(ip_address("203.0.113.5")), PublicAddress(ip_address("2001:db8::5"), 40000)]
    found = candidates(listed, udp_port=10000, tcp_port=10001)
    assert [(each.transport, each.address, each.port, each.tcptype) for each in found] == [
        ("udp", "203.0.113.5", 10000, None),
        ("udp", "2001:db8::5", 40000, None),
        ("tcp", "203.0.113.5", 10001, "passive"),
        ("tcp", "2001:db8::5", 40000, "passive"),
    ]
    assert [each.priority for each in found] == sorted([each.priority for each in found], reverse=True)
    assert len({each.foundation for each in found}) == 4
    assert all(Candidate.parse(each.to_text()) == each for each in found)
    assert [each.transport for each in candidates(listed, udp_port=1, tcp_port=1, transports={"tcp"})] == ["tcp"] * 2
    assert [each.transport for each in candidates(listed, udp_port=1, tcp_port=None)] == ["udp"] * 2


def test_this_machine_has_addresses_that_others_may_reach() -> None:
    for address in interface_addresses():
        assert not address.is_loopback
        assert not address.is_link_local


def test_of_localhost_there_is_one_address() -> None:
    assert address_of_host("localhost") == IPv4Address("127.0.0.1")
    assert address_of_host("localhost.example.org") is None
