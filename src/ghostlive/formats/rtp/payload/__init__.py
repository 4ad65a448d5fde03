"""RTP payload formats: how frames of each codec are cut into packets, and put together.

Here live the formats, one file for each codec, and what a first keyframe tells of its track. What RTP headers say,
and what becomes of lost packets, is not known here: a frame is given and taken whole.

Invariant: payloads are hostile. Whatever they are, a function here answers or raises `PayloadError`, after work that
is bounded by their length.
"""

from ghostlive.formats.rtp.payload.model import (
    MAX_PACKETS,
    MIN_PAYLOAD,
    VIDEO_CLOCK_RATE,
    CodedFrame,
    Depacketizer,
    Packetizer,
    PayloadError,
)
from ghostlive.formats.rtp.payload.registry import SUPPORTED, clock_rate, make_depacketizer, make_packetizer
from ghostlive.formats.rtp.payload.track import initial_track, updated_track

__all__ = [
    "MAX_PACKETS",
    "MIN_PAYLOAD",
    "SUPPORTED",
    "VIDEO_CLOCK_RATE",
    "CodedFrame",
    "Depacketizer",
    "Packetizer",
    "PayloadError",
    "clock_rate",
    "initial_track",
    "make_depacketizer",
    "make_packetizer",
    "updated_track",
]
