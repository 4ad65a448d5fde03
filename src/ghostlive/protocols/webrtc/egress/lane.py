"""A lane: one track in packets, made once and sent to all viewers of it.

Its timestamps count from the stream's timeline in the RTP clock, so those of all lanes of a stream go together, over
reconnects of the publisher too. A track that begins in the past (a rendition that has just been started) is shown
quickened until it has come to the present: its timestamps follow the clock, not the pictures, or viewers would keep the
delay for good.
"""

from typing import TYPE_CHECKING, Final, Protocol

import structlog

from ghostlive.core.errors import MediaError
from ghostlive.core.frame import Frame
from ghostlive.core.track import Track, TrackKind
from ghostlive.formats.rtp.payload.model import Packetizer
from ghostlive.formats.rtp.payload.registry import clock_rate, make_packetizer
from ghostlive.protocols.webrtc.egress.config import EgressConfig
from ghostlive.protocols.webrtc.egress.edge import CatchUp, Edge
from ghostlive.protocols.webrtc.egress.history import History, LaneFrame

if TYPE_CHECKING:
    from ghostlive.protocols.webrtc.egress.outlet import Outlet
    from ghostlive.protocols.webrtc.fanout.sender import Sender

_log = structlog.get_logger("webrtc.egress")

STEP: Final = 90
"""Ticks between two pictures that are shown one right after the other: a millisecond of video."""


class Joining(Protocol):
    """Who waits to be let in. Called for each frame, before it is sent."""

    def offer(self, lane: "Lane", frame: LaneFrame) -> None:
        """This frame comes next."""


class Lane:
    """Sends one track. `push` is called for each frame of it and does nothing for a single viewer."""

    def __init__(self, number: int, track: Track, *, edge: Edge, sender: "Sender", config: EgressConfig) -> None:
        """`number` is the lane's at the sender; the track may be a promise still. Raises `MediaError` for its codec."""
        self.number = number
        self.track = track
        self.kind = track.kind
        self.rate = clock_rate(track.codec)
        self.members: set[Outlet] = set()
        """Viewers by UDP."""
        self.streams: set[Outlet] = set()
        """Viewers by TCP."""
        self.joining: set[Joining] = set()
        self.next_index = 0
        """The number of the next packet."""
        self.shift = 0
        """How much later its timestamps are than the timeline says, in ticks."""
        self.packets = 0
        self.octets = 0
        self.delay: float | None = None
        """Seconds from a frame's arrival at the server to its sending, as measured last."""
        self.open = False
        """Frames come."""
        self.heard = 0.0
        """When the last one came."""
        self.history = History(
            keep=config.history,
            group_bytes=config.burst_bytes,
            group_ticks=round(config.burst_seconds * self.rate),
        )
        self._edge = edge
        self._sender = sender
        self._config = config
        self._packetizer: Packetizer | None = None
        self._video = track.kind is TrackKind.VIDEO
        self._last: int | None = None
        self._catch_up: CatchUp | None = None
        self._needs_keyframe = self._video
        self._failed = False
        self._hold = 0.0

    @property
    def used(self) -> bool:
        """Whether anybody has it or waits for it."""
        return bool(self.members or self.streams or self.joining)

    @property
    def live(self) -> bool:
        """Whether its frames come at their time."""
        return self.open and self._catch_up is None

    @property
    def last_timestamp(self) -> int | None:
        """Of the newest frame, not wrapped; None before the first one."""
        newest = self.history.newest
        return self._last if newest is None else newest.timestamp

    def begin(self, track: Track, *, derived: bool) -> None:
        """Frames of this track follow, beginning with a keyframe. Raises `MediaError` when it cannot be sent.

        `derived` is for a rendition, which begins in the past. The codec is the one that the lane was made with.
        """
        self.open = False
        self._packetizer = make_packetizer(track, self._config.mtu)
        self.track = track
        self.open = True
        self._failed = False
        self._catch_up = CatchUp() if derived else None
        self.break_off()

    def end(self) -> None:
        """No frames follow until it begins again."""
        self.open = False

    def rest(self) -> None:
        """Nobody needs it: what it keeps is given back. Its timestamps go on from where they are."""
        self.open = False
        last = self.last_timestamp
        self._last = last if last is not None else self._last
        self.history.clear()

    def break_off(self) -> None:
        """Frames are missing: nothing is sent until the next keyframe."""
        self._needs_keyframe = self._video
        self.history.break_off()

    def present(self, now: float) -> int | None:
        """The timestamp that a picture sent now should have; None before the first one."""
        newest = self.history.newest
        return None if newest is None else newest.timestamp + int(max(now - newest.at, 0.0) * self.rate)

    def bitrate(self) -> int:
        """Bits per second, as measured over what is kept."""
        return self.history.bitrate(self.rate)

    def replay(self, frame: Frame, now: float) -> None:
        """Take a frame of the group that began before anybody read it; it is sent to nobody by itself."""
        packed = self._pack(frame, now)
        if packed is not None:
            self.next_index = packed.end
            self.history.add(packed)

    def push(self, frame: Frame, now: float) -> None:
        """Send a frame."""
        packed = self._pack(frame, now)
        if packed is None:
            return
        if self.joining:
            for outlet in tuple(self.joining):
                outlet.offer(self, packed)
        self.next_index = packed.end
        self.history.add(packed)
        if frame.received:
            self.delay = now - frame.received
        self.packets += packed.end - packed.index
        self.octets += packed.size
        if self.members:
            self._sender.send(self.number, packed.index, packed.timestamp, packed.payloads, hold=self._hold)
        if self.streams:
            for stream in tuple(self.streams):
                stream.stream(self, packed)

    def settle(self) -> None:
        """Viewers came or went: adapt what depends on how many there are."""
        few = not self._config.hold_audio_from or len(self.members) < self._config.hold_audio_from
        self._hold = 0.0 if self._video or few else self._config.hold_audio

    def _pack(self, frame: Frame, now: float) -> LaneFrame | None:
        self.heard = now
        if self._needs_keyframe:
            if not frame.keyframe:
                return None
            self._needs_keyframe = False
        timestamp = self._stamp(frame.pts, now)
        if timestamp is None or self._packetizer is None:
            return None
        try:
            payloads = self._packetizer.packetize(frame.payload, keyframe=frame.keyframe)
        except MediaError as error:
            self.break_off()
            if not self._failed:
                self._failed = True
                _log.warning("frame cannot be sent by WebRTC", track=self.track.id, reason=str(error))
            return None
        if not payloads:
            return None
        return LaneFrame(self.next_index, timestamp, payloads, keyframe=frame.keyframe and self._video, at=now)

    def _stamp(self, pts: int, now: float) -> int | None:
        """The frame's timestamp; None when it is not worth sending."""
        timestamp = pts * self.rate // self.track.timescale + self.shift
        last = self.last_timestamp
        if self._catch_up is not None:
            present = self._edge.at(now)
            late = 0.0 if present is None else present - pts / self.track.timescale
            if not self._catch_up.observe(late, now):
                if not self._video:
                    return None  # Sound of the past helps nobody.
                line = timestamp if present is None else int(present * self.rate)
                return line if last is None else max(line, last + STEP)
            self._catch_up = None
            # From here on the timestamps are the timeline's again, as far as they have not gone beyond it.
            timestamp -= self.shift
            self.shift = 0 if last is None else max(0, last + STEP - timestamp)
            return timestamp + self.shift
        if last is not None and timestamp <= last:
            return last + 1
        return timestamp
