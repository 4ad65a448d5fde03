"""The table: one way to ask for every codec, and only `MediaError` whatever the bytes are."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs import describe, nal
from ghostlive.codecs.facts import AudioFacts
from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec, TrackKind

VIDEO = [codec for codec in Codec if codec.kind is TrackKind.VIDEO]
AUDIO = [codec for codec in Codec if codec.kind is TrackKind.AUDIO]


def annexb_sets(name: str, kinds: set[int], shift: int, mask: int) -> list[bytes]:
    return [unit for unit in nal.split_annexb(samples.read(name)) if unit[0] >> shift & mask in kinds]


CONFIGS = {
    Codec.H264: samples.flv_video("h264_high.flv")[0],
    Codec.H265: samples.box("h265_main10.mp4", b"hvcC"),
    Codec.AV1: samples.box("av1_hlg.mp4", b"av1C"),
    Codec.VP8: b"",
    Codec.VP9: samples.box("vp9_profile3.mp4", b"vpcC"),
    Codec.AAC: samples.aac_config("aac_51.mp4"),
    Codec.OPUS: samples.box("opus_51.mp4", b"dOps"),
    Codec.FLAC: samples.read("flac.flac")[:42],
    Codec.AC3: samples.box("ac3_stereo.mp4", b"dac3"),
    Codec.EAC3: samples.box("eac3_51.mp4", b"dec3"),
    Codec.MP3: b"",
    Codec.PCMA: b"\x01",
    Codec.PCMU: b"\x02",
}
FRAMES = {
    Codec.H264: samples.flv_video("h264_high.flv")[1][0],
    Codec.H265: samples.mp4_samples("h265_main10.mp4")[0],
    Codec.AV1: samples.mp4_samples("av1_hlg.mp4")[0],
    Codec.VP8: samples.ivf_frames("vp8.ivf")[0],
    Codec.VP9: samples.mp4_samples("vp9_profile3.mp4")[0],
    Codec.AAC: samples.mp4_samples("aac_51.mp4")[0],
    Codec.OPUS: samples.mp4_samples("opus_51.mp4")[0],
    Codec.FLAC: samples.read("flac.flac")[-1133:],
    Codec.AC3: samples.mp4_samples("ac3_stereo.mp4")[0],
    Codec.EAC3: samples.mp4_samples("eac3_51.mp4")[0],
    Codec.MP3: samples.read("mp3_44100.mp3")[:208],
    Codec.PCMA: b"\xd5" * 160,
    Codec.PCMU: b"\xff" * 160,
}


@pytest.mark.parametrize(
    ("codec", "size", "rate", "codec_string"),
    [
        (Codec.H264, (1920, 1080), Fraction(30000, 1001), "avc1.640028"),
        (Codec.H265, (640, 360), Fraction(50), "hvc1.2.4.L90.90"),
        (Codec.AV1, (640, 360), None, "av01.0.01M.10.0.110.09.18.09.0"),
        (Codec.VP8, (320, 240), None, "vp8"),
        (Codec.VP9, (320, 240), None, "vp09.03.20.10.02.02.02.02.00"),
    ],
)
def test_video(codec: Codec, size: tuple[int, int], rate: Fraction | None, codec_string: str) -> None:
    facts = describe.describe_video(codec, CONFIGS[codec], FRAMES[codec])
    assert (facts.width, facts.height) == size
    assert (facts.frame_rate, facts.codec_string) == (rate, codec_string)
    assert describe.describe_video(codec, facts.config, FRAMES[codec]) == facts
    assert describe.inspect_frame(codec, FRAMES[codec]).keyframe


@pytest.mark.parametrize(
    ("codec", "rate", "channels", "packet", "codec_string"),
    [
        (Codec.AAC, 44100, 6, 1024, "mp4a.40.2"),
        (Codec.OPUS, 48000, 6, 960, "opus"),
        (Codec.FLAC, 44100, 2, 4608, "flac"),
        (Codec.AC3, 44100, 2, 1536, "ac-3"),
        (Codec.EAC3, 48000, 6, 1536, "ec-3"),
        (Codec.MP3, 44100, 2, 1152, "mp4a.6B"),
        (Codec.PCMA, 8000, 1, 160, "alaw"),
        (Codec.PCMU, 8000, 2, 80, "ulaw"),
    ],
)
def test_audio(codec: Codec, rate: int, channels: int, packet: int, codec_string: str) -> None:
    facts = describe.describe_audio(codec, CONFIGS[codec], FRAMES[codec])
    assert (facts.sample_rate, facts.channels, facts.codec_string) == (rate, channels, codec_string)
    assert describe.audio_frame_samples(codec, facts, FRAMES[codec]) == packet
    assert describe.describe_audio(codec, facts.config, FRAMES[codec]) == facts
    assert describe.inspect_frame(codec, FRAMES[codec]) == (FRAMES[codec], True, ())


@pytest.mark.parametrize("codec", VIDEO)
def test_inspected_frames_stay_as_they_are(codec: Codec) -> None:
    unit = describe.inspect_frame(codec, FRAMES[codec])
    assert describe.inspect_frame(codec, unit.payload).payload is unit.payload


def test_parameter_sets_in_band_make_configurations() -> None:
    h264 = annexb_sets("h264_interlaced.h264", {7, 8}, 0, 31)
    assert describe.describe_video(Codec.H264, describe.update_config(Codec.H264, b"", h264)).interlaced
    h265 = annexb_sets("h265_main.hevc", {32, 33, 34}, 1, 63)
    assert describe.describe_video(Codec.H265, describe.update_config(Codec.H265, b"", h265)).width == 1922
    av1 = describe.inspect_frame(Codec.AV1, samples.ivf_frames("av1_svt.ivf")[0]).parameter_sets
    assert describe.describe_video(Codec.AV1, describe.update_config(Codec.AV1, b"", av1)).bit_depth == 8
    assert describe.update_config(Codec.OPUS, b"config", []) == b"config"


def test_a_codec_of_the_other_kind_is_refused() -> None:
    for codec in AUDIO:
        with pytest.raises(MediaError, match="no video codec"):
            describe.describe_video(codec, b"")
    for codec in VIDEO:
        with pytest.raises(MediaError, match="no audio codec"):
            describe.describe_audio(codec, b"")
    with pytest.raises(MediaError, match="duration"):
        describe.audio_frame_samples(Codec.AAC, AudioFacts(b"", "mp4a.40.2", 48000, 2), b"")


# Noise finds little behind magic numbers; a good example with a few bytes changed, or an end cut off, finds the rest.
def damaged(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    edit = st.tuples(st.integers(0, 1 << 16), st.integers(0, 255))

    def apply(seed: bytes, edits: list[tuple[int, int]], cut: int) -> bytes:
        data = bytearray(seed[: 200 + cut])
        for position, value in edits:
            if data:
                data[position % len(data)] = value
        return bytes(data[: len(data) - cut % (len(data) + 1)])

    return st.builds(apply, st.sampled_from(seeds), st.lists(edit, max_size=6), st.integers(0, 100) | st.just(0))


configs = st.binary(max_size=200) | damaged([config for config in CONFIGS.values() if config])
frames = st.binary(max_size=200) | damaged(list(FRAMES.values()))


@given(st.sampled_from(list(Codec)), configs, frames, st.integers(1, 4))
def test_any_bytes_raise_only_media_errors(codec: Codec, config: bytes, frame: bytes, length_size: int) -> None:
    for call in (
        lambda: describe.describe_video(codec, config, frame),
        lambda: describe.audio_frame_samples(codec, describe.describe_audio(codec, config, frame), frame),
        lambda: describe.inspect_frame(codec, frame, length_size),
        lambda: describe.update_config(codec, config, [frame]),
    ):
        with suppress(MediaError):
            call()
