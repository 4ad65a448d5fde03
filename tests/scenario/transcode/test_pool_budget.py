"""When there is not enough for all: refusals, fairness, stepping down and up."""

from dataclasses import replace

import pytest
from tests.scenario.transcode.conftest import Stage, Stages
from tests.support.fake_worker import source_video
from tests.support.packaged import settle

from ghostlive.hub.derived import OfferRefusedError
from ghostlive.hub.subscription import Offered
from ghostlive.transcode.config import RenditionSetting
from ghostlive.transcode.report import RenditionState
from ghostlive.transcode.wire import Start, Thin


async def test_a_refusal_says_what_is_missing(make_stage: Stages) -> None:
    stage = await make_stage(cores=0.8)
    show = stage.publish()
    show.live.lease("v0-720p60")
    with pytest.raises(OfferRefusedError, match=r"^720p30 is not offered: it needs about 0.3 cores and 0.1 of 0.8 are"):
        show.live.lease("v0-720p30")
    assert show.live.leases("v0-720p30") == 0
    assert show.warnings() == {"budget_spent"}
    await stage.pass_time(61)
    assert show.warnings() == set()


async def test_room_is_found_by_ending_what_nobody_watches(make_stage: Stages) -> None:
    stage = await make_stage(cores=0.8)
    show = stage.publish()
    show.write(2)
    show.live.lease("v0-720p60").close()
    await settle()
    worker = stage.worker
    show.live.lease("v0-720p30")
    await settle()
    show.write(0.5)
    await settle()
    assert len(show.closed("v0-720p60")) == 1
    assert show.state("v0-720p60") is RenditionState.IDLE
    assert show.frames("v0-720p30")
    # The worker stays: it was never without work.
    assert stage.worker is worker


async def test_another_streams_first_rendition_goes_before_a_third_one(make_stage: Stages) -> None:
    stage = await make_stage(cores=1.3)
    greedy, modest = stage.publish("greedy"), stage.publish("modest")
    greedy.write(2)
    modest.write(2)
    leases = [greedy.live.lease(track) for track in ("v0-720p60", "v0-720p30", "v0-480p30")]
    await settle()
    modest.live.lease("v0-720p30")
    await settle()
    assert modest.frames("v0-720p30")
    assert greedy.closed("v0-720p60") == ["720p60 gave way: another stream had none and there is no room for both"]
    assert greedy.state("v0-720p60") is RenditionState.REFUSED
    with pytest.raises(OfferRefusedError, match="gave way"):
        stage.pool.demand(greedy.live, "v0-720p60")
    # Once there is room, who still wants it has it.
    leases[1].close()
    leases[2].close()
    await stage.pass_time(95)
    assert greedy.state("v0-720p60") is RenditionState.RUNNING


async def test_eight_k_on_a_small_machine(make_stage: Stages) -> None:
    stage = await make_stage(cores=2.0)
    show = stage.publish(tracks=[replace(source_video(height=4320, rate=60), width=7680)])
    report = stage.pool.report("cam")
    assert report is not None
    assert show.live.offers == ()
    reasons = {left.name: left.reason for left in report.left_out}
    assert reasons["1080p60"].startswith("it needs about 6")
    assert reasons["1080p60"].endswith(" cores and this server has 2")
    # At a fifth of the rate all can be made.
    slow = stage.publish("slow", tracks=[replace(source_video(height=4320, rate=12), width=7680)])
    assert {offer.track.title for offer in slow.live.offers} == {
        "2160p12",
        "1440p12",
        "1080p12",
        "720p12",
        "480p12",
        "360p12",
    }


async def test_always_waits_for_room(make_stage: Stages) -> None:
    stage = await make_stage({"rich": [RenditionSetting(720, 60, mode="always")]}, cores=0.8)
    show = stage.publish()
    lease = show.live.lease("v0-720p60")
    rich = stage.publish("rich")
    rich.write(2)
    await settle()
    assert rich.state("v0-720p60") is RenditionState.REFUSED
    lease.close()
    await stage.pass_time(20)
    assert rich.state("v0-720p60") is RenditionState.RUNNING


