"""Playlists (RFC 8216bis): pure functions from renditions to text.

Every path in a playlist is relative to it, so that they work behind any prefix, and names the live session.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime

from ghostlive.core.track import Codec, TrackKind
from ghostlive.packager.model import Epoch, Segment
from ghostlive.packager.rendition import Rendition

PARTS_LISTED = 3
"""Target durations before the end of a playlist within which parts are listed (§6.2.2)."""

_SKIP_BOUNDARY = 6
"""Target durations before the end of a playlist that a delta update must list (§4.4.3.8)."""

_AUDIO_ONLY = "Audio only"
"""What players without words of their own show for the variant of sound alone."""

_LEGACY_QUERY = "?_HLS_legacy=YES"


def media_playlist(
    rendition: Rendition, *, low_latency: bool = True, skip: bool = False, others: Iterable[Rendition] = ()
) -> str:
    """The playlist of one rendition; `others` are reported on. `skip` asks for a delta update (§6.2.5.1)."""
    target = rendition.target_duration
    segments = rendition.segments
    first = segments[0] if segments else rendition.current
    skipped = _skippable(rendition) if skip and low_latency else 0
    out = ["#EXTM3U\n", _head(rendition, low_latency=low_latency)]
    if first is not None:
        out.append(f"#EXT-X-MEDIA-SEQUENCE:{first.msn}\n#EXT-X-DISCONTINUITY-SEQUENCE:{first.epoch.number}\n")
    if rendition.all_independent:
        out.append("#EXT-X-INDEPENDENT-SEGMENTS\n")
    epoch: Epoch | None = None
    listed = list(segments)
    if skipped:
        out.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n")
        epoch = listed[skipped - 1].epoch
        listed = listed[skipped:]
    with_parts = len(segments) - _count_until(segments, PARTS_LISTED * target) if low_latency else len(segments)
    first_with_parts = segments[with_parts].msn if with_parts < len(segments) else rendition.next_msn
    for segment in listed:
        if segment.epoch is not epoch:
            out.append(_turn(epoch, segment.epoch))
            epoch = segment.epoch
        if not segment.text:
            segment.text = _segment_lines(segment)
        if low_latency and segment.msn >= first_with_parts and segment.parts:
            out.append(_date_line(segment))
            out.extend(_part_lines(segment))
            out.append(segment.text[segment.text.index("\n") + 1 :])
        else:
            out.append(segment.text)
    if rendition.ended:
        out.append("#EXT-X-ENDLIST\n")
    elif low_latency:
        out.extend(_live_edge(rendition, epoch, others))
    return "".join(out)


def multivariant_playlist(
    renditions: Sequence[Rendition], session: str, *, low_latency: bool = True, audio_only: bool = False
) -> str:
    """The playlist of all renditions (§4.4.6), or of the sound alone.

    The first variant is what players begin with, so it is the source's. Where there is AAC, Opus is not listed: few HLS
    players know it. The last variant is the sound alone.
    """
    query = "" if low_latency else _LEGACY_QUERY
    videos = [rendition for rendition in renditions if rendition.track.kind is TrackKind.VIDEO and not audio_only]
    audios = [rendition for rendition in renditions if rendition.track.kind is TrackKind.AUDIO]
    usual = [rendition for rendition in audios if rendition.track.codec is Codec.AAC]
    audios = usual or audios
    out = [f"#EXTM3U\n#EXT-X-VERSION:{9 if low_latency else 7}\n"]
    if all(rendition.all_independent for rendition in (*videos, *audios)):
        out.append("#EXT-X-INDEPENDENT-SEGMENTS\n")
    groups: dict[Codec, list[Rendition]] = {}
    for rendition in audios:
        groups.setdefault(rendition.track.codec, []).append(rendition)
    # A lone audio track without video is a variant itself and needs no group.
    grouped = bool(videos) or len(audios) > 1
    if grouped:
        for codec, members in groups.items():
            out.extend(
                _audio_line(rendition, f"{session}/{rendition.id}/media.m3u8{query}", codec, index)
                for index, rendition in enumerate(members)
            )
    for main in videos:
        for group, members in groups.items() or [(None, [])]:
            out.append(_variant_line(main, members, str(group or "")))
            out.append(f"{session}/{main.id}/media.m3u8{query}\n")
    # Without video, a variant stands for its group's first member.
    for group, members in groups.items():
        if not videos or usual:
            out.append(_variant_line(members[0], [], str(group) if grouped else ""))
            out.append(f"{session}/{members[0].id}/media.m3u8{query}\n")
    return "".join(out)


def iso(moment: datetime) -> str:
    """A moment in UTC, with milliseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _head(rendition: Rendition, *, low_latency: bool) -> str:
    target = rendition.target_duration
    if not low_latency:
        return f"#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n"
    part = rendition.part_target
    return (
        f"#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{target}\n"
        f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={3 * part:.3f},HOLD-BACK={3 * target:.1f},"
        f"CAN-SKIP-UNTIL={_SKIP_BOUNDARY * target:.1f}\n"
        f"#EXT-X-PART-INF:PART-TARGET={part:.3f}\n"
    )


