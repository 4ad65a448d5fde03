"""Numbers that wrap around: sequence numbers and timestamps of RTP made into integers that do not.

Specification: RFC 3550 appendix A.1 for the idea, RFC 1982 for comparing numbers on a circle.
"""


def distance(value: int, origin: int, bits: int = 16) -> int:
    """How far `value` is ahead of `origin` on the circle; negative when it is behind.

    From -2^(bits-1) to 2^(bits-1)-1: the shorter way around counts, and half a circle counts as behind.
    """
    half = 1 << (bits - 1)
    return ((value - origin + half) & ((1 << bits) - 1)) - half


def is_newer(value: int, origin: int, bits: int = 16) -> bool:
    """Whether `value` comes after `origin` (and is not the same)."""
    return distance(value, origin, bits) > 0


class Unwrapper:
    """Extends numbers of `bits` bits by counting their turns.

    Each is read as the nearest to the one before it, so reordered numbers go back a little. They start at the first
    value itself and get negative when what follows is older and lies before a turn. A jump of more than half a circle
    cannot be seen.
    """

    __slots__ = ("_half", "_last", "_mask")

    def __init__(self, bits: int = 16) -> None:
        """Nothing seen yet."""
        self._mask = (1 << bits) - 1
        self._half = 1 << (bits - 1)
        self._last: int | None = None

    @property
    def last(self) -> int | None:
        """The extended number given out last."""
        return self._last

    def unwrap(self, value: int) -> int:
        """The extended number of `value`, which follows the one given before."""
        last = self._last
        extended = value if last is None else last + ((value - last + self._half) & self._mask) - self._half
        self._last = extended
        return extended

    def peek(self, value: int) -> int:
        """What `unwrap` would say, without taking note of it."""
        last = self._last
        return value if last is None else last + ((value - last + self._half) & self._mask) - self._half
