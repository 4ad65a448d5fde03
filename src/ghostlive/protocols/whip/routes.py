"""WHIP: broadcasting a stream (RFC 9725), `POST /app/{stream}/whip`, or as OvenMediaEngine has it
`POST /app/{stream}?direction=whip`. The stream key is the bearer token, or `key` in the query.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl

from ghostlive.access.decision import AccessRequest, Action, Decision, Verdict
from ghostlive.hub.live import Source
from ghostlive.protocols.webrtc.negotiation import answer_offer
from ghostlive.protocols.webrtc.publishers import CODECS, Publishers
from ghostlive.protocols.webrtc.resource import Headers, Offer, Refusal, Resource, Target
from ghostlive.protocols.webrtc.server import WebRtcServer
from ghostlive.protocols.webrtc.session import Session

_PATH: Final = re.compile(r"/app/([^/]{1,64})/whip(?:/([A-Za-z0-9_-]{1,64}))?", re.ASCII)
_OME_PATH: Final = re.compile(r"/app/([^/]{1,64})(?:/([A-Za-z0-9_-]{1,64}))?/?", re.ASCII)
_STATUS: Final = {
    Verdict.KEY_MISSING: 401,
    Verdict.KEY_UNKNOWN: 401,
    Verdict.STREAM_UNKNOWN: 404,
}
_GOODBYE: Final = "the broadcaster ended the session"
_CHALLENGE: Final[Headers] = [(b"www-authenticate", b'Bearer realm="stream key"')]


class WhipApp(Resource):
    """The endpoints of all streams."""

    protocol = "whip"

    def __init__(
        self,
        *,
        server: WebRtcServer,
        publishers: Publishers,
        authorize: Callable[[AccessRequest], Awaitable[Decision]],
    ) -> None:
        """`authorize` is the Authorizer's."""
        super().__init__(server)
        self._publishers = publishers
        self._authorize = authorize

    def target(self, path: str, query: bytes) -> Target | None:
        """See `Resource.target`."""
        found = _PATH.fullmatch(path)
        if found is None and b"direction=whip" in query.lower() and _is_whip(query):
            found = _OME_PATH.fullmatch(path)
        return None if found is None else Target(found[1], found[2] or "")

    def location(self, target: Target) -> str:
        """See `Resource.location`."""
        return f"/app/{target.stream}/whip/{target.session}"

    async def accept(self, offer: Offer) -> Session:
        """See `Resource.accept`."""
        self.server.check_room(offer.address, publishing=True)
        decision = await self._authorize(
            AccessRequest(
                Action.PUBLISH, protocol=self.protocol, address=offer.address, stream=offer.stream, key=offer.key
            )
        )
        if not decision.allowed or decision.stream is None:
            status = _STATUS.get(decision.verdict, 403)
            raise Refusal(status, decision.reason, _CHALLENGE if status == 401 else None)
        self._publishers.check_free(decision.stream)
        local = self.server.local_parameters(offer.host, publishing=True)
        negotiation = answer_offer(offer.sdp, local, sending=False, codecs=CODECS)
        return self._publishers.begin(decision.stream, negotiation, Source(self.protocol, offer.address, offer.agent))

    def goodbye(self, session: Session) -> None:
        """See `Resource.goodbye`: the broadcast is over."""
        self._publishers.end(session, _GOODBYE)

    def farewell(self, session: Session) -> Callable[[], None] | None:
        """See `Resource.farewell`: the stream does not wait for the broadcaster to come back."""
        return self._publishers.farewell(session, _GOODBYE)


def _is_whip(query: bytes) -> bool:
    try:
        pairs = parse_qsl(query.decode("ascii"), max_num_fields=32)
    except ValueError:
        return False
    return any(name == "direction" and value.lower() == "whip" for name, value in pairs)
