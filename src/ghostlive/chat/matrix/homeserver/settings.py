"""Synapse's configuration, as small as it can be, made anew at each start from ours.

Measured with this file: 114 MiB after the start, 0.4 % of a core at rest, 15 to 20 messages a second. Presence, push
and the user directory are off, which gives 10 to 40 % more messages; viewers never sync with it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.homeserver.files import Identity, private_folder, write_private
from ghostlive.chat.matrix.registration import BOT, Registration
from ghostlive.core.errors import ConfigurationError

CONFIG: Final = "homeserver.yaml"
REGISTRATION: Final = "registration.yaml"
_LOGGING: Final = "log.yaml"
_HEAD: Final = "# Made by Ghost Live at each start from ghostlive.toml; changes made here are lost.\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a managed homeserver listens and is known."""

    host: str
    """Its own address of this machine, or one that the operator wrote."""
    port: int
    public_baseurl: str
    """Where Matrix clients reach it, with a slash at the end."""


def write_settings(identity: Identity, config: MatrixConfig, place: Place, as_url: str) -> Path:
    """Write what Synapse reads; the path of its main file. Blocks on files. Raises `ConfigurationError`, OSError."""
    folder = identity.folder
    private_folder(folder / "media")
    registration = Registration(identity.server_name, as_url, identity.secrets.as_token, identity.secrets.hs_token)
    write_private(folder / REGISTRATION, registration.yaml())
    write_private(folder / _LOGGING, _as_yaml(_LOG_CONFIG))
    write_private(folder / CONFIG, _as_yaml(synapse_settings(identity, config, place)))
    return folder / CONFIG


def synapse_settings(identity: Identity, config: MatrixConfig, place: Place) -> dict[str, Any]:
    """The content of `homeserver.yaml`. Raises `ConfigurationError` for a database that it cannot use."""
    folder = identity.folder.absolute()
    name = identity.server_name
    settings: dict[str, Any] = {
        "server_name": name,
        "public_baseurl": place.public_baseurl,
        "listeners": [
            {
                "port": place.port,
                "bind_addresses": [place.host],
                "type": "http",
                "tls": False,
                # Whoever comes, comes through us or from this machine: we say whose request it is.
                "x_forwarded": True,
                "resources": [{"names": ["client", *(["federation"] if config.federation else [])], "compress": False}],
            }
        ],
        "database": _database(config.database_url, folder),
        "log_config": str(folder / _LOGGING),
        "media_store_path": str(folder / "media"),
        "max_upload_size": "20M",
        "signing_key_path": str(identity.signing_key.absolute()),
        "registration_shared_secret": identity.secrets.registration_shared_secret,
        "macaroon_secret_key": identity.secrets.macaroon_secret_key,
        "form_secret": identity.secrets.form_secret,
        "report_stats": False,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        # Whoever is banned would be back as a new guest in a tenth of a second.
        "allow_guest_access": False,
        "enable_registration": False,
        "app_service_config_files": [str(folder / REGISTRATION)],
        "presence": {"enabled": False},
        "push": {"enabled": False},
        "user_directory": {"enabled": False, "search_all_users": False},
        "caches": {"global_factor": 2.0},
        "room_list_publication_rules": [{"user_id": f"@{BOT}:{name}", "action": "allow"}],
        # A live chat is quicker than Synapse's default of a message in five seconds; our own rules come on top.
        "rc_message": {"per_second": 2, "burst_count": 20},
        # As many come when a stream begins; it can take ten a second.
        "rc_joins_per_room": {"per_second": 5, "burst_count": 50},
    }
    if config.federation:
        # What comes from elsewhere can be fetched there again.
        settings["media_retention"] = {"remote_media_lifetime": "30d"}
    else:
        settings["federation_domain_whitelist"] = []
    if config.room_version:
        settings["default_room_version"] = config.room_version
    if config.retention:
        settings["retention"] = {
            "enabled": True,
            "default_policy": {"max_lifetime": f"{config.retention}d"},
            "purge_jobs": [{"interval": "12h"}],
        }
    return settings


def _database(url: str, folder: Path) -> dict[str, Any]:
    if not url:
        return {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}}
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _not_a_database() from None
    database = unquote(parts.path.removeprefix("/"))
    if parts.scheme.partition("+")[0] not in ("postgresql", "postgres") or not database:
        raise _not_a_database()
    found: dict[str, Any] = {
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": parts.hostname or "",
        "port": port,
        "dbname": database,
        **dict(parse_qsl(parts.query)),
    }
    arguments = {name: value for name, value in found.items() if value}
    return {"name": "psycopg2", "args": {**arguments, "cp_min": 2, "cp_max": 10}}


def _not_a_database() -> ConfigurationError:
    # The address may have a password, so it is not repeated.
    return ConfigurationError(
        "matrix.database_url: accepted are an empty text (SQLite in the data directory) and "
        "postgresql://USER:PASSWORD@HOST/NAME"
    )


_LOG_CONFIG: Final[Mapping[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    # What they warn of at each start: that it starts, and that PostgreSQL is better.
    "loggers": {
        "synapse.config.logger": {"level": "ERROR"},
        "synapse.storage.databases.main.appservice": {"level": "ERROR"},
    },
}


def _as_yaml(content: Mapping[str, Any]) -> str:
    """JSON is YAML, and needs no library for it."""
    return _HEAD + json.dumps(content, indent=2) + "\n"
