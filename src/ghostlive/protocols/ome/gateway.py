"""OvenMediaEngine's signalling: WebSockets at `/app/{stream}[/{playlist}]`, for its players and broadcasters.

A socket stays open as long as its session: it closes when the session ends, and the session ends when it closes. What
keeps a peer out is said on the open socket, since a browser shows no page why a WebSocket was refused.

Pages of other sites may do all of it: no cookie gives a right (one may take it away: `access.browser`), and who
publishes needs the stream's key (`key` in the query, or the key in place of the stream's name).
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs

import structlog

from ghostlive.access.browser import COOKIE
from ghostlive.access.decision import AccessRequest, Action, Decision, Verdict
from ghostlive.core.clock import Clock, Timer
from ghostlive.core.errors import GhostliveError
from ghostlive.core.tasks import TaskScope
from ghostlive.core.track import Codec
from ghostlive.core.websocket import GOING_AWAY, NORMAL, POLICY_VIOLATION, Connection, Opening, Peer, text_frame
from ghostlive.hub.live import Source
from ghostlive.protocols.ome import messages
from ghostlive.protocols.ome.errors import SignallingError
from ghostlive.protocols.ome.session import Session as Signalling
from ghostlive.protocols.ome.session import State
from ghostlive.protocols.webrtc.addresses import BOTH
from ghostlive.protocols.webrtc.egress.model import RenditionChanged, ViewerEvent
from ghostlive.protocols.webrtc.egress.pacing import TokenBucket
from ghostlive.protocols.webrtc.egress.viewer import Viewer
from ghostlive.protocols.webrtc.negotiation import Negotiation, PendingOffer, make_offer
from ghostlive.protocols.webrtc.players import Players
from ghostlive.protocols.webrtc.publishers import CODECS, Publishers
from ghostlive.protocols.webrtc.refusal import status_of
from ghostlive.protocols.webrtc.server import WebRtcServer
from ghostlive.protocols.webrtc.session import Session

_log = structlog.get_logger("webrtc")

Authorize = Callable[[AccessRequest], Awaitable[Decision]]

PATH: Final = re.compile(r"/app/([^/]{1,128})(?:/([^/]{0,128}))?/?", re.ASCII)
"""Where the signalling of a stream is. The playlist is for OvenMediaEngine's naming only: there is one for each."""
_TRANSPORTS: Final = {"udp": frozenset({"udp"}), "tcp": frozenset({"tcp"})}
"""What `transport=` limits; other values (`udptcp`, `relay`, `all`) allow both."""
_RELAYED: Final = frozenset({"relay", "all"})
"""Values that ask for TURN servers."""
_AGREE_WITHIN: Final = 30.0
"""Seconds in which a socket must have come to an agreement, however many offers it asks for meanwhile."""
_CHANGES_AT_ONCE: Final = 20.0
_CHANGES_PER_SECOND: Final = 1.0
"""Wishes for a rendition that a viewer may have. Each may start an encoder, end another and cost all viewers of a
rendition a keyframe; who tries every button of a player's menu in a row stays far below."""
_PING_EVERY: Final = 20.0
_LAST_WORDS: Final = 1.0
"""Seconds from the end of a broadcaster's session to that of its socket."""
_PING: Final = b"\x89\x00"
"""A ping frame without data (RFC 6455 §5.5.2): what stands between must not take the connection for idle."""
_MAX_KEY: Final = 512
_MAX_WAITING: Final = 256 * 1024
_STATUS: Final = {Verdict.KEY_MISSING: 401, Verdict.KEY_UNKNOWN: 401, Verdict.STREAM_UNKNOWN: 404}


class Gateway:
    """The sockets of all streams."""

    def __init__(
        self, *, server: WebRtcServer, players: Players, publishers: Publishers, authorize: Authorize, clock: Clock
    ) -> None:
        """`authorize` is the Authorizer's."""
        self.server = server
        self.players = players
        self.publishers = publishers
        self.authorize = authorize
        self.clock = clock
        self.scope = TaskScope("ome signalling")
        self._sockets: set[_Socket] = set()
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._sockets)

    async def open(self, opening: Opening, connection: Connection) -> Peer:
        """Take a socket that was asked for at `PATH`."""
        path = PATH.fullmatch(opening.path)
        assert path is not None
        peer = _Socket(self, opening, connection, stream=path[1], playlist=path[2] or "")
        self._sockets.add(peer)
        if self._timer is None:
            self._timer = self.clock.call_later(_PING_EVERY, self._ping)
        return peer

    def left(self, peer: "_Socket") -> None:
        """A socket is gone."""
        self._sockets.discard(peer)

    async def stop(self) -> None:
        """Tell everybody that the server stops."""
        if self._timer is not None:
            self._timer.cancel()
        for peer in list(self._sockets):
            peer.close(GOING_AWAY, "the server stops")
        await self.scope.close()

    def _ping(self) -> None:
        for peer in self._sockets:
            peer.ping()
        self._timer = self.clock.call_later(_PING_EVERY, self._ping) if self._sockets else None


