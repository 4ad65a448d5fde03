"""What the network carries, heard from reports, REMB and the arrivals of packets; with traces of made-up networks."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ghostlive.formats.rtcp.packets import ReportBlock
from ghostlive.protocols.webrtc.egress.delay import Arrival, DelayEstimator
from ghostlive.protocols.webrtc.egress.estimate import Estimator, Losses


def test_nothing_is_known_at_first() -> None:
    assert Estimator().value(0.0) is None
    assert Estimator(1_000_000).value(0.0) == 1_000_000


def test_the_viewers_own_estimate_counts_while_it_is_fresh() -> None:
    estimator = Estimator()
    estimator.remb(2_000_000, 0.0)
    assert estimator.value(5.0) == 2_000_000
    assert estimator.value(60.0) is None
    estimator.remb(1, 61.0)
    assert estimator.value(61.0) == 50_000


def test_a_little_loss_says_nothing_and_much_says_less() -> None:
    estimator = Estimator()
    for _ in range(20):
        estimator.report(0.05, 2_000_000)
    assert estimator.value(0.0) is None
    assert estimator.loss == pytest.approx(0.05, abs=0.001)
    for _ in range(3):
        estimator.report(0.3, 2_000_000)
    reduced = estimator.value(0.0)
    assert reduced is not None
    assert 1_300_000 < reduced < 1_400_000
    assert estimator.loss > 0.2
    for _ in range(60):
        estimator.report(0.0, 1_000_000)
    assert estimator.value(0.0) is None  # it is over, and says nothing any more
    assert estimator.loss < 0.001


def test_what_was_only_overtaken_is_not_lost() -> None:
    """Reports as Chromium wrote them (share, total, highest) while the network lost 5 % and jittered by 50 ms."""
    told = [
        (46, 35, 7340), (0, 34, 7357), (25, 36, 7377), (0, 36, 7395), (40, 39, 7414), (34, 39, 7460), (0, 38, 7477),
        (26, 40, 7496), (12, 41, 7516), (0, 40, 7537), (0, 40, 7555), (24, 42, 7576), (0, 41, 7595), (79, 50, 7624),
        (0, 43, 7639), (0, 41, 7653), (25, 42, 7663), (63, 45, 7675), (28, 46, 7684), (76, 49, 7694), (0, 49, 7710),
    ]  # fmt: skip
    losses, estimator = Losses(), Estimator()
    estimator.report(0.05, 800_000)
    for number, (fraction, lost, highest) in enumerate(told):
        share = losses.share(ReportBlock(1, fraction, lost, highest, 0), 0.2 * number)
        if share is not None and number:
            estimator.report(share, 800_000)
            assert estimator.loss < 0.1
    assert estimator.value(0.0) is None


def test_totals_that_go_back_or_round_are_no_loss() -> None:
    losses = Losses()
    assert losses.share(ReportBlock(1, 0, 0, 0xFFFFFFF0, 0), 0.0) == 0.0
    assert losses.share(ReportBlock(1, 0, 10, 84, 0), 1.0) == pytest.approx(0.1)
    assert losses.share(ReportBlock(1, 255, 12, 90, 0), 2.0) is None  # too few
    assert losses.share(ReportBlock(1, 0, 0, 20, 0), 3.0) is None
    assert losses.share(ReportBlock(1, 0, -0x800000, 120, 0), 4.0) == -1.0
    assert losses.share(ReportBlock(1, 0, 0x7FFFFF, 220, 0), 5.0) == 1.0


def test_losing_everything_ends_at_a_floor() -> None:
    estimator = Estimator()
    for _ in range(200):
        estimator.report(1.0, 3_000_000)
    assert estimator.value(0.0) == 50_000


@dataclass
class Queue:
    """A link that carries so much, with a queue before it and some jitter; clocks of both sides have nothing common."""

    carries: Callable[[float], float]
    jitter: float = 0.0
    longest: float = 0.5

    def __post_init__(self) -> None:
        self.free = 0.0
        self.random = random.Random(7)

    def send(self, at: float, size: int) -> float | None:
        begin = max(at, self.free)
        if begin - at > self.longest:
            return None
        self.free = begin + size * 8 / self.carries(at)
        return self.free + 0.02 + self.random.uniform(0, self.jitter)


def trace(
    estimator: DelayEstimator, queue: Queue, seconds: float, rate: Callable[[float], float], begin: float = 0.0
) -> list[tuple[float, int | None]]:
    """A picture 30 times a second in packets of 1200 bytes; feedback each 100 ms."""
    found = []
    waiting: list[Arrival] = []
    owed = 0.0
    for number in range(round(seconds * 30)):
        now = begin + number / 30
        owed += rate(now) / 30 / 8
        while owed > 0:
            owed -= 1200
            arrived = queue.send(now, 1200)
            received = None if arrived is None else int((arrived + 5000) * 1e6)
            waiting.append(Arrival(int(now * 1e6), received, 1200))
        if number % 3 == 2:
            estimator.feedback(waiting, now)
            waiting = []
            found.append((now, estimator.rate))
    return found


def test_arrivals_on_a_wide_network_leave_room() -> None:
    found = trace(DelayEstimator(), Queue(lambda now: 50e6, jitter=0.004), 20, lambda now: 2e6)
    rates = [rate for now, rate in found if now > 3 and rate is not None]
    assert min(rates) > 2e6
    assert max(rates) < 3.5e6  # what is not sent cannot be known


def test_arrivals_on_a_narrow_network_tell_so_before_it_overflows() -> None:
    estimator = DelayEstimator()
    queue = Queue(lambda now: 5e6 if now < 10 else 1.5e6, jitter=0.002, longest=5.0)
    found = trace(estimator, queue, 13, lambda now: 2.5e6)
    first = next(now for now, rate in found if now > 10 and rate is not None and rate < 2e6)
    assert first < 11.0
    lowest = min(rate for now, rate in found if now > 11 and rate is not None)
    assert 1e6 < lowest < 1.6e6


def test_arrivals_that_only_jitter_are_no_queue() -> None:
    found = trace(DelayEstimator(), Queue(lambda now: 50e6, jitter=0.03), 30, lambda now: 2e6)
    low = [now for now, rate in found if now > 3 and rate is not None and rate < 1.9e6]
    assert len(low) < 0.1 * len(found)


def test_a_clock_that_jumps_is_no_queue() -> None:
    estimator = DelayEstimator()
    queue = Queue(lambda now: 50e6)
    trace(estimator, queue, 5, lambda now: 2e6)
    before = estimator.rate
    assert before is not None
    sent = int(5.1e6)
    estimator.feedback([Arrival(sent, int(90_000e6) + sent, 1200), Arrival(sent + 33_000, None, 1200)], 5.2)
    estimator.feedback([Arrival(sent + 66_000, int(90_000e6) + sent + 66_000, 1200)], 5.3)
    assert estimator.rate is not None
    assert estimator.rate > 0


def test_the_lowest_voice_counts() -> None:
    estimator = Estimator()
    estimator.remb(3_000_000, 0.0)
    packets = [Arrival(number * 33_000, number * 33_000 + 7, 1200) for number in range(40)]
    estimator.arrivals(packets, 0.0)
    rate = estimator.value(0.0)
    assert rate is not None
    assert rate < 1_000_000
