"""The segmenter alone: whatever the timing of frames, playlists keep the rules and media keeps its times."""

import itertools
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dash import parse_manifest
from tests.support.hls import MediaPlaylist, check_update, parse_media
from tests.support.mp4 import Sample, samples
from tests.support.packaged import audio, interleaved, pictures, steady, tone, video

from ghostlive.core.frame import Frame
from ghostlive.core.timeline import Timeline
from ghostlive.core.track import Track
from ghostlive.packager import dash, hls
from ghostlive.packager.boundary import BoundaryClock
from ghostlive.packager.cadence import fits, part_target, segment_limit, target_duration
from ghostlive.packager.config import PackagerConfig
from ghostlive.packager.model import PackagingEvent, PartReady, RunReady
from ghostlive.packager.rendition import Rendition
from ghostlive.packager.segmenter import StreamSegmenter


class Window:
    """Renditions fed from a segmenter, with every playlist checked."""

    def __init__(self) -> None:
        self.segmenter = StreamSegmenter(PackagerConfig())
        self.renditions: dict[str, Rendition] = {}
        self.data: dict[str, list[bytes]] = {}
        self.playlists: dict[str, MediaPlaylist] = {}

    def begin(self, *tracks: Track) -> None:
        self.segmenter.begin(tracks, Timeline(0))

    def push(self, frames: list[Frame]) -> None:
        for frame in frames:
            self.take(self.segmenter.push(frame) or [])

    def finish(self) -> None:
        self.take(self.segmenter.finish())

    def take(self, events: list[PackagingEvent]) -> None:
        for known in self.renditions.values():
            known.target_duration = self.segmenter.target_duration
        for event in events:
            assert not isinstance(event, RunReady)
            segment = event.segment
            track = segment.epoch.track
            rendition = self.renditions.get(track.id)
            if rendition is None:
                rendition = self.renditions[track.id] = Rendition(
                    track,
                    part_target=self.segmenter.part_target(track.id),
                    target_duration=self.segmenter.target_duration,
                )
            if isinstance(event, PartReady):
                if event.index == 0:
                    rendition.begin(segment)
                self.data.setdefault(track.id, []).append(segment.parts[event.index].data)
            else:
                assert rendition.complete(segment) == []
        # Viewers never see what is between the events of one call.
        for touched in {event.segment.epoch.track.id for event in events if not isinstance(event, RunReady)}:
            if self.renditions[touched].playable:
                self.check(self.renditions[touched])

    def check(self, rendition: Rendition) -> None:
        playlist = parse_media(hls.media_playlist(rendition, others=self.renditions.values()))
        if rendition.id in self.playlists:
            check_update(self.playlists[rendition.id], playlist)
        self.playlists[rendition.id] = playlist
        parse_media(hls.media_playlist(rendition, skip=True))
        parse_media(hls.media_playlist(rendition, low_latency=False))

    def samples(self, track: str) -> list[Sample]:
        return samples(b"".join(self.data[track])).get(1, [])


def durations(smallest: int, largest: int) -> st.SearchStrategy[list[int]]:
    """Milliseconds between frames: mostly regular, sometimes anything."""
    return st.lists(
        st.one_of(st.just(33), st.integers(smallest, largest), st.sampled_from([34, 40, 66, 900])),
        min_size=5,
        max_size=400,
    )


