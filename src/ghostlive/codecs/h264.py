"""H.264: configuration records and access units. The SPS has a file of its own, `h264_sps`.

Specification: ITU-T H.264 (08/2021) §7.3, annex D (recovery point); ISO/IEC 14496-15 §5.3.3 (configuration record);
RFC 6381 §3.3 (codec string).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import islice

from ghostlive.codecs.bits import BitReader, Buffer
from ghostlive.codecs.facts import AccessUnit, VideoFacts
from ghostlive.codecs.h264_sps import SequenceParameterSet, parse_sps
from ghostlive.codecs.nal import (
    DROP,
    KEEP,
    KEYFRAME,
    PARAMETER_SET,
    split_length_prefixed,
    strip_access_unit,
    unescape,
)
from ghostlive.core.errors import MediaError

# NAL unit types, table 7-1.
SLICE, IDR, SEI, SPS, PPS, AUD, FILLER, SPS_EXTENSION = 1, 5, 6, 7, 8, 9, 12, 13
_ROLE_BY_TYPE = {IDR: KEYFRAME, SPS: PARAMETER_SET, PPS: PARAMETER_SET, AUD: DROP, FILLER: DROP}
_ROLES = bytes(_ROLE_BY_TYPE.get(first & 0x1F, KEEP) for first in range(256))

_RECOVERY_POINT = 6
_SLICE_PROLOGUE = 16
"""Bytes that hold first_mb_in_slice and slice_type, however long."""
_SEI_SEARCHED = 1024
_WITHOUT_EXTENSION = frozenset({66, 77, 88})


class SliceType(IntEnum):
    """slice_type modulo 5 (table 7-6)."""

    P = 0
    B = 1
    I = 2  # noqa: E741  the specification's name
    SP = 3
    SI = 4


@dataclass(frozen=True, slots=True)
class DecoderConfiguration:
    """AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1): parameter sets and the size of NAL lengths.

    Profile, compatibility and level are not fields, since an SPS says them, and encoders that write the record
    by hand get them wrong.
    """

    sps: tuple[bytes, ...]
    """NAL units with their header; may be empty when they come in band."""
    pps: tuple[bytes, ...]
    sps_extensions: tuple[bytes, ...] = ()
    length_size: int = 4
    """Bytes of a NAL length in access units: 1 to 4."""

    @classmethod
    def parse(cls, data: Buffer) -> "DecoderConfiguration":
        """Read a record; what follows it is ignored. Raises `MediaError` when it is none or ends early."""
        record = bytes(data)
        if len(record) < 7 or record[0] != 1:
            raise MediaError("this is no AVCDecoderConfigurationRecord: it must have 7 bytes and begin with 1")
        sps, position = _read_sets(record, 6, record[5] & 0x1F, SPS)
        if position >= len(record):
            raise MediaError("an AVCDecoderConfigurationRecord ends before its picture parameter sets")
        pps, position = _read_sets(record, position + 1, record[position], PPS)
        extensions: tuple[bytes, ...] = ()
        # Encoders leave the extension out for high profiles too, hence no look at the profile.
        if len(record) >= position + 4 and record[1] not in _WITHOUT_EXTENSION:
            try:
                extensions, _ = _read_sets(record, position + 4, record[position + 3], SPS_EXTENSION)
            except MediaError:
                extensions = ()
        return cls(sps, pps, extensions, (record[4] & 3) + 1)

    def to_bytes(self) -> bytes:
        """The record; raises `MediaError` without an SPS that can be read, or with more sets than it can hold."""
        facts = self.sequence()
        if len(self.sps) > 31 or len(self.pps) > 255 or len(self.sps_extensions) > 255:
            raise MediaError("an AVCDecoderConfigurationRecord holds at most 31 SPS, 255 PPS and 255 SPS extensions")
        head = bytes((1, facts.profile_idc, facts.constraint_flags, facts.level_idc))
        parts = [head, bytes((0xFC | self.length_size - 1, 0xE0 | len(self.sps)))]
        parts += [_with_length(nal) for nal in self.sps]
        parts.append(bytes((len(self.pps),)))
        parts += [_with_length(nal) for nal in self.pps]
        if facts.profile_idc not in _WITHOUT_EXTENSION:
            depths = (0xF8 | facts.bit_depth_luma - 8, 0xF8 | facts.bit_depth_chroma - 8)
            parts.append(bytes((0xFC | facts.chroma_format_idc, *depths, len(self.sps_extensions))))
            parts += [_with_length(nal) for nal in self.sps_extensions]
        return b"".join(parts)

    def sequence(self) -> SequenceParameterSet:
        """The first SPS, read; raises `MediaError` when there is none or it is broken."""
        if not self.sps:
            raise MediaError("the H.264 configuration has no sequence parameter set")
        return parse_sps(self.sps[0])

    def codec_string(self) -> str:
        """`avc1.PPCCLL` (RFC 6381 §3.3); raises `MediaError` without an SPS."""
        if not self.sps or len(self.sps[0]) < 4:
            raise MediaError("the H.264 configuration has no sequence parameter set")
        return f"avc1.{self.sps[0][1:4].hex()}"

    def updated(self, parameter_sets: Sequence[bytes]) -> "DecoderConfiguration":
        """This configuration with parameter sets that came in band; `self` when they say nothing new.

        A set replaces the one with its id. Raises `MediaError` when a set is broken.
        """
        sps = _merged(self.sps, [nal for nal in parameter_sets if nal[:1] and nal[0] & 0x1F == SPS], _sps_id)
        pps = _merged(self.pps, [nal for nal in parameter_sets if nal[:1] and nal[0] & 0x1F == PPS], _pps_id)
        if sps == self.sps and pps == self.pps:
            return self
        return replace(self, sps=sps, pps=pps)


def _read_sets(record: bytes, position: int, count: int, kind: int) -> tuple[tuple[bytes, ...], int]:
    """Read `count` NAL units with lengths of 2 bytes; those of another type are dropped."""
    nals: list[bytes] = []
    for _ in range(count):
        start = position + 2
        position = start + int.from_bytes(record[position:start], "big")
        if position > len(record):
            raise MediaError("an AVCDecoderConfigurationRecord ends inside a parameter set")
        if position > start and record[start] & 0x1F == kind:
            nals.append(record[start:position])
    return tuple(nals), position


def _with_length(nal: bytes) -> bytes:
    """A parameter set as records carry it."""
    if len(nal) > 0xFFFF:
        raise MediaError(f"a parameter set has {len(nal)} bytes, a configuration record allows 65535")
    return len(nal).to_bytes(2, "big") + nal


def _merged(known: tuple[bytes, ...], found: list[bytes], identify: Callable[[bytes], int]) -> tuple[bytes, ...]:
    """`known` with `found` put in by id, order kept."""
    # Encoders that repeat headers do it with every key frame: nothing is parsed for those.
    if all(nal in known for nal in found):
        return known
    sets = {identify(nal): nal for nal in known}
    sets.update((identify(nal), nal) for nal in found)
    return tuple(sets.values())


def _sps_id(nal: bytes) -> int:
    return parse_sps(nal).id


def _pps_id(nal: bytes) -> int:
    """pic_parameter_set_id (§7.3.2.2)."""
    reader = BitReader(unescape(nal[1:8]))
    return reader.ue(255)


def strip_parameter_sets(payload: bytes, length_size: int = 4) -> AccessUnit:
    """Take AUD, SPS, PPS and filler NAL units out of a length-prefixed access unit, and report SPS and PPS.

    `length_size` is that of `payload`; the answer has lengths of 4 bytes and is the same object when nothing had to
    change. It is a key frame when it has an IDR slice, or begins with a recovery point SEI of recovery_frame_cnt 0
    and an I slice (open groups of pictures, which broadcast encoders like). Raises `MediaError` when lengths do not
    add up.
    """
    unit = strip_access_unit(payload, length_size, _ROLES)
    # SEI stand before slices (§7.4.1.2.3), so one look tells whether a recovery point is worth searching for.
    if not unit.keyframe and len(unit.payload) > 4 and unit.payload[4] & 0x1F == SEI:
        return unit._replace(keyframe=_is_open_random_access(unit.payload))
    return unit


def is_keyframe(payload: bytes) -> bool:
    """Whether decoding may begin at this access unit (NAL lengths of 4 bytes); see `strip_parameter_sets`."""
    return strip_parameter_sets(payload).keyframe


def recovery_point(payload: Buffer) -> int | None:
    """recovery_frame_cnt of the access unit's recovery point SEI (§D.1.8), None without one.

    It counts the frames after which decoding that begins here gives exact pictures; intra refresh has one above 0.
    """
    for nal in split_length_prefixed(payload):
        kind = nal[0] & 0x1F
        if kind == SEI:
            count = _recovery_frame_cnt(nal)
            if count is not None:
                return count
        elif kind in (SLICE, IDR):
            break
    return None


def _is_open_random_access(payload: bytes) -> bool:
    """Whether a picture without IDR slices may be joined at: recovery at once, and the first slice is intra."""
    # Of recovery_frame_cnt 0, the message always begins with its type 6 and its size 1; most SEI do not have these
    # bytes, and this line is all they cost. Nobody puts a kilobyte of other messages in front.
    if payload.find(b"\x06\x01", 5, _SEI_SEARCHED) < 0:
        return False
    # A broken message is no reason to lose the picture.
    with suppress(MediaError):
        if recovery_point(payload) == 0:
            slices = (nal for nal in split_length_prefixed(payload) if nal[0] & 0x1F == SLICE)
            return any(slice_type(nal) in (SliceType.I, SliceType.SI) for nal in islice(slices, 1))
    return False


def _recovery_frame_cnt(nal: Buffer) -> int | None:
    """Search one SEI NAL unit for a recovery point (§7.3.2.3.1)."""
    data = unescape(nal)
    position, end = 1, len(data)
    while position + 2 < end:
        kind, position = _read_ff_coded(data, position)
        size, position = _read_ff_coded(data, position)
        if kind == _RECOVERY_POINT:
            return BitReader(data[position : position + size]).ue(0xFFFF)
        position += size
    return None


def _read_ff_coded(data: bytes, position: int) -> tuple[int, int]:
    """Read a number that is written as a sum of bytes, all but the last of them 255; and where it ends."""
    value = 0
    for index in range(position, len(data)):
        value += data[index]
        if data[index] != 0xFF:
            return value, index + 1
    raise MediaError("an H.264 SEI message ends early")


def slice_type(nal: Buffer) -> SliceType:
    """Type of a slice NAL unit (§7.3.3); raises `MediaError` when it is no slice or ends early."""
    if not len(nal) or nal[0] & 0x1F not in (SLICE, 2, IDR):
        raise MediaError("this NAL unit is no H.264 slice")
    reader = BitReader(unescape(nal[1:_SLICE_PROLOGUE]))
    reader.ue()  # first_mb_in_slice
    return SliceType(reader.ue(9) % 5)


def has_b_slices(payload: Buffer) -> bool:
    """Whether an access unit (NAL lengths of 4 bytes) has a B slice: what to ask when the SPS does not tell.

    Looks at the first slice only: no encoder mixes B slices with others in one picture.
    """
    for nal in split_length_prefixed(payload):
        if nal[0] & 0x1F in (SLICE, IDR):
            return slice_type(nal) is SliceType.B
    return False


def describe(config: bytes, payload: bytes = b"") -> VideoFacts:
    """Facts of an AVCDecoderConfigurationRecord; `payload` is not needed. Raises `MediaError` without a good SPS."""
    record = DecoderConfiguration.parse(config)
    sps = record.sequence()
    return VideoFacts(
        config=bytes(config) if record.length_size == 4 else replace(record, length_size=4).to_bytes(),
        codec_string=record.codec_string(),
        width=sps.width,
        height=sps.height,
        frame_rate=sps.vui.frame_rate,
        has_b_frames=sps.has_b_frames,
        bit_depth=sps.bit_depth_luma,
        colour=sps.vui.colour,
        interlaced=sps.interlaced,
        length_size=record.length_size,
    )


def update_config(config: bytes, parameter_sets: Sequence[bytes]) -> bytes:
    """A record with parameter sets that came in band put in; the same bytes when they say nothing new.

    `config` may be empty: then a record is made, and the answer stays empty until there are both an SPS and a PPS.
    Raises `MediaError` when a set is broken.
    """
    record = DecoderConfiguration.parse(config) if config else DecoderConfiguration((), ())
    updated = record.updated(parameter_sets)
    if updated is record:
        return config
    return updated.to_bytes() if updated.sps and updated.pps else b""
