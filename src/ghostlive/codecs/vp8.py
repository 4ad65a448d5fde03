"""VP8: key frames and their size.

VP8 has no configuration of its own; what ISO base media files carry is that of `vp9`.

Specification: RFC 6386 §9.1 (frame header).
"""

from ghostlive.codecs.bits import Buffer
from ghostlive.codecs.facts import AccessUnit, VideoFacts
from ghostlive.core.errors import MediaError

_SYNC = b"\x9d\x01\x2a"


def is_keyframe(payload: Buffer) -> bool:
    """Whether a frame is a key frame: the first bit, inverse. Raises `MediaError` for an empty frame."""
    if not len(payload):
        raise MediaError("a VP8 frame is empty")
    return not payload[0] & 1


def parse_size(payload: Buffer) -> tuple[int, int]:
    """Width and height of a key frame in luma samples. Raises `MediaError` when it is none."""
    head = bytes(payload[:10])
    if len(head) < 10 or head[0] & 1 or head[3:6] != _SYNC:
        raise MediaError("this is no VP8 key frame")
    # The two bits above each size ask the player to scale up, which changes nothing here.
    width, height = int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    if not width or not height:
        raise MediaError(f"a VP8 picture of {width}x{height} cannot be")
    return width, height


def inspect(payload: bytes, length_size: int = 0) -> AccessUnit:
    """A frame as it is, and whether it is a key frame. Raises `MediaError` when it is empty."""
    return AccessUnit(payload, is_keyframe(payload))


def describe(config: bytes, payload: bytes = b"") -> VideoFacts:
    """Facts of VP8; the size comes from `payload`, a key frame, and is 0 without.

    Raises `MediaError` when `payload` is no key frame.
    """
    width, height = parse_size(payload) if payload else (0, 0)
    return VideoFacts(config=bytes(config), codec_string="vp8", width=width, height=height, has_b_frames=False)
