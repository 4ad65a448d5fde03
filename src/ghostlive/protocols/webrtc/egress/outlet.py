"""One SSRC of a viewer: its picture or its sound. It is in one lane at a time, and moves between them.

To the viewer it looks like one stream without seams: sequence numbers go on over every change of lane, timestamps never
go back. Packet `index` of the lane is sequence number `index + offset`, and its timestamp is the lane's plus `shift`;
both are constant as long as the viewer stays, so that the sender needs no word for each packet.

Who joins in the middle of a group is sent the group first (a burst), quickened: timestamps follow the clock, so that
the decoder comes to the present as fast as the packets do.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ghostlive.core.track import TrackKind
from ghostlive.formats.rtp.payload.rtx import wrap
from ghostlive.protocols.webrtc.egress.history import LaneFrame
from ghostlive.protocols.webrtc.egress.lane import STEP, Lane
from ghostlive.protocols.webrtc.egress.pacing import Budget, slices
from ghostlive.protocols.webrtc.egress.reports import Sent
from ghostlive.protocols.webrtc.fanout.types import Binding, Packet

if TYPE_CHECKING:
    from ghostlive.protocols.webrtc.fanout.sender import Sender
    from ghostlive.protocols.webrtc.link import PeerLink

_PRIVATE: Final = 1 << 40
"""Lanes of one viewer, for bursts, are numbered from here on."""
_MISSED: Final = 0.15
"""Share of a burst's packets whose loss means that it is too fast."""
_MISSED_LEAST: Final = 10
_SLOWED_FOR: Final = 0.1
"""Seconds until what is missed after a burst was slowed down counts again."""
_PARAMETER_SETS: Final = 256
"""Bytes below which the first of several packets of a keyframe holds nothing but parameter sets."""
_COPIES: Final = 2
_SEGMENTS: Final = 6
"""Changes of lane in which lost packets are still found."""


@dataclass(frozen=True, slots=True)
class Headers:
    """What stands in the header of each packet of an outlet."""

    ssrc: int
    rtx_ssrc: int | None
    abs_send_time_id: int = 0
    transport_sequence_id: int = 0
    mid_id: int = 0
    mid: bytes = b""


@dataclass(slots=True)
class _Segment:
    """From this sequence number on the packets are those of a lane."""

    first: int
    lane: Lane
    offset: int
    shift: int
    payload_type: int
    rtx: int | None
    times: dict[int, int] = field(default_factory=dict)
    """Timestamps of the frames of a burst, by their first packet in the lane."""


class _Burst:
    """A group that is being sent to one viewer."""

    __slots__ = ("budget", "missed", "place", "sent", "slowed_at", "stamp")

    def __init__(self, frame: LaneFrame, budget: Budget) -> None:
        self.place = frame.index
        """The packet of the lane that comes next."""
        self.stamp = 0
        """Timestamp of the frame that it is in."""
        self.budget = budget
        self.sent = 0
        """Packets since it was slowed down last, and those of them that were missed."""
        self.missed = 0
        self.slowed_at = 0.0


