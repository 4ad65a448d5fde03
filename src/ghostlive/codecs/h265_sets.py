"""H.265 parameter sets: profile, size, timing, reordering.

Specification: ITU-T H.265 (08/2021) §7.3.2.1 to §7.3.2.3, §7.3.3 (profile, tier and level), §7.3.4 (scaling lists),
§7.3.7 (short-term reference picture sets), annex E (VUI).
"""

from dataclasses import dataclass
from fractions import Fraction

from ghostlive.codecs.bits import BitReader, Buffer
from ghostlive.codecs.facts import Colour
from ghostlive.codecs.h264_sps import MAX_SIZE, read_colour, sane_rate
from ghostlive.codecs.nal import unescape
from ghostlive.core.errors import MediaError

VPS, SPS, PPS = 32, 33, 34


def nal_type(first: int) -> int:
    """nal_unit_type from the first byte of a NAL unit (§7.3.1.2)."""
    return first >> 1 & 0x3F


@dataclass(frozen=True, slots=True)
class ProfileTierLevel:
    """profile_tier_level() of the highest sub-layer (§7.3.3)."""

    profile_space: int
    tier: int
    """0 is Main, 1 is High."""
    profile_idc: int
    compatibility_flags: int
    """32 bits, general_profile_compatibility_flag[0] highest."""
    constraint_flags: int
    """The 48 bits from general_progressive_source_flag on."""
    level_idc: int
    """30 times the level: 93 is 3.1."""


@dataclass(frozen=True, slots=True)
class VideoParameterSet:
    """What a VPS says, as far as it is needed here (§7.4.3.1)."""

    id: int
    max_sub_layers: int
    temporal_id_nesting: bool
    profile: ProfileTierLevel
    frame_rate: Fraction | None


@dataclass(frozen=True, slots=True)
class SequenceParameterSet:
    """What an SPS says (§7.4.3.2). Sizes are luma samples inside the conformance window."""

    id: int
    vps_id: int
    max_sub_layers: int
    temporal_id_nesting: bool
    profile: ProfileTierLevel
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int
    height: int
    max_num_reorder_pics: int
    """Of the highest sub-layer: pictures that may precede another in decoding order and follow it in output order."""
    colour: Colour | None
    field_seq: bool
    """Pictures are fields."""
    frame_rate: Fraction | None
    """Pictures per second; None when there is no (sound) timing in the VUI: the VPS may have it."""


@dataclass(frozen=True, slots=True)
class PictureParameterSet:
    """What a PPS says, as far as it is needed to read a slice type (§7.4.3.3)."""

    id: int
    sps_id: int
    extra_slice_header_bits: int


def _open(nal: Buffer, kind: int, name: str) -> BitReader:
    """A reader behind the NAL unit header; raises `MediaError` when the type is not `kind`."""
    if len(nal) < 3 or nal_type(nal[0]) != kind:
        raise MediaError(f"this is no H.265 {name} parameter set")
    reader = BitReader(unescape(nal))
    reader.skip(16)
    return reader


def parse_vps(nal: Buffer) -> VideoParameterSet:
    """Read a VPS NAL unit, header included. Raises `MediaError` when it is none, ends early or excludes itself."""
    reader = _open(nal, VPS, "video")
    vps_id = reader.bits(4)
    reader.skip(2 + 6)  # base layer flags, vps_max_layers_minus1
    sub_layers = reader.bits(3)
    nesting = reader.flag()
    reader.skip(16)
    profile = _read_profile(reader, sub_layers)
    _read_ordering(reader, sub_layers)
    max_layer_id = reader.bits(6)
    reader.skip(reader.ue(1023) * (max_layer_id + 1))  # layer_id_included_flag
    frame_rate = None
    if reader.flag():
        units, scale = reader.bits(32), reader.bits(32)
        frame_rate = sane_rate(scale, units)
    return VideoParameterSet(vps_id, sub_layers + 1, nesting, profile, frame_rate)


