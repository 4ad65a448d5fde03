"""H.264 sequence parameter sets: size, timing, reordering.

Specification: ITU-T H.264 (08/2021) §7.3.2.1.1 (sequence parameter set), §7.4.2.1.1 and annex E (VUI).
"""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

from ghostlive.codecs.bits import BitReader, Buffer
from ghostlive.codecs.facts import Colour
from ghostlive.codecs.nal import unescape
from ghostlive.core.errors import MediaError

MAX_SIZE = 16384
"""Luma samples in a row or column. No level of H.264 or H.265 allows more than 16 888, no display shows them."""

MAX_FRAME_RATE = 480
"""Timing information beyond this is an encoder's misunderstanding and is read as absent."""

# Profiles whose SPS has chroma format, bit depths and scaling lists (§7.3.2.1.1).
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
# Profiles that constraint_set3_flag makes intra-only (§A.2.8 to §A.2.11, and §E.2.1 on max_num_reorder_frames).
_INTRA_PROFILES = frozenset({44, 86, 100, 110, 122, 244})
_EXTENDED_SAR = 255


@dataclass(frozen=True, slots=True)
class Vui:
    """Video usability information, as far as anybody here asks for it (annex E)."""

    colour: Colour | None = None
    frame_rate: Fraction | None = None
    """Frames (pairs of fields) per second."""
    max_num_reorder_frames: int | None = None


@dataclass(frozen=True, slots=True)
class SequenceParameterSet:
    """What an SPS says (§7.4.2.1.1). Sizes are luma samples after cropping."""

    id: int
    profile_idc: int
    constraint_flags: int
    """The byte after profile_idc: constraint_set0_flag is its highest bit."""
    level_idc: int
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    pic_order_cnt_type: int
    max_num_ref_frames: int
    interlaced: bool
    """Fields may occur: frame_mbs_only_flag is 0."""
    width: int
    height: int
    vui: Vui

    @property
    def has_b_frames(self) -> bool | None:
        """Whether output order may differ from decoding order; None when this SPS does not say.

        False by profile (Baseline knows no B slices), by picture order count type 2 (§8.2.1.3: output in decoding
        order) and for intra-only profiles; else what max_num_reorder_frames says, if it is there.
        """
        if self.profile_idc == 66 or self.pic_order_cnt_type == 2:
            return False
        if self.vui.max_num_reorder_frames is not None:
            return self.vui.max_num_reorder_frames > 0
        if self.profile_idc in _INTRA_PROFILES and self.constraint_flags & 0x10:
            return False
        return None


def parse_sps(nal: Buffer) -> SequenceParameterSet:
    """Read an SPS NAL unit, header included, emulation prevention still in.

    A broken VUI is read as an absent one: cameras write them, and the picture can be shown all the same.
    Raises `MediaError` when it is no SPS, ends early, or has values that the specification excludes.
    """
    if len(nal) < 4 or nal[0] & 0x1F != 7:
        raise MediaError("this is no H.264 sequence parameter set")
    reader = BitReader(unescape(nal))
    reader.skip(8)
    profile_idc, constraint_flags, level_idc = reader.bits(8), reader.bits(8), reader.bits(8)
    sps_id = reader.ue(31)
    chroma_format_idc, separate_planes, depth_luma, depth_chroma = 1, False, 8, 8
    if profile_idc in _HIGH_PROFILES:
        chroma_format_idc = reader.ue(3)
        separate_planes = chroma_format_idc == 3 and reader.flag()
        depth_luma, depth_chroma = 8 + reader.ue(6), 8 + reader.ue(6)
        reader.skip(1)  # qpprime_y_zero_transform_bypass_flag
        if reader.flag():
            _skip_scaling_lists(reader, 12 if chroma_format_idc == 3 else 8)
    reader.ue(12)  # log2_max_frame_num_minus4
    pic_order_cnt_type = _read_pic_order_cnt(reader)
    max_num_ref_frames = reader.ue(16)
    reader.skip(1)  # gaps_in_frame_num_value_allowed_flag
    width, height, interlaced = _read_size(reader, 0 if separate_planes else chroma_format_idc)
    return SequenceParameterSet(
        id=sps_id,
        profile_idc=profile_idc,
        constraint_flags=constraint_flags,
        level_idc=level_idc,
        chroma_format_idc=chroma_format_idc,
        bit_depth_luma=depth_luma,
        bit_depth_chroma=depth_chroma,
        pic_order_cnt_type=pic_order_cnt_type,
        max_num_ref_frames=max_num_ref_frames,
        interlaced=interlaced,
        width=width,
        height=height,
        vui=_read_vui_if_any(reader),
    )


def _skip_scaling_lists(reader: BitReader, count: int) -> None:
    """Pass over scaling_list() syntax (§7.3.2.1.1.1)."""
    for index in range(count):
        if not reader.flag():
            continue
        last_scale = next_scale = 8
        for _ in range(16 if index < 6 else 64):
            if next_scale:
                next_scale = (last_scale + reader.se()) % 256
            last_scale = next_scale or last_scale


