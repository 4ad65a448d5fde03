"""Whole broadcasts through hub and packager; each playlist on the way is checked against the one before."""

import subprocess
from pathlib import Path

import pytest
from tests.support.mp4 import broadcast, samples
from tests.support.packaged import DATA, audio, interleaved, pictures, settle, stage, steady, tone, video

from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track
from ghostlive.packager.config import PackagerConfig
from ghostlive.packager.errors import NotFoundError


def decode_errors(file: Path) -> str:
    """What ffmpeg complains about when it decodes a file."""
    return subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", str(file), "-f", "null", "-"], capture_output=True, text=True, check=False
    ).stderr


def timing(frames: list[Frame], track: str) -> list[tuple[int, int, bytes]]:
    return [(frame.dts, frame.pts, frame.payload) for frame in frames if frame.track == track]


@pytest.mark.parametrize("name", ["bframes", "long_group", "plain"])
async def test_real_broadcast_comes_out_as_it_went_in_and_decodes(tmp_path: Path, name: str) -> None:
    tracks, frames = broadcast((DATA / f"{name}.mp4").read_bytes())
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(frames)
        assert scene.publication is not None
        scene.publication.end("done")
        await settle()
        for track in ("v0", "a0"):
            data = await scene.download(track)
            out = [(sample.dts, sample.pts, sample.payload) for sample in samples(data)[1]]
            sent = timing(frames, track)
            # Sound from before the first picture is not kept; everything else is, to the tick and to the byte.
            assert out == sent[len(sent) - len(out) :]
            assert len(sent) - len(out) <= (0 if track == "v0" else 4)
            file = tmp_path / f"{track}.mp4"
            file.write_bytes(data)
            assert decode_errors(file) == ""
        assert (await scene.media("v0")).ended


async def test_usual_broadcast(tmp_path: Path) -> None:
    """30 pictures a second, a keyframe every two seconds."""
    tracks = (video(), audio(language="en", title="Stage"))
    frames = interleaved(tracks, steady(tracks[0], 12), tone(tracks[1], 12))
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(frames)
        playlist = await scene.media("v0")
        assert playlist.target_duration == 2
        assert playlist.part_target == 0.234
        assert playlist.independent_segments
        assert [segment.duration for segment in playlist.segments] == [2.0] * 5
        assert [len(segment.parts) for segment in playlist.segments[-2:]] == [9, 9]
        assert all(segment.parts[0].independent for segment in playlist.segments if segment.parts)
        sound = await scene.media("a0")
        assert [segment.msn for segment in sound.segments] == [segment.msn for segment in playlist.segments]
        assert all(abs(segment.duration - 2) < 0.03 for segment in sound.segments)
        assert [report["URI"] for report in playlist.reports] == ["../a0/media.m3u8"]
        assert playlist.reports[0]["LAST-MSN"] == "5"
        entry = await scene.multivariant()
        assert entry.independent_segments
        assert [variant.attributes["CODECS"] for variant in entry.variants] == ["avc1.64001f,mp4a.40.2", "mp4a.40.2"]
        assert [variant.attributes["NAME"] for variant in entry.variants] == ["720p30", "Stage"]
        assert entry.variants[0].attributes["RESOLUTION"] == "1280x720"
        assert entry.variants[0].attributes["FRAME-RATE"] == "30.000"
        assert entry.media[0]["LANGUAGE"] == "en"
        assert entry.media[0]["NAME"] == "Stage"
        assert entry.media[0]["CHANNELS"] == "2"
        manifest = await scene.manifest()
        (period,) = manifest.periods
        assert all(1.7 < found.early < 1.8 for found in period.representations)
        assert all(not found.complete for found in period.representations)
        assert len(period.representations[0].times) == 6


