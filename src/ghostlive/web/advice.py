"""What would make a broadcast better: from what the encoder sends to codes that pages put into words.

`advise` is pure. Each code has a function whose text says why it is worth saying; thresholds are where viewers begin to
notice, with room for the ordinary. What an encoder's user can do nothing about is not said.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.hub.meter import Measurement, TrackMeasurement

Value = str | float


class Severity(StrEnum):
    """How much it matters."""

    PROBLEM = "problem"
    """Some viewers see nothing, or see it break."""
    WARNING = "warning"
    """Viewers notice: waiting, stutter, or no picture on some devices."""
    HINT = "hint"
    """It could be better."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to change."""

    code: str
    severity: Severity
    values: Mapping[str, Value] = field(default_factory=dict)


_RARE_WARNING: Final = 4.0
_RARE_PROBLEM: Final = 8.0
_SETTLED: Final = 5.0
"""Seconds of media before rates are judged: encoders begin unevenly."""
_LIMITED: Final = {
    Codec.H265: "Firefox, Chrome",
    Codec.AV1: "Safari",
    Codec.VP8: "Safari",
    Codec.AC3: "Chrome, Firefox",
    Codec.EAC3: "Chrome, Firefox",
    Codec.FLAC: "Safari",
    Codec.MP3: "Firefox, Safari",
}
_EVERYWHERE: Final = frozenset({Codec.H264, Codec.AAC})
_EFFICIENCY: Final = {Codec.H265: 0.6, Codec.AV1: 0.5, Codec.VP9: 0.65}
"""The share of H.264's bits with which a codec looks as good."""
_TOO_COLOURFUL: Final = {
    "avc1.6e": "10 bit",
    "avc1.7a": "4:2:2",
    "avc1.f4": "4:4:4",
    "avc1.2c": "4:4:4",
    "hvc1.4.": "4:2:2 or 4:4:4",
    "vp09.01": "4:2:2 or 4:4:4",
    "vp09.03": "4:2:2 or 4:4:4",
    "av01.1.": "4:4:4",
    "av01.2.": "4:2:2",
}
"""Beginnings of codec strings of profiles that hardware decoders, and with them browsers, do not know."""


def advise(tracks: Sequence[Track], measurement: Measurement, offers: Sequence[Track] = ()) -> list[Advice]:
    """What could be better, most important first. Nothing is said of a stream whose tracks are not known.

    `offers` are the renditions that viewers can have made of it.
    """
    if not tracks:
        return []
    found: list[Advice] = []
    for rule in _OF_ALL:
        found += rule(tracks, measurement)
    for track in tracks:
        seen = measurement.tracks.get(track.id)
        remade = any(offer.id.startswith(f"{track.id}-") and offer.codec in _EVERYWHERE for offer in offers)
        for about in _OF_TRACKS:
            found += map(_eased, about(track)) if remade else about(track)
        if seen is not None and track.kind is TrackKind.VIDEO:
            for judge in _OF_VIDEO:
                found += judge(track, seen)
    order = list(Severity)
    first = {advice.code: advice for advice in reversed(found)}  # once, however many tracks have it
    return sorted(first.values(), key=lambda advice: order.index(advice.severity))


def _eased(advice: Advice) -> Advice:
    """What a rendition makes up for: every browser plays one, at the price of encoding it and some of its looks."""
    if advice.code not in ("codec_limited", "chroma_unsupported"):
        return advice
    return Advice("source_remade", Severity.HINT, {"codec": advice.values["codec"]})


def no_video(tracks: Sequence[Track], _: Measurement) -> Iterable[Advice]:
    """There is sound alone. That may be meant; most often a source was forgotten."""
    if not any(track.kind is TrackKind.VIDEO for track in tracks):
        yield Advice("no_video", Severity.HINT)


def no_audio(tracks: Sequence[Track], _: Measurement) -> Iterable[Advice]:
    """There is a picture alone. That may be meant; most often the encoder has no audio track chosen."""
    if not any(track.kind is TrackKind.AUDIO for track in tracks):
        yield Advice("no_audio", Severity.HINT)


def uneven_arrival(_: Sequence[Track], measurement: Measurement) -> Iterable[Advice]:
    """Nothing came for a second. Viewers are about that far behind, so each such gap is a standstill for them.

    TCP hides loss by waiting, so this is how a bad network between encoder and server looks.
    """
    if measurement.longest_gap >= 1.0:
        yield Advice("uneven_arrival", Severity.WARNING, {"seconds": round(measurement.longest_gap, 1)})


def behind(_: Sequence[Track], measurement: Measurement) -> Iterable[Advice]:
    """Media comes later and later: the encoder makes less than a second of it in a second, or cannot send it in time.

    Viewers run dry again and again. A bit rate that the network carries, or an easier encoder preset, ends it.
    """
    if measurement.behind >= 2.0:
        yield Advice("behind", Severity.PROBLEM, {"seconds": round(measurement.behind, 1)})


def av_drift(_: Sequence[Track], measurement: Measurement) -> Iterable[Advice]:
    """Sound and picture of the same time arrive apart, so that one waits for the other, and delay grows.

    An encoder whose two clocks run apart ends up here; so does one that buffers one kind much more than the other.
    """
    if abs(measurement.audio_late) >= 0.7:
        yield Advice("av_drift", Severity.WARNING, {"seconds": round(measurement.audio_late, 1)})


