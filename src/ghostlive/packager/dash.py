"""MPEG-DASH manifests (ISO/IEC 23009-1), over the same segments as the HLS playlists: pure functions to text.

One Period for each epoch. Segments are numbered ($Number$) and timed (SegmentTimeline). At the live edge the segment
being made is listed with the duration that it is expected to have, where that can be told, so that players fetch it
with chunked transfer while it grows (availabilityTimeComplete="false"); the next manifest has its true duration.

What is offered and not made now is listed with the segments that it would begin with: those of the leading track that
a start can still deliver. A request for one makes it start, and waits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from xml.sax.saxutils import quoteattr

from ghostlive.core.timeline import NS
from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.hub.derived import REPLAY_SHORT
from ghostlive.packager.hls import iso
from ghostlive.packager.model import Epoch, Segment
from ghostlive.packager.rendition import Rendition

TIME_URL = "../../api/v1/time"
"""The server time that the web room answers with, as seen from the manifest: works behind any prefix."""

_UPDATE = 0.5
"""Seconds between a player's looks at the manifest."""

_LATENCY = 2.5
"""Seconds behind the live edge that low-latency players aim at."""

_STEADY = 0.05
"""Share by which the last two segments may differ for the next one's duration to be told from them."""

_UNKNOWN_PART = 0.5
"""Seconds that a part may last of which nothing is known yet."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a manifest is about."""

    session: str
    lead: Rendition
    """The one that decides where all are cut; listed only if it is among the renditions."""
    renditions: Sequence[Rendition]
    """Those to list."""
    tracks: Sequence[str]
    """The tracks that the newest epoch was announced with."""
    window: float
    """Seconds that players may go back."""
    segment: float
    """Seconds that segments should last."""
    now_ns: int
    ended: bool


def manifest(presentation: Presentation) -> str:
    """The MPD."""
    renditions = presentation.renditions
    lead = presentation.lead
    epochs = _ready(_epochs(presentation), presentation)
    # Whether players may stay close is a fact of the stream. It must not hang on whether the next segment has a part
    # already: they keep the delay that the first manifest asks for.
    expected = None if presentation.ended else _expected_duration(lead)
    longest = max(rendition.longest for rendition in (lead, *renditions))
    out = ['<?xml version="1.0" encoding="UTF-8"?>\n', _head(presentation, epochs[0], longest, expected)]
    for number, following in zip(epochs, [*epochs[1:], None], strict=True):
        out.append(_period(presentation, number, expected if following is None else None, following))
    if not presentation.ended:
        out.append(f'<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="{TIME_URL}"/>\n')
    out.append("</MPD>\n")
    return "".join(out)


