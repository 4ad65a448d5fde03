"""How people are called who say something in our rooms, and their pictures: remembered, stored, or asked for."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final

import structlog

from ghostlive.chat.matrix import events as types
from ghostlive.chat.matrix.errors import MatrixError
from ghostlive.chat.matrix.events import text
from ghostlive.chat.matrix.media import parse_mxc
from ghostlive.chat.people import matrix_author_id
from ghostlive.core.text import clean_line
from ghostlive.db.matrix import MatrixRepository, PersonRecord

_log = structlog.get_logger("matrix")

_PROFILES: Final = 20_000
"""People of whom is remembered how they are called, also if they never said anything."""
_SEEN_EVERY: Final = 86400.0
_NAME: Final = 100
"""Characters of a name that are remembered; fewer are shown."""

FindProfile = Callable[[str, str], Awaitable[Mapping[str, Any] | None]]
"""The content of somebody's member event in a room, by room id and Matrix ID. Raises a `MatrixError`."""


async def _no_profile(_room_id: str, _mxid: str) -> None:
    return None


class Profile:
    """How somebody is called in Matrix, and their picture."""

    __slots__ = ("avatar", "name")

    def __init__(self, content: Mapping[str, Any]) -> None:
        """`content` is that of a member event, or a profile."""
        self.name = clean_line(text(content, "displayname"), _NAME)
        avatar = text(content, "avatar_url")
        self.avatar = avatar if parse_mxc(avatar) is not None else None


class Acquaintances:
    """People of all rooms. What it does raises what the database raises."""

    def __init__(self, repository: MatrixRepository, now: Callable[[], datetime]) -> None:
        """`now` is the wall clock's time."""
        self._repository = repository
        self._now = now
        self.profile: FindProfile = _no_profile
        """How to ask the homeserver."""
        self._profiles: OrderedDict[str, Profile] = OrderedDict()
        self._known: OrderedDict[str, PersonRecord] = OrderedDict()

    async def met(self, mxid: str, profile: Profile) -> None:
        """Somebody is called so from now on. Stored of those only who say something."""
        _remember(self._profiles, mxid, profile)
        if (known := self._known.get(mxid)) is not None and (known.name, known.avatar) != (
            profile.name,
            profile.avatar,
        ):
            await self._store({mxid: profile})

    async def person(self, room_id: str, mxid: str) -> PersonRecord:
        """Who somebody is who says something in a room."""
        known = self._known.get(mxid)
        if known is None or not _is_fresh(known, self._now()):
            await self.meet({mxid: room_id})
        return self._known[mxid]

    async def meet(self, speakers: Mapping[str, str]) -> None:
        """Learn who people are who say something in a room: Matrix IDs with the room."""
        now = self._now()
        profiles: dict[str, Profile] = {}
        strangers: list[str] = []
        for mxid in speakers:
            known, profile = self._known.get(mxid), self._profiles.get(mxid)
            if known is not None and _is_fresh(known, now):
                continue
            if profile is not None:
                profiles[mxid] = profile
            elif known is not None:
                profiles[mxid] = _profile_of(known)
            else:
                strangers.append(mxid)
        if strangers:
            stored = await self._repository.people([matrix_author_id(mxid) for mxid in strangers])
            profiles.update({person.mxid: _profile_of(person) for person in stored.values()})
            new = [mxid for mxid in strangers if mxid not in profiles]
            asked = await asyncio.gather(*(self._ask(speakers[mxid], mxid) for mxid in new))
            profiles.update({mxid: Profile(content or {}) for mxid, content in zip(new, asked, strict=True)})
        await self._store(profiles)

    async def _ask(self, room_id: str, mxid: str) -> Mapping[str, Any] | None:
        try:
            return await self.profile(room_id, mxid)
        except MatrixError as error:  # without a name they have their Matrix ID
            _log.debug("a profile could not be asked for", error=str(error))
            return None

    async def _store(self, profiles: Mapping[str, Profile]) -> None:
        """People are called so from now on."""
        now = self._now()
        some = [
            PersonRecord(matrix_author_id(mxid), mxid, profile.name, profile.avatar, now)
            for mxid, profile in profiles.items()
        ]
        if some:
            await self._repository.set_people(some)
        for person in some:
            _remember(self._known, person.mxid, person)


def _is_fresh(known: PersonRecord, now: datetime) -> bool:
    """Whether it need not be noted again that they are here."""
    return (now - known.seen_at).total_seconds() < _SEEN_EVERY


def _profile_of(person: PersonRecord) -> Profile:
    profile = Profile(types.NONE)
    profile.name, profile.avatar = person.name, person.avatar
    return profile


def _remember(store: "OrderedDict[str, Any]", key: str, value: Any) -> None:
    store.pop(key, None)
    if len(store) >= _PROFILES:
        store.popitem(last=False)
    store[key] = value
