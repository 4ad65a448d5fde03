"""Where the present is, and when a rendition that has just been started has come to it."""

import random

import pytest

from ghostlive.protocols.webrtc.egress.edge import CatchUp, Edge


def test_the_present_is_what_the_quickest_packets_say() -> None:
    edge = Edge()
    assert edge.at(5) is None
    chance = random.Random(1)
    for number in range(300):
        edge.observe(number / 30, 100 + number / 30 + chance.uniform(0, 0.08))
    assert edge.at(111.0) == pytest.approx(11, abs=0.01)


def test_a_source_whose_clock_is_slow_is_followed() -> None:
    edge = Edge()
    for number in range(30 * 600):
        now = number / 30
        edge.observe(now * 0.999, 50 + now)
    assert edge.at(50 + 600) == pytest.approx(599.4, abs=0.01)
    edge.reset()
    assert edge.at(700) is None
    edge.observe(3, 800)
    assert edge.at(801) == pytest.approx(4)


def over_at(lateness: list[tuple[float, float]]) -> float | None:
    catch_up = CatchUp()
    for now, late in lateness:
        if catch_up.observe(late, now):
            return now
    return None


def test_what_comes_in_time_is_live_at_once() -> None:
    assert over_at([(0.0, 0.05)]) == 0.0


def test_catching_up_lasts_as_long_as_it_gains() -> None:
    # Three times as fast as time, from four seconds back to 0.1.
    trace = [(now / 30, max(4 - 2 * now / 30, 0.1)) for now in range(120)]
    over = over_at(trace)
    assert over is not None
    assert 1.9 < over < 2.4


def test_what_stays_late_is_live_as_it_is() -> None:
    over = over_at([(now / 30, 0.8) for now in range(60)])
    assert over is not None
    assert over < 1.0
    jittery = random.Random(2)
    over = over_at([(now / 30, 0.2 + jittery.uniform(-0.02, 0.02)) for now in range(60)])
    assert over is not None
    assert over < 0.4


def test_a_pause_while_it_catches_up_is_not_its_end() -> None:
    # A worker starts: a few frames of four seconds ago, a pause, and then all at once.
    trace = [(0.0, 4.0 - number / 50) for number in range(5)]
    trace += [(0.6 + number / 500, 4.4 - number / 50) for number in range(215)]
    trace += [(1.1 + number / 50, 0.1) for number in range(50)]
    over = over_at(trace)
    assert over is not None
    assert 1.0 < over < 1.4
