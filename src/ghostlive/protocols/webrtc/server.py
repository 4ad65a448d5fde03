"""One UDP and one TCP port for all peers: receive, find whose it is, keep time and limits.

A STUN request says by its user name for whom it is (RFC 8445 §7.2.2). Once the peer has found its password right, other
datagrams from the same address are that peer's, too. Everything else is dropped without an answer.

Media to viewers is sent through the same socket by `fanout`; what is sent here is STUN, DTLS and RTCP, and is dropped
when the kernel cannot take it: all three are repeated.
"""

import asyncio
import heapq
import itertools
import secrets
import socket
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final, NoReturn
from weakref import ReferenceType, ref

import structlog

from ghostlive.access.limits import Seldom, Throttle, network_of
from ghostlive.core.clock import Clock, SystemClock, Timer
from ghostlive.core.tasks import TaskScope
from ghostlive.protocols.webrtc.addresses import BOTH, Addresses, candidates
from ghostlive.protocols.webrtc.backlog import Backlog
from ghostlive.protocols.webrtc.certificate import Certificate
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.protocols.webrtc.demux import requested_ufrag
from ghostlive.protocols.webrtc.errors import LimitError
from ghostlive.protocols.webrtc.fanout.types import Address
from ghostlive.protocols.webrtc.learning import AddressLearner
from ghostlive.protocols.webrtc.link import PeerHandler
from ghostlive.protocols.webrtc.negotiation import LocalParameters, Negotiation
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.peer import Peer, PeerLimits
from ghostlive.protocols.webrtc.pktinfo import ROOM, destination, sending_from, tell_destination
from ghostlive.protocols.webrtc.session import Session
from ghostlive.protocols.webrtc.sockets import bind_pair, families_of
from ghostlive.protocols.webrtc.stun import is_stun
from ghostlive.protocols.webrtc.tcp import TcpConnection, plain_host
from ghostlive.protocols.webrtc.turn import IceServer, TurnServers

_log = structlog.get_logger("webrtc")

_DRAIN: Final = 64
"""Datagrams that are read in one turn of the event loop."""
_DATAGRAM: Final = 2048
_TCP_BACKLOG: Final = 256
_MOST_WAITING: Final = 4
"""A TCP connection for which this many times `tcp_backlog` waits is cut off."""
_UFRAG_BYTES: Final = 6
_PWD_BYTES: Final = 18
_SESSION_BYTES: Final = 16
_CNAME_BYTES: Final = 9
_UFRAGS: Final = 2
"""User name fragments of one session that are valid: of this ICE session, and of the one before it."""
_SAY_EVERY: Final = 5.0


