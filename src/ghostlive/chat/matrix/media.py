"""Media of Matrix by names of ours: a page asks for an id, and we know for which `mxc:` address it stands.

An id is a hash of the address, so the same picture is the same file for browsers. Which ids there are is in the
database: only what stood in a message, a profile or a pack of emotes can be asked for.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ghostlive.chat.matrix.events import integer, mapping, text
from ghostlive.core.text import clean_line
from ghostlive.db.chat import MediaRecord

PATH: Final = "/api/v1/chat/media/"
ID: Final = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
IMAGE_TYPES: Final = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/apng"))
"""What pages show. SVG is a program as much as a picture."""
WIDTHS: Final = (96, 320, 640, 1280)
"""Widths in pixels in which thumbnails are asked for, so that strangers cannot fill the cache with each number."""
AVATAR, THUMB = 96, 640
"""Widths of a profile's picture and of a picture in the chat."""
MOST_BYTES: Final = 10 * 1024 * 1024
"""The largest file that is shown as it is; of larger ones there is the thumbnail."""
_SIDE: Final = 16384
_MXC: Final = re.compile(r"mxc://([A-Za-z0-9.:\[\]-]{1,230})/([A-Za-z0-9_-]{1,255})", re.ASCII)
_ALT: Final = 200


class Mxc(NamedTuple):
    """The two parts of an `mxc:` address (Client-Server API, "Matrix Content (`mxc://`) URIs")."""

    server: str
    media_id: str


def parse_mxc(address: str) -> Mxc | None:
    """The parts of an address, None when it is none."""
    match = _MXC.fullmatch(address)
    return None if match is None else Mxc(match[1], match[2])


def record_of(mxc: str, content_type: str = "") -> MediaRecord | None:
    """What is to be stored so that pages may ask for it; None when that is no address of media."""
    if parse_mxc(mxc) is None:
        return None
    media_id = urlsafe_b64encode(hashlib.sha256(mxc.encode()).digest()[:16]).decode().rstrip("=")
    return MediaRecord(media_id, mxc, content_type if len(content_type) <= 64 else "")


def path_of(record: MediaRecord, width: int | None = None) -> str:
    """Where a page gets it, as a thumbnail of at least `width` pixels if one is given."""
    return f"{PATH}{record.id}" if width is None else f"{PATH}{record.id}?w={width}"


def held_path(stream: str, held_id: int) -> str:
    """Before the id of a file of a message that waits for a moderator; what `path_of` says stands before any other."""
    return f"/api/v1/streams/{stream}/chat/held/{held_id}/media/"


def picture_of(content: Mapping[str, Any]) -> tuple[dict[str, Any], MediaRecord] | None:
    """The picture in the content of an image or sticker, as pages get it; None when there is none to show."""
    info = mapping(content, "info")
    content_type = text(info, "mimetype").lower()
    record = record_of(text(content, "url"), content_type)
    if record is None or (content_type and content_type not in IMAGE_TYPES):
        return None
    size = integer(info, "size")
    thumb = path_of(record, THUMB)
    picture: dict[str, Any] = {
        "url": path_of(record) if size is None or size <= MOST_BYTES else path_of(record, WIDTHS[-1]),
        "type": content_type or None,
        "width": _side(info, "w"),
        "height": _side(info, "h"),
        "size": size if size is not None and 0 <= size < 2**53 else None,
        "alt": clean_line(text(content, "filename") or text(content, "body"), _ALT),
        # Thumbnails of homeservers stand still; small moving pictures are worth what they weigh.
        "thumb": path_of(record) if _moves(content_type) and size is not None and size <= _MOVING else thumb,
    }
    return picture, record


_MOVING: Final = 1024 * 1024
"""Bytes up to which something that moves is shown as it is."""


def _moves(content_type: str) -> bool:
    return content_type in ("image/gif", "image/webp", "image/apng")


def _side(info: Mapping[str, Any], name: str) -> int | None:
    side = integer(info, name)
    return side if side is not None and 0 < side <= _SIDE else None
