"""What `/metrics` says, gathered from the parts that know it."""

from collections.abc import Iterator

from ghostlive.app.matrix import Matrix
from ghostlive.chat.gateway.gateway import Gateway
from ghostlive.chat.service import ChatService
from ghostlive.hub.hub import Hub
from ghostlive.web.audience import Audience
from ghostlive.web.metrics import Figure


class Metrics:
    """Reads every figure when it is asked for."""

    def __init__(self, *, hub: Hub, audience: Audience, chat: ChatService, gateway: Gateway, matrix: Matrix) -> None:
        """The parts that know."""
        self._hub = hub
        self._audience = audience
        self._chat = chat
        self._gateway = gateway
        self._matrix = matrix

    def read(self) -> Iterator[Figure]:
        """All figures."""
        streams = [live.name for live in self._hub.streams()]
        yield Figure("streams_live", "Streams that are on the air.", len(streams))
        yield Figure("viewers", "People who watch.", sum(self._audience.count(stream) for stream in streams))
        yield Figure("chat_connections", "Pages that have a chat open.", len(self._gateway))
        yield Figure(
            "chat_messages", "Messages since the start, by source.", self._chat.stored, label="source", kind="counter"
        )
        yield from self._matrix.figures()
