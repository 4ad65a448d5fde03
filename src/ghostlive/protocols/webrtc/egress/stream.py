"""One live stream and its viewers: the one reader of the hub, the lanes, and who holds leases on what."""

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from ghostlive.core.clock import Clock, Timer
from ghostlive.core.errors import MediaError
from ghostlive.core.frame import Frame
from ghostlive.core.tasks import TaskScope
from ghostlive.core.track import Track
from ghostlive.hub.derived import Lease, Offer
from ghostlive.hub.live import LiveStream
from ghostlive.hub.subscription import (
    Announced,
    Closed,
    Ended,
    Interrupted,
    Item,
    Offered,
    Opened,
    Skipped,
    Subscription,
)
from ghostlive.protocols.webrtc.egress.config import EgressConfig
from ghostlive.protocols.webrtc.egress.edge import Edge
from ghostlive.protocols.webrtc.egress.lane import Lane
from ghostlive.protocols.webrtc.egress.pacer import Pacer
from ghostlive.protocols.webrtc.egress.renditions import Rendition, Takes, can_send, list_renditions

if TYPE_CHECKING:
    from ghostlive.protocols.webrtc.egress.viewer import Viewer
    from ghostlive.protocols.webrtc.fanout.sender import Sender

_log = structlog.get_logger("webrtc.egress")

_TICK: Final = 0.1
_ROUND: Final = 5
"""Ticks in which each viewer has its turn once."""


@dataclass(slots=True)
class Surroundings:
    """What all streams share."""

    sender: "Sender"
    config: EgressConfig
    clock: Clock
    pacer: Pacer
    scope: TaskScope
    lanes: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    viewers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    probes: int = 0
    """How many viewers are probed at the moment."""


@dataclass(slots=True)
class _Hold:
    """A lease on what is made, and who needs it."""

    lease: Lease
    users: set[object]


