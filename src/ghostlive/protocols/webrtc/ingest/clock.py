"""From RTP timestamps to the stream's timeline: one clock for all tracks of a publisher.

Each track's timestamps begin anywhere. How they lie to each other is told by sender reports, which give timestamps of
both tracks the sender's wall-clock time (RFC 3550 §6.4.1). Until there is one of each, what is under way for the same
time is taken for simultaneous: the fastest packets of the last seconds count.

One track leads: sound, where there is any, since moving a packet of sound by less than a packet is audible, and a
picture may be shown a little earlier or later. The others follow it gently. The leading one follows the arrival of its
own packets, and so our clock: a sender's clock that is wrong by 200 ppm would be off by 0.7 s in an hour.

Positions are in ticks of each track's own rate, so that sound stays exact to the sample.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from ghostlive.formats.rtcp import SenderReport, unix_ns_from_ntp
from ghostlive.formats.rtp.sequence import Unwrapper

NS: Final = 1_000_000_000

_WINDOW: Final = 10
"""Seconds over which the fastest packet is looked for."""
_BUCKET_NS: Final = NS
_JUMP_NS: Final = 10 * NS
"""Timestamps further than this from what their arrival says begin anew."""
_BELIEVABLE_NS: Final = 3 * NS
"""Sender reports that place a track further than this from where its packets arrive are wrong."""
_NEGLIGIBLE_NS: Final = 2_000_000
"""Followers that are off by less stay where they are."""
_VAGUE_NS: Final = 20_000_000
"""The same where only arrival tells."""
_GENTLE: Final = 0.03
"""Of the time that passes: how much faster or slower a follower runs to get where it belongs."""
_HASTY: Final = 0.25
_FAR_NS: Final = 200_000_000
"""Followers that are off by more are moved hastily."""
_LONGEST_STEP_NS: Final = NS
_DRIFT_NS: Final = 30_000_000
"""How far a picture that leads may drift from our clock before it is moved."""
_DRIFT_GENTLE: Final = 0.005


class Transit:
    """The least difference between arrival and timestamp over the last seconds, in nanoseconds."""

    __slots__ = ("_buckets", "full")

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque()
        self.full = False
        """Whether packets came over the whole window."""

    def add(self, arrived_ns: int, media_ns: int) -> None:
        """A packet of the media time `media_ns` arrived."""
        bucket, transit = arrived_ns // _BUCKET_NS, arrived_ns - media_ns
        buckets = self._buckets
        if buckets and buckets[-1][0] == bucket:
            if transit < buckets[-1][1]:
                buckets[-1] = (bucket, transit)
            return
        buckets.append((bucket, transit))
        while buckets[0][0] <= bucket - _WINDOW:
            buckets.popleft()
            self.full = True

    @property
    def least(self) -> int | None:
        """None before the first packet."""
        return min(transit for _, transit in self._buckets) if self._buckets else None

    def clear(self) -> None:
        """Timestamps began anew."""
        self._buckets.clear()
        self.full = False


class TrackClock:
    """One track's timestamps. Made by `PublisherClock.track`."""

    def __init__(self, rate: int, *, audio: bool) -> None:
        """`rate` is ticks per second, on the wire and of positions."""
        self.rate = rate
        self.audio = audio
        self.transit = Transit()
        self.offset: int | None = None
        """What makes a position of a timestamp, in ticks; None until the track began."""
        self.report_ns: int | None = None
        """Timestamp minus the sender's wall-clock time, by its last report."""
        self._unwrap = Unwrapper(32)
        self.position = 0
        """The last one given out; of those that came in order, the highest."""
        self.arrived_ns: int | None = None
        """When the frame of that position arrived."""
        self.restarted = False
        """Its next timestamp has nothing to do with those before."""

    def heard(self, timestamp: int, arrived: float) -> int:
        """A frame began to arrive; returns its timestamp (32 bits on the wire) without turns."""
        extended = self._unwrap.unwrap(timestamp)
        self.transit.add(int(arrived * NS), self.to_ns(extended))
        return extended

    def report(self, report: SenderReport) -> None:
        """The sender told which time a timestamp has; an NTP time of 0 means that it has none."""
        if report.ntp:
            self.report_ns = self.to_ns(self._unwrap.peek(report.rtp_timestamp)) - unix_ns_from_ntp(report.ntp)

    def restart(self) -> None:
        """Timestamps of another source follow, which begin anywhere."""
        self._unwrap = Unwrapper(32)
        self.transit.clear()
        self.report_ns = None
        self.restarted = True

    def to_ns(self, ticks: int) -> int:
        """Ticks in nanoseconds."""
        return ticks * NS // self.rate

    def to_ticks(self, nanoseconds: int) -> int:
        """Nanoseconds in ticks."""
        return nanoseconds * self.rate // NS

    @property
    def offset_ns(self) -> int:
        """The offset of a track that began."""
        assert self.offset is not None
        return self.to_ns(self.offset)


