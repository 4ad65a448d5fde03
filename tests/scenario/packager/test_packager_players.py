"""What foreign players make of a whole broadcast: ffmpeg reads the playlists and decodes without a complaint."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.support.mp4 import broadcast
from tests.support.packaged import DATA, Stage, settle, stage

from ghostlive.packager.config import PackagerConfig

pytestmark = pytest.mark.interop


async def mirror(scene: Stage, folder: Path) -> None:
    """Everything that the ended broadcast offers, as files."""
    folder.mkdir()
    for name in ("master.m3u8", "manifest.mpd"):
        (folder / name).write_bytes(await scene.content(name))
    for track in ("v0", "a0"):
        place = folder / scene.session / track
        place.mkdir(parents=True)
        (place / "media.m3u8").write_bytes(await scene.content(f"{scene.session}/{track}/media.m3u8"))
        playlist = await scene.media(track)
        files = [segment.uri for segment in playlist.segments if not segment.gap]
        files += [segment.map for segment in playlist.segments if segment.map]
        for file in files:
            (place / file).write_bytes(await scene.content(f"{scene.session}/{track}/{file}"))


def run(*command: str, cwd: Path) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    assert result.stderr == "", result.stderr
    return result.stdout


@pytest.mark.parametrize("name", ["bframes", "long_group", "plain"])
@pytest.mark.parametrize("entry", ["master.m3u8", "manifest.mpd"])
async def test_ffmpeg_plays_it_in_sync(tmp_path: Path, name: str, entry: str) -> None:
    tracks, frames = broadcast((DATA / f"{name}.mp4").read_bytes())
    async with stage(tmp_path / "data", PackagerConfig(dvr_storage="memory")) as scene:
        await scene.publish(*tracks)
        await scene.send(frames, watch=False)
        assert scene.publication is not None
        scene.publication.end("done")
        await settle()
        await mirror(scene, tmp_path / "site")
    site = tmp_path / "site"
    packets = json.loads(
        run(
            "ffprobe",
            "-v",
            "error",
            "-of",
            "json",
            "-show_entries",
            "packet=codec_type,pts_time",
            "-i",
            entry,
            cwd=site,
        )
    )["packets"]
    times = {
        kind: sorted(float(packet["pts_time"]) for packet in packets if packet["codec_type"] == kind)
        for kind in ("video", "audio")
    }
    assert len(times["video"]) == 240
    scales = {track.id: track.timescale for track in tracks}
    last = {frame.track: frame.pts / scales[frame.track] for frame in frames if frame.track == "a0"}
    picture = max(frame.pts / scales["v0"] for frame in frames if frame.track == "v0")
    assert abs((times["audio"][-1] - times["video"][-1]) - (last["a0"] - picture)) < 0.002
    run("ffmpeg", "-v", "error", "-i", entry, "-map", "0:v", "-map", "0:a", "-f", "null", "-", cwd=site)


async def test_ffmpeg_plays_through_a_reconnect(tmp_path: Path) -> None:
    tracks, frames = broadcast((DATA / "bframes.mp4").read_bytes())
    async with stage(tmp_path / "data", PackagerConfig(dvr_storage="memory")) as scene:
        await scene.publish(*tracks)
        await scene.send(frames, watch=False)
        assert scene.publication is not None
        scene.publication.lose("gone")
        await settle()
        scales = {track.id: track.timescale for track in tracks}
        await scene.publish(*tracks)
        for frame in frames:
            frame.dts += 10 * scales[frame.track]
            frame.pts += 10 * scales[frame.track]
        await scene.send(frames, watch=False)
        scene.publication.end("done")
        await settle()
        assert len((await scene.media("v0")).segments) == 8
        await mirror(scene, tmp_path / "site")
    out = run("ffmpeg", "-v", "error", "-i", "master.m3u8", "-map", "0:v", "-f", "framemd5", "-", cwd=tmp_path / "site")
    assert len([line for line in out.splitlines() if not line.startswith("#")]) >= 480
