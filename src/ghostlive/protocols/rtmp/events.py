"""What a session tells its driver."""

from dataclasses import dataclass

from ghostlive.protocols.rtmp.parser.amf import Value


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """The peer wants to publish; answer with `Session.accept_publish` or `Session.reject_publish`."""

    stream: str | None
    """The stream it named; None when the key alone says it."""
    key: str | None
    agent: str
    """What the encoder calls itself."""

    def __repr__(self) -> str:
        return f"PublishRequested({self.stream!r}, key {'given' if self.key else 'none'}, {self.agent!r})"


@dataclass(frozen=True, slots=True)
class MetadataReceived:
    """`onMetaData` of the publish: hints, never facts."""

    values: dict[str, Value]


@dataclass(slots=True, eq=False)
class AudioReceived:
    """An audio message. Treat it as immutable; like `VideoReceived` it is made too often to be frozen."""

    timestamp: int
    """Milliseconds, 32 bits, wrapping."""
    body: bytes
    """See `formats.flv.parse_audio`."""


@dataclass(slots=True, eq=False)
class VideoReceived:
    """A video message."""

    timestamp: int
    body: bytes
    """See `formats.flv.parse_video`."""


@dataclass(frozen=True, slots=True)
class PublishEnded:
    """The peer said goodbye to its publish; it may publish again on the same connection."""

    reason: str


Event = PublishRequested | MetadataReceived | AudioReceived | VideoReceived | PublishEnded
