"""`ghostlive serve`, `demo` and `doctor`.

The server is imported when one of them is called: `stream add` answers in a fraction of a second without it.
"""

import asyncio
import gc
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, cast

import typer

from ghostlive.app.config import Config, load_config
from ghostlive.cli.options import DEFAULT_DATA, AsJson, ConfigFile, Data
from ghostlive.cli.output import as_record, show_json, show_table


def serve(
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the configuration in force, every key explained, and stop.")
    ] = False,
) -> None:
    """Run the server until it is told to stop."""
    settings = load_config(data, config)
    if print_config:
        from ghostlive.app.reference import sample  # noqa: PLC0415

        print(sample(settings), end="")
        return
    # Importing makes only objects that stay: the collector would walk them again and again (0.1 s of the start).
    gc.disable()
    load_structlog()
    from ghostlive.app.logging import setup_logging  # noqa: PLC0415
    from ghostlive.app.server import run  # noqa: PLC0415

    gc.enable()
    setup_logging(settings.log)
    run(settings, data)


def load_structlog() -> None:
    """Load it without rich and pygments, 4 MB for a way to show tracebacks that the server does not use.

    A module that is None cannot be imported, which structlog takes for one that is not installed.
    """
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = cast("ModuleType", None)
    try:
        import structlog.dev  # noqa: F401, PLC0415
    finally:
        del sys.modules["rich"]


def demo(data: Data = DEFAULT_DATA, config: ConfigFile = None) -> None:
    """Run the server and broadcast a test picture to it."""
    settings = load_config(data, config)
    from ghostlive.app.demo import run  # noqa: PLC0415
    from ghostlive.app.logging import setup_logging  # noqa: PLC0415

    setup_logging(settings.log)
    run(settings, data)


def doctor(data: Data = DEFAULT_DATA, config: ConfigFile = None, json: AsJson = False) -> None:
    """Look for what keeps this server from working. Exit code 1 when something is wrong."""
    from ghostlive.app.doctor import Check, State, examine  # noqa: PLC0415

    def look(settings: Config, data: Path) -> list[Check]:
        return asyncio.run(examine(settings, data))

    checks = look(load_config(data, config), data)
    records = [as_record(check) for check in checks]
    if json:
        show_json(records)
    else:
        show_table(records, empty="")
    if any(check.state is State.WRONG for check in checks):
        raise typer.Exit(1)
