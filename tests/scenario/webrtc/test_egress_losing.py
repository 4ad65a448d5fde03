"""Viewers over WebRTC whose packets get lost: what is sent again, and what that may cost."""

import random
from collections.abc import Callable

import pytest
from tests.support.webrtc.ladder import LADDER, SOURCE
from tests.support.webrtc.watching import (
    AUDIO_SSRC,
    VIDEO_SSRC,
    Wire,
    opus,
    watching,
)

from ghostlive.formats.rtcp.packets import FullIntraRequest, Nack


def lossy(share: float, seed: int = 1) -> Callable[[Wire], bool]:
    chance = random.Random(seed)
    return lambda wire: chance.random() < share


@pytest.mark.parametrize("share", [0.02, 0.1])
async def test_what_gets_lost_is_sent_again(share: float) -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        await stage.run(2.5)
        watcher = stage.watch()
        watcher.lost = lossy(share)
        await stage.run(4, each=watcher.ask)
        watcher.lost = lambda wire: False
        await stage.run(0.2, each=watcher.ask)
        assert watcher.numbers == list(range(60, 201))
        assert watcher.resent > 5
        assert watcher.viewer is not None
        assert watcher.viewer.stats().resent >= watcher.resent


async def test_packets_are_kept_no_longer_than_needed() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        first = min(watcher.video)
        await stage.run(5)
        watcher.say(Nack(1, VIDEO_SSRC, tuple((first + number) & 0xFFFF for number in range(10))))
        watcher.say(Nack(1, AUDIO_SSRC, (watcher.sound[-1].sequence & 0xFFFF,)))
        watcher.say(Nack(1, 99, (watcher.sequences[-1] & 0xFFFF,)))
        watcher.say(Nack(1, VIDEO_SSRC, ((watcher.sequences[-1] + 5) & 0xFFFF,)))
        assert watcher.resent == 0


async def test_what_is_asked_for_again_goes_before_what_may_be_under_way() -> None:
    """A network that jitters has browsers ask for much that has only been overtaken."""
    async with watching() as stage:
        stage.size = 9000
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(2)
        highest = watcher.sequences[-1]

        def asked(begin: int, count: int) -> int:
            before = watcher.resent
            watcher.say(
                Nack(1, VIDEO_SSRC, tuple((highest - number) & 0xFFFF for number in range(begin, begin + count)))
            )
            return watcher.resent - before

        assert 10 < asked(0, 100) < 40
        stage.clock.advance(0.03)
        assert asked(90, 5) == 5
        assert asked(100, 50) < 10


async def test_asking_without_end_costs_no_more_than_the_stream() -> None:
    async with watching() as stage:
        stage.size = 9000  # 2.2 Mb/s
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(2)
        sent = watcher.bytes

        def greedy() -> None:
            for _ in range(20):
                highest = watcher.sequences[-1]
                watcher.say(Nack(1, VIDEO_SSRC, tuple((highest - number) & 0xFFFF for number in range(100))))

        await stage.run(2, each=greedy)
        assert watcher.bytes - sent < 2.5 * sent


async def test_a_viewer_without_retransmissions_asks_in_vain_and_gets_keyframes() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus(), ask=True)
        watcher = stage.watch(rtx=False)
        await stage.run(1.5)
        watcher.say(Nack(1, VIDEO_SSRC, (watcher.sequences[-1] & 0xFFFF,)))
        assert watcher.resent == 0
        watcher.picture_lost()
        await stage.run(0.1)
        assert watcher.shown[-2].keyframe or watcher.shown[-1].keyframe or watcher.shown[-3].keyframe


async def test_a_picture_that_was_lost_soon_after_its_keyframe_is_sent_again_to_that_viewer_alone() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus(), ask=True)
        watcher, other = stage.watch(), stage.watch()
        await stage.run(2.2)
        seen = len(other.shown)
        watcher.picture_lost()
        await stage.run(0.5)
        assert watcher.numbers.count(60) == 2
        assert len(other.shown) - seen == 15
        watcher.check()


async def test_a_picture_that_was_lost_late_is_asked_of_the_encoder_once_a_second() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus(), ask=True)
        watcher = stage.watch()
        await stage.run(1.5)
        stage.group = 1000
        for _ in range(30):
            watcher.picture_lost()
            watcher.say(FullIntraRequest(1, ((VIDEO_SSRC, 1),)))
            await stage.run(0.1)
        assert sum(one.keyframe for one in watcher.shown) <= 12
        watcher.check()


async def test_a_picture_that_was_lost_late_is_sent_again_where_nobody_can_be_asked() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1.5)
        watcher.picture_lost()
        await stage.run(0.4)
        assert watcher.numbers.count(0) == 2
        assert watcher.numbers[-1] == 56
        watcher.check()


async def test_nonsense_is_ignored_and_so_is_a_flood() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        viewer = watcher.viewer
        assert viewer is not None
        chance = random.Random(3)
        for _ in range(500):
            viewer.rtcp(chance.randbytes(chance.randrange(80)), stage.clock.now())
        viewer.rtp(b"\x80", stage.clock.now())
        watcher.report()
        await stage.run(0.5)
        watcher.check()
        assert len(watcher.shown) == 45


async def test_asking_for_pictures_without_end_costs_little() -> None:
    async with watching() as stage:
        stage.size = 9000
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(10)
        before = watcher.bytes
        await stage.run(10, each=watcher.picture_lost)
        assert watcher.bytes - before < 1.6 * before
        watcher.check()


async def test_one_that_loses_everything_is_no_matter_for_others() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        dead, fine = stage.watch(), stage.watch()
        dead.lost = lambda wire: True
        await stage.run(3)
        fine.check()
        assert fine.numbers == list(range(90))


async def test_a_group_is_sent_again_where_packets_were_only_overtaken() -> None:
    """The first packets may come before the browser can decrypt them: it never asks for those."""
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        await stage.run(1)
        watcher = stage.watch()
        await stage.run(0.2)
        watcher.say(Nack(1, VIDEO_SSRC, tuple(number & 0xFFFF for number in watcher.sequences[-60:])))
        watcher.picture_lost()
        await stage.run(0.5)
        assert watcher.numbers.count(0) == 2
        watcher.check()


async def test_where_packets_overtake_each_other_parameter_sets_of_another_picture_are_sent_thrice() -> None:
    async with watching(*LADDER) as stage:
        stage.publish(SOURCE, opus())
        watcher, even = stage.watch(), stage.watch()
        await stage.run(2)
        watcher.say(Nack(1, VIDEO_SSRC, (watcher.sequences[-1] & 0xFFFF,)))
        before = watcher.resent
        stage.encoders.sizes = {"v0-480p30": 3000}
        for one in (watcher, even):
            assert one.viewer is not None
            one.viewer.choose("480p30")
        await stage.run(3)
        assert watcher.names[-1] == even.names[-1] == "480p30"
        assert (watcher.resent - before, even.resent) == (2, 0)
        watcher.check()
