"""Opus: identification header, `dOps` and packet durations.

Opus always plays at 48 kHz; what rate the original had is a remark in the header.

Specification: RFC 7845 §5.1 (identification header), RFC 6716 §3.1 and §3.2 (packets), Encapsulation of Opus in ISO
Base Media File Format §4.3.2 (`dOps`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ghostlive.codecs.bits import Buffer
from ghostlive.codecs.facts import AudioFacts
from ghostlive.core.errors import MediaError

SAMPLE_RATE = 48000
MAX_PACKET_SAMPLES = 5760
"""120 ms, the longest packet (RFC 6716 §3.2.5)."""
MAX_FRAME_BYTES = 1275
"""The longest frame (RFC 6716 §3.2.1)."""

SILENT_SAMPLES = 960
"""20 ms, what a silent packet lasts."""

_MAGIC = b"OpusHead"
_SILENT_TOC = 31 << 3
"""CELT, full band, 20 ms, one frame (RFC 6716 §3.1)."""
_SILENT_FRAME = b"\xff\xfe"
"""A CELT frame whose first symbol is its silence flag (RFC 6716 §4.3), as libopus writes it."""
# Samples of a frame at 48 kHz by the configuration number in a packet's first byte (RFC 6716 table 2).
_FRAME_SAMPLES = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4


@dataclass(frozen=True, slots=True)
class OpusHead:
    """The identification header (RFC 7845 §5.1)."""

    channels: int
    pre_skip: int = 312
    """Samples at 48 kHz to drop when decoding begins; the default is libopus's, 6.5 ms."""
    input_sample_rate: int = SAMPLE_RATE
    output_gain: int = 0
    """In 1/256 dB."""
    mapping_family: int = 0
    mapping: bytes = b""
    """From family 1 on: stream count, coupled count, and an output channel's source each (§5.1.1)."""

    @classmethod
    def parse(cls, data: Buffer) -> "OpusHead":
        """Read a header with its magic. Raises `MediaError` when it is none or ends early."""
        head = bytes(data)
        if len(head) < 19 or not head.startswith(_MAGIC) or head[8] >> 4:
            raise MediaError("this is no Opus identification header")
        return cls._checked(
            channels=head[9],
            pre_skip=int.from_bytes(head[10:12], "little"),
            input_sample_rate=int.from_bytes(head[12:16], "little"),
            output_gain=int.from_bytes(head[16:18], "little", signed=True),
            mapping_family=head[18],
            rest=head[19:],
        )

    @classmethod
    def parse_dops(cls, data: Buffer) -> "OpusHead":
        """Read the body of a `dOps` box. Raises `MediaError` when it is none or ends early."""
        body = bytes(data)
        if len(body) < 11 or body[0] != 0:
            raise MediaError("this is no OpusSpecificBox: it must have 11 bytes and version 0")
        return cls._checked(
            channels=body[1],
            pre_skip=int.from_bytes(body[2:4], "big"),
            input_sample_rate=int.from_bytes(body[4:8], "big"),
            output_gain=int.from_bytes(body[8:10], "big", signed=True),
            mapping_family=body[10],
            rest=body[11:],
        )

    @classmethod
    def _checked(
        cls,
        *,
        channels: int,
        pre_skip: int,
        input_sample_rate: int,
        output_gain: int,
        mapping_family: int,
        rest: bytes,
    ) -> "OpusHead":
        if not channels or (not mapping_family and channels > 2):
            raise MediaError(f"Opus of mapping family {mapping_family} cannot have {channels} channels")
        mapping = rest[: 2 + channels] if mapping_family else b""
        if mapping_family and (len(mapping) < 2 + channels or not mapping[0] or mapping[1] > mapping[0]):
            raise MediaError("the channel mapping of an Opus header ends early or has no streams")
        return cls(channels, pre_skip, input_sample_rate, output_gain, mapping_family, mapping)

    def to_bytes(self) -> bytes:
        """The header with its magic, little-endian (RFC 7845), as `Track.config` has it."""
        return b"".join(
            (
                _MAGIC,
                bytes((1, self.channels)),
                self.pre_skip.to_bytes(2, "little"),
                self.input_sample_rate.to_bytes(4, "little"),
                self.output_gain.to_bytes(2, "little", signed=True),
                bytes((self.mapping_family,)),
                self.mapping,
            )
        )

    def to_dops(self) -> bytes:
        """The body of a `dOps` box: no magic, version 0, big-endian."""
        return b"".join(
            (
                bytes((0, self.channels)),
                self.pre_skip.to_bytes(2, "big"),
                self.input_sample_rate.to_bytes(4, "big"),
                self.output_gain.to_bytes(2, "big", signed=True),
                bytes((self.mapping_family,)),
                self.mapping,
            )
        )


def silent_packet(head: OpusHead) -> bytes:
    """A packet of `SILENT_SAMPLES` in which all channels are silent.

    With several streams, all but the last are delimited by themselves (RFC 7845 §3, RFC 6716 appendix B).
    """
    streams, coupled = head.mapping[:2] if head.mapping_family else (1, head.channels - 1)
    packets = [
        bytes((_SILENT_TOC | (0x04 if stream < coupled else 0),))
        + (bytes((len(_SILENT_FRAME),)) if stream < streams - 1 else b"")
        + _SILENT_FRAME
        for stream in range(streams)
    ]
    return b"".join(packets)


