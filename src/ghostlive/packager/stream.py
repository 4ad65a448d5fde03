"""One live session: the segmenter's output as resources, and what stays of it for how long.

Invariant: everything here happens on the event loop; only `dvr` has a thread, and answers through the loop.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import structlog

from ghostlive.core.clock import Clock
from ghostlive.core.errors import MediaError
from ghostlive.core.frame import Frame
from ghostlive.core.track import Track, TrackKind
from ghostlive.formats.fmp4 import init_segment
from ghostlive.hub.subscription import Announced, Ended, Interrupted, Item
from ghostlive.packager.config import PackagerConfig
from ghostlive.packager.dvr import DvrStore
from ghostlive.packager.hls import PARTS_LISTED
from ghostlive.packager.model import Epoch, PackagingEvent, PartReady, Segment
from ghostlive.packager.rendition import Rendition
from ghostlive.packager.resource import IMMUTABLE, Resource
from ghostlive.packager.segmenter import StreamSegmenter
from ghostlive.packager.signal import Signal

_log = structlog.get_logger("packager")

_IN_MEMORY = 12.0
"""Seconds of the newest segments that stay in memory when older ones are on disk; those with listed parts always do."""

_LINGER = 60.0
"""Seconds that a segment stays after it left the playlist, for players that hold an older one (RFC 8216bis §6.2.2)."""


class PackagedStream:
    """Packages one live session and keeps its window."""

    def __init__(
        self,
        name: str,
        session: str,
        *,
        config: PackagerConfig,
        clock: Clock,
        store: DvrStore | None,
        ready: dict[str, Resource],
    ) -> None:
        """`store` is None for storage in memory; `ready` is where resources are published by their full path."""
        self.name = name
        self.session = session
        self.config = config
        self.renditions: dict[str, Rendition] = {}
        """By track id, in the order in which they came up."""
        self.leading = ""
        """The track that decides where all are cut."""
        self.interrupted = False
        self.ended = False
        self.started = Signal()
        """Fired when segments or renditions came, and at the end: what the stream's own playlists are made of."""
        self.version = 0
        """Counts those changes."""
        self._clock = clock
        self._store = store
        self._ready = ready
        self._root = f"/app/{name}/"
        self._base = f"/app/{name}/{session}/"
        self._segmenter = StreamSegmenter(config)
        self._announced: tuple[tuple[Track, ...], Announced] | None = None
        self._unsupported: set[str] = set()
        self._memory: dict[str, deque[Segment]] = {}
        self._held = 0
        self._retired: deque[tuple[float, str, Segment]] = deque()
        self._loop = asyncio.get_running_loop()

    @property
    def memory(self) -> int:
        """Bytes of media held in memory."""
        return self._held

    @property
    def listable(self) -> list[Rendition]:
        """The renditions that viewers can be offered, video first."""
        found = [rendition for rendition in self.renditions.values() if rendition.playable]
        alive = [rendition for rendition in found if not rendition.ended] or found
        return sorted(alive, key=lambda rendition: rendition.track.kind is not TrackKind.VIDEO)

    @property
    def playable(self) -> bool:
        """Whether there is enough to promise viewers every track: a segment of each, or of those that have frames."""
        lead = self.renditions.get(self.leading)
        if lead is None or not lead.playable:
            return False
        waiting = any(not rendition.playable for rendition in self.renditions.values())
        return not waiting or len(lead.segments) > 1 or self.ended

    @property
    def carried(self) -> bool:
        """Whether any track can be packaged, as far as is known."""
        return self._announced is None or bool(self._announced[0])

    def path(self, file: str) -> str:
        """The full path of one of the stream's own files."""
        return self._root + file

    def media_path(self, track: str, file: str) -> str:
        """The full path of a file of one rendition."""
        return f"{self._base}{track}/{file}"

    def feed(self, items: Iterable[Item]) -> None:
        """Take what a subscription gave."""
        push = self._segmenter.push
        for item in items:
            if item.__class__ is Frame:
                events = push(item)
                if events:
                    self._publish(events)
            else:
                self._control(item)

    def end(self) -> None:
        """The live session is over: complete the last segments and close the playlists."""
        if self.ended:
            return
        self._publish(self._segmenter.finish())
        self.ended = True
        for rendition in self.renditions.values():
            rendition.ended = True
            self._rendition_changed(rendition)
        self._changed()

    def remove(self) -> None:
        """Forget everything: the resources are gone, and soon the files."""
        self.end()
        for path in [path for path in self._ready if path.startswith(self._base)]:
            del self._ready[path]
        self._memory.clear()
        self._held = 0
        if self._store is not None:
            self._store.remove(self._store.folder(self.session))

    def _control(self, item: Item) -> None:
        # Whatever it is, the frames before and after it do not belong together.
        self._publish(self._segmenter.finish())
        if isinstance(item, Announced):
            self.interrupted = False
            self._begin(item)
        elif isinstance(item, Ended):
            self.end()
        elif self._announced is not None:
            # Interrupted: `Announced` follows, if anything. Skipped: the tracks go on at their next keyframes.
            self.interrupted = isinstance(item, Interrupted)
            tracks, announced = self._announced
            self._segmenter.begin(tracks, announced.timeline)

    def _begin(self, announced: Announced) -> None:
        tracks = tuple(track for track in announced.tracks if self._carries(track))
        self._announced = (tracks, announced)
        self._segmenter.begin(tracks, announced.timeline)
        if not tracks:
            return
        self.leading = next((track.id for track in tracks if track.kind is TrackKind.VIDEO), tracks[0].id)
        present = {track.id for track in tracks}
        for rendition in self.renditions.values():
            if rendition.id not in present and not rendition.ended:
                rendition.ended = True
                self._rendition_changed(rendition)
        self._changed()

    def _carries(self, track: Track) -> bool:
        """Whether a track can be packaged; says once for each codec why not."""
        try:
            init_segment(track)
        except MediaError as error:
            if track.codec not in self._unsupported:
                self._unsupported.add(track.codec)
                _log.warning("track left out of HLS and DASH", stream=self.name, track=track.id, reason=str(error))
            return False
        return True

    def _publish(self, events: Iterable[PackagingEvent]) -> None:
        touched: dict[str, Rendition] = {}
        completed = False
        for event in events:
            segment = event.segment
            track = segment.epoch.track.id
            rendition = self.renditions.get(track) or self._rendition(segment.epoch)
            touched[track] = rendition
            if isinstance(event, PartReady):
                if event.index == 0:
                    self._begin_segment(rendition, segment)
                self._add_part(rendition, segment, event.index)
            else:
                self._complete(rendition, segment)
                completed = True
        for rendition in touched.values():
            rendition.target_duration = self._segmenter.target_duration
            self._rendition_changed(rendition)
        if completed:
            self._trim()
        if touched and (completed or any(len(r.current.parts) == 1 for r in touched.values() if r.current)):
            self._changed()

    def _rendition(self, epoch: Epoch) -> Rendition:
        track = epoch.track
        rendition = self.renditions[track.id] = Rendition(
            track,
            part_target=self._segmenter.part_target(track.id),
            target_duration=self._segmenter.target_duration,
        )
        self._memory[track.id] = deque()
        return rendition

    def _begin_segment(self, rendition: Rendition, segment: Segment) -> None:
        rendition.ended = False
        rendition.begin(segment)
        file = f"init-{segment.epoch.number}.mp4"
        path = self.media_path(rendition.id, file)
        if path not in self._ready:
            etag = f'"{self.session}-{rendition.id}-{file}"'
            self._ready[path] = Resource.of(rendition.content_type, IMMUTABLE, etag, segment.epoch.init)

    def _add_part(self, rendition: Rendition, segment: Segment, index: int) -> None:
        part = segment.parts[index]
        name = f"{segment.msn}.{index}"
        self._held += len(part.data)
        self._ready[f"{self._base}{rendition.id}/{name}.m4s"] = Resource(
            rendition.content_type,
            IMMUTABLE,
            f'"{self.session}-{rendition.id}-{name}"',
            (part.data,),
            len(part.data),
        )

    def _complete(self, rendition: Rendition, segment: Segment) -> None:
        for dropped in rendition.complete(segment):
            self._retire(rendition, dropped)
        if segment.gap:
            return
        chunks = tuple(part.data for part in segment.parts)
        etag = f'"{self.session}-{rendition.id}-{segment.msn}"'
        self._ready[self.media_path(rendition.id, f"{segment.msn}.m4s")] = Resource(
            rendition.content_type, IMMUTABLE, etag, chunks, segment.size
        )
        self._memory[rendition.id].append(segment)
        if self._store is not None:
            name = f"{self.session}/{rendition.id}/{segment.msn}.m4s"
            self._store.write(name, chunks, segment.size, partial(self._from_thread, rendition, segment))

    def _from_thread(self, rendition: Rendition, segment: Segment, path: Path | None) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody is left to be told.
            self._loop.call_soon_threadsafe(self._written, rendition, segment, path)

    def _written(self, rendition: Rendition, segment: Segment, path: Path | None) -> None:
        """The disk has, or refused, a segment."""
        if path is None or self._store is None:
            return
        if self.media_path(rendition.id, f"{segment.msn}.m4s") not in self._ready:
            self._store.remove(path)
            return
        segment.file = path
        self._release(rendition)

    def _trim(self) -> None:
        """Let go of what is outside of the window, and of what memory cannot hold."""
        for rendition in self.renditions.values():
            while len(rendition.segments) > 1 and rendition.listed - rendition.segments[0].seconds >= self.config.dvr:
                self._retire(rendition, rendition.drop_oldest())
            self._release(rendition)
        self._shrink()
        deadline = self._clock.now() - min(_LINGER, self.config.dvr)
        while self._retired and self._retired[0][0] <= deadline:
            _, track, segment = self._retired.popleft()
            self._forget(track, segment)

    def _release(self, rendition: Rendition) -> None:
        """Leave to the disk what it has, but for the newest segments; drop parts that no playlist lists."""
        memory = self._memory.get(rendition.id)
        if not memory:
            return
        seconds = 0.0
        for segment in reversed(list(memory)):
            seconds += segment.seconds
            if seconds - segment.seconds < max(_IN_MEMORY, (PARTS_LISTED + 0.5) * rendition.target_duration):
                continue
            self._drop_parts(rendition.id, segment)
            if segment.file is not None:
                path = self.media_path(rendition.id, f"{segment.msn}.m4s")
                resource = self._ready.get(path)
                if resource is not None:
                    self._ready[path] = Resource(
                        resource.content_type, IMMUTABLE, resource.etag, size=segment.size, file=segment.file
                    )
                memory.remove(segment)
                segment.parts = []
                self._held -= segment.size

    def _shrink(self) -> None:
        """Shorten the window of all renditions when the disk does not take what memory must not hold."""
        if self._store is None:
            return
        while self._held > self.config.memory_bytes:
            memory = [queue[0] for queue in self._memory.values() if len(queue) > 1]
            if not memory:
                return
            oldest = min(segment.msn for segment in memory)
            newest = max(rendition.next_msn for rendition in self.renditions.values())
            if newest - oldest <= 3:
                return
            for rendition in self.renditions.values():
                while len(rendition.segments) > 1 and rendition.segments[0].msn <= oldest:
                    segment = rendition.drop_oldest()
                    self._forget(rendition.id, segment)
            for track, queue in self._memory.items():
                while queue and queue[0].msn <= oldest:
                    self._forget(track, queue[0])

    def _retire(self, rendition: Rendition, segment: Segment) -> None:
        self._retired.append((self._clock.now(), rendition.id, segment))

    def _forget(self, track: str, segment: Segment) -> None:
        self._ready.pop(self.media_path(track, f"{segment.msn}.m4s"), None)
        self._drop_parts(track, segment)
        memory = self._memory.get(track)
        if memory and segment in memory:
            memory.remove(segment)
            self._held -= segment.size
        segment.parts = []
        if segment.file is not None and self._store is not None:
            self._store.remove(segment.file)

    def _drop_parts(self, track: str, segment: Segment) -> None:
        if segment.part_lines is not None:
            for index in range(len(segment.parts)):
                self._ready.pop(f"{self._base}{track}/{segment.msn}.{index}.m4s", None)
            segment.part_lines = None

    def _rendition_changed(self, rendition: Rendition) -> None:
        self._ready.pop(f"{self._base}{rendition.id}/media.m3u8", None)
        rendition.change()

    def _changed(self) -> None:
        self.version += 1
        self.started.fire()
