"""Viewers of a live stream over WebRTC: they join, are told how things stand, and leave, in time that a test makes."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from tests.support.packaged import audio
from tests.support.webrtc.ladder import LADDER, OPUS_OFFER, SOURCE, on_time
from tests.support.webrtc.watching import (
    AUDIO_SSRC,
    VIDEO_SSRC,
    Wire,
    opus,
    watching,
)

from ghostlive.core.track import Codec
from ghostlive.formats.rtcp.packets import SenderReport, SourceDescription
from ghostlive.formats.rtp.sequence import distance
from ghostlive.protocols.webrtc.egress.config import EgressConfig
from ghostlive.protocols.webrtc.egress.model import (
    Ended,
    NothingToSendError,
    NotLiveError,
    ViewerEvent,
)
from ghostlive.protocols.webrtc.path import Path

# Joining


async def test_a_viewer_sees_every_picture_from_its_first_on() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        await stage.run(2.5)
        watcher = stage.watch()
        await stage.run(2)
        watcher.check()
        assert watcher.numbers == list(range(60, 135))
        assert watcher.names == ["720p30"]
        assert len(watcher.sound) > 110


async def test_the_first_picture_is_there_at_once_and_the_present_soon() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        await stage.run(3.9)
        begin = stage.clock.now()
        watcher = stage.watch()
        await stage.run(1)
        assert watcher.shown[0].at - begin < 0.02
        assert watcher.shown[0].keyframe
        caught_up = next(one for one in watcher.shown if one.number == 116)
        assert caught_up.at - begin < 0.2
        on_time(watcher.shown, within=0.06)
        watcher.check()


async def test_a_large_group_comes_in_portions() -> None:
    async with watching() as stage:
        stage.size, stage.key_size = 20_000, 150_000  # 5 Mb/s
        stage.publish(SOURCE, opus())
        await stage.run(2.9)
        watcher = stage.watch()
        most: dict[float, int] = {}
        take = stage.sender.deliver[1]

        def count(wire: Wire) -> None:
            most[wire.at] = most.get(wire.at, 0) + len(wire.payload)
            take(wire)

        stage.sender.deliver[1] = count
        begin = stage.clock.now()
        await stage.run(0.5)
        assert max(most.values()) < 100_000  # never more than some milliseconds of a fast line
        assert watcher.shown[-1].at - begin > 0.4
        assert watcher.numbers == list(range(60, 102))
        on_time(watcher.shown, within=0.08)


async def test_who_joins_a_group_that_is_too_long_waits_for_a_keyframe_and_asks_for_one() -> None:
    async with watching(config=EgressConfig(burst_seconds=1.0)) as stage:
        stage.group = 10_000
        stage.publish(SOURCE, opus(), ask=True)
        await stage.run(3)
        watcher = stage.watch()
        assert watcher.shown == []
        await stage.run(0.5)
        assert watcher.shown[0].keyframe
        assert watcher.shown[0].number == 90
        watcher.check()


async def test_an_encoder_that_takes_no_wishes_is_waited_for() -> None:
    async with watching(config=EgressConfig(burst_bytes=10_000)) as stage:
        stage.publish(SOURCE, opus())
        await stage.run(2.5)
        watcher = stage.watch()
        await stage.run(2)
        assert watcher.numbers[0] == 120
        assert len(watcher.sound) > 100
        watcher.check()


async def test_a_keyframe_in_the_middle_of_a_burst_is_where_it_goes_on() -> None:
    async with watching() as stage:
        stage.size, stage.key_size = 40_000, 100_000
        stage.publish(SOURCE, opus())
        await stage.run(59 / 30)
        watcher = stage.watch()
        await stage.run(1)
        assert 60 in watcher.numbers
        assert len(watcher.numbers) < 80
        watcher.check()


async def test_there_is_no_word_for_each_viewer_with_each_frame() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        await stage.run(1)
        for _ in range(300):
            stage.watch()
        await stage.run(2)
        before = stage.sender.sends
        for watcher in stage.watchers:
            stage.sender.deliver.pop(watcher.viewer.number if watcher.viewer else 0)
        await stage.run(1)
        assert stage.sender.sends - before == 90


async def test_a_crowd_that_comes_at_once_waits_for_the_keyframe_that_all_get() -> None:
    async with watching() as stage:
        stage.size, stage.key_size = 20_000, 100_000
        stage.publish(SOURCE, opus())
        await stage.run(1.5)
        crowd = [stage.watch() for _ in range(130)]
        await stage.run(2)
        first = [watcher.numbers[0] for watcher in crowd]
        assert first.count(0) == 100
        assert first.count(60) == 30
        for watcher in crowd:
            watcher.check()


async def test_a_listener_that_fails_is_no_matter_for_others() -> None:
    def fail(event: ViewerEvent) -> None:
        raise RuntimeError("a bug")

    with capture_logs() as logs:
        async with watching(*LADDER) as stage:
            stage.publish(SOURCE, opus())
            watcher, other = stage.watch(), stage.watch()
            assert watcher.viewer is not None
            watcher.viewer._on_event = fail
            watcher.viewer.choose("480p30")
            await stage.run(2)
            assert other.numbers == list(range(60))
            watcher.check()
    assert any("listener" in entry["event"] for entry in logs)


async def test_a_viewer_that_fails_is_no_matter_for_others() -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    with capture_logs() as logs:
        async with watching() as stage:
            stage.publish(SOURCE, opus())
            watcher, other = stage.watch(), stage.watch()
            assert watcher.viewer is not None
            watcher.viewer.replan = fail  # type: ignore[method-assign]
            await stage.run(1)
            stage.publish(SOURCE, opus())
            await stage.run(1)
            assert isinstance(watcher.events[-1], Ended)
            assert other.numbers[-1] == 59
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["a viewer failed"]


async def test_nothing_is_kept_of_a_broadcast_that_ended_while_nobody_watched() -> None:
    async with watching(config=EgressConfig(linger=1.0)) as stage:
        for _ in range(3):
            stage.publish(SOURCE, opus())
            await stage.run(1)
            stage.leave(stage.watch())
            await stage.run(2)
            assert stage.publication is not None
            stage.publication.end("over")
        stage.publish(SOURCE, opus())
        await stage.run(1)
        stage.watch()
        assert len(stage.egress._streams) == 1


async def test_who_comes_back_soon_is_served_from_what_is_kept() -> None:
    async with watching(config=EgressConfig(linger=5.0)) as stage:
        live = stage.publish(SOURCE, opus())
        await stage.run(2.2)
        stage.leave(stage.watch())
        await stage.run(0.5)
        assert live.readers == 1
        watcher = stage.watch()
        await stage.run(0.5)
        assert watcher.numbers[0] == 60
        stage.leave(watcher)
        await stage.run(5.5)
        assert live.readers == 0
        watcher = stage.watch()
        await stage.run(1)
        watcher.check()
        assert watcher.shown[0].keyframe
        assert stage.egress.viewers("cam") == 1


async def test_a_stream_that_is_not_live_has_no_viewers() -> None:
    async with watching() as stage:
        with pytest.raises(NotLiveError):
            stage.watch()
        with pytest.raises(NotLiveError):
            stage.egress.codecs_for("cam")
        assert stage.egress.viewers("cam") == 0


async def test_a_viewer_that_takes_nothing_of_it_is_told_why() -> None:
    async with watching() as stage:
        live = stage.publish(replace(SOURCE, has_b_frames=True), audio())
        await stage.run(0.2)
        with pytest.raises(NothingToSendError, match="B-frames"):
            stage.watch()
        stage.publish(SOURCE)
        with pytest.raises(NothingToSendError):
            stage.watch(video=[Codec.VP8])
        await stage.run(6)
        assert live.readers == 0


async def test_what_is_negotiated_begins_with_what_the_source_has() -> None:
    async with watching(*LADDER, OPUS_OFFER) as stage:
        stage.publish(SOURCE, audio())
        assert list(stage.egress.codecs_for("cam")) == [Codec.H264, Codec.OPUS]
        stage.publish(replace(SOURCE, codec=Codec.VP8, codec_string="vp8"), audio())
        assert list(stage.egress.codecs_for("cam")) == [Codec.VP8, Codec.H264, Codec.OPUS]
        assert [one.name for one in stage.egress.renditions("cam")] == ["720p30", "480p30", "360p30"]
        assert {one.audio.id for one in stage.egress.renditions("cam") if one.audio} == {"a0-opus"}


# Reports


async def test_sound_and_picture_are_told_on_one_clock() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        await stage.run(1.3)
        watcher = stage.watch()
        await stage.run(5)
        reports = [one for one in watcher.reports if isinstance(one, SenderReport)]
        assert {one.ssrc for one in reports} == {VIDEO_SSRC, AUDIO_SSRC}
        assert len(reports) >= 6
        picture = [one for one in reports if one.ssrc == VIDEO_SSRC][-1]
        sound = [one for one in reports if one.ssrc == AUDIO_SSRC][-1]
        assert picture.ntp == sound.ntp
        # A picture and a sound packet that were made at the same time are told to be of the same time.
        shown, heard = watcher.shown[-1], watcher.sound[-2]
        video_behind = distance(picture.rtp_timestamp, shown.timestamp, 32) / 90_000
        audio_behind = distance(sound.rtp_timestamp, heard.timestamp, 32) / 48_000
        assert abs(video_behind) < 3
        assert video_behind == pytest.approx(audio_behind, abs=0.001)
        assert (picture.packets, picture.octets) == watcher.told
        assert SourceDescription(VIDEO_SSRC, "house") in watcher.reports


async def test_what_the_viewer_tells_of_itself() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(2)
        watcher.report(remb=4_000_000, loss=0.04)
        assert watcher.viewer is not None
        stats = watcher.viewer.stats()
        assert stats.estimate == 4_000_000
        assert 0 < stats.loss < 0.04
        assert stats.rendition == "720p30"
        assert stats.delay == pytest.approx(0.0, abs=0.001)


# By TCP


async def test_by_tcp_every_picture_comes() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        await stage.run(1.5)
        watcher = stage.watch(stream=True)
        await stage.run(2)
        watcher.check()
        assert watcher.numbers == list(range(105))
        assert len(watcher.sound) > 100


async def test_a_connection_that_takes_too_little_skips_to_a_keyframe() -> None:
    async with watching(config=EgressConfig(tcp_backlog=100_000)) as stage:
        stage.publish(SOURCE, opus())
        watcher, other = stage.watch(stream=True), stage.watch()
        await stage.run(2)
        watcher.backlog = 150_000
        await stage.run(2)
        stuck = len(watcher.shown)
        assert stuck < 80
        watcher.backlog = 0
        await stage.run(2)
        watcher.check()
        assert watcher.numbers[-1] == 179
        assert watcher.shown[stuck].keyframe
        assert other.numbers == list(range(180))


async def test_a_viewer_that_changes_over_to_tcp_and_back_misses_nothing() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        assert watcher.viewer is not None
        for stream in (True, False, True, False):
            watcher.stream = stream
            watcher.viewer.moved(Path("tcp" if stream else "udp", ("192.0.2.9", 5000), int(stream)))
            await stage.run(0.5)
        watcher.check()
        assert watcher.numbers == list(range(90))


async def test_the_server_stops() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        await stage.egress.stop()
        assert watcher.closed == "the server is stopping"
