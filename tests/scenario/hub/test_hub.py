"""Publishers and readers of the hub, on fake time."""

from fractions import Fraction

import pytest
from tests.support.clock import FakeClock

from ghostlive.core.errors import InvalidStreamNameError, MediaError, StreamBusyError, StreamUnknownError
from ghostlive.core.events import (
    StreamEnded,
    StreamInterrupted,
    StreamResumed,
    StreamStarted,
    StreamTracksChanged,
)
from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track
from ghostlive.hub.config import HubConfig
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import Publication, Source
from ghostlive.hub.subscription import Announced, Ended, Interrupted, Item, Skipped

VIDEO = Track("v0", Codec.H264, 90_000, b"", "avc1.64001f", width=1280, height=720, frame_rate=Fraction(30))
AUDIO = Track("a0", Codec.AAC, 48_000, b"", "mp4a.40.2", sample_rate=48_000, channels=2)
SOURCE = Source("rtmp", "192.0.2.1")


def video(n: int, *, key: bool = False, size: int = 10) -> Frame:
    return Frame("v0", n * 3000, n * 3000, key, bytes(size))


def audio(n: int) -> Frame:
    return Frame("a0", n * 1024, n * 1024, True, b"audio")


def kinds(items: list[Item]) -> list[str]:
    return [f"{item.track}@{item.dts}" if isinstance(item, Frame) else type(item).__name__ for item in items]


class Stage:
    """A hub on fake time, and what it told its listeners."""

    def __init__(self, config: HubConfig | None = None) -> None:
        self.clock = FakeClock()
        self.hub = Hub(config or HubConfig(), self.clock)
        self.events = self.hub.listen()
        self.taken: list[str] = []

    def publish(self, *tracks: Track) -> Publication:
        publication = self.hub.publish("demo", SOURCE, self.taken.append)
        publication.announce(tracks or (VIDEO, AUDIO))
        return publication

    async def told(self) -> list[type]:
        self.hub.unlisten(self.events)
        return [type(event) async for event in self.events]


async def test_a_reader_gets_tracks_then_frames_from_the_first_keyframe() -> None:
    stage = Stage()
    publication = stage.publish()
    reader = stage.hub.subscribe("demo")
    publication.write(video(0))  # no keyframe yet
    publication.write(audio(0))
    publication.write(video(1, key=True))
    publication.write(audio(1))
    assert kinds(reader.take()) == ["Announced", "v0@3000", "a0@1024"]


async def test_a_late_reader_begins_with_the_last_group() -> None:
    stage = Stage()
    publication = stage.publish()
    for n in range(10):
        publication.write(video(n, key=n % 4 == 0))
        publication.write(audio(n))
    assert kinds(stage.hub.subscribe("demo").take()) == ["Announced", "v0@24000", "a0@8192", "v0@27000", "a0@9216"]


async def test_a_late_reader_of_an_endless_group_waits_for_the_next_keyframe() -> None:
    stage = Stage(HubConfig(group_frames=5))
    publication = stage.publish(VIDEO)
    for n in range(10):
        publication.write(video(n, key=n == 0))
    reader = stage.hub.subscribe("demo")
    publication.write(video(10))
    assert kinds(reader.take()) == ["Announced"]
    publication.write(video(11, key=True))
    assert kinds(reader.take()) == ["v0@33000"]


async def test_a_slow_reader_loses_groups_and_is_told_while_others_lose_nothing() -> None:
    stage = Stage(HubConfig(reader_frames=4))
    publication = stage.publish(VIDEO)
    slow, quick = stage.hub.subscribe("demo"), stage.hub.subscribe("demo")
    seen = kinds(quick.take())
    for n in range(9):
        publication.write(video(n, key=n in (0, 7)))
        seen += kinds(quick.take())
    items = slow.take()
    assert kinds(items) == ["Announced", "Skipped", "v0@21000", "v0@24000"]
    assert items[1] == Skipped(frames=7, size=70)
    assert slow.skipped_frames == 7
    assert len(seen) == 10


async def test_memory_that_waits_for_a_reader_is_bounded_in_bytes() -> None:
    stage = Stage(HubConfig(reader_bytes=1000))
    publication = stage.publish(VIDEO)
    reader = stage.hub.subscribe("demo")
    for n in range(100):
        publication.write(video(n, key=True, size=400))
        held = sum(len(item.payload) for item in reader._items if isinstance(item, Frame))
        assert held <= 1000


