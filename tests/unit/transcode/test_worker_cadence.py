"""Which frames a rendition shows, and how far a worker is behind."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.transcode.worker.cadence import FrameGate, Pace


def _passed(gate: FrameGate, times: list[int], keyframes: set[int] | None = None) -> list[int]:
    return [time for time in times if gate.admits(time, keyframe=time in (keyframes or set()))]


@pytest.mark.parametrize("timescale", [1000, 90_000])
def test_of_sixty_frames_each_second_one_passes(timescale: int) -> None:
    times = [round(index * timescale / 60) for index in range(600)]
    assert _passed(FrameGate(timescale, Fraction(30)), times, {0}) == times[::2]


def test_of_fifty_frames_three_in_five_pass() -> None:
    times = [20 * index for index in range(500)]
    assert len(_passed(FrameGate(1000, Fraction(30)), times, {0})) == 300


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(30), Fraction(25), Fraction(1), Fraction(60)])
def test_what_is_slow_enough_passes_whole(rate: Fraction) -> None:
    times = [round(1000 * index / rate) for index in range(1000)]
    assert _passed(FrameGate(1000, Fraction(60)), times, {0}) == times


def test_jitter_costs_no_frame() -> None:
    times = [round(index * 1000 / 30) + (index * 7 % 9 - 4) for index in range(3000)]
    assert _passed(FrameGate(1000, Fraction(30)), times, {times[0]}) == times


def test_keyframes_always_pass_and_the_grid_goes_on_from_them() -> None:
    times = [100 * index for index in range(20)]
    assert _passed(FrameGate(1000, Fraction(5)), times, {0, 700}) == [
        0, 200, 400, 600, 700, 900, 1100, 1300, 1500, 1700, 1900,
    ]  # fmt: skip


def test_a_hole_is_not_made_up_for() -> None:
    times = [*range(0, 1000, 20), *range(61_000, 62_000, 20)]
    passed = _passed(FrameGate(1000, Fraction(25)), times, {0})
    assert passed == [*range(0, 1000, 40), *range(61_000, 62_000, 40)]


def test_nothing_passes_up_to_a_time() -> None:
    gate = FrameGate(1000, Fraction(30), after=1000)
    assert _passed(gate, [900, 1000, 1033, 1067], {900}) == [1033, 1067]


def test_thinned_out() -> None:
    gate = FrameGate(1000, Fraction(10))
    gate.keep_one_in = 2
    assert _passed(gate, [100 * index for index in range(9)], {0, 500}) == [0, 200, 400, 500, 700]


@given(
    st.lists(st.integers(min_value=1, max_value=400), min_size=2, max_size=200),
    st.sampled_from([Fraction(5), Fraction(24000, 1001), Fraction(30), Fraction(60)]),
)
def test_never_more_than_the_rate_and_one(gaps: list[int], rate: Fraction) -> None:
    times = [sum(gaps[:index]) for index in range(len(gaps))]
    passed = _passed(FrameGate(1000, rate), times)
    for index, begin in enumerate(passed):
        within = [time for time in passed[index:] if time < begin + 2000]
        assert len(within) <= 2 * rate + 2


def test_lag_is_what_the_clock_gained() -> None:
    pace = Pace()
    assert pace.lag(5.0) == 0.0
    # A burst of what was kept: faster than time, so nothing is late.
    for index in range(100):
        pace.observe(index / 30, 100 + index / 300)
        assert pace.lag(100 + index / 300) == pytest.approx(0.0, abs=1e-3)
    pace.observe(4.0, 103.0)
    assert pace.lag(103.5) == pytest.approx(2.5, abs=0.4)


def test_a_source_with_a_slow_clock_is_not_late() -> None:
    pace = Pace()
    for second in range(0, 4 * 3600, 10):
        pace.observe(second * (1 - 200e-6), float(second))
    assert pace.lag(float(second)) < 0.01
