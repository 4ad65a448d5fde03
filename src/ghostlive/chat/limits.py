"""How often: token buckets for keys that strangers choose, so their number is bounded too.

Time is an argument, best a monotonic one; a wall clock may be set back, and then nobody waits for the time that it had
already seen. A bucket is one number, the time at which it is full again (the generic cell rate algorithm), and a full
bucket need not be kept.
"""

from ghostlive.chat.errors import TooFastError

_KEYS = 50_000
_SET_BACK = 5.0
"""Seconds from which on a time before the last one means that a clock was set; less, that things came out of order."""


class Rate:
    """`burst` at once, then one every `interval` seconds, for each key apart."""

    def __init__(self, burst: int, interval: float, *, keys: int = _KEYS) -> None:
        """A `burst` of 0 means no limit. At most `keys` are remembered: those that were used last."""
        self._interval = interval if burst else 0.0
        self._ahead = (burst - 1) * interval
        self._keys = keys
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def wait(self, key: str, now: float) -> float:
        """Seconds until `take` would succeed; 0 when it would now."""
        return max(0.0, self._full(key, now) - self._ahead - now) if self._interval else 0.0

    def take(self, key: str, now: float) -> None:
        """Count one. Ask `wait` before."""
        if not self._interval:
            return
        full_at = max(self._full(key, now), now) + self._interval
        self._full_at.pop(key, None)
        if len(self._full_at) >= self._keys:
            del self._full_at[next(iter(self._full_at))]  # not used for longest, so most likely full
        self._full_at[key] = full_at

    def _full(self, key: str, now: float) -> float:
        full_at = self._full_at.get(key, now)
        # No bucket takes longer to fill than from empty.
        return full_at if full_at - now < self._ahead + self._interval + _SET_BACK else now


def take_all(now: float, *rates: tuple[Rate, str]) -> None:
    """Count one with each of `rates`, or with none of them. Raises `TooFastError`."""
    wait = 0.0
    for rate, key in rates:
        wait = max(wait, rate.wait(key, now))
    if wait > 0:
        raise TooFastError("That was too fast. Wait a moment, then send it again.", round(wait + 0.05, 1))
    for rate, key in rates:
        rate.take(key, now)
