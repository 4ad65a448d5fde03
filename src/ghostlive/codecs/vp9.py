"""VP9: the uncompressed header and the configuration record.

Specification: VP9 Bitstream & Decoding Process §6.2 (uncompressed header), annex A (levels), annex B (superframes);
VP Codec ISO Media File Format Binding 1.0 (`vpcC`, codec string).
"""

from dataclasses import dataclass, field
from fractions import Fraction

from ghostlive.codecs.bits import BitReader, Buffer
from ghostlive.codecs.facts import AccessUnit, Colour, VideoFacts
from ghostlive.core.errors import MediaError

_SYNC = 0x498342
_SRGB = 7
_HEADER = 24
"""Bytes that hold all that is read of an uncompressed header."""
_FULL_BOX = b"\x01\x00\x00\x00"

# Level, luma samples per second, luma samples of a picture, longest side (annex A).
_LEVELS = (
    (10, 829440, 36864, 512),
    (11, 2764800, 73728, 768),
    (20, 4608000, 122880, 960),
    (21, 9216000, 245760, 1344),
    (30, 20736000, 552960, 2048),
    (31, 36864000, 983040, 2752),
    (40, 83558400, 2228224, 4160),
    (41, 160432128, 2228224, 4160),
    (50, 311951360, 8912896, 8384),
    (51, 588251136, 8912896, 8384),
    (52, 1176502272, 8912896, 8384),
    (60, 1176502272, 35651584, 16832),
    (61, 2353004544, 35651584, 16832),
    (62, 4706009088, 35651584, 16832),
)
# color_space of the bit stream (§7.2.2) as matrix coefficients of ISO/IEC 23091-2.
_MATRICES = {1: 6, 2: 1, 3: 6, 4: 7, 5: 9, _SRGB: 0}


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The uncompressed header of a key frame (§7.2)."""

    profile: int
    bit_depth: int
    subsampling_x: int
    subsampling_y: int
    colour: Colour
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class CodecConfiguration:
    """VPCodecConfigurationRecord, of VP8 and VP9; the box around it has version 1 and flags 0."""

    profile: int
    level: int
    """Ten times the level: 31 is 3.1."""
    bit_depth: int
    chroma_subsampling: int
    """0 and 1 are 4:2:0 (vertical, collocated), 2 is 4:2:2, 3 is 4:4:4."""
    colour: Colour = field(default_factory=Colour)

    @classmethod
    def parse(cls, data: Buffer) -> "CodecConfiguration":
        """Read a record, also with version and flags before it, as RTMP has it. Raises `MediaError` when broken."""
        record = bytes(data)
        # Profile 1 at level 0 with 0 bits does not exist, so this can only be the head of a full box.
        if record.startswith(_FULL_BOX):
            record = record[4:]
        if len(record) < 8:
            raise MediaError("a VPCodecConfigurationRecord has at least 8 bytes")
        depth = record[2] >> 4
        if record[0] > 3 or depth not in (8, 10, 12):
            raise MediaError(f"a VPCodecConfigurationRecord has profile {record[0]} and {depth} bits a sample")
        colour = Colour(record[3], record[4], record[5], bool(record[2] & 1))
        return cls(record[0], record[1], depth, record[2] >> 1 & 7, colour)

    @classmethod
    def of_frame(cls, header: FrameHeader, frame_rate: Fraction | None = None) -> "CodecConfiguration":
        """The record of a stream that begins with `header`; 30 frames per second are assumed when unknown."""
        chroma = (1 if header.subsampling_y else 2) if header.subsampling_x else 3
        level = level_for(header.width, header.height, frame_rate or Fraction(30))
        return cls(header.profile, level, header.bit_depth, chroma, header.colour)

    def to_bytes(self) -> bytes:
        """The record without the full box's head, 8 bytes."""
        depth = self.bit_depth << 4 | self.chroma_subsampling << 1 | self.colour.full_range
        colour = (self.colour.primaries, self.colour.transfer, self.colour.matrix)
        return bytes((self.profile, self.level, depth, *colour, 0, 0))

    def codec_string(self) -> str:
        """`vp09.00.31.08`, with the optional part only where it is not the default."""
        short = f"vp09.{self.profile:02}.{self.level:02}.{self.bit_depth:02}"
        colour = self.colour
        usual = colour.primaries in (1, 2) and colour.transfer in (1, 2) and colour.matrix in (1, 2)
        if self.chroma_subsampling in (0, 1) and usual and not colour.full_range:
            return short
        tail = (colour.primaries, colour.transfer, colour.matrix, colour.full_range)
        return f"{short}.{self.chroma_subsampling:02}." + ".".join(f"{value:02}" for value in tail)


