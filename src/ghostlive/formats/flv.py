"""FLV tag bodies, which RTMP audio and video messages are: legacy, Enhanced RTMP v1 and v2, both directions.

What lives here: which codec a body is of, what kind of packet, its times and its track; multitrack bodies are taken
apart. What does not: what codecs say (`codecs`), and FLV files.

Specifications: Adobe Flash Video File Format 10.1, annex E.4; Enhanced RTMP v2 (Veovera), "Enhanced Audio" and
"Enhanced Video". Invariant: hostile bytes raise `MediaError` and nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec, TrackKind


class PacketKind(Enum):
    """What a packet is for."""

    CONFIG = "config"
    """The codec's configuration ("sequence start", "sequence header")."""
    FRAME = "frame"
    END = "end"
    """The track ends here ("sequence end")."""
    METADATA = "metadata"
    """AMF about the track, such as HDR light levels."""


@dataclass(slots=True, eq=False)
class Packet:
    """One track's share of a message. Treat it as immutable; one is built for each frame."""

    kind: PacketKind
    codec: Codec
    data: bytes
    keyframe: bool = True
    composition: int = 0
    """Presentation time minus decoding time, in milliseconds; may be negative."""
    nanoseconds: int = 0
    """To be added to the message's timestamp (ModEx TimestampOffsetNano), 0 to 999 999."""
    track: int = 0
    """Multitrack id; the default track is 0."""
    channels: int = 0
    """Legacy MP3 and G.711: 1 or 2 as the tag says, else 0."""


VIDEO_FOURCC: Final = {
    b"avc1": Codec.H264,
    b"hvc1": Codec.H265,
    b"av01": Codec.AV1,
    b"vp09": Codec.VP9,
    b"vp08": Codec.VP8,
}
AUDIO_FOURCC: Final = {
    b"mp4a": Codec.AAC,
    b"Opus": Codec.OPUS,
    b"fLaC": Codec.FLAC,
    b"ac-3": Codec.AC3,
    b"ec-3": Codec.EAC3,
    b".mp3": Codec.MP3,
}
_FOURCC: Final = {codec: fourcc for fourcc, codec in (VIDEO_FOURCC | AUDIO_FOURCC).items()}

_LEGACY_VIDEO: Final = {
    1: "JPEG",
    2: "Sorenson H.263",
    3: "Screen Video",
    4: "VP6",
    5: "VP6 with alpha",
    6: "Screen Video 2",
    8: "RealVideo",
    9: "MPEG-4 part 2",
    12: "H.265 with the unofficial codec id 12",
    13: "AV1 with the unofficial codec id 13",
}
_G711: Final = {7: Codec.PCMA, 8: Codec.PCMU}
_LEGACY_AUDIO: Final = {
    0: "PCM",
    1: "ADPCM",
    3: "PCM",
    4: "Nellymoser",
    5: "Nellymoser",
    6: "Nellymoser",
    11: "Speex",
    13: "Opus with the unofficial codec id 13",
    15: "device-specific sound",
}

# Packet types with the same number in audio and video (v2, AudioPacketType and VideoPacketType) …
_SEQUENCE_START: Final = 0
_CODED_FRAMES: Final = 1
_SEQUENCE_END: Final = 2
_MOD_EX: Final = 7
# … and those of one kind only.
_CODED_FRAMES_X: Final = 3
_METADATA: Final = 4
_MPEG2TS_SEQUENCE_START: Final = 5
_VIDEO_MULTITRACK: Final = 6
_MULTICHANNEL_CONFIG: Final = 4
_AUDIO_MULTITRACK: Final = 5

_ONE_TRACK: Final = 0
_MANY_TRACKS: Final = 1
_MANY_TRACKS_MANY_CODECS: Final = 2

_KEY: Final = 1
_COMMAND: Final = 5
_EX_HEADER: Final = 0x80
_EX_SOUND_FORMAT: Final = 9
_MAX_MOD_EX: Final = 16
"""Modifiers accepted before one packet; the specification has one kind of them."""


