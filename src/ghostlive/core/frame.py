"""Frames: the atom that flows from an ingest to every output."""

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Frame:
    """One coded picture or one audio packet. Treat it as immutable: every subscriber holds the same object.

    It is no frozen dataclass only because building one costs three times as much, once for each frame of each
    stream. H.264 and H.265 payloads are length-prefixed (4 bytes) NAL units without parameter sets or access unit
    delimiters; AV1 low-overhead OBUs without temporal delimiters; AAC raw data blocks; Opus packets.
    """

    track: str
    """`Track.id`."""
    dts: int
    """Decoding time on the stream's timeline, in the track's timescale; strictly increasing within a track."""
    pts: int
    """Presentation time; `pts - dts` is the composition offset and never negative."""
    keyframe: bool
    """Decoding may begin here (IDR or CRA picture, AV1 key frame); always true for audio."""
    payload: bytes
    received: float = 0.0
    """When its last byte arrived (`Clock.now`), for latency figures."""
