"""Publishers break down and come back: viewers keep their session, their place, and a decodable stream.

ffmpeg reads one period of a DASH manifest only, so how players of DASH get over a break is seen in `tests/e2e`.
"""

from collections.abc import Iterator
from datetime import datetime

import pytest
from tests.support.channel import Channel
from tests.support.encoder import Encoder, Picture, publishing
from tests.support.media import complaints, play
from tests.support.program import Program, running, wait_for

pytestmark = pytest.mark.interop

SMALL = Picture(width=320, height=180)
GRACE = 5.0


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server that gives publishers little time to come back, and keeps ended streams for a short while."""
    environment = {"GHOSTLIVE_HUB__GRACE": str(GRACE), "GHOSTLIVE_PACKAGER__KEEP_ENDED": "4"}
    environment["GHOSTLIVE_HUB__SILENT_AFTER"] = "1.5"
    with running(tmp_path_factory.mktemp("hasty"), environment) as program:
        yield program


def test_an_encoder_that_is_killed_and_returns_within_the_grace_goes_on_in_the_same_session(channel: Channel) -> None:
    with publishing(channel.publish_url, SMALL) as first:
        channel.wait_until("live")
        before = channel.wait_for_segments(2)
        session = channel.renditions()["video"]
        # A player that is there from before the break until after it.
        viewer = play(channel.url(), 12, "-live_start_index", "0")
        first.kill()
        channel.wait_until("interrupted")
        assert not channel.playlist(session).ended
        with publishing(channel.publish_url, SMALL):
            channel.wait_until("live")
            wait_for("the break in the playlist", lambda: channel.playlist(session).discontinuities == 1)
            after = channel.wait_for_segments(len(before.segments) + 4, session)
            assert channel.renditions()["video"] == session
            assert after.first == before.first
            assert not after.ended
            assert viewer.finish() == ""
            # Whoever comes now plays over the break as well.
            assert complaints([channel.url(), channel.url("master.m3u8?_HLS_legacy=YES")], 5) == ""


def test_sound_and_picture_of_every_rendition_break_at_the_same_place(channel: Channel) -> None:
    with publishing(channel.publish_url, SMALL) as first:
        channel.wait_until("live")
        channel.wait_for_segments(1)
        files = channel.renditions()
        first.kill()
        with publishing(channel.publish_url, SMALL):

            def dates() -> list[datetime | None]:
                """When the segment after each break begins, once it is complete."""
                segments = [segment for file in files.values() for segment in channel.playlist(file).segments]
                return [segment.date for segment in segments if segment.discontinuity]

            wait_for("the segment after the break in both playlists", lambda: len(dates()) >= 2, 60)
            first_date, second_date = dates()
            assert first_date is not None
            assert second_date is not None
            assert abs((first_date - second_date).total_seconds()) < 0.2


def test_another_picture_size_after_the_break_gets_its_own_initialization(channel: Channel) -> None:
    with publishing(channel.publish_url, SMALL) as first:
        channel.wait_until("live")
        channel.wait_for_segments(1)
        session = channel.renditions()["video"]
        first.kill()
        channel.wait_until("interrupted")
        with publishing(channel.publish_url, Picture(width=480, height=270)):
            wait_for("the new size", lambda: channel.tracks()["video"]["width"] == 480)
            wait_for("the break", lambda: channel.playlist(session).discontinuities == 1)

            def initializations() -> list[str]:
                return list(dict.fromkeys(segment.map for segment in channel.playlist(session).segments))

            wait_for("a segment of the new size", lambda: len(initializations()) > 1)
            maps = initializations()
            assert len(maps) == 2
            folder = session.rpartition("/")[0]
            old, new = (channel.get(f"{folder}/{name}").content for name in maps)
            assert old != new
            assert "RESOLUTION=480x270" in channel.get("master.m3u8").text
            # ffmpeg keeps the first initialization that it reads, so it has to begin behind the break; what the
            # change looks like to a viewer who is there is seen in `tests/e2e`.
            wait_for(
                "segments of the new size",
                lambda: [s.map for s in channel.playlist(session).segments][-3:] == [maps[1]] * 3,
            )
            assert complaints([channel.url(), channel.url("master.m3u8?_HLS_legacy=YES")], 4) == ""


def test_a_goodbye_ends_the_playlists_and_the_next_broadcast_is_a_new_session(channel: Channel) -> None:
    with publishing(channel.publish_url, SMALL) as first:
        channel.wait_until("live")
        channel.wait_for_segments(2)
        files = channel.renditions()
        first.stop()
        assert channel.wait_for_the_end() == "offline"
    for file in files.values():
        assert channel.playlist(file).ended
    # Whoever was late still sees the end of it, from the first second on.
    assert complaints([channel.url(files["video"])], 30) == ""
    with publishing(channel.publish_url, SMALL):
        channel.wait_until("live")
        fresh = channel.renditions()
        assert fresh["video"] != files["video"]
        assert channel.playlist(fresh["video"]).discontinuities == 0


def test_after_the_grace_the_stream_is_over_and_its_files_go(hasty: Program) -> None:
    channel = Channel.add(hasty)
    encoder = Encoder(channel.publish_url, SMALL)
    try:
        channel.wait_until("live")
        channel.wait_for_segments(1)
        file = channel.renditions()["video"]
    finally:
        encoder.kill()
    assert channel.wait_for_the_end() == "interrupted"
    channel.wait_until("offline", GRACE + 60)
    wait_for("the playlist's end", lambda: channel.get(file).status_code == 404 or channel.playlist(file).ended)
    gone = wait_for("the files to go", lambda: (r := channel.get(file)).status_code == 404 and r)
    assert gone.headers["content-type"] == "application/problem+json"
    assert channel.get("master.m3u8").status_code == 404
    with publishing(channel.publish_url, SMALL):
        channel.wait_until("live")
        assert channel.renditions()["video"] != file


def test_the_key_of_a_frozen_encoder_can_be_used_again(channel: Channel) -> None:
    """An encoder whose machine hangs keeps its connection open; the streamer tries with another one until it works."""
    with publishing(channel.publish_url, SMALL) as frozen:
        channel.wait_until("live")
        channel.wait_for_segments(1)
        session = channel.renditions()["video"]
        frozen.pause()

        def takes_over() -> bool:
            with publishing(channel.publish_url, SMALL) as second:
                wait_for(
                    "an answer",
                    lambda: second.process.poll() is not None or channel.playlist(session).discontinuities == 1,
                )
                return second.process.poll() is None

        wait_for("the server to take the new one", takes_over, 40)
