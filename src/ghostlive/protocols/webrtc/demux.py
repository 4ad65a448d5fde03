"""Whose a datagram is, as far as one can tell before anything is checked."""

from typing import Final

from ghostlive.protocols.webrtc.stun import is_stun

_HEADER: Final = 20
_USERNAME: Final = b"\x00\x06"
_MOST_ATTRIBUTES: Final = 16
_LONGEST: Final = 256


def requested_ufrag(data: bytes) -> bytes | None:
    """Of a STUN binding request the user name fragment of whom it asks (RFC 8445 §7.2.2); None for anything else.

    Of `ours:theirs` in USERNAME it is the first part. Nothing is checked: the peer does that.
    """
    if data[:2] != b"\x00\x01" or not is_stun(data):
        return None
    position, end = _HEADER, min(len(data), _HEADER + int.from_bytes(data[2:4], "big"))
    for _ in range(_MOST_ATTRIBUTES):
        if position + 4 > end:
            return None
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position : position + 2] == _USERNAME:
            if size > _LONGEST or position + 4 + size > end:
                return None
            ours, colon, _ = data[position + 4 : position + 4 + size].partition(b":")
            return ours if colon else None
        position += 4 + (size + 3 & ~3)
    return None
