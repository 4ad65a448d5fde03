"""Silence in the place of sound that does not come. No IO, no clock.

A player needs both tracks: it stops its picture where the sound has no media, and browsers move sound together over a
hole, so that it comes too early from there on. An encoder may send no sound for seconds, though (a microphone that was
unplugged, packets that were lost). So holes are filled with coded silence, which is media like any other.

How long sound is waited for first is learnt from the sound: encoders and networks may bring it later than the picture
always, and what comes after silence was put in its place is lost.
"""

from collections.abc import Iterator
from typing import Final

from ghostlive.codecs import aac, opus
from ghostlive.core.errors import MediaError
from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track

_ROOM: Final = 1.5
"""Times the greatest delay of late that sound is waited for, beside the least time."""

_MEMORY: Final = 5.0
"""Seconds of sound after which half of what is known of its delay is forgotten."""

_FIRST: Final = 2.0
"""Seconds that sound is waited for of which none has come yet."""

_LONGEST: Final = 30.0
"""Seconds that are filled at once, at the most: a source whose timestamps leap gets a gap, not hours of packets."""


class Silence:
    """Fills one track of sound. Times are ticks of the track."""

    def __init__(self, track: Track, packet: bytes, duration: int, *, least: float, most: float) -> None:
        """`packet` is silent for `duration`. Sound is waited for from `least` to `most` seconds."""
        self._track = track.id
        self._scale = track.timescale
        self._packet = packet
        self.duration = duration
        """What a packet lasts."""
        self._least = int(least * track.timescale)
        self._most = int(most * track.timescale)
        self._first = int(_FIRST * track.timescale)
        self._memory = int(_MEMORY * track.timescale)
        self._delay = 0
        self._delay_before = 0
        self._turn: int | None = None
        self._last = 0

    @property
    def patience(self) -> int:
        """How far the sound may stay behind what leads before it is taken for silent."""
        if self._turn is None:
            return self._first
        return min(self._least + int(_ROOM * max(self._delay, self._delay_before)), self._most)

    def expect(self, *, least: float, most: float) -> None:
        """Wait from `least` to `most` seconds from now on."""
        self._least = int(least * self._scale)
        self._most = int(most * self._scale)

    def came(self, time: int, now: int) -> None:
        """Sound of `time` came when what leads had come to `now`."""
        if self._turn is None or time >= self._turn:
            self._turn = time + self._memory
            self._delay_before, self._delay = self._delay, 0
        self._delay = max(self._delay, now - time)
        self._last = time

    def away(self, now: int) -> bool:
        """Whether no sound has come for longer than it is waited for; what leads has come to `now`."""
        return self._turn is None or now - self._last > self.patience

    def packets(self, begin: int, count: int) -> Iterator[Frame]:
        """Silence from `begin` on; none where that would be out of proportion."""
        if count * self.duration > _LONGEST * self._scale:
            return
        for index in range(count):
            time = begin + index * self.duration
            yield Frame(self._track, time, time, True, self._packet)


def silence_for(track: Track, *, least: float, most: float) -> Silence | None:
    """What can fill a track; None when that is no sound, or its codec has no silence that is known here."""
    try:
        if track.codec is Codec.AAC:
            config = aac.AudioSpecificConfig.parse(track.config)
            packet, samples, rate = aac.silent_frame(config), config.frame_samples, config.output_sample_rate
        elif track.codec is Codec.OPUS:
            packet, samples, rate = opus.silent_packet(opus.OpusHead.parse(track.config)), opus.SILENT_SAMPLES, 48000
        else:
            return None
    except MediaError:
        return None
    if packet is None:
        return None
    return Silence(track, packet, max(1, samples * track.timescale // rate), least=least, most=most)
