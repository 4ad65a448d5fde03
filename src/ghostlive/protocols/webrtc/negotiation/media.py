"""One m-line: direction, header extensions, simulcast, sources and bandwidth, both directions.

Specifications: RFC 8829 §5.2 and §5.3, RFC 8285 §5 and §6 (extensions), RFC 8851 and RFC 8853 (rid, simulcast),
RFC 5576 (sources), RFC 8830 (msid).
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Final

from ghostlive.core.track import TrackKind
from ghostlive.formats.rtp import extensions
from ghostlive.formats.sdp import MediaDescription
from ghostlive.protocols.webrtc.negotiation.model import LocalParameters, MediaStream
from ghostlive.protocols.webrtc.negotiation.payloads import (
    FEEDBACK_AUDIO,
    FEEDBACK_VIDEO,
    PayloadFormat,
    format_attributes,
    payload_types,
)
from ghostlive.protocols.webrtc.negotiation.transport import default_destination, transport_attributes

PROTOCOLS: Final = frozenset(
    {"UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"}
)
"""What m-lines of WebRTC may say, all of which mean the same (RFC 8829 §5.1.2)."""
_MAX_LAYERS: Final = 4
_MAX_SOURCES: Final = 32
_DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")
_RID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_ONE_BYTE_ID: Final = 14

_SENDING_VIDEO: Final = (
    extensions.MID,
    extensions.ABS_SEND_TIME,
    extensions.TRANSPORT_SEQUENCE_NUMBER,
    extensions.PLAYOUT_DELAY,
)
_SENDING_AUDIO: Final = (extensions.MID,)
_RECEIVING: Final = (
    extensions.MID,
    extensions.RTP_STREAM_ID,
    extensions.REPAIRED_RTP_STREAM_ID,
    extensions.ABS_SEND_TIME,
    extensions.TRANSPORT_SEQUENCE_NUMBER,
)


def known_extensions(kind: TrackKind, *, sending: bool) -> tuple[str, ...]:
    """URIs of the header extensions that mean something to us."""
    if not sending:
        return _RECEIVING
    return _SENDING_VIDEO if kind is TrackKind.VIDEO else _SENDING_AUDIO


def known_feedback(kind: TrackKind, found: Mapping[str, int], *, sending: bool) -> frozenset[str]:
    """RTCP feedback that means something to us with these header extensions."""
    known = FEEDBACK_VIDEO if kind is TrackKind.VIDEO else FEEDBACK_AUDIO
    if extensions.TRANSPORT_SEQUENCE_NUMBER not in found:
        known -= {"transport-cc"}
    if sending and extensions.ABS_SEND_TIME not in found:
        known -= {"goog-remb"}
    return known


def prefer_remb(
    formats: tuple[PayloadFormat, ...], found: dict[str, int]
) -> tuple[tuple[PayloadFormat, ...], dict[str, int]]:
    """When we send: one way of estimating bandwidth, which REMB is, as its feedback is a tenth of the packets."""
    remb = all("goog-remb" in payload_format.feedback for payload_format in formats)
    wide = all("transport-cc" in payload_format.feedback for payload_format in formats)
    drop = {"transport-cc"} if remb else {"goog-remb"} if wide else {"transport-cc", "goog-remb"}
    uris = {"transport-cc": extensions.TRANSPORT_SEQUENCE_NUMBER, "goog-remb": extensions.ABS_SEND_TIME}
    left = {uri: number for uri, number in found.items() if uri not in {uris[name] for name in drop}}
    return tuple(_without(payload_format, drop) for payload_format in formats), left


def _without(payload_format: PayloadFormat, drop: set[str]) -> PayloadFormat:
    return PayloadFormat(
        payload_format.codec,
        payload_format.payload_type,
        payload_format.clock_rate,
        payload_format.rtx,
        payload_format.parameters,
        payload_format.feedback - drop,
    )


def direction(medium: MediaDescription, default: str = "sendrecv") -> str:
    """What the peer wants to do with an m-line."""
    return next((name for name, _ in medium.attributes if name in _DIRECTIONS), default)


def read_extensions(medium: MediaDescription, known: tuple[str, ...], *, sending: bool) -> dict[str, int]:
    """Identifiers of the extensions in `known` that go the way media goes, in the peer's order."""
    theirs = ("sendrecv", "recvonly") if sending else ("sendrecv", "sendonly")
    # What the fan-out writes is in the one-byte form.
    most = _MAX_ONE_BYTE_ID if sending else 255
    found: dict[str, int] = {}
    for uri, (number, way) in _read_extmap(medium).items():
        if uri in known and way in theirs and number <= most and number not in found.values():
            found[uri] = number
    return found


def read_rids(medium: MediaDescription, found: Mapping[str, int]) -> tuple[str, ...]:
    """The peer's simulcast layers; none when its packets could not be told apart."""
    if extensions.RTP_STREAM_ID not in found:
        return ()
    sent = {words[0] for line in medium.values("rid") if len(words := line.split()) >= 2 and words[1] == "send"}
    words = (medium.first("simulcast") or "").split()
    layers = next((there for way, there in zip(words[::2], words[1::2], strict=False) if way == "send"), "")
    # Of alternatives the first; a layer may be paused at first (`~`).
    names = [layer.split(",")[0].removeprefix("~") for layer in layers.removeprefix("rid=").split(";")]
    known = [name for name in dict.fromkeys(names) if name in sent and _RID.fullmatch(name)]
    return tuple(known[:_MAX_LAYERS])


