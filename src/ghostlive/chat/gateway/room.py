"""Fan-out: what everybody in one chat is sent is encoded once and written to each in turn, in slices.

Frames stand in a log; each viewer has a place in it. A round goes over all viewers and writes to each what came since
their place, joined: what comes while a round is under way reaches those who were not served yet together with what
they wait for, the others in the next round. A slice is short, so that ten thousand viewers never keep the event loop
from what else it has to do. Who does not read is dropped; the others do not wait for them.

Invariant: everybody gets every frame that came after they were added, once and in order.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from ghostlive.chat.bans import Ban
from ghostlive.chat.gateway import messages
from ghostlive.chat.message import Message
from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.moderation.state import Held
from ghostlive.chat.room import Emote, Quiet, Reaction
from ghostlive.core.clock import Clock, Timer
from ghostlive.core.websocket import GOING_AWAY, Connection, WriteEach, text_frame, write_each

_SLICE: Final = 256
"""Connections that are written to in one turn of the event loop. Each write is a system call of five to ten
microseconds, which the event loop may do only after the turn."""
_SLICE_TIME: Final = 0.004
_LOOK_EVERY: Final = 32
"""Connections between two looks at the clock."""
_CHECK_EVERY: Final = 32 * 1024
"""Bytes between two looks at what waits for each viewer."""
_COUNT_EVERY: Final = 2.0
GONE: Final = sys.maxsize
"""The place of who gets nothing more."""


class Member(Protocol):
    """A viewer, as the fan-out sees them."""

    place: int
    """Where in the log they are; the fan-out's to change."""

    @property
    def connection(self) -> Connection:
        """What is written to."""

    @property
    def waiting(self) -> int:
        """Bytes that wait for them."""

    def too_slow(self) -> None:
        """They do not read: drop them."""

    @property
    def author_id(self) -> str | None:
        """Who they are."""

    @property
    def moderates(self) -> bool:
        """Whether they get what is for moderators."""

    def tell(self, text: str) -> None:
        """Send a message to them alone."""

    def kicked(self, text: str) -> None:
        """They are sent away."""

    def renewed(self) -> None:
        """What they may do may be another now."""

    def banned(self, ban: Ban) -> None:
        """A ban begins that may be theirs."""

    def lifted(self, ban: Ban) -> None:
        """A ban is over that may have been theirs."""

    def listed(self) -> None:
        """They may be on a policy list now."""

    def close(self, code: int, reason: str) -> None:
        """Their connection ends."""