@pytest.mark.parametrize(
    ("rate", "part_target"), [(10, 0.2), (15, 0.2), (24, 0.25), (25, 0.24), (29.97, 0.234), (50, 0.24), (60, 0.25)]
)
async def test_part_target_fits_whole_frames(tmp_path: Path, rate: float, part_target: float) -> None:
    tracks = (video(rate=round(rate)), audio())
    frames = interleaved(tracks, steady(tracks[0], 9, rate=rate, group=round(2 * rate)), tone(tracks[1], 9))
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(frames)
        playlist = await scene.media("v0")
        assert playlist.part_target == part_target
        assert len(playlist.segments) >= 3
        # Not only within the limits: all parts but a segment's last are of the same length.
        lengths = {part.duration for segment in playlist.segments for part in segment.parts[:-1]}
        assert max(lengths) - min(lengths) < 0.002


async def test_timestamps_in_milliseconds(tmp_path: Path) -> None:
    """What RTMP carries: 33, 33, 34 milliseconds."""
    tracks = (video(timescale=1000), audio())
    times = [index * 1000 // 30 for index in range(300)]
    frames = interleaved(tracks, pictures(tracks[0], times), tone(tracks[1], 10))
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(frames)
        playlist = await scene.media("v0")
        assert playlist.part_target == 0.234
        assert {len(segment.parts) for segment in playlist.segments if segment.parts} == {9}


async def test_variable_frame_rate_gets_a_part_target_with_room(tmp_path: Path) -> None:
    """A phone in low light: 33 or 66 milliseconds, as it likes."""
    tracks = (video(timescale=1000), audio())
    times, at = [], 0
    for index in range(250):
        times.append(at)
        at += 66 if index % 3 == 0 else 33
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, pictures(tracks[0], times, group=45), tone(tracks[1], at / 1000)))
        playlist = await scene.media("v0")
        assert playlist.part_target == 0.44
        assert len(playlist.segments) >= 4


async def test_hole_in_the_picture_is_covered(tmp_path: Path) -> None:
    """One frame that lasts a second: listed as long as a part may be, in a segment of its true length."""
    track = video()
    frames = [frame for frame in steady(track, 8) if not 90000 * 2.5 < frame.dts < 90000 * 3.5]
    async with stage(tmp_path) as scene:
        await scene.publish(track)
        await scene.send(frames)
        playlist = await scene.media("v0")
        assert [segment.duration for segment in playlist.segments] == [2.0, 2.0, 2.0]
        out = samples(await scene.download("v0"))[1]
        assert [sample.dts for sample in out] == [frame.dts for frame in frames[: len(out)]]
        assert max(sample.duration for sample in out) > 80000


async def test_rare_keyframes_make_long_segments_that_begin_with_them(tmp_path: Path) -> None:
    """OBS Studio's defaults: a keyframe every 250 frames, two B-frames. Browsers stall at other segments."""
    tracks = (video(), audio())
    pictured = pictures(tracks[0], [index * 3000 for index in range(900)], group=250, delay=6000)
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, pictured, tone(tracks[1], 30)))
        playlist = await scene.media("v0")
        assert playlist.target_duration == 9
        assert playlist.independent_segments
        assert [round(segment.duration, 2) for segment in playlist.segments] == [8.33, 8.33, 8.33]
        for found in playlist.segments:
            first = samples(await scene.content(f"{scene.session}/v0/{found.msn}.m4s"))[1][0]
            assert first.dts in {frame.dts for frame in pictured if frame.keyframe}


async def test_keyframes_at_scene_changes_raise_the_target_duration_once(tmp_path: Path) -> None:
    """x264's default: a short group first, long ones later."""
    tracks = (video(), audio())
    pictured = steady(tracks[0], 30, group=1)
    keys = {0, 50, 110, 130, 380, 630, 640}
    for index, frame in enumerate(pictured):
        frame.keyframe = index in keys
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        seconds, seen = 0.0, []
        frames = interleaved(tracks, pictured, tone(tracks[1], 30))
        while frames:
            seconds += 1.0
            count = sum(1 for frame in frames if frame.dts / (90000 if frame.track == "v0" else 48000) < seconds)
            await scene.send(frames[:count])
            frames = frames[count:]
            if seconds >= 3:
                seen.append((await scene.media("v0")).target_duration)
        assert list(dict.fromkeys(seen)) == [2, 12]
        playlist = await scene.media("v0")
        assert playlist.independent_segments
        assert (await scene.media("a0")).target_duration == 12


