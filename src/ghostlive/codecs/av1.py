"""AV1: configuration records, sequence headers and temporal units in the low-overhead format.

Specification: AV1 Bitstream & Decoding Process §5.3 to §5.9; AV1 Codec ISO Media File Format Binding §2.3 (`av1C`),
§2.4 (samples), §5 (codec string).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from ghostlive.codecs.bits import BitReader, Buffer
from ghostlive.codecs.facts import AccessUnit, Colour, VideoFacts
from ghostlive.codecs.h264_sps import sane_rate
from ghostlive.core.errors import MediaError

# OBU types, §6.2.2.
SEQUENCE_HEADER, TEMPORAL_DELIMITER, FRAME_HEADER, FRAME, REDUNDANT_FRAME_HEADER, PADDING = 1, 2, 3, 6, 7, 15
_MAX_OBUS = 8192
_MAX_LEB128 = 8
_SELECT = 2
"""SELECT_SCREEN_CONTENT_TOOLS and SELECT_INTEGER_MV."""


class Obu(NamedTuple):
    """One open bitstream unit (§5.3.1)."""

    type: int
    start: int
    """Where its header begins in the temporal unit."""
    payload_start: int
    end: int
    has_size: bool
    """obu_size is there; without it the unit reaches to the end of the data."""


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """What a sequence header says (§5.5)."""

    profile: int
    still_picture: bool
    reduced_still_picture: bool
    level: int
    """seq_level_idx of the first operating point: 8 is 4.0."""
    tier: int
    """0 is Main, 1 is High."""
    width: int
    height: int
    bit_depth: int
    monochrome: bool
    subsampling_x: int
    subsampling_y: int
    chroma_sample_position: int
    colour: Colour
    frame_rate: Fraction | None
    initial_display_delay: int | None
    """initial_display_delay_minus_1 of the first operating point."""


@dataclass(frozen=True, slots=True)
class CodecConfiguration:
    """AV1CodecConfigurationRecord (AV1-ISOBMFF §2.3.3); what else it has is said by the sequence header."""

    obus: bytes
    """configOBUs: the sequence header first, with obu_size."""

    @classmethod
    def parse(cls, data: Buffer) -> "CodecConfiguration":
        """Read a record. Raises `MediaError` when it is none."""
        record = bytes(data)
        if len(record) < 4 or record[0] != 0x81:
            raise MediaError("this is no AV1CodecConfigurationRecord: it must have 4 bytes and begin with 0x81")
        return cls(record[4:])

    def to_bytes(self) -> bytes:
        """The record; raises `MediaError` without a sequence header that can be read."""
        header = self.sequence()
        delay = header.initial_display_delay
        flags = (
            header.tier << 7
            | (header.bit_depth > 8) << 6
            | (header.bit_depth == 12) << 5
            | header.monochrome << 4
            | header.subsampling_x << 3
            | header.subsampling_y << 2
            | header.chroma_sample_position
        )
        return (
            bytes((0x81, header.profile << 5 | header.level, flags, 0 if delay is None else 0x10 | delay)) + self.obus
        )

    def sequence(self) -> SequenceHeader:
        """The sequence header, read; raises `MediaError` when there is none or it is broken."""
        for obu in split_obus(self.obus):
            if obu.type == SEQUENCE_HEADER:
                return parse_sequence_header(self.obus[obu.payload_start : obu.end])
        raise MediaError("the AV1 configuration has no sequence header")


def read_leb128(data: Buffer, position: int) -> tuple[int, int]:
    """Read leb128() (§4.10.5); answers the value and where it ends. Raises `MediaError` beyond 32 bits."""
    value = 0
    for index in range(_MAX_LEB128):
        if position + index >= len(data):
            break
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >> 32:
                break
            return value, position + index + 1
    raise MediaError("an AV1 size ends early or is too big")


def write_leb128(value: int) -> bytes:
    """Write leb128() in as few bytes as can be; `value` is not negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def split_obus(payload: Buffer) -> list[Obu]:
    """Find the OBUs of a temporal unit (§5.3); only the last may be without size. Raises `MediaError` when broken."""
    obus: list[Obu] = []
    position, end = 0, len(payload)
    for _ in range(_MAX_OBUS):
        if position == end:
            return obus
        first = payload[position]
        start, position = position, position + (2 if first & 4 else 1)
        size = end - position
        has_size = bool(first & 2)
        if has_size:
            size, position = read_leb128(payload, position)
        if first & 0x80 or size < 0 or position + size > end:
            raise MediaError(f"an AV1 OBU at byte {start} of {end} is broken")
        obus.append(Obu(first >> 3 & 15, start, position, position + size, has_size))
        position += size
    if position != end:
        raise MediaError(f"an AV1 temporal unit has more than {_MAX_OBUS} OBUs")
    return obus


