"""Sound that stays away is silent for those who watch by LL-HLS and DASH; the picture goes on."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.mp4 import Sample, samples
from tests.support.packaged import Stage, audio, interleaved, settle, stage, steady, video

from ghostlive.codecs import aac, opus
from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track
from ghostlive.formats.fmp4 import init_segment, media_fragment

PICTURE, AAC = video(), audio()
OPUS = replace(audio(codec=Codec.OPUS), config=opus.OpusHead(2).to_bytes(), codec_string="opus")
LONGEST = 1.2
"""Seconds that the sound may be behind the picture at any moment: half a second, and a part under way."""


def spoken(track: Track, seconds: float, *, start: float = 0.0) -> list[Frame]:
    """Packets that are not silent, as long as the codec makes them."""
    length = 1024 if track.codec is Codec.AAC else 960
    return steady(track, seconds, start=start, rate=track.timescale / length, group=1)


def heard(found: Sequence[Sample], frames: Sequence[Frame]) -> list[int]:
    """When sound that was sent is heard. Everything else is silence."""
    sent = {frame.dts: frame.payload for frame in frames}
    silent = (aac.silent_frame(aac.AudioSpecificConfig.parse(AAC.config)), opus.silent_packet(opus.OpusHead(2)))
    for sample in found:
        assert sample.payload in silent or sent[sample.dts] == sample.payload
    return [sample.dts for sample in found if sample.payload not in silent]


def without_holes(found: Sequence[Sample], length: int) -> bool:
    """Whether there is sound or silence all the time, a packet each `length`, but for the one before a return."""
    steps = [after.dts - before.dts for before, after in pairwise(found)]
    return all(length / 2 <= step < 1.5 * length for step in steps)


async def behind(scene: Stage, frames: Sequence[Frame], sound: str) -> float:
    """Send frames; the most that what is listed of the sound was behind the picture, in seconds."""
    most = 0.0
    for index in range(0, len(frames), 4):
        await scene.send(frames[index : index + 4], watch=False)
        await settle()
        renditions = scene.packager._streams[scene.session].renditions
        if all(track in renditions and renditions[track].playable for track in ("v0", sound)):
            ends = []
            for track in ("v0", sound):
                playlist = await scene.media(track)
                parts = playlist.current.parts if playlist.current is not None else []
                ends.append(sum(found.duration for found in playlist.segments) + sum(part.duration for part in parts))
            most = max(most, ends[0] - ends[1])
    return most


@pytest.mark.parametrize("track", [AAC, OPUS], ids=["aac", "opus"])
async def test_the_picture_does_not_wait_for_sound_that_is_away(tmp_path: Path, track: Track) -> None:
    tracks = (PICTURE, track)
    sound = [frame for frame in spoken(track, 16) if not 3.1 < frame.dts / 48000 < 10.2]
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        assert await behind(scene, interleaved(tracks, steady(PICTURE, 16), sound), "a0") < LONGEST
        playlist = await scene.media("a0")
        assert not any(segment.gap for segment in playlist.segments)
        assert playlist.last_msn == (await scene.media("v0")).last_msn
        found = samples(await scene.download("a0"))[1]
        # What was sent is heard when it was sent, all of it, before and after.
        times = heard(found, sound)
        assert times == [frame.dts for frame in sound][: len(times)]
        assert times[-1] > 13 * 48000
        assert without_holes(found, 1024 if track is AAC else 960)
        await scene.everything(await scene.manifest())


async def test_packets_that_were_lost_are_silent(tmp_path: Path) -> None:
    """A browser moves sound together over a hole: it would come earlier than its picture from there on."""
    tracks = (PICTURE, AAC)
    sound = [frame for index, frame in enumerate(spoken(AAC, 8)) if index % 50 not in (20, 21, 22, 40)]
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(PICTURE, 8), sound))
        found = samples(await scene.download("a0"))[1]
        times = heard(found, sound)
        assert times == [frame.dts for frame in sound][: len(times)]
        assert without_holes(found, 1024)


@pytest.mark.parametrize("late", [0.7, 1.8, 3.0])
async def test_sound_that_is_always_late_is_heard(tmp_path: Path, late: float) -> None:
    """Of a multiplexer that keeps sound back. Silence must not take its place, but perhaps in the beginning."""
    tracks = (PICTURE, AAC)
    sound = spoken(AAC, 30)
    order = [(frame.dts / 90000, frame) for frame in steady(PICTURE, 30)]
    order += [(frame.dts / 48000 + late, frame) for frame in sound]
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send([frame for _, frame in sorted(order, key=lambda entry: entry[0])], watch=False)
        times = heard(samples(await scene.download("a0"))[1], sound)
        assert times[-1] > 20 * 48000
        missing = len([frame for frame in sound if frame.dts <= times[-1]]) - len(times)
        assert missing * 1024 / 48000 < late


async def test_sound_that_returns_a_little_late_is_waited_for_again(tmp_path: Path) -> None:
    """What was late for a while is late no longer: when it goes away then, nobody waits as long as before."""
    tracks = (PICTURE, AAC)
    sound = spoken(AAC, 40)
    order = [(frame.dts / 90000, frame) for frame in steady(PICTURE, 40)]
    order += [(time + (1.5 if time < 8 else 0), frame) for frame in sound if (time := frame.dts / 48000) < 25]
    ordered = [frame for _, frame in sorted(order, key=lambda entry: entry[0])]
    early = [frame for frame in ordered if frame.dts < 20 * (90000 if frame.track == "v0" else 48000)]
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(early, watch=False)
        assert await behind(scene, ordered[len(early) :], "a0") < LONGEST


async def test_times_that_leap_leave_a_gap_and_no_flood_of_packets(tmp_path: Path) -> None:
    """An hour of silence would be 170,000 packets, made while all other streams wait."""
    tracks = (PICTURE, AAC)
    leap = 3600.0
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send(interleaved(tracks, steady(PICTURE, 5), spoken(AAC, 5)), watch=False)
        sound = spoken(AAC, 6, start=leap)
        await scene.send(interleaved(tracks, steady(PICTURE, 6, start=leap), sound), watch=False)
        assert any(segment.gap for segment in (await scene.media("a0")).segments)
        found = samples(await scene.download("a0"))[1]
        assert len(found) < 1000
        assert heard(found, [*spoken(AAC, 5), *sound])[-1] > (leap + 3) * 48000


async def test_sound_that_never_comes_is_silent_from_the_beginning(tmp_path: Path) -> None:
    """It was announced: whoever plays the stream has it already when it comes at last."""
    tracks = (PICTURE, AAC)
    sound = spoken(AAC, 4, start=9)
    async with stage(tmp_path) as scene:
        await scene.publish(*tracks)
        await scene.send([frame for frame in steady(PICTURE, 13) if frame.dts < 9 * 90000], watch=False)
        assert len((await scene.multivariant()).media) == 1
        assert (await scene.media("a0")).media_sequence == 0
        await scene.send(
            interleaved(tracks, [frame for frame in steady(PICTURE, 13) if frame.dts >= 9 * 90000], sound), watch=False
        )
        found = samples(await scene.download("a0"))[1]
        assert found[0].dts == 0
        assert heard(found, sound)[0] == sound[0].dts
        assert without_holes(found, 1024)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("codec", [Codec.AAC, Codec.OPUS])
def test_a_real_decoder_hears_silence(tmp_path: Path, codec: Codec, channels: int) -> None:
    if codec is Codec.AAC:
        config = aac.AudioSpecificConfig(aac.AAC_LC, 48000, channels, channels)
        packet, length, header = aac.silent_frame(config), 1024, config.to_bytes()
    else:
        mapping = bytes((4, 2, 0, 4, 1, 2, 3, 5)) if channels > 2 else b""
        head = opus.OpusHead(channels, mapping_family=int(channels > 2), mapping=mapping)
        packet, length, header = opus.silent_packet(head), opus.SILENT_SAMPLES, head.to_bytes()
    assert packet is not None
    track = Track("a0", codec, 48000, header, "", sample_rate=48000, channels=channels)
    file = tmp_path / "silence.mp4"
    file.write_bytes(init_segment(track) + media_fragment(1, 0, [length] * 50, [packet] * 50))
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-xerror", "-err_detect", "explode", "-i", file, "-f", "s16le", "-"],
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    assert len(done.stdout) >= 48 * length * channels * 2
    assert not any(done.stdout)
