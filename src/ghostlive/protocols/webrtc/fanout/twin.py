"""The kernel in Python: for machines where the native one was not built, and the judge of its output.

One `sendmsg` for each packet, five times the work of the native kernel. Encryption is the `cryptography` package's.
Specifications: RFC 3711 §4.1.1 and §4.2.1 (counter mode, HMAC-SHA1), RFC 7714 §8.1 (AES-GCM), RFC 8285 §4.2.
"""

import errno
import hmac
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR

from ghostlive.protocols.webrtc.fanout.types import (
    EXTENDED_SEQUENCES,
    MAX_HELD,
    MAX_PADDING,
    PATIENCE_US,
    SENT_KEPT,
    Address,
    Binding,
    Burst,
    KernelStats,
    Packet,
    SendResult,
    socket_address,
    source_of,
)
from ghostlive.protocols.webrtc.pktinfo import Control
from ghostlive.protocols.webrtc.srtp import Profile, SrtpKeys, derive

Seal: TypeAlias = Callable[[bytes, bytes, int, int], bytes]
"""(header, payload, SSRC, packet index) to the SRTP packet."""

FULL: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ENOMEM})
REPORTED: Final = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EPROTO})
"""Errors that an ICMP message may have left behind for an earlier packet; this one deserves another try."""

_HEADER: Final = struct.Struct(">BBHII")


@dataclass(slots=True)
class _Bound:
    """A viewer in a lane; `served` is the serial of the last held burst that it got or does not get."""

    binding: Binding
    served: int


class _Target(NamedTuple):
    address: tuple[str, int] | tuple[str, int, int, int]
    control: tuple[Control, ...]
    """From where to send."""


@dataclass(slots=True, eq=False)
class _Viewer:
    seal: Seal
    tag: int
    to: _Target | None
    lanes: dict[int, _Bound] = field(default_factory=dict)
    transport_sequence: int = 0
    ring: list[tuple[int, int, int] | None] = field(default_factory=list)


@dataclass(slots=True)
class _Counts:
    packets: int = 0
    bytes: int = 0
    dropped: int = 0
    messages: int = 0
    full: int = 0
    unreachable: int = 0


@dataclass(slots=True)
class _Lane:
    viewers: dict[int, _Viewer] = field(default_factory=dict)
    held: list[tuple[int, Burst]] = field(default_factory=list)
    serial: int = 0
    """Of the burst that was held last."""
    turn: int = 0
    """Where the next burst begins: with those who went short the last time."""


