"""What viewers ask for, when they wait, and what they are refused with."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.packaged import Stage, audio, interleaved, settle, stage, steady, tone, video

from ghostlive.core.frame import Frame
from ghostlive.packager.errors import BadRequestError, NotFoundError, NotReadyError
from ghostlive.packager.resource import IMMUTABLE, Resource

TRACKS = (video(), audio())


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Stage]:
    """A broadcast of seven seconds: segments 0 to 2 are complete, 3 has three parts or so."""
    async with stage(tmp_path) as scene:
        await scene.publish(*TRACKS)
        await scene.send(interleaved(TRACKS, steady(TRACKS[0], 7), tone(TRACKS[1], 7)), watch=False)
        yield scene


WHOLE = interleaved(TRACKS, steady(TRACKS[0], 12), tone(TRACKS[1], 12))


def more(seconds: float, start: float = 7) -> list[Frame]:
    """What follows after the fixture's seven seconds."""
    scale = {track.id: track.timescale for track in TRACKS}
    return [frame for frame in WHOLE if start <= frame.dts / scale[frame.track] < start + seconds]


async def test_first_request_waits_for_the_first_segment(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        await scene.publish(*TRACKS)
        entry = asyncio.ensure_future(scene.multivariant())
        await settle()
        assert not entry.done()
        await scene.send(interleaved(TRACKS, steady(TRACKS[0], 2.5), tone(TRACKS[1], 2.5)), watch=False)
        assert len((await entry).variants) == 2  # the picture with its sound, and the sound alone


async def test_request_before_the_tracks_are_known_waits(tmp_path: Path) -> None:
    from ghostlive.hub.live import Source

    async with stage(tmp_path) as scene:
        scene.publication = scene.hub.publish("cam", Source("test", "192.0.2.1"), lambda reason: None)
        entry = asyncio.ensure_future(scene.multivariant())
        await settle()
        await scene.publish(*TRACKS)
        await scene.send(interleaved(TRACKS, steady(TRACKS[0], 2.5), tone(TRACKS[1], 2.5)), watch=False)
        assert (await entry).variants


async def test_first_request_gives_up_with_advice(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        await scene.publish(*TRACKS)
        entry = asyncio.ensure_future(scene.multivariant())
        await settle()
        for _ in range(12):
            scene.clock.advance(1)
            await settle()
        with pytest.raises(NotReadyError) as caught:
            await entry
        assert caught.value.status == 503
        assert caught.value.retry_after == 2


async def test_unknown_things(scene: Stage) -> None:
    with pytest.raises(NotFoundError):
        await scene.packager.resource("nobody", "master.m3u8", {})
    with pytest.raises(NotFoundError):
        await scene.packager.resource("other", f"{scene.session}/v0/media.m3u8", {})
    for path in (
        "index.html", "0000000000/v0/media.m3u8", f"{scene.session}/v7/media.m3u8", f"{scene.session}/v7/0.m4s",
        f"{scene.session}/v0/99.m4s", f"{scene.session}/v0/99.0.m4s", f"{scene.session}/v0/0.99.m4s",
        f"{scene.session}/v0/init-9.mp4", f"{scene.session}/v0/x.m4s", f"{scene.session}/v0/1.2.3.m4s",
        f"{scene.session}/v0/-1.m4s", f"{scene.session}/v0/01.m4s", f"{scene.session}/v0/../../x",
        f"{scene.session}/v0",
    ):  # fmt: skip
        with pytest.raises(NotFoundError):
            await scene.get(path)


async def test_what_is_there_is_there_at_once(scene: Stage) -> None:
    base = f"/app/cam/{scene.session}/v0/"
    ready = scene.packager.ready
    assert ready(base + "media.m3u8") is None
    playlist = await scene.get(f"{scene.session}/v0/media.m3u8")
    assert ready(base + "media.m3u8") is playlist
    for file in ("init-0.mp4", "0.m4s", "2.m4s", "2.0.m4s", "3.0.m4s"):
        resource = ready((base + file).encode())
        assert resource is not None
        assert resource is await scene.get(f"{scene.session}/v0/{file}")
        assert resource.cache_control == IMMUTABLE
        assert resource.content_type == "video/mp4"
        assert resource.size == len(b"".join(resource.body))
    assert ready(base + "3.m4s") is None
    segment, parts = ready(base + "2.m4s"), [ready(f"{base}2.{index}.m4s") for index in range(9)]
    assert segment is not None
    assert all(part is not None and part.body[0] is piece for part, piece in zip(parts, segment.body, strict=True))


async def test_playlists_are_rendered_once_for_each_change(scene: Stage) -> None:
    path = f"{scene.session}/v0/media.m3u8"
    first = await scene.get(path)
    assert await scene.get(path) is first
    packed = first.gzip_body
    assert packed is not None
    assert gzip.decompress(packed) == first.body[0]
    assert first.gzip_body is packed
    await scene.send(more(0.5), watch=False)
    second = await scene.get(path)
    assert second is not first
    assert second.etag != first.etag
    assert scene.packager.ready(f"/app/cam/{path}") is second


async def test_blocking_reload_waits_for_its_part(scene: Stage) -> None:
    playlist = await scene.media("v0")
    assert playlist.current is not None
    part = len(playlist.current.parts)
    path = f"{scene.session}/v0/media.m3u8"
    waiting = [asyncio.ensure_future(scene.get(path, _HLS_msn="3", _HLS_part=str(part))) for _ in range(3)]
    cancelled = asyncio.ensure_future(scene.get(path, _HLS_msn="3", _HLS_part=str(part)))
    await settle()
    cancelled.cancel()
    assert not any(request.done() for request in waiting)
    await scene.send(more(0.4), watch=False)
    answers = await asyncio.gather(*waiting)
    assert answers[0] is answers[1] is answers[2]
    assert answers[0].cache_control == "public, max-age=12"
    assert f"3.{part}.m4s".encode() in answers[0].body[0]


async def test_blocking_reload_for_a_segment_waits_until_it_is_complete(scene: Stage) -> None:
    request = asyncio.ensure_future(scene.media("v0", _HLS_msn="3"))
    await scene.send(more(0.8), watch=False)
    assert not request.done()
    await scene.send(more(0.4, start=7.8), watch=False)
    assert (await request).last_msn == 3


async def test_what_was_asked_for_is_there_already(scene: Stage) -> None:
    assert (await scene.media("v0", _HLS_msn="0")).last_msn == 2
    assert (await scene.media("v0", _HLS_msn="3", _HLS_part="0")).last_msn == 2
    # A part beyond the end of its segment is the first one of the next.
    assert (await scene.media("v0", _HLS_msn="2", _HLS_part="30")).last_msn == 2


@pytest.mark.parametrize(
    "query",
    [
        {"_HLS_part": "1"}, {"_HLS_msn": "6"}, {"_HLS_msn": "3", "_HLS_part": "19"}, {"_HLS_msn": "x"},
        {"_HLS_msn": "-1"}, {"_HLS_msn": "1", "_HLS_part": "²"}, {"_HLS_msn": "9" * 30},
    ],
)  # fmt: skip
async def test_wrong_blocking_requests_are_refused(scene: Stage, query: dict[str, str]) -> None:
    with pytest.raises(BadRequestError) as caught:
        await scene.media("v0", **query)
    assert caught.value.status == 400


async def test_the_last_part_of_a_segment_may_be_waited_for(scene: Stage) -> None:
    """hls.js asks so without its low-latency mode, and would take a refusal for a reason to change the quality."""
    request = asyncio.ensure_future(scene.media("v0", _HLS_msn="3", _HLS_part="8"))
    await scene.send(more(0.5), watch=False)
    assert not request.done()
    await scene.send(more(1, start=7.5), watch=False)
    assert (await request).last_msn == 3


async def test_blocking_request_gives_up_after_three_target_durations(scene: Stage) -> None:
    request = asyncio.ensure_future(scene.media("v0", _HLS_msn="4"))
    for _ in range(8):
        await settle()
        scene.clock.advance(1)
    await settle()
    with pytest.raises(NotReadyError):
        await request


async def test_while_the_publisher_is_away_players_get_the_same_again(scene: Stage) -> None:
    assert scene.publication is not None
    scene.publication.lose("gone")
    await settle()
    request = asyncio.ensure_future(scene.get(f"{scene.session}/v0/media.m3u8", _HLS_msn="4", _HLS_part="0"))
    for _ in range(8):
        await settle()
        scene.clock.advance(1)
    await settle()
    answer = await request
    assert answer.cache_control == "no-cache"
    assert b"ENDLIST" not in answer.body[0]


async def test_end_wakes_who_waits(scene: Stage) -> None:
    request = asyncio.ensure_future(scene.media("v0", _HLS_msn="4"))
    hint = asyncio.ensure_future(scene.get(f"{scene.session}/v0/4.0.m4s"))
    await settle()
    assert scene.publication is not None
    scene.publication.end("goodbye")
    assert (await request).ended
    with pytest.raises(NotFoundError):
        await hint


async def test_hinted_part_waits_for_its_bytes(scene: Stage) -> None:
    playlist = await scene.media("v0")
    assert playlist.hint is not None
    request = asyncio.ensure_future(scene.get(f"{scene.session}/v0/{playlist.hint}"))
    following = asyncio.ensure_future(scene.get(f"{scene.session}/v0/4.0.m4s"))
    await settle()
    assert not request.done()
    await scene.send(more(1.5), watch=False)
    assert (await request).size > 0
    assert (await following).size > 0


async def test_part_that_its_segment_never_gets(scene: Stage) -> None:
    request = asyncio.ensure_future(scene.get(f"{scene.session}/v0/3.{5}.m4s"))
    late = asyncio.ensure_future(scene.get(f"{scene.session}/v0/3.{6}.m4s"))
    await settle()
    assert scene.publication is not None
    scene.publication.lose("gone")
    await settle()
    for waiting in (request, late):
        with pytest.raises(NotFoundError):
            await waiting


async def test_delta_update_leaves_out_what_the_player_has(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        await scene.publish(*TRACKS)
        await scene.send(interleaved(TRACKS, steady(TRACKS[0], 31), tone(TRACKS[1], 31)), watch=False)
        full = await scene.media("v0")
        for value in ("YES", "v2"):
            delta = await scene.media("v0", _HLS_skip=value)
            assert delta.skipped == len(full.segments) - 6
            assert delta.media_sequence == full.media_sequence
            assert [segment.uri for segment in delta.segments] == [segment.uri for segment in full.segments[-6:]]
            assert all(segment.map is None for segment in delta.segments)


async def test_delta_update_across_a_discontinuity(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        await scene.publish(*TRACKS)
        await scene.send(interleaved(TRACKS, steady(TRACKS[0], 20), tone(TRACKS[1], 20)), watch=False)
        await scene.publish(*TRACKS)
        start = 20.5
        frames = interleaved(TRACKS, steady(TRACKS[0], 5, start=start), tone(TRACKS[1], 5, start=start))
        await scene.send(frames, watch=False)
        delta = await scene.media("v0", _HLS_skip="YES")
        assert [segment.map for segment in delta.segments if segment.map] == ["init-1.mp4"]
        assert sum(segment.discontinuities for segment in delta.segments) == 1


async def test_delta_update_of_a_short_playlist_is_whole(scene: Stage) -> None:
    assert (await scene.media("v0", _HLS_skip="YES")).skipped == 0


async def test_legacy_players_get_plain_playlists(scene: Stage) -> None:
    entry = await scene.multivariant(_HLS_legacy="YES")
    assert entry.variants[0].uri == f"{scene.session}/v0/media.m3u8?_HLS_legacy=YES"
    assert all(found["URI"].endswith("?_HLS_legacy=YES") for found in entry.media)
    playlist = await scene.media("v0", _HLS_legacy="YES")
    assert playlist.part_target is None
    assert playlist.hint is None
    assert playlist.version == 7
    assert len(playlist.segments) == 3


async def test_both_names_of_the_entry_are_the_same(scene: Stage) -> None:
    assert await scene.get("llhls.m3u8") is await scene.get("master.m3u8")


async def collect(resource: Resource) -> list[bytes]:
    assert resource.growing is not None
    return [piece async for piece in resource.growing()]


async def test_segment_grows_while_it_is_read(scene: Stage) -> None:
    resource = await scene.get(f"{scene.session}/v0/3.m4s")
    reading = asyncio.ensure_future(collect(resource))
    early = asyncio.ensure_future(scene.get(f"{scene.session}/v0/4.m4s"))
    await settle()
    assert not reading.done()
    assert not early.done()
    await scene.send(more(1.5), watch=False)
    pieces = await reading
    assert b"".join(pieces) == await scene.content(f"{scene.session}/v0/3.m4s")
    assert len(pieces) == 9
    assert (await early).growing is not None
    # A late reader of the same answer gets the whole segment.
    assert b"".join(await collect(resource)) == b"".join(pieces)


async def test_growing_segment_ends_with_the_stream(scene: Stage) -> None:
    reading = asyncio.ensure_future(collect(await scene.get(f"{scene.session}/v0/3.m4s")))
    await settle()
    assert scene.publication is not None
    scene.publication.end("goodbye")
    await settle()
    assert b"".join(await reading) == await scene.content(f"{scene.session}/v0/3.m4s")


async def test_growing_segment_of_a_stalled_encoder_is_given_up(scene: Stage) -> None:
    reading = asyncio.ensure_future(collect(await scene.get(f"{scene.session}/v0/3.m4s")))
    for _ in range(8):
        await settle()
        scene.clock.advance(1)
    await settle()
    assert len(await reading) >= 3


async def test_stop_wakes_everybody(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        await scene.publish(*TRACKS)
        await scene.send(interleaved(TRACKS, steady(TRACKS[0], 5), tone(TRACKS[1], 5)), watch=False)
        requests = [
            asyncio.ensure_future(scene.get(f"{scene.session}/v0/media.m3u8", _HLS_msn="4")),
            asyncio.ensure_future(scene.get(f"{scene.session}/v0/3.0.m4s")),
        ]
        await settle()
    for request in requests:
        await asyncio.wait([request])
        assert request.done()
        request.exception()


async def test_frames_are_packaged_although_no_event_told_of_the_stream(tmp_path: Path) -> None:
    """A packager that starts after a stream did finds it."""
    from tests.support.clock import FakeClock

    from ghostlive.hub.hub import Hub
    from ghostlive.hub.live import Source
    from ghostlive.packager.config import PackagerConfig
    from ghostlive.packager.service import Packager

    clock = FakeClock()
    hub = Hub(clock=clock)
    publication = hub.publish("cam", Source("test", "192.0.2.1"), lambda reason: None)
    publication.announce(TRACKS)
    packager = Packager(hub, PackagerConfig(), tmp_path, clock)
    await packager.start()
    await settle()
    for frame in interleaved(TRACKS, steady(TRACKS[0], 5), tone(TRACKS[1], 5)):
        publication.write(frame)
    await settle()
    assert (await packager.resource("cam", "master.m3u8", {})).size
    await packager.stop()
