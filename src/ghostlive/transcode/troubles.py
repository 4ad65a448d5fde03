"""What went wrong with one source lately: when to try again, and what to tell whoever manages it. Pure."""

from ghostlive.transcode.breaker import Breaker
from ghostlive.transcode.report import TranscodeWarning

_REMEMBER = 60.0
"""Seconds for which a warning stays."""


class Troubles:
    """One source's. The time is an argument, in monotonic seconds."""

    def __init__(self) -> None:
        """All is well."""
        self._workers = Breaker()
        self._sources = Breaker(failures=0)
        self._refusal: tuple[float, str, str] | None = None
        self._crash: tuple[float, str] | None = None
        self._broken: tuple[float, str] | None = None

    @property
    def crashes(self) -> int:
        """How many workers have failed lately."""
        return self._workers.failures

    @property
    def last_crash(self) -> str:
        """Why the last worker failed."""
        return self._crash[1] if self._crash else "its worker failed"

    def no_worker_for(self, now: float) -> float:
        """Seconds for which no worker is to be tried; 0 when one may be."""
        return self._workers.open_for(now)

    def forgive(self) -> None:
        """The source is another one: what failed before may work."""
        self._workers.forgive()
        self._sources.forgive()
        self._broken = None

    def worker_failed(self, now: float, reason: str) -> float:
        """Note a failure; in how many seconds to try again."""
        self._crash = (now, reason)
        return self._workers.failed(now)

    def source_failed(self, now: float, reason: str) -> float:
        """A worker can make nothing of the source; in how many seconds to try again."""
        self._broken = (now, reason)
        return self._sources.failed(now)

    def source_damaged(self, now: float) -> None:
        """Much of it cannot be decoded."""
        self._broken = (now, "much of what the publisher sends is damaged")

    def refused(self, now: float, name: str, reason: str) -> None:
        """There was no room for a rendition."""
        self._refusal = (now, name, reason)

    def warnings(self, now: float) -> list[TranscodeWarning]:
        """What is still worth telling."""
        found = []
        if self._refusal is not None and now - self._refusal[0] < _REMEMBER:
            found.append(TranscodeWarning("budget_spent", {"name": self._refusal[1], "reason": self._refusal[2]}))
        if self._crash is not None and now - self._crash[0] < _REMEMBER:
            found.append(TranscodeWarning("worker_crashed", {"reason": self._crash[1], "count": self.crashes}))
        if self._broken is not None and now - self._broken[0] < _REMEMBER:
            found.append(TranscodeWarning("source_broken", {"reason": self._broken[1]}))
        return found
