"""Sequence numbers and timestamps of one SSRC, whatever lanes it goes through."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.clock import FakeClock
from tests.support.packaged import video
from tests.support.webrtc.watching import KEYS, RTX_SSRC, VIDEO_SSRC, FakeSender, Watcher, Wire, h264

from ghostlive.core.track import Codec
from ghostlive.protocols.webrtc.egress.config import EgressConfig
from ghostlive.protocols.webrtc.egress.edge import Edge
from ghostlive.protocols.webrtc.egress.lane import Lane
from ghostlive.protocols.webrtc.egress.outlet import Headers, Outlet
from ghostlive.protocols.webrtc.egress.pacing import Budget


class Bench:
    """Two lanes of the same pictures, one a little later, and one viewer."""

    def __init__(self, *, first: int = 100, base: int = 5, index: int = 0, config: EgressConfig | None = None) -> None:
        self.clock = FakeClock()
        self.sender = FakeSender(self.clock)
        fake: Any = self.sender
        edge = Edge()
        self.lanes = [
            Lane(number, video(f"v{number}"), edge=edge, sender=fake, config=config or EgressConfig())
            for number in (1, 2)
        ]
        for lane in self.lanes:
            lane.begin(lane.track, derived=False)
            lane.next_index = index
        self.entered: list[Lane] = []
        self.outlet = Outlet(
            7,
            Headers(VIDEO_SSRC, RTX_SSRC),
            base=base,
            first=first,
            sender=fake,
            formats=lambda lane: (96, 97),
            on_entered=lambda outlet, lane: self.entered.append(lane),
        )
        self.watcher = Watcher(self.clock)
        self.sender.deliver[7] = self.watcher.take
        self.sender.open(7, KEYS, ("udp",))
        self.outlet.connect(self.watcher, stream=False)
        self.number = 0

    def frame(self, *, keyframe: bool = False, size: int = 3000, lanes: Sequence[int] = (0, 1)) -> None:
        """The next picture in both lanes; the second is one picture behind."""
        now = self.clock.now()
        for place in lanes:
            time = (self.number - place) * 3000
            if time >= 0:
                frame = h264(f"v{place + 1}", time, keyframe=keyframe, size=size, number=self.number - place)
                self.lanes[place].push(frame, now)
        self.number += 1
        self.clock.advance(1 / 30)

    def catching_up(self) -> bool:
        return self.outlet.catching_up

    def budget(self) -> Budget:
        return Budget(10**8, self.clock.now())


def test_numbers_go_on_over_sixteen_bits_and_timestamps_over_thirty_two() -> None:
    bench = Bench(first=65_530, base=(1 << 32) - 20_000, index=(1 << 16) - 4)
    bench.outlet.aim(bench.lanes[0])
    for number in range(20):
        bench.frame(keyframe=number % 10 == 0)
    bench.watcher.check()
    assert bench.watcher.sequences[0] == 65_530
    assert bench.watcher.sequences[-1] > 65_536
    assert bench.watcher.numbers == list(range(20))
    stamps = [shown.timestamp for shown in bench.watcher.shown]
    assert stamps[0] > stamps[-1]
    for wire in list(bench.watcher.video.values())[:40]:
        found = bench.outlet.find(wire.sequence & 0xFFFF)
        assert found is not None
        extended, stamp, payload, marker, kind = found
        assert (extended, stamp & 0xFFFFFFFF, payload, marker, kind) == (
            wire.sequence, wire.timestamp, wire.payload, wire.marker, 97,
        )  # fmt: skip


def test_reports_go_on_while_nothing_is_sent() -> None:
    """The clock that they tell of goes on, or the player would take sound and picture apart."""
    bench = Bench()
    bench.outlet.aim(bench.lanes[0])
    for number in range(5):
        bench.frame(keyframe=number == 0)
    before = bench.outlet.sent(present=10.0)
    bench.outlet.drop()
    after = bench.outlet.sent(present=12.0)
    assert after.timestamp - before.timestamp == 2 * 90_000
    assert (after.packets, after.octets) == (before.packets, before.octets)


def test_a_lane_that_is_behind_is_entered_without_going_back() -> None:
    bench = Bench()
    bench.outlet.aim(bench.lanes[0])
    for number in range(5):
        bench.frame(keyframe=number == 0)
    bench.outlet.aim(bench.lanes[1])
    bench.frame(keyframe=True)
    assert bench.entered == bench.lanes
    for _ in range(5):
        bench.frame()
    bench.watcher.check()
    # Picture 4 of the lane that is behind was not yet shown where it was asked for with number 5.
    assert bench.watcher.numbers == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9]
    again = bench.watcher.shown[6].timestamp - bench.watcher.shown[5].timestamp
    assert again == 90
    # And back, where there is room again.
    bench.outlet.aim(bench.lanes[0])
    bench.frame(keyframe=True)
    bench.frame()
    bench.watcher.check()


def test_who_joins_in_the_middle_is_sent_the_group_and_then_goes_on() -> None:
    bench = Bench()
    for number in range(20):
        bench.frame(keyframe=number == 5)
    bench.outlet.aim(bench.lanes[0], bench.budget())
    assert bench.catching_up()
    assert bench.entered == [bench.lanes[0]]
    assert not bench.outlet.advance(bench.clock.now())
    bench.frame()
    assert not bench.catching_up()
    bench.frame()
    bench.watcher.check()
    assert bench.watcher.numbers == list(range(5, 22))
    assert bench.entered == [bench.lanes[0]]
    for wire in bench.watcher.video.values():
        found = bench.outlet.find(wire.sequence & 0xFFFF)
        assert found is not None
        assert (found[1] & 0xFFFFFFFF, found[2]) == (wire.timestamp, wire.payload)


def test_a_burst_that_is_overtaken_by_what_is_kept_waits_for_a_keyframe() -> None:
    bench = Bench(config=EgressConfig(burst_bytes=200_000, history=0.1))
    bench.frame(keyframe=True, size=150_000)
    bench.outlet.aim(bench.lanes[0], Budget(100_000, bench.clock.now()))
    bench.outlet.advance(bench.clock.now())
    for _ in range(30):
        bench.frame(size=3000)
    assert bench.lanes[0].history.keyframe is None
    assert not bench.outlet.advance(bench.clock.now())
    assert not bench.outlet.catching_up
    bench.frame(keyframe=True)
    bench.frame()
    assert bench.watcher.sequences == list(range(100, 100 + len(bench.watcher.sequences)))
    assert bench.outlet.lane is bench.lanes[0]


def test_leaving_in_the_middle_of_a_burst_leaves_nothing() -> None:
    bench = Bench()
    for number in range(20):
        bench.frame(keyframe=number == 0)
    bench.outlet.aim(bench.lanes[0], Budget(100_000, bench.clock.now()))
    bench.outlet.advance(bench.clock.now())
    bench.outlet.drop()
    sent = len(bench.watcher.sequences)
    assert 0 < sent < 60
    bench.frame()
    assert not bench.outlet.advance(bench.clock.now())
    assert len(bench.watcher.sequences) == sent
    assert not bench.lanes[0].used
    assert bench.sender.peers[7].lanes == {}


def test_another_codec_is_another_payload_type() -> None:
    bench = Bench()
    types = {Codec.H264: (96, 97), Codec.VP8: (98, 99)}
    bench.outlet._format = lambda lane: types[lane.track.codec]
    bench.lanes[1].begin(replace(bench.lanes[1].track, codec=Codec.VP8), derived=False)
    sent: list[Wire] = []
    bench.sender.deliver[7] = sent.append
    bench.outlet.aim(bench.lanes[0])
    bench.frame(keyframe=True, lanes=[0])
    bench.outlet.aim(bench.lanes[1])
    bench.number = 2
    bench.frame(keyframe=True)
    assert list(dict.fromkeys(wire.payload_type for wire in sent)) == [96, 98]
    found = bench.outlet.find(sent[-1].sequence & 0xFFFF)
    assert found is not None
    assert found[4] == 99


def test_nothing_is_found_before_anything_was_sent() -> None:
    bench = Bench()
    assert bench.outlet.find(100) is None
    assert bench.outlet.newest(5) == []
    assert bench.outlet.sent(1.0).packets == 0


@pytest.mark.parametrize("stream", [False, True])
@given(st.integers(0, 2**32), st.lists(st.sampled_from("ffffffkkabABdsm"), max_size=80))
@settings(max_examples=60, deadline=None)
def test_there_is_never_a_seam(stream: bool, seed: int, steps: list[str]) -> None:
    chance = random.Random(seed)
    bench = Bench(first=chance.randrange(1, 1 << 14), base=chance.randrange(1 << 32))
    outlet, watcher, clock = bench.outlet, bench.watcher, bench.clock
    watcher.stream = stream
    outlet.connect(watcher, stream=stream)
    for step in steps:
        match step:
            case "f" | "k":
                bench.frame(keyframe=step == "k", size=chance.choice([200, 3000, 60_000]))
            case "a" | "b":
                outlet.aim(bench.lanes[step == "b"])
            case "A" | "B":
                rate = chance.choice([10**5, 10**6, 10**8])
                outlet.aim(bench.lanes[step == "B"], Budget(rate, clock.now()))
                outlet.advance(clock.now())
            case "d":
                outlet.drop()
            case "s":
                outlet.forgo()
            case _:
                watcher.stream = not watcher.stream
                outlet.connect(watcher, stream=watcher.stream)
        for _ in range(chance.randrange(3)):
            outlet.advance(clock.now())
    if watcher.sequences:
        assert watcher.sequences == list(range(watcher.sequences[0], watcher.sequences[0] + len(watcher.sequences)))
        stamps = [wire.timestamp for wire in watcher.video.values()]
        assert all((after - before) & 0xFFFFFFFF < 1 << 31 for before, after in itertools.pairwise(stamps))
        assert outlet.next_sequence == watcher.sequences[-1] + 1
    assert (outlet.sent(0.0).packets, outlet.sent(0.0).octets) == (
        len(watcher.sequences),
        sum(len(wire.payload) for wire in watcher.video.values()),
    )
    outlet.drop()
    assert not any(lane.used for lane in bench.lanes)
    assert bench.sender.peers[7].lanes == {}
