"""Threads that send: everything that viewers get passes through here, in the order in which it was posted.

Each thread has a kernel, and the viewers whose number modulo the count of threads is its own. Posting never waits. A
burst for few viewers is sent at once on the caller's thread, when the viewers' thread has nothing to do: handing it
over would take longer. Long bursts (keyframes) go out in slices, so that they neither fill a viewer's queue at some
router nor keep other lanes waiting.

The one thing a caller must keep: all methods are called on one thread, the event loop's.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

import structlog

from ghostlive.protocols.webrtc.fanout.choose import make_kernel
from ghostlive.protocols.webrtc.fanout.types import (
    PATIENCE_US,
    Address,
    Binding,
    Burst,
    Kernel,
    KernelStats,
    Packet,
)
from ghostlive.protocols.webrtc.srtp import SrtpKeys

SLICE: Final = 32
"""Packets of one burst that a viewer gets at once."""
SLICE_GAP_US: Final = 3_000
"""Time between two slices of a burst."""
AT_ONCE: Final = 256
"""Work (viewers times packets, and some for each viewer) up to which a burst is sent on the caller's thread."""
VIEWER_WORK: Final = 8
"""What a viewer costs beside its packets, in packets."""
LATE_US: Final = 500_000
"""A burst that waited for longer is dropped: this machine is too slow for its viewers, and delay shall not grow."""

_log = structlog.get_logger("webrtc.fanout")


@dataclass(frozen=True, slots=True)
class SenderStats:
    """Counts of all threads since the start."""

    kernel: KernelStats
    waiting: int
    """Posts that no thread has taken up yet."""
    late: int
    """Bursts that were dropped since they waited too long."""


@dataclass(slots=True, eq=False)
class _Post:
    """A burst for the viewers of a lane."""

    lane: int
    burst: Burst
    hold_us: int
    posted_us: int


@dataclass(slots=True, eq=False)
class _Call:
    """Anything else; `lane` is None when it need not wait for the bursts of a lane."""

    lane: int | None
    run: Callable[[], object]


@dataclass(slots=True, eq=False)
class _Pace:
    """A lane with a burst half sent: what comes for it waits."""

    due_us: int
    waiting: "deque[_Post | _Call]" = field(default_factory=deque)


