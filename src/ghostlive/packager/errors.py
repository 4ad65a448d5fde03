"""What a request for packaged media can be refused with; `status` is the HTTP status, the text is for people.

PackagerError
├── BadRequestError     400  the query breaks the HLS rules (RFC 8216bis §6.2.5.2)
├── NotFoundError       404  no such stream, session, track, segment or part
├── GoneError           410  a rendition that is offered no longer
└── NotReadyError       503  it should be there soon: ask again after `retry_after` seconds
"""

from ghostlive.core.errors import GhostliveError


class PackagerError(GhostliveError):
    """Base of this room's errors."""

    status = 500
    retry_after: int | None = None


class BadRequestError(PackagerError):
    """The request cannot be answered as it is."""

    status = 400


class NotFoundError(PackagerError):
    """Nothing is there, or no longer."""

    status = 404


class GoneError(PackagerError):
    """It was there, and the rest of the stream goes on without it."""

    status = 410


class NotReadyError(PackagerError):
    """The media is expected, but did not come within the time a request may wait."""

    status = 503

    def __init__(self, text: str, *, retry_after: int = 2) -> None:
        """`retry_after` is in seconds."""
        super().__init__(text)
        self.retry_after = retry_after
