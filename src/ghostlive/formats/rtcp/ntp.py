"""NTP timestamps as sender reports have them: 64 bits, seconds since 1900 with 32 bits of fraction.

Specifications: RFC 3550 §4 and §6.4.1; RFC 4330 §3 for the time after 2036.
"""

from typing import Final

from ghostlive.formats.rtcp.packets import ReportBlock

_UNIX_EPOCH: Final = 2_208_988_800
"""Seconds from 1900 to 1970."""
_NS: Final = 1_000_000_000


def ntp_from_unix_ns(unix_ns: int) -> int:
    """The timestamp of a wall-clock time in nanoseconds since 1970."""
    seconds, rest = divmod(unix_ns, _NS)
    return (seconds + _UNIX_EPOCH & 0xFFFFFFFF) << 32 | (rest << 32) // _NS


def unix_ns_from_ntp(ntp: int) -> int:
    """Nanoseconds since 1970 of a timestamp; one with its highest bit clear lies after February 2036."""
    seconds = ntp >> 32
    if seconds < 1 << 31:
        seconds += 1 << 32
    return (seconds - _UNIX_EPOCH) * _NS + ((ntp & 0xFFFFFFFF) * _NS + (1 << 31) >> 32)


def middle(ntp: int) -> int:
    """The middle 32 bits, in 1/65536 s, as report blocks name a sender report."""
    return ntp >> 16 & 0xFFFFFFFF


def round_trip_time(block: ReportBlock, now_ntp: int) -> float | None:
    """Seconds that our last sender report and the answer were under way, at the arrival of `block` (RFC 3550 §6.4.1).

    None when the peer has not seen a report yet, or says what cannot be.
    """
    if not block.last_sr:
        return None
    units = middle(now_ntp) - block.last_sr - block.delay_since_last_sr & 0xFFFFFFFF
    # Clocks are read at different places, so that a fast path may look like one of less than no time.
    if units >= 1 << 31:
        return 0.0 if units > 0xFFFFFFFF - 655 else None
    return units / 65536 if units < 60 << 16 else None
