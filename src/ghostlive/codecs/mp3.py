"""MP3: frame headers of MPEG-1, 2 and 2.5 audio, layer III.

Specification: ISO/IEC 11172-3 §2.4.1.3, §2.4.2.3; ISO/IEC 13818-3 §2.4 (lower rates).
"""

from dataclasses import dataclass

from ghostlive.codecs.bits import Buffer
from ghostlive.codecs.facts import AudioFacts
from ghostlive.core.errors import MediaError

_RATES = (44100, 48000, 32000)
_KILOBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
# Halvings of the sample rate by the two version bits; 1 is reserved.
_HALVINGS = {3: 0, 2: 1, 0: 2}


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What the four bytes of a frame header say."""

    sample_rate: int
    channels: int
    bit_rate: int
    """Bits per second."""
    samples: int
    """Of each channel: 1152, or 576 at the lower rates."""
    size: int
    """Bytes of the frame with its header."""

    @property
    def mpeg1(self) -> bool:
        """MPEG-1, that is 32 kHz and above."""
        return self.samples == 1152


def parse_header(data: Buffer) -> FrameHeader:
    """Read the header of a layer III frame. Raises `MediaError` when it is none, or of free format."""
    if len(data) < 4:
        raise MediaError("an MP3 frame has at least 4 bytes")
    word = int.from_bytes(data[:4], "big")
    halvings = _HALVINGS.get(word >> 19 & 3)
    bit_rate_index, rate_index = word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or halvings is None or word >> 17 & 3 != 1:
        raise MediaError("this is no MPEG audio frame of layer III")
    if not 0 < bit_rate_index < 15 or rate_index == 3:
        raise MediaError("an MP3 frame has a reserved rate or is of free format")
    kilobits = (_KILOBITS_2 if halvings else _KILOBITS_1)[bit_rate_index]
    sample_rate = _RATES[rate_index] >> halvings
    samples = 576 if halvings else 1152
    return FrameHeader(
        sample_rate=sample_rate,
        channels=1 if word >> 6 & 3 == 3 else 2,
        bit_rate=1000 * kilobits,
        samples=samples,
        size=samples // 8 * 1000 * kilobits // sample_rate + (word >> 9 & 1),
    )


def describe(config: bytes, payload: bytes = b"") -> AudioFacts:
    """Facts of a first frame, since MP3 has no configuration. Raises `MediaError` when `payload` is no frame."""
    header = parse_header(payload)
    return AudioFacts(
        config=b"",
        # MPEG-1 audio is object type 6B, MPEG-2 audio 69 (RFC 6381 §3.3 with the registry at mp4ra.org).
        codec_string="mp4a.6B" if header.mpeg1 else "mp4a.69",
        sample_rate=header.sample_rate,
        channels=header.channels,
        frame_samples=header.samples,
    )
