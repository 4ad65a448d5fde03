"""H.265 parameter sets, records and access units, against what ffprobe says of the same streams."""

from dataclasses import replace
from fractions import Fraction

import pytest
from tests.unit.codecs import codec_samples as samples
from tests.unit.codecs.test_bits import exp_golomb
from tests.unit.codecs.test_nal import escape

from ghostlive.codecs import h265, nal
from ghostlive.codecs.bits import BitWriter
from ghostlive.codecs.facts import Colour
from ghostlive.codecs.h265 import DecoderConfiguration, SliceType
from ghostlive.codecs.h265_sets import PPS, SPS, VPS, nal_type, parse_pps, parse_sps, parse_vps
from ghostlive.core.errors import MediaError


def sets_of(name: str) -> list[bytes]:
    return [unit for unit in nal.split_annexb(samples.read(name)) if nal_type(unit[0]) in (VPS, SPS, PPS)][:3]


def test_main_profile_with_a_conformance_window() -> None:
    vps, sps, pps = sets_of("h265_main.hevc")
    parsed = parse_sps(sps)
    assert (parsed.width, parsed.height, parsed.frame_rate) == (1922, 1082, Fraction(24000, 1001))
    assert (parsed.profile.profile_idc, parsed.profile.level_idc, parsed.bit_depth_luma) == (1, 120, 8)
    assert parsed.max_num_reorder_pics == 2
    assert parse_vps(vps).profile == parsed.profile
    assert (parse_vps(vps).id, parse_vps(vps).max_sub_layers) == (0, 1)
    assert parse_pps(pps).id == 0


def test_scaling_lists_are_passed_over() -> None:
    parsed = parse_sps(sets_of("h265_open_gop.hevc")[1])
    assert (parsed.width, parsed.height, parsed.frame_rate) == (416, 240, Fraction(25))


def test_record_of_ffmpeg() -> None:
    config = samples.box("h265_main10.mp4", b"hvcC")
    facts = h265.describe(config)
    assert (facts.width, facts.height, facts.frame_rate, facts.bit_depth) == (640, 360, Fraction(50), 10)
    assert facts.colour == Colour(9, 16, 9, full_range=False)
    assert facts.colour.hdr
    assert facts.has_b_frames is False
    assert facts.codec_string == "hvc1.2.4.L90.90"
    record = DecoderConfiguration.parse(config)
    assert (len(record.vps), len(record.sps), len(record.pps)) == (1, 1, 1)
    written = record.to_bytes()
    assert DecoderConfiguration.parse(written) == record
    # ffmpeg's record differs only where it has the SEI array of x265 more.
    assert written[:22] == config[:22]


def test_facts_carry_a_record_for_lengths_of_four_bytes() -> None:
    record = DecoderConfiguration((), (), ()).updated(sets_of("h265_main.hevc"))
    facts = h265.describe(replace(record, length_size=2).to_bytes())
    assert facts.length_size == 2
    assert facts.config == record.to_bytes()
    assert facts.codec_string == "hvc1.1.6.L120.90"
    assert facts.has_b_frames is True


def test_codec_strings() -> None:
    sps = parse_sps(sets_of("h265_main.hevc")[1])
    main = replace(sps.profile, level_idc=93, compatibility_flags=0x60000000, constraint_flags=0xB0 << 40)
    assert h265.codec_string(replace(sps, profile=main)) == "hvc1.1.6.L93.B0"
    other = replace(main, profile_space=1, profile_idc=4, tier=1, compatibility_flags=1, constraint_flags=0)
    assert h265.codec_string(replace(sps, profile=other)) == "hvc1.A4.80000000.H93"


@pytest.mark.parametrize("cut", [0, 22, 23, 24, 27, 40, 60, 90])
def test_a_record_that_ends_early_is_refused(cut: int) -> None:
    config = DecoderConfiguration((), (), ()).updated(sets_of("h265_main.hevc")).to_bytes()
    with pytest.raises(MediaError):
        DecoderConfiguration.parse(config[:cut])


