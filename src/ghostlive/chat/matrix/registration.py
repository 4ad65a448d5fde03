"""The registration of our application service with a homeserver (Application Service API, "Registration").

The file says to the homeserver where we are, by which tokens both sides know each other, and which names are ours:
nobody else can make users `@_ghostlive_…` and `@_ghostlive` or aliases `#live_…`. A changed file counts from the
homeserver's next start on.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from ghostlive.core.errors import ConfigurationError

ID: Final = "ghostlive"
BOT: Final = "_ghostlive"
"""Local part of the bot, the application service's own user (`sender_localpart`)."""
GHOSTS: Final = "_ghostlive_"
"""How local parts of ghosts begin."""
ALIASES: Final = "live_"
"""How local parts of room aliases begin."""

_SERVER_NAME: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,230}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""Appendices, "Server Name": a DNS name or an address, maybe with a port."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What both sides have to agree on."""

    server_name: str
    url: str
    """Where the homeserver reaches us, without a path."""
    as_token: str = field(repr=False)
    """Ours: what we say to the homeserver."""
    hs_token: str = field(repr=False)
    """Its: what the homeserver says to us."""

    def document(self) -> dict[str, Any]:
        """The content of the file."""
        name = re.escape(check_server_name(self.server_name))
        return {
            "id": ID,
            "url": self.url.rstrip("/"),
            "as_token": self.as_token,
            "hs_token": self.hs_token,
            "sender_localpart": BOT,
            # Synapse takes a missing key for true, and would hold our messages back.
            "rate_limited": False,
            "receive_ephemeral": False,
            "namespaces": {
                "users": [{"exclusive": True, "regex": f"@{GHOSTS}.*:{name}"}],
                "aliases": [{"exclusive": True, "regex": f"#{ALIASES}.*:{name}"}],
                "rooms": [],
            },
        }

    def yaml(self) -> str:
        """The file. It is JSON, which every YAML reader takes, so that no text needs quoting rules of its own."""
        head = (
            "# Registration of Ghost Live's chat with a Matrix homeserver. It has secrets: for the homeserver only.\n"
        )
        return head + json.dumps(self.document(), indent=2) + "\n"


def check_server_name(text: str) -> str:
    """A server name as it is; raises `ConfigurationError` for what Matrix does not accept as one."""
    if _SERVER_NAME.fullmatch(text) is None:
        raise ConfigurationError(
            f"matrix.server_name: {text!r} is no server name; write a host name such as live.example.org"
        )
    return text
