"""What waits for all TCP connections together, and whose connection ends when that is too much. Pure.

A limit for each connection alone bounds nothing: a thousand viewers of a line that has become too slow would have the
server keep gigabytes.

Invariant: after `note` at most `most` bytes wait, as far as the connections told.
"""

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

_LEFT: Final = 7 / 8
"""Of the limit, what may wait after connections were cut off. The rest has to fill again before all are looked at the
next time, which would else be done for each packet while the server is at its limit."""


class Waiting(Protocol):
    """A connection."""

    @property
    def backlog(self) -> int:
        """Bytes that wait for it at this moment."""


_T = TypeVar("_T", bound=Waiting)


class Backlog(Generic[_T]):
    """Counts for all connections."""

    def __init__(self, most: int, cut_off: Callable[[_T, int], None]) -> None:
        """`most` is in bytes, 0 for any. `cut_off` ends a connection for which so many bytes wait."""
        self._most = most
        self._cut_off = cut_off
        self._waiting: dict[_T, int] = {}
        self.total = 0
        """Bytes that wait, as far as the connections told."""

    def note(self, connection: _T, size: int) -> None:
        """So many bytes wait for a connection now. Those for which most waits are cut off if that is too much."""
        self._set(connection, size)
        if self.total > self._most > 0:
            self._relieve()

    def _set(self, connection: _T, size: int) -> None:
        before = self._waiting.pop(connection, 0)
        if size:
            self._waiting[connection] = size
        self.total += size - before

    def _relieve(self) -> None:
        # What was told last may have left by now.
        for connection in list(self._waiting):
            self._set(connection, connection.backlog)
        slowest_first = sorted(self._waiting.items(), key=lambda item: item[1], reverse=True)
        for connection, size in slowest_first:
            if self.total <= _LEFT * self._most:
                break
            self._set(connection, 0)
            self._cut_off(connection, size)
