"""TURN servers that browsers are told of, with user names that expire.

The server itself has a public address and needs none; a viewer's network may let nothing through but TURN. The shared
secret never leaves the server: a user name holds the time until which it is valid, and its password is made from both
(draft-uberti-behave-turn-rest §2.2; coturn's `use-auth-secret`).
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

from ghostlive.core.errors import ConfigurationError

_URL: Final = re.compile(r"(stuns?|turns?):[A-Za-z0-9.\[\]:_-]+(\?transport=(udp|tcp))?", re.ASCII)
"""RFC 7064 §3.1 and RFC 7065 §3.1."""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server, as W3C's `RTCIceServer` has it."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = field(default="", repr=False)

    @property
    def links(self) -> tuple[str, ...]:
        """As values of the header field `Link` (RFC 9725 §4.6)."""
        tail = ""
        if self.username:
            tail = f'; username="{self.username}"; credential="{self.credential}"; credential-type="password"'
        return tuple(f'<{url}>; rel="ice-server"{tail}' for url in self.urls)


class TurnServers:
    """The configured servers. Raises `ConfigurationError` for what is no address of one."""

    def __init__(self, urls: tuple[str, ...], secret: str, ttl: float) -> None:
        """`ttl` is in seconds."""
        for url in urls:
            if not _URL.fullmatch(url):
                raise ConfigurationError(
                    f"webrtc.turn_urls: {url!r} is no address of a TURN server; write turn:turn.example.org:3478, "
                    "turn:turn.example.org:3478?transport=tcp or turns:turn.example.org:5349"
                )
        if secret == "" and any(url.startswith("turn") for url in urls):
            raise ConfigurationError(
                "webrtc.turn_secret is empty, and without it nobody can use webrtc.turn_urls; write coturn's "
                "static-auth-secret there"
            )
        self._urls = urls
        self._secret = secret.encode()
        self._ttl = ttl

    def __bool__(self) -> bool:
        return bool(self._urls)

    def servers(self, wall: float) -> tuple[IceServer, ...]:
        """What a browser is told at `wall` (seconds since 1970)."""
        if not self._urls:
            return ()
        # A name of its own for each session, so that a TURN server's log and quota tell them apart.
        username = f"{int(wall + self._ttl)}:{secrets.token_hex(4)}"
        credential = base64.b64encode(hmac.digest(self._secret, username.encode(), hashlib.sha1)).decode()
        stun = tuple(url for url in self._urls if url.startswith("stun"))
        turn = tuple(url for url in self._urls if url.startswith("turn"))
        found = (IceServer(stun),) if stun else ()
        return (*found, IceServer(turn, username, credential)) if turn else found
