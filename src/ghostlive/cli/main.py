"""The command's application and what its groups have in common: errors are one sentence and exit code 1."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ghostlive import __version__
from ghostlive.cli import db, key, matrix, serve, stream, user
from ghostlive.core.errors import GhostliveError


class _Group(TyperGroup):
    """Shows our own errors without a traceback; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except GhostliveError as error:
            typer.echo(f"ghostlive: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ghost Live: self-hosted live streaming.",
)
app.command()(serve.serve)
app.command()(serve.demo)
app.command()(serve.doctor)
app.add_typer(stream.app, name="stream")
app.add_typer(key.app, name="key")
app.add_typer(user.app, name="user")
app.add_typer(matrix.app, name="matrix")
app.add_typer(db.app, name="db")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ghostlive {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Ghost Live: self-hosted live streaming."""


if __name__ == "__main__":
    app(prog_name="ghostlive")
