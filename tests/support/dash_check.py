"""Reads DASH manifests as a strict player does."""

import re
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

_NS = {"": "urn:mpeg:dash:schema:mpd:2011"}


@dataclass(frozen=True)
class ListedSegment:
    """One segment, with its times in seconds of the presentation."""

    number: int
    start: float
    end: float


@dataclass(frozen=True)
class ListedTrack:
    """One representation of the last period."""

    id: str
    kind: str
    codecs: str
    initialization: str
    template: str
    early: float
    """Seconds before its end that the last segment is available."""
    complete: bool
    segments: list[ListedSegment]

    def media(self, number: int) -> str:
        """The address of a segment, relative to the manifest."""
        return self.template.replace("$Number$", str(number))


@dataclass(frozen=True)
class Manifest:
    """What a manifest says."""

    live: bool
    start: datetime | None
    periods: int
    time_url: str
    tracks: list[ListedTrack]


def read_manifest(text: str) -> Manifest:
    """Read and check a manifest with a segment timeline."""
    root = ElementTree.fromstring(text)
    live = root.get("type") == "dynamic"
    periods = root.findall("Period", _NS)
    assert periods, text
    timing = root.find("UTCTiming", _NS)
    ends = 0.0
    for period in periods:
        start = seconds(period.get("start", ""))
        assert start >= ends - 0.001, f"periods overlap: {text}"
        if duration := period.get("duration"):
            ends = start + seconds(duration)
    tracks = [
        _track(kind, representation, seconds(periods[-1].get("start", "")))
        for adaptation in periods[-1].findall("AdaptationSet", _NS)
        for kind in [adaptation.get("contentType", "")]
        for representation in adaptation.findall("Representation", _NS)
    ]
    begin = root.get("availabilityStartTime")
    return Manifest(
        live,
        datetime.fromisoformat(begin) if begin else None,
        len(periods),
        timing.get("value", "") if timing is not None else "",
        tracks,
    )


def seconds(duration: str) -> float:
    """An ISO 8601 duration."""
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", duration)
    assert found, duration
    hours, minutes, rest = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest


def _track(kind: str, representation: ElementTree.Element, start: float) -> ListedTrack:
    template = representation.find("SegmentTemplate", _NS)
    assert template is not None
    name = representation.get("id", "")
    scale = int(template.get("timescale", "1"))
    offset = int(template.get("presentationTimeOffset", "0"))
    number = int(template.get("startNumber", "1"))
    segments: list[ListedSegment] = []
    time = 0
    for element in template.findall("SegmentTimeline/S", _NS):
        time = int(element.get("t", time))
        for _ in range(int(element.get("r", "0")) + 1):
            duration = int(element.get("d", "0"))
            assert duration > 0
            begin = start + (time - offset) / scale
            segments.append(ListedSegment(number, begin, begin + duration / scale))
            time += duration
            number += 1
    return ListedTrack(
        id=name,
        kind=kind,
        codecs=representation.get("codecs", ""),
        initialization=template.get("initialization", "").replace("$RepresentationID$", name),
        template=template.get("media", "").replace("$RepresentationID$", name),
        early=float(template.get("availabilityTimeOffset", "0")),
        complete=template.get("availabilityTimeComplete", "true") == "true",
        segments=segments,
    )
