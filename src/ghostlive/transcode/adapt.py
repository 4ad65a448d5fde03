"""When one source's renditions are too slow for the machine: which step to take, and when to take it back. Pure.

The order of stepping down: renditions of 50 frames a second and more lose every second frame, the costliest first; then
the costliest video rendition is withdrawn. Steps are taken back in reverse after a calm while, which doubles each time
that it turned out to be too early.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SETTLE = 3.0
"""Seconds after a step, or a start, in which nothing is concluded: what was queued before is still worked off."""
CALM_FOR = 30.0
LONGEST_CALM = 600.0
LATE = 0.5
"""Seconds that a frame may take through the worker."""
CATCHING_UP = 1.25
"""Seconds of media in a second of work from which on what is late is not so for long: a start begins in the past."""


class StepKind(StrEnum):
    """What is done."""

    THIN = "thin"
    RESTORE = "restore"
    """All frames again."""
    WITHDRAW = "withdraw"
    RETURN = "return"
    """It may be offered again."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step, down or up."""

    kind: StepKind
    rendition: str


@dataclass(frozen=True, slots=True)
class Load:
    """How a running rendition does."""

    rendition: str
    video: bool
    cores: float
    """What it costs, for comparing."""
    frame_rate: float
    """As planned."""
    dropped: int
    """Frames left out for slowness since it was started."""
    late: float
    """Seconds that its last frame took through the worker."""
    media: float = 0.0
    """Seconds of media encoded since it was started."""


class Adapter:
    """Watches one source."""

    def __init__(self, slow_for: float = 2.0) -> None:
        """`slow_for` is for how many seconds it must go on being slow before a step is taken."""
        self._patience = slow_for
        self._taken: list[Step] = []
        self._dropped: dict[str, int] = {}
        self._slow_since: float | None = None
        self._slow_from: dict[str, float] = {}
        """How much media each rendition had encoded then."""
        self._quiet_until = 0.0
        self._calm_since: float | None = None
        self._calm_for = CALM_FOR
        self._stepped_up_at: float | None = None

    @property
    def thinned(self) -> frozenset[str]:
        """Renditions of which only every second frame is encoded."""
        return frozenset(step.rendition for step in self._taken if step.kind is StepKind.THIN)

    @property
    def withdrawn(self) -> frozenset[str]:
        """Renditions that are not to be made now."""
        return frozenset(step.rendition for step in self._taken if step.kind is StepKind.WITHDRAW)

    @property
    def slow(self) -> bool:
        """It does not keep up at the moment."""
        return self._slow_since is not None

    def started(self, now: float) -> None:
        """A worker or a rendition was started: it catches up first."""
        self._quiet_until = max(self._quiet_until, now + SETTLE)
        self._slow_since = None

    def observe(self, now: float, loads: Sequence[Load], *, waiting: bool = False) -> Step | None:
        """Note how all running renditions do; the step to take now, if any.

        `waiting` is whether frames wait for the worker because it does not take them.
        """
        dropping = [load for load in loads if load.dropped > self._dropped.get(load.rendition, 0)]
        self._dropped = {load.rendition: load.dropped for load in loads}
        if now < self._quiet_until:
            return None
        if waiting or dropping or any(load.late > LATE for load in loads):
            self._calm_since = None
            if self._slow_since is None:
                self._slow_since = now
                self._slow_from = {load.rendition: load.media for load in loads}
            if now - self._slow_since < self._patience:
                return None
            if not dropping and self._catches_up(now - self._slow_since, loads, waiting=waiting):
                self._slow_since = None
                return None
            return self._down(now, loads)
        self._slow_since = None
        if self._calm_since is None:
            self._calm_since = now
        if self._stepped_up_at is not None and now - self._stepped_up_at > 2 * self._calm_for:
            self._calm_for = CALM_FOR
            self._stepped_up_at = None
        if self._taken and now - self._calm_since >= self._calm_for:
            return self._up(now)
        return None

    def idle(self, now: float) -> Step | None:
        """Nothing runs, so that nothing is measured: what was withdrawn may be tried again in time."""
        if self._calm_since is None:
            self._calm_since = now
        return self._up(now) if self._taken and now - self._calm_since >= self._calm_for else None

    def _catches_up(self, seconds: float, loads: Sequence[Load], *, waiting: bool) -> bool:
        """Whether all that is late has become less so for as long as that."""
        late = [load for load in loads if load.late > LATE or (waiting and load.video)]
        return bool(late) and all(
            load.media - self._slow_from.get(load.rendition, load.media) >= CATCHING_UP * seconds for load in late
        )

    def _down(self, now: float, loads: Sequence[Load]) -> Step | None:
        video = sorted((load for load in loads if load.video), key=lambda load: load.cores, reverse=True)
        thinned = self.thinned
        fast = [load for load in video if load.frame_rate >= 49 and load.rendition not in thinned]
        if fast:
            step = Step(StepKind.THIN, fast[0].rendition)
        elif video:
            step = Step(StepKind.WITHDRAW, video[0].rendition)
        else:
            return None
        if self._stepped_up_at is not None:
            # Too early: wait longer next time.
            self._calm_for = min(2 * self._calm_for, LONGEST_CALM)
            self._stepped_up_at = None
        self._taken.append(step)
        self._changed(now)
        return step

    def _up(self, now: float) -> Step:
        taken = self._taken.pop()
        self._stepped_up_at = now
        self._changed(now)
        kind = StepKind.RESTORE if taken.kind is StepKind.THIN else StepKind.RETURN
        return Step(kind, taken.rendition)

    def _changed(self, now: float) -> None:
        self._slow_since = self._calm_since = None
        self._quiet_until = now + SETTLE
