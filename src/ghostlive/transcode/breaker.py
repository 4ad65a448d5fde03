"""When to try again what failed. Pure: the time is an argument.

The first failure is answered at once, since viewers wait; more of them wait longer, and too many in a short time open
the breaker: nothing is tried for a while. Then one attempt is made; if that one lasts, all is forgiven.
"""

from collections import deque

_DELAYS = (0.0, 0.25, 0.5, 1.0, 2.0)
_WITHIN = 60.0
_PAUSE = 30.0
_LONGEST_PAUSE = 600.0


class Breaker:
    """Counts failures of one thing that is tried again and again."""

    def __init__(self, *, failures: int = len(_DELAYS), within: float = _WITHIN, pause: float = _PAUSE) -> None:
        """One more than `failures` in `within` seconds opens it for `pause` seconds, twice as long each time."""
        self._allowed = failures
        self._within = within
        self._first_pause = pause
        self._pause = pause
        self._failures: deque[float] = deque()
        self._open_until = 0.0
        self._trial = False

    @property
    def failures(self) -> int:
        """How many failures it has seen lately."""
        return len(self._failures)

    def failed(self, now: float) -> float:
        """Note a failure; in how many seconds to try again."""
        if self._failures and now - max(self._failures[-1], self._open_until) > self._within:
            self.forgive()
        while self._failures and now - self._failures[0] > self._within:
            self._failures.popleft()
        self._failures.append(now)
        if self._trial or len(self._failures) > self._allowed:
            if self._trial:
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._trial = True
            self._open_until = now + self._pause
            return self._pause
        return _DELAYS[min(len(self._failures), len(_DELAYS)) - 1]

    def open_for(self, now: float) -> float:
        """Seconds for which nothing is to be tried; 0 when it may be."""
        return max(self._open_until - now, 0.0)

    def forgive(self) -> None:
        """Begin anew: what failed before is another thing now, or has worked for long."""
        self._failures.clear()
        self._trial = False
        self._pause = self._first_pause
        self._open_until = 0.0
