"""One worker process of a live stream, from its first word to its end: what it is told, and what it says.

What it says is vetted (`vetting`): a worker that says what cannot be is replaced like one that crashed.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from ghostlive.core.clock import Timer
from ghostlive.core.stream import StreamState
from ghostlive.core.tasks import TaskScope
from ghostlive.core.track import Track
from ghostlive.hub.live import LiveStream
from ghostlive.transcode.adapt import Step
from ghostlive.transcode.feed import Feed
from ghostlive.transcode.measuring import Performance
from ghostlive.transcode.process import clean
from ghostlive.transcode.rendition import Rendition, Runs
from ghostlive.transcode.surroundings import Surroundings, Worker
from ghostlive.transcode.vetting import DishonestWorkerError
from ghostlive.transcode.wire import (
    Failed,
    Media,
    Message,
    Notice,
    Opened,
    Ready,
    Source,
    Start,
    Stats,
    Stop,
    Thin,
    WantKeyframe,
    WireError,
)

_log = structlog.get_logger("transcode")

_WATCH_EVERY = 0.5
_START_WITHIN = 10.0
"""Seconds to a worker's first word, on a machine that is very busy."""
_CONTROL_BURST = 300
_CONTROL_RATE = 50.0
"""Messages other than frames, in a second."""


@dataclass(frozen=True, slots=True)
class Reactions:
    """What is to be done about what a worker says; called before anything else that it said is looked at."""

    rendition_failed: Callable[[Rendition, str], None]
    """It cannot make a rendition."""
    source_failed: Callable[[str], None]
    """It can make nothing of the source."""
    source_damaged: Callable[[], None]
    step: Callable[[Step], None]
    """The machine is too slow, or fast enough again."""


