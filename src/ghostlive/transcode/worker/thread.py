"""A rendition's queue and the thread of its own that takes frames from there and encodes them.

The decoding thread offers frames and asks for figures; everything that encodes happens in the rendition's thread.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from ghostlive.transcode.plan import Plan
from ghostlive.transcode.wire import Failed, Media, Notice, Opened, RenditionStats, Start
from ghostlive.transcode.worker.encoders import EncoderError
from ghostlive.transcode.worker.link import Link, LinkClosedError

T = TypeVar("T")


class RenditionThread(ABC, Generic[T]):
    """One rendition. What makes one launches it once it is ready to encode."""

    def __init__(self, start: Start, plan: Plan, link: Link, space: threading.Event, *, room: int) -> None:
        """`room` is how many frames may wait; `space` is set whenever one has been taken from the queue."""
        self.run = start.run
        self.failed = False
        # Encoders that may be tried yet, in their order.
        self._names = deque(start.encoders)
        self._link = link
        self._space = space
        self._room = room
        self._queue: deque[T] = deque()
        self._ready = threading.Condition()
        self._ended = False
        self._working = False
        self._taken = 0.0
        self._frames = 0
        self._dropped = 0
        self._busy = 0.0
        self._late = 0.0
        self._thread = threading.Thread(target=self._work, name=plan.id, daemon=True)

    # Of the decoding thread.

    def drop(self) -> None:
        """A frame that it wanted is left out, because it would come too late."""
        self._dropped += 1

    def stop(self) -> None:
        """End the thread, without waiting for it; nothing that waits is encoded."""
        with self._ready:
            self._ended = True
            self._queue.clear()
            self._ready.notify()

    @property
    def waiting(self) -> int:
        """Frames in the queue and with the encoder."""
        return len(self._queue) + self._working

    def stats(self) -> RenditionStats:
        """What it did so far."""
        return RenditionStats(self.run, self._frames, self._dropped, self._busy, self._media_seconds(), self._late)

    def _put(self, make: Callable[[], T]) -> bool:
        """Queue what `make` answers; False, and it is not called, when the queue is full."""
        with self._ready:
            if len(self._queue) >= self._room:
                return False
            self._queue.append(make())
            self._ready.notify()
            return True

    # Of both.

    def _fail(self, reason: str) -> None:
        """End with an error."""
        self.failed = True
        self.stop()
        self._say(Failed(self.run, reason))

    def _say(self, message: Failed | Media | Notice | Opened) -> None:
        if not self._ended or isinstance(message, Failed):
            self._link.send(message)

    # Of the rendition's own thread.

    def _launch(self) -> None:
        self._thread.start()

    @abstractmethod
    def _begin(self) -> None:
        """Do what comes before the first frame of the queue. Raises `EncoderError` when nothing can be encoded."""

    @abstractmethod
    def _encode(self, item: T) -> None:
        """Encode a frame. Raises `EncoderError` when there is no encoder left."""

    @abstractmethod
    def _media_seconds(self) -> float:
        """Seconds of media encoded so far."""

    def _timed(self, item: T) -> None:
        """Encode a frame, and count the time that it takes."""
        self._taken = begin = time.monotonic()
        self._working = True
        self._encode(item)
        self._busy += time.monotonic() - begin

    def _work(self) -> None:
        try:
            self._begin()
            while (item := self._take()) is not None:
                self._timed(item)
        except EncoderError as error:
            self._fail(str(error))
        except LinkClosedError:
            # The reading thread finds out by itself and ends the process.
            pass
        finally:
            self._working = False
            self._space.set()

    def _take(self) -> T | None:
        with self._ready:
            self._working = False
            while not self._queue and not self._ended:
                self._ready.wait()
            if self._ended:
                return None
            item = self._queue.popleft()
            # Not in between seen as one that has nothing to do.
            self._taken = time.monotonic()
            self._working = True
        self._space.set()
        return item