@settings(max_examples=80, deadline=None)
@given(
    gaps=durations(5, 2500),
    keyframes=st.sets(st.integers(1, 400), max_size=30),
    delay=st.sampled_from([0, 66]),
    sound=st.sampled_from(["none", "steady", "holes"]),
    breaks=st.sets(st.integers(1, 399), max_size=2),
)
def test_any_timing_keeps_the_rules(
    gaps: list[int], keyframes: set[int], delay: int, sound: str, breaks: set[int]
) -> None:
    picture, voice = video(timescale=1000), audio()
    times = [sum(gaps[:index]) for index in range(len(gaps))]
    frames = [
        Frame("v0", time, time + delay, index == 0 or index in keyframes or index in breaks, b"picture%d" % index)
        for index, time in enumerate(times)
    ]
    tracks = (picture,) if sound == "none" else (picture, voice)
    spoken = tone(voice, times[-1] / 1000 + 0.5) if sound != "none" else []
    if sound == "holes":
        spoken = [frame for frame in spoken if frame.dts % 480000 < 330000]
    window = Window()
    window.begin(*tracks)
    for frame in interleaved(tracks, frames, spoken):
        if frame.track == "v0" and frames.index(frame) in breaks:
            window.finish()
            window.begin(*tracks)
        window.push([frame])
    window.finish()
    out = window.samples("v0")
    # Nothing of the picture is lost, and its times are the frames' own.
    assert [(sample.dts, sample.pts, sample.payload) for sample in out] == [
        (frame.dts, frame.pts, frame.payload) for frame in frames
    ]
    # Numbers agree, but for a track that had no frame at all in the last epoch.
    last = window.renditions["v0"].segments[-1]
    for rendition in window.renditions.values():
        same_epoch = rendition.segments[-1].epoch.number == last.epoch.number
        assert not same_epoch or rendition.next_msn == last.msn + 1
    for rendition in window.renditions.values():
        rendition.ended = True
        assert parse_media(hls.media_playlist(rendition)).ended
    listed = list(window.renditions.values())
    text = dash.manifest(
        dash.Presentation("s", listed[0], listed, tracks=(), window=600, segment=2, now_ns=0, ended=True)
    )
    assert not parse_manifest(text).dynamic


@settings(max_examples=40, deadline=None)
@given(rate=st.fractions(min_value=Fraction(1), max_value=Fraction(120)), group=st.integers(1, 300))
def test_any_constant_rate_is_packaged_exactly(rate: Fraction, group: int) -> None:
    track = video()
    window = Window()
    window.begin(track)
    frames = pictures(track, [round(index * 90000 / rate) for index in range(int(12 * rate))], group=group)
    window.push(frames)
    window.finish()
    out = window.samples("v0")
    assert [sample.dts for sample in out] == [frame.dts for frame in frames]
    for sample, following in itertools.pairwise(out):
        assert sample.dts + sample.duration == following.dts


def test_stream_that_ends_before_anything_is_known_is_packaged() -> None:
    track = video()
    window = Window()
    window.begin(track)
    window.push(steady(track, 0.3))
    assert not window.renditions
    window.finish()
    (segment,) = window.renditions["v0"].segments
    assert segment.seconds == 0.3


def test_nothing_comes_of_nothing() -> None:
    window = Window()
    window.finish()
    window.begin()
    window.push(steady(video(), 1))
    window.begin(video())
    window.finish()
    window.push(steady(video(), 1))
    assert not window.renditions


def test_frames_before_the_first_keyframe_and_out_of_order_are_dropped() -> None:
    track = video()
    frames = steady(track, 3)
    frames[0].keyframe = False
    frames[10].keyframe = True
    window = Window()
    window.begin(track)
    window.push([*frames[:70], frames[40], *frames[70:]])
    window.finish()
    assert [sample.dts for sample in window.samples("v0")] == [frame.dts for frame in frames[10:]]


def test_second_picture_begins_with_its_own_keyframe() -> None:
    tracks = (video("v0"), video("v1"))
    second = steady(tracks[1], 8)
    for frame in second[:60]:
        frame.keyframe = False
    window = Window()
    window.begin(*tracks)
    window.push(interleaved(tracks, steady(tracks[0], 8), second))
    window.finish()
    assert [segment.msn for segment in window.renditions["v0"].segments] == [0, 1, 2, 3]
    assert [segment.msn for segment in window.renditions["v1"].segments] == [1, 2, 3]


