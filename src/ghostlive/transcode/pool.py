"""All streams' transcoding: who may spend what, and one worker kept ready for the first viewer who asks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from ghostlive.core.clock import Clock, Timer
from ghostlive.core.events import StreamEnded
from ghostlive.core.stream import StreamState
from ghostlive.core.tasks import TaskScope
from ghostlive.hub.derived import Lease, Offer, OfferRefusedError, OfferUnknownError
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream
from ghostlive.transcode.budget import Budget, Claim
from ghostlive.transcode.config import RenditionSetting, TranscodeConfig
from ghostlive.transcode.machine import usable_cores, usable_memory
from ghostlive.transcode.process import WorkerLimits, WorkerProcess
from ghostlive.transcode.report import MachineReport, StreamReport
from ghostlive.transcode.source import SourceTranscoder
from ghostlive.transcode.surroundings import Surroundings, Worker
from ghostlive.transcode.wire import WireError

_log = structlog.get_logger("transcode")

_SPARE_AFTER = 1.0
"""Seconds from a stream's beginning, or from the last worker's, to the next spare one: the start has other work."""
_HOLD_AGAIN = 15.0
"""Seconds until a rendition that is to be made always, and cannot be, is tried again."""


class TranscodePool:
    """Makes renditions of what is live on the hub, of which it is the `Deriver`."""

    def __init__(
        self,
        hub: Hub,
        config: TranscodeConfig,
        *,
        clock: Clock,
        encoders: Callable[[], Sequence[str]],
        settings_of: Callable[[str], Sequence[RenditionSetting] | None],
        start_worker: Callable[[WorkerLimits], Awaitable[Worker]] | None = None,
    ) -> None:
        """`encoders` are FFmpeg's names of those that work here, best first; `settings_of` a stream's own ladder."""
        self._hub = hub
        self._config = config
        self._clock = clock
        self._encoders = encoders
        self._start_worker = start_worker or _start_worker
        self._limits = WorkerLimits(memory=config.worker_memory_bytes)
        self._budget = Budget(config.cores, config.memory_bytes, worker_memory=config.worker_memory_bytes)
        self._scope = TaskScope("transcode")
        self._sources: dict[str, SourceTranscoder] = {}
        self._around = Surroundings(
            config=config,
            clock=clock,
            budget=self._budget,
            scope=self._scope,
            take_worker=self._take_worker,
            encoders=encoders,
            settings_of=settings_of,
            give_way=self._give_way,
            rested=self._prepare_spare,
        )
        self._holding: dict[tuple[str, str], Lease] = {}
        self._hold: Timer | None = None
        self._spare: _Spare | None = None
        self._spare_timer: Timer | None = None
        self._workers = 0
        self._stopping = False

    async def start(self) -> None:
        """Look at the machine, and begin to listen for the ends of streams."""
        if not self._config.cores:
            self._budget.cores = await asyncio.to_thread(usable_cores)
        if not self._config.memory_bytes:
            self._budget.memory = await asyncio.to_thread(usable_memory) // 2
        self._scope.spawn(self._listen(), name="transcode: streams")

    async def stop(self) -> None:
        """End all workers and wait for that."""
        self._stopping = True
        for source in self._sources.values():
            source.close()
        for timer in (self._hold, self._spare_timer):
            if timer is not None:
                timer.cancel()
        self._hold = self._spare_timer = None
        await self._scope.close()
        self._sources.clear()
        self._holding.clear()

    # The hub's Deriver

    def plan(self, live: LiveStream) -> Sequence[Offer]:
        """See `Deriver.plan`."""
        if not self._config.enabled or self._stopping:
            return ()
        source = self._sources.get(live.session)
        if source is None:
            self._forget_ended()
            source = self._sources[live.session] = SourceTranscoder(live, self._around)
        offers = source.plan()
        if source.always() or self._holding:
            self._hold_in(0.0)
        if offers:
            self._prepare_spare()
        return offers

    def demand(self, live: LiveStream, track: str) -> None:
        """See `Deriver.demand`."""
        source = self._sources.get(live.session)
        if self._stopping:
            raise OfferRefusedError("the server is stopping")
        if source is None or live.state is StreamState.OFFLINE:
            raise OfferRefusedError(f"{live.name} has ended")
        source.demand(track)

    def rest(self, live: LiveStream, track: str) -> None:
        """See `Deriver.rest`."""
        source = self._sources.get(live.session)
        if source is not None:
            source.rest(track)

    def want_keyframe(self, live: LiveStream, track: str) -> bool:
        """See `Deriver.want_keyframe`."""
        source = self._sources.get(live.session)
        return source is not None and source.want_keyframe(track)

    # Reports

    def report(self, stream: str) -> StreamReport | None:
        """How a stream's renditions are; None when it is not live."""
        live = self._hub.get(stream)
        source = self._sources.get(live.session) if live is not None else None
        return source.report() if source is not None else None

    def machine(self) -> MachineReport:
        """What may be spent, and is."""
        used = self._budget.used()
        return MachineReport(
            cores=self._budget.cores,
            cores_used=used.cores,
            memory=self._budget.memory,
            memory_used=used.memory,
            workers=sum(source.working for source in self._sources.values()),
        )

    # Streams

    async def _listen(self) -> None:
        events = self._hub.listen()
        try:
            while batch := await events.batch():
                if any(isinstance(event, StreamEnded) for event in batch):
                    self._forget_ended()
        finally:
            self._hub.unlisten(events)

    def _forget_ended(self) -> None:
        for session, source in list(self._sources.items()):
            if source.live.state is StreamState.OFFLINE:
                source.close()
                del self._sources[session]
                for key in [key for key in self._holding if key[0] == session]:
                    self._holding.pop(key).close()
        if not self._sources and self._spare is not None:
            self._spare.discard()
            self._spare = None

    def _give_way(self, claim: Claim) -> None:
        source = self._sources.get(claim.stream)
        if source is not None:
            source.give_way(claim.id)

    # Renditions that are always made

    def _hold_in(self, delay: float) -> None:
        if delay == 0:
            # Not in the middle of the announcement.
            asyncio.get_running_loop().call_soon(self._hold_now)
        elif self._hold is None and not self._stopping:
            self._hold = self._clock.call_later(delay, self._hold_again)

    def _hold_again(self) -> None:
        self._hold = None
        self._hold_now()

    def _hold_now(self) -> None:
        """Take a lease of each rendition that is to be made always, and give those back that are not any more."""
        if self._stopping:
            return
        wanted = {(session, track) for session, source in self._sources.items() for track in source.always()}
        for key in [key for key in self._holding if key not in wanted]:
            self._holding.pop(key).close()
        for key in wanted - self._holding.keys():
            session, track = key
            try:
                self._holding[key] = self._sources[session].live.lease(track)
            except OfferRefusedError:
                self._hold_in(_HOLD_AGAIN)
            except OfferUnknownError:
                continue  # the stream ended, or has not told of its offers yet and will plan again

    # Workers

    async def _take_worker(self) -> Worker:
        spare, self._spare = self._spare, None
        self._prepare_spare()
        if spare is not None and (worker := await spare.take()) is not None:
            return worker
        return await self._start_worker(self._limits)

    def _prepare_spare(self) -> None:
        """Have a worker ready a little later, if any stream may need one."""
        if self._spare is None and self._spare_timer is None and not self._stopping:
            self._spare_timer = self._clock.call_later(_SPARE_AFTER, self._make_spare)

    def _make_spare(self) -> None:
        self._spare_timer = None
        if any(not source.working for source in self._sources.values()):
            self._spare = _Spare(self._scope, lambda: self._start_worker(self._limits))


