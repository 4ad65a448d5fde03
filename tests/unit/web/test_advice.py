"""Advice to streamers: a table of what encoders send, and what is said of it."""

from dataclasses import replace
from fractions import Fraction

import pytest

from ghostlive.core.track import Codec, Track
from ghostlive.hub.meter import Measurement, TrackMeasurement
from ghostlive.web.advice import Advice, Severity, advise, suggested_bitrate

VIDEO = Track(
    "v0", Codec.H264, 90_000, b"", "avc1.64002a", width=1920, height=1080, frame_rate=Fraction(30), has_b_frames=False
)
AUDIO = Track("a0", Codec.AAC, 48_000, b"", "mp4a.40.2", sample_rate=48_000, channels=2)
GOOD = TrackMeasurement(
    bitrate=4_500_000,
    frame_rate=30.0,
    span=10.0,
    uneven=0.0,
    keyframe_interval=2.0,
    keyframe_longest=2.0,
    keyframe_shortest=2.0,
)
SOUND = TrackMeasurement(
    bitrate=160_000,
    frame_rate=46.875,
    span=10.0,
    uneven=0.0,
    keyframe_interval=None,
    keyframe_longest=None,
    keyframe_shortest=None,
)
CALM = Measurement(tracks={"v0": GOOD, "a0": SOUND}, longest_gap=0.03, behind=0.0, audio_late=0.02)


def seen(**changes: object) -> Measurement:
    """A good measurement with another picture."""
    return replace(CALM, tracks={"v0": replace(GOOD, **changes), "a0": SOUND})  # type: ignore[arg-type]


def said(found: list[Advice]) -> list[str]:
    return [f"{advice.code}[{advice.severity}]" for advice in found]


def test_a_good_encoder_hears_nothing() -> None:
    assert advise((VIDEO, AUDIO), CALM) == []


def test_obs_with_its_defaults_hears_of_keyframes_and_b_frames() -> None:
    thirty = advise((replace(VIDEO, has_b_frames=True), AUDIO), seen(keyframe_interval=8.33, keyframe_longest=8.33))
    assert said(thirty) == ["keyframes_rare[problem]", "b_frames[hint]"]
    assert thirty[0].values == {"interval": 8.3}
    sixty = replace(VIDEO, has_b_frames=True, frame_rate=Fraction(60))
    found = advise((sixty, AUDIO), seen(keyframe_interval=4.17, keyframe_longest=4.17, frame_rate=60.0))
    assert said(found) == ["keyframes_rare[warning]", "b_frames[hint]"]


def test_what_a_rendition_makes_up_for_is_a_hint() -> None:
    hevc = replace(VIDEO, codec=Codec.H265, codec_string="hvc1.4.10.L120.B0")
    sound = replace(AUDIO, codec=Codec.AC3, codec_string="ac-3")
    assert said(advise((hevc, sound), CALM)) == ["chroma_unsupported[problem]", "codec_limited[warning]"]
    picture = replace(VIDEO, id="v0-1080p30", config=b"")
    found = advise((hevc, sound), CALM, [picture])
    assert said(found) == ["codec_limited[warning]", "source_remade[hint]"]
    assert [advice.values.get("codec") for advice in found] == ["ac3", "h265"]
    both = [picture, replace(AUDIO, id="a0-aac", config=b"")]
    assert said(advise((hevc, sound), CALM, both)) == ["source_remade[hint]"]
    # One in another codec that some browsers cannot play makes up for nothing.
    av1 = replace(picture, id="v0-1080p30-av1", codec=Codec.AV1)
    assert said(advise((hevc, sound), CALM, [av1]))[0] == "chroma_unsupported[problem]"


def test_scene_changes_between_keyframes_every_two_seconds_are_no_fault() -> None:
    assert advise((VIDEO, AUDIO), seen(keyframe_interval=0.3, keyframe_shortest=0.2)) == []


