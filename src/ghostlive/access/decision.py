"""What is asked of the Authorizer, and what it answers."""

from dataclasses import dataclass
from enum import StrEnum

from ghostlive.db.users import Role


class Action(StrEnum):
    """What somebody wants to do."""

    PUBLISH = "publish"
    PLAY = "play"
    CHAT = "chat"
    """Read and write in a stream's chat."""
    MODERATE = "moderate"
    """Delete messages and ban people in a stream's chat."""
    MANAGE = "manage"
    """Change a stream, its keys and its broadcast."""
    CREATE = "create"
    """Make a stream."""


class Verdict(StrEnum):
    """Why the answer is as it is; protocols map these to their own codes."""

    ALLOWED = "allowed"
    KEY_MISSING = "key_missing"
    KEY_UNKNOWN = "key_unknown"
    KEY_OF_OTHER_STREAM = "key_of_other_stream"
    STREAM_UNKNOWN = "stream_unknown"
    SIGN_IN_NEEDED = "sign_in_needed"
    ROLE_TOO_LOW = "role_too_low"
    BANNED = "banned"


@dataclass(frozen=True, slots=True)
class Identity:
    """A person who has signed in."""

    id: int
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One attempt to do something. Secrets never appear in its representation."""

    action: Action
    protocol: str
    """`rtmp`, `rtmps`, `llhls`, `dash`, …"""
    address: str
    """The peer's IP address, after trusted proxies."""
    stream: str | None = None
    """The stream that was asked for; None when the key alone says it."""
    key: str | None = None
    user: Identity | None = None
    """Who asks, when they have signed in."""
    browser: str | None = None
    """What the browser brings as the cookie of `access.browser`, unchecked."""

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
