"""Transport-wide feedback: chunks of packet states and deltas of arrival times, both directions.

Specification: draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from ghostlive.formats.rtcp.packets import RtcpError, TransportFeedback

_HEAD: Final = struct.Struct("!IIHH4s")
_TICK_US: Final = 250
_REFERENCE_US: Final = 64_000
_TICKS: Final = _REFERENCE_US // _TICK_US
MAX_STATUSES: Final = 4096
"""Packets that one feedback may speak of: more than a second's, at the highest rates."""
_MAX_RUN: Final = 0x1FFF
_MISSING, _SMALL, _LARGE = 0, 1, 2
_SEVEN_BITS: Final = tuple(tuple(bits >> shift & 1 for shift in range(6, -1, -1)) for bits in range(128))


def parse_transport_feedback(data: bytes, at: int, end: int) -> TransportFeedback:
    """Read what lies behind the common header. Raises `RtcpError`."""
    if end - at < _HEAD.size:
        raise RtcpError("a transport feedback is cut short")
    sender_ssrc, media_ssrc, base, count, rest = _HEAD.unpack_from(data, at)
    if count > MAX_STATUSES:
        raise RtcpError(f"a transport feedback about {count} packets")
    reference = int.from_bytes(rest[:3], "big", signed=True)
    at += _HEAD.size
    statuses: list[int] = []
    while len(statuses) < count:
        if at + 2 > end:
            raise RtcpError("a transport feedback lacks the states of some packets")
        chunk = data[at] << 8 | data[at + 1]
        at += 2
        if chunk < 0x8000:
            statuses += [chunk >> 13] * min(chunk & _MAX_RUN, count)
        elif chunk < 0xC000:
            statuses += _SEVEN_BITS[chunk >> 7 & 0x7F]
            statuses += _SEVEN_BITS[chunk & 0x7F]
        else:
            statuses += [chunk >> shift & 3 for shift in (12, 10, 8, 6, 4, 2, 0)]
    del statuses[count:]
    arrivals: list[tuple[int, int | None]] = []
    time = reference * _REFERENCE_US
    number = base
    for status in statuses:
        if status == _MISSING:
            arrivals.append((number, None))
        else:
            if status == _SMALL:
                if at >= end:
                    raise RtcpError("a transport feedback lacks the times of some packets")
                time += data[at] * _TICK_US
                at += 1
            elif status == _LARGE:
                if at + 2 > end:
                    raise RtcpError("a transport feedback lacks the times of some packets")
                delta = data[at] << 8 | data[at + 1]
                time += (delta - 0x10000 if delta & 0x8000 else delta) * _TICK_US
                at += 2
            else:
                raise RtcpError("a transport feedback has a packet state that is reserved")
            arrivals.append((number, time))
        number = number + 1 & 0xFFFF
    return TransportFeedback(sender_ssrc, media_ssrc, base, rest[3], reference, tuple(arrivals))


def write_transport_feedback(feedback: TransportFeedback) -> bytes:
    """Write what lies behind the common header, not padded to words. Raises `RtcpError`."""
    if len(feedback.arrivals) > MAX_STATUSES:
        raise RtcpError(f"a transport feedback about {len(feedback.arrivals)} packets")
    statuses: list[int] = []
    deltas = bytearray()
    last = feedback.reference_time * _TICKS
    for _, received_us in feedback.arrivals:
        if received_us is None:
            statuses.append(_MISSING)
            continue
        tick = received_us // _TICK_US
        delta, last = tick - last, tick
        if 0 <= delta < 256:
            statuses.append(_SMALL)
            deltas.append(delta)
        else:
            statuses.append(_LARGE)
            try:
                deltas += delta.to_bytes(2, "big", signed=True)
            except OverflowError:
                raise RtcpError("packets of a transport feedback lie too far apart in time") from None
    reference = (feedback.reference_time & 0xFFFFFF).to_bytes(3, "big")
    head = _HEAD.pack(
        feedback.sender_ssrc,
        feedback.media_ssrc,
        feedback.base_sequence_number,
        len(statuses),
        reference + bytes((feedback.feedback_count & 0xFF,)),
    )
    return b"".join((head, *_chunks(statuses), deltas))


def make_feedback(
    sender_ssrc: int,
    media_ssrc: int,
    feedback_count: int,
    arrivals: Iterable[tuple[int, int]],
    *,
    limit: int = 500,
) -> list[TransportFeedback]:
    """Feedback about packets that arrived: extended sequence numbers, ascending, with microseconds of any clock.

    What lies between two of them is told missing. Begins a new feedback (with the next count) after `limit` packets,
    a jump in time that a delta cannot hold, or a gap of more than `limit`, in which nothing is told.
    """
    found: list[TransportFeedback] = []
    base = last_tick = reference = 0
    part: list[tuple[int, int | None]] = []

    def finish() -> None:
        if part:
            count = feedback_count + len(found) & 0xFF
            found.append(TransportFeedback(sender_ssrc, media_ssrc, base & 0xFFFF, count, reference, tuple(part)))
            part.clear()

    for number, received_us in arrivals:
        tick = received_us // _TICK_US
        if not part or number - base >= limit or not -0x8000 <= tick - last_tick <= 0x7FFF:
            finish()
            base, reference = number, tick // _TICKS
            # The reference wraps at 24 bits; times within one feedback count from the wrapped one.
            shift = ((reference + (1 << 23) & 0xFFFFFF) - (1 << 23) - reference) * _TICKS
            reference += shift // _TICKS
        part.extend((gap & 0xFFFF, None) for gap in range(base + len(part), number))
        part.append((number & 0xFFFF, (tick + shift) * _TICK_US))
        last_tick = tick
    finish()
    return found


def _chunks(statuses: list[int]) -> Iterator[bytes]:
    at = 0
    while at < len(statuses):
        first = statuses[at]
        run = 1
        while at + run < len(statuses) and run < _MAX_RUN and statuses[at + run] == first:
            run += 1
        if run >= 14 or at + run == len(statuses):
            yield (first << 13 | run).to_bytes(2, "big")
            at += run
            continue
        vector = statuses[at : at + 14]
        if _LARGE not in vector:
            chunk = 0x8000
            for shift, status in enumerate(vector):
                chunk |= status << 13 - shift
        else:
            vector = vector[:7]
            chunk = 0xC000
            for shift, status in enumerate(vector):
                chunk |= status << 12 - 2 * shift
        yield chunk.to_bytes(2, "big")
        at += len(vector)
