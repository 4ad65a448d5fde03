"""Rates measured over a sliding window of media time."""

from collections import deque


class RateMeter:
    """Bits per second over about `window` seconds, from sizes and times given in order."""

    def __init__(self, window: float = 4.0) -> None:
        """`window` is in seconds."""
        self._window = window
        self._samples: deque[tuple[float, int]] = deque()
        self._bytes = 0

    def add(self, size: int, time: float) -> None:
        """Count `size` bytes at `time` (seconds)."""
        samples = self._samples
        samples.append((time, size))
        self._bytes += size
        while samples and time - samples[0][0] > self._window:
            self._bytes -= samples.popleft()[1]

    @property
    def bits_per_second(self) -> int:
        """The rate over what the window holds; 0 until it holds a tenth of a second."""
        if len(self._samples) < 2:
            return 0
        span = self._samples[-1][0] - self._samples[0][0]
        return round((self._bytes - self._samples[-1][1]) * 8 / span) if span > 0.1 else 0
