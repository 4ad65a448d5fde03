"""One stream's packets put in order, and cut into frames.

A frame is all packets of one timestamp. It is handed out when it is whole, which needs three things: its first packet
is known to be the first (it follows the last one of the frame before, or says so itself), its last one has the marker
or another timestamp follows, and none is missing in between. A missing packet is waited for, and then given up with
the frames that it belongs to; `Lost` stands where they were.

Packets without payload are padding, with which senders look for more bandwidth: they only fill the sequence.

Invariant: frames come out in order and whole, each packet in one of them at the most, and the buffer is bounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ghostlive.formats.rtp.sequence import distance
from ghostlive.protocols.webrtc.ingest.nack import MissingPackets

_JUMP: Final = 3000
"""Packets that a sender may be ahead of or behind what came last (RFC 3550 appendix A.1 has 3000 and 100)."""
_FIRST_WAIT: Final = 0.1
"""Seconds that the beginning of the very first frame may come later than what follows it."""
_LATE_REMEMBERED: Final = 512
_PATIENCE: Final = 0.04
_TRIES: Final = 4
_PATIENCE_FADES: Final = 0.999


@dataclass(slots=True, eq=False)
class Packet:
    """What of an RTP packet matters here."""

    payload_type: int
    timestamp: int
    """32 bits, as on the wire."""
    payload: bytes
    marker: bool
    arrived: float


@dataclass(slots=True, eq=False)
class WholeFrame:
    """All packets of a frame, in order."""

    packets: list[Packet]


@dataclass(frozen=True, slots=True)
class Lost:
    """Packets that were given up: what follows may depend on them."""

    packets: int


class JitterBuffer:
    """Puts packets of one stream in order."""

    def __init__(
        self,
        begins: Callable[[Packet], bool | None],
        *,
        audio: bool,
        asks: bool,
        told: bool,
        max_wait: float,
        max_far_wait: float,
        max_packets: int,
        max_bytes: int,
    ) -> None:
        """`begins` says whether a frame begins with a packet, None where nobody knows. Each packet of `audio` is one.

        `asks` is whether the sender is asked for missing packets. If not, they are waited for only as long as packets
        come late by themselves. `told` is whether retransmissions are a stream of their own.
        """
        self._begins = begins
        self._audio = audio
        self._asks = asks
        self._max_wait = max_wait
        self._max_far_wait = max_far_wait
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._packets: dict[int, Packet] = {}
        self._bytes = 0
        self._next: int | None = None
        """The first packet that was not handed out."""
        self._scanned = 0
        """Where the look at the frame that begins at `_next` ended."""
        self._highest = 0
        self._fresh = True
        """Nothing was handed out yet: what came first need not be the first."""
        self._in_step = False
        """A frame begins at `_next`."""
        self._left: Packet | None = None
        """What was left out last while looking for the beginning of a frame."""
        self._jumped_to: int | None = None
        self._cut = 0
        self._late: dict[int, float] = {}
        self._patience = min(_PATIENCE, max_wait)
        self.missing = MissingPackets(told=told)
        self.duplicates = 0
        """Packets that came twice, or too late to be of use."""
        self.restarts = 0
        """How often the sequence numbers began anew, or too much waited."""

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def size(self) -> int:
        """Bytes of payload that wait."""
        return self._bytes

    @property
    def highest(self) -> int:
        """The highest extended sequence number so far."""
        return self._highest

    @property
    def wait(self) -> float:
        """Seconds that a missing packet is waited for."""
        if not self._asks:
            return self._patience
        missing = self.missing
        return max(self._max_wait, min(missing.reordering + _TRIES * missing.round_trip_time, self._max_far_wait))

    def extend(self, sequence_number: int) -> int:
        """The extended number of 16 bits from the wire."""
        return self._highest + distance(sequence_number, self._highest) if self._next is not None else sequence_number

    def put(self, sequence_number: int, packet: Packet, *, again: bool = False) -> bool:
        """Take a packet; False for one that came before or that nobody waits for any more.

        `again` is whether it is known to be a retransmission.
        """
        if self._next is None:
            self._next = self._scanned = self._highest = sequence_number
            self._store(sequence_number, packet)
            return True
        sequence = self._highest + distance(sequence_number, self._highest)
        if not -_JUMP < sequence - self._highest < _JUMP:
            return not again and self._jump(sequence, packet)
        self._jumped_to = None
        if sequence > self._highest:
            if sequence > self._highest + 1:
                self.missing.add(self._highest + 1, sequence, packet.arrived)
                if len(self.missing) > _JUMP:
                    self._begin_anew(sequence, packet)
                    return True
            self._highest = sequence
        elif sequence < self._next:
            if not (self._fresh and self._next - sequence < _JUMP):
                self._note_late(sequence, packet.arrived)
                return False
            # The beginning comes after what follows it.
            self.missing.add_before(sequence + 1, self._next, packet.arrived)
            self._next = self._scanned = sequence
            self._in_step = False
            self._left = None
        elif sequence in self._packets:
            self.duplicates += 1
            return False
        else:
            self.missing.arrived(sequence, packet.arrived, again=again)
        self._store(sequence, packet)
        return True

    def take(self, now: float) -> list[WholeFrame | Lost]:
        """What is ready at `now`, in order."""
        out: list[WholeFrame | Lost] = []
        if self._cut:
            out.append(Lost(self._cut))
            self._cut = 0
        while (start := self._next) is not None:
            packet = self._packets.get(start)
            if packet is None:
                if start > self._highest or not self._give_up(start, now, out):
                    break
            elif not packet.payload:
                self._drop(start)
            elif not self._in_step and not self._find_step(start, packet, now):
                if self._next == start:
                    break
            elif not self._take_frame(start, packet, now, out):
                break
        return out

    def _take_frame(self, start: int, first: Packet, now: float, out: list[WholeFrame | Lost]) -> bool:
        """Hand out the frame that begins at `start`, or give it up; False when it has to be waited for."""
        end = start + 1 if self._audio or first.marker else self._find_end(start, first)
        if end is None:
            if self._scanned > self._highest:
                return False
            return self._give_up(self._scanned, now, out)
        packets = []
        for sequence in range(start, end):
            packet = self._packets.pop(sequence)
            self._bytes -= len(packet.payload)
            if packet.payload:
                packets.append(packet)
        self._next = self._scanned = end
        self._fresh = False
        out.append(WholeFrame(packets))
        return True

    def _find_end(self, start: int, first: Packet) -> int | None:
        """The number behind the frame's last packet; None while it is not known."""
        sequence = max(self._scanned, start + 1)
        while (packet := self._packets.get(sequence)) is not None:
            if packet.payload and packet.timestamp != first.timestamp:
                return sequence
            sequence += 1
            if packet.marker and packet.payload:
                return sequence
        self._scanned = sequence
        return None

    def _find_step(self, start: int, packet: Packet, now: float) -> bool:
        """Whether a frame begins at `start`; what does not begin one is left out."""
        before, self._left = self._left, None
        if (
            self._audio
            or self._begins(packet)
            or (before is not None and (before.marker or before.timestamp != packet.timestamp))
        ):
            self._in_step = True
            return True
        if self._fresh and now - packet.arrived < _FIRST_WAIT:
            self._left = before
            return False
        self._drop(start)
        self._left = packet
        return False

    def _give_up(self, sequence: int, now: float, out: list[WholeFrame | Lost]) -> bool:
        """Go on behind the gap at `sequence` when it was waited for long enough; False when it was not."""
        if sequence in self.missing and now - self.missing.since(sequence) < self.wait:
            return False
        assert self._next is not None
        for gone in range(self._next, sequence):
            self._drop(gone)
        end = sequence
        while end not in self._packets and end <= self._highest:
            self._note_given_up(end, now)
            end += 1
        self._next = self._scanned = end
        self._in_step = False
        self._left = None
        self.missing.forget(end)
        out.append(Lost(end - sequence))
        return True

    def _store(self, sequence: int, packet: Packet) -> None:
        self._packets[sequence] = packet
        self._bytes += len(packet.payload)
        if len(self._packets) > self._max_packets or self._bytes > self._max_bytes:
            self._begin_anew(sequence, packet)

    def _drop(self, sequence: int) -> None:
        packet = self._packets.pop(sequence)
        self._bytes -= len(packet.payload)
        self._next = sequence + 1
        self._scanned = max(self._scanned, self._next)

    def _jump(self, sequence: int, packet: Packet) -> bool:
        """A number from somewhere else: believed when the next one follows it (RFC 3550 appendix A.1)."""
        if sequence != self._jumped_to:
            self._jumped_to = sequence + 1
            return False
        self._begin_anew(sequence, packet)
        return True

    def _begin_anew(self, sequence: int, packet: Packet) -> None:
        """Forget what waits; go on with this packet."""
        self.restarts += 1
        self._cut += max(len(self._packets), 1)
        self._packets = {sequence: packet}
        self._bytes = len(packet.payload)
        self._next = self._scanned = self._highest = sequence
        self._in_step = False
        self._left = None
        self._jumped_to = None
        self._late.clear()
        self.missing.clear()

    # Without NACK, how long to wait is learned from packets that came too late.

    def _note_given_up(self, sequence: int, now: float) -> None:
        if self._asks:
            return
        self._patience = max(self._patience * _PATIENCE_FADES, min(_PATIENCE, self._max_wait))
        self._late[sequence] = self.missing.since(sequence) if sequence in self.missing else now
        if len(self._late) > _LATE_REMEMBERED:
            del self._late[next(iter(self._late))]

    def _note_late(self, sequence: int, now: float) -> None:
        self.duplicates += 1
        since = self._late.pop(sequence, None)
        if since is not None:
            self._patience = max(self._patience, min((now - since) * 1.25, self._max_wait))
