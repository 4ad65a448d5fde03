"""Who is banned from one chat, or from all of them, and how they are found.

A ban names a person: the guest (or account, or Matrix user), the browser and the address that they had, each as a mark
(`chat.identity`), and a Matrix ID, maybe with wildcards. The network around the address is marked, too: it keeps nobody
out, but who comes new from there is looked at. Wall clock: a ban ends at a date that people were told.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from ghostlive.chat.glob import Glob, Globs, has_wildcards
from ghostlive.chat.identity import Mark, Origin, mark_from
from ghostlive.db.bans import BanRecord, NewBan


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban in force."""

    id: int
    author_id: str
    """Empty when only a Matrix ID says who is meant."""
    name: str
    """How they were called."""
    reason: str
    by: str
    created_at: datetime
    expires_at: datetime | None
    """None for good."""
    mxid: str | None = None
    """A Matrix ID, or a pattern with `*` and `?`."""
    tag: str = ""
    """What moderators see in place of an address."""
    timeout: bool = False
    """They may read meanwhile."""
    watch: bool = False
    """They may not watch either."""
    newcomers: str = "hold"
    """What becomes of new people from their network: `hold`, `shadow` or `open`."""
    site: bool = False
    """It holds in all chats of this server."""
    listed: bool = False
    """A policy list made it: it is not stored, has no number, and ends with the rule."""
    marks: frozenset[Mark] = field(default=frozenset(), repr=False)
    epochs: frozenset[int] = field(init=False, repr=False, compare=False)
    """The epochs of its marks."""
    glob: Glob | None = field(init=False, repr=False, compare=False)
    """Its Matrix ID, where that has wildcards."""

    def __post_init__(self) -> None:
        wild = self.mxid is not None and has_wildcards(self.mxid)
        object.__setattr__(self, "glob", Glob(self.mxid) if self.mxid is not None and wild else None)
        object.__setattr__(self, "epochs", frozenset(mark.epoch for mark in self.marks))

    def names(self, author_id: str | None, origin: Origin | None, mxid: str | None = None) -> bool:
        """Whether this ban is for them."""
        if author_id and self.author_id == author_id:
            return True
        if mxid is not None and self.names_mxid(mxid):
            return True
        if origin is None:
            return False
        return any(not self.marks.isdisjoint(origin.traces(epoch).person) for epoch in self.epochs)

    def names_mxid(self, mxid: str) -> bool:
        """Whether this ban is for a user of Matrix."""
        return self.mxid == mxid if self.glob is None else self.glob.matches(mxid)

    def in_force(self, now: datetime) -> bool:
        """Whether it has not ended by itself."""
        return self.expires_at is None or now < self.expires_at


def from_record(record: BanRecord) -> Ban:
    """A ban as it was stored."""
    marks = (mark_from(kind, text) for kind, text in record.marks)
    return Ban(
        id=record.id,
        author_id=record.guest_id,
        name=record.name,
        reason=record.reason,
        by=record.created_by,
        created_at=record.created_at,
        expires_at=record.expires_at,
        mxid=record.mxid,
        tag=record.tag,
        timeout=record.kind == "timeout",
        watch=record.watch,
        newcomers=record.newcomers,
        site=record.stream_id is None,
        marks=frozenset(mark for mark in marks if mark is not None),
    )


def for_site(ban: Ban, by: str) -> NewBan:
    """The same ban for the whole site."""
    return NewBan(
        stream_id=None,
        name=ban.name,
        created_by=by,
        created_at=ban.created_at,
        expires_at=ban.expires_at,
        guest_id=ban.author_id,
        mxid=ban.mxid,
        reason=ban.reason,
        tag=ban.tag,
        watch=ban.watch,
        newcomers=ban.newcomers,
        marks=tuple((mark.kind, mark.text) for mark in ban.marks),
    )


class Bans:
    """The bans of one chat, found by whom they name."""

    def __init__(self, bans: Iterable[Ban] = ()) -> None:
        """`bans` are in force."""
        self._by_key: dict[str | Mark, list[Ban]] = {}
        self._patterns: dict[int, Ban] = {}
        """Bans whose Matrix ID has wildcards, by their numbers."""
        self._globs: Globs[int] = Globs()
        self._epochs: set[int] = set()
        for ban in bans:
            self.add(ban)

    def __bool__(self) -> bool:
        return bool(self._by_key or self._patterns)

    def find(
        self, author_id: str | None, origin: Origin | None, mxid: str | None, now: datetime, *, timeouts: bool = True
    ) -> Ban | None:
        """The ban that keeps them out longest, or with `timeouts` from writing if none does; None when nothing does."""
        found = self._found(author_id, origin, mxid)
        return _longest((ban for ban in found if timeouts or not ban.timeout), now)

    def around(self, origin: Origin, now: datetime) -> list[Ban]:
        """The bans of somebody from the network around that address."""
        networks = (origin.traces(epoch).network for epoch in self._epochs)
        return [
            ban
            for network in networks
            if network is not None
            for ban in self._by_key.get(network, ())
            if ban.in_force(now)
        ]

    def of(self, author_id: str, mxid: str | None = None) -> list[Ban]:
        """The bans that name this author, or this Matrix ID as such."""
        found = [*self._by_key.get(author_id, ()), *(self._by_key.get(mxid, ()) if mxid is not None else ())]
        return list({ban.id: ban for ban in found}.values())

    def add(self, ban: Ban) -> None:
        """A ban begins."""
        for key in _keys(ban):
            self._by_key.setdefault(key, []).append(ban)
        if ban.mxid is not None and ban.glob is not None:
            self._patterns[ban.id] = ban
            self._globs.add(ban.id, ban.mxid)
        self._epochs |= ban.epochs

    def remove(self, ban_id: int) -> None:
        """A ban was lifted."""
        for key, bans in list(self._by_key.items()):
            if left := [ban for ban in bans if ban.id != ban_id]:
                self._by_key[key] = left
            else:
                del self._by_key[key]
        pattern = self._patterns.pop(ban_id, None)
        if pattern is not None and pattern.mxid is not None:
            self._globs.remove(ban_id, pattern.mxid)
        self._epochs = {ban_epoch for bans in self._by_key.values() for ban in bans for ban_epoch in ban.epochs}

    def prune(self, now: datetime) -> None:
        """Forget those that have ended by themselves."""
        for bans in (*list(self._by_key.values()), list(self._patterns.values())):
            for ban in list(bans):
                if not ban.in_force(now):
                    self.remove(ban.id)

    def _found(self, author_id: str | None, origin: Origin | None, mxid: str | None) -> Iterator[Ban]:
        if author_id:
            yield from self._by_key.get(author_id, ())
        if origin is not None:
            for epoch in self._epochs:
                for mark in origin.traces(epoch).person:
                    yield from self._by_key.get(mark, ())
        if mxid is not None:
            yield from self._by_key.get(mxid, ())
            for ban_id in self._globs.find(mxid):
                yield self._patterns[ban_id]


def _longest(found: Iterable[Ban], now: datetime) -> Ban | None:
    # Who is banned for an hour and only reads for a day is put out first.
    in_force = (ban for ban in found if ban.in_force(now))
    return max(in_force, key=lambda ban: (not ban.timeout, ban.expires_at is None, ban.expires_at or now), default=None)


def _keys(ban: Ban) -> set[str | Mark]:
    keys: set[str | Mark] = set(ban.marks)
    if ban.author_id:
        keys.add(ban.author_id)
    if ban.mxid is not None and ban.glob is None:
        keys.add(ban.mxid)
    return keys