def level_for(width: int, height: int, frame_rate: Fraction) -> int:
    """The lowest level (times ten) that allows a picture of this size at this rate; 62 when none does."""
    size = width * height
    for level, rate, picture, side in _LEVELS:
        if size <= picture and size * frame_rate <= rate and max(width, height) <= side:
            return level
    return 62


def is_keyframe(payload: Buffer) -> bool:
    """Whether a frame, or the first one of a superframe, is a key frame. Raises `MediaError` when it is no VP9."""
    if not len(payload) or payload[0] >> 6 != 2:
        raise MediaError("a VP9 frame does not begin with its marker")
    # frame_marker(2) profile_low profile_high [reserved_zero] show_existing_frame frame_type
    shift = 2 if payload[0] & 0x30 != 0x30 else 1
    return payload[0] >> shift & 3 == 0


def parse_header(payload: Buffer) -> FrameHeader:
    """Read the uncompressed header of a key frame (§6.2). Raises `MediaError` when it is none, or broken."""
    if not is_keyframe(payload):
        raise MediaError("this VP9 frame is no key frame")
    reader = BitReader(payload[:_HEADER])
    reader.skip(2)
    profile = reader.bits(1) | reader.bits(1) << 1
    if profile == 3 and reader.flag():
        raise MediaError("VP9 profiles above 3 are reserved")
    reader.skip(2 + 2)  # show_existing_frame, frame_type, show_frame, error_resilient_mode
    if reader.bits(24) != _SYNC:
        raise MediaError("a VP9 key frame has no sync code")
    depth = (12 if reader.flag() else 10) if profile >= 2 else 8
    space = reader.bits(3)
    full_range, x, y = space == _SRGB, 0, 0
    if space != _SRGB:
        full_range = reader.flag()
        x, y = (reader.bits(1), reader.bits(1)) if profile & 1 else (1, 1)
    if profile & 1:
        reader.skip(1)
    elif space == _SRGB:
        raise MediaError("VP9 with RGB must be of profile 1 or 3")
    matrix = _MATRICES.get(space, 2)
    primaries, transfer = (1, 1) if matrix == 1 else (1, 13) if matrix == 0 else (2, 2)
    width, height = reader.bits(16) + 1, reader.bits(16) + 1
    return FrameHeader(profile, depth, x, y, Colour(primaries, transfer, matrix, full_range), width, height)


def inspect(payload: bytes, length_size: int = 0) -> AccessUnit:
    """A frame as it is, and whether it is a key frame. Raises `MediaError` when it is no VP9."""
    return AccessUnit(payload, is_keyframe(payload))


def describe(config: bytes, payload: bytes = b"") -> VideoFacts:
    """Facts of a VPCodecConfigurationRecord; the size comes from `payload`, a key frame, and is 0 without.

    An empty `config` is made from `payload`. Raises `MediaError` when either is broken, or both are empty.
    """
    header = parse_header(payload) if payload else None
    if config:
        record = CodecConfiguration.parse(config)
    elif header is not None:
        record = CodecConfiguration.of_frame(header)
    else:
        raise MediaError("VP9 needs a configuration or a key frame to tell what it is")
    return VideoFacts(
        config=record.to_bytes(),
        codec_string=record.codec_string(),
        width=header.width if header else 0,
        height=header.height if header else 0,
        has_b_frames=False,  # hidden frames travel in superframes, and pts is dts
        bit_depth=record.bit_depth,
        colour=record.colour,
    )
