"""What AMF0 and AMF3 share: the Python values they become, and what one message may cost."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ghostlive.protocols.rtmp.errors import AmfError

Value: TypeAlias = "float | bool | str | dict[str, Value] | list[Value] | None"
"""What is read."""
Writable: TypeAlias = "float | bool | str | Mapping[str, Writable] | Sequence[Writable] | None"
"""What can be written."""

_MAX_DEPTH = 16
_MAX_VALUES = 4096


class AmfBudget:
    """Counts values and depth of one message."""

    def __init__(self) -> None:
        """A budget for one message."""
        self._left = _MAX_VALUES

    def spend(self, depth: int) -> None:
        """Count one value at `depth`."""
        if depth > _MAX_DEPTH:
            raise AmfError(f"AMF values nested deeper than {_MAX_DEPTH}")
        self._left -= 1
        if self._left < 0:
            raise AmfError(f"more than {_MAX_VALUES} AMF values in one message")