def test_records_that_cannot_be_are_refused() -> None:
    record = DecoderConfiguration((), (), ()).updated(sets_of("h265_main.hevc"))
    with pytest.raises(MediaError, match="65535"):
        replace(record, pps=(bytes(70000),)).to_bytes()
    with pytest.raises(MediaError, match="no sequence parameter set"):
        DecoderConfiguration((), (), ()).to_bytes()
    with pytest.raises(MediaError, match="sequence"):
        parse_sps(sets_of("h265_main.hevc")[0])


def test_access_units_are_stripped_and_key_frames_found() -> None:
    units = samples.h265_access_units("h265_main.hevc")
    stripped = [h265.strip_parameter_sets(unit) for unit in units]
    assert [unit.keyframe for unit in stripped] == [True] + [False] * 7
    assert list(stripped[0].parameter_sets) == sets_of("h265_main.hevc")
    kinds = [[nal_type(unit[0]) for unit in nal.split_length_prefixed(done.payload)] for done in stripped]
    assert not {kind for unit in kinds for kind in unit} & {VPS, SPS, PPS, h265.AUD}
    assert h265.strip_parameter_sets(stripped[1].payload).payload is stripped[1].payload


def test_cra_pictures_are_key_frames() -> None:
    units = samples.h265_access_units("h265_open_gop.hevc")
    flags = [h265.is_keyframe(unit) for unit in units]
    assert [index for index, flag in enumerate(flags) if flag] == [0, 6]  # as ffprobe flags its packets
    assert nal_type(nal.split_length_prefixed(units[6])[-1][0]) == 21


def test_slice_types() -> None:
    pps = parse_pps(sets_of("h265_open_gop.hevc")[2])
    slices = [nal.split_length_prefixed(unit)[-1] for unit in samples.h265_access_units("h265_open_gop.hevc")]
    types = [h265.slice_type(unit, pps) for unit in slices]
    assert types[0] is SliceType.I
    assert types[6] is SliceType.I
    assert SliceType.B in types
    assert h265.slice_type(b"\x02\x01\x00", pps) is None
    with pytest.raises(MediaError, match="NAL unit is no"):
        h265.slice_type(b"\x40\x01\x00", pps)


def test_config_grows_out_of_parameter_sets_in_band() -> None:
    vps, sps, pps = sets_of("h265_main.hevc")
    assert h265.update_config(b"", []) == b""
    assert h265.update_config(b"", [vps, sps]) == b""
    config = h265.update_config(b"", [vps, sps, pps])
    assert h265.update_config(config, [vps, sps, pps]) is config
    other = sets_of("h265_open_gop.hevc")
    assert h265.describe(h265.update_config(config, other)).width == 416


SIXTEEN_PICTURES: tuple[int | str, ...] = (0, "0") * 16


def made(kind: int, *syntax: int | str) -> bytes:
    """A parameter set from its syntax elements: numbers are ue(v), strings bits."""
    writer = BitWriter()
    writer.bits(kind << 9 | 1, 16)
    for element in syntax:
        if isinstance(element, str):
            writer.bits(int(element, 2), len(element))
        else:
            writer.bits(*exp_golomb(element))
    writer.bits(0x80, 8)
    return escape(writer.to_bytes())


# Main profile, level 3.1; then without sub-layers, or with one that has a profile and a level of its own.
GENERAL = "00000001" + f"{0x60000000:032b}" + f"{0xB0 << 40:048b}" + f"{93:08b}"
SUB_LAYER = "11" + "0" * 14 + "0" * 88 + "0" * 8
TIMING = f"{1:032b}{50:032b}"
# Buffering of one layer, block sizes, no scaling lists, no tools, no PCM
ORDERING = ("0", 4, 2, 0)
BLOCKS = (0, 3, 0, 3, 0, 0)
SIZE = (1, 640, 360, "0", 0, 0, 4)


