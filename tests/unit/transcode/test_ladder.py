"""The ladder: which renditions a source gets, and that none of them can be wrong for its players."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ghostlive.codecs.describe import update_config
from ghostlive.core.track import Codec, Track
from ghostlive.transcode.config import RenditionSetting
from ghostlive.transcode.ladder import (
    default_settings,
    fit,
    lower_rate,
    plan_ladder,
    plays_everywhere,
    suggest_bitrate,
)
from ghostlive.transcode.plan import AudioPlan, Mode, VideoPlan

CODECS = Path(__file__).parents[2] / "data" / "codecs"


def _interlaced() -> bytes:
    """The configuration of a broadcast camera's stream."""
    _, *units = (CODECS / "h264_interlaced.h264").read_bytes()[:4096].replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return update_config(Codec.H264, b"", [unit for unit in units if unit[0] & 0x1F in (7, 8)])


def _video(
    width: int,
    height: int,
    rate: float | Fraction | None,
    *,
    codec: Codec = Codec.H264,
    codec_string: str = "avc1.64002a",
    name: str = "v0",
    config: bytes = b"",
) -> Track:
    frame_rate = None if rate is None else Fraction(rate)
    return Track(name, codec, 90000, config, codec_string, width=width, height=height, frame_rate=frame_rate)


def _audio(
    codec: Codec, *, channels: int = 2, name: str = "a0", language: str = "", codec_string: str = "mp4a.40.2"
) -> Track:
    text = codec_string if codec is Codec.AAC else codec.value
    return Track(name, codec, 48000, b"", text, sample_rate=48000, channels=channels, language=language)


def _names(tracks: list[Track], settings: list[RenditionSetting] | None = None) -> list[str]:
    return [plan.name for plan in plan_ladder(tracks, settings).plans]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ((1920, 1080, 60), ["720p60", "720p30", "480p30", "360p30"]),
        ((1920, 1080, Fraction(60000, 1001)), ["720p60", "720p30", "480p30", "360p30"]),
        ((1920, 1080, 30), ["720p30", "480p30", "360p30"]),
        ((1920, 1080, 25), ["720p25", "480p25", "360p25"]),
        ((1920, 1080, 50), ["720p50", "720p25", "480p25", "360p25"]),
        ((1920, 1080, 24), ["720p24", "480p24", "360p24"]),
        ((1920, 1080, 31), ["720p31", "480p31", "360p31"]),
        ((1920, 1080, 45), ["720p45", "720p22", "480p22", "360p22"]),
        ((1920, 1080, 144), ["1080p48", "720p48", "720p29", "480p29", "360p29"]),
        ((1920, 1080, 1), ["720p1", "480p1", "360p1"]),
        ((1920, 1080, None), ["720p", "720p30", "480p30", "360p30"]),
        ((1080, 1920, 60), ["720p60", "720p30", "480p30", "360p30"]),
        ((1280, 720, 60), ["720p30", "480p30", "360p30"]),
        ((1280, 720, 30), ["480p30", "360p30"]),
        ((640, 360, 30), []),
        ((320, 240, 60), []),
        ((3840, 2160, 60), ["1440p60", "1080p60", "720p60", "720p30", "480p30", "360p30"]),
        ((7680, 4320, 30), ["2160p30", "1440p30", "1080p30", "720p30", "480p30", "360p30"]),
        ((5120, 1440, 60), ["1080p60", "720p60", "720p30", "480p30", "360p30"]),
    ],
)
def test_what_a_source_gets(source: tuple[int, int, float | Fraction | None], names: list[str]) -> None:
    assert _names([_video(*source)]) == names


def test_a_whole_broadcast() -> None:
    ladder = plan_ladder([_video(1920, 1080, 60), _audio(Codec.AAC)])
    assert ladder.source_names == {"v0": "1080p60", "a0": "AAC"}
    assert ladder.plans[0] == VideoPlan(
        "v0-720p60", "720p60", "v0", Codec.H264, "avc1.640020", 1280, 720, Fraction(60), 3_900_000
    )
    assert ladder.plans[-1] == AudioPlan("a0-opus", "Opus", "a0", Codec.OPUS, "opus", 2, 96_000)
    assert ladder.left_out == ()


