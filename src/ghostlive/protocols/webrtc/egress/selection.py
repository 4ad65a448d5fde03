"""Which rendition a viewer gets while the server chooses. Pure; times are seconds, rates bits per second.

Down is quick, up is slow: when the estimate falls below what is sent, or much gets lost, the best rendition that fits
is taken. Up it goes when the estimate has room for the next one. An estimate grows little beyond what is sent, so after
some quiet time more than the picture is sent (a probe); each way up that ends in a way down doubles that time.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

_FITS: Final = 0.95
"""Of the estimate."""
_ROOM: Final = 1.15
"""Of a better rendition's rate, which the estimate must have for it."""
_EASY: Final = 1.2
"""Of the present rendition's rate: an estimate that does not grow beyond it, since no more is sent."""
_SHORT: Final = 0.9
"""Of the present rendition's rate: below this the estimate is too low for it."""
_SHORT_FOR: Final = 1.5
_LOSSY: Final = 0.10
_BAD: Final = 0.25
_CLEAN: Final = 0.02
_SETTLE: Final = 3.0
"""Seconds after a change in which what is heard may still be of the time before."""
_SETTLE_BAD: Final = 1.5
_QUIET: Final = 8.0
_QUIET_MOST: Final = 120.0
_PROBE_FOR: Final = 4.0
_PROBE_LOSS: Final = 0.05
_PROBE_ROOM: Final = 1.1
_RELAPSE: Final = 20.0


class Choice(NamedTuple):
    """What to do."""

    rendition: int
    """The place of the rendition to send."""
    probe: int = 0
    """Bits per second to send beside it."""


class Selector:
    """One viewer's."""

    __slots__ = ("_changed_at", "_clean_since", "_probed_at", "_probing_since", "_quiet", "_short_since", "_up_at")

    def __init__(self, now: float) -> None:
        """It begins with the viewer."""
        self._changed_at = now
        self._short_since: float | None = None
        self._clean_since = now
        self._probing_since: float | None = None
        self._probed_at = now
        self._quiet = _QUIET
        self._up_at: float | None = None

    def changed(self, now: float) -> None:
        """Another rendition is sent from now on, whoever chose it."""
        self._changed_at = self._clean_since = now
        self._short_since = self._probing_since = None

    def overflowed(self, now: float) -> None:
        """Packets get lost while it probes."""
        if self._probing_since is not None:
            self._fail(now, 0)

    def refused(self, now: float) -> None:
        """What it chose cannot be had now."""
        self._up_at = None
        self._fail(now, 0)

    def decide(
        self,
        now: float,
        rates: Sequence[int],
        current: int,
        *,
        estimate: int | None,
        loss: float,
        can_probe: bool = True,
    ) -> Choice:
        """`rates` are those of the renditions, best first. To be asked about twice a second.

        Who cannot be probed (no retransmissions were negotiated) is sent the better rendition to see how that goes.
        """
        rate = rates[current]
        if loss > _CLEAN:
            self._clean_since = now
        if estimate is not None and estimate < _SHORT * rate:
            self._short_since = now if self._short_since is None else self._short_since
        else:
            self._short_since = None
        # What a probe loses says nothing of what is sent without it.
        since = now - max(self._changed_at, self._probed_at) if self._probing_since is None else 0.0
        short = self._short_since is not None and now - self._short_since >= _SHORT_FOR and since >= _SETTLE
        lossy = (loss > _LOSSY and since >= _SETTLE) or (loss > _BAD and since >= _SETTLE_BAD)
        if (short or lossy) and current + 1 < len(rates):
            return Choice(self._down(now, rates, current, estimate))
        state = _Heard(rates, current, estimate, loss, can_probe)
        return self._up(now, state)

    def _down(self, now: float, rates: Sequence[int], current: int, estimate: int | None) -> int:
        if self._up_at is not None and now - self._up_at < _RELAPSE:
            self._quiet = min(2 * self._quiet, _QUIET_MOST)
        self._up_at = None
        if estimate is not None:
            for index in range(current + 1, len(rates)):
                if rates[index] <= _FITS * estimate:
                    return index
            return len(rates) - 1
        return current + 1

    def _up(self, now: float, heard: "_Heard") -> Choice:
        if self._up_at is not None and now - self._up_at >= _RELAPSE:
            self._up_at = None
            self._quiet = max(self._quiet / 2, _QUIET)
        current = heard.current
        if current == 0:
            return Choice(current)
        if self._probing_since is not None:
            return self._probe(now, now - self._probing_since, heard)
        if now - max(self._changed_at, self._clean_since) < self._quiet:
            return Choice(current)
        if heard.has_room or (not heard.can_probe and heard.is_easy):
            return self._better(now, current)
        if not heard.can_probe:
            return Choice(current)
        self._probing_since = now
        return Choice(current, heard.extra)

    def _probe(self, now: float, lasted: float, heard: "_Heard") -> Choice:
        if heard.loss > _PROBE_LOSS or heard.is_short:
            return self._fail(now, heard.current)
        if heard.has_room:
            return self._better(now, heard.current)
        if lasted < _PROBE_FOR:
            return Choice(heard.current, heard.extra)
        # As much as the better rendition needs went through for seconds: an estimate that follows slowly is no reason.
        if heard.estimate is None or heard.estimate >= heard.better:
            return self._better(now, heard.current)
        return self._fail(now, heard.current)

    def _better(self, now: float, current: int) -> Choice:
        self._up_at = now
        self._probing_since = None
        return Choice(current - 1)

    def _fail(self, now: float, current: int) -> Choice:
        self._probing_since = None
        self._probed_at = self._clean_since = now
        self._quiet = min(2 * self._quiet, _QUIET_MOST)
        return Choice(current)


class _Heard(NamedTuple):
    """How things stand for a viewer that does not have the best rendition."""

    rates: Sequence[int]
    current: int
    estimate: int | None
    loss: float
    can_probe: bool

    @property
    def better(self) -> int:
        """The rate of the next better rendition."""
        return self.rates[self.current - 1]

    @property
    def has_room(self) -> bool:
        return self.estimate is not None and self.estimate >= _ROOM * self.better

    @property
    def is_easy(self) -> bool:
        return self.estimate is None or self.estimate >= _EASY * self.rates[self.current]

    @property
    def is_short(self) -> bool:
        return self.estimate is not None and self.estimate < _SHORT * self.rates[self.current]

    @property
    def extra(self) -> int:
        """What to send beside the present rendition to see whether the better one would go through."""
        return max(round(_PROBE_ROOM * self.better) - self.rates[self.current], 0)
