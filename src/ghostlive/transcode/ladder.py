"""The ladder: which renditions are offered of a source. Pure.

Without settings, each rung below the source is offered: sizes that players' quality menus have had for years, 60 frames
per second where the source has them, and 30 for 720p and below, which half of the viewers' devices and networks are
better served with. A picture is never enlarged and no frame is ever added.

Bit rates do not depend on content (peaks of the encoder are held below them; quiet pictures need less by themselves):
5 Mb/s for 1080p30, which is between Apple's 6.0 (HLS Authoring Specification, 2 s groups with B-frames) and Twitch's
4.5. A smaller picture needs more bits for each sample, since details of the same object are closer together: bits go
with samples^0.8, the slope of Apple's own table (365 kb/s at 640x360, 6000 at 1920x1080 is 0.85) drawn a little flatter
because encoding without B-frames and with a fast preset hurts small pictures most. Twice the frames resemble each other
more and take 1.5 times the bits, as YouTube's and Twitch's recommendations for 30 and 60 have it.

WebRTC carries no B-frames, and of H.264 only what every browser plays: a source that is otherwise has its full size
once more, for real time alone (`VideoPlan.realtime`), unless a rendition that is offered anyway has it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import log2
from typing import Final, NamedTuple

from ghostlive.codecs.describe import describe_video
from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec, Track, TrackKind, picture_name
from ghostlive.transcode.codecstrings import LevelExceededError, audio_codec_string, video_codec_string
from ghostlive.transcode.config import RenditionSetting
from ghostlive.transcode.plan import AudioPlan, Mode, Plan, VideoPlan
from ghostlive.transcode.report import LeftOut

RUNGS: Final = ((2160, 60), (1440, 60), (1080, 60), (720, 60), (720, 30), (480, 30), (360, 30))
"""Shorter side and frames per second of the renditions that are offered unless somebody configured others."""

_LARGEST: Final = (4096, 2304)
"""What browsers' H.264 decoders take (level 5.2), longer side first; the same as samples in other shapes."""
_UNKNOWN_RATE: Final = Fraction(60)
"""Stands in the plans of sources that do not tell their rate, where no rung says less."""
_SURPLUS: Final = Fraction(105, 100)
"""A rate may be above its rung by so much before frames are left out: 31 stays 31, and does not become 15.5."""
_EVEN_ENOUGH: Final = Fraction(3, 4)
"""Of the rung: each second or third frame is taken as long as that leaves so much, else the pace is uneven."""

_BITS_1080P30: Final = 5_000_000
_SIZE_POWER: Final = 0.8
_RATE_POWER: Final = log2(1.5)
_EFFICIENCY: Final = {Codec.H264: 1.0, Codec.AV1: 0.6, Codec.VP8: 1.1}
"""Bits against x264's `superfast` for the same look, encoders at the speed of live."""

_STEREO: Final = {Codec.AAC: 128_000, Codec.OPUS: 96_000}
"""Bits per second at which nobody hears a difference in a broadcast; half for mono."""
_AUDIO_LABEL: Final = {Codec.AAC: "AAC", Codec.OPUS: "Opus"}
_LABEL: Final = {
    Codec.H264: "H.264",
    Codec.H265: "HEVC",
    Codec.AV1: "AV1",
    Codec.VP8: "VP8",
    Codec.VP9: "VP9",
    Codec.AAC: "AAC",
    Codec.OPUS: "Opus",
    Codec.FLAC: "FLAC",
    Codec.AC3: "AC-3",
    Codec.EAC3: "E-AC-3",
    Codec.MP3: "MP3",
    Codec.PCMA: "G.711",
    Codec.PCMU: "G.711",
}
_PLAYED_AVC: Final = ("avc1.42", "avc1.4d", "avc1.64")
"""Baseline, Main and High: 8 bits, 4:2:0. Every browser plays these, and of none of the others that can be said."""
_AVC_LABEL: Final = {
    "avc1.6e": "10 bit",
    "avc1.7a": "4:2:2",
    "avc1.f4": "4:4:4",
    "avc1.2c": "4:4:4",
    "avc1.58": "H.264",
}
"""What the other profiles are for."""
_PLAYED_AAC: Final = frozenset({"mp4a.40.2", "mp4a.40.5", "mp4a.40.29"})


