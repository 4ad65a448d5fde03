"""Bits read back as they were written, and never beyond the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.codecs.bits import BitReader, BitWriter
from ghostlive.core.errors import MediaError

fields = st.lists(
    st.integers(1, 64).flatmap(lambda n: st.tuples(st.integers(0, (1 << n) - 1), st.just(n))), max_size=40
)


def exp_golomb(value: int) -> tuple[int, int]:
    """ue(v) as a field: value and width."""
    return value + 1, 2 * (value + 1).bit_length() - 1


@given(fields)
def test_fields_come_back(values: list[tuple[int, int]]) -> None:
    writer = BitWriter()
    for value, count in values:
        writer.bits(value, count)
    reader = BitReader(writer.to_bytes())
    assert [reader.bits(count) for _, count in values] == [value for value, _ in values]
    assert reader.remaining < 8


@given(st.lists(st.integers(0, (1 << 32) - 2), max_size=20))
def test_exp_golomb_comes_back(values: list[int]) -> None:
    writer = BitWriter()
    for value in values:
        writer.bits(*exp_golomb(value))
    reader = BitReader(writer.to_bytes())
    assert [reader.ue() for _ in values] == values


def test_signed_exp_golomb_alternates() -> None:
    writer = BitWriter()
    for value in range(5):
        writer.bits(*exp_golomb(value))
    reader = BitReader(writer.to_bytes())
    assert [reader.se() for _ in range(5)] == [0, 1, -1, 2, -2]


def test_align_and_skip() -> None:
    reader = BitReader(b"\x80\x41")
    assert reader.flag()
    reader.align()
    reader.align()
    assert reader.position == 8
    reader.skip(1)
    assert reader.bits(7) == 0x41
    assert reader.bits(0) == 0


def test_nothing_is_read_beyond_the_end() -> None:
    reader = BitReader(b"\xff")
    with pytest.raises(MediaError, match="ends after 8 bits"):
        reader.bits(9)
    with pytest.raises(MediaError, match="to be skipped"):
        reader.skip(9)
    assert reader.bits(8) == 0xFF


def test_exp_golomb_is_bounded() -> None:
    with pytest.raises(MediaError, match="longer than 63"):
        BitReader(bytes(20)).ue()
    with pytest.raises(MediaError, match="at most 1"):
        BitReader(b"\x60").ue(limit=1)


@pytest.mark.parametrize("value", [-1, 4])
def test_a_value_that_does_not_fit_is_refused(value: int) -> None:
    with pytest.raises(MediaError, match="does not fit"):
        BitWriter().bits(value, 2)
