"""The homeserver's client API as an application service uses it: a thin layer on httpx.

Every call says as whom it acts: `user` is the Matrix ID of one of our ghosts, None is the bot (Application Service API,
"Identity assertion"). A failure is a `MatrixError`; nothing is tried again here, and nothing is done that was not asked
for: this client never un-bans, re-invites or joins anybody again to make a call work. Who calls decides.

Transaction ids (`txn`) make sending idempotent. Synapse remembers them per path and application service, so they have
to differ between ghosts of one room, and only in memory, unless `device` names a device of that ghost.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx

from ghostlive.chat.matrix.alias import bot_id
from ghostlive.chat.matrix.errors import ApiError, MissingError, TakenError, TooLargeError, UnreachableError, api_error
from ghostlive.chat.matrix.events import RoomEvent, mapping, read_event, read_events, text, texts
from ghostlive.chat.matrix.registration import ID
from ghostlive.chat.matrix.skew import Skew

_CLIENT: Final = "/_matrix/client/v3"
_CLIENT_V1: Final = "/_matrix/client/v1"
_CONNECTIONS: Final = 32
_TIMEOUT: Final = 60.0
"""Seconds. A homeserver that works hard answers after 5 or 10; to ask again sooner makes it slower."""
_CONNECT: Final = 10.0
"""Seconds until a connection stands."""
_MOST_STATE: Final = 32 * 1024 * 1024
"""Bytes of the state of a room: more than the largest policy list that counts has, with thousands of members."""
_AT_ONCE: Final = 100
"""Events that are read before others have their turn."""
_SPACE: Final = frozenset(" \t\r\n")
_PAGES: Final = 1000
"""Pages of a list that are asked for at most."""


@dataclass(frozen=True, slots=True)
class Versions:
    """What the homeserver can do."""

    versions: frozenset[str]
    unstable: frozenset[str]


@dataclass(frozen=True, slots=True)
class Page:
    """Some events of a room's timeline."""

    events: list[RoomEvent]
    end: str | None
    """Where the next page begins; None at the end."""


class Download:
    """A file on its way; read it by `chunks` inside the context manager that made it."""

    def __init__(self, answer: httpx.Response) -> None:
        """`answer` is open; its status is good."""
        self._answer = answer
        self.content_type: str = answer.headers.get("content-type", "application/octet-stream")
        length = answer.headers.get("content-length", "")
        self.length: int | None = int(length) if length.isascii() and length.isdigit() else None
        """Bytes that it says it has."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file in pieces. Raises `UnreachableError` when it breaks off."""
        try:
            async for chunk in self._answer.aiter_bytes():
                yield chunk
        except httpx.HTTPError as error:
            raise _unreachable(error) from error