def _read_pic_order_cnt(reader: BitReader) -> int:
    """Read pic_order_cnt_type and pass over what belongs to it."""
    kind = reader.ue(2)
    if kind == 0:
        reader.ue(12)  # log2_max_pic_order_cnt_lsb_minus4
    elif kind == 1:
        reader.skip(1)  # delta_pic_order_always_zero_flag
        reader.se()  # offset_for_non_ref_pic
        reader.se()  # offset_for_top_to_bottom_field
        for _ in range(reader.ue(255)):
            reader.se()  # offset_for_ref_frame
    return kind


def _read_size(reader: BitReader, chroma_array_type: int) -> tuple[int, int, bool]:
    """Read the visible width and height, and whether fields may occur (§7.4.2.1.1, equations 7-18 to 7-22)."""
    limit = MAX_SIZE // 16 - 1
    width = 16 * (reader.ue(limit) + 1)
    map_units = reader.ue(limit) + 1
    interlaced = not reader.flag()
    fields = 2 if interlaced else 1
    height = 16 * map_units * fields
    if interlaced:
        reader.skip(1)  # mb_adaptive_frame_field_flag
    reader.skip(1)  # direct_8x8_inference_flag
    if reader.flag():
        unit_x = 2 if chroma_array_type in (1, 2) else 1
        unit_y = (2 if chroma_array_type == 1 else 1) * fields
        width -= unit_x * (reader.ue(MAX_SIZE) + reader.ue(MAX_SIZE))
        height -= unit_y * (reader.ue(MAX_SIZE) + reader.ue(MAX_SIZE))
    if width <= 0 or not 0 < height <= MAX_SIZE:
        raise MediaError(f"an H.264 picture of {width}x{height} cannot be")
    return width, height, interlaced


def _read_vui_if_any(reader: BitReader) -> Vui:
    """Read VUI parameters when they are there and whole."""
    try:
        return _read_vui(reader) if reader.flag() else Vui()
    except MediaError:
        return Vui()


def _read_vui(reader: BitReader) -> Vui:
    """Read vui_parameters() (§E.1.1)."""
    if reader.flag() and reader.bits(8) == _EXTENDED_SAR:
        reader.skip(32)
    if reader.flag():  # overscan_info_present_flag
        reader.skip(1)
    colour = read_colour(reader)
    if reader.flag():  # chroma_loc_info_present_flag
        reader.ue(5)
        reader.ue(5)
    frame_rate = _read_timing(reader) if reader.flag() else None
    reorder = None
    with suppress(MediaError):  # what was read before holds
        reorder = _read_reorder(reader)
    return Vui(colour=colour, frame_rate=frame_rate, max_num_reorder_frames=reorder)


def read_colour(reader: BitReader) -> Colour | None:
    """Read video_signal_type with its present flag; H.265 writes it in the same way (§E.2.1 of either)."""
    if not reader.flag():
        return None
    reader.skip(3)  # video_format
    full_range = reader.flag()
    if not reader.flag():
        return Colour(full_range=full_range)
    return Colour(reader.bits(8), reader.bits(8), reader.bits(8), full_range)


def _read_timing(reader: BitReader) -> Fraction | None:
    """Read the frame rate: a tick is a field, and a frame has two (§E.2.1)."""
    units, scale = reader.bits(32), reader.bits(32)
    reader.skip(1)  # fixed_frame_rate_flag
    return sane_rate(scale, 2 * units)


def sane_rate(numerator: int, denominator: int) -> Fraction | None:
    """A frame rate, or None for one that no camera has."""
    if not numerator or not denominator or numerator > MAX_FRAME_RATE * denominator:
        return None
    return Fraction(numerator, denominator)


def _read_reorder(reader: BitReader) -> int | None:
    """Read max_num_reorder_frames when bitstream_restriction is there."""
    nal_hrd = reader.flag()
    if nal_hrd:
        _skip_hrd(reader)
    vcl_hrd = reader.flag()
    if vcl_hrd:
        _skip_hrd(reader)
    if nal_hrd or vcl_hrd:
        reader.skip(1)  # low_delay_hrd_flag
    reader.skip(1)  # pic_struct_present_flag
    if not reader.flag():
        return None
    reader.skip(1)  # motion_vectors_over_pic_boundaries_flag
    for _ in range(4):  # max_bytes_per_pic_denom, max_bits_per_mb_denom, log2_max_mv_length_horizontal and _vertical
        reader.ue(16)
    return reader.ue(16)


def _skip_hrd(reader: BitReader) -> None:
    """Pass over hrd_parameters() (§E.1.2)."""
    count = reader.ue(31) + 1
    reader.skip(8)
    for _ in range(count):
        reader.ue()
        reader.ue()
        reader.skip(1)
    reader.skip(20)
