"""Compound RTCP: datagrams ↔ packets.

Specifications: RFC 3550 §6.1 and those named in `packets`; RFC 5506: a compound need not begin with a report.
Invariant: hostile bytes raise `RtcpError` and nothing else. Parsing runs for every packet of every viewer.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Final

from ghostlive.formats.rtcp.packets import (
    FullIntraRequest,
    Goodbye,
    Nack,
    Packet,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpError,
    SenderReport,
    SourceDescription,
    TransportFeedback,
    UnknownPacket,
)
from ghostlive.formats.rtcp.transport_feedback import parse_transport_feedback, write_transport_feedback

MAX_SIZE: Final = 4096
"""Bytes of a compound that is read; real ones fit a datagram."""
_MAX_PACKETS: Final = 64

_SENDER_REPORT: Final = 200
_RECEIVER_REPORT: Final = 201
_SOURCE_DESCRIPTION: Final = 202
_GOODBYE: Final = 203
_TRANSPORT_LAYER: Final = 205
_PAYLOAD_SPECIFIC: Final = 206

_NACK: Final = 1
_TRANSPORT_CC: Final = 15
_PLI: Final = 1
_FIR: Final = 4
_APPLICATION: Final = 15

_CNAME: Final = 1

_WORD: Final = struct.Struct("!I")
_TWO_WORDS: Final = struct.Struct("!II")
_SENDER: Final = struct.Struct("!IQIII")
_BLOCK: Final = struct.Struct("!IIIIII")
_NACK_ITEM: Final = struct.Struct("!HH")
_FIR_ITEM: Final = struct.Struct("!IB3x")


def parse_compound(data: bytes | memoryview) -> list[Packet]:
    """All packets of a datagram, in order. Raises `RtcpError`."""
    data = bytes(data)
    size = len(data)
    if size > MAX_SIZE:
        raise RtcpError(f"a compound RTCP packet of {size} bytes")
    packets: list[Packet] = []
    at = 0
    while True:
        if at + 4 > size:
            raise RtcpError("an RTCP packet is shorter than its header")
        first = data[at]
        if first & 0xC0 != 0x80:
            raise RtcpError(f"RTCP version {first >> 6} is unknown")
        body = at + 4
        end = following = body + (data[at + 2] << 10 | data[at + 3] << 2)
        if end > size:
            raise RtcpError("an RTCP packet is cut short")
        if first & 0x20:
            padding = data[end - 1]
            # Whole words say RFC 3550; transport feedback pads to a word with one to three bytes.
            if not 0 < padding <= end - body:
                raise RtcpError(f"an RTCP packet has {padding} bytes of padding")
            end -= padding
        kind = data[at + 1]
        parse = _PARSERS.get(kind)
        if parse is None:
            packets.append(UnknownPacket(kind, first & 0x1F, data[body:end]))
        else:
            parse(packets, data, body, end, first & 0x1F)
        if following == size:
            return packets
        if len(packets) >= _MAX_PACKETS:
            raise RtcpError(f"more than {_MAX_PACKETS} packets in a compound RTCP packet")
        at = following


def write_compound(packets: Iterable[Packet]) -> bytes:
    """One datagram of these packets, in order. Raises `RtcpError` when something does not fit."""
    try:
        return b"".join(_write(packet) for packet in packets)
    except (struct.error, OverflowError, ValueError) as error:
        raise RtcpError(f"a field of an RTCP packet does not fit: {error}") from None


def _parse_sender_report(found: list[Packet], data: bytes, at: int, end: int, count: int) -> None:
    if end - at < 24 + 24 * count:
        raise RtcpError("a sender report is cut short")
    ssrc, ntp, rtp_timestamp, packets, octets = _SENDER.unpack_from(data, at)
    blocks = _parse_blocks(data, at + 24, count) if count else ()
    found.append(SenderReport(ssrc, ntp, rtp_timestamp, packets, octets, blocks))


def _parse_receiver_report(found: list[Packet], data: bytes, at: int, end: int, count: int) -> None:
    if end - at < 4 + 24 * count:
        raise RtcpError("a receiver report is cut short")
    (ssrc,) = _WORD.unpack_from(data, at)
    found.append(ReceiverReport(ssrc, _parse_blocks(data, at + 4, count) if count else ()))


def _parse_blocks(data: bytes, at: int, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for start in range(at, at + 24 * count, 24):
        ssrc, losses, highest, jitter, last_sr, delay = _BLOCK.unpack_from(data, start)
        lost = losses & 0xFFFFFF
        if lost & 0x800000:
            lost -= 0x1000000
        blocks.append(ReportBlock(ssrc, losses >> 24, lost, highest, jitter, last_sr, delay))
    return tuple(blocks)


def _parse_source_description(found: list[Packet], data: bytes, at: int, end: int, count: int) -> None:
    for _ in range(count):
        if at + 4 > end:
            raise RtcpError("a source description is cut short")
        (ssrc,) = _WORD.unpack_from(data, at)
        start = at
        at += 4
        cname = ""
        while True:
            if at >= end:
                raise RtcpError("a source description does not end")
            item = data[at]
            if not item:
                break
            if at + 2 > end or at + 2 + data[at + 1] > end:
                raise RtcpError("an item of a source description is cut short")
            text = at + 2
            at = text + data[at + 1]
            if item == _CNAME:
                cname = data[text:at].decode("utf-8", "replace")
        # A chunk ends with one to four zeros, on a word.
        at += 4 - (at - start) % 4
        if at > end:
            raise RtcpError("a source description is cut short")
        found.append(SourceDescription(ssrc, cname))


def _parse_goodbye(found: list[Packet], data: bytes, at: int, end: int, count: int) -> None:
    stop = at + 4 * count
    if stop > end:
        raise RtcpError("a goodbye is cut short")
    ssrcs = struct.unpack_from(f"!{count}I", data, at)
    reason = ""
    if stop < end:
        if stop + 1 + data[stop] > end:
            raise RtcpError("the reason of a goodbye is cut short")
        reason = data[stop + 1 : stop + 1 + data[stop]].decode("utf-8", "replace")
    found.append(Goodbye(ssrcs, reason))


def _parse_transport_layer(found: list[Packet], data: bytes, at: int, end: int, count: int) -> None:
    if count == _TRANSPORT_CC:
        found.append(parse_transport_feedback(data, at, end))
        return
    if count != _NACK:
        found.append(UnknownPacket(_TRANSPORT_LAYER, count, data[at:end]))
        return
    if end - at < 12 or (end - at) % 4:
        raise RtcpError("a NACK is cut short")
    sender, media = _TWO_WORDS.unpack_from(data, at)
    numbers = []
    for pid, mask in _NACK_ITEM.iter_unpack(data[at + 8 : end]):
        numbers.append(pid)
        if mask:
            numbers += [pid + 1 + bit & 0xFFFF for bit in range(16) if mask >> bit & 1]
    found.append(Nack(sender, media, tuple(numbers)))


def _parse_payload_specific(found: list[Packet], data: bytes, at: int, end: int, count: int) -> None:
    if end - at < 8:
        raise RtcpError("a feedback message is cut short")
    sender, media = _TWO_WORDS.unpack_from(data, at)
    at += 8
    if count == _PLI:
        found.append(PictureLossIndication(sender, media))
    elif count == _FIR:
        if at == end or (end - at) % 8:
            raise RtcpError("a full intra request is cut short")
        found.append(FullIntraRequest(sender, tuple(_FIR_ITEM.iter_unpack(data[at:end]))))
    elif count == _APPLICATION and data[at : at + 4] == b"REMB":
        if end - at < 8 or end - at < 8 + 4 * data[at + 4]:
            raise RtcpError("a bandwidth estimate (REMB) is cut short")
        rate = data[at + 5] << 16 | data[at + 6] << 8 | data[at + 7]
        bitrate = (rate & 0x3FFFF) << (rate >> 18)
        if bitrate >= 1 << 63:
            raise RtcpError("a bandwidth estimate (REMB) beyond all measure")
        found.append(Remb(sender, bitrate, struct.unpack_from(f"!{data[at + 4]}I", data, at + 8)))
    else:
        found.append(UnknownPacket(_PAYLOAD_SPECIFIC, count, data[at - 8 : end]))


_PARSERS: Final[dict[int, Callable[[list[Packet], bytes, int, int, int], None]]] = {
    _SENDER_REPORT: _parse_sender_report,
    _RECEIVER_REPORT: _parse_receiver_report,
    _SOURCE_DESCRIPTION: _parse_source_description,
    _GOODBYE: _parse_goodbye,
    _TRANSPORT_LAYER: _parse_transport_layer,
    _PAYLOAD_SPECIFIC: _parse_payload_specific,
}


def _write(packet: Packet) -> bytes:
    match packet:
        case SenderReport(ssrc, ntp, rtp_timestamp, packets, octets, blocks):
            head = _SENDER.pack(ssrc, ntp, rtp_timestamp & 0xFFFFFFFF, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
            return _frame(_SENDER_REPORT, len(blocks), head, *map(_write_block, blocks))
        case ReceiverReport(ssrc, blocks):
            return _frame(_RECEIVER_REPORT, len(blocks), _WORD.pack(ssrc), *map(_write_block, blocks))
        case SourceDescription(ssrc, cname):
            text = cname.encode()
            item = bytes((_CNAME, len(text))) + text if text else b""
            return _frame(_SOURCE_DESCRIPTION, 1, _WORD.pack(ssrc), item, bytes(4 - len(item) % 4))
        case Goodbye(ssrcs, reason):
            text = reason.encode()
            ending = bytes((len(text),)) + text if text else b""
            return _frame(_GOODBYE, len(ssrcs), struct.pack(f"!{len(ssrcs)}I", *ssrcs), ending)
        case Nack(sender, media, numbers):
            return _frame(_TRANSPORT_LAYER, _NACK, _TWO_WORDS.pack(sender, media), _write_nacks(numbers))
        case TransportFeedback():
            return _frame(_TRANSPORT_LAYER, _TRANSPORT_CC, write_transport_feedback(packet), pad=True)
        case PictureLossIndication(sender, media):
            return _frame(_PAYLOAD_SPECIFIC, _PLI, _TWO_WORDS.pack(sender, media))
        case FullIntraRequest(sender, entries):
            items = (_FIR_ITEM.pack(ssrc, number) for ssrc, number in entries)
            return _frame(_PAYLOAD_SPECIFIC, _FIR, _TWO_WORDS.pack(sender, 0), *items)
        case Remb(sender, bitrate, ssrcs):
            exponent = max(bitrate.bit_length() - 18, 0)
            rate = (exponent << 18 | bitrate >> exponent).to_bytes(3, "big")
            head = _TWO_WORDS.pack(sender, 0) + b"REMB" + bytes((len(ssrcs),)) + rate
            return _frame(_PAYLOAD_SPECIFIC, _APPLICATION, head, struct.pack(f"!{len(ssrcs)}I", *ssrcs))
        case UnknownPacket(kind, count, body):
            return _frame(kind, count, body, pad=True)


def _frame(kind: int, count: int, *parts: bytes, pad: bool = False) -> bytes:
    if not 0 <= count < 32:
        raise RtcpError(f"{count} items in an RTCP packet; it has room for 31")
    body = b"".join(parts)
    first = 0x80 | count
    missing = -len(body) % 4
    if missing:
        # Where zeros at the end could mean something, the last byte tells how many there are (RFC 3550 §6.4.1).
        first |= 0x20 if pad else 0
        body += bytes(missing - 1) + bytes((missing if pad else 0,))
    return bytes((first, kind)) + (len(body) // 4).to_bytes(2, "big") + body


def _write_block(block: ReportBlock) -> bytes:
    lost = min(max(block.lost, -0x800000), 0x7FFFFF) & 0xFFFFFF
    if not 0 <= block.fraction_lost < 256:
        raise RtcpError(f"a fraction of {block.fraction_lost} of 256 packets lost")
    return _BLOCK.pack(
        block.ssrc,
        block.fraction_lost << 24 | lost,
        block.highest_sequence & 0xFFFFFFFF,
        block.jitter & 0xFFFFFFFF,
        block.last_sr,
        block.delay_since_last_sr & 0xFFFFFFFF,
    )


def _write_nacks(numbers: tuple[int, ...]) -> bytes:
    if not numbers:
        raise RtcpError("a NACK of no packet")
    out = bytearray()
    pid, mask = numbers[0], 0
    for number in numbers[1:]:
        ahead = number - pid & 0xFFFF
        if 0 < ahead <= 16:
            mask |= 1 << ahead - 1
        elif ahead:
            out += _NACK_ITEM.pack(pid, mask)
            pid, mask = number, 0
    out += _NACK_ITEM.pack(pid, mask)
    return bytes(out)
