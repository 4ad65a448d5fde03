"""The picture of a stream's room: a triangle on a colour that follows from the name, as PNG (RFC 2083)."""

import colorsys
import hashlib
import struct
import zlib
from typing import Final

TYPE: Final = "image/png"
_SIZE: Final = 96
_BACK, _FRONT = 0, 1


def draw(name: str) -> bytes:
    """The same picture for the same name, each time."""
    hue = hashlib.sha256(name.encode()).digest()[0] / 256
    red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.36, 0.62))
    palette = bytes((red, green, blue, 255, 255, 255))
    rows = bytearray()
    for y in range(_SIZE):
        row = [_FRONT if _inside(x, y) else _BACK for x in range(_SIZE)]
        bits = "".join(map(str, row))
        rows += b"\0" + int(bits, 2).to_bytes(_SIZE // 8, "big")
    # One bit a pixel, with a palette.
    head = struct.pack(">IIBBBBB", _SIZE, _SIZE, 1, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""),
        )
    )  # fmt: skip


def _inside(x: int, y: int) -> bool:
    """A triangle that points to the right."""
    left, right, half = 34, 70, 22
    if not left <= x < right:
        return False
    return abs(y - _SIZE // 2) * (right - left) <= half * (right - x)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
