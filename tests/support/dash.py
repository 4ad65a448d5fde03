"""A reader of MPDs that checks what DASH players rely on (ISO/IEC 23009-1)."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from itertools import pairwise

NS = "{urn:mpeg:dash:schema:mpd:2011}"


@dataclass
class Representation:
    id: str
    kind: str
    codecs: str
    bandwidth: int
    timescale: int
    offset: int
    start_number: int
    times: list[tuple[int, int]]
    initialization: str
    media: str
    early: float
    complete: bool

    def url(self, index: int) -> str:
        return self.media.replace("$RepresentationID$", self.id).replace("$Number$", str(self.start_number + index))

    @property
    def init_url(self) -> str:
        return self.initialization.replace("$RepresentationID$", self.id)


@dataclass
class Period:
    id: str
    start: float
    duration: float | None
    representations: list[Representation] = field(default_factory=list)


@dataclass
class Manifest:
    dynamic: bool
    attributes: dict[str, str]
    periods: list[Period]
    utc_timing: str | None
    latency_ms: int | None


def seconds(text: str) -> float:
    found = re.fullmatch(r"PT(\d+(?:\.\d+)?)S", text)
    assert found, text
    return float(found[1])


def parse_manifest(text: str) -> Manifest:
    """Read an MPD; every broken rule is an AssertionError."""
    root = ET.fromstring(text)
    assert root.tag == NS + "MPD"
    dynamic = root.get("type") == "dynamic"
    if dynamic:
        for name in ("availabilityStartTime", "publishTime", "minimumUpdatePeriod", "timeShiftBufferDepth"):
            assert root.get(name), name
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", root.attrib["availabilityStartTime"])
    else:
        assert seconds(root.attrib["mediaPresentationDuration"]) > 0
    order = [child.tag.removeprefix(NS) for child in root]
    assert order == sorted(order, key=["ServiceDescription", "Period", "UTCTiming"].index)
    periods = [_period(element) for element in root.findall(NS + "Period")]
    assert periods
    assert [period.start for period in periods] == sorted(period.start for period in periods)
    assert len({period.id for period in periods}) == len(periods)
    for period, following in pairwise(periods):
        assert period.duration is not None
        assert period.start + period.duration <= following.start + 0.05
    timing = root.find(NS + "UTCTiming")
    latency = root.find(f"{NS}ServiceDescription/{NS}Latency")
    return Manifest(
        dynamic,
        dict(root.attrib),
        periods,
        timing.get("value") if timing is not None else None,
        int(latency.attrib["target"]) if latency is not None else None,
    )


def _period(element: ET.Element) -> Period:
    duration = element.get("duration")
    period = Period(element.attrib["id"], seconds(element.attrib["start"]), seconds(duration) if duration else None)
    sets = element.findall(NS + "AdaptationSet")
    assert len({found.get("id") for found in sets}) == len(sets)
    for found in sets:
        for inner in found.findall(NS + "Representation"):
            period.representations.append(_representation(inner, found.attrib["contentType"]))
    assert period.representations
    for representation in period.representations:
        first = (representation.times[0][0] - representation.offset) / representation.timescale
        assert first > -0.001
        if representation.kind == "video":
            assert "height" in element.find(f".//{NS}Representation[@id='{representation.id}']").attrib  # type: ignore[union-attr]
    return period


def _representation(element: ET.Element, kind: str) -> Representation:
    template = element.find(NS + "SegmentTemplate")
    assert template is not None
    timeline = template.find(NS + "SegmentTimeline")
    assert timeline is not None
    times: list[tuple[int, int]] = []
    at = 0
    for entry in timeline:
        at = int(entry.get("t", at))
        if times:
            assert at >= times[-1][0] + times[-1][1]
        for _ in range(int(entry.get("r", 0)) + 1):
            duration = int(entry.attrib["d"])
            assert duration > 0
            times.append((at, duration))
            at += duration
    early = float(template.get("availabilityTimeOffset", 0))
    return Representation(
        element.attrib["id"], kind, element.attrib["codecs"], int(element.attrib["bandwidth"]),
        int(template.attrib["timescale"]), int(template.attrib["presentationTimeOffset"]),
        int(template.attrib["startNumber"]), times, template.attrib["initialization"], template.attrib["media"],
        early, template.get("availabilityTimeComplete") != "false",
    )  # fmt: skip
