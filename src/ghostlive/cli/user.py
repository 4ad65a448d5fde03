"""`ghostlive user`: accounts. Passwords come from the terminal or standard input, never from the arguments."""

import asyncio
from typing import Annotated, Any

import typer

from ghostlive.access.passwords import check_password_rules, hash_password
from ghostlive.app.config import load_config
from ghostlive.cli.options import DEFAULT_DATA, AsJson, ConfigFile, Data, Yes
from ghostlive.cli.output import as_record, confirm, read_password, show_fields, show_json, show_table
from ghostlive.db.engine import Database
from ghostlive.db.users import Role, UserRepository, check_user_name

app = typer.Typer(no_args_is_help=True, help="Accounts: add, list, remove, password.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")]


@app.command()
def add(
    name: Name,
    role: Annotated[
        Role | None, typer.Option(help="What the user may do.", show_default="streamer; owner for the first user")
    ] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Make a user; the password is asked for, or read from standard input."""
    check_user_name(name)
    settings = load_config(data, config)
    password = read_password()

    async def work() -> dict[str, Any]:
        check_password_rules(password)
        async with Database(settings.database, data) as database:
            users = UserRepository(database)
            default = Role.STREAMER if await users.any() else Role.OWNER
            user = await users.add(name, role=role or default, password_hash=await hash_password(password))
            return as_record(user)

    record = asyncio.run(work())
    if json:
        show_json(record)
    else:
        show_fields(record)


@app.command("list")
def list_(data: Data = DEFAULT_DATA, config: ConfigFile = None, json: AsJson = False) -> None:
    """List all users."""
    settings = load_config(data, config)

    async def work() -> list[dict[str, Any]]:
        async with Database(settings.database, data) as database:
            return [as_record(user) for user in await UserRepository(database).list()]

    records = asyncio.run(work())
    if json:
        show_json(records)
    else:
        show_table(records, empty="There is no user yet; `ghostlive user add NAME` makes one.")


@app.command()
def password(name: Name, data: Data = DEFAULT_DATA, config: ConfigFile = None) -> None:
    """Set a user's password; it is asked for, or read from standard input. The user's sessions end."""
    settings = load_config(data, config)
    new = read_password()

    async def work() -> None:
        check_password_rules(new)
        async with Database(settings.database, data) as database:
            # A server that runs beside this remembers sessions for a few seconds.
            await UserRepository(database).set_password(name, await hash_password(new))

    asyncio.run(work())


@app.command()
def remove(name: Name, yes: Yes = False, data: Data = DEFAULT_DATA, config: ConfigFile = None) -> None:
    """Remove a user."""
    settings = load_config(data, config)
    confirm(f"Remove the user {name!r}?", yes=yes)

    async def work() -> None:
        async with Database(settings.database, data) as database:
            await UserRepository(database).remove(name)

    asyncio.run(work())
