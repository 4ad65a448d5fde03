"""Bits: reading and writing fields that do not end where bytes do.

Specification: ITU-T H.264 §7.2 and §9.1 (descriptors u, ue, se), which H.265, AAC, AC-3, FLAC and VP9 share with
other names. Emulation prevention is not known here; see `nal.unescape`.
"""

from ghostlive.core.errors import MediaError

Buffer = bytes | bytearray | memoryview
"""What parsers read from; a memoryview must be of plain bytes."""

UE_MAX = (1 << 32) - 2
"""The largest value of ue(v), H.264 §9.1."""


class BitReader:
    """Reads fields from the most significant bit on. Every method raises `MediaError` beyond the end."""

    __slots__ = ("_data", "_end", "position")

    def __init__(self, data: Buffer) -> None:
        """Copies `data`: hand over a header, not a whole frame."""
        self._data = bytes(data)
        self._end = len(self._data) * 8
        self.position = 0
        """Bits read so far."""

    @property
    def remaining(self) -> int:
        """Bits that are left."""
        return self._end - self.position

    def bits(self, count: int) -> int:
        """Read an unsigned field of `count` bits, u(n)."""
        start = self.position
        end = start + count
        if end > self._end:
            raise MediaError(f"the bit stream ends after {self._end} bits, inside a field of {count}")
        self.position = end
        stop = (end + 7) >> 3
        window = int.from_bytes(self._data[start >> 3 : stop], "big")
        return (window >> ((stop << 3) - end)) & ((1 << count) - 1)

    def flag(self) -> bool:
        """Read one bit."""
        return self.bits(1) == 1

    def skip(self, count: int) -> None:
        """Pass over `count` bits."""
        if count > self.remaining:
            raise MediaError(f"the bit stream ends after {self._end} bits, {count} more were to be skipped")
        self.position += count

    def align(self) -> None:
        """Pass over bits up to the next whole byte."""
        self.position = (self.position + 7) & ~7

    def ue(self, limit: int = UE_MAX) -> int:
        """Read ue(v), unsigned Exp-Golomb (H.264 §9.1); raises `MediaError` for a value above `limit`."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > 31:
                raise MediaError("an Exp-Golomb code is longer than 63 bits")
        value = (1 << zeros) - 1 + self.bits(zeros)
        if value > limit:
            raise MediaError(f"an Exp-Golomb field is {value}, where at most {limit} is allowed")
        return value

    def se(self) -> int:
        """Read se(v), signed Exp-Golomb (H.264 §9.1.1)."""
        value = self.ue()
        return (value + 1) >> 1 if value & 1 else -(value >> 1)


class BitWriter:
    """Writes fields from the most significant bit on; the counterpart of `BitReader`."""

    __slots__ = ("_count", "_value")

    def __init__(self) -> None:
        self._value = 0
        self._count = 0

    def bits(self, value: int, count: int) -> None:
        """Append `value` in `count` bits; raises `MediaError` when it does not fit."""
        if value < 0 or value >> count:
            raise MediaError(f"{value} does not fit a field of {count} bits")
        self._value = (self._value << count) | value
        self._count += count

    def to_bytes(self) -> bytes:
        """All bits so far, filled up with zeros to a whole byte."""
        padding = -self._count % 8
        return (self._value << padding).to_bytes((self._count + padding) // 8, "big")
