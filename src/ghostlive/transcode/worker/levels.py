"""What an encoder is told so that its stream says what a codec string promised. Pure.

Specification: RFC 6381 §3.3; ITU-T H.264 (08/2021) annex A.
"""

from typing import NamedTuple

from ghostlive.core.errors import MediaError


class H264Profile(NamedTuple):
    """Profile and level as FFmpeg's encoders name them."""

    profile: str
    """`baseline`, `main` or `high`."""
    level_idc: int

    @property
    def level(self) -> str:
        """`3.1`."""
        return f"{self.level_idc // 10}.{self.level_idc % 10}"


_PROFILES = {66: "baseline", 77: "main", 100: "high"}


def h264_profile(codec_string: str) -> H264Profile:
    """Read `avc1.PPCCLL`. Raises `MediaError` for a profile that no encoder here makes."""
    name, _, digits = codec_string.partition(".")
    try:
        profile, _, level = bytes.fromhex(digits)
        found = H264Profile(_PROFILES[profile], level)
    except (ValueError, KeyError):
        found = None
    if name not in ("avc1", "avc3") or found is None:
        raise MediaError(f"no encoder makes {codec_string!r}: it must be H.264 of Baseline, Main or High profile")
    return found


def av1_level(codec_string: str) -> str:
    """The level of `av01.P.LLT.DD` as SVT-AV1 takes it: `31` for 3.1. Raises `MediaError`."""
    parts = codec_string.split(".")
    if len(parts) < 4 or parts[0] != "av01" or not parts[2][:2].isdigit():
        raise MediaError(f"{codec_string!r} is no codec string of AV1")
    index = int(parts[2][:2])
    return f"{2 + index // 4}{index % 4}"
