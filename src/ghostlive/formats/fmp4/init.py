"""Initialization segments: `ftyp` and a `moov` with one track and no samples (CMAF header, ISO/IEC 23000-19 §7.3.1).

What differs between codecs is their sample entry, a table at the end of this file. `Track.config` is put where the
codec's binding says; it was checked by whoever announced the track.
"""

import struct
from collections.abc import Callable

from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.formats.fmp4.box import box, full_box

_MATRIX = struct.pack(">9I", 0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000)
_UNDETERMINED = "und"

# ISO 639-1 codes that encoders send, as the three letters `mdhd` wants; others go into `elng` alone.
_ISO_639_2 = {
    "ar": "ara", "cs": "ces", "da": "dan", "de": "deu", "el": "ell", "en": "eng", "es": "spa", "fi": "fin",
    "fr": "fra", "he": "heb", "hi": "hin", "hu": "hun", "it": "ita", "ja": "jpn", "ko": "kor", "nl": "nld",
    "no": "nor", "pl": "pol", "pt": "por", "ro": "ron", "ru": "rus", "sv": "swe", "tr": "tur", "uk": "ukr",
    "zh": "zho",
}  # fmt: skip


def supports(codec: Codec) -> bool:
    """Whether the codec can be carried."""
    return codec in _SAMPLE_ENTRIES


def init_segment(track: Track) -> bytes:
    """The initialization segment of a track. Raises `MediaError` when its codec cannot be carried."""
    if not supports(track.codec):
        raise MediaError(f"{track.codec} has no mapping to MP4 for streaming")
    video = track.kind is TrackKind.VIDEO
    return box(b"ftyp", b"iso6", struct.pack(">I", 0), b"iso6cmfcmp41") + box(
        b"moov",
        full_box(
            b"mvhd", 0, 0, struct.pack(">IIII IH10x", 0, 0, track.timescale, 0, 0x1_0000, 0x100), _MATRIX,
            bytes(24), struct.pack(">I", 2),
        ),
        box(b"trak", _tkhd(track, video=video), _mdia(track, video=video)),
        box(b"mvex", full_box(b"trex", 0, 0, struct.pack(">IIIII", 1, 1, 0, 0, 0))),
    )  # fmt: skip


def _tkhd(track: Track, *, video: bool) -> bytes:
    # Flags: enabled, in movie, in preview (§8.3.2).
    return full_box(
        b"tkhd", 0, 7,
        struct.pack(">IIIII 8x HHH2x", 0, 0, 1, 0, 0, 0, 0, 0 if video else 0x100), _MATRIX,
        struct.pack(">II", track.width << 16, track.height << 16),
    )  # fmt: skip


def _mdia(track: Track, *, video: bool) -> bytes:
    code = _language_code(track.language)
    packed = sum((ord(letter) - 0x60) << shift for letter, shift in zip(code, (10, 5, 0), strict=True))
    extended = [full_box(b"elng", 0, 0, track.language.encode() + b"\0")] if track.language else []
    handler, name = (b"vide", b"Video\0") if video else (b"soun", b"Audio\0")
    media_header = full_box(b"vmhd", 0, 1, bytes(8)) if video else full_box(b"smhd", 0, 0, bytes(4))
    return box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, track.timescale, 0, packed, 0)),
        full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name),
        *extended,
        box(
            b"minf",
            media_header,
            box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1))),
            box(
                b"stbl",
                full_box(b"stsd", 0, 0, struct.pack(">I", 1), _SAMPLE_ENTRIES[track.codec](track)),
                full_box(b"stts", 0, 0, bytes(4)),
                full_box(b"stsc", 0, 0, bytes(4)),
                full_box(b"stsz", 0, 0, bytes(8)),
                full_box(b"stco", 0, 0, bytes(4)),
            ),
        ),
    )


def _language_code(language: str) -> str:
    primary = language.lower().split("-")[0]
    code = _ISO_639_2.get(primary, primary)
    return code if len(code) == 3 and code.isascii() and code.isalpha() else _UNDETERMINED


