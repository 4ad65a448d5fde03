"""`ghostlive stream`: streams, before the first start and beside a running server."""

import asyncio
from typing import Annotated, Any

import typer

from ghostlive.access.keys import make_secret, stored
from ghostlive.app.config import Config, load_config
from ghostlive.cli.options import DEFAULT_DATA, AsJson, ConfigFile, Data, Yes
from ghostlive.cli.output import as_record, confirm, show_fields, show_json, show_table
from ghostlive.core.errors import GhostliveError
from ghostlive.core.stream import check_stream_name
from ghostlive.db.engine import Database
from ghostlive.db.errors import NotFoundError
from ghostlive.db.streams import StreamRecord, StreamRepository
from ghostlive.transcode.config import RenditionSetting, RenditionSettingError
from ghostlive.transcode.laddertext import read_ladder, read_renditions, write_ladder, write_renditions

app = typer.Typer(no_args_is_help=True, help="Streams: add, list, show, edit, remove.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the stream, as in its page's address.")]
Title = Annotated[str | None, typer.Option(help="What viewers read above the picture.", show_default=False)]
Description = Annotated[str | None, typer.Option(help="A longer text for the page.", show_default=False)]


@app.command()
def add(
    name: Name,
    *,
    title: Title = None,
    description: Description = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Make a stream and its first key. The key is shown this once."""
    check_stream_name(name)
    settings = load_config(data, config)
    secret = make_secret()

    async def work() -> None:
        async with Database(settings.database, data) as database:
            streams = StreamRepository(database)
            await streams.add(name, title=title or "", description=description or "", key=stored(secret))

    asyncio.run(work())
    show_issued(settings, name, secret, json=json)


@app.command("list")
def list_(data: Data = DEFAULT_DATA, config: ConfigFile = None, json: AsJson = False) -> None:
    """List all streams."""
    settings = load_config(data, config)

    async def work() -> list[dict[str, Any]]:
        async with Database(settings.database, data) as database:
            return [as_record(stream, without=["id", "ladder"]) for stream in await StreamRepository(database).list()]

    records = asyncio.run(work())
    if json:
        show_json(records)
    else:
        show_table(records, empty="There is no stream yet; `ghostlive stream add NAME` makes one.")


@app.command()
def show(name: Name, data: Data = DEFAULT_DATA, config: ConfigFile = None, json: AsJson = False) -> None:
    """Show one stream, its keys (without their secrets) and its addresses."""
    settings = load_config(data, config)

    async def work() -> dict[str, Any]:
        async with Database(settings.database, data) as database:
            streams = StreamRepository(database)
            stream = await streams.get(name)
            if stream is None:
                raise NotFoundError(f"there is no stream named {name[:80]!r}; `ghostlive stream list` shows all")
            return {
                **_whole(stream),
                "keys": [as_record(key, without=["stream"]) for key in await streams.list_keys(name)],
            }

    record = asyncio.run(work()) | addresses(settings, name)
    if json:
        show_json(record)
        return
    keys = record.pop("keys")
    show_fields(record)
    show_table(keys, empty="It has no key; `ghostlive key add` makes one.")


@app.command()
def edit(
    name: Name,
    *,
    title: Title = None,
    description: Description = None,
    renditions: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="What is offered beside the source: '720p60,480p30:always', 'none', or the server's 'default'.",
            show_default=False,
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Change a stream's title, description or renditions. A running server notices within seconds."""
    settings = load_config(data, config)
    ladder = None if renditions is None else _ladder(renditions)

    async def work() -> dict[str, Any]:
        async with Database(settings.database, data) as database:
            streams = StreamRepository(database)
            record = await streams.edit(name, title=title, description=description)
            if renditions is not None:
                record = await streams.set_ladder(name, ladder)
            return _whole(record)

    record = asyncio.run(work())
    if json:
        show_json(record)
    else:
        show_fields(record)


@app.command()
def remove(name: Name, yes: Yes = False, data: Data = DEFAULT_DATA, config: ConfigFile = None) -> None:
    """Remove a stream and all its keys."""
    settings = load_config(data, config)
    confirm(f"Remove the stream {name!r} and all its keys?", yes=yes)

    async def work() -> None:
        async with Database(settings.database, data) as database:
            await StreamRepository(database).remove(name)

    asyncio.run(work())


def _ladder(text: str) -> str | None:
    """What is stored for the text of `--renditions`."""
    if text == "default":
        return None
    try:
        rows = [] if text == "none" else read_renditions(text)
        ladder = write_ladder(RenditionSetting(**row) for row in rows)
        read_ladder(ladder)  # there may be too many
        return ladder
    except RenditionSettingError as error:
        raise GhostliveError(f"--renditions: {error}") from error


def _whole(stream: StreamRecord) -> dict[str, Any]:
    """What is printed of one stream, its renditions in short."""
    record = as_record(stream, without=["id", "ladder"])
    if stream.ladder is None:
        return {**record, "renditions": "default"}
    try:
        return {**record, "renditions": write_renditions(read_ladder(stream.ladder)) or "none"}
    except RenditionSettingError as error:
        return {**record, "renditions": f"unusable, as the default: {error}"}


def addresses(config: Config, stream: str) -> dict[str, str]:
    """Where encoders send to and viewers look."""
    host = f"[{config.server.public_host}]" if ":" in config.server.public_host else config.server.public_host
    found = {"server": f"rtmp://{host}:{config.rtmp.port}/app"}
    if config.rtmps.enabled:
        found["server_tls"] = f"rtmps://{host}:{config.rtmps.port}/app"
    return {**found, "page": f"http://{host}:{config.http.port}/{stream}"}


def show_issued(config: Config, stream: str, secret: str, *, json: bool) -> None:
    """Print a new key with all that an encoder needs."""
    record = {"stream": stream, "key": secret, **addresses(config, stream)}
    if json:
        show_json(record)
        return
    show_fields(record)
    print("\nIn OBS: Settings, Stream, Service Custom; copy server and key. The key is not shown again.")
