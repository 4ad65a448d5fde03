"""Derived tracks in the segmenter: whenever they join, lag and leave, their segments are the source's."""

import itertools
from collections import deque
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.hls import MediaPlaylist, check_update, parse_media
from tests.support.mp4 import samples
from tests.support.packaged import AVC, audio, steady, tone, video

from ghostlive.codecs import aac
from ghostlive.core.frame import Frame
from ghostlive.core.timeline import Timeline
from ghostlive.core.track import Track
from ghostlive.packager import hls
from ghostlive.packager.config import PackagerConfig
from ghostlive.packager.model import Epoch, PackagingEvent, PartReady, RunReady, Segment, SegmentReady
from ghostlive.packager.rendition import Rendition
from ghostlive.packager.segmenter import StreamSegmenter

LEAD, VOICE = video(rate=60), audio()
SMALL = replace(video("v0-360p30", height=360), config=AVC)
DERIVED_VOICE = replace(audio("a0-aac"))
SILENT = aac.silent_frame(aac.AudioSpecificConfig.parse(DERIVED_VOICE.config))


class Watch:
    """What comes of a segmenter: segments by track, with the playlists checked on the way."""

    def __init__(self) -> None:
        self.segmenter = StreamSegmenter(PackagerConfig())
        self.segments: dict[str, list[Segment]] = {}
        self.data: dict[str, list[list[bytes]]] = {}
        self.runs: list[Epoch] = []
        self.renditions: dict[str, Rendition] = {}
        self.playlists: dict[str, MediaPlaylist] = {}

    def take(self, events: list[PackagingEvent] | None) -> None:
        for known in self.renditions.values():
            known.target_duration = self.segmenter.target_duration
        for event in events or ():
            if isinstance(event, RunReady):
                self.runs.append(event.epoch)
                self.data.setdefault(event.epoch.track.id, []).append([])
                if event.epoch.track.id in self.renditions:
                    self.renditions[event.epoch.track.id].drop_all()
                    self.playlists.pop(event.epoch.track.id, None)
                continue
            track = event.segment.epoch.track
            rendition = self.renditions.setdefault(
                track.id,
                Rendition(
                    track,
                    part_target=self.segmenter.part_target(track.id),
                    target_duration=self.segmenter.target_duration,
                ),
            )
            if isinstance(event, PartReady):
                if event.index == 0:
                    assert rendition.begin(event.segment) == []
                self.data.setdefault(track.id, [[]])[-1].append(event.segment.parts[event.index].data)
            else:
                self.segments.setdefault(track.id, []).append(event.segment)
                assert rendition.complete(event.segment) == []
        touched = {event.segment.epoch.track.id for event in events or () if isinstance(event, SegmentReady)}
        for name in touched:
            rendition = self.renditions[name]
            if rendition.playable:
                playlist = parse_media(hls.media_playlist(rendition))
                if name in self.playlists:
                    check_update(self.playlists[name], playlist)
                self.playlists[name] = playlist

    def run(self, track: str, index: int) -> list[Frame]:
        """The frames that came out of a run."""
        found = samples(b"".join(self.data[track][index])).get(1, []) if self.data[track][index] else []
        return [Frame(track, sample.dts, sample.pts, True, sample.payload) for sample in found]


@dataclass(frozen=True)
class Run:
    """One run of a derived track: seconds on the source's clock."""

    opens: float
    closes: float
    lag: float
    stall: float
    """Seconds in its middle without a frame, which all come afterwards."""
    replayed: bool
    """Begins with the last keyframe of the source, not just any frame."""


runs = st.builds(
    Run,
    opens=st.floats(0, 12),
    closes=st.floats(0.5, 10),
    lag=st.sampled_from([0.03, 0.3, 1.1, 2.9]),
    stall=st.sampled_from([0.0, 1.0, 3.0, 5.5]),
    replayed=st.booleans(),
)


def arrivals(track: Track, frames: list[Frame], run: Run) -> list[tuple[float, Frame]]:
    """When the frames of a run come: together at first, and after a stall."""
    first = next(
        (
            index
            for index in reversed(range(len(frames)))
            if frames[index].dts / track.timescale <= run.opens and (frames[index].keyframe or not run.replayed)
        ),
        0,
    )
    halt = run.opens + 3
    out: list[tuple[float, Frame]] = []
    for frame in frames[first:]:
        time = max(frame.dts / track.timescale + run.lag, run.opens + run.lag)
        if halt < time < halt + run.stall:
            time = halt + run.stall
        if time >= run.opens + run.closes:
            break
        keyframe = frame.keyframe or not out
        out.append((time, Frame(frame.track, frame.dts, frame.pts, keyframe, frame.payload)))
    return out