class PythonKernel:
    """See `Kernel`. `fd` is a UDP socket that somebody else owns, or -1 for `protect` alone.

    `offload` is there for the sake of the native kernel.
    """

    native = False

    def __init__(self, fd: int, *, offload: bool = True) -> None:
        self._socket = None if fd < 0 else socket.fromfd(fd, *_kind(fd))
        if self._socket is not None:
            self._socket.setblocking(False)
        self._viewers: dict[int, _Viewer] = {}
        self._lanes: dict[int, _Lane] = {}
        self._counts = _Counts()
        self.patience_us = PATIENCE_US
        self._patience = 0
        self._failures: list[int] = []

    def open(self, viewer: int, keys: SrtpKeys, address: Address | None) -> None:
        """See `Kernel.open`."""
        to = self._address(address)
        self.close(viewer)
        self._viewers[viewer] = _Viewer(_sealer(keys), keys.profile.tag_length, to)

    def move(self, viewer: int, address: Address | None) -> None:
        """See `Kernel.move`."""
        to = self._address(address)
        if (entry := self._viewers.get(viewer)) is not None:
            entry.to = to

    def close(self, viewer: int) -> None:
        """See `Kernel.close`."""
        entry = self._viewers.get(viewer)
        if entry is not None:
            for lane in list(entry.lanes):
                self.unbind(viewer, lane)
            del self._viewers[viewer]

    def bind(self, viewer: int, lane: int, binding: Binding) -> None:
        """See `Kernel.bind`."""
        if (entry := self._viewers.get(viewer)) is None:
            return
        there = self._lanes.setdefault(lane, _Lane())
        there.viewers[viewer] = entry
        entry.lanes[lane] = _Bound(binding, there.serial)

    def unbind(self, viewer: int, lane: int) -> None:
        """See `Kernel.unbind`."""
        there = self._lanes.get(lane)
        if there is not None and there.viewers.pop(viewer, None) is not None:
            del self._viewers[viewer].lanes[lane]
            if not there.viewers:
                del self._lanes[lane]

    def viewers(self, lane: int) -> int:
        """See `Kernel.viewers`."""
        there = self._lanes.get(lane)
        return 0 if there is None else len(there.viewers)

    def send(self, lane: int, burst: Burst, now_us: int) -> SendResult:
        """See `Kernel.send`."""
        if (there := self._lanes.get(lane)) is None or not burst.payloads:
            return SendResult()
        result = self.release(lane, now_us)
        self._patience = self.patience_us
        delivered = SendResult()
        viewers = list(there.viewers.values())
        turn = there.turn % len(viewers)
        for viewer in viewers[turn:] + viewers[:turn]:
            if viewer.to is not None:
                delivered += self._deliver(viewer, lane, burst, now_us)
        if delivered.dropped:
            served = len(viewers) * delivered.packets // (delivered.packets + delivered.dropped)
            there.turn = (turn + max(1, served)) % len(viewers)
        return result + self._count(delivered)

    def hold(self, lane: int, burst: Burst, now_us: int) -> SendResult:
        """See `Kernel.hold`."""
        if (there := self._lanes.get(lane)) is None or not burst.payloads:
            return SendResult()
        result = self.release(lane, now_us) if len(there.held) >= MAX_HELD else SendResult()
        there.serial += 1
        there.held.append((there.serial, burst))
        return result

    def release(self, lane: int, now_us: int) -> SendResult:
        """See `Kernel.release`."""
        if (there := self._lanes.get(lane)) is None or not there.held:
            return SendResult()
        self._patience = self.patience_us
        result = SendResult()
        for viewer in there.viewers.values():
            if viewer.to is not None:
                result += self._transmit(viewer, self._held(viewer, lane, now_us))
        there.held.clear()
        return self._count(result)

    def send_to(self, viewer: int, packets: Sequence[Packet], now_us: int) -> SendResult:
        """See `Kernel.send_to`."""
        if (entry := self._viewers.get(viewer)) is None or entry.to is None:
            return SendResult()
        self._patience = self.patience_us
        return self._count(self._transmit(entry, [self._seal(entry, packet, 0, now_us) for packet in packets]))

    def protect(self, viewer: int, packets: Sequence[Packet], now_us: int) -> list[bytes]:
        """See `Kernel.protect`."""
        entry = self._viewers.get(viewer)
        return [] if entry is None else [self._seal(entry, packet, 0, now_us) for packet in packets]

    def sent(self, viewer: int, first: int, count: int) -> list[tuple[int, int, int]]:
        """See `Kernel.sent`."""
        entry = self._viewers.get(viewer)
        if entry is None or not entry.ring:
            return []
        found = []
        for number in range(first, first + count):
            kept = entry.ring[number % SENT_KEPT]
            if kept is not None and kept[0] == number & 0xFFFF:
                found.append(kept)
        return found

    def stats(self) -> KernelStats:
        """See `Kernel.stats`."""
        counts = self._counts
        return KernelStats(
            viewers=len(self._viewers),
            packets=counts.packets,
            bytes=counts.bytes,
            dropped=counts.dropped,
            messages=counts.messages,
            full=counts.full,
            unreachable=counts.unreachable,
        )

    def shut(self) -> None:
        """See `Kernel.shut`."""
        for viewer in list(self._viewers):
            self.close(viewer)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def fail_next(self, errors: Sequence[int]) -> None:
        """For tests: the operating system shall answer the next messages with these `errno`s (0: takes it)."""
        self._failures = list(errors)

    def _address(self, address: Address | None) -> _Target | None:
        if address is None or self._socket is None:
            return None
        source = source_of(address, self._socket.family)
        return _Target(socket_address(address, self._socket.family), () if source is None else (source,))

    def _deliver(self, viewer: _Viewer, lane: int, burst: Burst, now_us: int) -> SendResult:
        """One burst and what waits for the same viewer."""
        binding = viewer.lanes[lane].binding
        waiting = [
            other for other, bound in viewer.lanes.items() if other != lane and self._lanes[other].serial > bound.served
        ]
        padding = self._padding(viewer, burst, binding, waiting) if waiting else 0
        packets = self._seal_burst(viewer, binding, burst, padding, now_us)
        for other in waiting:
            packets += self._held(viewer, other, now_us)
        return self._transmit(viewer, packets)

    def _padding(self, viewer: _Viewer, burst: Burst, binding: Binding, waiting: list[int]) -> int:
        """How many bytes the last packet lacks to be as long as the others, if what is held fits behind them then."""
        sizes = [len(payload) for payload in burst.payloads]
        lack = sizes[0] - sizes[-1]
        if not 0 < lack <= MAX_PADDING or any(size != sizes[0] for size in sizes[:-1]):
            return 0
        bound = viewer.lanes[waiting[0]]
        first = next((held for serial, held in self._lanes[waiting[0]].held if serial > bound.served), None)
        if first is None:
            return 0
        rider = _header_length(bound.binding) + len(first.payloads[0])
        return lack if rider <= _header_length(binding) + sizes[0] else 0

    def _held(self, viewer: _Viewer, lane: int, now_us: int) -> list[bytes]:
        """What a lane holds for a viewer, which has it from here on."""
        there, bound = self._lanes[lane], viewer.lanes[lane]
        packets: list[bytes] = []
        for serial, burst in there.held:
            if serial > bound.served:
                packets += self._seal_burst(viewer, bound.binding, burst, 0, now_us)
        bound.served = there.serial
        return packets

    def _seal_burst(self, viewer: _Viewer, binding: Binding, burst: Burst, padding: int, now_us: int) -> list[bytes]:
        last = len(burst.payloads) - 1
        timestamp = (burst.timestamp + binding.timestamp_offset) & 0xFFFFFFFF
        packets = []
        for i, payload in enumerate(burst.payloads):
            packet = Packet(
                ssrc=binding.ssrc,
                payload_type=binding.payload_type,
                sequence=(burst.index + i + binding.sequence_offset) % EXTENDED_SEQUENCES,
                timestamp=timestamp,
                marker=burst.marker and i == last,
                payload=payload,
                abs_send_time_id=binding.abs_send_time_id,
                transport_sequence_id=binding.transport_sequence_id,
                mid_id=binding.mid_id,
                mid=binding.mid,
            )
            packets.append(self._seal(viewer, packet, padding if i == last else 0, now_us))
        return packets

    def _seal(self, viewer: _Viewer, packet: Packet, padding: int, now_us: int) -> bytes:
        number = None
        if packet.transport_sequence_id:
            number = viewer.transport_sequence
            viewer.transport_sequence = (number + 1) & 0xFFFF
        extension = _extension(packet, number, now_us)
        header = _HEADER.pack(
            0x80 | (0x20 if padding else 0) | (0x10 if extension else 0),
            (0x80 if packet.marker else 0) | packet.payload_type,
            packet.sequence & 0xFFFF,
            packet.timestamp,
            packet.ssrc,
        )
        payload = packet.payload + bytes(padding - 1) + bytes([padding]) if padding else packet.payload
        sealed = viewer.seal(header + extension, payload, packet.ssrc, packet.sequence)
        if number is not None:
            viewer.ring = viewer.ring or [None] * SENT_KEPT
            viewer.ring[number % SENT_KEPT] = (number, now_us, len(sealed))
        return sealed

    def _transmit(self, viewer: _Viewer, packets: list[bytes]) -> SendResult:
        if viewer.to is None or self._socket is None:
            return SendResult()
        count = size = 0
        for packet in packets:
            if self._take(self._socket, packet, viewer.to):
                count += 1
                size += len(packet)
        return SendResult(count, size, len(packets) - count)

    def _take(self, sock: socket.socket, packet: bytes, to: _Target) -> bool:
        """Whether the operating system took the packet, in the time that this call has left to wait."""
        reported = False
        while True:
            try:
                if self._failures and (failure := self._failures.pop(0)):
                    raise OSError(failure, "as a test wishes")
                sock.sendmsg((packet,), to.control, 0, to.address)
            except OSError as error:
                if error.errno in FULL:
                    self._counts.full += 1
                    if self._patience <= 0:
                        return False
                    begun = time.monotonic_ns()
                    if error.errno in (errno.ENOBUFS, errno.ENOMEM):
                        time.sleep(
                            0.0002
                        )  # the socket has room, but what is below it has not: there is nothing to wait for
                    else:
                        select.select([], [sock], [], self._patience / 1e6)
                    self._patience -= max(1, (time.monotonic_ns() - begun) // 1000)
                elif error.errno in REPORTED and not reported:
                    reported = True
                elif error.errno != errno.EINTR:
                    self._counts.unreachable += 1
                    return False
            else:
                self._counts.messages += 1
                return True

    def _count(self, result: SendResult) -> SendResult:
        self._counts.packets += result.packets
        self._counts.bytes += result.bytes
        self._counts.dropped += result.dropped
        return result


def _kind(fd: int) -> tuple[int, int]:
    with socket.socket(fileno=fd) as probe:
        kind = probe.family, probe.type
        probe.detach()
    return kind


def _header_length(header: Binding | Packet) -> int:
    return _HEADER.size + len(_extension(header, 0, 0))


def _extension(header: Binding | Packet, number: int | None, now_us: int) -> bytes:
    """Header extension in one-byte form: send time, transport-wide number, mid; empty without any."""
    elements = b""
    if header.abs_send_time_id:
        # Seconds with 18 bits behind the point, modulo 64 s.
        stamp = ((now_us % 64_000_000) << 18) // 1_000_000
        elements += bytes([header.abs_send_time_id << 4 | 2]) + stamp.to_bytes(3)
    if header.transport_sequence_id:
        elements += bytes([header.transport_sequence_id << 4 | 1]) + (number or 0).to_bytes(2)
    if header.mid_id:
        elements += bytes([header.mid_id << 4 | len(header.mid) - 1]) + header.mid
    if not elements:
        return b""
    elements += bytes(-len(elements) % 4)
    return b"\xbe\xde" + (len(elements) // 4).to_bytes(2) + elements


def _sealer(keys: SrtpKeys) -> Seal:
    session = derive(keys)
    salt = int.from_bytes(session.salt)
    if keys.profile is Profile.AEAD_AES_128_GCM:
        cipher = AESGCM(session.cipher_key)

        def seal_gcm(header: bytes, payload: bytes, ssrc: int, index: int) -> bytes:
            nonce = ((ssrc << 48 | index) ^ salt).to_bytes(12)
            return header + cipher.encrypt(nonce, payload, header)

        return seal_gcm

    algorithm, auth_key = AES128(session.cipher_key), session.auth_key

    def seal_cm(header: bytes, payload: bytes, ssrc: int, index: int) -> bytes:
        counter = (salt << 16 ^ ssrc << 64 ^ index << 16).to_bytes(16)
        packet = header + Cipher(algorithm, CTR(counter)).encryptor().update(payload)
        return packet + hmac.digest(auth_key, packet + (index >> 16).to_bytes(4), "sha1")[:10]

    return seal_cm
