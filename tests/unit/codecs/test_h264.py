"""H.264 configuration records and access units of real encoders."""

from dataclasses import replace
from fractions import Fraction

import pytest
from tests.unit.codecs import codec_samples as samples
from tests.unit.codecs.test_h264_sps import PLAIN, made
from tests.unit.codecs.test_nal import prefixed

from ghostlive.codecs import h264, nal
from ghostlive.codecs.h264 import DecoderConfiguration, SliceType
from ghostlive.core.errors import MediaError


def sets_of(name: str) -> list[bytes]:
    return [unit for unit in nal.split_annexb(samples.read(name)) if unit[0] & 0x1F in (7, 8)]


def test_record_of_ffmpeg_is_read_and_written_as_it_was() -> None:
    config, _ = samples.flv_video("h264_high.flv")
    record = DecoderConfiguration.parse(config)
    assert (len(record.sps), len(record.pps), record.length_size) == (1, 1, 4)
    assert record.to_bytes() == config
    assert record.codec_string() == "avc1.640028"


@pytest.mark.parametrize("name", ["h264_baseline.h264", "h264_high422.h264", "h264_interlaced.h264"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_records_come_back(name: str, size: int) -> None:
    record = replace(DecoderConfiguration((), ()).updated(sets_of(name)), length_size=size)
    assert DecoderConfiguration.parse(record.to_bytes()) == record


def test_extension_of_high_profiles_may_be_missing_or_broken() -> None:
    config, _ = samples.flv_video("h264_high.flv")
    plain = DecoderConfiguration.parse(config)
    assert DecoderConfiguration.parse(config[:-4]) == plain
    assert DecoderConfiguration.parse(config[:-1] + b"\x01\xff\xff") == plain


def test_sets_of_another_type_are_dropped_from_a_record() -> None:
    config, _ = samples.flv_video("h264_high.flv")
    swapped = config.replace(b"\x68", b"\x6c", 1)
    assert DecoderConfiguration.parse(swapped).pps == ()


def test_sps_extensions_come_back() -> None:
    config, _ = samples.flv_video("h264_high.flv")
    record = replace(DecoderConfiguration.parse(config), sps_extensions=(b"\x6d\x80",))
    assert DecoderConfiguration.parse(record.to_bytes()) == record


@pytest.mark.parametrize("cut", range(1, 45))
def test_a_record_that_ends_early_is_refused(cut: int) -> None:
    config, _ = samples.flv_video("h264_high.flv")
    with pytest.raises(MediaError):
        DecoderConfiguration.parse(config[: cut - 1])


def test_records_that_cannot_be_are_refused() -> None:
    config, _ = samples.flv_video("h264_high.flv")
    with pytest.raises(MediaError, match="begin with 1"):
        DecoderConfiguration.parse(b"\x00" + config[1:])
    with pytest.raises(MediaError, match="no sequence parameter set"):
        DecoderConfiguration((), ()).to_bytes()
    with pytest.raises(MediaError, match="no sequence parameter set"):
        DecoderConfiguration((), ()).codec_string()
    record = DecoderConfiguration.parse(config)
    with pytest.raises(MediaError, match="at most 31"):
        replace(record, sps=record.sps * 32).to_bytes()
    with pytest.raises(MediaError, match="65535"):
        replace(record, pps=(b"\x68" + bytes(70000),)).to_bytes()


def test_facts() -> None:
    config, _ = samples.flv_video("h264_high.flv")
    facts = h264.describe(config)
    assert facts.config == config
    assert (facts.width, facts.height, facts.frame_rate) == (1920, 1080, Fraction(30000, 1001))
    assert (facts.codec_string, facts.has_b_frames, facts.length_size) == ("avc1.640028", True, 4)


def test_facts_carry_a_record_for_lengths_of_four_bytes() -> None:
    config, _ = samples.flv_video("h264_high.flv")
    facts = h264.describe(replace(DecoderConfiguration.parse(config), length_size=2).to_bytes())
    assert facts.length_size == 2
    assert facts.config == config


def test_only_idr_pictures_of_a_flv_stream_are_key_frames() -> None:
    _, frames = samples.flv_video("h264_high.flv")
    stripped = [h264.strip_parameter_sets(frame) for frame in frames]
    assert [unit.keyframe for unit in stripped] == [True] + [False] * 5
    assert [unit.payload is frame for unit, frame in zip(stripped, frames, strict=True)] == [True] * 6


def test_delimiters_and_parameter_sets_are_taken_out_and_reported() -> None:
    units = samples.h264_access_units("h264_baseline.h264")
    stripped = [h264.strip_parameter_sets(unit) for unit in units]
    assert [unit.keyframe for unit in stripped] == [True, *[False] * 5, True, *[False] * 5]
    assert list(stripped[0].parameter_sets) == sets_of("h264_baseline.h264")[:2]
    assert [[n[0] & 0x1F for n in nal.split_length_prefixed(unit.payload)] for unit in stripped[:2]] == [[6, 5], [1]]
    assert [h264.is_keyframe(unit.payload) for unit in stripped] == [unit.keyframe for unit in stripped]


def test_open_groups_begin_at_recovery_points() -> None:
    units = samples.h264_access_units("h264_open_gop.h264")
    flags = [h264.strip_parameter_sets(unit).keyframe for unit in units]
    assert [index for index, flag in enumerate(flags) if flag] == [0, 7, 15]  # as ffprobe flags its packets
    assert [h264.recovery_point(unit) for unit in units[6:8]] == [None, 0]


def test_other_sei_make_no_key_frames() -> None:
    units = [h264.strip_parameter_sets(unit) for unit in samples.h264_access_units("h264_interlaced.h264")]
    assert [unit.keyframe for unit in units] == [True] + [False] * 5
    assert units[1].payload[4] & 0x1F == h264.SEI


def test_recovery_points_that_do_not_help_are_no_key_frames() -> None:
    at_once, later = b"\x06\x06\x01\xc4\x80", b"\x06\x06\x01\x64\x80"
    intra, predicted = b"\x41\xb0\x80", b"\x41\xe0\x80"
    assert h264.strip_parameter_sets(prefixed(at_once, intra)).keyframe
    assert not h264.strip_parameter_sets(prefixed(at_once, predicted)).keyframe
    assert not h264.strip_parameter_sets(prefixed(later, intra)).keyframe
    assert not h264.strip_parameter_sets(prefixed(at_once)).keyframe
    assert h264.recovery_point(prefixed(later, intra)) == 2
    assert h264.recovery_point(prefixed(b"\x06\xff\x01\x00\x80", intra)) is None
    broken = prefixed(b"\x06\x05\x02\x06\x01\xff\xff\xff", intra)
    with pytest.raises(MediaError, match="SEI message ends early"):
        h264.recovery_point(broken)
    assert h264.strip_parameter_sets(broken) == (broken, False, ())
    assert h264.recovery_point(prefixed(b"\x0b", b"\x06\x80")) is None


def test_short_lengths_become_lengths_of_four_bytes() -> None:
    unit = h264.strip_parameter_sets(prefixed(b"\x09\xf0", b"\x65abc", size=2), 2)
    assert unit == (prefixed(b"\x65abc"), True, ())


def test_an_access_unit_of_parameter_sets_alone_is_left_empty() -> None:
    sps, pps = sets_of("h264_high422.h264")
    assert h264.strip_parameter_sets(prefixed(sps, pps)) == (b"", False, (sps, pps))


def test_slice_types_as_ffprobe_says() -> None:
    units = samples.h264_access_units("h264_open_gop.h264")
    assert [h264.has_b_slices(unit) for unit in units[:8]] == [False, False, True, True, False, True, True, False]
    slices = [nal.split_length_prefixed(unit)[-1] for unit in units[:3]]
    assert [h264.slice_type(unit) for unit in slices] == [SliceType.I, SliceType.P, SliceType.B]
    assert not h264.has_b_slices(b"")
    assert not h264.has_b_slices(prefixed(b"\x06\x80"))
    with pytest.raises(MediaError, match="NAL unit is no"):
        h264.slice_type(b"\x67\x42")


def test_config_grows_out_of_parameter_sets_in_band() -> None:
    sps, pps = sets_of("h264_interlaced.h264")
    assert h264.update_config(b"", []) == b""
    assert h264.update_config(b"", [sps]) == b""
    config = h264.update_config(b"", [sps, pps])
    assert DecoderConfiguration.parse(config) == DecoderConfiguration((sps,), (pps,))
    assert h264.update_config(config, [sps, pps]) is config


def test_a_new_set_replaces_the_one_with_its_id() -> None:
    config = h264.update_config(b"", sets_of("h264_interlaced.h264"))
    other, second = sets_of("h264_high422.h264")[0], made(1, *PLAIN[1:], "0")
    record = DecoderConfiguration.parse(h264.update_config(config, [other, second, b""]))
    assert record.sps == (other, second)
    assert h264.describe(record.to_bytes()).frame_rate == Fraction(50)
