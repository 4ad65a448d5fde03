"""WHEP: watching a stream, `POST /app/{stream}/whep` (draft-ietf-wish-whep)."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from ghostlive.access.decision import AccessRequest, Action, Decision, Verdict
from ghostlive.protocols.webrtc.egress.model import ViewerEvent
from ghostlive.protocols.webrtc.negotiation import answer_offer
from ghostlive.protocols.webrtc.players import Players
from ghostlive.protocols.webrtc.resource import Offer, Refusal, Resource, Target
from ghostlive.protocols.webrtc.server import WebRtcServer
from ghostlive.protocols.webrtc.session import Session

_PATH: Final = re.compile(r"/app/([^/]{1,64})/whep(?:/([A-Za-z0-9_-]{1,64}))?", re.ASCII)
_STATUS: Final = {Verdict.STREAM_UNKNOWN: 404}


class WhepApp(Resource):
    """The endpoints of all streams."""

    protocol = "whep"

    def __init__(
        self, *, server: WebRtcServer, players: Players, authorize: Callable[[AccessRequest], Awaitable[Decision]]
    ) -> None:
        """`authorize` is the Authorizer's."""
        super().__init__(server)
        self._players = players
        self._authorize = authorize

    def target(self, path: str, query: bytes) -> Target | None:
        """See `Resource.target`."""
        found = _PATH.fullmatch(path)
        return None if found is None else Target(found[1], found[2] or "")

    def location(self, target: Target) -> str:
        """See `Resource.location`."""
        return f"/app/{target.stream}/whep/{target.session}"

    async def accept(self, offer: Offer) -> Session:
        """See `Resource.accept`."""
        self.server.check_room(offer.address)
        decision = await self._authorize(
            AccessRequest(
                Action.PLAY,
                protocol=self.protocol,
                address=offer.address,
                stream=offer.stream,
                key=offer.key,
                browser=offer.browser,
            )
        )
        if not decision.allowed:
            raise Refusal(_STATUS.get(decision.verdict, 403), decision.reason)
        stream = decision.stream or offer.stream
        codecs = self._players.codecs(stream)
        negotiation = answer_offer(offer.sdp, self.server.local_parameters(offer.host), sending=True, codecs=codecs)
        session, _ = self._players.begin(
            stream,
            negotiation,
            address=offer.address,
            agent=offer.agent,
            browser=offer.browser,
            on_event=_nothing,
        )
        return session


def _nothing(event: ViewerEvent) -> None:
    """The protocol has no way to tell the player; an end is told by the transport."""