async def test_a_group_longer_than_any_segment_is_split(tmp_path: Path) -> None:
    tracks = (video(), audio())
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 40, group=900), tone(tracks[1], 40)))
        playlist = await scene.media("v0")
        assert playlist.target_duration == 12
        assert not playlist.independent_segments
        assert not (await scene.multivariant()).independent_segments
        assert all(1 < segment.duration < 12.4 for segment in playlist.segments)


async def test_dash_asks_for_the_same_delay_at_every_moment(tmp_path: Path) -> None:
    """Players keep the delay of the manifest that they began with, so it must not depend on when that was."""
    tracks = (video(), audio())
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        frames = interleaved(tracks, steady(tracks[0], 12), tone(tracks[1], 12))
        seen = set()
        for frame in frames:
            await scene.send([frame], watch=False)
            if frame.track == "v0" and frame.dts / 90000 > 5:
                manifest = await scene.manifest()
                early = [found.early > 1 and not found.complete for found in manifest.periods[0].representations]
                seen.add((manifest.latency_ms, manifest.attributes["suggestedPresentationDelay"], *early))
        assert seen == {(2500, "PT2.5S", True, True)}


async def test_sound_alone(tmp_path: Path) -> None:
    track = audio()
    async with stage(tmp_path) as scene:
        await scene.publish(track)
        await scene.send(tone(track, 9))
        playlist = await scene.media("a0")
        assert all(abs(segment.duration - 2) < 0.025 for segment in playlist.segments)
        entry = await scene.multivariant()
        assert [(variant.uri, variant.attributes["CODECS"]) for variant in entry.variants] == [
            (f"{scene.session}/a0/media.m3u8", "mp4a.40.2")
        ]
        assert entry.media == []
        assert [found.kind for found in (await scene.manifest()).periods[0].representations] == ["audio"]


async def test_picture_alone(tmp_path: Path) -> None:
    track = video()
    async with stage(tmp_path) as scene:
        await scene.publish(track)
        await scene.send(steady(track, 7))
        entry = await scene.multivariant()
        assert [variant.attributes["CODECS"] for variant in entry.variants] == ["avc1.64001f"]
        assert entry.media == []
        assert (await scene.media("v0")).reports == []


async def test_several_tracks(tmp_path: Path) -> None:
    """Two pictures and two languages: variants share the sound, all are cut at the same times."""
    tracks = (video("v0"), video("v1", rate=60, height=360), audio("a0", language="en"), audio("a1", language="de"))
    frames = interleaved(
        tracks, steady(tracks[0], 9), steady(tracks[1], 9, rate=60, group=120), tone(tracks[2], 9), tone(tracks[3], 9)
    )
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(frames)
        entry = await scene.multivariant()
        assert [variant.attributes.get("RESOLUTION") for variant in entry.variants] == ["1280x720", "640x360", None]
        assert [found["DEFAULT"] for found in entry.media] == ["YES", "NO"]
        dates = {
            tuple(
                round(segment.date.timestamp(), 1) for segment in (await scene.media(track.id)).segments if segment.date
            )
            for track in tracks
        }
        assert len(dates) == 1
        assert (await scene.media("v1")).independent_segments
        sets = (await scene.manifest()).periods[0].representations
        assert [found.id for found in sets] == ["v0", "v1", "a0", "a1"]


async def test_codec_that_mp4_cannot_carry_is_left_out(tmp_path: Path) -> None:
    sound = audio()
    picture = Track("v0", Codec.VP8, 90000, b"", "vp8", width=640, height=360)
    async with stage(tmp_path) as scene:
        await scene.publish(picture, sound)
        await scene.send(interleaved((picture, sound), steady(picture, 7), tone(sound, 7)))
        entry = await scene.multivariant()
        assert [variant.attributes["CODECS"] for variant in entry.variants] == ["mp4a.40.2"]


