"""How one source's renditions do by what its workers count: speed, processor time, and when to step down or up. Pure.

The figures are held over all of a source's workers; `worker_started` begins those of the present one anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ghostlive.transcode.adapt import Adapter, Load, Step
from ghostlive.transcode.budget import Budget
from ghostlive.transcode.plan import VideoPlan
from ghostlive.transcode.rendition import Rendition
from ghostlive.transcode.vetting import DishonestWorkerError
from ghostlive.transcode.wire import Stats

_MEASURE_EVERY = 2.0
_SETTLED = 5.0
"""Seconds after a start from which measured processor time counts."""
_FRUITLESS_FOR = 5.0
_RUNAWAY_FOR = 10.0
_RUNAWAY = 5.0
"""A worker that uses so many times what it should is decoding something that was made to do that."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a worker's figures show."""

    failure: str = ""
    """Why the worker is to be replaced; empty when it is not."""
    damaged: bool = False
    """Much of what the publisher sends cannot be decoded."""


class Performance:
    """One source's. Its renditions are given by their runs at the present worker."""

    def __init__(self, stream: str, budget: Budget, *, step_down_after: float) -> None:
        """`stream` is the session by which the budget knows it."""
        self._stream = stream
        self._budget = budget
        self._step_down_after = step_down_after
        self._adapter = Adapter(step_down_after)
        self._stats: Stats | None = None
        self._measured: tuple[float, Stats] | None = None
        self._runaway_since: float | None = None
        self._fruitless_since: float | None = None
        self._settled_at = 0.0

    @property
    def thinned(self) -> frozenset[str]:
        """Renditions of which only every second frame is encoded."""
        return self._adapter.thinned

    @property
    def withdrawn(self) -> frozenset[str]:
        """Renditions that are not to be made, since this machine is too slow."""
        return self._adapter.withdrawn

    @property
    def slow(self) -> bool:
        """It does not keep up at the moment."""
        return self._adapter.slow

    def forgive(self) -> None:
        """The source is another one: no step is taken."""
        self._adapter = Adapter(self._step_down_after)

    def worker_started(self, now: float) -> None:
        """A worker begins, which has counted nothing."""
        self._stats = self._measured = None
        self._runaway_since = self._fruitless_since = None
        self._settled_at = now + _SETTLED
        self._adapter.started(now)

    def rendition_started(self, now: float) -> None:
        """A rendition begins in the past, and catches up first."""
        self._adapter.started(now)

    def observe(self, now: float, stats: Stats, renditions: Mapping[int, Rendition]) -> Findings:
        """Take a worker's figures. Raises `DishonestWorkerError` for those that cannot be."""
        before = self._stats
        if min(stats.cpu, stats.memory, stats.decoded, stats.damaged, stats.waiting) < 0 or (
            before is not None and stats.cpu < before.cpu
        ):
            raise DishonestWorkerError("figures that cannot be")
        self._stats = stats
        for item in stats.renditions:
            if (rendition := renditions.get(item.run)) is not None:
                rendition.stats = item
        if self._measured is None:
            self._measured = (now, stats)
            return Findings()
        since, earlier = self._measured
        if now - since < _MEASURE_EVERY:
            return Findings()
        self._measured = (now, stats)
        cores = (stats.cpu - earlier.cpu) / (now - since)
        catching_up = _measure(now - since, cores, earlier, stats, renditions)
        damaged, decoded = stats.damaged - earlier.damaged, stats.decoded - earlier.decoded
        fruitless = self._fruitless(since, now, decoded, damaged)
        runaway = self._runaway(since, now, cores, catching_up=catching_up)
        return Findings(fruitless or runaway, damaged=damaged > max(decoded // 10, 2))

    def step(self, now: float, renditions: Mapping[int, Rendition], *, waiting: bool) -> Step | None:
        """The step to take now, if any; `waiting` is whether frames wait for the worker, which does not take them."""
        loads = [
            Load(
                rendition=rendition.id,
                video=rendition.video,
                cores=rendition.claim.own.cores,
                frame_rate=float(rendition.plan.frame_rate) if isinstance(rendition.plan, VideoPlan) else 0.0,
                dropped=rendition.stats.dropped,
                late=rendition.stats.late,
                media=rendition.stats.media,
            )
            for rendition in renditions.values()
            if rendition.stats is not None
        ]
        return self._adapter.observe(now, loads, waiting=waiting)

    def idle_step(self, now: float) -> Step | None:
        """The step to take now that nothing is made, if any."""
        return self._adapter.idle(now)

    def _fruitless(self, since: float, now: float, decoded: int, damaged: int) -> str:
        """Whether the worker has decoded nothing for too long, in words."""
        if decoded or damaged <= 2:
            self._fruitless_since = None
        elif self._fruitless_since is None:
            self._fruitless_since = since
        elif now - self._fruitless_since > _FRUITLESS_FOR:
            # Perhaps it is the worker, which has no memory left; perhaps nothing can decode this.
            return "its worker could decode nothing of what the publisher sends"
        return ""

    def _runaway(self, since: float, now: float, cores: float, *, catching_up: bool) -> str:
        """Whether the worker has used far too much for too long, in words; the budget learns from what is in order."""
        if now < self._settled_at:
            return ""
        expected = self._budget.estimated(self._stream)
        if cores <= max(_RUNAWAY * expected, 1.5):
            self._runaway_since = None
            # A start begins in the past, and takes more than it will.
            if not self._adapter.slow and not catching_up:
                self._budget.observe(self._stream, cores)
        elif self._runaway_since is None:
            self._runaway_since = since
        elif now - self._runaway_since > _RUNAWAY_FOR:
            return f"its worker used {cores:.1f} cores where {expected:.1f} were to be expected"
        return ""


def _measure(seconds: float, cores: float, earlier: Stats, stats: Stats, renditions: Mapping[int, Rendition]) -> bool:
    """Each rendition's speed and share of the processor time; whether one of them catches up with the present."""
    before = {item.run: item for item in earlier.renditions}
    busy: dict[int, float] = {}
    catching_up = False
    for item in stats.renditions:
        past = before.get(item.run)
        busy[item.run] = max(item.busy - (past.busy if past else 0.0), 0.0)
        media = item.media - (past.media if past else 0.0)
        catching_up = catching_up or media > 1.1 * seconds
        if (rendition := renditions.get(item.run)) is not None and busy[item.run] > 0:
            rendition.speed = max(media, 0.0) / busy[item.run]
    total = sum(busy.values())
    for run, rendition in renditions.items():
        rendition.cpu = cores * busy.get(run, 0.0) / total if total else None
    return catching_up
