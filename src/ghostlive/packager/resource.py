"""What the packager hands to the web room: bytes or a file, and the facts that HTTP needs about them.

Invariant: nobody changes a resource but the web room, which may keep its serialized response heads in `heads`.
"""

import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class ContentType(StrEnum):
    """The media types that leave the packager."""

    HLS = "application/vnd.apple.mpegurl"
    DASH = "application/dash+xml"
    VIDEO = "video/mp4"
    AUDIO = "audio/mp4"


IMMUTABLE = "public, max-age=31536000, immutable"
"""Media: its URI names the live session, so it never means other bytes."""

REVALIDATE = "no-cache"
"""Live playlists: may be stored, must be asked for again with the ETag."""


class Use:
    """Whether anybody asked for anything of an offered rendition lately. Set at each request, cleared by who counts."""

    __slots__ = ("seen", "waiting")

    def __init__(self) -> None:
        """Nobody did."""
        self.seen = False
        self.waiting = 0
        """Requests that wait."""


@dataclass(slots=True, eq=False)
class Resource:
    """One answer. Exactly one of `body`, `file` and `growing` is the content."""

    content_type: str
    cache_control: str
    etag: str
    """A strong entity tag with its quotes; empty for a growing resource."""
    body: tuple[bytes, ...] = ()
    """The content in pieces, to be written one after the other without a copy."""
    size: int = 0
    """Bytes of the content; 0 for a growing resource."""
    file: Path | None = None
    """The content lies in this file. It may be gone by the time it is opened: answer 404 then."""
    growing: Callable[[], AsyncIterator[bytes]] | None = None
    """A segment that is still being made: call it once for each request, its pieces come as they are finished."""
    heads: dict[str, bytes] = field(default_factory=dict)
    """For the web room: response heads that were serialized already."""
    compressible: bool = False
    use: Use | None = None
    """Of the offered rendition that it belongs to."""
    _gzip: bytes | None = None

    @classmethod
    def of(cls, content_type: str, cache_control: str, etag: str, *body: bytes) -> "Resource":
        """A resource held in memory."""
        return cls(content_type, cache_control, etag, body, sum(map(len, body)))

    @classmethod
    def text(cls, content_type: str, cache_control: str, etag: str, text: str) -> "Resource":
        """A playlist or manifest, which may be compressed."""
        body = text.encode()
        return cls(content_type, cache_control, etag, (body,), len(body), compressible=True)

    @property
    def gzip_body(self) -> bytes | None:
        """The content compressed with gzip, made at the first use; None where that gains nothing."""
        if self._gzip is None and self.compressible:
            packer = zlib.compressobj(4, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
            self._gzip = b"".join((*map(packer.compress, self.body), packer.flush()))
        return self._gzip
