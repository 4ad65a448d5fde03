"""Mailboxes, task scopes and groups."""

import asyncio

import pytest
from structlog.testing import capture_logs

from ghostlive.core.frame import Frame
from ghostlive.core.group import Group
from ghostlive.core.queues import Mailbox
from ghostlive.core.tasks import TaskScope


async def test_a_reader_takes_all_that_came_in_one_batch() -> None:
    box: Mailbox[int] = Mailbox(10)
    reader = asyncio.create_task(box.batch())
    await asyncio.sleep(0)
    box.put(1)
    box.put(2)
    assert await reader == [1, 2]


async def test_a_full_mailbox_drops_the_oldest_and_counts() -> None:
    box: Mailbox[int] = Mailbox(2)
    for item in range(5):
        box.put(item)
    assert await box.batch() == [3, 4]
    assert box.dropped == 3


async def test_a_closed_mailbox_gives_what_waits_then_ends() -> None:
    box: Mailbox[int] = Mailbox(2)
    box.put(1)
    box.close()
    box.put(2)
    assert [item async for item in box] == [1]


async def test_a_cancelled_reader_leaves_the_mailbox_usable() -> None:
    box: Mailbox[int] = Mailbox(2)
    reader = asyncio.create_task(box.batch())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    box.put(1)
    assert await box.batch() == [1]


async def test_a_scope_waits_for_its_tasks_and_their_cleanup() -> None:
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    async with TaskScope("test") as scope:
        scope.spawn(work(), name="work")
        await asyncio.sleep(0)
    assert cleaned
    assert len(scope) == 0


async def test_one_failing_task_is_logged_and_does_not_end_the_others() -> None:
    done = asyncio.Event()

    async def fail() -> None:
        raise ValueError("broken")

    async with TaskScope("test") as scope:
        with capture_logs() as logs:
            scope.spawn(fail(), name="bad")
            scope.spawn(done.wait(), name="good")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert len(scope) == 1
        done.set()
    assert [entry["task"] for entry in logs] == ["bad"]


async def test_a_closing_scope_starts_nothing_new() -> None:
    scope = TaskScope("test")
    await scope.close()
    with pytest.raises(RuntimeError, match="closing"):
        scope.spawn(asyncio.sleep(0), name="late")


def test_a_group_that_outgrows_its_limit_is_given_up_whole() -> None:
    group = Group(0)
    for n in range(3):
        group.add(Frame("v0", n, n, n == 0, b"12345"), max_frames=10, max_size=12)
    assert group.truncated
    assert group.frames == []
