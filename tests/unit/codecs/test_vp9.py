"""VP9 frame headers and records, against what ffprobe says of the same streams."""

from fractions import Fraction

import pytest
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs import vp9
from ghostlive.codecs.bits import BitWriter
from ghostlive.codecs.facts import Colour
from ghostlive.codecs.vp9 import CodecConfiguration
from ghostlive.core.errors import MediaError


def keyframe(profile: int, *colour: tuple[int, int]) -> bytes:
    writer = BitWriter()
    fields = [(2, 2), (profile & 1, 1), (profile >> 1, 1), *([(0, 1)] if profile == 3 else []), (0, 2), (2, 2)]
    for value, count in (*fields, (0x498342, 24), *colour, (319, 16), (239, 16)):
        writer.bits(value, count)
    return writer.to_bytes() + bytes(4)


def test_key_frames_and_size() -> None:
    frames = samples.ivf_frames("vp9.ivf")
    assert [vp9.is_keyframe(frame) for frame in frames] == [True, False, True, False]
    header = vp9.parse_header(frames[0])
    assert (header.width, header.height, header.profile, header.bit_depth) == (320, 240, 0, 8)
    assert vp9.inspect(frames[1]) == (frames[1], False, ())


def test_record_made_of_a_frame() -> None:
    facts = vp9.describe(b"", samples.ivf_frames("vp9.ivf")[0])
    assert (facts.width, facts.height, facts.codec_string) == (320, 240, "vp09.00.20.08")
    assert facts.config == bytes((0, 20, 0x82, 2, 2, 2, 0, 0))


def test_record_of_ffmpeg_in_its_full_box() -> None:
    config = samples.box("vp9_profile3.mp4", b"vpcC")
    frame = samples.mp4_samples("vp9_profile3.mp4")[0]
    facts = vp9.describe(config, frame)
    assert (facts.width, facts.height, facts.bit_depth) == (320, 240, 10)
    assert facts.config == config[4:]
    assert vp9.describe(facts.config).config == facts.config
    assert facts.codec_string == "vp09.03.20.10.02.02.02.02.00"
    assert vp9.parse_header(frame).subsampling_y == 0


@pytest.mark.parametrize(
    ("profile", "colour", "chroma", "expected"),
    [
        (0, ((2, 3), (0, 1)), 1, Colour(1, 1, 1)),
        (1, ((7, 3), (0, 1)), 3, Colour(1, 13, 0, full_range=True)),
        (2, ((1, 1), (5, 3), (1, 1)), 1, Colour(2, 2, 9, full_range=True)),
        (3, ((0, 1), (1, 3), (0, 1), (2, 2), (0, 1)), 2, Colour(2, 2, 6)),
    ],
)
def test_profiles(profile: int, colour: tuple[tuple[int, int], ...], chroma: int, expected: Colour) -> None:
    header = vp9.parse_header(keyframe(profile, *colour))
    assert (header.width, header.height, header.profile, header.colour) == (320, 240, profile, expected)
    record = CodecConfiguration.of_frame(header)
    assert record.chroma_subsampling == chroma
    assert CodecConfiguration.parse(record.to_bytes()) == record


def test_levels() -> None:
    assert vp9.level_for(1280, 720, Fraction(30)) == 31
    assert vp9.level_for(1920, 1080, Fraction(60)) == 41
    assert vp9.level_for(16384, 16384, Fraction(60)) == 62


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00" * 20,
        b"\x82\x49\x83\x43" + bytes(20),
        b"\x82\x49\x83\x42",
        b"\x86" + bytes(20),
        keyframe(0, (7, 3)),
        b"\xb8" + bytes(20),
    ],
)
def test_what_is_no_key_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(MediaError):
        vp9.parse_header(frame)


@pytest.mark.parametrize("config", [b"", bytes(7), bytes(8), b"\x04\x1f\x82\x02\x02\x02\x00\x00", b"\x01\x00\x00\x00"])
def test_what_is_no_record_is_refused(config: bytes) -> None:
    with pytest.raises(MediaError):
        vp9.describe(config)
