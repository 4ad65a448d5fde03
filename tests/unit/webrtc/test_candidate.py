"""ICE candidates as text."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.webrtc.candidate import Candidate, candidate_priority
from ghostlive.protocols.webrtc.errors import NegotiationError

CHROMIUM = (
    "candidate:842163049 1 udp 1677729535 198.51.100.3 46154 typ srflx raddr 10.0.1.5 rport 46154 "
    "generation 0 ufrag EEtu network-id 3 network-cost 10"
)


def test_a_candidate_of_chromium() -> None:
    candidate = Candidate.parse(CHROMIUM)
    assert candidate == Candidate(
        "842163049", 1, "udp", 1677729535, "198.51.100.3", 46154, "srflx", None, "10.0.1.5", 46154
    )
    assert candidate.to_text() == CHROMIUM.partition(" generation")[0]
    assert Candidate.parse(f"a={CHROMIUM}\r\n") == candidate
    assert Candidate.parse(CHROMIUM.removeprefix("candidate:")) == candidate
    assert str(candidate) == candidate.to_text()


@pytest.mark.parametrize(
    ("text", "address", "tcptype"),
    [
        ("candidate:1 1 UDP 2122187007 7a08f14a-9fc5-448b-8342-e25d1d30e69d.local 59508 typ host",
         "7a08f14a-9fc5-448b-8342-e25d1d30e69d.local", None),
        ("candidate:2 1 TCP 2105458943 2001:db8:0:0::1 9 typ host tcptype active", "2001:db8::1", "active"),
        ("candidate:3 1 tcp 1 192.0.2.1 10000 typ host tcptype passive generation 0", "192.0.2.1", "passive"),
        ("candidate:4 1 udp 1 fe80::1%eth0 5 typ host", "fe80::1", None),
        ("candidate:5 1 udp 1 192.0.2.1 5 typ host tcptype", "192.0.2.1", None),
    ],
)  # fmt: skip
def test_addresses_and_kinds(text: str, address: str, tcptype: str | None) -> None:
    candidate = Candidate.parse(text)
    assert (candidate.address, candidate.tcptype) == (address, tcptype)
    assert Candidate.parse(candidate.to_text()) == candidate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:",
        "candidate:1 1 udp 1 192.0.2.1 5 typ",
        "candidate:1 1 udp 1 192.0.2.1 5 kind host",
        "candidate:1 1 sctp 1 192.0.2.1 5 typ host",
        "candidate:1 1 udp 1 192.0.2.1 5 typ guest",
        "candidate:1 0 udp 1 192.0.2.1 5 typ host",
        "candidate:1 257 udp 1 192.0.2.1 5 typ host",
        "candidate:1 1 udp 0 192.0.2.1 5 typ host",
        "candidate:1 1 udp 4294967296 192.0.2.1 5 typ host",
        "candidate:1 1 udp -1 192.0.2.1 5 typ host",
        "candidate:1 1 udp ٣ 192.0.2.1 5 typ host",
        "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
        "candidate:1 1 udp 1 a..b 5 typ host",
        "candidate:1 1 udp 1 ../etc 5 typ host",
        "candidate:1 1 tcp 1 192.0.2.1 5 typ host tcptype sideways",
        "candidate:1 1 udp 1 192.0.2.1 5 typ srflx raddr ? rport 5",
        "candidate:1 1 udp 1 192.0.2.1 5 typ srflx raddr 192.0.2.1 rport x",
        "candidate:!! 1 udp 1 192.0.2.1 5 typ host",
        "candidate:1 1 udp 1 192.0.2.1 5 typ host" + " x" * 600,
    ],
)
def test_broken_candidates(text: str) -> None:
    with pytest.raises(NegotiationError):
        Candidate.parse(text)


@given(st.text(max_size=100), st.integers(0, 150), st.integers(0, 20))
def test_noise(text: str, at: int, length: int) -> None:
    for noise in (text, CHROMIUM[:at] + text + CHROMIUM[at + length :]):
        with contextlib.suppress(NegotiationError):
            candidate = Candidate.parse(noise)
            assert Candidate.parse(candidate.to_text()) == candidate


def test_priorities() -> None:
    assert candidate_priority("host") == 2130706431  # RFC 8445 §5.1.2.1: 126, 65535, component 1
    order = [
        candidate_priority("host"),
        candidate_priority("host", local=65534),
        candidate_priority("srflx"),
        candidate_priority("host", tcptype="active"),
        candidate_priority("host", tcptype="passive"),
        candidate_priority("host", tcptype="passive", local=1),
        candidate_priority("relay"),
    ]
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == len(order)
    assert all(0 < priority < 1 << 31 for priority in order)
