"""How a room declares its section of the configuration: a frozen dataclass with a sentence per field.

The sentence is data, not a comment: the sample file, `docs/reference/configuration.md` and error messages show it.
"""

from dataclasses import field
from typing import Any


def setting(default: Any, doc: str, *, secret: bool = False) -> Any:
    """A dataclass field with its default and the sentence that explains it; a `secret` one is in no representation.

    Mutable defaults (lists, dicts) are copied for each instance.
    """
    if isinstance(default, list | dict | set):
        return field(default_factory=default.copy, metadata={"doc": doc})
    return field(default=default, repr=not secret, metadata={"doc": doc})
