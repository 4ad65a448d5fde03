"""Files of Matrix for pages: fetched from the homeserver once, looked at, and kept on disk up to a limit.

The homeserver's files need a token (Client-Server API, "Content repository", v1.11), so pages get them from us. What
may be asked for stands in `chat_media`, so nobody chooses an address: only ids come in, and only our own homeserver is
asked. What a file says that it is counts for nothing; its first bytes have to be those of a picture that pages show.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.errors import ChatError
from ghostlive.chat.matrix.media import ID, MOST_BYTES, WIDTHS, parse_mxc
from ghostlive.core.clock import Clock
from ghostlive.db.chat import ChatRepository, MediaRecord

_log = structlog.get_logger("matrix")

CACHE: Final = 256 * 1024 * 1024
"""Bytes that are kept on disk."""
_AT_ONCE: Final = 6
_WAITING: Final = 200
"""Files that are fetched at once, and that may wait to be."""
_PATIENCE: Final = 30.0
"""Seconds for one file."""
_FAILED_FOR: Final = 60.0
"""Seconds for which a file that could not be had is not asked for again."""
_FAILURES: Final = 1000
_HEAD: Final = 32
_NAMES: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
}
_TYPES: Final = {name: kind for kind, name in _NAMES.items()}


class MediaError(ChatError):
    """A file cannot be had; `status` is HTTP's."""

    status: ClassVar[int] = 404


class NoMediaError(MediaError):
    """There is no such file, or nobody has it any more."""


class NotShownError(MediaError):
    """It is too large, or nothing that pages show."""

    status = 415


class AwayError(MediaError):
    """It cannot be had at the moment."""

    status = 503


class Download(Protocol):
    """A file on its way."""

    @property
    def length(self) -> int | None:
        """Bytes that it says it has."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The file in pieces."""


class Source(Protocol):
    """The homeserver; `matrix.client.MatrixClient` is the real one. Raises a `ChatError` that may have `status`."""

    def download(self, server: str, media_id: str) -> AbstractAsyncContextManager[Download]:
        """A file."""

    def thumbnail(
        self, server: str, media_id: str, *, width: int, height: int
    ) -> AbstractAsyncContextManager[Download]:
        """A small picture of it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file on disk."""

    path: Path
    content_type: str
    size: int
    name: str
    """Says which file it is; another file has another one."""


