"""OBS Studio, as most streamers have it: default settings, so B-frames and a keyframe every 250 frames."""

from pathlib import Path

import pytest
from tests.support.channel import Channel
from tests.support.media import complaints
from tests.support.obs import make_film, streaming
from tests.support.program import wait_for

pytestmark = pytest.mark.interop


def test_obs_goes_on_the_air_and_off_and_on_again(channel: Channel, tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4")
    with streaming(tmp_path / "obs", channel.program.rtmp, channel.key, film) as obs:
        wait_for("OBS on the air", lambda: obs.process.poll() is not None or channel.state() == "live", 60)
        assert obs.process.poll() is None, obs.log
        video = wait_for("B-frames to be noticed", lambda: (v := channel.tracks()["video"])["b_frames"] and v)
        assert (video["width"], video["height"], video["frame_rate"]) == (640, 360, 30.0)
        audio = channel.tracks()["audio"]
        assert (audio["codec"], audio["sample_rate"], audio["channels"]) == ("mp4a.40.2", 48_000, 2)
        # A group of OBS's lasts more than eight seconds; players do not wait for its end.
        playlist = channel.playlist()
        assert playlist.edge.parts or playlist.segments
        assert playlist.hint
        channel.wait_for_segments(1)
        assert complaints([channel.url()], 6) == ""
        file = channel.renditions()["video"]

        obs.press("StopStream")
        channel.wait_until("offline")
        assert channel.playlist(file).ended
        # All of it, from the first frame to the last: both end by themselves now.
        assert complaints([channel.url(file), channel.url("manifest.mpd")], 60) == ""
        obs.press("StartStream")
        channel.wait_until("live", 60)
        assert channel.renditions()["video"] != file


def test_obs_shows_its_user_why_a_key_is_refused(channel: Channel, tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", 2)
    with streaming(tmp_path / "obs", channel.program.rtmp, "gl_wrong", film) as obs:
        wait_for("OBS to be refused", lambda: "key" in _complaint(obs.log), 60)
        assert channel.state() == "offline"


def _complaint(log: str) -> str:
    """What OBS's RTMP library says of the server's answer."""
    return " ".join(line for line in log.splitlines() if "NetStream.Publish" in line or "onStatus" in line.lower())
