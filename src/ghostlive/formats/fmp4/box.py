"""Boxes: size, type, content (ISO/IEC 14496-12 §4.2)."""

import struct

_UINT32 = struct.Struct(">I")


def box(kind: bytes, *content: bytes) -> bytes:
    """A box of the four-character type `kind`."""
    body = b"".join(content)
    return _UINT32.pack(8 + len(body)) + kind + body


def full_box(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    """A box whose content begins with a version and flags (§4.2.2)."""
    return box(kind, _UINT32.pack(version << 24 | flags), *content)
