"""A homeserver that has nothing but a few files."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ghostlive.chat.matrix.errors import api_error
from ghostlive.chat.matrix.mediastore import MediaStore, Stored

PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 100


class FakeDownload:
    def __init__(self, data: bytes, length: int | None) -> None:
        self._data = data
        self.length = length

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._data), 40):
            yield self._data[at : at + 40]


class FakeSource:
    """A homeserver with a few files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.thumbs: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, int]] = []
        self.status = 0
        self.told: int | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def _open(self, files: dict[str, bytes], media_id: str) -> AsyncIterator[FakeDownload]:
        await self.gate.wait()
        if self.status:
            raise api_error(self.status, {})
        if media_id not in files:
            raise api_error(404, {"errcode": "M_NOT_FOUND"})
        yield FakeDownload(files[media_id], self.told)

    @asynccontextmanager
    async def download(self, server: str, media_id: str) -> AsyncIterator[FakeDownload]:
        self.asked.append((server, media_id, 0))
        async with self._open(self.files, media_id) as download:
            yield download

    @asynccontextmanager
    async def thumbnail(self, server: str, media_id: str, *, width: int, height: int) -> AsyncIterator[FakeDownload]:
        self.asked.append((server, media_id, width))
        async with self._open(self.thumbs, media_id) as download:
            yield download


async def fetched(store: MediaStore, media_id: str, width: int | None = None) -> Stored:
    """What a page gets that asks for the file of that id."""
    return await store.load(await store.find(media_id), width)
