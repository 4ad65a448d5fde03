"""One derived track within an epoch: it joins late, lags behind the leading track, and leaves when nobody watches.

Its frames come some time after those they were made of; when it starts, seconds later and many at once. Where segments
begin was decided by then, so it looks its first frame's segment up among the last boundaries and follows from there.
No IO, no clock: time is how far the leading track has come.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ghostlive.codecs import h264
from ghostlive.core.errors import MediaError
from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.packager.model import Epoch, PackagingEvent
from ghostlive.packager.silence import silence_for
from ghostlive.packager.track_packager import TrackPackager

PATIENCE: Final = 4.0
"""Seconds without a frame before it gets gaps: a worker that is started again needs about one."""

_SOUND_PATIENCE: Final = 1.5
"""The same for sound, which silence stands in for: players stop their picture meanwhile."""

_AWAY_PATIENCE: Final = 0.5
_AWAY_MOST: Final = 1.5
"""The same where the source has no sound either: none is to come but what is under way. A run begins with sound that is
seconds late, which says nothing about what follows."""

_SLIVER: Final = 0.3
"""Seconds at the end of a segment that are not worth to begin with."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where a segment begins, in ticks of the leading track."""

    msn: int
    time: int


class DerivedLane:
    """The frames of one run of a derived track."""

    def __init__(self, track: Track, init: bytes) -> None:
        """`init` is its initialization segment."""
        self.track = track
        self.init = init
        self.heard = 0
        """How far the leading track was when the last frame came, in its ticks."""
        self.packager: TrackPackager | None = None
        """None until its first frame found a segment."""
        self._waiting: deque[Frame] = deque()
        self._epoch: Epoch | None = None
        self._boundaries: Sequence[Boundary] = ()
        self._scale = track.timescale
        self._usual = 0
        self._first_msn = 0
        self._parameter_sets = b""
        self._needs_keyframe = False
        self._silence = silence_for(track, least=_SOUND_PATIENCE, most=PATIENCE)

    def begin(
        self,
        epoch: Epoch,
        boundaries: Sequence[Boundary],
        *,
        scale: int,
        now: int,
        usual: int,
        first_msn: int,
        first_config: bytes,
    ) -> None:
        """The epoch has begun. `boundaries` grows with it, in ticks of `scale`; the leading track has come to `now`.

        `usual` is a frame's likely duration. Segments below `first_msn` belong to an earlier run. `first_config` is the
        configuration that the epoch's first initialization segment has.
        """
        self._epoch = epoch
        self._boundaries = boundaries
        self._scale = scale
        self._usual = usual
        self._first_msn = first_msn
        self.heard = now
        if self.track.config != first_config:
            self._parameter_sets = _parameter_sets(self.track)

    def push(self, frame: Frame, now: int | None) -> None:
        """Take a frame; `release` packages it. The leading track has come to `now`, None before the epoch began."""
        self._waiting.append(frame)
        if now is None:
            return
        self.heard = now
        if self._silence is not None:
            self._silence.came(frame.pts, self._ticks(now))

    def cut(self, boundary: Boundary) -> None:
        """A segment begins there."""
        if self.packager is not None:
            self.packager.cut(self._own(boundary.time))

    def release(self, horizon: int) -> list[PackagingEvent] | None:
        """Package the frames up to `horizon` (ticks of the leading track): all boundaries before it are known."""
        waiting = self._waiting
        limit = self._ticks(horizon)
        out: list[PackagingEvent] | None = None
        while waiting and waiting[0].pts <= limit:
            events = self._take(waiting.popleft())
            if events:
                out = [*(out or ()), *events]
        return out

    def flush(self) -> list[PackagingEvent]:
        """Package all frames that wait."""
        out: list[PackagingEvent] = []
        while self._waiting:
            out.extend(self._take(self._waiting.popleft()) or ())
        return out

    def fill(self, now: int, *, away: bool) -> list[PackagingEvent] | None:
        """Have silence if sound stays away, that of the source perhaps too; the leading track has come to `now`."""
        silence = self._silence
        if silence is None:
            return None
        if away:
            silence.expect(least=_AWAY_PATIENCE, most=_AWAY_MOST)
        else:
            silence.expect(least=_SOUND_PATIENCE, most=PATIENCE)
        end = self._ticks(now) - silence.patience
        packager = self.packager
        if packager is not None:
            return packager.fill(end) or None
        if now - self.heard < silence.patience * self._scale // self.track.timescale:
            return None
        # None has come since it runs: whoever plays it is not kept waiting.
        for frame in silence.packets(end, 1):
            return self._take(frame)
        return None

    def expire(self, now: int) -> list[PackagingEvent] | None:
        """End the segments that should be over, if no frame has come for long; the leading track has come to `now`."""
        horizon = now - int(PATIENCE * self._scale)
        packager = self.packager
        if packager is None or self.heard > horizon:
            return None
        events = packager.expire(self._ticks(horizon))
        if events:
            self._needs_keyframe = True
        return events

    def _take(self, frame: Frame) -> list[PackagingEvent] | None:
        packager = self.packager
        if packager is None:
            packager = self.packager = self._join(frame)
            if packager is None:
                return None
        elif self._needs_keyframe:
            # It was given up for a while: what comes of that time is late, and a picture needs one to begin with.
            if frame.dts + packager.delay < packager.start or not frame.keyframe:
                return None
            self._needs_keyframe = False
        if self._parameter_sets and frame.keyframe:
            frame = replace(frame, payload=self._parameter_sets + frame.payload)
        return packager.push(frame)

    def _join(self, frame: Frame) -> TrackPackager | None:
        """Find the segment of the first frame; None where none can begin with it."""
        epoch = self._epoch
        if not frame.keyframe or epoch is None:
            return None
        following: list[Boundary] = []
        for boundary in reversed(self._boundaries):
            if frame.pts >= self._own(boundary.time):
                break
            following.insert(0, boundary)
        else:
            return None
        if boundary.msn < self._first_msn:
            return None
        if following and self._own(following[0].time) - frame.pts < _SLIVER * self.track.timescale:
            return None
        start = -(-boundary.time * self.track.timescale // self._scale)
        packager = TrackPackager(epoch, boundary.msn, start=start, usual=self._usual, silence=self._silence)
        for later in following:
            packager.cut(self._own(later.time))
        return packager

    def _ticks(self, time: int) -> int:
        """A time of the leading track in ticks of this one."""
        return time if self._scale == self.track.timescale else time * self.track.timescale // self._scale

    def _own(self, time: int) -> int:
        """A boundary in ticks of this track: the first frame at or after it begins the segment."""
        own = time if self._scale == self.track.timescale else -(-time * self.track.timescale // self._scale)
        # Pictures share their keyframes, but for the rounding of timestamps.
        return own - self._usual // 2 if self.track.kind is TrackKind.VIDEO else own


def _parameter_sets(track: Track) -> bytes:
    """The H.264 parameter sets of a run as NAL units, for a player that holds an earlier run's initialization segment.

    DASH players keep that of a representation for the whole Period (dash.js by the representation's id); decoders take
    parameter sets from the stream too.
    """
    if track.codec is not Codec.H264:
        return b""
    try:
        record = h264.DecoderConfiguration.parse(track.config)
    except MediaError:
        return b""
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in (*record.sps, *record.pps))