def parse_sequence_header(payload: Buffer) -> SequenceHeader:
    """Read sequence_header_obu() (§5.5.1), without the OBU header. Raises `MediaError` when it is broken."""
    reader = BitReader(payload)
    profile, still, reduced = reader.bits(3), reader.flag(), reader.flag()
    if profile > 2:
        raise MediaError(f"AV1 profile {profile} is reserved")
    frame_rate: Fraction | None = None
    delay: int | None = None
    if reduced:
        level, tier = reader.bits(5), 0
    else:
        frame_rate, level, tier, delay = _read_operating_points(reader)
    width_bits, height_bits = reader.bits(4) + 1, reader.bits(4) + 1
    width, height = reader.bits(width_bits) + 1, reader.bits(height_bits) + 1
    if not reduced:
        _skip_tools(reader)
    else:
        reader.skip(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    reader.skip(3)  # enable_superres, enable_cdef, enable_restoration
    bit_depth, mono, x, y, position, colour = _read_colour(reader, profile)
    return SequenceHeader(
        profile, still, reduced, level, tier, width, height, bit_depth, mono, x, y, position, colour, frame_rate, delay
    )


def _read_operating_points(reader: BitReader) -> tuple[Fraction | None, int, int, int | None]:
    """Read timing and operating points; answers frame rate, and level, tier and display delay of the first point."""
    frame_rate, delay_bits = None, 0
    decoder_model = False
    if reader.flag():  # timing_info_present_flag
        frame_rate = _read_timing(reader)
        decoder_model = reader.flag()
        if decoder_model:
            delay_bits = reader.bits(5) + 1
            reader.skip(32 + 5 + 5)  # num_units_in_decoding_tick, lengths of removal and presentation times
    delay_present = reader.flag()  # initial_display_delay_present_flag
    level, tier, delay = 0, 0, None
    for index in range(reader.bits(5) + 1):
        reader.skip(12)  # operating_point_idc
        point_level = reader.bits(5)
        point_tier = reader.bits(1) if point_level > 7 else 0
        if decoder_model and reader.flag():
            reader.skip(2 * delay_bits + 1)
        point_delay = reader.bits(4) if delay_present and reader.flag() else None
        if index == 0:
            level, tier, delay = point_level, point_tier, point_delay
    return frame_rate, level, tier, delay


def _read_timing(reader: BitReader) -> Fraction | None:
    """Read timing_info() (§5.5.3). Only equal intervals make a frame rate."""
    units, scale = reader.bits(32), reader.bits(32)
    if not reader.flag():  # equal_picture_interval
        return None
    zeros = 0
    while not reader.bits(1):  # uvlc(), §4.10.3
        zeros += 1
    if zeros > 31:
        return None
    ticks = (1 << zeros) + reader.bits(zeros)
    return sane_rate(scale, units * ticks)


def _skip_tools(reader: BitReader) -> None:
    """Pass over frame ids and coding tools of a sequence header that is not reduced."""
    if reader.flag():  # frame_id_numbers_present_flag
        reader.skip(4 + 3)
    reader.skip(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    reader.skip(4)  # enable_interintra_compound, _masked_compound, _warped_motion, _dual_filter
    order_hint = reader.flag()
    if order_hint:
        reader.skip(2)  # enable_jnt_comp, enable_ref_frame_mvs
    screen_content = _SELECT if reader.flag() else reader.bits(1)
    if screen_content and not reader.flag():  # seq_choose_integer_mv
        reader.skip(1)
    if order_hint:
        reader.skip(3)  # order_hint_bits_minus_1


def _read_colour(reader: BitReader, profile: int) -> tuple[int, bool, int, int, int, Colour]:
    """Read color_config() (§5.5.2): bit depth, monochrome, subsampling x and y, sample position, colour."""
    high = reader.flag()
    depth = 8
    if profile == 2 and high:
        depth = 12 if reader.flag() else 10
    elif high:
        depth = 10
    mono = profile != 1 and reader.flag()
    primaries, transfer, matrix = 2, 2, 2
    if reader.flag():
        primaries, transfer, matrix = reader.bits(8), reader.bits(8), reader.bits(8)
    if mono:
        return depth, True, 1, 1, 0, Colour(primaries, transfer, matrix, reader.flag())
    if (primaries, transfer, matrix) == (1, 13, 0):  # sRGB
        return depth, False, 0, 0, 0, Colour(primaries, transfer, matrix, full_range=True)
    full_range = reader.flag()
    if profile == 0:
        x, y = 1, 1
    elif profile == 1:
        x, y = 0, 0
    elif depth == 12:
        x = reader.bits(1)
        y = reader.bits(1) if x else 0
    else:
        x, y = 1, 0
    position = reader.bits(2) if x and y else 0
    return depth, False, x, y, position, Colour(primaries, transfer, matrix, full_range)


def codec_string(header: SequenceHeader) -> str:
    """`av01.0.04M.08`, with the optional part only where it is not the default (AV1-ISOBMFF §5)."""
    tier = "H" if header.tier else "M"
    short = f"av01.{header.profile}.{header.level:02}{tier}.{header.bit_depth:02}"
    colour = header.colour
    tail = (
        f"{header.monochrome:d}.{header.subsampling_x}{header.subsampling_y}{header.chroma_sample_position}"
        f".{colour.primaries:02}.{colour.transfer:02}.{colour.matrix:02}.{colour.full_range:d}"
    )
    # Unspecified colour (2) plays as BT.709, the default; chroma position is a matter of the default too.
    default = not header.monochrome and (header.subsampling_x, header.subsampling_y) == (1, 1)
    usual = colour.primaries in (1, 2) and colour.transfer in (1, 2) and colour.matrix in (1, 2)
    return short if default and usual and not colour.full_range else f"{short}.{tail}"


def strip_temporal_unit(payload: bytes, length_size: int = 0) -> AccessUnit:
    """Take temporal delimiters and padding out of a temporal unit, and report its sequence headers.

    Sequence headers stay in the unit: RTP receivers want them with key frames. The answer is the same object when
    nothing had to change. It is a key frame when the first frame is a shown one of type KEY_FRAME (§7.6). An OBU
    without obu_size, allowed at the end, is given one. `length_size` is ignored. Raises `MediaError` when OBUs do
    not add up.
    """
    headers: list[bytes] = []
    parts: list[bytes] = []
    keyframe: bool | None = None
    reduced = changed = False
    for obu in split_obus(payload):
        if obu.type in (TEMPORAL_DELIMITER, PADDING):
            changed = True
            continue
        if obu.type == SEQUENCE_HEADER:
            headers.append(_sized(payload, obu))
            reduced = obu.end > obu.payload_start and bool(payload[obu.payload_start] & 0x08)
        elif keyframe is None and obu.type in (FRAME, FRAME_HEADER, REDUNDANT_FRAME_HEADER):
            keyframe = reduced or _begins_keyframe(payload, obu)
        changed = changed or not obu.has_size
        parts.append(_sized(payload, obu))
    return AccessUnit(b"".join(parts) if changed else payload, bool(keyframe), tuple(headers))


def _begins_keyframe(payload: bytes, obu: Obu) -> bool:
    """Whether a frame header (§5.9.2) has show_existing_frame 0, frame_type KEY_FRAME and show_frame 1."""
    return obu.end > obu.payload_start and payload[obu.payload_start] & 0xF0 == 0x10


def _sized(payload: bytes, obu: Obu) -> bytes:
    """An OBU with obu_size."""
    if obu.has_size:
        return payload[obu.start : obu.end]
    header = bytes((payload[obu.start] | 2,)) + payload[obu.start + 1 : obu.payload_start]
    return header + write_leb128(obu.end - obu.payload_start) + payload[obu.payload_start : obu.end]


def is_keyframe(payload: bytes) -> bool:
    """Whether decoding may begin at this temporal unit; see `strip_temporal_unit`."""
    return strip_temporal_unit(payload).keyframe


def describe(config: bytes, payload: bytes = b"") -> VideoFacts:
    """Facts of an AV1CodecConfigurationRecord. A record without sequence header is completed from `payload`.

    Raises `MediaError` when there is no sequence header in either, or it is broken.
    """
    record = CodecConfiguration.parse(config)
    if not record.obus and payload:
        record = replace(record, obus=b"".join(strip_temporal_unit(payload).parameter_sets[:1]))
        config = record.to_bytes()
    header = record.sequence()
    return VideoFacts(
        config=bytes(config),
        codec_string=codec_string(header),
        width=header.width,
        height=header.height,
        frame_rate=header.frame_rate,
        # A temporal unit shows one frame; reordering happens inside it, and pts is dts (AV1-ISOBMFF §2.4).
        has_b_frames=False,
        bit_depth=header.bit_depth,
        colour=header.colour,
    )


def update_config(config: bytes, parameter_sets: Sequence[bytes]) -> bytes:
    """A record with the last of the sequence headers that came in band; the same bytes when it says nothing new.

    `config` may be empty: then a record is made. Raises `MediaError` when the header is broken.
    """
    if not parameter_sets:
        return config
    known = CodecConfiguration.parse(config).obus if config else b""
    latest = parameter_sets[-1]
    return config if known.startswith(latest) else CodecConfiguration(latest).to_bytes()
