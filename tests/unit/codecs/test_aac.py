"""AAC configurations, by hand and by ffmpeg, and ADTS."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs import aac
from ghostlive.codecs.aac import AdtsFrame, AudioSpecificConfig
from ghostlive.codecs.bits import BitReader, BitWriter
from ghostlive.core.errors import MediaError


def made(*fields: tuple[int, int]) -> bytes:
    writer = BitWriter()
    for value, count in fields:
        writer.bits(value, count)
    return writer.to_bytes()


LC_48_STEREO = b"\x11\x90"
# Object type 5, 24 kHz, stereo, extension 48 kHz, object type 2; and 29 with mono.
HE_V1 = made((5, 5), (6, 4), (2, 4), (3, 4), (2, 5), (0, 3))
HE_V2 = made((29, 5), (6, 4), (1, 4), (3, 4), (2, 5), (0, 3))
# The same in the backward compatible way: object type 2, then sync extensions.
HE_V1_COMPATIBLE = made((2, 5), (6, 4), (2, 4), (0, 3), (0x2B7, 11), (5, 5), (1, 1), (3, 4))
HE_V2_COMPATIBLE = made((2, 5), (6, 4), (1, 4), (0, 3), (0x2B7, 11), (5, 5), (1, 1), (3, 4), (0x548, 11), (1, 1))


def test_ffmpegs_surround() -> None:
    facts = aac.describe(samples.aac_config("aac_51.mp4"))
    assert (facts.sample_rate, facts.channels, facts.frame_samples) == (44100, 6, 1024)
    assert facts.codec_string == "mp4a.40.2"
    assert facts.config == samples.aac_config("aac_51.mp4")


def test_low_complexity() -> None:
    parsed = AudioSpecificConfig.parse(LC_48_STEREO)
    assert parsed == AudioSpecificConfig(2, 48000, 2, 2)
    assert parsed.to_bytes() == LC_48_STEREO


@pytest.mark.parametrize("config", [HE_V1, HE_V1_COMPATIBLE])
def test_high_efficiency_counts_at_the_rate_as_played(config: bytes) -> None:
    facts = aac.describe(config)
    assert (facts.sample_rate, facts.channels, facts.frame_samples) == (48000, 2, 2048)
    assert facts.codec_string == "mp4a.40.5"


@pytest.mark.parametrize("config", [HE_V2, HE_V2_COMPATIBLE])
def test_parametric_stereo_is_played_as_stereo(config: bytes) -> None:
    facts = aac.describe(config)
    assert (facts.sample_rate, facts.channels, facts.frame_samples) == (48000, 2, 2048)
    assert facts.codec_string == "mp4a.40.29"


def test_implicit_signalling_counts_at_the_rate_of_the_core() -> None:
    facts = aac.describe(made((2, 5), (6, 4), (2, 4), (0, 3)))
    assert (facts.sample_rate, facts.frame_samples, facts.codec_string) == (24000, 1024, "mp4a.40.2")


def test_an_extension_that_says_no_is_none() -> None:
    parsed = AudioSpecificConfig.parse(made((2, 5), (6, 4), (2, 4), (0, 3), (0x2B7, 11), (5, 5), (0, 1)))
    assert (parsed.extension_sample_rate, parsed.ps) == (0, False)


@given(
    st.sampled_from([1, 2, 4, 17, 19]),
    st.sampled_from([*aac.SAMPLE_RATES, 47999]),
    st.sampled_from([1, 2, 6, 7]),
    st.booleans(),
    st.sampled_from(["", "sbr", "ps"]),
)
def test_configurations_come_back(object_type: int, rate: int, channels: int, short: bool, extension: str) -> None:
    config = AudioSpecificConfig(
        object_type,
        rate,
        channels,
        {7: 8}.get(channels, channels),
        960 if short else 1024,
        2 * rate if extension and rate < 96000 else 0,
        extension == "ps" and rate < 96000,
    )
    if config.extension_sample_rate <= 96000:
        assert AudioSpecificConfig.parse(config.to_bytes()) == config


def test_low_delay_has_short_frames() -> None:
    # Low delay (23) must set extensionFlag and has resilience flags; enhanced low delay (39) has its own syntax.
    low_delay = AudioSpecificConfig.parse(made((23, 5), (3, 4), (2, 4), (1, 1), (0, 1), (1, 1), (0, 4)))
    assert low_delay.frame_length == 480
    assert AudioSpecificConfig.parse(made((31, 5), (7, 6), (3, 4), (2, 4), (0, 1))).frame_length == 512


def test_core_coder_and_scalable_layers_are_passed_over() -> None:
    config = made((6, 5), (3, 4), (2, 4), (0, 1), (1, 1), (0, 14), (0, 1), (5, 3))
    assert AudioSpecificConfig.parse(config).frame_length == 1024
    bsac = made((22, 5), (3, 4), (2, 4), (0, 1), (0, 1), (1, 1), (0, 16), (0, 1))
    assert AudioSpecificConfig.parse(bsac).channels == 2


def test_a_program_config_element_tells_the_channels() -> None:
    head = ((2, 5), (3, 4), (0, 4), (0, 3))
    counts = ((0, 10), (2, 4), (1, 4), (0, 4), (1, 2), (1, 3), (1, 4))
    mixdown = ((1, 1), (0, 4), (0, 1), (1, 1), (0, 3))
    elements = ((0, 1), (0, 4), (1, 1), (0, 4), (1, 1), (0, 4), (0, 4), (0, 4), (0, 5))
    bits = sum(count for _, count in head + counts + mixdown + elements)
    config = made(*head, *counts, *mixdown, *elements, (0, -bits % 8), (2, 8), (0, 16))
    parsed = AudioSpecificConfig.parse(config)
    assert (parsed.channels, parsed.channel_configuration) == (1 + 2 + 2 + 1, 0)
    with pytest.raises(MediaError, match="as it came"):
        parsed.to_bytes()
    with pytest.raises(MediaError, match="no channel"):
        AudioSpecificConfig.parse(made(*head, (0, 10), (0, 21), (0, 3), (0, 32)))


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"\x11",
        made((2, 5), (13, 4), (2, 4), (0, 3)),
        made((2, 5), (15, 4), (0, 24), (2, 4), (0, 3)),
        made((2, 5), (3, 4), (9, 4), (0, 3)),
        made((31, 5), (10, 6), (3, 4), (2, 4), (0, 8)),
        made((5, 5), (3, 4), (2, 4), (12, 4), (2, 5), (0, 3)),
    ],
)
def test_what_is_no_configuration_is_refused(config: bytes) -> None:
    with pytest.raises(MediaError):
        AudioSpecificConfig.parse(config)


def test_adts_of_ffmpeg() -> None:
    frames, rest = aac.split_adts(samples.read("aac_lc.adts"))
    assert (len(frames), rest) == (16, b"")  # as many packets as ffprobe counts
    assert frames[0].config == AudioSpecificConfig(2, 48000, 2, 2)
    assert [len(frame.payload) + 7 for frame in frames[:3]] == [108, 190, 109]


@given(st.integers(0, 1841))
def test_adts_may_be_cut_anywhere(cut: int) -> None:
    stream = samples.read("aac_lc.adts")
    first, rest = aac.split_adts(stream[:cut])
    second, nothing = aac.split_adts(rest + stream[cut:])
    assert first + second == aac.split_adts(stream)[0]
    assert nothing == b""


def test_adts_with_a_checksum() -> None:
    frames, _ = aac.split_adts(b"\xff\xf0\x4c\x80\x01\x7f\xfc\x12\x34ab")
    assert frames == [AdtsFrame(1, 48000, 2, b"ab")]


@pytest.mark.parametrize(
    "stream",
    [
        b"\x00" * 7,
        b"\xff\xf7\x4c\x80\x01\x7f\xfc",  # layer
        b"\xff\xf1\x4c\x80\x00\x1f\xfc",  # size
        b"\xff\xf1\x7c\x80\x01\x7f\xfc",  # sample rate
        b"\xff\xf1\x4c\x80\x01\x7f\xfd",  # two data blocks
    ],
)
def test_what_is_no_adts_is_refused(stream: bytes) -> None:
    with pytest.raises(MediaError):
        aac.split_adts(stream)


def test_adts_without_channel_configuration_is_refused() -> None:
    with pytest.raises(MediaError, match="channel configuration 0"):
        _ = AdtsFrame(1, 48000, 0, b"").config


@pytest.mark.parametrize(
    ("config", "elements"),
    [
        # Channel configuration 1 to 7: (single, pair, low-frequency) elements, in order.
        (1, [0]), (2, [1]), (3, [0, 1]), (4, [0, 1, 0]), (5, [0, 1, 1]), (6, [0, 1, 1, 3]), (7, [0, 1, 1, 1, 3]),
    ],
)  # fmt: skip
def test_a_silent_frame_has_an_empty_spectrum_for_each_channel(config: int, elements: list[int]) -> None:
    frame = aac.silent_frame(AudioSpecificConfig(2, 48000, config, 2))
    assert frame is not None
    reader = BitReader(frame)
    for element in elements:
        assert reader.bits(3) == element
        reader.skip(4)
        pair = element == 1
        if pair:
            assert reader.flag(), "a common window"
            assert reader.bits(1 + 2 + 1 + 6 + 1) == 0, "a long window without a scale factor band"
            assert reader.bits(2) == 0, "no joint stereo"
        for _ in range(2 if pair else 1):
            reader.skip(8)
            assert pair or reader.bits(1 + 2 + 1 + 6 + 1) == 0
            assert reader.bits(3) == 0, "no pulses, noise shaping or gain control"
    assert reader.bits(3) == 7, "the end"
    assert reader.remaining < 8


def test_there_is_no_silence_for_what_is_coded_otherwise() -> None:
    assert aac.silent_frame(AudioSpecificConfig(2, 48000, 0, 2)) is None  # its elements are in a program config element
    assert aac.silent_frame(AudioSpecificConfig(aac.AAC_ELD, 48000, 2, 2, frame_length=512)) is None
