"""AAC: AudioSpecificConfig and ADTS.

HE-AAC codes a core at half the rate that is played. When the configuration says so, everything here counts samples
at the rate as played, and a packet has 2048 of them: give the track that rate as its timescale. When it does not say
(implicit signalling) nobody can know before decoding, and the core's rate with 1024 samples is consistent as well.

Specification: ISO/IEC 14496-3 §1.6.2.1 (AudioSpecificConfig), §1.6.5 (SBR and PS), §4.4.1 (GASpecificConfig),
§1.A.2 (ADTS); RFC 6381 §3.3 (codec string).
"""

from dataclasses import dataclass
from typing import NamedTuple

from ghostlive.codecs.bits import BitReader, BitWriter, Buffer
from ghostlive.codecs.facts import AudioFacts
from ghostlive.core.errors import MediaError

AAC_LC, SBR, PS, AAC_LD, AAC_ELD = 2, 5, 29, 23, 39

# Indexed by samplingFrequencyIndex, table 1.18.
SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
# Channels by channelConfiguration, table 1.19; 0 means that a program config element tells.
_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 13: 24, 14: 8}
_GENERAL_AUDIO = frozenset({1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23})
_SCALABLE = frozenset({6, 20})
# Syntactic elements of a raw data block by channelConfiguration, table 1.19: single channels, pairs and the
# low-frequency channel, by their identifiers of table 4.85.
_SCE, _CPE, _LFE, _END = 0, 1, 3, 7
_ELEMENTS = {
    1: (_SCE,), 2: (_CPE,), 3: (_SCE, _CPE), 4: (_SCE, _CPE, _SCE), 5: (_SCE, _CPE, _CPE),
    6: (_SCE, _CPE, _CPE, _LFE), 7: (_SCE, _CPE, _CPE, _CPE, _LFE), 11: (_SCE, _CPE, _CPE, _SCE, _LFE),
    12: (_SCE, _CPE, _CPE, _CPE, _LFE),
}  # fmt: skip
_SAME_SYNTAX = frozenset({1, 2, 3, 4})
"""Object types whose raw data blocks differ in nothing that a silent one has: Main, LC, SSR, LTP."""
_SYNC_SBR, _SYNC_PS = 0x2B7, 0x548
_MAX_RATE = 192000
_ADTS_HEADER = 7


@dataclass(frozen=True, slots=True)
class AudioSpecificConfig:
    """What an AudioSpecificConfig says (§1.6.2.1)."""

    object_type: int
    """Of the core: 2 for AAC-LC, also below HE-AAC."""
    sample_rate: int
    """Hz of the core."""
    channel_configuration: int
    channels: int
    """Of the core."""
    frame_length: int = 1024
    """Samples of a packet, of each channel of the core: 1024, 960, or 512, 480 for low delay."""
    extension_sample_rate: int = 0
    """Hz as played when SBR is signalled, else 0."""
    ps: bool = False
    """Parametric stereo is signalled: a mono core is played as stereo."""

    @classmethod
    def parse(cls, data: Buffer) -> "AudioSpecificConfig":
        """Read a configuration; what follows it is ignored.

        Raises `MediaError` when it ends early, uses reserved values, or is of an object type other than AAC's.
        """
        return _parse_config(BitReader(data))

    def to_bytes(self) -> bytes:
        """The configuration, with SBR and PS signalled explicitly and hierarchically (§1.6.5.2).

        Raises `MediaError` for what it cannot write: program config elements and object types without
        GASpecificConfig.
        """
        if not self.channel_configuration or self.object_type not in _GENERAL_AUDIO - _SCALABLE:
            raise MediaError("an AudioSpecificConfig of this kind can only be passed on as it came")
        writer = BitWriter()
        if self.extension_sample_rate:
            writer.bits(PS if self.ps else SBR, 5)
            _write_rate(writer, self.sample_rate)
            writer.bits(self.channel_configuration, 4)
            _write_rate(writer, self.extension_sample_rate)
            writer.bits(self.object_type, 5)
        else:
            writer.bits(self.object_type, 5)
            _write_rate(writer, self.sample_rate)
            writer.bits(self.channel_configuration, 4)
        writer.bits(1 if self.frame_length in (960, 480) else 0, 1)
        # dependsOnCoreCoder; then extensionFlag, which error resilient types must set (§4.4.1).
        writer.bits(0b01 if self.object_type >= 17 else 0b00, 2)
        if self.object_type >= 17:
            writer.bits(0, 4)  # resilience flags and extensionFlag3
            writer.bits(0, 2)  # epConfig
        return writer.to_bytes()

    @property
    def output_sample_rate(self) -> int:
        """Hz as played, as far as it is signalled."""
        return self.extension_sample_rate or self.sample_rate

    @property
    def output_channels(self) -> int:
        """Channels as played, as far as it is signalled."""
        return 2 if self.ps and self.channels == 1 else self.channels

    @property
    def frame_samples(self) -> int:
        """Samples of a packet at `output_sample_rate`."""
        return self.frame_length * self.output_sample_rate // self.sample_rate

    def codec_string(self) -> str:
        """`mp4a.40.N`, N the object type of what a decoder must know: 2, 5 with SBR, 29 with PS."""
        if self.ps:
            return f"mp4a.40.{PS}"
        return f"mp4a.40.{SBR if self.extension_sample_rate else self.object_type}"


