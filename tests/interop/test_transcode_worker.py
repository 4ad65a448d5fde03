"""A transcoding worker: every codec in and out, what sources do to it, what encoders do to it."""

import contextlib
import functools
import itertools
import random
import re
import subprocess
import threading
from array import array
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.support.worker_client import (
    MEMORY,
    Clip,
    Failed,
    Notice,
    audio_plan,
    decoded,
    feed,
    make,
    running,
    start,
    transcode,
    video_plan,
)

from ghostlive.codecs import h264, nal
from ghostlive.core.track import Codec
from ghostlive.transcode.wire import Media, Message, Opened, Source, Stats, Stop, Thin, WantKeyframe
from ghostlive.transcode.worker import video as worker_video
from ghostlive.transcode.worker.decoders import AudioDecoder, VideoDecoder
from ghostlive.transcode.worker.encoders import EncoderError, VideoEncoder
from ghostlive.transcode.worker.link import Link
from ghostlive.transcode.worker.pictures import Picture, Scaler

pytestmark = pytest.mark.interop

_PICTURE = ("-f", "lavfi", "-i")
_GROUP = 25

_VIDEO_SOURCES = {
    "h264": ("yuv420p", "mp4", "libx264", "-bf", "2"),
    "h264-10-bit": ("yuv420p10le", "mp4", "libx264"),
    "h264-422": ("yuv422p", "mp4", "libx264"),
    "h264-444": ("yuv444p", "mp4", "libx264"),
    "h264-full-range": ("yuvj420p", "mp4", "libx264"),
    "h264-open-groups": ("yuv420p", "mp4", "libx264", "-bf", "2", "-x264-params", "open-gop=1"),
    "hevc": ("yuv420p", "mp4", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
    "hevc-10-bit": ("yuv420p10le", "mp4", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
    "av1": ("yuv420p", "mp4", "libsvtav1", "-preset", "12"),
    "vp8": ("yuv420p", "webm", "libvpx", "-deadline", "realtime", "-auto-alt-ref", "0"),
    "vp9": ("yuv420p", "webm", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
}
_AUDIO_SOURCES = {
    "aac": ("mp4", "aac", 44100, 2),
    "aac-5.1": ("mp4", "aac", 48000, 6),
    "opus": ("mkv", "libopus", 48000, 2),
    "mp3": ("mkv", "libmp3lame", 44100, 2),
    "ac3-5.1": ("mkv", "ac3", 48000, 6),
    "eac3": ("mkv", "eac3", 48000, 2),
    "flac": ("mkv", "flac", 48000, 2),
    "pcma": ("mkv", "pcm_alaw", 8000, 1),
    "pcmu": ("mkv", "pcm_mulaw", 8000, 1),
}


@functools.cache
def _video(folder: Path, name: str, *, size: str = "192x108", rate: float = 25, seconds: float = 3) -> Clip:
    pixels, suffix, encoder, *options = _VIDEO_SOURCES[name]
    (clip,) = make(
        folder / f"{name}-{size}-{rate}-{seconds}.{suffix}",
        *_PICTURE, f"testsrc2=size={size}:rate={rate}", "-t", str(seconds), "-pix_fmt", pixels,
        "-c:v", encoder, "-g", str(_GROUP), "-keyint_min", str(_GROUP), "-b:v", "300k", *options,
    )  # fmt: skip
    return clip


@functools.cache
def _audio(folder: Path, name: str, *, seconds: float = 3, sound: str = "between(t\\,1\\,2)") -> Clip:
    """A tone of 440 Hz, as loud as `sound` says."""
    suffix, encoder, rate, channels = _AUDIO_SOURCES[name]
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    (clip,) = make(
        folder / f"{name}-{seconds}.{suffix}",
        *_PICTURE,
        f"aevalsrc={'|'.join([f'0.5*sin(2*PI*440*t)*{sound}'] * channels)}:sample_rate={rate}:channel_layout={layout}",
        "-t", str(seconds), "-c:a", encoder,
    )  # fmt: skip
    return clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worker")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    """Three seconds of H.264 with B-frames, a keyframe every second."""
    return _video(folder, "h264")


def _keyframes(frames: Sequence[Media]) -> list[int]:
    return [frame.pts for frame in frames if frame.keyframe]


@pytest.mark.parametrize("name", _VIDEO_SOURCES)
def test_each_video_codec_becomes_h264_with_its_times_and_keyframes(folder: Path, name: str) -> None:
    clip = _video(folder, name)
    worker = transcode([clip], [start(1, video_plan(width=160, height=90))])
    (opened,) = worker.opened(1)
    frames = worker.media(1)
    times = [frame.pts for frame in frames]
    # Open groups show pictures before their keyframe; of the first group these cannot be decoded.
    wanted = [time for time in clip.times if time >= clip.keyframes[0]]
    # What waits for its successors is still inside the decoder at the end.
    assert len(times) >= len(wanted) - 4
    assert times == wanted[: len(times)]
    assert _keyframes(frames) == [time for time in clip.keyframes if time in times]
    assert all(frame.pts == frame.dts for frame in frames)
    assert (opened.encoder, opened.codec_string, opened.width, opened.height) == ("libx264", "avc1.64001f", 160, 90)
    pictures = decoded(opened, Codec.H264, frames)
    assert [picture.pts for picture in pictures] == times
    assert {(picture.width, picture.height, picture.format.name) for picture in pictures} == {(160, 90, "yuv420p")}
    assert worker.stats().damaged == 0
    assert worker.stats().renditions[0].frames == len(frames)
    for frame in frames:
        kinds = [unit[0] & 0x1F for unit in nal.split_length_prefixed(frame.payload)]
        assert set(kinds) <= {h264.SLICE, h264.IDR}


def test_interlaced_pictures_become_progressive_ones(folder: Path) -> None:
    (clip,) = make(
        folder / "interlaced.mp4",
        *_PICTURE, "testsrc2=size=320x180:rate=50", "-vf", "tinterlace=interleave_top,fieldorder=tff,format=yuv420p",
        "-t", "2", "-c:v", "libx264", "-flags", "+ilme+ildct", "-x264-params", "tff=1", "-g", "25", "-bf", "0",
    )  # fmt: skip
    worker = transcode([clip], [start(1, video_plan())])
    frames = worker.media(1)
    assert [frame.pts for frame in frames] == clip.times[: len(frames)]
    assert len(frames) >= len(clip.times) - 3
    assert _keyframes(frames) == clip.keyframes
    assert not any(picture.interlaced_frame for picture in decoded(worker.opened(1)[0], Codec.H264, frames))


@pytest.mark.parametrize("codec", [Codec.AV1, Codec.VP8])
def test_video_in_other_codecs(clip: Clip, codec: Codec) -> None:
    string = {Codec.AV1: "av01.0.04M.08", Codec.VP8: "vp8"}[codec]
    worker = transcode([clip], [start(1, video_plan(codec=codec, codec_string=string))])
    frames = worker.media(1)
    assert [frame.pts for frame in frames] == clip.times[: len(frames)]
    assert len(frames) >= len(clip.times) - 4
    assert _keyframes(frames) == clip.keyframes
    (opened,) = worker.opened(1)
    assert opened.codec_string == string
    assert len(decoded(opened, codec, frames)) == len(frames)


@pytest.mark.parametrize("name", _AUDIO_SOURCES)
def test_each_audio_codec_becomes_stereo_in_time(folder: Path, name: str) -> None:
    # A tone that begins and ends tells where the sound is.
    clip = _audio(folder, name)
    source = _onset(_heard(clip), clip.frames[0].pts, clip.track.timescale)
    worker = transcode([clip], [start(1, audio_plan()), start(2, audio_plan(Codec.AAC))])
    for run, codec, size in ((1, Codec.OPUS, 960), (2, Codec.AAC, 1024)):
        (opened,) = worker.opened(run)
        assert opened.channels == 2
        frames = worker.media(run)
        assert all(second.pts - first.pts == size for first, second in itertools.pairwise(frames))
        assert all(frame.keyframe and frame.pts == frame.dts for frame in frames)
        assert abs(_onset(decoded(opened, codec, frames), frames[0].pts, 48000) - source) < 0.02


def _heard(clip: Clip) -> list[Any]:
    decoder = AudioDecoder(clip.track)
    return [one.frame for media in clip.frames for one in decoder.decode(media, 0.0)]


def _onset(frames: Sequence[Any], pts: int, scale: int) -> float:
    """Seconds on the timeline at which sound begins that is more than a tenth of the loudest."""
    sounds = [_values(frame) for frame in frames]
    limit: float = max(max(sound) for sound in sounds) / 10
    position = 0
    for sound in sounds:
        if max(sound) > limit:
            first: int = next(index for index, value in enumerate(sound) if abs(value) > limit)
            return pts / scale + (position + first) / int(frames[0].sample_rate)
        position += len(sound)
    raise AssertionError("there is no sound")


def _values(frame: Any) -> Sequence[float]:
    """The first channel, in any unit."""
    kind = {"flt": "f", "fltp": "f", "s16": "h", "s16p": "h", "s32": "i", "s32p": "i"}[frame.format.name]
    values = array(kind)
    step = 1 if frame.format.is_planar else frame.layout.nb_channels
    values.frombytes(bytes(frame.planes[0])[: frame.samples * values.itemsize * step])
    return values[::step]


def test_sixty_frames_become_thirty_and_share_their_pictures(folder: Path) -> None:
    clip = _video(folder, "h264", rate=60)
    plans = [video_plan("180p60", frame_rate=Fraction(60)), video_plan("180p30")]
    worker = transcode([clip], [start(run, plan) for run, plan in enumerate(plans, 1)])
    whole, half = worker.media(1), worker.media(2)
    assert [frame.pts for frame in whole] == clip.times[: len(whole)]
    step = clip.track.timescale // 60
    times = [frame.pts for frame in half]
    # The source's groups of 25 are odd: the frame before each keyframe may be next to it.
    assert set(_keyframes(half)) == set(_keyframes(whole)) == set(clip.keyframes)
    gaps = [second - first for first, second in itertools.pairwise(times)]
    assert set(gaps) <= {step, 2 * step}
    assert gaps.count(step) <= len(clip.keyframes)


def test_few_and_irregular_frames_all_pass(folder: Path) -> None:
    (slow,) = make(
        folder / "slow.mp4",
        *_PICTURE, "testsrc2=size=320x180:rate=1", "-t", "12", "-c:v", "libx264", "-g", "4", "-bf", "0",
        "-pix_fmt", "yuv420p",
    )  # fmt: skip
    (varying,) = make(
        folder / "varying.mp4",
        *_PICTURE, "testsrc2=size=320x180:rate=25,select='not(mod(n\\,7))+not(mod(n\\,5))'", "-fps_mode", "vfr",
        "-t", "4", "-c:v", "libx264", "-g", "10", "-bf", "0", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    for clip in (slow, varying):
        worker = transcode([clip], [start(1, video_plan())])
        frames = worker.media(1)
        assert [frame.pts for frame in frames] == clip.times
        assert _keyframes(frames) == clip.keyframes
        assert len(decoded(worker.opened(1)[0], Codec.H264, frames)) == len(frames)


def test_after_stop_thin_and_a_wanted_keyframe(clip: Clip) -> None:
    after = clip.times[30]
    with running() as worker:
        worker.send(Source(1, (clip.track,)))
        worker.send(start(1, video_plan("late"), after=after), start(2, video_plan("stopped")))
        worker.send(start(3, video_plan("thin")), Thin(3, 2), start(4, video_plan("asked")))
        half = len(clip.frames) // 2
        feed(worker, [replace(clip, frames=clip.frames[:half])])
        worker.settle()
        worker.send(Stop(2), WantKeyframe(4))
        stopped = len(worker.media(2))
        feed(worker, [replace(clip, frames=clip.frames[half:])])
        worker.settle()
    late = worker.media(1)
    assert [frame.pts for frame in late] == clip.times[31 : 31 + len(late)]
    assert late[0].keyframe
    assert _keyframes(late)[1:] == clip.keyframes[2:]
    assert len(worker.media(2)) == stopped
    thin = [frame.pts for frame in worker.media(3)]
    assert thin == [time for group in range(3) for time in clip.times[25 * group : 25 * group + 25 : 2]][: len(thin)]
    assert _keyframes(worker.media(3)) == clip.keyframes
    extra = set(_keyframes(worker.media(4))) - set(clip.keyframes)
    assert len(extra) == 1
    assert [run.run for run in worker.stats().renditions] == [1, 3, 4]


@pytest.mark.parametrize("name", ["h264", "vp9"])
def test_a_rendition_that_starts_later_begins_with_a_whole_group_and_goes_on_with_the_others(
    folder: Path, name: str
) -> None:
    """Whoever chooses it waits for no keyframe of the source, and no frame is missing where it joins the others."""
    source = _video(folder, name)
    with running() as worker:
        worker.send(Source(1, (source.track,)), start(1, video_plan("first")))
        for number, frame in enumerate(source.frames):
            if number == 40:
                worker.send(start(2, video_plan("second")))
            if number == 44:
                # It has caught up, and lives on common frames.
                worker.wait("the second rendition", lambda: len(worker.media(2)) > 20)
            feed(worker, [replace(source, frames=(frame,))])
        worker.settle()
    first, second = worker.media(1), worker.media(2)
    assert [frame.pts for frame in second] == [frame.pts for frame in first]
    assert _keyframes(second) == _keyframes(first) == source.keyframes
    assert worker.stats().renditions[1].dropped == 0


def test_the_first_rendition_of_a_running_source_begins_with_recent_groups(clip: Clip) -> None:
    with running() as worker:
        worker.send(Source(1, (clip.track,)))
        feed(worker, [replace(clip, frames=clip.frames[:40])])
        worker.send(start(1, video_plan()))
        feed(worker, [replace(clip, frames=clip.frames[40:])])
        worker.settle()
    frames = worker.media(1)
    assert [frame.pts for frame in frames] == clip.times[: len(frames)]
    assert _keyframes(frames) == clip.keyframes


def test_a_new_source_begins_anew(folder: Path, clip: Clip) -> None:
    other = _video(folder, "vp9", size="176x144", rate=15)
    with running() as worker:
        worker.send(Source(1, (clip.track,)), start(1, video_plan()))
        feed(worker, [clip])
        worker.settle()
        worker.send(Source(2, (other.track,)))
        # Frames of the source before are late, not lost on the new one.
        feed(worker, [replace(clip, frames=clip.frames[:5])])
        worker.send(start(2, video_plan(width=176, height=144)))
        feed(worker, [other], run=2)
        worker.settle()
    assert len(worker.media(1)) >= len(clip.frames) - 4
    frames = worker.media(2)
    assert [frame.pts for frame in frames] == other.times[: len(frames)]
    assert (worker.opened(2)[0].width, worker.opened(2)[0].height) == (176, 144)
    assert [one.run for one in worker.stats().renditions] == [2]


def test_pictures_that_change_within_a_track_are_still_scaled(folder: Path) -> None:
    """VP8 changes its size with any keyframe, without a word before."""
    small = _video(folder, "vp8", size="160x90", seconds=1)
    large = _video(folder, "vp8", size="640x360", seconds=1)
    later = large.shifted(small.times[-1] + 40 - large.times[0])
    both = replace(small, frames=small.frames + later.frames)
    worker = transcode([both], [start(1, video_plan())])
    frames = worker.media(1)
    assert [frame.pts for frame in frames] == both.times
    pictures = decoded(worker.opened(1)[0], Codec.H264, frames)
    assert {(picture.width, picture.height) for picture in pictures} == {(320, 180)}


def test_audio_that_is_missing_for_a_minute_comes_back_in_time(folder: Path) -> None:
    clip = _audio(folder, "aac")
    back = clip.shifted(60 * clip.track.timescale)
    gap = replace(clip, frames=clip.frames + back.frames)
    worker = transcode([gap], [start(1, audio_plan(Codec.AAC)), start(2, audio_plan())])
    for run, codec in ((1, Codec.AAC), (2, Codec.OPUS)):
        frames = worker.media(run)
        times = [frame.pts for frame in frames]
        assert times == sorted(set(times))
        (jump,) = [index for index in range(1, len(times)) if times[index] - times[index - 1] > 48000]
        assert 56 < (times[jump] - times[jump - 1]) / 48000 < 58
        source = _onset(_heard(clip), clip.frames[0].pts, clip.track.timescale)
        (opened,) = worker.opened(run)
        assert abs(_onset(decoded(opened, codec, frames[jump:]), times[jump], 48000) - source - 60) < 0.02


def test_audio_of_drifting_clocks_stays_in_time(folder: Path) -> None:
    """Without correction the last sound would be 60 ms off."""
    clip = _audio(folder, "pcmu", seconds=150, sound="between(t\\,148\\,149)")
    begin = clip.frames[0].pts
    for drift in (1 + 400e-6, 1 - 400e-6):
        times = [begin + round((one.pts - begin) * drift) for one in clip.frames]
        moved = [one._replace(pts=time, dts=time) for one, time in zip(clip.frames, times, strict=True)]
        worker = transcode([replace(clip, frames=tuple(moved))], [start(1, audio_plan())])
        frames = worker.media(1)
        (opened,) = worker.opened(1)
        assert abs((frames[-1].pts - frames[0].pts) / 48000 - 150 * drift) < 0.1
        tail = frames[-200:]
        heard = _onset(decoded(opened, Codec.OPUS, tail), tail[0].pts, 48000)
        assert abs(heard - begin / clip.track.timescale - 148 * drift) < 0.02


def test_a_restarted_audio_rendition_goes_on_where_the_last_one_ended(folder: Path) -> None:
    clip = _audio(folder, "aac")
    whole = transcode([clip], [start(1, audio_plan(Codec.AAC)), start(2, audio_plan())])
    for run, codec, size in ((1, Codec.AAC, 1024), (2, Codec.OPUS, 960)):
        times = [frame.pts for frame in whole.media(run)]
        again = transcode([clip], [start(run, audio_plan(codec), after=times[40])])
        assert [frame.pts for frame in again.media(run)][:50] == [times[40] + size * index for index in range(1, 51)]


@pytest.mark.parametrize(
    "hardware", ["h264_nvenc", "h264_qsv", "h264_vaapi", "h264_amf", "h264_v4l2m2m", "no_such_encoder"]
)
def test_an_encoder_that_does_not_work_is_replaced(clip: Clip, hardware: str) -> None:
    """Where this machine has such hardware it is used."""
    worker = transcode([clip], [start(1, video_plan(), hardware, "libx264")])
    (opened,) = worker.opened(1)
    frames = worker.media(1)
    assert [frame.pts for frame in frames] == clip.times[: len(frames)]
    assert len(frames) >= len(clip.frames) - 4
    assert _keyframes(frames) == clip.keyframes
    if opened.encoder != hardware:
        assert opened.encoder == "libx264"
        (notice,) = worker.of(Notice)
        assert notice.run == 1
        assert hardware in notice.text
        assert "libx264 takes over" in notice.text


def test_a_rendition_without_any_encoder_fails_and_the_others_go_on(clip: Clip) -> None:
    worker = transcode([clip], [start(1, video_plan(), "no_such_encoder"), start(2, video_plan("other"))])
    (failed,) = worker.of(Failed)
    assert failed.run == 1
    assert "no_such_encoder" in failed.reason
    assert not worker.media(1)
    assert len(worker.media(2)) >= len(clip.frames) - 4


def test_a_plan_that_cannot_be_kept_fails(clip: Clip) -> None:
    worker = transcode([clip], [start(1, video_plan(codec_string="avc1.f40033")), start(2, video_plan(source="v7"))])
    reasons = {failed.run: failed.reason for failed in worker.of(Failed)}
    assert "avc1.f40033" in reasons[1]
    assert "v7" in reasons[2]


_DAMAGED = ("h264", "hevc", "av1", "vp8", "vp9", "aac", "opus", "mp3", "ac3-5.1", "flac")
_VARIANTS = 20


@pytest.mark.parametrize("name", _DAMAGED)
def test_damaged_streams_resume(folder: Path, name: str) -> None:
    """Bits flip and packets end early in the first second; the rest is as good as before."""
    is_video = name in _VIDEO_SOURCES
    clip = _video(folder, name, size="96x64", seconds=2) if is_video else _audio(folder, name, seconds=2)
    plan = video_plan(width=64, height=48) if is_video else audio_plan()
    chance = random.Random(name)
    middle = clip.keyframes[1] if is_video else clip.frames[len(clip.frames) // 2].pts
    variants = []
    for number in range(_VARIANTS):
        frames = [one if one.pts >= middle else _damage(one, chance) for one in clip.frames]
        variants.append(replace(clip, frames=tuple(frames)).named(f"t{number}"))
    plans = [replace(plan, source=variant.track.id) for variant in variants]
    worker = transcode(variants, [start(run, plan) for run, plan in enumerate(plans)])
    assert not worker.of(Failed)
    good = transcode([clip], [start(1, plan)]).media(1)
    for run in range(_VARIANTS):
        times = [frame.pts for frame in worker.media(run)]
        assert times == sorted(set(times))
        dropped = worker.stats().renditions[run].dropped  # what a worker leaves out that is behind, and says so
        if is_video:
            assert set(times) <= set(clip.times)
            missing = {time for time in clip.times[: len(good)] if time >= middle} - set(times)
            assert len(missing) <= dropped
            assert middle in _keyframes(worker.media(run))
        else:
            assert abs(times[-1] - good[-1].pts) < 2000 + 1024 * dropped


def _damage(media: Media, chance: random.Random) -> Media:
    """One packet in three is damaged: a few bits flip, or its end is missing."""
    kind = chance.random()
    if kind > 1 / 3:
        return media
    data = bytearray(media.payload)
    if kind < 1 / 9:
        return media._replace(payload=bytes(data[: chance.randrange(1, len(data) + 1)]))
    for _ in range(chance.randrange(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return media._replace(payload=bytes(data))


def test_as_good_as_a_bare_ffmpeg(folder: Path) -> None:
    """SSIM of a 720p rendition against the scaled source, ours and ffmpeg's with the same settings."""
    source = folder / "source.mp4"
    (clip,) = make(
        source,
        *_PICTURE, "testsrc2=size=1920x1080:rate=30", "-t", "1", "-c:v", "libx264", "-preset",
        "ultrafast", "-crf", "12", "-g", "30", "-bf", "0", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    bitrate = 3_000_000
    worker = transcode([clip], [start(1, video_plan("720p30", width=1280, height=720, bitrate=bitrate))])
    (opened,) = worker.opened(1)
    frames = worker.media(1)
    ours = folder / "ours.h264"
    record = h264.DecoderConfiguration.parse(opened.config)
    ours.write_bytes(
        b"".join(b"\x00\x00\x00\x01" + one for one in (*record.sps, *record.pps))
        + b"".join(nal.length_prefixed_to_annexb(frame.payload) for frame in frames)
    )
    theirs = folder / "theirs.mp4"
    make(
        theirs,
        "-i", str(source), "-vf", "scale=1280:720:flags=bicubic", "-c:v", "libx264", "-preset", "superfast",
        "-profile:v", "high", "-level", "3.1", "-b:v", str(bitrate), "-maxrate", str(bitrate), "-bufsize", str(bitrate),
        "-forced-idr", "1", "-force_key_frames", "source", "-threads", "1", "-x264-params",
        "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:scenecut=0:force-cfr=1:keyint=infinite",
    )  # fmt: skip
    mine, peer = (_ssim(path, source) for path in (ours, theirs))
    assert len(frames) == len(clip.frames)
    assert mine > peer * 0.995


def _ssim(path: Path, source: Path) -> float:
    command = [
        "ffmpeg", "-nostdin", "-r", "30", "-i", str(path), "-r", "30", "-i", str(source),
        "-lavfi", "[1:v]scale=1280:720:flags=bicubic[s];[0:v][s]ssim", "-f", "null", "-",
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    found = re.search(r"SSIM .* All:([\d.]+)", done.stderr)
    assert found is not None
    return float(found[1])


def test_what_a_worker_gives_up() -> None:
    with running() as worker:
        worker.settle()
        folder = Path(f"/proc/{worker.process.pid}")
        limits = folder.joinpath("limits").read_text()
        status = folder.joinpath("status").read_text()
        refused = " ".join(notice.text for notice in worker.of(Notice))
        assert re.search(rf"Max data size +{MEMORY} +{MEMORY}", limits)
        assert re.search(r"Max core file size +0 +0", limits)
        assert re.search(r"Max open files +256 +256", limits)
        assert "NoNewPrivs:\t1" in status or "no privileges" in refused
        here, there = Path("/proc/self/ns/net").readlink(), folder.joinpath("ns/net").readlink()
        assert here != there or "without network" in refused
        nice = int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[16])
        assert nice >= 10


def test_an_idle_worker_says_that_it_lives() -> None:
    with running() as worker:
        worker.wait("reports", lambda: len(worker.of(Stats)) >= 4)
        stats = worker.stats()
    assert 0 < stats.cpu < 5
    assert 5_000_000 < stats.memory < 100_000_000
    assert stats.renditions == ()


def test_a_worker_that_is_told_nonsense_ends() -> None:
    with running(code=1) as worker:
        worker.send(Stats(0.0, 0, 0, 0, 0))


class _Reader(Link):
    """What a rendition says, kept."""

    def __init__(self) -> None:
        self.said: list[Message] = []

    def send(self, message: Message) -> None:
        self.said.append(message)


class _Failing(VideoEncoder):
    """Hardware that works for a while: a driver that keeps three frames, and then is gone."""

    _LASTS = 20
    _KEEPS = 3

    def __init__(self, name: str, *arguments: Any, **options: Any) -> None:
        self.fails = name == "failing"
        # Another vendor's parameter sets are others.
        options["preset"] = "ultrafast" if self.fails else "superfast"
        super().__init__("libx264", *arguments, **options)
        self.name = name
        self.kept: list[Any] = []
        self.taken = 0

    def encode(self, frame: Any) -> list[Any]:
        if not self.fails:
            return super().encode(frame)
        self.taken += 1
        if self.taken > self._LASTS:
            raise EncoderError("the device was unplugged")
        self.kept += super().encode(frame)
        ready, self.kept = self.kept[: -self._KEEPS], self.kept[-self._KEEPS :]
        return ready


def test_an_encoder_that_fails_in_mid_stream_loses_no_frame(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such hardware is here, so a software encoder plays it, in this process."""
    monkeypatch.setattr(worker_video, "VideoEncoder", _Failing)
    reader, space = _Reader(), threading.Event()
    plan = video_plan()
    rendition = worker_video.VideoRendition(start(1, plan, "failing", "libx264"), plan, clip.track, reader, space)
    decoder = VideoDecoder(clip.track)
    scaler = Scaler(plan.width, plan.height, Fraction(1, clip.track.timescale))
    times = []
    for media in clip.frames:
        for one in decoder.decode(media, 0.0):
            one.frame.pict_type = 1 if one.keyframe else 0
            times.append(one.pts)
            picture = Picture(one.frame, scaler, Fraction(1))
            while not rendition.offer(picture, one.pts, keyframe=one.keyframe, arrived=0.0):
                space.wait(1)
                space.clear()
    while rendition.waiting:
        space.wait(0.01)
    rendition.stop()
    frames = [one for one in reader.said if isinstance(one, Media)]
    assert [one.pts for one in frames] == times
    # What the old encoder kept, and no more, was encoded again.
    assert set(_keyframes(frames)) - set(clip.keyframes) == {times[17]}
    assert [one.text for one in reader.said if isinstance(one, Notice)] == [
        "180p30: failing failed: the device was unplugged; libx264 takes over"
    ]
    first, second = (one for one in reader.said if isinstance(one, Opened))
    assert (first.encoder, second.encoder) == ("failing", "libx264")
    assert first.config != second.config
    # Players have the first configuration, and need no other.
    assert len(decoded(first, Codec.H264, frames)) == len(times)


def test_a_source_of_another_rate_than_it_said_gets_its_bits(folder: Path) -> None:
    """An encoder that was told 30 frames a second would give each of 5 a sixth of what it may have."""
    (slow,) = make(
        folder / "five.mp4",
        *_PICTURE, "testsrc2=size=320x180:rate=5,noise=alls=40:allf=t", "-t", "12", "-c:v", "libx264", "-g", "15",
        "-bf", "0", "-qp", "20", "-pix_fmt", "yuv420p",
    )  # fmt: skip
    untold = replace(slow, track=replace(slow.track, frame_rate=None))
    plan = video_plan(bitrate=150_000)
    worker = transcode([untold], [start(1, plan)])
    (opened,) = worker.opened(1)
    frames = worker.media(1)
    assert [frame.pts for frame in frames] == slow.times
    assert len(decoded(opened, Codec.H264, frames)) == len(frames)
    late = [frame for frame in frames if frame.pts >= slow.keyframes[1]]
    rate = sum(len(frame.payload) for frame in late) * 8 / (len(late) / 5)
    assert 0.5 * plan.bitrate < rate < 1.3 * plan.bitrate


def test_a_picture_that_begins_to_move_keeps_to_its_bit_rate(folder: Path) -> None:
    """A shared screen: two frames a second for a while, then thirty, without a keyframe between."""
    (screen,) = make(
        folder / "screen.mp4",
        *_PICTURE, "testsrc2=size=320x180:rate=30,noise=alls=40:allf=t,select='gte(t\\,4)+not(mod(n\\,15))'",
        "-fps_mode", "vfr", "-t", "8", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-qp", "20",
        "-pix_fmt", "yuv420p", "-x264-params", "keyint=6:min-keyint=6:scenecut=0",
    )  # fmt: skip
    # Keyframes end when the movement begins.
    begins = screen.times[12]
    frames = tuple(one._replace(keyframe=one.keyframe and one.pts < begins) for one in screen.frames)
    plan = video_plan(bitrate=150_000)
    worker = transcode([replace(screen, frames=frames)], [start(1, plan)])
    rendition = worker.media(1)
    assert [frame.pts for frame in rendition] == screen.times
    scale = screen.track.timescale
    for frame in rendition:
        second = [one for one in rendition if 0 <= one.pts - frame.pts < scale]
        # A second's worth may come at once, and is saved up before.
        assert sum(len(one.payload) for one in second) * 8 < 3 * plan.bitrate


class _Hanging(VideoEncoder):
    """A driver that never answers."""

    ends = threading.Event()

    def encode(self, frame: Any) -> list[Any]:
        self.ends.wait()
        return []


def test_an_encoder_that_hangs_is_given_up(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_video, "VideoEncoder", _Hanging)
    monkeypatch.setattr(worker_video, "_HANGS", 0.0)
    reader, space = _Reader(), threading.Event()
    plan = video_plan()
    rendition = worker_video.VideoRendition(start(1, plan), plan, clip.track, reader, space)
    decoder = VideoDecoder(clip.track)
    first = next(one for media in clip.frames for one in decoder.decode(media, 0.0))
    picture = Picture(first.frame, Scaler(plan.width, plan.height, Fraction(1, 1000)), Fraction(1))
    while rendition.offer(picture, first.pts, keyframe=True, arrived=0.0):
        pass
    while not rendition.failed:
        rendition.give_up_if_stuck()
    _Hanging.ends.set()
    (failed,) = [one for one in reader.said if isinstance(one, Failed)]
    assert failed.reason == "its encoder libx264 hangs"


def test_want_of_memory_ends_the_process(folder: Path) -> None:
    """Rather than to go on as one that decodes nothing any more."""
    (large,) = make(
        folder / "large.mp4",
        *_PICTURE, "testsrc2=size=3840x2160:rate=30", "-frames:v", "10", "-c:v", "libx264", "-preset", "ultrafast",
        "-pix_fmt", "yuv420p",
    )  # fmt: skip
    with running(64 * 1024 * 1024, code=1) as worker:
        with contextlib.suppress(OSError):
            worker.send(Source(1, (large.track,)), start(1, video_plan()))
            feed(worker, [large])
        worker.wait("end", lambda: worker.ended)
