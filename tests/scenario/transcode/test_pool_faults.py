"""What goes wrong with workers: crashes, hangs, lies, sources that nothing can decode."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from tests.scenario.transcode.conftest import SIXTY, SOUND, Broadcast, Stage
from tests.support.fake_worker import KEY_PICTURE, PICTURE, FakeWorker, avc_config, opened, source_video
from tests.support.packaged import settle

from ghostlive.core.track import Codec
from ghostlive.hub.derived import OfferRefusedError
from ghostlive.transcode.report import RenditionState
from ghostlive.transcode.wire import Failed, Media, Message, Notice, Opened, Picture, Source, Start, Stats, Still

SMALL = "v0-720p30"


async def watched(stage: Stage, *tracks: str) -> Broadcast:
    """A broadcast of which renditions are watched."""
    show = stage.publish()
    show.write(2)
    for track in tracks or (SMALL,):
        show.live.lease(track)
    await settle()
    return show


async def test_a_crash_is_a_pause_and_nothing_else(stage: Stage) -> None:
    show = await watched(stage, SMALL, "a0-opus")
    first = stage.worker
    last = show.frames(SMALL)[-1].dts
    first.crash()
    show.write(0.5)
    await settle(16)
    assert stage.worker is not first
    assert first.waited
    # The same run goes on, after the last frame that viewers have, with a keyframe.
    assert show.opened(SMALL) == 1
    assert show.closed(SMALL) == []
    starts = {start.plan.id: start.after for start in stage.worker.starts.values()}
    assert starts[SMALL] == last
    after = [frame for frame in show.frames(SMALL) if frame.dts > last]
    assert after[0].keyframe
    assert after[0].dts == last + 1500
    times = [frame.dts for frame in show.frames("a0-opus")]
    assert times == sorted(set(times))
    assert show.warnings() == {"worker_crashed"}
    assert show.rendition(SMALL).state is RenditionState.RUNNING


async def test_other_parameter_sets_after_a_crash_are_another_run(stage: Stage) -> None:
    show = await watched(stage)
    stage.workers.honest = False
    stage.worker.crash()
    await settle(16)
    worker = stage.worker
    run = worker.run_of(SMALL)
    worker.say(
        Opened(run, "libx264", avc_config(1280, 720, level=0x20), "avc1.640020", 1280, 720),
        Media(run, 0, 200_000 - 20_000, 200_000 - 20_000, keyframe=True, payload=KEY_PICTURE),
    )
    await settle()
    assert show.closed(SMALL) == ["its encoder is another one now"]
    assert show.opened(SMALL) == 2
    assert show.frames(SMALL)[-1].dts == 180_000


async def test_a_silent_worker_is_replaced(stage: Stage) -> None:
    show = await watched(stage)
    first = stage.worker
    await stage.pass_time(3)
    assert stage.worker is first
    await stage.pass_time(1.75, alive=False)
    assert stage.worker is first
    await stage.pass_time(1, alive=False)
    assert first.killed
    assert first.waited
    assert stage.worker is not first
    assert show.opened(SMALL) == 1


async def test_a_worker_may_take_long_to_start(stage: Stage) -> None:
    stage.workers.honest = False
    show = await watched(stage)
    first = stage.worker
    await stage.pass_time(8, alive=False)
    assert stage.worker is first
    await stage.pass_time(4, alive=False)
    assert stage.worker is not first
    assert show.state(SMALL) is RenditionState.STARTING


async def test_a_server_that_slept_does_not_blame_the_worker(stage: Stage) -> None:
    await watched(stage)
    first = stage.worker
    first.beat()
    await settle()
    stage.clock.advance(0.4)
    stage.clock._now += 30  # the machine was suspended; timers fire late
    stage.clock.advance(0)
    stage.worker.beat()
    await stage.pass_time(2)
    assert stage.worker is first


async def test_crashes_again_and_again_wait_and_then_give_up(stage: Stage) -> None:
    show = await watched(stage)
    for _ in range(5):
        stage.worker.crash()
        await stage.pass_time(2.25)
        assert stage.worker.starts
    stage.worker.crash()
    await settle()
    reason = "720p30 is not made now: its worker was killed by SIGSEGV"
    assert show.closed(SMALL) == [reason]
    assert show.state(SMALL) is RenditionState.REFUSED
    assert show.rendition(SMALL).reason == reason
    assert not any(worker.starts for worker in stage.workers.running)
    with pytest.raises(OfferRefusedError, match="it is tried again in 30 s"):
        show.live.lease("v0-360p30")
    # Who still wants it is served without asking again.
    await stage.pass_time(31)
    assert show.state(SMALL) is RenditionState.RUNNING
    assert show.opened(SMALL) == 2
    # One attempt, and a longer rest.
    stage.worker.crash()
    await stage.pass_time(45)
    assert show.state(SMALL) is RenditionState.REFUSED
    await stage.pass_time(20)
    assert show.state(SMALL) is RenditionState.RUNNING
    # What has lasted is forgiven.
    await stage.pass_time(90)
    stage.worker.crash()
    await stage.pass_time(0.5)
    assert show.state(SMALL) is RenditionState.RUNNING


async def test_another_source_gets_a_fresh_chance(stage: Stage) -> None:
    show = await watched(stage)
    for _ in range(6):
        stage.worker.crash()
        await stage.pass_time(2.25)
    assert show.state(SMALL) is RenditionState.REFUSED
    show.announce(source_video(height=1440), SOUND)
    show.write(1)
    await settle()
    assert show.state(SMALL) is RenditionState.RUNNING


async def test_no_process_to_be_had(stage: Stage) -> None:
    stage.workers.refuse = "Resource temporarily unavailable"
    show = stage.publish()
    show.write(2)
    show.live.lease(SMALL)
    await stage.pass_time(10)
    assert show.state(SMALL) is RenditionState.REFUSED
    assert "Resource temporarily unavailable" in show.rendition(SMALL).reason
    stage.workers.refuse = ""
    await stage.pass_time(31)
    assert show.state(SMALL) is RenditionState.RUNNING


async def test_a_rendition_that_fails_leaves_the_others(stage: Stage) -> None:
    show = await watched(stage, SMALL, "v0-360p30")
    stage.worker.say(Failed(stage.worker.run_of(SMALL), "the encoder has no room\nfor it"))
    await settle()
    assert show.closed(SMALL) == ["720p30 cannot be made: the encoder has no room for it"]
    assert show.closed("v0-360p30") == []
    assert show.state(SMALL) is RenditionState.REFUSED
    with pytest.raises(OfferRefusedError, match="no room"):
        stage.pool.demand(show.live, SMALL)
    await stage.pass_time(1.5, write=[show])
    assert show.state(SMALL) is RenditionState.RUNNING
    assert len(stage.worker.all(Source)) == 1


async def test_a_source_that_nothing_can_decode(stage: Stage) -> None:
    show = await watched(stage, SMALL, "v0-360p30")
    stage.worker.say(Failed(0, "its profile is not supported"))
    await settle()
    assert show.closed(SMALL) == ["720p30 cannot be made: its profile is not supported"]
    assert show.closed("v0-360p30") == ["360p30 cannot be made: its profile is not supported"]
    assert show.warnings() == {"source_broken"}
    await stage.pass_time(25)
    assert not any(worker.starts for worker in stage.workers.running)
    await stage.pass_time(10)
    assert show.state(SMALL) is RenditionState.RUNNING


async def test_damage_is_told(stage: Stage) -> None:
    show = await watched(stage)
    for second in range(1, 4):
        stage.worker.say(Stats(0.1 * second, 10**8, 60 * second, 20 * second, 0))
        await stage.pass_time(1, alive=False)
    assert show.warnings() == {"source_broken"}


async def test_a_worker_that_decodes_nothing_is_replaced_and_then_given_up(stage: Stage) -> None:
    show = await watched(stage)
    first = stage.worker
    for second in range(100):
        for worker in stage.workers.running:
            worker.say(Stats(0.1 * second, 10**8, 0, 30 * second, 0))
        await stage.pass_time(1, alive=False)
    assert first.killed
    assert show.state(SMALL) is RenditionState.REFUSED
    assert "could decode nothing" in show.rendition(SMALL).reason
    assert show.warnings() == {"source_broken", "worker_crashed"}


async def test_an_encoder_that_fell_back_is_told_and_nothing_closes(stage: Stage) -> None:
    stage.workers.honest = False
    stage.encoders = ("h264_nvenc", "libx264")
    show = await watched(stage)
    worker = stage.worker
    run = worker.run_of(SMALL)
    plan = worker.starts[run].plan
    assert worker.starts[run].encoders == ("h264_nvenc", "libx264")
    worker.say(opened(run, plan, "h264_nvenc"))
    worker.say(Media(run, 0, 0, 0, keyframe=True, payload=KEY_PICTURE))
    await settle()
    assert show.rendition(SMALL).hardware
    other = avc_config(1280, 720, level=0x28)
    size = int.from_bytes(other[6:8], "big")
    sps, pps = other[8 : 8 + size], other[11 + size :]
    in_band = b"".join(len(unit).to_bytes(4, "big") + unit for unit in (sps, pps)) + KEY_PICTURE
    worker.say(Opened(run, "libx264", other, "avc1.640028", 1280, 720))
    worker.say(Media(run, 0, 3000, 3000, keyframe=True, payload=in_band))
    worker.say(Media(run, 0, 6000, 6000, keyframe=False, payload=PICTURE))
    await settle()
    assert show.rendition(SMALL).encoder == "libx264"
    assert not show.rendition(SMALL).hardware
    assert show.warnings() == {"encoder_fell_back"}
    assert show.opened(SMALL) == 1
    assert [frame.payload for frame in show.frames(SMALL)] == [KEY_PICTURE, in_band, PICTURE]


Lie = Callable[[FakeWorker, int], list[Message]]


def _media(
    run: int, pts: int, *, dts: int | None = None, key: bool = True, payload: bytes = b"", track: int = 0
) -> Media:
    payload = payload or (KEY_PICTURE if key else PICTURE)
    return Media(run, track, pts if dts is None else dts, pts, key, payload)


LIES: dict[str, Lie] = {
    "a run that never was": lambda worker, run: [_media(10**9, 181_000)],
    "run nothing": lambda worker, run: [_media(0, 181_000)],
    "opened for a run that never was": lambda worker, run: [Opened(10**9, "libx264", avc_config(1280, 720), "x")],
    "another size": lambda worker, run: [Opened(run, "libx264", avc_config(1920, 1080), "avc1.640028", 1920, 1080)],
    "no configuration": lambda worker, run: [Opened(run, "libx264", b"", "avc1.64001f", 1280, 720)],
    "a broken configuration": lambda worker, run: [Opened(run, "libx264", b"\1\2\3", "avc1.64001f", 1280, 720)],
    "another encoder": lambda worker, run: [Opened(run, "rm -rf", avc_config(1280, 720), "avc1.64001f", 1280, 720)],
    "time that goes back": lambda worker, run: [_media(run, 90_000)],
    "time that stands still": lambda worker, run: [_media(run, 178_500)],
    "the future": lambda worker, run: [_media(run, 400_000)],
    "reordered frames": lambda worker, run: [_media(run, 181_000, dts=180_000)],
    "another track": lambda worker, run: [_media(run, 181_000, track=1)],
    "no payload": lambda worker, run: [Media(run, 0, 181_000, 181_000, keyframe=True, payload=b"")],
    "a payload that is no picture": lambda worker, run: [_media(run, 181_000, payload=b"\xff" * 40)],
    "a keyframe that is none": lambda worker, run: [_media(run, 181_000, payload=PICTURE)],
    "far too large": lambda worker, run: [
        _media(run, 181_000, payload=(5 * 2**20).to_bytes(4, "big") + b"\x65" + bytes(5 * 2**20 - 1))
    ],
    "far too many": lambda worker, run: [_media(run, 181_000 + index, key=False) for index in range(400)],
    "too many messages": lambda worker, run: [Notice(run, "hello")] * 400,
    "figures below nothing": lambda worker, run: [Stats(-1.0, 0, 0, 0, 0)],
    "time that it gives back": lambda worker, run: [Stats(5.0, 0, 0, 0, 0), Stats(4.0, 0, 0, 0, 0)],
    "what only the server says": lambda worker, run: [Start(run, worker.starts[run].plan, ())],
    "a picture that nobody asked for": lambda worker, run: [Still(1, b"\xff\xd8")],
    "an order": lambda worker, run: [Picture(1, Codec.H264, b"", b"", 1, 1, "jpeg")],
    "another picture in band": lambda worker, run: [
        _media(run, 181_000, payload=_in_band(avc_config(1920, 1080)) + KEY_PICTURE)
    ],
}


def _in_band(config: bytes) -> bytes:
    size = int.from_bytes(config[6:8], "big")
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in (config[8 : 8 + size], config[11 + size :]))


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_worker_that_lies_is_replaced(stage: Stage, lie: Lie) -> None:
    show = await watched(stage)
    worker = stage.worker
    seen = len(show.frames(SMALL))
    worker.say(*lie(worker, worker.run_of(SMALL)))
    await settle()
    assert worker.killed
    assert worker.waited
    await settle()
    show.write(0.5)
    await settle()
    assert stage.worker is not worker
    # Whatever of it viewers got is in order and no more than there can be.
    times = [frame.dts for frame in show.frames(SMALL)]
    assert times == sorted(set(times))
    assert len(times) < seen + 400
    assert times[-1] <= 2.5 * 90000
    assert show.warnings() == {"worker_crashed"}


async def test_a_frame_before_its_configuration_is_a_lie(stage: Stage) -> None:
    stage.workers.honest = False
    show = await watched(stage)
    worker = stage.worker
    worker.say(_media(worker.run_of(SMALL), 1000))
    await settle()
    assert worker.killed
    assert show.frames(SMALL) == []


async def test_a_beginning_that_is_no_keyframe_is_a_lie(stage: Stage) -> None:
    stage.workers.honest = False
    show = await watched(stage)
    worker = stage.worker
    run = worker.run_of(SMALL)
    worker.say(opened(run, worker.starts[run].plan), _media(run, 1000, key=False))
    await settle()
    assert worker.killed
    assert show.frames(SMALL) == []


async def test_sound_of_another_kind_is_a_lie(stage: Stage) -> None:
    stage.workers.honest = False
    await watched(stage, "a0-opus")
    worker = stage.worker
    run = worker.run_of("a0-opus")
    mono = b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0"
    worker.say(Opened(run, "libopus", mono, "opus", channels=1))
    await settle()
    assert worker.killed


async def test_nonsense_on_the_wire(stage: Stage) -> None:
    show = await watched(stage)
    worker = stage.worker
    worker.nonsense()
    await settle()
    assert worker.killed
    assert stage.worker is not worker
    assert show.opened(SMALL) == 1


async def test_what_a_stopped_run_still_says_is_no_lie(stage: Stage) -> None:
    show = await watched(stage, SMALL, "a0-opus")
    worker = stage.worker
    run = worker.run_of(SMALL)
    plan = worker.starts[run].plan
    stage.ladders["cam"] = []
    show.live.reoffer()
    worker.say(_media(run, 181_000), opened(run, plan), Failed(run, "too late"))
    await settle()
    assert not worker.killed
    assert len(show.frames(SMALL)) == 120
    assert show.opened(SMALL) == 1


async def test_a_worker_that_runs_wild_is_replaced(stage: Stage) -> None:
    show = await watched(stage)
    worker = stage.worker
    worker.cores = 3.9
    await stage.pass_time(30, write=[show])
    assert worker.killed
    assert "cores where" in str(stage.pool.report("cam"))


async def test_a_slow_worker_loses_groups_and_not_memory(stage: Stage) -> None:
    show = await watched(stage)
    worker = stage.worker
    worker.slow = True
    show.write(1)
    await settle()
    show.write(40)
    await settle()
    worker.resume()
    await settle()
    show.write(2)
    await settle()
    media = [message for message in worker.heard if isinstance(message, Media)]
    (gap,) = [late for early, late in pairwise(media) if late.dts - early.dts > 1500]
    assert gap.keyframe
    assert show.frames(SMALL)[-1].dts == round((45 - 1 / 60) * 90000)
    assert stage.worker is worker


async def test_nothing_is_left_of_a_stream_that_is_published_again_and_again(stage: Stage) -> None:
    for _ in range(20):
        show = stage.publish(tracks=(SIXTY, SOUND))
        show.write(0.5)
        show.live.lease(SMALL)
        show.publication.end("bye")
    await settle(20)
    assert stage.workers.running == []
    assert stage.pool.machine().workers == 0
