"""One live stream's transcoding: which of its renditions are made, and a worker for as long as any is.

While nothing is leased there is no worker, no subscription and no timer. The first lease starts a worker, which gets
the source's frames from the last keyframe on; when it crashes or hangs, another one goes on where it was, in the same
derivations.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from ghostlive.core.clock import Timer
from ghostlive.core.stream import StreamState
from ghostlive.hub.derived import Offer, OfferRefusedError
from ghostlive.hub.live import LiveStream
from ghostlive.transcode.adapt import Step, StepKind
from ghostlive.transcode.budget import BudgetError, thinned
from ghostlive.transcode.measuring import Performance
from ghostlive.transcode.offers import Offers, plan_offers
from ghostlive.transcode.plan import Mode
from ghostlive.transcode.rendition import Rendition, Runs
from ghostlive.transcode.report import StreamReport
from ghostlive.transcode.reporting import report_of
from ghostlive.transcode.session import Reactions, Session
from ghostlive.transcode.surroundings import Surroundings
from ghostlive.transcode.troubles import Troubles

_log = structlog.get_logger("transcode")

_RETRY = 10.0
"""Seconds until what was refused for want of room is tried again."""
_GAVE_WAY = 30.0


class SourceTranscoder:
    """Made for each live session that renditions are offered of. All but `_work` is called from the event loop."""

    def __init__(self, live: LiveStream, around: Surroundings) -> None:
        """`plan` it before anything else."""
        self.live = live
        self._around = around
        self._config = around.config
        self._clock = around.clock
        self._budget = around.budget
        self._epoch = -1
        self._offers = Offers()
        self._performance = Performance(live.session, around.budget, step_down_after=around.config.step_down_after)
        self._troubles = Troubles()
        self._runs = Runs()
        self._reactions = Reactions(
            rendition_failed=self._rendition_failed,
            source_failed=self._source_failed,
            source_damaged=lambda: self._troubles.source_damaged(self._clock.now()),
            step=self._take,
        )
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._retry: Timer | None = None
        self._retry_at = 0.0
        self._resuming = False
        self._closed = False

    @property
    def working(self) -> bool:
        """It has a worker, or is about to."""
        return self._task is not None

    # What the hub asks

    def plan(self) -> list[Offer]:
        """Choose what to offer of the source's present tracks."""
        if self.live.epoch != self._epoch:
            self._epoch = self.live.epoch
            self._performance.forgive()
            self._troubles.forgive()
            self._end_all()
            self._offers = Offers(self.live.tracks)
        offers = plan_offers(self.live, self._around, self._offers, self._performance.withdrawn)
        for rendition in self._offers.renditions.values():
            if rendition.running and offers.renditions.get(rendition.id) is not rendition:
                self._stop(rendition, "it is not offered any more")
        self._offers = offers
        if not self._resuming:
            # The hub is in the middle of an announcement: what is leased goes on once it is through.
            self._resuming = True
            asyncio.get_running_loop().call_soon(self._resume)
        return [rendition.offer for rendition in offers.renditions.values()]

    def demand(self, track: str) -> None:
        """Begin to make a rendition. Raises `OfferRefusedError`."""
        rendition = self._offers.renditions.get(track)
        if rendition is None or self._closed:
            raise OfferRefusedError("it is not offered any more")
        if rendition.running:
            if rendition.stay():
                self._budget.linger(self.live.session, rendition.id, None)
            return
        now = self._clock.now()
        if (wait := self._troubles.no_worker_for(now)) > 0:
            why = self._troubles.last_crash
            raise OfferRefusedError(f"{rendition.name} is not made now: {why}; it is tried again in {wait:.0f} s")
        if rendition.refused_until > now:
            raise OfferRefusedError(rendition.refused)
        self._admit(rendition, now)
        self._performance.rendition_started(now)
        if self._session is not None and self._session.told and not self._session.over:
            self._session.start(rendition)
        elif self._task is None:
            self._task = self._around.scope.spawn(self._work(), name=f"transcode {self.live.name}")

    def rest(self, track: str) -> None:
        """Nobody wants a rendition any more: it goes on a little, should somebody come back."""
        rendition = self._offers.renditions.get(track)
        if rendition is None or not rendition.running:
            return
        if self.live.state is StreamState.OFFLINE or self._config.linger <= 0:
            ended = self.live.state is StreamState.OFFLINE
            self._stop(rendition, "the stream has ended" if ended else "nobody watches it")
            return
        self._budget.linger(self.live.session, track, self._clock.now())
        rendition.linger = self._clock.call_later(
            self._config.linger, lambda: self._stop(rendition, "nobody watches it")
        )

    def want_keyframe(self, track: str) -> bool:
        """Have the worker make a keyframe of a rendition's next frame; False when it does not make that one now."""
        rendition = self._offers.renditions.get(track)
        if rendition is None or not rendition.video or self._session is None:
            return False
        return self._session.want_keyframe(rendition)

    # What the pool asks

    def always(self) -> list[str]:
        """Renditions that are made whether somebody watches or not."""
        return [one.id for one in self._offers.renditions.values() if one.plan.mode is Mode.ALWAYS]

    def give_way(self, track: str) -> None:
        """Stop a rendition that has lost its place in the budget."""
        rendition = self._offers.renditions.get(track)
        if rendition is None or not rendition.running:
            return
        reason = f"{rendition.name} gave way: another stream had none and there is no room for both"
        lingering = rendition.linger is not None
        self._stop(rendition, reason)
        if not lingering:
            self._refuse(rendition, reason, _GAVE_WAY)

    def close(self) -> None:
        """The stream has ended, or the server stops: end everything."""
        if self._closed:
            return
        self._closed = True
        self._end_all()
        self._budget.forget(self.live.session)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._task is not None:
            self._task.cancel()

    def report(self) -> StreamReport:
        """How everything stands, the source's own tracks first."""
        return report_of(self.live, self._offers, self._performance, self._troubles, self._clock.now())

    # Beginning, and trying again

    def _admit(self, rendition: Rendition, now: float) -> None:
        """Give a rendition its place in the budget, which others may lose for it. Raises `OfferRefusedError`."""
        claim = rendition.claim
        if rendition.id in self._performance.thinned:
            claim = replace(claim, own=thinned(claim.own, 2))
        try:
            victims = self._budget.admit(claim)
        except BudgetError as error:
            self._troubles.refused(now, rendition.name, str(error))
            self._refuse(rendition, str(error), 0.0)
            raise OfferRefusedError(str(error)) from error
        rendition.refused = ""
        rendition.running = True
        for victim in victims:
            self._around.give_way(victim)

    def _resume(self) -> None:
        """Go on with what is leased, after the hub has told everybody of the new offers."""
        self._resuming = False
        if self._closed or self.live.state is StreamState.OFFLINE:
            return
        session = self._session
        renewed = session is not None and not session.told and not session.over
        self._try_leased()
        if renewed and session is self._session and session is not None and not session.told:
            self._begin(session)

    def _try_leased(self) -> None:
        """Make what somebody holds a lease of, or try again later."""
        for rendition in list(self._offers.renditions.values()):
            if rendition.running or not self.live.leases(rendition.id):
                continue
            try:
                self.demand(rendition.id)
            except OfferRefusedError as error:
                rendition.refuse(str(error), self._clock.now())
                self._retry_in(_RETRY)

    def _retry_in(self, delay: float) -> None:
        due = self._clock.now() + delay
        if self._closed or (self._retry is not None and self._retry_at <= due):
            return
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._clock.call_later(delay, self._retry_now)
        self._retry_at = due

    def _retry_now(self) -> None:
        self._retry = None
        now = self._clock.now()
        if self._performance.withdrawn and not self.working and (step := self._performance.idle_step(now)):
            self._take(step)
        self._try_leased()
        if self._performance.withdrawn:
            self._retry_in(_RETRY)

    # Ending

    def _stop(self, rendition: Rendition, reason: str) -> None:
        """End a rendition's run."""
        if self._session is not None:
            self._session.stop(rendition)
        derivation = rendition.derivation
        self._drop(rendition)
        if derivation is not None:
            derivation.close(reason)
        _log.info("rendition ended", stream=self.live.name, rendition=rendition.name, reason=reason)
        if self._session is not None and not self._offers.running:
            self._session.finish()

    def _drop(self, rendition: Rendition) -> None:
        """Forget a run, without a word to anybody."""
        if rendition.running:
            self._budget.release(self.live.session, rendition.id)
        if self._session is not None:
            self._session.forget(rendition)
        rendition.end()

    def _end_all(self) -> None:
        """The source that all renditions were made of is over."""
        if self._session is not None:
            self._session.end_source()
        for rendition in self._offers.renditions.values():
            self._drop(rendition)

    def _refuse(self, rendition: Rendition, reason: str, seconds: float) -> None:
        rendition.refuse(reason, self._clock.now(), seconds)
        if self.live.leases(rendition.id):
            self._retry_in(max(seconds, 1.0))

    # The worker

    async def _work(self) -> None:
        """Have a worker for as long as anything is to be made."""
        try:
            while self._offers.running:
                failure = await self._with_worker()
                if failure:
                    await self._after_failure(failure)
        finally:
            self._task = None
            self._around.rested()

    async def _with_worker(self) -> str:
        """Live with one worker until it is not needed any more or fails; why it failed."""
        try:
            worker = await self._around.take_worker()
        except OSError as error:
            return f"no worker could be started: {error}"
        session = self._session = Session(
            self.live,
            worker,
            self._around,
            runs=self._runs,
            performance=self._performance,
            reactions=self._reactions,
        )
        try:
            await session.run(self._worker_came)
        finally:
            self._session = None
            worker.kill()
            end = await worker.wait()
        return session.failure(end)

    def _worker_came(self, session: Session) -> None:
        # While the hub is in the middle of an announcement, `_resume` is about to begin it.
        if not self._resuming or not self._offers.running:
            self._begin(session)

    def _begin(self, session: Session) -> None:
        """Tell a worker what there is to do, if there still is something."""
        wanted = self._offers.running
        if wanted:
            session.tell(self._offers.tracks, self._epoch, wanted)
        else:
            session.finish()

    async def _after_failure(self, failure: str) -> None:
        now = self._clock.now()
        delay = self._troubles.worker_failed(now, failure)
        _log.warning(
            "transcoding worker failed", stream=self.live.name, reason=failure, failures=self._troubles.crashes
        )
        if self._troubles.no_worker_for(now) > 0:
            for rendition in self._offers.running:
                reason = f"{rendition.name} is not made now: {failure}"
                self._stop(rendition, reason)
                self._refuse(rendition, reason, delay)
            return
        if delay:
            passed = asyncio.Event()
            timer = self._clock.call_later(delay, passed.set)
            try:
                await passed.wait()
            finally:
                timer.cancel()

    # What its figures and failures lead to

    def _rendition_failed(self, rendition: Rendition, reason: str) -> None:
        delay = max(rendition.breaker.failed(self._clock.now()), 1.0)
        self._give_up([rendition], reason, delay)

    def _source_failed(self, reason: str) -> None:
        delay = self._troubles.source_failed(self._clock.now(), reason)
        self._give_up(self._offers.running, reason, delay)

    def _give_up(self, renditions: Sequence[Rendition], reason: str, seconds: float) -> None:
        for rendition in renditions:
            text = f"{rendition.name} cannot be made: {reason}"
            _log.warning("rendition failed", stream=self.live.name, rendition=rendition.name, reason=reason)
            self._stop(rendition, text)
            self._refuse(rendition, text, seconds)

    def _take(self, step: Step) -> None:
        """Step down or up."""
        rendition = self._offers.renditions.get(step.rendition)
        name = rendition.name if rendition else step.rendition
        _log.warning("transcoding steps", stream=self.live.name, step=str(step.kind), rendition=name)
        if step.kind in (StepKind.THIN, StepKind.RESTORE):
            keep = 2 if step.kind is StepKind.THIN else 1
            if rendition is not None:
                self._budget.thin(self.live.session, rendition.id, thinned(rendition.claim.own, keep))
                if self._session is not None:
                    self._session.thin(rendition, keep)
            return
        if rendition is not None and rendition.running:
            self._stop(rendition, "this machine is too slow for it now")
        self._retry_in(_RETRY)
        self.live.reoffer()
