"""RTP packets: the fixed header, contributing sources, header extensions and padding, both directions.

What lives here: bytes ↔ `RtpPacket`. What does not: what extensions say (`extensions`), what payloads are (`payload`),
and the order of packets (`sequence`).

Specifications: RFC 3550 §5.1; RFC 8285 §4 for header extensions; RFC 5761 §4 for telling RTP from RTCP.
Invariant: hostile bytes raise `RtpError` and nothing else.
"""

import struct
from dataclasses import dataclass
from typing import Final, Self

from ghostlive.core.errors import MediaError

_FIXED: Final = struct.Struct("!BBHII")
_FIXED_SIZE: Final = 12
_ONE_BYTE_FORM: Final = 0xBEDE
_TWO_BYTE_FORM: Final = 0x100
"""The upper 12 bits; the lower four are for applications."""


class RtpError(MediaError):
    """Bytes that are no RTP packet, or a packet whose fields do not fit the wire."""


def is_rtcp(data: bytes | memoryview) -> bool:
    """Whether a packet on a port that RTP and RTCP share is RTCP (RFC 5761 §4); False for anything too short."""
    return len(data) >= 2 and 192 <= data[1] <= 223


@dataclass(slots=True)
class RtpPacket:
    """One packet. `to_bytes` writes what `parse` would read as the same packet."""

    payload_type: int
    """0 to 127."""
    sequence_number: int
    """16 bits."""
    timestamp: int
    """32 bits, in the clock of the payload type."""
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    """At most 15."""
    extensions: tuple[tuple[int, bytes], ...] = ()
    """Identifiers as negotiated (1 to 255) and values of at most 255 bytes, in order. Written in the one-byte form when
    they fit it (identifiers to 14, values of 1 to 16 bytes), else in the two-byte form."""
    padding: int = 0
    """Bytes of padding behind the payload, its own count included; at most 255."""

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Self:
        """Read one packet. A header extension of an unknown profile is left out. Raises `RtpError`."""
        end = len(data)
        if end < _FIXED_SIZE:
            raise RtpError(f"an RTP packet of {end} bytes is shorter than its header")
        first, second, sequence_number, timestamp, ssrc = _FIXED.unpack_from(data)
        if first & 0xC0 != 0x80:
            raise RtpError(f"RTP version {first >> 6} is unknown")
        at = _FIXED_SIZE
        csrcs: tuple[int, ...] = ()
        extensions: tuple[tuple[int, bytes], ...] = ()
        padding = 0
        # Most packets have extensions and nothing else.
        if first & 0x3F:
            if count := first & 0x0F:
                at += 4 * count
                if at > end:
                    raise RtpError("the contributing sources of an RTP packet are cut short")
                csrcs = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(_FIXED_SIZE, at, 4))
            if first & 0x10:
                start = at + 4
                if start > end:
                    raise RtpError("the header extension of an RTP packet is cut short")
                profile = data[at] << 8 | data[at + 1]
                at = start + (data[at + 2] << 10 | data[at + 3] << 2)
                if at > end:
                    raise RtpError("the header extension of an RTP packet is cut short")
                if profile == _ONE_BYTE_FORM:
                    extensions = _parse_one_byte(data, start, at)
                elif profile >> 4 == _TWO_BYTE_FORM:
                    extensions = _parse_two_byte(data, start, at)
            if first & 0x20:
                padding = data[end - 1]
                if not 0 < padding <= end - at:
                    raise RtpError(f"an RTP packet has {padding} bytes of padding in {end - at}")
                end -= padding
        return cls(
            second & 0x7F,
            sequence_number,
            timestamp,
            ssrc,
            bytes(data[at:end]),
            second >= 0x80,
            csrcs,
            extensions,
            padding,
        )

    def extension(self, identifier: int | None) -> bytes | None:
        """The value of the first extension with this identifier; None has none."""
        for number, value in self.extensions:
            if number == identifier:
                return value
        return None

    def to_bytes(self) -> bytes:
        """Write the packet. Raises `RtpError` when a field does not fit."""
        first = 0x80 | len(self.csrcs)
        rest = b""
        if len(self.csrcs) > 15:
            raise RtpError(f"{len(self.csrcs)} contributing sources; RTP has room for 15")
        try:
            if self.csrcs:
                rest = b"".join(csrc.to_bytes(4, "big") for csrc in self.csrcs)
            if self.extensions:
                first |= 0x10
                rest += _write_extensions(self.extensions)
            if self.padding:
                first |= 0x20
                tail = bytes(self.padding - 1) + self.padding.to_bytes(1, "big")
            else:
                tail = b""
            if not 0 <= self.payload_type < 128:
                raise RtpError(f"payload type {self.payload_type} does not fit 7 bits")
            second = self.payload_type | (0x80 if self.marker else 0)
            fixed = _FIXED.pack(first, second, self.sequence_number, self.timestamp, self.ssrc)
        except (ValueError, OverflowError, struct.error) as error:
            raise RtpError(f"a field of an RTP packet does not fit: {error}") from None
        return b"".join((fixed, rest, self.payload, tail))


def _parse_one_byte(data: bytes | memoryview, at: int, end: int) -> tuple[tuple[int, bytes], ...]:
    found: list[tuple[int, bytes]] = []
    while at < end:
        head = data[at]
        at += 1
        if not head:
            continue
        identifier = head >> 4
        if identifier in (0, 15):
            # Reserved: nothing behind them can be understood (RFC 8285 §4.2).
            break
        stop = at + 1 + (head & 0x0F)
        if stop > end:
            raise RtpError("an element of an RTP header extension is cut short")
        found.append((identifier, bytes(data[at:stop])))
        at = stop
    return tuple(found)


def _parse_two_byte(data: bytes | memoryview, at: int, end: int) -> tuple[tuple[int, bytes], ...]:
    found: list[tuple[int, bytes]] = []
    while at < end:
        identifier = data[at]
        at += 1
        if not identifier:
            continue
        if at == end:
            raise RtpError("an element of an RTP header extension is cut short")
        start = at + 1
        at = start + data[at]
        if at > end:
            raise RtpError("an element of an RTP header extension is cut short")
        found.append((identifier, bytes(data[start:at])))
    return tuple(found)


def _write_extensions(extensions: tuple[tuple[int, bytes], ...]) -> bytes:
    out = bytearray(4)
    if all(0 < identifier < 15 and 0 < len(value) <= 16 for identifier, value in extensions):
        profile = _ONE_BYTE_FORM
        for identifier, value in extensions:
            out.append(identifier << 4 | len(value) - 1)
            out += value
    else:
        profile = _TWO_BYTE_FORM << 4
        for identifier, value in extensions:
            if not 0 < identifier < 256:
                raise RtpError(f"{identifier} cannot identify an RTP header extension")
            out.append(identifier)
            out.append(len(value))
            out += value
    out += bytes(-len(out) % 4)
    out[:2] = profile.to_bytes(2, "big")
    out[2:4] = (len(out) // 4 - 1).to_bytes(2, "big")
    return bytes(out)