def _head(presentation: Presentation, first: Epoch, longest: float, expected: float | None) -> str:
    origin = _EPOCH + timedelta(microseconds=first.timeline.origin_ns // 1000)
    shared = (
        'xmlns="urn:mpeg:dash:schema:mpd:2011" '
        'profiles="urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019" '
        f'minBufferTime="PT1S" maxSegmentDuration="{_duration(longest)}"'
    )
    if presentation.ended:
        end = max(rendition.segments[-1].end_seconds for rendition in presentation.renditions if rendition.segments)
        return f'<MPD {shared} type="static" mediaPresentationDuration="{_duration(end)}">\n'
    part = presentation.lead.part_target
    latency = max(_LATENCY, 4 * part) if expected else 3 * longest
    return (
        f'<MPD {shared} type="dynamic" availabilityStartTime="{origin:%Y-%m-%dT%H:%M:%S.%f}Z" '
        f'publishTime="{iso(_EPOCH + timedelta(microseconds=presentation.now_ns // 1000))}" '
        f'minimumUpdatePeriod="{_duration(_UPDATE)}" timeShiftBufferDepth="{_duration(presentation.window)}" '
        f'suggestedPresentationDelay="{_duration(latency)}">\n'
        f'<ServiceDescription id="0"><Latency target="{latency * 1000:.0f}" min="{latency * 500:.0f}" '
        f'max="{latency * 3000:.0f}"/><PlaybackRate min="0.96" max="1.04"/></ServiceDescription>\n'
    )


@dataclass(frozen=True, slots=True)
class _Listed:
    """What is listed of one rendition in one Period. Times are in the track's timescale."""

    rendition: Rendition
    track: Track
    number: int
    """Of the first segment."""
    start: int
    durations: list[int]
    growing: bool
    """Whether the last one is expected to last as long, but is not complete."""
    independent: bool


def _period(presentation: Presentation, epoch: Epoch, expected: float | None, following: Epoch | None) -> str:
    lead = presentation.lead
    current = lead.current
    # The others' segments end where the leading track's does: nothing is known of them before that has begun.
    growing = current if expected and current is not None and current.epoch.number == epoch.number else None
    ends = {segment.msn: segment.end_seconds for segment in lead.segments if segment.epoch.number == epoch.number}
    if growing is not None and expected:
        ends[growing.msn] = growing.start_seconds + expected
    members: list[_Listed] = []
    for rendition in presentation.renditions:
        listed = _made(rendition, epoch, ends if growing is not None else {})
        if listed is None and following is None and not presentation.ended and rendition.offer is not None:
            listed = _promised(rendition, lead, epoch, ends)
        if listed is not None:
            members.append(listed)
    duration = ""
    if following is not None or presentation.ended:
        end = max((listed.start + sum(listed.durations)) / listed.track.timescale for listed in members)
        if following is not None:
            # What the last frame lasted was a guess.
            end = min(end, following.start_ns / NS)
        duration = f' duration="{_duration(end - epoch.start_ns / NS)}"'
    out = [f'<Period id="{epoch.number}" start="{_nanoseconds(epoch.start_ns)}"{duration}>\n']
    families: dict[tuple[TrackKind, Codec, str], list[_Listed]] = {}
    for listed in members:
        track = listed.track
        families.setdefault((track.kind, track.codec, track.language), []).append(listed)
    mains: set[tuple[TrackKind, str]] = set()
    for index, ((kind, _, language), group) in enumerate(families.items()):
        # The source's comes first. Who would rather have another codec of the same may choose it.
        main = (kind, language) not in mains
        mains.add((kind, language))
        out.append(_adaptation_set(presentation.session, index, group, epoch, expected, main=main))
    out.append("</Period>\n")
    return "".join(out)


def _made(rendition: Rendition, epoch: Epoch, ends: Mapping[int, float]) -> _Listed | None:
    """What there is of a rendition; the segment being made too, if `ends` says when it will end."""
    segments = [segment for segment in rendition.segments if segment.epoch.number == epoch.number]
    durations = [segment.duration for segment in segments]
    current = rendition.current
    growing = current is not None and current.epoch.number == epoch.number and current.msn in ends
    if growing and current is not None:
        segments.append(current)
        durations.append(_expected_ticks(current, ends[current.msn]))
    if not segments:
        return None
    independent = all(segment.independent or segment.gap for segment in segments)
    track = segments[0].epoch.track
    return _Listed(rendition, track, segments[0].msn, segments[0].start, durations, growing, independent)


def _promised(rendition: Rendition, lead: Rendition, epoch: Epoch, ends: Mapping[int, float]) -> _Listed | None:
    """What a rendition would begin with: the leading track's last complete segment, and the one being made."""
    if rendition.offer is None:
        return None
    segments = [segment for segment in lead.segments if segment.epoch.number == epoch.number][-1:]
    current = lead.current
    growing = current is not None and current.msn in ends
    if growing and current is not None:
        segments.append(current)
        if ends[current.msn] - segments[0].start_seconds > REPLAY_SHORT:
            segments = [current]  # perhaps with the one before; nobody may ask for what is not made
    if not segments:
        return None
    track = rendition.offer.track
    scale, other = track.timescale, segments[0].timescale
    times = [-(-segment.start * scale // other) for segment in segments]
    times.append(round(ends[segments[-1].msn] * scale))
    durations = [max(1, after - before) for before, after in pairwise(times)]
    return _Listed(rendition, track, segments[0].msn, times[0], durations, growing, independent=True)


def _adaptation_set(
    session: str, index: int, members: Sequence[_Listed], epoch: Epoch, expected: float | None, *, main: bool
) -> str:
    track = members[0].track
    language = f" lang={quoteattr(track.language)}" if track.language else ""
    access = ' startWithSAP="1"' if all(listed.independent for listed in members) else ""
    out = [
        f'<AdaptationSet id="{index}" contentType="{track.kind}" mimeType="{members[0].rendition.content_type}"'
        f'{language} segmentAlignment="true"{access} selectionPriority="{2 if main else 1}">\n',
        f'<Role schemeIdUri="urn:mpeg:dash:role:2011" value="{"main" if main else "alternate"}"/>\n',
    ]
    out.extend(_representation(session, listed, epoch, expected) for listed in members)
    out.append("</AdaptationSet>\n")
    return "".join(out)


def _representation(session: str, listed: _Listed, epoch: Epoch, expected: float | None) -> str:
    rendition, track = listed.rendition, listed.track
    scale = track.timescale
    if track.kind is TrackKind.VIDEO:
        rate = track.frame_rate
        facts = f' width="{track.width}" height="{track.height}"' if track.width else ""
        if rate:
            facts += f' frameRate="{rate.numerator}/{rate.denominator}"'
        channels = ""
    else:
        facts = f' audioSamplingRate="{track.sample_rate}"' if track.sample_rate else ""
        channels = (
            '<AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" '
            f'value="{track.channels}"/>\n'
        ) if track.channels else ""  # fmt: skip
    early = ""
    if expected:
        length = listed.durations[-1] / scale if listed.growing else expected
        offset = max(0.0, length - (rendition.part_target or _UNKNOWN_PART))
        early = f' availabilityTimeOffset="{offset:.3f}" availabilityTimeComplete="false"'
    return (
        f'<Representation id="{rendition.id}" codecs="{track.codec_string}" bandwidth="{rendition.bandwidth}"'
        f"{facts}>\n{channels}"
        f'<SegmentTemplate timescale="{scale}" presentationTimeOffset="{epoch.start_ns * scale // NS}" '
        f'startNumber="{listed.number}" initialization="{session}/$RepresentationID$/init-{epoch.number}.mp4" '
        f'media="{session}/$RepresentationID$/$Number$.m4s"{early}>\n'
        f"<SegmentTimeline>{_timeline(listed.start, listed.durations)}</SegmentTimeline>\n"
        "</SegmentTemplate>\n</Representation>\n"
    )


def _timeline(start: int, durations: Iterable[int]) -> str:
    """S elements; segments tile the timeline, so only the first one needs its time."""
    out = []
    time = f' t="{start}"'
    for duration, run in groupby(durations):
        repeats = len(list(run)) - 1
        repeat = f' r="{repeats}"' if repeats else ""
        out.append(f'<S{time} d="{duration}"{repeat}/>')
        time = ""
    return "".join(out)


def _epochs(presentation: Presentation) -> list[Epoch]:
    """Those that have a segment to list; the newest also when there are only promises."""
    found: dict[int, Epoch] = {}
    for rendition in presentation.renditions:
        for segment in rendition.segments:
            found.setdefault(segment.epoch.number, segment.epoch)
    lead = presentation.lead
    if lead.segments and not presentation.ended:
        newest = lead.segments[-1].epoch
        if newest.number > max(found, default=-1):
            found[newest.number] = newest
    return [found[number] for number in sorted(found)]


def _ready(epochs: list[Epoch], presentation: Presentation) -> list[Epoch]:
    """Without the newest epoch while tracks of it may be missing only because their first segment is not there yet.

    dash.js looks once at what a Period has: a set that comes later it never plays. A track that has nothing by the
    time the leading one has its second segment is not waited for.
    """
    if presentation.ended or len(epochs) < 2:
        return epochs
    number = epochs[-1].number
    have = {
        rendition.id: sum(segment.epoch.number == number for segment in rendition.segments)
        for rendition in presentation.renditions
    }
    complete = all(have.get(track) for track in presentation.tracks)
    leading = sum(segment.epoch.number == number for segment in presentation.lead.segments)
    return epochs if complete or leading > 1 else epochs[:-1]


def _expected_duration(lead: Rendition) -> float | None:
    """How long the segment after the leading track's last one will last, in seconds, if the last ones tell."""
    if len(lead.segments) < 2:
        return None
    last, before = lead.segments[-1], lead.segments[-2]
    current = lead.current or last
    if not last.epoch is before.epoch is current.epoch or last.gap or before.gap:
        return None
    if not last.independent or abs(last.seconds - before.seconds) > _STEADY * last.seconds:
        return None
    return last.seconds


def _expected_ticks(segment: Segment, end: float) -> int:
    """How long a segment will last that is cut at its first frame at or after `end` (seconds)."""
    frame = max(segment.frame, 1)
    ticks = end * segment.timescale - segment.start
    return max(1, -int(-(ticks - frame / 1000) // frame)) * frame


def _duration(seconds: float) -> str:
    return f"PT{seconds:.3f}".rstrip("0").rstrip(".") + "S"


def _nanoseconds(value: int) -> str:
    return f"PT{value // NS}.{value % NS:09d}".rstrip("0").rstrip(".") + "S"
