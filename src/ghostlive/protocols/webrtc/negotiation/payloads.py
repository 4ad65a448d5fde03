"""Payload formats of an m-line: `rtpmap`, `fmtp`, `rtcp-fb` and retransmission (RFC 4588), both directions.

Specifications: RFC 8866 §6.6 and §6.15, RFC 4585 §4.2, RFC 6184 §8.1 (H.264), RFC 7798 §7.1 (H.265), RFC 9628 §6
(VP9), RFC 7587 §6.1 (Opus), RTP Payload Format For AV1 §7.2.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ghostlive.core.track import Codec, TrackKind
from ghostlive.formats.sdp import MediaDescription

_NAMES: Final = {
    Codec.H264: "H264",
    Codec.H265: "H265",
    Codec.VP8: "VP8",
    Codec.VP9: "VP9",
    Codec.AV1: "AV1",
    Codec.OPUS: "opus",
}
RTP_CODECS: Final = tuple(_NAMES)
"""What WebRTC can carry here."""
_CODECS: Final = {name.lower(): codec for codec, name in _NAMES.items()}

_NUMBERS: Final = {str(number): number for number in range(128)}
"""Payload types as they are written."""
_MAX_PARAMETERS: Final = 32
_RTPMAP: Final = re.compile(r"([0-9]{1,3})\s+([^/\s]+)/([0-9]{1,6})(?:/([0-9]{1,2}))?")
_PROFILE_LEVEL_ID: Final = re.compile(r"[0-9a-fA-F]{6}")

FEEDBACK_VIDEO: Final = frozenset({"nack", "nack pli", "ccm fir", "goog-remb", "transport-cc"})
FEEDBACK_AUDIO: Final = frozenset({"nack", "transport-cc"})

_OPUS: Final = {"minptime": "10", "useinbandfec": "1", "stereo": "1"}
_OPUS_BITRATE: Final = 128_000
"""What a broadcaster's sound should have; browsers use half of it unasked."""
_START_KBPS: Final = 2500
"""Where Chromium begins to estimate a broadcaster's bandwidth. Unasked it begins at 300 kb/s, with a picture so small
that it takes 20 s and four changes of size to become what the camera sends, even on the best line."""
_OFFERED: Final[Mapping[Codec, Sequence[tuple[int, Mapping[str, str]]]]] = {
    # Numbers as OvenMediaEngine's offers have them, and more of them for more profiles.
    Codec.VP8: [(96, {})],
    Codec.H264: [
        (number, {"level-asymmetry-allowed": "1", "packetization-mode": "1", "profile-level-id": profile})
        for number, profile in ((98, "42e01f"), (106, "640c1f"), (108, "64001f"), (112, "4d001f"))
    ],
    Codec.H265: [(100, {"level-id": "120", "profile-id": "1", "tier-flag": "0", "tx-mode": "SRST"})],
    Codec.AV1: [(102, {"level-idx": "5", "profile": "0", "tier": "0"})],
    Codec.VP9: [(104, {"profile-id": "0"})],
    Codec.OPUS: [(110, {})],
}


@dataclass(frozen=True)
class PayloadFormat:
    """A codec under a payload type."""

    codec: Codec
    payload_type: int
    clock_rate: int
    rtx: int | None
    """Payload type of retransmissions, None when there are none."""
    parameters: Mapping[str, str]
    """The peer's `fmtp`, names in lower case; in our own offer, ours."""
    feedback: frozenset[str]
    """RTCP feedback that both know: `nack`, `nack pli`, `ccm fir`, `goog-remb`, `transport-cc`."""

    @property
    def profile(self) -> str:
        """What decoders have to match: H.264 `42e0`, `4200`, `4d00`, `6400` …; VP9, AV1 and H.265 a number."""
        match self.codec:
            case Codec.H264:
                return self.parameters.get("profile-level-id", "420010").lower()[:4]
            case Codec.H265:
                return self.parameters.get("profile-id", "1")
            case Codec.VP9:
                return self.parameters.get("profile-id", "0")
            case Codec.AV1:
                return self.parameters.get("profile", "0")
            case _:
                return ""

    @property
    def name(self) -> str:
        """The codec's encoding name in SDP."""
        return _NAMES[self.codec]


