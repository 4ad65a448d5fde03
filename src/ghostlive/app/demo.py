"""`ghostlive demo`: a server, a stream, and a test picture that is published to it like any encoder would."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import structlog
import uvloop
from rich.console import Console
from rich.markup import escape

from ghostlive.access.keys import add_key
from ghostlive.app.composition import Application
from ghostlive.app.config import Config
from ghostlive.app.server import page_url, public_host, serve, setup_url

_log = structlog.get_logger("demo")

STREAM = "demo"
_TITLE = "Ghost Live test picture"


def run(config: Config, data: Path) -> None:
    """Serve and broadcast a test picture until SIGTERM or SIGINT."""
    uvloop.run(serve(config, data, beside=_show))


async def _show(application: Application) -> None:
    records = application.records
    if await records.get(STREAM) is None:
        await records.add(STREAM, title=_TITLE, description="A moving test card, sent by this machine to itself.")
    # Keys are stored hashed, so an earlier demo's key cannot be shown again: this run makes one more.
    key = (await add_key(records, STREAM, label="demo")).secret
    rtmp = application.config.rtmp
    host = "127.0.0.1" if rtmp.host in ("", "0.0.0.0", "::") else rtmp.host  # noqa: S104
    process = await _publish(f"rtmp://{host}:{rtmp.port}/app/{key}")
    _explain(application, key, process)
    stopper = asyncio.ensure_future(_stop_on_enter(process))
    try:
        await process.wait()
        error = (await process.stderr.read()).decode().strip() if process.stderr else ""
        if process.returncode:
            _log.warning("the test picture ended", reason=error or f"exit code {process.returncode}")
        else:
            Console().print("The test picture has stopped; the address and key above are yours now.")
        await asyncio.Event().wait()
    finally:
        stopper.cancel()
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _publish(url: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ghostlive.cli.testcard", stdin=PIPE, stdout=DEVNULL, stderr=PIPE
    )
    assert process.stdin is not None
    process.stdin.write(f"{url}\n".encode())
    process.stdin.close()
    return process


async def _stop_on_enter(process: Process) -> None:
    """A line on the terminal stops the test picture. Without a terminal there is nobody to type one."""
    if not sys.stdin.isatty():
        return
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), typed.set)
    try:
        await typed.wait()
        sys.stdin.readline()
        if process.returncode is None:
            process.terminate()
    finally:
        loop.remove_reader(sys.stdin.fileno())


def _explain(application: Application, key: str, process: Process) -> None:
    page = escape(page_url(application))
    address = escape(f"rtmp://{public_host(application)}:{application.config.rtmp.port}/app")
    how = "press Enter" if sys.stdin.isatty() else f"run: kill {process.pid}"
    Console(soft_wrap=True, highlight=False).print(
        f"\n  Ghost Live is running. Open [bold]{page}/{STREAM}[/bold] (all streams: {page}/)\n\n"
        f"  To broadcast yourself, stop the test picture ({how}), then in OBS under Settings, Stream, Custom:\n"
        f"    Server      [bold]{address}[/bold]\n"
        f"    Stream key  [bold]{key}[/bold]\n\n"
        f"{_studio(application)}"
        f"{_matrix(application)}"
        f"  Ctrl+C stops everything.\n"
    )


def _matrix(application: Application) -> str:
    """How to come in by a Matrix client. Its name is known once the homeserver has been prepared."""
    if application.matrix.mode != "managed":
        return ""
    name = f"#live_{STREAM}:{public_host(application)}"
    account = f"ghostlive matrix admin NAME --data {application.data}"
    return (
        f"  The chat is a Matrix room too: [bold]{escape(name)}[/bold] (homeserver {escape(page_url(application))}).\n"
        f"  For an account there: [bold]{escape(account)}[/bold]\n\n"
    )


def _studio(application: Application) -> str:
    studio = escape(f"{page_url(application)}/studio")
    if (link := setup_url(application)) is None:
        return f"  Your streams, keys and what your encoder sends: [bold]{studio}[/bold]\n\n"
    return (
        f"  Make your own account with this link; it works once, within an hour:\n"
        f"    [bold]{escape(link)}[/bold]\n"
        f"  From then on your streams, keys and what your encoder sends are at {studio}\n\n"
    )
