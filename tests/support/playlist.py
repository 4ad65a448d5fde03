"""Reads HLS playlists as a strict player does: whatever breaks RFC 8216bis fails the test that reads it."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise


@dataclass
class Segment:
    """A complete segment, or with `uri` empty the one that is being made."""

    uri: str = ""
    seconds: float = 0.0
    discontinuity: bool = False
    map: str = ""
    date: datetime | None = None
    parts: list["Part"] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """A partial segment."""

    uri: str
    seconds: float
    independent: bool


@dataclass
class MediaPlaylist:
    """A media playlist."""

    text: str
    target: int
    part_target: float
    first: int
    discontinuity_sequence: int
    segments: list[Segment]
    edge: Segment
    hint: str
    ended: bool
    skipped: int

    @property
    def last(self) -> int:
        """Media sequence number of the last complete segment."""
        return self.first + self.skipped + len(self.segments) - 1

    @property
    def discontinuities(self) -> int:
        """How many breaks it lists."""
        return sum(segment.discontinuity for segment in [*self.segments, self.edge])


def parse_multivariant(text: str) -> dict[str, str]:
    """Playlists by kind: `video` for the first variant, `audio` for the audio group's or the lone audio variant."""
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U", text
    found: dict[str, str] = {}
    for line in lines:
        if line.startswith("#EXT-X-MEDIA:"):
            found.setdefault("audio", attributes(line)["URI"])
    for before, line in pairwise(lines):
        if before.startswith("#EXT-X-STREAM-INF:"):
            about = attributes(before)
            assert int(about["BANDWIDTH"]) >= int(about["AVERAGE-BANDWIDTH"]) > 0, text
            found.setdefault("video" if "RESOLUTION" in about else "audio", line)
    return found


def parse_media(text: str) -> MediaPlaylist:
    """Read and check a media playlist."""
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U", text
    found = MediaPlaylist(text, 0, 0.0, 0, 0, [], Segment(), "", ended=False, skipped=0)
    current, current_map = Segment(), ""
    for line in lines[1:]:
        assert not found.ended, f"lines after the end: {text}"
        tag, _, value = line.partition(":")
        match tag:
            case "#EXT-X-TARGETDURATION":
                found.target = int(value)
            case "#EXT-X-PART-INF":
                found.part_target = float(attributes(line)["PART-TARGET"])
            case "#EXT-X-MEDIA-SEQUENCE":
                found.first = int(value)
            case "#EXT-X-DISCONTINUITY-SEQUENCE":
                found.discontinuity_sequence = int(value)
            case "#EXT-X-SKIP":
                found.skipped = int(attributes(line)["SKIPPED-SEGMENTS"])
            case "#EXT-X-MAP":
                current_map = attributes(line)["URI"]
            case "#EXT-X-DISCONTINUITY":
                current.discontinuity = True
            case "#EXT-X-PROGRAM-DATE-TIME":
                current.date = datetime.fromisoformat(value)
            case "#EXTINF":
                current.seconds = float(value.rstrip(","))
            case "#EXT-X-PART":
                about = attributes(line)
                current.parts.append(Part(about["URI"], float(about["DURATION"]), "INDEPENDENT" in about))
            case "#EXT-X-PRELOAD-HINT":
                found.hint = attributes(line)["URI"]
            case "#EXT-X-ENDLIST":
                found.ended = True
            case _ if not line.startswith("#"):
                current.uri, current.map = line, current_map
                found.segments.append(current)
                current = Segment()
    current.map = current_map
    found.edge = current
    _check(found)
    return found


def attributes(line: str) -> dict[str, str]:
    """The attribute list of a tag."""
    return {
        name: value.strip('"') for name, value in re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', line.partition(":")[2])
    }


def _check(playlist: MediaPlaylist) -> None:
    text = playlist.text
    assert playlist.target > 0, text
    previous: Segment | None = None
    for segment in [*playlist.segments, playlist.edge]:
        if segment.uri:
            # §4.4.3.1: no segment may be longer than the target when both are rounded.
            assert round(segment.seconds) <= playlist.target, text
            assert segment.map or playlist.skipped, f"no EXT-X-MAP before {segment.uri}: {text}"
        for part in segment.parts:
            assert part.seconds <= playlist.part_target + 0.001, f"{part.uri} is longer than the target: {text}"
        # §4.4.4.9: all but the last part of a segment last at least 85% of the target.
        for part in segment.parts[:-1]:
            assert part.seconds >= 0.85 * playlist.part_target - 0.001, f"{part.uri} is too short: {text}"
        if segment.parts and segment.uri:
            missing = segment.seconds - sum(part.seconds for part in segment.parts)
            # A part that a picture's hesitation made too long is listed as long as parts may be.
            capped = any(part.seconds > playlist.part_target - 0.001 for part in segment.parts)
            assert -0.01 < missing < (0.5 if capped else 0.01), text
        if previous and previous.date and segment.date:
            gap = (segment.date - previous.date).total_seconds() - previous.seconds
            assert gap > -0.05, f"the clock goes back before {segment.uri}: {text}"
            if not segment.discontinuity:
                assert gap < 0.1, f"a hole before {segment.uri} without EXT-X-DISCONTINUITY: {text}"
        previous = segment
