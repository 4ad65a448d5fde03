"""Opus: identification header, `dOps` and packet durations.

Opus always plays at 48 kHz; what rate the original had is a remark in the header.

Specification: RFC 7845 §5.1 (identification header), RFC 6716 §3.1 and §3.2 (packets), Encapsulation of Opus in ISO
Base Media File Format §4.3.2 (`dOps`).
"""

from dataclasses import dataclass

from ghostlive.codecs.bits import Buffer
from ghostlive.codecs.facts import AudioFacts
from ghostlive.core.errors import MediaError

SAMPLE_RATE = 48000
MAX_PACKET_SAMPLES = 5760
"""120 ms, the longest packet (RFC 6716 §3.2.5)."""

_MAGIC = b"OpusHead"
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
