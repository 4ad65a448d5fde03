"""Worker processes: nothing is left of them, and their end is put in words."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ghostlive.transcode import process as module
from ghostlive.transcode.process import WorkerLimits, WorkerProcess, clean
from ghostlive.transcode.wire import Picture, Ready, Start, Stats

LIMITS = WorkerLimits(memory=2 * 1024**3)
PATIENCE = 60.0
"""Seconds for an end that is to come by itself, however busy the machine is."""


async def ready() -> WorkerProcess:
    worker = await WorkerProcess.start(limits=LIMITS, name="test")
    while not any(isinstance(message, Ready) for message in await worker.receive()):
        pass
    return worker


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_it_starts_lives_and_ends_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHOSTLIVE_DATABASE__URL", "postgresql://secret")
    monkeypatch.setattr(module, "_GOODBYE", PATIENCE)
    before = descriptors()
    worker = await ready()
    assert b"GHOSTLIVE" not in await asyncio.to_thread(Path(f"/proc/{worker.pid}/environ").read_bytes)
    assert any(isinstance(message, Stats) for message in await worker.receive())
    assert await worker.wait() == "exited with 0"
    assert await worker.wait() == "exited with 0"
    assert worker.ended
    assert descriptors() == before


async def test_a_crash_in_words() -> None:
    worker = await ready()
    os.kill(worker.pid, signal.SIGSEGV)
    while await worker.receive():
        pass
    worker.send(Start(1, None, ()))  # type: ignore[arg-type]  # nobody hears it
    await worker.drain()
    assert await worker.wait() == "was killed by SIGSEGV"


async def test_one_that_does_not_end_is_killed() -> None:
    worker = await ready()
    os.kill(worker.pid, signal.SIGSTOP)
    assert await worker.wait() == "was killed by SIGKILL"


async def test_killed_at_once() -> None:
    worker = await ready()
    worker.kill()
    assert await worker.wait() == "was killed by SIGKILL"
    worker.kill()


async def test_its_last_words_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GOODBYE", PATIENCE)
    worker = await ready()
    worker._writer.write(b"\0\0\0\1\xff")
    while await worker.receive():
        pass
    said = await worker.wait()
    assert said.startswith("exited with 1: ")
    assert "a message of kind 255" in said


async def test_one_that_takes_nothing_holds_the_sender_back() -> None:
    worker = await ready()
    os.kill(worker.pid, signal.SIGSTOP)
    for _ in range(4):
        worker.send(Picture(1, "h264", b"", bytes(2**20), 16, 16, "jpeg"))  # type: ignore[arg-type]
    waiting = asyncio.ensure_future(worker.drain())
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    worker.kill()
    await waiting
    await worker.wait()


async def test_cancelled_while_it_starts_leaves_nothing() -> None:
    before = descriptors()
    for rounds in range(12):
        starting = asyncio.ensure_future(WorkerProcess.start(limits=LIMITS, name="test"))
        for _ in range(rounds):
            await asyncio.sleep(0.0002)
        if not starting.done():
            starting.cancel()
        try:
            worker = await starting
        except asyncio.CancelledError:
            continue
        worker.kill()
        await worker.wait()
    # Transports close their sockets in the next rounds of the loop.
    for _ in range(4):
        await asyncio.sleep(0)
    assert descriptors() == before


async def test_cancelled_when_it_is_nearly_there_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()
    loop = asyncio.get_running_loop()
    connect = loop.connect_read_pipe

    async def cancelled(*arguments: Any) -> Any:
        starting.cancel()
        return await connect(*arguments)

    monkeypatch.setattr(loop, "connect_read_pipe", cancelled)
    starting = asyncio.ensure_future(WorkerProcess.start(limits=LIMITS, name="test"))
    with pytest.raises(asyncio.CancelledError):
        await starting
    for _ in range(4):
        await asyncio.sleep(0)
    assert descriptors() == before


async def test_no_room_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = descriptors()
    monkeypatch.setattr(module, "_spawn", full)
    with pytest.raises(OSError, match="temporarily unavailable"):
        await WorkerProcess.start(limits=LIMITS, name="test")
    assert descriptors() == before


def test_what_a_worker_says_is_fit_for_a_log() -> None:
    assert clean("a\nb\x1b[31mc\0 " + "x" * 400) == "a b [31mc  " + "x" * 289
    assert clean("") == ""