@pytest.mark.parametrize(
    ("codec", "codec_string", "config", "name"),
    [
        (Codec.H265, "hvc1.1.6.L123.B0", b"", "1080p60 HEVC"),
        (Codec.AV1, "av01.0.09M.10", b"", "1080p60 AV1"),
        (Codec.VP8, "vp8", b"", "1080p60 VP8"),
        (Codec.VP9, "vp09.02.41.10", b"", "1080p60 VP9"),
        (Codec.H264, "avc1.6e002a", b"", "1080p60 10 bit"),
        (Codec.H264, "avc1.7a002a", b"", "1080p60 4:2:2"),
        (Codec.H264, "avc1.f4002a", b"", "1080p60 4:4:4"),
        (Codec.H264, "avc1.64002a", _interlaced(), "1080p60 interlaced"),
    ],
)
def test_what_some_browser_cannot_play_is_offered_in_its_own_size_first(
    codec: Codec, codec_string: str, config: bytes, name: str
) -> None:
    track = _video(1920, 1080, 60, codec=codec, codec_string=codec_string, config=config)
    ladder = plan_ladder([track])
    assert [plan.name for plan in ladder.plans][:2] == ["1080p60", "720p60"]
    assert ladder.source_names == {"v0": name}
    assert not plays_everywhere(track)


def test_renditions_that_the_publisher_sends_are_not_made_again() -> None:
    tracks = [_video(1920, 1080, 60), _video(1280, 720, 30, name="v1"), _video(854, 480, 30, name="v2")]
    ladder = plan_ladder(tracks)
    assert [plan.name for plan in ladder.plans] == ["720p60", "360p30"]
    assert {plan.source for plan in ladder.plans} == {"v0"}
    small_first = plan_ladder([tracks[2], tracks[0]])
    assert {plan.source for plan in small_first.plans} == {"v0"}
    # One that not every browser plays does not count.
    other = _video(1280, 720, 30, name="v1", codec=Codec.AV1, codec_string="av01.0.05M.08")
    assert "720p30" in _names([tracks[0], other])


def test_upright_and_odd_pictures_keep_their_shape() -> None:
    assert fit(1080, 1920, 720) == (720, 1280)
    assert fit(1920, 801, 480) == (1150, 480)
    assert fit(1366, 768, 720) == (1280, 720)
    assert fit(853, 480, 360) == (640, 360)
    assert fit(1080, 1080, 360) == (360, 360)


@pytest.mark.parametrize(
    ("source", "most", "made"),
    [(60, 30, 30), (50, 30, 25), (40, 30, 30), (90, 60, 45), (75, 60, 60), (120, 60, 60), (20, 30, 20), (31, 30, 31)],
)
def test_frame_rates(source: int, most: int, made: int) -> None:
    assert lower_rate(Fraction(source), Fraction(most)) == made


def test_bit_rates_grow_with_size_and_rate_and_shrink_for_each_sample() -> None:
    sizes = [(640, 360), (854, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160)]
    for rate in (Fraction(25), Fraction(30), Fraction(60)):
        bits = [suggest_bitrate(*size, rate) for size in sizes]
        per_sample = [bit / (width * height) for bit, (width, height) in zip(bits, sizes, strict=True)]
        assert bits == sorted(bits)
        assert per_sample == sorted(per_sample, reverse=True)
    assert suggest_bitrate(1920, 1080, Fraction(30)) == 5_000_000
    assert suggest_bitrate(1920, 1080, Fraction(60)) == 7_500_000
    assert suggest_bitrate(1920, 1080, Fraction(30), Codec.AV1) == 3_000_000


SETTINGS = [
    RenditionSetting(1080, 60),
    RenditionSetting(720, 60),
    RenditionSetting(720, 60, codec="av1", mode="always"),
    RenditionSetting(720, 30, 3_000_000, name="good"),
    RenditionSetting(720, 30, 1_000_000),
    RenditionSetting(480, mode="never"),
    RenditionSetting(360, 15, codec="vp8"),
    RenditionSetting(360, 15, codec="vp8", name="again"),
]


