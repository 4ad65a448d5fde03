"""Measuring what publishers send, through the hub, on fake time."""

import heapq
from collections.abc import Callable, Iterator
from fractions import Fraction

import pytest
from tests.support.clock import FakeClock

from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream, Source
from ghostlive.hub.meter import Measurement
from ghostlive.web.advice import advise

AUDIO = Track("a0", Codec.AAC, 48_000, b"", "mp4a.40.2", sample_rate=48_000, channels=2)
SIZE = 2_500_000 // 8 // 30


def picture(rate: Fraction | None = Fraction(30), *, b_frames: bool = False) -> Track:
    return Track(
        "v0", Codec.H264, 90_000, b"", "avc1.64001f",
        width=1280, height=720, frame_rate=rate, has_b_frames=b_frames,
    )  # fmt: skip


def same_time(time: float) -> float:
    return time


class Encoder:
    """Makes frames and sends them when `arrives` says so; times as RTMP has them, in whole milliseconds."""

    def __init__(self, *, rate: int = 30, keyframe_every: int = 60, track: Track | None = None) -> None:
        self.clock = FakeClock()
        self.hub = Hub(clock=self.clock)
        self.track = track or picture(Fraction(rate))
        self.publication = self.hub.publish("demo", Source("rtmp", "192.0.2.1", "OBS"), print)
        self.publication.announce((self.track, AUDIO))
        self.times: Callable[[int], float] = lambda n: n / rate
        self.keyframe_every = keyframe_every
        self.dropped: Callable[[int], bool] = lambda _: False
        self.audio_late = 0.0

    @property
    def live(self) -> LiveStream:
        live = self.hub.get("demo")
        assert live is not None
        return live

    def run(self, seconds: float, arrives: Callable[[float], float] = same_time) -> Measurement:
        start = self.clock.now()
        for time, frame in heapq.merge(self._video(seconds), self._audio(seconds), key=lambda item: arrives(item[0])):
            self.clock.advance(max(0.0, start + arrives(time) - self.clock.now()))
            self.publication.write(frame)
        return self.live.measure()

    def codes(self) -> list[str]:
        return [advice.code for advice in advise(self.live.tracks, self.live.measure())]

    def _video(self, seconds: float) -> Iterator[tuple[float, Frame]]:
        n = 0
        while (time := self.times(n)) < seconds:
            ticks = round(time * 1000) * 90
            if not self.dropped(n):
                yield time, Frame("v0", ticks, ticks, n % self.keyframe_every == 0, bytes(SIZE))
            n += 1

    def _audio(self, seconds: float) -> Iterator[tuple[float, Frame]]:
        n = 0
        while (time := n * 1024 / 48_000) < seconds:
            yield time + self.audio_late, Frame("a0", n * 1024, n * 1024, True, bytes(320))
            n += 1


def test_a_steady_encoder_is_measured_as_it_is() -> None:
    encoder = Encoder()
    measurement = encoder.run(30)
    video, audio = measurement.tracks["v0"], measurement.tracks["a0"]
    assert video.frame_rate == pytest.approx(30, abs=0.05)
    assert video.span == pytest.approx(10, abs=1)
    assert video.bitrate == pytest.approx(2_500_000, rel=0.01)
    assert audio.bitrate == pytest.approx(120_000, rel=0.01)
    assert (video.keyframe_interval, video.keyframe_longest, video.keyframe_shortest) == (2.0, 2.0, 2.0)
    assert (audio.keyframe_interval, audio.keyframe_longest) == (None, None)
    assert video.uneven == 0
    assert measurement.longest_gap < 0.05
    assert measurement.behind < 0.1
    assert abs(measurement.audio_late) < 0.1
    assert encoder.codes() == []


@pytest.mark.parametrize("rate", [24, 25, 48, 50, 60, 120])
def test_whole_milliseconds_are_no_variable_frame_rate(rate: int) -> None:
    encoder = Encoder(rate=rate, keyframe_every=2 * rate)
    video = encoder.run(15).tracks["v0"]
    assert video.uneven == 0
    assert video.frame_rate == pytest.approx(rate, rel=0.005)


def test_the_defaults_of_obs_are_advised_on_before_the_second_keyframe_came() -> None:
    encoder = Encoder(keyframe_every=250, track=picture(b_frames=True))
    measurement = encoder.run(6)
    assert measurement.tracks["v0"].keyframe_interval is None
    assert measurement.tracks["v0"].keyframe_longest == pytest.approx(6, abs=0.1)
    assert encoder.codes() == ["keyframes_rare", "b_frames"]


def test_the_interval_that_matters_is_the_longest_of_late() -> None:
    encoder = Encoder(keyframe_every=30)
    encoder.times = lambda n: n / 30 if n < 90 else n / 30 + 4
    measurement = encoder.run(12)
    assert measurement.tracks["v0"].keyframe_interval == 1.0
    assert measurement.tracks["v0"].keyframe_longest == pytest.approx(5, abs=0.01)
    encoder = Encoder(keyframe_every=30)
    encoder.times = lambda n: n / 30 if n < 90 else n / 30 + 4
    assert encoder.run(30).tracks["v0"].keyframe_longest == 1.0


