"""The table over all payload formats: who sends or receives asks here and needs no switch of its own.

Adding a format means a file of its own and a line in each table.
"""

from collections.abc import Callable, Mapping
from typing import Final

from ghostlive.core.track import Codec, Track
from ghostlive.formats.rtp.payload.av1 import Av1Depacketizer, Av1Packetizer
from ghostlive.formats.rtp.payload.h264 import H264Depacketizer, H264Packetizer
from ghostlive.formats.rtp.payload.h265 import H265Depacketizer, H265Packetizer
from ghostlive.formats.rtp.payload.model import VIDEO_CLOCK_RATE, Depacketizer, Packetizer, PayloadError
from ghostlive.formats.rtp.payload.opus import CLOCK_RATE as OPUS_CLOCK_RATE
from ghostlive.formats.rtp.payload.opus import OpusDepacketizer, OpusPacketizer
from ghostlive.formats.rtp.payload.vp8 import Vp8Depacketizer, Vp8Packetizer
from ghostlive.formats.rtp.payload.vp9 import Vp9Depacketizer, Vp9Packetizer

_PACKETIZERS: Mapping[Codec, Callable[[bytes, int], Packetizer]] = {
    Codec.H264: H264Packetizer,
    Codec.H265: H265Packetizer,
    Codec.AV1: Av1Packetizer,
    Codec.VP8: lambda _, max_size: Vp8Packetizer(max_size),
    Codec.VP9: lambda _, max_size: Vp9Packetizer(max_size),
    Codec.OPUS: OpusPacketizer,
}

_DEPACKETIZERS: Mapping[Codec, Callable[[], Depacketizer]] = {
    Codec.H264: H264Depacketizer,
    Codec.H265: H265Depacketizer,
    Codec.AV1: Av1Depacketizer,
    Codec.VP8: Vp8Depacketizer,
    Codec.VP9: Vp9Depacketizer,
    Codec.OPUS: OpusDepacketizer,
}

SUPPORTED: Final = frozenset(_PACKETIZERS)
"""Codecs that can be sent and received."""


def make_packetizer(track: Track, max_size: int) -> Packetizer:
    """A packetizer for the frames of `track`, with payloads of at most `max_size` bytes (`MIN_PAYLOAD` or more).

    Only Opus may go above it, see `OpusPacketizer`. Raises `PayloadError` when the codec has no payload format here,
    or the track has what the format cannot carry, and `MediaError` when its configuration is broken.
    """
    make = _PACKETIZERS.get(track.codec)
    if make is None:
        raise PayloadError(f"{track.codec} has no RTP payload format here")
    return make(track.config, max_size)


def make_depacketizer(codec: Codec) -> Depacketizer:
    """A depacketizer for a codec. Raises `PayloadError` when the codec has no payload format here."""
    make = _DEPACKETIZERS.get(codec)
    if make is None:
        raise PayloadError(f"{codec} has no RTP payload format here")
    return make()


def clock_rate(codec: Codec) -> int:
    """Hz of RTP timestamps. Raises `PayloadError` when the codec has no payload format here."""
    if codec not in SUPPORTED:
        raise PayloadError(f"{codec} has no RTP payload format here")
    return OPUS_CLOCK_RATE if codec is Codec.OPUS else VIDEO_CLOCK_RATE
