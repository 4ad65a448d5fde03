"""How long parts and segments are: choices made once for the life of a playlist, from the first frames.

RFC 8216bis: no part is longer than the part target, and none but the last of its segment is shorter than 85 % of it
(§4.4.4.9); rounded to seconds, no segment is longer than the target duration (§4.4.3.1). The part target never
changes, the target duration at most once: see `segmenter`.
"""

import math
from collections.abc import Sequence
from statistics import median

LONGEST_SEGMENT = 12.0
"""Seconds that a segment may last where keyframes are rare. OBS's default of 250 frames is 10.4 s at 24 a second."""

SHORTEST_PART = 0.85
"""A part's least share of the part target."""

_JITTER = 0.003
"""Seconds that frame durations of a constant frame rate may differ by (timestamps rounded to milliseconds)."""

_ODD_SHARE = 0.1
"""Share of frames with another duration from which on a frame rate counts as variable."""

_SEGMENT_ROOM = 0.3
"""Seconds that a segment may exceed the target duration by: rounded it is still no longer, even where cut late."""


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

    None when it did not end within `LONGEST_SEGMENT`: groups are split then.
    """
    longest = math.ceil(LONGEST_SEGMENT)
    return longest if group is None else min(longest, max(math.ceil(wanted), math.ceil(group - _SEGMENT_ROOM)))


def segment_limit(target: int) -> float:
    """Seconds of the longest segment that may be cut under a target duration."""
    return target + _SEGMENT_ROOM


LATE_CUT = 0.13
"""Seconds that a track may be cut after the boundary because a frame of it lasts that long."""


def _ceil_ms(seconds: float) -> float:
    return math.ceil(round(seconds * 1000, 3)) / 1000
