"""Players get what the encoder sent: every frame decodes, sound and picture stay together."""

import statistics
import subprocess
from itertools import pairwise

import pytest
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.media import SYNC_SOURCE, Onsets, complaints, onsets, probe
from tests.support.program import wait_for

pytestmark = pytest.mark.interop

# ffmpeg 5.1 asks twice for a segment that follows a manifest with fewer than this.
LISTED = 3

WAYS = ["master.m3u8", "llhls.m3u8", "master.m3u8?_HLS_legacy=YES", "manifest.mpd"]
"""Every address that a player can be given."""


def test_ffmpeg_decodes_every_way_to_play_without_a_complaint(steady: Channel) -> None:
    assert complaints([steady.url(way) for way in WAYS], 6) == ""


@pytest.mark.parametrize("way", ["master.m3u8", "manifest.mpd"])
def test_ffprobe_finds_both_tracks_as_they_were_sent(steady: Channel, way: str) -> None:
    streams = {stream["codec_type"]: stream for stream in probe(steady.url(way))}
    assert streams["video"]["codec_name"] == "h264"
    assert (streams["video"]["width"], streams["video"]["height"]) == (640, 360)
    assert streams["audio"]["codec_name"] == "aac"
    assert streams["audio"]["sample_rate"] == "48000"


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_beep_comes_with_its_flash(channel: Channel, b_frames: int) -> None:
    encoder = subprocess.Popen(
        [
            "ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", *SYNC_SOURCE,
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "60", "-bf", str(b_frames),
            "-threads", "1", "-c:a", "aac", "-ac", "2", "-f", "flv", channel.publish_url,
        ]
    )  # fmt: skip
    try:
        channel.wait_until("live")
        wait_for("B-frames to be noticed", lambda: channel.tracks()["video"]["b_frames"] is bool(b_frames))
        channel.wait_for_segments(LISTED)
        for way in ("master.m3u8", "manifest.mpd"):
            found = onsets(channel.url(way), 5)
            assert len(found.flashes) >= 3, found
            assert abs(statistics.median(found.offsets())) < 0.05, found
            assert max(map(abs, found.offsets())) < 0.05, found
            assert _steps(found) == pytest.approx([1.0] * len(_steps(found)), abs=0.04), found
    finally:
        encoder.kill()
        encoder.wait()


def test_audio_only_plays(channel: Channel) -> None:
    with publishing(channel.publish_url, Picture(video=False)):
        channel.wait_until("live")
        assert set(channel.renditions()) == {"audio"}
        assert set(channel.tracks()) == {"audio"}
        channel.wait_for_segments(LISTED, next(iter(channel.renditions().values())))
        assert complaints([channel.url("master.m3u8"), channel.url("manifest.mpd")], 7) == ""
        assert [stream["codec_type"] for stream in probe(channel.url())] == ["audio"]


def test_video_only_plays(channel: Channel) -> None:
    with publishing(channel.publish_url, Picture(width=320, height=180, audio=False)):
        channel.wait_until("live")
        assert set(channel.renditions()) == {"video"}
        channel.wait_for_segments(LISTED, next(iter(channel.renditions().values())))
        assert complaints([channel.url("master.m3u8"), channel.url("manifest.mpd")], 7) == ""
        assert [stream["codec_type"] for stream in probe(channel.url())] == ["video"]


@pytest.mark.parametrize("group", [15, 90], ids=["a keyframe each half second", "a keyframe every three seconds"])
def test_unusual_keyframe_intervals_play(channel: Channel, group: int) -> None:
    with publishing(channel.publish_url, Picture(width=320, height=180, group=group, b_frames=3)):
        channel.wait_until("live")
        channel.wait_for_segments(LISTED)
        assert complaints([channel.url("master.m3u8"), channel.url("manifest.mpd")], 7) == ""


def _steps(found: Onsets) -> list[float]:
    return [after - before for before, after in pairwise(found.flashes)]
