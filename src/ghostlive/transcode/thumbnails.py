"""Thumbnails: a small still of what a stream shows, made when somebody asks and at most every few seconds.

One worker process decodes for all streams, one keyframe after the other. It is started by the first request, ended
after a minute without any, and replaced when it crashes or hangs; the stream whose keyframe it died of is left alone
for a while, twice as long each time. Whoever asks while a picture is being made shares it.
"""

import asyncio
import contextlib
import hashlib
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol, TypeVar

import structlog

from ghostlive.core.clock import Clock
from ghostlive.core.errors import GhostliveError
from ghostlive.core.tasks import TaskScope
from ghostlive.core.track import Track, TrackKind
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream
from ghostlive.transcode.breaker import Breaker
from ghostlive.transcode.config import TranscodeConfig
from ghostlive.transcode.process import WorkerLimits, WorkerProcess, clean
from ghostlive.transcode.wire import Message, Picture, Ready, Still, WireError

_log = structlog.get_logger("transcode")

SIDE: Final = 640
"""The longer side of a thumbnail in pixels; a card of a list is half of that, on a screen with two for one."""

_IDLE: Final = 60.0
_START_WITHIN: Final = 15.0
_PATIENCE: Final = 10.0
"""Seconds that a request waits for a stream's first picture; a worker starts slowly where all cores are busy."""
_PATIENCE_WITH_OLD: Final = 1.0
"""The same where there is an older one to show instead."""
_MOST_WAITING: Final = 32
_MOST_MEMORY: Final = 2 * 1024**3
_MAX_KEYFRAME: Final = 4 * 1024 * 1024
"""Bytes; a message to the worker is built in the event loop, 3 ms for each of these megabytes."""
_MAX_STILL: Final = 1024 * 1024
_RETRY: Final = 2
_STOPPING: Final = "the server is stopping"
_RESTING: Final = "the program that makes pictures failed several times and rests"


_M = TypeVar("_M", bound=Message)


class Form(StrEnum):
    """How a thumbnail is coded."""

    JPEG = "jpeg"
    WEBP = "webp"


class ThumbnailUnavailableError(GhostliveError):
    """There is no picture to show now, though there may be one in `retry_after` seconds; the text says why."""

    def __init__(self, text: str, *, retry_after: float = _RETRY) -> None:
        """`retry_after` is rounded up to whole seconds."""
        super().__init__(text)
        self.retry_after = max(1, math.ceil(retry_after))


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture of a stream."""

    form: Form
    data: bytes
    etag: str
    """A strong entity tag with its quotes."""


class StillWorker(Protocol):
    """What is needed of `WorkerProcess`."""

    def send(self, message: Message) -> None: ...
    async def receive(self) -> list[Message]: ...
    def kill(self) -> None: ...
    async def wait(self) -> str: ...


_Keyframe = tuple[int, int]
"""Epoch and decoding time, which tell the keyframes of a live session apart."""


@dataclass(slots=True, eq=False)
class _Shelf:
    """The picture of one live session in one form, and how the last attempt at one went."""

    newest: Thumbnail | None = None
    keyframe: _Keyframe | None = None
    """What the last attempt was made of."""
    due: float = -math.inf
    """When the next attempt may be made."""
    reason: str = "it is not ready yet"
    """Why there is none."""
    attempt: "asyncio.Future[None] | None" = None
    """Done when the attempt that waits or runs is over."""


@dataclass(slots=True, eq=False)
class _Pictures:
    """What is known of one live session that was asked for."""

    session: str
    breaker: Breaker = field(default_factory=lambda: Breaker(failures=0))
    """Opened by one death of the worker."""
    shelves: dict[Form, _Shelf] = field(default_factory=dict)
    beginning: "asyncio.Task[None] | None" = None
    """Done when the first keyframe has come, or does not for long."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    live: LiveStream
    form: Form
    pictures: _Pictures
    shelf: _Shelf
    attempt: "asyncio.Future[None]"


