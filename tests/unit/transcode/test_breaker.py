"""Trying again: at once, then slower, then not for a while."""

from ghostlive.transcode.breaker import Breaker


def test_the_first_failure_is_answered_at_once_and_more_wait_longer() -> None:
    breaker = Breaker()
    assert [breaker.failed(float(second)) for second in range(5)] == [0.0, 0.25, 0.5, 1.0, 2.0]
    assert breaker.open_for(5.0) == 0
    assert breaker.failures == 5


def test_too_many_open_it_and_each_vain_attempt_doubles_the_rest() -> None:
    breaker = Breaker()
    for second in range(5):
        breaker.failed(float(second))
    assert breaker.failed(5.0) == 30.0
    assert breaker.open_for(15.0) == 20.0
    assert breaker.open_for(35.0) == 0.0
    now, rests = 35.0, []
    for _ in range(6):
        rests.append(breaker.failed(now + 1))
        now += 1 + rests[-1]
    assert rests == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


def test_an_attempt_that_lasts_forgives_everything() -> None:
    breaker = Breaker()
    for second in range(6):
        breaker.failed(float(second))
    # Open until 35, and then it went well for more than a minute.
    assert breaker.failed(100.0) == 0.0
    assert breaker.failures == 1


def test_failures_that_lie_apart_are_none_of_a_series() -> None:
    breaker = Breaker()
    assert [breaker.failed(70.0 * number) for number in range(20)] == [0.0] * 20


def test_forgiven_by_hand() -> None:
    breaker = Breaker(failures=0)
    assert breaker.failed(0.0) == 30.0
    breaker.forgive()
    assert breaker.open_for(1.0) == 0
    assert breaker.failed(2.0) == 30.0
