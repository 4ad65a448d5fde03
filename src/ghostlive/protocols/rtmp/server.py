"""The listeners of RTMP and RTMPS: accept, find out who it is, keep to the limits.

Connections are accepted by our own loop, and not by asyncio's server, for two things it cannot do: read a PROXY
header before the TLS handshake without taking a byte too many, and use a new certificate for the next connection.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from collections import Counter
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

import structlog

from ghostlive.core.clock import Clock, SystemClock
from ghostlive.core.errors import ConfigurationError, MediaError
from ghostlive.core.tasks import TaskScope
from ghostlive.formats.proxy_protocol import HeaderReader
from ghostlive.hub.hub import Hub
from ghostlive.protocols.rtmp.config import RtmpConfig, RtmpsConfig
from ghostlive.protocols.rtmp.connection import Authorize, Connection, Peer, Services
from ghostlive.protocols.rtmp.tls import Certificates

_log = structlog.get_logger("rtmp")

_BACKLOG = 256
_SPARE = 16
"""Connections over a limit that are told why they are refused; more are closed at once."""
_NO_FILES_PAUSE = 0.5
"""Seconds to wait with accepting when the process has no file descriptors left."""


class RtmpServer:
    """Takes broadcasts by RTMP and RTMPS."""

    def __init__(
        self,
        *,
        config: RtmpConfig,
        tls: RtmpsConfig,
        data: Path,
        authorize: Authorize,
        hub: Hub,
        clock: Clock | None = None,
    ) -> None:
        """`data` is the directory for a self-signed certificate. Raises `ConfigurationError` for a bad network."""
        self._config = config
        self._tls = tls
        self._certificates = Certificates(tls, data)
        self._proxies = [_network(text) for text in config.trusted_proxies]
        self._tasks = TaskScope("rtmp")
        self._services = Services(
            config=config,
            authorize=authorize,
            hub=hub,
            clock=clock or SystemClock(),
            tasks=self._tasks,
            random=os.urandom,
        )
        self._listeners: list[tuple[socket.socket, asyncio.Task[None]]] = []
        self._started = False
        self._connections: set[Connection] = set()
        self._per_address: Counter[str] = Counter()
        self._arriving = 0
        self._accepted = 0
        self._all_closed = asyncio.Event()

    @property
    def addresses(self) -> dict[str, list[tuple[str, int]]]:
        """Host and port of each listening socket, by protocol (`rtmp`, `rtmps`)."""
        found: dict[str, list[tuple[str, int]]] = {}
        for listener, task in self._listeners:
            found.setdefault(task.get_name(), []).append(listener.getsockname()[:2])
        return found

    @property
    def listening(self) -> bool:
        """Whether every listener is up."""
        return self._started and not any(task.done() for _, task in self._listeners)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def start(self) -> None:
        """Listen. Raises `OSError` for an address that cannot be had, `ConfigurationError` for a bad certificate."""
        try:
            if self._config.enabled:
                self._listen("rtmp", self._config.port)
            if self._tls.enabled:
                await asyncio.to_thread(self._certificates.context)
                self._listen("rtmps", self._tls.port)
            self._started = True
        except BaseException:
            await self._stop_listening()
            raise

    async def stop(self, grace: float = 2.0) -> None:
        """Say goodbye to every encoder, wait up to `grace` seconds for them, and close."""
        await self._stop_listening()
        for connection in list(self._connections):
            connection.shut_down("the server is stopping")
        if self._connections:
            self._all_closed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._all_closed.wait()
        for connection in list(self._connections):
            connection.abort()
        await self._tasks.close()

    def _listen(self, protocol: str, port: int) -> None:
        for listener in _bind(self._config.host, port):
            listener.setblocking(False)
            task = self._tasks.spawn(self._accept(listener, protocol), name=protocol)
            self._listeners.append((listener, task))
            _log.info("listening", protocol=protocol, address=listener.getsockname()[0], port=listener.getsockname()[1])

    async def _stop_listening(self) -> None:
        self._started = False
        for _, task in self._listeners:
            task.cancel()
        if self._listeners:
            await asyncio.wait([task for _, task in self._listeners])
        for listener, _ in self._listeners:
            listener.close()
        self._listeners.clear()

    async def _accept(self, listener: socket.socket, protocol: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:
                _log.error("cannot accept connections", protocol=protocol, error=str(error))
                await asyncio.sleep(_NO_FILES_PAUSE)
                continue
            if self._arriving + len(self._connections) >= self._config.max_connections + _SPARE:
                accepted.close()
                continue
            self._arriving += 1
            self._accepted += 1
            peer = Peer(self._accepted, protocol, _plain_address(address[0]))
            self._tasks.spawn(self._admit(accepted, peer), name=f"rtmp {peer.id} admit")

    async def _admit(self, accepted: socket.socket, peer: Peer) -> None:
        """Find out who it is, and give the socket to a `Connection`."""
        connected = False
        try:
            accepted.setblocking(False)
            async with asyncio.timeout(self._config.handshake_timeout):
                if any(ip_address(peer.address) in network for network in self._proxies):
                    peer = await _read_proxy_header(accepted, peer)
                connected = await self._connect(accepted, peer)
        except (OSError, MediaError, TimeoutError) as error:
            _log.info("connection failed", connection=peer.id, address=peer.address, error=str(error) or "time-out")
        finally:
            self._arriving -= 1
            if not connected:
                accepted.close()

    async def _connect(self, accepted: socket.socket, peer: Peer) -> bool:
        refusal = ""
        if len(self._connections) >= self._config.max_connections:
            refusal = "the server has as many connections as it takes; try again later"
        over = self._per_address[peer.address] - self._config.max_connections_per_address
        if over >= 0:
            refusal = f"too many connections from {peer.address} (rtmp.max_connections_per_address)"
            if over >= _SPARE:
                return False
        context: ssl.SSLContext | None = None
        if peer.protocol == "rtmps":
            context = await asyncio.to_thread(self._certificates.context)
        connection = Connection(peer, self._services, on_closed=self._forget, refusal=refusal)
        self._connections.add(connection)
        self._per_address[peer.address] += 1
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=self._config.handshake_timeout if context else None,
            )
        except BaseException:
            self._forget(connection)
            raise
        return True

    def _forget(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        address = connection.peer.address
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]
        if not self._connections:
            self._all_closed.set()


async def _read_proxy_header(accepted: socket.socket, peer: Peer) -> Peer:
    loop = asyncio.get_running_loop()
    reader = HeaderReader()
    while reader.peer is None:
        data = await loop.sock_recv(accepted, reader.needed)
        if not data:
            raise MediaError("the proxy closed the connection before its header was complete")
        reader.receive(data)
    address = reader.peer.address
    return Peer(peer.id, peer.protocol, _plain_address(address)) if address else peer


def _bind(host: str, port: int) -> list[socket.socket]:
    if not host:
        if socket.has_dualstack_ipv6():
            return [socket.create_server(("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)]
        return [socket.create_server(("", port), backlog=_BACKLOG)]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return [socket.create_server((host, port), family=family, backlog=_BACKLOG)]


def _plain_address(text: str) -> str:
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ConfigurationError(
            f"rtmp.trusted_proxies: {text!r} is no network; write 10.0.0.0/8, 192.0.2.7 or fd00::/8"
        ) from None
