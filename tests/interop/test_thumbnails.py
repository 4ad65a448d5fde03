"""Pictures of streams, made by the real worker from what real encoders made, whole and damaged, and over HTTP."""

import asyncio
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import av
import pytest
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.program import get, wait_for

from ghostlive.core.clock import SystemClock
from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track
from ghostlive.hub.config import HubConfig
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import Publication, Source
from ghostlive.transcode.config import TranscodeConfig
from ghostlive.transcode.process import WorkerLimits, WorkerProcess
from ghostlive.transcode.thumbnails import Form, Thumbnail, Thumbnails, ThumbnailUnavailableError

pytestmark = pytest.mark.interop

RED, BLUE = (220, 30, 30), (30, 60, 200)
_X265 = ("libx265", "-x265-params", "log-level=none")


@dataclass(frozen=True)
class Sample:
    """A keyframe: red on the left, blue on the right."""

    codec: Codec
    encoder: tuple[str, ...]
    size: tuple[int, int] = (1280, 720)
    filters: str = ""
    shown: tuple[int, int] = (640, 360)


SAMPLES = {
    "h264": Sample(Codec.H264, ("libx264",)),
    "h264 high 4:2:2 10 bit": Sample(Codec.H264, ("libx264", "-pix_fmt", "yuv422p10le")),
    "h264 4:4:4": Sample(Codec.H264, ("libx264", "-pix_fmt", "yuv444p")),
    "h264 interlaced": Sample(Codec.H264, ("libx264", "-flags", "+ilme+ildct")),
    "h264 upright": Sample(Codec.H264, ("libx264",), size=(720, 1280), shown=(360, 640)),
    "h264 full range": Sample(Codec.H264, ("libx264",), filters=",scale=out_range=full"),
    "h264 anamorphic": Sample(
        Codec.H264, ("libx264", "-aspect", "16:9"), size=(720, 576), filters=",setsar=64/45", shown=(640, 360)
    ),
    "h264 small and odd": Sample(Codec.H264, ("libx264", "-pix_fmt", "yuv444p"), size=(161, 91), shown=(160, 90)),
    "h265": Sample(Codec.H265, _X265),
    "h265 main 10": Sample(Codec.H265, (*_X265, "-pix_fmt", "yuv420p10le")),
    "av1": Sample(Codec.AV1, ("libsvtav1", "-preset", "10")),
    "vp8": Sample(Codec.VP8, ("libvpx", "-deadline", "realtime")),
    "vp9": Sample(Codec.VP9, ("libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")),
}


@cache
def encoded(name: str, folder: Path) -> tuple[Track, bytes]:
    """The track of a sample and the payload of its keyframe."""
    sample = SAMPLES[name]
    return encode(sample, folder / f"{name.replace('/', ' ')}.{'webm' if sample.codec is Codec.VP8 else 'mp4'}")


def encode(sample: Sample, path: Path) -> tuple[Track, bytes]:
    """The track and the payload of the keyframe, as an ingest hands them to the hub."""
    width, height = sample.size
    half = f"size={width}x{height}:rate=25:duration=0.2"
    red, blue = (f"#{bytes(colour).hex()}" for colour in (RED, BLUE))
    matrix = "bt601" if sample.codec is Codec.VP8 else "bt709"
    subprocess.run(
        [
            "ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y",
            "-f", "lavfi", "-i", f"color={red}:{half}", "-f", "lavfi", "-i", f"color={blue}:{half}",
            "-filter_complex",
            f"[0][1]overlay=x={width // 2}:format=rgb,scale=out_color_matrix={matrix}{sample.filters}",
            "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
            "-c:v", sample.encoder[0], "-pix_fmt", "yuv420p", *sample.encoder[1:], str(path),
        ],
        check=True,
        timeout=60,
    )  # fmt: skip
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        payload = next(bytes(packet) for packet in container.demux(stream) if packet.is_keyframe)
        config = bytes(stream.codec_context.extradata or b"")
    return Track("v0", sample.codec, 90_000, config, "", width=width, height=height), payload


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stills")


