"""What keeps chat on Matrix from working: settings, the way to the homeserver and back, and what federation needs.

Nothing is changed and no file is made. Asking over the network ends after a few seconds.
"""

import asyncio
import importlib.util
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ghostlive.app.config import Config
from ghostlive.app.findings import Check, State
from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.homeserver.files import kept_secrets
from ghostlive.chat.matrix.homeserver.prepare import Surroundings, check, managed_url, server_name_of, wanted_name
from ghostlive.chat.matrix.homeserver.setback import read as read_set_back
from ghostlive.core.errors import ConfigurationError
from ghostlive.web.matrixproxy import ProxyTarget, well_known

if TYPE_CHECKING:
    import httpx

_WITHIN: Final = 10.0
_HOMESERVER: Final = "Matrix homeserver"
_BOTH_WAYS: Final = "Matrix, both ways"
_CLOCK: Final = "Matrix, clocks"
_FEDERATION: Final = "Matrix federation"


async def examine_matrix(
    config: Config, data_dir: Path, *, transport: "httpx.AsyncBaseTransport | None" = None
) -> list[Check]:
    """Every check. `transport` (httpx's) stands in for the network in tests."""
    try:
        mode = check(config.matrix) if config.chat.enabled else "off"
    except ConfigurationError as error:
        return [Check(_HOMESERVER, State.WRONG, str(error))]
    if mode == "off":
        missing = config.chat.enabled and config.matrix.mode == "auto" and importlib.util.find_spec("synapse") is None
        hint = "; pip install 'ghostlive[matrix]' brings one" if missing else ""
        return [Check(_HOMESERVER, State.NOTE, f"none: people chat on the pages only{hint}")]
    around = Surroundings(data_dir, config.server.public_host, config.http.host, config.http.port)
    if mode == "managed":
        kept = await asyncio.to_thread(server_name_of, data_dir)
        wanted = wanted_name(config.matrix, config.server.public_host)
        if not kept:
            checks = [Check(_HOMESERVER, State.OK, f"made at first start, as {wanted}")]
            return [*checks, *await _federation(config.matrix, wanted, around, transport)]
        url = await asyncio.to_thread(managed_url, data_dir)
        known = replace(config.matrix, server_name=kept, homeserver_url=url)
    else:
        kept = wanted = config.matrix.server_name
        known = config.matrix
    checks = []
    if kept != wanted:
        detail = f"it keeps the name {kept} of its first start; for {wanted}, remove {data_dir / 'matrix'}"
        checks.append(Check("Matrix name", State.NOTE, f"{detail} (all of its rooms are lost)"))
    secrets = await asyncio.to_thread(kept_secrets, data_dir)
    token = config.matrix.as_token or (secrets.as_token if secrets is not None else "")
    if not token:
        advice = "write its registration file first: ghostlive matrix registration"
        return [*checks, Check(_HOMESERVER, State.WRONG, advice)]
    checks += await _ways(replace(known, as_token=token), around, transport, managed=mode == "managed")
    if mode == "managed":
        found = await asyncio.to_thread(read_set_back, data_dir)
        if found is not None and (text := found.text(time.time())):
            checks.append(Check("Matrix, clock set back", State.NOTE, text))
        checks += await _federation(config.matrix, kept, around, transport)
    return checks