class WebRtcServer:
    """All WebRTC peers of this process."""

    def __init__(
        self,
        config: WebRtcConfig,
        *,
        clock: Clock | None = None,
        certificate: Certificate | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        """Nothing is bound yet. Raises `ConfigurationError` for addresses that are none."""
        self.config = config
        self.clock = clock or SystemClock()
        self.certificate = certificate or Certificate.generate()
        self.turn = TurnServers(config.turn_urls, config.turn_secret, config.turn_ttl)
        self.addresses = addresses or Addresses(config.public_addresses, now=self.clock.now)
        self._limits = PeerLimits(
            handshake_timeout=config.session_timeout, consent_timeout=config.session_timeout, mtu=config.mtu
        )
        self._learner = AddressLearner(config.stun_server, self.addresses, self._ask) if config.stun_server else None
        self._tasks = TaskScope("webrtc")
        self._udp: socket.socket | None = None
        self._room = 0
        """For what the system tells of each datagram: to which of our addresses it came."""
        self._tcp: asyncio.Server | None = None
        self._tcp_socket: socket.socket | None = None
        self._started = False
        self._sessions: dict[str, Session] = {}
        self._owners: dict[Session, _Owner] = {}
        self._ufrags: dict[bytes, Session] = {}
        self._udp_paths: dict[tuple[str, int, str], tuple[Session, Path]] = {}
        """By the peer's address and port, and the address of ours that it sends to."""
        self._connections: dict[int, TcpConnection] = {}
        self._tcp_sessions: dict[int, Session] = {}
        self._tcp_counts: Counter[str] = Counter()
        self._tcp_backlog: Backlog[TcpConnection] = Backlog(config.max_tcp_backlog, self._cut_off)
        self._numbers = itertools.count(1)
        self._per_network: Counter[str] = Counter()
        self._publishers = 0
        self._due: list[tuple[float, int, ReferenceType[Session]]] = []
        """Who has ended is not kept until its time would have come."""
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        per_minute = config.sessions_per_minute
        self._rate = Throttle(self.clock, burst=per_minute, period=60 / per_minute) if per_minute else None
        self._tcp_refused = Seldom(self.clock, every=_SAY_EVERY)
        self._cut_off_said = Seldom(self.clock, every=_SAY_EVERY)
        self._limits_said = Seldom(self.clock, every=_SAY_EVERY)
        self.dropped = 0
        """Datagrams of nobody, since the start."""
        self.unsent = 0
        """Datagrams that the kernel did not take, since the start."""

    # -- life

    @property
    def port(self) -> int:
        """The bound port; differs from the configured one when that is 0."""
        return self.config.port if self._udp is None else int(self._udp.getsockname()[1])

    @property
    def listening(self) -> bool:
        """Whether datagrams and connections are taken."""
        return self._started

    @property
    def udp_socket(self) -> socket.socket:
        """What the fan-out sends through. Closed by `stop`."""
        assert self._udp is not None
        return self._udp

    @property
    def sessions(self) -> Collection[Session]:
        """All that are open."""
        return self._sessions.values()

    def __len__(self) -> int:
        return len(self._sessions)

    async def start(self) -> None:
        """Listen. Raises `OSError` for an address that cannot be had."""
        try:
            self._udp, self._tcp_socket = bind_pair(self.config.host, self.config.port, tcp=self.config.tcp)
            self.addresses.families = families_of(self._udp)
            self._room = ROOM if tell_destination(self._udp) else 0
            if self._tcp_socket is not None:
                self._tcp = await asyncio.get_running_loop().create_server(
                    self._connect, sock=self._tcp_socket, backlog=_TCP_BACKLOG
                )
        except BaseException:
            await self.stop()
            raise
        asyncio.get_running_loop().add_reader(self._udp, self._readable)
        self._started = True
        if self._learner is not None:
            self._tasks.spawn(self._learner.run(), name="public address")
        _log.info("listening", protocol="webrtc", port=self.port, tcp=self.config.tcp)

    async def stop(self, reason: str = "the server is stopping") -> None:
        """Say goodbye to every peer, and close. What sends through the socket is to have ended before."""
        self._started = False
        await self._tasks.close()
        for session in list(self._sessions.values()):
            session.close(reason)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()
        for connection in list(self._connections.values()):
            connection.close()
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None
        elif self._tcp_socket is not None:
            self._tcp_socket.close()
        self._tcp_socket = None
        await asyncio.sleep(0)  # what was written to connections leaves
        for connection in list(self._connections.values()):
            connection.abort()
        if self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp)
            self._udp.close()
            self._udp = None

    # -- sessions

    def check_room(self, address: str, *, publishing: bool = False) -> None:
        """Whether one more from `address` may come; counts as an attempt. Raises `LimitError`."""
        network = network_of(address)
        reason = self._why_full(network, publishing=publishing)
        if not reason and self._rate is not None and self._rate.wait(network) > 0:
            reason = "Your address opens WebRTC sessions too fast (webrtc.sessions_per_minute)"
        if reason:
            self._refuse(address, reason)
        if self._rate is not None:
            self._rate.spend(network)

    def local_parameters(
        self, host: str = "", transports: Collection[str] = BOTH, *, publishing: bool = False
    ) -> LocalParameters:
        """What our description says of us to who asked for `host`, with candidates of `transports`."""
        ufrag = secrets.token_urlsafe(_UFRAG_BYTES).replace("-", "+").replace("_", "/")
        while ufrag.encode() in self._ufrags:
            ufrag = secrets.token_urlsafe(_UFRAG_BYTES).replace("-", "+").replace("_", "/")
        return LocalParameters(
            ufrag=ufrag,
            pwd=secrets.token_urlsafe(_PWD_BYTES).replace("-", "+").replace("_", "/"),
            fingerprint=self.certificate.fingerprint,
            candidates=candidates(
                self.addresses.for_host(host),
                udp_port=self.port,
                tcp_port=self.port if self.config.tcp else None,
                transports=transports,
            ),
            cname=secrets.token_urlsafe(_CNAME_BYTES),
            session_id=secrets.randbits(62) | 1 << 61,
            max_bitrate=self.config.max_bitrate if publishing else None,
        )

    def ice_servers(self) -> tuple[IceServer, ...]:
        """The TURN servers, with a user name that is valid from now on for a while."""
        return self.turn.servers(self.clock.wall_ns() / 1e9)

    def get(self, session_id: str) -> Session | None:
        """The session of that name."""
        return self._sessions.get(session_id)

    def add(
        self, negotiation: Negotiation, handler: PeerHandler, *, address: str = "", publishing: bool = False
    ) -> Session:
        """Begin a session; `check_room` comes before. From here on `handler.closed` is called some time.

        Raises `LimitError`, with nothing called, when others have taken the room since that check.
        """
        if reason := self._why_full(network_of(address), publishing=publishing):
            self._refuse(address, reason)
        transport = negotiation.transport
        peer = Peer(certificate=self.certificate, transport=transport, now=self.clock.now(), limits=self._limits)
        session = Session(secrets.token_urlsafe(_SESSION_BYTES), negotiation, handler, peer=peer, carrier=self)
        self._sessions[session.id] = session
        owner = self._owners[session] = _Owner(network_of(address), publishing=publishing)
        self._per_network[owner.network] += 1
        self._publishers += publishing
        self._register(session, owner, transport.local_ufrag)
        session.begin()
        return session

    def restart(self, session: Session, local: LocalParameters, *, ufrag: str, pwd: str) -> None:
        """Restart ICE of a session: `local` is ours from here on, `ufrag` and `pwd` are the peer's."""
        if session.over:
            return
        self._register(session, self._owners[session], local.ufrag)
        session.restart(local_ufrag=local.ufrag, local_pwd=local.pwd, remote_ufrag=ufrag, remote_pwd=pwd)

    def _why_full(self, network: str, *, publishing: bool) -> str:
        """Why there is no room for one more; empty if there is."""
        config = self.config
        if not self._started:
            return "The server is starting or stopping"
        if len(self._sessions) >= config.max_peers:
            return f"This server has its most WebRTC peers ({config.max_peers}, webrtc.max_peers)"
        if publishing and self._publishers >= config.max_publishers:
            return f"This server has its most broadcasters by WebRTC ({config.max_publishers}, webrtc.max_publishers)"
        if config.max_peers_per_address and self._per_network[network] >= config.max_peers_per_address:
            most = config.max_peers_per_address
            return f"Your address has its most WebRTC peers ({most}, webrtc.max_peers_per_address)"
        return ""

    def _refuse(self, address: str, reason: str) -> NoReturn:
        if self._started and (unsaid := self._limits_said.due()) is not None:
            _log.warning("a peer was refused", address=address, reason=reason, unsaid=unsaid)
        raise LimitError(f"{reason}; try again in a minute.")

    def _register(self, session: Session, owner: "_Owner", ufrag: str) -> None:
        key = ufrag.encode()
        self._ufrags[key] = session
        owner.ufrags.append(key)
        while len(owner.ufrags) > _UFRAGS:
            self._ufrags.pop(owner.ufrags.pop(0), None)

    # -- what sessions call (`session.Carrier`)

    def now(self) -> float:
        """See `Carrier.now`."""
        return self.clock.now()

    def send(self, path: Path, packets: Iterable[bytes]) -> None:
        """See `Carrier.send`."""
        if path.transport == "tcp":
            if (connection := self._connections.get(path.connection)) is not None:
                connection.send(packets)
            return
        udp = self._udp
        if udp is None:
            return
        target = self._target(path)
        control = [sending_from(path.local, udp.family)] if path.local else []
        for packet in packets:
            try:
                udp.sendmsg((packet,), control, 0, target)
            except OSError:
                self.unsent += 1

    def backlog(self, path: Path) -> int:
        """See `Carrier.backlog`."""
        if path.transport == "udp" or (connection := self._connections.get(path.connection)) is None:
            return 0
        return connection.backlog

    def wire_address(self, path: Path) -> Address | None:
        """See `Carrier.wire_address`."""
        if path.transport == "tcp" or self._udp is None:
            return None
        host, port = self._target(path)
        return (self._udp.family, host, port, path.local) if path.local else (self._udp.family, host, port)

    def path_added(self, session: Session, path: Path) -> None:
        """See `Carrier.path_added`."""
        self._owners[session].paths.add(path)
        if path.transport == "tcp":
            if (connection := self._connections.get(path.connection)) is not None:
                connection.adopt()
                self._tcp_sessions[path.connection] = session
        else:
            self._udp_paths[*path.address, path.local] = (session, path)

    def path_removed(self, session: Session, path: Path) -> None:
        """See `Carrier.path_removed`."""
        self._owners[session].paths.discard(path)
        if path.transport == "tcp":
            if self._tcp_sessions.get(path.connection) is session:
                del self._tcp_sessions[path.connection]
                if (connection := self._connections.get(path.connection)) is not None:
                    connection.close()
        elif (known := self._udp_paths.get((*path.address, path.local))) is not None and known[0] is session:
            del self._udp_paths[*path.address, path.local]

    def due(self, session: Session, when: float) -> None:
        """See `Carrier.due`."""
        heapq.heappush(self._due, (when, next(self._numbers), ref(session)))
        self._arm()

    def ended(self, session: Session) -> None:
        """See `Carrier.ended`."""
        if self._sessions.pop(session.id, None) is None:
            return
        owner = self._owners[session]
        for key in owner.ufrags:
            self._ufrags.pop(key, None)
        for path in list(owner.paths):
            self.path_removed(session, path)
        self._per_network[owner.network] -= 1
        if not self._per_network[owner.network]:
            del self._per_network[owner.network]
        self._publishers -= owner.publishing
        del self._owners[session]

    # -- what TCP connections call (`tcp.TcpOwner`)

    def tcp_opened(self, connection: TcpConnection) -> str:
        """See `TcpOwner.tcp_opened`."""
        network = network_of(connection.path.address[0])
        self._connections[connection.path.connection] = connection
        self._tcp_counts[network] += 1
        reason = ""
        if len(self._connections) > self.config.max_tcp:
            reason = f"there are {self.config.max_tcp} already (webrtc.max_tcp)"
        elif self._tcp_counts[network] > self.config.max_tcp_per_address:
            reason = f"the address has {self.config.max_tcp_per_address} already (webrtc.max_tcp_per_address)"
        if reason and (unsaid := self._tcp_refused.due()) is not None:
            _log.warning(
                "a TCP connection was refused", address=connection.path.address[0], reason=reason, unsaid=unsaid
            )
        return reason

    def tcp_received(self, connection: TcpConnection, packet: bytes) -> None:
        """See `TcpOwner.tcp_received`."""
        session = self._tcp_sessions.get(connection.path.connection)
        if (ufrag := requested_ufrag(packet)) is not None:
            session = self._ufrags.get(ufrag, session)
        if session is None:
            self.dropped += 1
            connection.abort()
            return
        session.receive(packet, connection.path, self.clock.now())

    def tcp_waiting(self, connection: TcpConnection, size: int) -> None:
        """See `TcpOwner.tcp_waiting`."""
        self._tcp_backlog.note(connection, size)

    def tcp_closed(self, connection: TcpConnection) -> None:
        """See `TcpOwner.tcp_closed`."""
        number = connection.path.connection
        self._connections.pop(number, None)
        network = network_of(connection.path.address[0])
        self._tcp_counts[network] -= 1
        if not self._tcp_counts[network]:
            del self._tcp_counts[network]
        if (session := self._tcp_sessions.pop(number, None)) is not None:
            session.path_lost(connection.path)

    # -- inside

    def _connect(self) -> TcpConnection:
        return TcpConnection(self, next(self._numbers), most_waiting=_MOST_WAITING * self.config.tcp_backlog)

    def _cut_off(self, connection: TcpConnection, waiting: int) -> None:
        """Nobody has more waiting, and all have too much together."""
        if (unsaid := self._cut_off_said.due()) is not None:
            _log.warning(
                "a slow TCP connection was cut off",
                address=connection.path.address[0],
                waiting=waiting,
                reason=f"more than {self.config.max_tcp_backlog} bytes wait for all of them (webrtc.max_tcp_backlog)",
                unsaid=unsaid,
            )
        connection.abort()

    def _readable(self) -> None:
        udp = self._udp
        if udp is None:
            return
        for _ in range(_DRAIN):
            try:
                data, ancillary, _, source = udp.recvmsg(_DATAGRAM, self._room)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of something that was sent
                continue
            self._datagram(data, source, destination(ancillary) if ancillary else "")

    def _datagram(self, data: bytes, source: tuple[object, ...], local: str) -> None:
        host, port = source[0], source[1]
        assert isinstance(host, str)
        assert isinstance(port, int)
        address = (plain_host(host), port)
        known = self._udp_paths.get((*address, local))
        if data[:1] < b"\x04" and is_stun(data):
            session = self._ufrags.get(requested_ufrag(data) or b"") or (known[0] if known else None)
            if session is not None:
                path = known[1] if known is not None else Path("udp", address, local=local)
                session.receive(data, path, self.clock.now())
                return
            if self._learner is not None and self._learner.receive(data):
                return
        elif known is not None:
            known[0].receive(data, known[1], self.clock.now())
            return
        self.dropped += 1

    def _ask(self, data: bytes, target: tuple[str, int]) -> None:
        self.send(Path("udp", target), (data,))

    def _target(self, path: Path) -> tuple[str, int]:
        host, port = path.address
        assert self._udp is not None
        if self._udp.family == socket.AF_INET6 and ":" not in host:
            host = f"::ffff:{host}"
        return host, port

    def _arm(self) -> None:
        """Have the timer fire for the earliest session."""
        if not self._due or self._due[0][0] >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._due[0][0]
        self._timer = self.clock.call_later(max(0.0, self._timer_at - self.clock.now()), self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        now = self.clock.now()
        try:
            while self._due and self._due[0][0] <= now:
                when, _, reference = heapq.heappop(self._due)
                session = reference()
                if session is None or session.over or when != session.scheduled:
                    continue  # it is over, or has been put off
                session.tick(now)
        finally:
            self._arm()  # one that fails is no reason for time to stop for the others


class _Owner:
    """What the server counts for a session."""

    __slots__ = ("network", "paths", "publishing", "ufrags")

    def __init__(self, network: str, *, publishing: bool) -> None:
        self.network = network
        self.publishing = publishing
        self.ufrags: list[bytes] = []
        self.paths: set[Path] = set()
