"""Work that is done to its end, whoever is cancelled."""

import asyncio

import pytest

from ghostlive.core.tasks import finish


async def test_the_result_and_the_error_of_the_work_are_those_of_the_wait() -> None:
    async def work(result: int) -> int:
        if result < 0:
            raise ValueError("no")
        return result

    assert await finish(work(3)) == 3
    with pytest.raises(ValueError, match="no"):
        await finish(work(-1))


async def test_who_is_cancelled_goes_when_the_work_is_done() -> None:
    go, done = asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        done.append(True)

    waiting = asyncio.create_task(finish(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == [True]


async def test_an_error_after_the_cancellation_is_nobodys() -> None:
    go = asyncio.Event()

    async def work() -> None:
        await go.wait()
        raise ValueError("too late")

    waiting = asyncio.create_task(finish(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
