"""What the payload formats of H.264 and H.265 share: NAL units go alone, several in one packet, or in fragments.

The two differ in the length of their headers, and in where a header says what.

Specification: RFC 6184 §5.6 to §5.8; RFC 7798 §4.4.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from struct import Struct, error

from ghostlive.codecs.facts import AccessUnit
from ghostlive.codecs.nal import MAX_NALS, join_length_prefixed
from ghostlive.core.errors import MediaError
from ghostlive.formats.rtp.payload.model import CodedFrame, PayloadError, check_count, check_max_size, piece_size

SINGLE, AGGREGATE, FRAGMENT, INVALID = range(4)
"""Kinds of payloads."""

_START, _END = 0x80, 0x40
_U16 = Struct(">H")
_U32 = Struct(">I")


class NalPacketizer(ABC):
    """Access units with lengths of 4 bytes as RTP payloads.

    Small NAL units that follow each other share a packet, big ones are cut in equal fragments.
    """

    header_size: int
    """Bytes of a NAL unit header."""
    kinds: bytes
    """SINGLE, AGGREGATE, FRAGMENT or INVALID for each value of the first byte of a payload."""

    def __init__(self, parameter_sets: Sequence[bytes], max_size: int) -> None:
        """`parameter_sets` go before each keyframe; `max_size` limits the bytes of a payload."""
        self._max_size = check_max_size(max_size)
        self._parameter_sets = join_length_prefixed(list(parameter_sets))

    @abstractmethod
    def aggregation_header(self, nals: list[bytes]) -> bytes:
        """The payload header of an aggregation packet with these NAL units."""

    @abstractmethod
    def fragment_headers(self, header: bytes) -> tuple[bytes, bytes, bytes]:
        """What precedes the first, a middle and the last fragment of a NAL unit with that header."""

    def packetize(self, payload: bytes, *, keyframe: bool) -> list[bytes]:
        """RTP payloads; see `Packetizer.packetize`."""
        if keyframe:
            payload = self._parameter_sets + payload
        limit, header_size, kinds = self._max_size, self.header_size, self.kinds
        packets: list[bytes] = []
        batch: list[bytes] = []
        batch_size = 0
        position, end = 0, len(payload)
        unpack = _U32.unpack_from
        try:
            while position < end:
                (size,) = unpack(payload, position)
                start = position + 4
                position = start + size
                if position > end:
                    break
                # What is no NAL unit is no loss, and what RTP took the type of for itself cannot be sent.
                if size < header_size or kinds[payload[start]] != SINGLE:
                    continue
                if size <= limit:
                    if batch_size + size + 2 > limit:
                        self._flush(batch, packets)
                        batch, batch_size = [], 0
                    batch.append(payload[start:position])
                    batch_size = (batch_size or header_size) + size + 2
                else:
                    self._flush(batch, packets)
                    batch, batch_size = [], 0
                    self._fragment(payload, start, position, packets)
        except error:
            position = -1
        if position != end:
            raise PayloadError(f"lengths of NAL units do not add up to {end} bytes")
        self._flush(batch, packets)
        return packets

    def _flush(self, batch: list[bytes], packets: list[bytes]) -> None:
        if len(batch) == 1:
            packets.append(batch[0])
        elif batch:
            parts = [self.aggregation_header(batch)]
            for nal in batch:
                parts.append(_U16.pack(len(nal)))
                parts.append(nal)
            packets.append(b"".join(parts))

    def _fragment(self, payload: bytes, start: int, end: int, packets: list[bytes]) -> None:
        begin = start + self.header_size
        first, middle, last = self.fragment_headers(payload[start:begin])
        size = piece_size(end - begin, self._max_size - len(first))
        packets.append(first + payload[begin : begin + size])
        final = end - (end - begin - 1) % size - 1
        packets += [middle + payload[at : at + size] for at in range(begin + size, final, size)]
        packets.append(last + payload[final:end])


class NalDepacketizer(ABC):
    """RTP payloads as access units with lengths of 4 bytes, parameter sets taken out."""

    header_size: int
    """Bytes of a NAL unit header."""
    kinds: bytes
    """SINGLE, AGGREGATE, FRAGMENT or INVALID for each value of the first byte of a payload."""

    @abstractmethod
    def original_header(self, payload: bytes) -> bytes:
        """The NAL unit header that the fragments which begin with `payload` had."""

    @abstractmethod
    def begins_picture(self, nal: bytes) -> bool | None:
        """`Depacketizer.begins_frame` of a NAL unit whose first bytes these are."""

    @abstractmethod
    def strip(self, payload: bytes) -> AccessUnit:
        """Take parameter sets out of an access unit; may raise `MediaError`."""

    def begins_frame(self, payload: bytes) -> bool | None:
        """What the first NAL unit tells: delimiters and parameter sets begin a frame, and so do many slices."""
        head = self.header_size
        if len(payload) <= head:
            return False
        kind = self.kinds[payload[0]]
        if kind == SINGLE:
            return self.begins_picture(payload)
        if kind == AGGREGATE:
            return self.begins_picture(payload[head + 2 :]) if len(payload) > 2 * head + 2 else False
        if kind == FRAGMENT and payload[head] & _START and len(payload) > head + 1:
            return self.begins_picture(self.original_header(payload) + payload[head + 1 : head + 2])
        return False

    def assemble(self, payloads: Sequence[bytes]) -> CodedFrame | None:
        """The access unit; see `Depacketizer.assemble`."""
        check_count(payloads)
        kinds, head = self.kinds, self.header_size
        parts: list[bytes] = []
        opened = -1  # where in `parts` the length of the fragmented NAL unit belongs
        size = 0
        for payload in payloads:
            if not payload:
                continue
            kind = kinds[payload[0]]
            if len(payload) < head + (kind == FRAGMENT):
                raise PayloadError("an RTP payload ends inside its header")
            if kind == FRAGMENT:
                flags = payload[head]
                if flags & _START:
                    if opened >= 0:
                        raise PayloadError("fragments of a NAL unit have no end before others begin")
                    opened, size = len(parts), head
                    parts += (b"", self.original_header(payload))
                    if kinds[parts[-1][0]] != SINGLE:
                        raise PayloadError("fragments are of something that is no NAL unit")
                elif opened < 0:
                    raise PayloadError("fragments of a NAL unit have no beginning")
                parts.append(payload[head + 1 :])
                size += len(payload) - head - 1
                if flags & _END:
                    parts[opened] = _U32.pack(size)
                    opened = -1
            elif opened >= 0:
                raise PayloadError("fragments of a NAL unit have no end before another comes")
            elif kind == SINGLE:
                parts += (_U32.pack(len(payload)), payload)
            elif kind == AGGREGATE:
                parts += self._disaggregate(payload)
            else:
                raise PayloadError(f"RTP payloads that begin with the byte {payload[0]} are not used with WebRTC")
            if len(parts) > 2 * MAX_NALS + len(payloads):
                raise PayloadError(f"an access unit has more than {MAX_NALS} NAL units")
        if opened >= 0:
            raise PayloadError("fragments of a NAL unit have no end")
        if not parts:
            return None
        try:
            unit = self.strip(b"".join(parts))
        except MediaError as problem:
            raise PayloadError(str(problem)) from problem
        if not unit.payload and not unit.parameter_sets:
            return None
        return CodedFrame(unit.payload, unit.keyframe and bool(unit.payload), unit.parameter_sets)

    def _disaggregate(self, payload: bytes) -> list[bytes]:
        """Lengths of 4 bytes and NAL units of an aggregation packet (RFC 6184 §5.7.1, RFC 7798 §4.4.2)."""
        parts: list[bytes] = []
        position, end = self.header_size, len(payload)
        while position < end:
            start = position + 2
            size = int.from_bytes(payload[position:start], "big")
            position = start + size
            if position > end or start > end:
                raise PayloadError("a NAL unit reaches beyond its aggregation packet")
            if size:
                if size < self.header_size or self.kinds[payload[start]] != SINGLE:
                    raise PayloadError("an aggregation packet holds something that is no NAL unit")
                parts.append(_U32.pack(size))
                parts.append(payload[start:position])
        return parts
