"""H.265: configuration records and access units. The parameter sets have a file of their own, `h265_sets`.

Specification: ITU-T H.265 (08/2021) §7.3.1, §7.4.2.2 (NAL unit types), §7.3.6 (slice header); ISO/IEC 14496-15 §8.3.3
(configuration record), annex E (codec string).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from ghostlive.codecs.bits import BitReader, Buffer
from ghostlive.codecs.facts import AccessUnit, VideoFacts
from ghostlive.codecs.h265_sets import (
    PPS,
    SPS,
    VPS,
    PictureParameterSet,
    SequenceParameterSet,
    nal_type,
    parse_pps,
    parse_sps,
    parse_vps,
)
from ghostlive.codecs.nal import DROP, KEEP, KEYFRAME, PARAMETER_SET, strip_access_unit, unescape
from ghostlive.core.errors import MediaError

# NAL unit types, table 7-1.
FIRST_IRAP, LAST_IRAP, LAST_VCL, AUD, FILLER = 16, 21, 31, 35, 38
_ROLE_BY_TYPE = {
    VPS: PARAMETER_SET,
    SPS: PARAMETER_SET,
    PPS: PARAMETER_SET,
    AUD: DROP,
    FILLER: DROP,
} | dict.fromkeys(range(FIRST_IRAP, LAST_IRAP + 1), KEYFRAME)
_ROLES = bytes(_ROLE_BY_TYPE.get(nal_type(first), KEEP) for first in range(256))

_HEAD = 23
"""Bytes of a record before its arrays."""
_SLICE_PROLOGUE = 24


class SliceType(IntEnum):
    """slice_type (table 7-7)."""

    B = 0
    P = 1
    I = 2  # noqa: E741  the specification's name


@dataclass(frozen=True, slots=True)
class DecoderConfiguration:
    """HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3.1): parameter sets and the size of NAL lengths.

    What else a record has is not kept, since the SPS says it.
    """

    vps: tuple[bytes, ...]
    """NAL units with their header; may be empty when they come in band."""
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    length_size: int = 4
    """Bytes of a NAL length in access units: 1 to 4."""

    @classmethod
    def parse(cls, data: Buffer) -> "DecoderConfiguration":
        """Read a record; SEI in it are dropped. Raises `MediaError` when it is none or ends early."""
        record = bytes(data)
        # Version 0 is of a draft that old encoders still write; its layout is the same.
        if len(record) < _HEAD or record[0] > 1:
            raise MediaError("this is no HEVCDecoderConfigurationRecord: it must have 23 bytes and begin with 1")
        nals: dict[int, list[bytes]] = {VPS: [], SPS: [], PPS: []}
        position = _HEAD
        for _ in range(record[_HEAD - 1]):
            count = int.from_bytes(record[position + 1 : position + 3], "big")
            position += 3
            for _ in range(count):
                start = position + 2
                position = start + int.from_bytes(record[position:start], "big")
                if position > len(record):
                    raise MediaError("an HEVCDecoderConfigurationRecord ends inside a parameter set")
                if position > start and (kind := nal_type(record[start])) in nals:
                    nals[kind].append(record[start:position])
        if position > len(record):
            raise MediaError("an HEVCDecoderConfigurationRecord ends early")
        return cls(tuple(nals[VPS]), tuple(nals[SPS]), tuple(nals[PPS]), (record[21] & 3) + 1)

    def to_bytes(self) -> bytes:
        """The record; raises `MediaError` without an SPS that can be read."""
        sps = self.sequence()
        profile = sps.profile
        parts = [
            bytes((1, profile.profile_space << 6 | profile.tier << 5 | profile.profile_idc)),
            profile.compatibility_flags.to_bytes(4, "big"),
            profile.constraint_flags.to_bytes(6, "big"),
            # min_spatial_segmentation_idc and parallelismType 0: nothing is promised.
            bytes((profile.level_idc, 0xF0, 0x00, 0xFC, 0xFC | sps.chroma_format_idc)),
            bytes((0xF8 | sps.bit_depth_luma - 8, 0xF8 | sps.bit_depth_chroma - 8)),
            bytes(2),  # avgFrameRate 0: unspecified
            # constantFrameRate 0, numTemporalLayers, temporalIdNested, lengthSizeMinusOne
            bytes((sps.max_sub_layers << 3 | sps.temporal_id_nesting << 2 | self.length_size - 1,)),
        ]
        arrays = [(kind, nals) for kind, nals in ((VPS, self.vps), (SPS, self.sps), (PPS, self.pps)) if nals]
        parts.append(bytes((len(arrays),)))
        for kind, nals in arrays:
            parts.append(bytes((0x80 | kind,)) + len(nals).to_bytes(2, "big"))  # array_completeness 1: `hvc1`
            for nal in nals:
                if len(nal) > 0xFFFF:
                    raise MediaError(f"a parameter set has {len(nal)} bytes, a configuration record allows 65535")
                parts.append(len(nal).to_bytes(2, "big") + nal)
        return b"".join(parts)

    def sequence(self) -> SequenceParameterSet:
        """The first SPS, read; raises `MediaError` when there is none or it is broken."""
        if not self.sps:
            raise MediaError("the H.265 configuration has no sequence parameter set")
        return parse_sps(self.sps[0])

    def updated(self, parameter_sets: Sequence[bytes]) -> "DecoderConfiguration":
        """This configuration with parameter sets that came in band; `self` when they say nothing new.

        A set replaces the one with its id. Raises `MediaError` when a set is broken.
        """
        vps = _merged(self.vps, parameter_sets, VPS, lambda nal: parse_vps(nal).id)
        sps = _merged(self.sps, parameter_sets, SPS, lambda nal: parse_sps(nal).id)
        pps = _merged(self.pps, parameter_sets, PPS, lambda nal: parse_pps(nal).id)
        if vps is self.vps and sps is self.sps and pps is self.pps:
            return self
        return replace(self, vps=vps, sps=sps, pps=pps)


def _merged(
    known: tuple[bytes, ...], found: Sequence[bytes], kind: int, identify: Callable[[bytes], int]
) -> tuple[bytes, ...]:
    """`known` with those of `found` that are of `kind` put in by id; the same object when nothing is new."""
    new = [nal for nal in found if nal and nal_type(nal[0]) == kind and nal not in known]
    if not new:
        return known
    sets = {identify(nal): nal for nal in known}
    sets.update((identify(nal), nal) for nal in new)
    return tuple(sets.values())


def codec_string(sps: SequenceParameterSet) -> str:
    """`hvc1.1.6.L93.B0` (ISO/IEC 14496-15 §E.3)."""
    profile = sps.profile
    space = "" if not profile.profile_space else "ABC"[profile.profile_space - 1]
    # The flags are written in reverse bit order, and the constraint bytes without the zeros at their end.
    compatibility = int(f"{profile.compatibility_flags:032b}"[::-1], 2)
    constraints = profile.constraint_flags.to_bytes(6, "big").rstrip(b"\x00")
    parts = [
        "hvc1",
        f"{space}{profile.profile_idc}",
        f"{compatibility:X}",
        f"{'H' if profile.tier else 'L'}{profile.level_idc}",
        *(f"{value:X}" for value in constraints),
    ]
    return ".".join(parts)


def strip_parameter_sets(payload: bytes, length_size: int = 4) -> AccessUnit:
    """Take AUD, VPS, SPS, PPS and filler NAL units out of a length-prefixed access unit, and report parameter sets.

    `length_size` is that of `payload`; the answer has lengths of 4 bytes and is the same object when nothing had to
    change. It is a key frame when it has a BLA, IDR or CRA picture. Raises `MediaError` when lengths do not add up.
    """
    return strip_access_unit(payload, length_size, _ROLES)


def is_keyframe(payload: bytes) -> bool:
    """Whether decoding may begin at this access unit (NAL lengths of 4 bytes): BLA, IDR or CRA (types 16 to 21)."""
    return strip_access_unit(payload, 4, _ROLES).keyframe


def slice_type(nal: Buffer, pps: PictureParameterSet) -> SliceType | None:
    """Type of the slice in the first segment of a picture (§7.3.6.1), None for another segment.

    Raises `MediaError` when the NAL unit is no slice or ends early.
    """
    if len(nal) < 3 or nal_type(nal[0]) > LAST_VCL:
        raise MediaError("this NAL unit is no H.265 slice segment")
    reader = BitReader(unescape(nal[:_SLICE_PROLOGUE]))
    reader.skip(16)
    if not reader.flag():  # first_slice_segment_in_pic_flag
        return None
    if nal_type(nal[0]) >= FIRST_IRAP:
        reader.skip(1)  # no_output_of_prior_pics_flag
    reader.ue(63)  # slice_pic_parameter_set_id
    reader.skip(pps.extra_slice_header_bits)
    return SliceType(reader.ue(2))


def describe(config: bytes, payload: bytes = b"") -> VideoFacts:
    """Facts of an HEVCDecoderConfigurationRecord; `payload` is not needed. Raises `MediaError` without a good SPS."""
    record = DecoderConfiguration.parse(config)
    sps = record.sequence()
    frame_rate = sps.frame_rate
    if frame_rate is None and record.vps:
        frame_rate = parse_vps(record.vps[0]).frame_rate
    return VideoFacts(
        config=bytes(config) if record.length_size == 4 else replace(record, length_size=4).to_bytes(),
        codec_string=codec_string(sps),
        width=sps.width,
        height=sps.height,
        frame_rate=frame_rate,
        has_b_frames=sps.max_num_reorder_pics > 0,
        bit_depth=sps.bit_depth_luma,
        colour=sps.colour,
        interlaced=sps.field_seq,
        length_size=record.length_size,
    )


def update_config(config: bytes, parameter_sets: Sequence[bytes]) -> bytes:
    """A record with parameter sets that came in band put in; the same bytes when they say nothing new.

    `config` may be empty: then a record is made, and the answer stays empty until there are VPS, SPS and PPS.
    Raises `MediaError` when a set is broken.
    """
    record = DecoderConfiguration.parse(config) if config else DecoderConfiguration((), (), ())
    updated = record.updated(parameter_sets)
    if updated is record:
        return config
    return updated.to_bytes() if updated.vps and updated.sps and updated.pps else b""