def test_sub_layers_and_every_coding_tool() -> None:
    # Scaling lists: predicted ones, one of 16 values, one with a DC coefficient and 64 values.
    zero: tuple[int | str, ...] = (0,)
    predicted: tuple[int | str, ...] = ("0", 0)
    flat = ["1", *zero * 16, *predicted * 11, "1", *zero * 65, *predicted * 7]
    sets: list[int | str] = [3, 1, 1, 0, "1", 0, "1", "1", "0", 0, "1", "01", "00", "0", 2, 0, 0, "1", 0, "1"]
    sps = made(
        SPS,
        *("0000", "001", "1", GENERAL, SUB_LAYER, 0),
        *(1, 640, 362, "1", 0, 0, 0, 1, 0, 0, 4),
        *("1", 4, 1, 0, 4, 3, 0),
        *BLOCKS,
        *("11", *flat),
        *("11", "1", "0" * 8, 0, 0, "0"),
        *sets,
        *("1", 1, "0" * 9),
        "11",
        # VUI: aspect ratio, overscan, BT.709, chroma location, fields, default window, timing
        *("1", "1", "1" * 8, "0" * 32, "11", "1", "1010", "1", f"{1:08b}" * 3, "1", 0, 0),
        *("0", "1", "0", "1", 0, 0, 0, 0, "1", TIMING),
    )
    parsed = parse_sps(sps)
    assert (parsed.width, parsed.height, parsed.max_sub_layers, parsed.temporal_id_nesting) == (640, 360, 2, True)
    assert (parsed.max_num_reorder_pics, parsed.frame_rate, parsed.field_seq) == (3, Fraction(50), True)
    assert parsed.colour == Colour(1, 1, 1, full_range=False)


def plain(*tail: int | str) -> bytes:
    """An SPS up to its scaling lists, and this behind."""
    return made(SPS, "0000", "000", "1", GENERAL, 0, *SIZE, *ORDERING, *BLOCKS, *tail)


def test_timing_may_be_in_the_vps_alone() -> None:
    vps = made(VPS, "0000", "11", "000000", "000", "1", "1" * 16, GENERAL, *ORDERING, "000001", 1, "00", "1", TIMING)
    assert parse_vps(vps).frame_rate == Fraction(50)
    sps = plain("0", "00", "0", 0, "0", "00", "0")
    assert parse_sps(sps).frame_rate is None
    record = DecoderConfiguration((vps,), (sps,), ())
    assert h265.describe(record.to_bytes()).frame_rate == Fraction(50)
    untimed = plain("0", "00", "0", 0, "0", "00", "1", *("0" * 9,))
    assert parse_sps(untimed).frame_rate is None


def test_a_broken_vui_costs_only_what_it_would_have_said() -> None:
    parsed = parse_sps(plain("0", "00", "0", 0, "0", "00", "1", "1"))
    assert (parsed.width, parsed.frame_rate) == (640, None)


@pytest.mark.parametrize(
    "nal_unit",
    [
        plain("0", "00", "0", 1, 9, 9),  # reference pictures
        plain("0", "00", "0", 2, 8, 8, *SIXTEEN_PICTURES, "1", "0", 0, "1" * 17),  # one more by prediction
        plain("0", "00", "0", 65),
        made(SPS, "0000", "000", "1", GENERAL, 0, 1, 640, 0, "0"),
        made(SPS, "0000", "000", "1", GENERAL, 0, 1, 16385, 360, "0"),
    ],
)
def test_parameter_sets_that_cannot_be_are_refused(nal_unit: bytes) -> None:
    with pytest.raises(MediaError):
        parse_sps(nal_unit)


def test_slices_of_pictures_with_extra_bits() -> None:
    pps = parse_pps(made(PPS, 0, 0, "0", "0", "010"))
    assert pps.extra_slice_header_bits == 2
    assert h265.slice_type(made(1, "1", 0, "11", 1), pps) is SliceType.P
    assert h265.slice_type(made(19, "1", "0", 0, "11", 2), pps) is SliceType.I
