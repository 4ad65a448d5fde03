"""How far the homeserver's clock is from ours, as the dates of its answers tell (RFC 9110, section 6.6.1).

Its users' messages bear its time. When that is an hour wrong they would stand in the chat an hour too early, or, with
the picture of somebody who watches the past, at the wrong place. Other homeservers' clocks are not known: nothing is
changed of what they say.
"""

from email.utils import parsedate_to_datetime
from typing import Final

import structlog

_log = structlog.get_logger("matrix")

_NOTICED: Final = 10.0
"""Seconds from which on a clock is wrong. Dates are of whole seconds, and clocks that are kept agree far better."""
_TOLD: Final = 60.0
"""Seconds from which on somebody should set it."""


class Skew:
    """Of one homeserver; no clock of its own."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Its time less ours; 0 unless it is surely wrong."""

    def answered(self, date: str, sent: float, came: float) -> None:
        """It answered with this date to what we sent and got at these times (seconds since 1970, by our clock)."""
        try:
            told = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):  # anybody may answer anything
            return
        # When between the two it looked at its clock is not known. A clock of ours that is set meanwhile tells nothing.
        doubt = came - sent
        if doubt < 0:
            return
        found = told + 0.5 - (sent + came) / 2
        seconds = found if abs(found) > _NOTICED + doubt else 0.0
        if (seconds == 0.0) != (self.seconds == 0.0):
            _log.warning("the homeserver's clock is wrong" if seconds else "the clocks agree again", by=round(seconds))
        self.seconds = seconds

    def corrected(self, at: float) -> float:
        """What its clock called `at` (seconds since 1970), by ours."""
        return at - self.seconds

    @property
    def advice(self) -> str:
        """What to tell those who can set it; empty when there is nothing to tell."""
        if abs(self.seconds) < _TOLD:
            return ""
        minutes = round(abs(self.seconds) / 60)
        how = "ahead of" if self.seconds > 0 else "behind"
        return (
            f"The homeserver's clock is {minutes} {'minute' if minutes == 1 else 'minutes'} {how} this server's. "
            "The chat goes on, but Matrix clients show wrong times: set the clocks of both, best by NTP."
        )
