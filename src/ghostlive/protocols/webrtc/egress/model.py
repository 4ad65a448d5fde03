"""What viewers are told, and what can be told of them."""

from collections.abc import Callable
from dataclasses import dataclass

from ghostlive.core.track import Track
from ghostlive.protocols.webrtc.errors import WebRtcError


class NotLiveError(WebRtcError):
    """Nobody publishes that stream."""


class NothingToSendError(WebRtcError):
    """WebRTC can carry nothing of that stream, or nothing that this viewer takes; the text says which."""


@dataclass(frozen=True, slots=True)
class RenditionInfo:
    """One picture with its sound, as a viewer can choose it."""

    name: str
    """As LL-HLS calls it: `1080p60`."""
    video: Track | None
    """The track that is sent, with `width`, `height`, `frame_rate`; None where there is no picture."""
    audio: Track | None
    """The sound as it is sent, in Opus; None where there is none."""
    bitrate: int
    """Bits per second, picture and sound; measured where it is the source's own, else as promised."""


@dataclass(frozen=True, slots=True)
class RenditionChanged:
    """The viewer sees another rendition, from its first picture on; also once at the beginning."""

    name: str
    auto: bool
    """The server chooses by itself."""


@dataclass(frozen=True, slots=True)
class RenditionsChanged:
    """There are others to choose from. Never empty while the stream is live."""

    renditions: tuple[RenditionInfo, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is over, or nothing of it can be sent to this viewer any more; the session is closed after this."""

    reason: str


ViewerEvent = RenditionChanged | RenditionsChanged | Ended

OnEvent = Callable[[ViewerEvent], None]
"""Called on the event loop; must not raise."""


@dataclass(frozen=True, slots=True)
class ViewerStats:
    """How a viewer does."""

    rendition: str
    auto: bool
    estimate: int | None
    """Bits per second that the network seems to carry; None before anything was heard."""
    loss: float
    """Share of packets lost on the way, smoothed; 0 to 1."""
    rtt: float | None
    """Seconds to the viewer and back."""
    delay: float | None
    """Seconds from the arrival of a picture here to its sending, as measured last."""
    nacks: int
    """Packets that were asked for again."""
    resent: int