class MatrixClient:
    """Speaks with one homeserver for the bot and all ghosts."""

    def __init__(
        self,
        *,
        url: str,
        token: str,
        server_name: str,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = _TIMEOUT,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`url` is where the homeserver answers, `token` the `as_token`; `timeout` is in seconds of silence.

        `wall` is our time, in seconds since 1970.

        Connections are made when they are needed. `close` ends them.
        """
        self.server_name = server_name
        self.bot = bot_id(server_name)
        self.skew = Skew()
        """How wrong the homeserver's clock is, by its last answer."""
        self._wall = wall
        url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {token}", "user-agent": "ghostlive"},
            timeout=httpx.Timeout(timeout, connect=_CONNECT, pool=None),
            limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
            # Certificates are read from disk, which takes a while and is of no use on the way to this machine itself.
            verify=url.startswith("https:"),
            trust_env=False,
            transport=transport,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    # -- the homeserver and we

    async def versions(self) -> Versions:
        """What it can do ("API Versions"); needs no token, so it tells whether anybody is there at all."""
        body = await self._ask("GET", "/_matrix/client/versions")
        unstable = frozenset(name for name, on in mapping(body, "unstable_features").items() if on is True)
        return Versions(frozenset(texts(body, "versions")), unstable)

    async def room_version(self) -> str:
        """The version of new rooms if none is asked for ("Capabilities negotiation"); empty when it does not say."""
        body = await self._ask("GET", f"{_CLIENT}/capabilities")
        return text(mapping(mapping(body, "capabilities"), "m.room_versions"), "default")

    async def whoami(self, *, user: str | None = None) -> str:
        """The Matrix ID for which it takes us."""
        return _need(await self._ask("GET", f"{_CLIENT}/account/whoami", user=user), "user_id")

    async def ping(self, txn: str) -> float:
        """Let it call us back ("Pinging"); the milliseconds that took it. What it kept for us it sends at once then."""
        body = await self._ask("POST", f"{_CLIENT_V1}/appservice/{ID}/ping", {"transaction_id": txn})
        duration = body.get("duration_ms")
        return float(duration) if isinstance(duration, int | float) else 0.0

    # -- users

    async def register(self, localpart: str, *, device: str | None = None) -> bool:
        """Make a ghost ("Server admin style permissions"); False when it is there already.

        With `device` it gets a device of that id, for transaction ids that outlive the homeserver's restart.
        """
        body: dict[str, Any] = {"type": "m.login.application_service", "username": localpart}
        body |= {"inhibit_login": True} if device is None else {"device_id": device}
        try:
            await self._ask("POST", f"{_CLIENT}/register", body)
        except TakenError:
            return False
        return True

    async def set_name(self, name: str, *, user: str | None = None) -> None:
        """The display name of the bot or a ghost, everywhere."""
        path = f"{_CLIENT}/profile/{_quote(user or self.bot)}/displayname"
        await self._ask("PUT", path, {"displayname": name}, user=user)

    # -- rooms

    async def create_room(self, body: Mapping[str, Any]) -> str:
        """Make a room ("Creation"); its id. Not idempotent, and a failed call keeps the alias: give none here."""
        return _need(await self._ask("POST", f"{_CLIENT}/createRoom", body), "room_id")

    async def find_alias(self, alias: str) -> str | None:
        """The room to which an alias points. The homeserver asks us when it is one of ours that it does not know."""
        try:
            return _need(await self._ask("GET", f"{_CLIENT}/directory/room/{_quote(alias)}"), "room_id")
        except MissingError:
            return None

    async def set_alias(self, alias: str, room: str) -> None:
        """Let an alias point to a room. Raises `TakenError` when it points to one already, maybe the same."""
        await self._ask("PUT", f"{_CLIENT}/directory/room/{_quote(alias)}", {"room_id": room})

    async def remove_alias(self, alias: str) -> bool:
        """Let an alias point nowhere; False when it did."""
        try:
            await self._ask("DELETE", f"{_CLIENT}/directory/room/{_quote(alias)}")
        except MissingError:
            return False
        return True

    async def aliases(self, room: str) -> list[str]:
        """The aliases of this homeserver that point to a room."""
        return list(texts(await self._ask("GET", f"{_room(room)}/aliases"), "aliases"))

    async def joined_rooms(self) -> list[str]:
        """Where the bot is."""
        return list(texts(await self._ask("GET", f"{_CLIENT}/joined_rooms"), "joined_rooms"))

    async def hierarchy(self, space: str) -> list[str]:
        """The rooms of a space, by id, itself first ("Spaces")."""
        found: list[str] = []
        query: dict[str, str] = {}
        for _ in range(_PAGES):
            body = await self._ask("GET", f"{_CLIENT_V1}/rooms/{_quote(space)}/hierarchy", query=query)
            found += [text(room, "room_id") for room in body.get("rooms", []) if isinstance(room, dict)]
            if not (token := text(body, "next_batch")):
                break
            query = {"from": token}
        return found

    # -- membership

    async def join(self, room_or_alias: str, *, user: str | None = None, via: str = "") -> str:
        """Join; the room's id. Raises `ForbiddenError` for who is banned. `via` names a homeserver that is in it."""
        query = {"via": via} if via else {}
        body = await self._ask("POST", f"{_CLIENT}/join/{_quote(room_or_alias)}", {}, user=user, query=query)
        return _need(body, "room_id")

    async def join_as(
        self,
        room: str,
        *,
        user: str,
        name: str,
        avatar: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> str:
        """Join, or rename who has joined, with a name for this room, in one event; its id.

        One request instead of two. `more` are further keys of the member event.
        """
        content: dict[str, Any] = {**(more or {}), "membership": "join", "displayname": name}
        if avatar is not None:
            content["avatar_url"] = avatar
        return await self.set_state(room, "m.room.member", content, user, user=user)

    async def leave(self, room: str, *, user: str | None = None) -> None:
        """Leave a room."""
        await self._ask("POST", f"{_room(room)}/leave", {}, user=user)

    async def invite(self, room: str, whom: str) -> None:
        """Invite somebody."""
        await self._ask("POST", f"{_room(room)}/invite", {"user_id": whom})

    async def kick(self, room: str, whom: str, reason: str = "") -> None:
        """Remove somebody, who may come back."""
        await self._membership(room, "kick", whom, reason)

    async def ban(self, room: str, whom: str, reason: str = "", *, more: Mapping[str, Any] | None = None) -> None:
        """Keep somebody out. They need not be in the room, nor exist. `more` are further keys of the member event."""
        if more is None:
            await self._membership(room, "ban", whom, reason)
            return
        content = {**more, "membership": "ban"} | ({"reason": reason} if reason else {})
        await self.set_state(room, "m.room.member", content, whom)

    async def unban(self, room: str, whom: str, reason: str = "") -> bool:
        """Lift a ban; False when there was none. Joins nobody."""
        try:
            await self._membership(room, "unban", whom, reason)
        except ApiError as error:
            if error.errcode != "M_BAD_STATE":
                raise
            return False
        return True

    async def _membership(self, room: str, act: str, whom: str, reason: str) -> None:
        body = {"user_id": whom} | ({"reason": reason} if reason else {})
        await self._ask("POST", f"{_room(room)}/{act}", body)

    async def members(self, room: str, membership: str = "join") -> list[RoomEvent]:
        """Member events of those who are in the room, or banned (`membership="ban"`), or invited."""
        body = await self._ask("GET", f"{_room(room)}/members", query={"membership": membership})
        return [one for one in _events(body.get("chunk"), room) if one.membership == membership]

    # -- events

    async def send(
        self,
        room: str,
        kind: str,
        content: Mapping[str, Any],
        *,
        txn: str,
        user: str | None = None,
        ts: int | None = None,
        device: str | None = None,
    ) -> str:
        """Send an event; its id. `ts` is when it was said, in milliseconds since 1970 ("Timestamp massaging")."""
        path = f"{_room(room)}/send/{_quote(kind)}/{_quote(txn)}"
        return _need(await self._ask("PUT", path, content, user=user, query=_masks(ts, device)), "event_id")

    async def redact(
        self,
        room: str,
        event_id: str,
        *,
        txn: str,
        user: str | None = None,
        reason: str = "",
        device: str | None = None,
    ) -> str:
        """Redact an event; the redaction's id. Raises `MissingError` when the homeserver does not have the event."""
        path = f"{_room(room)}/redact/{_quote(event_id)}/{_quote(txn)}"
        body = {"reason": reason} if reason else {}
        return _need(await self._ask("PUT", path, body, user=user, query=_masks(None, device)), "event_id")

    async def event(self, room: str, event_id: str) -> RoomEvent | None:
        """An event of a room, None when there is none or the bot may not see it."""
        try:
            return read_event(await self._ask("GET", f"{_room(room)}/event/{_quote(event_id)}"), room)
        except MissingError:
            return None

    async def messages(
        self, room: str, *, since: str = "", backwards: bool = True, limit: int = 100, kinds: tuple[str, ...] = ()
    ) -> Page:
        """Some of the timeline, the newest first or, if not `backwards`, the oldest first."""
        query = {"dir": "b" if backwards else "f", "limit": str(limit)}
        if since:
            query["from"] = since
        if kinds:
            query["filter"] = json.dumps({"types": kinds})
        body = await self._ask("GET", f"{_room(room)}/messages", query=query)
        return Page(read_events(body.get("chunk"), room), text(body, "end") or None)

    async def set_state(
        self, room: str, kind: str, content: Mapping[str, Any], key: str = "", *, user: str | None = None
    ) -> str:
        """Put a state event; its id. The same content twice makes one event."""
        return _need(await self._ask("PUT", _state(room, kind, key), content, user=user), "event_id")

    async def state(self, room: str, kind: str, key: str = "") -> Mapping[str, Any] | None:
        """The content of a state event; None when there is none. Raises `ForbiddenError` for who is not in the room."""
        try:
            return await self._ask("GET", _state(room, kind, key))
        except MissingError:
            return None

    async def state_event(self, room: str, kind: str, key: str = "") -> RoomEvent | None:
        """A whole state event, with who sent it; None when there is none. Raises like `state`."""
        query = {"format": "event"}
        try:
            return read_event(await self._ask("GET", _state(room, kind, key), query=query), room)
        except MissingError:
            return None

    async def whole_state(self, room: str) -> list[RoomEvent]:
        """All state of a room, members included: large for rooms of many.

        Read in pieces, since others decide how much it is. Raises `TooLargeError` for more than 32 MiB.
        """
        data = bytearray()
        async with self._stream(f"{_room(room)}/state", {}) as download:
            async for chunk in download.chunks():
                data += chunk
                if len(data) > _MOST_STATE:
                    raise TooLargeError(413, "M_TOO_LARGE", "the room has more state than is read")
        events: list[RoomEvent] = []
        for number, one in enumerate(_members(bytes(data))):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if (event := read_event(one, room)) is not None:
                events.append(event)
        return events

    # -- files

    async def upload(self, data: bytes, content_type: str, name: str = "") -> str:
        """Store a file with the homeserver; its `mxc:` address."""
        query = {"filename": name} if name else {}
        answer = await self._request(
            "POST", "/_matrix/media/v3/upload", content=data, content_type=content_type, query=query
        )
        return _need(_object(answer), "content_uri")

    @asynccontextmanager
    async def download(self, server: str, media_id: str) -> AsyncIterator[Download]:
        """A file, by the two parts of its `mxc:` address ("Content repository"); by streaming, whatever its size."""
        async with self._stream(f"{_CLIENT_V1}/media/download/{_quote(server)}/{_quote(media_id)}", {}) as download:
            yield download

    @asynccontextmanager
    async def thumbnail(self, server: str, media_id: str, *, width: int, height: int) -> AsyncIterator[Download]:
        """A small picture of a file, no larger than it has to be to fill `width` × `height`."""
        path = f"{_CLIENT_V1}/media/thumbnail/{_quote(server)}/{_quote(media_id)}"
        async with self._stream(path, {"width": str(width), "height": str(height), "method": "scale"}) as download:
            yield download

    @asynccontextmanager
    async def _stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Download]:
        request = self._http.build_request("GET", path, params=dict(query))
        try:
            # The homeserver redirects to where the file is, if it is told to; we follow nobody's address.
            answer = await self._http.send(request, stream=True, follow_redirects=False)
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        try:
            if answer.status_code != 200:
                try:
                    await answer.aread()
                except httpx.HTTPError as error:
                    raise _unreachable(error) from error
                raise _refused(answer)
            yield Download(answer)
        finally:
            await answer.aclose()

    # -- requests

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        user: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
        answer = await self._request(method, path, content=content, user=user, query=query)
        return _object(answer)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        content_type: str = "application/json",
        user: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        params = {**(query or {}), **({} if user is None or user == self.bot else {"user_id": user})}
        headers = {} if content is None else {"content-type": content_type}
        sent = self._wall()
        try:
            answer = await self._http.request(method, path, content=content, params=params, headers=headers)
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        if date := answer.headers.get("date"):
            self.skew.answered(date, sent, self._wall())
        if answer.status_code != 200:
            raise _refused(answer)
        return answer


def _quote(part: str) -> str:
    return quote(part, safe="")


def _room(room: str) -> str:
    return f"{_CLIENT}/rooms/{_quote(room)}"


def _state(room: str, kind: str, key: str) -> str:
    return f"{_room(room)}/state/{_quote(kind)}/{_quote(key)}"


def _masks(ts: int | None, device: str | None) -> dict[str, str]:
    return ({} if ts is None else {"ts": str(ts)}) | ({} if device is None else {"device_id": device})


def _events(raw: object, room: str) -> list[RoomEvent]:
    """All events of a list that the homeserver made itself, however long."""
    some = raw if isinstance(raw, list) else []
    return [event for one in some if (event := read_event(one, room)) is not None]


def _members(data: bytes) -> Iterator[object]:
    """The members of a list in JSON, one by one: all at once takes a second for a large one."""
    decoder = json.JSONDecoder()
    try:
        body = data.decode().strip()
        at = 1
        if not body.startswith("["):
            raise ValueError("it is no list")
        while not body.startswith("]", at := _space(body, at)):
            found, at = decoder.raw_decode(body, at)
            yield found
            at = _space(body, at)
            if body.startswith(",", at):
                at += 1
            elif not body.startswith("]", at):
                raise ValueError("something stands between two of them")
    except (ValueError, RecursionError) as error:
        raise api_error(502, {"error": "the answer is no list in JSON"}) from error


def _space(body: str, at: int) -> int:
    """Where white space ends that begins there."""
    while body[at : at + 1] in _SPACE:
        at += 1
    return at


def _json(answer: httpx.Response) -> object:
    try:
        return answer.json()
    except ValueError as error:
        # What answers there is no homeserver, or one in the middle of its own trouble (a proxy's page).
        raise api_error(502, {"error": "the answer is no JSON"}) from error


def _object(answer: httpx.Response) -> dict[str, Any]:
    body = _json(answer)
    return body if isinstance(body, dict) else {}


def _need(body: Mapping[str, Any], key: str) -> str:
    value = text(body, key)
    if not value:
        raise api_error(502, {"error": f"the answer has no {key}"})
    return value


def _refused(answer: httpx.Response) -> ApiError:
    try:
        body = answer.json()
    except ValueError:
        body = {"error": f"HTTP {answer.status_code}"}
    return api_error(answer.status_code, body, _retry_after(answer.headers.get("retry-after", "")))


def _retry_after(value: str) -> float | None:
    """Seconds; the other form that HTTP has, a date, is not used by homeservers."""
    return float(value) if value.isascii() and value.isdigit() else None


def _unreachable(error: httpx.HTTPError) -> UnreachableError:
    # httpx's texts have no headers in them, so the token is not in there.
    return UnreachableError(f"the homeserver does not answer ({type(error).__name__}: {error})")
