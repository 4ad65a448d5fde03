"""The way from a WebSocket's path to the chat, which knows nothing of HTTP."""

from ghostlive.chat.errors import OpeningError
from ghostlive.chat.gateway.gateway import PATH, Gateway
from ghostlive.core.websocket import Connection, Opening, Peer
from ghostlive.web.problems import ProblemError
from ghostlive.web.websocket import Endpoint, Route

_RETRY_AFTER = 10


def chat_route(gateway: Gateway) -> Route:
    """Endpoints of all chats; what keeps a viewer out becomes a problem document."""

    async def enter(opening: Opening, connection: Connection) -> Peer:
        try:
            return await gateway.open(opening, connection)
        except OpeningError as error:
            later = ((b"retry-after", str(_RETRY_AFTER).encode()),) if error.status == 503 else ()
            raise ProblemError(error.status, str(error), headers=later) from error

    def route(path: str) -> Endpoint | None:
        return enter if PATH.fullmatch(path) else None

    return route