def read_sources(medium: MediaDescription) -> tuple[tuple[int, ...], dict[int, int]]:
    """The peer's media sources, and those that repair one of them."""
    sources: dict[int, None] = {}
    for line in medium.values("ssrc"):
        number = _ssrc(line.partition(" ")[0])
        if number is not None:
            sources[number] = None
    repairs: dict[int, int] = {}
    for line in medium.values("ssrc-group"):
        words = line.split()
        if words and words[0] == "SIM":  # some list their layers here only
            sources.update(dict.fromkeys(number for word in words[1:] if (number := _ssrc(word)) is not None))
        elif len(words) == 3 and words[0] == "FID":
            repaired, repair = _ssrc(words[1]), _ssrc(words[2])
            if repaired is not None and repair is not None and len(repairs) < _MAX_SOURCES:
                repairs[repair] = repaired
    return tuple([number for number in sources if number not in repairs][:_MAX_SOURCES]), repairs


def read_layers(medium: MediaDescription) -> tuple[int, ...]:
    """The peer's simulcast layers by their SSRCs; none when it sends one picture only."""
    sources, _ = read_sources(medium)
    for line in medium.values("ssrc-group"):
        words = line.split()
        if words and words[0] == "SIM":
            group = [number for word in dict.fromkeys(words[1:]) if (number := _ssrc(word)) in sources]
            # The smallest picture comes first, and the largest is what nobody wants to miss.
            return tuple(group[-_MAX_LAYERS:]) if len(group) > 1 else ()
    return ()


def read_bandwidth(medium: MediaDescription) -> int | None:
    """Bits per second that the peer wants to receive at most, None for any."""
    given = dict(medium.bandwidth)
    rate = given.get("TIAS", given.get("AS", 0) * 1000)
    return rate or None


def describe(
    stream: MediaStream,
    local: LocalParameters,
    *,
    sending: bool,
    setup: str,
    tagged: bool,
    protocol: str = "UDP/TLS/RTP/SAVPF",
    theirs: MediaDescription | None = None,
) -> MediaDescription:
    """Our side of an m-line; `theirs` is the offer's when this is an answer."""
    port, connection = default_destination(local)
    medium = MediaDescription(
        kind=stream.kind.value,
        port=port,
        protocol=protocol,
        formats=payload_types(stream.formats),
        connection=connection,
    )
    if local.max_bitrate and not sending and stream.kind is TrackKind.VIDEO:
        medium.bandwidth = [("AS", max(local.max_bitrate // 1000, 1)), ("TIAS", local.max_bitrate)]
    medium.attributes += transport_attributes(local, setup, tagged=tagged)
    if stream.mid:
        medium.add("mid", stream.mid)
    medium.add("sendonly" if sending else "recvonly")
    medium.add("rtcp-mux")
    if theirs is None or theirs.has("rtcp-rsize"):
        medium.add("rtcp-rsize")
    ways = _read_extmap(theirs) if theirs is not None else {}
    for uri, number in stream.extensions.items():
        way = {"sendonly": "/recvonly", "recvonly": "/sendonly"}.get(ways.get(uri, (0, ""))[1], "")
        medium.add("extmap", f"{number}{way} {uri}")
    medium.attributes += format_attributes(stream.formats, sending=sending)
    if stream.rids:
        medium.attributes += _simulcast(stream.rids, theirs)
    if sending:
        medium.add("msid", f"{local.cname} {stream.kind}")
        if stream.rtx_ssrc is not None:
            medium.add("ssrc-group", f"FID {stream.ssrc} {stream.rtx_ssrc}")
        for ssrc in (stream.ssrc, stream.rtx_ssrc):
            if ssrc is not None:
                medium.add("ssrc", f"{ssrc} cname:{local.cname}")
                medium.add("ssrc", f"{ssrc} msid:{local.cname} {stream.kind}")
    return medium


def reject(theirs: MediaDescription) -> MediaDescription:
    """The answer to an m-line that is not used (RFC 8829 §5.3.1)."""
    medium = MediaDescription(
        kind=theirs.kind,
        port=0,
        protocol=theirs.protocol,
        formats=theirs.formats[:1],
        connection="IN IP4 0.0.0.0",
    )
    mid = theirs.first("mid")
    if mid:
        medium.add("mid", mid)
    medium.add("inactive")
    return medium


def new_ssrcs(count: int) -> tuple[int, ...]:
    """So many different random SSRCs, none of them 0."""
    found: dict[int, None] = {}
    while len(found) < count:
        number = secrets.randbits(32)
        if number:
            found[number] = None
    return tuple(found)


def _simulcast(rids: tuple[str, ...], theirs: MediaDescription | None) -> Iterator[tuple[str, str]]:
    restrictions = {}
    for line in theirs.values("rid") if theirs is not None else ():
        words = line.split(None, 2)
        if len(words) == 3:
            # Payload types that are not used here could be among them.
            kept = [item for item in words[2].split(";") if not item.startswith("pt=")]
            restrictions[words[0]] = ";".join(kept)
    for rid in rids:
        yield "rid", f"{rid} recv {restrictions.get(rid, '')}".rstrip()
    yield "simulcast", f"recv {';'.join(rids)}"


def _read_extmap(medium: MediaDescription) -> dict[str, tuple[int, str]]:
    """Identifiers and directions by URI; the first counts."""
    found: dict[str, tuple[int, str]] = {}
    for line in medium.values("extmap"):
        words = line.split()
        if len(words) < 2:
            continue
        number, _, way = words[0].partition("/")
        if number.isascii() and number.isdigit() and len(number) <= 3 and 0 < int(number) < 256:
            found.setdefault(words[1], (int(number), way or "sendrecv"))
    return found


def _ssrc(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 10 and int(word) <= 0xFFFFFFFF else None