@dataclass(frozen=True, slots=True)
class Ladder:
    """What can be had of a source."""

    plans: tuple[Plan, ...]
    """Video from the largest to the smallest, as configured when it is; what is for real time alone; audio."""
    source_names: dict[str, str] = field(default_factory=dict)
    """How the source's own tracks are called, by id."""
    left_out: tuple[LeftOut, ...] = ()
    """What was configured and is not offered of this source."""


def plan_ladder(tracks: Sequence[Track], settings: Sequence[RenditionSetting] | None = None) -> Ladder:
    """Choose the renditions of a source.

    `settings` are those of the stream or of the operator; None offers the default rungs, an empty sequence no video
    beside the source's own. Audio is offered as AAC and as Opus always, and so is a picture for real time where the
    source's own is none.
    """
    video = [track for track in tracks if track.kind is TrackKind.VIDEO and track.width and track.height]
    audio = [track for track in tracks if track.kind is TrackKind.AUDIO]
    source_names = {track.id: _source_name(track) for track in tracks}
    chosen = _Chosen(video)
    if video:
        source = max(video, key=lambda track: (track.width * track.height, track.frame_rate or _UNKNOWN_RATE))
        if settings is None:
            chosen.add_defaults(source)
        else:
            chosen.add_configured(source, settings)
        chosen.add_realtime(source)
    elif settings and not video:
        chosen.leave_out((_setting_name(setting), "the source has no picture") for setting in settings)
    return Ladder((*chosen.plans, *_audio_plans(audio)), source_names, tuple(chosen.left_out))


def default_settings(
    configured: Sequence[RenditionSetting] = (), tracks: Sequence[Track] = ()
) -> tuple[RenditionSetting, ...]:
    """The server's renditions as settings: what the operator configured, else the rungs, of which those of `tracks`."""
    if configured:
        return tuple(configured)
    plans = [plan for plan in plan_ladder(tracks).plans if isinstance(plan, VideoPlan) and not plan.realtime]
    if not any(track.kind is TrackKind.VIDEO for track in tracks):
        return tuple(RenditionSetting(height, float(rate)) for height, rate in RUNGS)
    return tuple(RenditionSetting(min(plan.width, plan.height), round(float(plan.frame_rate), 3)) for plan in plans)


def plays_everywhere(track: Track) -> bool:
    """Whether every browser plays a video track: H.264 in 8 bits 4:2:0, progressive."""
    if track.codec is not Codec.H264 or not track.codec_string.lower().startswith(_PLAYED_AVC):
        return False
    try:
        return not describe_video(track.codec, track.config).interlaced
    except MediaError:
        return True  # parameter sets come in band: its codec string is all that is known


def plays_in_real_time(track: Track) -> bool:
    """Whether WebRTC can carry a video track to every browser."""
    return plays_everywhere(track) and not track.has_b_frames


def suggest_bitrate(width: int, height: int, frame_rate: Fraction, codec: Codec = Codec.H264) -> int:
    """Bits per second of a rendition, in two significant digits; see the head of this file."""
    size = width * height / (1920 * 1080)
    rate = max(float(frame_rate), 5.0) / 30
    bits: float = _BITS_1080P30 * size**_SIZE_POWER * rate**_RATE_POWER * _EFFICIENCY[codec]
    step: int = 10 ** max(len(str(int(bits))) - 2, 0)
    return max(round(bits / step) * step, 50_000)


def fit(width: int, height: int, shorter: int) -> tuple[int, int]:
    """The size with that shorter side, in the same shape, both sides even and at least 2."""
    side = min(width, height)
    return _even(width * shorter, side), _even(height * shorter, side)


def lower_rate(source: Fraction | None, most: Fraction | None) -> Fraction | None:
    """The frame rate below `most` to make of a source's (None: as it is, unknown).

    A whole part of the source's where that is not much less than `most`, so that every nth frame is kept: 25 of 50 for
    30. Otherwise `most`, at an uneven pace.
    """
    if most is None or source is None:
        return most if source is None else source
    nth = 1
    while source / nth > most * _SURPLUS:
        nth += 1
    return source / nth if nth == 1 or source / nth >= most * _EVEN_ENOUGH else most