@settings(max_examples=40, deadline=None)
@given(
    group=st.sampled_from([30, 100, 120, 240]),
    first=runs,
    pause=st.floats(0, 6),
    second=runs,
    kind=st.sampled_from([SMALL, DERIVED_VOICE]),
)
def test_runs_join_lag_and_leave(group: int, first: Run, second: Run, pause: float, kind: Track) -> None:
    breaks = pause > 3
    source = steady(LEAD, 30, rate=60, group=group)
    sound = tone(VOICE, 30)
    made = steady(SMALL, 30, group=group // 2) if kind is SMALL else tone(DERIVED_VOICE, 30)
    second = replace(second, opens=first.opens + first.closes + pause)
    timed: list[tuple[float, int, object]] = [(frame.dts / 90000, 3, frame) for frame in source]
    timed += [(frame.dts / 48000, 2, frame) for frame in sound]
    sent = []
    for run in (first, second):
        coming = arrivals(kind, made, run)
        sent.append([frame for _, frame in coming])
        timed += [(time, 4, frame) for time, frame in coming]
        timed += [(run.opens, 0, "open"), (run.opens + run.closes, 5, "close")]
    broken = first.opens + first.closes + pause / 2
    if breaks:
        timed.append((broken, 6, "break"))
    watch = Watch()
    segmenter = watch.segmenter
    segmenter.begin((LEAD, VOICE), Timeline(0))
    for _, _, item in sorted(timed, key=lambda entry: entry[:2]):
        if isinstance(item, Frame):
            watch.take(segmenter.push(item))
        elif item == "open":
            watch.take(segmenter.open(kind))
        elif item == "close":
            watch.take(segmenter.close(kind.id))
        else:
            watch.take(segmenter.finish())
            segmenter.begin((LEAD, VOICE), Timeline(0))
    watch.take(segmenter.finish())

    leading = watch.segments[LEAD.id]
    times = {segment.msn: (segment.start_seconds, segment.end_seconds) for segment in leading}
    derived = watch.segments.get(kind.id, [])
    numbers = [segment.msn for segment in derived]
    assert numbers == sorted(set(numbers)), "a number is used once"
    for segment in derived:
        begin, end = times[segment.msn]
        assert segment.start_seconds >= begin - 0.03
        assert segment.start_seconds < end
        assert segment.end_seconds <= end + 0.15
        assert segment.gap or segment.independent or group > 120
    for before, after in itertools.pairwise(derived):
        if before.epoch is after.epoch:
            assert after.msn == before.msn + 1
            assert after.start == before.start + before.duration
    for index in range(len(watch.data.get(kind.id, []))):
        out = [(frame.dts, frame.payload) for frame in watch.run(kind.id, index) if frame.payload != SILENT]
        if not out:
            continue
        # A run that was closed before anything was known of the stream has left nothing.
        run, wanted = next(
            (run, wanted)
            for run, frames in zip((first, second), sent, strict=True)
            if set(out) <= set(wanted := [(frame.dts, frame.payload) for frame in frames])
        )
        # Nothing is lost between its first and its last frame, but in a stall that was given up, of sound sooner.
        positions = [wanted.index(found) for found in out]
        assert positions == sorted(positions)
        if run.stall < (4 if kind is SMALL else 1.5):
            assert positions == list(range(positions[0], positions[0] + len(positions)))
            if not breaks:
                assert positions[-1] == len(wanted) - 1


def test_a_run_that_is_replayed_begins_with_a_whole_segment() -> None:
    watch = Watch()
    watch.segmenter.begin((LEAD,), Timeline(0))
    for frame in steady(LEAD, 7.2, rate=60, group=120):
        watch.take(watch.segmenter.push(frame))
    watch.take(watch.segmenter.open(SMALL))
    for frame in steady(SMALL, 7.1)[120:]:
        watch.take(watch.segmenter.push(frame))
    (complete,) = watch.segments[SMALL.id]
    assert (complete.msn, complete.seconds, complete.independent) == (2, 2.0, True)
    assert watch.renditions[SMALL.id].current is not None


def test_a_run_that_opens_before_anything_is_known_waits_for_it() -> None:
    watch = Watch()
    watch.segmenter.begin((LEAD,), Timeline(0))
    made = iter(steady(SMALL, 10))
    watch.take(watch.segmenter.open(SMALL))
    for index, frame in enumerate(steady(LEAD, 8, rate=60, group=120)):
        watch.take(watch.segmenter.push(frame))
        if index % 2 and index > 20:
            watch.take(watch.segmenter.push(next(made)))
    assert [segment.msn for segment in watch.segments[SMALL.id]] == [0, 1, 2]
    assert watch.runs[0].init_file == "init-0.mp4"


def test_a_silent_lane_gets_gaps_and_goes_on_with_a_keyframe() -> None:
    watch = Watch()
    watch.segmenter.begin((LEAD,), Timeline(0))
    made = steady(SMALL, 30)
    watch.take(watch.segmenter.open(SMALL))
    for frame in steady(LEAD, 24, rate=60, group=120):
        watch.take(watch.segmenter.push(frame))
        seconds = frame.dts / 90000
        if frame.dts % 3000 == 0 and not 5.5 < seconds < 13.2:
            watch.take(watch.segmenter.push(made[frame.dts // 3000]))
    found = watch.segments[SMALL.id]
    assert [segment.msn for segment in found] == list(range(found[-1].msn + 1))
    assert [segment.msn for segment in found if segment.gap] == [3, 4, 5, 6]
    assert all(segment.independent for segment in found if not segment.gap)


@pytest.mark.parametrize(
    ("away", "carried", "longest"),
    [
        ((5.5, 13.2), True, 1.2),
        ((5.5, 13.2), False, 2.2),
        ((0.0, 30.0), True, 2.3),
        ((0.0, 9.0), False, 2.3),
    ],
    ids=["returns", "returns, of a codec that is not packaged", "never comes", "comes late"],
)
def test_sound_made_of_sound_that_is_away_is_silent(
    away: tuple[float, float], *, carried: bool, longest: float
) -> None:
    """HLS has the AAC made of a browser's Opus: nothing of it comes while there is no Opus.

    `longest` is what it may be behind the picture at any moment: what is waited for, and a part under way.
    """
    watch = Watch()
    watch.segmenter.begin((LEAD, VOICE) if carried else (LEAD,), Timeline(0))
    source = deque(frame for frame in tone(VOICE, 30) if carried and not away[0] < frame.dts / 48000 < away[1])
    watch.take(watch.segmenter.open(DERIVED_VOICE))
    made = [frame for frame in tone(DERIVED_VOICE, 30) if not away[0] < frame.dts / 48000 < away[1]]
    coming = deque(made)
    behind = 0.0
    for frame in steady(LEAD, 24, rate=60, group=120):
        watch.take(watch.segmenter.push(frame))
        now = frame.dts / 90000
        while source and source[0].dts / 48000 <= now:
            watch.take(watch.segmenter.push(source.popleft()))
        while coming and coming[0].dts / 48000 <= now - 0.2:
            watch.take(watch.segmenter.push(coming.popleft()))
        if now > 5:
            rendition = watch.renditions[DERIVED_VOICE.id]
            last = rendition.current or rendition.segments[-1]
            behind = max(behind, now - last.start_seconds - sum(part.duration for part in last.parts) / 48000)
    assert behind < longest
    found = watch.segments[DERIVED_VOICE.id]
    assert not any(segment.gap for segment in found)
    out = watch.run(DERIVED_VOICE.id, 0)
    times = [frame.dts for frame in out if frame.payload != SILENT]
    assert times == [frame.dts for frame in made if frame.dts >= out[0].dts][: len(times)]
    assert (times[-1] > 22 * 48000) is (away[1] < 24)
    assert all(after.dts - before.dts < 1536 for before, after in itertools.pairwise(out))


def test_a_run_that_began_late_does_not_wait_long_when_the_source_has_no_sound() -> None:
    """Its first packets come all at once, seconds after the picture that they belong to."""
    watch = Watch()
    watch.segmenter.begin((LEAD, VOICE), Timeline(0))
    made = tone(DERIVED_VOICE, 9)
    source = deque(tone(VOICE, 9))
    behind = 0.0
    for frame in steady(LEAD, 20, rate=60, group=120):
        watch.take(watch.segmenter.push(frame))
        now = frame.dts / 90000
        while source and source[0].dts / 48000 <= now:
            watch.take(watch.segmenter.push(source.popleft()))
        if frame.dts == 6 * 90000:
            watch.take(watch.segmenter.open(DERIVED_VOICE))
            made = made[round(2 * 48000 / 1024) :]
        while now >= 6 and made and made[0].dts / 48000 <= now - 0.1:
            watch.take(watch.segmenter.push(made.pop(0)))
        if now > 8:
            rendition = watch.renditions[DERIVED_VOICE.id]
            last = rendition.current or rendition.segments[-1]
            behind = max(behind, now - last.start_seconds - sum(part.duration for part in last.parts) / 48000)
    assert behind < 2


def test_two_runs_never_share_a_number() -> None:
    watch = Watch()
    watch.segmenter.begin((LEAD,), Timeline(0))
    made = steady(SMALL, 30)
    for frame in steady(LEAD, 12, rate=60, group=120):
        if frame.dts in (90000 * 4, 90000 * 7):
            watch.take(watch.segmenter.open(SMALL))
            # The worker sees the last keyframe again, in a segment that the first run had begun.
            for again in made[(frame.dts // 3000) // 60 * 60 : frame.dts // 3000]:
                watch.take(watch.segmenter.push(again))
        watch.take(watch.segmenter.push(frame))
        if frame.dts >= 90000 * 4 and frame.dts % 3000 == 0:
            watch.take(watch.segmenter.push(made[frame.dts // 3000]))
    assert [segment.msn for segment in watch.segments[SMALL.id]] == [2, 3, 4]
    assert [segment.epoch is watch.runs[1] for segment in watch.segments[SMALL.id]] == [False, False, True]


def test_configurations_of_an_epoch_are_told_apart() -> None:
    watch = Watch()
    watch.segmenter.begin((LEAD,), Timeline(0))
    for frame in steady(LEAD, 5, rate=60, group=120):
        watch.take(watch.segmenter.push(frame))
    other = replace(SMALL, config=AVC[:-1] + b"\1")
    for track in (SMALL, other, SMALL):
        watch.take(watch.segmenter.open(track))
    assert [run.init_file for run in watch.runs] == ["init-0.mp4", "init-0.1.mp4", "init-0.mp4"]
