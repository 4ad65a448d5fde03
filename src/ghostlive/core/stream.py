"""Stream names: one path segment, safe in URLs, file names, NATS subjects and Matrix aliases.

Invariant: whatever passed `check_stream_name` may be put into a path or a subject without quoting.
"""

import re
from enum import StrEnum

from ghostlive.core.errors import InvalidStreamNameError

RESERVED_NAMES = frozenset(
    {
        "api",
        "app",
        "studio",
        "embed",
        "assets",
        "healthz",
        "metrics",
        "login",
        "setup",
        "favicon",
        "robots",
        "golive",
        "overlay",
    }
)
"""Path segments that the web application uses itself, beside or in the place of a stream's name."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


class StreamState(StrEnum):
    """What a viewer can expect of a stream at this moment."""

    LIVE = "live"
    INTERRUPTED = "interrupted"
    """The publisher's connection broke; the stream is kept for the grace time."""
    OFFLINE = "offline"


def can_name_stream(name: str) -> bool:
    """Whether `name` has the form of a stream's name."""
    return _NAME.fullmatch(name) is not None


def check_stream_name(name: str) -> str:
    """Return `name` when it can name a stream, else raise `InvalidStreamNameError` saying why."""
    if not can_name_stream(name):
        raise InvalidStreamNameError(
            f"{name[:80]!r} cannot name a stream: use 1 to 64 letters, digits, '-' or '_', "
            "beginning with a letter or digit"
        )
    if name.lower() in RESERVED_NAMES:
        raise InvalidStreamNameError(f"{name!r} is reserved for a page of Ghost Live; choose another name")
    return name