class StreamEgress:
    """Made with the first viewer of a live session; it rests a while after the last one has left."""

    def __init__(self, live: LiveStream, around: Surroundings) -> None:
        """It rests until it is told to `begin`."""
        self.live = live
        self.around = around
        self.ended = ""
        """Why the session is over; empty while it is not."""
        self.edge = Edge()
        self._tracks: tuple[Track, ...] = live.tracks
        self._offers: tuple[Offer, ...] = live.offers
        self._scales: dict[str, int] = {}
        self._lanes: dict[str, Lane] = {}
        self._opened: dict[str, Track] = {}
        self._holds: dict[str, _Hold] = {}
        self._viewers: deque[Viewer] = deque()
        self._closed_lanes: dict[str, str] = {}
        self._heard = 0.0
        self._timer: Timer | None = None
        self._rest: Timer | None = None
        self._subscription: Subscription | None = None

    @property
    def viewers(self) -> int:
        """How many there are."""
        return len(self._viewers)

    def renditions(self, takes: Takes) -> tuple[Rendition, ...]:
        """What a viewer can choose from, best first."""
        return list_renditions(self._tracks, self._offers, takes=takes, bitrate=self.live.bitrate)

    @property
    def tracks(self) -> Sequence[Track]:
        """The source's."""
        return self._tracks

    @property
    def heard(self) -> float:
        """When the source's last frame came."""
        return self._heard

    def media_time(self) -> float:
        """The time on the stream's timeline, in seconds, that the wall clock has now."""
        return (self.around.clock.wall_ns() - self.live.timeline.origin_ns) / 1e9

    # Viewers

    def begin(self) -> None:
        """Read the stream, if it is not read already; what it has is known after this."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._timer is None and not self.ended:
            self._timer = self.around.clock.call_later(_TICK, self._tick)
        if self._subscription is not None or self.ended:
            return
        subscription = self._subscription = self.live.subscribe()
        self._take(subscription.take(), replay=True)
        if not self.ended:
            self.around.scope.spawn(self._read(subscription), name=f"webrtc {self.live.name}")

    def join(self, viewer: "Viewer") -> None:
        """A viewer is there."""
        self._viewers.append(viewer)

    def leave(self, viewer: "Viewer") -> None:
        """A viewer has gone, or did not come; harmless for one that was not there."""
        if viewer in self._viewers:
            self._viewers.remove(viewer)
        if not self._viewers and not self.ended and self._rest is None:
            self._rest = self.around.clock.call_later(self.around.config.linger, self._pause)

    def hold(self, track: str, user: object) -> None:
        """Have a track made for somebody. Raises `OfferRefusedError` and `OfferUnknownError`."""
        held = self._holds.get(track)
        if held is None:
            held = self._holds[track] = _Hold(self.live.lease(track), set())
            opened = self._opened.get(track)
            if opened is not None:
                self._open_lane(opened)
        held.users.add(user)

    def release(self, track: str, user: object) -> None:
        """Somebody does not need it any more; harmless for who does not hold it."""
        held = self._holds.get(track)
        if held is None or user not in held.users:
            return
        held.users.discard(user)
        if not held.users:
            del self._holds[track]
            if (lane := self._lanes.get(track)) is not None:
                lane.rest()
            held.lease.close()

    def lane(self, track: Track) -> Lane | None:
        """The lane of a track that is sent as it is, or is held; None when it cannot be sent."""
        lane = self._lanes.get(track.id)
        if lane is None or lane.track.codec is not track.codec:
            lane = self._make_lane(track)
        return lane

    def close(self, reason: str) -> None:
        """End all viewers' sessions."""
        if self.ended:
            return
        self.ended = reason or "the stream has ended"
        for timer in (self._timer, self._rest):
            if timer is not None:
                timer.cancel()
        self._timer = self._rest = None
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        for viewer in list(self._viewers):
            viewer.end(self.ended)
        self._viewers.clear()
        for held in self._holds.values():
            held.lease.close()
        self._holds.clear()
        self._lanes.clear()
        self._opened.clear()

    # Reading

    def _pause(self) -> None:
        """Nobody has come back."""
        self._rest = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        for lane in self._lanes.values():
            lane.end()
        self._lanes.clear()
        self._opened.clear()

    async def _read(self, subscription: Subscription) -> None:
        while items := await subscription.batch():
            self._take(items)

    def _take(self, items: Sequence[Item], *, replay: bool = False) -> None:
        lanes, scales, edge = self._lanes, self._scales, self.edge
        now = self.around.clock.now()
        for item in items:
            if isinstance(item, Frame):
                track = item.track
                scale = scales.get(track)
                if scale is not None:
                    edge.observe(item.dts / scale, now)
                    self._heard = now
                lane = lanes.get(track)
                if lane is not None and lane.open:
                    if replay:
                        lane.replay(item, now)
                    else:
                        lane.push(item, now)
            else:
                self._control(item)
        if self._closed_lanes:
            self._tell_closed()

    def _control(self, item: Item) -> None:
        if isinstance(item, Announced):
            self._announce(item)
        elif isinstance(item, Offered):
            self._offers = item.offers
            self._replan()
        elif isinstance(item, Opened):
            self._opened[item.track.id] = item.track
            self._closed_lanes.pop(item.track.id, None)
            if item.track.id in self._holds:
                self._open_lane(item.track)
        elif isinstance(item, Closed):
            self._opened.pop(item.track, None)
            lane = self._lanes.get(item.track)
            if lane is not None and lane.open:
                lane.end()
                self._closed_lanes[item.track] = item.reason
        elif isinstance(item, Skipped):
            for lane in self._lanes.values():
                lane.break_off()
        elif isinstance(item, Ended):
            self.close(item.reason)
        else:
            # The publisher is lost: viewers keep their last picture until it comes back or the stream ends.
            assert isinstance(item, Interrupted)

    def _announce(self, announced: Announced) -> None:
        self._tracks, self._offers = announced.tracks, announced.offers
        self.edge.reset()
        self._scales.clear()
        self._scales.update({track.id: track.timescale for track in announced.tracks})
        self._opened.clear()
        self._closed_lanes.clear()
        for lane in self._lanes.values():
            lane.end()
        for track in announced.tracks:
            if can_send(track):
                self._make_lane(track)
        self._replan()

    def _make_lane(self, track: Track) -> Lane | None:
        """The lane of a track, open if frames come now."""
        lane = self._lanes.get(track.id)
        around = self.around
        try:
            if lane is None or lane.track.codec is not track.codec:
                number = next(around.lanes)
                lane = Lane(number, track, edge=self.edge, sender=around.sender, config=around.config)
                self._lanes[track.id] = lane
            if track.id in self._scales:
                lane.begin(track, derived=False)
        except MediaError as error:
            _log.warning("track cannot be sent by WebRTC", stream=self.live.name, track=track.id, reason=str(error))
            return None
        if track.id in self._holds and (opened := self._opened.get(track.id)) is not None:
            self._open_lane(opened)
        return lane

    def _open_lane(self, track: Track) -> None:
        lane = self._lanes.get(track.id)
        if lane is None or lane.track.codec is not track.codec:
            self._make_lane(track)
            return
        try:
            lane.begin(track, derived=True)
        except MediaError as error:
            _log.warning("rendition cannot be sent by WebRTC", stream=self.live.name, reason=str(error))

    def _tell_closed(self) -> None:
        closed = {track: reason for track, reason in self._closed_lanes.items() if track not in self._opened}
        self._closed_lanes.clear()
        self._tell(lambda viewer: viewer.lost(closed))

    def _replan(self) -> None:
        self._tell(lambda viewer: viewer.replan())

    def _tell(self, what: Callable[["Viewer"], None]) -> None:
        for viewer in list(self._viewers):
            self._guard(viewer, what)

    def _guard(self, viewer: "Viewer", what: Callable[["Viewer"], None]) -> None:
        """One viewer's trouble is no other's."""
        try:
            what(viewer)
        except Exception as error:
            _log.error("a viewer failed", stream=self.live.name, exc_info=error)
            viewer.end("the server made an error; it is in its log")

    # Turns

    def _tick(self) -> None:
        clock = self.around.clock
        self._timer = clock.call_later(_TICK, self._tick)
        now = clock.now()
        viewers = self._viewers
        for _ in range(-(-len(viewers) // _ROUND)):
            if not viewers:
                break
            viewer = viewers.popleft()
            viewers.append(viewer)
            self._guard(viewer, lambda viewer: viewer.tick(now))
