"""Viewers over WebRTC of what is made on demand, chosen by the server or by them."""

import itertools
from dataclasses import replace

from tests.support.packaged import audio
from tests.support.webrtc.ladder import LADDER, OPUS, OPUS_OFFER, P360, P480, SOURCE, WHOLE, on_time
from tests.support.webrtc.watching import (
    opus,
    watching,
)

from ghostlive.protocols.webrtc.egress.model import (
    RenditionChanged,
)

# What is made on demand


async def test_sound_is_made_while_somebody_listens() -> None:
    async with watching(OPUS_OFFER) as stage:
        stage.publish(SOURCE, audio())
        await stage.run(0.5)
        watcher = stage.watch(secure=False)
        assert stage.encoders.asked == [("demand", "a0-opus")]  # the session is not there yet
        assert watcher.viewer is not None
        watcher.viewer.secured(watcher)
        await stage.run(2)
        assert len(watcher.sound) > 100
        stamps = [wire.timestamp for wire in watcher.sound]
        assert all(0 < (b - a) & 0xFFFFFFFF < 1 << 31 for a, b in itertools.pairwise(stamps))
        assert len(watcher.shown) >= 60
        stage.leave(watcher)
        assert stage.encoders.asked[-1] == ("rest", "a0-opus")


async def test_a_session_that_never_comes_about_leaves_nothing() -> None:
    async with watching(OPUS_OFFER) as stage:
        live = stage.publish(SOURCE, audio())
        watcher = stage.watch(secure=False)
        await stage.run(1)
        assert watcher.viewer is not None
        watcher.viewer.closed("nobody came")
        watcher.viewer.closed("nobody came")
        assert live.leases("a0-opus") == 0
        assert stage.egress.viewers("cam") == 0
        assert stage.sender.peers == {}


async def test_b_frames_are_encoded_anew() -> None:
    async with watching(WHOLE, *LADDER) as stage:
        stage.publish(replace(SOURCE, has_b_frames=True), opus())
        await stage.run(3.5)
        watcher = stage.watch()
        assert watcher.viewer is not None
        assert [one.name for one in watcher.viewer.renditions] == ["720p30", "480p30", "360p30"]
        await stage.run(3)
        assert stage.encoders.asked[0] == ("demand", WHOLE.track.id)
        watcher.check()
        assert watcher.names == ["720p30"]
        # It begins in the past, and comes to the present without any delay that would stay.
        assert watcher.shown[0].number < 100
        on_time(watcher.shown[1:], within=0.15)
        assert watcher.numbers[-1] > 185


async def test_many_who_wait_for_the_first_picture_get_it_without_a_word_for_each() -> None:
    async with watching(WHOLE) as stage:
        stage.publish(replace(SOURCE, has_b_frames=True), opus())
        await stage.run(1)
        for _ in range(50):
            stage.watch()
        before = stage.sender.sends
        await stage.run(1)
        assert all(len(watcher.shown) > 20 for watcher in stage.watchers)
        assert stage.sender.sends - before < 150


async def test_what_is_refused_is_not_what_is_shown() -> None:
    async with watching(WHOLE, *LADDER) as stage:
        stage.encoders.refusal[WHOLE.track.id] = "the machine is busy"
        stage.publish(replace(SOURCE, has_b_frames=True), opus())
        await stage.run(0.5)
        watcher = stage.watch()
        await stage.run(2)
        assert watcher.names == ["480p30"]
        assert len(watcher.shown) > 20


async def test_what_can_be_had_later_is_shown_later() -> None:
    async with watching(WHOLE) as stage:
        stage.encoders.refusal[WHOLE.track.id] = "the machine is busy"
        stage.publish(replace(SOURCE, has_b_frames=True), opus())
        await stage.run(0.5)
        watcher = stage.watch()
        await stage.run(2)
        assert watcher.shown == []
        assert watcher.sound
        stage.encoders.refusal.clear()
        await stage.run(6)
        assert watcher.shown
        watcher.check()


async def test_sound_that_is_refused_comes_once_it_can_be_had() -> None:
    async with watching(OPUS_OFFER) as stage:
        stage.encoders.refusal[OPUS.id] = "the machine is busy"
        stage.publish(SOURCE, audio())
        watcher = stage.watch()
        await stage.run(2)
        assert watcher.sound == []
        assert len(watcher.shown) == 60
        stage.encoders.refusal.clear()
        await stage.run(16)
        assert watcher.sound


