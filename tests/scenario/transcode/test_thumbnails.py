"""Thumbnails with a worker in memory, on fake time: who makes work, who shares it, and what a bad worker costs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from tests.support.clock import FakeClock
from tests.support.packaged import audio, steady, video

from ghostlive.core.frame import Frame
from ghostlive.core.track import Track
from ghostlive.hub.config import HubConfig
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import Publication, Source
from ghostlive.transcode.config import TranscodeConfig
from ghostlive.transcode.thumbnails import Form, Thumbnail, Thumbnails, ThumbnailUnavailableError
from ghostlive.transcode.wire import Message, Picture, Ready, Stats, Still, WireError

JPEG = b"\xff\xd8\xff\xe0 picture "
WEBP = b"RIFF\0\0\0\0WEBP picture "
TRACK = video()

Answer = Callable[[Picture], Message | None]


def draw(picture: Picture) -> Still:
    head = JPEG if picture.form == "jpeg" else WEBP
    return Still(picture.number, head + picture.payload[:4])


class FakeWorker:
    """Does with pictures what its studio says."""

    def __init__(self, studio: "Studio") -> None:
        self.studio = studio
        self.inbox: asyncio.Queue[Message | WireError | None] = asyncio.Queue()
        self.alive = True
        if studio.ready:
            self.inbox.put_nowait(Ready(42))

    def send(self, message: Message) -> None:
        assert isinstance(message, Picture)
        self.studio.pictures.append(message)
        self.inbox.put_nowait(Stats(0.1, 1, 0, 0, 0))
        answer = self.studio.answer(message)
        if answer is not None:
            self.inbox.put_nowait(answer)

    async def receive(self) -> list[Message]:
        item = await self.inbox.get()
        if isinstance(item, WireError):
            raise item
        return [] if item is None else [item]

    def end(self) -> None:
        self.inbox.put_nowait(None)

    def kill(self) -> None:
        self.alive = False

    async def wait(self) -> str:
        self.alive = False
        return "was killed by SIGSEGV"


@dataclass
class Studio:
    """Thumbnails of a hub whose time a test moves."""

    clock: FakeClock = field(default_factory=FakeClock)
    config: TranscodeConfig = field(default_factory=TranscodeConfig)
    answer: Answer = draw
    ready: bool = True
    no_start: bool = False
    workers: list[FakeWorker] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hub = Hub(HubConfig(), self.clock)
        self.thumbnails = Thumbnails(self.hub, self.config, clock=self.clock, start_worker=self.start)

    async def start(self) -> FakeWorker:
        if self.no_start:
            raise OSError(11, "Resource temporarily unavailable")
        self.workers.append(FakeWorker(self))
        return self.workers[-1]

    def publish(self, name: str = "cam", *tracks: Track) -> Publication:
        publication = self.hub.publish(name, Source("test", "192.0.2.1"), lambda reason: None)
        publication.announce(tracks or (TRACK, audio()))
        return publication

    def broadcast(self, name: str = "cam") -> Publication:
        publication = self.publish(name)
        publication.write(keyframe(0))
        return publication

    async def get(self, name: str = "cam", form: Form = Form.JPEG) -> Thumbnail | None:
        return await self.thumbnails.get(name, form)

    async def data(self, name: str = "cam", form: Form = Form.JPEG) -> bytes:
        found = await self.get(name, form)
        assert found is not None
        return found.data

    async def refused(self, name: str = "cam") -> ThumbnailUnavailableError:
        with pytest.raises(ThumbnailUnavailableError) as caught:
            await self.get(name)
        return caught.value

    async def settled(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(20):
            await asyncio.sleep(0)


def keyframe(second: int, *, size: int = 40) -> Frame:
    return Frame("v0", second * 90000, second * 90000, True, f"{second:04}".encode() * (size // 4))


@asynccontextmanager
async def studio() -> AsyncIterator[Studio]:
    made = Studio()
    try:
        yield made
    finally:
        await made.thumbnails.stop()
        assert not any(worker.alive for worker in made.workers)


async def test_nothing_is_decoded_until_somebody_asks() -> None:
    async with studio() as stage:
        publication = stage.publish()
        for frame in steady(TRACK, 8):
            publication.write(frame)
        await stage.settled()
        assert not stage.workers
        assert (await stage.data()).startswith(JPEG)
        (asked,) = stage.pictures
        assert (asked.codec, asked.config, asked.form) == (TRACK.codec, TRACK.config, "jpeg")
        assert asked.payload == steady(TRACK, 8)[180].payload  # the newest keyframe


async def test_many_who_ask_at_once_share_one_decoding() -> None:
    async with studio() as stage:
        stage.broadcast()
        pictures = await asyncio.gather(*(stage.get() for _ in range(100)))
        assert len(stage.pictures) == 1
        assert len({id(picture) for picture in pictures}) == 1


async def test_a_picture_is_used_for_ten_seconds() -> None:
    async with studio() as stage:
        publication = stage.broadcast()
        first = await stage.get()
        publication.write(keyframe(2))
        stage.clock.advance(9.9)
        assert await stage.get() is first
        stage.clock.advance(0.2)
        second = await stage.get()
        assert first is not None
        assert second is not None
        assert second.data == JPEG + b"0002"
        assert second.etag != first.etag
        assert len(stage.pictures) == 2


async def test_the_same_keyframe_is_decoded_once_however_old_it_is() -> None:
    async with studio() as stage:
        stage.broadcast()
        first = await stage.get()
        stage.clock.advance(50)
        assert await stage.get() is first
        assert len(stage.pictures) == 1


async def test_both_forms_are_made() -> None:
    async with studio() as stage:
        stage.broadcast()
        assert await stage.data(form=Form.WEBP) == WEBP + b"0000"
        assert await stage.data(form=Form.JPEG) == JPEG + b"0000"
        assert len(stage.workers) == 1


async def test_one_worker_serves_all_streams_and_goes_after_a_minute() -> None:
    async with studio() as stage:
        publications = [stage.broadcast(name) for name in ("one", "two", "three")]
        await asyncio.gather(*(stage.get(name) for name in ("one", "two", "three")))
        stage.clock.advance(59)
        await stage.settled()
        assert [worker.alive for worker in stage.workers] == [True]
        stage.clock.advance(2)
        await stage.settled()
        assert [worker.alive for worker in stage.workers] == [False]
        for publication in publications:
            publication.write(keyframe(60))
        assert await stage.data("two") == JPEG + b"0060"
        assert len(stage.workers) == 2


async def test_offline_and_sound_only_have_none() -> None:
    async with studio() as stage:
        assert await stage.get("never-heard-of") is None
        publication = stage.broadcast()
        await stage.get()
        publication.end("goodbye")
        assert await stage.get() is None
        stage.publish("radio", audio()).write(Frame("a0", 0, 0, True, b"sound"))
        assert await stage.get("radio") is None
        assert len(stage.pictures) == 1


async def test_an_interrupted_stream_shows_its_last_picture_until_the_next_one() -> None:
    async with studio() as stage:
        publication = stage.broadcast()
        publication.lose("cable")
        stage.clock.advance(11)
        last = await stage.data()
        assert last == JPEG + b"0000"
        publication = stage.publish()
        assert await stage.data() == last  # no keyframe of the new publication has come yet
        publication.write(keyframe(12))
        assert await stage.data() == last  # ten seconds are not over
        stage.clock.advance(11)
        assert await stage.data() == JPEG + b"0012"


async def test_another_live_session_never_shows_the_old_picture() -> None:
    async with studio() as stage:
        stage.broadcast().end("goodbye")
        stage.broadcast()
        await stage.get()
        stage.hub.close()
        stage.publish().write(keyframe(7))
        assert await stage.data() == JPEG + b"0007"


async def test_before_the_first_keyframe_one_waits_for_it() -> None:
    async with studio() as stage:
        publication = stage.publish()
        live = stage.hub.streams()[0]
        asking = [asyncio.ensure_future(stage.data(form=form)) for form in (Form.JPEG, Form.WEBP, Form.JPEG)]
        await stage.settled()
        assert live.readers == 1
        publication.write(Frame("v0", 0, 0, False, b"no keyframe"))
        publication.write(keyframe(1))
        assert await asyncio.gather(*asking) == [JPEG + b"0001", WEBP + b"0001", JPEG + b"0001"]
        assert live.readers == 0


async def test_who_waited_for_a_keyframe_in_vain_is_asked_to_come_again() -> None:
    async with studio() as stage:
        stage.publish()
        asking = asyncio.ensure_future(stage.refused())
        await stage.settled()
        stage.clock.advance(10.1)
        error = await asking
        assert "no keyframe has come yet" in str(error)
        assert error.retry_after == 2
        ending = asyncio.ensure_future(stage.refused())
        await stage.settled()
        stage.hub.close()
        await ending
        assert not stage.workers


async def test_a_keyframe_that_cannot_be_decoded_is_told_and_left_alone() -> None:
    async with studio() as stage:
        publication = stage.broadcast()
        stage.answer = lambda picture: Still(picture.number, b"", "the keyframe\nis damaged")
        error = await stage.refused()
        assert "the keyframe is damaged" in str(error)
        assert error.retry_after == 10
        assert (await stage.refused()).retry_after == 10
        assert len(stage.pictures) == 1
        stage.answer = draw
        publication.write(keyframe(2))
        stage.clock.advance(10.1)
        assert await stage.data() == JPEG + b"0002"
        stage.answer = lambda picture: Still(picture.number, b"", "the keyframe is damaged")
        publication.write(keyframe(14))
        stage.clock.advance(10.1)
        assert await stage.data() == JPEG + b"0002"  # the old one is better than none


async def test_a_keyframe_too_large_to_hand_over_is_not() -> None:
    async with studio() as stage:
        stage.publish().write(keyframe(0, size=5_000_000))
        assert "too large" in str(await stage.refused())
        assert not stage.pictures


async def test_a_worker_that_dies_is_replaced_and_its_stream_left_alone() -> None:
    async with studio() as stage:
        killer = stage.broadcast("killer")
        stage.broadcast("innocent")

        def answer(picture: Picture) -> Message | None:
            if stage.pictures[-1].payload.startswith(b"9999"):
                stage.workers[-1].end()
                return None
            return draw(picture)

        stage.answer = answer
        await stage.get("killer")
        killer.write(keyframe(9999))
        stage.clock.advance(10.1)
        assert await stage.data("killer") == JPEG + b"0000"
        assert await stage.data("innocent") == JPEG + b"0000"
        assert len(stage.workers) == 2
        killer.write(Frame("v0", 9998, 9998, True, b"99990000"))
        stage.clock.advance(19)
        assert await stage.data("killer") == JPEG + b"0000"
        assert len(stage.pictures) == 3  # not tried
        stage.clock.advance(12)
        await stage.get("killer")
        assert len(stage.pictures) == 4
        killer.write(Frame("v0", 9997, 9997, True, b"99990000"))
        stage.clock.advance(31)
        await stage.get("killer")
        assert len(stage.pictures) == 4  # the second time for longer
        stage.clock.advance(31)
        await stage.get("killer")
        assert len(stage.pictures) == 5


async def test_the_first_picture_of_a_stream_that_kills_is_refused_with_the_reason() -> None:
    async with studio() as stage:
        stage.broadcast()

        def answer(picture: Picture) -> Message | None:
            stage.workers[-1].end()
            return None

        stage.answer = answer
        error = await stage.refused()
        assert "was killed by SIGSEGV" in str(error)
        assert error.retry_after == 30


async def test_a_worker_that_hangs_is_replaced_after_two_seconds() -> None:
    async with studio() as stage:
        stage.broadcast()
        stage.broadcast("next")
        stage.answer = lambda picture: None if len(stage.pictures) == 1 else draw(picture)
        hanging = asyncio.ensure_future(stage.refused())
        waiting = asyncio.ensure_future(stage.data("next"))
        await stage.settled()
        stage.clock.advance(1.9)
        await stage.settled()
        assert not hanging.done()
        stage.clock.advance(0.2)
        assert "did not answer within 2 s" in str(await hanging)
        assert await waiting == JPEG + b"0000"
        assert not stage.workers[0].alive


@pytest.mark.parametrize(
    "lie",
    [
        lambda picture: Still(picture.number + 1, JPEG),
        lambda picture: WireError("a Still that cannot be read"),
    ],
)
async def test_a_worker_that_talks_nonsense_is_replaced(lie: Answer) -> None:
    async with studio() as stage:
        stage.broadcast()
        stage.answer = lie
        await stage.refused()
        assert not stage.workers[0].alive


@pytest.mark.parametrize("data", [b"<script>", WEBP, JPEG + bytes(2_000_000), b""])
async def test_only_pictures_of_sane_size_are_handed_on(data: bytes) -> None:
    async with studio() as stage:
        stage.broadcast()
        stage.answer = lambda picture: Still(picture.number, data)
        assert "no jpeg" in str(await stage.refused())


async def test_who_has_an_old_picture_waits_a_second_and_who_has_none_ten() -> None:
    async with studio() as stage:
        publication = stage.broadcast()
        old = await stage.get()
        stage.broadcast("new")
        publication.write(keyframe(20))
        stage.clock.advance(20)
        stage.answer = lambda picture: None
        again = asyncio.ensure_future(stage.get())
        await stage.settled()
        stage.clock.advance(1.1)
        assert await again is old
        stage.ready = False
        first = asyncio.ensure_future(stage.refused("new"))
        await stage.settled()
        stage.clock.advance(1)  # the first one's two seconds are over; the next worker never gets ready
        await stage.settled()
        stage.clock.advance(9.1)
        assert "not ready yet" in str(await first)


async def test_a_system_without_room_for_a_worker_is_not_asked_all_the_time() -> None:
    async with studio() as stage:
        stage.broadcast()
        stage.no_start = True
        for _ in range(6):
            assert "cannot be started" in str(await stage.refused())
            stage.clock.advance(2)
            await stage.settled()
        error = await stage.refused()
        assert "rests" in str(error)
        assert 20 < error.retry_after <= 30
        stage.no_start = False
        stage.clock.advance(31)
        assert await stage.data() == JPEG + b"0000"


async def test_strangers_who_ask_for_many_streams_are_told_to_wait() -> None:
    async with studio() as stage:
        stage.ready = False
        names = [f"cam-{number}" for number in range(100)]
        for name in names:
            stage.broadcast(name)
        asking = [asyncio.ensure_future(stage.refused(name)) for name in names]
        await stage.settled()
        told = [task for task in asking if task.done()]
        assert len(told) == 100 - 32
        assert all("too many" in str(task.result()) for task in told)
        stage.clock.advance(10.1)
        await asyncio.gather(*asking)


async def test_decoding_takes_half_of_a_core_at_most() -> None:
    async with studio() as stage:
        stage.broadcast("one")
        stage.broadcast("two")

        def slowly(picture: Picture) -> Message:
            stage.clock.advance(1)
            return draw(picture)

        stage.answer = slowly
        both = asyncio.gather(stage.get("one"), stage.get("two"))
        await stage.settled()
        assert len(stage.pictures) == 1
        stage.clock.advance(0.9)
        await stage.settled()
        assert len(stage.pictures) == 1
        stage.clock.advance(0.2)
        await both
        assert len(stage.pictures) == 2


async def test_what_ended_is_forgotten() -> None:
    async with studio() as stage:
        for number in range(50):
            publication = stage.broadcast(f"cam-{number}")
            await stage.get(f"cam-{number}")
            publication.end("goodbye")
        assert len(stage.thumbnails._streams) == 1


@pytest.mark.parametrize("config", [TranscodeConfig(thumbnails=False), TranscodeConfig(enabled=False)])
async def test_the_operator_may_want_none(config: TranscodeConfig) -> None:
    stage = Studio(config=config)
    stage.broadcast()
    assert not stage.thumbnails.enabled
    assert await stage.get() is None
    await stage.thumbnails.stop()


async def test_the_end_answers_everybody() -> None:
    async with studio() as stage:
        stage.answer = lambda picture: None
        stage.broadcast("one")
        stage.broadcast("two")
        asking = [asyncio.ensure_future(stage.refused(name)) for name in ("one", "two")]
        await stage.settled()
        await stage.thumbnails.stop()
        assert ["stopping" in str(error) for error in await asyncio.gather(*asking)] == [True, True]
        assert "stopping" in str(await stage.refused("two"))
