"""Segments on disk: written and removed by one thread, off the event loop.

Files mean nothing without the memory of the run that wrote them, so whatever an earlier run left is removed at the
start; a kill at any moment costs nothing but that.
"""

import contextlib
import queue
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

_log = structlog.get_logger("packager")

_QUEUE_BYTES = 64 * 1024 * 1024
"""Bytes that may wait for the disk; more are refused, as if the disk were full."""

_SETTLED = 60.0
"""Seconds without a failure after which the disk is called well again: on a full one, small files still fit."""

Done = Callable[[Path | None], None]
"""Called with the file, or None when it could not be written. Comes from the thread."""


@dataclass(frozen=True, slots=True)
class _Write:
    path: Path
    chunks: tuple[bytes, ...]
    size: int
    done: Done


@dataclass(frozen=True, slots=True)
class _Remove:
    path: Path


@dataclass(frozen=True, slots=True)
class _Barrier:
    reached: threading.Event


class DvrStore:
    """The DVR folder."""

    def __init__(self, folder: Path) -> None:
        """`folder` belongs to this store alone: it is emptied at start and stop."""
        self._folder = folder
        self._jobs: queue.SimpleQueue[_Write | _Remove | _Barrier | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting = 0
        self._lock = threading.Lock()
        self._failing = False
        self._failed_at = 0.0

    def start(self) -> None:
        """Empty the folder and begin. Does no harm where the folder cannot be written: writes fail one by one."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._thread = threading.Thread(target=self._run, name="dvr", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, and remove everything. Blocks: call it from a thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def flush(self) -> None:
        """Wait until all that was asked for so far is done. Blocks: call it from a thread."""
        barrier = _Barrier(threading.Event())
        self._jobs.put(barrier)
        barrier.reached.wait()

    def write(self, name: str, chunks: tuple[bytes, ...], size: int, done: Done) -> None:
        """Write a file `name` (relative, with folders) and call `done` from the thread."""
        with self._lock:
            full = self._waiting + size > _QUEUE_BYTES
            if not full:
                self._waiting += size
        if full:
            self._failed("the disk is too slow for what is being broadcast")
            done(None)
            return
        self._jobs.put(_Write(self._folder / name, chunks, size, done))

    def remove(self, path: Path) -> None:
        """Remove a file or a folder, some time."""
        self._jobs.put(_Remove(path))

    def folder(self, name: str) -> Path:
        """The path of a folder in this store."""
        return self._folder / name

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, _Write):
                self._write(job)
                with self._lock:
                    self._waiting -= job.size
            elif isinstance(job, _Remove):
                if job.path.is_dir():
                    shutil.rmtree(job.path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        job.path.unlink()
            else:
                job.reached.set()

    def _write(self, job: _Write) -> None:
        try:
            job.path.parent.mkdir(parents=True, exist_ok=True)
            with job.path.open("wb", buffering=0) as file:
                for chunk in job.chunks:
                    # A short write, which a full disk makes, raises at the next one.
                    view = memoryview(chunk)
                    while view:
                        view = view[file.write(view) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                job.path.unlink()
            self._failed(f"{error.strerror or error} ({self._folder})")
            job.done(None)
            return
        if self._failing and time.monotonic() - self._failed_at > _SETTLED:
            self._failing = False
            _log.info("the DVR folder can be written again")
        job.done(job.path)

    def _failed(self, reason: str) -> None:
        self._failed_at = time.monotonic()
        if not self._failing:
            self._failing = True
            _log.error(
                "cannot write the DVR folder: live playback goes on, but viewers can go back less far than configured",
                reason=reason,
            )