async def test_a_reader_of_one_track_gets_only_that() -> None:
    stage = Stage()
    publication = stage.publish()
    reader = stage.hub.subscribe("demo", tracks=frozenset({"a0"}))
    publication.write(video(0, key=True))
    publication.write(audio(0))
    assert kinds(reader.take()) == ["Announced", "a0@0"]


async def test_audio_alone_has_groups_too() -> None:
    stage = Stage(HubConfig(audio_group=1.0))
    publication = stage.publish(AUDIO)
    for n in range(100):
        publication.write(audio(n))
    late = stage.hub.subscribe("demo").take()
    assert isinstance(late[1], Frame)
    assert 0 < len(late) - 1 <= 48


async def test_frames_of_unknown_tracks_and_empty_announcements_are_errors() -> None:
    stage = Stage()
    publication = stage.publish(VIDEO)
    with pytest.raises(MediaError, match="not announced"):
        publication.write(audio(0))
    with pytest.raises(MediaError, match="at least one track"):
        publication.announce(())


async def test_a_second_publisher_is_refused_and_told_who_is_there() -> None:
    stage = Stage()
    publication = stage.publish()
    with pytest.raises(StreamBusyError, match=r"192\.0\.2\.1"):
        stage.publish()
    publication.write(video(0, key=True))
    assert stage.taken == []


async def test_a_second_publisher_takes_over_when_so_configured() -> None:
    stage = Stage(HubConfig(second_publisher="takeover"))
    first = stage.publish()
    reader = stage.hub.subscribe("demo")
    second = stage.publish()
    first.write(video(0, key=True))  # too late, and harmless
    first.lose("closed")
    second.write(video(1, key=True))
    assert stage.taken == ["another publisher took the stream over"]
    assert kinds(reader.take()) == ["Announced", "Announced", "v0@3000"]


async def test_a_silent_publisher_does_not_keep_the_same_person_out() -> None:
    stage = Stage(HubConfig(silent_after=5.0))
    stage.publish()
    stage.clock.advance(6.0)
    stage.publish()
    assert len(stage.taken) == 1


async def test_a_lost_publisher_that_comes_back_goes_on_where_time_stands() -> None:
    stage = Stage(HubConfig(grace=30.0))
    first = stage.publish()
    session = stage.hub.streams()[0].session
    reader = stage.hub.subscribe("demo")
    first.write(video(0, key=True))
    stage.clock.advance(2.0)
    first.lose("connection reset")
    live = stage.hub.get("demo")
    assert live is not None
    assert live.state == "interrupted"
    stage.clock.advance(29.0)
    second = stage.publish()
    assert second.time_ns() == 31 * 10**9
    assert live.state == "live"
    assert live.session == session
    items = reader.take()
    assert kinds(items) == ["Announced", "v0@0", "Interrupted", "Announced"]
    announcements = [item for item in items if isinstance(item, Announced)]
    assert [item.epoch for item in announcements] == [0, 1]
    assert announcements[0].timeline == announcements[1].timeline
    stage.clock.advance(60.0)  # the grace timer is gone
    assert stage.hub.get("demo") is live
    assert await stage.told() == [StreamStarted, StreamInterrupted, StreamResumed]


async def test_a_goodbye_that_comes_after_the_loss_ends_the_stream() -> None:
    stage = Stage()
    publication = stage.publish()
    publication.lose("connection reset")
    assert stage.hub.get("demo") is not None
    publication.end("the publisher said goodbye")
    assert stage.hub.get("demo") is None
    publication.end("again")


async def test_a_late_goodbye_means_nothing_once_somebody_else_publishes() -> None:
    stage = Stage()
    first = stage.publish()
    first.lose("connection reset")
    second = stage.publish()
    first.end("the publisher said goodbye")
    assert not second.closed
    second.lose("connection reset")
    first.end("again")
    live = stage.hub.get("demo")
    assert live is not None
    assert live.state == "interrupted"


async def test_whether_a_stream_is_free_can_be_asked() -> None:
    stage = Stage(HubConfig(second_publisher="refuse", silent_after=5.0))
    stage.hub.check_free("demo")
    publication = stage.publish()
    with pytest.raises(StreamBusyError, match="rtmp"):
        stage.hub.check_free("demo")
    stage.clock.advance(5.0)
    stage.hub.check_free("demo")
    publication.end("done")
    stage.hub.check_free("demo")