@pytest.mark.parametrize(
    ("video", "measurement", "expected"),
    [
        (VIDEO, seen(keyframe_longest=9.0, keyframe_shortest=None, keyframe_interval=None), "keyframes_rare[problem]"),
        (VIDEO, seen(keyframe_longest=5.0), "keyframes_rare[warning]"),
        (VIDEO, seen(keyframe_longest=3.8, keyframe_shortest=1.0), "keyframes_irregular[warning]"),
        (VIDEO, seen(frame_rate=24.0), "frame_rate_low[warning]"),
        (VIDEO, seen(frame_rate=24.0, uneven=0.5), "variable_frame_rate[hint]"),
        (VIDEO, seen(bitrate=1_000_000), "bitrate_low[hint]"),
        (VIDEO, seen(bitrate=20_000_000), "bitrate_high[warning]"),
        (VIDEO, replace(CALM, longest_gap=1.4), "uneven_arrival[warning]"),
        (VIDEO, replace(CALM, behind=2.5), "behind[problem]"),
        (VIDEO, replace(CALM, audio_late=-1.2), "av_drift[warning]"),
        (replace(VIDEO, codec=Codec.H265, codec_string="hvc1.1.6.L123.B0"), CALM, "codec_limited[warning]"),
        (replace(VIDEO, codec_string="avc1.6E0029"), CALM, "chroma_unsupported[problem]"),
        (replace(VIDEO, codec_string="avc1.7a0029"), CALM, "chroma_unsupported[problem]"),
        (replace(VIDEO, codec_string="avc1.f40029"), CALM, "chroma_unsupported[problem]"),
        (replace(VIDEO, height=1079), CALM, "odd_size[hint]"),
    ],
)
def test_what_is_wrong_is_said(video: Track, measurement: Measurement, expected: str) -> None:
    assert said(advise((video, AUDIO), measurement)) == [expected]


def test_what_may_not_be_judged_yet_is_not() -> None:
    early = seen(span=1.0, bitrate=50_000, frame_rate=10.0, uneven=0.9, keyframe_longest=1.0, keyframe_shortest=None)
    assert advise((VIDEO, AUDIO), early) == []
    nothing = TrackMeasurement(0, None, 0.0, 0.0, None, None, None)
    assert advise((VIDEO, AUDIO), replace(CALM, tracks={"v0": nothing, "a0": nothing})) == []
    assert advise((VIDEO, AUDIO), replace(CALM, tracks={})) == []
    assert advise((), CALM) == []


def test_a_missing_kind_of_track_is_a_hint() -> None:
    assert said(advise((VIDEO,), CALM)) == ["no_audio[hint]"]
    assert said(advise((AUDIO,), CALM)) == ["no_video[hint]"]


def test_each_thing_is_said_once_however_many_tracks_have_it_and_problems_come_first() -> None:
    twin = replace(VIDEO, id="v1", has_b_frames=True)
    found = advise((replace(twin, id="v0"), twin), replace(CALM, behind=9.0, longest_gap=2.0))
    assert said(found) == ["behind[problem]", "uneven_arrival[warning]", "b_frames[hint]", "no_audio[hint]"]


def test_values_are_text_or_numbers_that_json_knows() -> None:
    measurement = replace(seen(keyframe_longest=9.0, bitrate=10_000, frame_rate=3.0), behind=3.0, longest_gap=4.0)
    track = replace(VIDEO, codec_string="avc1.f4", width=3, has_b_frames=True)
    for advice in advise((track, AUDIO), measurement):
        assert all(isinstance(value, str | int | float) for value in advice.values.values())
        assert advice.severity in Severity


@pytest.mark.parametrize(
    ("size", "rate", "megabits"),
    [((640, 360), 30, 0.9), ((1280, 720), 30, 2.4), ((1920, 1080), 30, 4.5), ((1920, 1080), 60, 6.4)],
)
def test_suggestions_are_what_people_use(size: tuple[int, int], rate: int, megabits: float) -> None:
    track = replace(VIDEO, width=size[0], height=size[1])
    assert suggested_bitrate(track, rate) == pytest.approx(megabits * 1e6)
    assert suggested_bitrate(replace(track, codec=Codec.AV1), rate) < suggested_bitrate(track, rate)