def parse_video(body: bytes) -> list[Packet]:
    """The packets in the body of a video message (type 9); a body that means nothing to us gives none."""
    if not body:
        return []
    first = body[0]
    if first & _EX_HEADER:
        return list(_parse_enhanced(body, TrackKind.VIDEO, first & 0x0F, first >> 4 & 0x07))
    frame_type, codec_id = first >> 4, first & 0x0F
    if frame_type == _COMMAND:
        return []
    if codec_id != 7:
        name = _LEGACY_VIDEO.get(codec_id, f"a codec with the unknown id {codec_id}")
        raise MediaError(
            f"the encoder sends {name} video; send H.264, or H.265, AV1 or VP9 by Enhanced RTMP (FourCC) instead"
        )
    if len(body) < 5:
        raise MediaError("an H.264 video message is cut short")
    packet_type = body[1]
    if packet_type == 1:
        return [Packet(PacketKind.FRAME, Codec.H264, body[5:], frame_type == _KEY, _signed24(body, 2))]
    if packet_type == 0:
        return [Packet(PacketKind.CONFIG, Codec.H264, body[5:])]
    return [Packet(PacketKind.END, Codec.H264, b"")]


def parse_audio(body: bytes) -> list[Packet]:
    """The packets in the body of an audio message (type 8); a body that means nothing to us gives none."""
    if not body:
        return []
    first = body[0]
    sound_format = first >> 4
    if sound_format == _EX_SOUND_FORMAT:
        return list(_parse_enhanced(body, TrackKind.AUDIO, first & 0x0F, 0))
    if sound_format == 10:
        if len(body) < 2:
            raise MediaError("an AAC audio message is cut short")
        return [Packet(PacketKind.FRAME if body[1] else PacketKind.CONFIG, Codec.AAC, body[2:])]
    if sound_format in (2, 14):
        return [Packet(PacketKind.FRAME, Codec.MP3, body[1:], channels=1 + (first & 1))]
    if (law := _G711.get(sound_format)) is not None:
        return [Packet(PacketKind.FRAME, law, body[1:], channels=1 + (first & 1))]
    name = _LEGACY_AUDIO.get(sound_format, f"a codec with the unknown id {sound_format}")
    raise MediaError(f"the encoder sends {name} audio; send AAC, or Opus by Enhanced RTMP (FourCC) instead")


def build_video(packet: Packet, *, enhanced: bool = False, multitrack: bool = False) -> bytes:
    """The body of a video message; legacy H.264 unless `enhanced`. `multitrack` names the track even if it is 0."""
    frame_type = _KEY if packet.keyframe else 2
    composition = (packet.composition & 0xFFFFFF).to_bytes(3, "big")
    if packet.codec is Codec.H264 and not (enhanced or multitrack):
        packet_type = {PacketKind.CONFIG: 0, PacketKind.FRAME: 1, PacketKind.END: 2}[packet.kind]
        return bytes([frame_type << 4 | 7, packet_type]) + composition + packet.data
    data = packet.data
    packet_type = {PacketKind.CONFIG: 0, PacketKind.END: 2, PacketKind.METADATA: 4}.get(packet.kind, _CODED_FRAMES)
    if packet_type == _CODED_FRAMES and packet.codec in (Codec.H264, Codec.H265):
        if packet.composition:
            data = composition + data
        else:
            packet_type = _CODED_FRAMES_X
    head = _EX_HEADER | frame_type << 4
    return _build_enhanced(packet, head, packet_type, data, _VIDEO_MULTITRACK if multitrack else None)