def _turn(before: Epoch | None, epoch: Epoch) -> str:
    """What stands before the first segment of an epoch: a discontinuity for each epoch since, and its header.

    An epoch in which the track was missing counts too, so that discontinuity sequences agree between renditions.
    """
    breaks = "#EXT-X-DISCONTINUITY\n" * (epoch.number - before.number) if before is not None else ""
    return f'{breaks}#EXT-X-MAP:URI="{epoch.init_file}"\n'


def _date_line(segment: Segment) -> str:
    return f"#EXT-X-PROGRAM-DATE-TIME:{iso(segment.epoch.timeline.wall(segment.start, segment.timescale))}\n"


def _segment_lines(segment: Segment) -> str:
    gap = "#EXT-X-GAP\n" if segment.gap else ""
    return f"{_date_line(segment)}{gap}#EXTINF:{segment.seconds:.5f},\n{segment.msn}.m4s\n"


def _part_lines(segment: Segment) -> list[str]:
    lines = segment.part_lines
    if lines is None:
        return []
    for index in range(len(lines), len(segment.parts)):
        part = segment.parts[index]
        seconds = part.duration / segment.timescale
        independent = ",INDEPENDENT=YES" if part.independent else ""
        lines.append(f'#EXT-X-PART:DURATION={seconds:.5f},URI="{segment.msn}.{index}.m4s"{independent}\n')
    return lines


def _live_edge(rendition: Rendition, epoch: Epoch | None, others: Iterable[Rendition]) -> Iterable[str]:
    current = rendition.current
    if current is not None:
        if current.epoch is not epoch:
            yield _turn(epoch, current.epoch)
        yield _date_line(current)
        yield from _part_lines(current)
    msn, part = rendition.next_part
    yield f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{msn}.{part}.m4s"\n'
    for other in others:
        last, index = other.last_part
        if index >= 0 and not other.ended:
            yield f'#EXT-X-RENDITION-REPORT:URI="../{other.id}/media.m3u8",LAST-MSN={last},LAST-PART={index}\n'


def _count_until(segments: deque[Segment], seconds: float) -> int:
    """How many of the newest segments lie, at least in part, within the last `seconds`."""
    total, count = 0.0, 0
    for segment in reversed(segments):
        if total >= seconds:
            break
        total += segment.seconds
        count += 1
    return count


def _skippable(rendition: Rendition) -> int:
    return len(rendition.segments) - _count_until(rendition.segments, _SKIP_BOUNDARY * rendition.target_duration)


def _audio_line(rendition: Rendition, uri: str, codec: Codec, index: int) -> str:
    track = rendition.track
    unnamed = f"Audio {index + 1}" if index else "Audio"
    name = (track.title or track.language or unnamed).replace('"', "'").replace("\n", " ")
    language = f',LANGUAGE="{track.language}"' if track.language else ""
    channels = f',CHANNELS="{track.channels}"' if track.channels else ""
    default = "NO" if index else "YES"
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{codec}",NAME="{name}"{language},DEFAULT={default},AUTOSELECT=YES'
        f'{channels},URI="{uri}"\n'
    )


def _variant_line(main: Rendition, group: Sequence[Rendition], name: str) -> str:
    track = main.track
    peak, average = main.bandwidth, max(main.average, 1)
    codecs = [track.codec_string]
    if group:
        peak += max(member.bandwidth for member in group)
        average += max(member.average for member in group)
        codecs.extend(dict.fromkeys(member.track.codec_string for member in group))
    out = [
        f"#EXT-X-STREAM-INF:BANDWIDTH={max(peak, average)}",
        f"AVERAGE-BANDWIDTH={average}",
        f'CODECS="{",".join(codecs)}"',
    ]
    if track.width:
        out.append(f"RESOLUTION={track.width}x{track.height}")
    if track.frame_rate:
        out.append(f"FRAME-RATE={float(track.frame_rate):.3f}")
    if name:
        out.append(f'AUDIO="{name}"')
    own = track.title or _AUDIO_ONLY if track.kind is TrackKind.AUDIO else main.name
    if title := own.replace('"', "'").replace("\n", " "):
        out.append(f'NAME="{title}"')
    return ",".join(out) + "\n"
