"""Players get what the encoder sent: every frame decodes, sound and picture stay together."""

import statistics
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest
from tests.support.channel import Channel, Channels
from tests.support.encoder import Picture, publishing
from tests.support.media import SYNC_SOURCE, Onsets, complaints, onsets, probe
from tests.support.program import wait_for

pytestmark = pytest.mark.interop

KINDS = {
    "audio only": Picture(video=False),
    "video only": Picture(width=320, height=180, audio=False),
    "a keyframe each half second": Picture(width=320, height=180, group=15, b_frames=3),
    "a keyframe every three seconds": Picture(width=320, height=180, group=90, b_frames=3),
    "fifty pictures a second": Picture(width=320, height=180, rate=50, group=100),
}

# ffmpeg 5.1 asks twice for a segment that follows a manifest with fewer than this.
LISTED = 3

WAYS = ["master.m3u8", "llhls.m3u8", "master.m3u8?_HLS_legacy=YES", "manifest.mpd"]
"""Every address that a player can be given."""


def test_ffmpeg_decodes_every_way_to_play_without_a_complaint(steady: Channel) -> None:
    steady.wait_for_segments(LISTED)
    assert complaints([steady.url(way) for way in WAYS], 6) == ""


@pytest.mark.parametrize("way", ["master.m3u8", "manifest.mpd"])
def test_ffprobe_finds_both_tracks_as_they_were_sent(steady: Channel, way: str) -> None:
    # What is offered beside them comes behind them.
    streams = {stream["codec_type"]: stream for stream in reversed(probe(steady.url(way)))}
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


@pytest.mark.parametrize("way", ["master.m3u8", "manifest.mpd"])
def test_beeps_come_with_their_flashes_after_sound_was_away(channel: Channel, way: str) -> None:
    """For four of each sixteen seconds, in which the encoder goes on with the picture alone."""
    encoder = subprocess.Popen(
        [
            "ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", *SYNC_SOURCE,
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "60", "-bf", "0",
            "-threads", "1", "-c:a", "aac", "-ac", "2", "-bsf:a", "noise=amount=0:drop='between(mod(n,750),375,562)'",
            "-max_interleave_delta", "1", "-f", "flv", channel.publish_url,
        ]
    )  # fmt: skip
    try:
        channel.wait_until("live")
        channel.wait_for_segments(LISTED)
        found = onsets(channel.url(way), 18)
        assert _steps(found) == pytest.approx([1.0] * len(_steps(found)), abs=0.04), found
        pauses = [after - before for before, after in pairwise(found.beeps)]
        assert max(pauses) > 3.5, found
        assert pauses[-1] < 1.1, f"none came back: {found}"
        beeps = [beep for beep in found.beeps if beep > 0.5]  # not that of a flash which was there at the first picture
        assert max(min(abs(beep - flash) for flash in found.flashes) for beep in beeps) < 0.05, found
    finally:
        encoder.kill()
        encoder.wait()


@pytest.fixture(scope="module")
def variety(channels: Channels) -> Iterator[dict[str, Channel]]:
    """Streams of several kinds, on the air at the same time."""
    found = {name: channels.take() for name in KINDS}
    with ExitStack() as stack:
        for name, picture in KINDS.items():
            stack.enter_context(publishing(found[name].publish_url, picture))
        for channel in found.values():
            channel.wait_until("live")
            channel.wait_for_segments(LISTED, next(iter(channel.renditions().values())))
        yield found


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_stream_plays(variety: dict[str, Channel], kind: str) -> None:
    channel, picture = variety[kind], KINDS[kind]
    kinds = {name for name, sent in (("video", picture.video), ("audio", picture.audio)) if sent}
    assert set(channel.tracks()) == kinds
    assert set(channel.renditions()) == kinds
    assert {stream["codec_type"] for stream in probe(channel.url())} == kinds
    assert complaints([channel.url("master.m3u8"), channel.url("manifest.mpd")], 8) == ""


def _steps(found: Onsets) -> list[float]:
    return [after - before for before, after in pairwise(found.flashes)]
