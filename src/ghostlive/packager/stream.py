"""One live session: the segmenter's output as resources, and what stays of it for how long.

Invariant: everything here happens on the event loop; only `dvr` has a thread, and answers through the loop.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import structlog

from ghostlive.core.clock import Clock
from ghostlive.core.errors import MediaError
from ghostlive.core.frame import Frame
from ghostlive.core.track import Track, TrackKind
from ghostlive.formats.fmp4 import init_segment, supports
from ghostlive.hub.derived import Lease, Offer
from ghostlive.hub.subscription import Announced, Closed, Ended, Interrupted, Item, Offered, Opened, Skipped
from ghostlive.packager.config import PackagerConfig
from ghostlive.packager.demand import Demand
from ghostlive.packager.dvr import DvrStore
from ghostlive.packager.hls import PARTS_LISTED
from ghostlive.packager.model import Epoch, PackagingEvent, PartReady, RunReady, Segment
from ghostlive.packager.rendition import Rendition
from ghostlive.packager.resource import IMMUTABLE, Resource
from ghostlive.packager.segmenter import StreamSegmenter
from ghostlive.packager.signal import Signal

_log = structlog.get_logger("packager")

_IN_MEMORY = 12.0
"""Seconds of the newest segments that stay in memory when older ones are on disk; those with listed parts always do.

