"""All viewers by WebRTC: one `StreamEgress` for each live stream that somebody watches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ghostlive.core.clock import Clock
from ghostlive.core.tasks import TaskScope
from ghostlive.core.track import Codec
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream
from ghostlive.protocols.webrtc.egress.config import EgressConfig
from ghostlive.protocols.webrtc.egress.model import NotLiveError, OnEvent, RenditionInfo
from ghostlive.protocols.webrtc.egress.pacer import Pacer
from ghostlive.protocols.webrtc.egress.renditions import codecs, list_renditions
from ghostlive.protocols.webrtc.egress.stream import StreamEgress, Surroundings
from ghostlive.protocols.webrtc.egress.viewer import Viewer

if TYPE_CHECKING:
    from ghostlive.protocols.webrtc.fanout.sender import Sender
    from ghostlive.protocols.webrtc.negotiation.model import Negotiation


class Egress:
    """Feeds the viewers of all streams. All of it happens on the event loop."""

    def __init__(self, hub: Hub, sender: "Sender", config: EgressConfig | None = None, *, clock: Clock) -> None:
        """`sender` is started and stopped by whoever made it, and outlives this."""
        self._hub = hub
        self._streams: dict[str, StreamEgress] = {}
        self._scope = TaskScope("webrtc egress")
        self._around = Surroundings(sender, config or EgressConfig(), clock, Pacer(clock), self._scope)

    def codecs_for(self, stream: str) -> Sequence[Codec]:
        """What can be sent of a stream, preferred first, picture and sound; for an answer or an offer.

        Raises `NotLiveError`.
        """
        live = self._live(stream)
        return codecs(live.tracks, live.offers)

    def renditions(self, stream: str) -> Sequence[RenditionInfo]:
        """What a viewer who takes every codec can choose from, best first. Raises `NotLiveError`."""
        live = self._live(stream)
        found = list_renditions(live.tracks, live.offers, takes=lambda track: True, bitrate=live.bitrate)
        return tuple(rendition.info for rendition in found)

    def viewers(self, stream: str) -> int:
        """How many watch a stream."""
        live = self._hub.get(stream)
        egress = self._streams.get(live.session) if live is not None else None
        return egress.viewers if egress is not None else 0

    def open(self, stream: str, negotiation: "Negotiation", *, on_event: OnEvent) -> Viewer:
        """A viewer, to be given to the server as the session's handler; media begins once the session is secured.

        Whoever opens one and cannot give it to the server calls its `closed`. Raises `NotLiveError`, and
        `NothingToSendError` when the viewer takes nothing that the stream has.
        """
        live = self._live(stream)
        self._forget_ended()
        egress = self._streams.get(live.session)
        if egress is None:
            egress = self._streams[live.session] = StreamEgress(live, self._around)
        return Viewer(egress, negotiation, on_event=on_event)

    async def stop(self) -> None:
        """End all viewers' sessions."""
        for egress in self._streams.values():
            egress.close("the server is stopping")
        self._streams.clear()
        self._around.pacer.close()
        await self._scope.close()

    def _live(self, stream: str) -> LiveStream:
        live = self._hub.get(stream)
        if live is None or not live.announced:
            raise NotLiveError(f"{stream} is not live")
        return live

    def _forget_ended(self) -> None:
        """Also those whose streams ended while they rested: nobody told them."""
        for session, egress in list(self._streams.items()):
            if egress.ended or (not egress.viewers and self._hub.get(egress.live.name) is not egress.live):
                del self._streams[session]