def test_an_overloaded_encoder_leaves_frames_out() -> None:
    encoder = Encoder()
    encoder.dropped = lambda n: n % 3 == 2 and n % 60 != 0
    measurement = encoder.run(20)
    assert measurement.tracks["v0"].frame_rate == pytest.approx(20, abs=0.2)
    assert measurement.tracks["v0"].uneven == 0
    assert encoder.codes() == ["frame_rate_low"]


def test_a_phone_with_frames_off_every_grid_has_a_variable_frame_rate() -> None:
    encoder = Encoder()
    encoder.times = lambda n: n / 30 + (0.014 if n % 2 else 0)
    assert encoder.run(20).tracks["v0"].uneven == pytest.approx(1, abs=0.02)
    assert encoder.codes() == ["variable_frame_rate"]


def test_a_frame_rate_that_nobody_told_is_taken_from_the_frames() -> None:
    encoder = Encoder(track=picture(None))
    assert encoder.run(20).tracks["v0"].uneven == 0
    encoder = Encoder(track=picture(None))
    encoder.times = lambda n: n / 30 + (0.014 if n % 2 else 0)
    assert encoder.run(20).tracks["v0"].uneven > 0.9


def stall(at: float, seconds: float) -> Callable[[float], float]:
    """Nothing arrives for some seconds, then all of it at once."""
    return lambda time: at + seconds if at < time < at + seconds else time


def test_a_stall_is_seen_for_half_a_minute_and_is_neither_drift_nor_a_low_rate() -> None:
    encoder = Encoder()
    measurement = encoder.run(20, stall(10, 1.5))
    assert measurement.longest_gap == pytest.approx(1.5, abs=0.05)
    assert measurement.tracks["v0"].frame_rate == pytest.approx(30, abs=0.1)
    assert measurement.tracks["v0"].bitrate == pytest.approx(2_500_000, rel=0.02)
    assert measurement.behind < 0.1
    assert encoder.codes() == ["uneven_arrival"]
    assert Encoder().run(45, stall(10, 1.5)).longest_gap < 0.1


def test_what_comes_before_the_first_frame_is_no_gap() -> None:
    encoder = Encoder()
    encoder.clock.advance(5)
    assert encoder.live.measure().longest_gap == 0
    assert encoder.run(10).longest_gap < 0.1
    encoder.clock.advance(5)
    encoder.publication.announce((encoder.track, AUDIO))  # what waited for a key frame was dropped
    assert encoder.live.measure().longest_gap < 0.1


def test_silence_counts_while_it_lasts() -> None:
    encoder = Encoder()
    encoder.run(10)
    encoder.clock.advance(4)
    assert encoder.live.measure().longest_gap == pytest.approx(4, abs=0.1)


def test_an_encoder_that_cannot_keep_up_falls_behind() -> None:
    encoder = Encoder()
    measurement = encoder.run(40, lambda time: time * 1.1)
    assert measurement.behind == pytest.approx(4, abs=0.7)
    assert measurement.tracks["v0"].frame_rate == pytest.approx(30, abs=0.1)
    assert "behind" in encoder.codes()


def test_clocks_that_run_apart_as_clocks_do_are_not_behind() -> None:
    encoder = Encoder()
    assert encoder.run(600, lambda time: time * 1.0002).behind < 0.1


def test_a_burst_at_the_beginning_is_nobodys_fault() -> None:
    encoder = Encoder()
    measurement = encoder.run(10, lambda time: max(time, 0.7))
    assert measurement.tracks["v0"].bitrate == pytest.approx(2_500_000, rel=0.02)
    assert measurement.behind < 0.1
    assert encoder.codes() == []


def test_sound_that_comes_later_than_its_picture_is_seen() -> None:
    encoder = Encoder()
    encoder.audio_late = 1.2
    assert encoder.run(20).audio_late == pytest.approx(1.2, abs=0.1)
    assert encoder.codes() == ["av_drift"]


def test_a_publisher_that_comes_back_is_measured_anew() -> None:
    encoder = Encoder()
    encoder.run(10)
    assert encoder.publication.began_ns < encoder.clock.wall_ns()
    encoder.publication.lose("reset")
    encoder.clock.advance(5)
    encoder.publication = encoder.hub.publish("demo", Source("rtmp", "192.0.2.1"), print)
    assert encoder.publication.began_ns == encoder.clock.wall_ns()
    assert encoder.live.bitrate("v0") == 0
    encoder.publication.announce((encoder.track, AUDIO))
    assert encoder.live.measure().longest_gap == 0
    assert encoder.run(10).tracks["v0"].frame_rate == pytest.approx(30, abs=0.1)


def test_nothing_is_known_before_frames_came() -> None:
    encoder = Encoder()
    measurement = encoder.live.measure()
    assert measurement.tracks["v0"].frame_rate is None
    assert measurement.tracks["v0"].keyframe_longest is None
    assert (measurement.longest_gap, measurement.behind, measurement.audio_late) == (0.0, 0.0, 0.0)
    assert encoder.codes() == []
