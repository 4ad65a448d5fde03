"""What the operator left open in `[matrix]`, filled in: names, addresses, tokens, and whether there is Matrix."""

import importlib.util
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.homeserver.files import FOLDER, Identity, load, load_secrets, write_private
from ghostlive.chat.matrix.homeserver.settings import Place, synapse_settings
from ghostlive.chat.matrix.registration import check_server_name
from ghostlive.core.errors import ConfigurationError

_URL: Final = "url"
"""The file that says where the managed homeserver listens, for commands beside the server."""
_USUAL_PORTS: Final = range(8008, 8108)


@dataclass(frozen=True, slots=True)
class Managed:
    """A homeserver that we run."""

    identity: Identity
    place: Place


@dataclass(frozen=True, slots=True)
class Prepared:
    """Chat on Matrix as it will be."""

    config: MatrixConfig
    """With nothing left open."""
    managed: Managed | None
    """None with an external homeserver."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rest of the configuration says about this server."""

    data: Path
    public_host: str
    http_host: str
    http_port: int

    @property
    def local_url(self) -> str:
        """Where a program of this machine reaches us."""
        host = "127.0.0.1" if self.http_host in ("", "0.0.0.0", "::") else self.http_host  # noqa: S104
        return f"http://{bracketed(host)}:{self.http_port}"

    @property
    def public_url(self) -> str:
        """Where others reach us."""
        return f"http://{bracketed(self.public_host)}:{self.http_port}"


def mode_of(config: MatrixConfig) -> Literal["managed", "external", "off"]:
    """The mode, with `auto` decided. Raises `ConfigurationError` when the managed homeserver is not installed."""
    installed = importlib.util.find_spec("synapse") is not None
    if config.mode == "auto":
        return "managed" if installed else "off"
    if config.mode == "managed" and not installed:
        raise ConfigurationError(
            "matrix.mode is managed, but the homeserver is not installed: pip install 'ghostlive[matrix]'"
        )
    return config.mode


def check(config: MatrixConfig) -> Literal["managed", "external", "off"]:
    """The mode; raises `ConfigurationError` for settings that cannot be used, without touching anything."""
    mode = mode_of(config)
    if mode == "off":
        return mode
    if config.server_name:
        check_server_name(config.server_name)
    for key in ("homeserver_url", "as_url", "public_baseurl"):
        if (text := getattr(config, key)) and not _is_address(text):
            raise ConfigurationError(f"matrix.{key}: {text!r} is no address; write http://HOST:PORT")
    if mode == "external":
        for key in ("server_name", "homeserver_url"):
            if not getattr(config, key):
                raise ConfigurationError(f"matrix.mode is external, so matrix.{key} has to be set")
    elif config.homeserver_url.startswith("https"):
        raise ConfigurationError("matrix.homeserver_url: a managed homeserver speaks http:// to this server")
    return mode


def prepare(config: MatrixConfig, around: Surroundings) -> Prepared | None:
    """Fill in what is open; None where Matrix is off. Blocks on files and sockets. Raises `ConfigurationError`."""
    mode = check(config)
    if mode == "off":
        return None
    as_url = (config.as_url or around.local_url).rstrip("/")
    baseurl = (config.public_baseurl or around.public_url).rstrip("/")
    if mode == "external":
        tokens = tokens_of(config, around.data)
        filled = replace(config, as_url=as_url, as_token=tokens[0], hs_token=tokens[1], public_baseurl=baseurl)
        return Prepared(replace(filled, mode="external", homeserver_url=config.homeserver_url.rstrip("/")), None)
    identity = load(around.data, check_server_name(wanted_name(config, around.public_host)))
    place = _place(config, identity, baseurl)
    url = f"http://{bracketed(place.host)}:{place.port}"
    filled = replace(
        config,
        mode="managed",
        server_name=identity.server_name,
        homeserver_url=url,
        as_url=as_url,
        as_token=identity.secrets.as_token,
        hs_token=identity.secrets.hs_token,
        public_baseurl=baseurl,
    )
    synapse_settings(identity, filled, place)  # a database that cannot be used is said now
    write_private(identity.folder / _URL, f"{url}\n")
    return Prepared(filled, Managed(identity, place))


def tokens_of(config: MatrixConfig, data: Path) -> tuple[str, str]:
    """`as_token` and `hs_token`: the configured ones, or those of the data directory. Blocks on files."""
    if config.as_token and config.hs_token:
        return config.as_token, config.hs_token
    kept = load_secrets(data)
    return config.as_token or kept.as_token, config.hs_token or kept.hs_token


def managed_url(data: Path) -> str:
    """Where the managed homeserver of a data directory listens, or did. `ConfigurationError` before its start."""
    try:
        return (data / FOLDER / _URL).read_text().strip()
    except OSError:
        raise ConfigurationError(f"{data} has no homeserver yet; it is made by the first `ghostlive serve`") from None


def server_name_of(data: Path) -> str:
    """The name of the managed homeserver of a data directory; empty before its first start."""
    try:
        return (data / FOLDER / "server_name").read_text().strip()
    except OSError:
        return ""


def wanted_name(config: MatrixConfig, public_host: str) -> str:
    """The name that a new homeserver would get."""
    return config.server_name or bracketed(public_host)


def bracketed(host: str) -> str:
    """A host as it stands in addresses."""
    return f"[{host}]" if ":" in host else host


def _place(config: MatrixConfig, identity: Identity, baseurl: str) -> Place:
    if config.homeserver_url:
        parts = urlsplit(config.homeserver_url)
        return Place(parts.hostname or "127.0.0.1", parts.port or 80, f"{baseurl}/")
    return Place("127.0.0.1", _free_port(identity.folder / _URL), f"{baseurl}/")


def _free_port(before: Path) -> int:
    """The port of the last time if nobody has it now, else another; not one that outgoing connections are given."""
    try:
        last = urlsplit(before.read_text().strip()).port
    except (OSError, ValueError):
        last = None
    ports: list[int] = [*([last] if last else []), *_USUAL_PORTS]
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ConfigurationError("no port is free for the homeserver; set matrix.homeserver_url to http://127.0.0.1:PORT")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