async def test_stream_of_nothing_that_can_be_carried_says_so(tmp_path: Path) -> None:
    picture = Track("v0", Codec.VP8, 90000, b"", "vp8", width=640, height=360)
    async with stage(tmp_path) as scene:
        await scene.publish(picture)
        await scene.send(steady(picture, 3), watch=False)
        with pytest.raises(NotFoundError, match="WebRTC"):
            await scene.multivariant()


async def test_publisher_lost_and_back(tmp_path: Path) -> None:
    """A reconnect goes on with a discontinuity, a new header, and time that shows the gap."""
    tracks = (video(), audio())
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 5.3), tone(tracks[1], 5.3)))
        assert scene.publication is not None
        scene.publication.lose("gone")
        await settle()
        await scene.look()
        interrupted = await scene.media("v0")
        assert interrupted.hint == "3.0.m4s"
        assert not interrupted.ended
        scene.clock.advance(5)
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 6, start=10.3), tone(tracks[1], 6, start=10.3)))
        for track in ("v0", "a0"):
            playlist = await scene.media(track)
            assert [segment.discontinuities for segment in playlist.segments] == [0, 0, 0, 1, 0]
            assert [segment.map for segment in playlist.segments] == ["init-0.mp4", None, None, "init-1.mp4", None]
            assert [segment.msn for segment in playlist.segments] == [0, 1, 2, 3, 4]
            dates = [segment.date.timestamp() for segment in playlist.segments if segment.date]
            assert round(dates[3] - dates[0], 1) == 10.3
        manifest = await scene.manifest()
        assert [round(period.start, 2) for period in manifest.periods] == [0, 10.3]


@pytest.mark.parametrize(("codec", "gap"), [(Codec.AAC, False), (Codec.FLAC, True)])
async def test_a_broadcast_that_breaks_off_between_picture_and_sound_promises_nothing_that_is_not_there(
    tmp_path: Path, codec: Codec, gap: bool
) -> None:
    """The keyframe that begins a segment was the last thing that came: there is no sound in that segment."""
    tracks = (video(), audio(codec=codec))
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 4.02), tone(tracks[1], 3.98)))
        assert scene.publication is not None
        scene.publication.lose("gone")
        await settle()
        assert [segment.gap for segment in (await scene.media("a0")).segments] == [False, False, gap]
        await scene.everything(await scene.manifest())
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 5, start=9), tone(tracks[1], 5, start=9)))
        manifest = await scene.manifest()
        assert len(manifest.periods) == 2
        await scene.everything(manifest)


async def test_resolution_changes_in_mid_stream(tmp_path: Path) -> None:
    tracks = (video(), audio())
    smaller = (video(height=360), audio())
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 4), tone(tracks[1], 4)))
        await scene.publish(*smaller)
        await scene.send(interleaved(smaller, steady(smaller[0], 6, start=4), tone(smaller[1], 6, start=4)))
        playlist = await scene.media("v0")
        assert [segment.discontinuities for segment in playlist.segments] == [0, 0, 1, 0]
        assert (await scene.multivariant()).variants[0].attributes["RESOLUTION"] == "640x360"


async def test_a_period_is_listed_with_all_its_tracks(tmp_path: Path) -> None:
    """dash.js never plays a set that comes later than its Period."""
    tracks = (video(), audio())
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 4.1), tone(tracks[1], 4.1)))
        assert scene.publication is not None
        scene.publication.lose("gone")
        await scene.publish(*tracks)
        # The first picture after the second keyframe completes the picture's segment; the sound's needs a little more.
        for frame in interleaved(tracks, steady(tracks[0], 3, start=5), tone(tracks[1], 3, start=5.02)):
            await scene.send([frame], watch=False)
            manifest = await scene.manifest()
            if len(manifest.periods) > 1:
                break
        assert [len(period.representations) for period in manifest.periods] == [2, 2]