async def test_what_another_publication_does_not_need_is_given_back() -> None:
    async with watching(OPUS_OFFER) as stage:
        live = stage.publish(SOURCE, audio())
        watcher = stage.watch()
        await stage.run(1)
        heard = len(watcher.sound)
        stage.encoders.offers = []
        stage.publish(SOURCE, opus())
        assert live.leases(OPUS.id) == 1
        await stage.run(1)
        assert live.leases(OPUS.id) == 0
        assert len(watcher.sound) > heard + 50
        assert all(one.timestamp != other.timestamp for one, other in itertools.pairwise(watcher.sound))


async def test_a_rendition_that_fails_is_replaced() -> None:
    async with watching(*LADDER) as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        assert watcher.viewer is not None
        watcher.viewer.choose("480p30")
        await stage.run(2)
        stage.encoders.refusal[P480.id] = "its encoder is broken"
        stage.encoders.stop(P480.id, "its encoder is broken")
        stage.encoders.wanted.discard(P480.id)
        await stage.run(3)
        assert watcher.names[-1] == "720p30"
        assert watcher.numbers[-1] >= 175
        watcher.check()


async def test_a_rendition_that_begins_anew_goes_on() -> None:
    async with watching(*LADDER) as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        assert watcher.viewer is not None
        watcher.viewer.choose("480p30")
        await stage.run(2)
        live = stage.hub.get("cam")
        assert live is not None
        stage.encoders.runs[P480.id] = live.derive(stage.encoders.runs[P480.id].track)
        stage.encoders.want_keyframe(live, P480.id)
        await stage.run(2)
        assert watcher.names == ["720p30", "480p30"]
        assert watcher.numbers[-1] >= 140
        watcher.check()


# Choosing


async def test_the_viewer_chooses() -> None:
    async with watching(*LADDER) as stage:
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        assert watcher.viewer is not None
        assert watcher.viewer.choose("360p30")
        assert watcher.viewer.current == "720p30"
        await stage.run(2)
        assert watcher.viewer.current == "360p30"
        assert not watcher.viewer.auto
        assert watcher.of(RenditionChanged)[-1] == RenditionChanged("360p30", auto=False)
        assert watcher.viewer.choose("480p30")
        await stage.run(2)
        assert stage.encoders.wanted == {P480.id}
        assert watcher.viewer.choose("720p30")
        await stage.run(2.5)
        assert stage.encoders.wanted == set()
        assert watcher.names == ["720p30", "360p30", "480p30", "720p30"]
        watcher.viewer.choose_auto()
        assert watcher.of(RenditionChanged)[-1] == RenditionChanged("720p30", auto=True)
        assert not watcher.viewer.choose("1080p60")
        watcher.check()
        assert watcher.numbers[-1] >= 220


async def test_a_choice_that_is_refused_changes_nothing() -> None:
    async with watching(*LADDER) as stage:
        stage.encoders.refusal[P480.id] = "the machine is busy"
        stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        assert watcher.viewer is not None
        assert watcher.viewer.choose("480p30")
        await stage.run(1)
        assert watcher.names == ["720p30", "720p30"]
        assert watcher.numbers == list(range(60))


async def test_a_choice_that_never_comes_is_given_up() -> None:
    async with watching(*LADDER) as stage:
        stage.encoders.starts_after = 1000
        live = stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        assert watcher.viewer is not None
        watcher.viewer.choose("480p30")
        await stage.run(12)
        assert watcher.names == ["720p30", "720p30"]
        assert live.leases(P480.id) == 0
        assert watcher.numbers == list(range(390))


async def test_choosing_again_in_the_meantime_is_what_counts() -> None:
    async with watching(*LADDER) as stage:
        live = stage.publish(SOURCE, opus())
        watcher = stage.watch()
        await stage.run(1)
        assert watcher.viewer is not None
        watcher.viewer.choose("480p30")
        watcher.viewer.choose("360p30")
        assert live.leases(P480.id) == 0
        watcher.viewer.choose("720p30")
        assert live.leases(P360.id) == 0
        await stage.run(2)
        assert set(watcher.names) == {"720p30"}
        assert watcher.numbers == list(range(90))
