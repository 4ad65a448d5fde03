"""The one timer for everything that is sent in small portions: groups for who joins, probes."""

from typing import Protocol

from ghostlive.core.clock import Clock, Timer
from ghostlive.protocols.webrtc.egress.pacing import TICK


class Paced(Protocol):
    """Something that is sent bit by bit."""

    def advance(self, now: float) -> bool:
        """Send what the time allows; False when there is nothing left."""


class Pacer:
    """Runs only while there is something to do."""

    def __init__(self, clock: Clock) -> None:
        """Idle."""
        self._clock = clock
        self._active: dict[Paced, None] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._active)

    def add(self, paced: Paced) -> None:
        """Begin at once; harmless for what runs already."""
        if paced.advance(self._clock.now()):
            self._active[paced] = None
            if self._timer is None:
                self._timer = self._clock.call_later(TICK, self._tick)

    def discard(self, paced: Paced) -> None:
        """Send nothing more of it."""
        self._active.pop(paced, None)

    def close(self) -> None:
        """Forget everything."""
        self._active.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        now = self._clock.now()
        for paced in list(self._active):
            if not paced.advance(now):
                self._active.pop(paced, None)
        if self._active:
            self._timer = self._clock.call_later(TICK, self._tick)
