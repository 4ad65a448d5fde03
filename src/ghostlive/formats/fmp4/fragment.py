"""Media fragments: one `moof` and its `mdat`, CMAF's chunk (ISO/IEC 14496-12 §8.8, 23000-19 §7.3.2).

This is the hot path of packaging: a fragment is two packings (fixed header, sample table) and one join; sample
payloads are copied once, into the result.
"""

import struct
from collections.abc import Sequence

SYNC = 0x0200_0000
"""Sample flags of a sample that depends on no other."""
NON_SYNC = 0x0101_0000
"""Sample flags of a sample that depends on others and is no sync sample."""

_BASE_IS_MOOF = 0x02_0000
_TRUN_FIXED = 0x0000_0201  # data-offset, sample-size
_TRUN_DURATION = 0x100
_TRUN_FLAGS = 0x400
_TRUN_OFFSETS = 0x800

# moof, mfhd, traf, tfhd with the default duration and flags, tfdt version 1, trun version 1 up to its entries
_HEADER = struct.Struct(">I4s I4sII I4s I4sIIII I4sIQ I4sIIi")
_HEADER_SIZE = _HEADER.size
_MDAT = struct.Struct(">I4s")
# moof, mfhd, traf, tfhd with the default duration, tfdt version 1, mdat
_EMPTY = struct.Struct(">I4s I4sII I4s I4sIII I4sIQ I4s")
_DURATION_IS_EMPTY = 0x01_0000
_TFHD_FLAGS = _BASE_IS_MOOF | 0x08 | 0x20
_TRUN_VERSION_1 = 1 << 24


def media_fragment(
    sequence: int,
    decode_time: int,
    durations: Sequence[int],
    payloads: Sequence[bytes],
    *,
    flags: Sequence[int] | None = None,
    offsets: Sequence[int] | None = None,
) -> bytes:
    """A fragment of the samples `payloads`, whose first is decoded at `decode_time`.

    `flags` are the samples' flags, None when all are `SYNC`; `offsets` the composition offsets, which may be
    negative, None when all are 0. All sequences are of the same length, which is at least 1.
    """
    count = len(payloads)
    first_duration = durations[0]
    columns: list[Sequence[int]] = []
    trun_flags = _TRUN_FIXED
    if durations.count(first_duration) != count:
        trun_flags |= _TRUN_DURATION
        columns.append(durations)
    sizes = [len(payload) for payload in payloads]
    columns.append(sizes)
    if flags is not None:
        trun_flags |= _TRUN_FLAGS
        columns.append(flags)
    if offsets is not None:
        trun_flags |= _TRUN_OFFSETS
        columns.append([offset & 0xFFFF_FFFF for offset in offsets])
    width = len(columns)
    table: Sequence[int]
    if width == 1:
        table = sizes
    else:
        rows = [0] * (width * count)
        for index, column in enumerate(columns):
            rows[index::width] = column
        table = rows
    entries = 4 * width * count
    moof_size = _HEADER_SIZE + entries
    header = _HEADER.pack(
        moof_size, b"moof",
        16, b"mfhd", 0, sequence,
        moof_size - 24, b"traf",
        24, b"tfhd", _TFHD_FLAGS, 1, first_duration, SYNC,
        20, b"tfdt", 1 << 24, decode_time,
        20 + entries, b"trun", _TRUN_VERSION_1 | trun_flags, count, moof_size + 8,
    )  # fmt: skip
    return b"".join((header, struct.pack(f">{len(table)}I", *table), _MDAT.pack(8 + sum(sizes), b"mdat"), *payloads))


def empty_fragment(sequence: int, decode_time: int, duration: int) -> bytes:
    """A fragment that says that the track has no samples from `decode_time` on, for `duration` ticks.

    The flag duration-is-empty of §8.8.7.
    """
    size = _EMPTY.size - 8
    return _EMPTY.pack(
        size, b"moof",
        16, b"mfhd", 0, sequence,
        size - 24, b"traf",
        20, b"tfhd", _BASE_IS_MOOF | _DURATION_IS_EMPTY | 0x08, 1, min(duration, 0xFFFF_FFFF),
        20, b"tfdt", 1 << 24, decode_time,
        8, b"mdat",
    )  # fmt: skip
