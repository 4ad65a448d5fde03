"""Viewers over WebRTC whose networks carry less than the best picture."""

import itertools
from collections.abc import Callable

from tests.support.webrtc.ladder import LADDER, P360, P480, SOURCE, on_time
from tests.support.webrtc.watching import (
    Line,
    Stage,
    Watcher,
    frames_between,
    opus,
    watching,
)

from ghostlive.hub.derived import Offer
from ghostlive.protocols.webrtc.egress.model import (
    RenditionChanged,
)


async def heard(stage: Stage, watcher: Watcher, seconds: float, carries: Callable[[], int]) -> None:
    """The viewer reports each second; its network carries so much, and its estimate follows what comes."""
    state = {"at": stage.clock.now(), "bytes": watcher.bytes, "estimate": 0.0}

    def each() -> None:
        now = stage.clock.now()
        if now - state["at"] < 1.0:
            return
        rate = (watcher.bytes - state["bytes"]) * 8 / (now - state["at"])
        limit = carries()
        state["estimate"] = min(limit, max(1.5 * rate, min(1.08 * state["estimate"], 1.5 * rate)))
        watcher.report(remb=int(state["estimate"]), loss=max(0.0, 1 - limit / rate) if rate else 0.0)
        state["at"], state["bytes"] = now, watcher.bytes

    await stage.run(seconds, each=each)


async def test_a_network_that_carries_less_gets_less_and_later_more_again() -> None:
    async with watching(*LADDER) as stage:
        stage.size = 4000  # 1 Mb/s
        stage.encoders.sizes = {P480.id: 2000, P360.id: 1000}
        live = stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await heard(stage, watcher, 5, lambda: 5_000_000)
        assert watcher.names == ["720p30"]
        await heard(stage, watcher, 8, lambda: 700_000)
        assert watcher.names == ["720p30", "480p30"]
        await heard(stage, watcher, 8, lambda: 400_000)
        assert watcher.names == ["720p30", "480p30", "360p30"]
        assert live.leases(P480.id) == 0
        await heard(stage, watcher, 60, lambda: 5_000_000)
        assert watcher.names == ["720p30", "480p30", "360p30", "480p30", "720p30"]
        assert all(event.auto for event in watcher.of(RenditionChanged))
        assert stage.encoders.wanted == set()
        assert watcher.padding > 20  # it was tried before
        watcher.check()
        assert all(b - a <= 6 for a, b in itertools.pairwise(watcher.numbers))


async def test_a_network_that_carries_no_more_is_asked_less_and_less() -> None:
    async with watching(*LADDER) as stage:
        stage.size = 4000
        stage.encoders.sizes = {P480.id: 2000, P360.id: 1000}
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await heard(stage, watcher, 90, lambda: 700_000)
        assert watcher.names[:2] == ["720p30", "480p30"]
        assert len(watcher.names) <= 6
        watcher.check()


async def test_who_has_chosen_stays_whatever_the_network_does() -> None:
    async with watching(*LADDER) as stage:
        stage.size = 4000
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        assert watcher.viewer is not None
        watcher.viewer.choose("720p30")
        await heard(stage, watcher, 10, lambda: 300_000)
        assert set(watcher.names) == {"720p30"}


async def test_joining_over_a_line_that_carries_little_more_than_the_picture() -> None:
    async with watching() as stage:
        stage.size, stage.key_size = 9_000, 60_000  # 2.4 Mb/s
        stage.publish(SOURCE, opus())
        await stage.run(3.5)
        watcher = stage.watch()
        line = Line(stage, watcher, carries=4e6)
        begin = stage.clock.now()
        await stage.run(6, each=line.turn)
        assert watcher.shown[0].at - begin < 0.3
        # It has come to the present with the next keyframe, and stays there.
        assert watcher.numbers[-1] >= stage.number - 4
        settled = [one for one in watcher.shown if one.at - begin > 3]
        assert len(settled) >= 85
        on_time(settled, within=0.15)


async def test_five_in_a_hundred_packets_lost_lose_no_picture() -> None:
    async with watching() as stage:
        stage.size, stage.key_size = 9_000, 60_000
        stage.publish(SOURCE, opus())
        await stage.run(1.5)
        watcher = stage.watch()
        line = Line(stage, watcher, carries=50e6, delay=0.025)
        line.loss = 0.05
        await stage.run(20, each=line.turn)
        shown = {one.number for one in watcher.shown}
        assert len(shown) >= 0.95 * (stage.number - min(shown))
        assert watcher.names == ["720p30"]


async def test_packets_that_overtake_each_other_are_no_reason_for_a_smaller_picture() -> None:
    """As Chromium over a bad radio link: it reports five times a second, and counts what was overtaken as lost."""
    async with watching(*LADDER) as stage:
        stage.size, stage.key_size = 3_000, 12_000
        stage.encoders.sizes = {P480.id: 2000, P360.id: 1000}
        stage.publish(SOURCE, opus())
        await stage.run(1.5)
        watcher = stage.watch()
        line = Line(stage, watcher, carries=50e6, delay=0.02)
        line.loss, line.jitter, line.tells = 0.05, 0.1, 0.2
        await stage.run(20, each=line.turn)
        assert watcher.names == ["720p30"]
        assert watcher.viewer is not None
        assert watcher.viewer.stats().loss < 0.1
        shown = {one.number for one in watcher.shown}
        assert len(shown) >= 0.95 * (stage.number - min(shown))


async def test_a_line_that_gets_narrow_is_left_for_what_fits_and_widens_again() -> None:
    async with watching(Offer(P480, 1_000_000), Offer(P360, 400_000)) as stage:
        stage.size, stage.key_size = 9_000, 40_000  # 2.3 Mb/s
        stage.encoders.sizes = {P480.id: 3600, P360.id: 1400}
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        line = Line(stage, watcher, carries=10e6)
        await stage.run(10, each=line.turn)
        line.carries = 1.5e6
        await stage.run(15, each=line.turn)
        assert watcher.names == ["720p30", "480p30"]
        begin = stage.clock.now()
        await stage.run(8, each=line.turn)
        seen = frames_between(watcher.shown, begin, stage.clock.now())
        assert len(seen) >= 0.95 * 240
        line.carries = 10e6
        await stage.run(40, each=line.turn)
        assert watcher.names == ["720p30", "480p30", "720p30"]


async def test_a_line_that_tells_nothing_but_its_losses_is_followed_too() -> None:
    async with watching(Offer(P480, 1_000_000), Offer(P360, 400_000)) as stage:
        stage.size, stage.key_size = 9_000, 40_000
        stage.encoders.sizes = {P480.id: 3600, P360.id: 1400}
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        line = Line(stage, watcher, carries=1.5e6)
        line.estimates = False
        await stage.run(30, each=line.turn)
        assert watcher.names[-1] == "480p30"
        begin = stage.clock.now()
        await stage.run(5, each=line.turn)
        assert len(frames_between(watcher.shown, begin, stage.clock.now())) >= 130
