"""What the network to one viewer seems to carry, and what is done to find out: estimates, probes, quiet times.

What does not live here: which tracks that means (`viewer`), and how figures are weighed (`estimate`, `selection`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ghostlive.formats.rtcp.ntp import ntp_from_unix_ns, round_trip_time
from ghostlive.protocols.webrtc.egress.delay import Arrival
from ghostlive.protocols.webrtc.egress.estimate import Estimator, Losses
from ghostlive.protocols.webrtc.egress.probe import Probe
from ghostlive.protocols.webrtc.egress.selection import Choice, Selector

if TYPE_CHECKING:
    from ghostlive.formats.rtcp.packets import ReportBlock
    from ghostlive.protocols.webrtc.egress.lane import Lane
    from ghostlive.protocols.webrtc.egress.outlet import Outlet
    from ghostlive.protocols.webrtc.egress.stream import Surroundings

_CALM: Final = 1.5
"""Seconds after a change of what is sent in which losses are told that it had caused itself."""
_MOST_PROBES: Final = 16
"""Viewers that are probed at a time."""
_RTT_SMOOTHING: Final = 0.25
_CHOKED_LOSS: Final = 0.3
"""The loss by UDP that half a second of backlog by TCP is like."""
_CHOKED_SECONDS: Final = 0.5


class Steering:
    """One viewer's. Times are seconds, rates bits per second."""

    __slots__ = ("_around", "_calm_at", "_estimator", "_losses", "_probe", "_selector", "rtt")

    def __init__(self, around: "Surroundings", max_bitrate: int | None) -> None:
        """`max_bitrate` is what was negotiated at most."""
        now = around.clock.now()
        self.rtt: float | None = None
        """Seconds to the viewer and back; None before a report told."""
        self._around = around
        self._estimator = Estimator(max_bitrate)
        self._losses = Losses()
        self._selector = Selector(now)
        self._probe: Probe | None = None
        self._calm_at = 0.0

    @property
    def loss(self) -> float:
        """Share of packets lost, smoothed."""
        return max(self._estimator.loss, 0.0)

    @property
    def probing(self) -> bool:
        """Whether more than the picture is sent to find out what goes through."""
        return self._probe is not None

    def estimate(self, now: float) -> int | None:
        """What the network carries; None while nothing is known."""
        return self._estimator.value(now)

    # What is heard

    def remb(self, bitrate: int, now: float) -> None:
        """The viewer's own estimate."""
        self._estimator.remb(bitrate, now)

    def arrivals(self, packets: Sequence[Arrival], now: float) -> None:
        """When packets arrived (transport-wide feedback)."""
        self._estimator.arrivals(packets, now)

    def report(self, block: "ReportBlock", lane: "Lane | None", now: float, *, main: bool) -> None:
        """A report block; the loss of the `main` outlet counts, while it is sent `lane`."""
        rtt = round_trip_time(block, ntp_from_unix_ns(self._around.clock.wall_ns()))
        if rtt is not None:
            self.rtt = rtt if self.rtt is None else (1 - _RTT_SMOOTHING) * self.rtt + _RTT_SMOOTHING * rtt
        lost = self._losses.share(block, now) if main else None
        if lost is not None and now >= self._calm_at:
            sending = (lane.bitrate() if lane is not None else 0) + (self._probe.rate if self._probe is not None else 0)
            self._estimator.report(lost, sending)

    def backlog(self, waiting: int, lane: "Lane | None") -> None:
        """So many bytes wait for a viewer by TCP, which loses nothing: what waits too long counts as lost."""
        rate = lane.bitrate() if lane is not None else 0
        choked = waiting * 8 > _CHOKED_SECONDS * rate > 0
        self._estimator.report(_CHOKED_LOSS if choked else 0.0, rate)

    def overflowed(self, now: float) -> None:
        """More is missed than a probe may cost."""
        self.stop_probe()
        self._selector.overflowed(now)

    # What is done

    def changed(self, now: float, *, picture: bool) -> None:
        """Something else is sent from now on, whoever chose it; `picture` is whether that is another picture."""
        if picture:
            self._calm_at = now + _CALM
            self._estimator.loss = 0.0
        self._selector.changed(now)
        self.stop_probe()

    def chosen_by_server(self, now: float) -> None:
        """The choice is the server's from now on."""
        self._selector.changed(now)

    def refused(self, now: float) -> None:
        """What was chosen cannot be had."""
        self._selector.refused(now)

    def decide(self, now: float, rates: Sequence[int], current: int, *, can_probe: bool) -> Choice:
        """See `Selector.decide`."""
        return self._selector.decide(
            now, rates, current, estimate=self.estimate(now), loss=self._estimator.loss, can_probe=can_probe
        )

    def probe(self, outlet: "Outlet", rate: int, now: float) -> None:
        """Send so much beside the picture, 0 for nothing."""
        around = self._around
        if not rate:
            self.stop_probe()
        elif self._probe is None and around.probes < _MOST_PROBES:
            around.probes += 1
            self._probe = Probe(outlet, rate, now)
            around.pacer.add(self._probe)

    def stop_probe(self) -> None:
        """Send nothing beside the picture."""
        if self._probe is not None:
            self._probe.stopped = True
            self._around.pacer.discard(self._probe)
            self._around.probes -= 1
            self._probe = None
