"""Requests for one live session: what they ask for, what they wait for, what they get.

Playlists are rendered at most once for each change, when somebody asks, and shared by all who do. Waiting requests
hold a future each and no timer: one timer for the stream looks after their deadlines.
"""

import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from ghostlive.core.clock import Clock, Timer
from ghostlive.core.track import TrackKind
from ghostlive.packager import dash, hls
from ghostlive.packager.errors import BadRequestError, GoneError, NotFoundError, NotReadyError
from ghostlive.packager.rendition import Rendition
from ghostlive.packager.resource import REVALIDATE, ContentType, Resource
from ghostlive.packager.signal import Signal
from ghostlive.packager.stream import PackagedStream

T = TypeVar("T")

_TICK = 1.0
"""Seconds between looks at the deadlines of waiting requests."""

_AUDIO_NAME = "audio.m3u8"
_HLS_NAMES = ("master.m3u8", "llhls.m3u8", _AUDIO_NAME)
_DASH_NAME = "manifest.mpd"

_DELIVERABLE = 3
"""Segments back from the live edge that a derived rendition may still be started for. Others are missing at once."""


class Waiting:
    """Waits for signals with deadlines, on one timer."""

    def __init__(self, clock: Clock) -> None:
        """`clock` gives the timer."""
        self._clock = clock
        self._timer: Timer | None = None
        self._signals: set[Signal] = set()

    async def until(self, signal: Signal, look: Callable[[], T | None], limit: float) -> T | None:
        """What `look` returns, as soon as it is not None; None after `limit` seconds. It is asked at each signal."""
        deadline = self._clock.now() + limit
        while (found := look()) is None and self._clock.now() < deadline:
            self._signals.add(signal)
            if self._timer is None:
                self._timer = self._clock.call_later(_TICK, self._tick)
            await signal.wait()
        return found

    def close(self) -> None:
        """Wake everybody for the last time."""
        if self._timer is not None:
            self._timer.cancel()
        self._tick()

    def _tick(self) -> None:
        # Who still has time waits again, and that starts the next timer.
        self._timer = None
        signals, self._signals = self._signals, set()
        for signal in signals:
            signal.fire()


