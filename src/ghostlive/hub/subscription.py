"""Subscriptions: what one reader gets of a stream.

A reader sees `Announced`, then frames of those tracks, beginning with a keyframe of the leading one; again
`Announced` whenever tracks change or a publisher comes back; `Interrupted` when the publisher is lost; `Ended` last.
`Offered` comes when what is offered changes in between. Frames of a derived track stand between its
`Opened` and its `Closed`; an `Announced` closes all of them without saying so.
A reader that falls behind loses whole groups, never memory, and finds a `Skipped` where they were. Control items are
never lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from ghostlive.core.frame import Frame
from ghostlive.core.timeline import Timeline
from ghostlive.core.track import Track
from ghostlive.hub.derived import Offer


@dataclass(frozen=True, slots=True)
class Announced:
    """The tracks of the frames that follow.

    `epoch` counts announcements of a live session from 0. A packager answers a new epoch with a discontinuity:
    new initialization segments, time going on where the timeline says.
    """

    epoch: int
    tracks: tuple[Track, ...]
    timeline: Timeline
    offers: tuple[Offer, ...] = ()
    """What can be had of these tracks on demand (`LiveStream.lease`), in the order to list it."""


@dataclass(frozen=True, slots=True)
class Offered:
    """Another offer than `Announced` said, from now on."""

    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """Frames of this derived track follow, beginning with a keyframe; its configuration is known now."""

    track: Track


@dataclass(frozen=True, slots=True)
class Closed:
    """No frame of this derived track follows until it is opened again."""

    track: str
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """Frames that this reader was too slow for; what follows begins with a group.

    Tracks other than the leading one may go on between keyframes of their own: wait for those.
    """

    frames: int
    size: int
    """Payload bytes lost."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The publisher was lost; `Announced` or `Ended` follows within the grace time."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The live session is over; nothing follows."""

    reason: str


Control = Announced | Offered | Opened | Closed | Interrupted | Ended
"""What is never lost."""

Item = Frame | Skipped | Control


class Subscription:
    """One reader's bounded queue. Made by `LiveStream.subscribe`; `close` when done."""

    def __init__(
        self,
        *,
        max_frames: int,
        max_bytes: int,
        tracks: frozenset[str] | None,
        on_close: Callable[["Subscription"], None],
    ) -> None:
        """`tracks` limits the frames to these track ids; None means all."""
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._tracks = tracks
        self._on_close = on_close
        self._items: list[Item] = []
        self._frames = 0
        self._bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._skipping = False
        self._lost_frames = 0
        self._lost_bytes = 0
        self.skipped_frames = 0
        """All frames this reader lost since it subscribed."""

    async def batch(self) -> list[Item]:
        """Wait, then take everything that came; an empty list means the end."""
        while not self._items and not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.take()

    def take(self) -> list[Item]:
        """Take what waits, without waiting."""
        items, self._items = self._items, []
        self._frames = self._bytes = 0
        return items

    async def __aiter__(self) -> AsyncIterator[Item]:
        while items := await self.batch():
            for item in items:
                yield item

    def close(self) -> None:
        """Stop receiving; what waits is dropped."""
        self._ended = True
        self.take()
        self._wake()
        self._on_close(self)

    def put_frame(self, frame: Frame, *, group_start: bool) -> None:
        """Queue a frame, or skip to the next group when the reader is too far behind. Called by the hub.

        `group_start` is whether a group of the source's leading track begins with it.
        """
        if self._ended:
            return
        if self._skipping:
            if not group_start:
                if self._lost_frames:
                    self._lose(frame)
                return
            self._resume()
        if self._tracks is not None and frame.track not in self._tracks:
            return
        if self._frames >= self._max_frames or self._bytes + len(frame.payload) > self._max_bytes:
            self._drop_frames()
            self._skipping = True
            self._lose(frame)
            self._wake()
            return
        self._items.append(frame)
        self._frames += 1
        self._bytes += len(frame.payload)
        if self._waiter is not None:
            self._wake()

    def put_control(self, item: Control) -> None:
        """Queue a control item; `Ended` is the last. Called by the hub."""
        if self._ended:
            return
        if isinstance(item, Announced):
            # Decoding begins anew, with the first group of the new tracks.
            self._resume()
            self._skipping = True
        self._items.append(item)
        if isinstance(item, Ended):
            self._ended = True
        self._wake()

    def _resume(self) -> None:
        self._skipping = False
        if self._lost_frames:
            self._items.append(Skipped(self._lost_frames, self._lost_bytes))
            self._lost_frames = self._lost_bytes = 0

    def _lose(self, frame: Frame) -> None:
        self._lost_frames += 1
        self._lost_bytes += len(frame.payload)
        self.skipped_frames += 1

    def _drop_frames(self) -> None:
        kept: list[Item] = []
        for item in self._items:
            if isinstance(item, Frame):
                self._lose(item)
            elif isinstance(item, Skipped):
                self._lost_frames += item.frames
                self._lost_bytes += item.size
            else:
                kept.append(item)
        self._items = kept
        self._frames = self._bytes = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
