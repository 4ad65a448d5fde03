"""Estimate from delay: when packets take longer and longer, a queue grows somewhere (draft-ietf-rmcat-gcc-02 §4, §5).

Pure. It needs to know of each packet when it was sent and when it arrived, on two clocks of which only differences
count. The queue's trend is a regression over the last groups of packets, as browsers do it.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

# Where libwebrtc differs from the draft, its figures are taken: its receivers are what we measure with, and it has
# replaced the draft's Kalman filter by the same regression (modules/congestion_controller/goog_cc).
_GROUP_US: Final = 5_000
"""Packets sent within so much are one group (§5.2, burst_time): a picture leaves at once, and its packets say together
how long the queue is."""
_POINTS: Final = 20
"""Groups that the regression looks at (trendline window): two thirds of a second at 30 pictures a second."""
_SMOOTHING: Final = 0.9
"""Share of the delay before in the smoothed one, so that single late groups have no slope."""
_GAIN: Final = 4.0
_FULL_COUNT: Final = 60
"""The slope times these is compared with the threshold, as if it went on for so many groups; at first for the few that
there were, since a slope of few points is mostly chance."""
_THRESHOLD_MS: Final = 12.5
"""Where the threshold begins (§5.4, del_var_th(0)) …"""
_THRESHOLD_LEAST_MS: Final = 6.0
_THRESHOLD_MOST_MS: Final = 600.0
"""… and within what it moves (§5.4)."""
_UP: Final = 0.0087
_DOWN: Final = 0.039
"""Shares per millisecond by which it follows the trend (§5.4, K_u and K_d): up, so that a jittery network or another
sender's queue does not count for ever; down faster, so that it becomes sensitive again."""
_OUTLIER_MS: Final = 15.0
"""A trend that exceeds the threshold by more does not move it (§5.4): that is a sudden queue and no jitter."""
_STEP_MOST_MS: Final = 100.0
"""Time between two groups that counts at most, so that a pause does not move it far."""
_OVER_MS: Final = 10.0
"""The trend has to be above the threshold for so long (§5.4, overuse_time_th)."""
_JUMP_MS: Final = 3000
"""A delay that changes by more from one group to the next is no queue."""
_RATE_OVER: Final = 0.5
"""Seconds over which what arrived is measured (§5.5 has 0.5 to 1)."""
_DECREASE: Final = 0.85
"""Of what arrives, when a queue grows (§5.5, beta): it has to empty as well."""
_INCREASE: Final = 1.08
"""Per second, when none does (§5.5, eta)."""
_AHEAD: Final = 1.5
_AHEAD_BPS: Final = 10_000
"""Of what arrives, and bits per second beyond, that the estimate grows to (§5.5): more was never tried. The constant
lets it grow out of nearly nothing."""
_LEAST: Final = 50_000
"""Bits per second: sound alone. From less, 8 % in a second would take minutes to come back."""


class Arrival(NamedTuple):
    """A packet that was sent, and what the viewer says of it."""

    sent_us: int
    received_us: int | None
    """On the viewer's clock; None when it did not arrive."""
    size: int


class DelayEstimator:
    """One viewer's."""

    def __init__(self) -> None:
        """Nothing known."""
        self.rate: int | None = None
        """Bits per second; None before enough packets were told of."""
        self._group: tuple[int, int, int] | None = None  # first sent, last sent, last received
        self._before: tuple[int, int] | None = None  # last sent, last received of the group before
        self._accumulated = 0.0
        self._smoothed = 0.0
        self._points: deque[tuple[float, float]] = deque(maxlen=_POINTS)
        self._count = 0
        self._threshold = _THRESHOLD_MS
        self._last_ms: float | None = None
        self._over_ms = 0.0
        self._trend = 0.0
        self._received: deque[tuple[int, int]] = deque()
        self._received_bytes = 0
        self._state = 0
        self._changed_at: float | None = None

    def feedback(self, packets: Sequence[Arrival], now: float) -> None:
        """Take one feedback message's packets, in the order of their sending."""
        for sent, received, size in packets:
            if received is None:
                continue
            self._measure(received, size)
            if self._group is None:
                self._group = (sent, sent, received)
            elif sent - self._group[0] <= _GROUP_US:
                first, last, arrived = self._group
                self._group = (first, max(last, sent), max(arrived, received))
            else:
                self._close(self._group)
                self._group = (sent, sent, received)
        self._steer(now)

    @property
    def throughput(self) -> int | None:
        """Bits per second that arrived lately; None before enough did."""
        if len(self._received) < 2:
            return None
        span = (self._received[-1][0] - self._received[0][0]) / 1e6
        return None if span < _RATE_OVER / 2 else round(self._received_bytes * 8 / span)

    def _measure(self, received: int, size: int) -> None:
        if self._received and received < self._received[-1][0]:
            received = self._received[-1][0]
        self._received.append((received, size))
        self._received_bytes += size
        while received - self._received[0][0] > _RATE_OVER * 1e6:
            self._received_bytes -= self._received.popleft()[1]

    def _close(self, group: tuple[int, int, int]) -> None:
        _, sent, received = group
        if self._before is not None:
            sent_before, received_before = self._before
            delta = (received - received_before - (sent - sent_before)) / 1000
            if abs(delta) > _JUMP_MS:
                # A clock jumped, or the viewer slept.
                self._points.clear()
                self._accumulated = self._smoothed = 0.0
            else:
                self._accumulated += delta
                self._smoothed = _SMOOTHING * self._smoothed + (1 - _SMOOTHING) * self._accumulated
                self._points.append((received / 1000, self._smoothed))
                self._count += 1
                self._detect(received / 1000)
        self._before = (sent, received)

    def _detect(self, now_ms: float) -> None:
        if len(self._points) < _POINTS:
            return
        trend = _slope(self._points) * min(self._count, _FULL_COUNT) * _GAIN
        step = 0.0 if self._last_ms is None else min(max(now_ms - self._last_ms, 0.0), _STEP_MOST_MS)
        self._last_ms = now_ms
        if trend > self._threshold:
            self._over_ms += step
            if self._over_ms > _OVER_MS and trend >= self._trend:
                self._state = 1
        else:
            self._over_ms = 0.0
            self._state = -1 if trend < -self._threshold else 0
        self._trend = trend
        if abs(trend) <= self._threshold + _OUTLIER_MS:
            factor = _DOWN if abs(trend) < self._threshold else _UP
            self._threshold += factor * (abs(trend) - self._threshold) * step
            self._threshold = min(max(self._threshold, _THRESHOLD_LEAST_MS), _THRESHOLD_MOST_MS)

    def _steer(self, now: float) -> None:
        throughput = self.throughput
        if throughput is None:
            return
        if self.rate is None:
            self.rate = round(throughput * _AHEAD)
            self._changed_at = now
            return
        assert self._changed_at is not None
        passed = min(now - self._changed_at, 1.0)
        self._changed_at = now
        if self._state > 0:
            self.rate = max(min(self.rate, round(_DECREASE * throughput)), _LEAST)
            self._state = 0
            self._over_ms = 0.0
        elif self._state == 0:
            # What is sent limits what can be known: no more than half above it.
            grown = self.rate * _INCREASE**passed
            most = _AHEAD * throughput + _AHEAD_BPS
            self.rate = round(max(min(grown, most), min(self.rate, most), _LEAST))


def _slope(points: Sequence[tuple[float, float]]) -> float:
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    numerator = sum((x - mean_x) * (y - mean_y) for x, y in points)
    denominator = sum((x - mean_x) ** 2 for x, _ in points)
    return numerator / denominator if denominator else 0.0