@pytest.mark.parametrize(("codec", "tracks_then"), [(Codec.AAC, 2), (Codec.FLAC, 1)])
async def test_a_silent_track_keeps_no_period_back(tmp_path: Path, codec: Codec, tracks_then: int) -> None:
    tracks = (video(), audio(codec=codec))
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 4.1), tone(tracks[1], 4.1)))
        assert scene.publication is not None
        scene.publication.lose("gone")
        await scene.publish(*tracks)
        await scene.send(steady(tracks[0], 5, start=5))
        assert [len(period.representations) for period in (await scene.manifest()).periods] == [2, tracks_then]


async def test_track_goes_and_another_comes(tmp_path: Path) -> None:
    tracks = (video(), audio("a0"))
    others = (video(), audio("a1"))
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 4.5), tone(tracks[1], 4.5)))
        await scene.publish(*others)
        await scene.send(interleaved(others, steady(others[0], 6, start=4.5), tone(others[1], 6, start=4.5)))
        assert (await scene.media("a0")).ended
        new = await scene.media("a1")
        assert new.media_sequence == 3
        assert new.discontinuity_sequence == 1
        assert [entry["URI"] for entry in (await scene.multivariant()).media] == [f"{scene.session}/a1/media.m3u8"]


async def test_end_closes_the_playlists_and_keeps_them_a_while(tmp_path: Path) -> None:
    tracks = (video(), audio())
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 5), tone(tracks[1], 5)))
        assert scene.publication is not None
        scene.publication.end("goodbye")
        await settle()
        playlist = await scene.media("v0")
        assert playlist.ended
        assert sum(segment.duration for segment in playlist.segments) == pytest.approx(5)
        manifest = await scene.manifest()
        assert not manifest.dynamic
        scene.clock.advance(61)
        with pytest.raises(NotFoundError):
            await scene.get("master.m3u8")
        with pytest.raises(NotFoundError):
            await scene.get(f"{scene.session}/v0/0.m4s")
        assert scene.packager._ready == {}


async def test_same_name_again_is_another_session(tmp_path: Path) -> None:
    track = video()
    async with stage(tmp_path) as scene:
        await scene.publish(track)
        await scene.send(steady(track, 4.5))
        first = scene.session
        assert scene.publication is not None
        scene.publication.end("goodbye")
        await settle()
        scene.playlists.clear()
        await scene.publish(track)
        await scene.send(steady(track, 4.5))
        assert scene.session != first
        assert (await scene.multivariant()).variants[0].uri.startswith(scene.session)
        assert b"".join((await scene.get(f"{first}/v0/media.m3u8")).body).endswith(b"#EXT-X-ENDLIST\n")


async def test_silent_track_without_known_silence_has_gaps_and_the_others_go_on(tmp_path: Path) -> None:
    tracks = (video(), audio(codec=Codec.FLAC))
    sound = [frame for frame in tone(tracks[1], 16) if not 3.1 < frame.dts / 48000 < 10.2]
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(tracks[0], 16), sound))
        playlist = await scene.media("a0")
        assert [segment.gap for segment in playlist.segments] == [False, False, True, True, True, False, False]
        assert playlist.last_msn == (await scene.media("v0")).last_msn
        found = await scene.everything(await scene.manifest())
        played = [sample for path, data in found.items() if "/a0/" in path for sample in samples(data).get(1, [])]
        assert [sample.dts for sample in played] == [frame.dts for frame in sound][: len(played)]
        assert played[-1].dts > 10.2 * 48000


async def test_picture_that_stops_does_not_stop_the_sound(tmp_path: Path) -> None:
    tracks = (video(), audio())
    for away, back in ((3.1, 13.9), (4.0, 8.0), (5.9, 10.0)):
        seen = [frame for frame in steady(tracks[0], 20) if not away <= frame.dts / 90000 < back]
        async with stage(tmp_path) as scene:
            await scene.publish(*tracks)
            await scene.send(interleaved(tracks, seen, tone(tracks[1], 20)))
            sound = await scene.media("a0")
            assert not any(segment.gap for segment in sound.segments)
            playlist = await scene.media("v0")
            assert any(segment.gap for segment in playlist.segments)
            assert playlist.last_msn == sound.last_msn
            assert playlist.target_duration == 2, "it goes on at the usual pace"


