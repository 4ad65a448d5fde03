"""Pictures of the chat from the homeserver: who may ask for what, what comes, and what is kept."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest
from starlette.types import Message
from tests.support.clock import FakeClock
from tests.support.database import prepare
from tests.support.pictures import PNG, FakeSource, fetched

from ghostlive.chat.matrix import mediastore
from ghostlive.chat.matrix.media import parse_mxc, path_of, picture_of, record_of
from ghostlive.chat.matrix.mediastore import AwayError, MediaError, MediaStore, NoMediaError, NotShownError, sniff
from ghostlive.db.chat import ChatRepository, MediaRecord
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.web.chatmedia import ChatMedia

JPEG = b"\xff\xd8\xff\xe0" + b"j" * 50
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class House:
    """A store over a real database and a real folder."""

    def __init__(self, repository: ChatRepository, folder: Path) -> None:
        self.repository = repository
        self.folder = folder
        self.clock = FakeClock()
        self.source = FakeSource()
        self.build()

    def build(self, *, limit: int = 10_000, most: int = 1000) -> None:
        self.store = MediaStore(
            repository=self.repository, folder=self.folder, clock=self.clock, limit=limit, most=most
        )
        self.store.source = self.source
        self.web = ChatMedia(self.store)

    async def add(self, name: str, data: bytes | None = None, content_type: str = "image/png") -> MediaRecord:
        """A file that stood in a message."""
        record = record_of(f"mxc://chat.test/{name}", content_type)
        assert record is not None
        async with self.repository.transaction() as transaction:
            await transaction.add_media([record], at=NOW)
        if data is not None:
            self.source.files[name] = data
        return record

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """What a browser is answered."""
        path, _, query = path.partition("?")
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        assert self.web.handles(path, query.encode())
        await self.web(scope, receive, send)
        answer = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], answer, b"".join(message["body"] for message in sent[1:])


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    prepare(tmp_path)
    async with Database(DatabaseConfig(), tmp_path) as database:
        house = House(ChatRepository(database), tmp_path / "media")
        yield house
        await house.store.stop()


async def test_a_picture_is_fetched_once_and_safe_to_show(house: House) -> None:
    record = await house.add("cat", PNG)
    status, headers, body = await house.get(path_of(record))
    assert (status, body) == (200, PNG)
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == str(len(PNG))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'; sandbox")
    again = await house.get(path_of(record), if_none_match=headers["etag"])
    assert (again[0], again[2]) == (304, b"")
    assert (await house.get(path_of(record), "HEAD"))[2] == b""
    assert (await house.get(path_of(record), "POST"))[0] == 405
    assert house.source.asked == [("chat.test", "cat", 0)]


async def test_only_what_stood_in_a_message_can_be_asked_for(house: House) -> None:
    house.source.files["secret"] = PNG
    other = record_of("mxc://chat.test/secret")
    assert other is not None
    for path in (path_of(other), "/api/v1/chat/media/", "/api/v1/chat/media/../x", "/api/v1/chat/media/" + "A" * 22):
        assert (await house.get(path))[0] == 404
    assert (await house.get("/api/v1/chat/media/mxc://evil.test/x"))[0] == 404
    assert house.source.asked == []


@pytest.mark.parametrize(
    "data",
    [
        b"", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
        b"<html>", b"GIF", b"%PDF-1.4", b"RIFF0000WAVE",
        b"\0\0\0\x20ftypisom", b"<?xml version='1.0'?>", b"\x89PNG",
    ],
)  # fmt: skip
async def test_what_is_no_picture_is_not_passed_on_whatever_it_says(house: House, data: bytes) -> None:
    record = await house.add("x", data)
    status, headers, body = await house.get(path_of(record))
    assert status == 415
    assert headers["content-type"] == "application/problem+json"
    assert data == b"" or data not in body
    assert not list(house.folder.glob("*"))


def test_pictures_are_known_by_their_first_bytes() -> None:
    heads = (PNG, JPEG, b"GIF89a..", b"RIFF\1\2\3\4WEBPVP8 ", b"\0\0\0\x1cftypavif")
    kinds = [sniff(head) for head in heads]
    assert kinds == ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]


async def test_what_is_too_large_stops_where_it_is_too_large(house: House) -> None:
    record = await house.add("big", PNG + b"x" * 10_000)
    with pytest.raises(NotShownError):
        await fetched(house.store, record.id)
    house.clock.advance(61)
    house.source.told = 10**9
    house.source.files["big"] = PNG
    with pytest.raises(NotShownError):
        await fetched(house.store, record.id)


async def test_thumbnails_have_a_few_widths_and_the_file_stands_in_for_one(house: House) -> None:
    record = await house.add("cat", PNG)
    house.source.thumbs["cat"] = JPEG
    for width in (1, 90, 96):
        stored = await fetched(house.store, record.id, width)
        assert stored.content_type == "image/jpeg"
    assert house.source.asked == [("chat.test", "cat", 96)]
    assert (await house.get(path_of(record, 640)))[1]["content-type"] == "image/jpeg"
    assert (await house.get(path_of(record) + "?w=99999"))[1]["content-type"] == "image/png"
    assert (await house.get(path_of(record) + "?w=x&w=-1"))[1]["content-type"] == "image/png"
    dog = await house.add("dog", PNG)
    assert (await fetched(house.store, dog.id, 320)).content_type == "image/png"


async def test_many_who_want_the_same_wait_for_one(house: House) -> None:
    record = await house.add("cat", PNG)
    house.source.gate.clear()
    tasks = [asyncio.create_task(fetched(house.store, record.id)) for _ in range(20)]
    while not house.source.asked:
        await asyncio.sleep(0)
    tasks[0].cancel()  # a browser that left does not take it away from the others
    house.source.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 19
    assert len(house.source.asked) == 1


async def test_failures_are_told_apart_and_not_asked_for_again_at_once(house: House) -> None:
    record = await house.add("gone")
    with pytest.raises(NoMediaError):
        await fetched(house.store, record.id)
    with pytest.raises(NoMediaError):
        await fetched(house.store, record.id)
    assert len(house.source.asked) == 1
    house.clock.advance(61)
    house.source.status = 500
    with pytest.raises(AwayError):
        await fetched(house.store, record.id)
    house.clock.advance(61)
    house.source.status = 0
    house.source.files["gone"] = PNG
    assert (await fetched(house.store, record.id)).size == len(PNG)
    house.store.source = None
    other = await house.add("other", PNG)
    status, headers, _ = await house.get(path_of(other))
    assert (status, headers["retry-after"]) == (503, "30")
    assert (await house.get(path_of(record)))[0] == 200


async def test_the_cache_has_a_limit_and_is_there_after_a_restart(house: House) -> None:
    house.build(limit=3 * len(PNG))
    records = [await house.add(f"f{number}", PNG) for number in range(5)]
    for record in records:
        await fetched(house.store, record.id)
    assert len(list(house.folder.iterdir())) == 3
    (house.folder / "left.png.0.part").write_bytes(b"x")
    house.build(limit=3 * len(PNG))
    await house.store.start()
    await fetched(house.store, records[-1].id)
    assert len(house.source.asked) == 5
    await fetched(house.store, records[0].id)
    assert len(house.source.asked) == 6


@pytest.mark.parametrize("call", ["write", "fsync"])
async def test_a_full_disk_is_said_and_leaves_no_half_of_a_picture(
    house: House, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    kept, record = await house.add("kept", PNG), await house.add("cat", PNG)
    await house.get(path_of(kept))
    with monkeypatch.context() as full:
        full.setattr(*(os, "fsync", _no_space) if call == "fsync" else (mediastore, "_put", _half))
        status, headers, body = await house.get(path_of(record))
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert headers["retry-after"] == "30"
        assert b"cannot be stored" in body
        assert (await house.get(path_of(kept)))[2] == PNG, "what is there can be had"
    assert [path.name for path in house.folder.iterdir()] == [f"{kept.id}.png"]
    house.clock.advance(61)
    assert (await house.get(path_of(record)))[2] == PNG, "there is room again"


def _half(file: BinaryIO, data: bytes) -> None:
    file.write(data[: len(data) // 2])
    _no_space(0)


def _no_space(_file: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_file_that_was_taken_from_the_disk_is_fetched_again(house: House) -> None:
    record = await house.add("cat", PNG)
    (await fetched(house.store, record.id)).path.unlink()
    assert (await house.get(path_of(record)))[2] == PNG
    assert len(house.source.asked) == 2


async def test_whatever_is_asked_for_is_answered(house: House) -> None:
    for text in ("%00", "a" * 5000, "ä", "..%2f..", "A" * 21 + "\n"):
        with pytest.raises(MediaError):
            await fetched(house.store, text)


def test_what_is_no_address_of_media() -> None:
    for text in (
        "",
        "mxc:",
        "mxc://",
        "mxc://a",
        "mxc://a/",
        "http://a/b",
        "mxc://a/b/c",
        "mxc://a/../b",
        "mxc://a b/c",
    ):
        assert parse_mxc(text) is None
    assert parse_mxc("mxc://[2001:db8::1]:8448/Ab_-9") == ("[2001:db8::1]:8448", "Ab_-9")


def test_what_a_picture_says_of_itself_is_taken_with_care() -> None:
    content = {"url": "mxc://a/b", "body": "x", "info": {"w": -1, "h": 2**60, "size": "1", "mimetype": "image/png"}}
    found = picture_of(content)
    assert found is not None
    assert (found[0]["width"], found[0]["height"], found[0]["size"]) == (None, None, None)
    assert picture_of({**content, "info": {"mimetype": "text/html"}}) is None
    huge = picture_of({**content, "info": {"mimetype": "image/png", "size": 10**9}})
    assert huge is not None
    assert huge[0]["url"].endswith("?w=1280")
    small = picture_of({**content, "info": {"mimetype": "image/gif", "size": 1000}})
    assert small is not None
    assert small[0]["thumb"] == small[0]["url"]  # so that it moves
