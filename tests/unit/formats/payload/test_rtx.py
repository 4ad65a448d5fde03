"""Retransmission payloads (RFC 4588 §4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.formats.rtp.payload import PayloadError
from ghostlive.formats.rtp.payload.rtx import unwrap, wrap


@given(st.integers(0, 0xFFFF), st.binary(max_size=20))
def test_there_and_back(sequence_number: int, payload: bytes) -> None:
    assert unwrap(wrap(sequence_number, payload)) == (sequence_number, payload)


def test_bytes() -> None:
    assert wrap(0x1234, b"abc") == b"\x12\x34abc"
    assert wrap(0x51234, b"") == b"\x12\x34"


def test_padding_and_broken() -> None:
    assert unwrap(b"") is None
    with pytest.raises(PayloadError):
        unwrap(b"\x12")
