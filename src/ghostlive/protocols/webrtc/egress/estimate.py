"""How much the network to one viewer carries, as far as its feedback tells. Pure; times are seconds, rates bit/s.

Three voices, the lowest counts: the viewer's own estimate (REMB), the delay of packets whose arrivals it tells
(transport-wide feedback, `delay`), and the share of packets that get lost. Loss alone says little below a tenth: a bad
radio link loses that and carries its rate all the same (draft-ietf-rmcat-gcc-02 §6).

How much gets lost is taken from the totals in reports, about once a second. The share that a report tells counts
packets as lost that others have overtaken, and never takes them back: Chromium reports five times a second, and with
50 ms of jitter 5 % of loss look like 11 % then.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ghostlive.protocols.webrtc.egress.delay import Arrival, DelayEstimator

if TYPE_CHECKING:
    from ghostlive.formats.rtcp.packets import ReportBlock

_REMB_FOR: Final = 10.0
"""A viewer that sends REMB sends one at least each second: an older one says nothing any more."""
_SMOOTH: Final = 0.4
_HIGH: Final = 0.10
_LOW: Final = 0.02
_GROW: Final = 1.08
_THROUGH: Final = 0.95
_LEAST: Final = 50_000
_ENOUGH: Final = 16
"""Packets below which a share of them says nothing,"""
_EVERY: Final = 0.9
"""and seconds: what is under way when a report is written must be little beside what has come."""


class Losses:
    """Shares of packets lost, from the totals that one source's reports tell."""

    __slots__ = ("_at", "_before")

    def __init__(self) -> None:
        """No report has come."""
        self._before: ReportBlock | None = None
        self._at = 0.0

    def share(self, block: "ReportBlock", now: float) -> float | None:
        """Of the packets since it was told last; negative when late ones came. None when it is too soon for that."""
        before = self._before
        if before is None:
            self._before, self._at = block, now
            return block.fraction_lost / 256
        if now - self._at < _EVERY:
            return None
        expected = (block.highest_sequence - before.highest_sequence + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        if 0 <= expected < _ENOUGH:
            return None
        self._before, self._at = block, now
        # Who counts anew from the beginning has not received less.
        return max(-1.0, min((block.lost - before.lost) / expected, 1.0)) if expected > 0 else None


class Estimator:
    """One viewer's."""

    __slots__ = ("_by_delay", "_by_loss", "_remb", "_remb_at", "limit", "loss")

    def __init__(self, limit: int | None = None) -> None:
        """`limit` is what was negotiated at most (`b=` in the viewer's description)."""
        self.limit = limit
        self.loss = 0.0
        """Share of packets lost, smoothed over some reports; a little below 0 when late packets came."""
        self._remb: int | None = None
        self._remb_at = 0.0
        self._by_loss: float | None = None
        self._by_delay: DelayEstimator | None = None

    def remb(self, bitrate: int, now: float) -> None:
        """The viewer told its estimate."""
        self._remb = max(bitrate, _LEAST)
        self._remb_at = now

    def report(self, fraction_lost: float, sending: int) -> None:
        """A report block on the picture came, while so many bits per second were sent; see `Losses` for the share."""
        self.loss += _SMOOTH * (fraction_lost - self.loss)
        if min(fraction_lost, self.loss) > _HIGH:
            cap = min(self._by_loss or sending, float(sending)) * (1 - 0.5 * fraction_lost)
            # No less than what goes through.
            self._by_loss = max(cap, _THROUGH * sending * (1 - fraction_lost), _LEAST)
        elif fraction_lost < _LOW and self._by_loss is not None:
            self._by_loss *= _GROW
            if self._by_loss > 4 * max(sending, _LEAST):
                self._by_loss = None
        elif max(fraction_lost, self.loss) <= _HIGH and self._by_loss is not None:
            # More than it said is sent, and goes through as well as a bad line lets it.
            self._by_loss = max(self._by_loss, float(sending))

    def arrivals(self, packets: Sequence[Arrival], now: float) -> None:
        """Transport-wide feedback on these packets came."""
        if self._by_delay is None:
            self._by_delay = DelayEstimator()
        self._by_delay.feedback(packets, now)

    def value(self, now: float) -> int | None:
        """The estimate; None while nothing is known."""
        told = [] if self.limit is None else [self.limit]
        if self._remb is not None and now - self._remb_at < _REMB_FOR:
            told.append(self._remb)
        if self._by_loss is not None:
            told.append(round(self._by_loss))
        if self._by_delay is not None and (rate := self._by_delay.rate) is not None:
            told.append(rate)
        return min(told, default=None)
