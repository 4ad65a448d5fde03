"""AC-3 and E-AC-3: sync frames, `dac3` and `dec3`.

An E-AC-3 access unit has the frame of an independent substream and those of its dependents (for 7.1) behind it.

Specification: ETSI TS 102 366 §4.3 (sync frame of AC-3), annex E §E.1.2 (of E-AC-3), annex F (boxes).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ghostlive.codecs.bits import BitReader, BitWriter, Buffer
from ghostlive.codecs.facts import AudioFacts
from ghostlive.core.errors import MediaError

_SYNC = b"\x0b\x77"
_HEAD = 8
"""The shortest thing that is read as a frame: all fields up to bsid, and lfeon of AC-3."""
_RATES = (48000, 44100, 32000)
_LOW_RATES = (24000, 22050, 16000)
_KILOBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)
"""Full-bandwidth channels by acmod (table 4.3)."""
_BLOCKS = (1, 2, 3, 6)
_BLOCK_SAMPLES = 256
_MAX_FRAMES = 64
# Channels that each bit of chan_loc adds (table F.6.1), lowest bit first.
_LOCATIONS = (2, 2, 1, 1, 2, 2, 2, 1, 1)


@dataclass(frozen=True, slots=True)
class SyncFrame:
    """What the head of a sync frame says."""

    enhanced: bool
    """E-AC-3."""
    size: int
    """Bytes."""
    sample_rate: int
    fscod: int
    bsid: int
    bsmod: int
    acmod: int
    lfe: bool
    samples: int
    """Of each channel."""
    bit_rate_code: int = 0
    """AC-3: index of the nominal bit rate."""
    dependent: bool = False
    """E-AC-3: adds channels to the independent substream before it."""
    substream: int = 0
    chan_loc: int = 0
    """E-AC-3, dependent: the channels it adds (table F.6.1)."""

    @property
    def channels(self) -> int:
        """Channels of this frame, the low frequency one counted too."""
        return _CHANNELS[self.acmod] + self.lfe


def parse_frame(data: Buffer) -> SyncFrame:
    """Read the head of a sync frame; what follows the frame is ignored. Raises `MediaError` when it is none."""
    head = bytes(data[:24])
    if len(head) < _HEAD or not head.startswith(_SYNC):
        raise MediaError("an AC-3 frame does not begin with its sync word")
    bsid = head[5] >> 3
    if bsid <= 10:
        return _parse_ac3(head, bsid)
    if bsid <= 16:
        return _parse_eac3(head)
    raise MediaError(f"AC-3 bit stream version {bsid} is reserved")


def _parse_ac3(head: bytes, bsid: int) -> SyncFrame:
    """Read syncinfo() and the beginning of bsi() (§4.3)."""
    fscod, frmsizecod = head[4] >> 6, head[4] & 0x3F
    if fscod == 3 or frmsizecod >= 2 * len(_KILOBITS):
        raise MediaError("an AC-3 frame has a reserved sample rate or size")
    reader = BitReader(head)
    reader.skip(45)
    bsmod, acmod = reader.bits(3), reader.bits(3)
    if acmod & 1 and acmod != 1:
        reader.skip(2)  # cmixlev
    if acmod & 4:
        reader.skip(2)  # surmixlev
    if acmod == 2:
        reader.skip(2)  # dsurmod
    kilobits = _KILOBITS[frmsizecod >> 1]
    # Table 4.13 in words: exact for 48 and 32 kHz; at 44.1 kHz every other frame has one more.
    words = (2 * kilobits, 320 * kilobits // 147 + (frmsizecod & 1), 3 * kilobits)[fscod]
    return SyncFrame(
        enhanced=False,
        size=2 * words,
        # bsid 9 and 10 are the half and quarter rates that everybody reads though the standard only reserves them.
        sample_rate=_RATES[fscod] >> max(bsid - 8, 0),
        fscod=fscod,
        bsid=bsid,
        bsmod=bsmod,
        acmod=acmod,
        lfe=reader.flag(),
        samples=6 * _BLOCK_SAMPLES,
        bit_rate_code=frmsizecod >> 1,
    )


def _parse_eac3(head: bytes) -> SyncFrame:
    """Read the beginning of an E-AC-3 bsi() (§E.1.2.2)."""
    reader = BitReader(head)
    reader.skip(16)
    stream_type, substream, size = reader.bits(2), reader.bits(3), 2 * (reader.bits(11) + 1)
    fscod, second = reader.bits(2), reader.bits(2)
    if stream_type == 3 or size < _HEAD or (fscod == 3 and second == 3):
        raise MediaError("an E-AC-3 frame has a reserved stream type, size or sample rate")
    acmod, lfe, bsid = reader.bits(3), reader.flag(), reader.bits(5)
    return SyncFrame(
        enhanced=True,
        size=size,
        sample_rate=_LOW_RATES[second] if fscod == 3 else _RATES[fscod],
        fscod=fscod,
        bsid=bsid,
        bsmod=0,  # far behind; 0 is complete main, and what encoders send
        acmod=acmod,
        lfe=lfe,
        samples=_BLOCK_SAMPLES * (6 if fscod == 3 else _BLOCKS[second]),
        dependent=stream_type == 1,
        substream=substream,
        chan_loc=_read_chan_loc(reader, acmod) if stream_type == 1 else 0,
    )


def _read_chan_loc(reader: BitReader, acmod: int) -> int:
    """Read chanmap of a dependent substream as the chan_loc of `dec3` (tables E.1.4 and F.6.1)."""
    for _ in range(1 if acmod else 2):
        reader.skip(5)  # dialnorm
        if reader.flag():
            reader.skip(8)  # compr
    if not reader.flag():  # chanmape
        return 0
    chanmap = reader.bits(16)
    # Entry 5 of chanmap (from the highest bit) is Lc/Rc, bit 0 of chan_loc, and so on to 12; entry 14 is LFE2, bit 8.
    locations = [chanmap >> (15 - entry) & 1 for entry in (*range(5, 13), 14)]
    return sum(present << bit for bit, present in enumerate(locations))


def split_frames(payload: Buffer) -> list[SyncFrame]:
    """Read all sync frames of a packet, which must fill it. Raises `MediaError` when they do not."""
    view = memoryview(payload)
    frames: list[SyncFrame] = []
    position = 0
    while position < len(view):
        frame = parse_frame(view[position : position + 24])
        position += frame.size
        if position > len(view) or len(frames) == _MAX_FRAMES:
            raise MediaError("an AC-3 frame ends early, or a packet has too many")
        frames.append(frame)
    if not frames:
        raise MediaError("an AC-3 packet is empty")
    return frames


def packet_samples(payload: Buffer) -> int:
    """Duration of a packet in samples: the frames of its first independent substream. Raises `MediaError`."""
    return sum(frame.samples for frame in split_frames(payload) if not frame.dependent and frame.substream == 0)


def build_dac3(frame: SyncFrame) -> bytes:
    """The body of `dac3` (§F.4) for a stream of such frames; raises `MediaError` for E-AC-3."""
    if frame.enhanced:
        raise MediaError("an E-AC-3 stream needs dec3, not dac3")
    writer = BitWriter()
    writer.bits(frame.fscod, 2)
    writer.bits(frame.bsid, 5)
    writer.bits(frame.bsmod, 3)
    writer.bits(frame.acmod, 3)
    writer.bits(frame.lfe, 1)
    writer.bits(frame.bit_rate_code, 5)
    writer.bits(0, 5)
    return writer.to_bytes()


def build_dec3(frames: Sequence[SyncFrame]) -> bytes:
    """The body of `dec3` (§F.6) for a stream of packets with such frames.

    Raises `MediaError` when the first is not of an independent E-AC-3 substream, or there are too many substreams.
    """
    if not frames or not frames[0].enhanced or frames[0].dependent:
        raise MediaError("an E-AC-3 packet must begin with an independent substream")
    # Short frames come several to a packet; each substream is described once.
    independent = {frame.substream: frame for frame in reversed(frames) if not frame.dependent}
    groups = [(independent[number], _dependents(frames, number)) for number in sorted(independent)]
    first = frames[0]
    samples = sum(frame.samples for frame in frames if not frame.dependent and frame.substream == first.substream)
    bit_rate = sum(frame.size for frame in frames) * 8 * first.sample_rate // samples
    writer = BitWriter()
    writer.bits(min(bit_rate // 1000, 0x1FFF), 13)
    writer.bits(len(groups) - 1, 3)
    for frame, (dependents, chan_loc) in groups:
        writer.bits(frame.fscod, 2)
        writer.bits(frame.bsid, 5)
        writer.bits(0, 2)  # reserved, asvc
        writer.bits(frame.bsmod, 3)
        writer.bits(frame.acmod, 3)
        writer.bits(frame.lfe, 1)
        writer.bits(0, 3)
        writer.bits(dependents, 4)
        writer.bits(chan_loc, 9 if dependents else 1)
    return writer.to_bytes()


def _dependents(frames: Sequence[SyncFrame], number: int) -> tuple[int, int]:
    """How many dependent substreams follow the independent substream `number`, and the channels they add."""
    current, chan_loc = -1, 0
    found: set[int] = set()
    for frame in frames:
        if not frame.dependent:
            current = frame.substream
        elif current == number:
            found.add(frame.substream)
            chan_loc |= frame.chan_loc
    return len(found), chan_loc


def describe_ac3(config: bytes, payload: bytes = b"") -> AudioFacts:
    """Facts of a `dac3` body; an empty one is made from `payload`. Raises `MediaError` when either is broken."""
    reader = BitReader(config or build_dac3(parse_frame(payload)))
    fscod, bsid = reader.bits(2), reader.bits(5)
    reader.skip(3)
    acmod, lfe = reader.bits(3), reader.bits(1)
    reader.skip(10)
    if fscod == 3 or bsid > 10:
        raise MediaError("a dac3 box has a reserved sample rate or version")
    return AudioFacts(
        config=bytes(config) or build_dac3(parse_frame(payload)),
        codec_string="ac-3",
        sample_rate=_RATES[fscod] >> max(bsid - 8, 0),
        channels=_CHANNELS[acmod] + lfe,
        frame_samples=6 * _BLOCK_SAMPLES,
    )


def describe_eac3(config: bytes, payload: bytes = b"") -> AudioFacts:
    """Facts of a `dec3` body; an empty one is made from `payload`, which also tells a rate below 32 kHz.

    Raises `MediaError` when either is broken, or needed and not there.
    """
    frames = split_frames(payload) if payload else []
    body = bytes(config) or build_dec3(frames)
    reader = BitReader(body)
    reader.skip(13 + 3)
    fscod = reader.bits(2)
    reader.skip(5 + 2 + 3)
    channels = _CHANNELS[reader.bits(3)] + reader.bits(1)
    reader.skip(3)
    if reader.bits(4):
        chan_loc = reader.bits(9)
        channels += sum(count for bit, count in enumerate(_LOCATIONS) if chan_loc >> bit & 1)
    if fscod == 3 and not frames:
        raise MediaError("a dec3 box does not tell a sample rate below 32 kHz; a packet is needed")
    rate = frames[0].sample_rate if fscod == 3 else _RATES[fscod]
    return AudioFacts(config=body, codec_string="ec-3", sample_rate=rate, channels=channels)
