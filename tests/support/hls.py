"""A reader of HLS playlists that checks the rules of RFC 8216bis while it reads."""

import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ghostlive.packager.cadence import LONGEST_SEGMENT

TAGS = {
    "EXTM3U", "EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-SERVER-CONTROL", "EXT-X-PART-INF",
    "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE", "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-MAP", "EXT-X-SKIP",
    "EXT-X-PROGRAM-DATE-TIME", "EXT-X-PART", "EXTINF", "EXT-X-GAP", "EXT-X-DISCONTINUITY", "EXT-X-PRELOAD-HINT",
    "EXT-X-RENDITION-REPORT", "EXT-X-ENDLIST",
}  # fmt: skip


@dataclass
class ListedPart:
    uri: str
    duration: float
    independent: bool


@dataclass
class ListedSegment:
    msn: int
    discontinuities: int
    map: str | None
    date: datetime | None
    uri: str = ""
    duration: float = 0.0
    gap: bool = False
    parts: list[ListedPart] = field(default_factory=list)


@dataclass
class MediaPlaylist:
    version: int = 0
    target_duration: int = 0
    part_target: float | None = None
    server_control: dict[str, str] = field(default_factory=dict)
    media_sequence: int = 0
    discontinuity_sequence: int = 0
    independent_segments: bool = False
    skipped: int = 0
    segments: list[ListedSegment] = field(default_factory=list)
    current: ListedSegment | None = None
    hint: str | None = None
    reports: list[dict[str, str]] = field(default_factory=list)
    ended: bool = False

    @property
    def last_msn(self) -> int:
        return self.media_sequence + self.skipped + len(self.segments) - 1


def attributes(text: str) -> dict[str, str]:
    found = re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)(?:,|$)', text)
    assert ",".join(f"{name}={value}" for name, value in found) == text, text
    names = [name for name, _ in found]
    assert len(names) == len(set(names)), text
    return {name: value.strip('"') for name, value in found}


def parse_media(text: str) -> MediaPlaylist:
    """Read a media playlist; every broken rule is an AssertionError."""
    playlist = MediaPlaylist()
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    pending = _Pending()
    seen: set[str] = set()
    for line in lines[1:]:
        assert line
        assert line.isprintable()
        if not line.startswith("#"):
            playlist.segments.append(pending.close(line, playlist))
            continue
        tag, _, value = line[1:].partition(":")
        assert tag in TAGS, line
        assert not playlist.ended, "something follows EXT-X-ENDLIST"
        if tag not in {
            "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME", "EXT-X-PART", "EXTINF", "EXT-X-GAP", "EXT-X-DISCONTINUITY",
            "EXT-X-RENDITION-REPORT",
        }:  # fmt: skip
            assert tag not in seen, f"{tag} twice"
            seen.add(tag)
        _read(tag, value, playlist, pending)
    if pending.parts:
        playlist.current = pending.close("", playlist)
    check_media(playlist)
    return playlist


@dataclass
class _Pending:
    discontinuities: int = 0
    map: str | None = None
    date: datetime | None = None
    duration: float = 0.0
    gap: bool = False
    parts: list[ListedPart] = field(default_factory=list)

    def close(self, uri: str, playlist: MediaPlaylist) -> ListedSegment:
        segment = ListedSegment(
            playlist.last_msn + 1, self.discontinuities, self.map, self.date, uri, self.duration, self.gap, self.parts
        )
        self.discontinuities, self.map, self.date, self.duration, self.gap, self.parts = 0, None, None, 0.0, False, []
        return segment


def _read(tag: str, value: str, playlist: MediaPlaylist, pending: _Pending) -> None:
    if tag == "EXT-X-VERSION":
        playlist.version = int(value)
    elif tag == "EXT-X-TARGETDURATION":
        playlist.target_duration = int(value)
    elif tag == "EXT-X-SERVER-CONTROL":
        playlist.server_control = attributes(value)
    elif tag == "EXT-X-PART-INF":
        playlist.part_target = float(attributes(value)["PART-TARGET"])
    elif tag == "EXT-X-MEDIA-SEQUENCE":
        assert not playlist.segments
        playlist.media_sequence = int(value)
    elif tag == "EXT-X-DISCONTINUITY-SEQUENCE":
        assert not playlist.segments
        assert not pending.discontinuities
        playlist.discontinuity_sequence = int(value)
    elif tag == "EXT-X-INDEPENDENT-SEGMENTS":
        playlist.independent_segments = True
    elif tag == "EXT-X-SKIP":
        assert not playlist.segments
        playlist.skipped = int(attributes(value)["SKIPPED-SEGMENTS"])
        assert playlist.skipped > 0
    elif tag == "EXT-X-MAP":
        pending.map = attributes(value)["URI"]
    elif tag == "EXT-X-PROGRAM-DATE-TIME":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value), value
        pending.date = datetime.fromisoformat(value)
    elif tag == "EXT-X-PART":
        found = attributes(value)
        assert found.get("INDEPENDENT", "YES") == "YES"
        pending.parts.append(ListedPart(found["URI"], float(found["DURATION"]), "INDEPENDENT" in found))
    elif tag == "EXTINF":
        pending.duration = float(value.rstrip(","))
    elif tag == "EXT-X-GAP":
        pending.gap = True
    elif tag == "EXT-X-DISCONTINUITY":
        assert not pending.parts
        pending.discontinuities += 1
    elif tag == "EXT-X-PRELOAD-HINT":
        found = attributes(value)
        assert found["TYPE"] == "PART"
        playlist.hint = found["URI"]
    elif tag == "EXT-X-RENDITION-REPORT":
        playlist.reports.append(attributes(value))
    elif tag == "EXT-X-ENDLIST":
        playlist.ended = True


