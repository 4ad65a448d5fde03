"""`ghostlive db`: the database as a whole."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from ghostlive.app.config import Config, load_config
from ghostlive.cli.options import DEFAULT_DATA, AsJson, ConfigFile, Data
from ghostlive.cli.output import as_record, show_fields, show_json
from ghostlive.db.engine import Database
from ghostlive.db.meta import MetaRepository

app = typer.Typer(no_args_is_help=True, help="The database: status, upgrade, backup.")


@app.command()
def status(data: Data = DEFAULT_DATA, config: ConfigFile = None, json: AsJson = False) -> None:
    """Show its schema, its size and how many records it has. Changes nothing."""
    show(asyncio.run(_status(load_config(data, config), data, upgrade=False)), json=json)


@app.command()
def upgrade(data: Data = DEFAULT_DATA, config: ConfigFile = None, json: AsJson = False) -> None:
    """Make it, or bring its schema to this version. `ghostlive serve` does the same at its start."""
    show(asyncio.run(_status(load_config(data, config), data, upgrade=True)), json=json)


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file for the copy.")],
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
) -> None:
    """Write a consistent copy of the SQLite database, also while the server runs."""
    settings = load_config(data, config)

    async def work() -> None:
        database = Database(settings.database, data)
        await database.start(upgrade=False)
        try:
            await MetaRepository(database).backup(target)
        finally:
            await database.stop()

    asyncio.run(work())


async def _status(settings: Config, data: Path, *, upgrade: bool) -> dict[str, Any]:
    database = Database(settings.database, data)
    await database.start(upgrade=upgrade)
    try:
        found = await MetaRepository(database).status()
    finally:
        await database.stop()
    return {**as_record(found), "current": found.current}


def show(record: dict[str, Any], *, json: bool) -> None:
    """Print the status."""
    if json:
        show_json(record)
        return
    records = record.pop("records")
    show_fields({**record, **records})
