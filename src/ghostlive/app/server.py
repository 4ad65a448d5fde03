"""`ghostlive serve`: run the application until a signal says stop."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
import uvloop

from ghostlive.app.composition import Application
from ghostlive.app.config import Config

_log = structlog.get_logger("app")

STOP_WITHIN = 5.0
"""Seconds from SIGTERM to the end of the process, at most."""

_SETTLED_AFTER = 1.0
"""Seconds from being ready to a pause of 0.1 s, which nobody shall wait for at the start."""


def run(config: Config, data: Path) -> None:
    """Serve until SIGTERM or SIGINT. Raises `ConfigurationError` when a listener or the database cannot start."""
    uvloop.run(serve(config, data))


async def serve(config: Config, data: Path, *, beside: Callable[[Application], Awaitable[None]] | None = None) -> None:
    """Start everything, run `beside` (the demo) while serving, and stop cleanly at a signal."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    application = Application(config, data)
    await application.start()
    if beside is None and (link := setup_url(application)):
        show(
            f"\n  This server has no account yet. Make the owner's within an hour (the link works once):\n    {link}\n"
        )
    loop.call_later(_SETTLED_AFTER, _freeze)
    _log.info("ready", listeners=dict(application.health()))
    companion = asyncio.ensure_future(beside(application)) if beside else None
    try:
        waiting = [asyncio.ensure_future(stop.wait()), *([companion] if companion else [])]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if companion and companion.done() and not companion.cancelled() and (error := companion.exception()):
            raise error
        await stop.wait()
    finally:
        _log.info("stopping")
        if companion is not None and not companion.done():
            companion.cancel()
            await asyncio.wait([companion])
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await application.stop()
        except TimeoutError:
            _log.error("not everything stopped in time", seconds=STOP_WITHIN)
        _log.info("stopped")


def public_host(application: Application) -> str:
    """The name of this server as it stands in addresses."""
    host = application.config.server.public_host
    return f"[{host}]" if ":" in host else host


def page_url(application: Application) -> str:
    """The address of this server's pages as commands print it, without a path."""
    return f"http://{public_host(application)}:{application.http.port}"


def setup_url(application: Application) -> str | None:
    """The one-time link that makes the owner's account; None when there is an account.

    The token stands in the fragment, which browsers keep to themselves: no log and no Referer ever has it.
    """
    return f"{page_url(application)}/setup#{application.setup.token}" if application.setup else None


def show(text: str) -> None:
    """Print on standard output for whoever started this; that nobody reads it is no reason to stop."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)  # noqa: T201


def _freeze() -> None:
    """What was imported stays for ever: keep the collector from walking it again and again."""
    gc.collect()
    gc.freeze()