def _visual(kind: bytes, configuration: bytes) -> Callable[[Track], bytes]:
    """A visual sample entry (ISO/IEC 14496-12 §12.1.3) with one configuration box."""

    def entry(track: Track) -> bytes:
        content = box(configuration, track.config)
        if configuration == b"vpcC":
            content = full_box(configuration, 1, 0, track.config)
        return box(
            kind,
            struct.pack(">6xH16xHHIIIH32xHh", 1, track.width, track.height, 0x48_0000, 0x48_0000, 0, 1, 24, -1),
            content,
            box(b"pasp", struct.pack(">II", 1, 1)) if track.width else b"",
        )

    return entry


def _audio(kind: bytes, content: Callable[[Track], bytes]) -> Callable[[Track], bytes]:
    """An audio sample entry (ISO/IEC 14496-12 §12.2.3)."""

    def entry(track: Track) -> bytes:
        # The field is 16.16: rates that do not fit are 0, the codec's own configuration tells them.
        rate = track.sample_rate if track.sample_rate < 1 << 16 else 0
        return box(kind, struct.pack(">6xH8xHHII", 1, track.channels or 2, 16, 0, rate << 16), content(track))

    return entry


def _esds(track: Track) -> bytes:
    """An elementary stream descriptor (ISO/IEC 14496-1 §7.2.6.5, 14496-14 §6.7.2)."""
    object_type = 0x6B if track.codec is Codec.MP3 else 0x40
    specific = b"" if track.codec is Codec.MP3 else _descriptor(5, track.config)
    # Stream type 5 (audio), buffer size and bit rates unknown.
    decoder = _descriptor(4, struct.pack(">BBBHII", object_type, 0x15, 0, 0, 0, 0) + specific)
    return full_box(b"esds", 0, 0, _descriptor(3, struct.pack(">HB", 1, 0) + decoder + _descriptor(6, b"\x02")))


def _descriptor(tag: int, content: bytes) -> bytes:
    size = len(content)
    return bytes((tag, 0x80 | size >> 21 & 0x7F, 0x80 | size >> 14 & 0x7F, 0x80 | size >> 7 & 0x7F, size & 0x7F)) + (
        content
    )


def _dops(track: Track) -> bytes:
    """OpusSpecificBox: the identification header with big-endian numbers and version 0 (Opus in ISOBMFF §4.3.2)."""
    head = track.config
    if len(head) < 19 or not head.startswith(b"OpusHead"):
        raise MediaError("the Opus configuration is no identification header (RFC 7845 §5.1)")
    channels, skip, rate, gain, family = struct.unpack_from("<BHIhB", head, 9)
    return box(b"dOps", struct.pack(">BBHIhB", 0, channels, skip, rate, gain, family), head[19:] if family else b"")


def _dfla(track: Track) -> bytes:
    """FLACSpecificBox with the STREAMINFO block as the last (and only) metadata block (FLAC in ISOBMFF §3.3.2)."""
    return full_box(b"dfLa", 0, 0, struct.pack(">I", 0x8000_0000 | len(track.config)), track.config)


_SAMPLE_ENTRIES: dict[Codec, Callable[[Track], bytes]] = {
    Codec.H264: _visual(b"avc1", b"avcC"),
    Codec.H265: _visual(b"hvc1", b"hvcC"),
    Codec.AV1: _visual(b"av01", b"av1C"),
    Codec.VP9: _visual(b"vp09", b"vpcC"),
    Codec.AAC: _audio(b"mp4a", _esds),
    Codec.MP3: _audio(b"mp4a", _esds),
    Codec.OPUS: _audio(b"Opus", _dops),
    Codec.FLAC: _audio(b"fLaC", _dfla),
    Codec.AC3: _audio(b"ac-3", lambda track: box(b"dac3", track.config)),
    Codec.EAC3: _audio(b"ec-3", lambda track: box(b"dec3", track.config)),
}