def test_configured_renditions_in_their_order() -> None:
    ladder = plan_ladder([_video(1280, 720, 60), _audio(Codec.OPUS)], SETTINGS)
    assert [(plan.id, plan.name, plan.bitrate, plan.mode) for plan in ladder.plans] == [
        ("v0-720p60-av1", "720p60 AV1", 2_400_000, Mode.ALWAYS),
        ("v0-720p30", "good", 3_000_000, Mode.DEMAND),
        ("v0-720p30-1000000", "720p30", 1_000_000, Mode.DEMAND),
        ("v0-360p15-vp8", "360p15 VP8", 630_000, Mode.DEMAND),
        ("a0-aac", "AAC", 128_000, Mode.DEMAND),
    ]
    assert [(left.name, left.reason) for left in ladder.left_out] == [
        ("1080p60", "the source is smaller: 1280x720"),
        ("720p60", "the source has it"),
        ("480p", "it is switched off in the settings"),
        ("again", "another rendition is the same"),
    ]


def test_a_configured_bit_rate_of_the_sources_own_picture() -> None:
    ladder = plan_ladder([_video(1920, 1080, 60)], [RenditionSetting(1080, bitrate=3_500_000)])
    assert [(plan.id, plan.name) for plan in ladder.plans] == [("v0-1080p60", "1080p60 3.5 Mb/s")]


def test_what_no_level_allows_is_left_out() -> None:
    settings = [RenditionSetting(8640, 240), RenditionSetting(2160)]
    ladder = plan_ladder([_video(15360, 8640, 240, codec=Codec.VP9)], settings)
    assert [left.reason for left in ladder.left_out] == ["H.264 has no level for 15360x8640 at 240 frames per second"]
    assert [plan.name for plan in ladder.plans] == ["2160p240"]


def test_no_settings_and_none_at_all_differ() -> None:
    tracks = [_video(1920, 1080, 30), _audio(Codec.AAC)]
    assert _names(tracks, []) == ["Opus"]
    assert _names(tracks, None) == ["720p30", "480p30", "360p30", "Opus"]


def test_sound_alone() -> None:
    ladder = plan_ladder([_audio(Codec.MP3)], [RenditionSetting(720)])
    assert [plan.name for plan in ladder.plans] == ["AAC", "Opus"]
    assert [(left.name, left.reason) for left in ladder.left_out] == [("720p", "the source has no picture")]
    assert plan_ladder([]).plans == ()


@pytest.mark.parametrize(
    ("tracks", "made"),
    [
        ([_audio(Codec.AAC)], {"a0-opus": 2}),
        ([_audio(Codec.AAC, channels=1)], {"a0-opus": 1}),
        ([_audio(Codec.OPUS)], {"a0-aac": 2}),
        ([_audio(Codec.AAC, channels=6)], {"a0-aac": 2, "a0-opus": 2}),
        ([_audio(Codec.AC3, channels=6)], {"a0-aac": 2, "a0-opus": 2}),
        ([_audio(Codec.PCMU, channels=1)], {"a0-aac": 1, "a0-opus": 1}),
        ([_audio(Codec.AAC, codec_string="mp4a.40.39")], {"a0-aac": 2, "a0-opus": 2}),
        ([_audio(Codec.AAC, codec_string="mp4a.40.5")], {"a0-opus": 2}),
        ([_audio(Codec.AAC), _audio(Codec.OPUS, name="a1")], {}),
        ([_audio(Codec.AAC, language="en"), _audio(Codec.OPUS, name="a1", language="de")], {"a0-opus": 2, "a1-aac": 2}),
        ([_audio(Codec.AAC), _audio(Codec.AAC, name="a1"), _audio(Codec.OPUS, name="a2")],
         {"a0-opus": 2, "a1-opus": 2, "a2-aac": 2}),
    ],
)  # fmt: skip
def test_sound_is_there_as_aac_and_as_opus(tracks: list[Track], made: dict[str, int]) -> None:
    plans = [plan for plan in plan_ladder(tracks).plans if isinstance(plan, AudioPlan)]
    assert {plan.id: plan.channels for plan in plans} == made


_SIDES = st.integers(2, 16384)
_RATES = st.none() | st.fractions(Fraction(1, 10), 480, max_denominator=1001).filter(lambda rate: rate > 0)
_TRACKS = st.builds(
    _video,
    _SIDES,
    _SIDES,
    _RATES,
    codec=st.sampled_from([Codec.H264, Codec.H265, Codec.VP8, Codec.AV1]),
    codec_string=st.sampled_from(["avc1.64001f", "avc1.7a001f"]),
)
_SETTINGS = st.none() | st.lists(
    st.builds(
        RenditionSetting,
        st.integers(16, 8640),
        st.sampled_from([0.0, 1, 15, 24, 29.97, 30, 50, 60, 120, 240]),
        st.sampled_from([0, 10_000, 1_000_000, 200_000_000]),
        st.sampled_from(["h264", "av1", "vp8"]),
        st.sampled_from(["demand", "always", "never"]),
        st.sampled_from(["", "one", "two"]),
    ),
    max_size=12,
)


