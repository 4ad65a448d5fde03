"""VP9 in RTP: a descriptor before each piece of a frame.

What is written has neither picture numbers nor layers: receivers then go by sequence numbers, which stay gapless when
another rendition takes over. Hidden frames stay in the superframe that they came in.

Specification: RFC 9628 §4.2 (payload descriptor), §4.2.1 (scalability structure).
"""

from collections.abc import Sequence

from ghostlive.codecs.vp9 import is_keyframe
from ghostlive.core.errors import MediaError
from ghostlive.formats.rtp.payload.model import CodedFrame, PayloadError, check_count, check_max_size, piece_size

_PICTURE_ID, _PREDICTED, _LAYERS, _FLEXIBLE, _BEGIN, _END, _STRUCTURE = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02
_MAX_REFERENCES = 3


class Vp9Packetizer:
    """VP9 frames and superframes as RTP payloads."""

    __slots__ = ("_room",)

    def __init__(self, max_size: int) -> None:
        """`max_size` limits the bytes of a payload."""
        self._room = check_max_size(max_size) - 1

    def packetize(self, payload: bytes, *, keyframe: bool) -> list[bytes]:
        """Pieces of equal size, each behind its descriptor."""
        end = len(payload)
        if end == 0:
            return []
        flags = 0 if keyframe else _PREDICTED
        if end <= self._room:
            return [bytes((flags | _BEGIN | _END,)) + payload]
        size = piece_size(end, self._room)
        final = end - (end - 1) % size - 1
        middle = bytes((flags,))
        packets = [bytes((flags | _BEGIN,)) + payload[:size]]
        packets += [middle + payload[start : start + size] for start in range(size, final, size)]
        packets.append(bytes((flags | _END,)) + payload[final:])
        return packets


class Vp9Depacketizer:
    """RTP payloads as VP9 frames.

    Of several spatial layers only the lowest is kept: it is a stream that every decoder shows, while all of them
    together are not (decoders differ in which pictures of a superframe they show). Temporal layers are all kept.
    Encoders leave out the lowest layer of a picture, or all others, when they run out of bits: then there is nothing
    in the picture, or its last packet has no marker.
    """

    def begins_frame(self, payload: bytes) -> bool | None:
        """B is set; of a higher spatial layer that does not tell, since the lowest may be missing on purpose."""
        if len(payload) < 2 or not payload[0] & _BEGIN:
            return False
        try:
            return True if _read_descriptor(payload)[1] == 0 else None
        except PayloadError:
            return False

    def assemble(self, payloads: Sequence[bytes]) -> CodedFrame | None:
        """The frame; raises `PayloadError` as `Depacketizer.assemble` says."""
        check_count(payloads)
        parts: list[bytes] = []
        ended = True
        for payload in payloads:
            if not payload:
                continue
            size, layer = _read_descriptor(payload)
            if layer:
                continue
            begins = bool(payload[0] & _BEGIN)
            if begins == bool(parts):
                raise PayloadError("a VP9 frame has two beginnings" if begins else "a VP9 frame has no beginning")
            if begins is False and ended:
                raise PayloadError("a VP9 frame goes on after its end")
            ended = bool(payload[0] & _END)
            parts.append(payload[size:])
        if not parts:
            return None
        if not ended:
            raise PayloadError("a VP9 frame has no end")
        frame = b"".join(parts)
        try:
            return CodedFrame(frame, is_keyframe(frame))
        except MediaError as error:
            raise PayloadError(str(error)) from error


def _read_descriptor(payload: bytes) -> tuple[int, int]:
    """Bytes of the payload descriptor (§4.2), and the spatial layer; raises `PayloadError` when nothing is behind."""
    flags = payload[0]
    if not flags & (_PICTURE_ID | _LAYERS | _FLEXIBLE | _STRUCTURE):
        position, layer = 1, 0
    else:
        try:
            position, layer = _read_long_descriptor(payload, flags)
        except IndexError:
            position, layer = len(payload), 0
    if position >= len(payload):
        raise PayloadError("an RTP payload of VP9 ends inside its descriptor")
    return position, layer


def _read_long_descriptor(payload: bytes, flags: int) -> tuple[int, int]:
    """The same for a descriptor with more than its first byte; may raise `IndexError`."""
    position, layer = 1, 0
    if flags & _PICTURE_ID:
        position += 2 if payload[position] & 0x80 else 1
    if flags & _LAYERS:
        layer = payload[position] >> 1 & 7
        position += 1 if flags & _FLEXIBLE else 2  # TL0PICIDX
    if flags & _FLEXIBLE and flags & _PREDICTED:
        for _ in range(_MAX_REFERENCES):
            position += 1
            if not payload[position - 1] & 1:  # N: one more follows
                break
        else:
            raise PayloadError(f"a VP9 frame has more than {_MAX_REFERENCES} references")
    if flags & _STRUCTURE:
        head = payload[position]
        position += 1
        if head & 0x10:  # Y: width and height of each layer
            position += 4 * ((head >> 5) + 1)
        if head & 0x08:  # G: a group of pictures
            pictures = payload[position]
            position += 1
            for _ in range(pictures):
                position += 1 + (payload[position] >> 2 & 3)
    return position, layer
