"""AV1 in RTP: OBUs without their sizes, several in a packet or in fragments, behind an aggregation header.

Specification: RTP Payload Format For AV1 (Alliance for Open Media, v1.0) §4.4 (aggregation header), §4.5 (payload
structure), §5 (packetization rules).
"""

from collections.abc import Sequence

from ghostlive.codecs.av1 import (
    SEQUENCE_HEADER,
    TEMPORAL_DELIMITER,
    CodecConfiguration,
    Obu,
    read_leb128,
    split_obus,
    strip_temporal_unit,
    write_leb128,
)
from ghostlive.core.errors import MediaError
from ghostlive.formats.rtp.payload.model import CodedFrame, PayloadError, check_count, check_max_size, piece_size

_CONTINUES, _GOES_ON, _NEW_SEQUENCE = 0x80, 0x40, 0x08  # Z, Y, N
_COUNT_SHIFT = 4
_MAX_COUNTED = 3
"""W has two bits; with 0 in them each element has a length."""

_TILE_LIST, _PADDING = 8, 15
_DROPPED = frozenset({TEMPORAL_DELIMITER, _TILE_LIST, _PADDING})
_HAS_EXTENSION, _HAS_SIZE = 4, 2
_MAX_ELEMENTS = 8192


class Av1Packetizer:
    """AV1 temporal units as RTP payloads: no temporal delimiters, no sizes, at most three OBUs to a packet."""

    def __init__(self, config: bytes, max_size: int) -> None:
        """`config` is an AV1CodecConfigurationRecord; raises `MediaError` when it is none."""
        self._max_size = check_max_size(max_size)
        obus = CodecConfiguration.parse(config).obus
        self._sequence_header = [_element(obus, obu) for obu in split_obus(obus) if obu.type == SEQUENCE_HEADER][:1]

    def packetize(self, payload: bytes, *, keyframe: bool) -> list[bytes]:
        """RTP payloads; a keyframe without sequence header is given that of the track."""
        try:
            obus = [obu for obu in split_obus(payload) if obu.type not in _DROPPED]
        except MediaError as error:
            raise PayloadError(str(error)) from error
        elements = [_element(payload, obu) for obu in obus]
        if not elements:
            return []
        if keyframe and all(obu.type != SEQUENCE_HEADER for obu in obus):
            elements = self._sequence_header + elements
        # Lengths are counted as if all elements but the last had them; those at the end of a packet have not.
        size = sum(map(len, elements)) + sum(_leb128_size(len(element)) for element in elements[:-1])
        room = piece_size(size, self._max_size - 1)
        packets = _pack(elements, room, _NEW_SEQUENCE if keyframe else 0)
        # A byte or two are lost where nothing more fits; seldom they make one more packet.
        if len(packets) > -(-size // room) and room < self._max_size - 1:
            packets = _pack(elements, self._max_size - 1, _NEW_SEQUENCE if keyframe else 0)
        return packets


class Av1Depacketizer:
    """RTP payloads as AV1 temporal units in the low-overhead format.

    All spatial layers are kept: decoders show the highest (AV1 §7.18.1), and skip a picture whose highest layer the
    encoder has left out. The sizes of single layers are not in the sequence header, so that a track of fewer layers
    could not be described.
    """

    def begins_frame(self, payload: bytes) -> bool | None:
        """N, a temporal delimiter or a sequence header begin a temporal unit; other OBUs may be anywhere in it."""
        if len(payload) < 2 or payload[0] & _CONTINUES:
            return False
        if payload[0] & _NEW_SEQUENCE:
            return True
        try:
            elements = _split_elements(payload)
        except PayloadError:
            return False
        kind = elements[0][0] >> 3 & 15 if elements[0] else 0
        return True if kind in (TEMPORAL_DELIMITER, SEQUENCE_HEADER) else None

    def assemble(self, payloads: Sequence[bytes]) -> CodedFrame | None:
        """The temporal unit; raises `PayloadError` as `Depacketizer.assemble` says."""
        check_count(payloads)
        parts: list[bytes] = []
        fragments: list[bytes] = []
        open_ = False
        for payload in payloads:
            if not payload:
                continue
            elements = _split_elements(payload)
            if bool(payload[0] & _CONTINUES) != open_:
                raise PayloadError("an AV1 OBU has no end" if open_ else "an AV1 OBU has no beginning")
            open_ = bool(payload[0] & _GOES_ON)
            last = len(elements) - 1
            for index, element in enumerate(elements):
                fragments.append(element)
                if index < last or not open_:
                    parts += _sized(b"".join(fragments))
                    fragments = []
            if len(parts) > _MAX_ELEMENTS * 3:
                raise PayloadError(f"an AV1 temporal unit has more than {_MAX_ELEMENTS} OBUs")
        if open_:
            raise PayloadError("an AV1 OBU has no end")
        if not parts:
            return None
        try:
            unit = strip_temporal_unit(b"".join(parts))
        except MediaError as error:
            raise PayloadError(str(error)) from error
        return CodedFrame(unit.payload, unit.keyframe, unit.parameter_sets) if unit.payload else None


def _element(data: bytes, obu: Obu) -> bytes:
    """An OBU without its size."""
    header = bytes((data[obu.start] & ~_HAS_SIZE,))
    if data[obu.start] & _HAS_EXTENSION:
        header += data[obu.start + 1 : obu.start + 2]
    return header + data[obu.payload_start : obu.end]


def _leb128_size(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)


def _pack(elements: list[bytes], room: int, flags: int) -> list[bytes]:
    """Fill packets of `room` bytes behind the aggregation header; only the last element of each has no length."""
    packets: list[bytes] = []
    parts: list[bytes] = []
    count, left = 0, room
    for index, whole in enumerate(elements):
        element, size = whole, len(whole)
        if size > left:
            head = bytes((flags | count + 1 << _COUNT_SHIFT | _GOES_ON,))
            packets.append(b"".join((head, *parts, element[:left])))
            final = size - (size - left - 1) % room - 1
            middle = bytes((_CONTINUES | 1 << _COUNT_SHIFT | _GOES_ON,))
            packets += [middle + element[at : at + room] for at in range(left, final, room)]
            element, size = element[final:], size - final
            flags, parts, count, left = _CONTINUES, [], 0, room
        lengthy = size + _leb128_size(size)
        if index < len(elements) - 1 and count < _MAX_COUNTED - 1 and lengthy < left:
            parts += (write_leb128(size), element)
            count, left = count + 1, left - lengthy
        else:
            head = bytes((flags | count + 1 << _COUNT_SHIFT,))
            packets.append(b"".join((head, *parts, element)))
            flags, parts, count, left = 0, [], 0, room
    return packets


def _split_elements(payload: bytes) -> list[bytes]:
    """The OBUs, or fragments of them, in a packet (§4.5)."""
    count = payload[0] >> _COUNT_SHIFT & 3
    end = len(payload)
    if count == 1:
        return [payload[1:]]
    elements: list[bytes] = []
    position = 1
    while position < end if not count else len(elements) < count:
        size = end - position
        if not count or len(elements) < count - 1:
            try:
                size, position = read_leb128(payload, position)
            except MediaError as error:
                raise PayloadError("an RTP payload of AV1 ends inside a length") from error
        if position + size > end:
            raise PayloadError("an AV1 OBU reaches beyond its packet")
        elements.append(payload[position : position + size])
        position += size
    if not elements:
        raise PayloadError("an RTP payload of AV1 has no OBU")
    return elements


def _sized(element: bytes) -> tuple[bytes, ...]:
    """An OBU with its size, in parts; nothing when it is not to travel in frames."""
    if not element:
        return ()
    first = element[0]
    if first >> 3 & 15 in _DROPPED:
        return ()
    position = 2 if first & _HAS_EXTENSION else 1
    header = element[:position]
    if first & _HAS_SIZE:
        # Senders should leave sizes out (§5), not must.
        try:
            size, position = read_leb128(element, position)
        except MediaError as error:
            raise PayloadError(str(error)) from error
        if position + size != len(element):
            raise PayloadError("the size of an AV1 OBU is not that of its element")
    else:
        header = bytes((first | _HAS_SIZE,)) + header[1:]
    if position > len(element):
        raise PayloadError("an AV1 OBU ends inside its header")
    return header, write_leb128(len(element) - position), element[position:]
