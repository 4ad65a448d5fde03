"""What of a stream can be sent by WebRTC: the source's own tracks, and what can be made of them. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ghostlive.codecs.describe import describe_video
from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec, Track, TrackKind, picture_name
from ghostlive.formats.rtp.payload.registry import SUPPORTED
from ghostlive.hub.derived import Offer
from ghostlive.protocols.webrtc.egress.model import RenditionInfo

Takes = Callable[[Track], bool]
"""Whether a viewer can be sent a track: it negotiated the codec, in that profile."""

_PLAYED_AVC: Final = ("avc1.42", "avc1.4d", "avc1.64")
"""Baseline, Main and High: what browsers' H.264 decoders know."""
_UNKNOWN_RATE: Final = 30.0
_GUESS: Final = 0.08
"""Bits per pixel of a source that was not measured yet."""
_SOUND: Final = 96_000


@dataclass(frozen=True, slots=True)
class Rendition:
    """A picture with its sound, and where they come from."""

    info: RenditionInfo
    video_made: bool = False
    """The picture is made on demand: it needs a lease."""
    audio_made: bool = False
    rank: tuple[float, int] = field(default=(0.0, 0))

    @property
    def name(self) -> str:
        """See `RenditionInfo`."""
        return self.info.name

    @property
    def video(self) -> Track | None:
        """See `RenditionInfo`."""
        return self.info.video

    @property
    def audio(self) -> Track | None:
        """See `RenditionInfo`."""
        return self.info.audio


def can_send(track: Track) -> bool:
    """Whether a track can be sent as it is.

    Not pictures that are shown in another order than they are decoded: browsers show them as they come.
    """
    if track.codec not in SUPPORTED:
        return False
    if track.kind is TrackKind.AUDIO:
        return track.channels <= 2
    if track.has_b_frames:
        return False
    if track.codec is not Codec.H264:
        return True
    return track.codec_string.lower().startswith(_PLAYED_AVC) and not _is_interlaced(track)


def list_renditions(
    tracks: Sequence[Track], offers: Sequence[Offer], *, takes: Takes, bitrate: Callable[[str], int]
) -> tuple[Rendition, ...]:
    """What a viewer can choose from, best first; empty when it takes nothing of the stream.

    `bitrate` measures tracks of the source.
    """
    sound = _sound(tracks, offers, takes, bitrate)
    found: list[Rendition] = []
    for track in tracks:
        if track.kind is TrackKind.VIDEO and can_send(track) and takes(track):
            name = picture_name(track.width, track.height, track.frame_rate) if track.height else track.id
            rate = bitrate(track.id) or round(_GUESS * _pixels(track))
            found.append(_rendition(name, track, rate, sound, made=False))
    for offer in offers:
        track = offer.track
        if track.kind is TrackKind.VIDEO and can_send(track) and takes(track):
            whole = offer.realtime or not track.title
            name = picture_name(track.width, track.height, track.frame_rate) if whole else track.title
            found.append(_rendition(name, track, offer.bitrate, sound, made=True))
    found.sort(key=lambda rendition: rendition.rank, reverse=True)
    found = _once(found)
    if not found and sound.track is not None:
        info = RenditionInfo(sound.track.title or "audio", None, sound.track, sound.bitrate)
        found.append(Rendition(info, audio_made=sound.made))
    return tuple(found)


def codecs(tracks: Sequence[Track], offers: Sequence[Offer]) -> tuple[Codec, ...]:
    """What to negotiate: what the source has, then what can be made of it.

    H.264 and Opus always belong to it where there is picture or sound: the encoder may change, and so may offers.
    """
    there = [track.codec for track in tracks if can_send(track)]
    there += [offer.track.codec for offer in offers if can_send(offer.track)]
    kinds = {track.kind for track in tracks}
    there += [codec for codec in (Codec.H264, Codec.OPUS) if codec.kind in kinds]
    return tuple(dict.fromkeys(there))


def why_nothing(tracks: Sequence[Track]) -> str:
    """Why there is nothing for a viewer, in words for people."""
    video = next((track for track in tracks if track.kind is TrackKind.VIDEO), None)
    if video is not None and video.has_b_frames:
        return (
            "WebRTC cannot carry this stream: its encoder sends B-frames, and the server may not encode it anew. "
            "Turn B-frames off in the encoder."
        )
    return "WebRTC can carry neither picture nor sound of this stream in a form that this player takes."


class _Sound(NamedTuple):
    """The one sound of all renditions."""

    track: Track | None = None
    made: bool = False
    bitrate: int = 0


def _sound(tracks: Sequence[Track], offers: Sequence[Offer], takes: Takes, bitrate: Callable[[str], int]) -> _Sound:
    for track in tracks:
        if track.kind is TrackKind.AUDIO and can_send(track) and takes(track):
            return _Sound(track, bitrate=bitrate(track.id) or _SOUND)
    for offer in offers:
        if offer.track.kind is TrackKind.AUDIO and can_send(offer.track) and takes(offer.track):
            return _Sound(offer.track, True, offer.bitrate)
    return _Sound()


def _rendition(name: str, video: Track, rate: int, sound: _Sound, *, made: bool) -> Rendition:
    # The source's own comes before what looks like it.
    rank = (_pixels(video), 0 if made else 1)
    return Rendition(RenditionInfo(name, video, sound.track, rate + sound.bitrate), made, sound.made, rank)


def _pixels(track: Track) -> float:
    """In a second."""
    return track.width * track.height * float(track.frame_rate or _UNKNOWN_RATE)


def _once(found: Sequence[Rendition]) -> list[Rendition]:
    """One of each name: the first."""
    names: dict[str, Rendition] = {}
    for rendition in found:
        names.setdefault(rendition.name, rendition)
    return list(names.values())


def _is_interlaced(track: Track) -> bool:
    if not track.config:
        return False
    try:
        return describe_video(track.codec, track.config).interlaced
    except MediaError:
        return False  # parameter sets come in band