class MediaStore:
    """The files of one server. `start` before use."""

    def __init__(
        self, *, repository: ChatRepository, folder: Path, clock: Clock, limit: int = CACHE, most: int = MOST_BYTES
    ) -> None:
        """`folder` is ours; `limit` bytes are kept in it, none larger than `most`."""
        self._repository = repository
        self._folder = folder
        self._clock = clock
        self._limit = limit
        self._most = most
        self.source: Source | None = None
        """The homeserver; None while there is none."""
        self._files: OrderedDict[str, Stored] = OrderedDict()
        """By id and width; the one used last is at the end."""
        self._bytes = 0
        self._failed: OrderedDict[str, tuple[float, MediaError]] = OrderedDict()
        self._fetching: dict[str, asyncio.Task[Stored]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def start(self) -> None:
        """Find out what is there. A folder that cannot be used is as good as an empty one."""
        try:
            found = await asyncio.to_thread(_scan, self._folder)
        except OSError as error:
            _log.warning("the cache of pictures cannot be read", folder=str(self._folder), error=str(error))
            return
        for key, stored in found:
            self._files[key] = stored
            self._bytes += stored.size
        await self._make_room()

    async def stop(self) -> None:
        """End what is under way."""
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def find(self, media_id: str) -> MediaRecord:
        """The file that pages may get under that id. Raises a `MediaError`."""
        if not ID.fullmatch(media_id):
            raise NoMediaError("There is no such file.")
        try:
            record = await self._repository.media(media_id)
        except (OSError, SQLAlchemyError) as error:
            raise AwayError("Files cannot be looked up at the moment.") from error
        if record is None:  # also when it was here: who takes a message away takes its picture away
            raise NoMediaError("There is no such file.")
        return record

    async def load(self, record: MediaRecord, width: int | None = None) -> Stored:
        """A file, or a picture of it that is at least `width` pixels wide; whoever asks may have it.

        Raises a `MediaError`.
        """
        media_id, mxc = record.id, parse_mxc(record.mxc)
        if mxc is None:
            raise NoMediaError("There is no such file.")
        if width is not None:
            width = next((one for one in WIDTHS if one >= width), None)
        key = media_id if width is None else f"{media_id}.{width}"
        if (stored := self._files.get(key)) is not None:
            self._files.move_to_end(key)
            return stored
        failed = self._failed.get(key)
        if failed is not None and self._clock.now() < failed[0]:
            raise failed[1]
        task = self._fetching.get(key)
        if task is None:
            if self.source is None:
                raise AwayError("The homeserver that has this file is not there at the moment.")
            if len(self._fetching) >= _WAITING:
                raise AwayError("Too many files are being fetched at the moment.")
            fetch = self._fetch(key, self.source, server=mxc.server, media_id=mxc.media_id, width=width)
            task = self._fetching[key] = asyncio.create_task(fetch, name=f"media {key}")
            task.add_done_callback(lambda task: self._fetched(key, task))
        return await asyncio.shield(task)

    async def read(self, record: MediaRecord, width: int | None = None) -> tuple[Stored, bytes]:
        """The same with what is in it."""
        stored = await self.load(record, width)
        try:
            return stored, await asyncio.to_thread(stored.path.read_bytes)
        except OSError:  # it was taken away, as the cache is full or by somebody
            self.forget(stored)
        stored = await self.load(record, width)
        try:
            return stored, await asyncio.to_thread(stored.path.read_bytes)
        except OSError as error:
            raise AwayError("That file cannot be had at the moment.") from error

    def forget(self, stored: Stored) -> None:
        """That file is not there any more."""
        if self._files.get(stored.name) is stored:
            del self._files[stored.name]
            self._bytes -= stored.size

    def _fetched(self, key: str, task: "asyncio.Task[Stored]") -> None:
        self._fetching.pop(key, None)
        if not task.cancelled() and isinstance(error := task.exception(), MediaError):
            self._failed.pop(key, None)
            self._failed[key] = (self._clock.now() + _FAILED_FOR, error)
            if len(self._failed) > _FAILURES:
                self._failed.popitem(last=False)

    async def _fetch(self, key: str, source: Source, *, server: str, media_id: str, width: int | None) -> Stored:
        async with self._places:
            try:
                async with asyncio.timeout(_PATIENCE):
                    stored = await self._load(key, source, server=server, media_id=media_id, width=width)
            except TimeoutError as error:
                raise AwayError("The homeserver takes too long.") from error
            except OSError as error:
                _log.warning("a picture could not be stored", error=str(error))
                raise AwayError("Files cannot be stored at the moment.") from error
            except MediaError:
                raise
            except ChatError as error:
                raise _refused(error) from error
        self._files[key] = stored
        self._bytes += stored.size
        await self._make_room()
        return stored

    async def _load(self, key: str, source: Source, *, server: str, media_id: str, width: int | None) -> Stored:
        if width is not None:
            try:
                async with source.thumbnail(server, media_id, width=width, height=width) as download:
                    return await self._save(key, download)
            except AwayError:
                raise
            except ChatError as error:  # of what the homeserver makes no small picture, there may be the file
                _log.debug("there is no thumbnail", error=str(error))
        async with source.download(server, media_id) as download:
            return await self._save(key, download)

    async def _save(self, key: str, download: Download) -> Stored:
        """Write it beside, and give it its name when all of it is there and is a picture."""
        if download.length is not None and download.length > self._most:
            raise NotShownError("That file is too large to be shown.")
        data = bytearray()
        async for chunk in download.chunks():
            data += chunk
            if len(data) > self._most:
                raise NotShownError("That file is too large to be shown.")
        content_type = sniff(bytes(data[:_HEAD]))
        if content_type is None:
            raise NotShownError("That file is no picture that is shown here.")
        path = self._folder / f"{key}.{_NAMES[content_type]}"
        await asyncio.to_thread(_write, path, bytes(data))
        return Stored(path, content_type, len(data), key)

    async def _make_room(self) -> None:
        """Forget what was not asked for since longest."""
        gone = []
        while self._bytes > self._limit and len(self._files) > 1:
            _, stored = self._files.popitem(last=False)
            self._bytes -= stored.size
            gone.append(stored.path)
        if gone:
            await asyncio.to_thread(_remove, gone)


def sniff(head: bytes) -> str | None:
    """What a file is by its first bytes, of those that pages show; None for anything else."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "image/avif"
    return None


def _refused(error: ChatError) -> MediaError:
    status = getattr(error, "status", None)
    if status == 404:
        return NoMediaError("Nobody has that file any more.")
    if status == 413:
        return NotShownError("That file is too large to be shown.")
    return AwayError("That file cannot be had at the moment.")


def _scan(folder: Path) -> list[tuple[str, Stored]]:
    """What is there, the oldest first. What was not written to its end goes."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    found = []
    for entry in os.scandir(folder):
        name, _, ending = entry.name.rpartition(".")
        if ending in _TYPES:
            status = entry.stat()
            found.append((status.st_mtime, name, Stored(Path(entry.path), _TYPES[ending], status.st_size, name)))
        elif ending == "part" and time.time() - entry.stat().st_mtime > _PATIENCE:
            os.unlink(entry.path)
    return [(name, stored) for _, name, stored in sorted(found, key=lambda one: one[:2])]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            _put(file, data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _put(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())  # a disk may say only now that it is full


def _remove(paths: list[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
