"""Names that outside programs see: aliases of rooms, Matrix IDs, links.

A stream's name is safe in an alias as it is (`core.stream`). The alias of the space, `#live_:server`, is no stream's,
since no stream has an empty name.
"""

import re
from typing import Final
from urllib.parse import quote

from ghostlive.chat.matrix.registration import ALIASES, BOT, GHOSTS
from ghostlive.core.stream import can_name_stream

_MXID: Final = re.compile(r"@[^:\0\s]{1,255}:[^\0\s/]{1,255}")
"""A Matrix ID, historical ones included (Appendices, "User Identifiers")."""
_MOST: Final = 255
"""Bytes of any identifier."""


def alias_of(stream: str, server_name: str) -> str:
    """`#live_demo:server`; with an empty name that of the space."""
    return f"#{ALIASES}{stream}:{server_name}"


def stream_of_alias(alias: str, server_name: str) -> str | None:
    """The name of the stream, empty for the space, None when it is not one of ours. The stream need not exist."""
    head, tail = f"#{ALIASES}", f":{server_name}"
    if not (alias.startswith(head) and alias.endswith(tail)):
        return None
    name = alias[len(head) : -len(tail)]
    return name if not name or can_name_stream(name) else None


def bot_id(server_name: str) -> str:
    """The Matrix ID of the bot."""
    return f"@{BOT}:{server_name}"


def is_ours(mxid: str, server_name: str) -> bool:
    """Whether a Matrix ID is the bot's or a ghost's: such people speak through us only."""
    return mxid == bot_id(server_name) or (mxid.startswith(f"@{GHOSTS}") and mxid.endswith(f":{server_name}"))


def is_mxid(text: str) -> bool:
    """Whether a text has the form of a Matrix ID."""
    return _MXID.fullmatch(text) is not None and len(text.encode()) <= _MOST


def link_to(alias_or_id: str) -> str:
    """A link that lets people choose their client (Appendices, "matrix.to navigation")."""
    return f"https://matrix.to/#/{quote(alias_or_id, safe='')}"
