"""Timestamps on the stream's timeline."""

import itertools
import random

import pytest

from ghostlive.formats.rtcp import SenderReport, ntp_from_unix_ns
from ghostlive.protocols.webrtc.ingest.clock import NS, PublisherClock, TrackClock


def report(track: TrackClock, first: int, at: float, *, wrong: float = 0.0) -> None:
    """The sender says at `at` seconds of its clock what its timestamps are, which began with `first`."""
    timestamp = first + round(at * track.rate)
    track.report(SenderReport(1, ntp_from_unix_ns(10**18 + int((at + wrong) * NS)), timestamp & 0xFFFFFFFF, 0, 0))


def test_the_first_frame_gets_the_base() -> None:
    clock = PublisherClock()
    track = clock.track(90_000, audio=False)
    timestamp = track.heard(4_000_000_000, 5.0)
    clock.begin([(track, timestamp)], 3 * NS)
    assert clock.place(track, timestamp, 5.0) == 3 * 90_000
    later = track.heard((4_000_000_000 + 90_000 * 4000) & 0xFFFFFFFF, 4005.0)
    assert clock.place(track, later, 4005.0) == 4003 * 90_000


def test_reports_of_both_tracks_say_how_they_lie_to_each_other() -> None:
    clock = PublisherClock()
    sound, picture = clock.track(48_000, audio=True), clock.track(90_000, audio=False)
    # The picture takes 0.5 s longer to arrive.
    first = [(sound, sound.heard(1000, 0.03)), (picture, picture.heard(2**32 - 5, 0.53))]
    report(sound, 1000, 0.0)
    report(picture, 2**32 - 5, 0.0)
    clock.begin(first, 0)
    assert clock.place(*first[0], 0.03) == 0
    assert clock.place(*first[1], 0.53) == pytest.approx(0, abs=1)


def test_reports_that_cannot_be_are_not_believed() -> None:
    clock = PublisherClock()
    sound, picture = clock.track(48_000, audio=True), clock.track(90_000, audio=False)
    first = [(sound, sound.heard(0, 0.0)), (picture, picture.heard(0, 0.0))]
    report(sound, 0, 0.0)
    report(picture, 0, 0.0, wrong=100.0)
    clock.begin(first, 0)
    assert clock.place(*first[1], 0.0) == pytest.approx(0, abs=1)
    sound.report(SenderReport(1, 0, 0, 0, 0))
    assert sound.report_ns is not None


def test_a_follower_is_moved_gently() -> None:
    clock = PublisherClock()
    sound, picture = clock.track(48_000, audio=True), clock.track(90_000, audio=False)
    first = [(sound, sound.heard(0, 0.02)), (picture, picture.heard(0, 0.12))]
    clock.begin(first, 0)
    positions = [clock.place(*first[1], 0.12)]
    clock.place(*first[0], 0.02)
    report(sound, 0, 0.0)
    report(picture, 0, 0.0)
    for index in range(1, 300):
        at = index / 30
        clock.place(sound, sound.heard(index * 1600, at + 0.02), at + 0.02)
        positions.append(clock.place(picture, picture.heard(index * 3000, at + 0.12), at + 0.12))
    steps = [after - before for before, after in itertools.pairwise(positions)]
    assert 2900 <= min(steps) <= max(steps) <= 3100
    assert positions[-1] == pytest.approx(299 * 3000, abs=200)


@pytest.mark.parametrize("ppm", [-200, 200])
def test_hours_of_a_wrong_clock(ppm: float) -> None:
    """A picture alone follows us; of sound we learn by how much it is wrong."""
    clock = PublisherClock()
    track = clock.track(90_000, audio=False)
    network = random.Random(1)
    late = []
    for second in range(4 * 3600):
        arrived = second + 0.05 * network.random()
        timestamp = track.heard(round(second * 90_000 * (1 + ppm * 1e-6)) & 0xFFFFFFFF, arrived)
        if not second:
            clock.begin([(track, timestamp)], 0)
        late.append(arrived - clock.place(track, timestamp, arrived) / 90_000)
    assert max(late) - min(late) < 0.15  # it would be 2.9 s

    clock = PublisherClock()
    sound = clock.track(48_000, audio=True)
    for second in range(3600):
        timestamp = sound.heard(round(second * 48_000 * (1 + ppm * 1e-6)), float(second))
        if not second:
            clock.begin([(sound, timestamp)], 0)
        clock.place(sound, timestamp, float(second))
        drift = clock.drift_ns()
    assert clock.leads(sound)
    assert drift / NS == pytest.approx(-3600 * ppm * 1e-6, abs=0.02)


def test_timestamps_that_jump_begin_anew() -> None:
    clock = PublisherClock()
    track = clock.track(90_000, audio=False)
    timestamp = track.heard(0, 0.0)
    clock.begin([(track, timestamp)], 0)
    clock.place(track, timestamp, 0.0)
    jumped = track.heard(90_000 * 5000, 1.0)
    assert clock.place(track, jumped, 1.0) == 90_000
    assert clock.jumps == 1
    after = track.heard(90_000 * 5001, 2.0)
    assert clock.place(track, after, 2.0) == 180_000


def test_a_long_silence_is_no_jump() -> None:
    clock = PublisherClock()
    track = clock.track(90_000, audio=False)
    timestamp = track.heard(0, 0.0)
    clock.begin([(track, timestamp)], 0)
    clock.place(track, timestamp, 0.0)
    later = track.heard(90_000 * 100, 100.0)
    assert clock.place(track, later, 100.0) == 9_000_000
    assert clock.jumps == 0


def test_sound_leads_as_soon_as_it_is_there() -> None:
    clock = PublisherClock()
    picture = clock.track(90_000, audio=False)
    timestamp = picture.heard(0, 0.0)
    clock.begin([(picture, timestamp)], 0)
    clock.place(picture, timestamp, 0.0)
    assert clock.leads(picture)
    sound = clock.track(48_000, audio=True)
    position = clock.place(sound, sound.heard(777, 2.0), 2.0)
    assert position == pytest.approx(96_000, abs=1)
    assert clock.leads(sound)
    clock.forget(sound)
    assert clock.leads(picture)