def build_audio(packet: Packet, *, enhanced: bool = False, multitrack: bool = False) -> bytes:
    """The body of an audio message; legacy AAC, MP3 and G.711 unless `enhanced`."""
    if not (enhanced or multitrack):
        if packet.codec is Codec.AAC:
            return bytes([0xAF, packet.kind is PacketKind.FRAME]) + packet.data
        if packet.codec is Codec.MP3:
            return bytes([0x2E | (packet.channels != 1)]) + packet.data
        for sound_format, law in _G711.items():
            if packet.codec is law:
                return bytes([sound_format << 4 | 0x02 | (packet.channels != 1)]) + packet.data
    packet_type = {PacketKind.CONFIG: 0, PacketKind.END: 2}.get(packet.kind, _CODED_FRAMES)
    head = _EX_SOUND_FORMAT << 4
    return _build_enhanced(packet, head, packet_type, packet.data, _AUDIO_MULTITRACK if multitrack else None)


def build_many_tracks(packets: list[Packet], *, keyframe: bool = True) -> bytes:
    """One body for packets of several tracks and codecs, all of the same kind (multitrack type 2)."""
    video = packets[0].codec.kind is TrackKind.VIDEO
    packet_type = _CODED_FRAMES if packets[0].kind is PacketKind.FRAME else _SEQUENCE_START
    if video:
        head = _EX_HEADER | (_KEY if keyframe else 2) << 4 | _VIDEO_MULTITRACK
    else:
        head = _EX_SOUND_FORMAT << 4 | _AUDIO_MULTITRACK
    output = bytearray([head, _MANY_TRACKS_MANY_CODECS << 4 | packet_type])
    for packet in packets:
        data = packet.data
        if packet_type == _CODED_FRAMES and packet.codec in (Codec.H264, Codec.H265):
            data = (packet.composition & 0xFFFFFF).to_bytes(3, "big") + data
        output += _FOURCC[packet.codec] + bytes([packet.track]) + len(data).to_bytes(3, "big") + data
    return bytes(output)


def split_aggregate(body: bytes, timestamp: int) -> Iterator[tuple[int, int, bytes]]:
    """Message type, timestamp and body of each message in an aggregate (RTMP §7.1.6), which is a row of FLV tags.

    The first tag's own timestamp stands for the `timestamp` of the aggregate.
    """
    at, offset = 0, None
    while at < len(body):
        if len(body) - at < 11:
            raise MediaError("an aggregate message is cut short")
        size = int.from_bytes(body[at + 1 : at + 4], "big")
        time = int.from_bytes(body[at + 4 : at + 7], "big") | body[at + 7] << 24
        if offset is None:
            offset = timestamp - time
        start = at + 11
        if len(body) - start < size:
            raise MediaError("an aggregate message is cut short")
        yield body[at] & 0x1F, time + offset & 0xFFFFFFFF, body[start : start + size]
        at = start + size + 4


def _parse_enhanced(body: bytes, kind: TrackKind, packet_type: int, frame_type: int) -> Iterator[Packet]:
    """ExVideoTagHeader, ExAudioTagHeader and their bodies; the two differ in numbers only."""
    video = kind is TrackKind.VIDEO
    at, nanoseconds = 1, 0
    for _ in range(_MAX_MOD_EX):
        if packet_type != _MOD_EX:
            break
        at, packet_type, more = _mod_ex(body, at)
        nanoseconds += more
    else:
        raise MediaError(f"more than {_MAX_MOD_EX} modifiers before one Enhanced RTMP packet")
    if video and frame_type == _COMMAND and packet_type != _METADATA:
        return
    many: int | None = None
    if packet_type == (_VIDEO_MULTITRACK if video else _AUDIO_MULTITRACK):
        many, packet_type = _need(body, at, 1)[0] >> 4, body[at] & 0x0F
        at += 1
        if many > _MANY_TRACKS_MANY_CODECS:
            raise MediaError(f"Enhanced RTMP multitrack type {many} is unknown")
    if many != _MANY_TRACKS_MANY_CODECS:
        fourcc = _need(body, at, 4)
        at += 4
    track, size = 0, 0
    while at < len(body) or many is None:
        if many == _MANY_TRACKS_MANY_CODECS:
            fourcc = _need(body, at, 4)
            at += 4
        if many is not None:
            track = _need(body, at, 1)[0]
            at += 1
        end = len(body)
        if many in (_MANY_TRACKS, _MANY_TRACKS_MANY_CODECS):
            size = int.from_bytes(_need(body, at, 3), "big")
            at += 3
            end = at + size
        packet = _track_packet(_need(body, at, end - at), fourcc, packet_type, video)
        if packet is not None:
            packet.keyframe = not video or frame_type == _KEY
            packet.nanoseconds = min(nanoseconds, 999_999)
            packet.track = track
            yield packet
        at = end
        if many is None or many == _ONE_TRACK:
            return


