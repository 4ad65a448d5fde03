"""One `Peer` behind a real UDP or TCP port, without the rest of the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, cast

from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.peer import Peer, PeerEvent
from ghostlive.protocols.webrtc.stun import is_stun

Transport = Literal["udp", "tcp"]


class PeerServer(asyncio.DatagramProtocol):
    """One peer behind a UDP and a TCP port."""

    def __init__(self, peer: Peer | None) -> None:
        self._peer = peer
        self.events: list[PeerEvent] = []
        self.loop = asyncio.get_running_loop()
        self.writers: dict[Path, asyncio.StreamWriter] = {}
        self.stun: list[int] = []
        """Types of the STUN messages that have come."""

    @property
    def peer(self) -> Peer:
        assert self._peer is not None
        return self._peer

    @peer.setter
    def peer(self, peer: Peer) -> None:
        self._peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.receive(data, Path("udp", addr))

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = Path("tcp", writer.get_extra_info("peername"), len(self.writers) + 1)
        self.writers[path] = writer
        try:
            while True:
                self.receive(await reader.readexactly(int.from_bytes(await reader.readexactly(2))), path)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.peer.path_lost(path)
        finally:
            writer.close()

    def receive(self, data: bytes, path: Path) -> None:
        """Take a datagram, or the content of a frame."""
        if is_stun(data):
            self.stun.append(int.from_bytes(data[:2]))
        self.peer.receive(data, path, self.loop.time())
        self.flush()

    def flush(self) -> None:
        """Take the peer's events and send what it wants to send."""
        self.events += self.peer.events()
        for path, data in self.peer.outgoing():
            if path.transport == "udp":
                self.transport.sendto(data, path.address)
            else:
                self.writers[path].write(len(data).to_bytes(2) + data)

    async def keep_time(self) -> None:
        """Tick."""
        while True:
            await asyncio.sleep(0.05)
            if self._peer is not None and self.peer.next_timeout() <= self.loop.time():
                self.peer.tick(self.loop.time())
                self.flush()

    def of(self, kind: type[PeerEvent]) -> list[PeerEvent]:
        """The events of one kind that have come."""
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def peer_server(
    peer: Peer | None, transport: Transport = "udp", host: str = "127.0.0.1"
) -> AsyncIterator[tuple[PeerServer, int]]:
    """Serve `peer` and yield the server with its port; without a peer, it is set later, before the first datagram."""
    loop = asyncio.get_running_loop()
    server = PeerServer(peer)
    if transport == "udp":
        datagrams, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=(host, 0))
        stop, port = datagrams.close, datagrams.get_extra_info("sockname")[1]
    else:
        listener = await asyncio.start_server(server.serve_tcp, host, 0)
        stop, port = listener.close, listener.sockets[0].getsockname()[1]
    ticking = asyncio.create_task(server.keep_time())
    try:
        yield server, port
    finally:
        ticking.cancel()
        await asyncio.wait([ticking])
        stop()
        for writer in server.writers.values():
            writer.close()