async def _ways(
    config: MatrixConfig, around: Surroundings, transport: "httpx.AsyncBaseTransport | None", *, managed: bool
) -> list[Check]:
    """To the homeserver, as whom it knows us, and back."""
    from ghostlive.chat.matrix.client import MatrixClient  # noqa: PLC0415 - httpx is slow to load
    from ghostlive.chat.matrix.errors import ApiError, MatrixError, TokenError, UnreachableError  # noqa: PLC0415

    url = config.homeserver_url
    client = MatrixClient(
        url=url, token=config.as_token, server_name=config.server_name, transport=transport, timeout=_WITHIN
    )
    name = _HOMESERVER
    try:
        await client.versions()
        me = await client.whoami()
        if me != client.bot:
            detail = f"{url} calls itself {me.partition(':')[2]}, and matrix.server_name says {config.server_name}"
            return [Check(name, State.WRONG, detail)]
        name = _BOTH_WAYS
        took = await client.ping("doctor")
    except UnreachableError as error:
        if managed and not await _listens(around):
            return [Check(name, State.OK, f"{config.server_name}; it runs while the server runs")]
        return [Check(name, State.WRONG, f"it does not answer at {url}: {error}")]
    except TokenError:
        advice = "its registration file is missing or old: ghostlive matrix registration, then restart the homeserver"
        return [Check(name, State.WRONG, f"{url} does not know us; {advice}")]
    except ApiError as error:
        if name == _HOMESERVER:
            return [Check(name, State.WRONG, f"{url} answers, but {error}")]
        found = [Check(_HOMESERVER, State.OK, f"{config.server_name} at {url}")]
        if not await _listens(around):
            return [*found, Check(name, State.NOTE, "start the server, then ask again: it is not there to be called")]
        target = config.as_url or around.local_url
        detail = f"it cannot reach this server ({error}); should it not be {target}, set matrix.as_url, "
        return [*found, Check(name, State.WRONG, f"{detail}write the registration file again and restart it")]
    except MatrixError as error:
        return [Check(name, State.WRONG, str(error))]
    finally:
        await client.close()
    return [
        Check(_HOMESERVER, State.OK, f"{config.server_name} at {url}"),
        Check(_BOTH_WAYS, State.OK, f"it reaches this server ({took:.0f} ms)"),
        *([Check(_CLOCK, State.NOTE, client.skew.advice)] if client.skew.advice else []),
    ]


async def _listens(around: Surroundings) -> bool:
    """Whether somebody listens where our server would."""
    parts = urlsplit(around.local_url)
    try:
        async with asyncio.timeout(_WITHIN):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def _federation(
    config: MatrixConfig, server_name: str, around: Surroundings, transport: "httpx.AsyncBaseTransport | None"
) -> list[Check]:
    """Whether other homeservers find ours: Server-Server API, "Resolving server names"."""
    if not config.federation:
        return []
    baseurl = (config.public_baseurl or around.public_url).rstrip("/")
    if not baseurl.startswith("https://"):
        detail = (
            f"other homeservers speak https:// only, and matrix.public_baseurl is {baseurl}: "
            "put a proxy with a certificate before this server, and its address into matrix.public_baseurl"
        )
        return [Check(_FEDERATION, State.WRONG, detail)]
    target = ProxyTarget("", baseurl, federation=True)
    wanted = well_known(target, "/.well-known/matrix/server")
    assert wanted is not None
    place = f"https://{server_name}/.well-known/matrix/server"
    found = await _fetch(place, transport)
    if found == wanted:
        return [Check(_FEDERATION, State.OK, f"{place} leads to {wanted['m.server']}")]
    host, _, port = str(wanted["m.server"]).rpartition(":")
    said = "does not answer" if found is None else f"says {json.dumps(found)[:200]}"
    detail = (
        f"{place} {said}; let it say {json.dumps(wanted)} (this server does at that path), or make the DNS record "
        f"_matrix-fed._tcp.{server_name} SRV 10 0 {port} {host}, or let {server_name}:8448 lead here"
    )
    return [Check(_FEDERATION, State.NOTE, detail)]


async def _fetch(url: str, transport: "httpx.AsyncBaseTransport | None") -> Any:
    """The JSON document there; None when there is none."""
    import httpx  # noqa: PLC0415

    try:
        async with httpx.AsyncClient(transport=transport, timeout=_WITHIN, follow_redirects=True) as client:
            answer = await client.get(url)
            return answer.json() if answer.is_success else None
    except (httpx.HTTPError, ValueError):
        return None
