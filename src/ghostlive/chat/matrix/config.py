"""Settings of chat on Matrix."""

from dataclasses import dataclass
from typing import Literal

from ghostlive.core.settings import setting


@dataclass(frozen=True, slots=True)
class MatrixConfig:
    """Chat on Matrix: each stream's chat as a room that any Matrix client can join.

    Parts of `chat.matrix` get a config in which `server_name`, `homeserver_url`, `as_url` and both tokens are filled in
    (`homeserver.prepare`); as operators write it, all of them may be empty.
    """

    mode: Literal["auto", "managed", "external", "off"] = setting(
        "auto",
        "`managed` runs a homeserver (Synapse) beside this server, `external` uses one of yours, `off` is chat on the "
        "page only; `auto` is managed where the homeserver is installed (`pip install 'ghostlive[matrix]'`), else off.",
    )
    server_name: str = setting(
        "",
        "The name behind the colon of Matrix IDs and rooms. Empty means `server.public_host` for a managed homeserver; "
        "it cannot change once the homeserver has been started.",
    )
    homeserver_url: str = setting(
        "",
        "Where the homeserver answers its clients. For a managed one empty means a free port of this machine's own "
        "address; `http://127.0.0.1:8008` fixes it.",
    )
    as_url: str = setting(
        "",
        "Where the homeserver reaches this server, as `http://127.0.0.1:8080`. Empty means port `http.port` of this "
        "machine.",
    )
    as_token: str = setting(
        "",
        "What this server says to an external homeserver; empty means the one made by `ghostlive matrix registration`.",
        secret=True,
    )
    hs_token: str = setting(
        "",
        "What an external homeserver says to this server; empty means the one made by `ghostlive matrix registration`.",
        secret=True,
    )
    federation: bool = setting(
        False, "Whether a managed homeserver talks to other homeservers, so that people join with accounts from there."
    )
    public_baseurl: str = setting(
        "",
        "Where Matrix clients reach the homeserver. Empty means this server's own address, which passes `/_matrix` on; "
        "federation needs `https://`.",
    )
    database_url: str = setting(
        "",
        "Where a managed homeserver keeps its data. Empty means SQLite in the data directory; "
        "postgresql://USER:PASSWORD@HOST/NAME is a database of its own (made with LC_COLLATE and LC_CTYPE `C`).",
        secret=True,
    )
    room_version: str = setting("", "Version of new rooms. Empty means the homeserver's default.")
    retention: int = setting(
        0, "Days after which a managed homeserver deletes messages of rooms. 0 means that it keeps them."
    )
    ghost_days: int = setting(
        30,
        "Days after which somebody who was not seen on the page leaves the rooms in which they spoke; with their next "
        "message they are there again. 0 means that nobody leaves.",
    )