class _Worker:
    """A kernel, its thread and what was posted for it.

    `posted` is written by the caller's thread only, `done` by whoever works. While they are equal and nothing waits
    for its time, the thread does not touch the kernel, and the caller may.
    """

    def __init__(self, kernel: Kernel, clock_us: Callable[[], int], name: str) -> None:
        self.kernel = kernel
        self.late = 0
        self._clock_us = clock_us
        self._inbox: SimpleQueue[_Post | _Call | None] = SimpleQueue()
        self._posted = 0
        self._done = 0
        self._paced: dict[int, _Pace] = {}
        self._held: dict[int, int] = {}
        self._ticking = False
        self._drains: list[Callable[[], object]] = []
        self._stopping = False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether the caller's thread may use the kernel."""
        # What is due is off the books before it is sent, and the kernel gives the GIL away while it sends.
        return self._posted == self._done and not self._paced and not self._held and not self._ticking

    @property
    def waiting(self) -> int:
        return self._posted - self._done

    def call(self, lane: int | None, run: Callable[[], object]) -> None:
        if self.idle:
            self._now(run)
        else:
            self._post(_Call(lane, run))

    def burst(self, post: _Post, *, at_once: bool) -> None:
        if at_once and self.idle and len(post.burst.payloads) <= SLICE:
            self._now(lambda: self._send(post, self._clock_us()))
        else:
            self._post(post)

    def drain(self, done: Callable[[], object]) -> None:
        """Call `done`, on any thread, once all is sent that was posted so far."""
        if self.idle:
            done()
        else:
            self._post(_Call(None, lambda: self._drains.append(done)))

    def stop(self) -> None:
        """Have the thread end after what it does at the moment."""
        self._stopping = True
        self._inbox.put(None)

    def join(self) -> None:
        self._thread.join()

    def _now(self, run: Callable[[], object]) -> None:
        """Work on the caller's thread, which must not wait for room in the socket."""
        self.kernel.patience_us = 0
        try:
            run()
        finally:
            self.kernel.patience_us = PATIENCE_US

    def _post(self, item: _Post | _Call) -> None:
        self._posted += 1
        self._inbox.put(item)

    def _run(self) -> None:
        while not self._stopping:
            try:
                item = self._inbox.get(timeout=self._patience())
            except Empty:
                item = None
            if item is not None:
                self._take(item)
            self._tick()
            if item is not None:
                self._done += 1
            if self._drains and self._posted == self._done and not self._paced and not self._held:
                drains, self._drains = self._drains, []
                for done in drains:
                    done()

    def _patience(self) -> float | None:
        """Seconds until something is due; None when nothing is."""
        times = [pace.due_us for pace in self._paced.values()]
        times += self._held.values()
        return max(0, min(times) - self._clock_us()) / 1e6 if times else None

    def _take(self, item: _Post | _Call) -> None:
        if item.lane is not None and (pace := self._paced.get(item.lane)) is not None:
            pace.waiting.append(item)
        else:
            self._do(item)

    def _tick(self) -> None:
        """Do what is due."""
        self._ticking = True
        try:
            now = self._clock_us()
            for lane, pace in list(self._paced.items()):
                if pace.due_us <= now:
                    self._resume(lane, pace)
            for lane in [lane for lane, due in self._held.items() if due <= now]:
                del self._held[lane]
                self._do(_Call(None, partial(self.kernel.release, lane, now)))
        finally:
            self._ticking = False

    def _resume(self, lane: int, pace: _Pace) -> None:
        """Go on with a lane until the next slice has to wait."""
        del self._paced[lane]
        while pace.waiting:
            self._do(pace.waiting.popleft())
            if (paced := self._paced.get(lane)) is not None:
                paced.waiting += pace.waiting
                return

    def _do(self, item: _Post | _Call) -> None:
        try:
            if isinstance(item, _Call):
                item.run()
            else:
                self._send(item, self._clock_us())
        except Exception:
            _log.exception("sending failed")

    def _send(self, post: _Post, now: int) -> None:
        if now - post.posted_us > LATE_US:
            self.late += 1
            return
        burst = post.burst
        if post.hold_us:
            self._held.setdefault(post.lane, post.posted_us + post.hold_us)
            self.kernel.hold(post.lane, burst, now)
            return
        self._held.pop(post.lane, None)
        if len(burst.payloads) <= SLICE:
            self.kernel.send(post.lane, burst, now)
            return
        head = Burst(burst.index, burst.timestamp, burst.payloads[:SLICE], marker=False)
        rest = Burst(burst.index + SLICE, burst.timestamp, burst.payloads[SLICE:], burst.marker)
        self.kernel.send(post.lane, head, now)
        self._paced[post.lane] = _Pace(now + SLICE_GAP_US, deque([_Post(post.lane, rest, 0, now)]))