def _track_packet(data: bytes, fourcc: bytes, packet_type: int, video: bool) -> Packet | None:
    codec = (VIDEO_FOURCC if video else AUDIO_FOURCC).get(fourcc)
    if codec is None:
        raise MediaError(
            f"the encoder sends {'video' if video else 'audio'} with the FourCC {fourcc.decode('latin-1')!r}; send "
            + ("H.264, H.265, AV1 or VP9" if video else "AAC, Opus, FLAC, AC-3 or MP3")
        )
    if packet_type == _CODED_FRAMES or (video and packet_type == _CODED_FRAMES_X):
        composition = 0
        if packet_type == _CODED_FRAMES and codec in (Codec.H264, Codec.H265):
            composition = _signed24(_need(data, 0, 3), 0)
            data = data[3:]
        return Packet(PacketKind.FRAME, codec, data, composition=composition)
    if packet_type == _SEQUENCE_START:
        return Packet(PacketKind.CONFIG, codec, data)
    if packet_type == _SEQUENCE_END:
        return Packet(PacketKind.END, codec, b"")
    if video and packet_type == _METADATA:
        return Packet(PacketKind.METADATA, codec, data)
    if video and packet_type == _MPEG2TS_SEQUENCE_START:
        raise MediaError("AV1 with an MPEG-2 TS descriptor is not supported; send a plain sequence start")
    if not video and packet_type == _MULTICHANNEL_CONFIG:
        return None  # The layout of channels; the number of them is in the bit stream.
    raise MediaError(f"Enhanced RTMP packet type {packet_type} is unknown")


def _mod_ex(body: bytes, at: int) -> tuple[int, int, int]:
    """One modifier: where it ends, the next packet type, and nanoseconds if it is a TimestampOffsetNano."""
    size = _need(body, at, 1)[0] + 1
    at += 1
    if size == 256:
        size = int.from_bytes(_need(body, at, 2), "big") + 1
        at += 2
    data = _need(body, at, size)
    at += size
    kinds = _need(body, at, 1)[0]
    nanoseconds = int.from_bytes(data[:3], "big") if kinds >> 4 == 0 and size >= 3 else 0
    return at + 1, kinds & 0x0F, nanoseconds


def _build_enhanced(packet: Packet, head: int, packet_type: int, data: bytes, multitrack: int | None) -> bytes:
    outer = packet_type if multitrack is None else multitrack
    output = bytearray()
    if packet.nanoseconds:
        output.append(head | _MOD_EX)
        output += b"\x02" + packet.nanoseconds.to_bytes(3, "big") + bytes([outer])
    else:
        output.append(head | outer)
    if multitrack is not None:
        output.append(_ONE_TRACK << 4 | packet_type)
    output += _FOURCC[packet.codec]
    if multitrack is not None:
        output.append(packet.track)
    return bytes(output + data)


def _need(body: bytes, at: int, size: int) -> bytes:
    piece = body[at : at + size]
    if len(piece) < size:
        raise MediaError("an Enhanced RTMP message is cut short")
    return piece


def _signed24(body: bytes, at: int) -> int:
    value = body[at] << 16 | body[at + 1] << 8 | body[at + 2]
    return value - 0x1000000 if value & 0x800000 else value
