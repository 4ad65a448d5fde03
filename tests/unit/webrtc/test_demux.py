"""Whose a datagram is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.webrtc.demux import requested_ufrag

COOKIE = b"\x21\x12\xa4\x42"


def _request(*attributes: tuple[int, bytes], kind: int = 1) -> bytes:
    body = b""
    for number, value in attributes:
        body += number.to_bytes(2) + len(value).to_bytes(2) + value + bytes(-len(value) % 4)
    return kind.to_bytes(2) + len(body).to_bytes(2) + COOKIE + bytes(12) + body


def test_the_first_part_of_the_user_name_is_asked_for() -> None:
    assert requested_ufrag(_request((6, b"ours:theirs"))) == b"ours"
    assert requested_ufrag(_request((0x24, b"\0\0\0\1"), (0x8022, b"x"), (6, b"ours:theirs"))) == b"ours"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        _request((6, b"ours")),
        _request((6, b"ours:theirs"), kind=0x101),
        _request((6, b"ours:theirs"))[:-4],
        _request((6, b"x" * 300 + b":y")),
        _request(*[(0x8022, b"")] * 20, (6, b"ours:theirs")),
        _request((6, b"ours:theirs")).replace(COOKIE, b"abcd"),
        bytes([0x16, 0xFE, 0xFD]) + bytes(40),
    ],
)
def test_what_asks_for_nobody(data: bytes) -> None:
    assert requested_ufrag(data) is None


@given(st.binary(max_size=200))
def test_whatever_comes_raises_nothing(data: bytes) -> None:
    requested_ufrag(data)
    requested_ufrag(_request()[:20] + data)
