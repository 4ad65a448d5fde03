"""Settings of the packager."""

from dataclasses import dataclass
from typing import Literal

from ghostlive.core.settings import setting


@dataclass(frozen=True, slots=True)
class PackagerConfig:
    """How streams are cut, listed and kept for viewers over HTTP."""

    segment: float = setting(2.0, "Seconds that a segment should last; segments begin at keyframes where they can.")
    part: float = setting(
        0.25, "Seconds that a low-latency part should last at most; fitted to whole frames of the broadcast."
    )
    dvr: float = setting(600.0, "Seconds of a live stream that viewers can go back to.")
    dvr_storage: Literal["disk", "memory"] = setting(
        "disk", "Where segments older than the newest few are kept: on `disk` in the data directory, or in `memory`."
    )
    memory_bytes: int = setting(
        64 * 1024 * 1024,
        "Bytes of segments that one stream may keep in memory when the disk cannot take them (full, or too slow); "
        "the oldest are dropped first. Does not limit `memory` storage.",
    )
    first_wait: float = setting(
        10.0, "Seconds that a request for a stream that is just starting waits for the first segment."
    )
    keep_ended: float = setting(
        60.0, "Seconds that an ended stream's playlists and segments stay, so that players can finish."
    )