def silent_frame(config: AudioSpecificConfig) -> bytes | None:
    """A raw data block in which all channels are silent (§4.4.2); None for configurations that it is not known for.

    Channels with no scale factor band have no spectrum. HE-AAC's core goes without SBR data, which decoders take for
    silence in what it would have added.
    """
    elements = _ELEMENTS.get(config.channel_configuration)
    if elements is None or config.object_type not in _SAME_SYNTAX:
        return None
    writer = BitWriter()
    tags = {_SCE: 0, _CPE: 0, _LFE: 0}
    for element in elements:
        writer.bits(element, 3)
        writer.bits(tags[element], 4)
        tags[element] += 1
        if element == _CPE:
            writer.bits(1, 1)  # common_window
            writer.bits(0, 11)  # ics_info: a long window, max_sfb 0, no prediction
            writer.bits(0, 2)  # ms_mask_present
            writer.bits(0, 8 + 3)  # global_gain; no pulse, TNS or gain control data
            writer.bits(0, 8 + 3)
        else:
            writer.bits(0, 8 + 11 + 3)
    writer.bits(_END, 3)
    return writer.to_bytes()


def _parse_config(reader: BitReader) -> AudioSpecificConfig:
    object_type = _read_object_type(reader)
    sample_rate = _read_rate(reader)
    channel_configuration = reader.bits(4)
    extension_rate, ps = 0, False
    explicit = object_type in (SBR, PS)
    if explicit:
        ps = object_type == PS
        extension_rate = _read_rate(reader)
        object_type = _read_object_type(reader)
    if object_type == AAC_ELD:
        frame_length, channels = 480 if reader.flag() else 512, 0
    elif object_type in _GENERAL_AUDIO:
        frame_length, channels = _read_general_audio(reader, object_type, channel_configuration)
        if not explicit:
            extension_rate, ps = _read_sync_extension(reader)
    else:
        raise MediaError(f"audio object type {object_type} is not AAC; AAC-LC (2) and HE-AAC (5, 29) are what to send")
    channels = channels or _CHANNELS.get(channel_configuration, 0)
    if not channels:
        raise MediaError(f"AAC channel configuration {channel_configuration} says nothing about channels")
    if extension_rate not in (0, sample_rate, 2 * sample_rate):
        raise MediaError(f"HE-AAC cannot make {extension_rate} Hz of {sample_rate} Hz")
    return AudioSpecificConfig(
        object_type, sample_rate, channel_configuration, channels, frame_length, extension_rate, ps
    )


def _read_object_type(reader: BitReader) -> int:
    """Read GetAudioObjectType() (table 1.16)."""
    value = reader.bits(5)
    return 32 + reader.bits(6) if value == 31 else value


def _read_rate(reader: BitReader) -> int:
    """Read a sampling frequency, by index or in 24 bits."""
    index = reader.bits(4)
    if index == 15:
        rate = reader.bits(24)
        if not 0 < rate <= _MAX_RATE:
            raise MediaError(f"AAC with a sample rate of {rate} Hz cannot be")
        return rate
    if index >= len(SAMPLE_RATES):
        raise MediaError(f"AAC sampling frequency index {index} is reserved")
    return SAMPLE_RATES[index]


def _write_rate(writer: BitWriter, rate: int) -> None:
    if rate in SAMPLE_RATES:
        writer.bits(SAMPLE_RATES.index(rate), 4)
    else:
        writer.bits(15, 4)
        writer.bits(rate, 24)


