"""The public address of this server, as a STUN server sees it (RFC 8489 §6): for a server behind a NAT that forwards.

The request leaves through the socket that peers come to, so that the answer names the port that they have to use, and
is repeated so that a NAT which learned it does not forget it. A NAT that lets in only whom we have written to remains
closed: that one needs a port forwarding, or TURN.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

import structlog

from ghostlive.core.errors import ConfigurationError
from ghostlive.protocols.webrtc.addresses import Addresses, PublicAddress
from ghostlive.protocols.webrtc.errors import StunError
from ghostlive.protocols.webrtc.stun import BINDING_REQUEST, BINDING_SUCCESS, StunMessage, write_message

_log = structlog.get_logger("webrtc")

_DEFAULT_PORT: Final = 3478
_EVERY: Final = 25.0
"""Seconds between two questions: NATs keep a UDP mapping for 30 s at the least (RFC 4787 §4.3)."""
_PATIENCE: Final = (0.5, 1.0, 2.0)
"""Seconds to wait for an answer, for each attempt."""


class AddressLearner:
    """Asks one STUN server, by IPv4 and IPv6."""

    def __init__(self, server: str, addresses: Addresses, send: Callable[[bytes, tuple[str, int]], None]) -> None:
        """`server` is `host` or `host:port`; `send` is the socket's. Raises `ConfigurationError`."""
        self._server = server
        self._host, self._port = _parse(server)
        self._addresses = addresses
        self._send = send
        self._waiting: dict[bytes, tuple[int, asyncio.Future[PublicAddress]]] = {}
        self._silent: set[int] = set()

    async def run(self) -> None:
        """Ask, again and again, until cancelled."""
        while True:
            for family in (socket.AF_INET, socket.AF_INET6):
                if family in self._addresses.families:
                    await self._ask(family)
            await asyncio.sleep(_EVERY)

    def receive(self, data: bytes) -> bool:
        """Take a datagram if it answers a question of ours."""
        if data[:2] != BINDING_SUCCESS.to_bytes(2) or (waiting := self._waiting.get(data[8:20])) is None:
            return False
        with contextlib.suppress(StunError, ValueError):
            mapped = StunMessage.parse(data).mapped_address
            if mapped is not None and not waiting[1].done():
                waiting[1].set_result(PublicAddress(ip_address(mapped[0]), mapped[1]))
        return True

    async def _ask(self, family: int) -> None:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._host, self._port, family=family, type=socket.SOCK_DGRAM
            )
        except OSError as error:
            self._failed(family, f"its name cannot be resolved: {error.strerror}")
            return
        target = found[0][4][:2]
        for patience in _PATIENCE:
            transaction = secrets.token_bytes(12)
            future: asyncio.Future[PublicAddress] = asyncio.get_running_loop().create_future()
            self._waiting[transaction] = family, future
            try:
                self._send(write_message(BINDING_REQUEST, transaction, ()), (str(target[0]), int(target[1])))
                async with asyncio.timeout(patience):
                    learned = await future
            except TimeoutError:
                continue
            finally:
                del self._waiting[transaction]
            self._learned(family, learned)
            return
        self._failed(family, "it does not answer")

    def _learned(self, family: int, learned: PublicAddress) -> None:
        if self._addresses.learned.get(family) != learned:
            self._addresses.learned[family] = learned
            _log.info("public address", address=str(learned.address), port=learned.port, stun_server=self._server)
        self._silent.discard(family)

    def _failed(self, family: int, reason: str) -> None:
        self._addresses.learned.pop(family, None)
        if family not in self._silent:
            self._silent.add(family)
            # Many servers have one family only, so that silence of the other is no news.
            if family == socket.AF_INET or socket.AF_INET not in self._addresses.families:
                _log.warning("the STUN server is of no use", stun_server=self._server, reason=reason)


def _parse(server: str) -> tuple[str, int]:
    text = server.removeprefix("stun:")
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    try:
        number = int(port) if port else _DEFAULT_PORT
    except ValueError:
        number = 0
    if not host or not 0 < number < 65536:
        raise ConfigurationError(f"webrtc.stun_server: {server!r} is no server; write stun.example.org:3478")
    return host, number
