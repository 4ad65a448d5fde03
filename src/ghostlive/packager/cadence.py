"""How long parts and segments are: choices made once for the life of a playlist, from the first frames.

RFC 8216bis: no part is longer than the part target, and none but the last of its segment is shorter than 85 % of it
(§4.4.4.9); rounded to seconds, no segment is longer than the target duration (§4.4.3.1). Both targets never change.
"""

import math
from collections.abc import Sequence
from statistics import median

SHORTEST_PART = 0.85
"""A part's least share of the part target."""

_JITTER = 0.003
"""Seconds that frame durations of a constant frame rate may differ by (timestamps rounded to milliseconds)."""

_ODD_SHARE = 0.1
"""Share of frames with another duration from which on a frame rate counts as variable."""

_ROUNDING_ROOM = 0.35
"""Seconds that a segment may exceed the target duration by: it still rounds down to it, a late audio frame included."""


def part_target(durations: Sequence[float], wanted: float) -> float:
    """The part target, in seconds, for frames of these durations, about `wanted` and fitted to whole frames.

    Kept as close above whole frames as milliseconds allow: at 30 frames a second parts have 7 frames (0.234), and one
    that a dropped frame leaves with 6 is still long enough.
    """
    usual = median(durations) if durations else wanted
    odd = [duration for duration in durations if abs(duration - usual) > _JITTER]
    if len(odd) > len(durations) * _ODD_SHARE:
        # A variable frame rate: whichever frame comes next, 15 % of the target have room for it.
        longest = max(odd)
        return min(max(_ceil_ms(longest / (1 - SHORTEST_PART)), wanted), 2 * wanted)
    even = [duration for duration in durations if abs(duration - usual) <= _JITTER]
    usual = sum(even) / len(even) if even else usual
    frames = max(1, int(wanted * 1.01 / usual))
    return _ceil_ms(frames * usual)


def fits(duration: float, target: float) -> bool:
    """Whether frames of this duration can fill parts of this target."""
    frames = int((target + 1e-6) / duration)
    return frames * duration >= SHORTEST_PART * target


def target_duration(group: float | None, wanted: float) -> int:
    """The target duration, in whole seconds, when the first group lasted `group` seconds.

    None when it did not end within about `wanted` seconds: then there is room for a keyframe every other `wanted`
    (most streamers who do not follow the usual two seconds use four); longer groups are split.
    """
    if group is None:
        return math.ceil(2 * wanted)
    return max(math.ceil(wanted), math.ceil(group - _ROUNDING_ROOM))


def segment_limit(target: int) -> float:
    """Seconds of the longest segment that may be cut under a target duration."""
    return target + _ROUNDING_ROOM - 0.05


LATE_CUT = 0.13
"""Seconds that a track may be cut after the boundary because a frame of it lasts that long."""


def _ceil_ms(seconds: float) -> float:
    return math.ceil(round(seconds * 1000, 3)) / 1000
