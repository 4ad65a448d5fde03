"""NAL units: the framing that H.264 and H.265 share.

Annex B byte streams have start codes, ISO base media files and FLV have lengths; inside the house there are only
lengths of 4 bytes. What a NAL unit means is in `h264` and `h265`.

Specification: ITU-T H.264 §7.3.1, §7.4.1 and annex B; ISO/IEC 14496-15 §4.3.3.
"""

from struct import Struct, error

from ghostlive.codecs.bits import Buffer
from ghostlive.codecs.facts import AccessUnit
from ghostlive.core.errors import MediaError

MAX_NALS = 8192
"""NAL units in one access unit. Lossy links make encoders cut a picture in slices of one packet, 2 000 for a big
key frame; anything much above that is an attempt to keep us busy."""

KEEP, KEYFRAME, PARAMETER_SET, DROP = range(4)
"""Roles of a NAL unit, see `strip_access_unit`."""

_START = b"\x00\x00\x01"
_ESCAPE = b"\x00\x00\x03"
_U32 = Struct(">I")


def split_length_prefixed(payload: Buffer, length_size: int = 4) -> list[memoryview]:
    """Cut an access unit into its NAL units, without copying; empty ones are left out.

    `length_size` is 1 to 4 bytes. Raises `MediaError` when a length points beyond the end, or after `MAX_NALS`.
    """
    if not 1 <= length_size <= 4:
        raise MediaError(f"NAL unit lengths have 1 to 4 bytes, not {length_size}")
    view = memoryview(payload)
    end = len(view)
    position = 0
    nals: list[memoryview] = []
    for _ in range(MAX_NALS):
        if position == end:
            return nals
        start = position + length_size
        position = start + int.from_bytes(view[position:start], "big")
        if position > end or start > end:
            raise MediaError(f"a NAL unit reaches to byte {position} of {end}; is the length size {length_size} right?")
        if position > start:
            nals.append(view[start:position])
    if position != end:
        raise MediaError(f"an access unit has more than {MAX_NALS} NAL units")
    return nals


def join_length_prefixed(nals: list[memoryview] | list[bytes]) -> bytes:
    """Put NAL units into one access unit with lengths of 4 bytes."""
    parts: list[Buffer] = []
    for nal in nals:
        parts.append(_U32.pack(len(nal)))
        parts.append(nal)
    return b"".join(parts)


def split_annexb(data: Buffer) -> list[bytes]:
    """Cut an Annex B byte stream into its NAL units (H.264 §B.1.1); bytes before the first start code must be zeros.

    Zeros around NAL units belong to start codes, since no NAL unit ends with one. Raises `MediaError` when there is
    no start code, or after `MAX_NALS`.
    """
    stream = bytes(data)
    position = stream.find(_START)
    if position < 0 or stream[:position].strip(b"\x00"):
        raise MediaError("an Annex B byte stream must begin with a start code")
    nals: list[bytes] = []
    while position >= 0:
        begin = position + 3
        position = stream.find(_START, begin)
        nal = (stream[begin:position] if position >= 0 else stream[begin:]).rstrip(b"\x00")
        if nal:
            nals.append(nal)
        if len(nals) > MAX_NALS:
            raise MediaError(f"an access unit has more than {MAX_NALS} NAL units")
    return nals


def annexb_to_length_prefixed(data: Buffer) -> bytes:
    """Turn start codes into lengths of 4 bytes. Raises `MediaError` as `split_annexb` does."""
    return join_length_prefixed(split_annexb(data))


def length_prefixed_to_annexb(payload: Buffer, length_size: int = 4) -> bytes:
    """Turn lengths into start codes of 4 bytes. Raises `MediaError` as `split_length_prefixed` does."""
    parts: list[Buffer] = []
    for nal in split_length_prefixed(payload, length_size):
        parts.append(b"\x00\x00\x00\x01")
        parts.append(nal)
    return b"".join(parts)


def unescape(nal: Buffer) -> bytes:
    """Remove emulation prevention bytes: the 3 of every 00 00 03 (H.264 §7.4.1.1)."""
    data = bytes(nal)
    position = data.find(_ESCAPE)
    if position < 0:
        return data
    parts: list[bytes] = []
    begin = 0
    while position >= 0:
        parts.append(data[begin : position + 2])
        begin = position + 3
        # The zeros of the next pattern must come after this one: 00 00 03 00 00 03 are two of them.
        position = data.find(_ESCAPE, begin)
    parts.append(data[begin:])
    return b"".join(parts)


def strip_access_unit(payload: bytes, length_size: int, roles: bytes) -> AccessUnit:
    """Find out what an access unit holds, and take out what is not to travel in it.

    `roles` gives for each value of the first byte of a NAL unit KEEP, KEYFRAME (keep, and decoding may begin here),
    PARAMETER_SET (take out and report) or DROP. The answer has lengths of 4 bytes, and is the very same `payload`
    when nothing changed. Raises `MediaError` when lengths do not add up.
    """
    if length_size != 4:
        payload = join_length_prefixed(split_length_prefixed(payload, length_size))
    unpack = _U32.unpack_from
    end = len(payload)
    position = 0
    keyframe = False
    kept: list[bytes] = []
    kept_to = 0  # what lies before is in `kept` or left out
    parameter_sets: list[bytes] = []
    try:
        for _ in range(MAX_NALS):
            if position == end:
                break
            (size,) = unpack(payload, position)
            role = roles[payload[position + 4]] if size else DROP
            start = position
            position += 4 + size
            if role == KEYFRAME:
                keyframe = True
            elif role:
                if start > kept_to:
                    kept.append(payload[kept_to:start])
                kept_to = position
                if role == PARAMETER_SET:
                    parameter_sets.append(payload[start + 4 : position])
    except (error, IndexError):
        position = -1
    if position != end:
        raise MediaError(
            f"lengths of NAL units do not add up to {end} bytes, or there are more than {MAX_NALS} of them"
        )
    if not kept_to:
        return AccessUnit(payload, keyframe)
    kept.append(payload[kept_to:])
    return AccessUnit(b"".join(kept), keyframe, tuple(parameter_sets))