def read_formats(
    medium: MediaDescription, codecs: Sequence[Codec], feedback: frozenset[str]
) -> tuple[PayloadFormat, ...]:
    """The formats of an m-line that can be used, by the order of `codecs`, then by profile, then by the peer's order.

    `feedback` is what we know. Lines that are broken are as if they were not there.
    """
    listed = {_NUMBERS[word]: index for index, word in enumerate(medium.formats) if word in _NUMBERS}
    maps: dict[int, re.Match[str]] = {}
    for value in medium.values("rtpmap"):
        parts = _RTPMAP.fullmatch(value)
        if parts is not None and (number := _NUMBERS.get(parts[1], -1)) in listed:
            maps[number] = parts
    parameters = _read_parameters(medium, maps)
    offered = _read_feedback(medium)
    retransmissions: dict[int, int] = {}
    found: list[tuple[tuple[int, int, int], PayloadFormat]] = []
    for number, parts in maps.items():
        if parts[2].lower() == "rtx":
            repaired = _NUMBERS.get(parameters.get(number, {}).get("apt", ""), -1)
            if repaired in maps and parts[3] == maps[repaired][3]:
                retransmissions[repaired] = number
    for number, parts in maps.items():
        codec = _CODECS.get(parts[2].lower())
        if codec is None or codec not in codecs or codec.kind.value != medium.kind:
            continue
        if (int(parts[3]), parts[4]) != ((48000, "2") if codec is Codec.OPUS else (90000, parts[4])):
            continue
        known = offered.get(str(number), set()) | offered.get("*", set())
        payload_format = PayloadFormat(
            codec,
            number,
            int(parts[3]),
            retransmissions.get(number),
            parameters.get(number, {}),
            feedback.intersection(known),
        )
        rank = _rank(payload_format)
        if rank is not None:
            found.append(((codecs.index(codec), rank, listed[number]), payload_format))
    return tuple(payload_format for _, payload_format in sorted(found, key=lambda item: item[0]))


def offered_formats(
    kind: TrackKind, codecs: Iterable[Codec], feedback: frozenset[str], *, rtx: bool
) -> tuple[PayloadFormat, ...]:
    """What we offer of these codecs, in their order."""
    return tuple(
        PayloadFormat(
            codec,
            number,
            48000 if codec is Codec.OPUS else 90000,
            number + 1 if rtx and kind is TrackKind.VIDEO else None,
            parameters,
            feedback,
        )
        for codec in codecs
        if codec.kind is kind
        for number, parameters in _OFFERED.get(codec, ())
    )


def match_format(formats: Sequence[PayloadFormat], codec: Codec, codec_string: str = "") -> PayloadFormat | None:
    """The format for a track of this codec; its RFC 6381 string tells the profile, if it is known.

    H.264 goes under another profile if need be: decoders of browsers take what they get, whatever they negotiated.
    """
    same = [payload_format for payload_format in formats if payload_format.codec is codec]
    if codec is Codec.H264:
        wanted = codec_string.partition(".")[2].lower()[:4]
        for length in (4, 2):
            for payload_format in same:
                if wanted and payload_format.profile[:length] == wanted[:length]:
                    return payload_format
        return same[0] if same else None
    profile = _profile(codec, codec_string)
    return next((found for found in same if profile is None or found.profile == profile), None)


def format_attributes(formats: Iterable[PayloadFormat], *, sending: bool) -> Iterator[tuple[str, str]]:
    """`rtpmap`, `fmtp` and `rtcp-fb` of our own description."""
    for payload_format in formats:
        number = payload_format.payload_type
        channels = "/2" if payload_format.codec is Codec.OPUS else ""
        yield "rtpmap", f"{number} {payload_format.name}/{payload_format.clock_rate}{channels}"
        parameters = _our_parameters(payload_format, sending=sending)
        if parameters:
            yield "fmtp", f"{number} " + ";".join(f"{name}={value}" for name, value in parameters.items())
        for feedback in sorted(payload_format.feedback):
            yield "rtcp-fb", f"{number} {feedback}"
        if payload_format.rtx is not None:
            yield "rtpmap", f"{payload_format.rtx} rtx/{payload_format.clock_rate}"
            yield "fmtp", f"{payload_format.rtx} apt={number}"


