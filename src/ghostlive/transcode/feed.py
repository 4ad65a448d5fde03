"""The source's frames on their way to one worker.

Only tracks that something is made of are sent. A track that was once sent is sent until the worker ends, since the
worker keeps its last group: what is begun later begins there.
"""

from collections.abc import Collection, Sequence

from ghostlive.core.clock import Clock
from ghostlive.core.frame import Frame
from ghostlive.core.tasks import TaskScope
from ghostlive.core.track import Track, TrackKind
from ghostlive.hub.live import LiveStream
from ghostlive.hub.subscription import Announced, Skipped, Subscription
from ghostlive.transcode.surroundings import Worker
from ghostlive.transcode.wire import Media

_SEND_BYTES = 1024 * 1024
"""Sent between two looks at whether the worker takes it."""
_TIMES_KEPT = 512
_BLOCKED = 1.0
"""Seconds for which a worker may take nothing, and for which what was skipped counts."""


class Feed:
    """What one worker is sent, and was."""

    def __init__(self, live: LiveStream, worker: Worker, clock: Clock, scope: TaskScope) -> None:
        """The worker knows of no source yet; `scope` ends with the worker."""
        self.run = 0
        """The number by which the worker knows the source; 0 while it knows none."""
        self.newest = 0.0
        """Seconds on the timeline of the newest frame."""
        self._live = live
        self._worker = worker
        self._clock = clock
        self._scope = scope
        self._tracks: Sequence[Track] = ()
        self._epoch = -1
        self._subscriptions: dict[str, Subscription] = {}
        self._given: dict[str, int] = {}
        self._times: dict[str, dict[int, float]] = {}
        self._blocked_since: float | None = None
        self._skipped_at: float | None = None

    def begin(self, run: int, tracks: Sequence[Track], epoch: int) -> None:
        """The worker was told of a source."""
        self.run = run
        self.newest = 0.0
        self._tracks = tracks
        self._epoch = epoch
        self._given.clear()
        self._times.clear()

    def add(self, tracks: Collection[str]) -> None:
        """Send tracks, too, from the last keyframe on."""
        added = frozenset(tracks) - self._subscriptions.keys()
        if not added:
            return
        subscription = self._live.subscribe(tracks=added, replay=True)
        for track in added:
            self._subscriptions[track] = subscription
        self._scope.spawn(self._send(subscription), name=f"transcode {self._live.name}: feed")

    def end(self) -> None:
        """Send nothing more of this source."""
        for subscription in set(self._subscriptions.values()):
            subscription.close()
        self._subscriptions.clear()
        self.run = 0

    def given(self, track: str) -> int:
        """How many frames of a track were sent."""
        return self._given.get(track, 0)

    def received(self, track: str, pts: int) -> float:
        """When a picture came (`Frame.received`), for its renditions' latency figures; 0 when that is forgotten."""
        return self._times.get(track, {}).get(pts, 0.0)

    def waits(self, now: float) -> bool:
        """Whether frames wait, or are left out, because the worker does not take them."""
        blocked = self._blocked_since is not None and now - self._blocked_since > _BLOCKED
        skipped = self._skipped_at is not None and now - self._skipped_at < _BLOCKED
        return blocked or skipped

    async def _send(self, subscription: Subscription) -> None:
        run, epoch = self.run, self._epoch
        places = {track.id: index for index, track in enumerate(self._tracks)}
        scales = {track.id: track.timescale for track in self._tracks}
        pictures = {track.id for track in self._tracks if track.kind is TrackKind.VIDEO}
        broken: set[str] = set()
        while items := await subscription.batch():
            unsent = 0
            for item in items:
                if isinstance(item, Frame):
                    track = item.track
                    if self._subscriptions.get(track) is not subscription:
                        continue
                    if track in broken:
                        if not item.keyframe:
                            continue
                        broken.discard(track)
                    self._worker.send(Media(run, places[track], item.dts, item.pts, item.keyframe, item.payload))
                    self._given[track] = self._given.get(track, 0) + 1
                    self.newest = max(self.newest, item.pts / scales[track])
                    if track in pictures:
                        self._remember(track, item)
                    unsent += len(item.payload)
                    if unsent > _SEND_BYTES:
                        unsent = 0
                        await self._drain()
                elif isinstance(item, Skipped):
                    # Other tracks than the leading one go on between keyframes.
                    broken |= pictures
                    self._skipped_at = self._clock.now()
                elif isinstance(item, Announced) and item.epoch != epoch:
                    return
            await self._drain()

    async def _drain(self) -> None:
        if self._blocked_since is None:
            self._blocked_since = self._clock.now()
        await self._worker.drain()
        self._blocked_since = None

    def _remember(self, track: str, frame: Frame) -> None:
        times = self._times.setdefault(track, {})
        times[frame.pts] = frame.received
        if len(times) > _TIMES_KEPT:
            del times[next(iter(times))]
