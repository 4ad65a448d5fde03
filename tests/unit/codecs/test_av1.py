"""AV1 sequence headers, records and temporal units, against what ffprobe says of the same streams."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs import av1
from ghostlive.codecs.av1 import CodecConfiguration
from ghostlive.codecs.bits import BitWriter
from ghostlive.codecs.facts import Colour
from ghostlive.core.errors import MediaError

DELIMITER = b"\x12\x00"


def header(*fields: tuple[int, int]) -> bytes:
    """A sequence header from its fields: value and width."""
    writer = BitWriter()
    for value, count in fields:
        writer.bits(value, count)
    return writer.to_bytes() + b"\x80"


def test_record_of_libaom_with_hlg() -> None:
    config = samples.box("av1_hlg.mp4", b"av1C")
    facts = av1.describe(config)
    assert (facts.width, facts.height, facts.bit_depth) == (640, 360, 10)
    assert facts.colour == Colour(9, 18, 9, full_range=False)
    assert facts.colour.hdr
    assert facts.codec_string == "av01.0.01M.10.0.110.09.18.09.0"  # as ffmpeg writes it to a DASH manifest
    record = CodecConfiguration.parse(config)
    assert record.to_bytes() == config


def test_temporal_units_of_svt_av1() -> None:
    frames = samples.ivf_frames("av1_svt.ivf")
    units = [av1.strip_temporal_unit(frame) for frame in frames]
    assert [unit.keyframe for unit in units] == [True, False, False]
    assert [av1.is_keyframe(frame) for frame in frames] == [True, False, False]
    assert all(DELIMITER + unit.payload == frame for unit, frame in zip(units, frames, strict=True))
    assert [len(unit.parameter_sets) for unit in units] == [1, 0, 0]
    again = av1.strip_temporal_unit(units[1].payload)
    assert again.payload is units[1].payload


def test_other_obus_stay() -> None:
    metadata, frame, group = b"\x2a\x01\x80", b"\x32\x02\x10a", b"\x22\x01a"
    unit = av1.strip_temporal_unit(metadata + frame + group)
    assert unit == (metadata + frame + group, True, ())
    record = CodecConfiguration.parse(samples.box("av1_hlg.mp4", b"av1C"))
    assert CodecConfiguration(metadata + record.obus).sequence() == record.sequence()
    assert len(av1.split_obus(b"\x32\x00" * 8192)) == 8192
    with pytest.raises(MediaError, match="more than 8192"):
        av1.split_obus(frame[:1] + b"\x00" + b"\x32\x00" * 8192)


def test_plain_encoders_use_few_tools() -> None:
    few = header((0, 5), (0, 1), (0, 1), (0, 5), (0, 12), (4, 5), (3, 4), (3, 4), (15, 4), (11, 4), *((0, 1),) * 30)
    parsed = av1.parse_sequence_header(few)
    assert (parsed.width, parsed.height, parsed.level, parsed.frame_rate) == (16, 12, 4, None)


def test_config_grows_out_of_a_sequence_header_in_band() -> None:
    sets = av1.strip_temporal_unit(samples.ivf_frames("av1_svt.ivf")[0]).parameter_sets
    config = av1.update_config(b"", sets)
    facts = av1.describe(config)
    assert (facts.width, facts.height, facts.bit_depth, facts.codec_string) == (640, 360, 8, "av01.0.01M.08")
    assert av1.update_config(config, sets) is config
    assert av1.update_config(config, []) is config
    other = samples.box("av1_hlg.mp4", b"av1C")
    assert av1.update_config(other, sets) == config


def test_a_record_without_sequence_header_is_completed_from_a_key_frame() -> None:
    frame = samples.ivf_frames("av1_svt.ivf")[0]
    facts = av1.describe(b"\x81\x01\x0c\x00", frame)
    assert facts.width == 640
    assert CodecConfiguration.parse(facts.config).sequence().width == 640
    with pytest.raises(MediaError, match="no sequence header"):
        av1.describe(b"\x81\x01\x0c\x00")


def test_key_frames_of_low_overhead_files() -> None:
    stream = samples.read("av1_svt.obu")
    units = [DELIMITER + part for part in stream.split(DELIMITER)[1:]]
    assert [av1.is_keyframe(unit) for unit in units] == [True, False, False, True, False, False]


def test_padding_goes_and_a_last_obu_gets_its_size() -> None:
    padding, frame = b"\x7a\x01\x80", b"\x30\x10abc"
    unit = av1.strip_temporal_unit(DELIMITER + padding + frame)
    assert unit == (b"\x32\x04\x10abc", True, ())
    with_extension = b"\x34\x20\x50abc"
    assert av1.strip_temporal_unit(with_extension) == (b"\x36\x20\x04\x50abc", False, ())


def test_reduced_still_pictures_are_key_frames() -> None:
    sequence = header((0, 3), (1, 1), (1, 1), (4, 5), (3, 4), (3, 4), (15, 4), (11, 4), (0, 3), (0, 3), (0, 1), (0, 4))
    unit = b"\x0a" + bytes((len(sequence),)) + sequence + b"\x32\x01\xff"
    assert av1.is_keyframe(unit)
    parsed = av1.parse_sequence_header(sequence)
    assert (parsed.width, parsed.height, parsed.level, parsed.reduced_still_picture) == (16, 12, 4, True)


def full(profile: int, *colour: tuple[int, int], equal: bool = True) -> bytes:
    """A sequence header with timing, decoder model, two operating points and every tool, and this colour."""
    intervals = ((1, 1), (1, 1)) if equal else ((0, 1),)
    return header(
        (profile, 3),
        (0, 2),
        (1, 1),  # timing_info: 1001 / 30000 a tick, equal intervals of one tick
        (1001, 32),
        (30000, 32),
        *intervals,
        (1, 1),  # decoder_model_info
        (9, 5),
        (1, 32),
        (0, 10),
        (1, 1),  # initial_display_delay_present_flag
        (1, 5),
        *((0, 12), (13, 5), (1, 1), (1, 1), (0, 21), (1, 1), (9, 4)),
        *((0, 12), (4, 5), (0, 1), (0, 1)),
        *((11, 4), (11, 4), (1919, 12), (1079, 12)),
        *((1, 1), (0, 7)),  # frame ids
        *((0, 7), (1, 1), (0, 2)),  # tools, order hint
        *((0, 1), (1, 1), (0, 1), (1, 1), (6, 3)),  # screen content, integer motion vectors, order hint bits
        (0, 3),
        *colour,
    )


def test_every_field_of_a_sequence_header() -> None:
    parsed = av1.parse_sequence_header(full(0, (1, 1), (0, 1), (0, 1), (0, 1), (2, 2)))
    assert (parsed.width, parsed.height, parsed.level, parsed.tier) == (1920, 1080, 13, 1)
    assert (parsed.frame_rate, parsed.initial_display_delay) == (Fraction(30000, 1001), 9)
    assert (parsed.bit_depth, parsed.chroma_sample_position) == (10, 2)
    assert av1.codec_string(parsed) == "av01.0.13H.10"


@pytest.mark.parametrize(
    ("profile", "colour", "expected"),
    [
        (0, ((0, 1), (1, 1), (0, 1), (1, 1)), (8, True, 1, 1, True)),
        (1, ((0, 1), (1, 1), (1, 8), (13, 8), (0, 8)), (8, False, 0, 0, True)),
        (1, ((1, 1), (0, 1), (0, 1)), (10, False, 0, 0, False)),
        (2, ((1, 1), (0, 1), (0, 1), (0, 1), (0, 1)), (10, False, 1, 0, False)),
        (2, ((1, 1), (1, 1), (0, 1), (0, 1), (0, 1), (1, 1), (1, 1)), (12, False, 1, 1, False)),
        (2, ((1, 1), (1, 1), (0, 1), (0, 1), (0, 1), (0, 1)), (12, False, 0, 0, False)),
    ],
)
def test_colour_configurations(
    profile: int, colour: tuple[tuple[int, int], ...], expected: tuple[int, bool, int, int, bool]
) -> None:
    parsed = av1.parse_sequence_header(full(profile, *colour))
    found = (
        parsed.bit_depth,
        parsed.monochrome,
        parsed.subsampling_x,
        parsed.subsampling_y,
        parsed.colour.full_range,
    )
    assert found == expected
    obu = b"\x0a" + av1.write_leb128(len(full(profile, *colour))) + full(profile, *colour)
    assert CodecConfiguration.parse(CodecConfiguration(obu).to_bytes()).sequence() == parsed
    plain = expected[1:] == (False, 1, 1, False)
    assert av1.codec_string(parsed).count(".") == (3 if plain else 9)


def test_unequal_intervals_have_no_rate() -> None:
    assert av1.parse_sequence_header(full(0, (0, 4), equal=False)).frame_rate is None
    endless = header((0, 5), (1, 1), (1, 32), (30, 32), (1, 1), (0, 200))
    with pytest.raises(MediaError):
        av1.parse_sequence_header(endless)


@given(st.integers(0, (1 << 32) - 1))
def test_leb128_comes_back(value: int) -> None:
    data = av1.write_leb128(value)
    assert av1.read_leb128(b"\xff" + data, 1) == (value, 1 + len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80" * 9, b"\xff\xff\xff\xff\x7f"])
def test_sizes_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(MediaError, match="size"):
        av1.read_leb128(data, 0)


@pytest.mark.parametrize("payload", [b"\x92\x00", b"\x32\x05\x10", b"\x34", DELIMITER * 8193])
def test_obus_that_do_not_add_up_are_refused(payload: bytes) -> None:
    with pytest.raises(MediaError):
        av1.strip_temporal_unit(payload)


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(MediaError, match="0x81"):
        CodecConfiguration.parse(b"\x01\x01\x0c\x00")
    with pytest.raises(MediaError, match="reserved"):
        av1.parse_sequence_header(b"\xe0")