async def test_too_slow_is_thinned_then_withdrawn_and_comes_back(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    show.live.lease("v0-720p60")
    show.live.lease("v0-360p30")
    await settle()
    worker = stage.worker
    worker.late = 2.0
    await stage.pass_time(6)
    assert worker.thinned("720p60") == 2
    assert show.rendition("v0-720p60").frame_rate == 30
    assert "every second frame" in show.rendition("v0-720p60").reason
    assert show.warnings() == {"too_slow"}
    await stage.pass_time(6)
    assert "720p60" not in {offer.track.title for offer in show.live.offers}
    assert show.closed("v0-720p60") == ["this machine is too slow for it now"]
    assert any(isinstance(item, Offered) for item in show.look())
    report = stage.pool.report("cam")
    assert report is not None
    assert [(left.name, left.reason) for left in report.left_out] == [("720p60", "this machine is too slow for it now")]
    # Calm: it is offered again, thinned at first, and made at once for who still holds a lease.
    worker.late = 0.01
    await stage.pass_time(35)
    assert show.state("v0-720p60") is RenditionState.RUNNING
    assert show.opened("v0-720p60") == 2
    assert worker.thinned("720p60") == 2
    await stage.pass_time(35)
    assert worker.thinned("720p60") == 1
    assert show.rendition("v0-720p60").frame_rate == 60
    assert show.warnings() == set()


async def test_the_only_one_withdrawn_comes_back_too(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    show.live.lease("v0-360p30")
    await settle()
    stage.worker.late = 2.0
    await stage.pass_time(6)
    assert not any(worker.starts for worker in stage.workers.running)
    await stage.pass_time(45)
    assert show.state("v0-360p30") is RenditionState.RUNNING


async def test_a_crash_does_not_forget_that_it_was_thinned(stage: Stage) -> None:
    show = stage.publish()
    show.write(2)
    show.live.lease("v0-720p60")
    await settle()
    stage.worker.late = 2.0
    await stage.pass_time(6)
    stage.worker.crash()
    await stage.pass_time(0.5)
    (start,) = stage.worker.all(Start)
    assert isinstance(start, Start)
    assert stage.worker.all(Thin) == [Thin(start.run, 2)]


async def test_measured_costs_count(make_stage: Stages) -> None:
    stage = await make_stage(cores=2.0)
    show = stage.publish()
    show.write(2)
    show.live.lease("v0-720p60")
    await settle()
    before = stage.pool.machine().cores_used
    stage.worker.cores = 1.6
    await stage.pass_time(60, write=[show])
    after = stage.pool.machine().cores_used
    assert before < 0.8
    assert after == pytest.approx(1.6, rel=0.1)
    assert show.rendition("v0-720p60").cpu == pytest.approx(1.6, rel=0.01)
    with pytest.raises(OfferRefusedError, match="of 2 are free"):
        show.live.lease("v0-720p30")


async def test_a_start_that_catches_up_is_neither_slow_nor_dear(make_stage: Stages) -> None:
    stage = await make_stage(cores=2.0)
    show = stage.publish()
    show.write(2)
    show.live.lease("v0-720p60")
    await settle()
    before = stage.pool.machine().cores_used
    stage.worker.cores, stage.worker.pace, stage.worker.late = 1.9, 1.5, 6.0
    await stage.pass_time(14, write=[show])
    assert stage.pool.machine().cores_used == before
    assert show.warnings() == set()
    stage.worker.pace = 1.0
    await stage.pass_time(4, write=[show])
    assert show.warnings() == {"too_slow"}


async def test_the_machines_own_size(make_stage: Stages) -> None:
    stage = await make_stage(cores=0.0, memory_bytes=0)
    machine = stage.pool.machine()
    assert machine.cores >= 0.1
    assert machine.memory > 10**8
    assert machine.cores_used == machine.memory_used == machine.workers == 0
