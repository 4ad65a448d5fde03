"""The same bytes for many sockets, in C where that was compiled.

A message of a chat goes to every viewer by a system call of its own, which takes a few microseconds; what an event loop
does around it takes half as long again, and much longer when another thread has the GIL at that moment.
"""

from collections.abc import Callable
from typing import Final

SendEach = Callable[[list[int], bytes], list[tuple[int, int]]]
"""Hands `data` to each of the sockets `fds`, never blocks, and never raises for what a socket says.

Whatever a socket did not take whole is answered: its place in `fds` and the bytes that it did take. None were taken
when it has no room or is broken; whoever writes the rest in the ordinary way finds out which.
"""

send_each: SendEach | None
"""None in an installation without a compiler."""
reason: str
"""Why it is not there; empty when it is."""

try:
    from ghostlive.web import _sending
except ImportError as error:
    send_each = None
    reason = f"it was not compiled: {error}"
else:
    send_each = _sending.send_each
    reason = ""

__all__: Final = ("SendEach", "reason", "send_each")
