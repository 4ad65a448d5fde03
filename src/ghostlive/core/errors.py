"""The roots of the error tree.

GhostliveError
├── ConfigurationError    the operator's settings cannot be used
├── MediaError            media bytes cannot be understood
├── InvalidStreamNameError
├── StreamUnknownError    nothing of that name is live
├── StreamBusyError       somebody publishes there already
└── RefusedError          a limit or a rule said no

Every room adds its own branch in its own ``errors.py``. The text of an error is written for the person who
has to act on it: what was wrong, and what to do.
"""


class GhostliveError(Exception):
    """Base of every error that Ghost Live raises on purpose."""


class ConfigurationError(GhostliveError):
    """The configuration cannot be used; the text names the key and says what it accepts."""


class MediaError(GhostliveError):
    """Media bytes break their specification; parsers of codecs and formats raise only this (or a child)."""


class InvalidStreamNameError(GhostliveError):
    """A stream name is empty, too long, reserved or has characters that do not fit one path segment."""


class StreamUnknownError(GhostliveError):
    """The named stream is not live."""


class StreamBusyError(GhostliveError):
    """The named stream has a publisher already and the newcomer may not take over."""


class RefusedError(GhostliveError):
    """A limit or an access rule refused the request; the text says which."""
