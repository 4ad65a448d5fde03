"""What is asked of the Authorizer, and what it answers."""

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What somebody wants to do."""

    PUBLISH = "publish"
    PLAY = "play"


class Verdict(StrEnum):
    """Why the answer is as it is; protocols map these to their own codes."""

    ALLOWED = "allowed"
    KEY_MISSING = "key_missing"
    KEY_UNKNOWN = "key_unknown"
    KEY_OF_OTHER_STREAM = "key_of_other_stream"
    STREAM_UNKNOWN = "stream_unknown"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One publish or play attempt. Secrets never appear in its representation."""

    action: Action
    protocol: str
    """`rtmp`, `rtmps`, `llhls`, `dash`, …"""
    address: str
    """The peer's IP address, after trusted proxies."""
    stream: str | None = None
    """The stream that was asked for; None when the key alone says it."""
    key: str | None = None

    def __repr__(self) -> str:
        key = "given" if self.key else "none"
        return f"AccessRequest({self.action} {self.stream!r} by {self.protocol}, key {key})"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: for which stream, and in words that a publisher's log can show."""

    verdict: Verdict
    stream: str | None = None
    reason: str = ""

    @property
    def allowed(self) -> bool:
        """Whether to go on."""
        return self.verdict is Verdict.ALLOWED
