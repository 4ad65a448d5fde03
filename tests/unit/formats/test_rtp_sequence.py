"""Numbers that wrap around."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.formats.rtp.sequence import Unwrapper, distance, is_newer


@pytest.mark.parametrize(
    ("value", "origin", "expected"),
    [(5, 3, 2), (3, 5, -2), (0, 65535, 1), (65535, 0, -1), (7, 7, 0), (0x7FFF, 0, 0x7FFF), (0x8000, 0, -0x8000)],
)
def test_distance(value: int, origin: int, expected: int) -> None:
    assert distance(value, origin) == expected
    assert is_newer(value, origin) is (expected > 0)


def test_numbers_are_extended_over_several_turns() -> None:
    assert Unwrapper().last is None
    unwrapper = Unwrapper()
    assert [unwrapper.unwrap(value & 0xFFFF) for value in range(65000, 265_000, 997)] == [*range(65000, 265_000, 997)]
    assert unwrapper.last is not None
    assert unwrapper.last > 3 * 65536


def test_they_may_go_back_below_the_first() -> None:
    unwrapper = Unwrapper()
    assert unwrapper.unwrap(1) == 1
    assert unwrapper.peek(0xFFFE) == -2
    assert unwrapper.unwrap(0xFFFF) == -1
    assert unwrapper.unwrap(2) == 2


def test_timestamps() -> None:
    unwrapper = Unwrapper(32)
    assert unwrapper.unwrap(0xFFFFFF00) == 0xFFFFFF00
    assert unwrapper.unwrap(0x100) == 0x100000100


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 30))
def test_reordering_within_half_a_turn_is_undone(start: int, seed: int) -> None:
    order = random.Random(seed)
    sent = [start + step for step in range(300)]
    arriving = sorted(sent, key=lambda number: number + order.uniform(0, 60))
    unwrapper = Unwrapper()
    offset = arriving[0] - unwrapper.unwrap(arriving[0] & 0xFFFF)
    assert offset % 65536 == 0
    assert [unwrapper.unwrap(number & 0xFFFF) + offset for number in arriving] == arriving
