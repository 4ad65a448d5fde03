"""Where packets of audio are put on the timeline."""

import random

import pytest

from ghostlive.transcode.worker.audioclock import AudioClock

RATE = 48000
PACKET = 1024


@pytest.mark.parametrize("drift", [200e-6, -200e-6])
def test_a_drifting_clock_is_followed_for_hours(drift: float) -> None:
    """Every packet within a millisecond of its timestamp, and never a jump that is heard."""
    clock = AudioClock(RATE)
    end = 0
    for index in range(3 * 3600 * RATE // PACKET):
        stamp = index * PACKET * (1 + drift)
        place = clock.place(stamp, PACKET)
        assert abs(place.sample - stamp) < RATE / 1000
        assert index == 0 or abs(place.sample - end) <= 2
        end = place.sample + PACKET


def test_rounded_and_jittering_timestamps_are_not_heard() -> None:
    clock = AudioClock(RATE)
    chance = random.Random(1)
    end = 0
    for index in range(10_000):
        jitter = chance.uniform(-0.010, 0.010)
        stamp = round((index * PACKET / RATE + jitter) * 1000) * RATE / 1000
        place = clock.place(stamp, PACKET)
        assert index == 0 or not place.restart
        # 0.3 ms at once is a stretch of 1.5 %.
        assert index == 0 or abs(place.sample - end) <= 15
        end = place.sample + PACKET


def test_a_lost_packet_leaves_a_hole_of_its_length() -> None:
    clock = AudioClock(RATE)
    for index in range(100):
        clock.place(index * PACKET, PACKET)
    places = [clock.place((101 + index) * PACKET, PACKET) for index in range(20)]
    assert not any(place.restart for place in places)
    assert all(place.sample == (101 + index) * PACKET for index, place in list(enumerate(places))[4:])


def test_one_packet_with_a_wrong_time_changes_nothing() -> None:
    clock = AudioClock(RATE)
    for index in range(100):
        clock.place(index * PACKET, PACKET)
    clock.place(100 * PACKET + RATE * 0.05, PACKET)
    for index in range(101, 200):
        assert abs(clock.place(index * PACKET, PACKET).sample - index * PACKET) < RATE * 0.002


@pytest.mark.parametrize("jump", [60.0, -60.0, 1.5])
def test_a_long_hole_begins_anew(jump: float) -> None:
    clock = AudioClock(RATE)
    for index in range(100):
        clock.place(index * PACKET, PACKET)
    place = clock.place(100 * PACKET + jump * RATE, PACKET)
    assert place.restart
    assert place.sample == 100 * PACKET + jump * RATE


def test_a_short_hole_is_filled_at_once() -> None:
    clock = AudioClock(RATE)
    for index in range(100):
        clock.place(index * PACKET, PACKET)
    place = clock.place(100 * PACKET + 0.3 * RATE, PACKET)
    assert not place.restart
    assert place.sample == 100 * PACKET + 0.3 * RATE