def parse_sps(nal: Buffer) -> SequenceParameterSet:
    """Read an SPS NAL unit, header included, emulation prevention still in.

    A broken VUI is read as an absent one. Raises `MediaError` when it is no SPS, ends early, or has values that the
    specification excludes.
    """
    reader = _open(nal, SPS, "sequence")
    vps_id, sub_layers, nesting = reader.bits(4), reader.bits(3), reader.flag()
    profile = _read_profile(reader, sub_layers)
    sps_id = reader.ue(15)
    chroma_format_idc = reader.ue(3)
    separate_planes = chroma_format_idc == 3 and reader.flag()
    width, height = _read_size(reader, 0 if separate_planes else chroma_format_idc)
    depth_luma, depth_chroma = 8 + reader.ue(8), 8 + reader.ue(8)
    poc_bits = 4 + reader.ue(12)
    reorder = _read_ordering(reader, sub_layers)
    _skip_coding_tools(reader)
    _skip_reference_sets(reader, poc_bits)
    reader.skip(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    colour, field_seq, frame_rate = _read_vui_if_any(reader)
    return SequenceParameterSet(
        id=sps_id,
        vps_id=vps_id,
        max_sub_layers=sub_layers + 1,
        temporal_id_nesting=nesting,
        profile=profile,
        chroma_format_idc=chroma_format_idc,
        bit_depth_luma=depth_luma,
        bit_depth_chroma=depth_chroma,
        width=width,
        height=height,
        max_num_reorder_pics=reorder,
        colour=colour,
        field_seq=field_seq,
        frame_rate=frame_rate,
    )


def parse_pps(nal: Buffer) -> PictureParameterSet:
    """Read the head of a PPS NAL unit. Raises `MediaError` when it is none or ends early."""
    reader = _open(nal[:32], PPS, "picture")
    pps_id, sps_id = reader.ue(63), reader.ue(15)
    reader.skip(2)  # dependent_slice_segments_enabled_flag, output_flag_present_flag
    return PictureParameterSet(pps_id, sps_id, reader.bits(3))


def _read_profile(reader: BitReader, sub_layers: int) -> ProfileTierLevel:
    """Read profile_tier_level(1, `sub_layers`)."""
    profile = ProfileTierLevel(
        reader.bits(2), reader.bits(1), reader.bits(5), reader.bits(32), reader.bits(48), reader.bits(8)
    )
    present = [(reader.flag(), reader.flag()) for _ in range(sub_layers)]
    if sub_layers:
        reader.skip(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        reader.skip(88 * has_profile + 8 * has_level)
    return profile


def _read_ordering(reader: BitReader, sub_layers: int) -> int:
    """Read the sub-layers' buffering; answers max_num_reorder_pics of the highest."""
    reorder = 0
    for _ in range(sub_layers + 1 if reader.flag() else 1):
        reader.ue(15)  # max_dec_pic_buffering_minus1
        reorder = reader.ue(15)
        reader.ue()  # max_latency_increase_plus1
    return reorder


def _read_size(reader: BitReader, chroma_array_type: int) -> tuple[int, int]:
    """Read width and height inside the conformance window (§7.4.3.2.1)."""
    width, height = reader.ue(MAX_SIZE), reader.ue(MAX_SIZE)
    if reader.flag():
        unit_x = 2 if chroma_array_type in (1, 2) else 1
        unit_y = 2 if chroma_array_type == 1 else 1
        width -= unit_x * (reader.ue(MAX_SIZE) + reader.ue(MAX_SIZE))
        height -= unit_y * (reader.ue(MAX_SIZE) + reader.ue(MAX_SIZE))
    if width <= 0 or height <= 0:
        raise MediaError(f"an H.265 picture of {width}x{height} cannot be")
    return width, height


def _skip_coding_tools(reader: BitReader) -> None:
    """Pass over block sizes, scaling lists and PCM."""
    for _ in range(6):  # luma coding and transform block sizes, transform hierarchy depths
        reader.ue(32)
    if reader.flag() and reader.flag():  # scaling_list_enabled_flag, sps_scaling_list_data_present_flag
        _skip_scaling_lists(reader)
    reader.skip(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if reader.flag():  # pcm_enabled_flag
        reader.skip(8)
        reader.ue(32)
        reader.ue(32)
        reader.skip(1)


def _skip_scaling_lists(reader: BitReader) -> None:
    """Pass over scaling_list_data() (§7.3.4)."""
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not reader.flag():
                reader.ue(5)  # scaling_list_pred_matrix_id_delta
                continue
            if size > 1:
                reader.se()  # scaling_list_dc_coef_minus8
            for _ in range(min(64, 1 << (4 + (size << 1)))):
                reader.se()


def _skip_reference_sets(reader: BitReader, poc_bits: int) -> None:
    """Pass over short-term and long-term reference pictures."""
    pictures: list[int] = []
    for index in range(reader.ue(64)):
        pictures.append(_read_reference_set(reader, index, pictures))
    if reader.flag():  # long_term_ref_pics_present_flag
        reader.skip(reader.ue(32) * (poc_bits + 1))


def _read_reference_set(reader: BitReader, index: int, pictures: list[int]) -> int:
    """Pass over st_ref_pic_set(`index`); answers how many pictures it has (NumDeltaPocs, §7.4.8)."""
    if index and reader.flag():  # inter_ref_pic_set_prediction_flag; delta_idx_minus1 is 0 in an SPS
        reader.skip(1)  # delta_rps_sign
        reader.ue(1 << 15)  # abs_delta_rps_minus1
        count = 0
        for _ in range(pictures[index - 1] + 1):
            used = reader.flag()
            count += used or reader.flag()  # use_delta_flag is 1 when it is absent
        # A hostile chain grows by one each time, and 64 sets cannot make it long; 16 is what the DPB holds.
        if count > 16:
            raise MediaError("an H.265 reference picture set has more than 16 pictures")
        return count
    count = reader.ue(16) + reader.ue(16)
    if count > 16:
        raise MediaError("an H.265 reference picture set has more than 16 pictures")
    for _ in range(count):
        reader.ue(1 << 15)  # delta_poc_minus1
        reader.skip(1)  # used_by_curr_pic_flag
    return count


def _read_vui_if_any(reader: BitReader) -> tuple[Colour | None, bool, Fraction | None]:
    """Read VUI parameters when they are there and whole: colour, field_seq_flag, picture rate."""
    try:
        return _read_vui(reader) if reader.flag() else (None, False, None)
    except MediaError:
        return None, False, None


def _read_vui(reader: BitReader) -> tuple[Colour | None, bool, Fraction | None]:
    """Read vui_parameters() up to the timing (§E.2.1)."""
    if reader.flag() and reader.bits(8) == 255:  # aspect_ratio_idc EXTENDED_SAR
        reader.skip(32)
    if reader.flag():  # overscan_info_present_flag
        reader.skip(1)
    colour = read_colour(reader)
    if reader.flag():  # chroma_loc_info_present_flag
        reader.ue(5)
        reader.ue(5)
    reader.skip(1)  # neutral_chroma_indication_flag
    field_seq = reader.flag()
    reader.skip(1)  # frame_field_info_present_flag
    if reader.flag():  # default_display_window_flag: a hint for overscan, which no player crops by
        for _ in range(4):
            reader.ue(MAX_SIZE)
    if not reader.flag():
        return colour, field_seq, None
    units, scale = reader.bits(32), reader.bits(32)
    return colour, field_seq, sane_rate(scale, units)
