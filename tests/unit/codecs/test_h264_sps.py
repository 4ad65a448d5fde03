"""H.264 sequence parameter sets, against what ffprobe says of the same streams."""

from fractions import Fraction

import pytest
from tests.unit.codecs import codec_samples as samples
from tests.unit.codecs.test_bits import exp_golomb
from tests.unit.codecs.test_nal import escape

from ghostlive.codecs import nal
from ghostlive.codecs.bits import BitWriter
from ghostlive.codecs.facts import Colour
from ghostlive.codecs.h264 import DecoderConfiguration
from ghostlive.codecs.h264_sps import SequenceParameterSet, parse_sps, sane_rate
from ghostlive.core.errors import MediaError


def sps_of(name: str) -> SequenceParameterSet:
    return parse_sps(next(unit for unit in nal.split_annexb(samples.read(name)) if unit[0] & 0x1F == 7))


def made(*syntax: int | str, profile: int = 77, flags: int = 0) -> bytes:
    """An SPS from its syntax elements: numbers are ue(v), strings bits."""
    writer = BitWriter()
    for value in (0x67, profile, flags, 30):
        writer.bits(value, 8)
    for element in syntax:
        if isinstance(element, str):
            writer.bits(int(element, 2), len(element))
        else:
            writer.bits(*exp_golomb(element))
    writer.bits(0x80, 8)
    return escape(writer.to_bytes())


# id, log2_max_frame_num, pic_order_cnt_type 2, references, gaps, 320 x 240, frames only, direct 8x8, no cropping
PLAIN = (0, 0, 2, 1, "0", 19, 14, "1", "1", "0")


def test_cropped_1080p_with_b_frames_and_colour() -> None:
    config, _ = samples.flv_video("h264_high.flv")
    sps = DecoderConfiguration.parse(config).sequence()
    assert (sps.profile_idc, sps.level_idc, sps.width, sps.height) == (100, 40, 1920, 1080)
    assert sps.vui.frame_rate == Fraction(30000, 1001)
    assert sps.vui.colour == Colour(1, 1, 1, full_range=False)
    assert sps.vui.max_num_reorder_frames == 2
    assert sps.has_b_frames is True
    assert not sps.interlaced


def test_baseline_has_no_b_frames() -> None:
    sps = sps_of("h264_baseline.h264")
    assert (sps.profile_idc, sps.constraint_flags, sps.level_idc) == (66, 0xC0, 13)
    assert (sps.width, sps.height, sps.vui.frame_rate) == (320, 240, Fraction(30))
    assert sps.has_b_frames is False


def test_interlaced_with_hypothetical_decoder_and_odd_cropping() -> None:
    sps = sps_of("h264_interlaced.h264")
    assert sps.interlaced
    assert (sps.width, sps.height, sps.vui.frame_rate) == (322, 184, Fraction(25))
    assert sps.vui.max_num_reorder_frames == 2


def test_ten_bits_422_with_scaling_lists() -> None:
    sps = sps_of("h264_high422.h264")
    assert (sps.profile_idc, sps.chroma_format_idc, sps.bit_depth_luma, sps.bit_depth_chroma) == (122, 2, 10, 10)
    assert (sps.width, sps.height, sps.vui.frame_rate) == (320, 240, Fraction(50))


def test_scaling_lists_in_the_sps_are_passed_over() -> None:
    # 4:4:4 has twelve flags: a list of 16 that changes once and then stops, ten without, and one of 64 that stops.
    lists: list[int | str] = ["1", 1, 18, "0" * 10, "1", 16]
    sps = parse_sps(made(0, 3, "1", 2, 0, "0", "1", *lists, *PLAIN[1:], "0", profile=244))
    assert (sps.width, sps.height, sps.chroma_format_idc, sps.bit_depth_luma) == (320, 240, 3, 10)


def test_reordering_is_known_by_picture_order_and_by_profile() -> None:
    assert parse_sps(made(*PLAIN, "0")).has_b_frames is False
    order_0 = (0, 0, 0, 4, 1, "0", 19, 14, "1", "1", "0", "0")
    assert parse_sps(made(*order_0)).has_b_frames is None
    assert parse_sps(made(0, 1, 0, 0, "0", "0", *order_0[1:], profile=100, flags=0x10)).has_b_frames is False
    order_1 = (0, 0, 1, "1", 0, 0, 2, 1, 2, 1, "0", 19, 14, "1", "1", "0", "0")
    assert parse_sps(made(*order_1)).has_b_frames is None


def test_a_broken_vui_costs_only_what_it_would_have_said() -> None:
    sps = parse_sps(made(*PLAIN, "1", "1"))
    assert (sps.width, sps.vui.frame_rate) == (320, None)


def test_timing_holds_when_only_what_follows_is_broken() -> None:
    timing = f"{1:032b}{50:032b}1"
    # extended aspect ratio, overscan, signal type without description, chroma location, timing; then the end
    vui = ("1", "1" * 8, "0" * 32, "11", "1", "1011", "0", "1", 0, 0, "1", timing, "0", "1")
    sps = parse_sps(made(*PLAIN, "1", *vui))
    assert sps.vui.frame_rate == Fraction(25)
    assert sps.vui.colour == Colour(full_range=True)
    assert sps.vui.max_num_reorder_frames is None


def test_no_restriction_says_nothing_about_reordering() -> None:
    sps = parse_sps(made(*PLAIN, "1", "0", "0", "0", "0", "0", "0", "0", "0", "0"))
    assert sps.vui.max_num_reorder_frames is None


@pytest.mark.parametrize(
    "nal_unit",
    [
        b"",
        b"\x67\x42\x00",
        b"\x68\x42\x00\x1e\xff",
        b"\x67\x42\x00\x1e",
        made(0, 0, 2, 1, "0", 1024, 14, "1", "1", "0", "0"),  # 16400 wide
        made(0, 0, 2, 1, "0", 19, 600, "0", "0", "1", "0", "0"),  # 19232 high, in fields
        made(0, 0, 2, 1, "0", 0, 0, "1", "1", "1", 4, 4, 0, 0, "0"),  # cropped away
        made(32, 0, 2),
        made(0, 0, 3),
    ],
)
def test_what_is_no_sps_is_refused(nal_unit: bytes) -> None:
    with pytest.raises(MediaError):
        parse_sps(nal_unit)


def test_frame_rates_that_no_camera_has_are_absent() -> None:
    assert sane_rate(0, 1) is None
    assert sane_rate(1, 0) is None
    assert sane_rate(481, 1) is None
    assert sane_rate(60000, 1001) == Fraction(60000, 1001)
