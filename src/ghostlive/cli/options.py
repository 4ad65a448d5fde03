"""Options that many commands share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path, typer.Option("--data", envvar="GHOSTLIVE_DATA", metavar="DIR", help="The directory with all of the state.")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="GHOSTLIVE_CONFIG",
        metavar="FILE",
        help="The configuration file, instead of ghostlive.toml in the data directory.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

DEFAULT_DATA = Path("data")