async def test_slow_packager_goes_on_with_a_discontinuity(tmp_path: Path) -> None:
    """Frames that the hub had to drop: `Skipped`, and the next group."""
    from ghostlive.hub.config import HubConfig

    tracks = (video(), audio())
    first = interleaved(tracks, steady(tracks[0], 5), tone(tracks[1], 5))
    burst = interleaved(tracks, steady(tracks[0], 8, start=5, group=60), tone(tracks[1], 8, start=5))
    rest = interleaved(tracks, steady(tracks[0], 5, start=13), tone(tracks[1], 5, start=13))
    async with stage(tmp_path, hub_config=HubConfig(reader_frames=200)) as scene:
        await scene.publish(*tracks)
        await scene.send(first)
        assert scene.publication is not None
        for frame in burst:
            scene.publication.write(frame)
        await settle()
        await scene.send(rest)
        playlist = await scene.media("v0")
        assert sum(segment.discontinuities for segment in playlist.segments) >= 1


async def test_window_slides_and_the_disk_has_what_memory_has_not(tmp_path: Path) -> None:
    tracks = (video(), audio())
    async with stage(tmp_path, PackagerConfig(dvr=30)) as scene:
        await scene.publish(*tracks)
        for minute in range(8):
            start = minute * 20
            frames = interleaved(tracks, steady(tracks[0], 20, start=start), tone(tracks[1], 20, start=start))
            await scene.send(frames, watch=minute < 2)
            import asyncio

            assert scene.packager._store is not None
            await asyncio.to_thread(scene.packager._store.flush)
            await settle()
        playlist = await scene.media("v0")
        assert len(playlist.segments) in (15, 16)
        assert playlist.media_sequence > 50
        assert len(samples(await scene.download("v0"))[1]) == 60 * len(playlist.segments)
        old = await scene.get(f"{scene.session}/v0/{playlist.segments[0].uri}")
        assert old.file is not None
        with pytest.raises(NotFoundError):
            await scene.get(f"{scene.session}/v0/3.m4s")
        kept = list((tmp_path / "dvr").rglob("*.m4s"))
        assert len(kept) <= 2 * 36
        stream = scene.packager._streams[scene.session]
        assert stream.memory < 75_000  # 14 seconds
    assert not (tmp_path / "dvr").exists()


async def test_disk_that_cannot_be_written_costs_only_the_window(tmp_path: Path) -> None:
    (tmp_path / "dvr").write_text("in the way")
    tracks = (video(), audio())
    async with stage(tmp_path, PackagerConfig(memory_bytes=60_000)) as scene:
        # What is in the way was removed at the start; put something there that stays.
        import shutil

        shutil.rmtree(tmp_path / "dvr", ignore_errors=True)
        (tmp_path / "dvr").write_text("in the way")
        await scene.publish(*tracks)
        for minute in range(4):
            start = minute * 20
            frames = interleaved(tracks, steady(tracks[0], 20, start=start), tone(tracks[1], 20, start=start))
            await scene.send(frames)
        stream = scene.packager._streams[scene.session]
        assert stream.memory <= 70_000  # the segment being made comes on top
        playlist = await scene.media("v0")
        assert 3 <= len(playlist.segments) < 20
        assert playlist.media_sequence == (await scene.media("a0")).media_sequence
        assert len(samples(await scene.download("v0"))[1]) == 60 * len(playlist.segments)


async def test_memory_storage_keeps_the_window_without_a_disk(tmp_path: Path) -> None:
    track = video()
    async with stage(tmp_path, PackagerConfig(dvr=20, dvr_storage="memory")) as scene:
        await scene.publish(track)
        await scene.send(steady(track, 60))
        assert len((await scene.media("v0")).segments) == 10
        assert len(samples(await scene.download("v0"))[1]) == 600
        assert not (tmp_path / "dvr").exists()


async def test_left_overs_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    old = tmp_path / "dvr" / "0123456789" / "v0"
    old.mkdir(parents=True)
    (old / "7.m4s").write_bytes(b"old")
    async with stage(tmp_path):
        assert not old.exists()
