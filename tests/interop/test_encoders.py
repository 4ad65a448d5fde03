"""Encoders that people use publish by RTMP and RTMPS, and read in their own output why they were refused."""

import subprocess

import pytest
from tests.support.channel import Channel, Channels
from tests.support.encoder import Picture, publishing
from tests.support.media import complaints
from tests.support.program import wait_for

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("form", ["{server}/{key}", "{server}/{name}?key={key}"], ids=["key", "name and key"])
@pytest.mark.parametrize("tls", [False, True], ids=["rtmp", "rtmps"])
def test_ffmpeg_is_on_the_air_by_either_address(channel: Channel, form: str, tls: bool) -> None:
    program = channel.program
    server = program.rtmps if tls else program.rtmp
    with publishing(form.format(server=server, name=channel.name, key=channel.key)) as encoder:
        channel.wait_until("live")
        tracks = wait_for("both tracks", lambda: found if len(found := channel.tracks()) == 2 else None)
        video, audio = tracks["video"], tracks["audio"]
        assert video["codec"].startswith("avc1.")
        assert (video["width"], video["height"], video["frame_rate"], video["b_frames"]) == (640, 360, 30.0, False)
        assert (audio["codec"], audio["sample_rate"], audio["channels"]) == ("mp4a.40.2", 48_000, 2)
        assert set(channel.renditions()) == {"video", "audio"}
        encoder.stop()
        assert channel.wait_for_the_end() == "offline"


@pytest.mark.parametrize("form", ["{server}/{wrong}", "{server}/{name}?key={wrong}", "{server}/{name}"])
def test_a_wrong_key_is_refused_with_a_reason_that_the_streamer_reads(channel: Channel, form: str) -> None:
    program = channel.program
    wrong = "x" + channel.key[1:] if channel.key[0] != "x" else "y" + channel.key[1:]
    with publishing(form.format(server=program.rtmp, name=channel.name, wrong=wrong)) as encoder:
        printed = encoder.wait()
    assert encoder.process.returncode != 0
    assert "key" in _server_error(printed).lower(), printed
    assert channel.state() == "offline"
    refused = [line for line in program.log.splitlines() if "verdict=" in line and "verdict=allowed" not in line]
    assert refused, program.log
    assert not any(channel.key in line or wrong in line for line in program.log.splitlines()), "a key is in the log"


def test_a_second_publisher_is_refused_and_the_first_goes_on(channel: Channel) -> None:
    with publishing(channel.publish_url):
        channel.wait_until("live")
        before = channel.wait_for_segments(1)
        with publishing(channel.publish_url) as second:
            printed = second.wait()
        assert second.process.returncode != 0
        reason = _server_error(printed)
        assert "already" in reason or "live" in reason, printed
        after = channel.wait_for_segments(len(before.segments) + 2)
        assert channel.state() == "live"
        assert after.discontinuities == 0


@pytest.mark.parametrize(
    ("tls", "audio"),
    [(False, "voaacenc bitrate=128000"), (True, "avenc_aac bitrate=128000 ! aacparse")],
    ids=["rtmp", "rtmps"],
)
def test_gstreamer_publishes_and_what_it_sends_plays(channel: Channel, tls: bool, audio: str) -> None:
    server = channel.program.rtmps if tls else channel.program.rtmp
    pipeline = (
        "flvmux name=mux streamable=true "
        f"! rtmp2sink location={server}/{channel.key} {'tls-validation-flags=0' if tls else ''} "
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=30/1 "
        "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=500 threads=1 ! h264parse "
        "! queue ! mux. "
        f"audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=44100,channels=2 ! {audio} ! queue ! mux."
    )
    process = subprocess.Popen(
        ["gst-launch-1.0", "-q", *pipeline.split()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        wait_for("GStreamer on the air", lambda: process.poll() is not None or channel.state() == "live", 40)
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert complaints([channel.url()], 4) == ""
        tracks = channel.tracks()
        assert (tracks["video"]["width"], tracks["video"]["height"]) == (320, 180)
        assert (tracks["audio"]["sample_rate"], tracks["audio"]["channels"]) == (44_100, 2)
    finally:
        process.kill()
        process.communicate()


def test_an_encoder_that_says_goodbye_takes_the_stream_off_the_air_at_once(channel: Channel) -> None:
    with publishing(channel.publish_url, Picture(width=320, height=180)) as encoder:
        channel.wait_until("live")
        channel.wait_for_segments(1)
        playlist = channel.renditions()["video"]
        encoder.stop()
        assert channel.wait_for_the_end() == "offline"
    assert channel.playlist(playlist).ended


def test_two_streams_of_one_server_do_not_mix(channels: Channels) -> None:
    wide, tall = channels.take(), channels.take()
    with (
        publishing(wide.publish_url, Picture(width=320, height=180)),
        publishing(tall.publish_url, Picture(width=180, height=320)),
    ):
        wide.wait_until("live")
        tall.wait_until("live")
        assert "RESOLUTION=320x180" in wide.get("master.m3u8").text
        assert "RESOLUTION=180x320" in tall.get("master.m3u8").text


def _server_error(printed: str) -> str:
    """What ffmpeg prints of the server's refusal."""
    lines = [line for line in printed.splitlines() if "Server error" in line or "server error" in line]
    assert lines, f"ffmpeg shows no reason:\n{printed}"
    return " ".join(lines)
