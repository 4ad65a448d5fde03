"""Reports to one viewer: what was sent, and which moment its timestamps mean (RFC 3550 §6.4.1). Pure.

A viewer's sound and picture are played together by these alone: both count from the stream's timeline.
"""

from struct import Struct
from typing import Final, NamedTuple

from ghostlive.formats.rtcp.compound import write_compound
from ghostlive.formats.rtcp.packets import SourceDescription

REPORT_EVERY: Final = 2.0
"""Seconds between two sender reports."""

_SENDER: Final = Struct("!BBHIQIII")
_WORD: Final = 0xFFFFFFFF


class Sent(NamedTuple):
    """One SSRC, as it stands now."""

    ssrc: int
    timestamp: int
    """The RTP timestamp of this moment, not wrapped."""
    packets: int
    octets: int


class Reporter:
    """Writes the compounds of one viewer. The names of its sources never change."""

    __slots__ = ("_description",)

    def __init__(self, ssrcs: tuple[int, ...], cname: str) -> None:
        """All sources have one canonical name, so that they are played together (RFC 3550 §6.5.1)."""
        self._description = _descriptions(ssrcs, cname)

    def write(self, ntp: int, sources: list[Sent]) -> bytes:
        """Sender reports of all sources and their names, at the NTP time `ntp`."""
        # Thousands are written each second: the fields are fixed, so one structure writes a report.
        reports = [
            _SENDER.pack(0x80, 200, 6, ssrc, ntp, timestamp & _WORD, packets & _WORD, octets & _WORD)
            for ssrc, timestamp, packets, octets in sources
        ]
        return b"".join((*reports, self._description))


def _descriptions(ssrcs: tuple[int, ...], cname: str) -> bytes:
    return write_compound([SourceDescription(ssrc, cname) for ssrc in ssrcs])