class Answers:
    """Answers for one live session."""

    def __init__(self, stream: PackagedStream, *, clock: Clock, ready: dict[str, Resource]) -> None:
        """`ready` is the dictionary that resources without a query are published in."""
        self._stream = stream
        self._clock = clock
        self._ready = ready
        self._waiting = Waiting(clock)
        self._cache: dict[str, Resource] = {}
        self._cached = -1

    @property
    def name(self) -> str:
        """The stream's name."""
        return self._stream.name

    @property
    def ended(self) -> bool:
        """Whether the live session is over."""
        return self._stream.ended

    def close(self) -> None:
        """Wake all who wait: the stream was removed."""
        self._waiting.close()

    async def entry(self, file: str, query: Mapping[str, str]) -> Resource:
        """A playlist of the whole stream: where players begin. Waits for the first segments."""
        stream = self._stream
        if file not in _HLS_NAMES and file != _DASH_NAME:
            raise NotFoundError(f"{stream.name} has no {file}; there are {', '.join((*_HLS_NAMES, _DASH_NAME))}")
        if not stream.carried:
            raise NotFoundError(f"{stream.name} has no track that HLS or DASH can carry; watch it over WebRTC")
        await self._waiting.until(
            stream.started, lambda: stream.playable or stream.ended or None, stream.config.first_wait
        )
        if not stream.playable or not stream.listable:
            if stream.ended:
                raise NotFoundError(f"{stream.name} has ended")
            raise NotReadyError(f"{stream.name} is starting: its first segment is not there yet")
        if not stream.ended:
            for rendition in stream.needed:
                stream.demand.want(rendition)
        if self._cached != stream.version:
            self._cache.clear()
            self._cached = stream.version
        legacy = query.get("_HLS_legacy") == "YES"
        audio_only = file == _AUDIO_NAME
        if audio_only and not any(rendition.track.kind is TrackKind.AUDIO for rendition in stream.listable):
            raise NotFoundError(f"{stream.name} has no sound")
        key = _DASH_NAME if file == _DASH_NAME else ("audio " if audio_only else "") + ("legacy" if legacy else "hls")
        resource = self._cache.get(key)
        if resource is None:
            if key == _DASH_NAME:
                kind, text = ContentType.DASH, dash.manifest(self._presentation())
            else:
                kind = ContentType.HLS
                text = hls.multivariant_playlist(
                    stream.listable, stream.session, low_latency=not legacy, audio_only=audio_only
                )
            etag = f'"{stream.session}-{key.replace(" ", "-")}-{stream.version}"'
            resource = self._cache[key] = Resource.text(kind, REVALIDATE, etag, text)
        return resource

    def _presentation(self) -> dash.Presentation:
        stream = self._stream
        lead = stream.lead
        assert lead is not None  # `playable` says so.
        return dash.Presentation(
            session=stream.session,
            lead=lead,
            renditions=stream.listable,
            tracks=stream.tracks,
            window=stream.config.dvr,
            segment=stream.config.segment,
            now_ns=self._clock.wall_ns(),
            ended=stream.ended,
        )

    async def media(self, track: str, file: str, query: Mapping[str, str]) -> Resource:
        """A file of one rendition."""
        stream = self._stream
        rendition = stream.renditions.get(track)
        if rendition is None or rendition.offer is None:
            return await self._media(rendition, track, file, query)
        with stream.demand.waiting(rendition):
            return await self._media(rendition, track, file, query)

    async def _media(self, rendition: Rendition | None, track: str, file: str, query: Mapping[str, str]) -> Resource:
        stream = self._stream
        if file == "media.m3u8":
            return await self._playlist(rendition or await self._first(track), query)
        if rendition is None:
            raise NotFoundError(f"{stream.name} has no track {track}")
        if resource := self._ready.get(stream.media_path(track, file)):
            return resource
        if rendition.offer is not None and file == f"init-{stream.epoch}.mp4":
            return await self._init(rendition, stream.media_path(track, file))
        name, _, suffix = file.rpartition(".")
        numbers = name.split(".")
        if suffix != "m4s" or len(numbers) > 2 or not all(_is_number(number) for number in numbers):
            raise NotFoundError(f"{stream.name} has no {track}/{file}")
        if len(numbers) == 2:
            return await self._part(rendition, int(numbers[0]), int(numbers[1]))
        return await self._growing(rendition, int(numbers[0]))

    async def _first(self, track: str) -> Rendition:
        """A track whose first segment is not there yet."""
        stream = self._stream
        rendition = None
        if not stream.playable:
            rendition = await self._waiting.until(
                stream.started, lambda: stream.renditions.get(track), stream.config.first_wait
            )
        if rendition is None:
            raise NotFoundError(f"{stream.name} has no track {track}")
        return rendition

    async def _wanted(self, rendition: Rendition, look: Callable[[], T | None], limit: float) -> T | None:
        """Have an offered rendition made, and wait as `Waiting.until` does. Raises what `Demand.want` does."""
        demand = self._stream.demand
        deadline = self._clock.now() + limit
        found = look()
        while found is None and not rendition.ended:
            demand.want(rendition)
            failures = rendition.failures

            def over(failures: int = failures) -> bool | None:
                given_up = rendition.ended or rendition.withdrawn or rendition.failures != failures
                return given_up or look() is not None or None

            if await self._waiting.until(rendition.changed, over, deadline - self._clock.now()) is None:
                if not rendition.running and not self._stream.interrupted:
                    demand.failed(rendition)
                return look()
            found = look()
        return found

    async def _init(self, rendition: Rendition, path: str) -> Resource:
        """The initialization segment of an offered rendition, which is known when it runs."""
        resource = await self._wanted(rendition, lambda: self._ready.get(path), self._stream.config.first_wait)
        if resource is None:
            raise self._late(rendition)
        return resource

    def _late(self, rendition: Rendition) -> NotFoundError | NotReadyError:
        """Why there is nothing of an offered rendition."""
        if self._stream.ended:
            return NotFoundError(f"{self._stream.name} has ended")
        return NotReadyError(f"{rendition.name} of {self._stream.name} is starting: nothing of it is there yet")

    async def _playlist(self, rendition: Rendition, query: Mapping[str, str]) -> Resource:
        """A media playlist, blocking as the query asks (RFC 8216bis §6.2.5)."""
        legacy = query.get("_HLS_legacy") == "YES"
        msn, part = _directive(query, "_HLS_msn"), _directive(query, "_HLS_part")
        if part is not None and msn is None:
            raise BadRequestError("_HLS_part needs _HLS_msn")
        if rendition.offer is not None:
            await self._begun(rendition)
        elif not rendition.playable:
            await self._waiting.until(
                rendition.changed, lambda: rendition.playable or rendition.ended or None, self._stream.config.first_wait
            )
            if not rendition.playable:
                raise NotReadyError(f"{self._stream.name} is starting: the first segment is not there yet")
        blocked = msn is not None and not legacy
        if msn is not None and not legacy and not rendition.has(msn, part):
            self._refuse_far(rendition, msn, part)
            if not await self._follows(rendition, msn, part):
                if not self._stream.interrupted:
                    raise NotReadyError("the encoder sent nothing for too long", retry_after=1)
                # While the publisher may come back, players keep asking for as long as they get answers.
                blocked = False
        variant = "legacy" if legacy else "skip" if query.get("_HLS_skip") in ("YES", "v2") else "full"
        return self._rendered(rendition, variant, blocked=blocked and not rendition.ended)

    async def _begun(self, rendition: Rendition) -> None:
        """An offered rendition is made from the first request on, which waits for the first complete segment."""
        stream = self._stream
        if rendition.withdrawn:
            raise GoneError(f"{rendition.name} is not offered any more; choose another quality")
        if not stream.ended and not stream.interrupted:
            stream.demand.want(rendition)
        if not await self._wanted(rendition, lambda: rendition.playable or None, stream.config.first_wait):
            raise self._late(rendition)

    async def _follows(self, rendition: Rendition, msn: int, part: int | None) -> bool:
        """Wait for what a blocking request asks for; False when it does not come."""

        def look() -> bool | None:
            return (rendition.playable and rendition.has(msn, part)) or None

        limit = 3 * rendition.target_duration
        if rendition.offer is None or self._stream.interrupted:
            return await self._waiting.until(rendition.changed, look, limit) is not None
        return await self._wanted(rendition, look, max(limit, self._stream.config.first_wait)) is not None

    def _rendered(self, rendition: Rendition, variant: str, *, blocked: bool) -> Resource:
        resource = rendition.cache.get(variant)
        stream = self._stream
        if resource is None:
            others = [
                other
                for other in stream.renditions.values()
                if other is not rendition and (other.offer is None or other.running)
            ]
            text = hls.media_playlist(rendition, low_latency=variant != "legacy", skip=variant == "skip", others=others)
            etag = f'"{stream.session}-{rendition.id}-{variant}-{rendition.version}"'
            resource = rendition.cache[variant] = Resource.text(ContentType.HLS, REVALIDATE, etag, text)
            resource.use = rendition.use if rendition.offer is not None else None
            if variant == "full":
                self._ready[stream.media_path(rendition.id, "media.m3u8")] = resource
        if not blocked:
            return resource
        # The answer to a blocking request never changes in what was asked for (§B.1).
        blocking = rendition.cache.get(variant + " blocked")
        if blocking is None:
            seconds = 6 * rendition.target_duration
            blocking = replace(resource, cache_control=f"public, max-age={seconds}", heads={})
            rendition.cache[variant + " blocked"] = blocking
        return blocking

    def _refuse_far(self, rendition: Rendition, msn: int, part: int | None) -> None:
        """Refuse to wait for what is too far ahead (§6.2.5.2).

        That asks for three parts of room. hls.js without its low-latency mode asks for a segment's last part, and takes
        a refusal for a reason to go to another rendition: a segment's parts are all allowed.
        """
        last, index = rendition.last_part
        advance = 3 + math.ceil(rendition.target_duration / rendition.part_target)
        if msn > last + 2 or (part is not None and msn == last and part > index + advance):
            raise BadRequestError(f"segment {msn} is too far ahead: the last one is {last}")

    async def _part(self, rendition: Rendition, msn: int, index: int) -> Resource:
        """A part that is not there: wait for it if it is the one that comes next, or soon."""
        stream = self._stream
        path = stream.media_path(rendition.id, f"{msn}.{index}.m4s")
        if rendition.offer is not None and self._is_near(msn):
            await self._wanted(
                rendition, lambda: rendition.current or rendition.playable or None, stream.config.first_wait
            )

        def look() -> bool | None:
            # Once a later part is there, this one will never be.
            return path in self._ready or rendition.ended or rendition.next_part > (msn, index) or None

        next_msn, next_index = rendition.next_part
        soon = (msn == next_msn and next_index <= index < next_index + 3) or (msn == next_msn + 1 and index == 0)
        if soon and not rendition.ended:
            await self._waiting.until(rendition.changed, look, 3 * rendition.target_duration)
        if resource := self._ready.get(path):
            return resource
        raise NotFoundError(f"{stream.name} has no part {index} of segment {msn}")

    async def _growing(self, rendition: Rendition, msn: int) -> Resource:
        """A segment that is not complete: its pieces as they come, for DASH players at the live edge."""
        stream = self._stream
        if rendition.offer is not None and self._is_near(msn):
            path = stream.media_path(rendition.id, f"{msn}.m4s")

            def there() -> bool | None:
                return path in self._ready or _is_current(rendition, msn) or rendition.passed(msn) or None

            if not await self._wanted(rendition, there, stream.config.first_wait):
                raise self._late(rendition)
        elif msn in (rendition.next_msn, rendition.next_msn + 1) and not rendition.ended:
            await self._waiting.until(
                rendition.changed,
                lambda: rendition.ended or rendition.next_msn > msn or _is_current(rendition, msn) or None,
                2 * rendition.target_duration,
            )
        if resource := self._ready.get(stream.media_path(rendition.id, f"{msn}.m4s")):
            return resource
        if not _is_current(rendition, msn):
            raise NotFoundError(f"{stream.name} has no segment {msn}")
        use = rendition.use if rendition.offer is not None else None
        return Resource(rendition.content_type, REVALIDATE, "", growing=lambda: self._pieces(rendition, msn), use=use)

    def _is_near(self, msn: int) -> bool:
        """Whether a derived rendition that starts may still deliver this segment, or will soon."""
        lead = self._stream.lead
        return lead is not None and lead.next_msn - _DELIVERABLE <= msn <= lead.next_msn + 1

    async def _pieces(self, rendition: Rendition, msn: int) -> AsyncIterator[bytes]:
        segment = rendition.current
        if segment is None or segment.msn != msn:
            # It was completed between the answer's head and its body.
            resource = self._ready.get(self._stream.media_path(rendition.id, f"{msn}.m4s"))
            for piece in resource.body if resource else ():
                yield piece
            return
        sent = 0

        def more() -> bool | None:
            return len(segment.parts) > sent or segment.complete or rendition.ended or None

        while await self._waiting.until(rendition.changed, more, 3 * rendition.target_duration):
            parts = segment.parts
            while sent < len(parts):
                sent += 1
                yield parts[sent - 1].data
            if segment.complete or rendition.ended:
                return


def _is_current(rendition: Rendition, msn: int) -> bool:
    return rendition.current is not None and rendition.current.msn == msn


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 18 and (text == "0" or text[0] != "0")


def _directive(query: Mapping[str, str], name: str) -> int | None:
    value = query.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 18):
        raise BadRequestError(f"{name} is a decimal number, not {value[:20]!r}")
    return int(value)