async def test_a_new_publication_begins_after_all_that_an_earlier_one_sent_ahead() -> None:
    stage = Stage()
    first = stage.publish()
    first.write(video(0, key=True))
    first.write(video(300))  # ten seconds of pictures in one burst
    first.lose("reset")
    stage.clock.advance(1.0)
    second = stage.publish()
    second.announce((VIDEO,))
    assert 10 * 10**9 < second.time_ns() < 10.2 * 10**9


async def test_a_lost_publisher_that_stays_away_ends_the_stream() -> None:
    stage = Stage(HubConfig(grace=30.0))
    publication = stage.publish()
    reader = stage.hub.subscribe("demo")
    publication.lose("connection reset")
    stage.clock.advance(30.0)
    assert stage.hub.get("demo") is None
    assert kinds(await reader.batch()) == ["Announced", "Interrupted", "Ended"]
    assert await reader.batch() == []
    assert await stage.told() == [StreamStarted, StreamInterrupted, StreamEnded]
    with pytest.raises(StreamUnknownError):
        stage.hub.subscribe("demo")


async def test_a_goodbye_ends_the_stream_at_once_and_the_next_session_is_another() -> None:
    stage = Stage()
    publication = stage.publish()
    session = stage.hub.streams()[0].session
    publication.end("stopped by the encoder")
    assert stage.hub.streams() == []
    stage.publish()
    assert stage.hub.streams()[0].session != session
    assert await stage.told() == [StreamStarted, StreamEnded, StreamStarted]


async def test_changed_tracks_are_announced_and_decoding_begins_anew() -> None:
    stage = Stage()
    publication = stage.publish()
    reader = stage.hub.subscribe("demo")
    publication.write(video(0, key=True))
    publication.announce((VIDEO,))
    publication.write(video(1))
    publication.write(video(2, key=True))
    assert kinds(reader.take()) == ["Announced", "v0@0", "Announced", "v0@6000"]
    assert await stage.told() == [StreamStarted, StreamTracksChanged]


async def test_an_interrupted_stream_says_so_to_new_readers() -> None:
    stage = Stage()
    publication = stage.publish(VIDEO)
    publication.write(video(0, key=True))
    publication.lose("reset")
    items = stage.hub.subscribe("demo").take()
    assert kinds(items) == ["Announced", "v0@0", "Interrupted"]
    assert isinstance(items[-1], Interrupted)


async def test_closing_the_hub_ends_streams_publishers_readers_and_listeners() -> None:
    stage = Stage()
    stage.publish()
    reader = stage.hub.subscribe("demo")
    stage.hub.close()
    assert isinstance(reader.take()[-1], Ended)
    assert stage.taken == ["the server is stopping"]
    assert stage.events.closed


async def test_a_closed_reader_is_forgotten() -> None:
    stage = Stage()
    publication = stage.publish()
    reader = stage.hub.subscribe("demo")
    reader.close()
    publication.write(video(0, key=True))
    assert await reader.batch() == []
    assert stage.hub.streams()[0].readers == 0


async def test_a_stream_name_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidStreamNameError):
        Stage().hub.publish("a/b", SOURCE, print)


async def test_bit_rates_are_measured_per_track() -> None:
    stage = Stage()
    publication = stage.publish()
    for n in range(60):
        publication.write(video(n, key=n == 0, size=1250))
        stage.clock.advance(1 / 30)
    live = stage.hub.get("demo")
    assert live is not None
    assert live.bitrate("v0") == pytest.approx(300_000, rel=0.02)
    assert live.bitrate("a0") == 0


def test_the_newest_keyframe_is_of_the_leading_video_and_stays_while_the_publisher_is_lost() -> None:
    stage = Stage(HubConfig(group_frames=3))
    publication = stage.publish(AUDIO, VIDEO)
    live = stage.hub.get("demo")
    assert live is not None
    assert live.newest_keyframe() is None
    first = video(0, key=True)
    for frame in (audio(0), first, video(1), video(2), video(3), audio(9)):
        publication.write(frame)
    assert live.newest_keyframe() == (VIDEO, first)  # though the group was given up
    second = video(30, key=True)
    publication.write(second)
    publication.lose("cut off")
    assert live.newest_keyframe() == (VIDEO, second)
    publication = stage.publish(VIDEO)
    assert live.newest_keyframe() is None
    publication.write(second)
    assert live.newest_keyframe() == (VIDEO, second)
    publication.announce([AUDIO])
    publication.write(audio(100))
    assert live.newest_keyframe() is None
    publication.end("goodbye")
    assert live.newest_keyframe() is None
