"""`ghostlive key`: stream keys. A secret is printed when it is made and never again."""

import asyncio
from typing import Annotated, Any

import typer

from ghostlive.access.keys import IssuedKey, add_key, rotate_key
from ghostlive.app.config import load_config
from ghostlive.cli.options import DEFAULT_DATA, AsJson, ConfigFile, Data
from ghostlive.cli.output import as_record, show_fields, show_json, show_table
from ghostlive.cli.stream import Name, show_issued
from ghostlive.db.engine import Database
from ghostlive.db.streams import StreamRepository

app = typer.Typer(no_args_is_help=True, help="Stream keys: list, add, rotate, revoke.")

Label = Annotated[str, typer.Option(help="What the key is for, as a reminder.", show_default=False)]


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only the keys of this stream.")] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """List keys by their numbers and last four characters."""
    settings = load_config(data, config)

    async def work() -> list[dict[str, Any]]:
        async with Database(settings.database, data) as database:
            return [as_record(key, without=()) for key in await StreamRepository(database).list_keys(name)]

    records = asyncio.run(work())
    if json:
        show_json(records)
    else:
        show_table(records, empty="There is no key.")


@app.command()
def add(
    name: Name, label: Label = "", data: Data = DEFAULT_DATA, config: ConfigFile = None, json: AsJson = False
) -> None:
    """Give a stream one more key."""
    settings = load_config(data, config)

    async def work() -> IssuedKey:
        async with Database(settings.database, data) as database:
            return await add_key(StreamRepository(database), name, label=label)

    show_issued(settings, name, asyncio.run(work()).secret, json=json)


@app.command()
def rotate(
    name: Name, label: Label = "", data: Data = DEFAULT_DATA, config: ConfigFile = None, json: AsJson = False
) -> None:
    """Give a stream a new key and revoke all its others. A broadcast that runs goes on."""
    settings = load_config(data, config)

    async def work() -> IssuedKey:
        async with Database(settings.database, data) as database:
            return await rotate_key(StreamRepository(database), name, label=label)

    show_issued(settings, name, asyncio.run(work()).secret, json=json)


@app.command()
def revoke(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The key's number (id) from `ghostlive key list`.")],
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Make a key useless. A broadcast that runs goes on."""
    settings = load_config(data, config)

    async def work() -> dict[str, Any]:
        async with Database(settings.database, data) as database:
            return as_record(await StreamRepository(database).revoke_key(number), without=())

    record = asyncio.run(work())
    if json:
        show_json(record)
    else:
        show_fields(record)