@given(_TRACKS, _SETTINGS)
@example(_video(3, 3, 30, codec=Codec.H265), None)
@example(_video(16384, 2, Fraction(1, 10)), [RenditionSetting(16)])
def test_no_ladder_enlarges_hastens_or_repeats(source: Track, settings: list[RenditionSetting] | None) -> None:
    ladder = plan_ladder([source], settings)
    plans = [plan for plan in ladder.plans if isinstance(plan, VideoPlan)]
    assert len({plan.id for plan in plans}) == len(plans)
    listed = [plan for plan in plans if not plan.realtime]
    assert settings is None or len(listed) + len(ladder.left_out) == len(settings)
    if settings is None:
        assert len({plan.name for plan in plans}) == len(plans)
        areas = [(plan.width * plan.height, plan.frame_rate) for plan in plans]
        assert areas == sorted(areas, reverse=True)
    for plan in plans:
        assert plan.width % 2 == plan.height % 2 == 0
        assert min(plan.width, plan.height) >= 2
        # Rounding to even sides may add one row or column to an odd source, and nothing else does.
        assert plan.width <= source.width + source.width % 2
        assert plan.height <= source.height + source.height % 2
        assert plan.mode is not Mode.NEVER
        assert plan.bitrate > 0
        assert plan.id.replace("-", "").isalnum()
        if source.frame_rate is not None:
            assert 0 < plan.frame_rate <= source.frame_rate
        # The shape is kept to within the rounding of either side.
        assert abs(plan.width * source.height - plan.height * source.width) <= source.height + source.width


def _realtime(source: Track, settings: list[RenditionSetting] | None = None) -> list[tuple[str, int, int, Fraction]]:
    return [
        (plan.id, plan.width, plan.height, plan.frame_rate)
        for plan in plan_ladder([source], settings).plans
        if isinstance(plan, VideoPlan) and plan.realtime
    ]


def test_a_source_with_b_frames_has_its_whole_picture_again_for_real_time() -> None:
    source = replace(_video(1920, 1080, 60), has_b_frames=True)
    assert _realtime(source) == [("v0-1080p60-realtime", 1920, 1080, Fraction(60))]
    assert _realtime(_video(1920, 1080, 60)) == []
    fast = replace(_video(2560, 1440, 144), has_b_frames=True)
    assert _realtime(fast) == []  # 1440p48 is offered to everybody
    assert _realtime(fast, []) == [("v0-1440p48-realtime", 2560, 1440, Fraction(48))]
    unknown = replace(_video(1281, 721, None), has_b_frames=True)
    assert _realtime(unknown) == []  # 720p is offered to everybody
    assert _realtime(unknown, []) == [("v0-720p-realtime", 1280, 720, Fraction(60))]


def test_what_is_for_real_time_is_there_whatever_was_configured() -> None:
    source = replace(_video(1920, 1080, 30), has_b_frames=True)
    assert len(_realtime(source, [])) == 1
    assert len(_realtime(source, [RenditionSetting(720, 30)])) == 1
    # But not twice: a listed rendition of that size has no B-frames either.
    assert _realtime(source, [RenditionSetting(1080, 30, bitrate=4_000_000)]) == []
    assert len(_realtime(source, [RenditionSetting(1080, 15, bitrate=4_000_000)])) == 1


def test_a_source_of_another_codec_has_its_whole_picture_listed_unless_somebody_configured_others() -> None:
    source = _video(1920, 1080, 30, codec=Codec.H265, codec_string="hvc1.1.6.L123.90")
    assert _realtime(source) == []
    assert len(_realtime(source, [RenditionSetting(720, 30)])) == 1
    assert _realtime(_video(7680, 4320, 30, codec=Codec.H265), [RenditionSetting(720, 30)]) == []  # for no decoder


def test_what_is_for_real_time_is_no_setting() -> None:
    source = replace(_video(1280, 720, 30), has_b_frames=True)
    assert [setting.height for setting in default_settings(tracks=[source])] == [480, 360]
