"""What is told to whom an error keeps out: a status of HTTP, and when to try again."""

from typing import Final, NamedTuple

from ghostlive.core.errors import GhostliveError, StreamBusyError, StreamUnknownError
from ghostlive.protocols.webrtc.egress.model import NothingToSendError, NotLiveError
from ghostlive.protocols.webrtc.errors import LimitError, NegotiationError, WebRtcError

NOT_LIVE_RETRY: Final = 5
"""Seconds after which a stream that is not live may be asked for again."""
LIMIT_RETRY: Final = 60


class Status(NamedTuple):
    """How a request is refused."""

    code: int
    retry_after: int | None = None
    """Seconds; None where trying the same again makes no sense."""


def status_of(error: GhostliveError) -> Status | None:
    """The status for what the rooms below raise; None for what nobody should have raised."""
    match error:
        case LimitError():
            return Status(503, LIMIT_RETRY)
        case NotLiveError() | StreamUnknownError():
            return Status(404, NOT_LIVE_RETRY)
        case StreamBusyError():
            return Status(409, NOT_LIVE_RETRY)
        case NothingToSendError() | NegotiationError():
            return Status(406)
        case WebRtcError():
            return Status(400)
    return None
