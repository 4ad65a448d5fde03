"""WebRTC put together: the server of all peers, what feeds viewers, and the three ways to be signalled."""

import os
from collections.abc import Awaitable, Callable

from ghostlive.access.decision import AccessRequest, Decision
from ghostlive.core.clock import Clock
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream
from ghostlive.protocols.ome.gateway import Gateway
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.protocols.webrtc.egress.config import EgressConfig
from ghostlive.protocols.webrtc.egress.renditions import can_send
from ghostlive.protocols.webrtc.egress.service import Egress
from ghostlive.protocols.webrtc.fanout.sender import Sender
from ghostlive.protocols.webrtc.players import Players, Watched
from ghostlive.protocols.webrtc.publishers import Publishers
from ghostlive.protocols.webrtc.server import WebRtcServer
from ghostlive.protocols.whep.routes import WhepApp
from ghostlive.protocols.whip.routes import WhipApp


class WebRtc:
    """Everything of WebRTC. Made before HTTP listens; started before it, too, since it has the sockets."""

    def __init__(
        self,
        config: WebRtcConfig,
        *,
        hub: Hub,
        authorize: Callable[[AccessRequest], Awaitable[Decision]],
        clock: Clock,
        watched: Watched,
    ) -> None:
        """`watched` hears of who watches. Raises `ConfigurationError` for addresses that are none."""
        self._config = config
        self._hub = hub
        self._clock = clock
        self._authorize = authorize
        self._watched = watched
        self.server = WebRtcServer(config, clock=clock)

    async def start(self) -> None:
        """Listen. Raises `OSError` for an address that cannot be had."""
        config, clock, server = self._config, self._clock, self.server
        await server.start()
        threads = config.sending_threads or os.cpu_count() or 1
        self._sender = Sender(server.udp_socket.fileno(), threads)
        self._egress = Egress(
            self._hub, self._sender, EgressConfig(mtu=config.mtu, tcp_backlog=config.tcp_backlog), clock=clock
        )
        self._players = Players(server=server, viewers=self._egress, clock=clock, watched=self._watched)
        publishers = Publishers(server=server, hub=self._hub, clock=clock, config=config)
        self.whip = WhipApp(server=server, publishers=publishers, authorize=self._authorize)
        self.whep = WhepApp(server=server, players=self._players, authorize=self._authorize)
        self.gateway = Gateway(
            server=server, players=self._players, publishers=publishers, authorize=self._authorize, clock=clock
        )

    def put_out(self, banned: Callable[[str, str, str | None], bool]) -> int:
        """See `Players.put_out`."""
        return self._players.put_out(banned)

    async def stop(self) -> None:
        """Tell peers, stop sending, close."""
        self._players.close()
        await self.gateway.stop()
        await self._egress.stop()
        await self._sender.stop()
        await self.server.stop()


def carries(live: LiveStream) -> bool:
    """Whether viewers by WebRTC get all of a stream; for half of it they are better off with HLS."""
    sent = [*live.tracks, *(offer.track for offer in live.offers)]
    return {track.kind for track in live.tracks} <= {track.kind for track in sent if can_send(track)}
