"""Bans that keep somebody from watching, too: asked for with every request of a player.

Nothing is kept for a stream without such bans, and the answer for an address is remembered until the bans change.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from ghostlive.access.browser import read_browser
from ghostlive.chat.bans import Ban, Bans
from ghostlive.chat.identity import Keys, Origin

_REMEMBERED: Final = 20_000
"""Origins of players that are kept."""


class Watching:
    """The bans from watching of all streams."""

    def __init__(self, keys: Keys, now: Callable[[], datetime]) -> None:
        """`now` is the time that people read."""
        self._keys = keys
        self._now = now
        self._by_stream: dict[str | None, Bans] = {}
        """By stream; None is the whole site."""
        self._origins: OrderedDict[tuple[str, str], Origin] = OrderedDict()
        self.changed: list[Callable[[str | None], object]] = []
        """Told when a ban begins: of which stream, or None for all."""
        self.generation = 0
        """Another number after each change, for those who remember answers."""

    def load(self, bans: Iterable[tuple[str | None, Ban]]) -> None:
        """Begin with what is stored."""
        for stream, ban in bans:
            self._by_stream.setdefault(stream, Bans()).add(ban)
        self.generation += 1

    def any_for(self, stream: str) -> bool:
        """Whether anybody is kept from watching this stream."""
        return bool(self._by_stream) and (stream in self._by_stream or None in self._by_stream)

    def refuses(self, stream: str, address: str, cookie: str | None) -> bool:
        """Whether somebody at `address`, whose browser brings `cookie` (`access.browser`), may not watch `stream`."""
        if not self._by_stream:
            return False
        found = [bans for name in (stream, None) if (bans := self._by_stream.get(name)) is not None]
        if not found:
            return False
        origin, now = self._origin(address, cookie), self._now()
        return any(bans.find(None, origin, None, now) is not None for bans in found)

    def add(self, stream: str | None, ban: Ban) -> None:
        """A ban begins."""
        self._by_stream.setdefault(stream, Bans()).add(ban)
        self.generation += 1
        for changed in self.changed:
            changed(stream)

    def remove(self, ban_id: int) -> None:
        """A ban was lifted."""
        for stream, bans in list(self._by_stream.items()):
            bans.remove(ban_id)
            if not bans:
                del self._by_stream[stream]
        self.generation += 1

    def prune(self) -> None:
        """Forget bans that have ended by themselves."""
        now = self._now()
        for stream, bans in list(self._by_stream.items()):
            bans.prune(now)
            if not bans:
                del self._by_stream[stream]

    def _origin(self, address: str, cookie: str | None) -> Origin:
        key = (address, cookie or "")
        origin = self._origins.pop(key, None)
        if origin is None:
            origin = Origin(self._keys, address, read_browser(self._keys.secret, cookie))
            if len(self._origins) >= _REMEMBERED:
                self._origins.popitem(last=False)
        self._origins[key] = origin
        return origin