def test_sound_ahead_of_the_picture_waits_for_it() -> None:
    """Cut at the same time although the sound of the next segment came before the keyframe did."""
    tracks = (video(), audio())
    frames = interleaved(tracks, steady(tracks[0], 9), tone(tracks[1], 9))
    frames.sort(key=lambda frame: frame.dts / 90000 if frame.track == "v0" else frame.dts / 48000 - 0.4)
    window = Window()
    window.begin(*tracks)
    window.push([frame for frame in frames if frame.track == "v0" or frame.dts])
    window.finish()
    ends = [segment.end_seconds for segment in window.renditions["a0"].segments]
    assert all(abs(end - wanted) < 0.022 for end, wanted in zip(ends, [2, 4, 6, 8], strict=False))


def test_epochs_of_another_timescale() -> None:
    window = Window()
    window.begin(video())
    window.push(steady(video(), 4))
    window.finish()
    other = video(timescale=1000)
    window.begin(other)
    window.push(pictures(other, [4000 + index * 1000 // 30 for index in range(130)]))
    window.finish()
    assert [segment.epoch.number for segment in window.renditions["v0"].segments] == [0, 0, 1, 1, 1]


def test_part_targets() -> None:
    assert part_target([1 / 30] * 60, 0.25) == 0.234
    assert part_target([0.033, 0.033, 0.034] * 20, 0.25) == 0.234
    assert part_target([1.0] * 3, 0.25) == 1.0
    assert part_target([], 0.25) == 0.25
    # One odd frame does not make a variable rate; many do.
    assert part_target([1 / 30] * 60 + [0.1], 0.25) == 0.234
    assert part_target([1 / 30, 1 / 20] * 20, 0.25) == 0.334
    assert part_target([1 / 30, 1 / 5] * 20, 0.25) == 0.5
    assert fits(1024 / 48000, 0.234)
    assert not fits(4608 / 48000, 0.234)


def test_target_durations() -> None:
    assert target_duration(2.0, 2.0) == 2
    assert target_duration(0.5, 2.0) == 2
    assert target_duration(2.2, 2.0) == 2
    assert target_duration(2.4, 2.0) == 3
    assert target_duration(8.34, 2.0) == 9  # OBS's 250 frames at 30 a second
    assert target_duration(10.42, 2.0) == 11  # and at 24
    assert target_duration(None, 2.0) == 12
    assert target_duration(60.0, 2.0) == 12
    assert round(segment_limit(2), 2) == 2.3


def test_boundaries_prefer_the_keyframe_nearest_to_the_target() -> None:
    def cuts(every: int, frames: int = 240) -> list[int]:
        clock = BoundaryClock(target=60, limit=69)
        clock.begin(0)
        found = [0]
        for time in range(1, frames):
            if clock.keyframe(time) if time % every == 0 else clock.split(time, 1):
                clock.cut(time)
                found.append(time)
        return found

    assert cuts(60) == [0, 60, 120, 180]
    assert cuts(15) == [0, 60, 120, 180]
    assert cuts(40) == [0, 40, 80, 120, 160, 200]
    assert cuts(66) == [0, 66, 132, 198]
    # Too long for one segment: equal pieces from the second group on, and never without the keyframe.
    assert cuts(120, 480)[-4:] == [300, 360, 420][-4:] or 360 in cuts(120, 480)
    assert {120, 240, 360} <= set(cuts(120, 480))


def test_a_picture_that_stutters_does_not_reach_into_the_next_epoch() -> None:
    """A browser that changes the size of its picture takes its time for the frame before, not for the last one."""
    track = video(timescale=1000)
    window = Window()
    window.begin(track)
    window.push(pictures(track, [*range(0, 3000, 33), 3010, 3200], group=60))
    window.finish()
    window.begin(track)
    window.push(pictures(track, list(range(3253, 6000, 33)), group=60))
    window.finish()
    epochs = [segment.epoch.number for segment in window.renditions["v0"].segments]
    last = window.renditions["v0"].segments[epochs.index(1) - 1]
    assert last.end_seconds <= 3.253
