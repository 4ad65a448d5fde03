"""Timelines and the re-basing of publishers' timestamps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.core.timeline import NS, Rebaser, Timeline

HOUR_MS = 3_600_000


def rebaser(base: int = 0) -> Rebaser:
    return Rebaser(rate=1000, bits=32, base=base)


def test_media_time_and_wall_time_are_inverse() -> None:
    timeline = Timeline(origin_ns=1_700_000_000 * NS)
    assert timeline.wall_ns(90_000, 90_000) == 1_700_000_001 * NS
    assert timeline.media_ticks(1_700_000_001 * NS, 90_000) == 90_000
    assert timeline.wall(45_000, 90_000).isoformat() == "2023-11-14T22:13:20.500000+00:00"


@given(ticks=st.integers(0, 10**12), timescale=st.sampled_from([1000, 44100, 48000, 90000]))
def test_wall_time_is_exact_to_the_nanosecond(ticks: int, timescale: int) -> None:
    timeline = Timeline(origin_ns=0)
    assert abs(timeline.wall_ns(ticks, timescale) * timescale - ticks * NS) < timescale


def test_the_first_timestamp_begins_at_the_base() -> None:
    assert rebaser(base=5000).map(123_456, 0.0) == 5000


def test_distances_between_timestamps_are_kept() -> None:
    clock = rebaser()
    assert [clock.map(t, t / 1000) for t in (700, 720, 710, 760)] == [0, 20, 10, 60]


def test_a_wrapped_counter_runs_on() -> None:
    clock = rebaser()
    clock.map(2**32 - 20, 0.0)
    assert clock.map(13, 0.033) == 33
    assert clock.jumps == 0


@pytest.mark.parametrize("jump", [5 * HOUR_MS, -5 * HOUR_MS, 2**31 - 1, 60_000, -60_000])
def test_a_jump_is_not_believed(jump: int) -> None:
    clock = rebaser()
    start = 10 * HOUR_MS
    for n in range(10):
        clock.map(start + n * 33, n * 0.033)
    after = clock.map((start + 330 + jump) % 2**32, 0.330)
    assert abs(after - 330) <= 1
    assert abs(clock.map((start + 363 + jump) % 2**32, 0.363) - 363) <= 1
    assert clock.jumps == 1


def test_the_other_track_may_jump_a_little_later() -> None:
    clock = rebaser()
    for n in range(10):
        clock.map(n * 20, n * 0.02)
    assert abs(clock.map(HOUR_MS + 200, 0.2) - 200) <= 1  # video jumps
    assert clock.map(210, 0.21) == 210  # audio has not yet
    assert abs(clock.map(HOUR_MS + 220, 0.22) - 220) <= 1
    assert abs(clock.map(HOUR_MS + 230, 0.23) - 230) <= 1  # now it has
    assert clock.jumps == 1


def test_a_stalled_network_that_catches_up_is_no_jump() -> None:
    clock = rebaser()
    clock.map(0, 0.0)
    for n in range(1, 100):  # eight seconds of frames arrive at once
        assert clock.map(n * 80, 8.0) == n * 80
    assert clock.jumps == 0


def test_a_pause_of_a_publisher_is_no_jump_when_its_timestamps_say_so_too() -> None:
    clock = rebaser()
    clock.map(0, 0.0)
    assert clock.map(60_000, 60.0) == 60_000
    assert clock.jumps == 0