class Gallery:
    """Thumbnails with a real worker."""

    def __init__(self) -> None:
        self.hub = Hub(HubConfig())
        self.workers: list[WorkerProcess] = []
        self.thumbnails = Thumbnails(
            self.hub, TranscodeConfig(silent_after=20), clock=SystemClock(), start_worker=self.start
        )

    async def start(self) -> WorkerProcess:
        self.workers.append(await WorkerProcess.start(limits=WorkerLimits(memory=2**30), name="thumbnails"))
        return self.workers[-1]

    def show(self, name: str, track: Track, payload: bytes) -> Publication:
        publication = self.hub.publish(name, Source("test", "192.0.2.1"), lambda reason: None)
        publication.announce([track])
        publication.write(Frame(track.id, 0, 0, True, payload))
        return publication

    async def get(self, name: str, form: Form = Form.JPEG) -> Thumbnail:
        found = await self.thumbnails.get(name, form)
        assert found is not None
        return found


@asynccontextmanager
async def gallery() -> AsyncIterator[Gallery]:
    made = Gallery()
    try:
        yield made
    finally:
        await made.thumbnails.stop()


def look(data: bytes, form: Form) -> tuple[tuple[int, int], list[int]]:
    """The size of a picture, and the colours of its left and its right quarter, as ffmpeg reads them."""
    demuxer = {"jpeg": "jpeg_pipe", "webp": "webp_pipe"}[form]

    def run(*arguments: str) -> bytes:
        return subprocess.run(
            ["ffmpeg", "-loglevel", "error", "-xerror", "-f", demuxer, "-i", "-", *arguments, "-f", "rawvideo", "-"],
            input=data,
            stdout=subprocess.PIPE,
            check=True,
            timeout=60,
        ).stdout

    size = subprocess.run(
        ["ffprobe", "-loglevel", "error", "-f", demuxer, "-show_entries", "stream=width,height", "-of", "csv=p=0", "-"],
        input=data,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    ).stdout
    width, height = map(int, size.split(b","))
    pixels = run("-vf", "scale=4:1:flags=area,format=rgb24")
    return (width, height), [*pixels[0:3], *pixels[9:12]]


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_keyframe_of_every_codec_becomes_a_picture(name: str, folder: Path) -> None:
    track, payload = await asyncio.to_thread(encoded, name, folder)
    async with gallery() as stage:
        stage.show("cam", track, payload)
        for form in Form:
            picture = await stage.get("cam", form)
            size, colours = await asyncio.to_thread(look, picture.data, form)
            assert size == SAMPLES[name].shown
            assert colours == pytest.approx([*RED, *BLUE], abs=16)
            assert len(picture.data) < 40_000


@pytest.mark.parametrize(("transfer", "code"), [("smpte2084", 0.58), ("arib-std-b67", 0.75)])
async def test_the_white_of_high_dynamic_range_is_white(transfer: str, code: float, folder: Path) -> None:
    """Reference white (203 cd/m², ITU-R BT.2408) would be a grey of 148 or 191 if it was taken for ordinary video."""
    luma = round(64 + 876 * code)
    sample = Sample(
        Codec.H265,
        (
            "libx265", "-pix_fmt", "yuv420p10le",
            "-x265-params", f"log-level=none:colorprim=bt2020:colormatrix=bt2020nc:transfer={transfer}",
        ),
        filters=f",format=yuv420p10le,lutyuv=y={luma}:u=512:v=512",
    )  # fmt: skip
    track, payload = await asyncio.to_thread(encode, sample, folder / f"{transfer}.mp4")
    async with gallery() as stage:
        stage.show("cam", track, payload)
        picture = await stage.get("cam")
        _, colours = await asyncio.to_thread(look, picture.data, Form.JPEG)
        assert colours == pytest.approx([236] * 6, abs=6)


