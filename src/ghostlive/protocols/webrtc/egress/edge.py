"""Where a stream's present is, and how far behind it a track comes. Pure; times are seconds."""

from typing import Final

_WINDOW: Final = 2.0
"""Seconds for which the quickest packets count. Long enough that some have come without waiting anywhere, and short
enough for a source whose clock is 200 ppm off: that is 0.4 ms."""
_LIVE: Final = 0.08
"""A track that is at most so late is live: two pictures at 25 a second, which encoders hold back anyway."""
_NEAR: Final = 0.3
_WINDOW_NEAR: Final = 0.08
_WINDOW_FAR: Final = 0.4
"""How long it is looked at whether a track still gains. Catching up is several times as fast as time, so that one that
is nearer than `_NEAR` must have gained much of it within a few pictures, and looking for longer would keep viewers
waiting. Far from the present, encoders hand out pictures in batches, and only longer windows show the trend."""
_FEW: Final = 3
"""Frames without which a window says nothing: the least lateness of one or two is chance."""
_GAINING: Final = 0.2
"""A track that gains less than this share of the time does not catch up any more: its encoder is as fast as time, give
or take the jitter of its frames, and the lateness that is left is the delay of the encoder."""


class Edge:
    """The present of a stream: the media time of what arrives from the source now, as of its quickest packets."""

    def __init__(self) -> None:
        """Nothing has arrived."""
        self._offset: float | None = None
        self._next: float | None = None
        self._turn = 0.0

    def reset(self) -> None:
        """Another publication begins."""
        self._offset = self._next = None
        self._turn = 0.0

    def observe(self, media: float, now: float) -> None:
        """A frame of the source with this media time arrived."""
        offset = now - media
        if now >= self._turn:
            # The lowest of the last one to two windows: clocks of source and server may drift apart.
            if self._next is not None:
                self._offset = self._next
            self._next = None
            self._turn = now + _WINDOW
        if self._next is None or offset < self._next:
            self._next = offset
        if self._offset is None or offset < self._offset:
            self._offset = offset

    def at(self, now: float) -> float | None:
        """The media time of the present; None before anything arrived."""
        return None if self._offset is None else now - self._offset


class CatchUp:
    """Tells when a track that begins in the past has come to the present, or as near to it as it comes.

    The least lateness of one window is compared with that of the window before it. Nothing can be said of windows in
    which few frames came: whoever makes them may have paused.
    """

    def __init__(self) -> None:
        """It has just begun."""
        self.over = False
        self._begin: float | None = None
        self._count = 0
        self._least = 0.0
        self._before: float | None = None

    def observe(self, late: float, now: float) -> bool:
        """A frame came that is `late`; whether catching up is over."""
        if self.over or late <= _LIVE:
            self.over = True
            return True
        if self._begin is None:
            self._begin, self._least = now, late
        self._count += 1
        self._least = min(self._least, late)
        window = _WINDOW_NEAR if self._least <= _NEAR else _WINDOW_FAR
        lasted = now - self._begin
        if lasted >= window and self._count >= _FEW:
            self.over = self._before is not None and self._before - self._least < _GAINING * lasted
            self._before, self._least = self._least, late
            self._begin, self._count = now, 0
        return self.over
