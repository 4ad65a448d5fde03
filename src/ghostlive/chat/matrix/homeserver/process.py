"""The homeserver's process as its supervisor sees it: started, signalled, and its end put in words.

Its warnings come on its standard error and go into our log, few enough to be read and without tokens.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from pathlib import Path
from typing import Final, Protocol

import structlog

from ghostlive.core.clock import Clock

_log = structlog.get_logger("homeserver")

LOCK: Final = "lock"
_READ: Final = 64 * 1024
_LONGEST: Final = 500
"""Characters of a line that are kept."""
_PER_PERIOD: Final = 20
_PERIOD: Final = 60.0
"""Seconds in which at most so many lines go into the log."""
_LEVEL: Final = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) ([\w.]+): (.*)", re.DOTALL)
_TOKEN: Final = re.compile(r"((?:access_token|as_token|hs_token|password)[\"']?\s*[=:]\s*[\"']?|Bearer )[^\s\"'&,}]+")


class Child(Protocol):
    """A process that was started."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it now."""

    async def wait(self) -> str:
        """Wait for its end; the answer says how it ended (`exited with 1: …`)."""


class SynapseProcess:
    """Synapse in a process of its own (see `child`), which ends with ours however that ends."""

    def __init__(self, process: Process, lines: "Lines") -> None:
        """`start` makes one."""
        self._process = process
        self._lines = lines
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(cls, config: Path, clock: Clock) -> "SynapseProcess":
        """Start it with this configuration file. Raises OSError."""
        # Our settings may hold passwords, which are nothing for it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GHOSTLIVE_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ghostlive.chat.matrix.homeserver.child"),
            *(str(config.with_name(LOCK)), "--config-path", str(config)),
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=PIPE,
            env=environment,
            # Signals of a terminal are for the server, which ends its homeserver itself.
            start_new_session=True,
        )
        return cls(process, Lines(clock))

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def terminate(self) -> None:
        """See `Child`."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """See `Child`."""
        self._signal(signal.SIGKILL)

    async def wait(self) -> str:
        """See `Child`."""
        code = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):  # what it left running may keep the pipe open
                await asyncio.shield(self._reading)
        self._reading.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return explain(code, self._lines.last)

    async def _read(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(_READ):
            self._lines.feed(data)
        self._lines.end()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


class Lines:
    """What a homeserver says on its standard error: into the log, a few lines a minute, and the last one kept."""

    def __init__(self, clock: Clock) -> None:
        """Time comes from `clock`."""
        self._clock = clock
        self._rest = b""
        self._until = 0.0
        self._logged = 0
        self._dropped = 0
        self._recent: deque[str] = deque(maxlen=1)

    @property
    def last(self) -> str:
        """The last line that says something; empty when there was none."""
        return self._recent[0] if self._recent else ""

    def feed(self, data: bytes) -> None:
        """Take in what was read."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-4 * _LONGEST :]
        for line in lines:
            self._take(line)

    def end(self) -> None:
        """It said nothing more; the rest counts as a line."""
        self._take(self._rest)
        self._rest = b""

    def _take(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if not text.strip():
            return
        text = _TOKEN.sub(r"\1…", "".join(char if char.isprintable() else " " for char in text))[:_LONGEST]
        self._recent.append(text.strip())
        found = _LEVEL.fullmatch(text)
        if found is None:  # a line of a traceback, or of a complaint before there was a log
            _log.debug("homeserver", text=text)
            return
        now = self._clock.now()
        if now >= self._until:
            if self._dropped:
                _log.warning("the homeserver said more than was logged", lines=self._dropped)
            self._until, self._logged, self._dropped = now + _PERIOD, 0, 0
        if self._logged >= _PER_PERIOD:
            self._dropped += 1
            return
        self._logged += 1
        level = _log.error if found[1] in ("ERROR", "CRITICAL") else _log.warning
        level(found[3] or "homeserver", part=found[2])


def explain(code: int, last: str) -> str:
    """How a process ended, in words."""
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"exited with {code}" + (f": {last}" if code and last else "")