class Session:
    """One worker. `run` it; the other methods may be called while it does."""

    def __init__(
        self,
        live: LiveStream,
        worker: Worker,
        around: Surroundings,
        *,
        runs: Runs,
        performance: Performance,
        reactions: Reactions,
    ) -> None:
        """`worker` was just taken; who took it ends it. All workers of a source share `runs` and `performance`."""
        self._live = live
        self._worker = worker
        self._config = around.config
        self._clock = around.clock
        self._runs = runs
        self._performance = performance
        self._reactions = reactions
        self._scope = TaskScope(f"transcoding of {live.name}")
        self._feed = Feed(live, worker, around.clock, self._scope)
        self._by_run: dict[int, Rendition] = {}
        self._over = asyncio.Event()
        self._failure = ""
        self._ended_itself = False
        self._ready = False
        self._heard = self._watched_at = self._controls_at = self._clock.now()
        self._controls = 0.0
        self._watch: Timer | None = None

    @property
    def told(self) -> bool:
        """It knows the source, as far as nothing else was announced since."""
        return self._feed.run != 0

    @property
    def over(self) -> bool:
        """It is about to end, and begins nothing more: what is wanted from here on is for the next worker."""
        return self._over.is_set()

    async def run(self, begin: Callable[["Session"], None]) -> None:
        """Live with the worker until it is not needed any more or fails; `begin` tells it what there is to do."""
        try:
            async with self._scope:
                self._performance.worker_started(self._clock.now())
                self._watch = self._clock.call_later(_WATCH_EVERY, self._watch_worker)
                self._scope.spawn(self._receive(), name=f"transcode {self._live.name}: receive")
                begin(self)
                await self._over.wait()
        finally:
            self.end_source()
            for rendition in self._by_run.values():
                rendition.interrupt()
            self._by_run.clear()
            if self._watch is not None:
                self._watch.cancel()

    def failure(self, end: str) -> str:
        """Why it failed, empty if it did not; `end` is how the process came to its end (`Worker.wait`)."""
        return f"its worker {end}" if self._ended_itself else self._failure

    # What it is told

    def tell(self, tracks: Sequence[Track], epoch: int, wanted: Sequence[Rendition]) -> None:
        """Tell it of the source's tracks and of everything to be made of them."""
        self._by_run.clear()
        self._feed.begin(self._runs.next(), tracks, epoch)
        self._worker.send(Source(self._feed.run, tuple(tracks)))
        for rendition in wanted:
            self._start(rendition)
        self._feed.add({rendition.plan.source for rendition in wanted})

    def start(self, rendition: Rendition) -> None:
        """Have it make one more rendition."""
        self._start(rendition)
        self._feed.add({rendition.plan.source})

    def stop(self, rendition: Rendition) -> None:
        """Have it make a rendition no more."""
        # Its source's frames still go to the worker, which keeps a group of them for the next one that starts.
        if rendition.run:
            self._worker.send(Stop(rendition.run))

    def forget(self, rendition: Rendition) -> None:
        """What it still says of a rendition's run is of no interest."""
        self._by_run.pop(rendition.run, None)

    def thin(self, rendition: Rendition, keep_one_in: int) -> None:
        """Have it encode only each so manieth frame."""
        if rendition.run:
            self._worker.send(Thin(rendition.run, keep_one_in))

    def want_keyframe(self, rendition: Rendition) -> bool:
        """Have it make a keyframe of the next frame; False when it does not make that rendition."""
        if rendition.run:
            self._worker.send(WantKeyframe(rendition.run))
        return rendition.run != 0

    def end_source(self) -> None:
        """The source is over: no more of its frames."""
        self._feed.end()

    def finish(self) -> None:
        """It is not needed any more."""
        self._over.set()

    def _start(self, rendition: Rendition) -> None:
        rendition.begin(self._runs.next())
        self._by_run[rendition.run] = rendition
        self._worker.send(
            Start(
                rendition.run,
                rendition.plan,
                rendition.encoders,
                after=self._begin_after(rendition),
                preset=self._config.preset,
            )
        )
        if rendition.id in self._performance.thinned:
            self._worker.send(Thin(rendition.run, 2))

    def _begin_after(self, rendition: Rendition) -> int | None:
        """The time up to which a rendition has its frames, or needs none."""
        newest = self._live.newest(rendition.plan.source) if rendition.offer.realtime else None
        if newest is None:
            return rendition.last
        # Who watches in real time wants the present: what came before is only decoded.
        return newest.dts - 1 if rendition.last is None else max(newest.dts - 1, rendition.last)

    # Whether it lives

    def _fail(self, reason: str) -> None:
        if not self._over.is_set():
            self._failure = reason
            self._over.set()

    def _watch_worker(self) -> None:
        """Look after the worker twice a second, for as long as there is one."""
        now = self._clock.now()
        if now - self._watched_at > 2 * _WATCH_EVERY:
            # It was us who slept: what the worker said may lie unread.
            self._heard = max(self._heard, now - _WATCH_EVERY)
        self._watched_at = now
        limit = self._config.silent_after if self._ready else max(_START_WITHIN, self._config.silent_after)
        if now - self._heard > limit:
            self._fail(f"its worker did not answer for {now - self._heard:.1f} s")
        self._watch = self._clock.call_later(_WATCH_EVERY, self._watch_worker)

    # What it says

    async def _receive(self) -> None:
        try:
            while messages := await self._worker.receive():
                self._heard = self._clock.now()
                for message in messages:
                    self._hear(message)
            self._ended_itself = not self._over.is_set()
            self._over.set()
        except (WireError, DishonestWorkerError) as error:
            _log.error("a transcoding worker says what cannot be", stream=self._live.name, reason=str(error))
            self._fail("its worker was damaged by what it decoded")

    def _hear(self, message: Message) -> None:
        if isinstance(message, Media):
            rendition = self._rendition_of(message.run)
            if rendition is not None:
                self._write(rendition, message)
            return
        self._count_control()
        if isinstance(message, Stats):
            self._hear_stats(message)
        elif isinstance(message, Opened):
            rendition = self._rendition_of(message.run)
            if rendition is not None:
                self._open(rendition, message)
        elif isinstance(message, Failed):
            self._hear_failure(message)
        elif isinstance(message, Notice):
            _log.info("transcoding worker", stream=self._live.name, said=clean(message.text))
        elif isinstance(message, Ready):
            self._ready = True
        else:
            raise DishonestWorkerError(f"a {type(message).__name__}, which nobody asked for")

    def _rendition_of(self, run: int) -> Rendition | None:
        """Whose run that is; None when it was stopped meanwhile."""
        rendition = self._by_run.get(run)
        if rendition is None and run not in self._runs:
            raise DishonestWorkerError(f"a run {run} that never was")
        return rendition

    def _count_control(self) -> None:
        now = self._clock.now()
        self._controls = max(self._controls - (now - self._controls_at) * _CONTROL_RATE, 0.0) + 1
        self._controls_at = now
        if self._controls > _CONTROL_BURST:
            raise DishonestWorkerError("too many messages")

    def _open(self, rendition: Rendition, message: Opened) -> None:
        assert rendition.vetting is not None
        track = rendition.vetting.opened(message)
        encoder = clean(message.encoder, 40)
        if encoder not in rendition.encoders:
            raise DishonestWorkerError(f"an encoder {encoder} that nobody asked for")
        if rendition.encoder or encoder != rendition.encoders[0]:
            rendition.fell_back = rendition.encoder or rendition.encoders[0]
            _log.warning(
                "encoder fell back",
                stream=self._live.name,
                rendition=rendition.name,
                encoder=encoder,
                instead_of=rendition.fell_back,
            )
        first = not rendition.encoder
        rendition.encoder = encoder
        if not first or self._live.state is StreamState.OFFLINE:
            return  # The hub has ended the stream already, and the pool is about to hear of it.
        if rendition.derivation is not None and rendition.derivation.track != track:
            rendition.derivation.close("its encoder is another one now")
            rendition.derivation = None
        if rendition.derivation is None or rendition.derivation.closed:
            rendition.derivation = self._live.derive(track)
        _log.info("rendition", stream=self._live.name, rendition=rendition.name, encoder=encoder, after=rendition.last)

    def _write(self, rendition: Rendition, message: Media) -> None:
        if self._live.state is StreamState.OFFLINE:
            return
        if rendition.derivation is None or rendition.vetting is None or not rendition.encoder:
            raise DishonestWorkerError("a frame of a rendition that was not opened")
        source = rendition.plan.source
        frame = rendition.vetting.media(message, newest=self._feed.newest, given=self._feed.given(source))
        if rendition.video:
            frame.received = self._feed.received(source, frame.pts)
        rendition.last = frame.dts
        rendition.derivation.write(frame)

    def _hear_failure(self, message: Failed) -> None:
        reason = clean(message.reason) or "it cannot be made"
        if not message.run:
            self._reactions.source_failed(reason)
            return
        rendition = self._rendition_of(message.run)
        if rendition is not None:
            self._reactions.rendition_failed(rendition, reason)

    def _hear_stats(self, stats: Stats) -> None:
        self._ready = True
        now = self._clock.now()
        findings = self._performance.observe(now, stats, self._by_run)
        if findings.damaged:
            self._reactions.source_damaged()
        if findings.failure:
            self._fail(findings.failure)
        step = self._performance.step(now, self._by_run, waiting=self._feed.waits(now))
        if step is not None:
            self._reactions.step(step)