def damaged(name: str, seed: int, track: Track, payload: bytes) -> tuple[Track, bytes]:
    """Flipped bits, a missing end, or a broken configuration."""
    chance = random.Random(f"{name} {seed}")
    data, config = bytearray(payload), bytearray(track.config)
    for _ in range(chance.choice([1, 4, 40])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    if chance.random() < 0.3:
        del data[chance.randrange(len(data)) :]
    if config and chance.random() < 0.3:
        config[chance.randrange(len(config))] ^= 1 << chance.randrange(8)
    return replace(track, config=bytes(config)), bytes(data)


@pytest.mark.parametrize("name", ["h264", "h265", "av1", "vp8", "vp9"])
async def test_fifty_damaged_keyframes_cost_nobody_else_a_picture(name: str, folder: Path) -> None:
    track, payload = await asyncio.to_thread(encoded, name, folder)
    outcomes = []
    async with gallery() as stage:
        for seed in range(50):
            stage.show(f"bad-{seed}", *damaged(name, seed, track, payload)).lose("cut")
            try:
                picture = await stage.get(f"bad-{seed}")
                assert picture.data.startswith(b"\xff\xd8\xff")
                outcomes.append("picture")
            except ThumbnailUnavailableError as error:
                outcomes.append(str(error))
        stage.show("good", track, payload)
        assert (await stage.get("good")).data
        assert len(stage.workers) <= 3, outcomes
    assert any("There is no picture" in outcome for outcome in outcomes)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
async def test_a_worker_that_is_killed_is_replaced(number: signal.Signals, folder: Path) -> None:
    track, payload = await asyncio.to_thread(encoded, "h264", folder)
    async with gallery() as stage:
        stage.show("one", track, payload)
        stage.show("two", track, payload)
        await stage.get("one")
        os.kill(stage.workers[0].pid, number)
        with pytest.raises(ThumbnailUnavailableError, match=number.name):
            await stage.get("two")
        stage.show("three", track, payload)
        assert (await stage.get("three")).data
        assert len(stage.workers) == 2


@pytest.fixture
def broadcast(channel: Channel) -> Iterator[Channel]:
    """Colour bars that move, from ffmpeg."""
    with publishing(channel.publish_url, Picture(width=1280, height=720)):
        channel.wait_until("live")
        yield channel


def test_a_live_stream_has_a_picture_at_two_addresses(broadcast: Channel) -> None:
    info = broadcast.program.stream(broadcast.name)
    assert info["thumbnail"] == f"/app/{broadcast.name}/thumb.webp"
    for file, form in (("thumb.jpg", Form.JPEG), ("thumb.webp", Form.WEBP)):
        url = broadcast.url(file)
        answer = wait_for("a picture", lambda url=url: _ok(url), timeout=40)
        size, _ = look(answer.content, form)
        assert size == (640, 360)
        assert answer.headers["content-type"] == f"image/{form}"
        assert answer.headers["cache-control"] == "public, max-age=10"
        assert get(url, headers={"if-none-match": answer.headers["etag"]}).status_code in (200, 304)
    page = get(broadcast.page).text
    assert f'<meta property="og:image" content="{broadcast.url("thumb.jpg")}" />' in page
    assert get(broadcast.url("thumb.png")).status_code == 404


def _ok(url: str) -> "object":
    answer = get(url)
    assert answer.status_code in (200, 503), answer.text
    return answer if answer.status_code == 200 else None


def test_who_is_offline_has_none(channel: Channel) -> None:
    answer = get(channel.url("thumb.jpg"))
    assert answer.status_code == 404
    assert "not live" in answer.json()["detail"]
    nobody = channel.url("thumb.jpg").replace(channel.name, "nobody-knows-me")
    assert get(nobody).status_code == 404
