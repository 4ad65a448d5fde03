"""What happens to streams, as told to whoever listens (pages, hooks, metrics)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Base of the events of one stream."""

    stream: str


@dataclass(frozen=True, slots=True)
class StreamStarted(StreamEvent):
    """A publisher's tracks are known and frames flow; sent for each new live session."""


@dataclass(frozen=True, slots=True)
class StreamTracksChanged(StreamEvent):
    """The same live session goes on with other tracks (resolution change, another encoder)."""


@dataclass(frozen=True, slots=True)
class StreamOffersChanged(StreamEvent):
    """Other renditions can be had of the same tracks."""


@dataclass(frozen=True, slots=True)
class StreamInterrupted(StreamEvent):
    """The publisher's connection broke; the stream is kept for the grace time."""

    reason: str


@dataclass(frozen=True, slots=True)
class StreamResumed(StreamEvent):
    """The publisher came back within the grace time."""


@dataclass(frozen=True, slots=True)
class StreamEnded(StreamEvent):
    """The live session is over."""

    reason: str


@dataclass(frozen=True, slots=True)
class StreamRecordChanged(StreamEvent):
    """The stream's record (title, description, existence) was changed or may have been."""


@dataclass(frozen=True, slots=True)
class StreamAudienceChanged(StreamEvent):
    """Another number of people watches; told every few seconds at most."""