class Thumbnails:
    """The thumbnails of all live streams of a hub."""

    def __init__(
        self,
        hub: Hub,
        config: TranscodeConfig,
        *,
        clock: Clock,
        start_worker: Callable[[], Awaitable[StillWorker]] | None = None,
    ) -> None:
        """`start_worker` is for tests."""
        self._hub = hub
        self._config = config
        self._clock = clock
        self._maker = _Maker(start_worker or self._start_process, clock, config.silent_after)
        self._breaker = Breaker()
        self._streams: dict[str, _Pictures] = {}
        self._queue: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._scope = TaskScope("thumbnails")
        self._server: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def enabled(self) -> bool:
        """Whether the operator wants thumbnails."""
        return self._config.enabled and self._config.thumbnails

    @property
    def lasts(self) -> float:
        """Seconds that a picture is used before another one is made."""
        return self._config.thumbnail_every

    async def get(self, stream: str, form: Form) -> Thumbnail | None:
        """A picture of a stream, not much older than `thumbnail_every`; None when it is not live or has no video.

        Raises `ThumbnailUnavailableError` when none can be had now. Cancelling is safe.
        """
        live = self._hub.get(stream)
        if not self.enabled or live is None or not any(track.kind is TrackKind.VIDEO for track in live.tracks):
            return None
        pictures = self._pictures(live)
        shelf = pictures.shelves.setdefault(form, _Shelf())
        if shelf.newest is None and live.newest_keyframe() is None and not self._stopping:
            # It has just begun: lists show it from its announcement on.
            if pictures.beginning is None:
                pictures.beginning = self._scope.spawn(self._begun(live, pictures), name="thumbnails beginning")
            await asyncio.wait([pictures.beginning])
        attempt = shelf.attempt or self._begin(live, pictures, shelf, form)
        if attempt is not None:
            with contextlib.suppress(TimeoutError):
                async with _limit(self._clock, _PATIENCE if shelf.newest is None else _PATIENCE_WITH_OLD):
                    await asyncio.shield(attempt)
        if shelf.newest is not None:
            return shelf.newest
        now = self._clock.now()
        wait = max(shelf.due - now, pictures.breaker.open_for(now), self._breaker.open_for(now), _RETRY)
        raise ThumbnailUnavailableError(f"There is no picture of {stream} now: {shelf.reason}.", retry_after=wait)

    async def stop(self) -> None:
        """End the worker; whoever waits is answered."""
        self._stopping = True
        await self._scope.close()
        while self._queue:
            _over(self._queue.popleft(), _STOPPING)

    def _pictures(self, live: LiveStream) -> _Pictures:
        pictures = self._streams.get(live.name)
        if pictures is None or pictures.session != live.session:
            # What ended is forgotten here, so that there are never more than live streams.
            sessions = {other.session for other in self._hub.streams()}
            self._streams = {name: kept for name, kept in self._streams.items() if kept.session in sessions}
            pictures = self._streams[live.name] = _Pictures(live.session)
        return pictures

    async def _begun(self, live: LiveStream, pictures: _Pictures) -> None:
        subscription = live.subscribe()
        try:
            async with _limit(self._clock, _PATIENCE):
                while live.newest_keyframe() is None and await subscription.batch():
                    pass
        except TimeoutError:
            _log.debug("no keyframe for a thumbnail", stream=live.name)
        finally:
            subscription.close()
            pictures.beginning = None

    def _begin(self, live: LiveStream, pictures: _Pictures, shelf: _Shelf, form: Form) -> "asyncio.Future[None] | None":
        """Begin an attempt at a new picture, if it is time for one and there is something to make it of."""
        now = self._clock.now()
        found = live.newest_keyframe()
        if found is None:
            shelf.reason = "no keyframe has come yet"
        elif now < shelf.due or shelf.keyframe == (live.epoch, found[1].dts) or pictures.breaker.open_for(now):
            pass  # the reason is that of the last attempt
        elif self._breaker.open_for(now):
            shelf.reason = _RESTING
        elif self._stopping:
            shelf.reason = _STOPPING
        elif len(self._queue) >= _MOST_WAITING:
            shelf.reason = "too many others are being made"
        else:
            shelf.attempt = asyncio.get_running_loop().create_future()
            self._queue.append(_Job(live, form, pictures, shelf, shelf.attempt))
            self._wake.set()
            if self._server is None or self._server.done():
                self._server = self._scope.spawn(self._serve(), name="thumbnails")
        return shelf.attempt

    async def _serve(self) -> None:
        """Make what is asked for, until nobody asks for long."""
        try:
            while await self._asked():
                job = self._queue.popleft()
                reason, rest = _STOPPING, 0.0
                try:
                    reason = await self._make(job)
                    # Pages that strangers keep loading cost half of a core at most.
                    rest = self._maker.took
                except _DiedError as error:
                    reason, rest = f"the program that makes it {error}", self._died(job, error)
                finally:
                    _over(job, reason)
                await _pause(self._clock, rest)
        finally:
            await self._maker.kill()

    async def _asked(self) -> bool:
        """Wait for a job; False when none came for long and the worker has been ended."""
        if not self._queue:
            self._wake.clear()
            try:
                async with _limit(self._clock, _IDLE):
                    await self._wake.wait()
            except TimeoutError:
                await self._maker.end()
        return bool(self._queue)

    async def _make(self, job: _Job) -> str:
        """Put a new picture on the job's shelf; the answer says why there is none. Raises `_DiedError`."""
        live, shelf = job.live, job.shelf
        found = live.newest_keyframe()
        if found is None:
            return "the stream has ended"
        track, keyframe = found
        shelf.keyframe = (live.epoch, keyframe.dts)
        shelf.due = self._clock.now() + self._config.thumbnail_every
        if len(keyframe.payload) > _MAX_KEYFRAME:
            return f"its keyframes are too large ({len(keyframe.payload)} bytes)"
        still = await self._maker.make(track, keyframe.payload, job.form)
        if still.reason:
            return clean(still.reason)
        if len(still.data) > _MAX_STILL or not _is(job.form, still.data):
            return f"the worker sent no {job.form}"
        shelf.newest = Thumbnail(job.form, still.data, f'"{hashlib.sha256(still.data).hexdigest()[:20]}"')
        return ""

    def _died(self, job: _Job, error: "_DiedError") -> float:
        """Note the death of a worker; in how many seconds to start another one."""
        now = self._clock.now()
        if error.at_work:
            job.pictures.breaker.failed(now)
        else:
            job.shelf.keyframe, job.shelf.due = None, -math.inf  # it was not tried
        delay = self._breaker.failed(now)
        _log.warning("thumbnail worker died", stream=job.live.name, reason=f"it {error}", again_in=delay)
        if self._breaker.open_for(now):
            while self._queue:
                _over(self._queue.popleft(), _RESTING)
            return 0.0
        return delay

    async def _start_process(self) -> StillWorker:
        memory = min(self._config.worker_memory_bytes, _MOST_MEMORY)
        return await WorkerProcess.start(limits=WorkerLimits(memory=memory), name="thumbnails")


