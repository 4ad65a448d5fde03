"""What the API is made of, handed from the composition root to `web.rest` in one piece. Free of FastAPI."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from ghostlive.access.sessions import Sessions
from ghostlive.access.setup import SetupLink
from ghostlive.chat.matrix.codes import MatrixSignIn
from ghostlive.chat.matrix.mediastore import MediaStore
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.db.streams import StreamRepository
from ghostlive.hub.hub import Hub
from ghostlive.transcode.config import TranscodeConfig
from ghostlive.transcode.ladders import StreamLadders
from ghostlive.transcode.report import MachineReport, StreamReport
from ghostlive.web.audience import Audience
from ghostlive.web.config import HttpConfig
from ghostlive.web.directory import StreamDirectory
from ghostlive.web.guard import Guard
from ghostlive.web.livefeed import LiveFeed
from ghostlive.web.status import Health

STATIC = Path(__file__).parent / "static"
"""Where the front end's build puts its files."""


@dataclass(frozen=True, slots=True)
class IngestAddresses:
    """Where encoders reach this server."""

    public_host: str
    """`server.public_host`; while that is `localhost`, the name by which the studio was reached is better."""
    ports: tuple[tuple[str, int], ...]
    """Protocols that are enabled, with their ports."""


class RoomProblem(Protocol):
    """Something about a room that needs somebody."""

    @property
    def code(self) -> str: ...
    @property
    def text(self) -> str: ...


class RoomState(Protocol):
    """How the Matrix room of a stream is."""

    @property
    def state(self) -> Literal["ok", "starting", "away", "broken"]: ...
    @property
    def alias(self) -> str: ...
    @property
    def room_id(self) -> str | None: ...
    @property
    def link(self) -> str: ...
    @property
    def waiting(self) -> int: ...
    @property
    def lag(self) -> float: ...
    @property
    def problems(self) -> Sequence[RoomProblem]: ...


class MatrixRooms(Protocol):
    """The part of chat on Matrix that the API needs."""

    @property
    def mode(self) -> Literal["managed", "external", "off"]: ...

    async def room_state(self, stream: str) -> RoomState | None:
        """How a stream's room is; None when there is no Matrix, or it begins just now."""

    async def repair_room(self, stream: str) -> RoomState | None:
        """Look after a room. Raises a `ChatError` when the homeserver is away."""


class Transcoding(Protocol):
    """The part of the transcoding pool that the API needs."""

    def report(self, stream: str) -> StreamReport | None:
        """How a stream's renditions are; None when it is not live."""

    def machine(self) -> MachineReport:
        """What may be spent, and is."""


@dataclass(frozen=True, slots=True)
class TranscodeParts:
    """What the API says of renditions, and where it changes them."""

    pool: Transcoding
    ladders: StreamLadders
    config: TranscodeConfig


@dataclass(frozen=True, slots=True)
class RestParts:
    """Everything that routes need, ready made."""

    config: HttpConfig
    hub: Hub
    records: StreamRepository
    directory: StreamDirectory
    audience: Audience
    feed: LiveFeed
    sessions: Sessions
    guard: Guard
    setup: SetupLink | None
    addresses: IngestAddresses
    health: Health
    desk: ModerationDesk | None = None
    """None when streams have no chat."""
    pictures: MediaStore | None = None
    """None when streams have no chat."""
    transcode: TranscodeParts | None = None
    """None where nothing is made of streams."""
    matrix: MatrixRooms | None = None
    """None when streams have no chat."""
    sign_in: MatrixSignIn | None = None
    """None when streams have no chat."""
    secret: bytes = field(default=b"", repr=False)
    """The server's; it signs the cookie of browsers."""
    static: Path = STATIC
    """The built pages."""
