"""A probe: more than the picture is sent for some seconds, to see whether a better one would go through.

What is sent are retransmissions of packets that the viewer has: it counts them and throws them away.
"""

from typing import TYPE_CHECKING, Final

from ghostlive.protocols.webrtc.egress.pacing import Flow

if TYPE_CHECKING:
    from ghostlive.protocols.webrtc.egress.outlet import Outlet

_WINDOW: Final = 24
"""Packets that are sent again and again."""


class Probe:
    """One viewer's, while it lasts."""

    def __init__(self, outlet: "Outlet", rate: int, now: float) -> None:
        """`rate` is in bits per second."""
        self.stopped = False
        self.rate = rate
        self._outlet = outlet
        self._budget = Flow(rate, now)

    def advance(self, now: float) -> bool:
        """See `pacer.Paced`."""
        if self.stopped:
            return False
        self._budget.refill(now)
        if not self._budget.left():
            return True
        packets = self._outlet.newest(_WINDOW)
        for packet in packets:
            if not self._budget.left():
                break
            self._outlet.resend(*packet)
            self._budget.spend(len(packet[2]))
        return True