def check_media(playlist: MediaPlaylist) -> None:
    """The rules that hold within one playlist."""
    target = playlist.target_duration
    assert target > 0
    listed = [*playlist.segments, *([playlist.current] if playlist.current else [])]
    assert listed
    if not playlist.skipped:
        assert listed[0].map, "EXT-X-MAP before the first segment"
    for segment in playlist.segments:
        # §4.4.3.1: rounded to the nearest integer
        assert int(segment.duration + 0.5) <= target, (segment.duration, target)
        assert segment.duration > 0
        if segment.gap:
            assert not segment.parts
    for segment in listed:
        if segment.discontinuities and segment is not listed[0]:
            assert segment.map
    _check_parts(playlist, listed)
    before = None
    for segment in playlist.segments:
        if before is not None and before.date and segment.date and not segment.discontinuities:
            drift = segment.date - before.date - timedelta(seconds=before.duration)
            assert abs(drift) < timedelta(milliseconds=2), drift
        before = segment


def _check_parts(playlist: MediaPlaylist, listed: list[ListedSegment]) -> None:
    part_target = playlist.part_target
    if part_target is None:
        assert not playlist.hint
        assert not any(segment.parts for segment in listed)
        return
    assert playlist.version >= 9
    control = playlist.server_control
    assert control["CAN-BLOCK-RELOAD"] == "YES"
    assert float(control["PART-HOLD-BACK"]) >= 3 * part_target - 1e-6
    assert float(control["HOLD-BACK"]) >= 3 * playlist.target_duration
    assert float(control["CAN-SKIP-UNTIL"]) >= 6 * playlist.target_duration
    for segment in listed:
        final = len(segment.parts) - 1 if segment is not playlist.current else -1
        for index, part in enumerate(segment.parts):
            assert part.duration <= part_target + 1e-9, (segment.msn, index, part.duration, part_target)
            if index != final:
                assert part.duration >= 0.85 * part_target - 1e-5, (segment.msn, index, part.duration, part_target)
        if segment.parts and segment is not playlist.current:
            assert sum(part.duration for part in segment.parts) <= segment.duration + 1e-3, segment
    # §6.2.2: parts stay within three target durations of the end
    seconds = sum(part.duration for part in playlist.current.parts) if playlist.current else 0.0
    for segment in reversed(playlist.segments):
        if seconds >= 3 * playlist.target_duration:
            break
        assert segment.parts or segment.gap, f"{segment.msn} has no parts"
        seconds += segment.duration
    if playlist.ended:
        assert playlist.hint is None
        assert playlist.current is None
    else:
        assert playlist.hint


def check_update(before: MediaPlaylist, after: MediaPlaylist) -> None:
    """The rules that hold between two playlists of the same URI (§6.2.1).

    With the one exception that `packager.segmenter` makes: a target duration may be raised to the longest there is.
    """
    assert after.target_duration in (before.target_duration, math.ceil(LONGEST_SEGMENT))
    assert after.part_target == before.part_target
    assert after.media_sequence >= before.media_sequence
    assert after.discontinuity_sequence >= before.discontinuity_sequence
    assert after.last_msn >= before.last_msn
    numbers = {segment.msn: _discontinuity(before, segment) for segment in before.segments}
    known = {segment.msn: segment for segment in before.segments}
    for segment in after.segments:
        if segment.msn in known:
            old = known[segment.msn]
            assert (old.uri, old.duration, old.gap, old.date) == (
                segment.uri, segment.duration, segment.gap, segment.date,
            )  # fmt: skip
            if not after.skipped:
                assert numbers[segment.msn] == _discontinuity(after, segment)
        if before.current is not None and segment.msn == before.current.msn and segment.parts:
            assert segment.parts[: len(before.current.parts)] == before.current.parts


def _discontinuity(playlist: MediaPlaylist, segment: ListedSegment) -> int:
    return playlist.discontinuity_sequence + sum(
        other.discontinuities for other in playlist.segments if other.msn <= segment.msn
    )


@dataclass
class Variant:
    uri: str
    attributes: dict[str, str]


@dataclass
class Multivariant:
    variants: list[Variant]
    media: list[dict[str, str]]
    independent_segments: bool


def parse_multivariant(text: str) -> Multivariant:
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    variants: list[Variant] = []
    media: list[dict[str, str]] = []
    waiting: dict[str, str] | None = None
    for line in lines[1:]:
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-STREAM-INF":
            waiting = attributes(value)
            assert int(waiting["BANDWIDTH"]) >= int(waiting["AVERAGE-BANDWIDTH"]) > 0
            assert waiting["CODECS"]
        elif tag == "#EXT-X-MEDIA":
            media.append(attributes(value))
        elif not line.startswith("#"):
            assert waiting is not None
            variants.append(Variant(line, waiting))
            waiting = None
        else:
            assert tag in {"#EXT-X-VERSION", "#EXT-X-INDEPENDENT-SEGMENTS"}, line
    assert variants
    groups = {entry["GROUP-ID"] for entry in media}
    assert {variant.attributes["AUDIO"] for variant in variants if "AUDIO" in variant.attributes} == groups
    for group in groups:
        names = [entry["NAME"] for entry in media if entry["GROUP-ID"] == group]
        assert len(names) == len(set(names))
    return Multivariant(variants, media, "#EXT-X-INDEPENDENT-SEGMENTS" in lines)
