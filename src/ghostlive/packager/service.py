"""The packager: one task for each live stream, and the answers to requests for its media.

Paths are those of DESIGN §11: `/app/{stream}/{rest}`. Nothing here knows HTTP beyond the facts in `Resource`.
"""

from collections.abc import Mapping
from pathlib import Path

from ghostlive.core.clock import Clock, SystemClock
from ghostlive.hub.hub import Hub
from ghostlive.packager.config import PackagerConfig
from ghostlive.packager.errors import NotFoundError
from ghostlive.packager.resource import Resource

PREFIX = "/app/"
"""What the path of every resource begins with."""

TIME_PATH = "/app/time"
"""Where the web room answers with the wall-clock time as `2026-01-31T12:00:00.123Z` (DASH's UTCTiming)."""


class Packager:
    """Packages every live stream of a hub."""

    def __init__(self, hub: Hub, config: PackagerConfig, data_dir: Path, clock: Clock | None = None) -> None:
        """`data_dir` is the program's data directory; the DVR window lies in its `dvr` folder."""
        self._hub = hub
        self._config = config
        self._data = data_dir
        self._clock = clock or SystemClock()
        self._ready: dict[str, Resource] = {}

    async def start(self) -> None:
        """Remove what an earlier run left, and package streams from now on."""

    async def stop(self) -> None:
        """End all tasks, wake all waiting requests, remove the DVR files."""

    def ready(self, path: str | bytes) -> Resource | None:
        """The resource at this full path (`/app/…`, no query), if it can be sent at once. A dictionary look-up."""
        return self._ready.get(path if isinstance(path, str) else path.decode("latin-1"))

    async def resource(self, stream: str, rest: str, query: Mapping[str, str]) -> Resource:
        """The resource at `/app/{stream}/{rest}?{query}`; waits where HLS says so, and for a stream's first segment.

        Raises `PackagerError` with the HTTP status and a text. Cancelling is safe.
        """
        raise NotFoundError(f"{stream} has no {rest}")
