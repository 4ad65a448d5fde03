"""`ghostlive matrix`: what an operator does with a homeserver.

Its modules are imported when one of the commands is called; others answer faster without.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ghostlive.app.config import load_config
from ghostlive.cli.options import DEFAULT_DATA, AsJson, ConfigFile, Data
from ghostlive.cli.output import as_record, read_password, show_json, show_table
from ghostlive.core.errors import ConfigurationError, GhostliveError

app = typer.Typer(no_args_is_help=True, help="Chat on Matrix: registration, admin, ping.")


@app.command()
def registration(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write it; - prints it.", show_default=False),
    ] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
) -> None:
    """Write the file by which an external homeserver knows this server. It has secrets in it."""
    from ghostlive.chat.matrix.homeserver.files import FOLDER, private_folder, write_private  # noqa: PLC0415
    from ghostlive.chat.matrix.homeserver.prepare import Surroundings, check, server_name_of, tokens_of  # noqa: PLC0415
    from ghostlive.chat.matrix.homeserver.settings import REGISTRATION  # noqa: PLC0415
    from ghostlive.chat.matrix.registration import Registration  # noqa: PLC0415

    settings = load_config(data, config)
    matrix, mode = settings.matrix, check(settings.matrix)
    around = Surroundings(data, settings.server.public_host, settings.http.host, settings.http.port)
    name = (server_name_of(data) if mode == "managed" else "") or matrix.server_name
    if not name:
        raise ConfigurationError("matrix.server_name has to be set: it is the name behind the colon of its Matrix IDs")
    made = Registration(name, matrix.as_url or around.local_url, *tokens_of(matrix, data))
    if output == Path("-"):
        print(made.yaml(), end="")
        return
    path = output or data / FOLDER / REGISTRATION
    try:
        if output is None:
            private_folder(path.parent)
        write_private(path, made.yaml())
    except OSError as error:
        raise GhostliveError(f"{path} cannot be written: {error.strerror}") from error
    print(
        f"{path} is written. It is secret: only the homeserver may read it.\n"
        + (
            "The homeserver that this server runs has it already."
            if mode == "managed"
            else "Copy it to the homeserver, name it there (Synapse: app_service_config_files in homeserver.yaml), and "
            "restart it.\nIt says that this server is at "
            f"{made.url}; another address is matrix.as_url, and the file has to be written again.\n"
            "Then `ghostlive matrix ping` tells whether both find each other."
        )
    )


@app.command()
def admin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What stands before the colon of the Matrix ID.")],
    user: Annotated[bool, typer.Option("--user", help="An ordinary user instead of an admin.")] = False,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
) -> None:
    """Make an admin of the managed homeserver, while the server runs; the password is asked for."""
    from ghostlive.chat.matrix.homeserver.admin import make_user  # noqa: PLC0415
    from ghostlive.chat.matrix.homeserver.files import load_secrets  # noqa: PLC0415
    from ghostlive.chat.matrix.homeserver.prepare import check, managed_url  # noqa: PLC0415

    settings = load_config(data, config)
    if check(settings.matrix) != "managed":
        raise ConfigurationError("matrix.mode is not managed; make admins where your homeserver is")
    url = managed_url(data)
    password = read_password()
    mxid = asyncio.run(
        make_user(
            url,
            secret=load_secrets(data).registration_shared_secret,
            name=name,
            password=password,
            admin=not user,
        )
    )
    reach = settings.matrix.public_baseurl or f"http://{settings.server.public_host}:{settings.http.port}"
    print(f"{mxid} is made. Sign in with any Matrix client; the homeserver is {reach}")


@app.command()
def ping(data: Data = DEFAULT_DATA, config: ConfigFile = None, json: AsJson = False) -> None:
    """Ask the homeserver, and let it ask back. Exit code 1 when one of both does not work."""
    from ghostlive.app.findings import State  # noqa: PLC0415
    from ghostlive.app.matrixcheck import examine_matrix  # noqa: PLC0415

    checks = asyncio.run(examine_matrix(load_config(data, config), data))
    records = [as_record(one) for one in checks]
    if json:
        show_json(records)
    else:
        show_table(records, empty="")
    if any(one.state is State.WRONG for one in checks):
        raise typer.Exit(1)