def codec_limited(track: Track) -> Iterable[Advice]:
    """The codec is one that whole families of browsers do not play, or only where the hardware does."""
    if (browsers := _LIMITED.get(track.codec)) is not None:
        yield Advice("codec_limited", Severity.WARNING, {"codec": track.codec.value, "browsers": browsers})


def chroma_unsupported(track: Track) -> Iterable[Advice]:
    """The profile has more colour than decoders in browsers know (they do 4:2:0, and H.264 only in 8 bit).

    OBS's colour format has to be NV12, or P010 for ten bits with a newer codec.
    """
    for beginning, what in _TOO_COLOURFUL.items():
        if track.codec_string.lower().startswith(beginning):
            yield Advice("chroma_unsupported", Severity.PROBLEM, {"codec": track.codec.value, "format": what})


def odd_size(track: Track) -> Iterable[Advice]:
    """4:2:0 pictures have half as many colour samples; an odd width or height leaves a line that decoders invent."""
    if track.width % 2 or track.height % 2:
        yield Advice("odd_size", Severity.HINT, {"width": track.width, "height": track.height})


def b_frames(track: Track) -> Iterable[Advice]:
    """Pictures that depend on later ones save bits and cost delay, and WebRTC cannot carry them."""
    if track.kind is TrackKind.VIDEO and track.has_b_frames:
        yield Advice("b_frames", Severity.HINT)


def keyframes(_: Track, seen: TrackMeasurement) -> Iterable[Advice]:
    """Who joins waits for a keyframe, and segments begin with one.

    Beyond 4 s the delay of HLS and DASH grows with it (`keyframes_rare`); beyond 8 s joining takes longer than people
    wait, and beyond 12 s groups have to be cut. Two seconds are right. Below 4 s very different distances still make
    segments of different lengths, which DASH players can follow only when they are complete (`keyframes_irregular`);
    scene changes that add keyframes to a two-second interval are harmless.
    """
    longest, shortest = seen.keyframe_longest, seen.keyframe_shortest
    if longest is None:
        return
    if longest > _RARE_WARNING:
        severity = Severity.PROBLEM if longest > _RARE_PROBLEM else Severity.WARNING
        yield Advice("keyframes_rare", severity, {"interval": round(longest, 1)})
    elif shortest is not None and longest > 2.6 and longest > 1.5 * shortest:
        values = {"shortest": round(shortest, 1), "longest": round(longest, 1)}
        yield Advice("keyframes_irregular", Severity.WARNING, values)


def frame_rates(track: Track, seen: TrackMeasurement) -> Iterable[Advice]:
    """Frames are missing against what the encoder says it makes: it is overloaded (`frame_rate_low`).

    Frames that stand on no regular grid at all are a phone's or a screen recorder's variable rate, which players show
    with a slight judder (`variable_frame_rate`).
    """
    if seen.frame_rate is None or seen.span < _SETTLED:
        return
    if seen.uneven > 0.2:
        yield Advice("variable_frame_rate", Severity.HINT, {"measured": round(seen.frame_rate, 1)})
    elif track.frame_rate is not None and seen.frame_rate < 0.9 * float(track.frame_rate):
        values = {"measured": round(seen.frame_rate, 1), "nominal": round(float(track.frame_rate), 2)}
        yield Advice("frame_rate_low", Severity.WARNING, values)


def bitrates(track: Track, seen: TrackMeasurement) -> Iterable[Advice]:
    """The bit rate does not fit the picture.

    Far below what the size and the frame rate need, blocks show wherever something moves (`bitrate_low`; a still
    desktop needs less, so it is a hint). Far above, viewers on mobile networks cannot follow, and it looks no better
    (`bitrate_high`).
    """
    if seen.span < _SETTLED or not seen.bitrate:
        return
    suggested = suggested_bitrate(track, seen.frame_rate or 30.0)
    values = {"bitrate": seen.bitrate, "suggested": suggested}
    if seen.bitrate < 0.35 * suggested:
        yield Advice("bitrate_low", Severity.HINT, values)
    elif seen.bitrate > max(8_000_000, 2.5 * suggested):
        yield Advice("bitrate_high", Severity.WARNING, values)


def suggested_bitrate(track: Track, frame_rate: float) -> int:
    """Bits per second that suit a picture: 4.5 Mb/s for 1080p30 in H.264, and less than in proportion around it.

    Larger pictures have fewer details in each sample, and more frames resemble each other more.
    """
    size = max(track.width * track.height, 1) / (1920 * 1080)
    rate = max(min(frame_rate, 120.0), 5.0) / 30
    bits: float = 4_500_000 * size**0.75 * rate**0.5 * _EFFICIENCY.get(track.codec, 1.0)
    return max(round(bits / 100_000), 1) * 100_000


_OF_ALL: Final[tuple[Callable[[Sequence[Track], Measurement], Iterable[Advice]], ...]] = (
    no_video, no_audio, uneven_arrival, behind, av_drift,
)  # fmt: skip
_OF_TRACKS: Final[tuple[Callable[[Track], Iterable[Advice]], ...]] = (
    codec_limited, chroma_unsupported, odd_size, b_frames,
)  # fmt: skip
_OF_VIDEO: Final[tuple[Callable[[Track, TrackMeasurement], Iterable[Advice]], ...]] = (
    keyframes, frame_rates, bitrates,
)  # fmt: skip
