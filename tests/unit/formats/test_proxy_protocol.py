"""PROXY protocol headers, read to the byte."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.core.errors import MediaError
from ghostlive.formats.proxy_protocol import HeaderReader, ProxiedPeer, header_v1, header_v2


def read(data: bytes) -> tuple[ProxiedPeer | None, bytes]:
    """The peer, and what was left unread."""
    reader = HeaderReader()
    at = 0
    while reader.peer is None and at < len(data):
        piece = data[at : at + reader.needed]
        at += len(piece)
        reader.receive(piece)
    return reader.peer, data[at:]


V2 = b"\r\n\r\n\x00\r\nQUIT\n"


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (header_v1("192.0.2.1", "198.51.100.1", 5, 1935), ProxiedPeer("192.0.2.1", 5)),
        (header_v1("2001:db8::1", "::1", 65535, 1935), ProxiedPeer("2001:db8::1", 65535)),
        (b"PROXY UNKNOWN\r\n", ProxiedPeer(None)),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ProxiedPeer(None)),
        (b"PROXY TCP6 :: :: 0 0\r\n", ProxiedPeer("::", 0)),
        (header_v2("192.0.2.1", "198.51.100.1", 5, 1935), ProxiedPeer("192.0.2.1", 5)),
        (header_v2("2001:db8::1", "::1", 65535, 1935), ProxiedPeer("2001:db8::1", 65535)),
        (V2 + b"\x20\x00\x00\x00", ProxiedPeer(None)),
        (V2 + b"\x21\x31\x00\x02ab", ProxiedPeer(None)),
        (
            V2 + b"\x21\x11\x00\x0f" + bytes([192, 0, 2, 1]) + bytes(4) + b"\x00\x05\x07\x8f" + b"tlv",
            ProxiedPeer("192.0.2.1", 5),
        ),
    ],
)
def test_headers(header: bytes, peer: ProxiedPeer) -> None:
    assert read(header + b"\x03behind") == (peer, b"\x03behind")


def test_complete_headers_need_nothing() -> None:
    reader = HeaderReader()
    reader.receive(b"PROXY UNKNOWN\r\n")
    assert reader.needed == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x03" + bytes(20), "without a PROXY protocol header"),
        (b"PROXIES ARE GOOD", "without a PROXY protocol header"),
        (b"PROXY TCP5 a b c d\r\n       ", "broken"),
        (b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "broken address"),
        (b"PROXY TCP4 " + b"x" * 200, "does not end"),
        (V2 + b"\x31\x11\x00\x00", "broken"),
        (V2 + b"\x22\x11\x00\x00", "broken"),
        (V2 + b"\x21\x11\xff\xff", "of 65551 bytes"),
        (V2 + b"\x21\x11\x00\x02ab", "cut short"),
    ],
)
def test_broken_headers(data: bytes, says: str) -> None:
    with pytest.raises(MediaError, match=says):
        read(data)


@given(st.binary(max_size=200))
def test_noise_raises_media_errors_only(noise: bytes) -> None:
    for prefix in (b"", b"PROXY ", b"PROXY TCP4 ", V2, V2 + b"\x21\x11\x00"):
        with contextlib.suppress(MediaError):
            read(prefix + noise)
