"""Packets that did not come: since when, and when to ask for them again.

A gap in the sequence numbers may only be reordering, so a packet is asked for after the time by which packets have
been late lately, and again each round-trip time (RFC 4585 §6.2.1).
"""

from typing import Final

_LEAST_REORDERING: Final = 0.008
_MOST_REORDERING: Final = 0.1
_FORGET: Final = 0.995
"""What remains of the measured reordering with each packet that was missing and came by itself."""
_FIRST_RTT: Final = 0.1
_MOST_RTT: Final = 0.5
_MOST_TRIES: Final = 10
_LEAST_REPEAT: Final = 0.02
_MOST_ASKED: Final = 160
"""Numbers in one NACK."""


class _Missing:
    __slots__ = ("asked", "first_asked", "since", "tries")

    def __init__(self, since: float) -> None:
        self.since = since
        self.first_asked = 0.0
        self.asked = 0.0
        self.tries = 0


class MissingPackets:
    """The gaps in one stream's sequence numbers (extended, see `formats.rtp.sequence`), in order."""

    __slots__ = ("_measured", "_missing", "_told", "reordering", "round_trip_time")

    def __init__(self, *, told: bool) -> None:
        """`told` is whether retransmissions can be told from what is only late (RFC 4588)."""
        self._told = told
        self._measured = False
        self._missing: dict[int, _Missing] = {}
        self.reordering = _LEAST_REORDERING
        """Seconds that packets may be late by without being lost."""
        self.round_trip_time = _FIRST_RTT
        """Seconds between asking and getting."""

    def __len__(self) -> int:
        return len(self._missing)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._missing

    def since(self, sequence: int) -> float:
        """When it became clear that a packet is missing."""
        return self._missing[sequence].since

    def add(self, first: int, end: int, now: float) -> None:
        """Packets from `first` to before `end` were jumped over; they come after all that is missing already."""
        for sequence in range(first, end):
            self._missing[sequence] = _Missing(now)

    def add_before(self, first: int, end: int, now: float) -> None:
        """The same for packets that come before all that is missing."""
        self._missing = {sequence: _Missing(now) for sequence in range(first, end)} | self._missing

    def arrived(self, sequence: int, now: float, *, again: bool) -> None:
        """A packet that was missing came, `again` if it is known to be a retransmission."""
        missing = self._missing.pop(sequence, None)
        if missing is None:
            return
        if missing.tries and (again or (not self._told and now - missing.asked >= self.round_trip_time / 2)):
            took = now - missing.asked
            if took < self.round_trip_time * 0.75:
                took = now - missing.first_asked  # no answer comes that fast: it is to an earlier request
            took = min(took, _MOST_RTT)
            self.round_trip_time += (took - self.round_trip_time) / (4 if self._measured else 1)
            self._measured = True
        else:
            late = min(now - missing.since, _MOST_REORDERING)
            self.reordering = max(late * 1.25, self.reordering * _FORGET, _LEAST_REORDERING)

    def forget(self, end: int) -> int:
        """Packets before `end` are of no use any more; returns how many were missing of them."""
        gone = []
        for sequence in self._missing:
            if sequence >= end:
                break
            gone.append(sequence)
        for sequence in gone:
            del self._missing[sequence]
        return len(gone)

    def clear(self) -> None:
        """The sequence numbers begin anew."""
        self._missing.clear()

    def due(self, now: float) -> tuple[int, ...]:
        """What to ask for now, in order; it counts as asked."""
        repeat = max(self.round_trip_time * 1.1 + 0.01, _LEAST_REPEAT)
        found: list[int] = []
        for sequence, missing in self._missing.items():
            if missing.tries:
                if now - missing.asked < repeat or missing.tries >= _MOST_TRIES:
                    continue
            elif now - missing.since < self.reordering:
                continue
            missing.asked = now
            missing.first_asked = missing.first_asked or now
            missing.tries += 1
            found.append(sequence)
            if len(found) == _MOST_ASKED:
                break
        return tuple(found)
