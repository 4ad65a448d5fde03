"""VP8 in RTP: a descriptor of one byte before each piece of a frame.

What is written has neither picture numbers nor temporal layers: receivers then go by sequence numbers, which stay
gapless when another rendition takes over.

Specification: RFC 7741 §4.2 (payload descriptor), §4.3 (payload header).
"""

from collections.abc import Sequence

from ghostlive.codecs.vp8 import is_keyframe
from ghostlive.formats.rtp.payload.model import CodedFrame, PayloadError, check_count, check_max_size, piece_size

_EXTENDED, _START, _PARTITION = 0x80, 0x10, 0x0F
_BEGIN, _GO_ON = b"\x10", b"\x00"


class Vp8Packetizer:
    """VP8 frames as RTP payloads; S is set on the first, and partitions are not told apart."""

    __slots__ = ("_room",)

    def __init__(self, max_size: int) -> None:
        """`max_size` limits the bytes of a payload."""
        self._room = check_max_size(max_size) - 1

    def packetize(self, payload: bytes, *, keyframe: bool) -> list[bytes]:
        """Pieces of equal size, each behind its descriptor."""
        end = len(payload)
        if end == 0:
            return []
        size = piece_size(end, self._room)
        packets = [_GO_ON + payload[start : start + size] for start in range(size, end, size)]
        packets.insert(0, _BEGIN + payload[:size])
        return packets


class Vp8Depacketizer:
    """RTP payloads as VP8 frames. Temporal layers are all kept: a frame of any of them is a frame like others."""

    def begins_frame(self, payload: bytes) -> bool | None:
        """S is set and the partition is the first (§4.2)."""
        return len(payload) > 1 and payload[0] & (_START | _PARTITION) == _START

    def assemble(self, payloads: Sequence[bytes]) -> CodedFrame | None:
        """The frame; raises `PayloadError` as `Depacketizer.assemble` says."""
        check_count(payloads)
        parts: list[bytes] = []
        for payload in payloads:
            if not payload:
                continue
            begins = payload[0] & (_START | _PARTITION) == _START
            if begins == bool(parts):
                raise PayloadError("a VP8 frame has two beginnings" if begins else "a VP8 frame has no beginning")
            parts.append(payload[_descriptor_size(payload) :])
            if not parts[-1]:
                raise PayloadError("an RTP payload of VP8 ends inside its descriptor")
        if not parts:
            return None
        frame = b"".join(parts)
        return CodedFrame(frame, is_keyframe(frame))


def _descriptor_size(payload: bytes) -> int:
    """Bytes of the payload descriptor (§4.2)."""
    if not payload[0] & _EXTENDED:
        return 1
    if len(payload) < 2:
        return 2
    flags = payload[1]
    size = 2
    if flags & 0x80:  # I: PictureID, of two bytes when M is set
        size += 2 if payload[2:3] >= b"\x80" else 1
    if flags & 0x40:  # L: TL0PICIDX
        size += 1
    if flags & 0x30:  # T, K: TID and KEYIDX share a byte
        size += 1
    return size
