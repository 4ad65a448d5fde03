"""Settings of the hub."""

from dataclasses import dataclass
from typing import Literal

from ghostlive.core.settings import setting


@dataclass(frozen=True, slots=True)
class HubConfig:
    """How streams are kept, joined and skipped."""

    grace: float = setting(
        30.0, "Seconds that a stream is kept for its publisher to come back after the connection broke."
    )
    second_publisher: Literal["refuse", "takeover"] = setting(
        "refuse",
        "What happens to a second publisher of a live stream: `refuse` it, or let it `takeover` and end the first.",
    )
    silent_after: float = setting(
        5.0,
        "Seconds without a frame after which a publisher is taken for lost, so that the same key may publish again.",
    )
    group_bytes: int = setting(
        32 * 1024 * 1024, "Largest group of pictures kept for viewers who join between keyframes, in bytes."
    )
    group_frames: int = setting(4096, "Most frames of a group kept for viewers who join between keyframes.")
    reader_bytes: int = setting(
        16 * 1024 * 1024, "Bytes that may wait for one slow reader before it skips to the next group."
    )
    reader_frames: int = setting(2048, "Frames that may wait for one slow reader before it skips to the next group.")
    audio_group: float = setting(1.0, "Seconds of a group where a stream has no video.")