class Sender:
    """See the module. Viewers that are not open (any more) are ignored everywhere."""

    def __init__(
        self,
        fd: int,
        threads: int = 1,
        *,
        make_kernel: Callable[[int], Kernel] = make_kernel,
        clock_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        """`fd` is the UDP socket of the server, which stays its owner; `stop` comes before it is closed."""
        self._clock_us = clock_us
        self._workers = [_Worker(make_kernel(fd), clock_us, f"fanout-{number}") for number in range(max(1, threads))]
        # Viewers by TCP are protected on the caller's thread; theirs is a kernel without a socket.
        self._streams = make_kernel(-1)
        self._keys: dict[int, SrtpKeys] = {}
        self._lanes: dict[int, list[set[int]]] = {}
        self._bound: dict[int, set[int]] = {}
        self._protecting: set[int] = set()

    @property
    def native(self) -> bool:
        """Whether the compiled kernel is at work."""
        return self._streams.native

    @property
    def threads(self) -> int:
        """How many threads send."""
        return len(self._workers)

    def open(self, viewer: int, keys: SrtpKeys, address: Address | None) -> None:
        """See `Kernel.open`."""
        self.close(viewer)
        self._keys[viewer] = keys
        self._bound[viewer] = set()
        kernel = self._worker(viewer).kernel
        self._worker(viewer).call(None, lambda: kernel.open(viewer, keys, address))

    def move(self, viewer: int, address: Address | None) -> None:
        """See `Kernel.move`."""
        if viewer in self._keys:
            kernel = self._worker(viewer).kernel
            self._worker(viewer).call(None, lambda: kernel.move(viewer, address))

    def close(self, viewer: int) -> None:
        """See `Kernel.close`; what is posted for the viewer and not sent yet is forgotten."""
        if self._keys.pop(viewer, None) is None:
            return
        for lane in self._bound.pop(viewer):
            self._leave(viewer, lane)
        if viewer in self._protecting:
            self._protecting.discard(viewer)
            self._streams.close(viewer)
        kernel = self._worker(viewer).kernel
        self._worker(viewer).call(None, lambda: kernel.close(viewer))

    def bind(self, viewer: int, lane: int, binding: Binding) -> None:
        """See `Kernel.bind`. Bursts of the lane that were posted before are not for this viewer."""
        if viewer not in self._keys:
            return
        self._bound[viewer].add(lane)
        shards = self._lanes.setdefault(lane, [set() for _ in self._workers])
        shards[viewer % len(self._workers)].add(viewer)
        kernel = self._worker(viewer).kernel
        self._worker(viewer).call(lane, lambda: kernel.bind(viewer, lane, binding))

    def unbind(self, viewer: int, lane: int) -> None:
        """See `Kernel.unbind`. Bursts of the lane that were posted before still go to this viewer."""
        if viewer not in self._keys or lane not in self._bound[viewer]:
            return
        self._bound[viewer].discard(lane)
        self._leave(viewer, lane)
        kernel = self._worker(viewer).kernel
        self._worker(viewer).call(lane, lambda: kernel.unbind(viewer, lane))

    def viewers(self, lane: int) -> int:
        """How many viewers are bound to a lane, counting what is posted."""
        return sum(map(len, self._lanes.get(lane, ())))

    def send(
        self,
        lane: int,
        index: int,
        timestamp: int,
        payloads: Sequence[bytes],
        marker: bool = True,
        *,
        hold: float = 0.0,
    ) -> None:
        """Send a burst (a frame) to all viewers of a lane; see `Kernel.send`. Raises `ValueError` for long payloads.

        It may wait up to `hold` seconds for a burst of another lane to the same viewer, and then goes in the same
        message: a short audio packet of its own costs nearly as much as a whole video frame.
        """
        burst = Burst(index, timestamp, tuple(payloads), marker)
        shards = self._lanes.get(lane)
        if shards is None or not payloads:
            return
        now = self._clock_us()
        for worker, viewers in zip(self._workers, shards, strict=True):
            if viewers:
                at_once = len(viewers) * (len(payloads) + VIEWER_WORK) <= AT_ONCE
                worker.burst(_Post(lane, burst, 0 if at_once else int(hold * 1e6), now), at_once=at_once)

    def send_to(self, viewer: int, packets: Sequence[Packet]) -> None:
        """See `Kernel.send_to`."""
        if viewer in self._keys:
            packets = list(packets)
            kernel = self._worker(viewer).kernel
            self._worker(viewer).call(None, lambda: kernel.send_to(viewer, packets, self._clock_us()))

    def protect(self, viewer: int, packets: Sequence[Packet]) -> list[bytes]:
        """See `Kernel.protect`; at once. Transport-wide numbers count apart from those of datagrams: leave them out."""
        if (keys := self._keys.get(viewer)) is None:
            return []
        if viewer not in self._protecting:
            self._protecting.add(viewer)
            self._streams.open(viewer, keys, None)
        return self._streams.protect(viewer, packets, self._clock_us())

    def sent(self, viewer: int, first: int, count: int) -> list[tuple[int, int, int]]:
        """See `Kernel.sent`."""
        return self._worker(viewer).kernel.sent(viewer, first, count) if viewer in self._keys else []

    def stats(self) -> SenderStats:
        """Counts since the start."""
        total = KernelStats()
        for worker in self._workers:
            total += worker.kernel.stats()
        return SenderStats(
            total, sum(worker.waiting for worker in self._workers), sum(worker.late for worker in self._workers)
        )

    async def drain(self) -> None:
        """Wait until all is sent that was posted so far, and what is held too."""
        loop = asyncio.get_running_loop()
        waits = []
        for worker in self._workers:
            wait: asyncio.Future[None] = loop.create_future()
            waits.append(wait)
            worker.drain(partial(loop.call_soon_threadsafe, _finish, wait))
        await asyncio.gather(*waits)

    async def stop(self) -> None:
        """End the threads; what is not sent by then is not sent."""
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            await asyncio.to_thread(worker.join)
            worker.kernel.shut()
        self._streams.shut()

    def _worker(self, viewer: int) -> _Worker:
        return self._workers[viewer % len(self._workers)]

    def _leave(self, viewer: int, lane: int) -> None:
        shards = self._lanes[lane]
        shards[viewer % len(self._workers)].discard(viewer)
        if not any(shards):
            del self._lanes[lane]


def _finish(wait: "asyncio.Future[None]") -> None:
    if not wait.done():
        wait.set_result(None)