Many renditions together keep only those, once they hold half of what a stream may.
"""

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
        lease: Callable[[str], Lease],
    ) -> None:
        """`store` is None for storage in memory; `ready` is where resources are published by their full path.

        `lease` is the live stream's.
        """
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
        self.hidden: Rendition | None = None
        """The source's leading track when it cannot be packaged but what is made of it can: its segments are times."""
        self.demand = Demand(clock, lease, self._offered, self._lapsed)
        self._announced: tuple[tuple[Track, ...], Announced] | None = None
        self._offers: tuple[Offer, ...] = ()
        self._opened: dict[str, Track] = {}
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
    def tracks(self) -> tuple[str, ...]:
        """The tracks announced last, as far as they can be packaged."""
        return tuple(track.id for track in self._announced[0]) if self._announced else ()

    @property
    def lead(self) -> Rendition | None:
        """The rendition that decides where all are cut, once it has a part."""
        return self.hidden or self.renditions.get(self.leading)

    @property
    def epoch(self) -> int:
        """The number of the epoch that is packaged now, or next."""
        return self._segmenter.epoch

    @property
    def listable(self) -> list[Rendition]:
        """The renditions that viewers can be offered: video first, the source's before those made of it."""
        found = [
            rendition
            for rendition in self.renditions.values()
            if (rendition.playable or (rendition.offer is not None and not self.ended)) and not rendition.withdrawn
        ]
        alive = [rendition for rendition in found if not rendition.ended] or found
        return sorted(
            alive,
            key=lambda found: (found.track.kind is not TrackKind.VIDEO, found.offer is not None, found.rank),
        )

    @property
    def playable(self) -> bool:
        """Whether there is enough to promise viewers every track: a segment of each, or of those that have frames.

        What is derived is not waited for.
        """
        lead = self.lead
        if lead is None or not lead.playable:
            return False
        waiting = any(rendition.offer is None and not rendition.playable for rendition in self.renditions.values())
        return not waiting or len(lead.segments) > 1 or self.ended

    @property
    def carried(self) -> bool:
        """Whether any track can be packaged, as far as is known."""
        return self._announced is None or bool(self._announced[0]) or bool(self._offered())

    @property
    def needed(self) -> list[Rendition]:
        """What every viewer needs although it is not there: picture or sound that the source has in another codec."""
        if self._announced is None:
            return []
        tracks, announced = self._announced
        found = []
        for kind in TrackKind:
            if any(track.kind is kind for track in announced.tracks) and not any(
                track.kind is kind for track in tracks
            ):
                found += [rendition for rendition in self._offered() if rendition.track.kind is kind][:1]
        return found

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
        self.demand.close()
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
        if isinstance(item, Offered):
            self._offer(item.offers)
            self._changed()
            return
        if isinstance(item, Opened):
            self._open(item.track)
            return
        if isinstance(item, Closed):
            self._close(item.track)
            return
        # Whatever it is, the frames before and after it do not belong together.
        self._publish(self._segmenter.finish())
        if isinstance(item, Announced):
            self.interrupted = False
            self._pause()
            self._begin(item)
        elif isinstance(item, Ended):
            self.end()
        elif self._announced is not None:
            # Interrupted: `Announced` follows, if anything. Skipped: the tracks go on at their next keyframes.
            self.interrupted = isinstance(item, Interrupted)
            tracks, announced = self._announced
            self._segmenter.begin(tracks, announced.timeline, self.hidden.track if self.hidden is not None else None)
            if isinstance(item, Skipped):
                for track in self._opened.values():
                    self._publish(self._segmenter.open(track))
            else:
                self._pause()

    def _begin(self, announced: Announced) -> None:
        tracks = tuple(track for track in announced.tracks if self._carries(track))
        self._announced = (tracks, announced)
        self._offer(announced.offers)
        hidden = self._hidden_lead(announced)
        self._segmenter.begin(tracks, announced.timeline, hidden)
        if hidden is None:
            self.hidden = None
        elif self.hidden is None:
            self.hidden = Rendition(hidden)
        else:
            self.hidden.track = hidden
        if not tracks and hidden is None:
            return
        leading = hidden or next((track for track in tracks if track.kind is TrackKind.VIDEO), tracks[0])
        self.leading = leading.id
        present = {track.id for track in tracks}
        for rendition in self.renditions.values():
            if rendition.offer is None and rendition.id not in present and not rendition.ended:
                rendition.ended = True
                self._rendition_changed(rendition)
        self._changed()

    def _hidden_lead(self, announced: Announced) -> Track | None:
        """The source's leading track if that cannot be packaged, but what can be made of it: it decides still."""
        tracks = announced.tracks
        leading = next((track for track in tracks if track.kind is TrackKind.VIDEO), tracks[0])
        made = any(rendition.track.kind is leading.kind for rendition in self._offered())
        return leading if made and not supports(leading.codec) else None

    def _offered(self) -> list[Rendition]:
        """The renditions on offer, in their order."""
        found = [rendition for rendition in self.renditions.values() if rendition.offer is not None]
        return sorted((rendition for rendition in found if not rendition.withdrawn), key=lambda found: found.rank)

    def _offer(self, offers: Sequence[Offer]) -> None:
        """List what is offered now, and let go of what no longer is."""
        self._offers = tuple(offer for offer in offers if supports(offer.track.codec) and not offer.realtime)
        for rank, offer in enumerate(self._offers):
            rendition = self.renditions.get(offer.track.id)
            if rendition is None:
                rendition = self.renditions[offer.track.id] = Rendition(offer.track)
                self._memory[offer.track.id] = deque()
            rendition.offer = offer
            rendition.rank = rank
            rendition.withdrawn = rendition.ended = False
            if not rendition.running:
                rendition.track = offer.track
        offered = {offer.track.id for offer in self._offers}
        for rendition in self.renditions.values():
            if rendition.offer is not None and not rendition.withdrawn and rendition.id not in offered:
                rendition.withdrawn = True
                rendition.running = False
                self.demand.drop(rendition)
                self._rest(rendition)

    def _open(self, track: Track) -> None:
        """A derived track runs."""
        rendition = self.renditions.get(track.id)
        if rendition is None or rendition.offer is None or rendition.withdrawn:
            return  # HLS and DASH cannot carry it; it is made for others.
        self._opened[track.id] = track
        rendition.running = True
        self.demand.came(rendition)
        self._publish(self._segmenter.open(track))
        self._rendition_changed(rendition)

    def _close(self, track: str) -> None:
        """A derived track runs no longer."""
        self._opened.pop(track, None)
        self._publish(self._segmenter.close(track))
        rendition = self.renditions.get(track)
        if rendition is None or not rendition.running:
            return
        rendition.running = False
        if self.demand.holds(rendition):
            if self.interrupted:
                return  # Those who watch it keep what they have, like everybody.
            rendition.failures += 1
            self.demand.failed(rendition)
        self._rest(rendition)
        self._changed()

    def _pause(self) -> None:
        """The source breaks off, and what is made of it: who watches that waits for its next run."""
        self._opened.clear()
        for rendition in self._offered():
            rendition.running = False
            if not self.demand.holds(rendition):
                self._rest(rendition)

    def _lapsed(self, rendition: Rendition) -> None:
        if not rendition.running:
            self._rest(rendition)

    def _rest(self, rendition: Rendition) -> None:
        """Nothing of it is live: the next request begins anew."""
        for segment in rendition.drop_all():
            self._retire(rendition, segment)
        self._rendition_changed(rendition)

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
            if isinstance(event, RunReady):
                self._begin_run(event.epoch)
                continue
            segment = event.segment
            track = segment.epoch.track.id
            if self.hidden is not None and track == self.leading:
                rendition = self.hidden
            else:
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
            if not rendition.part_target:
                rendition.part_target = self._segmenter.part_target(rendition.id)
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

    def _begin_run(self, epoch: Epoch) -> None:
        """A derived track is about to have segments. Those of another run in this epoch are not listed beside them."""
        rendition = self.renditions[epoch.track.id]
        if rendition.segments and rendition.segments[-1].epoch.number == epoch.number:
            self._rest(rendition)
        self._publish_init(rendition, epoch)
        self._rendition_changed(rendition)

    def _publish_init(self, rendition: Rendition, epoch: Epoch) -> None:
        path = self.media_path(rendition.id, epoch.init_file)
        if path not in self._ready:
            etag = f'"{self.session}-{rendition.id}-{epoch.init_file}"'
            resource = Resource.of(rendition.content_type, IMMUTABLE, etag, epoch.init)
            self._ready[path] = self._marked(rendition, resource)

    def _marked(self, rendition: Rendition, resource: Resource) -> Resource:
        """A resource of an offered rendition notes that it is used."""
        if rendition.offer is not None:
            resource.use = rendition.use
        return resource

    def _begin_segment(self, rendition: Rendition, segment: Segment) -> None:
        rendition.ended = False
        for dropped in rendition.begin(segment):
            self._retire(rendition, dropped)
        if rendition is not self.hidden:
            self._publish_init(rendition, segment.epoch)

    def _add_part(self, rendition: Rendition, segment: Segment, index: int) -> None:
        if rendition is self.hidden:
            return
        part = segment.parts[index]
        name = f"{segment.msn}.{index}"
        self._held += len(part.data)
        self._ready[f"{self._base}{rendition.id}/{name}.m4s"] = Resource(
            rendition.content_type,
            IMMUTABLE,
            f'"{self.session}-{rendition.id}-{name}"',
            (part.data,),
            len(part.data),
            use=rendition.use if rendition.offer is not None else None,
        )

    def _complete(self, rendition: Rendition, segment: Segment) -> None:
        for dropped in rendition.complete(segment):
            self._retire(rendition, dropped)
        if rendition is self.hidden:
            segment.parts = []
            return
        etag = f'"{self.session}-{rendition.id}-{segment.msn}"'
        if segment.gap:
            # HLS has a tag for it. DASH numbers what its timeline lists, so that nothing can be left out there.
            self._ready[self.media_path(rendition.id, f"{segment.msn}.m4s")] = self._marked(
                rendition, Resource.of(rendition.content_type, IMMUTABLE, etag, segment.filler)
            )
            return
        chunks = tuple(part.data for part in segment.parts)
        self._ready[self.media_path(rendition.id, f"{segment.msn}.m4s")] = self._marked(
            rendition, Resource(rendition.content_type, IMMUTABLE, etag, chunks, segment.size)
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
        if self.hidden is not None:
            times = self.hidden
            while len(times.segments) > 1 and times.listed - times.segments[0].seconds >= self.config.dvr:
                times.drop_oldest()
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
        kept = (PARTS_LISTED + 0.5) * rendition.target_duration
        if self._held <= self.config.memory_bytes / 2:
            kept = max(kept, _IN_MEMORY)
        for segment in reversed(list(memory)):
            seconds += segment.seconds
            if seconds - segment.seconds < kept:
                continue
            self._drop_parts(rendition.id, segment)
            if segment.file is not None:
                path = self.media_path(rendition.id, f"{segment.msn}.m4s")
                resource = self._ready.get(path)
                if resource is not None:
                    self._ready[path] = Resource(
                        resource.content_type,
                        IMMUTABLE,
                        resource.etag,
                        size=segment.size,
                        file=segment.file,
                        use=resource.use,
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