def payload_types(formats: Iterable[PayloadFormat]) -> list[str]:
    """The formats of an m-line."""
    found: list[str] = []
    for payload_format in formats:
        found.append(str(payload_format.payload_type))
        if payload_format.rtx is not None:
            found.append(str(payload_format.rtx))
    return found


def encoding_names(medium: MediaDescription) -> list[str]:
    """The encodings that an m-line lists, for people; few and short."""
    names = (parts[2][:20] for value in medium.values("rtpmap") if (parts := _RTPMAP.fullmatch(value)))
    helpers = {"rtx", "red", "ulpfec", "flexfec-03", "cn", "telephone-event"}
    return [name for name in dict.fromkeys(names) if name.lower() not in helpers][:10]


def _our_parameters(payload_format: PayloadFormat, *, sending: bool) -> Mapping[str, str]:
    if payload_format.codec is Codec.OPUS:
        if sending:
            return _OPUS | {"sprop-stereo": "1"}
        return _OPUS | {"maxaveragebitrate": str(_OPUS_BITRATE)}
    start = {} if sending else {"x-google-start-bitrate": str(_START_KBPS)}
    theirs = payload_format.parameters
    if payload_format.codec is Codec.H264:
        profile = theirs.get("profile-level-id", "420010")
        return {"level-asymmetry-allowed": "1", "packetization-mode": "1", "profile-level-id": profile, **start}
    # The same back: browsers compare them to know their own formats again.
    names = ("level-id", "profile-id", "tier-flag", "tx-mode", "level-idx", "profile", "tier")
    return {name: theirs[name] for name in names if name in theirs} | start


def _rank(payload_format: PayloadFormat) -> int | None:
    """0 for the profile to be preferred; None for those that cannot be used."""
    profile, parameters = payload_format.profile, payload_format.parameters
    match payload_format.codec:
        case Codec.H264:
            if parameters.get("packetization-mode", "0") != "1":
                return None
            if not _PROFILE_LEVEL_ID.fullmatch(parameters.get("profile-level-id", "420010")):
                return None
            # Constrained baseline, which all can, then those that compress better.
            constrained = profile[:2] == "42" and int(profile[2:], 16) & 0x40
            return 0 if constrained else {"64": 1, "4d": 2, "42": 3}.get(profile[:2])
        case Codec.H265:
            if parameters.get("tx-mode", "SRST").upper() != "SRST":
                return None
            return {"1": 0, "2": 1}.get(profile)
        case Codec.VP9:
            return {"0": 0, "2": 1}.get(profile)
        case Codec.AV1:
            return {"0": 0, "1": 1}.get(profile)
        case _:
            return 0


def _profile(codec: Codec, codec_string: str) -> str | None:
    """The profile in `vp09.02.…`, `av01.0.…`, `hvc1.1.…`; None when it is not told."""
    if codec not in (Codec.VP9, Codec.AV1, Codec.H265):
        return None
    word = codec_string.split(".")[1] if codec_string.count(".") else ""
    return str(int(word)) if word.isascii() and word.isdigit() else None


def _read_parameters(medium: MediaDescription, numbers: Container[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for line in medium.values("fmtp"):
        word, _, rest = line.partition(" ")
        number = _NUMBERS.get(word)
        if number is None or number not in numbers:
            continue
        parameters = found.setdefault(number, {})
        for item in rest.split(";")[:_MAX_PARAMETERS]:
            name, _, value = item.partition("=")
            if name := name.strip():
                parameters[name.lower()] = value.strip()
    return found


def _read_feedback(medium: MediaDescription) -> dict[str, set[str]]:
    """By payload type as written; `*` stands for all of them."""
    found: dict[str, set[str]] = {}
    for line in medium.values("rtcp-fb"):
        word, _, rest = line.partition(" ")
        found.setdefault(word, set()).add(rest)
    return found
