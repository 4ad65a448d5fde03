"""A rendition of a live source: what it is to be, and how its present run stands.

Whoever begins, stops or refuses one tells the worker, the hub and the budget; here is only what is known of it.
"""

import itertools
from dataclasses import dataclass, field

from ghostlive.core.clock import Timer
from ghostlive.hub.derived import Derivation, Offer
from ghostlive.transcode.breaker import Breaker
from ghostlive.transcode.budget import Claim
from ghostlive.transcode.plan import Mode, Plan, VideoPlan
from ghostlive.transcode.report import RenditionState
from ghostlive.transcode.vetting import Vetting
from ghostlive.transcode.wire import RenditionStats

_REFUSED_FOR = 20.0
"""Seconds for which a report tells of a refusal, where whoever asked has gone."""

_numbers = itertools.count(1)


class Runs:
    """Numbers for what one source's workers are told to make; no number comes twice, whatever the source."""

    def __init__(self) -> None:
        """None was given."""
        self._last = 0

    def __contains__(self, run: int) -> bool:
        """Whether a worker may have been told of it."""
        return 0 < run <= self._last

    def next(self) -> int:
        """A new one."""
        self._last = next(_numbers)
        return self._last


@dataclass(slots=True, eq=False)
class Rendition:
    """One that is offered, whether it is made at present or not."""

    plan: Plan
    offer: Offer
    claim: Claim
    encoders: tuple[str, ...]
    running: bool = False
    """It has its place in the budget: it is made, or will be as soon as a worker can."""
    linger: Timer | None = None
    run: int = 0
    """Its number at the present worker; 0 before it was told."""
    vetting: Vetting | None = None
    derivation: Derivation | None = None
    last: int | None = None
    """Time of the last frame that viewers have."""
    encoder: str = ""
    fell_back: str = ""
    """The encoder that the present one had to take over from."""
    refused: str = ""
    refused_at: float = 0.0
    refused_until: float = 0.0
    breaker: Breaker = field(default_factory=lambda: Breaker(failures=2))
    stats: RenditionStats | None = None
    speed: float | None = None
    cpu: float | None = None

    @property
    def id(self) -> str:
        """Of the track."""
        return self.plan.id

    @property
    def name(self) -> str:
        """As people see it."""
        return self.plan.name

    @property
    def video(self) -> bool:
        """Not sound."""
        return isinstance(self.plan, VideoPlan)

    def begin(self, run: int) -> None:
        """A worker is told to make it, from where viewers are on."""
        if self.derivation is not None and self.derivation.closed:
            self.derivation = self.last = None
        self.run = run
        self.stats = None
        self.encoder = ""
        self.vetting = Vetting(self.plan, self.offer.track, after=self.last)

    def interrupt(self) -> None:
        """Its worker has gone; the next one goes on."""
        self.run = 0
        self.vetting = self.stats = None

    def end(self) -> None:
        """Forget the run."""
        self.stay()
        self.running = False
        self.interrupt()
        self.derivation = self.last = None
        self.speed = self.cpu = None
        self.encoder = self.fell_back = ""

    def stay(self) -> bool:
        """Somebody is there again, or it ends at once; whether it lingered."""
        if self.linger is None:
            return False
        self.linger.cancel()
        self.linger = None
        return True

    def refuse(self, reason: str, now: float, seconds: float | None = None) -> None:
        """It was asked for in vain, and will be for so many seconds; None leaves it at what was said before."""
        self.refused = reason
        self.refused_at = now
        if seconds is not None:
            self.refused_until = now + seconds

    def state(self, now: float, *, leased: bool) -> RenditionState:
        """How it stands; `leased` is whether somebody wants it."""
        if self.running:
            if self.linger is not None:
                return RenditionState.LINGERING
            return RenditionState.RUNNING if self.encoder else RenditionState.STARTING
        until = max(self.refused_until, self.refused_at + _REFUSED_FOR)
        wanted = leased or self.plan.mode is Mode.ALWAYS
        return RenditionState.REFUSED if self.refused and (wanted or until > now) else RenditionState.IDLE