def packet_samples(packet: Buffer) -> int:
    """Duration of a packet in samples at 48 kHz (RFC 6716 §3.1).

    In a multistream packet all streams last as long as the first, which is the one read here. Raises `MediaError`
    when the packet is empty, ends early, or lasts more than 120 ms.
    """
    if not len(packet):
        raise MediaError("an Opus packet is empty")
    frame = _FRAME_SAMPLES[packet[0] >> 3]
    code = packet[0] & 3
    if code < 3:
        return frame if code == 0 else 2 * frame
    if len(packet) < 2:
        raise MediaError("an Opus packet ends before its frame count")
    samples = frame * (packet[1] & 0x3F)
    if not 0 < samples <= MAX_PACKET_SAMPLES:
        raise MediaError(f"an Opus packet lasts {samples} samples, where 1 to {MAX_PACKET_SAMPLES} are allowed")
    return samples


def split_packet(packet: Buffer) -> list[bytes]:
    """A packet for each of the frames of a packet, all with the same duration (RFC 6716 §3.2); padding is left out.

    Raises `MediaError` when the packet breaks its rules R1 to R7.
    """
    toc = bytes((packet[0] & 0xFC,)) if len(packet) else b""
    return [toc + frame for frame in _frames(packet)]


def merge_packets(packets: Sequence[Buffer]) -> bytes | None:
    """One packet with the frames of all, in order (RFC 6716 §3.2); None when they do not go together.

    They go together when mode, bandwidth, frame size and channels are the same, and they last at most 120 ms. Raises
    `MediaError` when a packet is broken.
    """
    if not packets:
        return None
    frames: list[bytes] = []
    toc = -1
    for packet in packets:
        frames += _frames(packet)
        if toc not in (-1, packet[0] & 0xFC):
            return None
        toc = packet[0] & 0xFC
        if len(frames) * _FRAME_SAMPLES[toc >> 3] > MAX_PACKET_SAMPLES:
            return None
    if len(packets) == 1:
        return bytes(packets[0])
    sizes = {len(frame) for frame in frames}
    if len(frames) == 2:
        head = bytes((toc | 1,)) if len(sizes) == 1 else bytes((toc | 2,)) + _write_size(len(frames[0]))
    elif len(sizes) == 1:
        head = bytes((toc | 3, len(frames)))
    else:
        head = bytes((toc | 3, 0x80 | len(frames))) + b"".join(_write_size(len(frame)) for frame in frames[:-1])
    return head + b"".join(frames)


def _frames(packet: Buffer) -> list[bytes]:
    """The frames of a packet, without its first byte (RFC 6716 §3.2.2 to §3.2.5)."""
    packet_samples(packet)
    data = bytes(packet)
    code, position, end = data[0] & 3, 1, len(data)
    sizes: list[int] = []  # of all frames but the last
    if code == 1:
        sizes.append((end - 1) // 2)
    elif code == 2:
        size, position = _read_size(data, 1)
        sizes.append(size)
    elif code == 3:
        count, padded, variable = data[1] & 0x3F, data[1] & 0x40, data[1] & 0x80
        position = 2
        if padded:
            padding, position = _read_padding(data, position)
            end -= padding
        if variable:
            for _ in range(count - 1):
                size, position = _read_size(data, position)
                sizes.append(size)
        else:
            sizes = [(end - position) // count] * (count - 1)
    sizes.append(end - position - sum(sizes))
    uneven = (code == 1 or (code == 3 and not data[1] & 0x80)) and sizes[-1] != sizes[0]
    if uneven or sizes[-1] < 0 or max(sizes) > MAX_FRAME_BYTES:
        raise MediaError(f"the frames of an Opus packet of {len(data)} bytes do not add up")
    frames: list[bytes] = []
    for size in sizes:
        frames.append(data[position : position + size])
        position += size
    return frames


def _read_size(data: bytes, position: int) -> tuple[int, int]:
    """Read a frame's length (RFC 6716 §3.2.1), and where it ends."""
    two = data[position : position + 2]
    if len(two) > (1 if two[:1] >= b"\xfc" else 0):
        return (two[0], position + 1) if two[0] < 252 else (two[0] + 4 * two[1], position + 2)
    raise MediaError("an Opus packet ends inside the length of a frame")


def _write_size(size: int) -> bytes:
    """A frame's length (RFC 6716 §3.2.1)."""
    return bytes((size,)) if size < 252 else bytes((252 | size & 3, (size - (252 | size & 3)) >> 2))


def _read_padding(data: bytes, position: int) -> tuple[int, int]:
    """Read how many bytes of padding are at the end (RFC 6716 §3.2.5), and where that is said."""
    padding = 0
    for index in range(position, len(data)):
        if data[index] < 255:
            return padding + data[index], index + 1
        padding += 254
    raise MediaError("an Opus packet ends inside the length of its padding")


def describe(config: bytes, payload: bytes = b"") -> AudioFacts:
    """Facts of an identification header or a `dOps` body. Raises `MediaError` when it is broken."""
    head = OpusHead.parse(config) if config.startswith(_MAGIC) else OpusHead.parse_dops(config)
    return AudioFacts(
        config=head.to_bytes(),
        codec_string="opus",
        sample_rate=SAMPLE_RATE,
        channels=head.channels,
        pre_skip=head.pre_skip,
    )
