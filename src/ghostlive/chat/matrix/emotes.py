"""Custom emotes of a room: packs of small pictures in its state (MSC2545, `im.ponies.room_emotes`)."""

import re
from collections.abc import Mapping
from typing import Any, Final

import structlog

from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import ApiError, ForbiddenError, TokenError
from ghostlive.chat.matrix.events import RoomEvent, mapping, text, texts
from ghostlive.chat.matrix.media import path_of, record_of
from ghostlive.chat.room import Emote
from ghostlive.db.chat import MediaRecord

_log = structlog.get_logger("matrix")

PACK: Final = "im.ponies.room_emotes"
STABLE_PACK: Final = "m.room.image_pack"
MOST: Final = 300
"""Emotes of one room that pages are told."""
_CODE: Final = re.compile(r"[^\s:<>\"'&\x00-\x1f\ud800-\udfff]{1,64}")


class Packs:
    """The packs of one room, by their state keys."""

    def __init__(self) -> None:
        """No packs."""
        self._packs: dict[str, dict[str, MediaRecord]] = {}

    def put(self, key: str, content: Mapping[str, Any]) -> None:
        """A pack is this now; it is gone when nothing is in it."""
        usage = texts(mapping(content, "pack"), "usage")
        pack: dict[str, MediaRecord] = {}
        images = mapping(content, "images")
        for code in list(images)[:MOST]:
            image = mapping(images, code)
            uses = texts(image, "usage") or usage
            record = record_of(text(image, "url"))
            if record is not None and _CODE.fullmatch(code) and (not uses or "emoticon" in uses):
                pack[code] = record
        if pack:
            self._packs[key] = pack
        else:
            self._packs.pop(key, None)

    def emotes(self) -> tuple[Emote, ...]:
        """All of them; of two with the same code that of the first pack by name."""
        found: dict[str, Emote] = {}
        for key in sorted(self._packs):
            for code, record in self._packs[key].items():
                if code not in found and len(found) < MOST:
                    found[code] = Emote(code, path_of(record), record.mxc)
        return tuple(found.values())

    def files(self) -> list[MediaRecord]:
        """What pages may ask for."""
        return [record for pack in self._packs.values() for record in pack.values()]


class RoomEmotes:
    """What people may write as `:code:` in each room, for who sends it there: known also when nobody has its chat open.

    A room is read when it is asked for first; what changes afterwards is `heard`.
    """

    def __init__(self, client: MatrixClient) -> None:
        """`client` acts as the bot."""
        self._client = client
        self._rooms: dict[str, Packs] = {}
        self._late: dict[str, list[RoomEvent]] = {}
        """Packs that changed while their room was read."""

    async def codes(self, room_id: str) -> Mapping[str, str]:
        """`mxc:` addresses by the code between the colons. Raises a `MatrixError` when they cannot be asked for now."""
        packs = self._rooms.get(room_id)
        if packs is None:
            packs = self._rooms[room_id] = await self._read(room_id)
        return {emote.code: emote.mxc for emote in packs.emotes()}

    def heard(self, event: RoomEvent) -> None:
        """An event of any room."""
        if event.type not in (PACK, STABLE_PACK) or event.state_key is None:
            return
        if (packs := self._rooms.get(event.room_id)) is not None:
            packs.put(event.state_key, event.content)
        elif (late := self._late.get(event.room_id)) is not None:
            late.append(event)

    async def _read(self, room_id: str) -> Packs:
        packs, late = Packs(), self._late.setdefault(room_id, [])
        try:
            newest = (await self._client.messages(room_id, kinds=(PACK, STABLE_PACK))).events
        except ApiError as error:
            if error.retry or isinstance(error, ForbiddenError | TokenError):
                raise
            # Words without their pictures are better than no words.
            _log.warning("the emotes of a room could not be read", room=room_id, error=str(error))
            newest = []
        finally:
            del self._late[room_id]
        for event in [*reversed(newest), *late]:
            if event.type in (PACK, STABLE_PACK) and event.state_key is not None:
                packs.put(event.state_key, event.content)
        return packs
