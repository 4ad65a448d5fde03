"""Token buckets: fair, exact, and bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.chat.errors import TooFastError
from ghostlive.chat.limits import Rate, take_all


def test_a_burst_and_then_one_in_each_interval() -> None:
    rate = Rate(3, 2.0)
    for _ in range(3):
        assert rate.wait("a", 10.0) == 0
        rate.take("a", 10.0)
    assert rate.wait("a", 10.0) == 2.0
    assert rate.wait("a", 11.5) == 0.5
    assert rate.wait("b", 10.0) == 0
    rate.take("a", 12.0)
    assert rate.wait("a", 12.0) == 2.0
    assert rate.wait("a", 1000.0) == 0


def test_a_clock_that_was_set_back_keeps_nobody_waiting() -> None:
    rate, now = Rate(3, 2.0), 1_800_000_000.0
    for _ in range(3):
        rate.take("a", now)
    assert rate.wait("a", now) == pytest.approx(2.0)
    assert rate.wait("a", now - 1.0) == pytest.approx(3.0), "that is only out of order"
    for _ in range(3):
        assert rate.wait("a", now - 3600.0) == 0
        rate.take("a", now - 3600.0)
    assert rate.wait("a", now - 3600.0) == pytest.approx(2.0), "limited as before"
    assert rate.wait("a", now) == 0


def test_zero_means_no_limit() -> None:
    rate = Rate(0, 5.0)
    for _ in range(1000):
        take_all(1.0, (rate, "a"))
    assert len(rate) == 0


@given(st.lists(st.floats(0, 3), max_size=60))
def test_never_more_than_the_burst_and_what_has_trickled_in(pauses: list[float]) -> None:
    rate, now, taken = Rate(4, 1.0), 0.0, []
    for pause in pauses:
        now += pause
        if rate.wait("a", now) <= 0:
            rate.take("a", now)
            taken.append(now)
    for begin in range(len(taken)):
        for end in range(begin, len(taken)):
            assert end - begin + 1 <= 4 + (taken[end] - taken[begin]) / 1.0 + 1e-6


def test_what_is_refused_costs_nothing_anywhere() -> None:
    tight, wide = Rate(1, 10.0), Rate(10, 1.0)
    take_all(0.0, (tight, "a"), (wide, "x"))
    for _ in range(50):
        with pytest.raises(TooFastError) as caught:
            take_all(1.0, (wide, "x"), (tight, "a"))
    assert caught.value.retry_after == pytest.approx(9.0, abs=0.1)
    assert caught.value.retry_after is not None
    take_all(1.0 + caught.value.retry_after, (wide, "x"), (tight, "a"))


def test_strangers_cannot_fill_the_memory() -> None:
    rate = Rate(2, 10.0, keys=100)
    rate.take("victim", 0.0)
    for number in range(10_000):
        rate.take(f"{number}", 1.0)
        rate.take("victim", 1.0 + number)  # in use, so it is not forgotten
    assert len(rate) == 100
    assert rate.wait("victim", 10_000.0) > 0
