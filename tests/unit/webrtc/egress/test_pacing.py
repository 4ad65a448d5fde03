"""How fast a group is sent to who joins, and what a viewer may cause."""

from ghostlive.protocols.webrtc.egress.pacing import SLICE, TICK, Budget, Flow, TokenBucket, slices


def send(budget: Budget, size: int, now: float = 0.0, *, most: float = 60.0) -> float:
    """Send so many bytes in packets of 1200; how long that takes."""
    begin = now
    while size > 0 and now - begin < most:
        while budget.left() and size > 0:
            budget.spend(1200)
            size -= 1200
        now += TICK
        budget.refill(now)
    return now - begin


def test_two_seconds_are_there_in_a_fifth_of_one() -> None:
    assert send(Budget(2_500_000, 0.0), 2 * 2_500_000 // 8) < 0.25
    assert send(Budget(2_500_000, 0.0), 60_000) < 0.05  # a keyframe
    assert send(Budget(100_000, 0.0), 100_000) < 0.1


def test_it_begins_slower_than_it_ends() -> None:
    budget = Budget(2_500_000, 0.0)
    assert budget.rate == 10_000_000
    send(budget, 1_000_000)
    assert budget.rate == 25_000_000


def test_a_network_that_is_known_gets_no_more_than_twice_what_it_carries() -> None:
    for estimate, rate in ((3_000_000, 6_000_000), (1_000_000, 3_750_000), (50_000_000, 25_000_000)):
        budget = Budget(2_500_000, 0.0, estimate)
        send(budget, 1_000_000)
        assert budget.rate == rate


def test_what_is_missed_halves_it_down_to_what_still_comes_to_the_present() -> None:
    budget = Budget(2_500_000, 0.0)
    send(budget, 500_000)
    for rate in (12_500_000, 6_250_000, 3_750_000):
        assert not budget.slowest
        budget.slow_down()
        assert budget.rate == rate
    assert budget.slowest
    send(budget, 100_000)
    assert budget.slowest


def test_nothing_is_saved_up_over_a_pause() -> None:
    for flow in (Budget(800_000, 0.0), Flow(20_000_000, 0.0)):
        flow.refill(60.0)
        sent = 0
        while flow.left():
            flow.spend(1000)
            sent += 1000
        assert sent <= 20_000_000 / 8 * 0.02 + 1000


def test_a_bucket_gives_what_flows_in_and_a_little_more() -> None:
    bucket = TokenBucket(100, 50, 0.0)
    assert sum(bucket.take(1, 0.0) for _ in range(100)) == 50
    assert not bucket.take(1, 0.0)
    assert sum(bucket.take(1, 1.0) for _ in range(100)) == 50
    assert sum(bucket.take(1, 1 + number / 1000) for number in range(1, 1001)) <= 100
    assert bucket.take(5, 10.0, rate=1)
    assert not bucket.take(45, 11.0)


def test_slices_are_whole_packets_in_order() -> None:
    payloads = [bytes([number]) for number in range(70)]
    assert list(slices(payloads, 0)) == [(0, SLICE), (SLICE, 64), (64, 70)]
    assert list(slices(payloads, 66)) == [(66, 70)]
    assert list(slices(payloads, 70)) == []
