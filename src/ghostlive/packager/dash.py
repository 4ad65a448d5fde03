"""MPEG-DASH manifests (ISO/IEC 23009-1), over the same segments as the HLS playlists: pure functions to text.

One Period for each epoch. Segments are numbered ($Number$) and timed (SegmentTimeline). At the live edge the segment
being made is listed with the duration that it is expected to have, where that can be told, so that players fetch it
with chunked transfer while it grows (availabilityTimeComplete="false"); the next manifest has its true duration.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from xml.sax.saxutils import quoteattr

from ghostlive.core.timeline import NS
from ghostlive.core.track import TrackKind
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

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a manifest is about."""

    session: str
    renditions: Sequence[Rendition]
    """Those to list, the leading one first."""
    window: float
    """Seconds that players may go back."""
    segment: float
    """Seconds that segments should last."""
    now_ns: int
    ended: bool


def manifest(presentation: Presentation) -> str:
    """The MPD."""
    renditions = presentation.renditions
    lead = renditions[0]
    epochs = _epochs(renditions)
    # Whether players may stay close is a fact of the stream. It must not hang on whether the next segment has a part
    # already: they keep the delay that the first manifest asks for.
    expected = None if presentation.ended else _expected_duration(lead)
    longest = max(rendition.longest for rendition in renditions)
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
        end = max(rendition.segments[-1].end_seconds for rendition in presentation.renditions)
        return f'<MPD {shared} type="static" mediaPresentationDuration="{_duration(end)}">\n'
    part = presentation.renditions[0].part_target
    latency = max(_LATENCY, 4 * part) if expected else 3 * longest
    return (
        f'<MPD {shared} type="dynamic" availabilityStartTime="{origin:%Y-%m-%dT%H:%M:%S.%f}Z" '
        f'publishTime="{iso(_EPOCH + timedelta(microseconds=presentation.now_ns // 1000))}" '
        f'minimumUpdatePeriod="{_duration(_UPDATE)}" timeShiftBufferDepth="{_duration(presentation.window)}" '
        f'suggestedPresentationDelay="{_duration(latency)}">\n'
        f'<ServiceDescription id="0"><Latency target="{latency * 1000:.0f}" min="{latency * 500:.0f}" '
        f'max="{latency * 3000:.0f}"/><PlaybackRate min="0.96" max="1.04"/></ServiceDescription>\n'
    )


def _period(presentation: Presentation, epoch: Epoch, expected: float | None, following: Epoch | None) -> str:
    members: list[tuple[Rendition, Epoch, list[Segment]]] = []
    last = following is None
    leading = presentation.renditions[0].current
    begun = leading is not None and leading.epoch.number == epoch.number
    for rendition in presentation.renditions:
        segments = [segment for segment in rendition.segments if segment.epoch.number == epoch.number]
        current = rendition.current
        # The others' segments end where the leading track's does: nothing is known of them before that has begun.
        if expected and begun and current is not None and current.epoch.number == epoch.number:
            segments.append(current)
        if segments:
            members.append((rendition, segments[0].epoch, segments))
    duration = ""
    if not last or presentation.ended:
        end = max(segments[-1].end_seconds for _, _, segments in members)
        if following is not None:
            # What the last frame lasted was a guess.
            end = min(end, following.start_ns / NS)
        duration = f' duration="{_duration(end - epoch.start_ns / NS)}"'
    out = [f'<Period id="{epoch.number}" start="{_nanoseconds(epoch.start_ns)}"{duration}>\n']
    end_of_lead = 0.0
    if expected and members[0][2][-1] is members[0][0].current:
        end_of_lead = members[0][2][-1].start_seconds + expected

    def family(member: tuple[Rendition, Epoch, list[Segment]]) -> tuple[str, str, str]:
        track = member[1].track
        return track.kind, track.codec, track.language

    for index, (_, group) in enumerate(groupby(sorted(members, key=family, reverse=True), family)):
        out.append(_adaptation_set(presentation.session, index, list(group), expected, end_of_lead))
    out.append("</Period>\n")
    return "".join(out)


def _adaptation_set(
    session: str,
    index: int,
    members: Sequence[tuple[Rendition, Epoch, list[Segment]]],
    expected: float | None,
    end_of_lead: float,
) -> str:
    rendition, epoch, _ = members[0]
    track = epoch.track
    language = f" lang={quoteattr(track.language)}" if track.language else ""
    independent = all(segment.independent or segment.gap for _, _, segments in members for segment in segments)
    access = ' startWithSAP="1"' if independent else ""
    out = [
        f'<AdaptationSet id="{index}" contentType="{track.kind}" mimeType="{rendition.content_type}"'
        f'{language} segmentAlignment="true"{access}>\n',
        '<Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>\n',
    ]
    out.extend(
        _representation(session, rendition, segments, expected, end_of_lead) for rendition, _, segments in members
    )
    out.append("</AdaptationSet>\n")
    return "".join(out)


def _representation(
    session: str, rendition: Rendition, segments: Sequence[Segment], expected: float | None, end_of_lead: float
) -> str:
    epoch = segments[0].epoch
    track = epoch.track
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
    growing = segments[-1] is rendition.current and bool(end_of_lead)
    durations = [segment.duration for segment in segments]
    early = ""
    if growing:
        durations[-1] = _expected_ticks(segments[-1], end_of_lead)
    if expected:
        offset = max(0.0, (durations[-1] / scale if growing else expected) - rendition.part_target)
        early = f' availabilityTimeOffset="{offset:.3f}" availabilityTimeComplete="false"'
    return (
        f'<Representation id="{rendition.id}" codecs="{track.codec_string}" bandwidth="{max(rendition.peak, 1)}"'
        f"{facts}>\n{channels}"
        f'<SegmentTemplate timescale="{scale}" presentationTimeOffset="{epoch.start_ns * scale // NS}" '
        f'startNumber="{segments[0].msn}" initialization="{session}/$RepresentationID$/init-{epoch.number}.mp4" '
        f'media="{session}/$RepresentationID$/$Number$.m4s"{early}>\n'
        f"<SegmentTimeline>{_timeline(segments[0].start, durations)}</SegmentTimeline>\n"
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


def _epochs(renditions: Iterable[Rendition]) -> list[Epoch]:
    found: dict[int, Epoch] = {}
    for rendition in renditions:
        for segment in rendition.segments:
            if segment.epoch.number not in found:
                found[segment.epoch.number] = segment.epoch
    return [found[number] for number in sorted(found)]


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