def _over(job: _Job, reason: str) -> None:
    job.shelf.attempt = None
    job.shelf.reason = reason
    if not job.attempt.done():
        job.attempt.set_result(None)


def _is(form: Form, data: bytes) -> bool:
    """Whether the data say so themselves: the worker may have been taken over by what it decodes."""
    if form is Form.JPEG:
        return data[:3] == b"\xff\xd8\xff"
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


class _DiedError(Exception):
    """The worker is no more; the text says what it did, `at_work` whether it had a keyframe."""

    def __init__(self, text: str, *, at_work: bool) -> None:
        super().__init__(text)
        self.at_work = at_work


class _SilentError(Exception):
    """The worker did not say what it should; empty when it ended."""


class _Maker:
    """One worker, which is started when there is none."""

    def __init__(self, start: Callable[[], Awaitable[StillWorker]], clock: Clock, silent_after: float) -> None:
        self._start = start
        self._clock = clock
        self._silent_after = silent_after
        self._worker: StillWorker | None = None
        self._number = 0
        self.took = 0.0
        """Seconds for the last picture, the worker's start not counted."""

    async def make(self, track: Track, keyframe: bytes, form: Form) -> Still:
        """The worker's answer. Raises `_DiedError`; then the next call starts another one."""
        at_work = False
        try:
            worker = self._worker
            if worker is None:
                worker = self._worker = await self._start()
                await self._expect(worker, Ready, _START_WITHIN)
            self._number += 1
            at_work = True
            begun = self._clock.now()
            worker.send(Picture(self._number, track.codec, track.config, keyframe, SIDE, SIDE, form))
            still = await self._expect(worker, Still, self._silent_after)
            self.took = self._clock.now() - begun
            if still.number != self._number:
                raise _SilentError("answered what was not asked")
        except OSError as error:
            raise _DiedError(f"cannot be started: {error}", at_work=False) from error
        except _SilentError as error:
            text = str(error)
            how = await (self.kill() if text else self.end())
            raise _DiedError(text or how, at_work=at_work) from error
        return still

    async def end(self) -> str:
        """Let the worker go; how it ended."""
        worker, self._worker = self._worker, None
        return "" if worker is None else await worker.wait()

    async def kill(self) -> str:
        """End it now."""
        if self._worker is not None:
            self._worker.kill()
        return await self.end()

    async def _expect(self, worker: StillWorker, kind: type[_M], seconds: float) -> _M:
        """The next message of a kind, within a time."""
        try:
            async with _limit(self._clock, seconds):
                while messages := await worker.receive():
                    for message in messages:
                        if isinstance(message, kind):
                            return message
        except TimeoutError:
            raise _SilentError(f"did not answer within {seconds:g} s") from None
        except WireError as error:
            raise _SilentError(f"broke the protocol: {error}") from error
        raise _SilentError


@contextlib.asynccontextmanager
async def _limit(clock: Clock, seconds: float) -> AsyncIterator[None]:
    """`asyncio.timeout` by our clock."""
    async with asyncio.timeout(None) as scope:
        timer = clock.call_later(seconds, lambda: scope.reschedule(0))
        try:
            yield
        finally:
            timer.cancel()


async def _pause(clock: Clock, seconds: float) -> None:
    """`asyncio.sleep` by our clock."""
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            async with _limit(clock, seconds):
                await asyncio.get_running_loop().create_future()