class Fanout(Quiet):
    """The viewers of one chat. A `chat.room.RoomListener`."""

    def __init__(
        self,
        clock: Clock,
        *,
        waiting_bytes: int,
        people: Callable[[], int],
        pinned: Callable[[], Message | None] = lambda: None,
        emotes: Callable[[], Iterable[Emote]] = tuple,
        write_each: WriteEach = write_each,
    ) -> None:
        """`waiting_bytes` may wait for one viewer; `people` says how many there are.

        `pinned` and `emotes` say what the room has. `write_each` knows the connections of all members.
        """
        self._pinned = pinned
        self._emotes = emotes
        self._write_each = write_each
        self.members: set[Member] = set()
        self._clock = clock
        self._limit = waiting_bytes
        self._people = people
        self._log: list[bytes] = []
        self._base = 0
        """The place of the first frame that the log still has."""
        self._round: list[Member] = []
        self._at = 0
        self._round_end = 0
        self._unchecked = 0
        self._checking = False
        self._timer: Timer | None = None
        self._counted: tuple[float, int] = (float("-inf"), -1)
        self._counting: Timer | None = None

    def add(self, member: Member) -> None:
        """From now on `member` gets what comes; they know what came before."""
        member.place = self._base + len(self._log)
        self.members.add(member)

    def remove(self, member: Member) -> None:
        """`member` gets nothing more."""
        member.place = GONE
        self.members.discard(member)

    def flush(self, member: Member) -> None:
        """Write what `member` would get in the next round: they leave before it."""
        end = self._base + len(self._log)
        if member.place < end:
            member.connection.write(self._since(member.place))
            member.place = end

    def count_soon(self) -> None:
        """The number of people may have changed: tell it, but not more often than every two seconds."""
        if self._counting is None:
            due = self._counted[0] + _COUNT_EVERY - self._clock.now()
            self._counting = self._clock.call_later(max(0.0, due), self._count)

    def stop(self) -> None:
        """Nobody is here any more."""
        for timer in (self._timer, self._counting):
            if timer is not None:
                timer.cancel()

    # -- what the room tells

    def said(self, message: Message) -> None:
        """See `RoomListener.said`."""
        self.broadcast(messages.said(message))

    def edited(self, message: Message, seq: int, actor: Actor) -> None:
        """See `RoomListener.edited`."""
        self.broadcast(messages.edited(message, seq))

    def deleted(self, seq: int, ids: Sequence[int], actor: Actor) -> None:
        """See `RoomListener.deleted`."""
        self.broadcast(messages.deleted(seq, ids))

    def reacted(self, reaction: Reaction) -> None:
        """See `RoomListener.reacted`."""
        self.broadcast(messages.reactions(reaction))

    def acted(self, act: Act) -> None:
        """See `RoomListener.acted`."""
        match act.kind:
            case "rules" | "shield" if "rules" in act.detail:
                self.broadcast(messages.rules(act.detail["rules"]))
            case "pin":
                self.broadcast(messages.pinned(self._pinned()))
            case "warn" | "kick" | "moderator" if act.target is not None:
                for member in [one for one in self.members if one.author_id == act.target.id]:
                    if act.kind == "warn":
                        member.tell(messages.notice(act.reason, "warn"))
                    elif act.kind == "kick":
                        member.kicked(act.reason)
                    else:
                        member.renewed()

    def held(self, added: Sequence[Held], removed: Sequence[int]) -> None:
        """See `RoomListener.held`."""
        text = messages.waiting(added, removed)
        for member in list(self.members):
            if member.moderates:
                member.tell(text)

    def emotes(self) -> None:
        """See `RoomListener.emotes`."""
        self.broadcast(messages.emotes(self._emotes()))

    def banned(self, ban: Ban) -> None:
        """See `RoomListener.banned`."""
        for member in list(self.members):
            member.banned(ban)

    def lifted(self, ban: Ban) -> None:
        """See `RoomListener.lifted`."""
        for member in list(self.members):
            member.lifted(ban)

    def listed(self) -> None:
        """See `RoomListener.listed`."""
        for member in list(self.members):
            member.listed()

    def closed(self, reason: str) -> None:
        """See `RoomListener.closed`."""
        for member in list(self.members):
            member.close(GOING_AWAY, reason)

    # -- rounds

    def broadcast(self, text: str) -> None:
        """Send a message to everybody."""
        if not self.members:
            return
        frame = text_frame(text.encode())
        self._log.append(frame)
        self._unchecked += len(frame)
        if self._timer is None:
            self._timer = self._clock.call_later(0, self._slice)

    def _slice(self) -> None:
        """Serve the next few, and go on in the next turn while anybody waits."""
        if self._at >= len(self._round):
            self._begin_round()
        end = self._base + len(self._log)
        until = self._clock.now() + _SLICE_TIME
        stop = min(self._at + _SLICE, len(self._round))
        at = self._at
        while at < stop:
            some = self._round[at : at + _LOOK_EVERY]
            at += len(some)
            if self._checking:
                self._check(some)
            self._serve(some, end)
            if self._clock.now() >= until:
                break
        self._at = at
        if at >= len(self._round):
            del self._log[: self._round_end - self._base]
            self._base = self._round_end
            self._round = []
            self._at = 0
            if not self._log:
                self._timer = None
                return
        self._timer = self._clock.call_later(0, self._slice)

    def _begin_round(self) -> None:
        self._round = list(self.members)
        self._at = 0
        self._round_end = self._base + len(self._log)
        self._checking = self._unchecked >= _CHECK_EVERY
        if self._checking:
            self._unchecked = 0

    def _serve(self, some: list[Member], end: int) -> None:
        place = -1
        served: list[Connection] = []
        for member in some:
            if member.place < end:
                if member.place != place:
                    if served:
                        self._write_each(served, self._since(place))
                        served = []
                    place = member.place
                member.place = end
                served.append(member.connection)
        if served:
            self._write_each(served, self._since(place))

    def _check(self, some: list[Member]) -> None:
        for member in some:
            if member.place != GONE and member.waiting > self._limit:
                member.too_slow()

    def _since(self, place: int) -> bytes:
        missing = self._log[place - self._base :]
        return missing[0] if len(missing) == 1 else b"".join(missing)

    def _count(self) -> None:
        self._counting = None
        people = self._people()
        if people != self._counted[1]:
            self._counted = (self._clock.now(), people)
            self.broadcast(messages.count(people))
