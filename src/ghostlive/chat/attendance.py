"""Who has a chat open and really gets the stream meanwhile, as the server itself knows it by what players ask for.

A page only says that it plays. Here stands what was sent: requests for playlists and segments, and WebRTC sessions that
are up, by viewer (`access.browser.viewer_key`: address and program, as viewers are counted). Kept for open chats only,
so that there is never more than there are chats.
"""

from collections.abc import Callable
from typing import Final

GAP: Final = 15.0
"""Seconds without a request after which somebody has stopped watching."""


class _Watcher:
    __slots__ = ("began", "last", "pages")

    def __init__(self) -> None:
        self.pages = 0
        self.began = self.last = float("-inf")


class Attendance:
    """The viewers of all streams who have a chat open."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` is monotonic."""
        self._now = now
        self._watchers: dict[tuple[str, str], _Watcher] = {}

    def __len__(self) -> int:
        return len(self._watchers)

    def enter(self, stream: str, viewer: str) -> None:
        """A chat was opened. Every `enter` is followed by one `leave` with the same arguments."""
        self._watchers.setdefault((stream, viewer), _Watcher()).pages += 1

    def leave(self, stream: str, viewer: str) -> None:
        """A chat was closed."""
        watcher = self._watchers[stream, viewer]
        watcher.pages -= 1
        if not watcher.pages:
            del self._watchers[stream, viewer]

    def seen(self, stream: str, viewer: str) -> None:
        """A player got media. Told every few seconds of everybody who watches."""
        watcher = self._watchers.get((stream, viewer))
        if watcher is None:
            return
        now = self._now()
        if now - watcher.last > GAP:
            watcher.began = now
        watcher.last = now

    def since(self, stream: str, viewer: str) -> float | None:
        """Since when somebody who has a chat open gets media, without a gap, on the monotonic clock; None when not."""
        watcher = self._watchers.get((stream, viewer))
        return None if watcher is None or self._now() - watcher.last > GAP else watcher.began