class Outlet:
    """See above. `formats` gives payload type and that of retransmissions for a track's codec."""

    __slots__ = (
        "_base", "_burst", "_format", "_lane", "_last_stamp", "_link", "_next", "_octets", "_on_entered", "_packets",
        "_segments", "_sender", "_shift", "_since", "_target", "_transport", "_viewer", "headers", "jitters",
        "rtx_next",
    )  # fmt: skip

    def __init__(
        self,
        viewer: int,
        headers: Headers,
        *,
        base: int,
        first: int,
        sender: "Sender",
        formats: Callable[[Lane], tuple[int, int | None]],
        on_entered: Callable[["Outlet", Lane], None],
    ) -> None:
        """`base` is added to all timestamps, `first` is the first sequence number; both random (RFC 3550 §5.1).

        `on_entered` is called when the first packet from another lane is about to be sent.
        """
        self.headers = headers
        self.jitters = False
        """The viewer has missed packets, be it that others overtook them."""
        self.rtx_next = first
        self._viewer = viewer
        self._base = base
        self._next = first
        self._sender = sender
        self._format = formats
        self._on_entered = on_entered
        self._lane: Lane | None = None
        self._target: Lane | None = None
        self._burst: _Burst | None = None
        self._segments: deque[_Segment] = deque(maxlen=_SEGMENTS)
        self._shift = base
        self._last_stamp: int | None = None
        self._packets = 0
        self._octets = 0
        self._since = (0, 0)
        self._link: PeerLink | None = None
        self._transport = False

    @property
    def lane(self) -> Lane | None:
        """The lane that it is sent; None while it waits for one, or catches up."""
        return self._lane

    @property
    def target(self) -> Lane | None:
        """The lane that it waits for, or is catching up with; None when it is where it should be."""
        return self._target

    @property
    def catching_up(self) -> bool:
        """Whether a group is being sent to it."""
        return self._burst is not None

    def connect(self, link: "PeerLink", *, stream: bool) -> None:
        """The viewer is there, by UDP or by TCP (`stream`), or has changed over."""
        lane = self._lane
        if lane is not None:
            (lane.streams if self._transport else lane.members).discard(self)
        if not self._transport:
            for bound in (lane, self._target if self._burst is not None else None):
                if bound is not None:
                    self._sender.unbind(self._viewer, bound.number if bound is lane else self._private)
        self._link = link
        self._transport = stream
        if lane is not None:
            self._bind(lane)
        if self._burst is not None and not stream and self._segments:
            self._bind_private(self._segments[-1])

    # Entering and leaving

    def aim(self, lane: Lane, budget: Budget | None = None) -> None:
        """Go over to a lane: with its next keyframe, or at once with its last group if there is a `budget` for that."""
        self.forgo()
        group = lane.history.keyframe if lane.live else None
        if budget is not None and group is not None:
            self._leave()
            self._start_burst(lane, group, budget)
        elif lane is self._lane:
            return
        self._target = lane
        lane.joining.add(self)

    def forgo(self) -> None:
        """Do not go over to what was aimed at. In the middle of a burst there is nothing left to go back to."""
        target = self._target
        if target is None:
            return
        target.joining.discard(self)
        self._target = None
        if self._burst is not None:
            self._end_burst()

    def offer(self, lane: Lane, frame: LaneFrame) -> None:
        """See `lane.Joining`."""
        burst = self._burst
        if burst is None:
            # Who sees a picture is not taken back into the past, where a rendition begins that has just been started.
            begins = frame.keyframe and (lane.live or self._lane is None)
            if begins or lane.kind is TrackKind.AUDIO:
                self._enter(lane, frame)
        elif burst.place == frame.index:
            self._end_burst()
            self._enter(lane, frame, caught_up=True)

    def drop(self) -> None:
        """The viewer gets nothing until it is aimed again."""
        self.forgo()
        self._leave()

    def close(self) -> None:
        """The viewer has gone: nobody is to be kept by another."""
        self.drop()
        self._link = None
        self._on_entered = _nobody

    def _enter(self, lane: Lane, frame: LaneFrame, *, caught_up: bool = False) -> None:
        self._leave()
        lane.joining.discard(self)
        self._target = None
        self._begin_segment(lane, frame.index)
        # Another lane may be a little behind the one before; its first picture is shown right after the last one then.
        self._shift = self._base
        if self._last_stamp is not None:
            self._shift = max(self._base, self._last_stamp + STEP - frame.timestamp)
        self._segments[-1].shift = self._shift
        self._lane = lane
        self._since = (lane.packets, lane.octets)
        self._bind(lane)
        self._repeat_parameter_sets(frame, frame.timestamp + self._shift)
        if not caught_up:
            self._on_entered(self, lane)

    def _repeat_parameter_sets(self, frame: LaneFrame, timestamp: int) -> None:
        """Send the parameter sets of another picture thrice where packets overtake each other.

        Chromium hands a keyframe without its beginning to the decoder (bugs.webrtc.org/7106), or drops the packet that
        comes before them; either way the picture stands until the next keyframe.
        """
        segment, first = self._segments[-1], frame.payloads[0]
        if not (self.jitters and frame.keyframe) or len(frame.payloads) == 1 or len(first) > _PARAMETER_SETS:
            return
        if self._transport or segment.rtx is None or self.headers.rtx_ssrc is None:
            return
        for _ in range(_COPIES):
            self.resend(frame.index + segment.offset, timestamp, first, False, segment.rtx)

    def _leave(self) -> None:
        lane = self._lane
        if lane is None:
            return
        self._lane = None
        lane.members.discard(self)
        lane.streams.discard(self)
        if not self._transport:
            self._sender.unbind(self._viewer, lane.number)
        self._next = lane.next_index + self._segments[-1].offset
        last = lane.last_timestamp
        if last is not None:
            self._last_stamp = last + self._shift
        self._packets += lane.packets - self._since[0]
        self._octets += lane.octets - self._since[1]
        lane.settle()

    def _begin_segment(self, lane: Lane, index: int) -> None:
        payload_type, rtx = self._format(lane)
        self._segments.append(_Segment(self._next, lane, self._next - index, self._base, payload_type, rtx))

    def _bind(self, lane: Lane) -> None:
        if self._transport:
            lane.streams.add(self)
            return
        segment = self._segments[-1]
        self._sender.bind(self._viewer, lane.number, self._binding(segment, self._shift))
        lane.members.add(self)
        lane.settle()

    def _binding(self, segment: _Segment, shift: int) -> Binding:
        headers = self.headers
        return Binding(
            headers.ssrc,
            segment.payload_type,
            segment.offset,
            shift,
            headers.abs_send_time_id,
            headers.transport_sequence_id,
            headers.mid_id,
            headers.mid,
        )

    # Bursts

    @property
    def _private(self) -> int:
        return _PRIVATE + self._viewer

    def _start_burst(self, lane: Lane, frame: LaneFrame, budget: Budget) -> None:
        self._begin_segment(lane, frame.index)
        self._shift = self._base
        self._burst = _Burst(frame, budget)
        if not self._transport:
            self._bind_private(self._segments[-1])
        self._on_entered(self, lane)

    def _bind_private(self, segment: _Segment) -> None:
        self._sender.bind(self._viewer, self._private, self._binding(segment, 0))

    def _end_burst(self) -> None:
        burst = self._burst
        assert burst is not None
        self._burst = None
        self._next = burst.place + self._segments[-1].offset
        if not self._transport:
            self._sender.unbind(self._viewer, self._private)

    def advance(self, now: float) -> bool:
        """Send as much of the group as the time allows; False when there is nothing left of it to be sent.

        The viewer is let into the lane with the frame that comes next then.
        """
        burst, lane = self._burst, self._target
        if burst is None or lane is None:
            return False
        burst.budget.refill(now)
        while burst.budget.left():
            frames = lane.history.since(burst.place)
            if not frames:
                if burst.place < lane.next_index:
                    # It is gone already: the viewer was too slow for it, and waits for the next keyframe.
                    self._end_burst()
                return False
            for frame in frames:
                if burst.place == frame.index:
                    newest = lane.history.keyframe
                    if newest is not None and newest.index > frame.index:
                        self._skip_to(newest, burst)
                        break
                    self._stamp(burst, lane, frame, now)
                for begin, end in slices(frame.payloads, burst.place - frame.index):
                    if not burst.budget.left():
                        return True
                    self._send_slice(burst, frame, begin, end)
        return True

    def missed(self, packets: int, size: int, now: float) -> None:
        """So many packets did not come when they were sent again; `size` bytes are sent at the cost of the burst."""
        burst = self._burst
        if burst is None:
            return
        burst.budget.spend(size)
        burst.missed += packets
        if burst.missed < max(_MISSED * burst.sent, _MISSED_LEAST) or now - burst.slowed_at < _SLOWED_FOR:
            return
        if burst.budget.slowest:
            # It would only fill the network with what comes too late.
            self._end_burst()
            return
        burst.budget.slow_down()
        burst.sent = burst.missed = 0
        burst.slowed_at = now

    def _stamp(self, burst: _Burst, lane: Lane, frame: LaneFrame, now: float) -> None:
        present = lane.present(now)
        stamp = (frame.timestamp if present is None else present) + self._base
        if self._last_stamp is not None:
            stamp = max(stamp, self._last_stamp + STEP)
        self._last_stamp = burst.stamp = stamp
        self._segments[-1].times[frame.index] = stamp

    def _skip_to(self, frame: LaneFrame, burst: _Burst) -> None:
        """The next group has begun: what is left of this one is not needed."""
        assert self._target is not None
        self._next = burst.place + self._segments[-1].offset
        self._begin_segment(self._target, frame.index)
        burst.place = frame.index
        if not self._transport:
            self._bind_private(self._segments[-1])

    def _send_slice(self, burst: _Burst, frame: LaneFrame, begin: int, end: int) -> None:
        payloads = frame.payloads[begin:end]
        last = end == len(frame.payloads)
        size = sum(map(len, payloads))
        if self._transport:
            self._protect(frame.index + begin, burst.stamp, payloads, marker=last)
        else:
            self._sender.send(self._private, frame.index + begin, burst.stamp, payloads, last)
            if begin == 0:
                self._repeat_parameter_sets(frame, burst.stamp)
        burst.place = frame.index + end
        burst.sent += end - begin
        burst.budget.spend(size)
        self._packets += end - begin
        self._octets += size

    # By TCP

    def stream(self, lane: Lane, frame: LaneFrame) -> None:
        """Send a frame of its lane by TCP."""
        self._protect(frame.index, frame.timestamp + self._shift, frame.payloads, marker=True)

    def _protect(self, index: int, timestamp: int, payloads: Sequence[bytes], *, marker: bool) -> None:
        segment, headers, link = self._segments[-1], self.headers, self._link
        if link is None:
            return
        first = index + segment.offset
        last = len(payloads) - 1
        packets = [
            Packet(
                headers.ssrc,
                segment.payload_type,
                first + number,
                timestamp & 0xFFFFFFFF,
                marker and number == last,
                payload,
                headers.abs_send_time_id,
                0,
                headers.mid_id,
                headers.mid,
            )
            for number, payload in enumerate(payloads)
        ]
        link.send_protected(self._sender.protect(self._viewer, packets))

    # What the viewer says

    def find(self, sequence: int) -> tuple[int, int, bytes, bool, int] | None:
        """The packet with the lower 16 bits of a sequence number.

        Its extended number, timestamp, payload, marker and the payload type of its retransmission; None when it is kept
        no longer, was never sent, or cannot be sent again.
        """
        highest = self.next_sequence
        extended = highest - 1 - ((highest - 1 - sequence) & 0xFFFF)
        for segment in reversed(self._segments):
            if segment.first > extended:
                continue
            found = segment.lane.history.find(extended - segment.offset)
            if found is None or segment.rtx is None:
                return None
            frame, number = found
            stamp = segment.times.get(frame.index)
            if stamp is None:
                stamp = frame.timestamp + segment.shift
            return extended, stamp, frame.payloads[number], number == len(frame.payloads) - 1, segment.rtx
        return None

    def resend(self, extended: int, timestamp: int, payload: bytes, marker: bool, payload_type: int) -> None:
        """Send what `find` found again (RFC 4588)."""
        headers = self.headers
        assert headers.rtx_ssrc is not None
        packet = Packet(
            headers.rtx_ssrc,
            payload_type,
            self.rtx_next,
            timestamp & 0xFFFFFFFF,
            marker,
            wrap(extended, payload),
            headers.abs_send_time_id,
            headers.transport_sequence_id,
            headers.mid_id,
            headers.mid,
        )
        self.rtx_next += 1
        self._sender.send_to(self._viewer, [packet])

    def newest(self, count: int) -> list[tuple[int, int, bytes, bool, int]]:
        """The newest packets, as `find` has them, for probing; fewer when there are not so many."""
        found = []
        highest = self.next_sequence
        for sequence in range(highest - 1, highest - 1 - count, -1):
            packet = self.find(sequence & 0xFFFF) if sequence >= 0 else None
            if packet is None:
                break
            found.append(packet)
        return found

    @property
    def next_sequence(self) -> int:
        """The extended sequence number that comes next."""
        if self._burst is not None:
            return self._burst.place + self._segments[-1].offset
        return self._next if self._lane is None else self._lane.next_index + self._segments[-1].offset

    def sent(self, present: float) -> Sent:
        """For a report: `present` is the media time of this moment in seconds."""
        lane = self._lane
        rate = lane.rate if lane is not None else 0
        packets, octets, timestamp = self._packets, self._octets, self._base
        if lane is not None:
            packets += lane.packets - self._since[0]
            octets += lane.octets - self._since[1]
            timestamp = int(present * rate) + lane.shift + self._shift
        elif self._target is not None:
            timestamp = int(present * self._target.rate) + self._target.shift + self._base
        elif self._segments:  # nothing is sent for a while: the clock goes on all the same
            lane = self._segments[-1].lane
            timestamp = int(present * lane.rate) + lane.shift + self._shift
        return Sent(self.headers.ssrc, timestamp, packets, octets)

    def tidy(self) -> None:
        """Forget the timestamps of bursts of which nothing is kept any more."""
        for segment in self._segments:
            if segment.times:
                last = next(reversed(segment.times))
                if segment.lane.history.find(last) is None:
                    segment.times.clear()


def _nobody(_outlet: Outlet, _lane: Lane) -> None:
    """Nobody listens any more."""
