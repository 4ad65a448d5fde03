"""Who asks for derived renditions of one stream, and for how long: leases on the hub, taken at a request.

A request that is answered from the ready resources leaves only a mark (`Use`), since thousands come each second; the
marks are looked at once a second.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from ghostlive.core.clock import Clock, Timer
from ghostlive.hub.derived import Lease, OfferRefusedError, OfferUnknownError
from ghostlive.packager.errors import GoneError, NotReadyError
from ghostlive.packager.rendition import Rendition

_LOOK_EVERY: Final = 1.0
_UNWATCHED_AFTER: Final = 10.0
"""Seconds without a request after which nobody watches, but at least three target durations."""

_ASK_AGAIN: Final = 5
"""Seconds after which a refused rendition may be asked for again."""


class _Held:
    """A lease."""

    __slots__ = ("failed", "last", "lease")

    def __init__(self, lease: Lease, now: float) -> None:
        self.lease = lease
        self.last = now
        self.failed = False
        """Its run was given up: the deriver is to be asked anew, so that it can say why."""


class Demand:
    """The leases of one stream."""

    def __init__(
        self,
        clock: Clock,
        lease: Callable[[str], Lease],
        renditions: Callable[[], Sequence[Rendition]],
        on_lapse: Callable[[Rendition], None],
    ) -> None:
        """`lease` is the live stream's; `renditions` gives those on offer; `on_lapse` hears whom nobody watches."""
        self._clock = clock
        self._lease = lease
        self._renditions = renditions
        self._on_lapse = on_lapse
        self._held: dict[str, _Held] = {}
        self._timer: Timer | None = None
        self._closed = False

    def holds(self, rendition: Rendition) -> bool:
        """Whether it is leased."""
        return rendition.id in self._held

    def want(self, rendition: Rendition) -> None:
        """Somebody asks for it.

        Raises `GoneError` when it is offered no longer, `NotReadyError` with the deriver's reason when it is refused.
        """
        if rendition.withdrawn:
            raise GoneError(f"{rendition.name} is not offered any more; choose another quality")
        held = self._held.get(rendition.id)
        if held is not None and held.failed and not rendition.running:
            self.drop(rendition)
            held = None
        if held is None:
            try:
                lease = self._lease(rendition.id)
            except OfferRefusedError as error:
                raise NotReadyError(str(error), retry_after=_ASK_AGAIN) from None
            except OfferUnknownError:
                raise GoneError(f"{rendition.name} is not offered any more; choose another quality") from None
            held = self._held[rendition.id] = _Held(lease, self._clock.now())
        held.last = self._clock.now()
        self.watch()

    @contextmanager
    def waiting(self, rendition: Rendition) -> Iterator[None]:
        """A request waits for it: that counts as watching."""
        rendition.use.waiting += 1
        try:
            yield
        finally:
            rendition.use.waiting -= 1
            rendition.use.seen = True

    def failed(self, rendition: Rendition) -> None:
        """What was leased does not come: ask anew at the next request."""
        held = self._held.get(rendition.id)
        if held is not None:
            held.failed = True

    def came(self, rendition: Rendition) -> None:
        """It runs."""
        held = self._held.get(rendition.id)
        if held is not None:
            held.failed = False
        self.watch()

    def drop(self, rendition: Rendition) -> None:
        """Give its lease back."""
        held = self._held.pop(rendition.id, None)
        if held is not None:
            held.lease.close()

    def watch(self) -> None:
        """Look at the marks, from now on and as long as anything is leased or runs."""
        if self._timer is None and not self._closed:
            self._timer = self._clock.call_later(_LOOK_EVERY, self._look)

    def close(self) -> None:
        """Give all leases back, for good."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._held:
            self._held.popitem()[1].lease.close()

    def _look(self) -> None:
        self._timer = None
        now = self._clock.now()
        busy = False
        for rendition in self._renditions():
            held = self._held.get(rendition.id)
            use = rendition.use
            if use.seen or use.waiting:
                use.seen = False
                if held is not None:
                    held.last = now
                elif rendition.running and not rendition.withdrawn:
                    self._take_up(rendition)
            elif held is not None and now - held.last >= max(_UNWATCHED_AFTER, 3 * rendition.target_duration):
                self.drop(rendition)
                self._on_lapse(rendition)
            busy = busy or rendition.running or rendition.id in self._held
        if busy:
            self.watch()

    def _take_up(self, rendition: Rendition) -> None:
        """It ran on without a lease, and somebody watches it again."""
        try:
            self.want(rendition)
        except (NotReadyError, GoneError):
            return  # It ends soon; the next request is told why.
