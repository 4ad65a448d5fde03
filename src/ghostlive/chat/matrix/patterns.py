"""Bans of patterns of Matrix IDs, done in a room: who is in it and matches is banned, whole servers are shut out.

A homeserver knows no patterns of people. Who matches and comes later is banned when they join or speak
(`matrix.incoming`). Of servers it knows them (`m.room.server_acl`), and then it does not even take their events.
Everything here can be done twice without harm.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import structlog

from ghostlive.chat.gate import Gate
from ghostlive.chat.glob import Glob, matches
from ghostlive.chat.matrix.alias import is_ours
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import ForbiddenError
from ghostlive.chat.matrix.events import POWER, integer, mapping, texts
from ghostlive.chat.matrix.together import Job, together
from ghostlive.core.clock import Clock

_log = structlog.get_logger("matrix")

ACL: Final = "m.room.server_acl"
_WHOLE_SERVER: Final = re.compile(r"(?:@?\*):([A-Za-z0-9.*?\[\]:-]+)")
_POWERFUL: Final = 50


def server_of(pattern: str) -> str | None:
    """The servers (a pattern, too) of which everybody matches; None when only some people of theirs do."""
    found = _WHOLE_SERVER.fullmatch(pattern)
    return None if found is None else found[1]


def change_acl(content: Mapping[str, Any] | None, server: str, *, out: bool) -> dict[str, Any] | None:
    """Server rules with a server shut out, or let in again; None when that changes nothing."""
    rules = dict(content or {})
    denied = list(texts(rules, "deny"))
    if out == (server in denied):
        return None
    denied = [*denied, server] if out else [one for one in denied if one != server]
    # Without `allow`, nobody may do anything any more ("Server Access Control Lists").
    return {"allow_ip_literals": True, **rules, "allow": list(texts(rules, "allow")) or ["*"], "deny": denied}


class Patterns:
    """Carries bans of patterns, which have wildcards, into rooms."""

    def __init__(self, client: MatrixClient, clock: Clock) -> None:
        """`client` is the bot's."""
        self._client = client
        self._clock = clock

    async def ban(self, room_id: str, pattern: str, reason: str) -> None:
        """Ban who is in the room, or invited, and matches; but none of ours and none who moderates."""
        client, glob = self._client, Glob(pattern)
        server = server_of(pattern)
        if server is not None and not matches(server, client.server_name):
            await self._change(room_id, server, out=True)
        levels = mapping(await client.state(room_id, POWER) or {}, "users")
        jobs: list[tuple[str, Job]] = []
        for membership in ("join", "invite", "knock"):
            for member in await client.members(room_id, membership):
                mxid = member.state_key or ""
                ours = is_ours(mxid, client.server_name)
                if not ours and glob.matches(mxid) and (integer(levels, mxid) or 0) < _POWERFUL:
                    jobs.append((mxid, partial(_calmly, partial(client.ban, room_id, mxid, reason))))
        await together(jobs, self._clock)

    async def unban(self, room_id: str, pattern: str, gate: Gate | None) -> None:
        """Let them in again whom the bot banned and who match, but for those whom something else keeps out (`gate`)."""
        server, glob = server_of(pattern), Glob(pattern)
        if server is not None:
            await self._change(room_id, server, out=False)
        jobs: list[tuple[str, Job]] = []
        for member in await self._client.members(room_id, "ban"):
            mxid = member.state_key or ""
            by_bot = member.sender == self._client.bot and not is_ours(mxid, self._client.server_name)
            if not by_bot or not glob.matches(mxid):
                continue
            if gate is None or not gate.shut(mxid=mxid):
                jobs.append((mxid, partial(_calmly, partial(self._client.unban, room_id, mxid))))
        await together(jobs, self._clock)

    async def _change(self, room_id: str, server: str, *, out: bool) -> None:
        changed = change_acl(await self._client.state(room_id, ACL), server, out=out)
        if changed is not None:
            await self._client.set_state(room_id, ACL, changed)


async def _calmly(job: Job) -> None:
    """One who stands above the bot is no reason to leave the others."""
    try:
        await job()
    except ForbiddenError as error:
        _log.info("a ban of a pattern cannot be carried out for somebody", error=str(error))
