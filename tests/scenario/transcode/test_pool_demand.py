"""Renditions on demand: offered always, made while somebody wants them."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from tests.scenario.transcode.conftest import SIXTY, SOUND, Stage, Stages
from tests.support.fake_worker import KEY_PICTURE, opened, source_video
from tests.support.packaged import settle

from ghostlive.hub.derived import OfferRefusedError
from ghostlive.transcode.config import RenditionSetting
from ghostlive.transcode.report import RenditionState
from ghostlive.transcode.wire import Media, Source, Start, WantKeyframe

SMALL = "v0-720p30"


async def test_everything_is_offered_and_nothing_runs(stage: Stage) -> None:
    show = stage.publish()
    show.write(3)
    await stage.pass_time(5)
    assert [offer.track.title for offer in show.live.offers] == ["720p60", "720p30", "480p30", "360p30", "Opus"]
    assert [worker for worker in stage.workers.made if worker.heard] == []
    assert show.live.readers == 1
    assert stage.pool.machine().cores_used == 0


async def test_the_first_viewer_starts_it_with_the_groups_that_are_there(stage: Stage) -> None:
    show = stage.publish()
    show.write(3.5)
    show.live.lease(SMALL)
    await settle()
    frames = show.frames(SMALL)
    # Groups are one second long: the last whole one and the one that is under way.
    assert frames[0].keyframe
    assert frames[0].dts == 2 * 90000
    assert frames[-1].dts == round(209 * 90000 / 60)
    assert show.opened(SMALL) == 1
    assert show.state(SMALL) is RenditionState.RUNNING
    assert show.rendition(SMALL).encoder == "libx264"


async def test_of_long_groups_only_the_one_that_is_under_way(stage: Stage) -> None:
    show = stage.publish()
    show.write(19, group=600)
    show.look()
    show.live.lease(SMALL)
    await settle()
    assert show.frames(SMALL)[0].dts == 10 * 90000


async def test_only_tracks_that_somebody_needs_are_sent(stage: Stage) -> None:
    show = stage.publish()
    show.write(1.5)
    show.live.lease("a0-opus")
    await settle()
    assert {message.track for message in stage.worker.heard if isinstance(message, Media)} == {1}
    show.live.lease(SMALL)
    await settle()
    assert {message.track for message in stage.worker.heard if isinstance(message, Media)} == {0, 1}
    assert show.frames(SMALL)
    assert len(stage.worker.all(Source)) == 1


async def test_all_share_one_worker(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    for offer in show.live.offers:
        show.live.lease(offer.track.id)
    await settle()
    assert len(stage.worker.starts) == 5
    for offer in show.live.offers:
        assert show.frames(offer.track.id)
    # Sound ticks at its own rate.
    assert [frame.dts for frame in show.frames("a0-opus")][:2] == [0, 1024]


async def test_it_lingers_for_a_minute(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    lease = show.live.lease(SMALL)
    await settle()
    lease.close()
    assert show.state(SMALL) is RenditionState.LINGERING
    await stage.pass_time(58)
    show.live.lease(SMALL).close()
    await stage.pass_time(59)
    assert show.state(SMALL) is RenditionState.LINGERING
    assert show.opened(SMALL) == 1
    await stage.pass_time(2)
    assert show.state(SMALL) is RenditionState.IDLE
    assert show.closed(SMALL) == ["nobody watches it"]
    assert not any(worker.starts for worker in stage.workers.running)
    assert show.live.readers == 1


async def test_leases_that_flap_do_nothing(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    for _ in range(100):
        show.live.lease(SMALL).close()
    await settle()
    for _ in range(100):
        show.live.lease(SMALL).close()
    await stage.pass_time(1)
    assert len(stage.worker.all(Start)) == 1
    assert show.opened(SMALL) == 1


async def test_a_rendition_that_is_wanted_again_comes_from_the_same_worker(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    show.live.lease("a0-opus")
    lease = show.live.lease(SMALL)
    await settle()
    lease.close()
    await stage.pass_time(61, write=[show])
    show.live.lease(SMALL)
    await stage.pass_time(1, write=[show])
    assert show.opened(SMALL) == 2
    assert len(stage.worker.all(Source)) == 1


async def test_always_and_never(make_stage: Stages) -> None:
    ladder = [RenditionSetting(480, 30, mode="always"), RenditionSetting(360, 30, mode="never")]
    stage = await make_stage({"cam": ladder})
    show = stage.publish()
    show.write(2)
    await settle()
    assert show.frames("v0-480p30")
    assert "v0-360p30" not in {offer.track.id for offer in show.live.offers}
    lease = show.live.lease("v0-480p30")
    lease.close()
    await stage.pass_time(120)
    assert show.state("v0-480p30") is RenditionState.RUNNING
    # The streamer changes their mind.
    stage.ladders["cam"] = [RenditionSetting(480, 30)]
    show.live.reoffer()
    await settle()
    assert show.state("v0-480p30") is RenditionState.LINGERING
    assert show.opened("v0-480p30") == 1
    await stage.pass_time(61)
    assert show.state("v0-480p30") is RenditionState.IDLE


async def test_a_ladder_that_changes_leaves_what_stays(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    show.live.lease("v0-480p30")
    show.live.lease("v0-360p30")
    await settle()
    stage.ladders["cam"] = [RenditionSetting(480, 30), RenditionSetting(240, 30)]
    show.live.reoffer()
    await settle()
    assert show.closed("v0-480p30") == []
    assert show.closed("v0-360p30") == ["it is not offered any more"]
    assert [start.plan.id for start in stage.worker.starts.values()] == ["v0-480p30"]
    stage.ladders["cam"] = [RenditionSetting(480, 30, bitrate=3_000_000), RenditionSetting(360, 30)]
    show.live.reoffer()
    await settle()
    show.write(1)
    await settle()
    # One is made differently now, the other is there again, and both have viewers still.
    assert show.opened("v0-480p30") == 2
    assert show.opened("v0-360p30") == 2
    assert {start.plan.bitrate for start in stage.worker.starts.values()} > {3_000_000}


async def test_a_new_announcement_keeps_the_viewers(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    show.live.lease(SMALL)
    show.live.lease("v0-720p60")
    show.live.lease("v0-360p30")
    await settle()
    worker = stage.worker
    show.announce(source_video(height=720, rate=30), SOUND)
    show.write(2)
    await settle()
    assert stage.worker is worker
    assert [message.tracks[0].height for message in worker.heard if isinstance(message, Source)] == [1080, 720]
    # 720p30 is what the source is now, and 720p60 it cannot give.
    assert {offer.track.title for offer in show.live.offers} == {"480p30", "360p30", "Opus"}
    assert show.frames("v0-360p30")[-1].dts > 3 * 90000
    show.announce(SIXTY, SOUND)
    show.write(2)
    await settle()
    assert show.opened(SMALL) == 2
    assert show.opened("v0-720p60") == 2
    late = [frame.dts for frame in show.frames(SMALL)]
    assert late == sorted(late)
    assert late[-1] > 5 * 90000


async def test_changes_while_the_worker_starts(stage: Stage) -> None:
    stage.workers.hold = asyncio.Event()
    show = stage.publish()
    show.write(2)
    show.live.lease(SMALL)
    await settle()
    assert show.state(SMALL) is RenditionState.STARTING
    show.announce(source_video(height=1440))
    show.announce(source_video(height=1440))
    show.write(1)
    stage.workers.hold.set()
    await settle()
    assert len(stage.workers.made) == 1
    assert [message.tracks[0].height for message in stage.worker.heard if isinstance(message, Source)] == [1440]
    assert show.frames(SMALL)[0].dts == 2 * 90000


async def test_the_end_while_the_worker_starts(stage: Stage) -> None:
    stage.workers.hold = asyncio.Event()
    show = stage.publish()
    show.write(2)
    lease = show.live.lease(SMALL)
    await settle()
    show.publication.end("bye")
    await settle()
    assert stage.workers.cancelled == 1
    lease.close()
    assert stage.pool.report("cam") is None
    # The next broadcast of that name is another one.
    stage.workers.hold.set()
    again = stage.publish()
    again.write(1)
    again.live.lease(SMALL)
    await settle()
    assert again.frames(SMALL)


async def test_nobody_wants_it_any_more_while_the_worker_starts(make_stage: Stages) -> None:
    stage = await make_stage(linger=0.0)
    stage.workers.hold = asyncio.Event()
    show = stage.publish()
    show.write(2)
    show.live.lease(SMALL).close()
    await settle()
    stage.workers.hold.set()
    await settle()
    assert stage.workers.running == []
    assert show.opened(SMALL) == 0
    show.live.lease(SMALL)
    await settle()
    assert show.frames(SMALL)


async def test_stopping_while_workers_start(make_stage: Stages) -> None:
    stage = await make_stage()
    stage.workers.hold = asyncio.Event()
    show = stage.publish()
    show.write(2)
    show.live.lease(SMALL)
    await settle()
    await stage.pool.stop()
    assert stage.workers.cancelled == 1
    with pytest.raises(OfferRefusedError, match="stopping"):
        show.live.lease("v0-360p30")


async def test_the_end_of_the_stream_ends_the_worker(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    lease = show.live.lease(SMALL)
    await settle()
    show.publication.end("bye")
    await settle()
    assert stage.workers.running == []
    lease.close()
    assert stage.pool.machine().cores_used == 0


async def test_the_end_of_the_stream_while_a_rendition_opens(stage: Stage) -> None:
    stage.workers.honest = False
    show = stage.publish()
    show.write(2)
    show.live.lease(SMALL)
    await settle()
    live = show.live
    run = stage.worker.run_of(SMALL)
    with capture_logs() as logs:
        # The worker's words are read after the hub has ended the stream, and before the pool hears of that.
        stage.worker.say(
            opened(run, stage.worker.starts[run].plan), Media(run, 0, 0, 0, keyframe=True, payload=KEY_PICTURE)
        )
        show.publication.end("bye")
        with pytest.raises(OfferRefusedError, match="cam has ended"):
            live.lease("v0-360p30")
        await settle()
    assert not [entry for entry in logs if entry["log_level"] in ("warning", "error")]
    assert stage.workers.running == []


async def test_a_publisher_that_comes_back_is_made_again(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    show.live.lease(SMALL)
    await settle()
    show.publication.lose("the cable")
    await stage.pass_time(10)
    assert show.state(SMALL) is RenditionState.RUNNING
    again = stage.publish()
    again.at = 12
    again.write(1)
    await settle()
    assert again.frames(SMALL)
    assert show.opened(SMALL) == 2


async def test_a_spare_worker_waits_for_the_first_viewer(stage: Stage) -> None:
    show = stage.publish()
    show.write(1)
    await stage.pass_time(2)
    (spare,) = stage.workers.made
    assert spare.heard == []
    await stage.pass_time(60)
    show.live.lease(SMALL)
    await settle()
    assert stage.worker is spare
    # Everybody who is live has a worker: there is nobody to keep one for.
    await stage.pass_time(5)
    assert len(stage.workers.running) == 1
    stage.publish("other")
    await stage.pass_time(2)
    assert len(stage.workers.running) == 2
    # One that dies unused is missed by nobody.
    stage.workers.made[-1].crash()
    await settle()
    other = stage.hub.get("other")
    assert other is not None
    other.lease(SMALL)
    await settle()
    assert len(stage.workers.made) == 3


async def test_no_spare_worker_outlives_the_last_stream(stage: Stage) -> None:
    show = stage.publish()
    await stage.pass_time(2)
    assert len(stage.workers.running) == 1
    show.publication.end("bye")
    await settle()
    assert stage.workers.running == []


async def test_sixty_at_once(make_stage: Stages) -> None:
    stage = await make_stage(cores=2.0)
    shows = [stage.publish(f"cam{number}") for number in range(12)]
    for show in shows:
        show.write(1)
    wanted = [(show, offer) for show in shows for offer in show.live.offers]
    assert len(wanted) == 60
    refused = 0
    for show, offer in wanted:
        try:
            show.live.lease(offer.track.id)
        except OfferRefusedError as error:
            assert "of 2 are free" in str(error)  # noqa: PT017
            refused += 1
    await settle(30)
    assert 0 < refused < 60
    made = sum(len(worker.starts) for worker in stage.workers.running)
    assert made
    assert stage.pool.machine().cores_used <= 2.0


async def test_disabled_offers_nothing(make_stage: Stages) -> None:
    stage = await make_stage(enabled=False)
    assert stage.publish().live.offers == ()


async def test_an_encoder_that_is_not_there_is_said(make_stage: Stages) -> None:
    stage = await make_stage({"cam": [RenditionSetting(480, 30, codec="av1"), RenditionSetting(360, 30)]})
    stage.encoders = ("libx264",)
    show = stage.publish()
    assert [offer.track.title for offer in show.live.offers] == ["360p30", "Opus"]
    report = stage.pool.report("cam")
    assert report is not None
    assert [(left.name, left.reason) for left in report.left_out] == [
        ("480p30 AV1", "no encoder for it works on this machine")
    ]


async def test_what_is_for_real_time_begins_with_the_present(stage: Stage) -> None:
    show = stage.publish(tracks=(replace(SIXTY, has_b_frames=True), SOUND))
    show.write(3.5)
    whole = next(offer.track.id for offer in show.live.offers if offer.realtime)
    show.live.lease(whole)
    await settle()
    assert [frame.dts for frame in show.frames(whole)] == [round(209 * 90000 / 60)]
    assert show.frames(whole)[0].keyframe
    assert show.rendition(whole).realtime
    # A worker that takes over does not make up for what was missed.
    stage.worker.crash()
    show.write(1)
    await stage.pass_time(1)
    assert len(show.frames(whole)) < 5
    assert show.frames(whole)[1].dts >= round(268 * 90000 / 60)


async def test_a_keyframe_is_made_of_the_next_frame_when_somebody_asks(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    assert not show.live.request_keyframe(SMALL)
    show.live.lease(SMALL)
    show.live.lease("a0-opus")
    await settle()
    assert show.live.request_keyframe(SMALL)
    assert show.live.request_keyframe(SMALL)
    assert stage.worker.all(WantKeyframe) == [WantKeyframe(stage.worker.run_of(SMALL))]
    assert not show.live.request_keyframe("a0-opus")  # each of its packets is one


@pytest.mark.parametrize("turns", range(8))
async def test_what_is_wanted_while_its_worker_ends_is_made_by_the_next(make_stage: Stages, turns: int) -> None:
    """Another track of the source is asked for, some turns of the event loop after the last one was given back."""
    stage = await make_stage(linger=0.0)
    show = stage.publish()
    show.write(1.5)
    sound = show.live.lease("a0-opus")
    await settle()
    sound.close()
    for _ in range(turns):
        await asyncio.sleep(0)
    picture = show.live.lease(SMALL)
    await settle()
    assert show.frames(SMALL)
    picture.close()
