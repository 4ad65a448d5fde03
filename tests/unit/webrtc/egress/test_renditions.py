"""What of a stream can be sent by WebRTC, and what viewers can choose from."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tests.support.packaged import audio, video
from tests.support.webrtc.watching import opus

from ghostlive.core.track import Codec, Track
from ghostlive.hub.derived import Offer
from ghostlive.protocols.webrtc.egress.renditions import Rendition, can_send, codecs, list_renditions, why_nothing

SMALL = Offer(replace(video("v0-360p30", height=360), config=b"", title="360p30"), 700_000)
WHOLE = Offer(replace(video("v0-720p30-realtime"), config=b"", title="720p30 WebRTC"), 2_500_000, realtime=True)
OPUS = Offer(replace(opus("a0-opus", config=b""), title="Opus"), 96_000)
AAC = Offer(replace(audio("a0-aac"), title="AAC"), 128_000)


def found(
    tracks: Sequence[Track],
    *offers: Offer,
    takes: Callable[[Track], bool] = lambda track: True,
    bitrate: int = 2_000_000,
) -> tuple[Rendition, ...]:
    return list_renditions(tracks, offers, takes=takes, bitrate=lambda track: bitrate)


def names(renditions: Sequence[Rendition]) -> list[tuple[str, str, bool]]:
    return [(one.name, one.video.id if one.video else "", one.video_made) for one in renditions]


def test_the_sources_picture_is_first_and_what_is_made_of_it_follows() -> None:
    renditions = found([video(), opus()], SMALL)
    assert names(renditions) == [("720p30", "v0", False), ("360p30", "v0-360p30", True)]
    assert [one.info.bitrate for one in renditions] == [4_000_000, 2_700_000]
    assert {one.audio.id for one in renditions if one.audio} == {"a0"}
    assert not renditions[0].audio_made


def test_a_picture_with_b_frames_is_the_one_that_is_made_for_real_time() -> None:
    renditions = found([replace(video(), has_b_frames=True), audio()], SMALL, WHOLE, AAC, OPUS)
    assert names(renditions) == [("720p30", WHOLE.track.id, True), ("360p30", SMALL.track.id, True)]
    assert renditions[0].audio is OPUS.track
    assert renditions[0].audio_made


def test_layers_are_sorted_by_what_they_show() -> None:
    layers = [video("v0", height=360), video("v1"), video("v2", height=180)]
    assert [name for name, _, _ in names(found(layers))] == ["720p30", "360p30", "180p30"]
    # The same picture twice is one choice: that of the source.
    assert names(found([video("v1", height=360)], SMALL)) == [("360p30", "v1", False)]


def test_only_what_the_viewer_takes() -> None:
    source = replace(video(), codec=Codec.VP8, codec_string="vp8")
    assert len(found([source, opus()], SMALL)) == 2
    only = found([source, opus()], SMALL, takes=lambda track: track.codec is not Codec.VP8)
    assert names(only) == [("360p30", "v0-360p30", True)]
    assert found([source], takes=lambda track: False) == ()


def test_what_was_not_measured_yet_is_guessed() -> None:
    renditions = found([video(), opus()], bitrate=0)
    assert 1_000_000 < renditions[0].info.bitrate < 4_000_000


def test_sound_alone_is_a_rendition() -> None:
    assert names(found([audio()], OPUS)) == [("Opus", "", False)]
    assert names(found([opus()])) == [("audio", "", False)]
    assert found([audio()]) == ()


@pytest.mark.parametrize(
    ("track", "sendable"),
    [
        (video(), True),
        (replace(video(), has_b_frames=True), False),
        (replace(video(), codec_string="avc1.6e0028"), False),
        (replace(video(), codec_string="avc1.42e01f", config=b"nonsense"), True),
        (replace(video(), codec=Codec.VP8), True),
        (audio(), False),
        (opus(), True),
        (replace(opus(), channels=6), False),
    ],
)
def test_what_can_be_sent_as_it_is(track: Track, sendable: bool) -> None:
    assert can_send(track) is sendable


def test_codecs_are_those_of_the_source_first() -> None:
    assert codecs([replace(video(), codec=Codec.VP8), audio()], [SMALL, OPUS]) == (
        Codec.VP8, Codec.H264, Codec.OPUS,
    )  # fmt: skip
    assert codecs([audio()], []) == (Codec.OPUS,)
    assert codecs([replace(video(), has_b_frames=True)], []) == (Codec.H264,)


def test_why_there_is_nothing() -> None:
    assert "B-frames" in why_nothing([replace(video(), has_b_frames=True)])
    assert "neither" in why_nothing([video()])