class _Socket:
    """One socket: a `core.websocket.Peer`, and the `Driver` of its signalling."""

    def __init__(
        self, gateway: Gateway, opening: Opening, connection: Connection, *, stream: str, playlist: str
    ) -> None:
        query = parse_qs(opening.query, max_num_fields=64) if opening.query.count("&") < 64 else {}
        self._gateway = gateway
        self._opening = opening
        self._connection = connection
        self._name = stream
        self._stream = stream
        self._playlist = playlist
        self._publishes = query.get("direction", [""])[-1].lower() == "send"
        self._transport = query.get("transport", [""])[-1].lower()
        self._key = query.get("key", [""])[-1][:_MAX_KEY]
        self._signalling = Signalling(secrets.randbelow(2**31 - 1) + 1)
        self._pending: PendingOffer | None = None
        self._session: Session | None = None
        self._viewer: Viewer | None = None
        self._shown: RenditionChanged | None = None
        self._listed = False
        self._closed = False
        self._changes = TokenBucket(_CHANGES_PER_SECOND, _CHANGES_AT_ONCE, gateway.clock.now())
        self._timer: Timer | None = gateway.clock.call_later(_AGREE_WITHIN, self._late)

    # -- what the transport calls

    def text(self, message: str) -> None:
        """See `Peer.text`."""
        if self._closed:
            return
        try:
            self._signalling.receive(message, self)
        except GhostliveError as error:
            self._refuse(error)

    def gone(self) -> None:
        """See `Peer.gone`: closing the socket is how players and broadcasters leave.

        A socket that breaks, or whose page goes away (it may be loaded anew), is no goodbye of a broadcaster.
        """
        meant = not self._closed and self._connection.closed_with not in (None, GOING_AWAY)
        self._closed = True
        self._settle()
        if not self._publishes:
            self._end("the viewer left")
        elif meant:
            self._end("the broadcaster closed its connection", goodbye=True)
        else:
            self._end("the broadcaster's connection broke")
        self._gateway.left(self)

    # -- what the gateway calls

    def ping(self) -> None:
        """Keep the connection in use."""
        self._connection.write(_PING)

    def close(self, code: int, reason: str) -> None:
        """End the socket, and with it the session."""
        if not self._closed:
            self._closed = True
            self._connection.close(code, reason)

    # -- what the signalling calls (`session.Driver`)

    def offer_wanted(self) -> None:
        """See `Driver.offer_wanted`."""
        self._gateway.scope.spawn(self._offer(), name="ome offer")

    def answered(self, sdp: str) -> None:
        """See `Driver.answered`."""
        assert self._pending is not None
        negotiation = self._pending.accept(sdp)
        self._pending = None
        self._settle()
        if self._publishes:
            session = self._gateway.publishers.begin(self._stream, negotiation, self._source)
        else:
            session = self._play(negotiation)
        self._session = session
        session.on_over = self._over

    def change_wanted(self, name: str | None, auto: bool | None) -> None:
        """See `Driver.change_wanted`."""
        viewer = self._viewer
        if viewer is None:
            return
        if not self._changes.take(1, self._gateway.clock.now()):
            raise SignallingError(
                429, f"Too many changes of rendition; {_CHANGES_PER_SECOND:g} a second is what a viewer may ask for."
            )
        if auto:
            viewer.choose_auto()
        elif not viewer.choose(viewer.current if name is None else name):
            self._say(messages.rendition_changed(viewer.current, auto=viewer.auto))

    def stopped(self) -> None:
        """See `Driver.stopped`."""
        self._pending = None
        if self._session is not None:
            # What comes next has its own time; offers that are asked for again and again have not.
            self._settle()
            self._end("the peer stopped", goodbye=self._publishes)
        if self._timer is None:
            self._timer = self._gateway.clock.call_later(_AGREE_WITHIN, self._late)

    # -- inside

    async def _offer(self) -> None:
        try:
            await self._make_offer()
        except GhostliveError as error:
            self._refuse(error)
        except Exception as error:
            # Of a broadcaster the name may be the stream key.
            _log.error("an offer could not be made", stream="" if self._publishes else self._name, exc_info=error)
            self._refuse(SignallingError(500, "The server made an error; it is in its log."))

    async def _make_offer(self) -> None:
        gateway, opening = self._gateway, self._opening
        gateway.server.check_room(opening.address, publishing=self._publishes)
        if self._publishes:
            self._stream = await self._authorize_publishing()
            gateway.publishers.check_free(self._stream)
            codecs: tuple[Codec, ...] = CODECS
        else:
            self._stream = await self._authorize_playing()
            codecs = tuple(gateway.players.codecs(self._stream))
        if self._closed:
            return
        local = gateway.server.local_parameters(
            opening.host, _TRANSPORTS.get(self._transport, BOTH), publishing=self._publishes
        )
        self._pending = make_offer(local, sending=not self._publishes, codecs=codecs)
        relays = gateway.server.ice_servers() if self._transport in _RELAYED else ()
        self._say(messages.offer(self._signalling.id, self._pending.sdp, local.candidates, relays))
        self._signalling.offered()

    async def _authorize_publishing(self) -> str:
        decision = await self._decide(
            Action.PUBLISH, stream=self._name if self._key else None, key=self._key or self._name
        )
        if decision.allowed and decision.stream is not None:
            return decision.stream
        reason = decision.reason
        if not self._key:
            reason = "The stream key is missing: add key=… to the address, or write it in place of the stream's name."
        raise SignallingError(_STATUS.get(decision.verdict, 403), reason)

    async def _authorize_playing(self) -> str:
        decision = await self._decide(Action.PLAY, stream=self._name, key=self._key or None)
        if not decision.allowed:
            raise SignallingError(_STATUS.get(decision.verdict, 403), f"Cannot create offer: {decision.reason}")
        return decision.stream or self._name

    async def _decide(self, action: Action, *, stream: str | None, key: str | None) -> Decision:
        return await self._gateway.authorize(
            AccessRequest(
                action,
                protocol="ome",
                address=self._opening.address,
                stream=stream,
                key=key,
                browser=self._opening.cookies.get(COOKIE),
            )
        )

    @property
    def _source(self) -> Source:
        return Source("ome", self._opening.address, self._opening.agent[:160])

    def _play(self, negotiation: Negotiation) -> Session:
        opening = self._opening
        session, self._viewer = self._gateway.players.begin(
            self._stream,
            negotiation,
            address=opening.address,
            agent=opening.agent,
            browser=opening.cookies.get(COOKIE),
            on_event=self._heard,
        )
        if not self._listed:  # once for a socket: players add what they are told to what they know
            self._listed = True
            viewer = self._viewer
            self._say(messages.playlist(self._stream, self._playlist, viewer.renditions, auto=viewer.auto))
        if self._shown is not None:
            self._heard(self._shown)
        return session

    def _heard(self, event: ViewerEvent) -> None:
        """Something that the viewer is to know. An end follows by itself."""
        if isinstance(event, RenditionChanged):
            if self._listed:
                self._say(messages.rendition_changed(event.name, auto=event.auto))
            else:
                self._shown = event

    def _over(self, reason: str) -> None:
        """The session ended by itself."""
        if self._session is None:
            return
        self._viewer = None
        if self._publishes:
            # A broadcaster that stops closes both, and what goes by UDP may be faster: the socket tells what is meant.
            self._timer = self._gateway.clock.call_later(_LAST_WORDS, lambda: self.close(NORMAL, reason))
        else:
            self._session = None
            self.close(NORMAL, reason)

    def _end(self, reason: str, *, goodbye: bool = False) -> None:
        """End the session because of the socket."""
        session, self._session, self._viewer = self._session, None, None
        if session is None:
            return
        if goodbye:
            self._gateway.publishers.end(session, reason)
        else:
            session.close(reason)

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        self._refuse(SignallingError(408, "No answer came in time."))

    def _refuse(self, error: GhostliveError) -> None:
        if isinstance(error, SignallingError):
            code = error.code
        elif (status := status_of(error)) is not None:
            code = status.code
        else:
            raise error
        started = self._signalling.state is not State.NEW
        self._say(messages.error(code, str(error), self._signalling.id if started else None))
        self.close(NORMAL, str(error))

    def _say(self, message: str) -> None:
        if self._closed:
            return
        if self._connection.waiting > _MAX_WAITING:
            self.close(POLICY_VIOLATION, "too slow to read")
            return
        self._connection.write(text_frame(message.encode()))