class PublisherClock:
    """The clocks of all tracks of one publisher."""

    def __init__(self) -> None:
        self._tracks: list[TrackClock] = []
        self._lead: TrackClock | None = None
        self._drift_from_ns: int | None = None
        """Arrival minus position of the leading track's fastest packets, as it was when it was known first."""
        self.jumps = 0
        """How often timestamps began anew."""

    def track(self, rate: int, *, audio: bool) -> TrackClock:
        """A track of the publisher."""
        track = TrackClock(rate, audio=audio)
        self._tracks.append(track)
        return track

    def forget(self, track: TrackClock) -> None:
        """No frame of this track follows."""
        self._tracks.remove(track)
        self._choose()

    def begin(self, frames: Iterable[tuple[TrackClock, int]], base_ns: int) -> None:
        """Give the first of these frames (by their extended timestamps) the position `base_ns`."""
        first: dict[TrackClock, int] = {}
        for track, timestamp in frames:
            first[track] = min(timestamp, first.get(track, timestamp))
        for track in first:
            self._start(track)
        early = min(track.to_ns(timestamp) + track.offset_ns for track, timestamp in first.items())
        for track in first:
            assert track.offset is not None
            track.offset += track.to_ticks(base_ns - early)

    def place(self, track: TrackClock, timestamp: int, arrived: float) -> int:
        """The position of a frame, in ticks; `timestamp` is what `TrackClock.heard` said of it.

        Positions of frames that came in order may be out of order where timestamps are (B-frames), and by a tick or
        two for rounding.
        """
        arrived_ns = int(arrived * NS)
        if track.offset is None:
            self._start(track)
        else:
            self._check_jump(track, timestamp, arrived_ns)
            step_ns = min(max(track.to_ns(timestamp + track.offset - track.position), 0), _LONGEST_STEP_NS)
            if track is not self._lead:
                self._follow_lead(track, step_ns)
            elif not track.audio:
                self._follow_arrival(track, step_ns)
        assert track.offset is not None
        position = timestamp + track.offset
        if position > track.position or track.arrived_ns is None:
            track.position, track.arrived_ns = position, arrived_ns
        return position

    def drift_ns(self) -> int:
        """How much later than in the beginning the leading track's frames arrive, in nanoseconds.

        More than jitter only if clocks differ, or the path has another length. Who places sound shifts it by this
        (`TrackClock.offset`) when it hurts least.
        """
        lead = self._lead
        if lead is None or not lead.transit.full or lead.transit.least is None:
            return 0
        now_ns = lead.transit.least - lead.offset_ns
        if self._drift_from_ns is None:
            self._drift_from_ns = now_ns
        return now_ns - self._drift_from_ns

    def leads(self, track: TrackClock) -> bool:
        """Whether the others follow this track."""
        return track is self._lead

    def _start(self, track: TrackClock) -> None:
        if track.offset is not None:
            return
        wanted = self._wanted_ns(track)
        track.offset = track.to_ticks(wanted[0]) if wanted is not None else 0
        self._choose()

    def _choose(self) -> None:
        started = [track for track in self._tracks if track.offset is not None]
        lead = next((track for track in started if track.audio), started[0] if started else None)
        if lead is not self._lead:
            self._lead, self._drift_from_ns = lead, None

    def _wanted_ns(self, track: TrackClock) -> tuple[int, int] | None:
        """Where a follower's offset should be, and by how much it may be off; None when nothing tells."""
        lead = self._lead
        if lead is None:
            return None
        by_arrival = by_report = None
        if track.transit.least is not None and lead.transit.least is not None:
            by_arrival = lead.offset_ns + track.transit.least - lead.transit.least
        if track.report_ns is not None and lead.report_ns is not None:
            by_report = lead.offset_ns + lead.report_ns - track.report_ns
        if by_report is not None and (by_arrival is None or abs(by_report - by_arrival) < _BELIEVABLE_NS):
            return by_report, _NEGLIGIBLE_NS
        return (by_arrival, _VAGUE_NS) if by_arrival is not None else None

    def _check_jump(self, track: TrackClock, timestamp: int, arrived_ns: int) -> None:
        assert track.offset is not None
        if track.arrived_ns is None:
            return
        expected = track.position + track.to_ticks(max(arrived_ns - track.arrived_ns, 0))
        off = timestamp + track.offset - expected
        if track.restarted or abs(track.to_ns(off)) > _JUMP_NS:
            self.jumps += 1
            track.restarted = False
            track.offset -= off
            track.transit.clear()
            track.transit.add(arrived_ns, track.to_ns(timestamp))
            track.report_ns = None
            if track is self._lead:
                self._drift_from_ns = None

    def _follow_lead(self, track: TrackClock, step_ns: int) -> None:
        wanted = self._wanted_ns(track)
        if wanted is None:
            return
        error, tolerance = wanted[0] - track.offset_ns, wanted[1]
        if abs(error) > tolerance:
            limit = int(step_ns * (_HASTY if abs(error) > _FAR_NS else _GENTLE))
            self._move(track, error, limit)

    def _follow_arrival(self, track: TrackClock, step_ns: int) -> None:
        drift = self.drift_ns()
        if abs(drift) > _DRIFT_NS:
            self._move(track, drift, int(step_ns * _DRIFT_GENTLE))

    def _move(self, track: TrackClock, by_ns: int, limit_ns: int) -> None:
        assert track.offset is not None
        track.offset += track.to_ticks(min(max(by_ns, -limit_ns), limit_ns))
