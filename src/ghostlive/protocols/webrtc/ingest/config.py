"""What an ingest may cost, and how often it asks for keyframes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """How a publisher is received. The operator's settings are in `WebRtcConfig`."""

    keyframe_interval: float = 2.0
    """Seconds after a keyframe at which the next one is asked for; 0 asks only when one is needed."""
    max_bitrate: int = 20_000_000
    """Bits per second that a publisher is asked not to exceed."""
    max_wait: float = 0.25
    """Seconds that frames wait at the most for a missing packet before them."""
    max_far_wait: float = 0.8
    """The same where packets take so long to be sent again that `max_wait` is too short to ask three times."""
    patience: float = 0.7
    """Seconds in which all layers of a picture have to show up before the stream begins without the others."""
    kind_patience: float = 1.5
    """The same for the first of all pictures, or the sound: one that comes later is a break for who watches already,
    and a busy encoder takes its time for the first picture."""
    max_streams: int = 12
    """RTP streams (SSRCs) of one publisher, simulcast layers and retransmissions included."""
    buffer_packets: int = 4096
    """Packets that wait in one stream for a missing one."""
    buffer_bytes: int = 6 * 1024 * 1024
    """The same in bytes of payload."""
