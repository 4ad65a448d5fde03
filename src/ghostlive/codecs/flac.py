"""FLAC: STREAMINFO and frame headers.

Specification: RFC 9639 §8.1 and §8.2 (metadata blocks), §9.1 (frame header).
"""

from dataclasses import dataclass

from ghostlive.codecs.bits import BitReader, BitWriter, Buffer
from ghostlive.codecs.facts import AudioFacts
from ghostlive.core.errors import MediaError

STREAMINFO_SIZE = 34
_MAGIC = b"fLaC"
_SYNC = 0b111111111111100


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """The STREAMINFO metadata block (§8.2)."""

    min_block: int
    """Samples of the shortest block but the last; equal to `max_block` when all blocks are of one size."""
    max_block: int
    min_frame: int
    """Bytes; 0 when unknown, as it is in a live stream."""
    max_frame: int
    sample_rate: int
    channels: int
    bits_per_sample: int
    total_samples: int
    """0 when unknown."""
    md5: bytes = bytes(16)

    @classmethod
    def parse(cls, data: Buffer) -> "StreamInfo":
        """Read the block, also with the block's header, and the stream's magic, before it.

        Raises `MediaError` when it ends early or has values that are forbidden.
        """
        block = bytes(data)
        block = block.removeprefix(_MAGIC)
        # A STREAMINFO of 34 bytes never begins so: a first block size of at most 128 and 34 is below the minimum.
        if len(block) > STREAMINFO_SIZE and block[0] & 0x7F == 0 and block[1:4] == b"\x00\x00\x22":
            block = block[4:]
        if len(block) < STREAMINFO_SIZE:
            raise MediaError(f"a FLAC STREAMINFO has {STREAMINFO_SIZE} bytes, not {len(block)}")
        reader = BitReader(block[:STREAMINFO_SIZE])
        info = cls(
            min_block=reader.bits(16),
            max_block=reader.bits(16),
            min_frame=reader.bits(24),
            max_frame=reader.bits(24),
            sample_rate=reader.bits(20),
            channels=reader.bits(3) + 1,
            bits_per_sample=reader.bits(5) + 1,
            total_samples=reader.bits(36),
            md5=block[18:STREAMINFO_SIZE],
        )
        if not info.sample_rate or not 16 <= info.min_block <= info.max_block:
            raise MediaError("a FLAC STREAMINFO has no sample rate, or blocks of an impossible size")
        return info

    def to_bytes(self) -> bytes:
        """The block without its header, as `Track.config` has it; raises `MediaError` for values that do not fit."""
        writer = BitWriter()
        for value, count in (
            (self.min_block, 16),
            (self.max_block, 16),
            (self.min_frame, 24),
            (self.max_frame, 24),
            (self.sample_rate, 20),
            (self.channels - 1, 3),
            (self.bits_per_sample - 1, 5),
            (self.total_samples, 36),
        ):
            writer.bits(value, count)
        return writer.to_bytes() + self.md5


def frame_samples(frame: Buffer) -> int:
    """Samples of each channel in a frame (§9.1.1). Raises `MediaError` when it is no frame."""
    reader = BitReader(frame[:16])
    if reader.bits(15) != _SYNC:
        raise MediaError("a FLAC frame does not begin with its sync code")
    reader.skip(1)  # blocking strategy
    code = reader.bits(4)
    if not code:
        raise MediaError("a FLAC frame has a reserved block size")
    if code == 1:
        return 192
    if code <= 5:
        return 144 << code
    if code >= 8:
        return 1 << code
    reader.skip(4 + 4 + 3 + 1)  # sample rate, channels, bit depth, reserved
    _skip_coded_number(reader)
    return reader.bits(8 if code == 6 else 16) + 1


def _skip_coded_number(reader: BitReader) -> None:
    """Pass over the frame or sample number, which is written as UTF-8 would be (§9.1.5)."""
    ones = 0
    while ones < 8 and reader.flag():
        ones += 1
    if ones in (1, 8):
        raise MediaError("the number of a FLAC frame is broken")
    reader.skip(7 - ones + 8 * max(ones - 1, 0))


def describe(config: bytes, payload: bytes = b"") -> AudioFacts:
    """Facts of a STREAMINFO, in any wrapping that `StreamInfo.parse` takes. Raises `MediaError` when it is broken."""
    info = StreamInfo.parse(config)
    return AudioFacts(
        config=info.to_bytes(),
        codec_string="flac",
        sample_rate=info.sample_rate,
        channels=info.channels,
        frame_samples=info.max_block if info.min_block == info.max_block else None,
    )