class _Rung(NamedTuple):
    """A rendition that is wanted."""

    shorter: int
    most: Fraction | None
    """Frames per second."""
    codec: Codec = Codec.H264
    bitrate: int = 0
    mode: Mode = Mode.DEMAND
    name: str = ""
    realtime: bool = False


class _Chosen:
    """The video renditions as they come together."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        """`tracks` are the source's video tracks."""
        self._has = {
            (picture_name(track.width, track.height, track.frame_rate), track.codec)
            for track in tracks
            if track.codec is not Codec.H264 or plays_everywhere(track)
        }
        self._made: set[tuple[str, Codec, int]] = set()
        self._names: set[str] = set()
        self.plans: list[VideoPlan] = []
        self.left_out: list[LeftOut] = []

    def leave_out(self, found: Iterable[tuple[str, str]]) -> None:
        """Names and reasons."""
        self.left_out += [LeftOut(name, reason) for name, reason in found]

    def add_defaults(self, source: Track) -> None:
        """Each default rung below the source, and the source's own size when not every browser plays it."""
        shorter = min(source.width, source.height)
        if not plays_everywhere(source) and shorter >= 2 and _decoders_take(source.width, source.height):
            self._add(source, _Rung(shorter - shorter % 2, Fraction(60)))
        for height, rate in RUNGS:
            if height <= shorter and _decoders_take(*fit(source.width, source.height, height)):
                self._add(source, _Rung(height, Fraction(rate)))

    def add_realtime(self, source: Track) -> None:
        """The source's whole picture for real time, if neither the source nor any rendition is that."""
        width, height = fit(source.width, source.height, min(source.width, source.height) // 2 * 2)
        whole = (Codec.H264, width, height, lower_rate(source.frame_rate, Fraction(60)) or _UNKNOWN_RATE)
        same = any((plan.codec, plan.width, plan.height, plan.frame_rate) == whole for plan in self.plans)
        if not plays_in_real_time(source) and not same and min(width, height) >= 2 and _decoders_take(width, height):
            self._add(source, _Rung(min(width, height), Fraction(60), realtime=True))

    def add_configured(self, source: Track, settings: Sequence[RenditionSetting]) -> None:
        """Each rendition that somebody wants, or why it is not there."""
        shorter = min(source.width, source.height)
        for setting in settings:
            rung = _rung(setting)
            if rung.mode is Mode.NEVER:
                self.leave_out([(_setting_name(setting), "it is switched off in the settings")])
            elif rung.shorter > shorter:
                reason = f"the source is smaller: {source.width}x{source.height}"
                self.leave_out([(_setting_name(setting), reason)])
            elif reason := self._add(source, rung):
                self.leave_out([(_setting_name(setting), reason)])

    def _add(self, source: Track, rung: _Rung) -> str:
        """Offer a rung; answers why it is not, empty when it is."""
        width, height = fit(source.width, source.height, rung.shorter)
        rate = lower_rate(source.frame_rate, rung.most)
        # A source that does not tell its rate has none that is known to be there beside the whole.
        told = rate if source.frame_rate is not None or (rate is not None and rate <= 30) else None
        picture = picture_name(width, height, told)
        limit = rate or _UNKNOWN_RATE
        bitrate = rung.bitrate or suggest_bitrate(width, height, limit, rung.codec)
        if not rung.bitrate and not rung.realtime and (picture, rung.codec) in self._has:
            return "the source has it"
        if not rung.realtime and (picture, rung.codec, bitrate) in self._made:
            return "another rendition is the same"
        try:
            codec_string = video_codec_string(rung.codec, width, height, limit, bitrate)
        except LevelExceededError as error:
            return str(error)
        self._made.add((picture, rung.codec, bitrate))
        name, suffix = self._free_name(rung, picture, bitrate)
        self.plans.append(
            VideoPlan(
                id=f"{source.id}-{suffix}",
                name=name,
                source=source.id,
                codec=rung.codec,
                codec_string=codec_string,
                width=width,
                height=height,
                frame_rate=limit,
                bitrate=bitrate,
                mode=rung.mode,
                realtime=rung.realtime,
            )
        )
        return ""

    def _free_name(self, rung: _Rung, picture: str, bitrate: int) -> tuple[str, str]:
        """A name for people and one for addresses that nothing else has here."""
        name, suffix = picture, picture
        if rung.realtime:
            return f"{picture} WebRTC", f"{picture}-realtime"
        if rung.codec is not Codec.H264:
            name, suffix = f"{picture} {_LABEL[rung.codec]}", f"{picture}-{rung.codec}"
        taken = {plan.id.partition("-")[2] for plan in self.plans}
        if suffix in taken:
            suffix = f"{suffix}-{bitrate}"
        if (name in self._names or (picture, rung.codec) in self._has) and not rung.name:
            name = f"{name} {_in_bits(bitrate)}"
        name = rung.name or name
        self._names.add(name)
        return name, suffix


def _rung(setting: RenditionSetting) -> _Rung:
    most = Fraction(setting.frame_rate).limit_denominator(1001) if setting.frame_rate else None
    return _Rung(setting.height, most, Codec(setting.codec), setting.bitrate, Mode(setting.mode), setting.name)


def _setting_name(setting: RenditionSetting) -> str:
    """What a rendition is called that is not offered."""
    label = "" if setting.codec == "h264" else f" {_LABEL[Codec(setting.codec)]}"
    rate = f"{setting.frame_rate:.0f}" if setting.frame_rate else ""
    return setting.name or f"{setting.height}p{rate}{label}"


def _source_name(track: Track) -> str:
    if track.kind is TrackKind.VIDEO:
        picture = picture_name(track.width, track.height, track.frame_rate) if track.width else track.id
        return picture if plays_everywhere(track) else f"{picture} {_unplayed_label(track)}"
    return track.title or f"{_LABEL[track.codec]}{_channels_label(track.channels)}"


def _unplayed_label(track: Track) -> str:
    """What keeps browsers from playing it, in a word."""
    if track.codec is not Codec.H264:
        return _LABEL[track.codec]
    return _AVC_LABEL.get(track.codec_string.lower()[:7], "interlaced")


def _channels_label(channels: int) -> str:
    """How people call more than two."""
    return {6: " 5.1", 8: " 7.1"}.get(channels, f" {channels} channels") if channels > 2 else ""


def _in_bits(bitrate: int) -> str:
    return f"{bitrate / 1e6:.3g} Mb/s" if bitrate >= 1_000_000 else f"{bitrate / 1e3:.3g} kb/s"


def _decoders_take(width: int, height: int) -> bool:
    return width * height <= _LARGEST[0] * _LARGEST[1]


def _even(numerator: int, denominator: int) -> int:
    """The even number next to a fraction, at least 2."""
    return max(2 * round(Fraction(numerator, 2 * denominator)), 2)


def _audio_plans(tracks: Sequence[Track]) -> list[AudioPlan]:
    """AAC and Opus of each track that is not there in both already, mono or stereo at 48 kHz.

    A publisher who sends the same sound in both codecs (as many of one as of the other, in that language and under
    that title) sends what would be made here.
    """
    plans: list[AudioPlan] = []
    groups: dict[tuple[str, str], list[Track]] = {}
    for track in tracks:
        groups.setdefault((track.language, track.title), []).append(track)
    both = {
        key
        for key, group in groups.items()
        if sum(_is_played(track, Codec.AAC) for track in group)
        == sum(_is_played(track, Codec.OPUS) for track in group)
        != 0
    }
    for track in tracks:
        if (track.language, track.title) in both and any(_is_played(track, codec) for codec in _STEREO):
            continue
        channels = 1 if track.channels == 1 else 2
        for codec, bitrate in _STEREO.items():
            if not _is_played(track, codec):
                plans.append(
                    AudioPlan(
                        id=f"{track.id}-{codec}",
                        name=f"{track.title} {_AUDIO_LABEL[codec]}".strip(),
                        source=track.id,
                        codec=codec,
                        codec_string=audio_codec_string(codec),
                        channels=channels,
                        bitrate=bitrate if channels == 2 else bitrate // 2,
                    )
                )
    return plans


def _is_played(track: Track, codec: Codec) -> bool:
    """Whether a track is of that codec in a form that every device plays: up to two channels, AAC-LC or HE-AAC."""
    if track.codec is not codec or track.channels > 2:
        return False
    return codec is not Codec.AAC or track.codec_string.lower() in _PLAYED_AAC
