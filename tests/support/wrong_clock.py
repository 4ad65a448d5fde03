"""A wall clock that is wrong, for a Python program in a process of its own; it may be set while that runs.

    clock = WrongClock(tmp_path / "clock", -3600.0)     # an hour behind
    Program(…, environment=clock.environment())
    clock.set(3600.0)                                   # somebody sets it an hour ahead

Monotonic time goes on as it does when the clock of a machine is set. `faketime` does the same to every program, but
has to be told to leave monotonic time alone, and is one more package; Python's own is all that our programs look at.
"""

import os
import struct
from pathlib import Path

_SITE = """
import mmap, os, struct, time
with open(os.environ["TEST_CLOCK"], "rb") as file:
    _offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + struct.unpack("d", _offset)[0]
time.time_ns = lambda: _time_ns() + int(struct.unpack("d", _offset)[0] * 1e9)
_gmtime, _localtime = time.gmtime, time.localtime
time.gmtime = lambda seconds=None: _gmtime(time.time() if seconds is None else seconds)
time.localtime = lambda seconds=None: _localtime(time.time() if seconds is None else seconds)
"""


class WrongClock:
    """See the top of this file."""

    def __init__(self, folder: Path, offset: float = 0.0) -> None:
        """`folder` is for this alone; `offset` is in seconds."""
        folder.mkdir(parents=True)
        self._folder = folder
        (folder / "sitecustomize.py").write_text(_SITE)
        (folder / "offset").write_bytes(struct.pack("d", offset))

    def set(self, offset: float) -> None:
        """Set it to so many seconds ahead of the right time."""
        with (self._folder / "offset").open("r+b") as file:  # in place: programs have it mapped
            file.write(struct.pack("d", offset))

    def environment(self) -> dict[str, str]:
        """Makes a program have this clock."""
        path = os.pathsep.join(filter(None, (str(self._folder), os.environ.get("PYTHONPATH", ""))))
        return {"PYTHONPATH": path, "TEST_CLOCK": str(self._folder / "offset")}