class _Spare:
    """A worker that waits for work: loaded, connected, and asleep."""

    def __init__(self, scope: TaskScope, start: Callable[[], Awaitable[Worker]]) -> None:
        self._start = start
        self._worker: asyncio.Future[Worker | None] = asyncio.get_running_loop().create_future()
        self._task = scope.spawn(self._idle(), name="transcode: spare worker")
        self._taken = False

    async def take(self) -> Worker | None:
        """The worker, once it has started; None when it could not or has ended meanwhile."""
        try:
            worker = await asyncio.shield(self._worker)
        except asyncio.CancelledError:
            self.discard()
            raise
        if worker is None or self._task.done():
            return None
        self._taken = True
        self._task.cancel()
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            worker.kill()
            await worker.wait()
            raise
        return worker

    def discard(self) -> None:
        """It is not needed any more."""
        self._task.cancel()

    async def _idle(self) -> None:
        worker: Worker | None = None
        try:
            try:
                worker = await self._start()
            except OSError as error:
                _log.warning("no spare worker", reason=str(error))
                return
            self._worker.set_result(worker)
            try:
                while await worker.receive():
                    pass
            except WireError as error:
                _log.warning("no spare worker", reason=str(error))
        finally:
            if not self._worker.done():
                self._worker.set_result(None)
            if worker is not None and not self._taken:
                worker.kill()
                await worker.wait()


async def _start_worker(limits: WorkerLimits) -> Worker:
    return await WorkerProcess.start(limits=limits, name="transcode")
