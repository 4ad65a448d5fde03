"""Viewers over WebRTC of publishers that go, come and change what they send."""

import itertools
from dataclasses import replace

import pytest
from tests.support.packaged import audio, video
from tests.support.webrtc.ladder import LADDER, OPUS_OFFER, SOURCE, WHOLE, on_time
from tests.support.webrtc.watching import (
    opus,
    watching,
)

from ghostlive.core.track import Codec
from ghostlive.hub.config import HubConfig
from ghostlive.protocols.webrtc.egress.model import (
    Ended,
    RenditionsChanged,
)


async def test_a_publisher_that_comes_back_goes_on_where_it_was() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(2.5)
        assert stage.publication is not None
        stage.publication.lose("cable")
        await stage.idle(4)
        stage.publish(SOURCE, opus())
        await stage.run(2)
        watcher.check()
        assert watcher.numbers == list(range(135))
        assert watcher.closed is None
        # The pause is in the timestamps, too.
        before, after = watcher.shown[74], watcher.shown[75]
        assert ((after.timestamp - before.timestamp) & 0xFFFFFFFF) / 90_000 == pytest.approx(4, abs=0.2)
        assert watcher.names == ["720p30"]


async def test_a_rendition_goes_on_after_its_publisher_came_back() -> None:
    async with watching(*LADDER, OPUS_OFFER) as stage:
        stage.publish(SOURCE, audio())
        watcher = stage.watch()
        await stage.run(1)
        assert watcher.viewer is not None
        watcher.viewer.choose("480p30")
        await stage.run(2)
        assert stage.publication is not None
        stage.publication.lose("cable")
        await stage.idle(2)
        sound = len(watcher.sound)
        stage.publish(SOURCE, audio())
        await stage.run(3)
        watcher.check()
        assert watcher.names == ["720p30", "480p30"]
        assert watcher.numbers[-1] >= 170
        assert len(watcher.sound) - sound > 100
        on_time([one for one in watcher.shown if one.number > 95], within=0.2)


async def test_an_encoder_that_changes_its_picture_is_followed() -> None:
    async with watching(WHOLE, *LADDER) as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        small = replace(SOURCE, width=640, height=360)
        stage.encoders.offers = []
        stage.publish(small, opus())
        await stage.run(1)
        assert watcher.names == ["720p30", "360p30"]
        assert [one.name for one in watcher.of(RenditionsChanged)[-1].renditions] == ["360p30"]
        stage.encoders.offers = [WHOLE]
        stage.publish(replace(SOURCE, has_b_frames=True), opus())
        await stage.run(2)
        assert watcher.names == ["720p30", "360p30", "720p30"]
        assert watcher.numbers[-1] > 110
        watcher.check()


async def test_an_encoder_that_changes_its_codec_is_followed_if_the_viewer_takes_it() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch(video=[Codec.H264, Codec.VP8])
        other = stage.watch(video=[Codec.H264], audio=False)
        await stage.run(1)
        packets = len(watcher.sequences)
        stage.publish(replace(SOURCE, codec=Codec.VP8, codec_string="vp8", config=b""), opus())
        assert stage.publication is not None
        await stage.run(0)
        assert watcher.closed is None
        assert watcher.viewer is not None
        await stage.idle(0.2)
        assert other.closed
        assert isinstance(other.events[-1], Ended)
        assert len(watcher.sequences) == packets


async def test_a_stream_that_ends_says_so() -> None:
    async with watching() as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        waiting = stage.watch(secure=False)
        await stage.run(1)
        assert stage.publication is not None
        stage.publication.end("the show is over")
        await stage.idle(0.1)
        assert watcher.closed == "the show is over"
        assert watcher.events[-1] == Ended("the show is over")
        assert waiting.events[-1] == Ended("the show is over")
        assert stage.sender.peers == {}
        stage.publish(SOURCE, opus())
        again = stage.watch()
        await stage.run(1)
        again.check()
        assert len(again.shown) == 30


async def test_a_publisher_that_stays_away_ends_the_stream() -> None:
    async with watching(hub_config=HubConfig(grace=3)) as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        assert stage.publication is not None
        stage.publication.lose("cable")
        await stage.idle(2)
        assert watcher.closed is None
        await stage.idle(2)
        assert watcher.closed


async def test_a_reader_that_was_too_slow_goes_on_with_a_keyframe() -> None:
    async with watching(hub_config=HubConfig(reader_frames=40)) as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        for _ in range(20):
            stage._frame()
            stage.clock.advance(1 / 30)
        await stage.run(2.5)
        watcher.check()
        gone = [b for a, b in itertools.pairwise(watcher.numbers) if b - a > 1]
        assert gone == [60]


async def test_sound_alone_is_a_stream() -> None:
    async with watching() as stage:
        stage.publish(opus())
        watcher = stage.watch()
        await stage.run(1)
        assert len(watcher.sound) > 50
        assert watcher.names == ["audio"]
        other = stage.watch(video=[])
        await stage.run(1)
        assert len(other.sound) > 50


async def test_layers_of_a_source_are_renditions_without_encoding() -> None:
    async with watching() as stage:
        small = video("v1", height=360)
        stage.publish(SOURCE, small, opus())
        watcher = stage.watch()
        await stage.run(2.5)
        assert watcher.viewer is not None
        assert [one.name for one in watcher.viewer.renditions] == ["720p30", "360p30"]
        watcher.viewer.choose("360p30")
        await stage.run(2)
        assert watcher.names == ["720p30", "360p30"]
        assert sorted(set(watcher.numbers)) == list(range(135))
        watcher.check()
