"""A wall clock that is set back while the homeserver runs, which then waits for the time that it had already seen.

Synapse plans by that clock: after an hour back, what it was to do in a second it does in an hour, long polls stay
unanswered, and people are limited by what they said in the future. Only a new process plans anew. What was done about
it is kept in a file, for those who ask later, and from another process.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ghostlive.chat.matrix.homeserver.files import FOLDER, write_private
from ghostlive.core.clock import Clock

NOTICED: Final = 5.0
"""Seconds back from which on the homeserver is started again: about what that takes."""
TOLD_FOR: Final = 24 * 3600.0
"""Seconds for which people are told."""
_FILE: Final = "set_back.json"
_ROUGHLY: Final = 0.5
"""Seconds between two looks at the same clock that say nothing about another one."""


class ClockWatch:
    """Tells when the wall clock goes back. That the machine sleeps, or this process stands still, is none of it."""

    def __init__(self, clock: Clock) -> None:
        """Begins with what `clock` says now."""
        self._clock = clock
        self._ahead = self._measure()

    def look(self) -> float:
        """Seconds by which the wall clock was set back since the look before; 0 for less than `NOTICED`.

        Less at a time is how a clock is kept right: the homeserver is late by as much, once.
        """
        before, self._ahead = self._ahead, self._measure()
        back = before - self._ahead
        return back if back >= NOTICED else 0.0

    def _measure(self) -> float:
        """The wall clock less the monotonic one, in seconds."""
        while True:
            began = self._clock.now()
            wall = self._clock.wall_ns() / 1e9
            if self._clock.now() - began < _ROUGHLY:  # else we were stopped between the two
                return wall - began


@dataclass(frozen=True, slots=True)
class SetBack:
    """The homeserver was started again for it."""

    seconds: float
    """How far back."""
    at: float
    """When, in seconds since 1970, by the clock as it was set."""

    def text(self, now: float) -> str:
        """What people are told at that time (as `at`); empty when it is long ago, or the clock was set back again."""
        if not 0 <= now - self.at < TOLD_FOR:
            return ""
        minutes = round((now - self.at) / 60)
        when = "just now" if minutes < 1 else f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago"
        return (
            f"This machine's clock was set back by {_duration(self.seconds)} ({when}), so the homeserver was started "
            "again. Nothing is lost; let NTP keep the clock."
        )


def write(data: Path, found: SetBack) -> None:
    """Keep it in the data directory. Blocks on files; raises OSError."""
    write_private(data / FOLDER / _FILE, json.dumps({"seconds": found.seconds, "at": found.at}))


def read(data: Path) -> SetBack | None:
    """The last one; None when there is none that can be read. Blocks on files."""
    try:
        members = json.loads((data / FOLDER / _FILE).read_text())
        return SetBack(float(members["seconds"]), float(members["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{round(seconds)} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 7200 else f"{round(seconds / 3600)} hours"
