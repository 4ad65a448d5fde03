"""Habits of all tests: a time limit for each, and no blocking call inside the event loop.

Warnings are errors (`pyproject.toml`). `@pytest.mark.limit(seconds)` gives a test more time. Property tests search anew
with each run here and repeat the same examples in CI (environment `CI`), so that a red run there tells of the change.
"""

import gc
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings
from tests.support import schedule

LIMIT = 300.0
"""Seconds that a test may take, and its set-up and its clean-up each."""

# Examples have no deadline, and may take long to make: a busy machine is no error, and each test has its limit.
_PATIENT = (HealthCheck.too_slow,)
settings.register_profile("here", deadline=None, suppress_health_check=_PATIENT)
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=_PATIENT)
settings.load_profile("ci" if os.environ.get("CI") else "here")


class TimeLimitError(BaseException):
    """A test took too long. Not an `Exception`, so that the code under test does not catch it."""


def pytest_configure() -> None:
    """Know one's place among the workers."""
    schedule.settle_in()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> schedule.Scheduling | None:
    """See `tests.support.schedule`."""
    return schedule.Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the garbage collector need not walk it again and again."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """A call that blocks (file, socket, sleep) from a coroutine of ours raises `BlockingError`."""
    with blockbuster_ctx("ghostlive") as blockbuster:
        # It only puts the working directory before a name.
        blockbuster.functions["os.path.abspath"].can_block_in("dialects/sqlite/pysqlite.py", {"create_connect_args"})
        # Runs on an event loop of its own, in a thread of its own, which it may block.
        for function in blockbuster.functions.values():
            function.can_block_in("ghostlive/db/migrate.py", {"run_migrations"})
            # It looks for PostgreSQL's own files in the home directory whenever it connects.
            function.can_block_in("asyncpg/connect_utils.py", {"_parse_connect_dsn_and_args", "_read_password_file"})
        yield


@contextmanager
def _limited(item: pytest.Item) -> Iterator[None]:
    mark = item.get_closest_marker("limit")
    seconds = float(mark.args[0]) if mark else LIMIT

    def too_long(_number: int, _frame: FrameType | None) -> None:
        raise TimeLimitError(f"took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except TimeLimitError as error:
        pytest.fail(str(error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Limit the set-up."""
    with _limited(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Limit the test."""
    with _limited(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Limit the clean-up."""
    with _limited(item):
        return (yield)
