"""Renditions that are made on demand: listed from the start, begun by a request, ended when nobody asks."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.hls import parse_media
from tests.support.mp4 import samples
from tests.support.packaged import (
    AVC,
    Maker,
    audio,
    interleaved,
    settle,
    stage,
    steady,
    tone,
    video,
)

from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track
from ghostlive.hub.derived import Offer
from ghostlive.packager.config import PackagerConfig
from ghostlive.packager.errors import GoneError, NotFoundError, NotReadyError

SOURCE = (video(rate=60, height=1080), audio())
SMALL = replace(video("v0-720p30"), title="720p30", config=b"")
SMALLER = replace(video("v0-480p30", height=480), title="480p30", config=b"", codec_string="avc1.4d401f")
OPUS = Track("a0-opus", Codec.OPUS, 48000, b"", "opus", sample_rate=48000, channels=2, title="Opus")
OFFERS = (Offer(SMALL, 2_500_000), Offer(SMALLER, 1_000_000), Offer(OPUS, 128_000))


def source(seconds: float, start: float = 0.0, tracks: Sequence[Track] = SOURCE) -> list[Frame]:
    return interleaved(
        tracks, steady(tracks[0], seconds, start=start, rate=60, group=120), tone(tracks[1], seconds, start=start)
    )


def made(seconds: float = 60, start: float = 0.0) -> dict[str, list[Frame]]:
    """What a worker would make of `source`."""
    return {
        SMALL.id: steady(SMALL, seconds, start=start),
        SMALLER.id: steady(SMALLER, seconds, start=start),
        OPUS.id: steady(OPUS, seconds, start=start, rate=50, group=1),
    }


async def test_every_offer_is_listed_from_the_start_and_none_is_made(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(9))
        entry = await scene.multivariant()
        about = [(found.attributes["NAME"], found.attributes.get("RESOLUTION")) for found in entry.variants]
        assert about == [
            ("1080p60", "1920x1080"), ("720p30", "1280x720"), ("480p30", "853x480"), ("Audio only", None),
        ]  # fmt: skip
        assert [found.attributes["CODECS"] for found in entry.variants][2:] == ["avc1.4d401f,mp4a.40.2", "mp4a.40.2"]
        assert 2_500_000 < int(entry.variants[1].attributes["BANDWIDTH"]) < 2_600_000
        assert entry.variants[1].attributes["FRAME-RATE"] == "30.000"
        assert [found["URI"] for found in entry.media] == [f"{scene.session}/a0/media.m3u8"]
        (period,) = (await scene.manifest()).periods
        assert [found.id for found in period.representations] == ["v0", SMALL.id, SMALLER.id, "a0", OPUS.id]
        assert "../v0-720p30" not in await scene.text(f"{scene.session}/v0/media.m3u8")
        assert maker.asked == []


async def test_the_sound_alone(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        text = await scene.text("audio.m3u8")
        assert text.count("#EXT-X-STREAM-INF") == 1
        assert f"\n{scene.session}/a0/media.m3u8\n" in text
        await scene.publish(SOURCE[0])
        await scene.send(steady(SOURCE[0], 5, start=5, rate=60, group=120), watch=False)
        maker.offers = []
        await scene.publish(SOURCE[0])
        await scene.send(steady(SOURCE[0], 5, start=11, rate=60, group=120), watch=False)
        with pytest.raises(NotFoundError, match="no sound"):
            await scene.text("audio.m3u8")


async def test_the_first_request_starts_it_and_waits(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    maker.replay = 2.0
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        whole = source(14)
        cut = next(index for index, frame in enumerate(whole) if frame.track == "v0" and frame.dts / 90000 > 7.3)
        await scene.send(whole[:cut])
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await settle()
        assert not request.done()
        await scene.send(whole[cut : cut + 3], watch=False)
        first = await request
        # The last whole group, and what there is of the next one.
        assert [segment.msn for segment in first.segments] == [2]
        assert first.current is not None
        assert first.current.msn == 3
        await scene.send(whole[cut + 3 :])
        playlist, leading = await scene.media(SMALL.id), await scene.media("v0")
        theirs = {segment.msn: segment for segment in leading.segments}
        assert len(playlist.segments) >= 4
        for segment in playlist.segments:
            assert segment.date == theirs[segment.msn].date
            assert segment.duration == theirs[segment.msn].duration
        assert playlist.discontinuity_sequence == leading.discontinuity_sequence
        assert playlist.target_duration == leading.target_duration
        out = samples(await scene.download(SMALL.id))[1]
        assert [sample.payload for sample in out] == [frame.payload for frame in made()[SMALL.id][120 : 120 + len(out)]]
        assert maker.asked == [("demand", SMALL.id)]
        entry = await scene.multivariant()
        assert [found.attributes["NAME"] for found in entry.variants] == ["1080p60", "720p30", "480p30", "Audio only"]


async def test_a_refusal_says_why(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    maker.refusal = "720p30 is not offered: this machine has no power left"
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        for file in ("media.m3u8", "init-0.mp4", "2.m4s", "2.0.m4s"):
            with pytest.raises(NotReadyError, match="no power left") as caught:
                await scene.get(f"{scene.session}/{SMALL.id}/{file}")
            assert caught.value.retry_after
        maker.refusal = ""
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(4, start=5), watch=False)
        assert (await request).segments


@pytest.mark.parametrize("lane", ["slow", "fast"])
async def test_it_ends_when_nobody_asks(tmp_path: Path, lane: str) -> None:
    maker = Maker(made(90), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        whole = source(60)

        async def send(until: float) -> None:
            await scene.send(
                [
                    frame
                    for frame in whole
                    if until - 1 <= frame.dts / (90000 if frame.track == "v0" else 48000) < until
                ],
                watch=False,
            )

        for second in range(1, 6):
            await send(second)
        request = asyncio.ensure_future(scene.media(SMALL.id))
        for second in range(6, 9):
            await send(second)
        await request
        path = f"/app/cam/{scene.session}/{SMALL.id}/media.m3u8"
        for second in range(9, 35):
            await send(second)
            if lane == "slow":
                await scene.media(SMALL.id)
            else:
                newest = scene.packager._streams[scene.session].renditions[SMALL.id].segments[-1].msn
                assert scene.packager.ready(path.replace("media.m3u8", f"{newest}.m4s")) is not None
        assert maker.asked == [("demand", SMALL.id)]
        for second in range(35, 50):
            await send(second)
        assert maker.asked == [("demand", SMALL.id), ("rest", SMALL.id)]


async def test_what_rested_begins_anew_with_the_numbers_of_the_source(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(5, start=5), watch=False)
        first = await request
        old = f"{scene.session}/{SMALL.id}/{first.segments[0].uri}"
        maker.stop(SMALL.id, "nobody watches it")
        maker._wanted.clear()
        await settle()
        # Segments stay a while for those that are behind; a playlist that is not live is not served.
        assert await scene.content(old)
        again = asyncio.ensure_future(scene.media(SMALL.id))
        await settle()
        assert not again.done()
        scene.playlists.clear()
        await scene.send(source(6, start=10), watch=False)
        playlist, leading = await again, await scene.media("v0")
        assert playlist.segments[0].msn > first.segments[-1].msn
        theirs = {segment.msn: segment.date for segment in leading.segments}
        assert all(segment.date == theirs[segment.msn] for segment in playlist.segments)
        assert maker.demanded == [SMALL.id, SMALL.id]


async def test_who_waits_for_a_run_that_fails_is_told_why(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        maker.held.add(SMALL.id)
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(1, start=5), watch=False)
        assert maker.running == {SMALL.id}
        maker.refusal = "720p30 failed three times in a row"
        maker.stop(SMALL.id, "its worker crashed")
        await settle()
        with pytest.raises(NotReadyError, match="three times"):
            await request


async def test_who_watches_a_run_that_fails_gets_the_next_one(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(5, start=5), watch=False)
        await request
        playlist = await scene.media(SMALL.id)
        blocked = asyncio.ensure_future(scene.media(SMALL.id, _HLS_msn=str(playlist.last_msn + 1)))
        await settle()
        maker.stop(SMALL.id, "its worker crashed")
        scene.playlists.clear()
        await scene.send(source(6, start=10), watch=False)
        assert (await blocked).last_msn > playlist.last_msn


async def test_an_offer_that_is_withdrawn_is_gone_and_may_come_back(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(5, start=5), watch=False)
        await request
        playlist = await scene.media(SMALL.id)
        blocked = asyncio.ensure_future(scene.media(SMALL.id, _HLS_msn=str(playlist.last_msn + 1)))
        await settle()
        maker.offers = list(OFFERS[1:])
        assert maker.live is not None
        maker.live.reoffer()
        await settle()
        for _ in range(2):
            with pytest.raises(GoneError, match="another quality") as caught:
                await blocked
            assert caught.value.status == 410
            blocked = asyncio.ensure_future(scene.media(SMALL.id))
        assert [found.attributes["NAME"] for found in (await scene.multivariant()).variants] == [
            "1080p60", "480p30", "Audio only",
        ]  # fmt: skip
        assert maker.asked[-1] == ("rest", SMALL.id)
        maker.offers = list(OFFERS)
        maker.live.reoffer()
        await settle()
        scene.playlists.clear()
        again = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(6, start=10), watch=False)
        assert (await again).segments


async def test_a_picture_that_cannot_be_carried_still_decides_where_all_are_cut(tmp_path: Path) -> None:
    """VP8 and Opus, as a browser sends them: what is made of them is listed, and the first of each is begun."""
    picture = replace(video(), codec=Codec.VP8, codec_string="vp8", config=b"")
    sound = replace(OPUS, id="a0", config=b"OpusHead\x01\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00")
    aac = replace(audio("a0-aac"), config=b"", title="AAC")
    groups = [index * 6000 for index in range(600)]
    frames = [Frame("v0", time, time, index % 50 == 0, b"vp8") for index, time in enumerate(groups)]
    small = [Frame(SMALL.id, time, time, index % 50 == 0, b"avc") for index, time in enumerate(groups)]
    maker = Maker({SMALL.id: small, aac.id: tone(aac, 40)}, Offer(SMALL, 2_000_000), Offer(aac, 128_000))
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(picture, sound)
        talk = steady(sound, 40, rate=50, group=1)
        whole = interleaved((picture, sound), frames, talk)
        await scene.send(whole[:500], watch=False)
        assert maker.asked == []
        entry = await scene.multivariant()
        assert [found.attributes["CODECS"] for found in entry.variants] == ["avc1.64001f,mp4a.40.2", "mp4a.40.2"]
        assert [found["URI"] for found in entry.media] == [f"{scene.session}/a0-aac/media.m3u8"]
        assert maker.demanded == [SMALL.id]
        requests = [asyncio.ensure_future(scene.media(track)) for track in (SMALL.id, aac.id)]
        await scene.send(whole[500:1200])
        await asyncio.gather(*requests)
        playlist = await scene.media(SMALL.id)
        assert {round(segment.duration, 3) for segment in playlist.segments} == {3.333}
        assert playlist.independent_segments
        assert {segment.msn for segment in playlist.segments} <= {
            segment.msn for segment in (await scene.media("a0")).segments
        }
        with pytest.raises(NotFoundError):
            await scene.media("v0")
        manifest = await scene.manifest()
        assert [found.id for found in manifest.periods[0].representations] == [SMALL.id, "a0", "a0-aac"]


async def test_sound_that_cannot_be_carried_is_made_for_everybody(tmp_path: Path) -> None:
    """G.711 from a camera."""
    voice = Track("a0", Codec.PCMU, 8000, b"\1", "pcmu", sample_rate=8000, channels=1)
    aac = replace(audio("a0-aac"), config=b"", title="AAC")
    maker = Maker({aac.id: tone(aac, 40)}, Offer(aac, 64_000))
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(SOURCE[0], voice)
        talk = steady(voice, 20, rate=50, group=1)
        whole = interleaved((SOURCE[0], voice), steady(SOURCE[0], 20, rate=60, group=120), talk)
        await scene.send(whole[:600], watch=False)
        entry = await scene.multivariant()
        assert entry.variants[0].attributes["CODECS"] == "avc1.64001f,mp4a.40.2"
        assert maker.demanded == [aac.id]
        request = asyncio.ensure_future(scene.media(aac.id))
        await scene.send(whole[600:], watch=False)
        assert [segment.gap for segment in (await request).segments].count(True) == 0


async def test_sound_alone_that_cannot_be_carried(tmp_path: Path) -> None:
    voice = Track("a0", Codec.PCMU, 8000, b"\1", "pcmu", sample_rate=8000, channels=1)
    aac = replace(audio("a0-aac"), config=b"", title="AAC")
    maker = Maker({aac.id: tone(aac, 40)}, Offer(aac, 64_000))
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(voice)
        talk = steady(voice, 20, rate=50, group=1)
        await scene.send(talk[:300], watch=False)
        entry = await scene.multivariant()
        assert [found.uri for found in entry.variants] == [f"{scene.session}/a0-aac/media.m3u8"]
        request = asyncio.ensure_future(scene.media(aac.id))
        await scene.send(talk[300:], watch=False)
        assert (await request).segments
        assert [found.id for found in (await scene.manifest()).periods[0].representations] == ["a0-aac"]


async def test_dash_asks_for_the_segment_that_a_start_can_deliver(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    maker.replay = 2.0
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        whole = source(16)
        cut = next(index for index, frame in enumerate(whole) if frame.track == "v0" and frame.dts / 90000 > 8.5)
        await scene.send(whole[:cut])
        (period,) = (await scene.manifest()).periods
        found = {listed.id: listed for listed in period.representations}
        small, leading = found[SMALL.id], found["v0"]
        last = leading.start_number + len(leading.times) - 1
        assert [small.start_number + index for index in range(len(small.times))] == [last - 1, last]
        assert small.times == leading.times[-2:]
        assert small.early > 1
        requests = [asyncio.ensure_future(scene.get(path)) for path in (small.init_url, small.url(0), small.url(1))]
        await settle()
        assert maker.demanded == [SMALL.id]
        assert not any(request.done() for request in requests)
        await scene.send(whole[cut : cut + 30], watch=False)
        header, complete, growing = await asyncio.gather(*requests)
        assert complete.size
        assert growing.growing is not None
        pieces = growing.growing()
        first = await anext(pieces)
        assert samples(header.body[0] + first)[1][0].pts == small.times[1][0]
        await scene.send(whole[cut + 30 :])
        rest = b"".join([piece async for piece in pieces])
        assert samples(header.body[0] + first + rest)[1][-1].pts == sum(small.times[1]) - 3000
        (period,) = (await scene.manifest()).periods
        running = next(listed for listed in period.representations if listed.id == SMALL.id)
        assert running.start_number == small.start_number
        assert len(running.times) >= 5
        with pytest.raises(NotFoundError):
            await scene.get(f"{scene.session}/{SMALL.id}/0.m4s")


async def test_dash_lists_a_lagging_rendition_with_its_own_end(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    maker.lag = 1.5
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(6))
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(10, start=6), watch=False)
        await request
        known: dict[int, tuple[int, int]] = {}
        for frame in source(4, start=16):
            await scene.send([frame], watch=False)
            (period,) = (await scene.manifest()).periods
            for listed in period.representations:
                if listed.id == SMALL.id:
                    for index, times in enumerate(listed.times):
                        assert known.setdefault(listed.start_number + index, times) == times
        assert len(known) > 4


async def test_a_reconnect_goes_on_for_who_watches(tmp_path: Path) -> None:
    frames = made(20)
    later = made(30, start=25.0)
    maker = Maker({track: frames[track] + later[track] for track in frames}, *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(5.3, start=5))
        await request
        assert scene.publication is not None
        scene.publication.lose("gone")
        await settle()
        interrupted = await scene.media(SMALL.id)
        assert not interrupted.ended
        scene.clock.advance(3)
        await settle()
        await scene.media(SMALL.id)
        await scene.publish(*SOURCE)
        blocked = asyncio.ensure_future(scene.media(SMALL.id, _HLS_msn=str(interrupted.last_msn + 1)))
        await scene.send(source(7, start=25.0))
        assert (await blocked).last_msn >= interrupted.last_msn + 1
        playlist, leading = await scene.media(SMALL.id), await scene.media("v0")
        assert playlist.segments[0].msn == interrupted.segments[0].msn
        assert [found.discontinuities for found in playlist.segments].count(1) == 1
        dates = {segment.msn: segment.date for segment in leading.segments}
        assert all(segment.date == dates[segment.msn] for segment in playlist.segments)
        maps = [segment.map for segment in playlist.segments if segment.map]
        assert maps == ["init-0.mp4", "init-1.mp4"]
        manifest = await scene.manifest()
        assert [SMALL.id in [found.id for found in period.representations] for period in manifest.periods] == [
            True, True,
        ]  # fmt: skip


async def test_a_slow_reader_begins_derived_tracks_anew_too(tmp_path: Path) -> None:
    from ghostlive.hub.subscription import Skipped

    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(5, start=5))
        await request
        scene.packager._streams[scene.session].feed([Skipped(3, 300)])
        await scene.send(source(8, start=10))
        playlist, leading = await scene.media(SMALL.id), await scene.media("v0")
        assert [found.discontinuities for found in playlist.segments].count(1) == 1
        assert playlist.last_msn == leading.last_msn


async def test_another_run_with_another_configuration(tmp_path: Path) -> None:
    """HLS says that the header changed. DASH players keep theirs, so the parameter sets come in band too."""
    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(5, start=5), watch=False)
        await request
        header = await scene.content(f"{scene.session}/{SMALL.id}/init-0.mp4")
        other = AVC[:-2] + b"\xec\x00"
        maker.configs[SMALL.id] = other
        maker.stop(SMALL.id, "its encoder failed")
        scene.playlists.clear()
        await scene.send(source(6, start=10), watch=False)
        playlist = await scene.media(SMALL.id)
        assert playlist.segments[0].map == "init-0.1.mp4"
        assert other in await scene.content(f"{scene.session}/{SMALL.id}/init-0.1.mp4")
        assert await scene.content(f"{scene.session}/{SMALL.id}/init-0.mp4") == header
        data = await scene.content(f"{scene.session}/{SMALL.id}/{playlist.segments[0].uri}")
        first = samples(header + data)[1][0].payload
        assert first.startswith(b"\0\0\0\4\x67\x64\0\0\0\0\0\3\x68\xec\0")
        listed = next(found for found in (await scene.manifest()).periods[0].representations if found.id == SMALL.id)
        assert listed.init_url.endswith("init-0.mp4")


async def test_the_end_closes_what_runs_and_lists_nothing_else(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        request = asyncio.ensure_future(scene.media(SMALL.id))
        await scene.send(source(5, start=5))
        await request
        waiting = asyncio.ensure_future(scene.media(SMALLER.id))
        await settle()
        maker._wanted.clear()
        assert scene.publication is not None
        scene.publication.end("goodbye")
        await settle()
        with pytest.raises(NotFoundError, match="ended"):
            await waiting
        assert (await scene.media(SMALL.id)).ended
        assert [found.attributes["NAME"] for found in (await scene.multivariant()).variants] == [
            "1080p60", "720p30", "Audio only",
        ]  # fmt: skip
        manifest = await scene.manifest()
        assert not manifest.dynamic
        with pytest.raises(NotFoundError):
            await scene.get(f"{scene.session}/{SMALLER.id}/init-0.mp4")
        assert {what for what, _ in maker.asked} == {"demand", "rest"}
        scene.clock.advance(61)
        assert scene.packager._ready == {}


async def test_sixty_renditions_stay_within_the_limits(tmp_path: Path) -> None:
    tracks = [replace(SMALL, id=f"v0-r{index}", title=f"r{index}") for index in range(60)]
    frames = {
        track.id: [Frame(track.id, frame.dts, frame.pts, frame.keyframe, bytes(4000)) for frame in made(30)[SMALL.id]]
        for track in tracks[:1]
    }
    for track in tracks[1:]:
        frames[track.id] = [
            Frame(track.id, frame.dts, frame.pts, frame.keyframe, frame.payload) for frame in frames[tracks[0].id]
        ]
    maker = Maker(frames, *(Offer(track, 1_000_000) for track in tracks))
    config = PackagerConfig(memory_bytes=60_000_000, dvr=20)
    async with stage(tmp_path, config, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5), watch=False)
        requests = [asyncio.ensure_future(scene.media(track.id)) for track in tracks]
        held = []
        for second in range(5, 30):
            await scene.send(source(1, start=second), watch=False)
            held.append(scene.packager._streams[scene.session].memory)
            for track in tracks:
                scene.packager.ready(f"/app/cam/{scene.session}/{track.id}/init-0.mp4")
        await asyncio.gather(*requests)
        assert max(held) < 100_000_000
        entry = await scene.multivariant()
        assert len(entry.variants) == 62
        playlists = [parse_media(await scene.text(f"{scene.session}/{track.id}/media.m3u8")) for track in tracks]
        assert {playlist.last_msn for playlist in playlists} == {playlists[0].last_msn}
        assert len(maker.demanded) == 60


async def test_nothing_of_the_past_starts_a_rendition(tmp_path: Path) -> None:
    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(12))
        for file in ("0.m4s", "1.0.m4s", "99.m4s", "init-7.mp4", "x.m4s"):
            with pytest.raises(NotFoundError):
                await scene.get(f"{scene.session}/{SMALL.id}/{file}")
        assert maker.asked == []


async def test_a_second_lives_off_the_first(tmp_path: Path) -> None:
    """Two that run know of each other, so that players can switch without asking twice."""
    maker = Maker(made(), *OFFERS)
    async with stage(tmp_path, maker=maker) as scene:
        await scene.publish(*SOURCE)
        await scene.send(source(5))
        requests = [asyncio.ensure_future(scene.media(track.id)) for track in (SMALL, SMALLER)]
        await scene.send(source(6, start=5))
        await asyncio.gather(*requests)
        assert {report["URI"] for report in (await scene.media("v0")).reports} == {
            "../a0/media.m3u8", f"../{SMALL.id}/media.m3u8", f"../{SMALLER.id}/media.m3u8",
        }  # fmt: skip


async def test_what_is_for_real_time_is_neither_listed_nor_asked_for(tmp_path: Path) -> None:
    picture = video()
    whole = video("v0-720p30-realtime")
    maker = Maker({whole.id: steady(whole, 8)}, Offer(replace(whole, config=b""), 3_000_000, realtime=True))
    async with stage(tmp_path, maker=maker) as found:
        await found.publish(picture, audio())
        live = found.hub.get("cam")
        assert live is not None
        lease = live.lease(whole.id)  # somebody watches by WebRTC
        await found.send(interleaved((picture, audio()), steady(picture, 8), tone(audio(), 8)))
        assert whole.id in maker.running
        lists = await found.text("master.m3u8"), await found.text("manifest.mpd")
        assert not any(whole.id in text for text in lists)
        with pytest.raises(NotFoundError):
            await found.media(whole.id)
        lease.close()