def _read_general_audio(reader: BitReader, object_type: int, channel_configuration: int) -> tuple[int, int]:
    """Read GASpecificConfig (§4.4.1); answers frame length, and channels when an element in it tells them."""
    short = reader.flag()
    if reader.flag():  # dependsOnCoreCoder
        reader.skip(14)
    extension = reader.flag()
    channels = 0 if channel_configuration else _read_program_config(reader)
    if object_type in _SCALABLE:
        reader.skip(3)  # layerNr
    if extension:
        if object_type == 22:
            reader.skip(5 + 11)  # numOfSubFrame, layer_length
        if object_type in (17, 19, 20, 23):
            reader.skip(3)  # resilience flags
        reader.skip(1)  # extensionFlag3
    if object_type == AAC_LD:
        return 480 if short else 512, channels
    return 960 if short else 1024, channels


def _read_program_config(reader: BitReader) -> int:
    """Read program_config_element() (§4.4.1.1) and count its channels."""
    reader.skip(4 + 2 + 4)  # element_instance_tag, object_type, sampling_frequency_index
    front, side, back = reader.bits(4), reader.bits(4), reader.bits(4)
    lfe, data, coupling = reader.bits(2), reader.bits(3), reader.bits(4)
    for width in (4, 4, 3):  # mono mixdown, stereo mixdown, matrix mixdown
        if reader.flag():
            reader.skip(width)
    channels = lfe
    for _ in range(front + side + back):
        channels += 2 if reader.flag() else 1
        reader.skip(4)
    reader.skip(4 * lfe + 4 * data + 5 * coupling)
    reader.align()
    reader.skip(8 * reader.bits(8))  # comment_field_data
    if not channels:
        raise MediaError("an AAC program config element has no channel")
    return channels


def _read_sync_extension(reader: BitReader) -> tuple[int, bool]:
    """Read the backward compatible signalling of SBR and PS (§1.6.5.3); answers the rate as played, or 0, and PS."""
    if reader.remaining < 16 or reader.bits(11) != _SYNC_SBR:
        return 0, False
    if _read_object_type(reader) != SBR or not reader.flag():
        return 0, False
    rate = _read_rate(reader)
    if reader.remaining < 12 or reader.bits(11) != _SYNC_PS:
        return rate, False
    return rate, reader.flag()


class AdtsFrame(NamedTuple):
    """One ADTS frame: the fixed header's facts and the raw data block behind it."""

    profile: int
    """Audio object type minus 1."""
    sample_rate: int
    channel_configuration: int
    payload: bytes
    """As `core.frame.Frame` carries it."""

    @property
    def config(self) -> AudioSpecificConfig:
        """The AudioSpecificConfig that these headers amount to; raises `MediaError` for channel configuration 0."""
        channels = _CHANNELS.get(self.channel_configuration, 0)
        if not channels:
            raise MediaError("ADTS with channel configuration 0 does not tell its channels; send mono, stereo or 5.1")
        return AudioSpecificConfig(self.profile + 1, self.sample_rate, self.channel_configuration, channels)


def split_adts(data: Buffer) -> tuple[list[AdtsFrame], bytes]:
    """Cut an ADTS stream (§1.A.2.2) into frames; answers them and the incomplete rest, to go in front of what follows.

    Raises `MediaError` when a frame does not begin where it should, or has several raw data blocks: those cannot be
    told apart without decoding, and no live encoder makes them.
    """
    stream = bytes(data)
    frames: list[AdtsFrame] = []
    position, end = 0, len(stream)
    while position + _ADTS_HEADER <= end:
        word = int.from_bytes(stream[position : position + _ADTS_HEADER], "big")
        if word >> 44 != 0xFFF or word >> 41 & 3:
            raise MediaError("an ADTS frame does not begin with its sync word")
        size = word >> 13 & 0x1FFF
        header = 7 if word >> 40 & 1 else 9
        rate_index = word >> 34 & 0xF
        if size < header or rate_index >= len(SAMPLE_RATES) or word & 3:
            raise MediaError("an ADTS header has a size, sample rate or number of data blocks that cannot be used")
        if position + size > end:
            break
        payload = stream[position + header : position + size]
        frames.append(AdtsFrame(word >> 38 & 3, SAMPLE_RATES[rate_index], word >> 30 & 7, payload))
        position += size
    return frames, stream[position:]


def describe(config: bytes, payload: bytes = b"") -> AudioFacts:
    """Facts of an AudioSpecificConfig; `payload` is not needed. Raises `MediaError` when it is broken."""
    parsed = AudioSpecificConfig.parse(config)
    return AudioFacts(
        config=bytes(config),
        codec_string=parsed.codec_string(),
        sample_rate=parsed.output_sample_rate,
        channels=parsed.output_channels,
        frame_samples=parsed.frame_samples,
    )
