"""Viewers by WebRTC, whatever they were signalled by: from a description that was agreed on to a session that plays."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from weakref import ReferenceType, ref

from ghostlive.core.clock import Clock, Timer
from ghostlive.core.track import Codec
from ghostlive.protocols.webrtc.egress.model import OnEvent
from ghostlive.protocols.webrtc.egress.viewer import Viewer
from ghostlive.protocols.webrtc.negotiation import Negotiation
from ghostlive.protocols.webrtc.server import WebRtcServer
from ghostlive.protocols.webrtc.session import Session


class Watched(Protocol):
    """Told every few seconds of each viewer."""

    def __call__(self, stream: str, address: str, agent: str, track: str) -> None:
        """Of a stream somebody at an address, with a program, watches a track."""


_LOOK_EVERY: Final = 0.5
_TOLD_EVERY: Final = 5.0
"""Seconds between two times that a viewer is told of; in each look a part of them is."""


class Viewers(Protocol):
    """The part of `egress.Egress` that is needed here."""

    def codecs_for(self, stream: str) -> Sequence[Codec]:
        """What can be sent of a stream, preferred first. Raises `NotLiveError`."""

    def open(self, stream: str, negotiation: Negotiation, *, on_event: OnEvent) -> Viewer:
        """A viewer of the stream. Raises `NotLiveError` and `NothingToSendError`."""


class Players:
    """Begins sessions of viewers, and tells who watches."""

    def __init__(self, *, server: WebRtcServer, viewers: Viewers, clock: Clock, watched: Watched | None = None) -> None:
        """`watched` hears of who watches, as long as they do."""
        self._server = server
        self._viewers = viewers
        self._clock = clock
        self._watched = watched
        self._watching: deque[_Watching] = deque()
        self._timer: Timer | None = None

    def codecs(self, stream: str) -> Sequence[Codec]:
        """See `Viewers.codecs_for`."""
        return self._viewers.codecs_for(stream)

    def begin(
        self,
        stream: str,
        negotiation: Negotiation,
        *,
        address: str,
        agent: str,
        on_event: OnEvent,
        browser: str | None = None,
    ) -> tuple[Session, Viewer]:
        """A session for what was agreed on, and its handler. Raises as `Viewers.open` and `WebRtcServer.add`.

        `browser` is the cookie of `access.browser` that came with it.
        """
        viewer = self._viewers.open(stream, negotiation, on_event=on_event)
        try:
            session = self._server.add(negotiation, viewer, address=address)
        except BaseException as error:
            viewer.closed(str(error))
            raise
        if self._watched is not None:
            self._watching.appendleft(_Watching(ref(session), ref(viewer), stream, address, agent, browser))
            if self._timer is None:
                self._timer = self._clock.call_later(_LOOK_EVERY, self._tell)
        return session, viewer

    def put_out(self, banned: Callable[[str, str, str | None], bool]) -> int:
        """End the sessions of who may not watch any more; how many. `banned` is asked with stream, address, browser."""
        ended = 0
        for one in list(self._watching):
            session = one.session()
            if session is not None and not session.over and banned(one.stream, one.address, one.browser):
                session.close("banned")
                ended += 1
        return ended

    def close(self) -> None:
        """Tell nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._watching.clear()

    def _tell(self) -> None:
        """Tell of those who waited longest, and of who came since the last look."""
        now = self._clock.now()
        for _ in range(len(self._watching)):
            one = self._watching[0]
            if one.told > now - _TOLD_EVERY:
                break
            self._watching.popleft()
            session, viewer = one.session(), one.viewer()
            if session is None or viewer is None or session.over:
                continue
            if session.secured and self._watched is not None:
                self._watched(one.stream, one.address, one.agent, _track(viewer))
                one.told = now
            self._watching.append(one)
        self._timer = self._clock.call_later(_LOOK_EVERY, self._tell) if self._watching else None


@dataclass(slots=True, eq=False)
class _Watching:
    """A session of a viewer, which is not kept by who looks at it from time to time."""

    session: ReferenceType[Session]
    viewer: ReferenceType[Viewer]
    stream: str
    address: str
    agent: str
    browser: str | None = field(default=None, repr=False)
    told: float = float("-inf")


def _track(viewer: Viewer) -> str:
    """What it sees, or hears where there is no picture; empty when that is not known."""
    for rendition in viewer.renditions:
        if rendition.name == viewer.current:
            track = rendition.video or rendition.audio
            return "" if track is None else track.id
    return ""
